"""Normal forms: a cover is a proof, so no pattern that is known not to be closed may have one."""

import random

import numpy as np
import pytest

import fsmf
from benchmarks.bench_wellposed import pole_limit
from fsmf.wellposedness.covers import is_cover
from fsmf.wellposedness.elimination import Attainable, is_attainable
from fsmf.wellposedness.enumeration import Kinds, canonical, kinds_of, supports_of
from fsmf.wellposedness.library import minimal_patterns
from fsmf.wellposedness.orbits import Cover, OpenForm, find_cover
from fsmf.wellposedness.pattern import bits

# Closed patterns of three components that no other theorem of fsmf decides.
HARD = [
    "0|12|012 x 01|12|012",
    "01|02|12 x 01|012|012",
    "01|02|012 x 01|02|012",
    "01|02|012 x 12|012|012",
    "0|012|012 x 01|12|12|012",
    "012|012|012 x 01|02|12|012",
]
# Three by three with four components: the last that were decided.
FOUR = [
    "01|02|123 x 12|012|013",
    "01|012|013 x 01|023|123",
    "01|012|023 x 12|013|023",
    "01|023|123 x 01|023|0123",
    # Four seconds each.
    pytest.param("01|02|123 x 01|023|0123", marks=pytest.mark.slow),
    pytest.param("01|023|123 x 01|023|123", marks=pytest.mark.slow),
]
NOT_CLOSED = random.Random(3).sample(minimal_patterns(), 6)


def parsed(name):
    return Kinds(
        *(tuple(sum(1 << int(k) for k in kind) for kind in side.split("|")) for side in name.split(" x "))
    )


@pytest.mark.parametrize("name", HARD)
def test_hard_patterns_are_covered(name):
    kinds = parsed(name)
    cover = find_cover(kinds, max_seconds=600)
    assert cover.attained > 10
    rows, columns = ([frozenset(bits(kind)) for kind in side] for side in kinds)
    assert is_cover(rows, columns, cover.cases)


@pytest.mark.parametrize("name", FOUR)
def test_hard_patterns_of_four_components_are_closed(name):
    verdict = fsmf.check_well_posedness(supports_of(canonical(parsed(name))), max_seconds=60)
    assert isinstance(verdict, fsmf.WellPosed)
    assert verdict.verify()


def test_transposition_changes_nothing():
    assert isinstance(find_cover(Kinds(*parsed(HARD[0])[::-1]), max_seconds=600), Cover)


@pytest.mark.parametrize("witness", [pytest.param(w, id=str(kinds_of(w.supports))) for w in NOT_CLOSED])
def test_what_is_not_closed_has_no_cover(witness):
    assert isinstance(find_cover(kinds_of(witness.supports), max_seconds=5), OpenForm)


@pytest.mark.parametrize("r", [1, 2])
def test_low_rank(r):
    everything = (1 << r) - 1
    for m, n in ((2, 2), (3, 3)):
        assert isinstance(find_cover(Kinds((everything,) * m, (everything,) * n)), Cover)


@pytest.mark.parametrize("name", HARD)
def test_limits_of_random_pole_curves_are_products(name):
    """Two components tend to infinity and cancel; what remains has to be a product, exactly."""
    supports = supports_of(canonical(parsed(name)))
    rng = np.random.default_rng(len(name))
    for _ in range(8):
        found = is_attainable(pole_limit(supports, rng), supports)
        assert isinstance(found, Attainable)
        assert found.verify()


def test_a_tiny_budget_says_nothing():
    assert find_cover(parsed(HARD[0]), max_seconds=0) is None


def test_the_names_are_those_of_the_supports():
    assert str(kinds_of(fsmf.lu(2))) == "0|01 x 0|01"
    assert supports_of(kinds_of(fsmf.lu(3))) == fsmf.as_supports(fsmf.lu(3))
