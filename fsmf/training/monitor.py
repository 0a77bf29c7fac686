"""What a training run went through, and whether its weights are on their way to infinity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.factorization import Status

__all__ = ["Training", "growth"]

# A norm that grows to infinity does so at a rate: over the last decade of steps it rises by this ratio at
# least, while the loss falls by that one, and in both halves of the decade at no less than this power of the
# inverse loss. For lower times upper triangular supports the power is 1/4 in theory.
_RISING, _FALLING, _POWER = 1.1, 1.5, 0.1

# Fewer steps than this show no rate.
_FEW = 100


@dataclass(frozen=True)
class Training:
    """Hold what a training run went through, one entry per epoch or iteration, the start included.

    Attributes
    ----------
    loss : ndarray of float
        Mean loss over the samples, without weight decay; with batches, as they came.
    norm : ndarray of float
        Norm of all parameters.
    status : Status
        How it ended.
    growth : float
        The power p with which the norm grew at the end, ``norm ~ loss^(−p)``; 0 where no growth to infinity
        is seen.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((50, 2))
    >>> network = fsmf.training.SparseNetwork([np.ones((1, 3)), np.ones((3, 2))], rng=0)
    >>> run = network.fit(X, X[:, 0] - X[:, 1], optimizer=fsmf.training.LBFGS())
    >>> bool((np.diff(run.loss) <= 0).all()), run.growth
    (True, 0.0)
    """

    loss: NDArray[np.float64]
    norm: NDArray[np.float64]
    status: Status
    growth: float

    def __len__(self) -> int:
        return len(self.loss) - 1

    def __str__(self) -> str:
        return (
            f"{len(self)} steps: loss {self.loss[0]:.3g} → {self.loss[-1]:.3g}, norm of the parameters "
            f"{self.norm[0]:.3g} → {self.norm[-1]:.3g}; {self.status.value}"
        )


def growth(loss: Any, norm: Any) -> float:
    """Measure with which power of the inverse loss a norm grows at the end of a run.

    Parameters
    ----------
    loss, norm : array_like of float, shape (n_steps + 1,)
        After each step, the start included.

    Returns
    -------
    float
        The power, or 0 where the norm does not keep growing while the loss keeps falling.

    Notes
    -----
    **Guarantee.** None: a diagnosis. Where the infimum of a loss is not attained, the norm of every
    minimising sequence goes to infinity, and gradient descent shows it as a straight line in logarithmic
    axes; a run that was stopped early can look alike.

    **Cost.** None.

    References
    ----------
    Q.-T. Le, E. Riccietti, R. Gribonval, "Does a sparse ReLU network training problem always admit an
    optimum?", NeurIPS 2023, arXiv:2306.02666.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(1.0, 1001.0)
    >>> round(growth(t ** (-2 / 3), t ** (1 / 6)), 3), growth(t**-2.0, 2 - 1 / t)
    (0.25, 0.0)
    """
    loss, norm = np.asarray(loss, dtype=float), np.asarray(norm, dtype=float)
    last = len(loss) - 1
    if last < _FEW:
        return 0.0
    # Of batches the loss is noisy: what counts is the least so far.
    loss = np.minimum.accumulate(loss)
    marks = [last // 10, round(last / math.sqrt(10)), last]
    if not loss[last] > 0 or not norm[marks[0]] > 0:
        return 0.0
    rises = np.log(norm[marks[1:]] / norm[marks[:-1]])
    falls = np.log(loss[marks[:-1]] / loss[marks[1:]])
    keeps_growing = all(rise > _POWER * fall for rise, fall in zip(rises, falls, strict=True))
    if keeps_growing and rises.sum() > math.log(_RISING) and falls.sum() > math.log(_FALLING):
        return float(rises.sum() / falls.sum())
    return 0.0
