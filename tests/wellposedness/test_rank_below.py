"""Limits of one rank less than there are components: exact algebra and closed patterns look for mistakes."""

import numpy as np
import pytest

import fsmf
from fsmf.wellposedness.elimination import Attainable, Unattainable, is_attainable
from fsmf.wellposedness.rank_below import RankBelow
from fsmf.wellposedness.rank_limits import find_rank_limit


def examples(number, *, sides, components, seed):
    """Proofs for random supports."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < number:
        m, n = rng.integers(*sides, 2)
        r = int(rng.integers(*components))
        supports = fsmf.pair(rng.random((m, r)) < 0.75, rng.random((n, r)) < 0.75)
        proof = find_rank_limit(supports, tries=50, kinds=[RankBelow])
        if proof:
            found.append((supports, proof))
    return found


def test_every_proof_verifies_and_its_curve_tends_to_the_target():
    for supports, found in examples(15, sides=(4, 9), components=(3, 8), seed=0):
        assert found.supports == supports
        assert found.verify()
        assert found.transposed().verify()
        assert RankBelow.from_dict(found.to_dict()) == found
        curve = [found.numeric(t) for t in (1e-3, 1e-6)]
        errors = [abs(X @ Y - found.matrix()).max() for X, Y in curve]
        norms = [abs(Y).max() for _, Y in curve]
        assert errors[1] < errors[0] / 100
        assert norms[1] > 100 * norms[0]


def test_exact_membership_agrees():
    settled = 0
    for supports, found in examples(12, sides=(3, 6), components=(3, 5), seed=1):
        answer = is_attainable(found.matrix(), supports, max_seconds=0.3)
        assert not isinstance(answer, Attainable)
        settled += isinstance(answer, Unattainable)
    assert settled >= 8


def test_closed_patterns_have_no_such_limit():
    rng = np.random.default_rng(2)
    closed = 0
    while closed < 40:
        m, n, r = rng.integers([3, 3, 3], [8, 8, 8])
        supports = fsmf.pair(rng.random((m, r)) < 0.85, rng.random((n, r)) < 0.85)
        if isinstance(fsmf.check_well_posedness(supports, max_seconds=0.05), fsmf.WellPosed):
            closed += 1
            assert find_rank_limit(supports, tries=100, kinds=[RankBelow]) is None, supports


@pytest.mark.parametrize("seed", [2, 3, 10, 17, 19])
def test_dense_square_supports_are_decided(seed):
    supports = fsmf.random_supports(8, 8, components=8, density=0.7, rng=seed)
    verdict = fsmf.check_well_posedness(supports, max_seconds=2)
    assert isinstance(verdict.proof, RankBelow)
    assert verdict.verify()


def test_components_with_all_rows_need_slots_of_their_own():
    rng = np.random.default_rng(11)
    several = 0
    for _ in range(80):
        left, right = rng.random((9, 4)) < 0.8, rng.random((9, 4)) < 0.8
        left[:, 0] = True
        found = find_rank_limit(fsmf.pair(left, right), tries=50, kinds=[RankBelow])
        if found and len(found.left[0]) > 1:
            several += 1
            assert found.verify()
    assert several >= 2


def test_time_is_kept():
    supports = fsmf.random_supports(8, 8, components=8, density=0.7, rng=2)
    assert find_rank_limit(supports, deadline=-1.0, kinds=[RankBelow]) is None
