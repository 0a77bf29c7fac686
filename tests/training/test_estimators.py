"""The estimators are what scikit-learn takes for estimators, and learn."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import fsmf
from fsmf.errors import ConvergenceWarning, OptionError
from fsmf.training import LBFGS, SparseMLPClassifier, SparseMLPRegressor

SMALL = {"hidden": 8, "density": 0.5, "optimizer": LBFGS(max_iterations=100, gtol=1e-4, ftol=1e-6)}

# What scikit-learn itself skips where an optional library is missing.
CHECKS = [
    (type(estimator).__name__ + " " + getattr(check, "func", check).__name__, estimator, check)
    for cls in (SparseMLPClassifier, SparseMLPRegressor)
    for estimator, check in estimator_checks_generator(cls(**SMALL))
]


@pytest.mark.parametrize(("estimator", "check"), [row[1:] for row in CHECKS], ids=[row[0] for row in CHECKS])
def test_scikit_learn_takes_it_for_an_estimator(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks provoke many, and check those that matter
        check(estimator)


def test_iris_is_classified():
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), SparseMLPClassifier(hidden=(16, 8), density=0.4, random_state=0))
    assert cross_val_score(model, X, y, cv=5).mean() > 0.93


def test_supports_may_be_given_or_made():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 8))
    y = np.abs(X[:, 0]) + X[:, 3]
    given = [np.ones((1, 8)), fsmf.butterfly(8)]

    def made(n_outputs, n_inputs):
        return [np.ones((n_outputs, n_inputs)), fsmf.butterfly(n_inputs)]

    models = [SparseMLPRegressor(supports, random_state=0).fit(X, y) for supports in (given, made)]
    assert models[0].network_.layers[1].supports == fsmf.butterfly(8)
    np.testing.assert_array_equal(models[0].predict(X), models[1].predict(X))
    assert models[0].score(X, y) > 0.98


def test_drawn_supports_use_every_row_and_column():
    X, y = load_iris(return_X_y=True)
    model = SparseMLPClassifier(density=1e-9, hidden=(20, 3), random_state=1).fit(X, y)
    for layer in model.network_.layers:
        pattern = layer.supports[0].toarray()
        assert pattern.any(axis=0).all()
        assert pattern.any(axis=1).all()
        assert pattern.sum() <= sum(pattern.shape)


def test_targets_keep_their_shape():
    X = np.random.default_rng(0).standard_normal((40, 3))
    for y in (X[:, 0], X[:, :1], X[:, :2]):
        assert SparseMLPRegressor(hidden=8, random_state=0).fit(X, y).predict(X).shape == y.shape


def test_an_exhausted_budget_is_told():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="larger budget"):
        SparseMLPClassifier(optimizer=LBFGS(max_iterations=2), random_state=0).fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": 0}, "density"),
        ({"hidden": 0}, "hidden"),
        ({"supports": [np.ones((2, 4))]}, "3 outputs of 4 features"),
    ],
)
def test_options_make_sense(options, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(OptionError, match=message):
        SparseMLPClassifier(**options).fit(X, y)


def test_without_scikit_learn_the_rest_works():
    program = """
import sys
sys.modules["sklearn"] = None
from fsmf import training
training.SparseNetwork([[[1]]])
try:
    training.SparseMLPClassifier
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install fsmf[learn]" in run.stdout
