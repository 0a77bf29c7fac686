"""A linear classifier of the iris data with few of its 15 parameters, as in the literature."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn import datasets

import fsmf
from fsmf.training import SparseNetwork, load_iris


def split(seed):
    X, y = load_iris()
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:120], order[120:]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return X[train], y[train], X[test], y[test]


def classifier():
    return SparseNetwork([np.ones((3, 4))], loss="cross-entropy", rng=0)


def thresholded(s, seed, start, step, max_iterations):
    X, y, X_test, y_test = split(seed)
    point = fsmf.iht(
        classifier().objective(X, y),
        fsmf.KSparse((15,), s),
        start=start,
        step=step,
        max_iterations=max_iterations,
        stop_value=0.05,
        polish=False,
        rng=seed,
    )
    network = classifier()
    network.parameters = point.x
    return point, np.mean(network.predict(X_test).argmax(axis=1) == y_test)


def test_they_are_the_data_of_everybody():
    X, y = datasets.load_iris(return_X_y=True)
    np.testing.assert_array_equal(load_iris()[0], X)
    np.testing.assert_array_equal(load_iris()[1], y)


@pytest.mark.parametrize(("s", "accuracy"), [(3, 0.93), (5, 0.94), (15, 0.95)])
def test_from_zero_few_parameters_are_enough(s, accuracy):
    points, accuracies = zip(
        *(thresholded(s, seed, "zero", "backtracking", 200) for seed in range(6)), strict=True
    )
    assert np.mean(accuracies) >= accuracy
    for point in points:
        assert (np.diff(point.trace.value) <= 1e-12).all()


def test_random_starts_are_worse_and_their_supports_move():
    """With the step of the literature, whose loss does not rise although nothing promises that."""
    zero = [thresholded(3, seed, "zero", "restricted", 1000) for seed in range(4)]
    random = [thresholded(3, seed, "random", "restricted", 1000) for seed in range(4)]
    assert np.mean([row[1] for row in zero]) > np.mean([row[1] for row in random]) + 0.03
    assert sum(row[0].trace.moved.sum() > 0 for row in random) >= 3
    for point, _ in zero + random:
        assert (np.diff(point.trace.value) <= 1e-12).all()
        assert point.stability.margin >= 0


def test_the_best_of_many_starts_is_the_best_of_all_supports():
    X, y, *_ = split(0)

    def least(chosen):
        def loss(part):
            theta = np.zeros(15)
            theta[list(chosen)] = part
            F = X @ theta[:12].reshape(3, 4).T + theta[12:]
            P = np.exp(F - F.max(axis=1, keepdims=True))
            return -np.mean(np.log(P[np.arange(len(y)), y] / P.sum(axis=1)))

        return minimize(loss, np.zeros(len(chosen)), method="BFGS", options={"gtol": 1e-4}).fun

    best = min(map(least, combinations(range(15), 2)))
    point = fsmf.iht(
        classifier().objective(X, y), fsmf.KSparse((15,), 2), start="random", starts=12, max_iterations=150
    )
    assert point.value == pytest.approx(best, abs=1e-3)
