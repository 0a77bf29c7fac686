"""Numba twin of `fsmf.kernels.kronecker_matmul`: columns in tiles, stages one after another in the cache.

A tile is a few columns: its rows, one short vector each, lie one after another in a buffer, and a stage makes
b rows of every c of them. One column alone is cut differently: a vector holds neighbours among the a·d blocks
of a stage, and so do coefficients. The same code does both: a coefficient is a number there, a vector here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.lanes_cpu import add, count_of, load, read, size_of, store, take_number, write, zeros
from fsmf.kernels.threads import n_threads, submit

__all__ = ["Columns", "Tiles"]

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]
Stage = tuple[Pattern, Array]

# Bytes of a row of a tile, for many columns; for few it is half. A coefficient that is read for a wide row
# does twice the work.
_WIDE = 128

# Tiles that are read and written together.
_GROUP = 8

# An array as the kernels take it: its address, how many rows, bytes from row to row and from column to
# column, address of a permutation of the rows.
Side = tuple[int, int, int, int, int]

# Bytes of a buffer that a thread keeps.
_KEPT = 1 << 26

_buffers = threading.local()

_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def _four(x: int, y: int, factors: int, c: int, step: int, nil: Any, unit: Any) -> int:
    """Make four rows of c."""
    size = size_of(unit)
    p = q = r = s = nil
    for _ in range(c):
        value = load(x, nil)
        p = add(p, load(factors, unit), value)
        q = add(q, load(factors + size, unit), value)
        r = add(r, load(factors + 2 * size, unit), value)
        s = add(s, load(factors + 3 * size, unit), value)
        x += step
        factors += 4 * size
    store(y, p)
    store(y + step, q)
    store(y + 2 * step, r)
    store(y + 3 * step, s)
    return factors


@_compiled
def _one(x: int, y: int, factors: int, c: int, step: int, nil: Any, unit: Any) -> int:
    """Make one row of c."""
    total = nil
    for _ in range(c):
        total = add(total, load(factors, unit), load(x, nil))
        x += step
        factors += size_of(unit)
    store(y, total)
    return factors


@_compiled
def _stage(src: int, dst: int, factors: int, a: int, b: int, c: int, d: int, nil: Any, unit: Any) -> int:
    """Multiply rows by one factor; where the coefficients of the next one begin."""
    row = size_of(nil)
    step = d * row
    for _ in range(a):
        for _ in range(d):
            if b == 4 and c == 4:  # known to the compiler, which then needs no loop
                factors = _four(src, dst, factors, 4, step, nil, unit)
            else:
                for i in range(0, b - 3, 4):
                    factors = _four(src, dst + i * step, factors, c, step, nil, unit)
                for i in range(b // 4 * 4, b):
                    factors = _one(src, dst + i * step, factors, c, step, nil, unit)
            src += row
            dst += row
        src += (c - 1) * step
        dst += (b - 1) * step
    return factors


@_compiled
def _fetch(x: Side, j: int, k: int, places: Array, nil: Any, zero: Any) -> None:
    """Read columns j to j + k, into a buffer for each tile."""
    start, n, down, right, index = x
    row, tile, part = size_of(nil), count_of(nil), size_of(zero.real)
    planes = size_of(zero) // part
    whole = k // tile if right == size_of(zero) else 0
    start += j * right
    if whole:
        for i in range(n):
            at = start + load(index + 8 * i, 0) * down
            for t in range(whole):
                store(places[t] + i * row, read(at + t * tile * right, nil))
    for t in range(whole, -(-k // tile)):
        for begin in range(0, n, 16):  # a few rows at a time, by columns: rows may be what is contiguous
            end, to = min(begin + 16, n), places[t]
            for i in range(begin, end):
                store(to + i * row, nil)
            for column in range(t * tile, min(t * tile + tile, k)):
                for i in range(begin, end):
                    value = load(start + load(index + 8 * i, 0) * down + column * right, zero)
                    store(to + i * row, value.real)
                    if planes == 2:
                        store(to + i * row + row // 2, value.imag)
                to += part


@_compiled
def _deliver(y: Side, j: int, k: int, places: Array, nil: Any, zero: Any) -> None:
    """Write columns j to j + k, from a buffer for each tile."""
    start, n, down, right, index = y
    row, tile, part = size_of(nil), count_of(nil), size_of(zero.real)
    planes = size_of(zero) // part
    whole = k // tile if right == size_of(zero) else 0
    start += j * right
    if whole:
        for i in range(n):
            at = start + load(index + 8 * i, 0) * down
            for t in range(whole):
                write(at + t * tile * right, load(places[t] + i * row, nil))
    for t in range(whole, -(-k // tile)):
        for begin in range(0, n, 16):
            src = places[t]
            for column in range(t * tile, min(t * tile + tile, k)):
                for i in range(begin, min(begin + 16, n)):
                    at = start + load(index + 8 * i, 0) * down + column * right
                    store(at, load(src + i * row, zero.real))
                    if planes == 2:
                        store(at + part, load(src + i * row + row // 2, zero.real))
                src += part


@_compiled
def _tiles(
    x: Side,
    y: Side,
    k: int,
    group: int,
    stages: Array,
    factors: Array,
    scratch: Array,
    counter: Array,
    nil: Any,
) -> None:
    """Multiply k columns, a group of tiles at a time, until none is left."""
    zero = factors.dtype.type(0)
    # The buffer of each tile of a group, and one more.
    first, size = (np.intp(scratch.ctypes.data) + 63) // 64 * 64, (scratch.size - 64) // (group + 1)
    places = first + size * np.arange(group + 1)
    while True:
        j = take_number(np.intp(counter.ctypes.data)) * group * count_of(nil)
        if j >= k:
            return
        some = min(group * count_of(nil), k - j)
        _fetch(x, j, some, places, nil, zero)
        for t in range(-(-some // count_of(nil))):
            src, dst, at = places[t], places[group], np.intp(factors.ctypes.data)
            for s in range(len(stages)):
                a, b, c, d = stages[s, 0], stages[s, 1], stages[s, 2], stages[s, 3]
                to = src if b == c == 4 else dst  # in place where all is read before it is written
                at = _stage(src, to, at, a, b, c, d, nil, zero)
                if to == dst:
                    src, dst = dst, src
            places[t], places[group] = src, dst
        _deliver(y, j, some, places, nil, zero)


@_compiled
def _wide(
    x: Side, y: Side, k: int, group: int, stages: Array, factors: Array, scratch: Array, counter: Array
) -> None:
    """Multiply in tiles with rows of 128 bytes."""
    zero = factors.dtype.type(0)
    _tiles(x, y, k, group, stages, factors, scratch, counter, zeros(zero, zero, 128))


@_compiled
def _narrow(
    x: Side, y: Side, k: int, group: int, stages: Array, factors: Array, scratch: Array, counter: Array
) -> None:
    """Multiply in tiles with rows of 64 bytes."""
    zero = factors.dtype.type(0)
    _tiles(x, y, k, group, stages, factors, scratch, counter, zeros(zero, zero, 64))


@_compiled
def _gather(src: int, dst: int, order: Array, first: int, count: int, nil: Any, zero: Any) -> None:
    """Put the numbers of a buffer of vectors into another order."""
    row, lanes, part = size_of(nil), count_of(nil), size_of(zero.real)
    planes = size_of(zero) // part
    for i in range(count):
        at = order[first + i]
        at = src + at // lanes * row + at % lanes * part
        to = dst + i // lanes * row + i % lanes * part
        store(to, load(at, zero.real))
        if planes == 2:
            store(to + row // 2, load(at + row // 2, zero.real))


@_compiled
def _columns(x: Side, y: Side, k: int, stages: Array, order: Array, factors: Array, scratch: Array) -> None:
    """Multiply k columns one by one."""
    zero = factors.dtype.type(0)
    part, planes = size_of(zero.real), size_of(zero) // size_of(zero.real)
    nil = zeros(zero, zero.real, 64)
    row, lanes = size_of(nil), count_of(nil)
    for j in range(k):
        src = (np.intp(scratch.ctypes.data) + 63) // 64 * 64
        dst = src + (scratch.size - 64) // 2
        at = np.intp(factors.ctypes.data)
        start = x[0] + j * x[3]
        for i in range(stages[0, 5]):
            value = load(start + order[i] * x[2], zero)
            to = src + i // lanes * row + i % lanes * part
            store(to, value.real)
            if planes == 2:
                store(to + row // 2, value.imag)
        for s in range(len(stages) - 1):
            if s and stages[s, 5]:
                _gather(src, dst, order, stages[s, 4], stages[s, 5], nil, zero)
                src, dst = dst, src
            a, b, c, d = stages[s, 0], stages[s, 1], stages[s, 2], stages[s, 3]
            to = src if b == c == 4 else dst
            at = _stage(src, to, at, a, b, c, d, nil, nil)
            if to == dst:
                src, dst = dst, src
        start = y[0] + j * y[3]
        for i in range(stages[-1, 5]):
            slot = order[stages[-1, 4] + i]
            slot = src + slot // lanes * row + slot % lanes * part
            store(start, load(slot, zero.real))
            if planes == 2:
                store(start + part, load(slot + row // 2, zero.real))
            start += y[2]


def _buffer(size: int) -> Array:
    """Memory of this thread, kept: fresh pages can cost as much as what is done with them."""
    buffer: Array | None = getattr(_buffers, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, np.uint8)
        if size <= _KEPT:
            _buffers.buffer = buffer
    return buffer[:size]


class Tiles:
    """A chain laid out for many columns.

    Parameters
    ----------
    stages : sequence of tuple of pattern and ndarray of shape (a, b, d, c)
        The factors as they multiply, left to right.
    rows, columns : ndarray of intp, optional
        Permutations of the results and of the inputs.
    """

    def __init__(self, stages: Sequence[Stage], *, rows: Array | None, columns: Array | None) -> None:
        patterns = [pattern for pattern, _ in reversed(stages)]
        sizes = [(a * b * d, a * c * d) for a, b, c, d in patterns]
        self._stages = np.array(patterns, np.intp)
        self._factors = np.concatenate([_ordered(values, 1).ravel() for _, values in reversed(stages)])
        self._longest = max(map(max, sizes))
        self._rows = np.arange(sizes[-1][0]) if rows is None else rows
        self._columns = np.arange(sizes[0][1]) if columns is None else columns

    def multiply(self, x: Array, y: Array, *, shared: bool) -> None:
        """Write the product of the chain and x into y.

        Parameters
        ----------
        x : ndarray of shape (n_columns, k)
            Of the dtype of the chain and any strides.
        y : ndarray of shape (n_rows, k)
            Likewise, and no part of x.
        shared : bool
            Whether other threads are woken for it; those that come too late do nothing.
        """
        k, wide = x.shape[1], _WIDE // x.itemsize
        threads = n_threads() if shared else 1
        # A narrow tile takes somewhat more than half the time of a wide one.
        narrow = (shared and k < threads * wide) or 0.57 * -(-2 * k // wide) < -(-k // wide)
        kernel, row = (_narrow, _WIDE // 2) if narrow else (_wide, _WIDE)
        n_tiles = -(-k * x.itemsize // row)
        group = min(_GROUP, -(-n_tiles // threads))
        size = (group + 1) * self._longest * row + 64
        given, found, counter = _side(x, self._columns), _side(y, self._rows), np.zeros(1, np.intp)

        def work(_: Any = (x, y)) -> None:  # which must live as long as any thread uses them
            kernel(given, found, k, group, self._stages, self._factors, _buffer(size), counter)

        others = submit(work, min(threads, -(-n_tiles // group)) - 1)
        work()
        for other in others:
            if not other.cancel():
                other.result()


class Columns:
    """A chain laid out for one column after the other; as `Tiles`."""

    def __init__(self, stages: Sequence[Stage], *, rows: Array | None, columns: Array | None) -> None:
        dtype = stages[0][1].dtype
        lanes = 64 // stages[0][1].real.itemsize
        # Each row of the table: the pattern in units of vectors, where in `order` the order of its input
        # begins, and how many numbers it is, 0 for that of the output before; last, of the results.
        table: list[tuple[int, ...]] = []
        orders: list[Array] = []
        before, begin, longest = columns, 0, 0

        def reorder(pattern: tuple[int, ...], order: Array) -> None:
            nonlocal begin
            table.append((*pattern, begin, order.size))
            orders.append(order)
            begin += order.size

        for (a, b, c, d), _ in reversed(stages):
            groups = -(-a * d // lanes)
            longest = max(longest, groups * lanes * max(b, c))
            aligned = d % lanes == 0
            wanted = np.arange(a * c * d) if aligned else _spread(a, c, d, lanes)
            order = wanted if before is None else before[wanted]
            if table and aligned and before is None:
                order = order[:0]
            reorder((a, b, c, d // lanes) if aligned else (groups, b, c, 1), order)
            before = None
            if not aligned:
                slots = _spread(a, b, d, lanes)
                before = np.empty(a * b * d, np.intp)
                before[slots[::-1]] = np.arange(slots.size)[::-1]
        slots = np.arange(a * b * d) if before is None else before
        reorder((0, 0, 0, 0), slots if rows is None else slots[np.argsort(rows)])
        self._table, self._order = np.array(table, np.intp), np.concatenate(orders)
        self._factors = np.concatenate([_ordered(values, lanes).ravel() for _, values in reversed(stages)])
        self._scratch = 2 * (-(-longest * dtype.itemsize // 128) * 128) + 64

    def multiply(self, x: Array, y: Array, *, shared: bool) -> None:
        """Write the product of the chain and x into y; as of `Tiles`."""
        scratch = _buffer(self._scratch)
        given, found = _side(x, self._order), _side(y, self._order)
        _columns(given, found, x.shape[1], self._table, self._order, self._factors, scratch)


def _side(x: Array, order: Array) -> Side:
    """An array as the kernels take it."""
    return _address(x), x.shape[0], *x.strides, _address(order)


def _address(x: Array) -> int:
    """Where the first entry lies."""
    address: int = x.__array_interface__["data"][0]
    return address


def _spread(a: int, c: int, d: int, lanes: int) -> Array:
    """Which row goes where when vectors hold neighbours among the a·d blocks, zero where none does."""
    block = np.arange(-(-a * d // lanes) * lanes).reshape(-1, 1, lanes)
    alpha, delta = np.divmod(block, d)
    row = (alpha * c + np.arange(c)[:, None]) * d + delta
    return np.where(block < a * d, row, 0).ravel()


def _ordered(values: Array, lanes: int) -> Array:
    """Coefficients in the order in which `_stage` uses them."""
    a, b, d, c = values.shape
    blocks = values.swapaxes(1, 2).reshape(a * d, b, c)
    groups = -(-a * d // lanes)
    blocks = np.concatenate([blocks, np.zeros((groups * lanes - a * d, b, c), blocks.dtype)])
    parts = np.moveaxis(blocks.reshape(groups, lanes, b, c), 1, 3)
    fours = parts[:, : b // 4 * 4].reshape(groups, b // 4, 4, c, lanes).swapaxes(2, 3)
    both = [fours.reshape(groups, -1, lanes), parts[:, b // 4 * 4 :].reshape(groups, -1, lanes)]
    ordered = np.concatenate(both, axis=1)
    if lanes > 1 and ordered.dtype.kind == "c":
        ordered = np.stack([ordered.real, ordered.imag], axis=-2).reshape(-1).view(ordered.dtype)
    return ordered
