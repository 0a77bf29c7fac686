"""The search for witnesses: curves of products whose limit is no product.

Two kinds of curves are tried. *Poles*: some components have columns a_k + t z_k with Σ a_k = 0 and rows
(v + t w_k)/t with a common v, so that the poles cancel and Σ a_k w_k + (Σ z_k) v remains; the other
components are constant. Every two components that share an entry have such curves. *Straight lines*: B + t D
for a few nonzeros of D, solved for the factors over the field of rational functions of t; these reach limits
of higher order that poles do not. A normal form that proofs by normal forms leave open can be B first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

from fsmf.supports.support import Supports, as_supports
from fsmf.wellposedness.elimination import (
    Unattainable,
    directions,
    find_cofactors,
    limit_curve,
    membership,
)
from fsmf.wellposedness.enumeration import free_places, kinds_of
from fsmf.wellposedness.orbits import OpenForm
from fsmf.wellposedness.polynomials import Laurent, evaluate, occurring
from fsmf.wellposedness.rational import Entries, RationalFunction
from fsmf.wellposedness.reached import components
from fsmf.wellposedness.witnesses import Witness

__all__ = ["find_witness", "shortened"]

_ONE: tuple[Fraction, ...] = (Fraction(1),)
_POLE: tuple[Fraction, ...] = (Fraction(0), Fraction(1))


def find_witness(
    supports: Any,
    *,
    form: OpenForm | None = None,
    max_seconds: float = 10.0,
    rng: int = 0,
    lines_after: int = 400,
) -> Witness | None:
    """Look for a proof that the products on these supports are no closed set.

    Parameters
    ----------
    supports : sequence
        Two supports, best with few rows, columns and components.
    form : OpenForm, optional
        What `find_cover` left open for them, which is tried first.
    max_seconds : float, optional
        When to give up, in seconds of processor time.
    rng : int, optional
        Seed of the search.
    lines_after : int, optional
        How many curves with poles to try before straight lines have their turn.

    Returns
    -------
    Witness or None
        The first witness found.

    Notes
    -----
    **Guarantee.** A witness verifies. None says nothing.

    **Cost.** About a millisecond for each curve where r ≤ 4.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.curves import find_witness
    >>> bool(find_witness(fsmf.lu(2)).verify())
    True
    """
    supports = as_supports(supports)
    deadline = time.thread_time() + max_seconds
    source = random.Random(rng)
    sources = [_poles(supports, source)]
    tried = 0
    first = _open_targets(form.entries if form else {}, source)
    while time.thread_time() < deadline:
        if tried == lines_after:
            sources.append(_targets(supports, source))
        tried += 1
        target, curve = next(first, None) or next(sources[tried % len(sources)])
        if not target:
            continue
        found = membership(target, supports, max_seconds=min(2.0, max_seconds))
        if not isinstance(found, Unattainable):
            continue
        for direction in () if curve else directions(supports, found.target, source):
            curve = limit_curve(target, direction, supports, max_seconds=0.5)
            if curve or time.thread_time() > deadline:
                break
        if curve:
            return Witness(supports[0], supports[1], found.target, *curve, found.cofactors)
    return None


def shortened(witness: Witness, *, tries: int = 6, max_seconds: float = 10.0) -> Witness:
    """Return the witness with cofactors at fewer entries, none of them free, and with fewer terms.

    Parameters
    ----------
    witness : Witness
        Any witness.
    tries : int, optional
        How many orders of the unknowns to try.
    max_seconds : float, optional
        For each search, in seconds of processor time.

    Returns
    -------
    Witness
        For the same curve.

    Notes
    -----
    Entries that can be anything (see `find_free_region`) are not needed for an identity: if factors gave all
    other entries of B, then others would give B. Without them, the witness carries over to supports with
    more components there.

    Examples
    --------
    >>> from fsmf.wellposedness.library import minimal_patterns
    >>> len(shortened(minimal_patterns()[0]).cofactors)
    3
    """
    supports, target = witness.supports, witness.target

    def search(skipped: frozenset[tuple[int, int]], rng: int | None = None) -> Any:
        return find_cofactors(target, supports, skipped=skipped, rng=rng, max_seconds=max_seconds)

    skipped = frozenset(free_places(kinds_of(supports)))
    if search(skipped) is None:
        skipped = frozenset()
    rows, columns = {i for i, _, _ in target}, {j for _, j, _ in target}
    places = [(i, j) for i in rows for j in columns if (i, j) not in skipped]
    for place in sorted(places, key=lambda place: -len(components(witness.left, witness.right, *place))):
        if search(skipped | {place}) is not None:
            skipped |= {place}
    found = [c for c in (witness.cofactors, *(search(skipped, rng) for rng in (None, *range(tries)))) if c]

    def size(cofactors: Any) -> tuple[bool, int]:
        return (any((i, j) in skipped for i, j, _ in cofactors), sum(len(terms) for _, _, terms in cofactors))

    return replace(witness, cofactors=min(found, key=size))


_Curve = tuple[Entries[RationalFunction], Entries[RationalFunction]]


def _poles(supports: Supports, source: random.Random) -> Iterator[tuple[Entries[Fraction], _Curve | None]]:
    """Random curves with cancelling poles, and their limits."""
    sides = []
    for pair in (supports, supports.T):
        left, right = (support.toarray() for support in pair)
        rows = [frozenset(column.nonzero()[0].tolist()) for column in left.T]
        columns = [frozenset(row.nonzero()[0].tolist()) for row in right]
        bundles = [
            (size, bundle, frozenset.intersection(*(columns[k] for k in bundle)))
            for size in (2, 3)
            for bundle in combinations(range(len(rows)), size)
        ]
        sides.append((rows, columns, [b for b in bundles if b[2] and rows[b[1][0]] & rows[b[1][1]]]))
    while True:
        turned = source.random() < 0.5
        rows, columns, bundles = sides[turned]
        if not bundles:
            yield (), None
            continue
        size = 3 if source.random() < 0.3 else 2
        _, bundle, common = source.choice([b for b in bundles if b[0] == size] or bundles)
        target, X, Y = _pole(rows, columns, bundle, sorted(common), source)
        if turned:
            X, Y = [(i, k, f) for k, i, f in Y], [(k, j, f) for j, k, f in X]
            target = [(i, j, value) for j, i, value in target]
        yield tuple(target), (tuple(X), tuple(Y))


def _pole(
    rows: list[frozenset[int]],
    columns: list[frozenset[int]],
    bundle: tuple[int, ...],
    common: list[int],
    source: random.Random,
) -> tuple[list[Any], list[Any], list[Any]]:
    """A limit, and the curve X(t), Y(t) of one bundle."""
    density = source.choice((0.3, 0.5, 0.7, 1.0))
    scale = source.choice(((1,), (1, 1, -1), (1, 1, 2, -1)))

    def some(places: Any) -> dict[int, int]:
        return {p: source.choice(scale) for p in sorted(places) if source.random() < density}

    a: dict[int, dict[int, int]] = {k: {} for k in bundle}
    shared = [i for i in set().union(*(rows[k] for k in bundle)) if sum(i in rows[k] for k in bundle) > 1]
    for n, i in enumerate(source.sample(shared, len(shared))):
        if n and source.random() > density:
            continue
        here = source.sample(among := [k for k in bundle if i in rows[k]], len(among))
        if len(here) == 3 and source.random() < 0.5:
            for k, value in zip(here, source.choice(((1, 1, -2), (-1, -1, 2), (1, 2, -3))), strict=True):
                a[k][i] = value
        else:
            a[here[0]][i], a[here[1]][i] = 1, -1
    v = dict.fromkeys(source.sample(common, source.randint(1, len(common))), 1)
    target: dict[tuple[int, int], int] = {}

    def grow(left: dict[int, int], right: dict[int, int]) -> None:
        for i, p in left.items():
            for j, q in right.items():
                target[i, j] = target.get((i, j), 0) + p * q

    X: list[tuple[int, int, RationalFunction]] = []
    Y: list[tuple[int, int, RationalFunction]] = []
    for k in range(len(rows)):
        z, w = some(rows[k]), some(columns[k])
        if k not in bundle:
            grow(z, w)
            X += [(i, k, ((Fraction(p),), _ONE)) for i, p in z.items()]
            Y += [(k, j, ((Fraction(q),), _ONE)) for j, q in w.items()]
            continue
        grow(z, v)
        grow(a[k], w)
        X += [(i, k, (_line(a[k].get(i), z.get(i)), _ONE)) for i in sorted({*a[k], *z})]
        Y += [(k, j, (_line(v.get(j), w.get(j)), _POLE)) for j in sorted({*v, *w})]
    return [(i, j, Fraction(value)) for (i, j), value in target.items() if value], X, Y


def _line(at_zero: int | None, slope: int | None) -> tuple[Fraction, ...]:
    return (Fraction(at_zero or 0), *((Fraction(slope),) if slope else ()))


def _open_targets(
    form: Mapping[tuple[int, int], Laurent], source: random.Random
) -> Iterator[tuple[Entries[Fraction], None]]:
    """A normal form for some values of its parameters."""
    names = sorted(set().union(*map(occurring, form.values())))
    for tried in range(min(len(form), 4 if names else 1)):
        drawn = source.choices((1, -1, 2, -3), k=len(names)) if tried else (2, 3, 5, 7, 11, 13, 17, 19)
        values = dict(zip(names, drawn, strict=False))
        entries = [(place, evaluate(p, values)) for place, p in form.items()]
        yield tuple((*place, value) for place, value in entries if value), None


def _targets(supports: Supports, source: random.Random) -> Iterator[tuple[Entries[Fraction], None]]:
    """Random matrices of small integers within reach."""
    (m, n), (left, right) = supports.shape, supports
    places = [(i, j) for i in range(m) for j in range(n) if components(left, right, i, j)]
    while True:
        density = source.choice((0.2, 0.35, 0.5))
        values = [(p, source.choice((1, 1, 1, -1, 2))) for p in places if source.random() < density]
        yield tuple((*place, Fraction(value)) for place, value in values), None
