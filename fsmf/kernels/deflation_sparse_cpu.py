"""Numba twin of `fsmf.kernels.deflation` for sparse factors: what is left is found block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.deflation_cpu import dominant_pair, noisy_pair
from fsmf.kernels.masked_lstsq_cpu import Pattern

__all__ = ["deflate_block", "take_pieces"]

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def deflate_block(
    block: Array, rows: Array, local: Array, left: Pattern, right: Pattern, X: Array, Y: Array
) -> None:
    """Subtract what X Y has on a block of A.

    Parameters
    ----------
    block : ndarray, shape (b, c)
        The block, in double precision.
    rows : ndarray of int, shape (b,)
        Its rows.
    local : ndarray of int, shape (n,)
        Where a column of A stands in the block, -1 for nowhere.
    left, right : Pattern
        The supports of X and of Y.
    X, Y : ndarray
        Values of the factors, in the row-major order of their supports.
    """
    for t in range(rows.size):
        for s in range(left[0][rows[t]], left[0][rows[t] + 1]):
            # Components whose turn has not come are zero.
            if X[s] != 0:
                for e in range(right[0][left[1][s]], right[0][left[1][s] + 1]):
                    j = local[right[1][e]]
                    if j >= 0:
                        block[t, j] -= X[s] * Y[e]


@njit(cache=True, nogil=True)
def take_pieces(
    block: Array,
    members: Array,
    left_start: Array,
    stored: Array,
    right_start: Array,
    X0: Array,
    Y0: Array,
    iterations: int,
    noise: float,
    X: Array,
    Y: Array,
) -> None:
    """Give the components of one block their pieces, one after another, and subtract them from the block.

    Parameters
    ----------
    block : ndarray, shape (b, c)
        The block, in double precision.
    members : ndarray of int
        The components.
    left_start : ndarray of int, shape (r + 1,)
        Where each row of Xᵀ starts.
    stored : ndarray of int
        Where each entry of Xᵀ is stored in X.
    right_start : ndarray of int, shape (r + 1,)
        Where each row of Y starts.
    X0, Y0 : ndarray
        Values of Xᵀ and Y in the row-major order of their supports. Lanczos iterations start at Y0.
    iterations : int
        Lanczos steps.
    noise : float
        How much of X0 and Y0 is added to the pieces.
    X, Y : ndarray
        Values of the factors, in the row-major order of their supports; written for those components.
    """
    b, c = block.shape
    x, y = np.empty(b, block.dtype), np.empty(c, block.dtype)
    V, U = np.empty((iterations, c), block.dtype), np.empty((iterations, b), block.dtype)
    for k in members:
        x0, y0 = X0[left_start[k] : left_start[k + 1]], Y0[right_start[k] : right_start[k + 1]]
        y[:] = y0
        noisy_pair(dominant_pair(block, V, U, x, y), noise, x0, y0, x, y)
        for i in range(b):
            X[stored[left_start[k] + i]] = x[i]
            for j in range(c):
                block[i, j] -= x[i] * y[j]
        Y[right_start[k] : right_start[k + 1]] = y
