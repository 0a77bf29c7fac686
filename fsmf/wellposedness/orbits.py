"""Proof by finitely many normal forms that the products on small supports are a closed set.

Let Z be the matrices on the reach of the supports whose blocks have no higher rank than products have there:
for components S and T, the rows that avoid S and the columns that avoid T form a block that only the
components outside S and T reach, and their number bounds its rank. Z is closed and contains the products P.
Adding a multiple of row i to row i', where every component of row i is one of row i', maps P to P (do the
same to X) and Z to Z, since a block with row i' has row i; likewise for columns, and for scaling both.
So if each matrix of Z can be brought to a form in P by such operations, P = Z is closed.

The forms are found by cases: an entry is 0, or it is not, and then clears what the operations let it clear.
In the end each entry is 0 or not; those of a spanning forest are scaled to 1, and the others are parameters.
A form must have factors that are rational in the parameters, with finitely many exceptions to be looked at
likewise; or a minor shows that it is not in Z, or for which parameters alone it may be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations, permutations, product
from typing import NamedTuple

from fsmf.wellposedness.enumeration import Kinds, supports_of
from fsmf.wellposedness.equations import System
from fsmf.wellposedness.pattern import union
from fsmf.wellposedness.polynomials import (
    Laurent,
    add,
    constant,
    evaluate,
    monomial,
    multiply,
    occurring,
    powers,
    split,
    substitute,
    term,
)
from fsmf.wellposedness.solving import GaveUpError, Solution, solve

__all__ = ["Cover", "find_cover"]

Place = tuple[int, int]


class Cover(NamedTuple):
    """Count the normal forms that have factors, and those that are no limits of products."""

    attained: int
    excluded: int


def find_cover(kinds: Kinds, *, max_seconds: float = 30.0) -> Cover | None:
    """Try to prove that the products are a closed set, bringing all candidates for limits to normal forms.

    Parameters
    ----------
    kinds : Kinds
        The components of each row and of each column.
    max_seconds : float, optional
        When to give up, in seconds of processor time.

    Returns
    -------
    Cover or None
        None if a form was left open, which says nothing.

    Notes
    -----
    **Guarantee.** With a cover, the products are a closed set, over the reals and over the complex numbers.

    **Cost.** Exponential in the number of entries at worst; a second for 3 × 4 entries.

    Examples
    --------
    >>> find_cover(Kinds((1, 1), (1, 1)))
    Cover(attained=5, excluded=2)
    >>> find_cover(Kinds((1, 3), (1, 3))) is None
    True
    """
    cover = _Forms(kinds, time.thread_time() + max_seconds)
    try:
        cover.explore(dict.fromkeys(cover.reach))
    except GaveUpError:
        return None
    return Cover(cover.attained, cover.excluded)


class _Forms:
    def __init__(self, kinds: Kinds, deadline: float) -> None:
        self.kinds = kinds
        self.deadline = deadline
        self.reach = [
            (i, j)
            for i, row in enumerate(kinds.rows)
            for j, column in enumerate(kinds.columns)
            if row & column
        ]
        # Rows and columns in few components come first: they clear most.
        self.reach.sort(
            key=lambda place: (
                kinds.rows[place[0]].bit_count() + kinds.columns[place[1]].bit_count(),
                place,
            )
        )
        self.supports = supports_of(kinds)
        self.blocks = list(_blocks(kinds))
        self.attained = self.excluded = 0

    def explore(self, entries: dict[Place, bool | None]) -> None:
        """Go through the cases; an entry is known to be 0 (False), or not to be (True), or unknown (None)."""
        if time.thread_time() > self.deadline:
            raise GaveUpError("the time was over")
        entries = self.cleared(entries)
        open_place = next((place for place in self.reach if entries[place] is None), None)
        if open_place is None:
            self.settle(self.scaled([place for place in self.reach if entries[place]]))
            return
        for value in (False, True):
            self.explore({**entries, open_place: value})

    def cleared(self, entries: dict[Place, bool | None]) -> dict[Place, bool | None]:
        """The entries after all operations that make an entry 0 and no known one unknown."""
        entries = dict(entries)
        changed = True
        while changed:
            changed = False
            for i, j in self.reach:
                if not entries[i, j]:
                    continue
                for other in self.clearable(entries, i, j):
                    entries[other] = False
                    changed = True
        return entries

    def clearable(self, entries: Mapping[Place, bool | None], i: int, j: int) -> Iterator[Place]:
        """The entries that the one at i, j can make 0, while others only change where they are unknown."""
        rows, columns = self.kinds

        def spoils(own: Place, other: Place) -> bool:
            return entries.get(own) is not False and own in entries and entries[other] is not None

        for other, kind in enumerate(rows):
            may = other != i and not rows[i] & ~kind and entries[other, j] is not False
            if may and not any(spoils((i, c), (other, c)) for c in range(len(columns)) if c != j):
                yield other, j
        for other, kind in enumerate(columns):
            may = other != j and not columns[j] & ~kind and entries[i, other] is not False
            if may and not any(spoils((r, j), (r, other)) for r in range(len(rows)) if r != i):
                yield i, other

    def scaled(self, places: list[Place]) -> dict[Place, Laurent]:
        """The form with 1 on a spanning forest, and parameters 0, 1, … on the other nonzeros."""
        tree: dict[tuple[str, int], tuple[str, int]] = {}

        def root(node: tuple[str, int]) -> tuple[str, int]:
            while node in tree:
                node = tree[node]
            return node

        form, n_parameters = {}, 0
        for i, j in places:
            a, b = root(("row", i)), root(("column", j))
            if a == b:
                form[i, j] = term(1, n_parameters)
                n_parameters += 1
            else:
                tree[a] = b
                form[i, j] = constant(1)
        return form

    def settle(self, form: dict[Place, Laurent]) -> None:
        """Find factors of a form, or show where it is not in Z; give up otherwise."""
        found = self.factors(form)
        if found is not None:
            self.attained += 1
            for _, q in found.inverses:  # the factors hold where q is not 0
                self.restrict(form, [q])
            return
        minors = [minor for minor in self.minors(form) if minor]
        if any(len(minor) == 1 for minor in minors):
            self.excluded += 1
        else:
            self.restrict(form, minors)

    def restrict(self, form: dict[Place, Laurent], vanishing: list[Laurent]) -> None:
        """Settle a form where polynomials in its parameters vanish, one of which gives a parameter v.

        That v is not 0 is forgotten, which only makes more forms.
        """
        for q in sorted(vanishing, key=len):
            for v in sorted(occurring(q)):
                parts = split(q, v)
                low = min(parts)
                if sorted(parts) == [low, low + 1] and len(parts[low + 1]) == 1:
                    ((m, value),) = parts[low + 1].items()
                    root = multiply(parts[low], {-m: Fraction(-1) / value})
                    if all(min(split(p, v), default=0) >= 0 for p in form.values()):
                        self.settle({place: substitute(p, v, root)[0] for place, p in form.items()})
                        return
        raise GaveUpError("a form has no factors that were found, and no minor excludes it")

    def factors(self, form: dict[Place, Laurent]) -> Solution | None:
        """Factors for all parameters but 0 and the zeros of the polynomials that are inverted."""
        form = {place: p for place, p in form.items() if p}
        system = System(self.supports, tuple((i, j, Fraction(1)) for i, j in form))
        n = len(system.variables)
        names = sorted(set().union(*map(occurring, form.values()))) if form else []
        numbers = {v: n + at for at, v in enumerate(names)}
        equations = []
        for place, equation in zip(system.places, system.equations, strict=True):
            residual = dict(equation)
            if place in form:
                add(residual, constant(1))
                add(residual, _renamed(form[place], numbers), -1)
            equations.append(residual)
        try:
            found = solve(
                equations,
                n_unknowns=n + len(names),
                parameters=numbers.values(),
                for_all=True,
                max_seconds=min(5.0, self.deadline - time.thread_time()),
            )
        except GaveUpError:
            return None
        if not isinstance(found, Solution) or not _is_zero(found, equations, n + len(names)):
            return None
        back = {number: v for v, number in numbers.items()}
        if any(not occurring(q) <= back.keys() for _, q in found.inverses):
            return None  # 1/q in a polynomial that is to be inverted
        return found._replace(inverses=tuple((w, _renamed(q, back)) for w, q in found.inverses))

    def minors(self, form: Mapping[Place, Laurent]) -> Iterator[Laurent]:
        """The minors that vanish on Z."""
        for rows, columns, rank in self.blocks:
            for chosen in combinations(rows, rank + 1):
                for others in combinations(columns, rank + 1):
                    yield _determinant([[form.get((i, j), {}) for j in others] for i in chosen])


def _blocks(kinds: Kinds) -> Iterator[tuple[list[int], list[int], int]]:
    """Rows, columns, and how many components reach their block, where this is less than its sides."""
    n = union(kinds.rows).bit_length()
    for choice in product((0, 1, 2), repeat=n):
        avoided = [sum(1 << k for k, side in enumerate(choice) if side == which) for which in (1, 2)]
        rows, columns = (
            [i for i, kind in enumerate(side) if not kind & mask]
            for side, mask in zip(kinds, avoided, strict=True)
        )
        if choice.count(0) < min(len(rows), len(columns)):
            yield rows, columns, choice.count(0)


def _determinant(matrix: list[list[Laurent]]) -> Laurent:
    total: Laurent = {}
    for order in permutations(range(len(matrix))):
        factor = constant(1)
        for row, b in zip(matrix, order, strict=True):
            factor = multiply(factor, row[b])
            if not factor:
                break
        sign = (-1) ** sum(a > b for a, b in combinations(order, 2))
        add(total, factor, sign)
    return total


def _renamed(p: Laurent, names: Mapping[int, int]) -> Laurent:
    return {sum(monomial(names[v], degree) for v, degree in powers(m)): c for m, c in p.items()}


def _is_zero(found: Solution, equations: list[Laurent], n_unknowns: int) -> bool:
    """Whether the solution makes every equation 0, identically or at least at some points."""
    if found.inverses:
        for seed in range(3):
            source = random.Random(seed)
            point = {v: Fraction(source.randint(1, 10**6), 7) for v in range(n_unknowns)}
            try:
                values = found.values(n_unknowns, point)
            except ZeroDivisionError:
                return False
            if any(evaluate(equation, values) for equation in equations):
                return False
        return True
    for equation in equations:
        for v, q in found.steps:
            equation = substitute(equation, v, q)[0]
        if equation:
            return False
    return True
