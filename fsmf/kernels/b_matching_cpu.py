"""Numba kernel: the heaviest places of a matrix, so many a row and so many a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["b_matching", "prefer_first", "served_in_order"]

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def b_matching(weight: Array, k: int, l: int) -> Array:
    """Return the places of greatest total weight, at most k in a row and l in a column, as booleans.

    Rows are served in order, each slot by a shortest augmenting path: what a place costs (minus its weight),
    less the prices u of its row and v of its column, is at least 0 where the place is free and at most 0
    where it is taken. A path ends in a column with room, or in a row that gives up a slot.
    """
    m, n = weight.shape
    taken = np.zeros((m, n), np.bool_)
    u, v = np.zeros(m), np.zeros(n)
    room = np.full(n, l)
    to_column, to_row = np.empty(n), np.empty(m)
    from_row, from_column = np.empty(n, np.int64), np.empty(m, np.int64)
    seen_column, seen_row = np.empty(n, np.bool_), np.empty(m, np.bool_)
    for i in range(m):
        u[i] = np.inf
        for j in range(n):
            u[i] = min(u[i], -weight[i, j] - v[j])
        for _ in range(min(k, n)):
            to_column[:], to_row[:] = np.inf, np.inf
            seen_column[:], seen_row[:] = False, False
            to_row[i], row = 0.0, i
            # The row's own slot may stay empty.
            shortest, end_column, end_row = -u[i], -1, i
            while True:
                seen_row[row] = True
                for j in range(n):
                    if not taken[row, j] and not seen_column[j]:
                        length = to_row[row] + max(0.0, -weight[row, j] - u[row] - v[j])
                        if length < to_column[j]:
                            to_column[j], from_row[j] = length, row
                            if room[j] > 0 and (length < shortest or (end_column < 0 and length <= shortest)):
                                shortest, end_column, end_row = length, j, -1
                # The nearest node not yet seen; rows are reached through columns.
                row = -1
                while row < 0:
                    near, column, least = -1, -1, shortest
                    for j in range(n):
                        if not seen_column[j] and to_column[j] < least:
                            column, least = j, to_column[j]
                    for r in range(i + 1):
                        if not seen_row[r] and to_row[r] < least:
                            near, least = r, to_row[r]
                    if near >= 0:
                        row = near
                    elif column >= 0:
                        seen_column[column] = True
                        for r in range(i + 1):
                            if taken[r, column] and not seen_row[r]:
                                length = to_column[column] + max(0.0, weight[r, column] + u[r] + v[column])
                                if length < to_row[r]:
                                    to_row[r], from_column[r] = length, column
                                    if length - u[r] < shortest:
                                        shortest, end_column, end_row = length - u[r], -1, r
                    else:
                        break
                if row < 0:
                    break
            for j in range(n):
                if to_column[j] < shortest:
                    v[j] += to_column[j] - shortest
            for r in range(i + 1):
                if to_row[r] < shortest:
                    u[r] += shortest - to_row[r]
            if end_row == i:
                break
            if end_column >= 0:
                room[end_column] -= 1
                column, row = end_column, from_row[end_column]
                taken[row, column] = True
            else:
                row = end_row
            while row != i:
                column = from_column[row]
                taken[row, column] = False
                row = from_row[column]
                taken[row, column] = True
    return taken


@njit(cache=True, nogil=True)
def served_in_order(weight: Array, k: int, l: int) -> tuple[bool, Array]:
    """Let each row in order take its k largest in columns with room; whether no row loses by it, and places.

    Only positive weights are taken, and of equal ones the first with room. Where a row loses, the places are
    of no use.
    """
    m, n = weight.shape
    taken = np.zeros((m, n), np.bool_)
    room = np.full(n, l)
    for i in range(m):
        order = np.argsort(-weight[i], kind="mergesort")
        count, most = 0, min(k, n)
        for j in order:
            wanted = weight[i, order[count]]
            if weight[i, j] < wanted or wanted <= 0:
                break
            if room[j] > 0:
                taken[i, j] = True
                room[j] -= 1
                count += 1
                if count == most:
                    break
        if count < most and weight[i, order[count]] > 0:
            return False, taken
    return True, taken


@njit(cache=True, nogil=True)
def prefer_first(weight: Array, taken: Array, k: int, l: int) -> None:
    """Exchange places, at most k in a row and l in a column, for equal ones before them, while any can be."""
    m, n = weight.shape
    in_row, in_column = taken.sum(axis=1), taken.sum(axis=0)
    moved = True
    while moved:
        moved = False
        for i in range(m):
            for j in range(n):
                here = weight[i, j]
                if taken[i, j] or here == 0:
                    continue
                row, column = -1, -1
                if in_column[j] < l:
                    for c in range(j + 1, n):
                        if taken[i, c] and weight[i, c] == here:
                            row, column = i, c
                if in_row[i] < k:
                    for r in range(i + 1, m):
                        if taken[r, j] and weight[r, j] == here:
                            row, column = r, j
                if row >= 0:
                    taken[row, column], taken[i, j], moved = False, True, True
                    in_row[row] -= 1
                    in_row[i] += 1
                    in_column[column] -= 1
                    in_column[j] += 1
