"""Solving and refuting equations, against Gröbner bases and by multiplying out."""

import random
from fractions import Fraction

import pytest
import sympy

from fsmf.wellposedness.polynomials import (
    add,
    constant,
    degree_in,
    evaluate,
    monomial,
    multiply,
    occurring,
    powers,
    split,
    substitute,
    term,
)
from fsmf.wellposedness.solving import Contradiction, GaveUpError, Solution, solve


def as_sympy(p, symbols):
    return sympy.expand(
        sum(
            sympy.Rational(*Fraction(c).as_integer_ratio())
            * sympy.Mul(*(symbols[v] ** d for v, d in powers(m)))
            for m, c in p.items()
        )
    )


def some_polynomial(source, n, terms=4, negative=False):
    p = {}
    for _ in range(terms):
        m = sum(monomial(v, source.randint(-2 if negative else 0, 2)) for v in source.sample(range(n), 2))
        add(p, {m: source.choice([1, -1, 2, Fraction(1, 3)])})
    return p


@pytest.mark.parametrize("seed", range(10))
def test_arithmetic_is_sympy_s(seed):
    source = random.Random(seed)
    n = 5
    symbols = sympy.symbols("a:5")
    p, q = (some_polynomial(source, n, negative=True) for _ in range(2))
    assert as_sympy(multiply(p, q), symbols) == sympy.expand(as_sympy(p, symbols) * as_sympy(q, symbols))
    total = dict(p)
    add(total, q, Fraction(-2, 3), monomial(1, -1))
    assert (
        sympy.expand(
            as_sympy(total, symbols)
            - as_sympy(p, symbols)
            + Fraction(2, 3) * as_sympy(q, symbols) / symbols[1]
        )
        == 0
    )
    assert {symbols[v] for v in occurring(p)} == as_sympy(p, symbols).free_symbols
    for m in p:
        assert sum(monomial(v, d) for v, d in powers(m)) == m
        assert all(degree_in(m, v) == dict(powers(m)).get(v, 0) for v in range(n))
    parts = split(p, 2)
    assert sum(
        (as_sympy(part, symbols) * symbols[2] ** d for d, part in parts.items()), sympy.Integer(0)
    ).expand() == as_sympy(p, symbols)
    values = [Fraction(source.randint(1, 9), 7) for _ in range(n)]
    rationals = [sympy.Rational(*v.as_integer_ratio()) for v in values]
    expected = as_sympy(p, symbols).subs(dict(zip(symbols, rationals, strict=True)))
    assert evaluate(p, values) == Fraction(int(expected.p), int(expected.q))


@pytest.mark.parametrize("seed", range(20))
def test_substitution_and_its_quotient(seed):
    """p(v) = p(q) + (v − q) h."""
    source = random.Random(seed)
    single = seed % 2
    p = some_polynomial(source, 4, negative=single)
    q = {monomial(1, -1) + monomial(2): Fraction(-3, 2)} if single else some_polynomial(source, 3, terms=2)
    q = {m: c for m, c in q.items() if not degree_in(m, 3)} or {0: 2}
    changed, quotient = substitute(p, 3, q)
    assert 3 not in occurring(changed)
    total = dict(changed)
    add(total, multiply({monomial(3): 1}, quotient))
    add(total, multiply(q, quotient), -1)
    assert total == p


def is_zero_of(values, equations):
    return all(evaluate(f, values) == 0 for f in equations)


@pytest.mark.parametrize("seed", range(60))
def test_against_groebner_bases(seed):
    """Products of two unknowns and numbers: a contradiction exactly if 1 is in the ideal."""
    source = random.Random(seed)
    n = 5
    equations = []
    for _ in range(source.randint(2, 5)):
        f = {}
        for _ in range(source.randint(1, 3)):
            add(f, term(source.choice([1, -1, 2]), *source.sample(range(n), source.choice([1, 2, 2]))))
        add(f, constant(source.choice([0, 0, 1, -1])))
        if f:
            equations.append(f)
    symbols = sympy.symbols("a:5")
    basis = sympy.groebner([as_sympy(f, symbols) for f in equations], *symbols, order="grevlex")
    try:
        found = solve(equations, n_unknowns=n, max_seconds=5)
    except GaveUpError:
        assert basis.exprs != [1]
        return
    if isinstance(found, Solution):
        assert is_zero_of(found.values(n, {}), equations)
        return
    assert basis.exprs == [1]
    total = {}
    for e, c in found.cofactors.items():
        add(total, multiply(c, equations[e]))
    assert total == {0: 1}


def test_units_of_several_terms():
    """Where every unknown is a unit, x + y + z = 0 still gives one of them, and the proof is carried back."""
    x, y, z, u = range(4)
    p = {monomial(x): 1, monomial(y): 1, monomial(z): 1}
    units = [{monomial(v) + monomial(v + 4): 1, 0: -1} for v in (x, y, z)]
    # x + y + z = 0, and z² = (x + y)² + u with u = 1: no solution.
    square = {monomial(z, 2): 1, monomial(u): -1}
    add(square, multiply({monomial(x): 1, monomial(y): 1}, {monomial(x): 1, monomial(y): 1}), -1)
    equations = [p, *units, square, {monomial(u): 1, 0: -1}]
    found = solve(equations, n_unknowns=8, max_seconds=5)
    assert isinstance(found, Contradiction)
    total = {}
    for e, c in found.cofactors.items():
        add(total, multiply(c, equations[e]))
    assert total == {0: 1}
    assert isinstance(solve(equations[:-1], n_unknowns=8, max_seconds=5), Solution)


def test_parameters_are_not_solved_for():
    """x t = 1 has a solution for almost all t, and t = 1 has none."""
    found = solve([{monomial(0) + monomial(1): 1, 0: -1}], n_unknowns=2, parameters=[1], max_seconds=5)
    assert found.values(2, {1: Fraction(3)}) == [Fraction(1, 3), 3]
    assert isinstance(
        solve([{monomial(1): 1, 0: -1}], n_unknowns=2, parameters=[1], max_seconds=5), Contradiction
    )


def test_irrational_zeros_are_no_contradiction():
    with pytest.raises(GaveUpError, match="not linear"):
        solve([{monomial(0, 2): 1, 0: -2}], n_unknowns=1, max_seconds=5)


def test_the_budget_is_kept():
    hard = [{monomial(i) + monomial(j): 1, 0: -(i + 1) * (j + 2) - 1} for i in range(8) for j in range(8)]
    with pytest.raises(GaveUpError, match="time"):
        solve(hard, n_unknowns=8, max_seconds=0)
