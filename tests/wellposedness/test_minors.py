"""Obstructions are found where they are hidden, and prove what they say."""

import numpy as np
import pytest
from small_patterns import random_pair

import fsmf
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.minors import find_corner, find_minor, witness_of
from fsmf.wellposedness.pattern import Pattern


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
