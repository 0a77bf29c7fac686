"""Dominant pieces of overlapping blocks: the plain kernel and its compiled twin."""

import numpy as np
import pytest

from fsmf.kernels.deflation import deflated_pieces, relax_pieces
from fsmf.kernels.deflation_cpu import measured

twins = pytest.mark.parametrize("compiled", [False, True])
kinds = pytest.mark.parametrize("kind", ["real", "complex"])


def lists_of(pattern):
    return np.cumsum([0, *pattern.sum(axis=1)]), np.concatenate([np.flatnonzero(row) for row in pattern])


def problem(seed, kind, largest=25):
    rng = np.random.default_rng(seed)
    m, n, r = rng.integers(1, largest, 3)
    rows, columns = rng.random((r, m)) < 0.5, rng.random((r, n)) < 0.5
    rows[:, 0], columns[:, 0] = True, True
    A, start = rng.standard_normal((m, n)), rng.standard_normal((r, n))
    if kind == "complex":
        A, start = A + 1j * rng.standard_normal((m, n)), start + 1j * rng.standard_normal((r, n))
    if seed % 5 == 0:
        A[: m // 2] = 0
    return A, rows, columns, rng.permutation(r), start * columns


def pieces(A, rows, columns, order, start, compiled, iterations=30, noise=0.0, other=None):
    rest = A.copy()
    other = np.zeros(rows.shape, A.dtype) if other is None else other
    X, Y = deflated_pieces(
        rest,
        lists_of(rows),
        lists_of(columns),
        order,
        other[rows],
        start[columns],
        iterations=iterations,
        noise=noise,
        compiled=compiled,
    )
    np.testing.assert_allclose(rest, A - X @ Y, atol=1e-12)
    return X, Y


@twins
@kinds
@pytest.mark.parametrize("seed", range(20))
def test_pieces_keep_to_their_blocks_and_are_balanced(seed, kind, compiled):
    A, rows, columns, order, start = problem(seed, kind)
    X, Y = pieces(A, rows, columns, order, start, compiled)
    assert not X[~rows.T].any()
    assert not Y[~columns].any()
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), np.linalg.norm(Y, axis=1), rtol=1e-10)


@twins
@kinds
@pytest.mark.parametrize("seed", range(20))
def test_each_piece_explains_nearly_as_much_as_the_best_one(seed, kind, compiled):
    A, rows, columns, order, start = problem(seed, kind)
    X, Y = pieces(A, rows, columns, order, start, compiled)
    rest = A.copy()
    for k in order:
        place = np.ix_(rows[k], columns[k])
        best = np.linalg.svd(rest[place], compute_uv=False)[0]
        piece = np.outer(X[:, k], Y[k])
        explained = np.linalg.norm(rest[place]) ** 2 - np.linalg.norm((rest - piece)[place]) ** 2
        assert explained >= 0.75 * best**2 - 1e-12
        rest -= piece


@twins
@kinds
@pytest.mark.parametrize("seed", range(20))
def test_steps_that_exhaust_a_block_find_its_best_piece(seed, kind, compiled):
    A, rows, columns, order, start = problem(seed, kind, largest=6)
    X, Y = pieces(A, rows, columns, order, start, compiled)
    k = order[0]
    best = np.linalg.svd(A[np.ix_(rows[k], columns[k])], compute_uv=False)[0]
    assert np.linalg.norm(np.outer(X[:, k], Y[k])) == pytest.approx(best, rel=1e-3, abs=1e-12)


@twins
@kinds
@pytest.mark.parametrize("seed", range(10))
def test_noise_is_added_and_subtracted_also_where_nothing_is_found(seed, kind, compiled):
    A, rows, columns, order, start = problem(seed, kind)
    other = np.random.default_rng([seed, 2]).standard_normal(rows.shape).astype(A.dtype)
    k = order[0]
    quiet = pieces(A, rows, columns, order, start, compiled)
    noisy = pieces(A, rows, columns, order, start, compiled, noise=0.01, other=other)
    np.testing.assert_allclose(noisy[0][:, k] - quiet[0][:, k], 0.01 * other[k] * rows[k], atol=1e-12)
    np.testing.assert_allclose(noisy[1][k] - quiet[1][k], 0.01 * start[k], atol=1e-12)
    A[rows[k]] = 0
    noisy = pieces(A, rows, columns, order, start, compiled, noise=0.01, other=other)
    np.testing.assert_allclose(noisy[0][:, k], 0.01 * other[k] * rows[k], atol=1e-14)
    np.testing.assert_allclose(noisy[1][k], 0.01 * start[k], atol=1e-14)


@twins
def test_blocks_left_out_and_blocks_of_zeros_keep_zeros(compiled):
    A = np.zeros((3, 3))
    everything = np.ones((2, 3), dtype=bool)
    X, Y = pieces(A, everything, everything, np.array([1]), np.ones((2, 3)), compiled)
    assert not X.any()
    assert not Y.any()


def start_of(seed, kind):
    """A, blocks, and factors to update, some sides of which are zero."""
    A, rows, columns, order, Y = problem(seed, kind)
    X = np.random.default_rng([seed, 1]).standard_normal(rows.shape).astype(A.dtype) * rows
    X[0], Y[len(Y) // 2] = X[0] * (seed % 3 > 0), Y[len(Y) // 2] * (seed % 4 > 0)
    return A, rows, columns, order, np.ascontiguousarray(X.T), Y


@twins
@kinds
@pytest.mark.parametrize("seed", range(20))
def test_an_update_without_relaxation_is_least_squares(seed, kind, compiled):
    A, rows, columns, order, X, Y = start_of(seed, kind)
    rest = A - X @ Y
    old_x, old_y = X.copy(), Y.copy()
    square, total = relax_pieces(
        rest, lists_of(rows), lists_of(columns), order, X, Y, factor=1.0, compiled=compiled
    )
    assert total == pytest.approx(np.linalg.norm(X, axis=0) @ np.linalg.norm(Y, axis=1), rel=1e-12)
    np.testing.assert_allclose(rest, A - X @ Y, atol=1e-11)
    assert square == pytest.approx(np.linalg.norm(A - X @ Y) ** 2, rel=1e-10)
    assert not X[~rows.T].any()
    assert not Y[~columns].any()
    for k in order:
        others = A - old_x @ old_y + np.outer(old_x[:, k], old_y[k])
        if old_y[k].any():
            expected = np.linalg.lstsq(old_y[k][:, None], others.T, rcond=None)[0][0] * rows[k]
            np.testing.assert_allclose(X[:, k], expected, atol=1e-10)
        else:
            np.testing.assert_array_equal(X[:, k], old_x[:, k])
        old_x[:, k] = X[:, k]
        if X[:, k].any():
            expected = np.linalg.lstsq(X[:, k][:, None], others, rcond=None)[0][0] * columns[k]
            np.testing.assert_allclose(Y[k], expected, atol=1e-10)
        else:
            np.testing.assert_array_equal(Y[k], old_y[k])
        old_y[k] = Y[k]


@kinds
@pytest.mark.parametrize("factor", [0.5, 1.6, 1.99])
def test_over_relaxed_twins_agree_and_never_make_the_rest_larger(factor, kind):
    for seed in range(10):
        A, rows, columns, order, X, Y = start_of(seed, kind)
        one, two = (A - X @ Y, X.copy(), Y.copy()), (A - X @ Y, X, Y)
        before = np.linalg.norm(one[0]) ** 2
        square, total = measured(two[0], *lists_of(rows), *lists_of(columns), X, Y)
        assert square == pytest.approx(before)
        assert total == pytest.approx(np.linalg.norm(X, axis=0) @ np.linalg.norm(Y, axis=1))
        for _ in range(4):
            squares = [
                relax_pieces(
                    Z[0], lists_of(rows), lists_of(columns), order, *Z[1:], factor=factor, compiled=fast
                )
                for Z, fast in ((one, False), (two, True))
            ]
            for mine, theirs in zip(one, two, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-8 * np.abs(mine).max())
            assert squares[0] == pytest.approx(squares[1], rel=1e-7, abs=1e-12)
            assert squares[0][0] <= before * (1 + 1e-12)
            before = squares[0][0]
