"""All small patterns up to symmetry, decided one after the other: the minimal ones that are not closed.

A pattern is minimal if its products are no closed set, but those of each of its sub-blocks are. Whether they
are closed depends on the kinds of rows and columns only, of which few repetitions matter; so for a given
number of components there are finitely many patterns to look at, and finitely many minimal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, permutations
from typing import Literal, NamedTuple

from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.pattern import Pattern, bits, union
from fsmf.wellposedness.reductions import find_free_region, without_twins
from fsmf.wellposedness.search import Prover
from fsmf.wellposedness.witnesses import Witness

__all__ = [
    "Census",
    "Kinds",
    "all_kinds",
    "canonical",
    "free_places",
    "kinds_of",
    "pattern_of",
    "supports_of",
]


class Kinds(NamedTuple):
    """List the components that each row and each column lies in, as bit masks; in a canonical order."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __str__(self) -> str:
        sides = ("|".join("".join(map(str, bits(kind))) for kind in side) for side in self)
        return " x ".join(sides)


def kinds_of(supports: Supports) -> Kinds:
    """Return the kinds of a pair as it stands, rows and columns in order."""
    left, right = (support.toarray() for support in supports)
    return Kinds(
        tuple(sum(1 << int(k) for k in row.nonzero()[0]) for row in left),
        tuple(sum(1 << int(k) for k in column.nonzero()[0]) for column in right.T),
    )


def supports_of(kinds: Kinds) -> Supports:
    """Return a pair with these kinds of rows and columns."""
    n = max(union(kinds.rows), union(kinds.columns)).bit_length()
    sides = [
        Support([[kind >> k & 1 for k in range(n)] for kind in side]) for side in (kinds.rows, kinds.columns)
    ]
    return Supports((sides[0], sides[1].T))


def pattern_of(kinds: Kinds) -> Pattern:
    """Return the pattern, without what is dead."""
    n = max(union(kinds.rows), union(kinds.columns)).bit_length()
    return Pattern.cleaned(
        kinds.rows, [1] * len(kinds.rows), kinds.columns, [1] * len(kinds.columns), [1] * n
    )


def free_places(kinds: Kinds) -> set[tuple[int, int]]:
    """Return the rows and columns of the entries that can be anything, whatever the others are."""
    live = union(kinds.rows) & union(kinds.columns)
    rows, columns = ([kind & live for kind in side] for side in kinds)
    freed = find_free_region(pattern_of(kinds))
    assert freed is not None  # there is no deadline
    free = freed.free
    row_kinds, column_kinds = (list(dict.fromkeys(filter(None, side))) for side in (rows, columns))
    return {
        (i, j)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if row and column and free[row_kinds.index(row)] >> column_kinds.index(column) & 1
    }


def all_kinds(n_components: int, max_rows: int, max_columns: int) -> Iterator[Kinds]:
    """Yield every pair of lists of kinds, up to symmetry, sub-blocks before what they are parts of."""
    masks = range(1, 1 << n_components)
    for size in range(2, max_rows + max_columns + 1):
        for m in range(max(1, size - max_columns), min(size - 1, max_rows) + 1):
            seen = set()
            for rows in combinations_with_replacement(masks, m):
                if _renumbered(rows, n_components) != rows:
                    continue
                for columns in combinations_with_replacement(masks, size - m):
                    if union(rows) == union(columns) == masks[-1]:
                        kinds = canonical(Kinds(rows, columns))
                        if kinds not in seen:
                            seen.add(kinds)
                            yield kinds


def canonical(kinds: Kinds) -> Kinds:
    """Return the first of all patterns that permutations and transposition make of one."""
    n = union(kinds.rows).bit_length()
    best = None
    for order in permutations(range(n)):
        moved = [
            tuple(sorted(sum((kind >> k & 1) << order[k] for k in range(n)) for kind in side))
            for side in kinds
        ]
        for rows, columns in (moved, moved[::-1]):
            candidate = (len(rows), len(columns), rows, columns)
            if best is None or candidate < best:
                best = candidate
    assert best is not None
    return Kinds(*best[2:])


def _renumbered(masks: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The first of the sorted tuples that a list of kinds becomes when components are permuted."""
    return min(
        tuple(sorted(sum((mask >> k & 1) << order[k] for k in range(n)) for mask in masks))
        for order in permutations(range(n))
    )


@dataclass
class Census:
    """Decide patterns, and keep the minimal ones without a closed set.

    Attributes
    ----------
    decide : callable
        Takes a pattern and a number of seconds. Returns a `Witness`, or True if products form a closed set,
        or None.
    rounds : tuple of float
        How many seconds it has, one after the other, until it decides.
    minimal : dict of Kinds to Witness
        The minimal ones found.
    undecided : dict of Kinds to None
        Patterns of which all sub-blocks are closed, and that neither a theorem nor a curve decided.
    """

    decide: Callable[[Kinds, float], Witness | Literal[True] | None]
    rounds: tuple[float, ...] = (5.0,)
    minimal: dict[Kinds, Witness] = field(default_factory=dict)
    undecided: dict[Kinds, None] = field(default_factory=dict)
    prover: Prover = field(default_factory=Prover)
    _known: dict[Kinds, bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known.update(dict.fromkeys(self.minimal, False))

    def is_closed(self, kinds: Kinds) -> bool | None:
        """Return whether the products are a closed set; None if that stays open."""
        reduced = self.reduced(kinds)
        if not reduced.rows:
            return True
        reduced = canonical(reduced)
        if reduced not in self._known:
            self._known[reduced] = self._decide(reduced)
        return self._known[reduced]

    def reduced(self, kinds: Kinds) -> Kinds:
        """Return a smaller pattern with the same answer: no twins, nothing dead, no free component."""
        while True:
            pattern = pattern_of(kinds)
            if not pattern.ranks:
                return Kinds((), ())
            smaller = _spread(without_twins(pattern))
            dropped = next((k for k in range(_width(smaller)) if _is_free(smaller, k)), None)
            if dropped is not None:
                smaller = _without(smaller, dropped)
            elif (len(smaller.rows), len(smaller.columns)) == (len(kinds.rows), len(kinds.columns)):
                return smaller
            kinds = smaller

    def _decide(self, kinds: Kinds) -> bool | None:
        answers = [
            self.is_closed(part)
            for rows, columns, turned in ((*kinds, False), (*kinds[::-1], True))
            for i in range(len(rows))
            if i == 0 or rows[i] != rows[i - 1]
            for part in [Kinds(*((rows[:i] + rows[i + 1 :], columns)[:: -1 if turned else 1]))]
        ]
        if False in answers:
            return False
        pattern = pattern_of(kinds)
        if self.prover.prove(pattern) or self.prover.prove(pattern.T):
            return True
        for seconds in self.rounds:
            found = self.decide(kinds, seconds)
            if isinstance(found, Witness):
                self.minimal[kinds] = found
                return False
            if found:
                return True
        self.undecided[kinds] = None
        return None


def _width(kinds: Kinds) -> int:
    return union(kinds.rows).bit_length()


def _spread(pattern: Pattern) -> Kinds:
    """The kinds with repetitions, a component for each unit of rank."""
    first = [sum(pattern.ranks[:p]) for p in range(len(pattern.ranks))]
    members = [((1 << rank) - 1) << at for rank, at in zip(pattern.ranks, first, strict=True)]

    def spread(kinds: Sequence[int], counts: Sequence[int]) -> tuple[int, ...]:
        masks = (union(members[p] for p in bits(kind)) for kind in kinds)
        return tuple(mask for mask, count in zip(masks, counts, strict=True) for _ in range(count))

    return Kinds(spread(pattern.rows, pattern.row_counts), spread(pattern.columns, pattern.column_counts))


def _without(kinds: Kinds, k: int) -> Kinds:
    low = (1 << k) - 1
    return Kinds(*(tuple((kind & low) | (kind >> 1 & ~low) for kind in side) for side in kinds))


def _is_free(kinds: Kinds, k: int) -> bool:
    """Whether all places of a component are free without it, so that dropping it changes nothing."""
    rows, columns = ([i for i, kind in enumerate(side) if kind >> k & 1] for side in kinds)
    free = free_places(_without(kinds, k))
    return all((i, j) in free for i in rows for j in columns)
