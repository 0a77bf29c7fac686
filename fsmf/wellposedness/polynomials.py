"""Exact polynomials in a few unknowns: rational coefficients, and negative powers of unknowns that are units.

A polynomial is a dictionary from monomials to coefficients that are not zero. A monomial is one integer: the
exponent of unknown v is its digit v in base 2¹⁶, signed, so monomials are multiplied by adding them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

__all__ = [
    "CONSTANT",
    "Exact",
    "Laurent",
    "add",
    "constant",
    "degree_in",
    "evaluate",
    "is_constant",
    "monic",
    "monomial",
    "multiply",
    "occurring",
    "power",
    "powers",
    "split",
    "substitute",
    "term",
]

Exact = int | Fraction
Laurent = dict[int, Exact]

CONSTANT = 0
_BITS = 16
_HALF = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1
# Products of fewer terms take less than some milliseconds.
_LONG = 2000
# What makes the digits up to v non-negative when it is added.
_OFFSETS = [_HALF]


def monomial(v: int, exponent: int = 1) -> int:
    """Return the monomial of one unknown to some power."""
    return exponent << (_BITS * v)


def term(coefficient: Exact, *unknowns: int) -> Laurent:
    """Return a coefficient times some unknowns."""
    return {sum(map(monomial, unknowns)): coefficient} if coefficient else {}


def constant(value: Exact) -> Laurent:
    """Return a number as a polynomial."""
    return term(value)


def power(v: int, exponent: int, coefficient: Exact = 1) -> Laurent:
    """Return a coefficient times one unknown to some power."""
    return {monomial(v, exponent): coefficient}


def is_constant(p: Laurent) -> bool:
    """Whether a polynomial is a number."""
    return not p or (len(p) == 1 and CONSTANT in p)


def degree_in(m: int, v: int) -> int:
    """Return the exponent of an unknown in a monomial."""
    while len(_OFFSETS) <= v:
        _OFFSETS.append(_OFFSETS[-1] + (_HALF << (_BITS * len(_OFFSETS))))
    return (((m + _OFFSETS[v]) >> (_BITS * v)) & _MASK) - _HALF


@lru_cache(maxsize=1 << 16)  # the same ones come again and again
def powers(m: int) -> tuple[tuple[int, int], ...]:
    """Return the unknowns of a monomial, ascending, with their exponents."""
    found = []
    v = 0
    while m:
        # Zeros are skipped in one go: most unknowns are absent from most monomials.
        skip = ((m & -m).bit_length() - 1) // _BITS
        m >>= _BITS * skip
        v += skip
        digit = ((m + _HALF) & _MASK) - _HALF
        found.append((v, digit))
        m = (m - digit) >> _BITS
        v += 1
    return tuple(found)


def occurring(p: Laurent) -> set[int]:
    """Return the unknowns that occur in a polynomial."""
    return {v for m in p for v, _ in powers(m)}


def monic(p: Laurent) -> tuple[tuple[int, Fraction], ...]:
    """Return what is the same for all multiples of a polynomial by numbers."""
    terms = sorted(p.items())
    return tuple((m, Fraction(value) / terms[0][1]) for m, value in terms)


def add(p: Laurent, q: Laurent, coefficient: Exact = 1, m: int = CONSTANT) -> None:
    """Add to p, in place, a coefficient times a monomial times q."""
    for key, value in q.items():
        total = p.get(key + m, 0) + coefficient * value
        if total:
            p[key + m] = _plain(total)
        else:
            del p[key + m]


def multiply(p: Laurent, q: Laurent, watch: Callable[[], None] | None = None) -> Laurent:
    """Return the product; where it takes long, `watch` is called now and then, and may raise."""
    if len(p) > len(q):
        p, q = q, p
    if len(p) * len(q) < _LONG:
        watch = None
    product: Laurent = {}
    for m, value in p.items():
        if watch:
            watch()
        add(product, q, value, m)
    return product


def split(p: Laurent, v: int) -> dict[int, Laurent]:
    """Return the coefficients of the powers of an unknown, by exponent."""
    parts: dict[int, Laurent] = {}
    for m, value in p.items():
        degree = degree_in(m, v)
        parts.setdefault(degree, {})[m - monomial(v, degree)] = value
    return parts


def substitute(
    p: Laurent, v: int, q: Laurent, watch: Callable[[], None] | None = None
) -> tuple[Laurent, Laurent]:
    """Replace an unknown by a polynomial, and return what p changes by as well.

    Parameters
    ----------
    p : Laurent
        Where to replace; negative powers of v are allowed if q is one term.
    v : int
        The unknown.
    q : Laurent
        What it is replaced by.
    watch : callable, optional
        As `multiply` takes it.

    Returns
    -------
    tuple of Laurent
        ``p(q)``, and the quotient ``(p(v) − p(q)) / (v − q)``.
    """
    parts = split(p, v)
    if list(parts) in ([], [0]):
        return p, {}
    low, high = min(min(parts), 0), max(parts)
    if low < 0:
        # With u = 1/v and s = 1/q: u^d − s^d = −(v − q) u s (u^{d−1} + … + s^{d−1}).
        ((at, value),) = q.items()
        inverse: Laurent = {-at: _plain(Fraction(1) / value)}
    changed: Laurent = dict(parts.pop(0, {}))
    quotient: Laurent = {}
    up, ladder = constant(1), constant(0)  # q^d, and (v^d − q^d) / (v − q)
    for d in range(1, high + 1):
        ladder = _sum(multiply(ladder, power(v, 1), watch), up)
        up = multiply(up, q, watch)
        if d in parts:
            add(changed, multiply(parts[d], up, watch))
            add(quotient, multiply(parts[d], ladder, watch))
    down, ladder = constant(1), constant(0)
    for d in range(1, -low + 1):
        ladder = _sum(multiply(ladder, power(v, -1)), down)
        down = multiply(down, inverse, watch)
        if -d in parts:
            add(changed, multiply(parts[-d], down, watch))
            add(quotient, multiply(parts[-d], multiply(ladder, multiply(inverse, power(v, -1, -1)))))
    return changed, quotient


def evaluate(
    p: Laurent, values: Sequence[Any] | Mapping[int, Any], number: Callable[[Exact], Any] = Fraction
) -> Any:
    """Return the value where unknown v is ``values[v]``, in whatever field `number` takes rationals to."""
    total = number(0)
    for m, coefficient in p.items():
        product = number(coefficient)
        for v, exponent in powers(m):
            product = product * values[v] ** exponent
        total = total + product
    return total


def _sum(p: Laurent, q: Laurent) -> Laurent:
    total = dict(p)
    add(total, q)
    return total


def _plain(value: Exact) -> Exact:
    """A whole number as an int, whose arithmetic is much quicker."""
    return value.numerator if value.denominator == 1 else value
