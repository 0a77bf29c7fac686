"""The overlap graph and its components against a brute-force graph."""

import networkx
import numpy as np
import oracles
import pytest
from cases import CASES, any_supports, name_of
from hypothesis import given, settings

import fsmf
from fsmf.errors import ShapeError
from fsmf.supports import graph, layout, rank_one
from fsmf.supports.graph import connected_components

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)


def check_graph(supports):
    found, expected = fsmf.overlap_graph(supports), oracles.overlap_graph(supports)
    assert networkx.utils.graphs_equal(networkx.create_empty_copy(expected), bare(found, edges=False))
    assert {frozenset(e[:2]): e[2] for e in found.edges(data="overlap")} == {
        frozenset(e[:2]): e[2] for e in expected.edges(data="overlap")
    }
    for p, (members, (rows, columns)) in enumerate(oracles.classes(supports)):
        node = found.nodes[p]
        assert node["members"].tolist() == members
        assert node["rows"].tolist() == sorted(rows)
        assert node["columns"].tolist() == sorted(columns)
        assert node["rank"] == len(members)
        assert node["complete"] == oracles.is_complete(members, (rows, columns))


def bare(graph_, edges):
    stripped = networkx.Graph()
    stripped.add_nodes_from(graph_)
    stripped.add_edges_from(graph_.edges if edges else ())
    return stripped


def check_components(supports):
    """Numbered by their first class."""
    label = connected_components(fsmf.equivalence_classes(supports))
    expected = sorted(map(sorted, networkx.connected_components(oracles.overlap_graph(supports))))
    assert [np.flatnonzero(label == c).tolist() for c in range(label.max(initial=-1) + 1)] == expected


@every_row
@pytest.mark.parametrize("check", [check_graph, check_components])
def test_a_row_is_drawn_up_as_by_hand(case, check):
    check(fsmf.as_supports(case.supports))


@given(any_supports(max_side=6, max_components=6))
def test_any_pair_is_drawn_up_as_by_hand(supports):
    check_graph(supports)
    check_components(supports)


@settings(max_examples=50)
@given(any_supports(max_side=6, max_components=6))
def test_batches_and_chunks_change_nothing(supports):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_BATCH", 1)
        patch.setattr(layout, "CHUNK", 1)
        patch.setattr(rank_one, "_FEW", -1)
        check_components(supports)


@pytest.mark.parametrize("few", [1 << 20, -1], ids=["by pairs", "by places"])
@settings(max_examples=50)
@given(supports=any_supports(max_side=6, max_components=6))
def test_classes_know_what_they_share(few, supports):
    classes = fsmf.equivalence_classes(supports)
    expected = oracles.overlap_graph(supports)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_one, "_FEW", few)
        patch.setattr(rank_one, "_DENSE", few)
        for p in range(len(classes)):
            assert classes.overlapping(p).tolist() == sorted({p, *expected.neighbors(p)})
        for shared, lists in zip(classes.shared, (classes.rows, classes.columns), strict=True):
            assert shared.tolist() == [[len(np.intersect1d(a, b)) for a in lists] for b in lists]


def test_classes_are_taken_too():
    classes = fsmf.equivalence_classes(fsmf.lu(3))
    assert networkx.utils.graphs_equal(bare(fsmf.overlap_graph(classes), True), networkx.complete_graph(3))


def test_disjoint_blocks_have_no_edges():
    assert fsmf.overlap_graph(fsmf.monarch(9, blocks=3)).number_of_edges() == 0


def test_the_graph_is_that_of_a_pair():
    with pytest.raises(ShapeError, match="found 1 factors"):
        fsmf.overlap_graph([np.eye(2)])
