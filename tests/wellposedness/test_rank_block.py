"""Triangles that components cannot give a diagonal: exact algebra and closed patterns look for mistakes."""

import numpy as np
import pytest

import fsmf
from fsmf.wellposedness.elimination import Attainable, Unattainable, is_attainable
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.peeling import find_peeling
from fsmf.wellposedness.rank_block import RankBlock
from fsmf.wellposedness.rank_limits import find_rank_limit


def drawn(rng, sides, components, density):
    m, n = rng.integers(*sides, 2)
    r = int(rng.integers(*components))
    return fsmf.pair(rng.random((m, r)) < density, rng.random((n, r)) < density)


def examples(number, *, sides, components, density, seed):
    """Proofs for some of so many random supports."""
    rng = np.random.default_rng(seed)
    pairs = (drawn(rng, sides, components, density) for _ in range(number))
    found = ((supports, find_rank_limit(supports, tries=40, kinds=[RankBlock])) for supports in pairs)
    return [(supports, proof) for supports, proof in found if proof]


def test_every_proof_verifies_and_its_curve_tends_to_the_target():
    found = examples(60, sides=(4, 9), components=(2, 5), density=0.8, seed=0)
    assert sum(len(proof.rows) > 1 for _, proof in found) > 5
    for supports, proof in found:
        assert proof.supports == supports
        assert proof.verify()
        assert proof.transposed().verify()
        assert RankBlock.from_dict(proof.to_dict()) == proof
        errors = [abs(X @ Y - proof.matrix()).max() for X, Y in map(proof.numeric, (1e-1, 1e-2))]
        assert errors[1] < errors[0] / 5


def test_exact_membership_agrees():
    settled = 0
    for supports, proof in examples(40, sides=(3, 6), components=(2, 4), density=0.75, seed=1):
        answer = is_attainable(proof.matrix(), supports, max_seconds=0.2)
        assert not isinstance(answer, Attainable)
        settled += isinstance(answer, Unattainable)
    assert settled >= 12


def test_closed_patterns_have_no_such_limit():
    rng = np.random.default_rng(2)
    closed = 0
    while closed < 60:
        supports = drawn(rng, (3, 8), (2, 6), 0.85)
        if isinstance(fsmf.check_well_posedness(supports, max_seconds=0.05), fsmf.WellPosed):
            closed += 1
            assert find_rank_limit(supports, tries=30, kinds=[RankBlock]) is None, supports


@pytest.mark.parametrize("components", [4, 6])
def test_with_room_it_decides_whatever_peeling_does_not(components):
    """With many rows and columns the order that peeling asks for is necessary, too."""
    rng = np.random.default_rng(components)
    decided = {True: 0, False: 0}
    while min(decided.values()) < 5:
        side, few = 5 * components, rng.random() < 0.5
        left, right = np.ones((2, side, components), dtype=bool)
        for places in (left, right):
            for k in range(components):
                most = k // 2 + 1 if few else components
                places[rng.choice(side, rng.integers(most), replace=False), k] = False
        supports = fsmf.pair(left, right)
        peeled = find_peeling(Pattern.of(supports)) is not None
        decided[peeled] += 1
        found = find_rank_limit(supports, kinds=[RankBlock])
        assert (found is None) == peeled
        assert peeled or found.verify()


@pytest.mark.parametrize("size", [(8, 8, 4), (16, 16, 8), (32, 32, 16)], ids=str)
def test_dense_supports_are_decided(size):
    m, n, r = size
    for seed in range(8, 20):
        supports = fsmf.random_supports(m, n, components=r, density=0.9, rng=seed)
        verdict = fsmf.check_well_posedness(supports, max_seconds=1)
        assert not isinstance(verdict, fsmf.Undecided), seed


def test_what_it_cannot_show():
    assert find_rank_limit(fsmf.low_rank(5, rank=3), kinds=[RankBlock]) is None
    # One component that misses a row and a column makes all matrices there are on its rectangle.
    assert find_rank_limit(fsmf.pair([[0], [1], [1]], [[1], [0], [1]]), kinds=[RankBlock]) is None
    assert find_rank_limit(fsmf.lu(4), deadline=-1.0, kinds=[RankBlock]) is None
