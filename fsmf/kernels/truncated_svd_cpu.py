"""Numba twin of `fsmf.kernels.truncated_svd`: each block is gathered once and finished in the cache.

A block B, its shorter side first, is met by Golub–Kahan–Lanczos bidiagonalisation with full
reorthogonalisation: n steps give orthonormal rows ``left`` (columns of U) and ``right`` (rows of Vᴴ) with
``conj(left) B = L right`` and ``B rightᴴ = leftᵀ L + β left[n]ᵀ eₙᵀ``, where L is real, lower bidiagonal,
n × n. The few steps that the leading singular values need cost two products with B each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.threads import in_parallel, n_threads

__all__ = ["truncated_svd"]

Array = NDArray[Any]

# Most steps: these, an eighth of the shorter side, and two for each value. More cost as much as LAPACK, to
# which the block is handed back.
_STEPS = 64

# What may be captured short of the best, relative to the square of the tail.
_EXCESS = 1e-10

# The largest value of a distribution is within 1/√weight deviations of the mean; a random start gives each
# singular vector of a block of 64 rows about 1/64 of its weight.
_SPREAD = 8.0

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
_exact = njit(cache=True, nogil=True)


@_sums
def _square(x: Array) -> float:
    """Squared length of a vector."""
    total = 0.0
    for i in range(x.size):
        total += x[i].real * x[i].real + x[i].imag * x[i].imag
    return total


@_sums
def _times_right(B: Array, right: Array, left: Array) -> None:
    """``left = B conj(right)``."""
    for i in range(B.shape[0]):
        total = B.dtype.type(0)
        for j in range(B.shape[1]):
            total += B[i, j] * np.conj(right[j])
        left[i] = total


@_sums
def _times_left(B: Array, left: Array, right: Array) -> None:
    """``right = conj(left) B``, four rows at a time to spare loads and stores of the sum."""
    right[:] = 0
    for i in range(0, B.shape[0] - 3, 4):
        w, x, y, z = np.conj(left[i]), np.conj(left[i + 1]), np.conj(left[i + 2]), np.conj(left[i + 3])
        for j in range(B.shape[1]):
            right[j] += (w * B[i, j] + x * B[i + 1, j]) + (y * B[i + 2, j] + z * B[i + 3, j])
    for i in range(B.shape[0] // 4 * 4, B.shape[0]):
        x = np.conj(left[i])
        for j in range(B.shape[1]):
            right[j] += x * B[i, j]


@_sums
def _orthonormalize(rows: Array, n: int, noise: Array) -> float:
    """Orthonormalise row n against those above; its length on the way, 0 where noise had to replace it."""
    x = rows[n]
    length = math.sqrt(_square(x))
    rounding, replaced = 1e-20 * length, False
    # Again where much of the length was lost: the errors of a row that keeps 0.8 of it fade in those below.
    for _ in range(8):
        before = length
        for i in range(n):
            product = x.dtype.type(0)
            for j in range(x.size):
                product += x[j] * np.conj(rows[i, j])
            for j in range(x.size):
                x[j] -= product * rows[i, j]
        length = math.sqrt(_square(x))
        if length > 0.8 * before:
            break
        if not length > rounding:
            rounding, replaced = 0.0, True
            for j in range(x.size):
                x[j] = noise[n, j]
            length = math.sqrt(_square(x))
    for j in range(x.size):
        x[j] *= 1 / length
    return 0.0 if replaced else length


@_exact
def _rotate(X: Array, i: int, n: int, cosine: float, sine: float) -> None:
    """Rotate rows i and i + 1."""
    for j in range(n):
        x, y = X[i, j], X[i + 1, j]
        X[i, j] = cosine * x + sine * y
        X[i + 1, j] = cosine * y - sine * x


@_exact
def _givens(f: float, g: float) -> tuple[float, float, float]:
    """Cosine, sine and length of (f, g)."""
    r = math.sqrt(f * f + g * g)
    return (f / r, g / r, r) if r > 0 else (1.0, 0.0, 0.0)


@_exact
def _diagonalize(
    diagonal: Array, above: Array, n: int, k: int, d: Array, e: Array, P: Array, Q: Array
) -> bool:
    """Make ``P M Qᵀ = diag(d)``, M upper bidiagonal, n × n, the leading k first; False if it fails.

    Implicitly shifted QR, to an absolute accuracy of rounding; e is what remains above d.
    """
    P[:n, :n] = 0
    Q[:n, :n] = 0
    small = 0.0
    for i in range(n):
        P[i, i] = Q[i, i] = 1
        d[i], e[i] = diagonal[i], above[i]
        small = max(small, 1e-16 * abs(d[i]), 1e-16 * abs(e[i]) if i + 1 < n else 0.0)
    high = n - 1
    for _ in range(30 * n):
        while high > 0 and abs(e[high - 1]) <= small:
            high -= 1
        if high <= 0:
            break
        low = high - 1
        singular = abs(d[high]) <= small or abs(d[low]) <= small
        while low > 0 and abs(e[low - 1]) > small:
            low -= 1
            singular |= abs(d[low]) <= small
        f, g = d[low], e[low]
        if not singular:  # else only an unshifted sweep splits the zero off
            corner = d[high] ** 2 + e[high - 1] ** 2
            half = 0.5 * (d[high - 1] ** 2 + (e[high - 2] ** 2 if high - 2 >= low else 0.0) - corner)
            side = d[high - 1] * e[high - 1]
            f -= (corner - side**2 / (half + math.copysign(math.hypot(half, side), half))) / d[low]
        for i in range(low, high):
            cosine, sine, r = _givens(f, g)
            if i > low:
                e[i - 1] = r
            f, g = cosine * d[i] + sine * e[i], sine * d[i + 1]
            e[i] = cosine * e[i] - sine * d[i]
            d[i + 1] *= cosine
            _rotate(Q, i, n, cosine, sine)
            cosine, sine, d[i] = _givens(f, g)
            f = cosine * e[i] + sine * d[i + 1]
            d[i + 1] = cosine * d[i + 1] - sine * e[i]
            _rotate(P, i, n, cosine, sine)
            if i + 1 < high:
                g = sine * e[i + 1]
                e[i + 1] *= cosine
        e[high - 1] = f
    for i in range(min(k, n)):
        best = i
        for j in range(i + 1, n):
            if abs(d[j]) > abs(d[best]):
                best = j
        d[i], d[best] = d[best], d[i]
        sign = math.copysign(1.0, d[i])
        d[i] *= sign
        for j in range(n):
            P[i, j], P[best, j] = P[best, j], P[i, j]
            Q[i, j], Q[best, j] = Q[best, j], Q[i, j]
            Q[i, j] *= sign
    return high <= 0


@_exact
def _bidiagonalize(
    B: Array, total: float, k: int, eps: float, ceiling: float, noise: Array, work: tuple[Array, ...]
) -> int:
    """Take Lanczos steps until the leading k values are right, and return their number; 0 if it fails.

    With a positive ceiling: until the largest is seen to be below it; 0 if it is not.

    Each value s found, ``conj(left) B = s right``, has a residual ``r = ‖B rightᴴ - s left‖``. Where the tail
    proves a gap, its square falls short by at most ``(s r)² / (s² - tail²)`` (Kato–Temple). Else s is within
    r of some singular value, and of the largest within _SPREAD r. The next value found proves no gap: it
    may be the third, with a near copy of the first unseen.
    """
    left, right, alpha, beta, d, e, P, Q = work
    for i in range(B.shape[0]):
        left[0, i] = noise[0, i]
    check, last, previous = k + 1, 0, 0.0
    for j in range(len(alpha)):
        n = j + 1
        _times_left(B, left[j], right[j])
        alpha[j] = _orthonormalize(right, j, noise)
        beta[j] = 0.0
        if n < B.shape[0]:
            _times_right(B, right[j], left[n])
            beta[j] = _orthonormalize(left, n, noise)
        if n < k or (n < check and n < len(alpha) and beta[j] > 0):
            continue
        if not _diagonalize(alpha, beta, n, k, d, e, P, Q):
            return 0
        if ceiling > 0:
            if d[0] > ceiling:
                return 0
            if d[0] + _SPREAD * beta[j] * abs(P[0, j]) <= ceiling:
                return n
            check = n + n // 2
            continue
        tail, rounding = total, 1e-14 * total
        for i in range(k):
            tail -= d[i] ** 2
        excess, allowed = 0.0, _EXCESS * max(tail - rounding, 0.0)
        for i in range(k):
            r, gap = beta[j] * abs(P[i, j]), d[i] ** 2 - tail - rounding
            if r > 16 * eps * d[0]:
                excess += min(2 * _SPREAD * d[i] * r, (r * d[i]) ** 2 / gap if gap > 0 else math.inf)
        if excess <= allowed:
            return n
        # Convergence is linear, once it has begun; a check costs as much as a few steps.
        ahead = 1.0 if last == 0 else float(n)
        if allowed > 0 and excess < previous:
            ahead = (n - last) * math.log(allowed / excess) / math.log(excess / previous)
        check, last, previous = n + int(min(max(ahead, 1.0), n)), n, excess
    return 0


@_exact
def _combine(weights: Array, n: int, rows: Array, out: Array) -> None:
    """``out = weights rows``, of the first n rows."""
    for i in range(out.shape[0]):
        for l in range(out.shape[1]):
            out[i, l] = 0
        for j in range(n):
            for l in range(out.shape[1]):
                out[i, l] += weights[i, j] * rows[j, l]


@_sums
def _deflate(B: Array, left: Array, s: Array, right: Array) -> float:
    """Subtract the pieces found from B; the squared norm of what remains."""
    total = 0.0
    for i in range(B.shape[0]):
        for j in range(left.shape[0]):
            x = s[j] * left[j, i]
            for l in range(B.shape[1]):
                B[i, l] -= x * right[j, l]
        total += _square(B[i])
    return total


@_exact
def _gather(A: Array, rows: Array, columns: Array, B: Array) -> None:
    """Copy one block of A into B, its shorter side first."""
    # Only a slice is known to hold no index that counts from the end, and so copied in vectors.
    run = A[:, columns[0] : columns[0] + columns.size]
    contiguous = run.shape[1] == columns.size
    for j in range(columns.size):
        contiguous &= columns[j] == columns[0] + j
    for i in range(rows.size):
        if rows.size > columns.size:
            for j in range(columns.size):
                B[j, i] = A[rows[i], columns[j]]
        elif contiguous:
            source, target = run[rows[i]], B[i]
            for j in range(target.size):
                target[j] = source[j]
        else:
            for j in range(columns.size):
                B[i, j] = A[rows[i], columns[j]]


@_exact
def _normalize(B: Array) -> int:
    """Divide B by a power of two where squares of its entries could overflow or vanish; its exponent."""
    exponent = 0
    if not 1e-200 < _square(B.reshape(-1)) < 1e200:
        peak = 0.0
        for x in B.flat:
            peak = max(peak, abs(x.real), abs(x.imag))
        if 0 < peak < math.inf:
            exponent = math.frexp(peak)[1]
            # In two steps: the factor itself may be out of range.
            B *= 2.0 ** (-exponent // 2)
            B *= 2.0 ** (-exponent - (-exponent // 2))
    return exponent


@_exact
def _solve(
    A: Array,
    rows: Array,
    columns: Array,
    order: Array,
    eps: float,
    noise: Array,
    U: Array,
    s: Array,
    Vh: Array,
    tails: Array,
    solved: Array,
) -> None:
    """Decompose the blocks named by `order`, U on the shorter side, and mark those that are solved."""
    k = s.shape[1]
    b, c = U.shape[2], Vh.shape[2]
    steps = len(noise) - 2
    B = np.empty((b, c), noise.dtype)
    left, right, values = np.empty((k, b), noise.dtype), np.empty((k, c), noise.dtype), np.empty(k)
    work = (
        np.empty((steps + 1, b), noise.dtype),
        np.empty((steps, c), noise.dtype),
        np.empty(steps),
        np.empty(steps),
        np.empty(steps),
        np.empty(steps),
        np.empty((steps, steps)),
        np.empty((steps, steps)),
    )
    for t in order:
        _gather(A, rows[t], columns[t], B)
        exponent = _normalize(B)
        total = _square(B.reshape(-1))
        n = _bidiagonalize(B, total, k, eps, 0.0, noise, work) if total < math.inf else 0
        if n == 0:
            continue
        _combine(work[7], n, work[0], left)
        _combine(work[6], n, work[1], right)
        for i in range(k):
            values[i] = work[4][i]
        square = _deflate(B, left, values, right)
        tail = math.sqrt(square)
        # One start finds one vector of a multiple singular value: what is left may hold another.
        if k > 1 and tail > values[k - 1] and tail > 16 * eps * values[0]:
            ceiling = values[k - 1] * (1 + 1e-10 + 16 * eps)
            if _bidiagonalize(B, square, k, eps, ceiling, noise[1:], work) == 0:
                continue
        for i in range(k):
            s[t, i] = math.ldexp(values[i], exponent)
            for j in range(b):
                U[t, i, j] = left[i, j]
            for j in range(c):
                Vh[t, i, j] = right[i, j]
        tails[t] = math.ldexp(tail, exponent)
        solved[t] = True


def truncated_svd(
    A: Array, rows: Array, columns: Array, k: int
) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    """Decompose the blocks ``A[np.ix_(rows[t], columns[t])]``, on as many threads as numba may use.

    Parameters
    ----------
    A : ndarray of shape (m, n)
        float32, float64, complex64 or complex128, C-contiguous.
    rows, columns : ndarray of intp, shapes (n_blocks, b) and (n_blocks, c)
        Within the shape of A: nothing is checked here.
    k : int
        Number of singular values, from 1 to min(b, c).

    Returns
    -------
    U, s, Vh, tails : ndarray
        As of the plain function, without what could not be solved.
    solved : ndarray of bool, shape (n_blocks,)
        Which blocks these are right for. The others have a leading singular value more than once, or too many
        too close to be told apart in few steps, or entries that are not finite.
    """
    (n_blocks, b), c = rows.shape, columns.shape[1]
    steps = min(b, c, _STEPS + min(b, c) // 8 + 2 * k)
    noise = np.random.default_rng(0).standard_normal((steps + 2, max(b, c)))
    noise /= np.linalg.norm(noise[:, : min(b, c)], axis=1, keepdims=True)
    noise = noise.astype(np.result_type(A.dtype, np.float64))
    U, Vh = np.empty((n_blocks, k, b), A.dtype), np.empty((n_blocks, k, c), A.dtype)
    s, tails = np.empty((n_blocks, k)), np.empty(n_blocks)
    solved = np.zeros(n_blocks, dtype=np.bool_)
    A, rows, columns = A.view(), rows.view(), columns.view()
    for given in (A, rows, columns):  # compiled once, for what may be written and what may not
        given.flags.writeable = False

    eps = float(np.finfo(A.dtype).eps)
    short, long = (U, Vh) if b <= c else (Vh, U)

    def solve(order: Array) -> None:
        _solve(A, rows, columns, order, eps, noise, short, s, long, tails, solved)

    # Neighbours in this order read the same rows of A, one after the other.
    order = np.lexsort((columns[:, 0], rows[:, 0]))
    in_parallel(solve, np.array_split(order, min(8 * n_threads(), n_blocks)))
    return np.swapaxes(U, 1, 2), s, Vh, tails, solved
