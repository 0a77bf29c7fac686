"""Is this matrix a product on these supports? Exact answers for matrices of rationals, each with a proof."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.errors import OptionError, RefusedError
from fsmf.supports.fixed import as_free_supports
from fsmf.supports.support import Supports
from fsmf.wellposedness.equations import System, exact_entries
from fsmf.wellposedness.identities import n_off
from fsmf.wellposedness.polynomials import Exact
from fsmf.wellposedness.rational import Entries
from fsmf.wellposedness.reached import components
from fsmf.wellposedness.solving import Contradiction, GaveUpError, solve, watch
from fsmf.wellposedness.witnesses import Polynomial, Witness

__all__ = [
    "Attainable",
    "Unattainable",
    "Unsettled",
    "as_factor_pair",
    "check_budget",
    "directions",
    "find_cofactors",
    "is_attainable",
    "limit_curve",
    "membership",
]

# How many terms a proof may have, one attempt after another.
_ATTEMPTS = (1_000, 1_000, 5_000, 5_000, 20_000, 20_000, 50_000)


@dataclass(frozen=True)
class Attainable:
    """Hold exact factors whose product is the matrix.

    Attributes
    ----------
    supports : Supports
        The pair, as it multiplies.
    target : tuple of (int, int, Fraction)
        The nonzeros of the matrix.
    X, Y : tuple of (int, int, Fraction)
        The nonzeros of the factors.
    """

    supports: Supports
    target: Entries[Fraction]
    X: Entries[Fraction]
    Y: Entries[Fraction]

    def verify(self) -> Verification:
        """Multiply the factors, and compare with the matrix."""
        left, right = self.supports
        off = n_off(left, ((i, k) for i, k, _ in self.X)) + n_off(right, ((k, j) for k, j, _ in self.Y))
        product = _product(self.X, self.Y)
        same = product == {(i, j): value for i, j, value in self.target if value}
        return Verification(
            (Check("entries off the supports", 0, off, not off), Check("X Y is B", True, same, same))
        )

    def __str__(self) -> str:
        return "attainable: exact factors are at hand"


@dataclass(frozen=True)
class Unattainable:
    """Hold an identity Σ c_ij (XY − B)_ij = 1: no factors on the supports, real or complex, have product B.

    Attributes
    ----------
    supports : Supports
        The pair, as it multiplies.
    target : tuple of (int, int, Fraction)
        The nonzeros of the matrix.
    cofactors : tuple of (int, int, Polynomial)
        The polynomials c_ij that are not zero.
    """

    supports: Supports
    target: Entries[Fraction]
    cofactors: Entries[Polynomial]

    def verify(self) -> Verification:
        """Multiply the identity out with sympy."""
        return Witness(
            self.supports[0], self.supports[1], self.target, (), (), self.cofactors
        ).verify_identity()

    def __str__(self) -> str:
        return "not attainable: an identity Σ c_ij (XY − B)_ij = 1 proves that no product is this matrix"


@dataclass(frozen=True)
class Unsettled:
    """Say why the question stayed open.

    Attributes
    ----------
    reason : str
        What was tried, and what ran out.
    """

    reason: str

    def __bool__(self) -> bool:
        raise TypeError("the question stayed open, which is neither true nor false; test with isinstance")

    def __str__(self) -> str:
        return f"undecided: {self.reason}"


def is_attainable(
    B: Any, supports: Any, *, max_seconds: float = 10.0, rng: int | None = None
) -> Attainable | Unattainable | Unsettled:
    """Decide whether a matrix is a product of factors on given supports.

    Parameters
    ----------
    B : array_like or sparse array
        Integers, fractions, or floats (taken as the binary fractions that they are), shape ``(m, n)``.
    supports : sequence
        Two supports as `as_supports` takes them, shapes ``(m, r)`` and ``(r, n)``.
    max_seconds : float, optional
        When to give up, in seconds of processor time.
    rng : int, optional
        Seed of the order in which unknowns are tried; the default keeps the given one.

    Returns
    -------
    Attainable, Unattainable or Unsettled
        With exact factors; with cofactors c_ij of ``Σ c_ij (XY − B)_ij = 1``; with the reason.

    Raises
    ------
    InputError, InputTypeError
        If an entry is not finite, or not a rational number.
    ShapeError
        If the shapes differ.
    RefusedError
        If there are not two factors.
    OptionError
        If `max_seconds` is not a number from 0.

    Notes
    -----
    **Guarantee.** Both answers are proofs, and `verify` checks them by other means. Factors are rational; an
    identity excludes complex factors too. A matrix that only irrational factors reach stays unsettled.

    **Cost.** Rows and columns of zeros are left out first. Then exponential in the number of components at
    worst; milliseconds where r ≤ 4 and a few rows and columns are left. The budget is kept to about 0.1 s,
    after B has been read.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.elimination import is_attainable
    >>> print(is_attainable([[1, 1], [1, 0]], fsmf.lu(2)))
    attainable: exact factors are at hand
    >>> print(is_attainable([[0, 1], [1, 0]], fsmf.lu(2)))
    not attainable: an identity Σ c_ij (XY − B)_ij = 1 proves that no product is this matrix
    """
    supports = as_factor_pair(supports)
    check_budget(max_seconds)
    return membership(exact_entries(B, supports.shape), supports, max_seconds=max_seconds, rng=rng)


def membership(
    target: Entries[Fraction], supports: Supports, *, max_seconds: float = 10.0, rng: int | None = None
) -> Attainable | Unattainable | Unsettled:
    """Decide as `is_attainable` does, from the nonzeros of the matrix.

    Parameters
    ----------
    target : tuple of (int, int, Fraction)
        The nonzeros of B.
    supports : Supports
        Two supports.
    max_seconds, rng
        As `is_attainable`.

    Returns
    -------
    Attainable, Unattainable or Unsettled
        As `is_attainable`.

    Examples
    --------
    >>> import fsmf
    >>> print(membership(((0, 0, Fraction(1)),), fsmf.lu(2)))
    attainable: exact factors are at hand
    """
    deadline = time.thread_time() + max_seconds
    # Another order of the unknowns may make a much shorter proof.
    for attempt, max_terms in enumerate(_ATTEMPTS):
        system = None
        try:
            system = System(
                supports, target, rng=attempt if attempt and rng is None else rng, deadline=deadline
            )
            left_over = deadline - time.thread_time()
            found = solve(
                system.equations,
                n_unknowns=len(system.variables),
                # After the first attempt there is to be time for a look at ranks.
                max_seconds=left_over if attempt else 0.8 * left_over,
                max_terms=max_terms,
            )
            break
        except GaveUpError as error:
            reason = str(error)
        if not attempt and system and (short := system.by_rank(target)):
            return Unattainable(supports, target, short)
        if system is None or time.thread_time() > deadline or rng is not None:
            return Unsettled(f"elimination was tried; {reason}")
    else:
        return Unsettled(f"elimination was tried in {len(_ATTEMPTS)} orders of the unknowns; {reason}")
    if isinstance(found, Contradiction):
        return Unattainable(supports, target, system.cofactors(found))
    values = found.values(len(system.variables), {})
    X, Y = ((e for e in system.entries(values, letter) if e[2]) for letter in "xy")
    return Attainable(supports, target, tuple(X), tuple(Y))


def find_cofactors(
    target: Entries[Fraction],
    supports: Supports,
    *,
    skipped: frozenset[tuple[int, int]] = frozenset(),
    max_seconds: float = 10.0,
    rng: int | None = None,
) -> Entries[Polynomial] | None:
    """Look for c_ij with Σ c_ij (XY − B)_ij = 1 that vanish at some entries.

    Parameters
    ----------
    target : tuple of (int, int, Fraction)
        The nonzeros of B.
    supports : Supports
        Two supports.
    skipped : frozenset of (int, int)
        Where c_ij must be 0.
    max_seconds, rng
        As `is_attainable`.

    Returns
    -------
    tuple of (int, int, Polynomial), or None
        The cofactors; None if there are none, or none were found.

    Examples
    --------
    >>> import fsmf
    >>> B = exact_entries([[0, 1], [1, 0]], (2, 2))
    >>> find_cofactors(B, fsmf.lu(2), skipped=frozenset({(0, 0)})) is None
    True
    """
    deadline = time.thread_time() + max_seconds
    try:
        system = System(supports, target, rng=rng, skipped=skipped, deadline=deadline)
        left_over = deadline - time.thread_time()
        found = solve(system.equations, n_unknowns=len(system.variables), max_seconds=left_over)
    except GaveUpError:
        return None
    return system.cofactors(found) if isinstance(found, Contradiction) else None


def limit_curve(
    target: Entries[Fraction],
    direction: Entries[Fraction],
    supports: Supports,
    *,
    max_seconds: float = 10.0,
    rng: int | None = None,
) -> tuple[Entries[Any], Entries[Any]] | None:
    """Look for factors X(t), Y(t) with X(t) Y(t) = B + t D, for all but finitely many t.

    Parameters
    ----------
    target, direction : tuple of (int, int, Fraction)
        The nonzeros of the limit B and of D.
    supports : Supports
        Two supports.
    max_seconds, rng
        As `is_attainable`.

    Returns
    -------
    tuple of entries, or None
        X and Y as `Witness` keeps them; None if there are none, or none was found.

    Notes
    -----
    **Cost.** As `is_attainable`, with t as a parameter.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.elimination import limit_curve
    >>> one = Fraction(1)
    >>> X, Y = limit_curve(((0, 1, one), (1, 0, one)), ((0, 0, one),), fsmf.lu(2))
    >>> len(X), len(Y)
    (3, 3)
    """
    from sympy import QQ, field

    deadline = time.thread_time() + max_seconds
    K, time_ = field("t", QQ)

    def number(value: Exact) -> Any:
        watch(deadline)
        return K(QQ(*value.as_integer_ratio()))

    try:
        system = System(supports, target, direction, rng=rng, deadline=deadline)
        t = len(system.variables)
        left_over = deadline - time.thread_time()
        found = solve(system.equations, n_unknowns=t + 1, parameters=[t], max_seconds=left_over)
        if isinstance(found, Contradiction):
            return None
        values = found.values(t + 1, {t: time_}, number)
    except GaveUpError:
        return None

    def coefficients(polynomial: Any) -> tuple[Fraction, ...]:
        dense = [Fraction(0)] * (1 + max(polynomial.degree(), 0))
        for (degree,), value in polynomial.terms():
            dense[degree] = Fraction(int(value.numerator), int(value.denominator))
        return tuple(dense)

    X, Y = (
        tuple(
            (i, k, (coefficients(v.numer), coefficients(v.denom)))
            for i, k, v in system.entries(values, letter)
            if v
        )
        for letter in "xy"
    )
    return X, Y


def directions(
    supports: Supports, target: Entries[Fraction], source: random.Random
) -> Iterator[Entries[Fraction]]:
    """Yield where to come from: one place at a time, then a few, among the rows and columns in use."""
    left, right = supports
    rows, columns = sorted({i for i, _, _ in target}), sorted({j for _, j, _ in target})
    places = [(i, j) for i in rows for j in columns if components(left, right, i, j)]
    for place in source.sample(places, min(len(places), 60)):
        yield ((*place, Fraction(1)),)
    for _ in range(60):
        chosen = source.sample(places, min(len(places), source.choice((2, 2, 3, 4))))
        yield tuple((*place, Fraction(source.choice((1, -1, 2, -3)))) for place in chosen)


def _product(X: Entries[Fraction], Y: Entries[Fraction]) -> Mapping[tuple[int, int], Fraction]:
    """The nonzeros of a product."""
    rows: dict[int, list[tuple[int, Fraction]]] = {}
    for k, j, value in Y:
        rows.setdefault(k, []).append((j, value))
    product: dict[tuple[int, int], Fraction] = {}
    for i, k, value in X:
        for j, other in rows.get(k, ()):
            product[i, j] = product.get((i, j), Fraction(0)) + value * other
    return {place: value for place, value in product.items() if value}


def check_budget(max_seconds: Any) -> None:
    """Raise an error unless this is a number of seconds from 0."""
    if not (isinstance(max_seconds, int | float | np.number) and max_seconds >= 0):
        raise OptionError(f"max_seconds must be a number of seconds from 0; found {max_seconds!r}")


def as_factor_pair(given: Any) -> Supports:
    """Return two supports, with the error of exact membership if there are others."""
    supports = as_free_supports(given)
    if len(supports) != 2:
        raise RefusedError(
            f"exact membership takes two factors; found {len(supports)}; join neighbours whose product fills "
            "its support, if there are such"
        )
    return supports
