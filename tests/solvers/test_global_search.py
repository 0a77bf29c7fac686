"""Exhaustive search: bounds that no descent beats, gaps that close, and boxes nobody can tamper with."""

import copy
import dataclasses
import math

import numpy as np
import oracles
import pytest
from cases import BY_NAME, LU2, NESTED, OFF_DIAGONAL, OVERHANG, any_supports, rectangles, solve
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf import GlobalSearch, SearchBound, Status
from fsmf.errors import ConvergenceWarning, OptionError, RefusedError
from fsmf.solvers.problem_boxes import Side, box_bounds
from fsmf.supports.layout import IndexLists
from fsmf.tractability import analyze

QUICK = GlobalSearch(max_seconds=60, max_boxes=300, rtol=0.02)


def spoiled(F, **fields):
    twin = copy.copy(F)
    twin.certificate = dataclasses.replace(F.certificate, **fields)
    return twin


@pytest.fixture(scope="module")
def searched():
    """Rank-one completion off the diagonal, which no block settles."""
    A = np.array([[5.0, 2.0, 0.5], [0.3, -4.0, 2.0], [2.0, 0.1, 3.0]])
    F = fsmf.factorize(A, OFF_DIAGONAL, solver=GlobalSearch(max_seconds=60, rtol=0.01))
    assert F.certificate.n_boxes > 4
    return A, F


def test_the_gap_of_a_completion_is_closed(searched):
    A, F = searched
    assert F.status is Status.SEARCHED
    assert F.certificate.gap <= 0.01 * F.error
    assert F.lower_bound > fsmf.factorize(A, OFF_DIAGONAL).lower_bound
    best = oracles.best_of_starts(A, OFF_DIAGONAL, starts=40)
    assert F.lower_bound <= best * (1 + 1e-9)
    assert F.error == pytest.approx(best, rel=1e-3)
    assert F.verify(A), str(F.verify(A))
    assert F.T.verify(A.T)
    assert (3 * F).verify(3 * A)
    assert "boxes" in str(F.certificate)


@settings(max_examples=25)
@given(any_supports(max_side=4), st.integers(0, 99))
def test_no_descent_ever_beats_a_searched_bound(supports, seed):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    F = solve(A, supports, solver=QUICK)
    assert isinstance(F.certificate, SearchBound)
    assert F.verify(A), str(F.verify(A))
    assert F.lower_bound <= oracles.best_of_starts(A, supports, starts=8) * (1 + 1e-9) + 1e-9
    assert F.lower_bound <= F.error
    if F.status is Status.SEARCHED:
        assert F.certificate.gap <= 0.02 * F.error + 1e-6 * F.norm


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_box_bounds_every_product_in_it(turned, seed, kind):
    """The least error over Y for spans drawn in a box, also at its corners, is not below the bound."""
    rng = np.random.default_rng(seed)
    supports = fsmf.random_supports(5, 5, components=3, density=0.6, rng=seed)
    structure = analyze(supports)
    unit = 1 + 1j if kind is complex else 1.0

    def drawn(values):
        """One draw of real parts, another of imaginary ones."""
        return values() + 1j * values() if kind is complex else values()

    A = np.where(structure.reach, drawn(lambda: rng.standard_normal((5, 5))), 0)
    side = Side.of(structure.classes, transposed=turned)
    if side.n_open == 0:
        return
    B = A.T if turned else A
    basis, places = side.faces[rng.integers(side.n_faces)]
    for half in (0.5, 0.1, 0.01):
        centre, width = basis.astype(kind), np.zeros(basis.shape, kind)
        # Within the disc, which is all that is claimed to be covered.
        centre[tuple(places.T)] = drawn(lambda: rng.uniform(-0.7, 0.7, len(places)))
        width[tuple(places.T)] = half * unit
        below = box_bounds(B, side, centre[None], width[None]).below[0]
        for draw in range(30):
            inside, corner = (
                (lambda: rng.uniform(-1, 1, basis.shape)),
                lambda: rng.choice([-1.0, 1], basis.shape),
            )
            move = drawn(inside if draw % 2 else corner)
            X, error = centre + move * width.real, 0.0
            for one in side.types:
                target = B[np.ix_(one.rows, one.columns)]
                span = X[np.ix_(one.rows, np.array(one.spans, dtype=int))]
                fitted = span @ np.linalg.lstsq(span, target, rcond=None)[0] if one.spans else 0 * target
                error += np.sum(np.abs(target - fitted) ** 2)
            assert below <= error * (1 + 1e-9) + 1e-12


def test_smaller_boxes_come_near_to_the_error_at_the_centre():
    """The bound loses the square of the width, and what is linear in it, which goes first near an optimum."""
    structure = analyze(OFF_DIAGONAL)
    A = np.outer([1.0, 2.0, -1.0], [1.0, 0.5, 2.0]) + 0.1 * np.random.default_rng(0).standard_normal((3, 3))
    side = Side.of(structure.classes, transposed=False)
    assert (side.n_open, side.n_faces) == (2, 3)
    basis, places = side.faces[1]
    losses = []
    for half in (0.02, 0.01, 0.005):
        centre, width = basis.copy(), np.zeros_like(basis)
        centre[tuple(places.T)], width[tuple(places.T)] = [0.5, -0.5], half
        found = box_bounds(A, side, centre[None], width[None])
        losses.append(found.centre[0] - found.below[0])
    assert losses[0] > losses[1] > losses[2] > 0
    assert losses[1] <= 0.6 * losses[0]


@pytest.mark.parametrize(
    ("supports", "A"),
    [
        (LU2, np.array([[0.0, 1], [1, 0]])),
        (OVERHANG, np.array([[1.0, 0, 1], [0, 1, 0]])),
        (NESTED, np.random.default_rng(0).standard_normal((3, 3))),
        (BY_NAME["mixed"].supports, BY_NAME["mixed"].matrix()),
        (BY_NAME["two-hard-parts"].supports, BY_NAME["two-hard-parts"].matrix()),
        (fsmf.low_rank(4, rank=1), np.arange(16.0).reshape(4, 4)),
        (BY_NAME["all-dead"].supports, np.ones((3, 4))),
        (OFF_DIAGONAL, np.zeros((3, 3))),
    ],
    ids=["lu", "overhang", "nested", "mixed", "two parts", "tractable", "dead", "zero"],
)
def test_ill_posed_tractable_and_empty_problems_are_no_accident(supports, A):
    F = solve(A, supports, solver=GlobalSearch(max_seconds=60, max_boxes=2000, rtol=0.05))
    assert F.verify(A), str(F.verify(A))
    assert F.lower_bound <= F.error <= solve(A, supports).error * 1.05 + 0.05 * F.norm + 1e-90


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_searches_have_units(scale, searched):
    A, F = searched
    G = fsmf.factorize(A * scale, OFF_DIAGONAL, solver=GlobalSearch(max_seconds=60, rtol=0.01))
    assert G.lower_bound / scale == pytest.approx(F.lower_bound, rel=1e-3)
    assert G.verify(A * scale)


def test_single_precision_is_searched():
    A = np.array([[5.0, 2.0, 0.5], [0.3, -4.0, 2.0], [2.0, 0.1, 3.0]], dtype=np.float32)
    F = fsmf.factorize(A, OFF_DIAGONAL, solver=GlobalSearch(max_seconds=60, rtol=0.05))
    assert F.dtype == np.float32
    assert F.verify(A)


def test_complex_matrices_are_searched_and_nobody_spoils_their_boxes():
    """One is a real problem seen with other phases, the other has no real twin."""
    A = np.array([[5.0, 2.0, 0.5], [0.3, -4.0, 2.0], [2.0, 0.1, 3.0]])
    solver = GlobalSearch(max_seconds=60, rtol=0.05)
    rng = np.random.default_rng(0)
    left, right = np.exp(1j * rng.uniform(0, 6, (2, 3)))
    turned = left[:, None] * A * right
    for B in (turned, rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))):
        F = fsmf.factorize(B, OFF_DIAGONAL, solver=solver)
        assert F.status is Status.SEARCHED
        assert F.certificate.gap <= 0.05 * F.error
        assert F.lower_bound <= solve(B, OFF_DIAGONAL, solver=fsmf.ALS(starts=10)).error
        assert F.verify(B), str(F.verify(B))
        assert F.T.verify(B.T)
    assert F.certificate.n_boxes > 4
    axes = F.certificate.axes
    cut = np.flatnonzero(axes.indices >= 0)[0]
    other = axes.indices.copy()
    other[cut] ^= 1
    assert not spoiled(F, axes=IndexLists(axes.indptr, other)).verify(B)
    assert not spoiled(F, lower_bound=F.error).verify(B)
    many = fsmf.random_supports(6, 6, components=4, density=0.7, rng=0)
    if Side.of(analyze(many).classes, transposed=False).n_open > 12:
        with pytest.raises(RefusedError, match="complex pairs of at most 12"):
            fsmf.factorize(rng.standard_normal((6, 6)) + 0j, many, solver=GlobalSearch())


def test_spoiled_numbers_and_boxes_are_noticed(searched):
    A, F = searched
    own = F.certificate
    for name in ("error", "lower_bound", "out_of_reach"):
        value = getattr(own, name)
        for wrong in (value + 0.01 * F.norm, value - 0.01 * F.norm, -1.0, math.nan, math.inf):
            assert not spoiled(F, **{name: wrong}).verify(A), (name, wrong)
    axes, components = own.axes[0], own.parts[0]
    cut = int(np.flatnonzero(axes >= 0)[0])
    spoiled_axes = {
        "a box not cut": np.concatenate([[-1], axes[1:]]),
        "boxes missing": axes[:-1],
        "boxes left over": np.concatenate([axes, [-1]]),
        "another entry": np.where(np.arange(len(axes)) == cut, 99, axes),
        "none at all": axes[:0],
        "nothing cut": np.full(3, -1),
    }
    for what, wrong in spoiled_axes.items():
        assert not spoiled(F, axes=IndexLists.of_arrays([wrong])).verify(A), what
    spoiled_parts = {
        "component missing": components[1:],
        "component twice": np.concatenate([components, components[:1]]),
        "component out of range": np.concatenate([components[:-1], [99]]),
        "component negative": np.concatenate([[-1], components[1:]]),
    }
    for what, wrong in spoiled_parts.items():
        assert not spoiled(F, parts=IndexLists.of_arrays([wrong])).verify(A), what
    assert not spoiled(F, turned=(not own.turned[0],)).verify(A) or own.lower_bound == 0
    assert not spoiled(F, turned=()).verify(A)
    twice = IndexLists.of_arrays([components, components]), IndexLists.of_arrays([axes, axes])
    assert not spoiled(F, parts=twice[0], axes=twice[1], turned=own.turned * 2).verify(A)


def test_another_matrix_is_noticed(searched):
    A, F = searched
    assert not F.verify(A + 0.1)
    assert not F.verify(0.9 * A)


def test_the_certificate_is_saved(searched, tmp_path):
    A, F = searched
    F.save(tmp_path / "f.npz")
    G = fsmf.load(tmp_path / "f.npz")
    assert G.certificate.turned == F.certificate.turned
    assert G.certificate.n_boxes == F.certificate.n_boxes
    assert G.verify(A)


def test_out_of_budget_it_says_how_far_it_got():
    A = np.random.default_rng(4).standard_normal((4, 4))
    supports = fsmf.completion(1 - np.eye(4))
    with pytest.warns(ConvergenceWarning, match="lies between"):
        F = fsmf.factorize(A, supports, solver=GlobalSearch(max_boxes=1, rtol=1e-9))
    assert F.status is Status.OUT_OF_BUDGET
    assert F.verify(A)
    with pytest.warns(ConvergenceWarning, match="out of budget"):
        F = fsmf.factorize(A, supports, solver=GlobalSearch(max_seconds=0, rtol=1e-9))
    assert F.verify(A)


def test_what_is_too_large_is_refused_and_parts_count_apart():
    with pytest.raises(RefusedError, match="open entries"):
        fsmf.factorize(np.eye(30), fsmf.banded(30), solver=GlobalSearch())
    large = rectangles(20, 20, (range(20), range(20), 3))
    assert GlobalSearch().refuses(analyze(large)) is None
    F = solve(np.eye(3), [np.ones((3, 3))] * 3, solver=[GlobalSearch(), fsmf.ALS()])
    assert F.solver == "ALS"
    assert GlobalSearch().predict(analyze(OFF_DIAGONAL)).seconds <= 11


@pytest.mark.parametrize(
    "options",
    [
        *({"max_seconds": bad} for bad in (-1, math.nan, math.inf, None, "1")),
        *({"rtol": bad} for bad in (-1e-3, math.nan, None)),
        *({"max_boxes": bad} for bad in (0, 1.5, True, None)),
        {"rng": "seed"},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="found"):
        GlobalSearch(**options)
