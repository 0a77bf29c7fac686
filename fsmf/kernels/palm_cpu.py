"""Numba twin of the descent in `fsmf.solvers.palm`: gradient steps and projections, factor after factor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["descend"]

Array = NDArray[Any]

# As in the plain twin.
_SQUARINGS = 3


@njit(cache=True, nogil=True)
def _least_kept(size: Array, n: int, k: int) -> float:
    """The k-th largest of the first n numbers, which are put in another order (quickselect)."""
    low, high, place = 0, n - 1, k - 1
    while low < high:
        pivot = size[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while size[i] > pivot:
                i += 1
            while size[j] < pivot:
                j -= 1
            if i <= j:
                size[i], size[j] = size[j], size[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return float(size[place])


@njit(cache=True, nogil=True)
def _project(
    flat: Array, start: int, order: Array, bounds: Array, first: int, last: int, room: Array, size: Array
) -> None:
    """Keep the largest entries of each group of places, of equal ones the first."""
    for g in range(first, last):
        begin, n, k = bounds[g], bounds[g + 1] - bounds[g], room[g]
        if k >= n:
            continue
        least, equal = np.inf, 0
        if k > 0:
            for t in range(n):
                size[t] = abs(flat[start + order[begin + t]])
            least, equal = _least_kept(size, n, k), k
            for t in range(n):
                if size[t] > least:
                    equal -= 1
        for t in range(n):
            place = start + order[begin + t]
            here = abs(flat[place])
            if here == least and equal > 0:
                equal -= 1
            elif here <= least:
                flat[place] = 0


@njit(cache=True, nogil=True)
def _balance(flat: Array, last: Array, i: int, ends: Array, shapes: Array) -> None:
    """Give each column of a factor and row of the next equal norms; the last ones scale with them."""
    m, r, n = shapes[i, 0], shapes[i, 1], shapes[i + 1, 1]
    X, Y = ends[i], ends[i + 1]
    for k in range(r):
        x, y = 0.0, 0.0
        for t in range(m):
            x += abs(flat[X + t * r + k]) ** 2
        for t in range(n):
            y += abs(flat[Y + k * n + t]) ** 2
        if x > 0 and y > 0:
            scale = math.sqrt(math.sqrt(y / x))
            for t in range(m):
                flat[X + t * r + k] *= scale
                last[X + t * r + k] *= scale
            for t in range(n):
                flat[Y + k * n + t] /= scale
                last[Y + k * n + t] /= scale


@njit(cache=True, nogil=True)
def _ahead(flat: Array, last: Array, start: int, Z: Array, inertia: float) -> None:
    """Go on in the direction of the last step, and remember where this one begins."""
    t = start
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            Z[i, j] = flat[t] + inertia * (flat[t] - last[t])
            last[t] = flat[t]
            t += 1


@njit(cache=True, nogil=True)
def _step(flat: Array, start: int, Z: Array, gradient: Array, target: Array, step: float) -> None:
    t = start
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            flat[t] = Z[i, j] - step * (gradient[i, j] - target[i, j])
            t += 1


@njit(cache=True, nogil=True)
def _adjoint(X: Array) -> Array:
    Y = np.empty((X.shape[1], X.shape[0]), X.dtype)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            Y[j, i] = np.conj(X[i, j])
    return Y


@njit(cache=True, nogil=True)
def _product(X: Array, Y: Array) -> Array:
    product: Array = np.dot(X, Y)
    return product


@njit(cache=True, nogil=True)
def _norm(gram: Array) -> float:
    """At least the spectral norm, as in the plain twin."""
    bound, share = 1.0, 1.0
    for squared in range(_SQUARINGS + 1):
        if squared:
            gram = _product(gram, gram)
        size = 0.0
        for i in range(gram.shape[0]):
            for j in range(gram.shape[1]):
                size += gram[i, j].real ** 2 + gram[i, j].imag ** 2
        size = math.sqrt(size)
        if size == 0.0:
            return 0.0
        bound *= size**share
        gram, share = gram / size, share / 2
    return bound


@njit(cache=True, nogil=True)
def _distance(A: Array, B: Array) -> float:
    total = 0.0
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            total += abs(A[i, j] - B[i, j]) ** 2
    return math.sqrt(total)


@njit(cache=True, nogil=True)
def _factor(flat: Array, ends: Array, shapes: Array, i: int) -> Array:
    X: Array = flat[ends[i] : ends[i + 1]].reshape((shapes[i, 0], shapes[i, 1]))
    return X


@njit(cache=True, nogil=True)
def _sweep(
    A: Array,
    flat: Array,
    last: Array,
    shapes: Array,
    ends: Array,
    places: Any,
    room: Array,
    inertia: float,
) -> Array:
    """Move each factor once; the product."""
    order, bounds, groups, size = places
    L = len(shapes)
    rights = [A]
    for i in range(L - 1, 0, -1):
        X = _factor(flat, ends, shapes, i)
        rights.append(_product(X, rights[-1]) if i < L - 1 else X.copy())
    left = A
    for i in range(L):
        Z = np.empty((shapes[i, 0], shapes[i, 1]), A.dtype)
        _ahead(flat, last, ends[i], Z, inertia)
        gradient, target, lipschitz = Z, A, 1.0
        if i > 0:
            adjoint = _adjoint(left)
            gram = _product(adjoint, left)
            gradient, target = _product(gram, gradient), _product(adjoint, target)
            lipschitz *= _norm(gram)
        if i < L - 1:
            right = rights[L - 1 - i]
            adjoint = _adjoint(right)
            gram = _product(right, adjoint)
            gradient, target = _product(gradient, gram), _product(target, adjoint)
            lipschitz *= _norm(gram)
        _step(flat, ends[i], Z, gradient, target, 1 / lipschitz if lipschitz > 0 else 1.0)
        _project(flat, ends[i], order, bounds, groups[i], groups[i + 1], room, size)
        moved = _factor(flat, ends, shapes, i)
        left = _product(left, moved) if i > 0 else moved.copy()
    return left


@njit(cache=True, nogil=True)
def descend(
    A: Array,
    flat: Array,
    last: Array,
    best: Array,
    shapes: Array,
    places: Any,
    room: Array,
    most: Array,
    schedule: int,
    first_sweep: int,
    max_sweeps: int,
    inertia: float,
    rtol: float,
    look: int,
    patience: int,
    least: float,
    idle: int,
    floor: float,
) -> tuple[float, int]:
    """Sweep until nothing is gained, and return the least error, and how many looks in a row gained nothing.

    See `fsmf.solvers.palm`. The factors lie one after another in flat, which is written, as are those of the
    sweep before in last; the best ones are left in best. `places` holds the places of all groups, as indices
    into their factor; where in these each group begins; with which group each factor begins; and room for as
    many numbers as the largest group has places.
    """
    L = len(shapes)
    ends = np.zeros(L + 1, np.int64)
    for i in range(L):
        ends[i + 1] = ends[i] + shapes[i, 0] * shapes[i, 1]
    now = room.copy()
    for sweep in range(first_sweep, max_sweeps):
        if sweep < schedule:
            share = 1 - (sweep + 1) / schedule
            for g in range(len(room)):
                now[g] = room[g] + math.ceil(share * (most[g] - room[g]))
        product = _sweep(A, flat, last, shapes, ends, places, now, inertia)
        for i in range(L - 1):
            _balance(flat, last, i, ends, shapes)
        if sweep + 1 < schedule or ((sweep + 1) % look and sweep + 1 < max_sweeps):
            continue
        error = _distance(A, product)
        idle = idle + 1 if error > (1 - rtol) * least else 0
        if error < least:
            least = error
            for t in range(len(flat)):
                best[t] = flat[t]
        if least <= floor:
            idle = patience
        if idle >= patience:
            break
    return least, idle
