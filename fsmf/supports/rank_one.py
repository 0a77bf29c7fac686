"""Rank-one supports, their equivalence classes, and what the complete classes leave of the others.

The product of a pair is a sum over components, ``X Y = Σ_k X[:, k] Y[k, :]``, and component k lives on the
rectangle ``S_k = R_k × C_k``. Everything that the theory says of a pair it says of these rectangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import ShapeError
from fsmf.supports.layout import (
    CHUNK,
    Index,
    IndexLists,
    Layout,
    Places,
    group_equal_pairs,
    offsets,
)
from fsmf.supports.support import Support, as_supports

__all__ = [
    "Collision",
    "EquivalenceClass",
    "EquivalenceClasses",
    "Rectangles",
    "complete_cover",
    "equivalence_classes",
    "residual_rectangles",
]


# Up to so many operations all pairs of classes are looked at, or all places of all rectangles.
_FEW = 1 << 22

# Rows, or columns, of all classes up to which they are held as dense matrices.
_DENSE = 1 << 20


class EquivalenceClass(NamedTuple):
    """Hold components with one and the same rank-one support ``rows × columns``.

    Attributes
    ----------
    members, rows, columns : ndarray of int
        The components, and the rows and the columns of their rectangle, ascending.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.equivalence_classes(fsmf.lu(2))[1].rows.tolist()
    [1]
    """

    members: Index
    rows: Index
    columns: Index

    @property
    def rank(self) -> int:
        """Rank budget of the class: its number of members."""
        return len(self.members)

    @property
    def is_complete(self) -> bool:
        """Whether the class makes every matrix on its rectangle."""
        return len(self.members) >= min(len(self.rows), len(self.columns))


@dataclass(frozen=True, eq=False)
class EquivalenceClasses:
    """The equivalence classes of a pair, in order of their first member.

    ``classes[p]`` is an `EquivalenceClass`; the fields hold all of them in flat arrays.

    Attributes
    ----------
    shape : tuple of int
        Shape ``(m, n)`` of the product.
    class_of : ndarray of int, shape (r,)
        The class of each component, -1 for a dead one (empty row or column set), which adds nothing.
    members, rows, columns : IndexLists
        Per class: its components, and the rows and the columns of its rectangle.
    """

    shape: tuple[int, int]
    class_of: Index
    members: IndexLists
    rows: IndexLists
    columns: IndexLists

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, p: int | np.integer[Any]) -> EquivalenceClass:
        if not 0 <= p < len(self):
            raise IndexError(p)
        return EquivalenceClass(self.members[p], self.rows[p], self.columns[p])

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Which classes are complete: as many members as the shorter side, or more."""
        return self.members.sizes >= np.minimum(self.rows.sizes, self.columns.sizes)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Number of places of each rectangle."""
        return self.rows.sizes.astype(np.int64) * self.columns.sizes

    @cached_property
    def shared(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """How many rows, and how many columns, each two classes share: two dense square arrays."""
        if len(self) * max(self.shape) <= _DENSE:
            rows, columns = (own @ own.T for own in self._dense)
            return rows, columns
        m, n = self.shape
        rows, columns = (own @ own.T for own in (self.rows.incidence(m), self.columns.incidence(n)))
        return rows.toarray(), columns.toarray()

    @cached_property
    def within(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether class p has, at ``[p, q]``, all rows of class q, and all its columns: two square arrays."""
        rows, columns = (shared == shared.diagonal() for shared in self.shared)
        return rows, columns

    @cached_property
    def _dense(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Ones in the rows, and in the columns, of each class."""
        return self.rows.dense_incidence(self.shape[0]), self.columns.dense_incidence(self.shape[1])

    @cached_property
    def reach(self) -> NDArray[np.bool_]:
        """Which places some class reaches, a dense boolean array; read-only."""
        m, n = self.shape
        if m * n * len(self) <= _FEW:
            rows, columns = self._dense
            reach: NDArray[np.bool_] = rows.T @ columns > 0
        else:
            reach = np.ascontiguousarray(self.layout.covered(slice(None)))
        reach.flags.writeable = False
        return reach

    @property
    def are_few(self) -> bool:
        """Whether to look at all pairs of them costs little."""
        return len(self) ** 2 * sum(self.shape) <= _FEW

    def overlapping(self, p: int | np.integer[Any]) -> Index:
        """Return the classes that share a place with class p, itself among them, ascending."""
        if self.are_few:
            return np.flatnonzero(self._overlap[p])
        _, own_rows, own_columns = self[p]
        return np.intersect1d(self._by_row.take(own_rows).indices, self._by_column.take(own_columns).indices)

    @cached_property
    def _overlap(self) -> NDArray[np.bool_]:
        """Whether each two classes share a place, a square array; of few classes."""
        overlap: NDArray[np.bool_] = np.logical_and(*self.shared)
        return overlap

    @cached_property
    def _by_row(self) -> IndexLists:
        return self.rows.transposed(self.shape[0])

    @cached_property
    def _by_column(self) -> IndexLists:
        return self.columns.transposed(self.shape[1])

    @cached_property
    def layout(self) -> Layout:
        """All rectangles laid over the matrix, equal rows and equal columns taken once."""
        return Layout.of(self.rows, self.columns, self.shape)


def equivalence_classes(supports: Any) -> EquivalenceClasses:
    """Group the components of a pair by their rank-one support.

    Parameters
    ----------
    supports : Supports or sequence
        Two supports, as `as_supports` takes them.

    Returns
    -------
    EquivalenceClasses
        The classes of the live components, in order of their first member; class p behaves as
        ``classes[p].members``, ``.rows``, ``.columns``, ``.rank``, ``.is_complete``.

    Raises
    ------
    ShapeError
        If there are not exactly two factors.

    Notes
    -----
    Cost: linear in the number of nonzeros.

    References
    ----------
    Le, Riccietti, Gribonval, SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386.

    Examples
    --------
    >>> import fsmf
    >>> classes = fsmf.equivalence_classes(fsmf.low_rank(4, 5, rank=2))
    >>> len(classes), classes[0].rank, classes[0].is_complete
    (1, 2, False)
    """
    supports = as_supports(supports)
    if len(supports) != 2:
        raise ShapeError(f"equivalence classes are those of a pair; found {len(supports)} factors")
    left, right = supports
    rows, columns = IndexLists.of(left.T), IndexLists.of(right)
    (live,) = ((rows.sizes > 0) & (columns.sizes > 0)).nonzero()
    label, first = group_equal_pairs(rows.kept(live), columns.kept(live))
    first = live[first]
    class_of = np.full(left.shape[1], -1, dtype=np.int64)
    class_of[live] = label
    own = IndexLists.of_labels(label)
    members = IndexLists(own.indptr, live[own.indices])
    return EquivalenceClasses(supports.shape, class_of, members, rows.kept(first), columns.kept(first))


def complete_cover(classes: EquivalenceClasses) -> Support:
    """Return S*, the union of the complete classes' rectangles.

    On S* the complete classes make any matrix, so only what lies outside is at stake.

    Parameters
    ----------
    classes : EquivalenceClasses
        The classes of a pair.

    Returns
    -------
    Support
        S*, of shape ``(m, n)``.

    Notes
    -----
    Cost: linear in the places that S* covers.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.complete_cover(fsmf.equivalence_classes(fsmf.lu(2))).toarray().astype(int)
    array([[0, 0],
           [0, 1]])
    """
    which = np.flatnonzero(classes.complete)
    layout = Layout.of(classes.rows.take(which), classes.columns.take(which), classes.shape)
    rows, columns = [], []
    for start in range(0, classes.shape[0], step := max(1, CHUNK // classes.shape[1])):
        i, j = np.nonzero(layout.covered(slice(start, start + step)))
        rows.append(i + start)
        columns.append(j)
    return Support.from_coordinates(np.concatenate(rows), np.concatenate(columns), shape=classes.shape)


@dataclass(frozen=True)
class Collision:
    """Two classes that compete for a place, which rules the block-SVD theorem out.

    Attributes
    ----------
    first, second : int
        The classes. Where `second` is complete, what it leaves of `first` is not a rectangle.
    row, column : int
        A place of the matrix that both rectangles contain.
    """

    first: int
    second: int
    row: int
    column: int


class Rectangles(NamedTuple):
    """What the complete classes leave of the others, pooled: disjoint rectangles with a rank budget each."""

    classes: IndexLists  # the classes pooled in each rectangle
    rows: IndexLists
    columns: IndexLists
    ranks: Index  # members of all pooled classes together


def residual_rectangles(classes: EquivalenceClasses) -> Rectangles | Collision:
    """Find the residual rectangles of the classes that are not complete, or the first collision.

    With S* the union of the complete classes' rectangles, the residual of class P is ``S_P ∖ S*``. If each
    residual is empty or a rectangle, and any two are disjoint or equal, the pair is tractable (Theorem and
    Algorithm B in the guarantees page of the documentation). Places are visited in row-major order.
    """
    which = np.flatnonzero(~classes.complete)
    if len(which) == len(classes):
        residuals: tuple[IndexLists, IndexLists, Index] | Collision = (classes.rows, classes.columns, which)
    else:
        residuals = _residuals(classes)
    if isinstance(residuals, Collision):
        return residuals
    rows, columns, owners = residuals
    # Pool equal residuals: their rank budgets add up.
    label, first = group_equal_pairs(rows, columns)
    own = IndexLists.of_labels(label)
    pooled = IndexLists(own.indptr, owners[own.indices])
    rows, columns = rows.take(first), columns.take(first)
    collision = _first_overlap(Layout.of(rows, columns, classes.shape))
    if collision is not None:
        one, other, row, column = collision
        first_class, second_class = sorted((int(pooled[one][0]), int(pooled[other][0])))
        return Collision(first_class, second_class, row, column)
    ranks = np.bincount(label, weights=classes.members.sizes[owners], minlength=len(first)).astype(np.int64)
    return Rectangles(pooled, rows, columns, ranks)


def _first_overlap(layout: Layout) -> tuple[int, int, int, int] | None:
    """The first place, in row-major order, that two rectangles contain: (one, other, row, column)."""
    for chunk in layout.places():
        owner = np.full(chunk.n_row_types * layout.n_column_types, -1)
        owner[chunk.key] = chunk.rectangle
        clash = np.flatnonzero(owner[chunk.key] != chunk.rectangle)
        if clash.size:
            at = clash[np.argmin(chunk.key[clash])]
            row, column = _place(layout, chunk, at)
            return int(chunk.rectangle[at]), int(owner[chunk.key[at]]), row, column
    return None


def _place(layout: Layout, chunk: Places, at: np.integer[Any]) -> tuple[int, int]:
    row, column = divmod(int(chunk.key[at]), layout.n_column_types)
    return int(layout.first_row[chunk.first_row_type + row]), int(layout.first_column[column])


def _residuals(classes: EquivalenceClasses) -> tuple[IndexLists, IndexLists, Index] | Collision:
    """Rows, columns and owners of the non-empty residuals, all rectangles; or why they are not."""
    layout, complete = classes.layout, classes.complete
    count = np.zeros(len(classes), dtype=np.int64)
    row_hit = np.zeros(layout.memberships.indices.size, dtype=bool)
    column_hit = np.zeros(layout.columns.indices.size, dtype=bool)
    # A random weight per column type: unequal sums prove that two residual rows differ.
    weight = np.random.default_rng(0).integers(1, 1 << 26, layout.n_column_types).astype(float)
    for chunk in layout.places():
        starred = np.zeros(chunk.n_row_types * layout.n_column_types, dtype=bool)
        starred[chunk.key[complete[chunk.rectangle]]] = True
        left = np.flatnonzero(~starred[chunk.key])
        key, incidence = chunk.key[left], chunk.incidence[left]
        base = chunk.incidence[0] if chunk.incidence.size else 0
        owner = np.full(starred.size, -1)
        owner[key] = incidence
        # Within one row, colliding residuals must be equal; checked here so that hopeless pairs stop early.
        total = np.bincount(incidence - base, weights=weight[key % layout.n_column_types])
        clash = np.flatnonzero(total[owner[key] - base] != total[incidence - base])
        if clash.size:
            at = left[clash[np.argmin(key[clash])]]
            other = layout.memberships.indices[owner[chunk.key[at]]]
            one, two = sorted((int(chunk.rectangle[at]), int(other)))
            return Collision(one, two, *_place(layout, chunk, at))
        count += np.bincount(chunk.rectangle[left], minlength=len(classes))
        row_hit[incidence] = True
        column_hit[chunk.column[left]] = True
    by_row = _select(layout.memberships, row_hit).transposed(len(classes))
    by_column = _select(layout.columns, column_hit)
    bent = np.flatnonzero(count != by_row.sizes.astype(np.int64) * by_column.sizes)
    if bent.size:
        return _bend(classes, int(bent[0]), by_row[bent[0]], by_column[bent[0]])
    owners = np.flatnonzero(count)
    return (
        _spread(by_row.take(owners), layout.row_type),
        _spread(by_column.take(owners), layout.column_type),
        owners,
    )


def _select(lists: IndexLists, keep: NDArray[np.bool_]) -> IndexLists:
    """The lists with only the entries that `keep` marks."""
    return IndexLists(offsets(keep.astype(np.int64))[lists.indptr], lists.indices[keep])


def _spread(lists: IndexLists, type_of: Index) -> IndexLists:
    """Replace types by the rows (columns) of those types, ascending."""
    picked = IndexLists.of_labels(type_of).take(lists.indices)
    sizes = np.diff(picked.indptr[lists.indptr])
    owner = np.repeat(np.arange(len(lists)), sizes)
    return IndexLists(offsets(sizes), picked.indices[np.lexsort((picked.indices, owner))])


def _bend(classes: EquivalenceClasses, p: int, row_types: Index, column_types: Index) -> Collision:
    """Where a residual fails to be a rectangle: a place of its hull that a complete class covers."""
    layout, complete = classes.layout, classes.complete
    for row_type in row_types:
        for q in layout.memberships[row_type]:
            if not complete[q]:
                continue
            shared = np.intersect1d(layout.columns[q], column_types)
            if len(shared):
                return Collision(
                    p, int(q), int(layout.first_row[row_type]), int(layout.first_column[shared[0]])
                )
    raise AssertionError("a residual that is not a rectangle misses a place of its hull")
