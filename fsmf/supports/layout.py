"""Rectangles laid over a matrix, and the index lists that hold them: the bookkeeping of overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.supports.patterns import transposed
from fsmf.supports.support import Support

__all__ = [
    "Index",
    "IndexLists",
    "Layout",
    "Places",
    "equal_shapes",
    "group_equal",
    "group_equal_pairs",
    "offsets",
]

Index = NDArray[np.integer[Any]]

# Places expanded at a time when rectangles are laid out; bounds the memory of a scan to some tens of MB.
CHUNK = 1 << 21


@dataclass(frozen=True, eq=False)
class IndexLists:
    """Many ascending integer lists in two flat arrays: list p is ``indices[indptr[p]:indptr[p + 1]]``."""

    indptr: Index
    indices: Index

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, p: int | np.integer[Any]) -> Index:
        return self.indices[self.indptr[p] : self.indptr[p + 1]]

    @cached_property
    def sizes(self) -> Index:
        """Length of each list."""
        return self.indptr[1:] - self.indptr[:-1]

    def take(self, which: Index) -> IndexLists:
        """The lists named by `which`, in that order."""
        indptr = offsets(self.sizes[which])
        return IndexLists(indptr, self.indices[_ranges(self.indptr[which], indptr)])

    def kept(self, which: Index) -> IndexLists:
        """The lists named by `which`, which ascends: often it names all of them."""
        return self if len(which) == len(self) else self.take(which)

    def transposed(self, width: int) -> IndexLists:
        """For each of the `width` values, the lists that contain it."""
        return IndexLists(*transposed(self.indptr, self.indices, width))

    def incidence(self, width: int) -> sparse.csr_array:
        """Ones where list p holds the value v, a sparse array of shape ``(len(self), width)``."""
        ones = np.ones(self.indices.size, dtype=np.int64)
        return sparse.csr_array((ones, self.indices, self.indptr), shape=(len(self), width))

    def dense_incidence(self, width: int) -> NDArray[np.float32]:
        """The same as a dense array, in single precision, which counts exactly up to 2²⁴."""
        dense = np.zeros((len(self), width), dtype=np.float32)
        dense.reshape(-1)[np.arange(0, dense.size, width).repeat(self.sizes) + self.indices] = 1
        return dense

    @staticmethod
    def of_labels(labels: Index) -> IndexLists:
        """Who has label 0, who has label 1, and so on."""
        return IndexLists(offsets(np.bincount(labels)), labels.argsort(kind="stable"))

    @staticmethod
    def of_arrays(arrays: Sequence[Index]) -> IndexLists:
        """Each array as a list."""
        sizes = np.array([len(array) for array in arrays], dtype=np.int64)
        return IndexLists(offsets(sizes), np.concatenate([np.zeros(0, dtype=np.int64), *arrays]))

    @staticmethod
    def concatenated(many: Sequence[IndexLists]) -> IndexLists:
        """All lists of each, one after another."""
        if len(many) == 1:
            return many[0]
        sizes = IndexLists.of_arrays([lists.sizes for lists in many]).indices
        return IndexLists(offsets(sizes), IndexLists.of_arrays([lists.indices for lists in many]).indices)

    @staticmethod
    def of(support: Support) -> IndexLists:
        """The rows of a support as lists of columns."""
        return IndexLists(support.indptr, support.indices)


def offsets(sizes: Index) -> Index:
    """Where lists of these sizes start in a flat array, and where the last one ends."""
    starts = np.zeros(len(sizes) + 1, dtype=np.int64)
    sizes.cumsum(out=starts[1:])
    return starts


def _ranges(starts: Index, indptr: Index) -> Index:
    """Concatenate ``starts[p], starts[p] + 1, …``, of place ``indptr[p]`` up to ``indptr[p + 1]``, over p."""
    return (starts - indptr[:-1]).repeat(indptr[1:] - indptr[:-1]) + np.arange(indptr[-1])


def equal_shapes(
    rows: IndexLists, columns: IndexLists, ranks: Index
) -> Iterator[tuple[Index, Index, Index, int]]:
    """Yield blocks of equal shape and rank together: which, rows (n, b), columns (n, c), rank."""
    shapes = np.stack([rows.sizes, columns.sizes, ranks])
    for b, c, rank in np.unique(shapes, axis=1).T:
        which = np.flatnonzero((shapes == [[b], [c], [rank]]).all(axis=0))
        yield (
            which,
            rows.take(which).indices.reshape(-1, b),
            columns.take(which).indices.reshape(-1, c),
            int(rank),
        )


def group_equal(lists: IndexLists) -> tuple[Index, Index]:
    """Number the distinct lists in order of appearance: (label of each list, first list of each label)."""
    # Whole lists are the keys, so equality is exact; a slice of bytes hashes faster than a tuple.
    data = np.ascontiguousarray(lists.indices).tobytes()
    bounds = (lists.indptr.astype(np.int64) * lists.indices.itemsize).tolist()
    return _numbered(map(data.__getitem__, map(slice, bounds, bounds[1:])), len(lists))


def group_equal_pairs(one: IndexLists, other: IndexLists) -> tuple[Index, Index]:
    """Number the distinct pairs (one[k], other[k]) in order of appearance, as `group_equal` does."""
    labels, first = group_equal(one)
    if len(first) == len(one):
        return labels, first
    labels = labels * np.int64(len(other)) + group_equal(other)[0]
    return _numbered(labels.tolist(), len(one))


def _numbered(keys: Iterable[Any], count: int) -> tuple[Index, Index]:
    """Number the distinct ones of so many keys in order of appearance."""
    seen: dict[Any, int] = {}
    labels = np.fromiter((seen.setdefault(key, len(seen)) for key in keys), np.int64, count)
    if len(seen) == count:
        return labels, labels
    first = np.empty(len(seen), dtype=np.int64)
    # Of several, the last that is written stays.
    first[labels[::-1]] = np.arange(count)[::-1]
    return labels, first


class Places(NamedTuple):
    """One chunk of a `Layout`: every place of every rectangle on some consecutive row types."""

    first_row_type: int
    n_row_types: int
    incidence: Index  # which (row type, rectangle) incidence each place comes from
    rectangle: Index
    column: Index  # position in `Layout.columns.indices`
    key: Index  # (row type - first_row_type) · n_column_types + column type


@dataclass(frozen=True, eq=False)
class Layout:
    """Rectangles laid over a matrix; rows that lie in the same rectangles are merged, and columns likewise.

    Types, not rows, are what questions of overlap depend on: millions of nonzeros usually hold a few
    thousand of them. Types are numbered in the order of their first row (column).

    Attributes
    ----------
    row_type, column_type : ndarray of int, shapes (m,), (n,)
        The type of each row and column.
    first_row, first_column : ndarray of int
        The first row (column) of each type.
    memberships : IndexLists
        Per row type, the rectangles that it lies in.
    columns : IndexLists
        Per rectangle, its column types.
    """

    row_type: Index
    column_type: Index
    first_row: Index
    first_column: Index
    memberships: IndexLists
    columns: IndexLists

    @classmethod
    def of(cls, rows: IndexLists, columns: IndexLists, shape: tuple[int, int]) -> Layout:
        """Lay out the rectangles ``rows[p] × columns[p]`` over a matrix of the given shape."""
        by_row, by_column = rows.transposed(shape[0]), columns.transposed(shape[1])
        row_type, first_row = group_equal(by_row)
        column_type, first_column = group_equal(by_column)
        return cls(
            row_type,
            column_type,
            first_row,
            first_column,
            by_row.take(first_row),
            by_column.take(first_column).transposed(len(rows)),
        )

    @property
    def n_column_types(self) -> int:
        """Number of column types."""
        return len(self.first_column)

    def places(self, row_types: Index | None = None) -> Iterator[Places]:
        """Yield the places of all rectangles by chunks of row types that bound the memory.

        With `row_types` (ascending) only those are visited, and `first_row_type` counts along them.
        """
        memberships = self.memberships if row_types is None else self.memberships.take(row_types)
        widths = self.columns.sizes[memberships.indices]
        weight = np.diff(offsets(widths)[memberships.indptr]) + self.n_column_types
        bounds = offsets(weight)
        start = 0
        while start < len(memberships):
            stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + CHUNK, side="right")) - 1)
            incidence = np.arange(memberships.indptr[start], memberships.indptr[stop])
            rectangle, width = memberships.indices[incidence], widths[incidence]
            row = np.repeat(np.arange(stop - start), memberships.sizes[start:stop])
            column = _ranges(self.columns.indptr[rectangle], offsets(width))
            key = np.repeat(row * self.n_column_types, width) + self.columns.indices[column]
            yield Places(
                start, stop - start, np.repeat(incidence, width), np.repeat(rectangle, width), column, key
            )
            start = stop

    def covered(self, rows: slice) -> NDArray[np.bool_]:
        """Which places of some rows lie in a rectangle, boolean of shape ``(n_rows, n)``."""
        row_types, local = np.unique(self.row_type[rows], return_inverse=True)
        covered = np.zeros((len(row_types), self.n_column_types), dtype=bool)
        for chunk in self.places(row_types):
            covered[chunk.first_row_type :].reshape(-1)[chunk.key] = True
        return covered[local][:, self.column_type]

    @cached_property
    def n_covered(self) -> int:
        """Number of places of the matrix that lie in at least one rectangle."""
        row_weight, column_weight = np.bincount(self.row_type), np.bincount(self.column_type)
        total = 0
        for chunk in self.places():
            covered = np.zeros((chunk.n_row_types, self.n_column_types), dtype=bool)
            covered.reshape(-1)[chunk.key] = True
            rows = row_weight[chunk.first_row_type : chunk.first_row_type + chunk.n_row_types]
            total += int(rows @ (covered @ column_weight))
        return total
