"""Verdicts have no truth value, print for people, and survive a file."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from small_patterns import random_pair

import fsmf
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed, verdict_from_dict

SUPPORTS = [
    fsmf.low_rank(5, rank=2),
    fsmf.lu(3),
    fsmf.butterfly(8),
    fsmf.kaleidoscope(8),
    fsmf.random_supports(8, components=8, density=0.9, rng=0),
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


def test_verdicts_speak():
    assert "every matrix has a best product" in str(VERDICTS[0])
    assert "driven to 0" in str(VERDICTS[1])
    assert "(0, 1) = 1" in str(VERDICTS[1])
    assert "open" in str(VERDICTS[3])
    assert "What remains" in str(VERDICTS[4])


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


def test_random_verdicts_survive_json():
    rng = np.random.default_rng(1)
    for _ in range(40):
        verdict = check_well_posedness(random_pair(rng, 6, 5))
        assert verdict_from_dict(json.loads(verdict.to_json())) == verdict
