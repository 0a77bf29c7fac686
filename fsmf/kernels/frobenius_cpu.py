"""Numba twin of `fsmf.kernels.frobenius`: two norms in one pass."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

__all__ = ["squares"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def squares(A: Array, mask: Array) -> tuple[float, float]:
    """``‖A‖²`` and the part of it in places of 0, `mask` being 0 or 1 everywhere."""
    total, outside = 0.0, 0.0
    for i in range(len(A)):
        # By index: a loop over values is not vectorised.
        for j in range(A.shape[1]):
            square = A[i, j].real * A[i, j].real + A[i, j].imag * A[i, j].imag
            total += square
            # A product, not a choice: branches that follow random places are mispredicted half the time.
            outside += square * (1 - mask[i, j])
    return total, outside
