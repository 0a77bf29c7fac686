"""Numba twin of `fsmf.kernels.deflation`: a block is gathered once and iterated on in cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cut", "deflate", "dominant_pair", "measured", "noisy_pair", "relax"]

Array = NDArray[Any]

# As in the plain twin.
_EXHAUSTED = 1e-10
_FEW = 5

# Power iterations for the leading vector of a bidiagonal matrix of some ten rows: at most so many, and none
# after one that gains less than this fraction of the squared singular value. It is where ALS starts from.
_SMALL_ITERATIONS, _CLOSE = 100, 1e-5


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _square(x: Array) -> float:
    total = 0.0
    # By index: a loop over values is not vectorised.
    for i in range(x.size):
        total += x[i].real * x[i].real + x[i].imag * x[i].imag
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _times_right(block: Array, y: Array, x: Array) -> None:
    """``x = block conj(y)``, four rows at a time to spare loads of y."""
    zero = block.dtype.type(0)
    for i in range(0, len(x) - 3, 4):
        p, q, r, s = zero, zero, zero, zero
        for j in range(len(y)):
            factor = np.conj(y[j])
            p += block[i, j] * factor
            q += block[i + 1, j] * factor
            r += block[i + 2, j] * factor
            s += block[i + 3, j] * factor
        x[i], x[i + 1], x[i + 2], x[i + 3] = p, q, r, s
    for i in range(len(x) // 4 * 4, len(x)):
        p = zero
        for j in range(len(y)):
            p += block[i, j] * np.conj(y[j])
        x[i] = p


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _times_left(block: Array, x: Array, y: Array) -> None:
    """``y = conj(x) block``, four rows at a time to spare loads and stores of y."""
    y[:] = 0
    for i in range(0, len(x) - 3, 4):
        p, q, r, s = np.conj(x[i]), np.conj(x[i + 1]), np.conj(x[i + 2]), np.conj(x[i + 3])
        for j in range(len(y)):
            y[j] += (p * block[i, j] + q * block[i + 1, j]) + (r * block[i + 2, j] + s * block[i + 3, j])
    for i in range(len(x) // 4 * 4, len(x)):
        p = np.conj(x[i])
        for j in range(len(y)):
            y[j] += p * block[i, j]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _orthogonalize(V: Array, i: int) -> None:
    """Take from row i of V its parts along the rows before."""
    for t in range(i):
        along = V[t, 0] * 0
        for j in range(V.shape[1]):
            along += np.conj(V[t, j]) * V[i, j]
        for j in range(V.shape[1]):
            V[i, j] -= along * V[t, j]


@njit(cache=True, nogil=True)
def _leading(alpha: Array, beta: Array, z: Array) -> None:
    """Set z near the leading right singular vector of a small upper bidiagonal matrix."""
    k = len(z)
    image = np.empty(k)
    z[:] = 1.0 / math.sqrt(k)
    before = 0.0
    for _ in range(_SMALL_ITERATIONS):
        for i in range(k):
            image[i] = alpha[i] * z[i] + (beta[i + 1] * z[i + 1] if i + 1 < k else 0.0)
        square = 0.0
        for i in range(k):
            z[i] = alpha[i] * image[i] + (beta[i] * image[i - 1] if i else 0.0)
            square += z[i] * z[i]
        if square == 0.0:
            return
        z /= math.sqrt(square)
        if square - before <= _CLOSE * square:
            return
        before = square


@njit(cache=True, nogil=True)
def _add(x: Array, factor: float, y: Array) -> None:
    """``x += factor y``, without a temporary array."""
    for i in range(len(x)):
        x[i] += factor * y[i]


@njit(cache=True, nogil=True)
def _normalize(x: Array) -> float:
    """Scale x to norm 1; return the norm that it had."""
    norm = math.sqrt(_square(x))
    if norm > 0.0:
        scale = 1.0 / norm
        for i in range(len(x)):
            x[i] *= scale
    return norm


@njit(cache=True, nogil=True)
def dominant_pair(block: Array, V: Array, U: Array, x: Array, y: Array) -> bool:
    """Turn y into that of the best rank-one piece ``x yᵀ``, x of norm 1; False where there is none.

    V and U are scratch of as many rows as Lanczos steps, as long as y and x.
    """
    shorter = min(len(x), len(y))
    steps = min(len(V), shorter, max(_FEW, shorter // 5))
    alpha, beta = np.zeros(steps), np.zeros(steps)
    found = 0
    # From within the row space, which so many steps can then exhaust.
    _times_right(block, y, U[0])
    _times_left(block, U[0], V[0])
    for i in range(steps):
        _orthogonalize(V, i)
        beta[i] = _normalize(V[i])
        if beta[i] <= _EXHAUSTED * beta[0]:
            break
        _times_right(block, V[i], U[i])
        if i:
            _add(U[i], -beta[i], U[i - 1])
        alpha[i] = _normalize(U[i])
        found = i + 1
        if alpha[i] <= _EXHAUSTED * alpha[0]:
            break
        if i + 1 < steps:
            _times_left(block, U[i], V[i + 1])
            _add(V[i + 1], -alpha[i], V[i])
    if found == 0:
        return False
    z = np.empty(found)
    _leading(alpha, beta, z)
    y[:] = 0
    for i in range(found):
        _add(y, z[i], V[i])
    _times_right(block, y, x)
    if _normalize(x) == 0.0:
        return False
    _times_left(block, x, y)
    return True


@njit(cache=True, nogil=True)
def noisy_pair(found: bool, noise: float, x0: Array, y0: Array, x: Array, y: Array) -> None:
    """Give x, of norm 1, and y equal norms, or zeros where nothing was found; and add noise to them."""
    root = math.sqrt(math.sqrt(_square(y))) if found else 0.0
    inverse = 1.0 / root if found else 0.0
    for i in range(len(x)):
        # What was not found may be anything.
        x[i] = (x[i] * root if found else 0.0) + noise * x0[i]
    for j in range(len(y)):
        y[j] = (y[j] * inverse if found else 0.0) + noise * y0[j]


@njit(cache=True, nogil=True)
def deflate(
    rest: Array,
    row_start: Array,
    rows: Array,
    column_start: Array,
    columns: Array,
    order: Array,
    X0: Array,
    Y0: Array,
    iterations: int,
    noise: float,
    X: Array,
    Y: Array,
) -> None:
    """Fill X and Y with the pieces, and subtract them from `rest`; see `deflated_pieces`."""
    tallest, widest = 0, 0
    for k in order:
        tallest = max(tallest, row_start[k + 1] - row_start[k])
        widest = max(widest, column_start[k + 1] - column_start[k])
    buffer = np.empty(tallest * widest, rest.dtype)
    space, other = np.empty(iterations * widest, rest.dtype), np.empty(iterations * tallest, rest.dtype)
    for k in order:
        own_rows = rows[row_start[k] : row_start[k + 1]]
        own_columns = columns[column_start[k] : column_start[k + 1]]
        x0, y0 = X0[row_start[k] : row_start[k + 1]], Y0[column_start[k] : column_start[k + 1]]
        b, c = len(own_rows), len(own_columns)
        block = buffer[: b * c].reshape(b, c)
        x, y = np.empty(b, rest.dtype), y0.copy()
        for i in range(b):
            source = rest[own_rows[i]]
            for j in range(c):
                block[i, j] = source[own_columns[j]]
        V, U = space[: iterations * c].reshape(iterations, c), other[: iterations * b].reshape(iterations, b)
        noisy_pair(dominant_pair(block, V, U, x, y), noise, x0, y0, x, y)
        for i in range(b):
            target = rest[own_rows[i]]
            X[own_rows[i], k] = x[i]
            for j in range(c):
                target[own_columns[j]] = block[i, j] - x[i] * y[j]
        for j in range(c):
            Y[k, own_columns[j]] = y[j]


@njit(cache=True, nogil=True)
def cut(A: Array, rows: Array, columns: Array, reach: Array, out: Array) -> None:
    """``out = A[rows][:, columns]`` where it is within reach, 0 elsewhere."""
    for i in range(rows.size):
        source, target, mask = A[rows[i]], out[i], reach[i]
        # A product, not a choice: branches that follow a random support are mispredicted half the time.
        if columns.size == source.size:
            for j in range(columns.size):
                target[j] = source[j] * mask[j]
        else:
            for j in range(columns.size):
                target[j] = source[columns[j]] * mask[j]


@njit(cache=True, nogil=True)
def measured(
    rest: Array, row_start: Array, rows: Array, column_start: Array, columns: Array, X: Array, Y: Array
) -> tuple[float, float]:
    """What `relax_pieces` returns, of factors that it starts from."""
    total = 0.0
    for k in range(len(Y)):
        x, y = 0.0, 0.0
        for i in rows[row_start[k] : row_start[k + 1]]:
            x += X[i, k].real * X[i, k].real + X[i, k].imag * X[i, k].imag
        for j in columns[column_start[k] : column_start[k + 1]]:
            y += Y[k, j].real * Y[k, j].real + Y[k, j].imag * Y[k, j].imag
        total += math.sqrt(x * y)
    return _square(rest.reshape(-1)), total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _relaxed_rows(
    rest: Array, rows: Array, X: Array, k: int, y: Array, step: float, x: Array, z: Array
) -> None:
    """``x = X[rows, k] + step rest[rows] yᴴ`` and ``z = xᴴ rest[rows]``, four rows at a time."""
    zero = rest.dtype.type(0)
    z[:] = 0
    for i in range(0, rows.size - 3, 4):
        a, b, c, d = rest[rows[i]], rest[rows[i + 1]], rest[rows[i + 2]], rest[rows[i + 3]]
        p, q, r, s = zero, zero, zero, zero
        for j in range(y.size):
            factor = np.conj(y[j])
            p += a[j] * factor
            q += b[j] * factor
            r += c[j] * factor
            s += d[j] * factor
        x[i], x[i + 1], x[i + 2], x[i + 3] = p, q, r, s
        for t in range(i, i + 4):
            x[t] = X[rows[t], k] + step * x[t]
        p, q, r, s = np.conj(x[i]), np.conj(x[i + 1]), np.conj(x[i + 2]), np.conj(x[i + 3])
        for j in range(y.size):
            z[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
    for i in range(rows.size // 4 * 4, rows.size):
        a, p = rest[rows[i]], zero
        for j in range(y.size):
            p += a[j] * np.conj(y[j])
        x[i] = X[rows[i], k] + step * p
        p = np.conj(x[i])
        for j in range(y.size):
            z[j] += p * a[j]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def relax(
    rest: Array,
    row_start: Array,
    rows: Array,
    column_start: Array,
    columns: Array,
    order: Array,
    factor: float,
    X: Array,
    Y: Array,
) -> tuple[float, float]:
    """Update all pieces in place; see `relax_pieces`.

    Whole rows are worked on, for their entries lie side by side: that Y is zero in most places is no gain.
    """
    left, z, new = np.empty(len(rest), rest.dtype), np.empty_like(Y[0]), np.zeros_like(Y[0])
    total = 0.0
    for k in order:
        own, y = rows[row_start[k] : row_start[k + 1]], Y[k]
        places = columns[column_start[k] : column_start[k + 1]]
        x, size = left[: own.size], _square(y)
        # Where one side is zero the other one stays.
        _relaxed_rows(rest, own, X, k, y, factor / size if size > 0.0 else 0.0, x, z)
        size = _square(x)
        if size > 0.0:
            along = rest.dtype.type(0)
            for i in range(own.size):
                along += np.conj(x[i]) * X[own[i], k]
            for j in places:
                new[j] = y[j] + factor * ((z[j] + along * y[j]) / size - y[j])
        else:
            new[:] = y
        total += math.sqrt(size * _square(new))
        for i in range(own.size):
            target, p, q = rest[own[i]], X[own[i], k], x[i]
            for j in range(y.size):
                target[j] += p * y[j] - q * new[j]
            X[own[i], k] = q
        for j in places:
            y[j], new[j] = new[j], 0
    return _square(rest.reshape(-1)), total
