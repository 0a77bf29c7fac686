"""The supports that meet constraints, gone through by the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations, product
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.constraints import Constraint, Free, OnSupport
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.rational import Entries

__all__ = ["Bools", "Kind", "is_listed", "kind_of", "kinds_on", "meeting", "most_at_once", "pairs_by_kind"]

# Constraints on more places are not gone through, support by support.
_PLACES = 12
# With more places constraints that do not count entries are not projected on line by line.
_PROJECTED = 2500

# The supports of a pair up to the order of rows, columns and components: for each row the components that it
# lies in, and for each column.
Kind = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
Bools = NDArray[np.bool_]


def meeting(constraint: Constraint) -> list[Bools] | None:
    """Return the largest supports that meet a constraint, or None if there are too many places.

    Parameters
    ----------
    constraint : Constraint
        On a matrix.

    Returns
    -------
    list of ndarray of bool, or None
        None of them within another; every array that meets the constraint has its nonzeros within one.

    Examples
    --------
    >>> import fsmf
    >>> len(meeting(fsmf.KSparse((2, 2), 3)))
    4
    """
    if isinstance(constraint, Free | OnSupport):
        return [constraint.places(np.ones(constraint.shape))]
    if constraint.size > _PLACES:
        return None
    found: list[Bools] = []
    masks = sorted(range(1 << constraint.size), key=int.bit_count, reverse=True)
    held: list[int] = []
    for mask in masks:
        if any(mask & other == mask for other in held):
            continue
        chosen = np.array([mask >> p & 1 for p in range(constraint.size)], dtype=bool)
        places = chosen.reshape(constraint.shape)
        if constraint.contains(places):
            held.append(mask)
            found.append(places)
    return found


def kind_of(left: Bools, right: Bools) -> Kind:
    """Return a pair up to the order of rows, columns and components: the first of all orders."""
    r = left.shape[1]
    return min(_sorted_sides(left[:, list(order)], right[list(order)]) for order in permutations(range(r)))


def kinds_on(
    left: Sequence[Bools], right: Sequence[Bools], deadline: float = float("inf")
) -> dict[Kind, Supports] | None:
    """Return the kinds of all pairs of a support from the left and one from the right, and a pair of each.

    None if that takes longer than to the deadline.
    """
    # Rows and columns are put in order first: few arrays are left then.
    lefts, rights = ({_lines(P): P for P in side} for side in (left, [J.T for J in right]))
    found: dict[Kind, tuple[Bools, Bools]] = {}
    for I, J in product(lefts.values(), rights.values()):
        if thread_time() > deadline:
            return None
        found[kind_of(I, J.T)] = I, J.T
    return {kind: Supports(map(Support, pair)) for kind, pair in found.items()}


def pairs_by_kind(left: Sequence[Bools], right: Sequence[Bools]) -> Iterator[tuple[Kind, Bools, Bools]]:
    """Yield all pairs of a support from the left and one from the right, with their kinds."""
    kind = cache(lambda rows, columns: kind_of(np.array(rows), np.array(columns).T))
    rights = [(_lines(J.T), J) for J in right]
    for I in left:
        rows = _lines(I)
        yield from ((kind(rows, columns), I, J) for columns, J in rights)


def is_listed(
    I: Bools,
    J: Bools,
    listed: Sequence[tuple[Bools, ...]],
    target: Entries[Fraction],
    rows: Sequence[int],
    columns: Sequence[int],
) -> bool:
    """Return whether a pair misses a nonzero of the target, or is within a listed pair up to an order."""
    reach = I.astype(int) @ J.astype(int)
    if any(not reach[rows.index(i), columns.index(j)] for i, j, _ in target):
        return True
    orders = [list(order) for order in permutations(range(I.shape[1]))]
    return any(
        not (I[:, order] & ~left).any() and not (J[order] & ~right).any()
        for left, right in listed
        for order in orders
    )


def most_at_once(constraint: Constraint, *, by_rows: bool = False) -> list[int]:
    """Return how many places of each column, or of each row, an array may have at most; no less if large."""
    m, n = constraint.shape
    quotas = constraint.quotas()
    if quotas is None and constraint.size > _PROJECTED:
        return [n] * m if by_rows else [m] * n
    if quotas is None:
        most = []
        for at in range(m if by_rows else n):
            M = np.zeros((m, n))
            M[(at, slice(None)) if by_rows else (slice(None), at)] = 1
            most.append(int(constraint.places(M).sum()))
        return most
    group = quotas.group if by_rows else quotas.group.T
    lines = np.arange(len(group))[:, None]
    keys, sizes = np.unique(lines * quotas.room.size + group, return_counts=True)
    line, group = np.divmod(keys, quotas.room.size)
    found: list[int] = np.bincount(line, np.minimum(sizes, quotas.room[group])).astype(int).tolist()
    return found


def _sorted_sides(left: Bools, right: Bools) -> Kind:
    return _lines(left), _lines(right.T)


def _lines(places: Bools) -> tuple[tuple[int, ...], ...]:
    """The rows, in order."""
    return tuple(sorted(map(tuple, places.astype(int).tolist())))
