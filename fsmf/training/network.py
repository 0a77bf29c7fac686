"""A ReLU network whose weights keep to their supports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputError, InputTypeError, NotAttainedWarning, OptionError, ShapeError
from fsmf.factorization import Status
from fsmf.products.product import Product
from fsmf.supports.support import Supports, as_support
from fsmf.training.layers import Layer
from fsmf.training.losses import as_loss
from fsmf.training.monitor import Training, growth
from fsmf.training.optimizers import Adam, Optimizer
from fsmf.warning import warn_caller

__all__ = ["NetworkObjective", "SparseNetwork"]

Array = NDArray[Any]

# Supports of so many places are examined before training, for so many seconds.
_EXAMINED, _SECONDS = 1000, 0.1


class SparseNetwork:
    """Compute ``W1 σ(W2 σ(⋯ WL x + bL ⋯) + b2) + b1`` with each weight matrix on its support.

    σ(t) = max(t, 0), entry by entry. The layers are listed as they multiply: the last one meets x first.

    Parameters
    ----------
    supports : sequence
        One entry per layer: a pattern as `Support` takes it, or the `Supports` of a product of factors, such
        as an `Architecture`, with nothing between them.
    loss : str
        ``"squared"``, half the mean squared distance; or ``"cross-entropy"``, of classes 0, 1, …, for which
        the outputs are logarithms of odds.
    biases : bool
        Whether layers have biases; they are not restricted.
    rng : int, numpy.random.Generator or None
        Of the initial weights: normal, of variance 2 or, before the output, 1 over the places in their row;
        biases are zero.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        All of them: the values of the weights, layer by layer and factor by factor, in row-major order, and
        then the biases.
    n_weights : int
        How many of them are weights.
    layers : list of Layer
        The layers, as they multiply.

    Raises
    ------
    SupportError, ShapeError
        If a pattern is none, or layers do not fit.
    OptionError
        If there is no such loss, or `rng` is no seed.

    Notes
    -----
    **Guarantee.** Weights outside the supports are zero throughout; gradients are those of the loss, with
    σ'(0) = 0.

    **Cost.** Per sample and gradient some 6 floating-point operations per place, in double precision; of
    layers with less than one place in sixteen, and of Kronecker patterns, no dense matrix is formed.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> network = fsmf.training.SparseNetwork([np.ones((1, 8)), fsmf.butterfly(8)], rng=0)
    >>> network
    SparseNetwork(8 → 8 → 1, 65 parameters)
    >>> network.predict(np.ones((3, 8))).shape
    (3, 1)
    """

    def __init__(
        self,
        supports: Sequence[Any],
        *,
        loss: str = "squared",
        biases: bool = True,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        self.loss_name, self._loss = loss, as_loss(loss)
        products = _as_layers(supports)
        self.n_weights = sum(product.n_parameters for product in products)
        self.layers: list[Layer] = []
        start, end = 0, self.n_weights
        for product in products:
            bias = slice(end, end + product.shape[0] if biases else end)
            self.layers.append(Layer(product, start, bias=bias))
            start, end = start + product.n_parameters, bias.stop
        for i, (left, right) in enumerate(pairwise(self.layers)):
            if left.supports.shape[1] != right.supports.shape[0]:
                raise ShapeError(
                    f"layers must fit; layer {i} takes {left.supports.shape[1]} numbers, and layer {i + 1} "
                    f"makes {right.supports.shape[0]}; list them as they multiply, the one that meets x last"
                )
        self.parameters: Array = self._drawn(rng)

    def _drawn(self, rng: int | np.random.Generator | None) -> Array:
        try:
            generator = np.random.default_rng(rng)
        except (TypeError, ValueError) as error:
            raise OptionError(f"rng must be a seed or a numpy Generator; found {rng!r}: {error}") from None
        parameters = np.zeros(self.n_parameters)
        for i, layer in enumerate(self.layers):
            for j, (support, place) in enumerate(zip(layer.supports, layer.places, strict=True)):
                per_row = np.diff(support.indptr)
                variance = (2 if i and not j else 1) / np.maximum(per_row, 1)
                scale = np.repeat(np.sqrt(variance), per_row)
                parameters[place] = scale * generator.standard_normal(support.nnz)
        return parameters

    @property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""
        return self.layers[0].supports.shape[0], self.layers[-1].supports.shape[1]

    @property
    def n_parameters(self) -> int:
        """Number of places of all weights, and of biases."""
        return int(self.layers[-1].bias.stop)

    @property
    def weights(self) -> tuple[Product, ...]:
        """The weight matrix of each layer, as an operator on its supports."""
        return tuple(
            Product(layer.supports, [self.parameters[place].copy() for place in layer.places])
            for layer in self.layers
        )

    @property
    def biases(self) -> tuple[Array, ...]:
        """The bias of each layer; empty arrays where there is none."""
        return tuple(self.parameters[layer.bias].copy() for layer in self.layers)

    def _outputs(self, parameters: Array, H: Array) -> tuple[Array, list[Sequence[Array]]]:
        """Return the outputs, a column per sample, and what each layer's matrices were multiplied with."""
        trail = []
        for layer in reversed(self.layers):
            H, seen = layer.forward(parameters, H)
            trail.append(seen)
            if layer is not self.layers[0]:
                np.maximum(H, 0, out=H)
        return H, trail

    def predict(self, X: Any) -> Array:
        """Return the outputs, or the probabilities of the classes, for samples.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
            A row per sample.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)
            A row per sample.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            If X has another shape, is not finite, or not numeric.
        """
        return self._loss.predicted(self._outputs(self.parameters, self._samples(X))[0])

    def loss(self, X: Any, Y: Any) -> float:
        """Return the mean loss on samples, of which `fit` says more."""
        return self._loss.value(
            self._outputs(self.parameters, self._samples(X))[0], self._loss.targets(Y, self.shape[0])
        )

    def objective(self, X: Any, Y: Any, *, weight_decay: float = 0.0) -> NetworkObjective:
        """Return the loss on samples as a function of all parameters, with its gradient.

        Parameters
        ----------
        X, Y, weight_decay
            As for `fit`.

        Returns
        -------
        NetworkObjective
            Called with parameters, shape ``(n_parameters,)``, it returns the loss and its gradient.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            If the samples do not fit the network.
        """
        return NetworkObjective(self, X, Y, weight_decay=weight_decay)

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        optimizer: Optimizer | None = None,
        weight_decay: float = 0.0,
        rng: int | np.random.Generator = 0,
        callback: Callable[[int, float, float], Any] | None = None,
    ) -> Training:
        """Train, from the present parameters on.

        Minimises ``loss + weight_decay/2 ‖θ‖²`` over all parameters θ.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_inputs)
            A row per sample.
        Y : array_like
            Targets, shape ``(n_samples, n_outputs)``, or ``(n_samples,)`` for one output; for cross-entropy
            classes 0, 1, …, shape ``(n_samples,)``.
        optimizer : SGD, Adam or LBFGS, optional
            How; by default ``Adam()``.
        weight_decay : float
            At least 0. Above, a best answer exists, whatever the supports.
        rng : int or numpy.random.Generator
            Of the order of batches.
        callback : callable, optional
            Called with the number of epochs or iterations done, the loss and the norm of the parameters;
            returning True ends the training.

        Returns
        -------
        Training
            What it went through.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            If the samples do not fit the network.
        OptionError
            If `weight_decay` is negative.

        Warns
        -----
        NotAttainedWarning
            If, without weight decay, the supports are known to have no best network for some data and a
            squared loss; up to a thousand weights are examined. And if the norm of the parameters keeps
            growing while a squared loss keeps falling: the infimum may not be attained.
            (Of cross-entropy it is not wherever classes can be told apart without error.)
        """
        optimizer = Adam() if optimizer is None else optimizer
        if not weight_decay and self._is_ill_posed:
            warn_caller(
                "training on these supports has no optimum on some data: "
                "fsmf.check_relu_well_posedness tells why; use weight_decay= to bound the parameters",
                NotAttainedWarning,
            )
        objective = self.objective(X, Y, weight_decay=weight_decay)
        losses: list[float] = []
        norms: list[float] = []
        stopped = False

        def report(number: int, value: float, parameters: Array) -> bool:
            nonlocal stopped
            norms.append(float(np.linalg.norm(parameters)))
            losses.append(value - 0.5 * weight_decay * norms[-1] ** 2)
            stopped = callback is not None and callback(number, losses[-1], norms[-1]) is True
            return stopped

        self.parameters, has_converged = optimizer.minimise(
            objective, self.parameters, np.random.default_rng(rng), report
        )
        power = 0.0 if weight_decay else growth(losses, norms)
        status = Status.CONVERGED if has_converged else Status.OUT_OF_BUDGET
        status = Status.STOPPED if stopped else Status.FACTORS_GROW if power else status
        if power and self.loss_name == "squared":
            warn_caller(
                f"{status.value}: after {len(norms) - 1} steps the loss is {losses[-1]:.3g} and the "
                f"parameters are {norms[-1] / norms[0]:.3g} times as large as at first, growing like "
                f"loss^(−{power:.2g}); the infimum may not be attained, and "
                "fsmf.check_relu_well_posedness(supports) tells whether that can be; use weight_decay= to "
                "bound them",
                NotAttainedWarning,
            )
        return Training(np.array(losses), np.array(norms), status, power)

    @cached_property
    def _is_ill_posed(self) -> bool:
        """Whether it is known at once that some data have no best network of a squared loss."""
        plain = all(len(layer.supports) == 1 for layer in self.layers)
        has_biases = self.n_parameters > self.n_weights
        if not (plain and has_biases and self.loss_name == "squared" and self.n_weights <= _EXAMINED):
            return False
        from fsmf.wellposedness.relu import check_relu_well_posedness
        from fsmf.wellposedness.relu_verdicts import TrainingIllPosed

        supports = [layer.supports[0] for layer in self.layers]
        return isinstance(check_relu_well_posedness(supports, max_seconds=_SECONDS), TrainingIllPosed)

    def _samples(self, X: Any) -> Array:
        """Check samples, and turn them: one column each."""
        try:
            found = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputTypeError(f"X must be an array of real numbers; {error}") from None
        if found.ndim != 2 or found.shape[1] != self.shape[1]:
            raise ShapeError(f"X must have shape (n_samples, {self.shape[1]}); found {found.shape}")
        if not np.isfinite(found).all():
            raise InputError("X must be finite; found NaN or infinity; clean it")
        return found.T

    def __repr__(self) -> str:
        sides = [self.shape[1], *(layer.supports.shape[0] for layer in reversed(self.layers))]
        return f"SparseNetwork({' → '.join(map(str, sides))}, {self.n_parameters} parameters)"


class NetworkObjective:
    """Evaluate the loss of a network on samples, as a function of all its parameters.

    Parameters
    ----------
    network : SparseNetwork
        The network; its own parameters are neither read nor written.
    X, Y, weight_decay
        As for `SparseNetwork.fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.training import NetworkObjective, SparseNetwork
    >>> network = SparseNetwork([[[1, 1]]], biases=False)
    >>> NetworkObjective(network, [[1.0, 2.0]], [0.0])(np.array([1.0, 1.0]))
    (4.5, array([3., 6.]))
    """

    def __init__(self, network: SparseNetwork, X: Any, Y: Any, *, weight_decay: float = 0.0) -> None:
        if not (isinstance(weight_decay, int | float) and 0 <= weight_decay < math.inf):
            raise OptionError(f"weight_decay must be a number of at least 0; found {weight_decay!r}")
        self._network, self._loss = network, network._loss
        self._X, self._Y = network._samples(X), self._loss.targets(Y, network.shape[0])
        self._weight_decay = weight_decay
        self.n_samples = len(self._Y)
        if self._X.shape[1] != self.n_samples or not self.n_samples:
            raise ShapeError(
                f"X and Y must have one row per sample; found {self._X.shape[1]} and {self.n_samples}"
            )

    def __call__(self, parameters: Array, some: Array | None = None) -> tuple[float, Array]:
        """Return value and gradient, on all samples or on some."""
        X, Y = (self._X, self._Y) if some is None else (self._X[:, some], self._Y[some])
        network = self._network
        F, trail = network._outputs(parameters, X)
        value = self._loss.value(F, Y)
        gradient = np.empty(network.n_parameters)
        G: Array | None = self._loss.gradient(F, Y)
        for layer in network.layers:
            seen = trail.pop()
            is_first = not trail
            assert G is not None
            G = layer.backward(parameters, seen, G, gradient, further=not is_first)
            if G is not None:
                G *= seen[0] > 0
        if self._weight_decay:
            value += 0.5 * self._weight_decay * float(parameters @ parameters)
            gradient += self._weight_decay * parameters
        return value, gradient


def _as_layers(supports: Any) -> list[Supports]:
    """One product of supports per layer."""
    if isinstance(supports, str | bytes | dict) or not isinstance(supports, Iterable):
        raise InputTypeError(
            f"a sequence of layers was asked for; found {type(supports).__name__}; give a list like [S1, S2]"
        )
    found = [one if isinstance(one, Supports) else Supports([as_support(one)]) for one in supports]
    if not found:
        raise ShapeError("a network has at least one layer; found none; give a list such as [S1, S2]")
    return found
