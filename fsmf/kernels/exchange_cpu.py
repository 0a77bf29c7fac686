"""Numba twin of `fsmf.kernels.exchange`: what a move changes is counted, and the best one made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["exchanged"]

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _count(Z: Array, group: Array, room: Array, extra: int, counts: Array) -> tuple[int, int]:
    """Count the nonzeros of each group; the price of all, and how many are beyond the rooms."""
    for g in range(len(room)):
        counts[g] = 0
    for i in range(Z.shape[0]):
        for t in range(Z.shape[1]):
            if Z[i, t] != 0:
                counts[group[i, t]] += 1
    total, beyond = 0, 0
    for g in range(len(room)):
        total += counts[g]
        beyond += max(0, counts[g] - room[g])
    return total + extra * beyond, beyond


@njit(cache=True, nogil=True)
def _look(Z: Array, i: int, everywhere: bool, places: Array, number: Array) -> None:
    """List where a multiple of row i changes another row: at its nonzeros, or everywhere."""
    n = 0
    for t in range(Z.shape[1]):
        if everywhere or Z[i, t] != 0:
            places[i, n] = t
            n += 1
    number[i] = n


@njit(cache=True, nogil=True)
def _add(c: Any, Z: Array, i: int, j: int, places: Array, zero: float, levels: Array, new: Array) -> float:
    """Row j plus c times row i, in these places, which may take that of row j; the level of its noise."""
    level = math.hypot(levels[j], abs(c) * levels[i])
    for t in places:
        step = c * Z[i, t]
        total = Z[j, t] + step
        new[t] = 0 if abs(total) <= max(zero * (abs(Z[j, t]) + abs(step)), level) else total
    return level


@njit(cache=True, nogil=True)
def _size(x: Array) -> float:
    total = 0.0
    for t in range(len(x)):
        total += abs(x[t]) ** 2
    return math.sqrt(total)


@njit(cache=True, nogil=True)
def _distance(X: Array, Y: Array, first_X: Array, first_Y: Array) -> float:
    """Of the product from the first one."""
    total = 0.0
    for i in range(X.shape[1]):
        for j in range(Y.shape[1]):
            difference = X[0, 0] * 0
            for k in range(len(X)):
                difference += X[k, i] * Y[k, j] - first_X[k, i] * first_Y[k, j]
            total += abs(difference) ** 2
    return math.sqrt(total)


@njit(cache=True, nogil=True)
def _change(
    Z: Array, j: int, new: Array, places: Array, group: Array, counts: Array, room: Array, extra: int
) -> int:
    """What the price changes by when row j becomes new; the counts are used, and left as they were."""
    change = 0
    for t in places:
        difference = (new[t] != 0) - (Z[j, t] != 0)
        if difference:
            g = group[j, t]
            if max(counts[g], counts[g] + difference) > room[g]:
                change += extra * difference
            change += difference
            counts[g] += difference
    for t in places:
        counts[group[j, t]] += (Z[j, t] != 0) - (new[t] != 0)
    return change


@njit(cache=True, nogil=True)
def _multiples(
    Z: Array, i: int, j: int, places: Array, zero: float, smallest: float, largest: float, found: Array
) -> int:
    """Different multiples of row i that, added to row j, cancel one of its entries; how many."""
    n = 0
    for t in places:
        if Z[i, t] != 0 and Z[j, t] != 0:
            c = -Z[j, t] / Z[i, t]
            fresh = smallest <= abs(c) <= largest
            for u in range(n):
                fresh = fresh and abs(found[u] - c) > zero * abs(c)
            if fresh:
                found[n] = c
                n += 1
    return n


@njit(cache=True, nogil=True)
def exchanged(
    X: Array,
    Y: Array,
    group_x: Array,
    room_x: Array,
    group_y: Array,
    room_y: Array,
    levels_x: Array,
    levels_y: Array,
    largest_piece: float,
    deviation: float,
    zero: float,
    extra: int,
    max_moves: int,
    patience: int,
    rest: int,
    more: int,
    smallest: float,
    largest: float,
) -> tuple[Array, Array, int]:
    """Search from X (components as rows) and Y, written with their levels; see `fsmf.kernels.exchange`."""
    r, m, n = len(X), X.shape[1], Y.shape[1]
    rests, idle = np.zeros((r, r), np.int64), 0
    counts_x, counts_y = np.zeros(len(room_x), np.int64), np.zeros(len(room_y), np.int64)
    price_x, beyond_x = _count(X, group_x, room_x, extra, counts_x)
    price_y, beyond_y = _count(Y, group_y, room_y, extra, counts_y)
    price = least = price_x + price_y
    beyond = beyond_x + beyond_y
    best_X, best_Y = X.copy(), Y.copy()
    first_X, first_Y = X.copy(), Y.copy()
    multiples, new_x, new_y = np.empty(max(m, n), X.dtype), np.empty(m, X.dtype), np.empty(n, Y.dtype)
    # Under noise, entries that were not may become as small as it is, wherever they are.
    noisy = bool(levels_x.any()) or bool(levels_y.any()) or largest_piece < math.inf
    places_x, number_x = np.empty((r, m), np.int64), np.empty(r, np.int64)
    places_y, number_y = np.empty((r, n), np.int64), np.empty(r, np.int64)
    for i in range(r):
        _look(X, i, noisy, places_x, number_x)
        _look(Y, i, noisy, places_y, number_y)
    for move in range(max_moves):
        to_i, to_j, multiple, gain = -1, -1, X[0, 0], 0
        for i in range(r):
            for j in range(r):
                if i == j:
                    continue
                at_x, at_y = places_x[i, : number_x[i]], places_y[j, : number_y[j]]
                for side in range(2):
                    if side == 0:
                        number = _multiples(X, i, j, at_x, zero, smallest, largest, multiples)
                    else:
                        number = _multiples(Y, j, i, at_y, zero, smallest, largest, multiples)
                    for s in range(number):
                        c = multiples[s] if side == 0 else -multiples[s]
                        _add(c, X, i, j, at_x, zero, levels_x, new_x)
                        _add(-c, Y, j, i, at_y, zero, levels_y, new_y)
                        if largest_piece < math.inf and largest_piece < max(
                            _size(new_x) * _size(Y[j]), _size(X[i]) * _size(new_y)
                        ):
                            continue
                        change = _change(X, j, new_x, at_x, group_x, counts_x, room_x, extra)
                        change += _change(Y, i, new_y, at_y, group_y, counts_y, room_y, extra)
                        if rests[i, j] > move and price + change >= least:
                            continue
                        if to_i < 0 or change < gain:
                            gain, to_i, to_j, multiple = change, i, j, c
        idle += 1
        if to_i >= 0:
            at_x, at_y = places_x[to_i, : number_x[to_i]], places_y[to_j, : number_y[to_j]]
            levels_x[to_j] = _add(multiple, X, to_i, to_j, at_x, zero, levels_x, X[to_j])
            levels_y[to_i] = _add(-multiple, Y, to_j, to_i, at_y, zero, levels_y, Y[to_i])
            _look(X, to_j, noisy, places_x, number_x)
            _look(Y, to_i, noisy, places_y, number_y)
            price_x, beyond_x = _count(X, group_x, room_x, extra, counts_x)
            price_y, beyond_y = _count(Y, group_y, room_y, extra, counts_y)
            price = price_x + price_y
            rests[to_i, to_j] = move + 1 + rest + move % more
            if price < least:
                least, idle, beyond = price, 0, beyond_x + beyond_y
                best_X, best_Y = X.copy(), Y.copy()
            if beyond_x + beyond_y == 0 and _distance(X, Y, first_X, first_Y) <= deviation:
                return X, Y, 0
        if idle == patience:
            break
    return best_X, best_Y, beyond
