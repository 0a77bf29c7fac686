"""What constraints allow, read off their definitions, for the checks of proofs about unions of supports.

Nothing is shared with the search, nor with projections: places are sets of pairs, and whatever meets a small
constraint is counted out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any

from fsmf.supports.constraints import Constraint, Free, OnSupport, RowColumnSparse
from fsmf.supports.groups import GroupSparse
from fsmf.supports.sparsity import NM, BlockSparse, ColumnSparse, KSparse, RowSparse
from fsmf.supports.support import Support

__all__ = [
    "Cells",
    "Rectangle",
    "allows",
    "cells",
    "component_sets",
    "fits_within",
    "largest_choices",
    "meets",
    "most_on_line",
    "reached",
    "rectangles",
    "room_of_lines",
    "standard_form",
]

Cell = tuple[int, int]
Cells = frozenset[Cell]
# The rows and the columns of a component on some choice of supports, as masks.
Rectangle = tuple[int, int]

# Constraints on more places are not counted out.
_PLACES = 12


def cells(support: Support) -> Cells:
    """Return the places of a support."""
    rows, columns = (side.tolist() for side in support.coordinates())
    return frozenset(zip(rows, columns, strict=True))


def allows(one: Constraint, places: Iterable[Cell]) -> bool:
    """Return whether nonzeros at some places meet a constraint on matrices."""
    places = list(places)
    if isinstance(one, Free):
        return True
    if isinstance(one, OnSupport):
        return all(one.allowed[place] for place in places)
    if isinstance(one, BlockSparse | GroupSparse):
        return (
            len({label for label in (_label(one, place) for place in places) if label is not None}) <= one.k
        )
    return all(max(Counter(map(group, places)).values(), default=0) <= room for group, room in _numbers(one))


def meets(constraints: Sequence[Constraint], pair: Sequence[Support]) -> bool:
    """Return whether supports meet the constraints, one by one."""
    return len(constraints) == len(pair) and all(
        one.shape == support.shape and allows(one, cells(support))
        for one, support in zip(constraints, pair, strict=True)
    )


def _label(one: BlockSparse | GroupSparse, place: Cell) -> Any:
    """The block or group of a place; None where it is not counted."""
    if isinstance(one, BlockSparse):
        p, q = one.block
        return place[0] // p, place[1] // q
    label = int(one.labels[place])
    return None if label < 0 else label


def _numbers(one: Constraint) -> list[tuple[Callable[[Cell], Any], int]]:
    """What is counted: the group of each place, and how many nonzeros a group may have."""
    if isinstance(one, KSparse):
        return [(lambda place: None, one.k)]
    if isinstance(one, RowSparse):
        return [(lambda place: place[0], one.k)]
    if isinstance(one, ColumnSparse):
        return [(lambda place: place[1], one.k)]
    if isinstance(one, NM):
        return [(lambda place: (place[0], place[1] // one.of), one.k)]
    if isinstance(one, RowColumnSparse) and one.columns is not None:
        return [(lambda place: place[0], one.k), (lambda place: place[1], one.columns)]
    raise ValueError(f"a constraint of another kind: {one!r}")


def largest_choices(one: Constraint) -> list[Cells] | None:
    """Return all sets of places that meet a constraint and no further place; None if places are too many."""
    m, n = one.shape
    every = [(i, j) for i in range(m) for j in range(n)]
    if isinstance(one, Free):
        return [frozenset(every)]
    if isinstance(one, OnSupport):
        return [frozenset(place for place in every if one.allowed[place])]
    if len(every) > _PLACES:
        return None

    def chosen(mask: int) -> Cells:
        return frozenset(place for at, place in enumerate(every) if mask >> at & 1)

    met = {mask for mask in range(1 << len(every)) if allows(one, chosen(mask))}
    one_more = [1 << at for at in range(len(every))]
    return [
        chosen(mask)
        for mask in sorted(met)
        if not any(mask | bit in met for bit in one_more if not mask & bit)
    ]


def most_on_line(one: Constraint, axis: int, at: int) -> int:
    """Return how many nonzeros one row (axis 0) or one column (axis 1) may have at most."""
    line = [(at, p) if axis == 0 else (p, at) for p in range(one.shape[1 - axis])]
    if isinstance(one, Free | OnSupport):
        return sum(allows(one, [place]) for place in line)
    if isinstance(one, BlockSparse | GroupSparse):
        sizes = Counter(_label(one, place) for place in line)
        return sizes.pop(None, 0) + sum(sorted(sizes.values())[-one.k :])
    # On a line one of two numbers counts it as a whole, and the other place by place.
    return min(
        sum(min(room, size) for size in Counter(map(group, line)).values()) for group, room in _numbers(one)
    )


def room_of_lines(one: Constraint, axis: int) -> frozenset[tuple[frozenset[int], int]] | None:
    """Return for sets of rows (axis 0) or columns (axis 1) how many nonzeros they have room for together.

    None if the constraint asks for more, or for something else.
    """
    n_lines, length = one.shape[axis], one.shape[1 - axis]
    every = frozenset(range(n_lines))
    if isinstance(one, Free | KSparse):
        return frozenset({(every, n_lines * length if isinstance(one, Free) else one.k)})
    by_line = isinstance(one, (RowSparse, ColumnSparse)[axis])
    if by_line or (isinstance(one, NM) and axis == 0 and one.of == length):
        assert isinstance(one, RowSparse | ColumnSparse | NM)
        return frozenset((frozenset({at}), one.k) for at in every)
    if isinstance(one, OnSupport):
        full = frozenset(at for at in every if most_on_line(one, axis, at) == length)
        if all(at in full or not most_on_line(one, axis, at) for at in every):
            parts = ((full, len(full) * length), (every - full, 0))
            return frozenset((lines, room) for lines, room in parts if lines)
    return None


def rectangles(left: Cells, right: Cells, inner: int) -> tuple[Rectangle, ...]:
    """Return the rows and the columns of each component on one choice of supports."""
    found = [[0, 0] for _ in range(inner)]
    for i, k in left:
        found[k][0] |= 1 << i
    for k, j in right:
        found[k][1] |= 1 << j
    return tuple((rows, columns) for rows, columns in found)


def reached(choice: Iterable[Rectangle], n: int) -> int:
    """Return the places that components reach in a matrix of n columns, as a mask, row by row."""
    mask = 0
    for rows, columns in choice:
        for i in range(rows.bit_length()):
            if rows >> i & 1:
                mask |= columns << (n * i)
    return mask


def component_sets(places: Cells, axis: int, n_lines: int) -> tuple[int, ...]:
    """Return the components in each row of a left factor (axis 0), or column of a right one (1), in order."""
    sets = [0] * n_lines
    for place in places:
        sets[place[axis]] |= 1 << place[1 - axis]
    return tuple(sorted(sets))


def standard_form(rows: Sequence[int], columns: Sequence[int], inner: int) -> tuple[tuple[int, ...], ...]:
    """Return what is the same for all orders of rows, columns and components, from the sets of these."""
    forms = []
    for order in permutations(range(inner)):
        renamed = {
            mask: sum(1 << order[k] for k in range(inner) if mask >> k & 1) for mask in {*rows, *columns}
        }
        forms.append(tuple(tuple(sorted(renamed[mask] for mask in side)) for side in (rows, columns)))
    return min(forms)


def fits_within(choice: Sequence[Rectangle], other: Sequence[Rectangle]) -> bool:
    """Return whether the components of a choice lie within different ones of another."""
    return len(choice) == len(other) and any(
        all(not (R & ~S or C & ~D) for (R, C), (S, D) in zip(choice, order, strict=True))
        for order in permutations(other)
    )
