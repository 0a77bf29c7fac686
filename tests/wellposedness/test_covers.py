"""Covers by normal forms: written down, checked by other means, and no longer a proof once spoiled."""

import copy
import json
import random

import pytest
from spoiling import spoiled

from fsmf.wellposedness.covers import is_cover
from fsmf.wellposedness.enumeration import Kinds
from fsmf.wellposedness.orbits import find_cover
from fsmf.wellposedness.pattern import bits

FULL = [frozenset({0})] * 2
# Of the form with the factors 1, u + v: two columns, of which only the second reaches both components.
LINE = Kinds((0b11, 0b111), (0b011, 0b101, 0b110))


def holds(rows, columns, cases):
    try:
        return is_cover(rows, columns, cases)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return False


def sides(kinds):
    return tuple([frozenset(bits(kind)) for kind in side] for side in kinds)


def form(places, parameters=(), found=None):
    """A leaf: the ones, or the parameters, are in two rows and two columns of one component."""
    one = [[["1"]], [["1"]]]
    if found is None:
        rows, columns = {i for i, _ in places}, {j for _, j in places}
        found = {"X": [[i, 0, *one] for i in sorted(rows)], "Y": [[0, j, *one] for j in sorted(columns)]}
        found |= {"units": [], "where": []}
    return {"zeros": [], "parameters": [list(p) for p in parameters], "found": found}


def by_hand():
    """Rank one, two rows and two columns, without clearing anything.

    Three nonzeros, and two on a diagonal, have a minor that is not 0. With four, 1 1 1 p, the minor p - 1
    says that p = 1.
    """
    everything = [(0, 0), (0, 1), (1, 0), (1, 1)]
    minor = {"rows": [0, 1], "columns": [0, 1]}

    def explored(known):
        places = [p for p, value in zip(everything, known, strict=False) if value]
        if len(known) < 4:
            place = list(everything[len(known)])
            return {"zeros": [], "place": place, "cases": [explored([*known, v]) for v in (False, True)]}
        if len(places) == 4:
            ones = form(places)["found"]
            for side in "XY":
                for entry in ones[side]:
                    entry[2:] = [[["1", 0]], [["1", 0]]]
            return form(places, [(1, 1)], {**minor, "parameter": 0, "then": ones})
        square = len({i for i, _ in places}) * len({j for _, j in places}) == len(places)
        return form(places) if square else form(places, found=minor)

    return explored([])


def test_a_cover_by_hand():
    assert is_cover(FULL, FULL, by_hand())
    # Not of other supports, where the same matrices are no products.
    lower = [frozenset({0}), frozenset({0, 1})]
    assert not holds(lower, lower, by_hand())
    assert not holds(FULL, [frozenset({0}), frozenset({1})], by_hand())
    assert not holds([frozenset({0, 1})] * 2, [frozenset({0, 1})] * 2, by_hand())


def test_every_field_of_it_counts():
    for place, wrong in random.Random(0).sample(list(spoiled(by_hand())), 60):
        assert not holds(FULL, FULL, wrong), place


def test_every_field_of_found_ones_counts():
    kinds = Kinds((1, 1), (1, 1))
    cases = json.loads(json.dumps(find_cover(kinds).cases))
    assert is_cover(*sides(kinds), cases)
    for place, wrong in spoiled(cases):
        assert not holds(*sides(kinds), wrong), place


def nodes(cases):
    yield cases
    for case in cases.get("cases", ()):
        yield from nodes(case)


def test_forms_that_have_factors_almost_everywhere():
    cases = json.loads(json.dumps(find_cover(LINE).cases))
    assert is_cover(*sides(LINE), cases)
    special = [at for at, node in enumerate(nodes(cases)) if node.get("found", {}).get("units")]
    assert special
    for at in special:
        wrongs = list(spoiled(list(nodes(cases))[at]["found"]))
        for place, wrong in random.Random(0).sample(wrongs, 20):
            other = copy.deepcopy(cases)
            list(nodes(other))[at]["found"] = wrong
            assert not holds(*sides(LINE), other), place


@pytest.mark.parametrize(
    "change",
    [
        {"zeros": [[0, 0]]},  # not known to be nonzero anywhere
        {"place": [5, 0]},
        {"cases": []},
        {"zeros": None},
    ],
)
def test_steps_have_to_be_allowed(change):
    assert not holds(FULL, FULL, {**by_hand(), **change})
