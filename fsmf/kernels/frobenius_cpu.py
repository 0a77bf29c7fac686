"""Numba twin of `fsmf.kernels.frobenius`: two norms in one pass."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

__all__ = ["squares"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def squares(A: Array, mask: Array) -> tuple[float, float]:
    """The parts of ``‖A‖²`` in places of 1 and in those of 0, `mask` being 0 or 1 everywhere."""
    within, outside = 0.0, 0.0
    for i in range(len(A)):
        # By index: a loop over values is not vectorised.
        for j in range(A.shape[1]):
            square = A[i, j].real * A[i, j].real + A[i, j].imag * A[i, j].imag
            # A product, not a choice: branches that follow random places are mispredicted half the time.
            within += square * mask[i, j]
            outside += square * (1 - mask[i, j])
    return within, outside
