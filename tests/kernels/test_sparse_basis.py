"""Sparse vectors of a space: planted ones are found, whatever the basis that hides them."""

import numpy as np
import pytest

from fsmf.kernels.sparse_basis import noise_level, sparse_basis


def planted(seed, *, m=32, r=6, k=5, n=40, dtype=float):
    rng = np.random.default_rng(seed)
    X = np.zeros((m, r), dtype)
    for j in range(r):
        X[rng.choice(m, k, replace=False), j] = rng.standard_normal(k) + (1j if dtype is complex else 0)
    Y = rng.standard_normal((r, n)).astype(dtype)
    return X, X @ (Y + 1j * rng.standard_normal((r, n)) if dtype is complex else Y)


def matched(B, X):
    """For each planted vector the largest cosine with one that was found."""
    X = X / np.linalg.norm(X, axis=0)
    return np.abs(B.conj().T @ X).max(axis=0)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("seed", range(4))
def test_planted_vectors_are_found(seed, dtype):
    X, A = planted(seed, dtype=dtype)
    B, level = sparse_basis(A, 6, np.random.default_rng(0))
    assert B.shape == (32, 6)
    assert not level.any()
    np.testing.assert_allclose(np.linalg.norm(B, axis=0), 1)
    np.testing.assert_allclose(matched(B, X), 1, atol=1e-9)


@pytest.mark.parametrize(("r", "k"), [(12, 5), (16, 4)])
def test_many_vectors_are_as_sparse_as_those_planted(r, k):
    """Others may be as sparse; what is found needs no repair without noise."""
    for seed in range(3):
        X, A = planted(seed, r=r, k=k)
        B, _ = sparse_basis(A, r, np.random.default_rng(0))
        assert np.linalg.matrix_rank(B) == r
        assert np.count_nonzero(B) <= np.count_nonzero(X)
        rest = A - B @ np.linalg.lstsq(B, A, rcond=None)[0]
        assert np.linalg.norm(rest) <= 1e-12 * np.linalg.norm(A)


@pytest.mark.parametrize("noise", [1e-8, 1e-4, 1e-2])
def test_noise_hides_no_planted_vector(noise):
    """Found to the noise, with no more nonzeros; what could be one and is not stays below the level."""
    for seed in range(4):
        X, A = planted(seed)
        E = np.random.default_rng(seed).standard_normal(A.shape)
        A += noise * np.linalg.norm(A) / np.linalg.norm(E) * E
        B, level = sparse_basis(A, 6, np.random.default_rng(0), noise=noise_level(A, 6))
        np.testing.assert_allclose(matched(B, X), 1, atol=max(1e-9, noise))
        assert (np.abs(B[B != 0]) > np.broadcast_to(level, B.shape)[B != 0]).all()
        assert np.count_nonzero(B) <= np.count_nonzero(X) + 2


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_level_is_that_of_the_noise(dtype):
    rng = np.random.default_rng(0)
    E = rng.standard_normal((60, 50)) + (1j * rng.standard_normal((60, 50)) if dtype is complex else 0)
    _, A = planted(1, m=60, n=50, dtype=dtype)
    true = 1e-3 * np.sqrt(np.mean(np.abs(E) ** 2))
    assert noise_level(A + 1e-3 * E, 6) == pytest.approx(true, rel=0.05)
    assert noise_level(A, 50) == 0


def test_it_spans_the_columns():
    _, A = planted(0)
    B, _ = sparse_basis(A, 6, np.random.default_rng(0))
    rest = A - B @ np.linalg.lstsq(B, A, rcond=None)[0]
    assert np.linalg.norm(rest) <= 1e-9 * np.linalg.norm(A)


def test_extremes():
    rng = np.random.default_rng(0)
    assert sparse_basis(np.zeros((4, 3)), 2, rng)[0].shape == (4, 0)
    one, _ = sparse_basis(np.outer([1, 0, 2, 0], [1, 1, 1.0]), 2, rng)
    np.testing.assert_allclose(np.abs(one[:, 0]), np.array([1, 0, 2, 0]) / np.sqrt(5), atol=1e-12)
    everything, _ = sparse_basis(rng.standard_normal((3, 5)), 3, rng)
    np.testing.assert_array_equal(np.sort(np.abs(everything), axis=0), [[0, 0, 0], [0, 0, 0], [1, 1, 1]])
