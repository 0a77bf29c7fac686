"""What to eliminate next from polynomial equations, and what to distinguish cases by: any choice is right.

The equations map numbers to Laurent polynomials that are to vanish together. Some unknowns are known to be
units, and some are parameters, which are units that no equation is solved for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from fsmf.wellposedness.polynomials import Laurent, degree_in, monic, occurring, powers, split, term

__all__ = ["Case", "Pivot", "find_case", "find_pivot", "find_trade"]


class Pivot(NamedTuple):
    """Name the equation that is solved, and the unknown that it is solved for."""

    equation: int
    unknown: int


class Case(NamedTuple):
    """Hold what is 0 or a unit: an unknown, or its coefficient a in an equation."""

    a: Laurent
    unknown: int
    equation: int | None = None


def find_pivot(
    equations: Mapping[int, Laurent],
    units: Set[int],
    parameters: Set[int],
    watch: Callable[[], None] = lambda: None,
) -> Pivot | None:
    """Return the equation c·u + rest = 0, with c made of units, that makes the fewest new terms.

    Parameters
    ----------
    equations : mapping of int to Laurent
        None of them empty.
    units, parameters : set of int
        Unknowns that are not 0, and those of them that stay.
    watch : callable, optional
        Called for each equation; it may raise.

    Returns
    -------
    Pivot or None
        A unit u is eliminated only if rest is one term made of units.

    Examples
    --------
    >>> find_pivot({7: {**term(1, 0, 1), **term(2, 2, 2)}}, {0}, set())
    Pivot(equation=7, unknown=1)
    """
    counts: dict[int, int] = {}
    for f in equations.values():
        watch()
        for m in f:
            for v, _ in powers(m):
                counts[v] = counts.get(v, 0) + 1
    best, choice = None, None
    for e, f in equations.items():
        watch()
        times: dict[int, list[int]] = {}
        for m in f:
            for v, _ in powers(m):
                times.setdefault(v, []).append(m)
        for v, monomials in times.items():
            if len(monomials) > 1 or v in parameters or abs(degree_in(monomials[0], v)) != 1:
                continue
            if any(w not in units for w, _ in powers(monomials[0]) if w != v):
                continue
            if v in units and (len(f) != 2 or not occurring(f) <= units):
                continue
            cost = ((len(f) - 2) * (counts[v] - 1), len(f))
            if best is None or cost < best:
                best, choice = cost, Pivot(e, v)
    return choice


def find_trade(equations: Mapping[int, Laurent], units: Set[int], parameters: Set[int]) -> Pivot | None:
    """Return the shortest equation c·u + rest = 0, up to a power of u, in which c is made of units.

    Parameters
    ----------
    equations, units, parameters
        As `find_pivot` takes them.

    Returns
    -------
    Pivot or None
        The unknown may be a unit, and the rest of any length.

    Examples
    --------
    >>> find_trade({7: {**term(1, 0, 1), **term(2, 1), **term(1, 2)}}, {0, 2}, set())
    Pivot(equation=7, unknown=2)
    """
    candidates = [
        (len(f), e, v)
        for e, f in equations.items()
        for v in occurring(f) - parameters
        if sorted(parts := split(f, v)) == [low := min(parts), low + 1]
        and len(parts[low + 1]) == 1
        and occurring(parts[low + 1]) <= units
    ]
    return Pivot(*min(candidates)[1:]) if candidates else None


def find_case(
    equations: Mapping[int, Laurent],
    units: Set[int],
    parameters: Set[int],
    *,
    for_all: bool = False,
    unknowns_first: bool = False,
) -> Case | None:
    """Return what to distinguish cases by, where no equation gives an unknown.

    Parameters
    ----------
    equations, units, parameters
        As `find_pivot` takes them.
    for_all, unknowns_first : bool, optional
        As `solve` takes them.

    Returns
    -------
    Case or None
        Of an unknown if one case ends soon, then of a coefficient, which makes an equation linear, or of an
        unknown after all.

    Examples
    --------
    >>> find_case({7: term(1, 0, 1)}, set(), set()).unknown
    0
    """
    n_equations = Counter(v for f in equations.values() for v in occurring(f))
    best, choice = None, None
    for f in equations.values():
        inner = [[(v, d) for v, d in powers(m) if v not in units] for m in f]
        alone = [i for i, vs in enumerate(inner) if not vs]
        common = set.intersection(*({v for v, _ in vs} for vs in inner if vs)) if any(inner) else set()
        for v in {v for vs in inner for v, _ in vs}:
            # v = 0 contradicts this equation at once; or it is a product that is 0; or a unit v helps.
            if len(alone) == 1 and v in common:
                kind = 0
            elif len(f) == 1:
                kind = 1
            else:
                kind = 2 if any(v in dict(vs) and len(vs) == 2 for vs in inner) else 3
            score = (kind, len(f), -n_equations[v], v)
            if best is None or score < best:
                best, choice = score, v
    if choice is not None and best is not None and (best[0] < 3 or unknowns_first):
        return Case(term(1, choice), choice)
    tried = {monic(f) for f in equations.values()}
    coefficients = [
        (len(parts[1]), len(f), e, v)
        for e, f in equations.items()
        for v in occurring(f) - parameters
        if sorted(parts := split(f, v)) in ([0, 1], [1])
        and len(parts[1]) > 1
        and monic(parts[1]) not in tried
        # a·u = unit says already that a is one
        and not (
            v in units
            and len(rest := parts.get(0, {})) == 1
            and occurring(rest) <= units
            and not occurring(parts[1]) <= parameters
        )
    ]
    if for_all:
        # f = a + rest/v is a v + rest, times a unit.
        coefficients += [
            (len(parts[0]), len(f), e, v)
            for e, f in equations.items()
            for v in (occurring(f) & units) - parameters
            if sorted(parts := split(f, v)) == [-1, 0]
            and len(parts[0]) > 1
            and occurring(parts[0]) <= parameters
        ]
    if coefficients:
        _, _, e, v = min(coefficients)
        parts = split(equations[e], v)
        return Case(parts[max(parts)], v, e)
    return None if choice is None else Case(term(1, choice), choice)
