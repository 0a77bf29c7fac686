"""A chain times samples, and the gradients of that: samples in tiles, stages in the cache.

A tile is a few samples, and a row of it one of their entries. Rows go through the stages of a group, those of
one block of their product at a time, which stay in the cache. Gradients come back the same way, after what
lies between stages has been made again: nothing but the inputs is kept meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.kronecker_levels import group_rows, group_runs
from fsmf.kernels.kronecker_matmul import fused_pattern
from fsmf.kernels.kronecker_matmul_cpu import buffer
from fsmf.kernels.lanes_cpu import add, count_of, load, size_of, store, total, transpose, zeros
from fsmf.kernels.threads import in_parallel, n_threads

__all__ = ["ChainGradients"]

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]

# Rows of a block of a group, which are there once for each of its stages.
_CACHED_ROWS = 64

# Bytes of a row: the first of which there are two tiles, else the last. The wider, the fewer sums over rows.
_WIDTHS = (256, 128, 64)

# Values times bytes of all samples for which threads are woken.
_SHARED = 1 << 22

# Gradients of values are summed in at most so many parts, and these then added: however many threads there
# are, and whichever does what, sums are the same.
_PARTS = 16

# Where rows lie: the address of the first, and bytes from one to the next.
Rows = tuple[int, int]

# A block of a group: alpha and delta of its pattern, and how many deltas there are.
Place = tuple[int, int, int]

# Groups, as they are applied, and their stages: of each its pattern within its group. How many rows there are
# of the largest stage of a group, the largest factor or its transpose, the product, and its transpose.
Layout = tuple[Array, Array, int, int, int, int]

_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def _turn(x: Rows, y: Rows, m: int, n: int, square: Any, zero: Any) -> None:
    """Write the transpose of m rows of n numbers."""
    size, side = size_of(zero), count_of(square)
    for i in range(0, m, side):
        for j in range(0, n, side):
            src, dst = x[0] + i * x[1] + j * size, y[0] + j * y[1] + i * size
            if i + side <= m and j + side <= n:
                transpose(src, x[1], dst, y[1], square)
            else:
                for k in range(min(side, m - i)):
                    for l in range(min(side, n - j)):
                        store(dst + l * y[1] + k * size, load(src + k * x[1] + l * size, zero))


@_compiled
def _product(
    x: Rows, y: Rows, w: int, size: tuple[int, int], step: tuple[int, int], row: int, nil: Any, zero: Any
) -> None:
    """Make the rows of a block, two at a time: y_i = Σ_j w_ij x_j."""
    if size[0] == 2 and size[1] == 2:  # by far the most frequent, without loops over entries
        p, q = load(w, zero), load(w + step[1], zero)
        r, s = load(w + step[0], zero), load(w + step[0] + step[1], zero)
        for at in range(0, row, size_of(nil)):
            u, v = load(x[0] + at, nil), load(x[0] + x[1] + at, nil)
            store(y[0] + at, add(add(nil, p, u), q, v))
            store(y[0] + y[1] + at, add(add(nil, r, u), s, v))
        return
    for i in range(0, size[0], 2):
        k = min(i + 1, size[0] - 1)
        for at in range(0, row, size_of(nil)):
            one = other = nil
            for j in range(size[1]):
                value = load(x[0] + j * x[1] + at, nil)
                one = add(one, load(w + i * step[0] + j * step[1], zero), value)
                other = add(other, load(w + k * step[0] + j * step[1], zero), value)
            store(y[0] + i * y[1] + at, one)
            store(y[0] + k * y[1] + at, other)


@_compiled
def _correlation(
    y: Rows, x: Rows, w: int, size: tuple[int, int], step: tuple[int, int], row: int, nil: Any, zero: Any
) -> None:
    """Add to each w_ij the sum of the products of y_i and x_j."""
    for i in range(size[0]):
        for j in range(size[1]):
            products = nil
            for at in range(0, row, size_of(nil)):
                products = add(products, load(y[0] + i * y[1] + at, nil), load(x[0] + j * x[1] + at, nil))
            to = w + i * step[0] + j * step[1]
            store(to, load(to, zero) + total(products))


@_compiled
def _stage(
    x: Rows,
    y: Rows,
    gx: Rows,
    stage: Array,
    place: Place,
    values: int,
    sums: int,
    row: int,
    nil: Any,
    zero: Any,
) -> None:
    """Make rows y of a block of a group from x; or, where gx is somewhere, gradients gx and sums from y."""
    (a, b, c, d), (alpha, delta, n_deltas), size = stage, place, size_of(zero)
    step = d * n_deltas * c * size, size
    for i in range(a):
        for l in range(d):
            w = (((alpha * a + i) * b * d + l) * n_deltas + delta) * c * size
            columns = x[0] + (i * c * d + l) * x[1], d * x[1]
            rows = y[0] + (i * b * d + l) * y[1], d * y[1]
            if gx[0]:
                if sums:
                    _correlation(rows, columns, sums + w, (b, c), step, row, nil, zero)
                columns = gx[0] + (i * c * d + l) * gx[1], d * gx[1]
                _product(rows, columns, values + w, (c, b), (step[1], step[0]), row, nil, zero)
            else:
                _product(columns, rows, values + w, (b, c), step, row, nil, zero)


@_compiled
def _group(
    x: int,
    y: int,
    gx: int,
    g: int,
    layout: Layout,
    values: Array,
    sums: Array,
    local: int,
    row: int,
    nil: Any,
    zero: Any,
) -> None:
    """Take all rows x through a group to y; or, where gx is somewhere, gradients y back to gx."""
    groups, stages, height = layout[:3]
    a, b, c, d, begin, end = groups[g]
    for block in range(a * d):
        place = block // d, block % d, d
        above = (place[0] * c * d + place[1]) * row
        last = y + (place[0] * b * d + place[1]) * row, d * row
        src = x + above, d * row
        for s in range(begin, end if gx == 0 else end - 1):
            dst = last if s == end - 1 else (local + (s - begin) * height * row, row)
            _stage(src, dst, (0, 0), stages[s], place, values[s], sums[s], row, nil, zero)
            src = dst
        for s in range(end - 1, begin - 1 if gx else end - 1, -1):
            src = local + (s - begin - 1) * height * row, row
            dst = local + (end - begin + s % 2) * height * row, row
            if s == begin:
                src, dst = (x + above, d * row), (gx + above, d * row)
            _stage(src, last, dst, stages[s], place, values[s], sums[s], row, nil, zero)
            last = dst


@_compiled
def _tiles(
    x: Rows,
    y: Rows,
    gx: Rows,
    part: tuple[int, int],
    layout: Layout,
    values: Array,
    sums: Array,
    scratch: Array,
    row: int,
    zero: Any,
    one: Any,
) -> None:
    """Multiply samples; or, where gx is somewhere, take gradients y back, and add those of values to sums.

    Values and sums are addresses, one a stage and one of the bias: 0 for what is not there.
    """
    groups, _, _, height, n_rows, n_columns = layout
    nil, size, is_back = zeros(zero, zero, 64), size_of(zero), gx[0] != 0
    width, bias = size_of(nil), values[-1]
    # Rows that go into each group, those that come out of the last one, and once more for gradients; a row of
    # ones; rows of a block of a group.
    whole = height * row
    begin = (np.intp(scratch.ctypes.data) + 63) // 64 * 64
    end = begin + len(groups) * whole
    ones = end + 2 * whole
    local = ones + row
    for at in range(ones, local, size):
        store(at, one)
    for j in range(part[0], part[1], row // size):
        k = min(row // size, part[1] - j)
        if k * size < row:
            for at in range(begin, end + whole, width):
                store(at, nil)
        _turn((x[0] + j * x[1], x[1]), (begin, row), k, n_columns, nil, zero)
        src, dst = begin, begin + whole
        for g in range(len(groups) - is_back):
            _group(src, dst, 0, g, layout, values, sums, local, row, nil, zero)
            src, dst = dst, dst + whole
        if not is_back:
            for i in range(n_rows if bias else 0):
                for at in range(i * row, (i + 1) * row, width):
                    store(src + at, add(load(src + at, nil), load(bias + i * size, zero), load(ones, nil)))
            _turn((src, row), (y[0] + j * y[1], y[1]), n_rows, k, nil, zero)
            continue
        src, dst = end, end + whole
        _turn((y[0] + j * y[1], y[1]), (src, row), k, n_rows, nil, zero)
        if sums[-1]:
            _correlation((src, row), (ones, 0), sums[-1], (n_rows, 1), (size, 0), row, nil, zero)
        for g in range(len(groups) - 1, -1, -1):
            _group(begin + g * whole, src, dst, g, layout, values, sums, local, row, nil, zero)
            src, dst = dst, src
        _turn((src, row), (gx[0] + j * gx[1], gx[1]), n_columns, k, nil, zero)


class ChainGradients:
    """Multiply samples with a chain of factors of small blocks, add a bias, and differentiate that.

    Parameters
    ----------
    patterns : sequence of tuple of four int
        One ``(a, b, c, d)`` per factor, left to right; shapes chain.

    Notes
    -----
    Values are those of the factors, left to right, each of shape (a, b, d, c), and then the bias, or none;
    each in one run. They and the samples are all float32 or all float64.

    **Guarantee.** Products and sums up to rounding, and the same again each time, with any number of threads.

    **Cost.** 2 floating-point operations a sample and nonzero, and 8 for gradients, of which 2 make again
    what was not kept.

    Examples
    --------
    >>> import numpy as np
    >>> chain = ChainGradients([(1, 2, 2, 1)])
    >>> values, x, y = [np.array([1.0, 2.0, 3.0, 4.0])], np.array([[1.0, -1.0]]), np.empty((1, 2))
    >>> chain.multiply(values, x, y)
    >>> y
    array([[-1., -1.]])
    >>> chain.differentiate(values, x, np.array([[1.0, 0.0]]), y)
    [array([ 1., -1.,  0.,  0.])]
    >>> y
    array([[1., 2.]])
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        groups: list[tuple[int, ...]] = []
        stages: list[tuple[int, ...]] = []
        runs = [patterns[run] for run in reversed(group_runs(patterns, _CACHED_ROWS))]
        for run in runs:
            a, b, c, d = fused_pattern(run)
            groups.append((a, b, c, d, len(stages), len(stages) + len(run)))
            stages += [(a_own // a, b_own, c_own, d_own // d) for a_own, b_own, c_own, d_own in reversed(run)]
        a, b, c, d = fused_pattern(patterns)
        local, whole = max(map(group_rows, runs)), max(a * max(b, c) * d for a, b, c, d in patterns)
        tables = np.array(groups, np.intp), np.array(stages, np.intp)
        self._layout: Layout = (*tables, local, whole, a * b * d, a * c * d)
        self._n_rows = (len(runs) + 2) * whole + 1 + (max(map(len, runs)) + 2) * local
        self._n_factors, self._n_values = len(patterns), sum(map(math.prod, patterns))

    def multiply(self, values: Sequence[Array], x: Array, y: Array, *, threads: int | None = None) -> None:
        """Write the product with each sample into y.

        Parameters
        ----------
        values : sequence of ndarray
            The factors, and the bias.
        x : ndarray of shape (k, n)
            The samples.
        y : ndarray of shape (k, m)
            No part of x.
        threads : int, optional
            At most so many threads.
        """
        self._each_part(values, x, y, (0, 0), [self._places([])] * len(_parts(x)), threads)

    def differentiate(
        self,
        values: Sequence[Array],
        x: Array,
        gy: Array,
        gx: Array,
        *,
        of_values: bool = True,
        threads: int | None = None,
    ) -> list[Array]:
        """Take gradients with respect to products back to samples and values.

        Parameters
        ----------
        values, x, threads
            As of `multiply`.
        gy : ndarray of shape (k, m)
            Gradients with respect to the products.
        gx : ndarray of shape (k, n)
            Where to write those with respect to the samples; no part of the others.
        of_values : bool
            Whether to differentiate with respect to values, too.

        Returns
        -------
        list of ndarray
            Gradients with respect to each of the values, of one axis; none if there are to be none.
        """
        shapes = [(len(_parts(x)), value.size if of_values else 0) for value in values]
        sums = [np.zeros(shape, x.dtype) for shape in shapes]
        places = [self._places(own if of_values else []) for own in zip(*sums, strict=True)]
        self._each_part(values, x, gy, _rows(gx), places, threads)
        return [own.sum(axis=0) for own in sums] if of_values else []

    def _places(self, values: Sequence[Array]) -> Array:
        """Addresses in the order of stages, and then that of the bias; 0 of what is missing."""
        found = [_rows(value)[0] for value in values] + [0] * (self._n_factors + 1 - len(values))
        return np.array([*found[-2::-1], found[-1]], np.intp)

    def _each_part(
        self,
        values: Sequence[Array],
        x: Array,
        y: Array,
        gx: Rows,
        sums: Sequence[Array],
        threads: int | None,
    ) -> None:
        """Do some samples at a time, on several threads where there is enough to do."""
        given, found, places, row = _rows(x), _rows(y), self._places(values), _width(x)
        zero, one = x.dtype.type(0), x.dtype.type(1)

        def work(item: tuple[tuple[int, int], Array]) -> None:
            scratch = buffer(self._n_rows * row + 64)
            _tiles(given, found, gx, item[0], self._layout, places, item[1], scratch, row, zero, one)

        most = min(n_threads() if threads is None else threads, len(sums))
        shared = len(x) * x.itemsize * self._n_values >= _SHARED
        in_parallel(work, zip(_parts(x), sums, strict=True), threads=most if shared else 1)


def _width(x: Array) -> int:
    """Bytes of a row of tiles of these samples."""
    return next((width for width in _WIDTHS if len(x) * x.itemsize >= 2 * width), _WIDTHS[-1])


def _parts(x: Array) -> list[tuple[int, int]]:
    """The first sample of each part, and the one after the last; whole tiles but for the end."""
    tile = _width(x) // x.itemsize
    each = -(-len(x) // (tile * _PARTS)) * tile
    return [(first, min(first + each, len(x))) for first in range(0, len(x), max(1, each))]


def _rows(x: Array) -> Rows:
    """Where the rows of an array lie."""
    address: int = x.__array_interface__["data"][0]
    return address, x.strides[0]
