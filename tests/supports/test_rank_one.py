"""Classes, S* and residual rectangles against the definitions."""

from itertools import chain

import numpy as np
import oracles
import pytest
from cases import CASES, any_supports, name_of
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.errors import ShapeError
from fsmf.supports import layout
from fsmf.supports.layout import IndexLists, Layout, group_equal
from fsmf.supports.rank_one import Collision, residual_rectangles

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)


def as_sets(lists):
    return [frozenset(lists[p].tolist()) for p in range(len(lists))]


def check_classes(supports):
    classes, expected = fsmf.equivalence_classes(supports), oracles.classes(supports)
    assert [(one.members.tolist(), (set(one.rows), set(one.columns))) for one in classes] == [
        (members, tuple(map(set, rectangle))) for members, rectangle in expected
    ]
    assert [one.is_complete for one in classes] == [oracles.is_complete(*one) for one in expected]
    assert classes.complete.tolist() == [oracles.is_complete(*one) for one in expected]
    assert [one.rank for one in classes] == [len(members) for members, _ in expected]
    assert classes.areas.tolist() == [len(oracles.places(rectangle)) for _, rectangle in expected]
    where = {k: p for p, (members, _) in enumerate(expected) for k in members}
    assert classes.class_of.tolist() == [where.get(k, -1) for k in range(supports[0].shape[1])]


def check_star(supports):
    star = fsmf.complete_cover(fsmf.equivalence_classes(supports))
    assert star.shape == supports.shape
    assert {tuple(place) for place in np.argwhere(star.toarray())} == oracles.star(supports)


def check_residuals(supports):
    classes = fsmf.equivalence_classes(supports)
    found = residual_rectangles(classes)
    if oracles.is_tractable(supports):
        rectangles = zip(as_sets(found.rows), as_sets(found.columns), found.ranks.tolist(), strict=True)
        pooled = {frozenset(oracles.places((rows, columns))): rank for rows, columns, rank in rectangles}
        assert pooled == oracles.residuals(supports)
        owners = sorted(p for t in range(len(found.classes)) for p in found.classes[t])
        star = oracles.star(supports)
        assert owners == [
            p
            for p, (members, rectangle) in enumerate(oracles.classes(supports))
            if not oracles.is_complete(members, rectangle) and oracles.places(rectangle) - star
        ]
    else:
        assert isinstance(found, Collision)
        check_collision(supports, found)


def check_collision(supports, collision):
    """Both classes hold the place; the second is what keeps the first from a residual of its own."""
    listed, star = oracles.classes(supports), oracles.star(supports)
    (members, first), (_, second) = listed[collision.first], listed[collision.second]
    place = (collision.row, collision.column)
    left_of_first = oracles.places(first) - star
    assert not oracles.is_complete(members, first)
    assert place in oracles.places(first) & oracles.places(second)
    if oracles.is_complete(*listed[collision.second]):
        assert place in oracles.hull(left_of_first) - left_of_first
    else:
        assert collision.first < collision.second
        assert place not in star
        assert left_of_first != oracles.places(second) - star or left_of_first != oracles.hull(left_of_first)


@every_row
@pytest.mark.parametrize("check", [check_classes, check_star, check_residuals])
def test_a_row_follows_the_definitions(case, check):
    check(fsmf.as_supports(case.supports))


@given(any_supports())
def test_any_pair_follows_the_definitions(supports):
    check_classes(supports)
    check_star(supports)
    check_residuals(supports)


@settings(max_examples=200)
@given(any_supports(max_side=7, max_components=7))
def test_larger_pairs_follow_the_definitions(supports):
    check_star(supports)
    check_residuals(supports)


@pytest.mark.parametrize("chunk", [1, 7])
@every_row
def test_chunks_change_nothing(case, chunk, monkeypatch):
    supports = fsmf.as_supports(case.supports)
    monkeypatch.setattr(layout, "CHUNK", chunk)
    monkeypatch.setattr("fsmf.supports.rank_one.CHUNK", chunk)
    check_star(supports)
    check_residuals(supports)
    assert fsmf.equivalence_classes(supports).layout.n_covered == len(oracles.reach(supports))


@given(any_supports(), st.data())
def test_a_layout_knows_what_is_covered(supports, data):
    laid = fsmf.equivalence_classes(supports).layout
    m, n = supports.shape
    covered = np.zeros((m, n), dtype=bool)
    covered[tuple(np.array(list(oracles.reach(supports)), dtype=int).reshape(-1, 2).T)] = True
    start = data.draw(st.integers(0, m - 1))
    assert np.array_equal(laid.covered(slice(start, None)), covered[start:])
    assert laid.n_covered == covered.sum()


@given(st.lists(st.lists(st.integers(0, 4), unique=True).map(sorted), min_size=1))
def test_equal_lists_get_equal_labels_in_order_of_appearance(lists):
    flat = IndexLists(np.cumsum([0, *map(len, lists)]), np.array(list(chain(*lists)), dtype=np.int64))
    labels, first = group_equal(flat)
    assert [lists.index(one) for one in lists] == first[labels].tolist()
    assert (np.diff(first) > 0).all()
    assert as_sets(flat.transposed(5)) == [{p for p, one in enumerate(lists) if v in one} for v in range(5)]
    assert as_sets(flat.take(np.array([len(lists) - 1, 0]))) == [set(lists[-1]), set(lists[0])]


def test_rows_in_the_same_rectangles_are_one_type():
    supports = fsmf.hodlr(100, rank=1)
    laid = fsmf.equivalence_classes(supports).layout
    assert isinstance(laid, Layout)
    assert len(laid.first_row) == laid.n_column_types == 2


def test_classes_can_be_walked():
    classes = fsmf.equivalence_classes(fsmf.monarch(6, blocks=3))
    assert len(list(classes)) == len(classes) == 9
    with pytest.raises(IndexError):
        classes[9]


def test_classes_are_those_of_a_pair():
    with pytest.raises(ShapeError, match="found 3 factors"):
        fsmf.equivalence_classes([np.eye(2)] * 3)
