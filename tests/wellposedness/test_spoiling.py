"""Every kind of certificate, with each of its fields spoiled: none verifies once anything is wrong."""

import json
import random
from fractions import Fraction

import numpy as np
import pytest
from small_patterns import DECIDED_BY
from spoiling import spoiled

import fsmf
import fsmf.wellposedness.check as check
from fsmf.errors import FileFormatError
from fsmf.wellposedness.below_targets import find_rank_below
from fsmf.wellposedness.tight_targets import find_rank_tight
from fsmf.wellposedness.verdicts import IllPosed, verdict_from_dict

# How many spoilings of each kind are looked at; those of normal forms take longest, see test_covers.
NUMBER = 60


def rank_tight():
    rng = np.random.default_rng(3)
    while True:
        supports = fsmf.pair(rng.random((5, 3)) < 0.6, rng.random((6, 3)) < 0.6)
        proof = find_rank_tight(supports)
        if proof:
            return IllPosed(supports, proof)


def rank_below():
    supports = fsmf.random_supports(8, 8, components=8, density=0.7, rng=2)
    return IllPosed(supports, find_rank_below(supports))


def in_groups():
    left, right = (np.kron(np.eye(2), block) for block in ([[1, 1, 1], [1, 1, 0]], [[1, 1], [1, 0], [1, 1]]))
    limit, check._BITS = check._BITS, 0
    try:
        return fsmf.check_well_posedness([left, right])
    finally:
        check._BITS = limit


overlap = [[1, 1, 0, 0]] * 2 + [[1, 1, 1, 1]] * 3 + [[0, 0, 1, 1]] * 2
VERDICTS = {
    **{theorem: fsmf.check_well_posedness(fsmf.pair(*sides)) for theorem, sides in DECIDED_BY.items()},
    "Chain": fsmf.check_well_posedness([S.toarray() for S in fsmf.butterfly(8)]),
    "Split": in_groups(),
    "Joined": fsmf.check_well_posedness([np.ones((5, 2)), np.eye(2), np.ones((2, 4))]),
    "Witness": fsmf.check_well_posedness(fsmf.lu(3)),
    "RankTight": rank_tight(),
    "RankBelow": rank_below(),
    "TwoClassLimit": fsmf.check_well_posedness(fsmf.pair(overlap, overlap)),
    "Lifted": fsmf.check_well_posedness([np.tri(2), np.eye(2), np.tri(2).T]),
}


def tends_to_its_target(verdict):
    """Whether it comes nearer, exactly: at two small t, with fractions."""
    errors = []
    for t in (Fraction(1, 10**6), Fraction(1, 10**12)):
        product = None
        for factor, support in zip(verdict.proof.factors, verdict.supports, strict=True):
            values = np.zeros(support.shape, dtype=object)
            for i, j, function in factor:
                above, below = (sum(c * t**d for d, c in enumerate(part)) for part in function)
                values[i, j] = above / below
            product = values if product is None else product @ values
        for i, j, value in verdict.proof.target:
            product[i, j] -= value
        errors.append(abs(product).max())
    return errors[1] <= errors[0] / 1000


@pytest.mark.parametrize("kind", VERDICTS)
def test_spoiled_certificates_fail(kind):
    verdict = VERDICTS[kind]
    assert kind in (type(verdict.proof).__name__, getattr(verdict.proof, "theorem", None))
    assert verdict.verify()
    data = json.loads(verdict.to_json())
    # What is asked is no part of the certificate.
    (name,) = set(data) - {"verdict", "supports"}
    wrong = list(spoiled(data[name]))
    for place, other in random.Random(kind).sample(
        wrong, min(20 if kind == "normal forms" else NUMBER, len(wrong))
    ):
        try:
            found = verdict_from_dict({**data, name: other})
        except FileFormatError:
            continue
        if found != verdict and found.verify():
            # Terms of a curve that vanish in the limit may be others.
            assert {"X", "Y", "factors"}.intersection(place), place
            assert tends_to_its_target(found), place
