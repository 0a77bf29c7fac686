"""Small sub-blocks without a closed set of products: one of them is enough for the whole.

Zero rows and columns added to a product, or removed, keep it a product: the products of a sub-block are
those of the whole that vanish elsewhere. So a target of the sub-block that is a limit and no product is one
of the whole. Components besides those of the small pattern may reach the entries that its identity does not
use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement, permutations, product
from time import thread_time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.layout import Index, IndexLists
from fsmf.supports.rank_one import EquivalenceClasses
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.pattern import Pattern, bits, mask_of, union
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Minor", "find_corner", "find_minor", "images_of", "witness_of"]

# With more classes than this, only three that all share entries with each other are looked at together.
_CLASSES = 64
# With more than this, no four are.
_CLASSES_FOR_FOUR = 12


class Minor(NamedTuple):
    """Name a sub-block: kinds of rows and columns, with repetition, and classes, in a witness's order."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    classes: tuple[int, ...]
    witness: Witness


def find_corner(pattern: Pattern, deadline: float = float("inf")) -> Minor | None:
    """Return rows i, i' and columns j, j' with the 2 × 2 pattern of LU, or None if there are none.

    A component k covers the four entries, others cover (i', j') and none of the three others. For component k
    look at the graph, rows against columns, of the entries that only k covers. If a connected
    component of this graph is not complete, it has a path i' − j − i − j' whose ends are not joined: the
    corner. If all are complete there is none. Linear in the places of the classes.
    """
    counted: dict[int, tuple[int, int]] = {}  # per kind of row the columns reached once, and more often

    def count(i: int) -> tuple[int, int]:
        if i not in counted:
            once, twice = 0, 0
            for p in bits(pattern.rows[i]):
                columns = pattern.column_sets[p]
                twice |= columns & once if pattern.ranks[p] == 1 else columns
                once |= columns
            counted[i] = once & ~twice, twice
        return counted[i]

    for k, rank in enumerate(pattern.ranks):
        if thread_time() > deadline:
            return None
        columns, rows = pattern.column_sets[k], list(bits(pattern.row_sets[k]))
        if rank > 1 or not any(count(i)[1] & columns for i in rows):
            continue
        found = _path(rows, [columns & count(i)[0] for i in rows])
        if found:
            i, other, j, other_j = found
            l = next(bits(pattern.rows[other] & pattern.columns[other_j] & ~(1 << k)))
            return Minor((i, other), (j, other_j), (k, l), _corner())
    return None


@cache
def _corner() -> Witness:
    """The witness of 2 × 2 LU: [[0, 1], [1, 0]] needs a pivot.

    With a, b the entries of x and c, d those of y of the component that has all four.
    """
    zero, one = Fraction(0), Fraction(1)
    constant, t, over_t, minus_over_t = (
        ((one,), (one,)),
        ((zero, one), (one,)),
        ((one,), (zero, one)),
        ((-one,), (zero, one)),
    )
    b, c, d = ("x", 1, 0), ("y", 0, 0), ("y", 0, 1)
    lower = Support([[1, 0], [1, 1]])
    return Witness(
        lower,
        lower.T,
        ((0, 1, Fraction(1)), (1, 0, Fraction(1))),
        ((0, 0, t), (1, 0, constant), (1, 1, constant)),
        ((0, 0, constant), (0, 1, over_t), (1, 1, minus_over_t)),
        # From a c = 0, a d = 1 and b c = 1 would follow 0 = (a c)(b d) = (a d)(b c) = 1.
        (
            (0, 0, ((Fraction(1), (b, d)),)),
            (0, 1, ((Fraction(-1), (b, c)),)),
            (1, 0, ((Fraction(-1), ()),)),
        ),
    )


def _path(rows: Sequence[int], entries: Sequence[int]) -> tuple[int, int, int, int] | None:
    """Rows i, i' and columns j, j' with entries (i, j), (i', j), (i, j') and without (i', j')."""
    classes: list[tuple[int, int]] = []  # the entries of rows seen so far: disjoint, if there is no such path
    for i, here in zip(rows, entries, strict=True):
        for other, there in classes:
            shared = here & there
            if shared and here != there:
                long, short = ((i, here), (other, there)) if here & ~there else ((other, there), (i, here))
                return long[0], short[0], next(bits(shared)), next(bits(long[1] & ~short[1]))
            if shared:
                break
        else:
            if here:
                classes.append((i, here))
    return None


class _Form(NamedTuple):
    """A witness with its classes in some order: what the kinds of its rows and columns must be."""

    witness: Witness
    order: tuple[int, ...]  # which of its components each of the chosen ones is
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    used_rows: tuple[int, ...]  # per column: the rows at which its identity uses the entry


class _Forms(NamedTuple):
    """Forms, smallest first, and which kinds of rows and columns each one needs, as masks over all kinds."""

    forms: tuple[_Form, ...]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def within(self, rows: Iterable[int], columns: Iterable[int]) -> Iterator[_Form]:
        """Yield those that need none but these kinds."""
        no_rows, no_columns = (~mask_of(kinds) for kinds in (rows, columns))
        for at in np.flatnonzero((self.rows & no_rows | self.columns & no_columns) == 0):
            yield self.forms[at]


@cache
def _forms(n_classes: int) -> _Forms:
    """Every small witness with so many components, both ways round, its components in every order."""
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], _Form] = {}
    orders = list(permutations(range(n_classes)))
    moved = [
        [sum((kind >> k & 1) << q for q, k in enumerate(order)) for kind in range(1 << n_classes)]
        for order in orders
    ]
    for original in minimal_patterns(n_classes):
        for witness in (original, original.transposed()):
            left, right = (support.toarray() for support in witness.supports)
            rows, columns = (
                [mask_of(line.nonzero()[0].tolist()) for line in side] for side in (left, right.T)
            )
            used = [0] * len(columns)
            for i, j, _ in witness.cofactors:
                used[j] |= 1 << i
            for order, kinds in zip(orders, moved, strict=True):
                here = tuple(kinds[kind] for kind in rows), tuple(kinds[kind] for kind in columns)
                key = tuple(sorted(here[0])), tuple(sorted(here[1]))
                found.setdefault(key, _Form(witness, order, *here, tuple(used)))
    forms = sorted(found.values(), key=lambda form: len(form.rows) * len(form.columns))
    needs = np.array([[mask_of(form.rows), mask_of(form.columns)] for form in forms], dtype=np.int64)
    return _Forms(tuple(forms), needs[:, 0], needs[:, 1])


def find_minor(pattern: Pattern, deadline: float = float("inf")) -> Minor | None:
    """Return a sub-block with one of the known patterns, or None; stops at the deadline.

    Components are chosen first, two to four of them; then rows that look as the small pattern's do to
    these, then columns, which no other component may reach at entries that the identity uses.
    """
    for size in (2, 3) if len(pattern.ranks) > _CLASSES_FOR_FOUR else (2, 3, 4):
        for chosen in _selections(pattern, size):
            if thread_time() > deadline:
                return None
            rows = _seen(pattern.rows, chosen)
            columns = _seen(pattern.columns, chosen)
            for form in _forms(size).within(rows, columns):
                found = _place(pattern, chosen, form, rows, columns)
                if found:
                    return found
    return None


def _selections(pattern: Pattern, size: int) -> Iterator[tuple[int, ...]]:
    """Components by class, a class at most as often as its rank, that all share an entry with another."""
    n = len(pattern.ranks)
    beside = [
        union(pattern.rows[i] for i in bits(rows)) & union(pattern.columns[j] for j in bits(columns))
        for rows, columns in zip(pattern.row_sets, pattern.column_sets, strict=True)
    ]
    if size == 2:
        yield from ((p, q + p + 1) for p in range(n) for q in bits(beside[p] >> (p + 1)))
    elif n <= _CLASSES:
        for chosen in combinations_with_replacement(range(n), size):
            mask = union(1 << p for p in chosen)
            if mask.bit_count() > 1 and all(
                chosen.count(p) <= pattern.ranks[p] and (chosen.count(p) > 1 or beside[p] & mask & ~(1 << p))
                for p in chosen
            ):
                yield chosen
    else:
        yield from (
            (p, q + p + 1, s + q + p + 2)
            for p in range(n)
            for q in bits(beside[p] >> (p + 1))
            for s in bits((beside[p] & beside[q + p + 1]) >> (q + p + 2))
        )


def _seen(kinds: Sequence[int], chosen: Sequence[int]) -> dict[int, list[int]]:
    """The kinds by the chosen components that they lie in."""
    seen: dict[int, list[int]] = {}
    for i, kind in enumerate(kinds):
        restricted = sum((kind >> p & 1) << q for q, p in enumerate(chosen))
        seen.setdefault(restricted, []).append(i)
    return seen


def _place(
    pattern: Pattern,
    chosen: tuple[int, ...],
    form: _Form,
    rows: dict[int, list[int]],
    columns: dict[int, list[int]],
) -> Minor | None:
    """A place of the form in the pattern with the chosen components, or None."""
    # Components of a chosen class beyond those chosen are others, too.
    extra = union(1 << p for p in chosen if pattern.ranks[p] > chosen.count(p))
    foreign = ~union(1 << p for p in chosen) | extra
    for picked in product(*(rows[kind] for kind in form.rows)):
        if any(picked.count(i) > pattern.row_counts[i] for i in picked):
            continue
        others = [pattern.rows[i] & foreign for i in picked]
        taken: list[int] = []
        for kind, used in zip(form.columns, form.used_rows, strict=True):
            seen = union(others[i] for i in bits(used))
            for j in columns[kind]:
                if not pattern.columns[j] & seen and taken.count(j) < pattern.column_counts[j]:
                    taken.append(j)
                    break
            else:
                break
        else:
            named = sorted(range(len(chosen)), key=form.order.__getitem__)
            return Minor(picked, tuple(taken), tuple(chosen[q] for q in named), form.witness)
    return None


def witness_of(minor: Minor, classes: EquivalenceClasses, supports: Supports) -> Witness:
    """Return the witness for supports, and their classes, in whose pattern the minor was found."""
    rows, columns, members = images_of(classes)

    def images(kinds: Sequence[int], places: Sequence[Index]) -> list[int]:
        return [int(places[kind][kinds[:at].count(kind)]) for at, kind in enumerate(kinds)]

    return minor.witness.padded(
        images(minor.rows, rows), images(minor.columns, columns), images(minor.classes, members), supports
    )


def images_of(classes: EquivalenceClasses) -> tuple[list[Index], list[Index], Sequence[Index]]:
    """Return the rows and the columns of each kind of the pattern, and the components of each class."""
    layout = classes.layout
    by_column = layout.columns.transposed(layout.n_column_types)

    def places(types: Index, lists: IndexLists) -> list[Index]:
        return [np.flatnonzero(types == t) for t in range(len(lists)) if lists.sizes[t]]

    rows, columns = places(layout.row_type, layout.memberships), places(layout.column_type, by_column)
    return rows, columns, [classes.members[p] for p in range(len(classes))]
