"""Three factors and more: joined neighbours, witnesses carried over, and what stays open."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import fsmf
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.joins import Joined, find_filling
from fsmf.wellposedness.lifting import Lifted
from fsmf.wellposedness.search import Prover
from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed, verdict_from_dict
from fsmf.wellposedness.verification import verify_proof

L = np.tri(4)
CASES = [
    ("lower", [L, L, L], WellPosed),
    ("dense first", [np.ones((3, 3)), np.tri(3), np.tri(3).T], WellPosed),
    ("rank two in the middle", [np.ones((5, 2)), np.eye(2), np.ones((2, 4))], WellPosed),
    ("a diagonal between lu", [L, np.eye(4), L.T], IllPosed),
    ("lower lower upper", [L, L, L.T], IllPosed),
    ("permuted lu", [L[:, ::-1], np.eye(4)[::-1], np.eye(4), L.T], IllPosed),
    ("there and back", fsmf.kaleidoscope(8), Undecided),
]


def random_chain(rng, n_factors=3, max_side=5):
    sides = rng.integers(2, max_side + 1, n_factors + 1)
    density = rng.choice([0.35, 0.5, 0.7])
    return fsmf.as_supports([rng.random(shape) < density for shape in pairwise(sides)])


@pytest.mark.parametrize(("supports", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_verdicts_verify_and_survive_json(supports, expected):
    verdict = check_well_posedness(supports)
    assert type(verdict) is expected
    assert verdict.verify()
    assert verdict_from_dict(json.loads(verdict.to_json())) == verdict


@pytest.mark.parametrize("n", [10, pytest.param(25, marks=pytest.mark.slow)])
def test_random_chains_verify_whichever_way_they_are_read(n):
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(n):
        supports = random_chain(rng)
        verdict = check_well_posedness(supports, max_seconds=1)
        assert verdict.verify()
        turned = check_well_posedness(supports.T, max_seconds=1)
        order = rng.permutation(supports[0].shape[1])
        S1, S2, S3 = (support.toarray() for support in supports)
        mixed = check_well_posedness([S1[:, order], S2[order], S3], max_seconds=1)
        answers = {type(v) for v in (verdict, turned, mixed)}
        assert not {WellPosed, IllPosed} <= answers
        kinds |= answers
    assert kinds == {WellPosed, IllPosed, Undecided}


def test_products_come_near_and_factors_grow():
    verdict = check_well_posedness([L, np.eye(4), L.T])
    B = verdict.target.toarray()
    errors, norms = [], []
    for t in (1e-2, 1e-4):
        factors = [factor.toarray() for factor in verdict.witness(t)]
        for factor, support in zip(factors, verdict.supports, strict=True):
            assert not factor[~support.toarray()].any()
        errors.append(abs(np.linalg.multi_dot(factors) - B).max())
        norms.append(max(abs(factor).max() for factor in factors))
    assert errors[1] < errors[0] / 20
    assert norms[1] > 20 * norms[0]


def test_filling_pairs_make_any_values():
    """Also a matrix with zeros: least squares from some random start comes down to nothing."""
    rng = np.random.default_rng(1)
    filled = 0
    while filled < 12:
        supports = random_chain(rng, 2, 4)
        proof = find_filling(supports)
        left, right = (support.toarray().astype(float) for support in supports)
        reach = left @ right > 0
        if proof is None or not reach.any():
            continue
        filled += 1
        assert verify_proof(supports, proof)
        A = reach * rng.integers(-1, 2, reach.shape).astype(float)
        solver = fsmf.ALS(starts=20, max_sweeps=2000)
        assert fsmf.factorize(A, supports, solver=solver).error < 1e-2 * max(1, np.linalg.norm(A))


def test_what_has_a_rank_bound_does_not_fill():
    assert find_filling(fsmf.low_rank(3, rank=2)) is None
    assert find_filling(fsmf.low_rank(3, rank=3)) is not None
    assert find_filling(fsmf.lu(3)) is None
    corner = fsmf.pair([[1, 0, 0], [1, 1, 0], [0, 0, 1]], [[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    assert find_filling(corner) is None


def test_spoiled_joins_fail():
    supports = fsmf.as_supports([np.ones((5, 2)), np.eye(2), np.ones((2, 4))])
    verdict = check_well_posedness(supports)
    proof = verdict.proof
    assert isinstance(proof, Joined)
    (at, filled), *others = proof.joins
    rank_one = Prover().prove(filled.pattern.T)
    for wrong in (
        replace(proof, joins=()),
        replace(proof, joins=((7, filled), *others)),
        replace(proof, joins=((-1, filled), *others)),
        replace(proof, joins=((1 - at, filled), *others)),
        replace(proof, joins=((at, rank_one), *others)),
        replace(proof, joins=(*proof.joins, (0, filled))),
        replace(proof, rest=filled),
        replace(proof, rest=check_well_posedness(fsmf.butterfly(8)).proof),
    ):
        assert not replace(verdict, proof=wrong).verify()
    low = fsmf.as_supports([np.ones((3, 1)), np.ones((1, 3)), np.eye(3)])
    closed = Prover().prove(check_well_posedness(low[:2]).proof.pattern)
    other = check_well_posedness(low)
    wrong = Joined(((0, closed),), check_well_posedness([np.ones((3, 3)), np.eye(3)]).proof)
    assert not replace(other, proof=wrong).verify()


def test_spoiled_carried_witnesses_fail():
    verdict = check_well_posedness([L, np.eye(4), L.T])
    proof = verdict.proof
    assert isinstance(proof, Lifted)
    first, *others = proof.factors
    (i, j, (above, below)), *rest = first
    pair = proof.pair
    a, b, value = pair.target[0]
    for wrong in (
        replace(proof, split=0),
        replace(proof, split=3),
        replace(proof, factors=proof.factors[1:]),
        replace(proof, factors=(tuple(rest), *others)),
        replace(proof, factors=((*first, first[0]), *others)),
        replace(proof, factors=(((i, j, (above, (Fraction(0),))), *rest), *others)),
        replace(proof, factors=(((i, j, (tuple(2 * c for c in above), below)), *rest), *others)),
        replace(proof, factors=((*first, (0, 3, ((Fraction(1),), (Fraction(1),)))), *others)),
        replace(proof, pair=replace(pair, target=((a, b, value + 1), *pair.target[1:]))),
        replace(proof, pair=replace(pair, cofactors=pair.cofactors[1:])),
        replace(proof, pair=check_well_posedness(fsmf.lu(3)).proof),
    ):
        assert not replace(verdict, proof=wrong).verify()
    assert not replace(verdict, supports=fsmf.as_supports([L, np.ones((4, 4)), L.T])).verify()


def test_networks_with_two_hidden_layers():
    verdict = fsmf.check_relu_well_posedness([np.tri(3), np.eye(3), np.tri(3).T])
    assert isinstance(verdict, fsmf.TrainingIllPosed)
    assert verdict.verify()
    assert not replace(verdict, n_points=verdict.n_points - 1).verify()
    x, y = verdict.data()
    layers = verdict.network(1e-3)
    for weight, bias in reversed(layers[1:]):
        x = np.maximum(x @ weight.toarray().T + bias, 0)
    assert abs(x @ layers[0][0].toarray().T + layers[0][1] - y).max() < 1e-2


def test_without_time_nothing_is_claimed():
    verdict = check_well_posedness([L, np.eye(4), L.T], max_seconds=1e-9)
    assert isinstance(verdict, Undecided)
    assert "time" in str(verdict)
