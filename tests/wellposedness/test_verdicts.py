"""Verdicts have no truth value, print for people, and survive a file."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from small_patterns import random_pair

import fsmf
from fsmf.errors import NotAttainedWarning
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed, verdict_from_dict

SUPPORTS = [
    fsmf.low_rank(5, rank=2),
    fsmf.lu(3),
    fsmf.butterfly(8),
    fsmf.kaleidoscope(8),
    fsmf.random_supports(8, components=8, density=0.8, rng=1),
]
VERDICTS = [check_well_posedness(supports) for supports in SUPPORTS]


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: type(verdict).__name__)
def test_verdicts_survive_json_and_have_no_truth_value(verdict):
    again = verdict_from_dict(json.loads(verdict.to_json()))
    assert type(again) is type(verdict)
    assert again == verdict
    assert again.verify()
    with pytest.raises(TypeError, match="truth value"):
        bool(verdict)


def test_every_kind_of_verdict_is_here():
    assert {type(verdict) for verdict in VERDICTS} == {WellPosed, IllPosed, Undecided}


OPEN = fsmf.random_supports(16, 16, components=16, density=0.8, rng=0)


def test_verdicts_speak():
    assert "every matrix has a best product" in str(VERDICTS[0])
    assert "driven to 0" in str(VERDICTS[1])
    assert "(0, 1) = 1" in str(VERDICTS[1])
    assert "open" in str(VERDICTS[3])
    assert "What remains" in str(VERDICTS[4])
    for verdict, reason in (
        (fsmf.check_well_posedness(fsmf.lu(4)), "Reason: an identity"),
        (fsmf.check_well_posedness(fsmf.kaleidoscope(4)), "What remains is whether the products of"),
        (fsmf.check_well_posedness(fsmf.kaleidoscope(32), max_seconds=0.01), "was allowed, 0.01 s, is over"),
        (fsmf.check_well_posedness(OPEN, max_seconds=0.02), "was allowed, 0.02 s, is over"),
        (fsmf.check_well_posedness(OPEN, max_seconds=0.02), "What remains: 16 rows × 16 columns with 16"),
    ):
        assert reason in str(verdict)


def test_spoiled_ill_posed_verdicts_fail():
    verdict = VERDICTS[1]
    proof = verdict.proof
    i, j, value = proof.target[0]
    assert not replace(verdict, supports=fsmf.lu(4)).verify()
    for wrong in (
        replace(proof, target=((i, j, value + 1), *proof.target[1:])),
        replace(proof, X=proof.X[1:]),
        replace(proof, Y=proof.Y[1:]),
        replace(proof, cofactors=proof.cofactors[1:]),
        replace(proof, target=(*proof.target, (2, 2, Fraction(1, 3)))),
    ):
        assert not replace(verdict, proof=wrong).verify()


def test_what_is_no_verdict_is_refused():
    data = VERDICTS[0].to_dict()
    for wrong in ({}, {**data, "verdict": "perhaps"}, {**data, "proof": {}}, {**data, "supports": [3]}):
        with pytest.raises(fsmf.errors.FileFormatError, match="no verdict"):
            verdict_from_dict(wrong)


@pytest.mark.parametrize("n", [16, pytest.param(40, marks=pytest.mark.slow)])
def test_random_verdicts_survive_json(n):
    rng = np.random.default_rng(1)
    for _ in range(n):
        verdict = check_well_posedness(random_pair(rng, 6, 5))
        assert verdict_from_dict(json.loads(verdict.to_json())) == verdict


# Components with ever fewer rows and ever more columns: any two are comparable.
NESTED = fsmf.pair(
    [[i >= k for k in range(4)] for i in range(6)], [[j <= k + 2 for k in range(4)] for j in range(6)]
)
BOUNDED = [NESTED, fsmf.low_rank(6, 5, rank=3), fsmf.monarch(8, blocks=2), fsmf.block_diagonal(6, blocks=3)]


@pytest.mark.parametrize("supports", BOUNDED)
def test_best_factors_keep_to_their_bound(supports):
    """What is found among factors within the bound is as good as what is found among all."""
    rng = np.random.default_rng(2)
    verdict = check_well_posedness(supports)
    A = rng.standard_normal(supports.shape) * np.exp(2 * rng.standard_normal(supports.shape))
    bound = verdict.norm_bound(np.linalg.norm(A))
    free = fsmf.factorize(A, supports, solver=fsmf.ALS(starts=2, max_sweeps=300, rtol=1e-9))
    held = fsmf.factorize(A, supports, solver=fsmf.ALS(starts=2, max_sweeps=300, rtol=1e-9, max_norm=bound))
    assert sum(np.linalg.norm(f.toarray()) ** 2 for f in held.factors) ** 0.5 <= bound * (1 + 1e-9)
    assert held.error <= free.error * (1 + 1e-4)


def test_bounds_are_sharp_and_given_where_they_hold():
    # One component: the best factors of a matrix of rank one have just this norm.
    verdict = check_well_posedness(fsmf.low_rank(3, rank=1))
    assert verdict.norm_bound(8.0) == pytest.approx(4.0)
    # LU with a full component besides makes every matrix, but not the swap of rows by factors of its size.
    every = check_well_posedness([[[1, 0, 1], [1, 1, 1]], [[1, 1], [0, 1], [1, 1]]])
    assert isinstance(every, WellPosed)
    assert every.norm_bound(1.0) is None
    assert "of factors that it bounds" in check_well_posedness(NESTED).fact


def test_growing_factors_are_no_alarm_where_best_ones_are_bounded():
    """Warnings are errors here: these starts wander along directions that change nothing."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((6, 6)) * np.exp(3 * rng.standard_normal((6, 6)))
        F = fsmf.factorize(A, NESTED, solver=fsmf.VariableProjection(starts=2, rng=seed))
        assert F.status.name == "CONVERGED"
    with pytest.warns(NotAttainedWarning, match="as for some matrices on these supports"):
        fsmf.factorize(np.eye(3)[::-1], fsmf.lu(3), solver=fsmf.VariableProjection())
