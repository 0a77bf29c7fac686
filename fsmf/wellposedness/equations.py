"""The equations that say that a matrix is a product on given supports, and what their solutions mean."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from numbers import Rational, Real
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.errors import InputError, InputTypeError, ShapeError
from fsmf.supports.support import Supports
from fsmf.wellposedness.polynomials import Exact, Laurent, add, constant, monomial, powers, term
from fsmf.wellposedness.ranks import determinant_identity, find_high_rank
from fsmf.wellposedness.rational import Entries
from fsmf.wellposedness.solving import Contradiction, GaveUpError, watch
from fsmf.wellposedness.witnesses import Polynomial, Variable

__all__ = ["System", "exact_entries"]

# Up to how many components the ranks of sub-blocks are looked at.
_COMPONENTS = 5
# Terms times unknowns, about half a GB: monomials are integers with some bits for each unknown.
_SIZE = 500_000_000


class System:
    """Hold the equations (XY − B − tD)_ij = 0 of the rows and columns in which B or D is not zero.

    With the others, X and Y may have rows and columns of zeros there: whether there is a solution does not
    change. Writing down the equations gives up at the deadline, or if they are too many.
    """

    def __init__(
        self,
        supports: Supports,
        target: Entries[Fraction],
        direction: Entries[Fraction] = (),
        *,
        rng: int | None = None,
        skipped: frozenset[tuple[int, int]] = frozenset(),
        deadline: float = float("inf"),
    ) -> None:
        self.watch = partial(watch, deadline)
        left, right = supports
        known = [(i, j) for i, j, value in (*target, *direction) if value]
        rows, columns = sorted({i for i, _ in known}), sorted({j for _, j in known})
        if rng is not None:
            source = random.Random(rng)
            source.shuffle(rows)
            source.shuffle(columns)
        in_column = {j: set(right.T.row(j).tolist()) for j in columns}
        joint: dict[tuple[int, int], list[int]] = {}
        index: dict[Variable, int] = {}
        for i in rows:
            self.watch()
            in_row = left.row(i).tolist()
            for j in columns:
                if (i, j) not in skipped:
                    joint[i, j] = [k for k in in_row if k in in_column[j]]
                    for k in joint[i, j]:
                        index.setdefault(("x", i, k), len(index))
        self.places = list(joint)
        for (_, j), ks in joint.items():
            for k in ks:
                index.setdefault(("y", k, j), len(index))
        self.variables = list(index)
        n_terms = sum(map(len, joint.values()))
        if n_terms * len(index) > _SIZE:
            raise GaveUpError(f"{n_terms} terms in {len(index)} unknowns are more than it takes")
        values: dict[tuple[int, int], Laurent] = {}
        for entries, unknown in ((target, 0), (direction, monomial(len(index)))):
            for i, j, value in entries:
                add(values.setdefault((i, j), {}), constant(_plain(value)), -1, unknown)
        self.equations: list[Laurent] = []
        for (i, j), ks in joint.items():
            self.watch()
            equation = dict(values.get((i, j), {}))
            for k in ks:
                add(equation, term(1, index["x", i, k], index["y", k, j]))
            self.equations.append(equation)

    def cofactors(self, found: Contradiction) -> Entries[Polynomial]:
        """Return the cofactors by place, in the names of the unknowns."""
        return tuple(sorted((*self.places[e], self.named(c)) for e, c in found.cofactors.items() if c))

    def by_rank(self, target: Entries[Fraction]) -> Entries[Polynomial]:
        """Return the cofactors of an identity that a high rank gives, if there is one in time."""
        unknowns: dict[str, dict[tuple[int, int], int]] = {"x": {}, "y": {}}
        for v, (letter, i, j) in enumerate(self.variables):
            unknowns[letter][i, j] = v
        number = {k: n for n, k in enumerate(dict.fromkeys(k for _, k in unknowns["x"]))}
        rows = {i: 0 for i, _ in self.places}
        columns = {j: 0 for _, j in self.places}
        for i, k in unknowns["x"]:
            rows[i] |= 1 << number[k]
        for k, j in unknowns["y"]:
            columns[j] |= 1 << number[k]
        values = {(i, j): value for i, j, value in target}
        try:
            block = find_high_rank(values, rows, columns, self.watch) if len(number) <= _COMPONENTS else None
            if block is None:
                return ()
            inside = {(i, k): v for (i, k), v in unknowns["x"].items() if i in block[0]}
            other = {(k, j): v for (k, j), v in unknowns["y"].items() if j in block[1]}
            identity = determinant_identity(values, block, inside, other, self.watch)
        except GaveUpError:
            return ()
        return tuple(sorted((*place, self.named(c)) for place, c in identity.items()))

    def named(self, polynomial: Laurent) -> Polynomial:
        """Return a polynomial in the names of the unknowns."""
        terms = []
        for m, value in polynomial.items():
            names = (self.variables[v] for v, exponent in powers(m) for _ in range(exponent))
            terms.append((Fraction(value), tuple(sorted(names))))
        return tuple(sorted(terms, key=lambda term: (len(term[1]), term[1])))

    def entries(self, values: list[Any], letter: str) -> Iterator[tuple[int, int, Any]]:
        """Yield the entries of one factor."""
        for (name, i, j), value in zip(self.variables, values, strict=False):
            if name == letter:
                yield i, j, value


def exact_entries(B: Any, shape: tuple[int, int]) -> Entries[Fraction]:
    """Return the nonzeros of a matrix of rationals as they are, row, column and value, in order.

    Parameters
    ----------
    B : array_like or sparse array
        Integers, fractions or floats.
    shape : tuple of int
        The shape that it is to have.

    Returns
    -------
    tuple of (int, int, Fraction)
        The nonzeros.

    Raises
    ------
    InputError, InputTypeError, ShapeError
        As `is_attainable`.

    Examples
    --------
    >>> exact_entries([[0, 0.5]], (1, 2))
    ((0, 1, Fraction(1, 2)),)
    """
    matrix: Any = B.tocoo() if sparse.issparse(B) else np.asarray(B, dtype=object)
    if matrix.shape != shape:
        raise ShapeError(
            f"a matrix of the shape of the product was asked for, {shape}; found {matrix.shape}; give one "
            "entry per row and column of the product"
        )
    if sparse.issparse(matrix):
        found = list(zip(*(a.tolist() for a in (*matrix.coords, matrix.data)), strict=True))
    else:
        found = [(i, j, v) for i, row in enumerate(matrix.tolist()) for j, v in enumerate(row) if v != 0]
    total: dict[tuple[int, int], Fraction] = {}
    for i, j, value in found:
        total[int(i), int(j)] = total.get((int(i), int(j)), Fraction(0)) + _exact(value)
    return tuple((i, j, value) for (i, j), value in sorted(total.items()) if value)


def _exact(value: Any) -> Fraction:
    if isinstance(value, Real | np.bool_):
        try:
            return Fraction(value) if isinstance(value, Rational) else Fraction(float(value))
        except (ValueError, OverflowError):
            raise InputError(f"finite entries were asked for; found {value}; give rational numbers") from None
    raise InputTypeError(
        f"rational entries were asked for; found {value!r} of type {type(value).__name__}; give integers, "
        "fractions.Fraction or floats"
    )


def _plain(value: Fraction) -> Exact:
    return value.numerator if value.denominator == 1 else value
