"""Witnesses prove what they say, also after being moved, and no longer when any part of them is spoiled."""

import json
import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy

import fsmf
from fsmf.errors import FileFormatError, InputError, OptionError
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.witnesses import Witness

LU = minimal_patterns()[0]
SOME = random.Random(0).sample(minimal_patterns(), 8)


def number(function, t):
    """A rational function, by its definition."""
    above, below = (sum(c * Fraction(t) ** d for d, c in enumerate(part)) for part in function)
    return above / below


def test_lu_by_hand():
    """The identity of the smallest pattern, at random factors, without any computer algebra."""
    source = random.Random(1)
    for _ in range(20):
        x = {(i, k): Fraction(source.randint(-9, 9)) for i, k in ((0, 0), (1, 0), (1, 1))}
        y = {(k, j): Fraction(source.randint(-9, 9)) for k, j in ((0, 0), (0, 1), (1, 1))}
        B = {(i, j): value for i, j, value in LU.target}
        left, right = (support.toarray() for support in LU.supports)
        total = Fraction(0)
        for i, j, cofactor in LU.cofactors:
            XY = sum(x[i, k] * y[k, j] for k in range(2) if left[i, k] and right[k, j])
            c = Fraction(0)
            for coefficient, variables in cofactor:
                for letter, a, b in variables:
                    coefficient *= (x if letter == "x" else y)[a, b]
                c += coefficient
            total += c * (XY - B.get((i, j), 0))
        assert total == 1


@pytest.mark.parametrize("witness", SOME, ids=range(len(SOME)))
def test_verifies_and_converges(witness):
    assert witness.verify()
    B = witness.matrix().toarray()
    errors, norms = [], []
    for t in (1e-2, 1e-4):
        X, Y = (factor.toarray() for factor in witness.numeric(t))
        assert not X[~witness.left.toarray()].any()
        assert not Y[~witness.right.toarray()].any()
        errors.append(np.linalg.norm(X @ Y - B))
        norms.append(np.linalg.norm(X) + np.linalg.norm(Y))
    assert errors[1] < errors[0] / 20
    assert norms[1] > norms[0] * 5


def order(expression, t):
    """The exponent of the lowest power of t in a rational function."""
    above, below = (sympy.Poly(part, t).monoms()[-1][0] for part in sympy.fraction(sympy.cancel(expression)))
    return above - below


@pytest.mark.parametrize("witness", SOME, ids=range(len(SOME)))
def test_errors_fall_and_norms_grow_at_the_rates_of_the_curve(witness):
    t = sympy.Symbol("t")
    sides, poles = [], []
    for entries, support in zip(witness.factors, witness.supports, strict=True):
        side = sympy.zeros(*support.shape)
        for i, j, parts in entries:
            above, below = (sum(sympy.Rational(c) * t**d for d, c in enumerate(part)) for part in parts)
            side[i, j] = above / below
        sides.append(side)
        poles.append(max(-order(entry, t) for entry in side if entry != 0))
    error = sides[0] * sides[1]
    for i, j, value in witness.target:
        error[i, j] -= sympy.Rational(value)
    rate = min(order(entry, t) for entry in error if sympy.cancel(entry) != 0)
    assert rate >= 1
    assert max(poles) >= 1

    def measured(at):
        X, Y = (factor.toarray() for factor in witness.numeric(at))
        return np.array([np.linalg.norm(M) for M in (X @ Y - witness.matrix().toarray(), X, Y)])

    found = np.log2(measured(2e-3) / measured(1e-3))
    assert np.allclose(found, [rate, *(-pole for pole in poles)], atol=0.05)


def test_numeric_is_the_curve():
    X, Y = LU.numeric(0.25)
    for i, k, function in LU.X:
        assert X[i, k] == float(number(function, 0.25))
    for k, j, function in LU.Y:
        assert Y[k, j] == float(number(function, 0.25))


@pytest.mark.parametrize("t", [0, np.nan, np.inf])
def test_numeric_wants_a_point_of_the_curve(t):
    with pytest.raises(OptionError, match="small t"):
        LU.numeric(t)


@pytest.mark.parametrize("witness", SOME, ids=range(len(SOME)))
def test_transposed_and_carried_through_json(witness):
    turned = witness.transposed()
    assert turned.verify()
    assert (turned.matrix().toarray() == witness.matrix().toarray().T).all()
    assert turned.transposed().supports == witness.supports
    assert turned.transposed().verify()
    assert Witness.from_dict(json.loads(json.dumps(witness.to_dict()))) == witness


@pytest.mark.parametrize("seed", range(20))
def test_padded(seed):
    """Into a larger pair that has the pattern as a sub-block, and anything elsewhere."""
    rng = np.random.default_rng(seed)
    witness = SOME[seed % len(SOME)]
    left, right = (support.toarray() for support in witness.supports)
    (m, r), n = left.shape, right.shape[1]
    rows, columns = rng.permutation(m + 3)[:m], rng.permutation(n + 2)[:n]
    classes = rng.permutation(r + 3)[:r]
    big_left, big_right = rng.random((m + 3, r + 3)) < 0.5, rng.random((r + 3, n + 2)) < 0.5
    big_left[rows] = False
    big_left[np.ix_(rows, classes)] = left
    big_right[:, columns] &= ~np.isin(np.arange(r + 3), classes)[:, None]
    big_right[np.ix_(classes, columns)] = right
    big = witness.padded(rows, columns, classes, fsmf.as_supports([big_left, big_right]))
    assert big.supports == fsmf.as_supports([big_left, big_right])
    assert big.verify()
    assert big.matrix().nnz == witness.matrix().nnz


def test_padded_where_entries_are_not_used():
    """Another component may reach what the identity leaves out, and nothing else."""
    used = {(i, j) for i, j, _ in LU.cofactors}
    for i in range(2):
        for j in range(2):
            left = np.column_stack([LU.left.toarray(), np.eye(2)[i]])
            right = np.vstack([LU.right.toarray(), np.eye(2)[j]])
            supports = fsmf.as_supports([left, right])
            if (i, j) in used:
                with pytest.raises(InputError, match="differ"):
                    LU.padded([0, 1], [0, 1], [0, 1], supports)
            else:
                assert LU.padded([0, 1], [0, 1], [0, 1], supports).verify()
    assert len(used) == 3


def test_padded_wants_one_image_each():
    with pytest.raises(InputError, match="all different"):
        LU.padded([0, 0], [0, 1], [0, 1], LU.supports)
    with pytest.raises(InputError, match="all different"):
        LU.padded([0, 1], [0, 1], [0], LU.supports)


def changed(entries, at, value):
    return (*entries[:at], value, *entries[at + 1 :])


def spoiled(witness):
    """The witness with one thing wrong, for each thing that can be."""
    (i, j, value), (a, b, function) = witness.target[0], witness.X[0]
    yield "target value", replace(witness, target=changed(witness.target, 0, (i, j, value + 1)))
    yield "target entry lost", replace(witness, target=witness.target[1:])
    yield "target out of range", replace(witness, target=(*witness.target, (99, 0, Fraction(1))))
    yield "target twice", replace(witness, target=(*witness.target, witness.target[0]))
    above, below = function
    more = ((above[0] + 1, *above[1:]), below)
    yield "curve", replace(witness, X=changed(witness.X, 0, (a, b, more)))
    yield "curve entry lost", replace(witness, X=witness.X[1:])
    yield "curve twice", replace(witness, X=(*witness.X, witness.X[0]))
    yield (
        "curve without denominator",
        replace(witness, X=changed(witness.X, 0, (a, b, (above, (Fraction(0),))))),
    )
    yield (
        "curve with a pole",
        replace(witness, X=changed(witness.X, 0, (a, b, ((Fraction(1),), (Fraction(0),) * 5 + above)))),
    )
    k, l, (above, below) = witness.Y[-1]
    yield (
        "other curve",
        replace(witness, Y=changed(witness.Y, -1, (k, l, (above, tuple(2 * c for c in below))))[:-1]),
    )
    off = np.argwhere(~witness.left.toarray())
    if off.size:
        place = tuple(map(int, off[0]))
        tiny = ((Fraction(0),), (Fraction(1),))
        yield "curve off the support", replace(witness, X=(*witness.X, (*place, tiny)))
        variable = (Fraction(1), (("x", *place),))
        yield (
            "unknown off the support",
            replace(witness, cofactors=(*witness.cofactors[1:], (*witness.cofactors[0][:2], (variable,)))),
        )
    c, d, cofactor = witness.cofactors[0]
    doubled = tuple((2 * coefficient, variables) for coefficient, variables in cofactor)
    yield "cofactor", replace(witness, cofactors=changed(witness.cofactors, 0, (c, d, doubled)))
    yield "cofactor lost", replace(witness, cofactors=witness.cofactors[1:])
    yield "cofactor twice", replace(witness, cofactors=(*witness.cofactors, witness.cofactors[0]))
    yield "cofactor out of range", replace(witness, cofactors=(*witness.cofactors, (99, 0, cofactor)))
    places = np.argwhere(witness.left.toarray())
    used = {
        (i, k) for _, _, terms in witness.cofactors for _, vs in terms for letter, i, k in vs if letter == "x"
    }
    hit = next(p for p, place in enumerate(places) if tuple(place) in used)
    fewer = np.delete(places, hit, axis=0)
    yield "support", replace(witness, left=fsmf.Support.from_coordinates(*fewer.T, shape=witness.left.shape))


@pytest.mark.parametrize("witness", SOME[:4], ids=range(4))
def test_spoiled_witnesses_fail(witness):
    for name, wrong in spoiled(witness):
        assert not wrong.verify(), name
        assert "FAIL" in str(wrong.verify())


@pytest.mark.parametrize("key", ["left", "right", "target", "X", "Y", "cofactors"])
def test_damaged_dictionaries(key):
    data = LU.to_dict()
    for wrong in (None, 3, [[0]], {"rows": []}, [[0, 0, "x0"], [0]], [[0, 0, "1/0", "1/0"]]):
        with pytest.raises(FileFormatError, match="no witness"):
            Witness.from_dict({**data, key: wrong})
    del data[key]
    with pytest.raises(FileFormatError, match="no witness"):
        Witness.from_dict(data)


@pytest.mark.parametrize("text", ["x0", "x0_0 ", "2**x0_0", "++1", "x0_0*2", "z0_0", "1//2", "x0_0x1_1y"])
def test_what_is_no_polynomial_is_refused(text):
    data = LU.to_dict()
    with pytest.raises(FileFormatError, match="no witness"):
        Witness.from_dict({**data, "cofactors": [[0, 0, text]]})
