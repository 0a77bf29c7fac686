"""Sparse ReLU networks: training on given supports, and finding the supports."""

from typing import TYPE_CHECKING, Any

from fsmf.training.monitor import Training
from fsmf.training.network import NetworkObjective, SparseNetwork
from fsmf.training.optimizers import LBFGS, SGD, Adam

if TYPE_CHECKING:
    from fsmf.training.estimators import SparseMLPClassifier, SparseMLPRegressor

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "NetworkObjective",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "SparseNetwork",
    "Training",
]

_NEED_SCIKIT_LEARN = ("SparseMLPClassifier", "SparseMLPRegressor")


def __getattr__(name: str) -> Any:
    """Load the estimators, and with them scikit-learn, when they are first asked for."""
    if name in _NEED_SCIKIT_LEARN:
        from fsmf.training import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'fsmf.training' has no attribute {name!r}")
