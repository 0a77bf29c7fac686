"""The question itself, made small: rows, columns and components that behave alike are counted, not listed.

Whether the products XY with supports (S1, S2) form a closed set depends only on which classes each row and
each column lies in, on how many rows and columns do so, and on the ranks of the classes. A `Pattern` keeps
exactly this, as bit masks in Python integers; millions of nonzeros are usually a few kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from fsmf.supports.layout import IndexLists
from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes

__all__ = ["Pattern", "bits", "largest_flow", "mask_of", "union"]

# Masks with more bits than this are read by NumPy: each step on a long integer costs its length.
_LONG = 2048


def bits(mask: int) -> Iterator[int]:
    """Yield the positions of the ones, ascending."""
    if mask.bit_length() > _LONG:
        data = np.frombuffer(mask.to_bytes(mask.bit_length() // 8 + 1, "little"), dtype=np.uint8)
        held = np.flatnonzero(data)
        places = np.unpackbits(data[held], bitorder="little").reshape(-1, 8)
        at, bit = np.nonzero(places)
        yield from (8 * held[at] + bit).tolist()
        return
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(positions: Iterable[int]) -> int:
    """Return the mask with ones at these positions."""
    mask = 0
    for position in positions:
        mask |= 1 << position
    return mask


def union(masks: Iterable[int]) -> int:
    """Return the bitwise or of the masks."""
    total = 0
    for mask in masks:
        total |= mask
    return total


@dataclass(frozen=True)
class Pattern:
    """Hold the kinds of rows and columns of a pair, how often each occurs, and the ranks of the classes.

    Attributes
    ----------
    rows, columns : tuple of int
        For each kind of row (column) the classes it lies in, bit p for class p; all different, none empty.
    row_counts, column_counts : tuple of int
        How many rows (columns) are of each kind.
    ranks : tuple of int
        Number of components of each class. Classes have different rectangles, none empty.

    Notes
    -----
    Classes are numbered by their first component, kinds by their first row or column.
    """

    rows: tuple[int, ...]
    row_counts: tuple[int, ...]
    columns: tuple[int, ...]
    column_counts: tuple[int, ...]
    ranks: tuple[int, ...]

    @classmethod
    def of(cls, pair: Any) -> Self:
        """Return the pattern of a pair of supports, or of its classes; linear in the nonzeros."""
        classes = pair if isinstance(pair, EquivalenceClasses) else equivalence_classes(pair)
        layout = classes.layout
        n_column_types = layout.n_column_types
        rows = _masks(layout.memberships, len(classes))
        columns = _masks(layout.columns.transposed(n_column_types), len(classes))
        row_counts = np.bincount(layout.row_type, minlength=len(rows)).tolist()
        column_counts = np.bincount(layout.column_type, minlength=n_column_types).tolist()
        live_rows = [i for i, mask in enumerate(rows) if mask]
        live_columns = [j for j, mask in enumerate(columns) if mask]
        return cls(
            tuple(rows[i] for i in live_rows),
            tuple(row_counts[i] for i in live_rows),
            tuple(columns[j] for j in live_columns),
            tuple(column_counts[j] for j in live_columns),
            tuple(classes.members.sizes.tolist()),
        )

    @classmethod
    def cleaned(
        cls,
        rows: Sequence[int],
        row_counts: Sequence[int],
        columns: Sequence[int],
        column_counts: Sequence[int],
        ranks: Sequence[int],
    ) -> Self:
        """Return the pattern of kinds and classes that may be empty or equal, in the order of their first."""
        row_sets, column_sets = _turned(rows, row_counts), _turned(columns, column_counts)
        number: dict[tuple[int, int], int] = {}
        new_ranks: list[int] = []
        new: dict[int, int] = {}
        for k, rank in enumerate(ranks):
            place = (row_sets.get(k, 0), column_sets.get(k, 0))
            if not (all(place) and rank):
                continue
            if place not in number:
                number[place] = len(new_ranks)
                new_ranks.append(0)
            new[k] = 1 << number[place]
            new_ranks[number[place]] += rank
        return cls(
            *_merged(rows, row_counts, new),
            *_merged(columns, column_counts, new),
            tuple(new_ranks),
        )

    @cached_property
    def T(self) -> Pattern:
        """The pattern of the transposed products."""
        return Pattern(self.columns, self.column_counts, self.rows, self.row_counts, self.ranks)

    @cached_property
    def row_sets(self) -> list[int]:
        """For each class the kinds of rows in it, bit i for kind i."""
        sets = _turned(self.rows, self.row_counts)
        return [sets[p] for p in range(len(self.ranks))]

    @cached_property
    def column_sets(self) -> list[int]:
        """For each class the kinds of columns in it."""
        sets = _turned(self.columns, self.column_counts)
        return [sets[p] for p in range(len(self.ranks))]

    @property
    def n_rows(self) -> int:
        """Number of rows, with repetition."""
        return sum(self.row_counts)

    @property
    def n_columns(self) -> int:
        """Number of columns, with repetition."""
        return sum(self.column_counts)

    @property
    def rank(self) -> int:
        """Number of components."""
        return sum(self.ranks)

    def with_columns(self, counts: Sequence[int]) -> Pattern:
        """Return the pattern with so many columns of each kind, 0 for none."""
        return Pattern.cleaned(self.rows, self.row_counts, self.columns, counts, self.ranks)

    def generic_rank(self, classes: int, *, at_most: int) -> int:
        """Return the largest rank of the rows of the right factor that these classes hold, up to a bound.

        Generic entries have independent minors, so it is the largest number of columns that can be given
        to different components of the classes.
        """
        members = list(bits(classes))
        if at_most == 1:
            return 1 if members else 0
        return largest_flow(
            [self.ranks[p] for p in members],
            [self.column_sets[p] for p in members],
            self.column_counts,
            at_most=at_most,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the pattern as lists of integers, as JSON takes them."""
        return {
            "rows": [list(bits(mask)) for mask in self.rows],
            "row_counts": list(self.row_counts),
            "columns": [list(bits(mask)) for mask in self.columns],
            "column_counts": list(self.column_counts),
            "ranks": list(self.ranks),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build the pattern from what `to_dict` returned."""
        return cls(
            tuple(map(mask_of, data["rows"])),
            tuple(map(int, data["row_counts"])),
            tuple(map(mask_of, data["columns"])),
            tuple(map(int, data["column_counts"])),
            tuple(map(int, data["ranks"])),
        )


def largest_flow(
    supplies: Sequence[int], reach: Sequence[int], demands: Sequence[int], *, at_most: int
) -> int:
    """Return how much the supplies can bring to the demands within reach, up to a bound.

    Supply p reaches the demands in the mask ``reach[p]``. Augmenting paths, each found breadth first.
    """
    total = 0
    left = list(demands)
    carried: list[dict[int, int]] = [{} for _ in supplies]  # supply → demand → amount
    for p, supply in enumerate(supplies):
        remaining = supply
        while remaining and total < at_most:
            came_from: dict[int, int] = {}  # demand → supply that asks for it
            asked_by: dict[int, int] = {p: -1}  # supply → demand that it would give up
            queue, seen, end = [p], 0, -1
            for q in queue:
                fresh = reach[q] & ~seen
                seen |= fresh
                for j in bits(fresh):
                    came_from[j] = q
                    if left[j]:
                        end = j
                        break
                    for other, given in enumerate(carried):
                        if other not in asked_by and given.get(j):
                            asked_by[other] = j
                            queue.append(other)
                if end >= 0:
                    break
            if end < 0:
                break
            amount = min(remaining, left[end], at_most - total)
            path, j = [], end
            while True:
                q = came_from[j]
                path.append((q, j))
                if asked_by[q] < 0:
                    break
                amount = min(amount, carried[q][asked_by[q]])
                j = asked_by[q]
            left[end] -= amount
            for q, j in path:
                carried[q][j] = carried[q].get(j, 0) + amount
                if asked_by[q] >= 0:
                    carried[q][asked_by[q]] -= amount
            remaining -= amount
            total += amount
    return total


def _masks(lists: IndexLists, width: int) -> list[int]:
    """Each list as a mask."""
    masks = []
    for p in range(len(lists)):
        indices = lists[p]
        if len(indices) < 64:
            masks.append(mask_of(indices.tolist()))
            continue
        dense = np.zeros(width, dtype=bool)
        dense[indices] = True
        masks.append(int.from_bytes(np.packbits(dense, bitorder="little").tobytes(), "little"))
    return masks


def _turned(masks: Sequence[int], counts: Sequence[int]) -> dict[int, int]:
    """For each position the kinds with a one there, of those that occur."""
    lists: dict[int, list[int]] = {}
    for i, (mask, count) in enumerate(zip(masks, counts, strict=True)):
        if count:
            for p in bits(mask):
                lists.setdefault(p, []).append(i)
    return {p: mask_of(kinds) for p, kinds in lists.items()}


def _merged(
    masks: Sequence[int], counts: Sequence[int], new: dict[int, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The kinds after classes are renumbered: equal ones merged, empty ones dropped."""
    merged: dict[int, int] = {}
    for mask, count in zip(masks, counts, strict=True):
        kind = union(new.get(p, 0) for p in bits(mask))
        if kind and count:
            merged[kind] = merged.get(kind, 0) + count
    return tuple(merged), tuple(merged.values())
