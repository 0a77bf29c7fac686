"""Every kind of certificate, with each of its fields spoiled: none verifies once anything is wrong."""

import json
import random
from fractions import Fraction

import numpy as np
import pytest
from certified import PAIRS, UNIONS
from spoiling import spoiled

from fsmf.errors import FileFormatError
from fsmf.wellposedness.verdicts import verdict_from_dict

# How many spoilings of each kind are looked at; those of normal forms take longest, see test_covers.
NUMBER = 60


VERDICTS = {kind: verdict() for kind, verdict in {**PAIRS, **UNIONS}.items()}
# What is asked is no part of the certificate.
QUESTION = {"verdict", "supports", "constraints"}


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
    (name,) = set(data) - QUESTION
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
