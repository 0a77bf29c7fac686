"""Rough dominant pieces of blocks that overlap, one after another, each of what the earlier ones left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["deflated_pieces", "relax_pieces"]

Array = NDArray[Any]

# Small blocks are done with fewer steps: a fifth of their shorter side, but at least these.
_FEW = 5

# A Lanczos vector this much shorter than the first is rounding: the space is exhausted.
_EXHAUSTED = 1e-10

# Compressed lists: list k is ``indices[indptr[k]:indptr[k + 1]]``, given as ``(indptr, indices)``.
Lists = tuple[Array, Array]


def deflated_pieces(
    A: Array, rows: Lists, columns: Lists, order: Array, Y0: Array, *, iterations: int, compiled: bool = False
) -> tuple[Array, Array]:
    """Return rank-one pieces ``X[:, k] Y[k]``, each near the best one of its block of what is left of A.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision; not written.
    rows, columns : tuple of two ndarray of int
        The rows and the columns of each of the r blocks, as compressed lists.
    order : ndarray of int
        In which order blocks are served; those left out keep zeros.
    Y0 : ndarray, shape (r, n)
        Where the Lanczos iterations start.
    iterations : int
        Lanczos steps per block, fewer for small ones: ten are about as good as eighty power iterations.
    compiled : bool
        Whether to use the compiled twin.

    Returns
    -------
    X : ndarray, shape (m, r)
    Y : ndarray, shape (r, n)
        Zero outside the blocks, ``‖X[:, k]‖ = ‖Y[k]‖``.
    """
    rest = np.array(A, order="C")
    X, Y = np.zeros((len(A), len(Y0)), dtype=A.dtype), np.zeros_like(Y0)
    if compiled:
        from fsmf.kernels.deflation_cpu import deflate

        deflate(rest, *rows, *columns, order, np.ascontiguousarray(Y0), iterations, X, Y)
        return X, Y
    for k in order:
        own_rows = rows[1][rows[0][k] : rows[0][k + 1]]
        own_columns = columns[1][columns[0][k] : columns[0][k + 1]]
        place = np.ix_(own_rows, own_columns)
        block = rest[place]
        x, y = _dominant_pair(block, Y0[k, own_columns], iterations)
        root = np.sqrt(np.linalg.norm(y))
        if root > 0:
            X[own_rows, k], Y[k, own_columns] = x * root, y / root
            rest[place] = block - np.outer(x, y)
    return X, Y


def relax_pieces(
    rest: Array,
    rows: Lists,
    columns: Lists,
    order: Array,
    X: Array,
    Y: Array,
    *,
    factor: float,
    compiled: bool = False,
) -> float:
    """Update rank-one pieces in place, one after another, and what they leave of a matrix; its squared norm.

    Column x of X becomes ``x + factor (best x for this y - x)``, and row y of Y thereafter likewise.

    Parameters
    ----------
    rest : ndarray, shape (m, n)
        ``A - X Y``, written.
    rows, columns, order
        As in `deflated_pieces`.
    X, Y : ndarray, shapes (m, r), (r, n)
        Zero outside the blocks; written.
    factor : float
        Between 0 and 2: then no update makes the rest larger.
    compiled : bool
        Whether to use the compiled twin, which wants arrays in C order.

    Returns
    -------
    float
        ``‖A - X Y‖²``.
    """
    if compiled:
        from fsmf.kernels.deflation_cpu import relax

        square: float = relax(rest, *rows, *columns, order, factor, X, Y)
        return square
    for k in order:
        own_rows = rows[1][rows[0][k] : rows[0][k + 1]]
        own_columns = columns[1][columns[0][k] : columns[0][k + 1]]
        place = np.ix_(own_rows, own_columns)
        x, y, block = X[own_rows, k], Y[k, own_columns], rest[place]
        new_x, new_y, size = x, y, np.vdot(y, y).real
        if size > 0:
            new_x = x + factor / size * (block @ y.conj())
        size = np.vdot(new_x, new_x).real
        if size > 0:
            best = (new_x.conj() @ block + np.vdot(new_x, x) * y) / size
            new_y = y + factor * (best - y)
        rest[place] = block + np.outer(x, y) - np.outer(new_x, new_y)
        X[own_rows, k], Y[k, own_columns] = new_x, new_y
    return float(np.vdot(rest, rest).real)


def _dominant_pair(block: Array, start: Array, steps: int) -> tuple[Array, Array]:
    """Unit x and y such that ``x yᵀ`` is near the best rank-one piece, by Golub–Kahan–Lanczos steps."""
    shorter = min(block.shape)
    steps = min(steps, shorter, max(_FEW, shorter // 5))
    V = np.zeros((steps, len(start)), dtype=block.dtype)
    alpha, beta = np.zeros(steps), np.zeros(steps)
    # From within the row space, which so many steps can then exhaust.
    u, found = block @ start.conj(), 0
    v = u.conj() @ block
    for i in range(steps):
        v = v - (V[:i].conj() @ v) @ V[:i]
        beta[i] = np.linalg.norm(v)
        if beta[i] <= _EXHAUSTED * beta[0]:
            break
        V[i] = v / beta[i]
        # beta[0] is only the length of the start.
        u = block @ V[i].conj() - (beta[i] * u if i else 0)
        alpha[i] = np.linalg.norm(u)
        found = i + 1
        if alpha[i] <= _EXHAUSTED * alpha[0]:
            break
        u /= alpha[i]
        v = u.conj() @ block - alpha[i] * V[i]
    bidiagonal = np.diag(alpha[:found]) + np.diag(beta[1:found], 1)
    z = np.linalg.svd(bidiagonal)[2][0] if found else np.zeros(0)
    x = block @ (z @ V[:found]).conj()
    size = np.linalg.norm(x)
    x = x / size if size else x
    return x, x.conj() @ block
