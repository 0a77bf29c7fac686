"""Supports with a name, each against one line that defines it."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsmf
from fsmf.errors import OptionError, ShapeError, SupportError

sizes = st.integers(1, 9)


def dense(supports):
    return oracles.dense(supports)


def cut(side, pieces):
    """Indicators of consecutive pieces whose sizes differ by at most one, larger ones first."""
    label = np.concatenate(
        [[p] * len(part) for p, part in enumerate(np.array_split(np.arange(side), pieces))]
    )
    return (label[:, None] == np.arange(pieces)).astype(int)


@given(sizes, sizes, st.integers(1, 3), st.data())
def test_block_diagonal_cuts_both_sides(m, n, rank, data):
    blocks = data.draw(st.integers(1, min(m, n)))
    X, Y = dense(fsmf.block_diagonal(m, n, blocks=blocks, rank=rank))
    assert np.array_equal(X, np.repeat(cut(m, blocks), rank, axis=1))
    assert np.array_equal(Y, np.repeat(cut(n, blocks), rank, axis=1).T)


@given(sizes)
def test_lu_is_two_triangles(n):
    X, Y = dense(fsmf.lu(n))
    assert np.array_equal(X, np.tri(n))
    assert np.array_equal(Y, np.tri(n).T)


@given(sizes, sizes, st.integers(0, 10), st.integers(0, 10))
def test_banded_is_a_band_on_either_side(m, n, lower, upper):
    X, Y = dense(fsmf.banded(m, n, lower=lower, upper=upper))
    r = min(m, n)
    assert np.array_equal(X, np.tri(m, r) > np.tri(m, r, -lower - 1))
    assert np.array_equal(Y.T, np.tri(n, r) > np.tri(n, r, -upper - 1))


@given(sizes, sizes, st.data())
def test_arrow_is_a_diagonal_and_a_border(m, n, data):
    width = data.draw(st.integers(1, min(m, n)))
    X, Y = dense(fsmf.arrow(m, n, width=width))
    for pattern, side in ((X, m), (Y.T, n)):
        expected = np.eye(side, min(m, n), dtype=bool)
        expected[:, :width] = True
        assert np.array_equal(pattern, expected)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3))
def test_hodlr_makes_every_diagonal_block_and_bounds_the_others(m, n, rank):
    supports = fsmf.hodlr(m, n, rank=rank)
    found = {
        (min(rows) > 0, min(columns) > 0): (len(rows), len(columns), len(members))
        for members, (rows, columns) in oracles.classes(supports)
    }
    high, wide = (-(-m // 2), m // 2), (-(-n // 2), n // 2)
    for place, (b, c, members) in found.items():
        assert (b, c) == (high[place[0]], wide[place[1]])
        assert members == (min(b, c) if place[0] == place[1] else rank)
    assert len(oracles.reach(supports)) == m * n


def test_random_supports_are_drawn_with_the_probability_asked_for():
    for density in (0.0, 0.1, 0.5, 1.0):
        X, Y = fsmf.random_supports(200, 150, components=40, density=density, rng=1)
        places = 350 * 40
        spread = 5 * math.sqrt(places * density * (1 - density))
        assert abs(X.nnz + Y.nnz - places * density) <= spread


def test_random_supports_repeat_with_their_seed():
    def draw(rng):
        return fsmf.random_supports(9, 8, components=5, density=0.4, rng=rng)

    assert draw(3) == draw(3) == draw(np.random.default_rng(3)) != draw(4)
    generator = np.random.default_rng(3)
    assert draw(generator) != draw(generator)


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(0, 9)
)
def test_a_completion_pays_for_observed_places_only(W, seed):
    """Whatever the dense component is, the others make every missing place right, and reach no other."""
    W = np.array(W)
    whole, *others = oracles.rank_one_supports(supports := fsmf.completion(W))
    assert oracles.places(whole) == set(np.ndindex(W.shape))
    assert set().union(*map(oracles.places, others)) == set(map(tuple, np.argwhere(W == 0).tolist()))
    assert len(others) <= min(W.shape)
    rng = np.random.default_rng(seed)
    A, x, y = rng.standard_normal(W.shape), rng.standard_normal(len(W)), rng.standard_normal(W.shape[1])
    X, Y = (np.zeros(support.shape) for support in supports)
    X[:, 0], Y[0] = x, y
    for k, (rows, columns) in enumerate(others, start=1):
        i, j = sorted(rows), sorted(columns)
        left_over = (A - np.outer(x, y))[np.ix_(i, j)]
        X[i, k], Y[k, j] = (1, left_over[0]) if len(i) == 1 else (left_over[:, 0], 1)
    assert np.isclose(np.linalg.norm(A - X @ Y), np.linalg.norm(W * (A - np.outer(x, y))))


REFUSED = {
    "no rows": lambda: fsmf.banded(0),
    "negative": lambda: fsmf.banded(3, -1),
    "half": lambda: fsmf.banded(2.5),
    "a string": lambda: fsmf.lu("3"),
    "a boolean": lambda: fsmf.lu(True),
    "no rank": lambda: fsmf.hodlr(3, rank=0),
    "too many blocks": lambda: fsmf.block_diagonal(3, 5, blocks=4),
    "negative band": lambda: fsmf.banded(3, lower=-1),
    "too wide": lambda: fsmf.arrow(3, 5, width=4),
    "too small": lambda: fsmf.hodlr(1, 4),
    "density above one": lambda: fsmf.random_supports(3, components=2, density=1.1),
    "density not a number": lambda: fsmf.random_supports(3, components=2, density=math.nan),
    "density a string": lambda: fsmf.random_supports(3, components=2, density="dense"),
    "no components": lambda: fsmf.random_supports(3, components=0),
    "seed a string": lambda: fsmf.random_supports(3, components=2, rng="seed"),
    "seed negative": lambda: fsmf.random_supports(3, components=2, rng=-1),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_options_that_make_no_sense_are_refused(make):
    with pytest.raises(OptionError, match="found"):
        make()


@pytest.mark.parametrize(
    ("W", "error"), [([[2]], SupportError), ([1, 0], ShapeError), (np.ones((0, 2)), SupportError)]
)
def test_a_completion_needs_a_0_1_matrix(W, error):
    with pytest.raises(error):
        fsmf.completion(W)


@pytest.mark.parametrize(
    ("supports", "name"),
    [
        (fsmf.block_diagonal(np.int64(6), 9, blocks=3), "block_diagonal(6, 9, blocks=3, rank=1)"),
        (fsmf.completion([[1, 0]]), "completion(1×2, 1 missing)"),
    ],
)
def test_a_family_says_its_name(supports, name):
    assert supports.name == name
    assert supports.T.name == f"{name}.T"
