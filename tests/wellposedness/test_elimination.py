"""Membership, exactly: against rank criteria that are known, and with every proof checked."""

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from timing import least_seconds

import fsmf
from fsmf.errors import InputError, InputTypeError, OptionError, RefusedError, ShapeError
from fsmf.wellposedness.elimination import (
    Attainable,
    Unattainable,
    Unsettled,
    is_attainable,
    limit_curve,
)
from fsmf.wellposedness.equations import exact_entries
from fsmf.wellposedness.witnesses import Witness


def rank(matrix):
    """The rank of a small integer matrix, by exact elimination."""
    rows = [[Fraction(int(value)) for value in row] for row in matrix]
    found = 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for i in range(found + 1, len(rows)):
            factor = rows[i][column] / rows[found][column]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


def has_lu(A):
    """Whether a square matrix is L U, Okunev and Johnson's criterion."""
    n = len(A)
    return all(rank(A[:k, :k]) + k >= rank(A[:k]) + rank(A[:, :k]) for k in range(1, n + 1))


def agrees(B, supports, expected):
    found = is_attainable(B, supports)
    assert type(found) is (Attainable if expected else Unattainable)
    assert found.verify()


def test_every_small_lu():
    for n, values in ((2, (-1, 0, 1)), (3, (0, 1))):
        matrices = [np.array(entries).reshape(n, n) for entries in itertools.product(values, repeat=n * n)]
        for A in random.Random(n).sample(matrices, 60):
            agrees(A, fsmf.lu(n), has_lu(A))


@pytest.mark.parametrize("r", [1, 2, 3])
def test_full_supports_have_all_ranks_up_to_r(r):
    rng = np.random.default_rng(r)
    for _ in range(10):
        A = rng.integers(-1, 2, (4, 4))
        agrees(A, fsmf.low_rank(4, rank=r), rank(A) <= r)


def test_two_classes_by_their_ranks():
    """Two 2 × 2 components that share one entry, all matrices of zeros and ones."""
    I, J = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 1]]
    for entries in itertools.product((0, 1), repeat=7):
        a, b, c, d, e, f, g = entries
        B = np.array([[a, b, 0], [c, d, e], [0, f, g]])
        # With 0 in its corner a component makes anything of the shared entry, unless both others are not 0;
        # with 1 it makes their product.
        expected = all(corner or not (p and q) for corner, p, q in ((a, b, c), (g, f, e)))
        if a and g and b * c + f * e != d:
            expected = False
        agrees(B, fsmf.pair(I, J), expected)


@pytest.mark.parametrize("seed", range(12))
def test_products_are_attainable(seed):
    rng = np.random.default_rng(seed)
    m, n, r = rng.integers(2, 6, 3)
    left, right = rng.random((m, r)) < 0.7, rng.random((r, n)) < 0.7
    X, Y = rng.integers(-2, 3, (m, r)) * left, rng.integers(-2, 3, (r, n)) * right
    found = is_attainable(X @ Y, [left, right], max_seconds=5)
    assert isinstance(found, Attainable)
    assert found.verify()


@pytest.mark.parametrize("seed", range(12))
def test_transposition_permutation_and_scaling_change_nothing(seed):
    rng = np.random.default_rng(100 + seed)
    m, n, r = 4, 4, 3
    left, right = rng.random((m, r)) < 0.6, rng.random((r, n)) < 0.6
    B = rng.integers(0, 2, (m, n)) * (left.astype(int) @ right > 0)
    first = is_attainable(B, [left, right])
    p, q, s = (rng.permutation(k) for k in (m, n, r))
    scales = np.array([Fraction(int(k), 3) for k in rng.integers(1, 5, m)])
    others = [
        is_attainable(B.T, [right.T, left.T]),
        is_attainable(B[p][:, q], [left[p][:, s], right[s][:, q]]),
        is_attainable(scales[:, None] * B, [left, right]),
        is_attainable(B, [left, right], rng=seed),
    ]
    assert {type(other) for other in others} == {type(first)}
    assert all(found.verify() for found in (first, *others))


def test_out_of_reach_is_unattainable():
    found = is_attainable([[0, 1], [0, 0]], [np.eye(2), np.eye(2)])
    assert isinstance(found, Unattainable)
    assert found.verify()


def test_spoiled_answers_fail():
    no = is_attainable([[0, 1], [1, 0]], fsmf.lu(2))
    assert not Unattainable(no.supports, no.target, no.cofactors[1:]).verify()
    assert not Unattainable(no.supports, no.target[1:], no.cofactors).verify()
    yes = is_attainable([[1, 1], [1, 0]], fsmf.lu(2))
    assert not Attainable(yes.supports, yes.target, yes.X[1:], yes.Y).verify()
    assert not Attainable(yes.supports, yes.target[1:], yes.X, yes.Y).verify()
    assert not Attainable(yes.supports, yes.target, (*yes.X, (0, 1, Fraction(0))), yes.Y).verify()


def test_all_ways_to_give_a_matrix():
    half = [[Fraction(1, 2), 0], [0, 3]]
    expected = ((0, 0, Fraction(1, 2)), (1, 1, Fraction(3)))
    for B in (half, np.array(half, dtype=float), sparse.csr_array([[0.5, 0], [0, 3]])):
        assert exact_entries(B, (2, 2)) == expected
    three = exact_entries([(0, 1, Fraction(5))], (1, 3))
    assert three == ((0, 1, Fraction(1)), (0, 2, Fraction(5)))
    assert exact_entries(np.eye(2, dtype=bool), (2, 2)) == ((0, 0, Fraction(1)), (1, 1, Fraction(1)))


@pytest.mark.parametrize(
    ("B", "error"),
    [
        ([[0, np.nan], [0, 0]], InputError),
        ([[0, np.inf], [0, 0]], InputError),
        ([[0, 1j], [0, 0]], InputTypeError),
        ([[0, "1"], [0, 0]], InputTypeError),
        ([[0, None], [0, 0]], InputTypeError),
        ([[0, 1, 0], [0, 0, 0]], ShapeError),
        ([0, 1], ShapeError),
    ],
)
def test_wrong_matrices(B, error):
    with pytest.raises(error):
        is_attainable(B, fsmf.lu(2))


def test_only_pairs():
    with pytest.raises(RefusedError, match="two factors"):
        is_attainable(np.eye(2), [np.eye(2)] * 3)


@pytest.mark.parametrize("decide", [fsmf.is_attainable, fsmf.check_attained])
@pytest.mark.parametrize(("n", "r", "density"), [(60, 30, 0.9), (40, 20, 0.5), (8, 8, 0.9), (90, 5, 0.8)])
def test_budgets_are_kept(decide, n, r, density):
    """While equations are written down, eliminated and multiplied, and ranks are looked at."""
    B = np.random.default_rng(0).integers(-2, 3, (n, n))

    def call():
        # Nothing is kept from one call to the next by supports that are made anew.
        supports = fsmf.random_supports(n, n, components=r, density=density, rng=0)
        decide(B, supports, max_seconds=0.05)

    assert least_seconds(call) < 0.4


def test_equations_that_do_not_fit_are_not_written_down():
    """Monomials of so many unknowns would take gigabytes."""
    B = np.ones((100, 100), dtype=int)
    found = is_attainable(B, fsmf.random_supports(100, 100, components=30, density=0.9, rng=0))
    assert isinstance(found, Unsettled)
    assert "are more than it takes" in str(found)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", None])
def test_budgets_are_numbers(seconds):
    for decide in (fsmf.is_attainable, fsmf.check_attained):
        with pytest.raises(OptionError, match="max_seconds"):
            decide(np.eye(2), fsmf.lu(2), max_seconds=seconds)


def test_a_tiny_budget_is_undecided():
    found = is_attainable(np.eye(8), fsmf.low_rank(8, rank=7), max_seconds=0)
    assert isinstance(found, Unsettled)
    assert "time" in str(found)
    with pytest.raises(TypeError, match="neither"):
        bool(found)


def test_limit_curves_are_what_they_say():
    B, D = [[0, 1], [1, 0]], [[1, 0], [0, 0]]
    X, Y = limit_curve(exact_entries(B, (2, 2)), exact_entries(D, (2, 2)), fsmf.lu(2))
    no = is_attainable(B, fsmf.lu(2))
    witness = Witness(*fsmf.lu(2), no.target, X, Y, no.cofactors)
    assert witness.verify()
    for t in (0.5, 0.25):
        left, right = witness.numeric(t)
        assert abs(left @ right - (np.array(B) + t * np.array(D))).max() < 1e-12


def test_curves_that_do_not_exist():
    one = Fraction(1)
    assert limit_curve(((0, 0, one), (1, 1, one)), ((0, 0, one),), fsmf.low_rank(2, rank=1)) is None
