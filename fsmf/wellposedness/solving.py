"""Decide whether polynomial equations have a common zero, by cases and elimination, with a proof each way.

Three rules are enough for the equations of sparse factors. (1) An equation c·u + rest = 0 in which c is made
of units gives u. (2) Otherwise some polynomial a is chosen, most often an unknown, and either a = 0 becomes
one more equation or a becomes a unit. (3) A unit that is 0 is a contradiction.

A contradiction is returned as cofactors: Σ c_e f_e = 1, over the equations f_e. Each rule carries such an
identity back to the equations it started from:

* (1) with v − q = f/c and f_e(v) = f_e(q) + (v − q) h_e: Σ c_e f_e(q) = 1 gives
  Σ c_e f_e − (Σ c_e h_e / c) f = 1.
* (2) from Σ c_e f_e + d a = 1 where a = 0, and Σ c'_e f_e = aᴺ, the identity of the other branch cleared of
  the powers of 1/a: 1 = (1 − (d a)ᴺ) + dᴺ aᴺ, and the first is a multiple of 1 − d a = Σ c_e f_e, so the
  cofactors are c_e Σ_{i<N} (d a)ⁱ + dᴺ c'_e.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from fsmf.wellposedness.pivots import Case, find_case, find_pivot, find_trade
from fsmf.wellposedness.polynomials import (
    CONSTANT,
    Exact,
    Laurent,
    add,
    constant,
    degree_in,
    evaluate,
    monomial,
    multiply,
    occurring,
    power,
    powers,
    split,
    substitute,
    term,
)

__all__ = ["Contradiction", "GaveUpError", "Solution", "solve", "watch"]


# How many cases may lie within each other: for a proof, and for factors alone, which have few unknowns.
_DEPTH, _DEPTH_OF_FACTORS = 150, 50


class GaveUpError(Exception):
    """The search ran out of its budget or of its rules; the message says of which."""


def watch(deadline: float) -> None:
    """Give up after a moment on the clock of `time.thread_time`."""
    if time.thread_time() > deadline:
        raise GaveUpError("the time was over")


class Contradiction(NamedTuple):
    """The equations have no common zero: the cofactors of an identity Σ c_e f_e = 1, by equation."""

    cofactors: dict[int, Laurent]


class Solution(NamedTuple):
    """The equations have common zeros: what each unknown that is not free is replaced by, in this order.

    First come unknowns that stand for 1/q, for polynomials q in the parameters that have to be units.
    """

    steps: list[tuple[int, Laurent]]
    units: frozenset[int]
    inverses: tuple[tuple[int, Laurent], ...] = ()

    def values(
        self, n_unknowns: int, free: Mapping[int, Any], number: Callable[[Exact], Any] = Fraction
    ) -> list[Any]:
        """Return one zero: the free unknowns as given, or else 1 if they are units and 0 if not."""
        n_values = 1 + max([n_unknowns - 1, *self.units, *(v for v, _ in (*self.steps, *self.inverses))])
        values = [free.get(v, number(int(v in self.units))) for v in range(n_values)]
        for w, q in self.inverses:
            values[w] = 1 / evaluate(q, values, number)
        for v, replacement in reversed(self.steps):
            values[v] = evaluate(replacement, values, number)
        return values[:n_unknowns]


def solve(
    equations: Sequence[Laurent],
    *,
    n_unknowns: int,
    parameters: Iterable[int] = (),
    for_all: bool = False,
    unknowns_first: bool = False,
    max_seconds: float,
    max_terms: int = 20_000,
) -> Solution | Contradiction:
    """Find how to solve equations over the rationals, or prove that no field extension solves them.

    Parameters
    ----------
    equations : sequence of Laurent
        Polynomials that are to vanish together.
    n_unknowns : int
        How many unknowns there are.
    parameters : iterable of int, optional
        Unknowns that stand for numbers without any relation over the rationals. If there are some, a
        contradiction comes without cofactors.
    for_all : bool, optional
        Whether a solution has to hold for all values of the parameters but 0.
    unknowns_first : bool, optional
        Whether to look for a solution alone, where there are parameters: what is 0 is asked of each unknown
        before it is asked of polynomials, and after a failure the other case is tried.
    max_seconds : float
        When to give up, in seconds of processor time.
    max_terms : int, optional
        How many terms an equation or a cofactor may have.

    Returns
    -------
    Solution or Contradiction
        With the steps, or with the cofactors.

    Raises
    ------
    GaveUpError
        If the budget is over, or no rule applies.

    Notes
    -----
    **Guarantee.** Both answers are exact. The proof is above; the caller checks them by other means.

    **Cost.** Exponential in the number of branches at worst.
    """
    search = _Search(n_unknowns, frozenset(parameters), time.thread_time() + max_seconds, max_terms)
    search.for_all, search.unknowns_first = for_all, unknowns_first
    found = search.solve(dict(enumerate(equations)), frozenset(parameters))
    return found._replace(inverses=tuple(search.inverses)) if isinstance(found, Solution) else found


class _Search:
    def __init__(self, n_unknowns: int, parameters: frozenset[int], deadline: float, max_terms: int) -> None:
        self.next_unknown = n_unknowns
        self.next_equation = 1 << 20
        self.parameters = parameters
        self.deadline = deadline
        self.max_terms = max_terms
        self.for_all = self.unknowns_first = False
        self.inverses: list[tuple[int, Laurent]] = []
        self.guesses = 40
        self.retries = 10
        self.depth = 0

    def solve(self, equations: dict[int, Laurent], units: frozenset[int]) -> Solution | Contradiction:
        self.depth += 1
        try:
            return self.step(equations, units)
        finally:
            self.depth -= 1

    def step(self, equations: dict[int, Laurent], units: frozenset[int]) -> Solution | Contradiction:
        equations = {e: f for e, f in equations.items() if f}
        self.watch()
        most = _DEPTH_OF_FACTORS if self.unknowns_first else _DEPTH
        if self.depth > most:
            raise GaveUpError(f"more than {most} cases lay within each other")
        if any(len(f) > self.max_terms for f in equations.values()):
            raise GaveUpError(f"an equation grew beyond {self.max_terms} terms")
        if not equations:
            return Solution([], units)
        for e, f in equations.items():
            if len(f) == 1:
                ((m, value),) = f.items()
                if all(v in units for v, _ in powers(m)):
                    return Contradiction({e: {-m: Fraction(1) / value}})
        if self.parameters and any(occurring(f) <= self.parameters for f in equations.values()):
            return Contradiction({})
        pivot = find_pivot(equations, units, self.parameters, self.watch)
        if pivot:
            return self.eliminate(equations, units, *pivot)
        case = find_case(
            equations,
            units,
            self.parameters,
            for_all=self.for_all,
            unknowns_first=self.unknowns_first,
        )
        if case and (case.equation is None or not self.unknowns_first):
            return self.branch(equations, units, case)
        found = self.guess(equations, units)
        return found or (self.branch(equations, units, case) if case else self.trade(equations, units))

    def eliminate(
        self, equations: dict[int, Laurent], units: frozenset[int], e: int, v: int
    ) -> Solution | Contradiction:
        f = equations[e]
        (own,) = (m for m in f if degree_in(m, v))
        degree = degree_in(own, v)
        value = f[own]
        if degree == 1:
            rest = {m: c for m, c in f.items() if m != own}
            scale: Laurent = {monomial(v) - own: Fraction(1) / value}
            q = multiply(rest, {m: -c for m, c in scale.items()})
        else:  # value·n/v + other·m' = 0, hence v = −(value/other)·n/m'
            ((other, coefficient),) = ((m, c) for m, c in f.items() if m != own)
            scale = {monomial(v) - other: Fraction(1) / coefficient}
            q = {own + monomial(v) - other: Fraction(-value) / coefficient}
        # v − q = scale·f
        rest_equations, quotients = {}, {}
        for other_e, g in equations.items():
            if other_e != e:
                self.watch()
                rest_equations[other_e], quotients[other_e] = substitute(g, v, q, self.watch)
        found = self.solve(rest_equations, units - {v})
        if isinstance(found, Solution):
            return Solution([(v, q), *found.steps], found.units)
        if self.parameters:
            return found
        total = self.pulled_back(found.cofactors, quotients)
        return self.checked({**found.cofactors, e: self.product(total, scale)})

    def guess(self, equations: dict[int, Laurent], units: frozenset[int]) -> Solution | None:
        """A zero with some unknown set to a small number, if there is one."""
        shortest = min(equations.values(), key=len)
        for v in sorted(occurring(shortest) - self.parameters):
            for value in (1, -1, 2):
                self.guesses -= 1
                if self.guesses < 0:
                    return None
                q = constant(value)
                found = self.solve(
                    {e: substitute(f, v, q, self.watch)[0] for e, f in equations.items()}, units - {v}
                )
                if isinstance(found, Solution):
                    return Solution([(v, q), *found.steps], found.units)
        return None

    def trade(self, equations: dict[int, Laurent], units: frozenset[int]) -> Solution | Contradiction:
        """Eliminate a unit v by v = q, of several terms, and let a new unit w with w q = 1 stand for 1/v.

        Where v − q = scale·f, also w q − 1 = −scale·f/v at w = 1/v.
        """
        pivot = find_trade(equations, units, self.parameters)
        if pivot is None:
            raise GaveUpError("what remains is not linear in any unknown")
        e, v = pivot
        parts = split(equations[e], v)
        low = min(parts)
        ((own, value),) = parts[low + 1].items()
        scale: Laurent = {monomial(v, -low) - own: Fraction(1) / value}
        q = multiply(parts[low], {-own: Fraction(-1) / value})
        noted = self.for_all and occurring(q) <= self.parameters
        w, extra = self.noted(q) if noted else self.next_unknown, self.next_equation
        self.next_unknown, self.next_equation = max(self.next_unknown, w + 1), extra + 1
        inverse = multiply(q, term(1, w))
        add(inverse, {CONSTANT: -1})
        changed, quotients = {extra: {} if noted else inverse}, {extra: power(v, -1)}
        for other, g in equations.items():
            if other != e:
                renamed: Laurent = {}
                for degree, part in split(g, v).items():
                    add(renamed, part, 1, monomial(v, degree) if degree > 0 else monomial(w, -degree))
                changed[other], quotient = substitute(renamed, v, q, self.watch)
                quotients[other] = _exchanged(quotient, w, v)
        found = self.solve(changed, units - {v} | {w})
        if isinstance(found, Solution):
            return Solution([(v, q), *found.steps], found.units)
        if self.parameters:
            if noted:
                self.inverses.pop()
            return found
        cofactors = {other: _exchanged(c, w, v) for other, c in found.cofactors.items()}
        total = self.pulled_back(cofactors, quotients)
        cofactors.pop(extra, None)
        return self.checked({**cofactors, e: self.product(total, scale)})

    def pulled_back(self, cofactors: dict[int, Laurent], quotients: dict[int, Laurent]) -> Laurent:
        """−Σ c_e h_e."""
        total: Laurent = {}
        for e, c in cofactors.items():
            if quotients.get(e):
                add(total, self.product(c, quotients[e]), -1)
        return total

    def branch(
        self, equations: dict[int, Laurent], units: frozenset[int], case: Case
    ) -> Solution | Contradiction:
        if self.for_all and occurring(case.a) <= self.parameters:
            return self.invert_parameter(equations, units, case)
        extra = self.next_equation
        self.next_equation += 1
        n_inverses = len(self.inverses)
        try:
            zero = self.solve({**equations, extra: case.a}, units)
        except GaveUpError:
            self.retries -= 1
            may = self.unknowns_first or (self.for_all and case.equation is None)
            if self.retries < 0 or not may:
                raise
            # No proof will come of it, but perhaps a solution.
            del self.inverses[n_inverses:]
            if case.equation is None:
                found = self.solve(equations, units | {case.unknown})
            else:
                found = self.invert(equations, units, case, {}, {})
            if isinstance(found, Solution):
                return found
            raise
        if isinstance(zero, Solution):
            return zero
        d = zero.cofactors.pop(extra, {})
        if not d and not self.parameters:
            return zero
        if case.equation is None:
            return self.invert_unknown(equations, units, case.unknown, d, zero.cofactors)
        return self.invert(equations, units, case, d, zero.cofactors)

    def invert_parameter(
        self, equations: dict[int, Laurent], units: frozenset[int], case: Case
    ) -> Solution | Contradiction:
        """Solve where a polynomial a in the parameters is a unit, which goes on record."""
        a, u, e = case
        assert e is not None
        w = self.noted(a)
        parts = split(equations[e], u)
        solved = multiply(parts.get(max(parts) - 1, {}), term(1, w))
        add(solved, term(1, u))
        found = self.solve({**equations, e: solved}, units | {w})
        if isinstance(found, Contradiction):
            self.inverses.pop()
        return found

    def noted(self, q: Laurent) -> int:
        """A new parameter for 1/q."""
        w = self.next_unknown
        self.next_unknown += 1
        self.parameters |= {w}
        self.inverses.append((w, q))
        return w

    def invert_unknown(
        self,
        equations: dict[int, Laurent],
        units: frozenset[int],
        v: int,
        d: Laurent,
        zero: dict[int, Laurent],
    ) -> Solution | Contradiction:
        """Solve where v is a unit, given 1 − d v = Σ zero_e f_e."""
        found = self.solve(equations, units | {v})
        if isinstance(found, Solution) or self.parameters:
            return found
        parts = {e: split(c, v) for e, c in found.cofactors.items()}
        lowest = min((degree for part in parts.values() for degree in part), default=0)
        ladder = [constant(1)]
        for _ in range(-lowest):
            ladder.append(self.product(ladder[-1], d))
        total: dict[int, Laurent] = {}
        excess: Laurent = {}
        for e, part in parts.items():
            own = split(equations[e], v)
            for degree, c in part.items():
                shift = power(v, max(degree, 0))
                replaced = self.product(multiply(c, shift), ladder[max(-degree, 0)])
                add(total.setdefault(e, {}), replaced)
                for up, g in own.items():
                    for i in range(min(up, -degree)):
                        # (v w)^k − 1 = −(1 − v w) Σ_{i<k} (v w)^i, with k = min(up, −degree), at w = d.
                        k = min(up, -degree)
                        rest = multiply(multiply(c, g), power(v, up - k + i))
                        add(excess, self.product(rest, ladder[-degree - k + i]))
        for e, c in zero.items():
            add(total.setdefault(e, {}), self.product(c, excess))
        return self.checked(total)

    def invert(
        self,
        equations: dict[int, Laurent],
        units: frozenset[int],
        case: Case,
        d: Laurent,
        zero: dict[int, Laurent],
    ) -> Solution | Contradiction:
        """Solve where the polynomial a is a unit 1/w, given 1 − d a = Σ zero_e f_e.

        The equation f = a u + rest becomes u + w·rest, which is w f where w a = 1.
        """
        a, u, e = case
        assert e is not None
        w, extra = self.next_unknown, self.next_equation
        self.next_unknown, self.next_equation = w + 1, extra + 1
        equation = multiply(a, term(1, w))
        add(equation, {CONSTANT: -1})
        solved = multiply(split(equations[e], u).get(0, {}), term(1, w))
        add(solved, term(1, u))
        found = self.solve({**equations, e: solved, extra: equation}, units | {w})
        if isinstance(found, Solution) or self.parameters:
            return found
        found.cofactors.pop(extra, None)
        if e in found.cofactors:
            found.cofactors[e] = multiply(found.cofactors[e], term(1, w))
        parts = {e: split(c, w) for e, c in found.cofactors.items()}
        degrees = [0, *(degree for part in parts.values() for degree in part)]
        n = max(degrees)
        ladder = [constant(1)]
        for _ in range(n - min(degrees)):
            ladder.append(self.product(ladder[-1], a))
        da, da_power, d_power = self.product(d, a), constant(1), constant(1)
        geometric: Laurent = {}
        for _ in range(n):
            add(geometric, da_power)
            da_power, d_power = self.product(da_power, da), self.product(d_power, d)
        total = {e: self.product(c, geometric) for e, c in zero.items()}
        for e, part in parts.items():
            for degree, c in part.items():
                add(total.setdefault(e, {}), self.product(self.product(c, ladder[n - degree]), d_power))
        return self.checked(total)

    def watch(self) -> None:
        watch(self.deadline)

    def product(self, p: Laurent, q: Laurent) -> Laurent:
        self.watch()
        if len(p) * len(q) > 50 * self.max_terms:
            raise GaveUpError(f"the proof grew beyond {self.max_terms} terms")
        return multiply(p, q, self.watch)

    def checked(self, cofactors: dict[int, Laurent]) -> Contradiction:
        if sum(map(len, cofactors.values())) > self.max_terms:
            raise GaveUpError(f"the proof grew beyond {self.max_terms} terms")
        return Contradiction({e: c for e, c in cofactors.items() if c})


def _exchanged(p: Laurent, w: int, v: int) -> Laurent:
    """A polynomial with 1/v for w."""
    total: Laurent = {}
    for degree, part in split(p, w).items():
        add(total, part, 1, monomial(v, -degree))
    return total
