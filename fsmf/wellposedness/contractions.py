"""Rows that lie in one component only: they fix its row of the right factor, and leave a smaller question.

If row i lies in component k alone and column j in component k, a target whose row i is 1 at column j and 0
elsewhere leaves ``x_ik y_k = e_j``: component k reaches column j only. What is a limit and no product then,
without row i, is one with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from time import thread_time
from typing import NamedTuple

import numpy as np

from fsmf.supports.rank_one import equivalence_classes
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.minors import find_corner, find_minor, witness_of
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.rational import RationalFunction
from fsmf.wellposedness.reached import components
from fsmf.wellposedness.witnesses import Polynomial, Variable, Witness

__all__ = ["Contraction", "contracted", "find_contracted", "lifted"]

# One row after another is contracted, so many at most; larger pairs are not looked at.
_DEPTH = 2
_PLACES = 2_500
_ONE: RationalFunction = ((Fraction(1),), (Fraction(1),))


class Contraction(NamedTuple):
    """Name a row that lies in one component only, the component, and one of its columns."""

    row: int
    component: int
    column: int


def contracted(supports: Supports, by: Contraction) -> Supports:
    """Return the pair without the row, whose component keeps just one column.

    Parameters
    ----------
    supports : Supports
        A pair.
    by : Contraction
        A row in one component only, which reaches the column.

    Returns
    -------
    Supports
        Of the same shapes, with an empty row.

    Notes
    -----
    **Guarantee.** If products of the pair are a closed set, so are those of the smaller one. *Proof.*
    Products whose row i is 1 at j and 0 elsewhere have ``x_ik y_k = e_j``, so without row i they are all
    products of the smaller pair; and each product of that is one of these without row i, with ``x_ik = 1``
    and ``y_k = e_j``. A closed set meets an affine space in a closed set. ∎

    Examples
    --------
    >>> import fsmf
    >>> smaller = contracted(fsmf.lu(3), Contraction(0, 0, 2))
    >>> smaller[1].toarray().astype(int)
    array([[0, 0, 1],
           [0, 1, 1],
           [0, 0, 1]])
    """
    left, right = (support.toarray() for support in supports)
    left[by.row] = False
    right[by.component] = False
    right[by.component, by.column] = True
    return Supports((Support(left), Support(right)))


def lifted(witness: Witness, supports: Supports, by: Contraction) -> Witness:
    """Return the witness for a pair that one for the contracted pair gives.

    Parameters
    ----------
    witness : Witness
        For ``contracted(supports, by)``.
    supports : Supports
        The pair itself.
    by : Contraction
        What was contracted.

    Returns
    -------
    Witness
        Its target has the row ``e_j`` besides.

    Notes
    -----
    **Guarantee.** It verifies if the other one does. *Proof.* The curve has ``x_ik = 1``, ``y_k = e_j``, and
    in the other rows of component k the old ``x_k y_kj``: there the product is the old one. From
    ``Σ c (X'Y' − B) = 1``, in which component k reaches column j only, follows

        Σ c_i'j' (XY − B)_i'j' − Σ c_i'j' x_i'k y_kj' = 1,

    with the second sum over columns j' ≠ j of component k. With f = XY − B, and ``f_ij = x_ik y_kj − 1``,
    ``f_ij' = x_ik y_kj'``, there is ``y_kj' = y_kj f_ij' − y_kj' f_ij``. So the cofactors are the old ones,
    ``−Σ c_i'j' x_i'k y_kj`` at (i, j'), and ``Σ c_i'j' x_i'k y_kj'`` at (i, j). ∎

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.wellposedness.library import minimal_patterns
    >>> corner = minimal_patterns()[0]
    >>> left, right = (support.toarray() for support in corner.supports)
    >>> left = np.r_[left, [[False, True]]]  # a third row in component 1 only, which gets another column
    >>> right = np.c_[right, [False, True]]
    >>> pair = Supports(map(Support, (left, right)))
    >>> here = Contraction(2, 1, 1)
    >>> smaller = corner.padded([0, 1], [0, 1], [0, 1], contracted(pair, here))
    >>> bool(lifted(smaller, pair, here).verify())
    True
    """
    i, k, j = by
    left, right = supports
    at_j = {(c, b): function for c, b, function in witness.Y}.get((k, j))
    X = [(a, c, function) for a, c, function in witness.X if c != k]
    if at_j:
        X += [(a, c, _times(function, at_j)) for a, c, function in witness.X if c == k]
    Y = [entry for entry in witness.Y if entry[0] != k]
    cofactors: dict[tuple[int, int], dict[tuple[Variable, ...], Fraction]] = {}

    def add(place: tuple[int, int], polynomial: Polynomial, sign: int, *variables: Variable) -> None:
        sums = cofactors.setdefault(place, {})
        for coefficient, names in polynomial:
            key = tuple(sorted((*names, *variables)))
            sums[key] = sums.get(key, Fraction(0)) + sign * coefficient

    for a, b, polynomial in witness.cofactors:
        add((a, b), polynomial, 1)
        if b != j and k in components(left, right, a, b):
            add((i, b), polynomial, -1, ("x", a, k), ("y", k, j))
            add((i, j), polynomial, 1, ("x", a, k), ("y", k, b))
    return Witness(
        left,
        right,
        tuple(sorted((*witness.target, (i, j, Fraction(1))))),
        tuple(sorted((*X, (i, k, _ONE)))),
        tuple(sorted((*Y, (k, j, _ONE)))),
        tuple((*place, terms) for place, sums in sorted(cofactors.items()) if (terms := _terms(sums))),
    )


def find_contracted(supports: Supports, deadline: float = float("inf")) -> Witness | None:
    """Look for a small sub-block without a closed set of products in what contractions leave.

    Parameters
    ----------
    supports : Supports
        A pair.
    deadline : float
        When to give up, on the clock of `time.thread_time`.

    Returns
    -------
    Witness or None
        For the pair itself. None says nothing.

    Examples
    --------
    >>> import fsmf
    >>> bool(find_contracted(fsmf.lu(4)).verify())
    True
    """
    if sum(support.shape[0] * support.shape[1] for support in supports) > _PLACES:
        return None
    return _search(supports, deadline, _DEPTH)


def _search(supports: Supports, deadline: float, depth: int) -> Witness | None:
    for turned in (False, True):
        pair = supports.T if turned else supports
        for by in _contractions(pair):
            if thread_time() > deadline:
                return None
            smaller = contracted(pair, by)
            classes = equivalence_classes(smaller)
            pattern = Pattern.of(classes)
            minor = find_corner(pattern, deadline) or find_minor(pattern, deadline)
            found = witness_of(minor, classes, smaller) if minor else None
            if found is None and depth > 1:
                found = _search(smaller, deadline, depth - 1)
            if found:
                whole = lifted(found, pair, by)
                return whole.transposed() if turned else whole
    return None


def _contractions(supports: Supports) -> Iterator[Contraction]:
    """Contractions of different kinds: rows in one component only, with a column of each kind."""
    left, right = (support.toarray() for support in supports)
    live = left.any(axis=0) & right.any(axis=1)
    columns = np.unique(right.T, axis=0, return_index=True)[1]
    rows = np.flatnonzero((left & live).sum(axis=1) == 1)
    for k in sorted({int(np.flatnonzero(left[i] & live)[0]) for i in rows}):
        i = next(int(i) for i in rows if left[i, k])
        if right[k].sum() > 1:
            yield from (Contraction(i, k, int(j)) for j in columns if right[k, j])


def _times(function: RationalFunction, other: RationalFunction) -> RationalFunction:
    """The product of two rational functions."""
    parts = []
    for p, q in zip(function, other, strict=True):
        product = [Fraction(0)] * (len(p) + len(q) - 1)
        for a, coefficient in enumerate(p):
            for b, factor in enumerate(q):
                product[a + b] += coefficient * factor
        parts.append(tuple(product))
    return parts[0], parts[1]


def _terms(sums: Mapping[tuple[Variable, ...], Fraction]) -> Polynomial:
    return tuple((coefficient, names) for names, coefficient in sums.items() if coefficient)
