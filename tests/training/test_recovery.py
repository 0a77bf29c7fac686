"""Planted networks are found again, from fewer samples than there are candidates for weights."""

import numpy as np
import pytest

import fsmf
from fsmf.errors import OptionError, ShapeError
from fsmf.training import GatedOperator, gate_patterns, recover_relu


def planted_gated(n, seed, d=20, s=8):
    """Random gates of all features, and s weights among the 400."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    A = GatedOperator(X, gate_patterns(X, rng.standard_normal((d, d))))
    w = np.zeros(A.shape[1])
    w[rng.choice(len(w), s, replace=False)] = rng.standard_normal(s)
    return A, w, s


def finds(A, w, s, **options):
    found = fsmf.sparse_lstsq(A, A @ w, s, max_iterations=1000, **options).x
    return np.linalg.norm(found - w) <= 1e-4 * np.linalg.norm(w)


def test_gated_networks_need_samples_in_proportion_to_their_weights():
    assert sum(finds(*planted_gated(40, seed), relax=2) for seed in range(5)) <= 1
    assert sum(finds(*planted_gated(120, seed), relax=2) for seed in range(5)) >= 4


def test_the_safe_step_is_poor():
    assert sum(finds(*planted_gated(160, seed), method="iht") for seed in range(5)) <= 3


def teacher(d, K, rng):
    """K neurons, each of which sums two features."""
    pairs = set()
    while len(pairs) < K:
        pairs.add(tuple(sorted(rng.choice(d, 2, replace=False))))
    U = np.zeros((K, d))
    for u, pair in zip(U, sorted(pairs), strict=True):
        u[list(pair)] = 1
    return U, rng.choice([-1, 1], K) * rng.uniform(0.5, 2, K)


def recovered(n, seed, *, relax, d=12, K=3):
    """Whether the network is found, everywhere and not only on the samples."""
    rng = np.random.default_rng(seed)
    U, v = teacher(d, K, rng)
    X, Z = rng.standard_normal((n, d)), rng.standard_normal((500, d))
    found = recover_relu(X, np.maximum(X @ U.T, 0) @ v, 2 * K, relax=relax)
    truth = np.maximum(Z @ U.T, 0) @ v
    error = np.sum((found.predict(Z) - truth) ** 2) / np.sum(truth**2)
    if found.is_exact and error < 1e-10:
        ours = sorted(map(tuple, found.hidden * np.abs(found.output)[:, None]))
        np.testing.assert_allclose(ours, sorted(map(tuple, U * np.abs(v)[:, None])), atol=1e-6)
    return found.is_exact and error < 1e-10


@pytest.mark.parametrize("n", [100, 160])
def test_relu_networks_are_found_exactly(n):
    assert sum(recovered(n, seed, relax=4) for seed in range(5)) >= 4


def test_without_relaxation_few_are():
    assert sum(recovered(100, seed, relax=1) for seed in range(5)) <= 2


def test_fewer_samples_than_columns_are_enough():
    assert sum(recovered(200, seed, relax=2, d=20, K=5) for seed in range(2)) == 2


def test_the_network_is_a_sparse_network():
    rng = np.random.default_rng(0)
    U, v = teacher(12, 3, rng)
    X = rng.standard_normal((160, 12))
    found = recover_relu(X, np.maximum(X @ U.T, 0) @ v, 6, relax=4)
    network = found.to_network()
    assert network.n_parameters == 9
    np.testing.assert_allclose(network.predict(X)[:, 0], found.predict(X))


def test_deeper_networks_are_found_layer_by_layer():
    """The hidden layer of one problem makes the samples of the next."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 8))
    first, v = teacher(8, 3, rng)
    below = recover_relu(X, np.maximum(X @ first.T, 0) @ v, 6, relax=4)
    hidden = below.features(X)
    second = np.array([[1.0, 0.0, 1.0]])
    y = np.maximum(hidden @ second.T, 0) @ np.array([2.0])
    above = recover_relu(hidden, y, 2)
    np.testing.assert_allclose(above.predict(below.features(X)), y, atol=1e-8)


def test_other_gates_fit_the_samples_and_say_that_they_do_no_more():
    rng = np.random.default_rng(0)
    X, H = rng.standard_normal((40, 5)), rng.standard_normal((6, 5))
    w = np.zeros((6, 5))
    w[1, 2], w[4, 0] = 1.5, -2.0
    A = GatedOperator(X, gate_patterns(X, H))
    found = recover_relu(X, A @ w.ravel(), 2, generators=H)
    assert not found.is_exact
    np.testing.assert_allclose(found.fused, w, atol=1e-8)
    np.testing.assert_allclose(found.predict(X), A @ w.ravel(), atol=1e-7)


def test_columns_that_cannot_be_told_apart_are_left_out():
    X = np.abs(np.random.default_rng(0).standard_normal((30, 4))) + 0.1  # every gate lets everything through
    found = recover_relu(X, 3 * X[:, 2], 1)
    assert np.count_nonzero(found.fused) == 1
    np.testing.assert_allclose(found.predict(X), 3 * X[:, 2])


def test_nothing_is_found_in_nothing():
    X = np.random.default_rng(0).standard_normal((30, 4))
    found = recover_relu(X, np.zeros(30), 2)
    assert not found.predict(X).any()
    with pytest.raises(OptionError, match="raise s"):
        found.to_network()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"generators": [[1, 1, 0], [-2, -2, 0]]}, OptionError, "negative of another"),
        ({"generators": [[1, 1, 0], [0, 0, 0]]}, OptionError, "zero"),
        ({"features": [[1, 1, 1]]}, ShapeError, "of the generators"),
        ({"relax": 0.5}, OptionError, "relax"),
    ],
)
def test_options_make_sense(options, error, message):
    X = np.random.default_rng(0).standard_normal((10, 3))
    with pytest.raises(error, match=message):
        recover_relu(X, X[:, 0], 1, **options)
    with pytest.raises(ShapeError, match="sample per row"):
        recover_relu(X[0], X[0], 1)
