"""Sparse networks against the definition, written out with dense arrays."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

import fsmf
from fsmf.errors import (
    InputError,
    InputTypeError,
    NotAttainedWarning,
    OptionError,
    ShapeError,
    SupportError,
)
from fsmf.factorization import Status
from fsmf.training import LBFGS, SGD, Adam, SparseNetwork


def dense_weights(network):
    """Per layer, the product of dense factors whose values stand in row-major order."""
    found = []
    for layer in network.layers:
        product = np.eye(layer.supports.shape[0])
        for support, place in zip(layer.supports, layer.places, strict=True):
            factor = np.zeros(support.shape)
            factor[np.nonzero(support.toarray())] = network.parameters[place]
            product = product @ factor
        found.append(product)
    return found


def outputs(network, X):
    """What the docstring says."""
    H = X.T
    layers = list(zip(network.layers, dense_weights(network), strict=True))
    for i, (layer, W) in enumerate(reversed(layers), 1):
        bias = network.parameters[layer.bias]
        H = W @ H + (bias[:, None] if bias.size else 0)
        H = H if i == len(layers) else np.where(H > 0, H, 0)
    return H.T


def loss_of(network, X, Y, parameters):
    kept, network.parameters = network.parameters, parameters
    F = outputs(network, X)
    network.parameters = kept
    if network.loss_name == "squared":
        return np.mean(np.sum((F - Y) ** 2, axis=1)) / 2
    odds = np.exp(F)
    return -np.mean(np.log(odds[np.arange(len(Y)), Y] / odds.sum(axis=1)))


def sparse_pattern(rng, m, n, density):
    return rng.random((m, n)) < density


@st.composite
def networks(draw):
    """Networks of one to four layers of every kind, with samples and targets."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, k, n = (draw(st.integers(1, 5)) for _ in range(3))
    kind = draw(st.sampled_from(["plain", "pattern", "product", "thin", "single"]))
    if kind == "single":
        layers = [sparse_pattern(rng, m, n, 0.6)]
    elif kind == "pattern":
        layers = [sparse_pattern(rng, m, 12, 0.5), fsmf.KroneckerPattern(2, 3, k, 2)]
    elif kind == "product":
        layers = [np.ones((m, 8)), fsmf.butterfly(8), sparse_pattern(rng, 8, n, 0.5)]
    elif kind == "thin":  # where no dense matrix is formed
        layers = [np.ones((m, 30)), sparse_pattern(rng, 30, 20, 0.04), sparse_pattern(rng, 20, n, 0.7)]
    else:
        layers = [sparse_pattern(rng, m, k, 0.7), sparse_pattern(rng, k, 4, 0.7), np.ones((4, n))]
    loss = draw(st.sampled_from(["squared", "cross-entropy"]))
    network = SparseNetwork(layers, loss=loss, biases=draw(st.booleans()), rng=rng)
    network.parameters = rng.standard_normal(network.n_parameters)
    X = rng.standard_normal((7, network.shape[1]))
    Y = rng.standard_normal((7, m)) if loss == "squared" else rng.integers(m, size=7)
    return network, X, Y


@given(networks())
def test_outputs_and_loss_are_those_of_the_definition(case):
    network, X, Y = case
    F = outputs(network, X)
    if network.loss_name == "cross-entropy":
        odds = np.exp(F)
        F = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.predict(X), F, rtol=1e-10, atol=1e-12)
    expected = loss_of(network, X, Y, network.parameters)
    assert network.loss(X, Y) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@settings(max_examples=40)
@given(networks(), st.sampled_from([0.0, 0.3]))
def test_gradients_are_difference_quotients(case, weight_decay):
    network, X, Y = case
    theta = network.parameters
    value, gradient = network.objective(X, Y, weight_decay=weight_decay)(theta)

    def loss(point):
        return loss_of(network, X, Y, point) + weight_decay / 2 * point @ point

    assert value == pytest.approx(loss(theta), rel=1e-10, abs=1e-12)
    if theta.size:
        expected = approx_fprime(theta, loss, 1e-7)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=2e-5 * (1 + abs(expected).max()))


def test_gradients_of_batches_add_up_to_that_of_all():
    rng = np.random.default_rng(0)
    network = SparseNetwork([np.ones((2, 6)), np.tri(6, 4)], rng=rng)
    X, Y = rng.standard_normal((10, 4)), rng.standard_normal((10, 2))
    objective = network.objective(X, Y)
    parts = [objective(network.parameters, np.arange(i, i + 5)) for i in (0, 5)]
    value, gradient = objective(network.parameters)
    assert sum(part[0] for part in parts) / 2 == pytest.approx(value)
    np.testing.assert_allclose(sum(part[1] for part in parts) / 2, gradient)


def test_weights_are_operators_on_their_supports():
    network = SparseNetwork([np.tri(3, 8), fsmf.butterfly(8)], rng=0)
    for W, expected in zip(network.weights, dense_weights(network), strict=True):
        np.testing.assert_allclose(W.to_dense(), expected)
    assert [bias.shape for bias in network.biases] == [(3,), (8,)]
    assert network.n_weights == network.n_parameters - 11
    assert repr(network) == f"SparseNetwork(8 → 8 → 3, {network.n_parameters} parameters)"


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(learning_rate=0.05, batch_size=20, max_epochs=150),
        SGD(learning_rate=0.05, momentum=0.0, max_epochs=300),
        Adam(learning_rate=0.02, batch_size=20, max_epochs=100),
        LBFGS(max_iterations=200),
    ],
    ids=["sgd", "plain gradient", "adam", "lbfgs"],
)
def test_every_optimizer_fits_what_a_network_of_these_supports_has_made(optimizer):
    rng = np.random.default_rng(3)
    supports = [[[1, 1, 0, 1], [0, 1, 1, 1]], rng.random((4, 5)) < 0.6]
    teacher = SparseNetwork(supports, rng=5)
    X = rng.standard_normal((120, 5))
    Y = teacher.predict(X)
    student = SparseNetwork(supports, rng=8)
    student.parameters = teacher.parameters + 0.3 * rng.standard_normal(teacher.n_parameters)
    before = student.loss(X, Y)
    run = student.fit(X, Y, optimizer=optimizer)
    assert student.loss(X, Y) < 0.02 * before
    assert run.loss[0] == pytest.approx(before)
    assert run.norm[-1] == pytest.approx(np.linalg.norm(student.parameters))
    assert len(run) == len(run.loss) - 1 == len(run.norm) - 1
    assert "loss" in str(run)


def test_a_linear_layer_is_solved_as_least_squares_are():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
    support = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], dtype=bool)
    network = SparseNetwork([support], biases=False, rng=0)
    network.fit(X, Y, optimizer=LBFGS(gtol=1e-10, ftol=0))
    W = network.weights[0].to_dense()
    for row, allowed, target in zip(W, support, Y.T, strict=True):
        np.testing.assert_allclose(row[allowed], np.linalg.lstsq(X[:, allowed], target)[0], atol=1e-7)
        assert not row[~allowed].any()


def test_training_is_repeatable():
    X = np.random.default_rng(0).standard_normal((30, 3))
    losses = []
    for _ in range(2):
        network = SparseNetwork([np.ones((1, 4)), np.ones((4, 3))], rng=1)
        losses.append(network.fit(X, X[:, 0], optimizer=Adam(batch_size=7, max_epochs=5), rng=2).loss)
    np.testing.assert_array_equal(*losses)


@pytest.mark.parametrize("optimizer", [Adam(), SGD(), LBFGS()])
@pytest.mark.parametrize("at", [0, 3])
def test_a_callback_ends_the_training(optimizer, at):
    X = np.random.default_rng(0).standard_normal((30, 3))
    network = SparseNetwork([np.ones((1, 4)), np.ones((4, 3))], rng=1)
    seen = []

    def callback(number, loss, norm):
        seen.append((number, loss, norm))
        return number == at

    run = network.fit(X, np.abs(X[:, 0]), optimizer=optimizer, callback=callback)
    assert run.status is Status.STOPPED
    assert [number for number, _, _ in seen] == list(range(at + 1))
    assert seen[-1][1:] == (run.loss[-1], run.norm[-1])


def swap(seed):
    """Samples whose two numbers are swapped, which lower times upper triangular cannot do."""
    X = np.random.default_rng(seed).uniform(-1, 1, (40, 2))
    return X, X[:, ::-1]


def with_open_neurons(supports, seed, **options):
    network = SparseNetwork(supports, rng=seed, **options)
    network.parameters[network.layers[-1].bias] = 3.0
    return network


@pytest.mark.parametrize("seed", range(3))
def test_lu_supports_send_the_weights_to_infinity_at_the_rate_of_theory(seed):
    network = with_open_neurons(fsmf.lu(2), seed)
    with pytest.warns(NotAttainedWarning) as told:
        run = network.fit(*swap(seed), optimizer=LBFGS(max_iterations=3000, ftol=0))
    assert run.status is Status.FACTORS_GROW
    assert [str(warning.message).split(":")[0] for warning in told] == [
        "training on these supports has no optimum on some data",
        "factors grow while the error falls",
    ]
    assert run.growth == pytest.approx(0.25, abs=0.05)
    assert run.norm[-1] > 10 * run.norm[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("supports", "weight_decay"),
    [([np.ones((2, 2))] * 2, 0.0), (fsmf.lu(2), 1e-3)],
    ids=["dense", "weight decay"],
)
def test_what_has_a_best_answer_stays_bounded(supports, weight_decay, seed):
    network = with_open_neurons(supports, seed)
    optimizer = LBFGS(max_iterations=3000, ftol=0, gtol=1e-7)
    run = network.fit(*swap(seed), optimizer=optimizer, weight_decay=weight_decay)
    assert run.growth == 0
    assert run.status is not Status.FACTORS_GROW
    assert run.norm[-1] < 2 * run.norm[0]


def test_cross_entropy_without_error_grows_without_a_warning():
    X = np.linspace(-1, 1, 20)[:, None]
    network = SparseNetwork([np.ones((2, 1))], loss="cross-entropy", biases=False, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = network.fit(
            X, (X[:, 0] > 0).astype(int), optimizer=SGD(learning_rate=1.0, max_epochs=2000, rtol=0)
        )
    assert run.status is Status.FACTORS_GROW


@pytest.mark.parametrize(
    ("supports", "options", "error", "message"),
    [
        ([np.ones((2, 3)), np.ones((4, 5))], {}, ShapeError, "layer 0 takes 3 numbers"),
        ([], {}, ShapeError, "at least one layer"),
        (7, {}, InputTypeError, "sequence of layers"),
        ([np.full((2, 2), 3)], {}, SupportError, "0"),
        ([np.ones((2, 2))], {"loss": "hinge"}, OptionError, "cross-entropy"),
        ([np.ones((2, 2))], {"rng": "today"}, OptionError, "rng"),
    ],
)
def test_no_network_is_made_of_nonsense(supports, options, error, message):
    with pytest.raises(error, match=message):
        SparseNetwork(supports, **options)


@pytest.mark.parametrize(
    ("X", "Y", "loss", "error", "message"),
    [
        (np.ones((3, 5)), np.ones((3, 2)), "squared", ShapeError, r"\(n_samples, 4\)"),
        (np.full((3, 4), np.nan), np.ones((3, 2)), "squared", InputError, "X must be finite"),
        ([["a"] * 4], np.ones((1, 2)), "squared", InputTypeError, "real numbers"),
        (np.ones((3, 4)), np.ones(3), "squared", ShapeError, r"\(n_samples, 2\)"),
        (np.ones((3, 4)), np.full((3, 2), np.inf), "squared", InputError, "Y must be finite"),
        (np.ones((3, 4)), np.ones((2, 2)), "squared", ShapeError, "one row per sample"),
        (np.ones((0, 4)), np.ones((0, 2)), "squared", ShapeError, "one row per sample"),
        (np.ones((3, 4)), [0, 1, 2], "cross-entropy", InputError, "0…1"),
        (np.ones((3, 4)), [0.0, 1.0, 1.0], "cross-entropy", ShapeError, "one class"),
    ],
)
def test_samples_must_fit(X, Y, loss, error, message):
    network = SparseNetwork([np.ones((2, 4))], loss=loss, rng=0)
    with pytest.raises(error, match=message):
        network.fit(X, Y)


@pytest.mark.parametrize("weight_decay", [-1.0, np.nan, "some"])
def test_weight_decay_must_be_a_number(weight_decay):
    network = SparseNetwork([np.ones((1, 1))], rng=0)
    with pytest.raises(OptionError, match="weight_decay"):
        network.fit([[1.0]], [1.0], weight_decay=weight_decay)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (SGD, {"learning_rate": 0.0}),
        (SGD, {"momentum": 1.0}),
        (SGD, {"batch_size": 0}),
        (Adam, {"betas": (0.9, 1.5)}),
        (Adam, {"max_epochs": 2.5}),
        (Adam, {"rtol": -1.0}),
        (LBFGS, {"max_iterations": 0}),
        (LBFGS, {"gtol": "small"}),
    ],
)
def test_options_have_a_range(optimizer, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        optimizer(**options)
