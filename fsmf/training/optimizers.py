"""Ways down a loss: gradients of batches, and L-BFGS on all samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fsmf.errors import OptionError
from fsmf.supports.sizes import as_count

__all__ = ["LBFGS", "SGD", "Adam", "Objective", "Optimizer"]

Array = NDArray[Any]


class Objective(Protocol):
    """A loss of parameters, on some of the samples or on all."""

    n_samples: int

    def __call__(self, parameters: Array, some: Array | None = None) -> tuple[float, Array]:
        """Return value and gradient."""


Report = Callable[[int, float, Array], bool]


class Optimizer(Protocol):
    """What an optimizer must answer."""

    def minimise(
        self, objective: Objective, parameters: Array, rng: np.random.Generator, report: Report
    ) -> tuple[Array, bool]:
        """Return better parameters, and whether there is nothing left to gain.

        `report` is told how many epochs or iterations are done, 0 for the starting point, the value of the
        objective, over the batches as they came or over all samples, and the parameters; it may answer True
        to stop.
        """


def _check(name: str, value: Any, *, below: float = np.inf, zero: bool = False) -> None:
    is_number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if not is_number or not (0 < value < below or (zero and value == 0)):
        bound = f"{'at least' if zero else 'above'} 0" + ("" if below == np.inf else f" and below {below:g}")
        raise OptionError(f"{name} must be a number {bound}; found {value!r}")


@dataclass(frozen=True)
class _Batches(ABC):
    """Gradients of batches: what SGD and Adam share."""

    learning_rate: float
    batch_size: int | None = None
    max_epochs: int = 200
    rtol: float = 1e-6
    patience: int = 10

    def __post_init__(self) -> None:
        _check("learning_rate", self.learning_rate)
        if self.batch_size is not None:
            as_count("batch_size", self.batch_size)
        as_count("max_epochs", self.max_epochs)
        as_count("patience", self.patience)
        _check("rtol", self.rtol, zero=True)

    @abstractmethod
    def _direction(self, memory: dict[str, Any], gradient: Array) -> Array:
        """Where to go, and what is remembered of the way."""

    def minimise(
        self, objective: Objective, parameters: Array, rng: np.random.Generator, report: Report
    ) -> tuple[Array, bool]:
        """Take epochs until the loss has not fallen for a while, or `report` says so."""
        parameters = parameters.copy()
        n = objective.n_samples
        size = min(n, self.batch_size or n)
        memory: dict[str, Any] = {}
        best = objective(parameters)[0]
        waited = 0
        if report(0, best, parameters):
            return parameters, False
        for epoch in range(1, self.max_epochs + 1):
            order = None if size == n else rng.permutation(n)
            total = 0.0
            for begin in range(0, n, size):
                some = None if order is None else order[begin : begin + size]
                value, gradient = objective(parameters, some)
                parameters -= self.learning_rate * self._direction(memory, gradient)
                total += value * (n if some is None else len(some))
            mean = total / n
            waited = 0 if mean < best * (1 - self.rtol) else waited + 1
            best = min(best, mean)
            if report(epoch, mean, parameters):
                return parameters, False
            if waited >= self.patience:
                return parameters, True
        return parameters, False


@dataclass(frozen=True)
class SGD(_Batches):
    """Follow the gradient of one batch after another, with momentum.

    Parameters
    ----------
    learning_rate : float
        Length of a step, in units of parameters per gradient.
    batch_size : int, optional
        Samples per step, drawn anew in each epoch; all by default.
    max_epochs : int
        Passes over the samples.
    rtol : float
        An epoch gains something when it lowers the loss by this fraction.
    patience : int
        So many epochs without a gain, and the optimizer is content.
    momentum : float
        Fraction of the last step that is made again, from 0 to below 1.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Notes
    -----
    **Guarantee.** None; steps that are short enough lower the loss.

    **Cost.** Per epoch one gradient of every sample, and one vector of parameters besides theirs.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.training.SGD(learning_rate=0.1, momentum=0.9).batch_size is None
    True
    """

    learning_rate: float = 0.01
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("momentum", self.momentum, below=1, zero=True)

    def _direction(self, memory: dict[str, Any], gradient: Array) -> Array:
        if self.momentum and "velocity" in memory:
            gradient = gradient + self.momentum * memory["velocity"]
        memory["velocity"] = gradient
        return gradient


@dataclass(frozen=True)
class Adam(_Batches):
    """Follow the gradient of one batch after another, each parameter at its own pace.

    Parameters
    ----------
    learning_rate : float
        Length of a step of one parameter.
    batch_size : int, optional
        Samples per step, drawn anew in each epoch; all by default.
    max_epochs : int
        Passes over the samples.
    rtol : float
        An epoch gains something when it lowers the loss by this fraction.
    patience : int
        So many epochs without a gain, and the optimizer is content.
    betas : tuple of two float
        How much of the mean gradient and of the mean squared gradient is remembered, from 0 to below 1.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Notes
    -----
    **Guarantee.** None.

    **Cost.** Per epoch one gradient of every sample, and two vectors of parameters besides theirs.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.training.Adam(learning_rate=0.01, batch_size=64).max_epochs
    200
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        for beta in self.betas:
            _check("betas", beta, below=1, zero=True)

    def _direction(self, memory: dict[str, Any], gradient: Array) -> Array:
        first, second = self.betas
        t = memory["t"] = memory.get("t", 0) + 1
        mean = memory["mean"] = first * memory.get("mean", 0.0) + (1 - first) * gradient
        square = memory["square"] = second * memory.get("square", 0.0) + (1 - second) * gradient**2
        direction: Array = mean / (1 - first**t) / (np.sqrt(square / (1 - second**t)) + 1e-8)
        return direction


@dataclass(frozen=True)
class LBFGS:
    """Minimise over all samples by limited-memory quasi-Newton steps with a line search.

    Parameters
    ----------
    max_iterations : int
        Iterations.
    gtol : float
        Content when no derivative is larger, in units of the loss per parameter.
    ftol : float
        Content when an iteration lowers the loss by less than this fraction of it, or of 1 if it is below.
    memory : int
        Pairs of vectors that are kept.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Notes
    -----
    **Guarantee.** The loss never rises.

    **Cost.** Per iteration one gradient of all samples, seldom more, and ``2 · memory`` vectors.

    References
    ----------
    D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program. 45
    (1989).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.training.LBFGS(max_iterations=50).gtol
    1e-06
    """

    max_iterations: int = 500
    gtol: float = 1e-6
    ftol: float = 1e-12
    memory: int = 20

    def __post_init__(self) -> None:
        as_count("max_iterations", self.max_iterations)
        as_count("memory", self.memory)
        _check("gtol", self.gtol, zero=True)
        _check("ftol", self.ftol, zero=True)

    def minimise(
        self, objective: Objective, parameters: Array, rng: np.random.Generator, report: Report
    ) -> tuple[Array, bool]:
        """Take iterations until there is nothing to gain, or `report` says so; `rng` is not needed."""
        if report(0, objective(parameters)[0], parameters):
            return parameters, False
        done = count(1)

        def told(intermediate_result: Any) -> None:
            if report(next(done), float(intermediate_result.fun), intermediate_result.x):
                raise StopIteration

        found = minimize(
            lambda theta: objective(theta),
            parameters,
            jac=True,
            method="L-BFGS-B",
            callback=told,
            options={
                "maxiter": self.max_iterations,
                "maxfun": 20 * self.max_iterations,
                "gtol": self.gtol,
                "ftol": self.ftol,
                "maxcor": self.memory,
            },
        )
        return found.x, bool(found.success)
