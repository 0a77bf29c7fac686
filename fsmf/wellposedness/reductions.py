"""Smaller questions with the same answer: repeated rows and columns, and entries that can be anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import NamedTuple

from fsmf.wellposedness.pattern import Pattern, bits, largest_flow, union

__all__ = ["Freed", "Piece", "find_free_region", "group_pattern", "without_twins"]


def without_twins(pattern: Pattern) -> Pattern:
    """Return the pattern with as few rows and columns of each kind as decide the question.

    Let T be the rows of one kind, in the classes S, and c the generic rank of the right factor's rows in S.
    Keeping min(|T|, c) of them changes nothing.

    *Proof.* A sub-block of a closed set of products is one. Conversely let B be a limit. Then B[T] has rank
    at most c, as every product has; c rows of T span its row space. They and the other rows are a limit of
    the smaller pattern, hence one of its products; the remaining rows of T are combinations of the c, and
    the same combinations of the rows of X have the support. ∎ A class also needs no more components than
    its shorter side.
    """
    row_counts = [
        min(count, pattern.generic_rank(kind, at_most=count))
        for kind, count in zip(pattern.rows, pattern.row_counts, strict=True)
    ]
    fewer = Pattern(pattern.rows, tuple(row_counts), pattern.columns, pattern.column_counts, pattern.ranks)
    turned = fewer.T
    column_counts = [
        min(count, turned.generic_rank(kind, at_most=count))
        for kind, count in zip(pattern.columns, pattern.column_counts, strict=True)
    ]
    ranks = [
        min(rank, _weight(rows, row_counts), _weight(columns, column_counts))
        for rank, rows, columns in zip(pattern.ranks, pattern.row_sets, pattern.column_sets, strict=True)
    ]
    return Pattern(pattern.rows, tuple(row_counts), pattern.columns, tuple(column_counts), tuple(ranks))


class Piece(NamedTuple):
    """Hold a part of some classes: masks of the classes, and of the kinds of rows and columns it spans."""

    classes: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Freed:
    """Hold the entries that can be anything, and what the classes do on the others.

    Attributes
    ----------
    free : tuple of int
        For each kind of row the kinds of columns where entries can be anything.
    steps : tuple of Piece
        The pieces that make them so, in an order in which each can be checked.
    groups : tuple of tuple of Piece
        The remaining pieces; those of different groups share no entry that is not free.
    """

    free: tuple[int, ...]
    steps: tuple[Piece, ...]
    groups: tuple[tuple[Piece, ...], ...]


def find_free_region(pattern: Pattern, deadline: float = float("inf")) -> Freed | None:
    """Find entries that can be anything, and the groups that the rest falls into; None if time runs out.

    F, empty at first, is the set of free entries: adding anything on F to a product gives a product. What a
    class of rank r makes outside F falls apart into the connected components of the graph of its entries,
    rows against columns, and each component is chosen freely among the restrictions of matrices of rank r,
    since they share no row and no column. Components of several classes with the same rows and columns are
    one, of the sum of the ranks. If r lines (rows or columns) cover the entries of a component, it makes
    any values there, and its entries join F. At the end the products are a closed set if and only if, for
    each group of components that are linked by shared entries, the sums of the group's components are.
    *Proof.* The restriction of the products to the complement of F is the product of the groups' sets, and a
    product of non-empty sets is closed exactly when each is; the products are the preimage of their
    restriction. ∎
    """
    free = [0] * len(pattern.rows)
    steps: list[Piece] = []
    pieces = [
        Piece(1 << p, rows, columns)
        for p, (rows, columns) in enumerate(zip(pattern.row_sets, pattern.column_sets, strict=True))
    ]
    version = [0] * len(pattern.rows)  # when a row of F last grew
    looked = 0
    while True:
        clock = len(steps)
        parts: dict[tuple[int, int], int] = {}
        for at, (classes, rows, columns) in enumerate(pieces):
            if not at % 64 and thread_time() > deadline:
                return None
            if looked and all(version[i] <= looked - 1 for i in bits(rows)):
                split: Iterator[tuple[int, int]] = iter([(rows, columns)])
            else:
                split = _components(free, rows, columns)
            for place in split:
                parts[place] = parts.get(place, 0) | classes
        pieces = []
        for (rows, columns), classes in parts.items():
            rank = sum(pattern.ranks[p] for p in bits(classes))
            if _is_covered(pattern, free, rows, columns, rank):
                steps.append(Piece(classes, rows, columns))
                for i in bits(rows):
                    if columns & ~free[i]:
                        free[i] |= columns
                        version[i] = len(steps)
            else:
                pieces.append(Piece(classes, rows, columns))
        if len(steps) == clock:
            return Freed(tuple(free), tuple(steps), _groups(free, pieces))
        looked = clock + 1


def group_pattern(pattern: Pattern, free: Sequence[int], group: Sequence[Piece]) -> Pattern:
    """Return the question that one group asks: its pieces, and the free entries in its rows and columns.

    The classes are the pieces in order and, unless no piece has a free entry, one class for each kind of
    row that makes every value on its free entries.
    """
    rows, columns = union(piece.rows for piece in group), union(piece.columns for piece in group)
    row_kinds, column_kinds = list(bits(rows)), list(bits(columns))
    rectangles = [(piece.rows, piece.columns) for piece in group]
    ranks = [sum(pattern.ranks[p] for p in bits(piece.classes)) for piece in group]
    if any(free[i] & piece.columns for piece in group for i in bits(piece.rows)):
        for i in row_kinds:
            if free[i] & columns:
                rectangles.append((1 << i, free[i] & columns))
                ranks.append(min(pattern.row_counts[i], _weight(free[i] & columns, pattern.column_counts)))
    row_masks, column_masks = dict.fromkeys(row_kinds, 0), dict.fromkeys(column_kinds, 0)
    for q, (row_set, column_set) in enumerate(rectangles):
        for i in bits(row_set):
            row_masks[i] |= 1 << q
        for j in bits(column_set):
            column_masks[j] |= 1 << q
    return Pattern.cleaned(
        list(row_masks.values()),
        [pattern.row_counts[i] for i in row_kinds],
        list(column_masks.values()),
        [pattern.column_counts[j] for j in column_kinds],
        ranks,
    )


def _weight(kinds: int, counts: Sequence[int]) -> int:
    """How many rows or columns these kinds hold."""
    return sum(counts[i] for i in bits(kinds))


def _components(free: Sequence[int], rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """The connected components of the entries of a rectangle that are not free: rows and columns of each."""
    waiting = [(i, columns & ~free[i]) for i in bits(rows)]
    found: list[tuple[int, int]] = []
    for i, entries in waiting:
        if not entries:
            continue
        joined_rows, joined_columns = 1 << i, entries
        apart = []
        for other in found:
            if other[1] & joined_columns:
                joined_rows |= other[0]
                joined_columns |= other[1]
            else:
                apart.append(other)
        found = [*apart, (joined_rows, joined_columns)]
    return iter(found)


def _is_covered(pattern: Pattern, free: Sequence[int], rows: int, columns: int, rank: int) -> bool:
    """Whether at most `rank` lines cover the entries that are not free (König: largest matching)."""
    if min(_weight(rows, pattern.row_counts), _weight(columns, pattern.column_counts)) <= rank:
        return True
    kinds = list(bits(rows))
    reach = [columns & ~free[i] for i in kinds]
    if all(entries == columns for entries in reach):
        return False
    supplies = [pattern.row_counts[i] for i in kinds]
    return largest_flow(supplies, reach, pattern.column_counts, at_most=rank + 1) <= rank


def _groups(free: Sequence[int], pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """Join the pieces that share an entry that is not free."""
    parent = list(range(len(pieces)))

    def root(p: int) -> int:
        while parent[p] != p:
            parent[p] = p = parent[parent[p]]
        return p

    in_row: dict[int, list[int]] = {}
    for p, piece in enumerate(pieces):
        for i in bits(piece.rows):
            in_row.setdefault(i, []).append(p)
    for i, members in in_row.items():
        blocks: list[tuple[int, int]] = []  # disjoint sets of columns, and a piece of each
        for p in members:
            columns = pieces[p].columns & ~free[i]
            apart = []
            for block, q in blocks:
                if block & columns:
                    columns |= block
                    parent[root(q)] = root(p)
                else:
                    apart.append((block, q))
            blocks = [*apart, (columns, p)]
    groups: dict[int, list[Piece]] = {}
    for p, piece in enumerate(pieces):
        groups.setdefault(root(p), []).append(piece)
    return tuple(map(tuple, groups.values()))
