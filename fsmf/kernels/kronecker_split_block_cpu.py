"""Cut one block B after another: the best piece of rank r, as ``U (Uᴴ B)``.

By the eigenvectors of the Gram matrix B Bᴴ, or Bᴴ B if that is smaller. Squares hide small singular values in
the rounding of large ones; where that could show, the vectors are improved by products with B itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.leading_eigen_cpu import _leading
from fsmf.kernels.truncated_svd_cpu import _orthonormalize, _square

__all__: list[str] = []

Array = NDArray[Any]

# What may be captured short of the best, relative to the square of the tail.
_EXCESS = 1e-10

# A tail whose square is a larger part of that of the block is what the eigenvalues of its Gram matrix leave.
_SMALL = 1e-6

# Relative rounding of a Gram matrix.
_EPS = 2.0**-52

# Entries that are worked on while they stay in the first-level cache.
_RUN = 512

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_exact = njit(cache=True, nogil=True, error_model="numpy")
_inline = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}, forceinline=True
)
# Called from one place alone, and compiled there.
_part = njit(inline="always", error_model="numpy")


@_inline
def _top(p: float, q: float, z: Any) -> tuple[Any, Any, float]:
    """Unit eigenvector of [[p, z], [conj(z), q]] for its larger eigenvalue, and that value."""
    half = 0.5 * (p - q)
    root = math.sqrt(half * half + z.real * z.real + z.imag * z.imag)
    # Of the two columns that are parallel to the vector, the one without cancellation.
    long = abs(half) + root
    length = math.sqrt(long * long + z.real * z.real + z.imag * z.imag)
    if not length > 0:
        return 1 + 0 * z, 0 * z, p
    if half >= 0:
        return long / length + 0 * z, np.conj(z) / length, 0.5 * (p + q) + root
    return z / length, long / length + 0 * z, 0.5 * (p + q) + root


@_sums
def _gram(src: Array, row: int, hop: int, column: int, b: int, c: int, G: Array) -> None:
    """``G = B Bᴴ`` of the block B of b rows, `hop` apart, and c columns: four rows with two at a time.

    Rows past the last are the last once more; what they give is left beyond the b rows of G.
    """
    G[:] = 0
    end = row + (b - 1) * hop
    for first in range(column, column + c, _RUN):
        last = min(first + _RUN, column + c)
        for i in range(0, b, 4):
            place = row + i * hop
            w = src[place, first:last]
            x = src[min(place + hop, end), first:last]
            y = src[min(place + 2 * hop, end), first:last]
            z = src[min(place + 3 * hop, end), first:last]
            for l in range(0, min(i + 4, b), 2):
                place = row + l * hop
                u, v = src[place, first:last], src[min(place + hop, end), first:last]
                wu = xu = yu = zu = wv = xv = yv = zv = G.dtype.type(0)
                for j in range(w.size):
                    s, t = np.conj(G.dtype.type(u[j])), np.conj(G.dtype.type(v[j]))
                    wu += w[j] * s
                    xu += x[j] * s
                    yu += y[j] * s
                    zu += z[j] * s
                    wv += w[j] * t
                    xv += x[j] * t
                    yv += y[j] * t
                    zv += z[j] * t
                G[i, l] += wu
                G[i + 1, l] += xu
                G[i + 2, l] += yu
                G[i + 3, l] += zu
                G[i, l + 1] += wv
                G[i + 1, l + 1] += xv
                G[i + 2, l + 1] += yv
                G[i + 3, l + 1] += zv
    for i in range(b):
        for l in range(i):
            G[l, i] = np.conj(G[i, l])


@_sums
def _product(
    Q: Array,
    m: int,
    src: Array,
    row: int,
    hop: int,
    column: int,
    b: int,
    c: int,
    dst: Array,
    out: int,
    step: int,
) -> None:
    """The first m rows of ``Q B``, written `step` apart, from row `out` of dst on; B as in `_gram`."""
    end = row + (b - 1) * hop
    for first in range(0, c, _RUN):
        last = min(first + _RUN, c)
        for i in range(m):
            target = dst[out + i * step, first:last]
            for l in range(0, b, 4):
                place = row + l * hop
                w = src[place, column + first : column + last]
                x = src[min(place + hop, end), column + first : column + last]
                y = src[min(place + 2 * hop, end), column + first : column + last]
                z = src[min(place + 3 * hop, end), column + first : column + last]
                s = Q[i, l]
                t = Q[i, l + 1] if l + 1 < b else 0 * s
                u = Q[i, l + 2] if l + 2 < b else 0 * s
                v = Q[i, l + 3] if l + 3 < b else 0 * s
                if l == 0:
                    for j in range(target.size):
                        target[j] = (s * w[j] + t * x[j]) + (u * y[j] + v * z[j])
                else:
                    for j in range(target.size):
                        target[j] += (s * w[j] + t * x[j]) + (u * y[j] + v * z[j])


@_sums
def _residual(
    Q: Array,
    m: int,
    src: Array,
    row: int,
    hop: int,
    column: int,
    b: int,
    c: int,
    dst: Array,
    out: int,
    step: int,
) -> float:
    """Squared norm of ``B - Qᴴ Y``, Y what `_product` wrote."""
    square = 0.0
    for l in range(b):
        x = src[row + l * hop, column : column + c]
        for first in range(0, c, _RUN):
            rest = x[first : first + _RUN].copy()
            for i in range(m):
                s, y = np.conj(Q[i, l]), dst[out + i * step, first : first + _RUN]
                for j in range(rest.size):
                    rest[j] -= s * y[j]
            square += _square(rest)
    return square


@_exact
def _turn(X: Array, i: int, l: int, n: int, u: Any, v: Any) -> None:
    """Rotate rows i and l: the new row i is ``conj(u) X[i] + conj(v) X[l]``."""
    for j in range(n):
        x, y = X[i, j], X[l, j]
        X[i, j] = np.conj(u) * x + np.conj(v) * y
        X[l, j] = u * y - v * x


# What sees no more than Gram matrices, in double precision, is compiled once for both precisions.
@_exact
def _diagonalize(G: Array, n: int, Q: Array, floor: float) -> bool:
    """Make the first n rows and columns of G diagonal, largest first, and turn Q alike; False if idle.

    By Jacobi rotations. An entry is zero where it is small beside the root of the two on the diagonal, not
    beside the largest: what a graded matrix has of small eigenvectors is not lost.
    """
    moved = False
    for _ in range(30):
        busy = False
        for i in range(n - 1):
            for l in range(i + 1, n):
                p, q, z = G[i, i].real, G[l, l].real, G[i, l]
                square = z.real * z.real + z.imag * z.imag
                if not max(p, q) > floor or (q <= p * (1 + 1e-9) and square <= 1e-22 * p * q):
                    continue
                u, v, _ = _top(p, q, z)
                _turn(G, i, l, n, u, v)
                for j in range(n):
                    x, y = G[j, i], G[j, l]
                    G[j, i] = u * x + v * y
                    G[j, l] = np.conj(u) * y - np.conj(v) * x
                _turn(Q, i, l, Q.shape[1], u, v)
                busy = moved = True
        if not busy:
            break
    return moved


@_exact
def _multiply(Q: Array, G: Array, m: int, b: int, Z: Array) -> None:
    """``Z = Q G``, of the first m rows of Q and b of G."""
    for i in range(m):
        Z[i] = 0
        for l in range(b):
            q, g, z = Q[i, l], G[l], Z[i]
            for j in range(b):
                z[j] += q * g[j]


@_sums
def _polish(
    src: Array,
    row: int,
    hop: int,
    column: int,
    b: int,
    c: int,
    m: int,
    dst: Array,
    out: int,
    step: int,
    noise: Array,
    Q: Array,
) -> None:
    """Turn the first m rows of Q, whose product with B is in dst, once more: by B, which is not squared."""
    Y = np.empty((m, c), Q.dtype)
    for i in range(m):
        for j in range(c):
            Y[i, j] = dst[out + i * step, j]
        _orthonormalize(Y, i, noise)
    for i in range(m):
        y = Y[i]
        for l in range(b):
            x, total = src[row + l * hop, column : column + c], 0 * y[0]
            for j in range(c):
                total += np.conj(x[j]) * y[j]
            Q[i, l] = total
        _orthonormalize(Q, i, noise)


@_part
def _refine(
    src: Array,
    row: int,
    hop: int,
    column: int,
    b: int,
    c: int,
    m: int,
    floor: float,
    spare: int,
    ro: Array,
    rw: Array,
    G: Array,
    Q: Array,
) -> float:
    """Turn Q into singular vectors of B to relative accuracy; the sum of squares of all but m values.

    The Gram matrix of a graded ``Q B`` knows its small rows, too. Rows of `rw` from `spare` on are used.
    """
    J = np.empty((b, b), Q.dtype)
    P = np.empty((b, b), src.dtype)
    for i in range(b):
        for l in range(b):
            Q[i, l] = 1 if i == l else 0
        for j in range(c):
            rw[spare + i, j] = src[row + i * hop, column + j]
    here, there = spare, spare + b
    start = 0 * hop
    next_row = start + 1
    for _ in range(6):
        _gram(ro, here, next_row, start, b, c, G)
        for i in range(b):
            for l in range(b):
                J[i, l] = 1 if i == l else 0
        if not _diagonalize(G, b, J, floor):
            break
        for i in range(b):
            for l in range(b):
                P[i, l] = J[i, l]
        _product(P, b, ro, here, next_row, start, b, c, rw, there, next_row)
        here, there = there, here
        _multiply(J, Q.copy(), b, b, Q)
    square = 0.0
    for i in range(m, b):
        square += G[i, i].real
    return square


@_part
def _cut(
    src: Array,
    row: int,
    hop: int,
    column: int,
    b: int,
    c: int,
    r: int,
    dst: Array,
    out: int,
    step: int,
    eps: float,
    noise: Array,
    turns: Array,
    spare: int,
    ro: Array,
    rw: Array,
    G: Array,
    Q: Array,
) -> float:
    """Cut one block B: Uᴴ, with r rows, goes to Q, ``Uᴴ B`` to dst, and the tail is returned.

    B has b rows of `src`, `hop` apart, from `row` on, and c columns, from `column` on; rows of ``Uᴴ B`` go
    `step` apart.
    """
    m = min(b, c, r)
    for i in range(m, r):
        for l in range(b):
            Q[i, l] = 0
        dst[out + i * step, :c] = 0
    if m == b:
        for i in range(b):
            for l in range(b):
                Q[i, l] = 1 if i == l else 0
            for j in range(c):
                dst[out + i * step, j] = src[row + i * hop, column + j]
        return 0.0
    n, wide = min(b, c), c >= b
    # Not literals, for each of which numba would compile anew.
    start = 0 * hop
    next_row = start + 1
    if not wide:
        for i in range(c):
            for l in range(b):
                rw[spare + i, l] = np.conj(src[row + l * hop, column + i])
    # Whatever is long is called from one place, where it is compiled once more.
    _gram(
        src if wide else ro,
        row if wide else spare,
        hop if wide else next_row,
        column if wide else start,
        n,
        max(b, c),
        G,
    )
    total = 0.0
    for i in range(n):
        total += G[i, i].real
    sound = 0 < total < math.inf
    P = np.empty((m, b), src.dtype)
    V = Q if wide else np.empty((m, n), Q.dtype)
    square = total
    for i in range(m):
        for l in range(n):
            V[i, l] = 1 if i == l else 0
    if sound:
        captured, least = _leading(G, m, n, turns, V)
        square -= captured
    if not wide:
        for i in range(m):
            for l in range(c):
                dst[out + i * step, l] = V[i, l]
    # What the rounding of G can have cost, relative to all.
    loss = _EPS * _EPS * total
    for attempt in range(3):
        if attempt == 2:
            square = _refine(src, row, hop, column, b, c, m, 16 * eps * eps * total, spare, ro, rw, G, Q)
        elif attempt == 1 or not wide:
            _polish(src, row, hop, column, b, c, m, dst, out, step, noise, Q)
        for i in range(m):
            for l in range(b):
                P[i, l] = Q[i, l]
        _product(P, m, src, row, hop, column, b, c, dst, out, step)
        if attempt == 2 or not sound or (attempt == 0 and wide and square > _SMALL * total):
            break
        square = _residual(P, m, src, row, hop, column, b, c, dst, out, step)
        if square > _SMALL * total or square <= (4 * eps) ** 2 * total:
            break
        gap = least - square
        if gap > 0 and loss <= gap / total * ((4 * eps) ** 2 * total + _EXCESS * square):
            break
        if attempt == 0 and gap > 0:
            loss *= (square / least) ** 2
    return math.sqrt(max(square, 0.0))
