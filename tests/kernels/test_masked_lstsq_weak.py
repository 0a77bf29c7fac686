"""Rows of X that meet nearly dependent rows of a sparse Y: LAPACK's answer, of least norm, row by row."""

import numpy as np
import pytest
from scipy import sparse

from fsmf.kernels.masked_lstsq_cpu import RowSystem, SparseRows, fixed

SIDE, K = 40, 14


def pattern(support):
    S = sparse.csr_array(support)
    return fixed(S.indptr, np.int64), fixed(S.indices, np.int32)


def solve(A, Y, left, *, ridge=0.0, support=None):
    """X by the kernel, all rows of it having labels of their own unless they are equal."""
    right = Y != 0 if support is None else support
    label = np.unique(left, axis=0, return_inverse=True)[1].ravel()
    system = RowSystem(pattern(left), pattern(right), pattern(right.T), fixed(label, np.int64))
    values, explained = system.solve(SparseRows(sparse.csr_array(A)), Y[right], Y.T[right.T], ridge)
    X = np.zeros(left.shape, Y.dtype)
    X[left] = values
    return X, explained


def dependent(kind, rng, dtype):
    """Sparse rows, some of which depend on others, exactly or nearly; and how nearly."""
    Y = np.where(rng.random((K, SIDE)) < 0.4, rng.standard_normal((K, SIDE)), 0).astype(dtype)
    if dtype is complex:
        Y *= np.exp(2j * rng.random((K, SIDE)))
    nearly = 0.0
    if kind == "proportional":
        Y[3], Y[7], Y[8] = 2 * Y[1], -Y[1], 0
    elif kind == "combined":
        Y[9] = Y[0] + 3 * Y[2] - Y[5]
        Y[11] = Y[9] - Y[6]
    elif kind == "narrow":
        Y[:, 6:] = 0
    elif kind == "of all sizes":
        Y[4] = Y[2]
        Y *= 10.0 ** rng.integers(-6, 6, (K, 1))
    else:
        nearly = float(kind)
        Y[4] = Y[2] + nearly * Y[1] * rng.standard_normal(SIDE)
        Y[5] = Y[4] + nearly * Y[3]
    return Y, nearly


KINDS = ["proportional", "combined", "narrow", "of all sizes", "1e-3", "1e-4", "1e-6", "1e-8", "1e-10"]


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_dependent_rows_get_the_solution_of_least_norm(kind, dtype, seed):
    rng = np.random.default_rng(seed)
    Y, nearly = dependent(kind, rng, dtype)
    A = rng.standard_normal((9, SIDE)).astype(dtype)
    left = rng.random((9, K)) < 0.8
    left[5] = left[4] = left[3] = True
    X, explained = solve(A, Y, left)
    for i, own in enumerate(left):
        expected = np.linalg.lstsq(Y[own].T, A[i], rcond=1e-13)[0]
        residual = np.linalg.norm(A[i] - X[i] @ Y)
        assert residual == pytest.approx(np.linalg.norm(A[i] - expected @ Y[own]), rel=1e-6, abs=1e-10)
        assert np.linalg.norm(X[i]) == pytest.approx(np.linalg.norm(expected), rel=1e-4)
        # LAPACK weighs rows by their lengths, and says little of the shortest.
        if not nearly and kind != "of all sizes":
            np.testing.assert_allclose(X[i, own], expected, rtol=1e-6, atol=1e-9 * np.linalg.norm(expected))
    if nearly > 1e-5 or not nearly:
        assert explained == pytest.approx(np.linalg.norm(A) ** 2 - np.linalg.norm(A - X @ Y) ** 2, rel=1e-8)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("ridge", [1e-3, 1e-7, 1e-10])
@pytest.mark.parametrize("kind", ["proportional", "combined", "narrow", "1e-8"])
def test_a_small_ridge_is_an_augmented_system(kind, ridge, dtype):
    rng = np.random.default_rng(1)
    Y, _ = dependent(kind, rng, dtype)
    A, left = rng.standard_normal((5, SIDE)).astype(dtype), np.ones((5, K), dtype=bool)
    X, _ = solve(A, Y, left, ridge=ridge, support=np.ones(Y.shape, dtype=bool))
    system = np.concatenate([Y.T, np.sqrt(ridge) * np.eye(K)])
    target = np.concatenate([A.T, np.zeros((K, 5))])
    expected = np.linalg.lstsq(system, target, rcond=None)[0].T
    np.testing.assert_allclose(X, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_no_wider_space_is_left_worse_explained():
    """Nested supports that differ by one more nearly dependent row each: the residual only falls."""
    rng = np.random.default_rng(2)
    Y = np.tile(rng.standard_normal(SIDE), (K, 1))
    Y += 10.0 ** -np.arange(2, 2 + K)[:, None] * rng.standard_normal((K, SIDE))
    left = np.tri(K, dtype=bool)
    A = np.tile(rng.standard_normal(SIDE), (K, 1))
    X, _ = solve(A, Y, left)
    residuals = np.linalg.norm(A - X @ Y, axis=1)
    assert (np.diff(residuals) < 1e-2 * residuals[0]).all()
    expected = [np.linalg.norm(A[0] - Y[:k].T @ np.linalg.lstsq(Y[:k].T, A[0])[0]) for k in range(1, 11)]
    np.testing.assert_allclose(residuals[:10], expected, rtol=1e-4)
