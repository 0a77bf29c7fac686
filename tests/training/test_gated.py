"""Gated networks against dense matrices, and against the ReLU networks that they stand for."""

import tracemalloc
from math import comb

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator

from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.training import GatedOperator, binary_generators, fuse, gate_patterns, gated_to_relu, unfuse


def dense(X, gates, features):
    """The matrix by definition: column by column."""
    columns = [
        X[:, j] * gates[:, i] for i in range(gates.shape[1]) for j in range(X.shape[1]) if features[i, j]
    ]
    return np.array(columns).T.reshape(len(X), -1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("restricted", [False, True])
def test_products_are_those_of_the_dense_matrix(seed, restricted):
    rng = np.random.default_rng(seed)
    n, d, p = rng.integers(1, 15, 3)
    X, gates = rng.standard_normal((n, d)), rng.random((n, p)) < 0.5
    features = rng.random((p, d)) < 0.4 if restricted else np.ones((p, d), bool)
    features[0, 0] = True
    A = GatedOperator(X, gates, features=features)
    expected = dense(X, gates, features)
    assert isinstance(A, LinearOperator)
    assert A.shape == expected.shape
    for w in (rng.standard_normal(A.shape[1]), rng.standard_normal((A.shape[1], 3))):
        np.testing.assert_allclose(A @ w, expected @ w, rtol=1e-12, atol=1e-12)
    for y in (rng.standard_normal(n), rng.standard_normal((n, 3))):
        np.testing.assert_allclose(A.H @ y, expected.T @ y, rtol=1e-12, atol=1e-12)
    w = rng.standard_normal(A.shape[1])
    W = A.blocks(w)
    assert not W[~features].any()
    np.testing.assert_array_equal(W[A.block, A.feature], w)
    outputs = sum(gates[:, i] * (X @ W[i]) for i in range(p))
    np.testing.assert_allclose(A @ w, outputs, rtol=1e-12, atol=1e-12)


def test_work_space_is_as_large_as_the_samples():
    rng = np.random.default_rng(0)
    n, d, p = 500, 20, 1000
    A = GatedOperator(rng.standard_normal((n, d)), rng.random((n, p)) < 0.5)
    w, y = rng.standard_normal(A.shape[1]), rng.standard_normal(n)
    tracemalloc.start()
    A @ w
    A.rmatvec(y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * 8 * (n * d + d * p)  # the matrix has n·d·p numbers, 250 times as many


def test_a_network_is_the_gated_one_of_its_own_directions():
    rng = np.random.default_rng(0)
    X, U, v = rng.standard_normal((30, 4)), rng.standard_normal((5, 4)), rng.standard_normal(5)
    outputs = np.maximum(X @ U.T, 0) @ v
    A = GatedOperator(X, gate_patterns(X, U))
    np.testing.assert_allclose(A @ fuse(U, v).ravel(), outputs)


def test_fused_weights_are_taken_apart():
    rng = np.random.default_rng(0)
    H, v = rng.standard_normal((6, 4)), rng.standard_normal(6)
    output, distance = unfuse(fuse(H, v), H)
    np.testing.assert_allclose(output, v)
    np.testing.assert_allclose(distance, 0, atol=1e-14)
    W = rng.standard_normal((6, 4))
    output, distance = unfuse(W, H)
    for i in range(6):
        best = np.linalg.lstsq(H[i][:, None], W[i])
        np.testing.assert_allclose(output[i], best[0][0])
        assert distance[i] == pytest.approx(best[1][0] ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_any_gated_network_is_a_relu_network_on_its_samples(seed):
    rng = np.random.default_rng(seed)
    X, H = rng.standard_normal((60, 8)), rng.standard_normal((7, 8))
    W = rng.standard_normal((7, 8)) * (rng.random((7, 8)) < 0.4)
    W[2] = 0
    W[3] = 2 * H[3]
    gates = gate_patterns(X, H)
    outputs = sum(gates[:, i] * (X @ W[i]) for i in range(7))
    hidden, output = gated_to_relu(X, W, H)
    found = np.maximum(X @ hidden.T, 0) @ output
    assert np.linalg.norm(found - outputs) <= 1e-9 * np.linalg.norm(outputs)
    assert len(output) <= 2 * np.count_nonzero(W.any(axis=1)) - 1  # a multiple of h needs one neuron
    assert set(output) <= {1.0, -1.0}


@pytest.mark.parametrize(("d", "k"), [(1, 1), (5, 1), (6, 3), (4, 4)])
def test_binary_generators_are_all_of_them(d, k):
    H = binary_generators(d, k)
    assert len(H) == sum(comb(d, size) for size in range(1, k + 1))
    assert len({tuple(row) for row in H}) == len(H)
    assert set(H.sum(axis=1)) == set(range(1, k + 1))
    assert set(np.unique(H)) <= {0.0, 1.0}


def test_what_does_not_fit_is_told():
    X, gates = np.ones((4, 3)), np.ones((4, 2), bool)
    with pytest.raises(ShapeError, match="row per sample"):
        GatedOperator(X, gates[:3])
    with pytest.raises(ShapeError, match="features"):
        GatedOperator(X, gates, features=np.ones((3, 3)))
    with pytest.raises(ShapeError, match="as long as samples"):
        gate_patterns(X, np.ones((2, 4)))
    with pytest.raises(InputError, match="X must be finite"):
        gate_patterns(np.full((2, 2), np.nan), np.ones((1, 2)))
    with pytest.raises(InputTypeError, match="real numbers"):
        gate_patterns([["a"]], [[1.0]])
    with pytest.raises(ShapeError, match="one per neuron"):
        fuse(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ShapeError, match="one shape"):
        unfuse(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(OptionError, match="zero"):
        unfuse(np.ones((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ShapeError, match=r"\(p, 3\)"):
        gated_to_relu(X, np.ones((2, 4)), np.ones((2, 4)))
    with pytest.raises(InputError, match="perturb h"):
        gated_to_relu([[0.0, 1.0]], [[0.0, -1.0]], [[1.0, 0.0]])
    with pytest.raises(OptionError, match="at most d"):
        binary_generators(2, 3)
