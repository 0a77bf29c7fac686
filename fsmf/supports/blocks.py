"""Families of disjoint blocks, for lower bounds: on a block that q components meet, the rank is at most q."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.supports.layout import Index, IndexLists, group_equal_pairs
from fsmf.supports.rank_one import EquivalenceClasses, complete_cover

__all__ = ["DisjointBlocks", "block_families"]

# Above this many places, families that need the places one by one are left out.
_MAX_PLACES = 1 << 26

# The singular values of b × c entries take about b·c·min(b, c) operations, of whoever finds a bound and of
# whoever checks it. A family keeps its cheapest blocks up to so many: a minute or so.
_MAX_WORK = 1 << 38


@dataclass(frozen=True, eq=False)
class DisjointBlocks:
    """Hold blocks of a matrix that bound the error of every product from below.

    A block speaks of the places of ``rows × columns`` that its components reach. No other component reaches
    them, so that on them every product has at most the rank that the components count; and no two blocks
    speak of the same place.

    Attributes
    ----------
    rows, columns : IndexLists
        The rows and the columns of each block, ascending.
    components : IndexLists
        The components of each block, ascending.

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
    components: IndexLists

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

    def arrays(self) -> tuple[Index, ...]:
        """Return the six flat arrays that hold the blocks, for storing them."""
        return tuple(
            array
            for lists in (self.rows, self.columns, self.components)
            for array in (lists.indptr, lists.indices)
        )

    @classmethod
    def from_arrays(cls, arrays: Sequence[Any]) -> DisjointBlocks:
        """Rebuild the blocks from their six flat arrays."""
        flat = [np.asarray(array, dtype=np.int64) for array in arrays]
        return cls(*(IndexLists(*flat[i : i + 2]) for i in (0, 2, 4)))

    @classmethod
    def union(cls, families: Iterable[DisjointBlocks]) -> DisjointBlocks:
        """Put blocks of different parts together."""
        families = list(families)
        return cls(
            IndexLists.concatenated([family.rows for family in families]),
            IndexLists.concatenated([family.columns for family in families]),
            IndexLists.concatenated([family.components for family in families]),
        )

    @property
    def T(self) -> DisjointBlocks:
        """The same blocks of the transposed matrix."""
        return DisjointBlocks(self.columns, self.rows, self.components)


# Rows, columns, and the classes that meet them.
Block = tuple[Index, Index, Index]


def block_families(classes: EquivalenceClasses) -> Iterator[DisjointBlocks]:
    """Yield families of disjoint blocks of a matrix, with the components that meet each block.

    The whole matrix; stripes of rows (of columns) that lie in the same rectangles, as far as those reach;
    cells of equal rows and equal columns outside S*; and disjoint class rectangles, large ones first. Blocks
    out of reach, or of a rank that is not bounded, are left out, and so are families without a block.
    """
    m, n = classes.shape
    sizes = classes.members.sizes
    layout = classes.layout
    by_column = layout.columns.transposed(layout.n_column_types)
    candidates: list[list[Block]] = [
        [(np.arange(m), np.arange(n), np.arange(len(classes)))],
        [
            (rows, np.unique(classes.columns.take(met).indices), met)
            for t, rows in _repeated(layout.row_type)
            for met in (layout.memberships[t],)
        ],
        [
            (np.unique(classes.rows.take(met).indices), columns, met)
            for t, columns in _repeated(layout.column_type)
            for met in (by_column[t],)
        ],
    ]
    if m * n <= _MAX_PLACES:
        candidates += [_cells(classes), _rectangles(classes)]
    for blocks in candidates:
        useful = _affordable(
            [block for block in blocks if 0 < sizes[block[2]].sum() < min(len(block[0]), len(block[1]))]
        )
        if useful:
            rows, columns, met = zip(*useful, strict=True)
            components = [np.sort(classes.members.take(some).indices) for some in met]
            yield DisjointBlocks(*map(IndexLists.of_arrays, (rows, columns, components)))


def _affordable(blocks: list[Block]) -> list[Block]:
    """The blocks whose singular values are found in bounded work, the cheapest first to be kept."""
    sides = np.array([(len(rows), len(columns)) for rows, columns, _ in blocks], dtype=float).reshape(-1, 2)
    work = sides.prod(axis=1) * sides.min(axis=1)
    by_work = np.argsort(work, kind="stable")
    kept = by_work[np.cumsum(work[by_work]) <= _MAX_WORK]
    return [blocks[t] for t in np.sort(kept)]


def _repeated(type_of: Index) -> Iterator[tuple[int, Index]]:
    """Types held by two or more, with their holders: no other can make a block of bounded rank."""
    holders = IndexLists.of_labels(type_of)
    for t in np.flatnonzero(holders.sizes > 1):
        yield int(t), holders[t]


def _cells(classes: EquivalenceClasses) -> list[Block]:
    """Cells outside S*, of rows (columns) in the same incomplete classes and with the same part of S*."""
    incomplete = np.flatnonzero(~classes.complete)
    star = complete_cover(classes)
    sizes = classes.members.sizes[incomplete]

    def groups(lists: IndexLists, free: IndexLists) -> tuple[IndexLists, sparse.csr_array]:
        members = lists.take(incomplete).transposed(len(free))
        label, first = group_equal_pairs(members, free)
        repeated = list(_repeated(label))
        held = members.take(first[[t for t, _ in repeated]])
        inside = (sizes[held.indices], held.indices, held.indptr)
        holders = IndexLists.of_arrays([rows for _, rows in repeated])
        return holders, sparse.csr_array(inside, shape=(len(held), len(incomplete)))

    rows, row_inside = groups(classes.rows, IndexLists.of(star))
    columns, column_inside = groups(classes.columns, IndexLists.of(star.T))
    # Sparse, for most cells are met by no class at all.
    ranks = (row_inside @ column_inside.astype(bool).T).tocoo()
    shorter = np.minimum(rows.sizes[ranks.row], columns.sizes[ranks.col])
    starred = star.toarray()
    return [
        (rows[t], columns[u], incomplete[np.intersect1d(_row(row_inside, t), _row(column_inside, u))])
        for t, u, rank, side in zip(ranks.row, ranks.col, ranks.data, shorter, strict=True)
        if rank < side and not starred[rows[t][0], columns[u][0]]
    ]


def _rectangles(classes: EquivalenceClasses) -> list[Block]:
    """Class rectangles, large ones first, as long as they are disjoint."""
    taken = np.zeros(classes.shape, dtype=bool)
    blocks: list[Block] = []
    for p in np.argsort(-classes.areas, kind="stable"):
        if classes.complete[p]:
            continue
        _, rows, columns = classes[p]
        met = classes.overlapping(p)
        if classes.members.sizes[met].sum() < min(len(rows), len(columns)):
            place = np.ix_(rows, columns)
            if not taken[place].any():
                taken[place] = True
                blocks.append((rows, columns, met))
    return blocks


def _row(matrix: sparse.csr_array, i: int) -> Index:
    """Columns stored in a row of a sparse matrix."""
    columns: Index = matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]]
    return columns
