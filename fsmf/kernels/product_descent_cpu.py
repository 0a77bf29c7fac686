"""Quasi-Newton descent on the values of a product's factors, compiled.

Matrices are transposed and worked on in strips of a few of A's rows, so that each entry of a factor adds a
multiple of one contiguous piece to another, and what is needed of all prefixes stays in a cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["STRIP", "descend", "value_and_gradient"]

Array = NDArray[Any]

# Rows of A that are worked on at a time.
STRIP = 32

# A step must gain this share of what the slope promises, and leave no more than that share of the slope.
_ARMIJO, _WOLFE = 1e-4, 0.9

# How many points of a line are tried, and after how many the first that is good enough is taken.
_TRIALS, _ENOUGH = 20, 8

# A start has converged when so many steps in a row gain less than was asked for.
_PATIENCE = 3

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_sums
def value_and_gradient(z: Array, problem: tuple[Any, ...], g: Array) -> float:
    """The objective at z, and into g its gradient; the twin of `product_descent.value_and_gradient`.

    The problem is what `ValuesProblem.compiled` lays out: A and the weights are transposed, prefix s,
    transposed, is kept in P from row ``tops[s]`` on, and D is what is pulled back from the residual, before
    and after a factor.
    """
    A, weights, ridge, frozen, rows, columns, ends, tops, P, D = problem
    L, (n, m) = len(ends) - 1, A.shape
    weighted, value = weights.size > 0, 0.0
    for e in range(z.size):
        value += ridge * (z[e] * np.conj(z[e])).real
        g[e] = ridge * z[e]
    for start in range(0, m, STRIP):
        width = min(STRIP, m - start)
        P[tops[1] : tops[2], :width] = 0
        for e in range(ends[0], ends[1]):
            if start <= rows[e] < start + width:
                P[tops[1] + columns[e], rows[e] - start] += z[e]
        for s in range(1, L):
            P[tops[s + 1] : tops[s + 2], :width] = 0
            for e in range(ends[s], ends[s + 1]):
                x, a, b = z[e], tops[s] + rows[e], tops[s + 1] + columns[e]
                for k in range(width):
                    P[b, k] += x * P[a, k]
        here = 0
        for j in range(n):
            for k in range(width):
                pulled = P[tops[L] + j, k] - A[j, start + k]
                square = (pulled * np.conj(pulled)).real
                if weighted:
                    square *= weights[j, start + k]
                    pulled *= weights[j, start + k]
                value += square
                D[0, j, k] = pulled
        for s in range(L - 1, 0, -1):
            there = 1 - here
            D[there, : tops[s + 1] - tops[s], :width] = 0
            for e in range(ends[s], ends[s + 1]):
                x, a, b, c = np.conj(z[e]), rows[e], columns[e], tops[s] + rows[e]
                met = 0 * x
                for k in range(width):
                    met += np.conj(P[c, k]) * D[here, b, k]
                g[e] += met
                for k in range(width):
                    D[there, a, k] += x * D[here, b, k]
            here = there
        for e in range(ends[0], ends[1]):
            if start <= rows[e] < start + width:
                g[e] += D[here, columns[e], rows[e] - start]
    for e in range(z.size):
        g[e] = 0 if frozen[e] else 2 * g[e]
    return value


@_sums
def _inner(a: Array, b: Array) -> float:
    """The real part of the inner product."""
    total = 0.0
    for i in range(a.size):
        total += (np.conj(a[i]) * b[i]).real
    return total


@_sums
def _direct(g: Array, S: Array, Y: Array, curvatures: Array, count: int, d: Array, shares: Array) -> None:
    """Put into d where the last pairs of steps S and changes Y of the gradient say to go."""
    h, first = len(curvatures), max(0, count - len(curvatures))
    for i in range(g.size):
        d[i] = -g[i]
    for k in range(count - 1, first - 1, -1):
        j = k % h
        shares[j] = _inner(S[j], d) / curvatures[j]
        for i in range(g.size):
            d[i] -= shares[j] * Y[j, i]
    if count:
        j = (count - 1) % h
        scale = curvatures[j] / _inner(Y[j], Y[j])
        for i in range(g.size):
            d[i] *= scale
    for k in range(first, count):
        j = k % h
        share = shares[j] - _inner(Y[j], d) / curvatures[j]
        for i in range(g.size):
            d[i] += share * S[j, i]


@_sums
def descend(
    z: Array,
    value: float,
    g: Array,
    memory: tuple[Array, Array, Array],
    count: int,
    problem: tuple[Any, ...],
    steps: int,
    rtol: float,
    floor: float,
) -> tuple[float, int, int, bool]:
    """Make so many steps of L-BFGS from z, in place.

    Returns the value, how many pairs the memory was given, how many steps were made, and whether another one
    would gain next to nothing. No step raises the value. The memory holds the last steps, the changes of the
    gradient over them, and the products of both.
    """
    S, Y, curvatures = memory
    h, d, shares = len(curvatures), np.empty_like(z), np.empty(len(curvatures))
    tried, gradient, idle = np.empty_like(z), np.empty_like(z), 0
    for step in range(steps):
        if value <= floor:
            return value, count, step, True
        _direct(g, S, Y, curvatures, count, d, shares)
        slope = _inner(g, d)
        found, t = np.inf, 1.0
        if slope < 0:
            if not count:
                # Where the value is a square, this halves its root.
                t = min(1.0, -0.5 * value / slope)
            low, high, at_low, slope_low = 0.0, 0.0, value, slope
            for trial in range(_TRIALS):
                for i in range(z.size):
                    tried[i] = z[i] + t * d[i]
                found = value_and_gradient(tried, problem, gradient)
                if not found <= value + _ARMIJO * t * slope:
                    # The parabola through both ends, or the middle.
                    width, high = t - low, t
                    bend, share = found - at_low - slope_low * width, 0.5
                    if 0 < bend < np.inf:
                        share = min(max(-0.5 * slope_low * width / bend, 0.1), 0.9)
                    t = low + share * width
                    continue
                here = _inner(gradient, d)
                if not here < _WOLFE * slope or trial >= _ENOUGH:
                    break
                low, at_low, slope_low = t, found, here
                t = 0.5 * (low + high) if high else 2 * t
        if not found < value:
            # Once more along the gradient; and then nothing is left to gain.
            if not count:
                return value, count, step, True
            count = 0
            continue
        j = count % h
        for i in range(z.size):
            S[j, i], Y[j, i] = tried[i] - z[i], gradient[i] - g[i]
            z[i], g[i] = tried[i], gradient[i]
        curvatures[j] = _inner(S[j], Y[j])
        if curvatures[j] > 1e-14 * _inner(S[j], S[j]):
            count += 1
        idle = 0 if value - found > rtol * found else idle + 1
        value = found
        if idle >= _PATIENCE:
            return value, count, step + 1, True
    return value, count, steps, False
