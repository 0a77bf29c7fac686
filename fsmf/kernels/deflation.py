"""Rough dominant pieces of blocks that overlap, one after another, each of what the earlier ones left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lists", "deflated_pieces", "relax_pieces"]

Array = NDArray[Any]

# Small blocks are done with fewer steps: a fifth of their shorter side, but at least these.
_FEW = 5

# A Lanczos vector this much shorter than the first is rounding: the space is exhausted.
_EXHAUSTED = 1e-10

# Compressed lists: list k is ``indices[indptr[k]:indptr[k + 1]]``, given as ``(indptr, indices)``.
Lists = tuple[Array, Array]


def deflated_pieces(
    rest: Array,
    rows: Lists,
    columns: Lists,
    order: Array,
    X0: Array,
    Y0: Array,
    *,
    iterations: int,
    noise: float = 0.0,
    compiled: bool = False,
) -> tuple[Array, Array]:
    """Return rank-one pieces ``X[:, k] Y[k]``, each near the best one of its block of what is left of A.

    Parameters
    ----------
    rest : ndarray, shape (m, n)
        A in double precision, in C order; ``A - X Y`` is written to it.
    rows, columns : tuple of two ndarray of int
        The rows and the columns of each of the r blocks, as compressed lists.
    order : ndarray of int
        In which order blocks are served; those left out keep zeros.
    X0, Y0 : ndarray
        Values in the places that `rows` and `columns` list, in their order. Lanczos iterations start at Y0.
    iterations : int
        Lanczos steps per block, fewer for small ones: ten are about as good as eighty power iterations.
    noise : float
        How much of X0 and Y0 is added to the pieces.
    compiled : bool
        Whether to use the compiled twin.

    Returns
    -------
    X : ndarray, shape (m, r)
    Y : ndarray, shape (r, n)
        Zero outside the blocks; ``‖X[:, k]‖ = ‖Y[k]‖`` without noise.
    """
    (m, n), r = rest.shape, len(rows[0]) - 1
    X, Y = np.zeros((m, r), dtype=rest.dtype), np.zeros((r, n), dtype=rest.dtype)
    if compiled:
        from fsmf.kernels.deflation_cpu import deflate

        deflate(rest, *rows, *columns, order, X0, Y0, iterations, noise, X, Y)
        return X, Y
    for k in order:
        in_rows, in_columns = slice(*rows[0][k : k + 2]), slice(*columns[0][k : k + 2])
        own_rows, own_columns = rows[1][in_rows], columns[1][in_columns]
        place = np.ix_(own_rows, own_columns)
        x, y = _dominant_pair(rest[place], Y0[in_columns], iterations)
        root = np.sqrt(np.linalg.norm(y))
        if root > 0:
            x, y = x * root, y / root
        X[own_rows, k], Y[k, own_columns] = x + noise * X0[in_rows], y + noise * Y0[in_columns]
        rest[place] -= np.outer(X[own_rows, k], Y[k, own_columns])
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
) -> tuple[float, float]:
    """Update rank-one pieces in place, one after another, and what they leave of a matrix.

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
    squared_norm : float
        ``‖A - X Y‖²``.
    total : float
        ``Σ ‖X[:, k]‖ ‖Y[k]‖``.
    """
    if compiled:
        from fsmf.kernels.deflation_cpu import relax

        square, total = relax(rest, *rows, *columns, order, factor, X, Y)
        return square, total
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
    total = np.linalg.norm(X, axis=0) @ np.linalg.norm(Y, axis=1)
    return float(np.vdot(rest, rest).real), float(total)


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
