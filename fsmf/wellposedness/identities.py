"""What curves and identities are checked for, in exact arithmetic, with sympy alone.

Nothing is shared with the search: supports are looked up row by row, as sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any

from fsmf.supports.support import Support
from fsmf.wellposedness.rational import Entries, RationalFunction

__all__ = [
    "Polynomial",
    "Variable",
    "identity_sum",
    "n_misplaced",
    "n_off",
    "n_out_of_range",
    "n_unknown",
]

# An unknown entry of a factor: ("x", i, k) of the left one, ("y", k, j) of the right one.
Variable = tuple[str, int, int]
# A sum of terms: a coefficient, and the variables that it is multiplied by.
Polynomial = tuple[tuple[Fraction, tuple[Variable, ...]], ...]
Place = tuple[int, int]


class _Rows:
    """The columns in each row of a support, as sets; none where there is no such row."""

    def __init__(self, support: Support) -> None:
        self.row = cache(lambda i: frozenset(support.row(i).tolist() if 0 <= i < support.shape[0] else ()))

    def __contains__(self, place: Place) -> bool:
        return place[1] in self.row(place[0])


def n_out_of_range(shape: tuple[int, int], places: Iterable[Place]) -> int:
    """Return how many places are repeated or out of range."""
    seen: set[Place] = set()
    wrong = 0
    for i, j in places:
        wrong += (i, j) in seen or not (0 <= i < shape[0] and 0 <= j < shape[1])
        seen.add((i, j))
    return wrong


def n_off(support: Support, places: Iterable[Place]) -> int:
    """Return how many places are repeated or off a support."""
    rows, seen = _Rows(support), set()
    wrong = 0
    for place in places:
        wrong += place in seen or place not in rows
        seen.add(place)
    return wrong


def n_misplaced(support: Support, curve: Entries[RationalFunction]) -> int:
    """Return how many entries of a curve are repeated, off the support, or divided by 0."""
    divided_by_0 = sum(not any(below) for _, _, (_, below) in curve)
    return divided_by_0 + n_off(support, ((i, j) for i, j, _ in curve))


def n_unknown(left: Support, right: Support, cofactors: Entries[Polynomial]) -> int:
    """Return how many variables in cofactors are no entries of the factors."""
    rows = {"x": _Rows(left), "y": _Rows(right)}
    return sum(
        variable[0] not in rows or variable[1:] not in rows[variable[0]]
        for _, _, cofactor in cofactors
        for _, variables in cofactor
        for variable in variables
    )


def identity_sum(
    left: Support, right: Support, target: Entries[Fraction], cofactors: Entries[Polynomial]
) -> str:
    """Return what Σ c_ij (XY − B)_ij is, as a polynomial."""
    from sympy import QQ, ring

    in_row, in_column = _Rows(left), _Rows(right.T)
    joint = {(i, j): in_row.row(i) & in_column.row(j) for i, j, _ in cofactors}
    names: dict[Variable, None] = {}
    for (i, j), ks in joint.items():
        names |= {variable: None for k in ks for variable in (("x", i, k), ("y", k, j))}
    names |= {v: None for _, _, cofactor in cofactors for _, variables in cofactor for v in variables}
    R, *generators = ring([f"{letter}{i}_{j}" for letter, i, j in names] or ["x"], QQ)
    unknown = dict(zip(names, generators, strict=False))
    values = {(i, j): value for i, j, value in target}

    def number(value: Fraction) -> Any:
        return R(QQ(*value.as_integer_ratio()))

    total = R(0)
    for i, j, polynomial in cofactors:
        residual = sum((unknown["x", i, k] * unknown["y", k, j] for k in joint[i, j]), R(0))
        residual -= number(values.get((i, j), Fraction(0)))
        cofactor = R(0)
        for coefficient, variables in polynomial:
            term = number(coefficient)
            for variable in variables:
                term *= unknown[variable]
            cofactor += term
        total += cofactor * residual
    return str(total) if len(total) < 10 else f"a polynomial of {len(total)} terms"
