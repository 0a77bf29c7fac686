"""Families of disjoint blocks, for lower bounds: on a block that q components meet, the rank is at most q."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.layout import Index, IndexLists, group_equal_pairs
from fsmf.supports.rank_one import EquivalenceClasses, complete_cover

__all__ = ["BlockFamily", "DisjointBlocks", "block_families"]

# Above this many places, families that need the places one by one are left out.
_MAX_PLACES = 1 << 26


@dataclass(frozen=True, eq=False)
class DisjointBlocks:
    """Hold disjoint blocks of a matrix, the proof behind a lower bound.

    Attributes
    ----------
    rows, columns : IndexLists
        The rows and the columns of each block, ascending.

    Notes
    -----
    Equality is by content.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2))
    >>> len(F.certificate.blocks)
    1
    """

    rows: IndexLists
    columns: IndexLists

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DisjointBlocks):
            return NotImplemented
        return all(np.array_equal(a, b) for a, b in zip(self.arrays(), other.arrays(), strict=True))

    def __hash__(self) -> int:
        return hash(tuple(array.tobytes() for array in self.arrays()))

    def __repr__(self) -> str:
        return f"DisjointBlocks({len(self)})"

    def arrays(self) -> tuple[Index, Index, Index, Index]:
        """Return the four flat arrays that hold the blocks, for storing them."""
        return (self.rows.indptr, self.rows.indices, self.columns.indptr, self.columns.indices)

    @classmethod
    def from_arrays(cls, arrays: Sequence[Any]) -> DisjointBlocks:
        """Rebuild the blocks from their four flat arrays."""
        a, b, c, d = (np.asarray(array, dtype=np.int64) for array in arrays)
        return cls(IndexLists(a, b), IndexLists(c, d))

    @classmethod
    def union(cls, families: Iterable[DisjointBlocks]) -> DisjointBlocks:
        """Put blocks of different parts together."""
        families = list(families)
        return cls(
            IndexLists.concatenated([family.rows for family in families]),
            IndexLists.concatenated([family.columns for family in families]),
        )

    @property
    def T(self) -> DisjointBlocks:
        """The same blocks of the transposed matrix."""
        return DisjointBlocks(self.columns, self.rows)


# Rows, columns, and the number of components that meet them.
Block = tuple[Index, Index, int]


class BlockFamily(NamedTuple):
    """Disjoint blocks and how many components meet each."""

    rows: IndexLists
    columns: IndexLists
    ranks: Index


def block_families(classes: EquivalenceClasses) -> Iterator[BlockFamily]:
    """Yield families of disjoint blocks of a matrix, with the number of components that meet each block.

    The whole matrix; stripes of rows (of columns) that lie in the same rectangles; cells of equal rows and
    equal columns outside S*; and disjoint class rectangles, large ones first. Blocks on which the rank is
    not bounded are left out, and so are families without a block.
    """
    m, n = classes.shape
    sizes = classes.members.sizes
    layout = classes.layout
    everything = (np.arange(m), np.arange(n))
    by_column = layout.columns.transposed(layout.n_column_types)
    candidates: list[list[Block]] = [
        [(*everything, int(sizes.sum()))],
        [
            (rows, everything[1], int(sizes[layout.memberships[t]].sum()))
            for t, rows in _repeated(layout.row_type)
        ],
        [
            (everything[0], columns, int(sizes[by_column[t]].sum()))
            for t, columns in _repeated(layout.column_type)
        ],
    ]
    if m * n <= _MAX_PLACES:
        candidates += [_cells(classes), _rectangles(classes)]
    for blocks in candidates:
        useful = [block for block in blocks if block[2] < min(len(block[0]), len(block[1]))]
        if useful:
            rows, columns, ranks = zip(*useful, strict=True)
            yield BlockFamily(IndexLists.of_arrays(rows), IndexLists.of_arrays(columns), np.array(ranks))


def _repeated(type_of: Index) -> Iterator[tuple[int, Index]]:
    """Types held by two or more, with their holders: no other can make a block of bounded rank."""
    for t in np.flatnonzero(np.bincount(type_of) > 1):
        yield int(t), np.flatnonzero(type_of == t)


def _cells(classes: EquivalenceClasses) -> list[Block]:
    """Cells outside S*, of rows (columns) in the same incomplete classes and with the same part of S*."""
    incomplete = np.flatnonzero(~classes.complete)
    star = complete_cover(classes)
    sizes = classes.members.sizes[incomplete]

    def labels(lists: IndexLists, free: IndexLists) -> tuple[list[Index], NDArray[np.bool_]]:
        side = len(free)
        members = lists.take(incomplete).transposed(side)
        label, first = group_equal_pairs(members, free)
        inside = np.zeros((len(first), len(incomplete)), dtype=bool)
        for t, i in enumerate(first):
            inside[t, members[i]] = True
        return [np.flatnonzero(label == t) for t in range(len(first))], inside

    row_groups, row_inside = labels(classes.rows, IndexLists.of(star))
    column_groups, column_inside = labels(classes.columns, IndexLists.of(star.T))
    ranks = (row_inside * sizes) @ column_inside.T
    starred = star.toarray()
    return [
        (rows, columns, int(ranks[t, u]))
        for t, rows in enumerate(row_groups)
        for u, columns in enumerate(column_groups)
        if ranks[t, u] < min(len(rows), len(columns)) and not starred[rows[0], columns[0]]
    ]


def _rectangles(classes: EquivalenceClasses) -> list[Block]:
    """Class rectangles, large ones first, as long as they are disjoint."""
    taken = np.zeros(classes.shape, dtype=bool)
    blocks: list[Block] = []
    row_of, column_of = (
        classes.rows.transposed(classes.shape[0]),
        classes.columns.transposed(classes.shape[1]),
    )
    for p in np.argsort(-classes.areas, kind="stable"):
        _, rows, columns = classes[p]
        place = np.ix_(rows, columns)
        if classes.complete[p] or taken[place].any():
            continue
        met = np.intersect1d(row_of.take(rows).indices, column_of.take(columns).indices)
        rank = int(classes.members.sizes[met].sum())
        if rank < min(len(rows), len(columns)):
            taken[place] = True
            blocks.append((rows, columns, rank))
    return blocks
