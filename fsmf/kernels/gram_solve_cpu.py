"""Numba twin of the normal equations in `fsmf.kernels.masked_lstsq`: small systems of one Gram matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["gram_solve"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _cholesky(G: Array, k: int, pivot_ratio: float) -> int:
    """Factorize the leading k × k in place, lower, with inverted diagonal; how many pivots are weak.

    A weak pivot is inverted to 0, which leaves its row and column out of all that follows.
    """
    weak = 0
    for a in range(k):
        square = 0.0
        for b in range(a):
            x = G[a, b]
            for c in range(b):
                x -= G[a, c] * np.conj(G[b, c])
            x *= G[b, b].real
            G[a, b] = x
            square += x.real * x.real + x.imag * x.imag
        pivot = G[a, a].real - square
        if pivot > pivot_ratio * G[a, a].real:
            G[a, a] = 1.0 / math.sqrt(pivot)
        else:
            G[a, a] = 0.0
            weak += 1
    return weak


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _substitute(L: Array, x: Array, k: int) -> None:
    """Solve ``L Lᴴ x = b``, b being in x and the diagonal of L inverted; 0 where a pivot was weak."""
    for a in range(k):
        total = x[a]
        for b in range(a):
            total -= L[a, b] * x[b]
        x[a] = total * L[a, a].real
    for a in range(k - 1, -1, -1):
        x[a] *= L[a, a].real
        for b in range(a):
            x[b] -= np.conj(L[a, b]) * x[a]


@njit(cache=True, nogil=True)
def _solve_groups(
    gram: Array,
    cross: Array,
    row_start: Array,
    rows: Array,
    column_start: Array,
    columns: Array,
    pivot_ratio: float,
    X: Array,
    weak: Array,
) -> None:
    widest = 0
    for g in range(len(weak)):
        widest = max(widest, column_start[g + 1] - column_start[g])
    G, x = np.empty((widest, widest), gram.dtype), np.empty(widest, gram.dtype)
    for g in range(len(weak)):
        own = columns[column_start[g] : column_start[g + 1]]
        k = len(own)
        for a in range(k):
            for b in range(a + 1):
                # x G = b for row vectors, so the transposed Gram matrix acts on columns.
                G[a, b] = gram[own[b], own[a]]
            if G[a, a] == 0:
                # A vanishing row of Y takes no part: its coefficient becomes 0.
                G[a, a] = 1.0
        weak[g] = _cholesky(G, k, pivot_ratio) > 0
        if weak[g]:
            continue
        for t in range(row_start[g], row_start[g + 1]):
            i = rows[t]
            for a in range(k):
                x[a] = cross[i, own[a]]
            _substitute(G, x, k)
            for a in range(k):
                X[i, own[a]] = x[a]


def gram_solve(gram: Array, cross: Array, groups: Any, pivot_ratio: float) -> tuple[Array, Array]:
    """Solve the well-conditioned groups' normal equations; return X and the groups left out.

    Parameters
    ----------
    gram : ndarray, shape (r, r)
        ``Y Yᴴ`` plus ridge, in double precision.
    cross : ndarray, shape (m, r)
        ``A Yᴴ``.
    groups : RowGroups
        The rows by support.
    pivot_ratio : float
        A group with a pivot below this fraction of its diagonal is left out.

    Returns
    -------
    X : ndarray, shape (m, r)
        Zero outside the support and in the groups left out.
    weak : ndarray of int
        The groups left out.
    """
    X, weak = np.zeros_like(cross), np.zeros(len(groups), dtype=np.bool_)
    flat = groups.row_start, groups.rows, groups.column_start, groups.columns
    _solve_groups(np.ascontiguousarray(gram), cross, *flat, pivot_ratio, X, weak)
    return X, np.flatnonzero(weak)
