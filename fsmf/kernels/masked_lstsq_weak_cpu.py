"""Numba twin of the minimum-norm solutions of `fsmf.kernels.masked_lstsq`, for sparse rows of Y.

The rows ``Y[p]`` whose pivots are well off zero span most of what all of them do, and normal equations serve
them. Each other row is that span's but for a small rest. The rests, orthonormalised, are the directions that
are missing; those that vanish are the ways to combine the rows into nothing, which a solution of least norm
is orthogonal to.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.gram_solve_cpu import _substitute

__all__ = ["WeakPart", "add_weak_part", "weak_directions"]

Array = NDArray[Any]

# Compressed rows: where each starts (int64), and the columns (int32).
Pattern = tuple[Array, Array]

# The columns within reach; directions; the ways to combine rows into them; and how many do not vanish.
WeakPart = tuple[Array, Array, Array, int]

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
_exact = njit(cache=True, nogil=True)


@_sums
def _dot(x: Array, y: Array) -> Any:
    """``x yᴴ``."""
    total = x[0] * 0
    for j in range(x.size):
        total += x[j] * np.conj(y[j])
    return total


@_sums
def _add(x: Array, factor: Any, y: Array) -> None:
    for j in range(x.size):
        x[j] += factor * y[j]


@_sums
def _scale(x: Array, factor: float) -> None:
    for j in range(x.size):
        x[j] *= factor


@_sums
def _norm(x: Array) -> float:
    total = 0.0
    for j in range(x.size):
        total += x[j].real * x[j].real + x[j].imag * x[j].imag
    return math.sqrt(total)


@_sums
def _rest(
    z: Array, way: Array, L: Array, own: Array, right: Pattern, Y: Array, local: Array, root: float, x: Array
) -> None:
    """Take from ``z = way · Y[own]`` its part in the span of the rows with good pivots."""
    k, n_reached = own.size, z.size - own.size
    for p in range(k):
        x[p] = z[n_reached + p] * root
        for e in range(right[0][own[p]], right[0][own[p] + 1]):
            x[p] += z[local[right[1][e]]] * np.conj(Y[e])
    _substitute(L, x, k)
    for p in range(k):
        if x[p] != 0:
            way[p] -= x[p]
            z[n_reached + p] -= x[p] * root
            for e in range(right[0][own[p]], right[0][own[p] + 1]):
                z[local[right[1][e]]] -= x[p] * Y[e]


@_exact
def _exchange(rows: Array, s: int, t: int) -> None:
    for j in range(rows.shape[1] if s != t else 0):
        rows[s, j], rows[t, j] = rows[t, j], rows[s, j]


@_exact
def weak_directions(
    L: Array, n_weak: int, own: Array, right: Pattern, Y: Array, ridge: float, local: Array
) -> WeakPart:
    """Find the directions that rows of Y with weak pivots add, and the ways in which rows add up to nothing.

    Parameters
    ----------
    L : ndarray, shape (k, k) or larger
        Cholesky factor of the rows' conjugated Gram matrix plus ridge; inverted on the diagonal, 0 where
        a pivot is weak.
    n_weak : int
        How many those are.
    own : ndarray of int, shape (k,)
        The rows of Y.
    right : Pattern
        The support of Y.
    Y : ndarray
        Its values.
    ridge : float
        Weight of the squared norm of a solution: the k rows are followed by a multiple of the identity.
    local : ndarray of int, shape (n,)
        Scratch of -1, left so.

    Returns
    -------
    reach : ndarray of int, shape (n_reached,)
        The columns that any of the rows may use.
    directions : ndarray, shape (n_weak, n_reached + k)
        Orthonormal, as far as they do not vanish.
    ways : ndarray, shape (n_weak, k)
        The combinations of rows that make them; orthonormal where they make nothing.
    rank : int
        How many do not vanish; they come first.
    """
    k, n_reached, root = own.size, 0, math.sqrt(ridge)
    reach = np.empty(local.size, np.int64)
    for p in range(k):
        for e in range(right[0][own[p]], right[0][own[p] + 1]):
            j = right[1][e]
            if local[j] < 0:
                local[j], reach[n_reached] = n_reached, j
                n_reached += 1
    reach = reach[:n_reached].copy()
    directions, ways = np.zeros((n_weak, n_reached + k), Y.dtype), np.zeros((n_weak, k), Y.dtype)
    sizes, x, s = np.zeros(k), np.empty(k, Y.dtype), 0
    for p in range(k):
        sizes[p] = math.sqrt(_norm(Y[right[0][own[p]] : right[0][own[p] + 1]]) ** 2 + ridge)
        if L[p, p] == 0:
            z = directions[s]
            for e in range(right[0][own[p]], right[0][own[p] + 1]):
                z[local[right[1][e]]] = Y[e]
            z[n_reached + p], ways[s, p] = root, 1
            # Once more removes what rounding in normal equations has left.
            for _ in range(2):
                _rest(z, ways[s], L, own, right, Y, local, root, x)
            # Rows count for their directions, not for their lengths.
            _scale(ways[s], 1 / sizes[p])
            _scale(z, 1 / sizes[p])
            s += 1
    rank = n_weak
    for s in range(n_weak):
        longest, best = -1.0, s
        for t in range(s, n_weak):
            length = _norm(directions[t])
            if length > longest:
                longest, best = length, t
        _exchange(directions, s, best)
        _exchange(ways, s, best)
        z, way, rounding = directions[s], ways[s], 0.0
        for p in range(k):
            rounding += (sizes[p] * abs(way[p])) ** 2
        if longest <= 2.3e-16 * max(n_reached, k) * math.sqrt(rounding):
            rank = s
            break
        for _ in range(2):
            length = 1 / _norm(z)
            _scale(z, length)
            _scale(way, length)
            _rest(z, way, L, own, right, Y, local, root, x)
            for t in range(s):
                along = -_dot(z, directions[t])
                _add(z, along, directions[t])
                _add(way, along, ways[t])
        for t in range(s + 1, n_weak):
            along = -_dot(directions[t], z)
            _add(directions[t], along, z)
            _add(ways[t], along, way)
    for s in range(rank, n_weak):
        for _ in range(2):
            for t in range(rank, s):
                _add(ways[s], -_dot(ways[s], ways[t]), ways[t])
            _scale(ways[s], 1 / _norm(ways[s]))
    for j in reach:
        local[j] = -1
    return reach, directions, ways, rank


@_sums
def add_weak_part(a: Array, found: WeakPart, x: Array) -> None:
    """Turn a solution for the rows with good pivots, 0 for others, into that of least norm for all.

    Parameters
    ----------
    a : ndarray, shape (n,)
        The right-hand side.
    found : tuple
        What `weak_directions` found.
    x : ndarray, shape (k,)
        The solution, in place.
    """
    reach, directions, ways, rank = found
    for s in range(rank):
        along = x[0] * 0
        for c in range(reach.size):
            along += a[reach[c]] * np.conj(directions[s, c])
        _add(x, along, ways[s])
    for s in range(rank, len(ways)):
        _add(x, -_dot(x, ways[s]), ways[s])
