"""The examination against the definitions, and its claims against what products and descents really do."""

import time
import tracemalloc

import networkx
import numpy as np
import oracles
import pytest
from cases import (
    BY_NAME,
    CASES,
    CEC_SLM,
    CEC_SLM_POINT,
    CEC_SLM_TARGET,
    PAIRS_HARD,
    any_supports,
    name_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf import Identifiability, Landscape, Structure
from fsmf.errors import ShapeError
from fsmf.supports import rank_one

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)


@every_row
def test_a_row_is_examined_as_the_table_says(case):
    structure = fsmf.analyze(case.supports)
    assert structure.tractable == case.tractable
    assert len(structure.classes) == case.n_classes
    assert structure.n_components == case.n_components
    assert structure.landscape.name == case.landscape
    assert structure.identifiability.name == case.identifiability


@every_row
def test_the_table_agrees_with_brute_force(case):
    supports = fsmf.as_supports(case.supports)
    graph = oracles.overlap_graph(supports)
    assert oracles.is_tractable(supports) == case.tractable
    assert len(graph) == case.n_classes
    assert (
        networkx.number_connected_components(graph) == case.n_components if graph else not case.n_components
    )
    # Tractable sets are closed, and a window of the LU kind is a proof that a set is not.
    assert not case.tractable or case.well_posed
    if max(supports.shape) < 20 and oracles.has_lu_window(supports):
        assert case.well_posed is False
    if supports[0].shape[1] == 2:
        assert oracles.two_components_well_posed(supports) == case.well_posed


def check_structure(structure):
    """Everything that has a definition, against it."""
    supports = structure.supports
    listed, graph = oracles.classes(supports), oracles.overlap_graph(supports)
    assert structure.tractable == oracles.is_tractable(supports)
    assert structure.n_covered == len(oracles.reach(supports))
    assert structure.n_dead == supports[0].shape[1] - sum(len(members) for members, _ in listed)
    expected = sorted(map(sorted, networkx.connected_components(graph)))
    assert structure.n_components == len(expected)
    assert [np.flatnonzero(structure.component_of == c).tolist() for c in range(len(expected))] == expected
    assert (structure.collision is None) == structure.tractable
    assert (structure.why_not() == "") == structure.tractable
    disjoint = not graph.edges
    assert (structure.landscape is Landscape.NO_SPURIOUS_MINIMA) == disjoint
    assert (structure.landscape is Landscape.NO_PROMISE) == (not structure.tractable)


def check_parts(structure):
    """Parts share no place, hold every living component once, and only the first may be easy."""
    supports = structure.supports
    components = oracles.rank_one_supports(supports)
    living = {k for k, (rows, columns) in enumerate(components) if rows and columns}
    seen, covered = set(), set()
    for position, part in enumerate(structure.parts):
        members = set(part.members.tolist())
        own = set().union(*(oracles.places(components[k]) for k in members))
        assert not own & covered
        assert not members & seen
        seen |= members
        covered |= own
        left, right = part.structure.supports
        assert left == supports[0].restrict(part.rows, part.members)
        assert right == supports[1].restrict(part.members, part.columns)
        assert {(i, j) for i, j in own} <= oracles.places((frozenset(part.rows), frozenset(part.columns)))
        assert part.structure.tractable <= (position == 0)
        assert part.structure.tractable or part.structure.n_components == 1
    assert living <= seen


@every_row
@pytest.mark.parametrize("check", [check_structure, check_parts])
def test_a_row_follows_the_definitions(case, check):
    check(fsmf.analyze(case.supports))


@given(any_supports())
def test_any_pair_follows_the_definitions(supports):
    check_structure(Structure(supports))
    check_parts(Structure(supports))


@pytest.mark.parametrize("few", [1 << 20, -1], ids=["by a product", "by places"])
@settings(max_examples=50)
@given(supports=any_supports())
def test_reach_is_what_a_product_can_touch(few, supports):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_one, "_FEW", few)
        reach = Structure(supports).reach
    assert set(zip(*map(np.ndarray.tolist, np.nonzero(reach)), strict=True)) == set(oracles.reach(supports))


def test_components_are_read_off_where_products_are_almost_everything():
    """By the rank of the derivative at random factors, which is the dimension of the products."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(300):
        (m, n, r), density = rng.integers(2, 8, 3), rng.uniform(0.2, 0.9)
        left, right = rng.random((m, r)) < density, rng.random((r, n)) < density
        structure = Structure(fsmf.as_supports([left, right]))
        if structure.is_readable:
            X, Y = left * rng.standard_normal((m, r)), right * rng.standard_normal((r, n))
            by_left = [np.outer(np.eye(m)[i], Y[k]).ravel() for i, k in np.argwhere(left)]
            by_right = [np.outer(X[:, k], np.eye(n)[j]).ravel() for k, j in np.argwhere(right)]
            dimension = np.linalg.matrix_rank(np.array([*by_left, *by_right, np.zeros(m * n)]))
            assert dimension == structure.n_covered
            found += not structure.tractable
    assert found >= 5


@pytest.mark.parametrize("n", [3, 12])
def test_elimination_reads_components_off(n):
    assert Structure(fsmf.lu(n)).is_readable
    assert Structure(fsmf.banded(n, 2)).is_readable
    assert not Structure(fsmf.low_rank(n, rank=2)).is_readable
    assert not Structure(fsmf.arrow(n)).is_readable


@given(any_supports(), st.randoms(use_true_random=False))
def test_the_verdict_does_not_depend_on_order_or_transposition(supports, random):
    left, right = oracles.dense(supports)
    i, k, j = (random.sample(range(n), n) for n in (*left.shape, right.shape[1]))
    one, other = Structure(supports), Structure(fsmf.as_supports([left[i][:, k], right[k][:, j]]))
    for twin in (other, Structure(supports.T)):
        assert twin.tractable == one.tractable
        assert twin.landscape is one.landscape
        assert twin.identifiability is one.identifiability
        assert (twin.n_components, twin.n_covered, twin.n_dead) == (
            one.n_components,
            one.n_covered,
            one.n_dead,
        )


@settings(max_examples=60)
@given(any_supports(), st.integers(0, 9))
def test_identifiable_parts_leave_no_freedom(supports, seed):
    """Where an exact product is said to determine its parts, their tangent spaces are independent."""
    if Structure(supports).identifiability is not Identifiability.UNKNOWN:
        together, apart = oracles.n_explained(supports, seed)
        assert together == apart


@pytest.mark.parametrize("case", [c for c in CASES if c.identifiability in ("TERMS", "CLASSES")], ids=name_of)
def test_parts_said_to_be_read_off_are_read_off(case):
    supports = fsmf.as_supports(case.supports)
    X, Y = oracles.random_product(supports)
    F = fsmf.factorize(X @ Y, supports)
    assert F.relative_error < 1e-12
    for members, (rows, columns) in oracles.classes(supports):
        block = np.ix_(sorted(rows), sorted(columns))
        part = (X[:, members] @ Y[members])[block]
        assert np.allclose((X @ Y)[block], part)
        assert np.allclose((F.X[:, members] @ F.Y[members]).toarray()[block], part)
        if case.identifiability == "TERMS":
            assert np.linalg.matrix_rank(np.stack([X[:, members[0]], F.X.toarray()[:, members[0]]])) == 1


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in CASES
        if c.landscape == "NO_SPURIOUS_MINIMA" and fsmf.as_supports(c.supports).n_parameters < 60
    ],
    ids=name_of,
)
def test_without_spurious_minima_every_descent_reaches_the_optimum(case):
    A = case.matrix(seed=1)
    optimum = oracles.optimum(A, case.supports)
    assert (
        oracles.errors_of_starts(A, case.supports, starts=12, steps=600).max() <= optimum * (1 + 1e-6) + 1e-6
    )


def test_g3_a_complete_class_allows_a_spurious_minimum_but_no_valley():
    assert fsmf.analyze(CEC_SLM).landscape is Landscape.NO_SPURIOUS_VALLEYS
    A, (X, Y) = CEC_SLM_TARGET, CEC_SLM_POINT
    point = oracles.pack(X, Y, CEC_SLM)
    assert 2 * oracles.objective(point, A, CEC_SLM) == 4
    assert oracles.optimum(A, CEC_SLM) == pytest.approx(1)
    assert np.abs(oracles.numeric_gradient(point, A, CEC_SLM)).max() < 1e-8
    assert np.linalg.eigvalsh(oracles.numeric_hessian(point, A, CEC_SLM)).min() > -1e-5
    # Small steps from all around come back.
    rng = np.random.default_rng(0)
    moved = rng.standard_normal((8, point.size))
    moved = point + 0.2 * moved / np.linalg.norm(moved, axis=1, keepdims=True)
    left, right = oracles.dense(CEC_SLM)
    X, Y = (np.stack(side) for side in zip(*(oracles.unpack(p, CEC_SLM) for p in moved), strict=True))
    for _ in range(6000):
        R = X @ Y - A
        X, Y = X - 2e-3 * left * (R @ Y.swapaxes(1, 2)), Y - 2e-3 * right * (X.swapaxes(1, 2) @ R)
    ends = np.sum((X @ Y - A) ** 2, axis=(1, 2))
    assert ((ends >= 4 - 1e-9) & (ends < 4.001)).all()
    # The way out: the loss does not see y_1 where x_1 = 0, nor then x_1 where y_1 = 0.
    X, Y = (factor.copy() for factor in CEC_SLM_POINT)
    Y[1], X[:, 1] = 0, (1, 0, 0)
    beyond = oracles.pack(X, Y, CEC_SLM)
    assert 2 * oracles.objective(beyond, A, CEC_SLM) == 4
    assert np.linalg.eigvalsh(oracles.numeric_hessian(beyond, A, CEC_SLM)).min() < -0.01


@pytest.mark.parametrize("name", ["lu-2", "nested", "overhang", "completion"])
def test_golden_patterns_are_not_certified(name):
    structure = fsmf.analyze(BY_NAME[name].supports)
    assert not structure.tractable
    assert structure.landscape is Landscape.NO_PROMISE


def test_golden_bars_are_certified_as_complete_classes():
    structure = fsmf.analyze(BY_NAME["crossing-bars"].supports)
    assert structure.tractable
    assert structure.classes.complete.all()


@pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
def test_a_collision_is_explained_with_its_place(case):
    structure = fsmf.analyze(case.supports)
    text = structure.why_not()
    assert f"row {structure.collision.row}, column {structure.collision.column}" in text
    assert text in str(structure)


@every_row
def test_the_facts_print_in_sentences(case):
    lines = str(fsmf.analyze(case.supports)).splitlines()
    assert len(lines) == 7 + 2 * (fsmf.analyze(case.supports).arrangement is not None)
    assert lines[0].startswith("2 factors for a matrix")
    assert str(fsmf.analyze(case.supports).n_covered) in lines[3]


def test_only_a_tractable_pair_has_rectangles():
    with pytest.raises(ShapeError, match="collision"):
        _ = fsmf.analyze(fsmf.lu(2)).rectangles


def test_a_longer_product_has_no_classes_but_facts():
    structure = fsmf.analyze([np.eye(2)] * 3)
    assert not structure.is_pair
    assert str(structure).startswith("3 factors")
    with pytest.raises(ShapeError, match="found 3 factors"):
        _ = structure.tractable


def test_equal_supports_are_examined_once_and_keep_their_own_names():
    assert fsmf.analyze(fsmf.lu(4)) is fsmf.analyze(fsmf.lu(4))
    one, other = fsmf.low_rank(4, rank=2), fsmf.block_diagonal(4, blocks=1, rank=2)
    assert one == other
    assert fsmf.analyze(one).supports.name == one.name
    assert fsmf.analyze(other).supports.name == other.name


LARGE = {
    "overlapping": lambda: fsmf.random_supports(20_000, components=20_000, density=0.0025, rng=0),
    "disjoint": lambda: fsmf.monarch(7_100, blocks=142),
    "one class": lambda: fsmf.low_rank(20_000, rank=50),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_large_supports_are_examined_in_linear_memory(make):
    supports = make()
    assert supports.n_parameters > 1_990_000
    tracemalloc.start()
    began = time.process_time()
    text = str(Structure(supports))
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text
    assert peak < 600e6
    assert seconds < 5


def test_equal_supports_of_another_kind_are_not_mistaken():
    """A full 1×1 support equals the Kronecker pattern, and was handed out for it."""
    chain = fsmf.Architecture([(1, 1, 1, 1)] * 2)
    plain = fsmf.as_supports([[[True]], [[True]]])
    assert plain == fsmf.as_supports(chain)
    fsmf.analyze(plain)
    assert [type(one) for one in fsmf.analyze(chain).supports] == [type(one) for one in chain]
