"""Dominant pieces of overlapping blocks: the plain kernel and its compiled twin."""

import numpy as np
import pytest

from fsmf.kernels.deflation import deflated_pieces

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


def pieces(A, rows, columns, order, start, compiled, iterations=30):
    before = A.copy()
    X, Y = deflated_pieces(
        A, lists_of(rows), lists_of(columns), order, start, iterations=iterations, compiled=compiled
    )
    assert np.array_equal(A, before)
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
def test_blocks_left_out_and_blocks_of_zeros_keep_zeros(compiled):
    A = np.zeros((3, 3))
    everything = np.ones((2, 3), dtype=bool)
    X, Y = pieces(A, everything, everything, np.array([1]), np.ones((2, 3)), compiled)
    assert not X.any()
    assert not Y.any()
