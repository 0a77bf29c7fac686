"""Sparse networks as scikit-learn estimators."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import ConvergenceWarning, NotAttainedWarning, OptionError
from fsmf.factorization import Status
from fsmf.supports.sizes import as_counts
from fsmf.supports.support import Support
from fsmf.training.network import SparseNetwork
from fsmf.training.optimizers import LBFGS
from fsmf.warning import warn_caller

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
except ImportError as missing:
    raise ImportError(
        f"the estimators of fsmf.training need scikit-learn; found {missing}; pip install fsmf[learn]"
    ) from missing

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor"]

Array = NDArray[Any]

# Predictions gain nothing from more digits.
_DEFAULT = LBFGS(max_iterations=1000, gtol=1e-4, ftol=1e-9)


def _drawn(rows: int, columns: int, density: float, rng: np.random.Generator) -> Support:
    """Places at random, at least one in each row and column."""
    pattern = rng.random((rows, columns)) < density
    pattern[np.arange(rows), rng.permutation(max(rows, columns))[:rows] % columns] = True
    pattern[rng.permutation(max(rows, columns))[:columns] % rows, np.arange(columns)] = True
    return Support(pattern)


class _SparseMLP(BaseEstimator):
    """What the two estimators share."""

    _loss: str

    def __init__(
        self,
        supports: Any = None,
        *,
        hidden: Any = (64,),
        density: float = 0.25,
        optimizer: Any = None,
        weight_decay: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.supports = supports
        self.hidden = hidden
        self.density = density
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.random_state = random_state

    def _layers(self, n_outputs: int, n_inputs: int, rng: np.random.Generator) -> Sequence[Any]:
        """The layers' supports: those given, or drawn."""
        if callable(self.supports):
            return list(self.supports(n_outputs, n_inputs))
        if self.supports is not None:
            return list(self.supports)
        if not 0 < self.density <= 1:
            raise OptionError(f"density must lie above 0 and be at most 1; found {self.density!r}")
        sides = (n_outputs, *reversed(as_counts("hidden", self.hidden)), n_inputs)
        return [_drawn(*pair, self.density, rng) for pair in pairwise(sides)]

    def _train(self, X: Array, Y: Array, n_outputs: int) -> None:
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        layers = self._layers(n_outputs, X.shape[1], rng)
        self.network_ = SparseNetwork(layers, loss=self._loss, rng=rng)
        if self.network_.shape != (n_outputs, X.shape[1]):
            raise OptionError(
                f"supports must make {n_outputs} outputs of {X.shape[1]} features; they make "
                f"{self.network_.shape[0]} of {self.network_.shape[1]}; give a function of both numbers"
            )
        optimizer = _DEFAULT if self.optimizer is None else self.optimizer
        with warnings.catch_warnings():
            # The status says it, too, and without weight decay it is what was asked for.
            warnings.simplefilter("ignore", NotAttainedWarning)
            self.training_ = self.network_.fit(
                X, Y, optimizer=optimizer, weight_decay=self.weight_decay, rng=rng
            )
        self.n_iter_ = len(self.training_)
        if self.training_.status is Status.OUT_OF_BUDGET:
            warn_caller(
                f"{self.training_}; give an optimizer with a larger budget",
                ConvergenceWarning,
            )

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        return self.network_.predict(validate_data(self, X, reset=False))


class SparseMLPClassifier(ClassifierMixin, _SparseMLP):
    """Classify with a ReLU network whose weights keep to their supports.

    A scikit-learn estimator around `SparseNetwork`, trained by cross-entropy.

    Parameters
    ----------
    supports : sequence or callable, optional
        One entry per layer, as they multiply, the one that meets the features last; or a function that makes
        them from the numbers of classes and of features. By default they are drawn.
    hidden : int or sequence of int
        Widths of the hidden layers, the one nearest to the features first; of drawn supports.
    density : float
        Fraction of the places of drawn supports, above 0 and at most 1; each row and column has one.
    optimizer : SGD, Adam or LBFGS, optional
        How to train; by default ``LBFGS(max_iterations=1000, gtol=1e-4, ftol=1e-9)``.
    weight_decay : float
        Weight λ of ``λ/2 ‖θ‖²``.
    random_state : int, RandomState or None
        Of supports, initial weights and batches.

    Attributes
    ----------
    classes_ : ndarray
        The classes.
    network_ : SparseNetwork
        The trained network.
    training_ : Training
        What the training went through.
    n_features_in_ : int
        Number of features.
    n_iter_ : int
        Number of epochs or iterations.

    Notes
    -----
    Needs scikit-learn: ``pip install fsmf[learn]``.

    Examples
    --------
    >>> import fsmf
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = fsmf.training.SparseMLPClassifier(hidden=16, density=0.3, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _loss = "cross-entropy"

    def fit(self, X: Any, y: Any) -> SparseMLPClassifier:
        """Train from new initial weights; X has shape ``(n_samples, n_features)``, y ``(n_samples,)``."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, classes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise OptionError(f"y must have at least 2 classes; found one class, {self.classes_[0]!r}")
        self._train(X, classes, len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, shape ``(n_samples, n_classes)``."""
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each sample, shape ``(n_samples,)``."""
        likeliest = np.argmax(self._outputs(X), axis=1)
        found: Array = self.classes_[likeliest]
        return found


class SparseMLPRegressor(RegressorMixin, _SparseMLP):
    """Regress with a ReLU network whose weights keep to their supports.

    A scikit-learn estimator around `SparseNetwork`, trained by squared error.

    Parameters
    ----------
    supports : sequence or callable, optional
        One entry per layer, as they multiply, the one that meets the features last; or a function that makes
        them from the numbers of targets and of features. By default they are drawn.
    hidden : int or sequence of int
        Widths of the hidden layers, the one nearest to the features first; of drawn supports.
    density : float
        Fraction of the places of drawn supports, above 0 and at most 1; each row and column has one.
    optimizer : SGD, Adam or LBFGS, optional
        How to train; by default ``LBFGS(max_iterations=1000, gtol=1e-4, ftol=1e-9)``.
    weight_decay : float
        Weight λ of ``λ/2 ‖θ‖²``.
    random_state : int, RandomState or None
        Of supports, initial weights and batches.

    Attributes
    ----------
    network_ : SparseNetwork
        The trained network.
    training_ : Training
        What the training went through.
    n_features_in_ : int
        Number of features.
    n_iter_ : int
        Number of epochs or iterations.

    Notes
    -----
    Needs scikit-learn: ``pip install fsmf[learn]``.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 4))
    >>> model = fsmf.training.SparseMLPRegressor(hidden=16, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> bool(model.score(X, np.abs(X[:, 0])) > 0.95)
    True
    """

    _loss = "squared"

    def fit(self, X: Any, y: Any) -> SparseMLPRegressor:
        """Train from new initial weights; y has shape ``(n_samples,)`` or ``(n_samples, n_targets)``."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._is_flat = y.ndim == 1
        targets = y.reshape(len(y), -1)
        self._train(X, targets, targets.shape[1])
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Array:
        """Return the targets of each sample, in the shape in which they were given."""
        found = self._outputs(X)
        return found[:, 0] if self._is_flat else found
