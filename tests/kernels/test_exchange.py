"""Components exchange multiples: the product stays, hidden sparse pairs come back, and both twins agree."""

import numpy as np
import pytest

from fsmf.kernels.exchange import exchange

twins = pytest.mark.parametrize("compiled", [False, True])


def hidden(seed, m=9, r=4, n=8, k=10, kind=float):
    """A sparse pair, and what some moves make of it."""
    rng = np.random.default_rng(seed)
    X, Y = np.zeros((m, r), kind), np.zeros((r, n), kind)
    for Z in (X, Y):
        values = rng.standard_normal(k) + (1j * rng.standard_normal(k) if kind is complex else 0)
        Z.flat[rng.choice(Z.size, k, replace=False)] = values
    T = np.eye(r, dtype=kind)
    for _ in range(4):
        i, j = rng.choice(r, 2, replace=False)
        T[:, j] += rng.standard_normal() * T[:, i]
    A = X @ T
    return X, Y, np.where(np.abs(A) < 1e-12, 0, A), np.linalg.solve(T, Y)


def in_all(Z, k):
    return np.zeros(Z.shape, int), np.array([k])


@twins
@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("seed", range(4))
def test_hidden_pairs_come_back(seed, kind, compiled):
    X, Y, A, B = hidden(seed, kind=kind)
    B = np.where(np.abs(B) < 1e-12, 0, B)
    before = A.copy(), B.copy()
    left, right, beyond = exchange(A, B, in_all(A, 10), in_all(B, 10), compiled=compiled)
    assert beyond == 0
    assert np.count_nonzero(left) <= 10
    assert np.count_nonzero(right) <= 10
    np.testing.assert_allclose(left @ right, X @ Y, atol=1e-10)
    np.testing.assert_array_equal(A, before[0])
    np.testing.assert_array_equal(B, before[1])


@pytest.mark.parametrize("seed", range(4))
def test_twins_agree_where_there_is_no_such_pair(seed):
    """Rows of X, columns of Y and single places have rooms that are too small."""
    _, _, A, B = hidden(seed, k=14)
    rows = np.repeat(np.arange(9)[:, None], 4, axis=1), np.full(9, 1)
    parts = (np.arange(4)[:, None] + np.arange(8)) % 3, np.array([3, 0, 5])
    plain, quick = (exchange(A, B, rows, parts, max_moves=12, compiled=some) for some in (False, True))
    for one, other in zip(plain, quick, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    counts = [np.bincount(parts[0][plain[1] != 0], minlength=3) - parts[1], (plain[0] != 0).sum(axis=1) - 1]
    assert plain[2] == sum(int(np.maximum(count, 0).sum()) for count in counts) > 0


@twins
@pytest.mark.parametrize("seed", range(3))
def test_noise_counts_as_zero(seed, compiled):
    """Under noise of a ten-thousandth nothing cancels exactly; the pair comes back as near as it allows."""
    X, Y, A, B = hidden(seed)
    rng, level = np.random.default_rng(seed), 1e-4
    A, B = (np.where(np.abs(Z) < 1e-12, 0, Z + level / 4 * rng.uniform(-1, 1, Z.shape)) for Z in (A, B))
    levels = np.full(4, level), np.full(4, level)
    rooms = in_all(A, 10), in_all(B, 10)
    left, right, beyond = exchange(A, B, *rooms, noise=(*levels, 0.1), compiled=compiled)
    assert beyond == 0
    np.testing.assert_allclose(left @ right, X @ Y, atol=0.05)
    assert exchange(A, B, *rooms, max_moves=30, compiled=compiled)[2] > 0


@twins
def test_it_stops_where_nothing_moves(compiled):
    one = np.ones((3, 1))
    assert exchange(one, one.T, in_all(one, 2), in_all(one.T, 3), compiled=compiled)[2] == 1
    assert exchange(one, one.T, in_all(one, 3), in_all(one.T, 3), compiled=compiled)[2] == 0
