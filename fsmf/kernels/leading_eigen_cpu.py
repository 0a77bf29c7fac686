"""Leading eigenvectors of small Hermitian matrices, a few at less cost than all.

``T = Hᴴ G H`` is real and tridiagonal, H a product of Householder reflections. QL sweeps make T diagonal from
its first row on; with a shift just above the largest eigenvalue, that one comes first. Their rotations are
noted, and applied to the vectors that are asked for alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__: list[str] = []

Array = NDArray[Any]

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_exact = njit(cache=True, nogil=True, error_model="numpy")
# Called from one place alone, and compiled there.
_part = njit(inline="always", error_model="numpy")


@_sums
def _tridiagonalize(G: Array, n: int, d: Array, e: Array, tau: Array, work: Array) -> None:
    """Diagonals d and e of ``Hᴴ G H``; rows of G keep the conjugate vectors v of the ``1 - τ v vᴴ`` in H."""
    for j in range(n - 1):
        d[j], v = G[j, j].real, G[j, j + 1 : n]
        first, square = np.conj(v[0]), 0.0
        for l in range(1, v.size):
            square += v[l].real * v[l].real + v[l].imag * v[l].imag
        e[j], tau[j] = first.real, 0
        if square == 0 and first.imag == 0:
            continue
        length = math.sqrt(first.real * first.real + first.imag * first.imag + square)
        e[j] = beta = -math.copysign(length, first.real)
        tau[j] = t = (beta - first) / beta
        scale = 1 / (v[0] - beta)
        for l in range(v.size):
            v[l] *= scale
        v[0] = 1
        # G - v wᴴ - w vᴴ is what reflections from both sides make of G.
        w = work[: v.size]
        w[:] = 0
        for i in range(v.size):
            x, row = v[i], G[j + 1 + i, j + 1 : n]
            for l in range(w.size):
                w[l] += x * row[l]
        inner = 0.0
        for l in range(w.size):
            w[l] *= np.conj(t)
            inner += (v[l] * np.conj(w[l] * t)).real
        for l in range(w.size):
            w[l] -= 0.5 * inner * v[l]
        for i in range(v.size):
            x, y, row = np.conj(v[i]), np.conj(w[i]), G[j + 1 + i, j + 1 : n]
            for l in range(w.size):
                row[l] -= x * w[l] + y * v[l]
    d[n - 1] = G[n - 1, n - 1].real


@_exact
def _step_down(d: Array, e: Array, low: int, n: int, x: float) -> float:
    """Laguerre's step from x down to the largest eigenvalue of T[low:n, low:n]; negative if x is below."""
    q, t, g, h, first, second = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(low, n):
        # The pivots q of x - T, and their derivatives: all are positive as long as x is above.
        if i > low:
            t = e[i - 1] * e[i - 1] / q
        q = x - d[i] - t
        if not q > 0:
            return -1.0
        g, h = (1 + t * g) / q, t * (h - 2 * g * g) / q
        first += g
        second += g * g - h
    k = n - low
    return k / (first + math.sqrt((k - 1) * max(k * second - first * first, 0.0)))


@_part
def _sweep(d: Array, e: Array, low: int, high: int, shift: float, turns: Array, count: int) -> None:
    """One implicit QL sweep over T[low : high + 1], rotations noted from `count` on."""
    g, s, c, p = d[high] - shift, 1.0, 1.0, 0.0
    for i in range(high - 1, low - 1, -1):
        f, b = s * e[i], c * e[i]
        r = math.sqrt(f * f + g * g)
        e[i + 1] = r
        s, c = (f / r, g / r) if r > 0 else (0.0, 1.0)
        g = d[i + 1] - p
        h = (d[i] - g) * s + 2 * c * b
        p = s * h
        d[i + 1] = g + p
        g = c * h - b
        turns[count, 0], turns[count, 1], turns[count, 2] = i, c, s
        count += 1
    d[low] -= p
    e[low] = g
    e[high] = 0.0


@_exact
def _eigenvalues(d: Array, e: Array, n: int, order: Array, turns: Array) -> int:
    """Put the places of the largest eigenvalues in order, in d; return the number of rotations."""
    m, count, scale = order.size, 0, 0.0
    e[n - 1] = 0.0
    for i in range(n):
        scale = max(scale, abs(d[i]), abs(e[i]))
    small = 1e-16 * scale
    for low in range(n + 1):
        if low >= m:
            for i in range(m):
                best, above = -1, order[i - 1] if i else 0
                for j in range(low):
                    if (best < 0 or d[j] > d[best]) and (
                        i == 0 or d[j] < d[above] or (d[j] == d[above] and j > above)
                    ):
                        best = j
                order[i] = best
            # A shift can mislead, or T fall apart: then more are found.
            if low == n or _step_down(d, e, low, n, d[order[m - 1]] + 8 * small) > 0:
                break
        x = 0.0
        for i in range(low, n):
            x = max(x, d[i] + abs(e[i]) + (abs(e[i - 1]) if i > low else 0.0))
        x += small
        for _ in range(12):
            step = _step_down(d, e, low, n, x)
            x -= max(step, 0.0)
            if step < 1e-4 * x:
                break
        first = True
        while count + n <= len(turns):
            high = low
            while abs(e[high]) > small:
                high += 1
            if high == low:
                break
            if not first:  # Wilkinson's shift
                half = 0.5 * (d[low + 1] - d[low])
                x = d[low] - e[low] * e[low] / (half + math.copysign(math.hypot(half, e[low]), half))
            _sweep(d, e, low, high, x, turns, count)
            first = False
            count += high - low
    return count


@_sums
def _apply(G: Array, n: int, m: int, tau: Array, turns: Array, count: int, Z: Array, Q: Array) -> None:
    """``Q = (H R Z)ᴴ`` with the rotations R."""
    for k in range(count - 1, -1, -1):
        i, c, s = int(turns[k, 0]), turns[k, 1], turns[k, 2]
        x, y = Z[i], Z[i + 1]
        for j in range(m):
            f, g = x[j], y[j]
            x[j] = c * f + s * g
            y[j] = c * g - s * f
    for i in range(m):
        for j in range(n):
            Q[i, j] = Z[j, i]
    for j in range(n - 2, -1, -1):
        v, t = G[j, j + 1 : n], np.conj(tau[j])
        for i in range(m):
            q = Q[i, j + 1 : n]
            inner = 0 * t
            for l in range(v.size):
                inner += np.conj(v[l]) * q[l]
            inner *= t
            for l in range(v.size):
                q[l] -= inner * v[l]


@_part
def _leading(G: Array, m: int, n: int, turns: Array, Q: Array) -> tuple[float, float]:
    """Put the conjugate leading eigenvectors of G in m rows of Q; the sum and the least of their eigenvalues.

    The first n rows and columns of G are overwritten.
    """
    d, e, order, Z = np.empty(n), np.empty(n), np.empty(m, np.intp), np.zeros((n, m))
    tau, work = np.empty(n, G.dtype), np.empty(n, G.dtype)
    _tridiagonalize(G, n, d, e, tau, work)
    count = _eigenvalues(d, e, n, order, turns)
    captured = 0.0
    for i in range(m):
        captured += d[order[i]]
        Z[order[i], i] = 1
    _apply(G, n, m, tau, turns, count, Z, Q)
    return captured, d[order[m - 1]]
