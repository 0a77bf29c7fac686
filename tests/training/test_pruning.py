"""Supports that are learned: against enumeration, and against what pruning is by definition."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest

import fsmf
from fsmf.errors import OptionError
from fsmf.training import LBFGS, Adam, SparseNetwork, learn_supports, prune, prune_iteratively


def least_squares_on_all_supports(X, y, k):
    """The best value over all sets of k features."""
    values = []
    for chosen in combinations(range(X.shape[1]), k):
        part = X[:, chosen]
        values.append(np.sum((part @ np.linalg.lstsq(part, y)[0] - y) ** 2) / 2 / len(y))
    return min(values)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_linear_layer_reaches_the_best_of_all_supports(k):
    rng = np.random.default_rng(k)
    X = rng.standard_normal((60, 8))
    y = X @ rng.standard_normal(8) + 0.1 * rng.standard_normal(60)
    network = SparseNetwork([np.ones((1, 8))], biases=False, rng=0)
    found, point = learn_supports(network, X, y, k=k, start="zero", starts=10)
    assert point.value == pytest.approx(least_squares_on_all_supports(X, y, k), rel=1e-9)
    assert found.loss(X, y) == pytest.approx(point.value)
    assert found.n_weights == k
    assert point.stability.stable


def test_hidden_layers_and_biases_are_learned_on_few_weights():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6))
    teacher = SparseNetwork([[[1, 1]], [[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1]]], rng=3)
    teacher.parameters[-2:] = 0.5
    Y = teacher.predict(X)
    dense = SparseNetwork([np.ones((1, 6)), np.ones((6, 6))], rng=1)
    before = dense.parameters.copy()
    found, point = learn_supports(dense, X, Y, k=8, schedule=300, max_iterations=1000)
    assert found.n_weights == np.count_nonzero(point.x[: dense.n_weights]) <= 8
    one_shot = prune(dense, 8)
    assert found.loss(X, Y) < 0.15 * np.var(Y) / 2
    assert one_shot.loss(X, Y) > np.var(Y) / 2
    np.testing.assert_array_equal(dense.parameters, before)
    np.testing.assert_allclose(found.biases[0], point.x[dense.n_weights : dense.n_weights + 1])


@pytest.mark.parametrize("biases", [True, False])
def test_few_neurons_are_learned_and_the_others_are_gone(biases):
    """In a network of three layers, of which the middle one has fewer places."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    Y = np.maximum(X[:, :2] + X[:, 2:4], 0) @ [[1.0, -1.0], [2.0, 0.5]]
    allowed = [np.ones((2, 4)), rng.random((4, 10)) < 0.7, np.ones((10, 5))]
    dense = SparseNetwork(allowed, biases=biases, rng=1)
    found, point = learn_supports(dense, X, Y, k=6, unit="neuron", schedule=200, max_iterations=1500)
    first, second = found.layers[2].supports[0].toarray(), found.layers[1].supports[0].toarray()
    alive, then = first.any(axis=1), second.any(axis=1)
    assert alive.sum() + then.sum() <= 6
    assert first[alive].all()
    np.testing.assert_array_equal(second[then], allowed[1][then] & alive)
    np.testing.assert_array_equal(found.layers[0].supports[0].toarray(), np.tile(then, (2, 1)))
    whole = SparseNetwork(allowed, biases=biases, rng=1)
    whole.parameters = point.x
    np.testing.assert_allclose(found.predict(X), whole.predict(X), atol=1e-12)
    assert found.loss(X, Y) == pytest.approx(point.value)
    assert point.value < 0.05 * np.var(Y, axis=0).sum() / 2


def test_batches_find_a_planted_layer_and_all_samples_at_once_are_no_batch():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 30))
    w = np.zeros(30)
    w[[3, 14, 15, 9]] = [2.0, -1.0, 3.0, 1.0]
    dense = SparseNetwork([np.ones((1, 30))], biases=False, rng=0)
    options = {"k": 4, "start": "zero", "step": 0.3, "max_iterations": 60, "rng": 1}
    found, point = learn_supports(dense, X, X @ w, batch_size=50, **options)
    np.testing.assert_allclose(point.x, w, atol=1e-9)
    assert found.n_weights == 4
    assert len(point.trace) == 60
    whole, once = (
        learn_supports(dense, X, X @ w + 1, polish=False, rtol=0, **options, **batches)[1].x
        for batches in ({}, {"batch_size": 500})
    )
    np.testing.assert_allclose(whole, once, rtol=1e-12)


def test_batches_train_hidden_layers():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6))
    Y = np.abs(X[:, :1] - X[:, 3:4])
    dense = SparseNetwork([np.ones((1, 6)), np.ones((6, 6))], rng=1)
    runs = [
        learn_supports(dense, X, Y, k=10, batch_size=64, schedule=300, max_iterations=1000, polish=False)[1]
        for _ in "ab"
    ]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert runs[0].value < 0.1 * np.var(Y) / 2


def test_where_weights_may_be_is_kept():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 6))
    allowed = [np.ones((1, 6)), np.tri(6)]
    found, _ = learn_supports(SparseNetwork(allowed, rng=0), X, X[:, 0], k=5, max_iterations=50)
    assert not found.layers[1].supports[0].toarray()[np.tri(6) == 0].any()


def random_network(seed, **options):
    rng = np.random.default_rng(seed)
    return SparseNetwork([rng.random((3, 7)) < 0.6, rng.random((7, 5)) < 0.6], rng=rng, **options)


@pytest.mark.parametrize("biases", [True, False])
def test_pruning_keeps_the_largest(biases):
    network = random_network(0, biases=biases)
    k = 9
    threshold = np.sort(np.abs(network.parameters[: network.n_weights]))[-k]
    pruned = prune(network, k)
    assert pruned.n_weights == k
    for W, V in zip(network.weights, pruned.weights, strict=True):
        dense = W.to_dense()
        np.testing.assert_array_equal(V.to_dense(), np.where(np.abs(dense) >= threshold, dense, 0))
    for ours, theirs in zip(network.biases, pruned.biases, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rewind", [True, False])
def test_rounds_take_their_share_and_go_back_to_the_beginning(rewind):
    rng = np.random.default_rng(0)
    network = random_network(1)
    X = rng.standard_normal((40, 5))
    Y = X[:, :3]
    kept = network.parameters.copy()
    found, runs = prune_iteratively(
        network, X, Y, k=5, share=0.3, rewind=rewind, optimizer=Adam(max_epochs=3)
    )
    sizes = [network.n_weights]
    while sizes[-1] > 5:
        sizes.append(max(5, int(0.7 * sizes[-1])))
    assert len(runs) == len(sizes)
    assert found.n_weights == 5
    np.testing.assert_array_equal(network.parameters, kept)
    first, first_run = prune_iteratively(network, X, Y, k=sizes[0], optimizer=Adam(max_epochs=3))
    assert runs[0].loss[-1] == pytest.approx(first_run[0].loss[-1], rel=1e-12)
    # The second round starts from the strongest of the first one, at the beginning or where they are.
    strongest = prune(first, sizes[1])
    if rewind:
        for W, V in zip(strongest.weights, network.weights, strict=True):
            place = W.to_dense() != 0
            assert (V.to_dense()[place] != 0).all()
        pairs = zip(strongest.weights, network.weights, strict=True)
        begun = sum(np.sum(V.to_dense()[W.to_dense() != 0] ** 2) for W, V in pairs)
        assert runs[1].norm[0] == pytest.approx(begun**0.5)
    else:
        assert runs[1].norm[0] == pytest.approx(np.linalg.norm(strongest.parameters))


def test_iterative_pruning_finds_a_sparse_teacher():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6))
    y = 3 * X[:, 1] - 2 * X[:, 4]
    dense = SparseNetwork([np.ones((1, 6))], biases=False, rng=0)
    found, _ = prune_iteratively(dense, X, y, k=2, share=0.4, optimizer=LBFGS())
    np.testing.assert_allclose(found.weights[0].to_dense(), [[0, 3, 0, 0, -2, 0]], atol=1e-4)


def test_thresholding_holds_less_memory_than_iterative_pruning():
    """At equal width, both on all samples: it needs fewer vectors of all parameters."""
    rng = np.random.default_rng(0)
    X, y = rng.random((100, 64)), rng.integers(0, 10, 100)
    optimizer = Adam(learning_rate=0.01, max_epochs=3)

    def dense(width):
        return SparseNetwork([np.ones((10, width)), np.ones((width, 64))], loss="cross-entropy", rng=0)

    def threshold(network, k):
        learn_supports(network, X, y, k=k, schedule=2, max_iterations=4, polish=False)

    def prune_them(network, k):
        prune_iteratively(network, X, y, k=k, share=0.5, optimizer=optimizer)

    peaks = []
    for method in (threshold, prune_them):
        method(dense(8), 50)  # what is loaded once is not counted
        network = dense(400)
        tracemalloc.start()
        method(network, 2000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 0.9 * peaks[1]


def test_options_make_sense():
    network = random_network(0)
    X = np.zeros((3, 5))
    with pytest.raises(OptionError, match="weights that there are"):
        prune(network, network.n_weights + 1)
    with pytest.raises(OptionError, match="k must be at least 1"):
        prune(network, 0)
    with pytest.raises(OptionError, match="share"):
        prune_iteratively(network, X, np.zeros((3, 3)), k=2, share=1.0)
    for options in ({"unit": "layer"}, {"unit": "neuron", "k": 8}, {"batch_size": 0}):
        with pytest.raises(OptionError, match="found"):
            learn_supports(network, X, np.zeros((3, 3)), **{"k": 2} | options)
    with pytest.raises(OptionError, match="hidden layers"):
        learn_supports(SparseNetwork([np.ones((3, 5))]), X, np.zeros((3, 3)), k=1, unit="neuron")
    product = SparseNetwork([np.ones((2, 8)), fsmf.butterfly(8)], rng=0)
    with pytest.raises(OptionError, match="one support each"):
        prune(product, 5)
