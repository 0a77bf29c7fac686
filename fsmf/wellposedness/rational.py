"""Sparse matrices whose entries are rational functions of one parameter t, with exact coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import OptionError
from fsmf.supports.support import Supports

__all__ = [
    "Entries",
    "RationalFunction",
    "assembled",
    "entries_from_list",
    "entries_to_list",
    "evaluated",
    "limit_of",
    "product_of_curves",
]

_T = TypeVar("_T")

# What a matrix holds that is not zero: row, column, value.
Entries = tuple[tuple[int, int, _T], ...]

# Coefficients of the numerator and of the denominator, the constant one first.
RationalFunction = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def product_of_curves(factors: Sequence[Entries[RationalFunction]]) -> dict[tuple[int, int], Any]:
    """Return the nonzeros of a product as elements of sympy's field Q(t)."""
    from sympy import QQ, field

    _, t = field("t", QQ)

    def function(parts: RationalFunction) -> Any:
        above, below = (
            sum((QQ(*c.as_integer_ratio()) * t**d for d, c in enumerate(p)), 0 * t) for p in parts
        )
        return above / below

    first, *others = factors
    product = {(i, j): function(parts) for i, j, parts in first}
    for entries in others:
        right: dict[int, list[tuple[int, Any]]] = {}
        for k, j, parts in entries:
            right.setdefault(k, []).append((j, function(parts)))
        total: dict[tuple[int, int], Any] = {}
        for (i, k), value in product.items():
            for j, other in right.get(k, ()):
                total[i, j] = total.get((i, j), 0 * t) + value * other
        product = total
    return {place: value for place, value in product.items() if value}


def limit_of(factors: Sequence[Entries[RationalFunction]]) -> dict[tuple[int, int], Fraction] | None:
    """Return the nonzeros of the limit of a product as t tends to 0, or None if there is a pole."""
    limit = {}
    for place, value in product_of_curves(factors).items():
        # A fraction in lowest terms: a pole where the denominator vanishes.
        above, below = (part.as_expr().subs("t", 0) for part in (value.numer, value.denom))
        if not below:
            return None
        if above:
            limit[place] = Fraction(int(above.p), int(above.q)) / Fraction(int(below.p), int(below.q))
    return limit


def evaluated(
    factors: Sequence[Entries[RationalFunction]], supports: Supports, t: float
) -> tuple[sparse.csr_array, ...]:
    """Return factors at one point of the curve, in floating point.

    Parameters
    ----------
    factors : sequence of entries
        The curve.
    supports : Supports
        Whose shapes the factors have.
    t : float
        Where on the curve.

    Returns
    -------
    tuple of csr_array
        One per factor.

    Raises
    ------
    OptionError
        If t is zero or not finite, or a pole of the curve.
    """
    if not (np.isfinite(t) and t):
        raise OptionError(f"a point of the curve was asked for; found t = {t}; give a small t other than 0")
    try:
        return tuple(
            assembled(((i, j, _value(function, t)) for i, j, function in entries), support.shape)
            for entries, support in zip(factors, supports, strict=True)
        )
    except ZeroDivisionError:
        raise OptionError(f"t = {t} is a pole of the curve; give a t nearer to 0") from None


def assembled(entries: Iterable[tuple[int, int, float]], shape: tuple[int, int]) -> sparse.csr_array:
    """Return a sparse array of floats from its nonzeros."""
    found = list(entries)
    values: NDArray[Any] = np.array([value for _, _, value in found], dtype=float)
    places = np.array([(i, j) for i, j, _ in found], dtype=np.intp).reshape(-1, 2).T
    return sparse.csr_array((values, (places[0], places[1])), shape=shape)


def entries_to_list(entries: Entries[RationalFunction]) -> list[list[Any]]:
    """Return entries as lists, numbers and strings, as JSON takes them."""
    return [[i, j, *(" ".join(map(str, part)) for part in function)] for i, j, function in entries]


def entries_from_list(entries: Iterable[Sequence[Any]]) -> Entries[RationalFunction]:
    """Build entries from what `entries_to_list` returned."""
    return tuple((int(i), int(j), (_numbers(above), _numbers(below))) for i, j, above, below in entries)


def _numbers(text: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, text.split()))


def _value(function: RationalFunction, t: float) -> float:
    above, below = (sum(float(c) * t**d for d, c in enumerate(part)) for part in function)
    return above / below
