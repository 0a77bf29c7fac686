"""Limits that ranks show to be no products: algebra, small minors and closed patterns look for mistakes."""

from dataclasses import replace

import numpy as np
import pytest
from small_patterns import orbits, supports_of

import fsmf
from fsmf.wellposedness.elimination import Attainable, Unattainable, is_attainable
from fsmf.wellposedness.minors import find_corner, find_minor
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.peeling import find_peeling
from fsmf.wellposedness.rank_below import RankBelow
from fsmf.wellposedness.rank_block import RankBlock
from fsmf.wellposedness.rank_limits import find_rank_limit
from fsmf.wellposedness.rank_tight import RankTight

# How random supports are drawn that have such limits, and how many are looked at.
DRAWN = {
    RankBlock: (20, {"sides": (4, 9), "components": (2, 5), "density": 0.8}),
    RankTight: (8, {"sides": (4, 8), "components": (2, 4), "density": 0.6}),
    RankBelow: (15, {"sides": (4, 9), "components": (3, 8), "density": 0.75}),
}


def drawn(rng, *, sides, components, density):
    m, n = rng.integers(*sides, 2)
    r = int(rng.integers(*components))
    return fsmf.pair(rng.random((m, r)) < density, rng.random((n, r)) < density)


def examples(kind, number, **drawing):
    """Proofs for the first so many random supports that have one."""
    rng, found = np.random.default_rng(3), []
    while len(found) < number:
        supports = drawn(rng, **drawing)
        proof = find_rank_limit(supports, tries=50, kinds=[kind])
        if proof:
            found.append((supports, proof))
    return found


@pytest.mark.parametrize("kind", DRAWN)
def test_every_proof_verifies_and_its_curve_tends_to_the_target(kind):
    number, drawing = DRAWN[kind]
    several = 0
    for supports, found in examples(kind, number, **drawing):
        assert found.supports == supports
        assert found.verify()
        assert found.transposed().verify()
        assert kind.from_dict(found.to_dict()) == found
        curve = [found.numeric(t) for t in (1e-1, 1e-2)]
        errors = [abs(X @ Y - found.matrix()).max() for X, Y in curve]
        norms = [abs(Y).max() for _, Y in curve]
        assert errors[1] < errors[0] / 5
        assert norms[1] > 5 * norms[0]
        several += kind is RankBlock and len(found.rows) > 1
    assert several > 5 or kind is not RankBlock


@pytest.mark.parametrize(("kind", "least"), [(RankBlock, 12), (RankTight, 5), (RankBelow, 8)])
def test_exact_membership_agrees(kind, least):
    """Elimination, which knows nothing of ranks of this kind, finds that small targets are no products."""
    drawing = DRAWN[kind][1] | {"sides": (3, 6), "components": (3, 5) if kind is RankBelow else (2, 4)}
    settled = 0
    for supports, found in examples(kind, 12 if kind is RankBelow else 16, **drawing):
        answer = is_attainable(found.matrix(), supports, max_seconds=0.3)
        assert not isinstance(answer, Attainable)
        settled += isinstance(answer, Unattainable)
    assert settled >= least


def test_closed_patterns_have_no_such_limit():
    rng = np.random.default_rng(2)
    closed = 0
    while closed < 80:
        supports = drawn(rng, sides=(3, 8), components=(2, 8), density=0.85)
        if isinstance(fsmf.check_well_posedness(supports, max_seconds=0.05), fsmf.WellPosed):
            closed += 1
            assert find_rank_limit(supports, tries=60) is None, supports


@pytest.mark.parametrize("components", [2, 3])
def test_limits_are_found_only_where_there_is_a_small_minor(components):
    """Up to three components, every ill-posed pattern has one of those that are known."""
    sides = orbits(3, 3, 2) if components == 2 else ()
    pairs = [supports_of(*side, 2) for side in sides]
    if components == 3:
        rng = np.random.default_rng(3)
        pairs = [drawn(rng, sides=(4, 8), components=(3, 4), density=0.6) for _ in range(30)]
    limits = 0
    for supports in pairs:
        if find_rank_limit(supports, tries=50):
            limits += 1
            pattern = Pattern.of(supports)
            assert find_corner(pattern) or find_minor(pattern), supports
    assert limits >= 5


def test_time_is_kept():
    supports = fsmf.random_supports(8, 8, components=8, density=0.7, rng=2)
    assert find_rank_limit(supports) is not None
    assert find_rank_limit(supports, deadline=-1.0) is None


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


@pytest.mark.parametrize(("n", "r", "density"), [(8, 4, 0.7), (16, 8, 0.8), (32, 16, 0.8), (32, 16, 0.9)])
def test_dense_supports_with_fewer_components_than_rows_are_ill_posed(n, r, density):
    rng = np.random.default_rng(n)
    supports = fsmf.pair(rng.random((n, r)) < density, rng.random((n, r)) < density)
    found = find_rank_limit(supports, kinds=[RankTight])
    assert found is not None
    assert found.verify()
    # Followed in floating point, the error falls with t, and the factors grow with 1/t.
    errors = [abs(X @ Y - found.matrix()).max() for X, Y in (found.numeric(t) for t in (1e-2, 1e-4))]
    norms = [abs(Y).max() for _, Y in (found.numeric(t) for t in (1e-2, 1e-4))]
    assert 0 < errors[1] < errors[0] / 50
    assert norms[1] > 50 * norms[0]


def test_full_factors_leave_no_component_short():
    """Where one factor is full, or each component has all rows or all columns, every rank fits."""
    rng = np.random.default_rng(5)
    for left, right in (
        (np.ones((6, 4)), np.ones((4, 7))),
        (np.ones((6, 6)), rng.random((6, 6)) < 0.8),
        (np.c_[np.ones((6, 3)), rng.random((6, 3)) < 0.5], np.r_[rng.random((3, 6)) < 0.5, np.ones((3, 6))]),
    ):
        right = np.asarray(right, dtype=bool)
        right[np.arange(min(right.shape)), np.arange(min(right.shape))] = True
        left = np.asarray(left, dtype=bool)
        left[0] = True
        assert find_rank_limit(fsmf.as_supports([left, right]), tries=60, kinds=[RankTight]) is None


def test_spoiled_rank_proofs_fail():
    for supports, found in examples(RankTight, 3, **DRAWN[RankTight][1]):
        curve = found.curve
        i, j, value = curve.target[0]
        wrong = [
            replace(found, curve=replace(curve, target=((i, j, value + 1), *curve.target[1:]))),
            replace(found, curve=replace(curve, X=curve.X[1:])),
            replace(found, curve=replace(curve, Y=curve.Y[1:])),
            replace(found, members=(*found.members, found.members[0])),
            replace(found, members=()),
            replace(found, members=(99,)),
            replace(found, members=tuple(set(range(supports[1].shape[0])) - set(found.members))),
        ]
        assert not any(bool(proof.verify()) for proof in wrong)
