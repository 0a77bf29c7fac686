"""Sparse vectors of a space: planted ones are found, whatever the basis that hides them."""

import numpy as np
import pytest

from fsmf.kernels.sparse_basis import sparse_basis


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
    B = sparse_basis(A, 6, np.random.default_rng(0), sharp=True)
    assert B.shape == (32, 6)
    np.testing.assert_allclose(np.linalg.norm(B, axis=0), 1)
    np.testing.assert_allclose(matched(B, X), 1, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_noise_asks_for_shrinking(seed):
    X, A = planted(seed, r=4, k=4)
    E = np.random.default_rng(seed).standard_normal(A.shape)
    A += 0.01 * np.linalg.norm(A) / np.linalg.norm(E) * E
    B = sparse_basis(A, 4, np.random.default_rng(0), sharp=False)
    assert (matched(B, X) > 0.98).sum() >= 3


@pytest.mark.parametrize("sharp", [True, False])
def test_it_spans_the_columns(sharp):
    _, A = planted(0)
    B = sparse_basis(A, 6, np.random.default_rng(0), sharp=sharp)
    rest = A - B @ np.linalg.lstsq(B, A, rcond=None)[0]
    if sharp:
        assert np.linalg.norm(rest) <= 1e-9 * np.linalg.norm(A)
    assert B.shape[1] <= 6


@pytest.mark.parametrize("sharp", [True, False])
def test_extremes(sharp):
    rng = np.random.default_rng(0)
    assert sparse_basis(np.zeros((4, 3)), 2, rng, sharp=sharp).shape == (4, 0)
    one = sparse_basis(np.outer([1, 0, 2, 0], [1, 1, 1.0]), 2, rng, sharp=sharp)
    np.testing.assert_allclose(np.abs(one[:, 0]), np.array([1, 0, 2, 0]) / np.sqrt(5), atol=1e-12)
    everything = sparse_basis(rng.standard_normal((3, 5)), 3, rng, sharp=sharp)
    np.testing.assert_array_equal(np.sort(np.abs(everything), axis=0), [[0, 0, 0], [0, 0, 0], [1, 1, 1]])
