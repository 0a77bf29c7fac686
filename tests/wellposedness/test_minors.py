"""Obstructions are found where they are hidden, and prove what they say."""

from dataclasses import replace

import numpy as np
import pytest
from small_patterns import orbits, random_pair, supports_of

import fsmf
from fsmf.wellposedness.elimination import Attainable, Unattainable, is_attainable
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.minors import find_corner, find_minor, witness_of
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.rank_limits import find_rank_limit
from fsmf.wellposedness.rank_tight import RankTight


def has_corner(supports):
    """By looking at every 2 × 2 window: component k has three entries alone, and the fourth with others."""
    left, right = (support.toarray().astype(int) for support in supports)
    count = left @ right
    for k in range(left.shape[1]):
        here = np.outer(left[:, k], right[k])
        alone, more = (here == 1) & (count == 1), (here == 1) & (count > 1)
        for i, j in np.argwhere(more):
            if (alone & alone[i] & alone[:, [j]]).any():
                return True
    return False


def test_corners_are_those_of_all_windows():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        supports = random_pair(rng, 6, 5)
        corner = find_corner(Pattern.of(supports))
        assert (corner is not None) == has_corner(supports)
        found.append(corner is not None)
        if corner and len(found) < 40:
            assert witness_of(corner, fsmf.equivalence_classes(supports), supports).verify()
    assert 0 < sum(found) < len(found)


@pytest.mark.parametrize("which", range(0, 179, 9))
def test_small_patterns_are_found_in_larger_ones(which):
    rng = np.random.default_rng(2)
    pattern = minimal_patterns()[which]
    left, right = (support.toarray() for support in (pattern.supports if which % 2 else pattern.supports.T))
    # Two rows, two columns and a component that shares no place with the rest, shuffled.
    left = np.pad(left, ((0, 2), (0, 1)))
    right = np.pad(right, ((0, 1), (0, 2)))
    left[-2:, -1], right[-1, -2:] = True, True
    rows, components, columns = (rng.permutation(side) for side in (*left.shape, right.shape[1]))
    supports = fsmf.as_supports([left[rows][:, components], right[components][:, columns]])
    found = Pattern.of(supports)
    minor = find_corner(found) or find_minor(found)
    assert minor is not None
    witness = witness_of(minor, fsmf.equivalence_classes(supports), supports)
    assert witness.supports == supports
    assert witness.verify()


def test_time_is_kept():
    pattern = Pattern.of(minimal_patterns()[5].supports)
    assert find_corner(Pattern.of(fsmf.lu(3)), deadline=-1.0) is None
    assert find_minor(pattern, deadline=-1.0) is None


def rank_tight_examples():
    """Proofs by rank for random supports."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        m, n, r = rng.integers([4, 4, 2], [8, 8, 4])
        supports = fsmf.pair(rng.random((m, r)) < 0.6, rng.random((n, r)) < 0.6)
        found = find_rank_limit(supports, kinds=[RankTight])
        if found:
            yield supports, found


EXAMPLES = list(rank_tight_examples())[:8]


def test_ranks_prove_and_agree_with_small_minors():
    assert len(EXAMPLES) >= 5
    for supports, found in EXAMPLES:
        assert found.supports == supports
        assert found.verify()
        assert found.transposed().verify()
        assert RankTight.from_dict(found.to_dict()) == found
        # Up to three components, every ill-posed pattern has one of the known minors.
        pattern = Pattern.of(supports)
        assert find_corner(pattern) or find_minor(pattern)
        X, Y = found.numeric(1e-6)
        assert abs(X @ Y - found.matrix()).max() < 1e-3


def test_closed_patterns_are_not_proved_ill_posed_by_ranks():
    for sides in orbits(3, 3, 2):
        supports = supports_of(*sides, 2)
        pattern = Pattern.of(supports)
        if find_rank_limit(supports, kinds=[RankTight]):
            assert find_corner(pattern) or find_minor(pattern), sides


def test_spoiled_rank_proofs_fail():
    for supports, found in EXAMPLES[:3]:
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


def test_exact_membership_agrees_with_ranks():
    """Elimination, which knows nothing of ranks of this kind, finds that small targets are no products."""
    settled = 0
    for supports, found in EXAMPLES:
        answer = is_attainable(found.matrix(), supports, max_seconds=0.5)
        assert not isinstance(answer, Attainable)
        settled += isinstance(answer, Unattainable)
    assert settled >= 3


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
