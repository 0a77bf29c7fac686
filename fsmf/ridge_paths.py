"""What a vanishing ridge tells: the best error for factors of each size, and whether they stay bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError

__all__ = ["RidgePath"]

# What files call the arrays.
_NAMES = ("path_ridges", "path_errors", "path_norms")

# Exponents are fitted to so many of the smallest ridges.
_TAIL = 5

# Paths whose ridges do not fall by this factor tell nothing about where they lead.
_LONG = 1e4

# Factors that grow by less than this in the last step, relatively, have levelled off.
_LEVEL = 1e-3

# Factors grow when their norm rises at least as this power of 1/ridge, divided by L + 1; the slowest growth
# known is the power 1/2 divided by it, and bounded factors level off.
_GROWTH = 0.15

# A squared norm that rose as fast as the ridge falls would not lower the error: no limit is sought beyond.
_FASTEST = 0.45

# The limit counts as zero where it would be below this fraction of the last squared error.
_NOTHING = 0.1


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Hold the minimisers of ``error² + ridge · norm²`` for a sequence of falling ridges.

    Each is the best product that factors of its norm make, as far as the solver found it: the errors against
    the norms are what the accuracy costs.

    Attributes
    ----------
    ridges : ndarray of float, shape (k,)
        The weights, falling, in the units of A.
    errors : ndarray of float, shape (k,)
        ‖A − X1 … XL‖_F, in the units of A.
    norms : ndarray of float, shape (k,)
        ``(Σ‖Xi‖²)^½`` with the scales of the factors balanced, in the units of ``A^(1/L)``.
    n_factors : int
        Number of factors L.

    Notes
    -----
    Where the norm rises as ``ridge^-p``, what the squared error loses on the way to its limit is, since its
    derivative by the squared norm is minus the ridge, ``2p / (1 − 2p)`` times the last ``ridge · norm²``:
    this gives the limit without further sweeps. For the lower times upper triangular products p is 1/6, and
    the error falls as ``norm⁻²``. In general, where the error falls as ``norm^-r`` to its limit, p is
    ``1 / (2 (r + 1))`` and the error exponent ``½ − p``.

    Examples
    --------
    >>> import fsmf, numpy as np, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", fsmf.errors.NotAttainedWarning)
    ...     F = fsmf.factorize([[0, 1], [1, 0]], fsmf.lu(2), solver=fsmf.ALS(ridge="path"))
    >>> F.ridge_path.grows, round(F.ridge_path.rate, 2), round(F.ridge_path.error_at(20.0), 3)
    (True, -2.0, 0.01)
    """

    ridges: NDArray[np.float64]
    errors: NDArray[np.float64]
    norms: NDArray[np.float64]
    n_factors: int = 2

    def __len__(self) -> int:
        return len(self.ridges)

    @classmethod
    def of(cls, points: Sequence[tuple[float, float, float]], n_factors: int = 2) -> RidgePath:
        """Build a path from (ridge, error, norm) triples, in any order."""
        table = np.array(sorted(points, reverse=True), dtype=float).reshape(-1, 3)
        ridges, errors, norms = table.T.copy()
        return cls(ridges, errors, norms, n_factors)

    def beside(self, rest: float) -> RidgePath:
        """Return the path with an error added that the factors cannot change."""
        return replace(self, errors=np.hypot(self.errors, rest))

    def scaled(self, factor: float) -> RidgePath:
        """Return the path of the problem for a multiple of A, shared out between the factors."""
        share = 1 / self.n_factors
        with np.errstate(over="ignore", under="ignore"):
            ridges = self.ridges * np.float64(factor) ** (2 - 2 * share)
        return replace(self, ridges=ridges, errors=self.errors * factor, norms=self.norms * factor**share)

    def weighed(self, factor: float) -> RidgePath:
        """Return the path for weights of the entries of A that are ``factor**2`` times as large."""
        return replace(self, ridges=self.ridges * factor**2, errors=self.errors * factor)

    @cached_property
    def norm_exponent(self) -> float:
        """The p in ``norm ∝ ridge^p`` of the smallest ridges; 0 for factors that level off."""
        return self._slope(self.norms)

    @cached_property
    def grows(self) -> bool | None:
        """Whether the factors still grow where the path ends, while the error falls; None of a short path."""
        if len(self) > 1 and self.norms[-1] <= (1 + _LEVEL) * self.norms[-2]:
            return False
        if len(self) < _TAIL or not math.inf > self.ridges[0] >= _LONG * self.ridges[-1]:
            return None
        tail = self.norms[-_TAIL:]
        rising = bool((np.diff(tail) > 0).all()) and self.norm_exponent < -_GROWTH / (self.n_factors + 1)
        return rising and bool(self.errors[-1] < self.errors[-_TAIL])

    @cached_property
    def limit(self) -> float:
        """What the error tends to when the factors may grow without end, as far as the path tells."""
        last = float(self.errors[-1])
        if not self.grows or not last:
            return last
        p = min(-self.norm_exponent, _FASTEST)
        norm = float(self.norms[-1]) / math.sqrt(last)
        left = 1.0 - float(self.ridges[-1]) / last * norm**2 * 2 * p / (1 - 2 * p)
        return last * math.sqrt(left) if left > _NOTHING else 0.0

    @cached_property
    def error_exponent(self) -> float:
        """The q in ``(error² − limit²)^½ ∝ ridge^q`` of the smallest ridges."""
        if not self.limit:
            return self._slope(self.errors)
        relative = self.errors / self.limit
        return self._slope(np.sqrt(np.maximum((relative - 1) * (relative + 1), 0)))

    @property
    def rate(self) -> float:
        """The power of the norm by which ``(error² − limit²)^½`` falls; -inf where factors stay bounded."""
        return self.error_exponent / self.norm_exponent if self.grows else -math.inf

    def _slope(self, values: NDArray[np.float64]) -> float:
        """Slope of the logarithm against that of the ridge, over the smallest ridges."""
        x, y = self.ridges[-_TAIL:], values[-_TAIL:]
        good = (x > 0) & (y > 0) & (x < math.inf)
        if good.sum() < 2:
            return 0.0
        return float(np.polyfit(np.log(x[good]), np.log(y[good]), 1)[0])

    def error_at(self, norm: float) -> float:
        """Return the best error that factors of a given norm reach, between the points of the path.

        Parameters
        ----------
        norm : float
            ``(Σ‖Xi‖²)^½``, in the units of ``A^(1/L)``.

        Returns
        -------
        float
            In the units of A: interpolated on logarithmic scales; that of the next smaller norm where the
            path does not reach, and infinity below its first point.

        Raises
        ------
        OptionError
            If the norm is not a number of at least 0.

        Notes
        -----
        **Guarantee.** Attained at the points of the path, an estimate between them, pessimistic outside.

        **Cost.** None to speak of.

        Examples
        --------
        >>> import fsmf
        >>> fsmf.RidgePath.of([(1e-1, 0.4, 1.0), (1e-3, 0.1, 2.0)]).error_at(2.0)
        0.1
        """
        if not isinstance(norm, int | float | np.number) or isinstance(norm, bool) or not norm >= 0:
            raise OptionError(
                f"norm must be a number of at least 0; found {norm!r}; norms are those of F.ridge_path"
            )
        # Local minima may break the order; what a smaller norm reaches, a larger one does.
        order = np.argsort(self.norms, kind="stable")
        norms, errors = self.norms[order], np.minimum.accumulate(self.errors[order])
        at = int(np.searchsorted(norms, norm, side="right"))
        if at == 0:
            return math.inf
        low = float(errors[at - 1])
        if at == len(norms) or not (low > 0 and errors[at] > 0 and norms[at - 1] > 0):
            return low
        share = math.log(norm / norms[at - 1]) / math.log(norms[at] / norms[at - 1])
        return low * math.exp(share * math.log(errors[at] / low))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the three arrays by the names that files give them."""
        return dict(zip(_NAMES, (self.ridges, self.errors, self.norms), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], n_factors: int) -> RidgePath | None:
        """Rebuild a path from what a file holds; None if it holds none."""
        if _NAMES[0] not in arrays:
            return None
        ridges, errors, norms = (arrays[name].astype(float) for name in _NAMES)
        return cls(ridges, errors, norms, n_factors)

    def sentences(self) -> tuple[str, str]:
        """Return what the path says of the factors, and the errors found at round norms, or at the end."""
        if self.grows:
            said = (
                "the error can be lowered only by letting the factors grow: it falls towards "
                f"{self.limit:.3g} as norm^{self.rate:.2f}"
            )
        elif self.grows is None:
            said = "too short to tell whether the factors stay bounded"
        else:
            said = "the factors stay bounded: a best product seems to exist"
        low, high = (float(end) for end in (self.norms.min(initial=math.inf), self.norms.max(initial=0)))
        norms = [high]
        if 0 < low < high:
            powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            norms = [10.0**power for power in powers][-3:] or norms
        return said, ", ".join(f"{self.error_at(norm):.3g} at norm {norm:.3g}" for norm in norms)

    def __str__(self) -> str:
        said, best = self.sentences()
        return f"{len(self)} ridges: {said}; best found: {best}"
