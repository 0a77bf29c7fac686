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

import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations, permutations, product
from typing import Any, NamedTuple

from fsmf.wellposedness.enumeration import Kinds, supports_of
from fsmf.wellposedness.equations import System
from fsmf.wellposedness.pattern import union
from fsmf.wellposedness.polynomials import (
    Laurent,
    add,
    constant,
    degree_in,
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

__all__ = ["Cover", "OpenForm", "find_cover"]

Place = tuple[int, int]

# In how many orders of the unknowns factors of a form are looked for.
_ORDERS = 6


class OpenForm(NamedTuple):
    """Hold a normal form without factors that were found, and which no minor excludes: perhaps a limit.

    Attributes
    ----------
    entries : dict
        Its nonzeros by row and column, polynomials in parameters 0, 1, ….
    """

    entries: dict[Place, Laurent]


class _OpenFormError(GaveUpError):
    def __init__(self, form: Mapping[Place, Laurent]) -> None:
        super().__init__("a form has no factors that were found, and no minor excludes it")
        self.found = OpenForm({place: p for place, p in form.items() if p})


class Cover(NamedTuple):
    """Count the normal forms that have factors, and those that are no limits of products; keep the cases.

    Attributes
    ----------
    attained, excluded : int
        How many forms have factors, and how many are no limits.
    cases : dict
        What was found, as ``fsmf.wellposedness.covers`` reads it.
    """

    attained: int
    excluded: int
    cases: dict[str, Any]


def find_cover(kinds: Kinds, *, max_seconds: float = 30.0) -> Cover | OpenForm | None:
    """Try to prove that the products are a closed set, bringing all candidates for limits to normal forms.

    Parameters
    ----------
    kinds : Kinds
        The components of each row and of each column.
    max_seconds : float, optional
        When to give up, in seconds of processor time.

    Returns
    -------
    Cover, OpenForm or None
        The first form that is left open, if one is, which proves nothing; None if the time is over.

    Notes
    -----
    **Guarantee.** With a cover, the products are a closed set, over the reals and over the complex numbers.

    **Cost.** Exponential in the number of entries at worst; a second for 3 × 4 entries.

    Examples
    --------
    >>> cover = find_cover(Kinds((1, 1), (1, 1)))
    >>> cover.attained, cover.excluded
    (5, 2)
    >>> find_cover(Kinds((1, 3), (1, 3)))
    OpenForm(entries={(0, 1): {0: 1}, (1, 0): {0: 1}})
    """
    forms = _Forms(kinds, time.thread_time() + max_seconds)
    try:
        cases = forms.explore(dict.fromkeys(forms.reach))
    except _OpenFormError as error:
        return error.found
    except GaveUpError:
        return None
    return Cover(*_counted(cases), cases)


def _counted(node: Mapping[str, Any]) -> tuple[int, int]:
    """How many forms below a node have factors, and how many are no limits."""
    below = [*node.get("cases", ()), *(then for _, then in node.get("where", ()))]
    below += [node[key] for key in ("found", "then") if key in node]
    attained, excluded = int("X" in node), int("rows" in node and "then" not in node)
    for one, other in map(_counted, below):
        attained, excluded = attained + one, excluded + other
    return attained, excluded


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

    def explore(self, entries: dict[Place, bool | None]) -> dict[str, Any]:
        """Go through the cases; an entry is known to be 0 (False), or not to be (True), or unknown (None)."""
        if time.thread_time() > self.deadline:
            raise GaveUpError("the time was over")
        entries, zeros = self.cleared(entries)
        open_place = next((place for place in self.reach if entries[place] is None), None)
        if open_place is not None:
            cases = [self.explore({**entries, open_place: value}) for value in (False, True)]
            return {"zeros": zeros, "place": list(open_place), "cases": cases}
        form, parameters = self.scaled([place for place in self.reach if entries[place]])
        return {"zeros": zeros, "parameters": parameters, "found": self.settle(form, len(parameters))}

    def cleared(self, entries: dict[Place, bool | None]) -> tuple[dict[Place, bool | None], list[list[int]]]:
        """The entries after all operations that make an entry 0 and no known one unknown; and these."""
        entries, zeros = dict(entries), []
        changed = True
        while changed:
            changed = False
            for i, j in self.reach:
                if not entries[i, j]:
                    continue
                for other in self.clearable(entries, i, j):
                    entries[other] = False
                    zeros.append(list(other))
                    changed = True
        return entries, zeros

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

    def scaled(self, places: list[Place]) -> tuple[dict[Place, Laurent], list[list[int]]]:
        """The form with 1 on a spanning forest, and parameters 0, 1, … on the other nonzeros: where."""
        tree: dict[tuple[str, int], tuple[str, int]] = {}

        def root(node: tuple[str, int]) -> tuple[str, int]:
            while node in tree:
                node = tree[node]
            return node

        form: dict[Place, Laurent] = {}
        parameters: list[list[int]] = []
        for i, j in places:
            a, b = root(("row", i)), root(("column", j))
            if a == b:
                form[i, j] = term(1, len(parameters))
                parameters.append([i, j])
            else:
                tree[a] = b
                form[i, j] = constant(1)
        return form, parameters

    def settle(self, form: dict[Place, Laurent], n: int) -> dict[str, Any]:
        """Find factors of a form in n parameters, or show where it is not in Z; give up otherwise."""
        for factors, units in self.factors(form, n):
            try:
                # The factors hold where the units are not 0.
                where = [self.restrict(form, [unit], n)[1:] for unit in units]
            except _OpenFormError:
                continue  # other factors may have other units
            return {**factors, "units": [_listed(unit, n) for unit in units], "where": where}
        minors = [(minor, block) for minor, block in self.minors(form) if minor]
        for minor, (rows, columns) in minors:
            if len(minor) == 1:
                return {"rows": rows, "columns": columns}
        at, parameter, then = self.restrict(form, [minor for minor, _ in minors], n)
        rows, columns = minors[at][1]
        return {"rows": rows, "columns": columns, "parameter": parameter, "then": then}

    def restrict(
        self, form: dict[Place, Laurent], vanishing: list[Laurent], n: int
    ) -> tuple[int, int, dict[str, Any]]:
        """Settle a form where polynomials in its parameters vanish, one of which gives a parameter v.

        That v is not 0 is forgotten, which only makes more forms. Returns which one, v, and what was found.
        """
        for at in sorted(range(len(vanishing)), key=lambda at: len(vanishing[at])):
            q = vanishing[at]
            for v in sorted(occurring(q)):
                parts = split(q, v)
                low = min(parts)
                if sorted(parts) == [low, low + 1] and len(parts[low + 1]) == 1:
                    ((m, value),) = parts[low + 1].items()
                    root = multiply(parts[low], {-m: Fraction(-1) / value})
                    if all(min(split(p, v), default=0) >= 0 for p in form.values()):
                        there = {place: substitute(p, v, root)[0] for place, p in form.items()}
                        return at, v, self.settle(there, n)
        raise _OpenFormError(form)

    def factors(self, form: dict[Place, Laurent], n: int) -> Iterator[tuple[dict[str, Any], list[Laurent]]]:
        """Yield factors for all parameters but 0 and the zeros of some polynomials; and these."""
        form = {place: p for place, p in form.items() if p}
        names = sorted(set().union(*map(occurring, form.values()))) if form else []
        # Most forms have factors at once; other orders of the unknowns, and solutions for almost all
        # parameters instead of all, lead to other polynomials.
        others = product(range(_ORDERS), (True, False) if names else (True,), (False, True))
        for rng, for_all, unknowns_first in ((None, True, False), (None, True, True), *others):
            system = System(self.supports, tuple((i, j, Fraction(1)) for i, j in form), rng=rng)
            size = len(system.variables)
            numbers = {v: size + at for at, v in enumerate(names)}
            equations = []
            for place, equation in zip(system.places, system.equations, strict=True):
                residual = dict(equation)
                if place in form:
                    add(residual, constant(1))
                    add(residual, _renamed(form[place], numbers), -1)
                equations.append(residual)
            left = self.deadline - time.thread_time()
            if left < 0:
                raise GaveUpError("the time was over")
            try:
                found = solve(
                    equations,
                    n_unknowns=size + len(names),
                    parameters=numbers.values(),
                    for_all=for_all,
                    unknowns_first=unknowns_first,
                    max_seconds=min(0.1 if unknowns_first else 2.0 if rng is None else 0.5, left),
                )
            except GaveUpError:
                continue
            if not isinstance(found, Solution):
                return
            K, number = _field(n)
            try:
                values = found.values(
                    size + len(names), {numbers[v]: K.gens[v] if n else None for v in names}, number
                )
            except ZeroDivisionError:
                continue
            if any(evaluate(equation, values, number) for equation in equations):
                continue
            X, Y = ([e for e in system.entries(values, letter) if e[2]] for letter in "xy")
            shared = {k for _, k, _ in X} & {k for k, _, _ in Y}
            X, Y = [e for e in X if e[1] in shared], [e for e in Y if e[0] in shared]
            written = {
                name: [[*place, *_written(value)] for *place, value in side]
                for name, side in (("X", X), ("Y", Y))
            }
            yield written, _units([value for _, _, value in (*X, *Y)]) if n else []

    def minors(self, form: Mapping[Place, Laurent]) -> Iterator[tuple[Laurent, tuple[list[int], list[int]]]]:
        """The minors that vanish on Z, and their rows and columns."""
        for rows, columns, rank in self.blocks:
            for chosen in combinations(rows, rank + 1):
                for others in combinations(columns, rank + 1):
                    minor = _determinant([[form.get((i, j), {}) for j in others] for i in chosen])
                    yield minor, (list(chosen), list(others))


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


@cache
def _field(n: int) -> tuple[Any, Any]:
    """The rational functions of n parameters, and how rationals become some; plain numbers if n = 0."""
    if not n:
        return None, Fraction
    from sympy import QQ, field

    K = field([f"p{v}" for v in range(n)], QQ)[0]
    return K, lambda value: K(QQ(*value.as_integer_ratio()))


def _units(values: Sequence[Any]) -> list[Laurent]:
    """What the denominators of rational functions are made of, besides single parameters."""
    factors = {factor for value in values for factor, _ in value.denom.factor_list()[1]}
    return [
        {
            sum(monomial(v, e) for v, e in enumerate(m)): Fraction(int(c.numerator), int(c.denominator))
            for m, c in factor.terms()
        }
        for factor in sorted(factors, key=str)
        if len(factor) > 1
    ]


def _terms(p: Laurent, n: int) -> list[list[Any]]:
    """The coefficients and exponents of a polynomial times the monomial that leaves none below 0."""
    exponents = {m: [degree_in(m, v) for v in range(n)] for m in p}
    least = [min(column) for column in zip(*exponents.values(), strict=True)]
    return [[value, *(d - low for d, low in zip(exponents[m], least, strict=True))] for m, value in p.items()]


def _listed(p: Laurent, n: int) -> list[list[Any]]:
    """A polynomial as JSON takes it."""
    return [[str(value), *exponents] for value, *exponents in _terms(p, n)]


def _written(value: Any) -> list[list[list[Any]]]:
    """The numerator and the denominator of a rational function, as JSON takes them."""
    if isinstance(value, Fraction):
        return [[[str(value)]], [["1"]]]
    return [[[str(c), *m] for m, c in part.terms()] for part in (value.numer, value.denom)]
