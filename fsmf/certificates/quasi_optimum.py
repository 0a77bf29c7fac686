"""What a factorization into a chain promises, in numbers that can be checked from A and the chain alone.

At interface s of a chainable chain the places are cut into disjoint blocks, on each of which every product
has at most the rank of the interface. With E_s the distance of A from the matrices of such ranks, no product
of the chain is nearer to A than the largest E_s, and each step of the hierarchical algorithm loses at most
the E_s of its interface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fsmf.certificates.cuts import Whole, interface_distances, norm_off_pattern
from fsmf.certificates.optimum_bracket import OptimumBracket
from fsmf.certificates.orders import is_extremal, order_constant
from fsmf.certificates.residuals import comfortable, product_error
from fsmf.certificates.verification import Check, Verification, close
from fsmf.supports.support import Supports

__all__ = ["QuasiOptimum"]


@dataclass(frozen=True)
class QuasiOptimum(OptimumBracket):
    """Certify a factorization into a chain: how far it is from the best one, at most.

    Attributes
    ----------
    error : float
        ‖A − X1 … XL‖_F, in the units of A.
    lower_bound : float
        No product of the chain is nearer to A: the largest loss of a step, with what is out of reach.
    out_of_reach : float
        ‖A‖_F on the places that no product reaches.
    order : tuple of int
        The interfaces in the order in which they were split, counted from 1; those whose rank bounds nothing
        are left out.
    levels : tuple of float
        What the step at each interface of the chain lost, in the units of A. Where the rank bounds nothing
        this is 0, unless ranks were chosen on the way and a later one made it so.
    refined : int
        Number of passes of least squares after the steps.
    requested : float or None
        The error that was asked for, where ranks were chosen for it, in the units of A; a wish, not a claim.

    Notes
    -----
    **Guarantee.** ``lower_bound ≤ optimum ≤ error ≤ constant · optimum``, the optimum being over all factors
    on these supports, for A with its rows and columns in the order used. Where the order is extremal (left to
    right, for one), the losses are orthogonal: the error is the root of the sum of their squares.
    `verify` recomputes the error from the product, and the distances E_s from singular values by LAPACK.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, "Butterfly factorization with error guarantees", SIAM J. Matrix Anal.
    Appl. 46 (2025), arXiv:2411.04506; the constants are derived in the guarantees page of the documentation.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((8, 8))
    >>> print(fsmf.factorize(A, fsmf.butterfly(8)).certificate)  # doctest: +ELLIPSIS
    within a factor 1.41 of the optimum: ... ≤ optimum ≤ ..., by 2 steps
    """

    out_of_reach: float
    order: tuple[int, ...]
    levels: tuple[float, ...]
    refined: int = 0
    requested: float | None = None

    name: ClassVar[str] = "QuasiOptimum"
    in_units: ClassVar[tuple[str, ...]] = (*OptimumBracket.in_units, "out_of_reach", "levels", "requested")

    @property
    def constant(self) -> float:
        """The factor within which the error is proved to be of the optimum, without unit; at least 1."""
        proved = math.inf if self._has_surplus else order_constant(self.order)
        ratio = self.error / self.lower_bound if self.lower_bound > 0 else math.inf
        return max(1.0, min(proved, ratio))

    @property
    def _has_surplus(self) -> bool:
        """Whether a step lost something where the rank, in the end, bounds nothing."""
        return any(level > 0 for s, level in enumerate(self.levels, start=1) if s not in self.order)

    @property
    def _is_orthogonal(self) -> bool:
        """Whether the error is the root of the sum of the squared losses."""
        return is_extremal(self.order) and self.refined == 0 and not self._has_surplus

    def transposed(self) -> QuasiOptimum:
        """Return the certificate of the transposed problem."""
        n = len(self.levels) + 1
        return replace(self, order=tuple(n - s for s in self.order), levels=self.levels[::-1])

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check every number from A, the supports and the factors alone.

        Parameters
        ----------
        A : ndarray or sparse array, shape (m, n)
            The matrix that was factorized, rows and columns in the order used.
        supports : Supports
            The supports.
        factors : sequence of sparse arrays
            The factors.

        Returns
        -------
        Verification
            One `Check` per claim.
        """
        A, factors, scaled = comfortable(A, factors, self)
        return Verification(tuple(scaled._checks(A, supports, factors)))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any]) -> list[Check]:
        whole = Whole.named_by(self.order, supports)
        if whole is None:
            return [Check("the supports are a chainable chain", True, False, False)]
        error, slack = product_error(A, factors)
        turned = whole.turned(A)
        out = norm_off_pattern(turned, whole.chain.product)
        n = len(supports)
        binding = whole.starts[1:]
        levels = self.levels[::-1] if whole.transposed else self.levels
        distances = interface_distances(turned, whole.chain, range(1, len(whole.chain)))
        norms = len(levels) == n - 1 and all(0 <= level < math.inf for level in levels)
        own = [levels[s - 1] for s in binding] if norms else []
        whole_order = whole.numbered(self.order, n)
        surplus = [s for s in range(1, n) if norms and s not in binding and levels[s - 1] > 0]
        bounds = zip(
            own + [levels[s - 1] for s in surplus],
            distances + interface_distances(turned, whole.given, surplus),
            strict=norms,
        )
        within = norms and all(level <= distance * (1 + 1e-7) + slack for level, distance in bounds)
        named = sorted(whole_order) == list(binding)
        # The first step splits A itself, so that it tells orders apart.
        first = binding.index(whole_order[0]) if named and own and not self._has_surplus else None
        starts = first is None or close(own[first], distances[first], slack)
        bound, largest = math.hypot(out, max(own, default=0.0)), math.hypot(out, max(distances, default=0.0))
        proved = max(1.0, order_constant(whole_order)) * largest
        if self._is_orthogonal:
            ceiling = math.hypot(out, *own)
            meets = self.refined == 0 and close(self.error, ceiling, slack)
        else:
            ceiling = math.hypot(out, sum(levels))
            proved = math.inf if self._has_surplus else proved
            meets = self.refined >= 0 and self.error <= ceiling * (1 + 1e-7) + slack
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check("out of reach", self.out_of_reach, out, close(self.out_of_reach, out, slack)),
            Check("order", self.order, binding, named),
            Check("losses ≤ distances", tuple(own), tuple(distances), within),
            Check("first loss = distance", tuple(own), tuple(distances), starts),
            Check("lower bound", self.lower_bound, bound, close(self.lower_bound, bound, slack)),
            Check(
                "lower bound ≤ largest distance",
                self.lower_bound,
                largest,
                self.lower_bound <= largest * (1 + 1e-7) + slack,
            ),
            Check("error and losses", self.error, ceiling, meets),
            Check("error ≤ constant · largest distance", error, proved, error <= proved * (1 + 1e-7) + slack),
        ]

    def __str__(self) -> str:
        steps = f"{len(self.order)} step{'s' * (len(self.order) != 1)}"
        if self.error <= self.lower_bound * (1 + 1e-12):
            return f"optimum: error {self.error:.6g} = lower bound, by {steps}"
        within = f"within a factor {self.constant:.3g} of the optimum"
        wish = "" if self.requested is None else f"; asked for {self.requested:.6g}"
        return f"{within}: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}, by {steps}{wish}"
