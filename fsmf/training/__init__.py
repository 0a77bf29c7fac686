"""Sparse ReLU networks: training on given supports, and finding the supports."""

from typing import TYPE_CHECKING, Any

from fsmf.training.gated import (
    GatedOperator,
    binary_generators,
    fuse,
    gate_patterns,
    gated_to_relu,
    unfuse,
)
from fsmf.training.iris import load_iris
from fsmf.training.monitor import Training
from fsmf.training.network import NetworkObjective, SparseNetwork
from fsmf.training.optimizers import LBFGS, SGD, Adam
from fsmf.training.pruning import learn_supports, prune, prune_iteratively
from fsmf.training.recovery import RecoveredReLU, recover_relu

if TYPE_CHECKING:
    from fsmf.training.estimators import SparseMLPClassifier, SparseMLPRegressor

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "GatedOperator",
    "NetworkObjective",
    "RecoveredReLU",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "SparseNetwork",
    "Training",
    "binary_generators",
    "fuse",
    "gate_patterns",
    "gated_to_relu",
    "learn_supports",
    "load_iris",
    "prune",
    "prune_iteratively",
    "recover_relu",
    "unfuse",
]

_NEED_SCIKIT_LEARN = ("SparseMLPClassifier", "SparseMLPRegressor")


def __getattr__(name: str) -> Any:
    """Load the estimators, and with them scikit-learn, when they are first asked for."""
    if name in _NEED_SCIKIT_LEARN:
        from fsmf.training import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'fsmf.training' has no attribute {name!r}")
