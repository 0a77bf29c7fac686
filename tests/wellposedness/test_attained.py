"""One matrix has a best product or has none: each answer verifies, and says so in words."""

from dataclasses import replace

import numpy as np
import pytest

import fsmf
from fsmf import Attainable, Attained, NotAttained, Unsettled, WellPosed, check_attained
from fsmf.errors import RefusedError

NESTED = fsmf.pair([[1, 0], [1, 1], [1, 1]], [[1, 0], [1, 1], [1, 1]])
# LU with a row and a column that nothing reaches.
PADDED = [np.tri(3, 2) * [[1], [1], [0]], np.tri(3, 2).T * [1, 1, 0]]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("A", "supports", "kind"),
    [
        ([[1, 1], [1, 0]], fsmf.lu(2), Attainable),
        # Out of reach, nothing can be done; the rest is exact.
        ([[1, 1, 9], [1, 0, 9], [9, 9, 9]], PADDED, Attainable),
        (np.eye(2), fsmf.low_rank(2, rank=1), WellPosed),
        (RNG.standard_normal((40, 30)), fsmf.low_rank(40, 30, rank=5), WellPosed),
        ([[0, 1], [1, 0]], fsmf.lu(2), NotAttained),
        ([[1, 0, 1], [0, 1, 0]], fsmf.pair(np.ones((2, 2)), [[1, 0], [1, 1], [0, 1]]), NotAttained),
    ],
)
def test_what_is_attained(A, supports, kind):
    found = check_attained(A, supports, max_seconds=4)
    if kind is NotAttained:
        assert isinstance(found, NotAttained)
        assert str(found).startswith("not attained")
        spoiled = replace(found, witness=replace(found.witness, cofactors=found.witness.cofactors[1:]))
    else:
        assert isinstance(found, Attained)
        assert isinstance(found.proof, kind)
        assert str(found).startswith("attained")
        wrong = {"X": found.proof.X[1:]} if kind is Attainable else {"supports": fsmf.as_supports(fsmf.lu(4))}
        spoiled = replace(found, proof=replace(found.proof, **wrong))
    assert found.verify()
    assert not spoiled.verify()


def test_at_a_positive_distance_nothing_is_claimed():
    assert isinstance(fsmf.check_well_posedness(NESTED), fsmf.IllPosed)
    found = check_attained(np.eye(3), NESTED, max_seconds=1)
    assert isinstance(found, Unsettled)
    assert str(found).startswith("undecided")


def test_other_numbers_of_factors_are_refused():
    with pytest.raises(RefusedError, match="two factors"):
        check_attained(np.eye(2), [np.eye(2)] * 3)
