"""Losses of networks, each with its gradient in the outputs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputError, OptionError, ShapeError

__all__ = ["LOSSES", "CrossEntropy", "Loss", "SquaredError", "as_loss"]

Array = NDArray[Any]


class Loss(Protocol):
    """What a loss must answer; outputs have one column per sample."""

    def targets(self, Y: Any, n_outputs: int) -> Array:
        """Check the targets, one row per sample."""

    def value(self, F: Array, Y: Array) -> float:
        """Return the mean over the samples, for outputs of shape ``(n_outputs, n_samples)``."""

    def gradient(self, F: Array, Y: Array) -> Array:
        """Return the gradient of the mean in the outputs."""

    def predicted(self, F: Array) -> Array:
        """Turn outputs into predictions."""


class SquaredError:
    """Measure half the squared distance to the targets, on average.

    Examples
    --------
    >>> import numpy as np
    >>> SquaredError().value(np.array([[1.0, 3.0]]), np.array([[1.0], [1.0]]))
    1.0
    """

    def targets(self, Y: Any, n_outputs: int) -> Array:
        """Check the targets: shape ``(n_samples, n_outputs)``, or ``(n_samples,)`` for one output."""
        found = np.asarray(Y, dtype=np.float64)
        found = found[:, None] if found.ndim == 1 and n_outputs == 1 else found
        if found.ndim != 2 or found.shape[1] != n_outputs:
            raise ShapeError(f"Y must have shape (n_samples, {n_outputs}); found {np.shape(Y)}")
        if not np.isfinite(found).all():
            raise InputError("Y must be finite; found NaN or infinity; clean it")
        return found

    def value(self, F: Array, Y: Array) -> float:
        """Return ``½ mean ‖f − y‖²``."""
        return 0.5 * float(np.sum((F.T - Y) ** 2)) / len(Y)

    def gradient(self, F: Array, Y: Array) -> Array:
        """Return the gradient of the mean in the outputs."""
        return (F - Y.T) / len(Y)

    def predicted(self, F: Array) -> Array:
        """Return the outputs, a row per sample."""
        return np.ascontiguousarray(F.T)


class CrossEntropy:
    """Measure the surprise of the right classes when the outputs are logarithms of odds, on average.

    Examples
    --------
    >>> import numpy as np
    >>> round(CrossEntropy().value(np.zeros((2, 1)), np.array([0])), 4)
    0.6931
    """

    def targets(self, Y: Any, n_outputs: int) -> Array:
        """Check the targets: classes, integers from 0, of shape ``(n_samples,)``."""
        found = np.asarray(Y)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ShapeError(
                f"Y must hold one class, an integer, a sample; found shape {found.shape}, dtype {found.dtype}"
            )
        if found.size and (found.min() < 0 or found.max() >= n_outputs):
            raise InputError(
                f"classes must lie in 0…{n_outputs - 1}, one per output; found {found.min()}…{found.max()}"
            )
        return found

    def value(self, F: Array, Y: Array) -> float:
        """Return ``mean −log softmax(f)[y]``."""
        F = F - F.max(axis=0)
        return float(np.mean(np.log(np.exp(F).sum(axis=0)) - F[Y, np.arange(len(Y))]))

    def gradient(self, F: Array, Y: Array) -> Array:
        """Return the gradient of the mean in the outputs."""
        G = _softmax(F)
        G[Y, np.arange(len(Y))] -= 1
        return G / len(Y)

    def predicted(self, F: Array) -> Array:
        """Return the probability of each class, a row per sample."""
        return np.ascontiguousarray(_softmax(F).T)


def _softmax(F: Array) -> Array:
    """Turn logarithms of odds into probabilities, in each column."""
    odds: Array = np.exp(F - F.max(axis=0))
    odds /= odds.sum(axis=0)
    return odds


LOSSES: dict[str, Loss] = {"squared": SquaredError(), "cross-entropy": CrossEntropy()}


def as_loss(name: str) -> Loss:
    """Find a loss by its name.

    Parameters
    ----------
    name : str
        "squared" or "cross-entropy".

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    OptionError
        If there is none of this name.

    Examples
    --------
    >>> type(as_loss("squared")).__name__
    'SquaredError'
    """
    if name not in LOSSES:
        raise OptionError(f"loss must be one of {sorted(LOSSES)}; found {name!r}")
    return LOSSES[name]
