"""Numba twin of `fsmf.kernels.kronecker_matmul`: columns in tiles, stages one after another in the cache.

A tile is a few columns: its rows, one short vector each, lie one after another in a buffer. Rows go through a
group of stages, few at a time, as `fsmf.kernels.kronecker_levels` plans it. One column alone is cut
differently: a vector holds neighbours among the a·d blocks of a stage, and so do coefficients. The same code
does both: a coefficient is a number there, a vector here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.kronecker_levels import ordered, plan_groups
from fsmf.kernels.kronecker_rows_cpu import stage_of_rows
from fsmf.kernels.lanes_cpu import add, count_of, load, read, size_of, store, take_number, write, zeros
from fsmf.kernels.threads import n_threads, submit

__all__ = ["Columns", "Tiles", "buffer"]

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]
Factor = tuple[Pattern, Array]

# Bytes of a row of a tile, for many columns; for few it is half. A coefficient that is read for a wide row
# does twice the work.
_WIDE = 128

# An array as the kernels take it: its address, how many rows, bytes from row to row and from column to
# column, address of a permutation of the rows, whether that leaves them where they are.
Side = tuple[int, int, int, int, int, bool]

# A chain: its groups, their stages, the coefficients as they are used, what rows are multiplied by before,
# and how many rows buffers have for all of a tile and for those of a group.
Layout = tuple[Array, Array, Array, Array, tuple[int, int]]

# An array of columns that are read and written one by one: its address, bytes from row to row and from column
# to column.
Single = tuple[int, int, int]

# Bytes of a buffer that a thread keeps.
_KEPT = 1 << 26

_buffers = threading.local()

_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def _fetch(x: Side, j: int, k: int, to: int, nil: Any, zero: Any) -> None:
    """Read columns j to j + k, fewer than a tile has or not side by side, into a buffer."""
    start, n, down, right, index, _ = x
    row, part = size_of(nil), size_of(zero.real)
    for begin in range(0, n, 16):  # a few rows at a time, by columns: rows may be what is contiguous
        end = min(begin + 16, n)
        for i in range(begin, end):
            store(to + i * row, nil)
        for column in range(k):
            for i in range(begin, end):
                at = start + load(index + 8 * i, 0) * down + (j + column) * right
                value = load(at, zero)
                store(to + i * row + column * part, value.real)
                if size_of(zero) > part:
                    store(to + i * row + column * part + row // 2, value.imag)


@_compiled
def _deliver(y: Side, j: int, k: int, src: int, nil: Any, zero: Any) -> None:
    """Write columns j to j + k from a buffer."""
    start, n, down, right, index, _ = y
    row, part = size_of(nil), size_of(zero.real)
    for begin in range(0, n, 16):
        for column in range(k):
            for i in range(begin, min(begin + 16, n)):
                at = start + load(index + 8 * i, 0) * down + (j + column) * right
                store(at, load(src + i * row + column * part, zero.real))
                if size_of(zero) > part:
                    store(at + part, load(src + i * row + column * part + row // 2, zero.real))


@_compiled
def _tiles(x: Side, y: Side, k: int, layout: Layout, scratch: Array, counter: Array, nil: Any) -> None:
    """Multiply k columns, a tile at a time, until none is left."""
    groups, stages, factors, scales, rows = layout
    zero = factors.dtype.type(0)
    row, tile = size_of(nil), count_of(nil)
    # Two buffers for all rows of a tile, and two for those of a group.
    begin = (np.intp(scratch.ctypes.data) + 63) // 64 * 64
    whole = begin, begin + rows[0] * row
    local = whole[1] + rows[0] * row, whole[1] + (rows[0] + rows[1]) * row
    while True:
        j = take_number(np.intp(counter.ctypes.data)) * tile
        if j >= k:
            return
        some = min(tile, k - j)
        read_whole = some == tile and x[3] == size_of(zero)
        write_whole = some == tile and y[3] == size_of(zero)
        if not read_whole:
            _fetch(x, j, some, whole[0], nil, zero)
        # What is stored as it lies in a buffer needs none to go through.
        is_direct = write_whole and y[5] and size_of(zero) == size_of(zero.real)
        src = whole[0]
        at = np.intp(factors.ctypes.data)
        for g in range(len(groups)):
            a, b, c, d, start, end, in_place = groups[g]
            is_last = g == len(groups) - 1
            dst = src if in_place and g else whole[1] if src == whole[0] else whole[0]
            for block in range(a * d):
                alpha, delta = block // d, block % d
                first, down = src + (alpha * c * d + delta) * row, d * row
                if not g:  # from where rows are
                    for i in range(c):
                        place = (alpha * c + i) * d + delta
                        if read_whole:
                            from_ = x[0] + load(x[4] + 8 * place, 0) * x[2] + j * x[3]
                            value = read(from_, nil)
                        else:
                            value = load(first + i * down, nil)
                        store(local[0] + i * row, add(nil, scales[place], value))
                    first, down = local[0], row
                for s in range(start, end):
                    stage = stages[s, 0], stages[s, 1], stages[s, 2], stages[s, 3]
                    strides = stages[s, 4], stages[s, 5], stages[s, 6]
                    is_local = first == local[0] or first == local[1]
                    to, leap = first, row
                    if s == end - 1 and is_last and is_direct:
                        to, leap = y[0] + (alpha * b * d + delta) * y[2] + j * y[3], d * y[2]
                    elif s == end - 1 and not (is_last and write_whole):
                        to, leap = dst + (alpha * b * d + delta) * row, d * row
                    elif not (is_local and (strides[0] or stage[1] == stage[2] == 4)):  # or in place
                        to = local[1] if first == local[0] else local[0]
                    at = stage_of_rows(first, to, at, stage, down, leap, strides, nil, zero)
                    first, down = to, leap
                if is_last and write_whole and not is_direct:
                    for i in range(b):
                        place = (alpha * b + i) * d + delta
                        to = y[0] + load(y[4] + 8 * place, 0) * y[2] + j * y[3]
                        write(to, load(first + i * row, nil))
            src = dst
        if not write_whole:
            _deliver(y, j, some, src, nil, zero)


@_compiled
def _wide(x: Side, y: Side, k: int, layout: Layout, scratch: Array, counter: Array) -> None:
    """Multiply in tiles with rows of 128 bytes."""
    zero = layout[2].dtype.type(0)
    _tiles(x, y, k, layout, scratch, counter, zeros(zero, zero, 128))


@_compiled
def _narrow(x: Side, y: Side, k: int, layout: Layout, scratch: Array, counter: Array) -> None:
    """Multiply in tiles with rows of 64 bytes."""
    zero = layout[2].dtype.type(0)
    _tiles(x, y, k, layout, scratch, counter, zeros(zero, zero, 64))


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
def _columns(
    x: Single, y: Single, k: int, stages: Array, order: Array, factors: Array, scratch: Array
) -> None:
    """Multiply k columns one by one."""
    zero = factors.dtype.type(0)
    part, planes = size_of(zero.real), size_of(zero) // size_of(zero.real)
    nil = zeros(zero, zero.real, 64)
    row, lanes = size_of(nil), count_of(nil)
    for j in range(k):
        src = (np.intp(scratch.ctypes.data) + 63) // 64 * 64
        dst = src + (scratch.size - 64) // 2
        at = np.intp(factors.ctypes.data)
        start = x[0] + j * x[2]
        for i in range(stages[0, 5]):
            value = load(start + order[i] * x[1], zero)
            to = src + i // lanes * row + i % lanes * part
            store(to, value.real)
            if planes == 2:
                store(to + row // 2, value.imag)
        for s in range(len(stages) - 1):
            if s and stages[s, 5]:
                _gather(src, dst, order, stages[s, 4], stages[s, 5], nil, zero)
                src, dst = dst, src
            stage = stages[s, 0], stages[s, 1], stages[s, 2], stages[s, 3]
            to = src if stage[1] == stage[2] == 4 else dst  # in place where all is read before it is written
            at = stage_of_rows(src, to, at, stage, row, row, None, nil, nil)
            if to == dst:
                src, dst = dst, src
        start = y[0] + j * y[2]
        for i in range(stages[-1, 5]):
            slot = order[stages[-1, 4] + i]
            slot = src + slot // lanes * row + slot % lanes * part
            store(start, load(slot, zero.real))
            if planes == 2:
                store(start + part, load(slot + row // 2, zero.real))
            start += y[1]


def buffer(size: int) -> Array:
    """Memory of this thread, kept: fresh pages can cost as much as what is done with them."""
    buffer: Array | None = getattr(_buffers, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, np.uint8)
        if size <= _KEPT:
            _buffers.buffer = buffer
    return buffer[:size]


class _Order:
    """A permutation of rows as the kernels take it.

    Parameters
    ----------
    order : ndarray of intp, optional
        By default rows stay where they are.
    length : int
        How many there are.
    """

    def __init__(self, order: Array | None, length: int) -> None:
        self.is_identity = order is None
        self._order = np.arange(length) if order is None else order
        self.address = _address(self._order)


class Tiles:
    """A chain laid out for many columns.

    Parameters
    ----------
    chain : sequence of tuple of pattern and ndarray of shape (a, b, d, c)
        The factors, left to right.
    rows, columns : ndarray of intp, optional
        Permutations of the results and of the inputs.
    """

    def __init__(self, chain: Sequence[Factor], *, rows: Array | None, columns: Array | None) -> None:
        groups, scales, self.row_ns = plan_groups(chain)
        dtype = chain[0][1].dtype
        shape = _row_counts(chain[0][0])[0], _row_counts(chain[-1][0])[1]
        table: list[tuple[int, ...]] = []
        stages: list[tuple[int, ...]] = []
        parts, heights, local = [], [*shape], 1
        for (a, b, c, d), own in groups:
            begin = len(stages)
            for (a_own, b_own, c_own, d_own), strides, _ in own:
                stages.append((a_own // a, b_own, c_own, d_own // d, *strides))
                local = max(local, max(b_own, c_own) * a_own * d_own // (a * d))
            coefficients = [
                values.reshape(a, -1, values.shape[1] // d, d, values.shape[2])
                .transpose(0, 3, 1, 2, 4)
                .reshape(a * d, -1)
                for _, _, values in own
            ]
            parts.append(np.concatenate(coefficients, axis=1).ravel())
            # The rows of a block are all read before one is written.
            in_place = b == c and (len(own) > 1 or own[0].in_place)
            table.append((a, b, c, d, begin, len(stages), in_place))
            heights.append(a * b * d)
        self._sizes = max(heights), local
        self._layout: Layout = (
            np.array(table, np.intp),
            np.array(stages, np.intp),
            np.concatenate(parts),
            np.ones(shape[1], dtype) if scales is None else scales,
            self._sizes,
        )
        self._rows, self._columns = _Order(rows, shape[0]), _Order(columns, shape[1])

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
        size = 2 * sum(self._sizes) * row + 64
        given, found, counter = _side(x, self._columns), _side(y, self._rows), np.zeros(1, np.intp)

        def work(_: Any = (x, y)) -> None:  # which must live as long as any thread uses them
            kernel(given, found, k, self._layout, buffer(size), counter)

        if threads == 1:
            return work()
        others = submit(work, min(threads, n_tiles) - 1)
        work()
        for other in others:
            if not other.cancel():
                other.result()


class Columns:
    """A chain laid out for one column after the other; as `Tiles`."""

    row_ns = 0.0  # never worth another thread

    def __init__(self, stages: Sequence[Factor], *, rows: Array | None, columns: Array | None) -> None:
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
        self._factors = np.concatenate([_in_lanes(values, lanes).ravel() for _, values in reversed(stages)])
        self._scratch = 2 * (-(-longest * dtype.itemsize // 128) * 128) + 64

    def multiply(self, x: Array, y: Array, *, shared: bool) -> None:
        """Write the product of the chain and x into y; as of `Tiles`."""
        given, found = (_address(x), *x.strides), (_address(y), *y.strides)
        scratch = buffer(self._scratch)
        _columns(given, found, x.shape[1], self._table, self._order, self._factors, scratch)


def _side(x: Array, order: _Order) -> Side:
    """An array as the kernels take it."""
    return _address(x), x.shape[0], *x.strides, order.address, order.is_identity


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


def _row_counts(pattern: Pattern) -> tuple[int, int]:
    a, b, c, d = pattern
    return a * b * d, a * c * d


def _in_lanes(values: Array, lanes: int) -> Array:
    """Coefficients in the order in which `stage_of_rows` uses them, neighbouring blocks side by side."""
    a, b, d, c = values.shape
    groups = -(-a * d // lanes)
    blocks = ordered(values).reshape(a * d, b * c)
    blocks = np.concatenate([blocks, np.zeros((groups * lanes - a * d, b * c), blocks.dtype)])
    parts = blocks.reshape(groups, lanes, b * c).swapaxes(1, 2)
    if parts.dtype.kind != "c":
        return parts
    return np.stack([parts.real, parts.imag], axis=-2).reshape(-1).view(parts.dtype)
