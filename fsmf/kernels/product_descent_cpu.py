"""Quasi-Newton descent on the values of a product's factors, compiled.

Matrices are transposed and worked on in strips of a few of A's rows, a short vector for each column: that of
a product is a sum of vectors of its left factor, and what is needed of all prefixes stays in a cache.
Complex numbers are pairs of real ones but in those vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.lanes_cpu import add, conjugate, load, size_of, store, total, zeros

__all__ = ["descend", "invert_curvatures", "value_and_gradient"]

Array = NDArray[Any]

# A step must gain this share of what the slope promises, and leave no more than that share of the slope.
_ARMIJO, _WOLFE = 1e-4, 0.9

# How many points of a line are tried, and after how many the first that is good enough is taken.
_TRIALS, _ENOUGH = 20, 8

# Curvatures are taken anew after so many steps, and damped by this share of the largest.
_FRESH, _DAMPING = 10, 1e-3

# A start has converged when so many steps in a row gain less than was asked for.
_PATIENCE = 3

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_sums
def _multiply(z: Array, problem: tuple[Any, ...], begin: int, end: int, nil: Any) -> None:
    """Put into P some rows of all prefixes."""
    one, _, _, _, _, starts, columns, ends, order, lefts, tops, P, _ = problem
    row, step, at_z, at_P = size_of(nil), size_of(one), np.intp(z.ctypes.data), np.intp(P.ctypes.data)
    P[: tops[2]] = 0
    for i in range(begin, end):
        for e in range(starts[i], starts[i + 1]):
            for plane in range(P.shape[1]):
                P[columns[e], plane, i - begin] = z[P.shape[1] * e + plane]
    for j in range(tops[2], len(P)):
        made = nil
        for k in range(ends[j], ends[j + 1]):
            made = add(made, load(at_z + order[k] * step, one), load(at_P + lefts[k] * row, nil))
        store(at_P + j * row, made)


@_sums
def value_and_gradient(z: Array, problem: tuple[Any, ...], g: Array) -> float:
    """The objective at z, and into g its gradient; the twin of `product_descent.value_and_gradient`.

    The problem is what `ValuesProblem.compiled` lays out. D is what is pulled back from the residual, before
    and after a factor.
    """
    one, A, weights, ridge, free, starts, columns, _, _, _, tops, P, D = problem
    nil = zeros(0 * one, one, 256)
    row, step = size_of(nil), size_of(one)
    planes, lanes = P.shape[1:]
    n, L = A.shape[1], len(tops) - 2
    m = len(starts) - 1 - tops[L]
    at_z, at_g, at_A = np.intp(z.ctypes.data), np.intp(g.ctypes.data), np.intp(A.ctypes.data)
    at_weights, at_P, at_D = np.intp(weights.ctypes.data), np.intp(P.ctypes.data), np.intp(D.ctypes.data)
    g[:] = 0
    squares = nil
    for strip in range(len(A)):
        begin, end = strip * lanes, min(m, (strip + 1) * lanes)
        _multiply(z, problem, begin, end, nil)
        here, there = at_D, at_D + D.shape[1] * row
        for j in range(n):
            own = (strip * n + j) * row
            rest = add(load(at_A + own, nil), one, load(at_P + (tops[L] + j) * row, nil))
            pulled = rest
            if len(weights):
                pulled = add(nil, load(at_weights + own, nil), rest)
            squares = add(squares, conjugate(pulled), rest)
            store(here + j * row, pulled)
        for s in range(L - 1, 0, -1):
            for i in range(tops[s], tops[s + 1]):
                left, pulled = conjugate(load(at_P + i * row, nil)), nil
                for e in range(starts[m + i], starts[m + i + 1]):
                    right = load(here + columns[e] * row, nil)
                    pulled = add(pulled, np.conj(load(at_z + e * step, one)), right)
                    at = at_g + e * step
                    store(at, load(at, one) + total(add(nil, left, right)))
                store(there + (i - tops[s]) * row, pulled)
            here, there = there, here
        for i in range(begin, end):
            for e in range(starts[i], starts[i + 1]):
                for plane in range(planes):
                    g[planes * e + plane] = D[(L - 1) % 2, columns[e], plane, i - begin]
    value: float = total(squares).real
    for i in range(z.size):
        value += ridge * z[i] * z[i]
        g[i] = 2 * (g[i] + ridge * z[i]) if free[i] else 0.0
    return value


@_sums
def invert_curvatures(z: Array, problem: tuple[Any, ...], inverses: Array) -> None:
    """Put into inverses those of the squared norms of the product's derivatives, which are damped.

    For an entry (i, j) of a factor that is column i of what is left of it times row j of what is right.
    """
    one, A, _, ridge, _, starts, columns, _, _, _, tops, P, D = problem
    nil = zeros(0 * one, one, 256)
    row, step, at_z, at_D = size_of(nil), size_of(one), np.intp(z.ctypes.data), np.intp(D.ctypes.data)
    planes, lanes = P.shape[1:]
    n, L = A.shape[1], len(tops) - 2
    m = len(starts) - 1 - tops[L]
    left, right = np.zeros(tops[L]), np.zeros(tops[L])
    for begin in range(0, m, lanes):
        _multiply(z, problem, begin, min(m, begin + lanes), nil)
        for j in range(tops[L]):
            for plane in range(planes):
                for k in range(lanes):
                    left[j] += P[j, plane, k] ** 2
    for begin in range(0, n, lanes):
        D[0] = 0
        for j in range(begin, min(n, begin + lanes)):
            D[0, j, 0, j - begin] = 1
        here, there = at_D, at_D + D.shape[1] * row
        for s in range(L - 1, 0, -1):
            for i in range(tops[s], tops[s + 1]):
                made = nil
                for e in range(starts[m + i], starts[m + i + 1]):
                    made = add(made, load(at_z + e * step, one), load(here + columns[e] * row, nil))
                right[i] += total(add(nil, conjugate(made), made)).real
                store(there + (i - tops[s]) * row, made)
            here, there = there, here
    peak = 0.0
    for s in range(L):
        for i in range(tops[s] if s else -m, tops[s + 1]):
            for e in range(starts[m + i], starts[m + i + 1]):
                j = tops[s + 1] + columns[e]
                inverse = (left[i] if s else 1.0) * (right[j] if s < L - 1 else 1.0)
                peak = max(peak, inverse)
                for plane in range(planes):
                    inverses[planes * e + plane] = inverse
    for i in range(z.size):
        inverses[i] = 1 / (inverses[i] + ridge + _DAMPING * peak)


@_sums
def _inner(a: Array, b: Array) -> float:
    """The inner product."""
    found = 0.0
    for i in range(a.size):
        found += a[i] * b[i]
    return found


@_sums
def _moved(d: Array, share: float, steps: Array, j: int, others: Array, k: int) -> float:
    """Add a multiple of step j to d, and return its inner product with row k of others."""
    found = 0.0
    for i in range(d.size):
        d[i] += share * steps[j, i]
        found += d[i] * others[k, i]
    return found


@_sums
def _direct(g: Array, memory: tuple[Array, Array, Array, Array], count: int, d: Array, shares: Array) -> None:
    """Put into d where the memory says to go: where the inverses alone lead, corrected by the last steps."""
    S, Y, curvatures, inverses = memory
    h = len(curvatures)
    first, last, met, size = max(0, count - h), (count - 1) % h, 0.0, 0.0
    for i in range(g.size):
        d[i] = -g[i]
        met += d[i] * S[last, i]
        size += inverses[i] * Y[last, i] * Y[last, i]
    if not count:
        for i in range(g.size):
            d[i] *= inverses[i]
        return
    for k in range(count - 1, first - 1, -1):
        j = k % h
        shares[j] = met / curvatures[j]
        met = _moved(d, -shares[j], Y, j, S, (k - 1) % h)
    met = 0.0
    for i in range(g.size):
        d[i] *= inverses[i] * curvatures[last] / size
        met += d[i] * Y[first % h, i]
    for k in range(first, count):
        j = k % h
        met = _moved(d, shares[j] - met / curvatures[j], S, j, Y, (k + 1) % h)


@_sums
def descend(
    z: Array,
    value: float,
    g: Array,
    memory: tuple[Array, Array, Array, Array],
    count: int,
    begun: int,
    problem: tuple[Any, ...],
    steps: int,
    rtol: float,
    floor: float,
) -> tuple[float, int, int, bool]:
    """Make so many steps of L-BFGS from z, in place.

    Returns the value, how many pairs the memory was given, how many steps were made, and whether another one
    would gain next to nothing. No step raises the value. The memory holds the last steps, the changes of the
    gradient over them, the products of both, and inverse curvatures, which are taken anew now and then: so
    many steps were made before.
    """
    S, Y, curvatures, inverses = memory
    h, d, shares = len(curvatures), np.empty_like(z), np.empty(len(curvatures))
    tried, gradient, idle = np.empty_like(z), np.empty_like(z), 0
    for step in range(steps):
        if value <= floor:
            return value, count, step, True
        if (begun + step) % _FRESH == 0:
            invert_curvatures(z, problem, inverses)
        _direct(g, memory, count, d, shares)
        slope, found, t = _inner(g, d), np.inf, 1.0
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
        j, made, curvature = count % h, 0.0, 0.0
        for i in range(z.size):
            s, y = tried[i] - z[i], gradient[i] - g[i]
            made += s * s
            curvature += s * y
            S[j, i], Y[j, i] = s, y
            z[i], g[i] = tried[i], gradient[i]
        curvatures[j] = curvature
        if curvature > 1e-14 * made:
            count += 1
        idle = 0 if value - found > rtol * found else idle + 1
        value = found
        if idle >= _PATIENCE:
            return value, count, step + 1, True
    return value, count, steps, False
