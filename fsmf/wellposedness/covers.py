"""Check that all limits of products on small supports come to forms that have factors.

The argument is that of ``fsmf.wellposedness.orbits``. Here it is gone through as it was written down: sets
of components stand for the supports, sympy does the arithmetic, and nothing is shared with the search.

What is checked is a tree. Each node names entries that operations make 0 ("zeros"), and then an entry that
is 0 in the first of two "cases" and is not in the second; or, where all entries are settled, the form that
remains: its nonzeros are 1 but for the "parameters", and "found" says why no limit of this form is missed.
There are factors, "X" and "Y", wherever the "units" are not 0, and "where" goes on where one is: it names a
parameter that this gives. Or the minor of some "rows" and "columns" is not 0, and products have none; or it
is 0 and gives a "parameter", and "then" goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations
from typing import Any

__all__ = ["is_cover"]

Place = tuple[int, int]
Node = Mapping[str, Any]


def is_cover(rows: Sequence[frozenset[int]], columns: Sequence[frozenset[int]], cases: Node) -> bool:
    """Check that a tree of cases is a proof that the products are a closed set.

    Parameters
    ----------
    rows, columns : sequence of frozenset of int
        The components of each row and of each column.
    cases : mapping
        The tree, as `find_cover` returns it, perhaps after a trip through JSON.

    Returns
    -------
    bool
        Whether every step is allowed.

    Raises
    ------
    KeyError, IndexError, TypeError, ValueError, ZeroDivisionError
        If the tree is no tree of this kind.

    Notes
    -----
    **Cost.** Some milliseconds for each form.

    Examples
    --------
    >>> from fsmf.wellposedness.enumeration import Kinds
    >>> from fsmf.wellposedness.orbits import find_cover
    >>> cover = find_cover(Kinds((1, 1), (1,)))
    >>> is_cover([frozenset({0})] * 2, [frozenset({0})], cover.cases)
    True
    """
    reach = {(i, j): None for i, row in enumerate(rows) for j, column in enumerate(columns) if row & column}
    return _Cover(rows, columns).holds(cases, reach)


class _Cover:
    def __init__(self, rows: Sequence[frozenset[int]], columns: Sequence[frozenset[int]]) -> None:
        self.rows, self.columns = rows, columns

    def holds(self, node: Node, before: Mapping[Place, bool | None]) -> bool:
        """Check a node; an entry on the reach is known to be 0 (False), or not to be (True), or unknown."""
        entries = dict(before)
        for a, b in node["zeros"]:
            if not (self.clears_by_row(entries, a, b) or self.clears_by_column(entries, a, b)):
                return False
            entries[a, b] = False
        if "cases" in node:
            i, j = node["place"]
            zero, other = node["cases"]
            return (
                entries.get((i, j), False) is None
                and self.holds(zero, {**entries, (i, j): False})
                and self.holds(other, {**entries, (i, j): True})
            )
        nonzero = {place for place, value in entries.items() if value}
        parameters = [(i, j) for i, j in node["parameters"]]
        ones = nonzero.difference(parameters)
        if None in entries.values() or not (set(parameters) <= nonzero and _is_forest(ones)):
            return False
        field, *symbols = _field(len(parameters))
        form = {**dict.fromkeys(ones, field(1)), **dict(zip(parameters, symbols, strict=False))}
        return self.settled(form, node["found"], field)

    def clears_by_row(self, entries: Mapping[Place, bool | None], a: int, b: int) -> bool:
        """Whether a multiple of another row makes an entry 0 and changes no entry that is known."""
        return entries.get((a, b), False) is not False and any(
            self.rows[i] <= self.rows[a]
            and entries.get((i, b))
            and all(
                entries.get((i, j), False) is False or entries[a, j] is None
                for j in range(len(self.columns))
                if j != b
            )
            for i in range(len(self.rows))
            if i != a
        )

    def clears_by_column(self, entries: Mapping[Place, bool | None], a: int, b: int) -> bool:
        """Whether a multiple of another column does."""
        turned = {(j, i): value for (i, j), value in entries.items()}
        return _Cover(self.columns, self.rows).clears_by_row(turned, b, a)

    def settled(self, form: Mapping[Place, Any], found: Node, field: Any) -> bool:
        """Check that a form has factors or is no limit, for all values of the parameters but 0."""
        if "X" in found:
            units = [_polynomial(unit, field) for unit in found["units"]]
            return self.is_product(form, found, units, field) and all(
                self.settled(_where(form, unit, parameter, field), then, field)
                for unit, (parameter, then) in zip(units, found["where"], strict=True)
            )
        rows, columns = set(found["rows"]), set(found["columns"])
        here = set().union(*(self.rows[i] for i in rows)) & set().union(*(self.columns[j] for j in columns))
        if not (len(here) < len(rows) == len(columns)) or min(rows | columns) < 0:
            return False
        minor = _determinant([[form.get((i, j), field(0)) for j in columns] for i in rows], field).numer
        if "then" in found:
            then = _where(form, minor, found["parameter"], field)
            return self.settled(then, found["then"], field)
        return len(minor) == 1

    def is_product(self, form: Mapping[Place, Any], found: Node, units: Sequence[Any], field: Any) -> bool:
        """Check that X Y is the form, on the supports, and that only the units are divided by."""
        X = {(i, k): _quotient(value, field, units) for i, k, *value in found["X"]}
        Y = {(k, j): _quotient(value, field, units) for k, j, *value in found["Y"]}
        if not (
            all(i >= 0 and k in self.rows[i] for i, k in X)
            and all(j >= 0 and k in self.columns[j] for k, j in Y)
            and len(X) == len(found["X"])
            and len(Y) == len(found["Y"])
        ):
            return False
        product: dict[Place, Any] = {}
        for (i, k), x in X.items():
            for (l, j), y in Y.items():
                if k == l:
                    product[i, j] = product.get((i, j), field(0)) + x * y
        return all(product.get(place, field(0)) == form.get(place, field(0)) for place in {*product, *form})


@cache
def _field(n_parameters: int) -> tuple[Any, ...]:
    """The rational functions of the parameters, of one at least."""
    from sympy import QQ, field

    found: tuple[Any, ...] = field([f"p{v}" for v in range(max(n_parameters, 1))], QQ)
    return found


def _polynomial(terms: Sequence[Sequence[Any]], field: Any) -> Any:
    """A polynomial from its terms: a coefficient, and the exponents of the parameters."""
    from sympy import QQ

    ring = field.ring
    polynomial = ring(0)
    for coefficient, *exponents in terms:
        if not all(type(e) is int and e >= 0 for e in exponents):
            raise ValueError("not a polynomial")
        padded = (*exponents, 0) if not exponents else tuple(exponents)
        if len(padded) != ring.ngens:
            raise ValueError("other parameters")
        polynomial += ring({padded: QQ(*Fraction(coefficient).as_integer_ratio())})
    return polynomial


def _quotient(value: Sequence[Any], field: Any, units: Sequence[Any]) -> Any:
    """A rational function that has values wherever the parameters and the units are not 0."""
    above, below = (_polynomial(terms, field) for terms in value)
    left = below
    for unit in units:
        while len(left) > 1 and len(unit) > 1 and not left.rem(unit):
            left = left.quo(unit)
    if len(left) != 1:
        raise ValueError("divided by what may be 0")
    return field(above) / field(below)


def _where(form: Mapping[Place, Any], polynomial: Any, parameter: int, field: Any) -> dict[Place, Any]:
    """The form where a polynomial vanishes that is linear in a parameter, with one term as coefficient."""
    if parameter < 0:
        raise ValueError("no parameter")
    degrees = [m[parameter] for m in polynomial]
    symbol = field.gens[parameter]
    without, coefficient = (
        field(field.ring({m: c for m, c in polynomial.items() if m[parameter] == min(degrees) + d}))
        for d in (0, 1)
    )
    if set(degrees) != {min(degrees), min(degrees) + 1} or len(coefficient.numer) != 1:
        raise ValueError("not linear")
    root = -without * symbol / coefficient
    changed = {}
    for place, value in form.items():
        if len(value.denom) != 1 or next(iter(value.denom))[parameter]:
            raise ValueError("a form with a parameter below the line")
        total = field(0)
        for m, c in value.numer.items():
            rest = tuple(0 if v == parameter else e for v, e in enumerate(m))
            total += field(field.ring({rest: c})) * root ** m[parameter]
        changed[place] = total / field(value.denom)
    return changed


def _determinant(matrix: Sequence[Sequence[Any]], field: Any) -> Any:
    total = field(0)
    for order in permutations(range(len(matrix))):
        product = field((-1) ** sum(a > b for at, b in enumerate(order) for a in order[:at]))
        for row, b in zip(matrix, order, strict=True):
            product *= row[b]
        total += product
    return total


def _is_forest(places: set[Place]) -> bool:
    """Whether rows and columns, joined by these places, have no cycle: then scaling makes all of them 1."""
    tree: dict[tuple[str, int], tuple[str, int]] = {}
    for i, j in places:
        ends = []
        for node in (("row", i), ("column", j)):
            while node in tree:
                node = tree[node]
            ends.append(node)
        if ends[0] == ends[1]:
            return False
        tree[ends[0]] = ends[1]
    return True
