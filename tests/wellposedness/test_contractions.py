"""Rows in one component only are contracted, and witnesses come back from what is left."""

from itertools import islice

import numpy as np
import pytest
from small_patterns import orbits, random_pair, supports_of

import fsmf
from fsmf.supports.rank_one import equivalence_classes
from fsmf.wellposedness.contractions import Contraction, contracted, find_contracted, lifted
from fsmf.wellposedness.elimination import Attainable, is_attainable
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.minors import find_corner, find_minor
from fsmf.wellposedness.pattern import Pattern

# No corner and none of the small sub-blocks, but one after a contraction; with the density of places.
HIDDEN = [
    (
        [[1, 0, 0, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 1, 0], [1, 1, 0, 1, 0], [0, 1, 1, 1, 1]],
        [[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1]],
    ),
    (
        [[1, 1, 0, 1, 1], [1, 0, 1, 1, 0], [1, 0, 0, 0, 1], [0, 0, 0, 1, 0]],
        [
            [1, 1, 1, 1, 0, 0],
            [1, 0, 1, 0, 0, 1],
            [1, 0, 1, 0, 1, 0],
            [0, 1, 0, 1, 1, 0],
            [1, 1, 1, 1, 1, 0],
        ],
    ),
]


def known(supports):
    pattern = Pattern.of(equivalence_classes(supports))
    return find_corner(pattern) or find_minor(pattern)


@pytest.mark.parametrize("given", HIDDEN)
def test_hidden_obstructions_are_found(given):
    supports = fsmf.as_supports(given)
    assert known(supports) is None
    verdict = fsmf.check_well_posedness(supports)
    assert isinstance(verdict, fsmf.IllPosed)
    assert verdict.verify()
    witness = find_contracted(supports)
    assert witness.supports == supports
    assert witness.verify()
    X, Y = witness.numeric(1e-6)
    assert abs(X @ Y - witness.matrix()).max() < 1e-4
    assert not isinstance(is_attainable(witness.matrix(), supports, max_seconds=0.5), Attainable)


@pytest.mark.parametrize("which", range(0, 65, 13))
def test_every_witness_is_lifted(which):
    """A row is added to each component that has just one column, which may then have all others."""
    witness = minimal_patterns()[which]
    for turned in (witness, witness.transposed()):
        left, right = (support.toarray() for support in turned.supports)
        m, r = left.shape
        n = right.shape[1]
        for k in np.flatnonzero(right.sum(axis=1) == 1):
            row = np.zeros((1, r), dtype=bool)
            row[0, k] = True
            more = right.copy()
            more[k] = True
            pair = fsmf.as_supports([np.r_[left, row], more])
            here = Contraction(m, int(k), int(np.flatnonzero(right[k])[0]))
            smaller = contracted(pair, here)
            whole = lifted(turned.padded(range(m), range(n), range(r), smaller), pair, here)
            assert whole.supports == pair
            assert whole.verify()


def test_closed_patterns_have_no_contraction_that_is_not():
    """Up to three components the small sub-blocks decide, so contractions can add nothing."""
    for sides in islice(orbits(3, 3, 2), 0, None, 3):
        supports = supports_of(*sides, 2)
        assert known(supports) or find_contracted(supports) is None, sides


def test_random_lifts_verify():
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(60):
        supports = random_pair(rng, 5, 4)
        witness = find_contracted(supports)
        if witness:
            found += 1
            assert witness.verify()
    assert found >= 3


def test_time_is_kept():
    assert find_contracted(fsmf.lu(4), deadline=-1.0) is None
