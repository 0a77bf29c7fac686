"""Finding the supports of a network: hard thresholding of its loss, and magnitude pruning to compare with."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import NotAttainedWarning, OptionError
from fsmf.supports.constraints import Constraint, Free, Joint, largest
from fsmf.supports.groups import GroupSparse
from fsmf.supports.sizes import as_count
from fsmf.supports.sparsity import KSparse
from fsmf.supports.support import Support
from fsmf.thresholding.descent import SparsePoint, iht
from fsmf.thresholding.polishing import Loss
from fsmf.training.layers import Layer
from fsmf.training.monitor import Training
from fsmf.training.network import NetworkObjective, SparseNetwork
from fsmf.training.optimizers import Optimizer

__all__ = ["learn_supports", "prune", "prune_iteratively"]

Array = NDArray[Any]


def learn_supports(
    network: SparseNetwork,
    X: Any,
    Y: Any,
    *,
    k: int,
    unit: str = "weight",
    batch_size: int | None = None,
    start: Any = "given",
    weight_decay: float = 0.0,
    rng: int | np.random.Generator = 0,
    **options: Any,
) -> tuple[SparseNetwork, SparsePoint]:
    """Train a network with few nonzero weights, or few neurons, by iterative hard thresholding of its loss.

    Weights may move: after each step on all of them, the k largest are kept. Biases are free.

    Parameters
    ----------
    network : SparseNetwork
        Where weights may be in the end, and where to start; not changed.
    X, Y : array_like
        Samples and targets, as for `SparseNetwork.fit`.
    k : int
        Number of nonzero weights of all layers together, or of hidden neurons.
    unit : "weight" or "neuron"
        What k counts. A neuron is the weights that lead into it and its bias, compared by their norm; the
        output layer is free then.
    batch_size : int, optional
        Samples per iteration, drawn anew when all have been seen; all by default.
    start : "given", "zero", "random", "dense" or array_like
        Where the first start begins: at the network's parameters, or as `iht` says. Zero suits a single
        layer, and is a stationary point of more.
    weight_decay : float
        As for `SparseNetwork.fit`.
    rng : int or numpy.random.Generator
        Of random starts, of the order of batches and of estimates.
    **options
        As for `iht`: among them `step`, `schedule`, `relax`, `starts`, `max_iterations`, `polish`.

    Returns
    -------
    network : SparseNetwork
        On the supports found.
    point : SparsePoint
        The parameters of the given network that it has, weights first, with their stability.

    Raises
    ------
    OptionError
        If k is no number of weights or neurons, or an option is out of range.
    ShapeError, InputError, InputTypeError
        If the samples do not fit.

    Notes
    -----
    **Guarantee.** As of `iht`: where the loss is smooth it does not rise once the schedule is over, unless it
    goes by batches. The point is a local answer.

    **Cost.** Per iteration one gradient of all samples, now and then two, and three vectors of parameters;
    with batches two or three gradients of each.

    References
    ----------
    S. Damadi, S. Zolfaghari, M. Rezaie, J. Shen, "Learning a sparse neural network using IHT",
    arXiv:2404.18414.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> from fsmf.training import SparseNetwork, learn_supports
    >>> X = np.random.default_rng(0).standard_normal((100, 6))
    >>> dense = SparseNetwork([np.ones((1, 6))], rng=0)
    >>> network, point = learn_supports(dense, X, 2 * X[:, 3], k=1, start="zero")
    >>> network.layers[0].supports[0].toarray().astype(int), point.stability.stable
    (array([[0, 0, 0, 1, 0, 0]]), True)
    """
    if unit not in ("weight", "neuron"):
        raise OptionError(f"unit takes 'weight' or 'neuron'; found {unit!r}; give one of these")
    generator, k, n_weights = np.random.default_rng(rng), as_count("k", k), network.n_weights
    if unit == "neuron":
        constraint: Constraint = GroupSparse(_neurons(network), k)
    else:
        constraint, n_biases = KSparse((n_weights,), k), network.n_parameters - n_weights
        constraint = Joint([constraint, Free((n_biases,))]) if n_biases else constraint
    if isinstance(start, str) and start == "given":
        start = network.parameters
    objective = network.objective(X, Y, weight_decay=weight_decay)
    if batch_size is not None:
        options["batches"] = _Minibatches(objective, as_count("batch_size", batch_size), generator)
    point = iht(objective, constraint, start=start, rng=generator, **options)
    places = point.places
    if unit == "neuron":
        places = places & _fed(network, places)
    return _restricted(network, point.x, places[:n_weights]), point


class _Minibatches:
    """From the number of an iteration to the loss on some samples, drawn anew when all have been seen."""

    def __init__(self, objective: NetworkObjective, size: int, rng: np.random.Generator) -> None:
        self._objective, self._rng = objective, rng
        n = objective.n_samples
        self._cuts = list(range(0, n, size))
        self._order, self._size = np.arange(n), size

    def __call__(self, i: int) -> Loss:
        i %= len(self._cuts)
        if not i:
            self._rng.shuffle(self._order)
        some = self._order[self._cuts[i] : self._cuts[i] + self._size].copy()
        return lambda parameters: self._objective(parameters, some)


def _neurons(network: SparseNetwork) -> NDArray[np.intp]:
    """The hidden neuron to which each parameter leads, numbered through all layers; −1 for the output."""
    labels = np.full(network.n_parameters, -1, dtype=np.intp)
    first = 0
    for layer in network.layers[1:]:
        support, place = _plain(layer)
        rows, _ = support.coordinates()
        labels[place] = rows + first
        neurons = np.arange(support.shape[0])
        labels[layer.bias] = (neurons + first)[: layer.bias.stop - layer.bias.start]
        first += support.shape[0]
    if not first:
        raise OptionError("neurons are those of hidden layers; found a network without; use unit='weight'")
    is_hidden = labels >= 0
    labels[is_hidden] = np.unique(labels[is_hidden], return_inverse=True)[1]
    return labels


def _fed(network: SparseNetwork, places: Array) -> NDArray[np.bool_]:
    """Which parameters do not lead away from a hidden neuron that nothing leads into."""
    fed = np.ones(network.n_parameters, dtype=bool)
    for layer, below in pairwise(network.layers):
        (rows, _), place = (below.supports[0].coordinates()), below.places[0]
        is_fed = np.zeros(below.supports.shape[0], dtype=bool)
        is_fed[rows[places[place]]] = True
        is_fed[: below.bias.stop - below.bias.start] |= places[below.bias]
        support, place = _plain(layer)
        fed[place] = is_fed[support.coordinates()[1]]
    return fed


def prune(network: SparseNetwork, k: int) -> SparseNetwork:
    """Keep the k weights of largest magnitude, and all biases.

    Parameters
    ----------
    network : SparseNetwork
        A trained network, of one support per layer; not changed.
    k : int
        Number of weights of all layers together.

    Returns
    -------
    SparseNetwork
        On the supports that are left, with the weights there; train it further to make up for the loss.

    Raises
    ------
    OptionError
        If k is no number of weights, or a layer is a product of several factors.

    Examples
    --------
    >>> import fsmf
    >>> network = fsmf.training.SparseNetwork([[[1, 1]], [[1, 0], [1, 1]]], biases=False)
    >>> network.parameters[:] = 3, -1, 2, 0.5, -4
    >>> [W.to_dense().tolist() for W in fsmf.training.prune(network, 3).weights]
    [[[3.0, 0.0]], [[2.0, 0.0], [0.0, -4.0]]]
    """
    return _restricted(network, network.parameters, _strongest(network, as_count("k", k)))


def prune_iteratively(
    network: SparseNetwork,
    X: Any,
    Y: Any,
    *,
    k: int,
    share: float = 0.1,
    optimizer: Optimizer | None = None,
    weight_decay: float = 0.0,
    rewind: bool = True,
    rng: int | np.random.Generator = 0,
) -> tuple[SparseNetwork, list[Training]]:
    """Train, prune a share of the weights, and again, until k are left: iterative magnitude pruning.

    Parameters
    ----------
    network : SparseNetwork
        Where to start, of one support per layer; not changed.
    X, Y : array_like
        Samples and targets, as for `SparseNetwork.fit`.
    k : int
        Number of weights that are left in the end.
    share : float
        Fraction of the weights that a round takes away, above 0 and below 1.
    optimizer, weight_decay
        Of the training in each round, as for `SparseNetwork.fit`.
    rewind : bool
        Whether the weights that are left go back to where they began, before each round.
    rng : int or numpy.random.Generator
        Of the order of batches.

    Returns
    -------
    network : SparseNetwork
        On the supports that are left, trained.
    runs : list of Training
        What each round went through.

    Raises
    ------
    OptionError
        If an option is out of range, or a layer is a product of several factors.

    Notes
    -----
    **Guarantee.** None. **Cost.** A training per round: ``log(k/n) / log(1 − share)`` of them for n weights.

    References
    ----------
    J. Frankle, M. Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural networks", ICLR
    2019, arXiv:1803.03635.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 4))
    >>> dense = fsmf.training.SparseNetwork([np.ones((1, 4))], rng=0)
    >>> network, runs = fsmf.training.prune_iteratively(
    ...     dense, X, X[:, 2], k=1, share=0.5, optimizer=fsmf.training.LBFGS()
    ... )
    >>> network.layers[0].supports[0].toarray().astype(int), len(runs)
    (array([[0, 0, 1, 0]]), 3)
    """
    if not (isinstance(share, int | float) and 0 < share < 1):
        raise OptionError(f"share must lie above 0 and below 1; found {share!r}")
    generator, k = np.random.default_rng(rng), as_count("k", k)
    kept = np.ones(network.n_weights, dtype=bool)
    student = _restricted(network, network.parameters, kept)
    runs = []
    while True:
        with warnings.catch_warnings():
            # Most supports are only passed; the runs say what happened on them.
            warnings.simplefilter("ignore", NotAttainedWarning)
            run = student.fit(X, Y, optimizer=optimizer, weight_decay=weight_decay, rng=generator)
        runs.append(run)
        if student.n_weights <= k:
            return student, runs
        strongest = _strongest(student, max(k, int(student.n_weights * (1 - share))))
        kept[kept] = strongest
        if rewind:
            student = _restricted(network, network.parameters, kept)
        else:
            student = _restricted(student, student.parameters, strongest)


def _strongest(network: SparseNetwork, k: int) -> NDArray[np.bool_]:
    """Which k of the weights are the largest."""
    if k > network.n_weights:
        raise OptionError(f"k must be at most the {network.n_weights} weights that there are; found {k}")
    kept: NDArray[np.bool_] = largest(np.abs(network.parameters[None, : network.n_weights]), k)[0]
    return kept


def _restricted(network: SparseNetwork, parameters: Array, kept: Array) -> SparseNetwork:
    """The network on those of its places that are kept, with parameters of the given network."""
    supports = []
    for layer in network.layers:
        support, place = _plain(layer)
        rows, columns = support.coordinates()
        own = kept[place]
        supports.append(Support(((rows[own], columns[own]), support.shape)))
    has_biases = network.n_parameters > network.n_weights
    made = SparseNetwork(supports, loss=network.loss_name, biases=has_biases, rng=0)
    n_weights = network.n_weights
    made.parameters = np.concatenate([parameters[:n_weights][kept], parameters[n_weights:]])
    return made


def _plain(layer: Layer) -> tuple[Support, slice]:
    """The support of a layer that is not a product, and where its values are."""
    if len(layer.supports) > 1:
        raise OptionError(
            f"layers must have one support each; found a product of {len(layer.supports)}; give a network of "
            "plain supports"
        )
    (support,), (place,) = layer.supports, layer.places
    return support, place
