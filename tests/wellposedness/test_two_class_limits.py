"""Limits of two classes in normal form: they verify, also inside larger supports, and not once spoiled."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import fsmf
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.two_class_limits import TwoClassLimit
from fsmf.wellposedness.verdicts import IllPosed, Undecided, verdict_from_dict

KINDS = [[1, 0], [1, 1], [0, 1]]


def two_classes(ranks, rows, columns):
    """So many rows and columns in the first class only, in both, in the second only."""
    sides = (np.repeat(KINDS, counts, axis=0) for counts in (rows, columns))
    return fsmf.pair(*(np.repeat(side, ranks, axis=1) for side in sides))


# One of each: a private block that needs too much; a common vector of columns, and of rows.
CASES = {
    "one": two_classes((2, 2), (2, 2, 0), (2, 2, 0)),
    "columns": two_classes((2, 2), (0, 4, 0), (1, 3, 1)),
    "rows": two_classes((2, 2), (1, 3, 1), (0, 4, 0)),
    "inner": two_classes((3, 2), (3, 4, 0), (3, 3, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_limit_verifies_and_is_approached(name):
    verdict = check_well_posedness(CASES[name])
    assert isinstance(verdict.proof, TwoClassLimit)
    assert verdict.verify()
    assert verdict_from_dict(json.loads(verdict.to_json())) == verdict
    errors, norms = [], []
    for t in (1e-2, 1e-4):
        X, Y = verdict.witness(t)
        errors.append(abs(X @ Y - verdict.target).max())
        norms.append(max(abs(X).max(), abs(Y).max()))
    assert errors[1] < errors[0] / 20
    assert norms[1] > 20 * norms[0]


def test_pairs_of_two_classes_are_all_decided():
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(60):
        ranks, rows, columns = rng.integers(1, 5, 2), rng.integers(0, 4, 3), rng.integers(0, 4, 3)
        if rows[1] and columns[1]:
            verdict = check_well_posedness(two_classes(ranks, rows, columns))
            assert not isinstance(verdict, Undecided)
            assert verdict.verify()
            kinds.add(type(verdict.proof).__name__)
    assert kinds == {"Proof", "Witness", "TwoClassLimit"}


@pytest.mark.parametrize("seed", range(8))
def test_inside_larger_supports(seed):
    """Rows, columns and components besides, in any order; nothing else reaches the block."""
    rng = np.random.default_rng(seed)
    block = CASES[list(CASES)[seed % len(CASES)]]
    left, right = (support.toarray() for support in block)
    (m, r), n = left.shape, right.shape[1]
    alike = (left == left[:, :1]).all(axis=0) & (right == right[:1]).all(axis=1)
    ranks = [alike.sum(), r - alike.sum()]  # components of a class stay alike
    below, beside = (np.repeat(rng.random((3, 2)) < 0.5, ranks, axis=1) for _ in range(2))
    left = np.block([[left, np.zeros((m, 2))], [below, np.ones((3, 2))]]).astype(bool)
    right = np.block([[right, beside.T], [np.ones((2, n + 3))]]).astype(bool)
    rows, columns, units = rng.permutation(m + 3), rng.permutation(n + 3), rng.permutation(r + 2)
    verdict = check_well_posedness([left[rows][:, units], right[units][:, columns]])
    assert isinstance(verdict, IllPosed)
    assert verdict.verify()


@pytest.mark.parametrize("name", CASES)
def test_spoiled_limits_fail(name):
    verdict = check_well_posedness(CASES[name])
    proof = verdict.proof
    curve = proof.curve
    i, j, value = curve.target[0]
    for wrong in (
        replace(proof, curve=replace(curve, target=((i, j, value + 1), *curve.target[1:]))),
        replace(proof, curve=replace(curve, target=curve.target[1:])),
        replace(proof, curve=replace(curve, X=curve.X[1:])),
        replace(proof, curve=replace(curve, Y=curve.Y[1:])),
        replace(proof, curve=replace(curve, X=(), Y=(), target=())),
        replace(proof, rows=(99, *proof.rows)),
        replace(proof, columns=(-1, *proof.columns)),
        replace(proof, first=()),
        replace(proof, second=proof.second[1:]),
        replace(proof, first=(*proof.first, proof.second[0]), second=proof.second[1:]),
        replace(proof, first=(*proof.first, proof.first[0])),
        replace(proof, first=(*proof.first, 99)),
    ):
        assert not replace(verdict, proof=wrong).verify()
    # A product is no limit beyond the products, whatever is said of it.
    X, Y = ((0, proof.first[0]), (proof.first[0], int(curve.right.row(proof.first[0])[0])))
    one = ((Fraction(1),), (Fraction(1),))
    row = int(curve.left.T.row(proof.first[0])[0])
    product = replace(
        curve, target=((row, Y[1], Fraction(1)),), X=((row, X[1], one),), Y=((Y[0], Y[1], one),)
    )
    found = replace(proof, curve=product).verify()
    assert [check.passed for check in found.checks] == [True] * (len(found.checks) - 1) + [False]


def test_some_rows_less_may_leave_no_proof():
    proof = check_well_posedness(CASES["one"]).proof
    used = {i for i, _, _ in proof.target}
    for i in used:
        fewer = tuple(row for row in proof.rows if row != i)
        assert not replace(proof, rows=fewer).verify()
