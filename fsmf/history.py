"""What an iterative solver went through, sweep by sweep."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["History"]


def _empty() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True)
class History:
    """Hold what an iterative solver went through, one entry per sweep; empty for a direct one.

    Attributes
    ----------
    error : ndarray of float
        ‖A − X Y‖_F after each sweep, in the units of A.
    factor_norm : ndarray of float
        ``(‖X‖² + ‖Y‖²)^½`` after each sweep with the scales of x_k and y_k balanced, in the units of √A; of
        whole factors, by powers of two, where values are prescribed and no ridge counts.
    seconds : ndarray of float
        Time since the start, in seconds.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.eye(4), fsmf.lu(4))
    >>> bool((np.diff(F.history.error) <= 1e-12).all())
    True
    """

    error: NDArray[np.float64] = field(default_factory=_empty)
    factor_norm: NDArray[np.float64] = field(default_factory=_empty)
    seconds: NDArray[np.float64] = field(default_factory=_empty)

    def __len__(self) -> int:
        return len(self.error)

    def scaled(self, exponent: int, n_factors: int) -> History:
        """Return the history for ``2**exponent`` times the matrix, shared out between so many factors."""
        share = 2.0 ** (exponent / n_factors)
        return History(np.ldexp(self.error, exponent), self.factor_norm * share, self.seconds)
