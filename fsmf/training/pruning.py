"""Finding the supports of a network: hard thresholding of its loss, and magnitude pruning to compare with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import NotAttainedWarning, OptionError
from fsmf.supports.constraints import Free, Joint, largest
from fsmf.supports.sizes import as_count
from fsmf.supports.sparsity import KSparse
from fsmf.supports.support import Support
from fsmf.thresholding.descent import SparsePoint, iht
from fsmf.training.monitor import Training
from fsmf.training.network import SparseNetwork
from fsmf.training.optimizers import Optimizer

__all__ = ["learn_supports", "prune", "prune_iteratively"]

Array = NDArray[Any]


def learn_supports(
    network: SparseNetwork,
    X: Any,
    Y: Any,
    *,
    k: int,
    start: Any = "given",
    weight_decay: float = 0.0,
    **options: Any,
) -> tuple[SparseNetwork, SparsePoint]:
    """Train a network with at most k nonzero weights, by iterative hard thresholding of its loss.

    Weights may move: after each step on all of them, the k largest are kept. Biases are free.

    Parameters
    ----------
    network : SparseNetwork
        Where weights may be in the end, and where to start; not changed.
    X, Y : array_like
        Samples and targets, as for `SparseNetwork.fit`.
    k : int
        Number of nonzero weights of all layers together.
    start : "given", "zero", "random", "dense" or array_like
        Where the first start begins: at the network's parameters, or as `iht` says. Zero suits a single
        layer, and is a stationary point of more.
    weight_decay : float
        As for `SparseNetwork.fit`.
    **options
        As for `iht`: among them `step`, `schedule`, `relax`, `starts`, `max_iterations`, `polish`, `rng`.

    Returns
    -------
    network : SparseNetwork
        On the supports found.
    point : SparsePoint
        The parameters of the given network that it has, weights first, with their stability.

    Raises
    ------
    OptionError
        If k is no number of weights, or an option is out of range.
    ShapeError, InputError, InputTypeError
        If the samples do not fit.

    Notes
    -----
    **Guarantee.** As of `iht`: where the loss is smooth it does not rise once the schedule is over. The point
    is a local answer.

    **Cost.** Per iteration one gradient of all samples, now and then two, and three vectors of parameters.

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
    n_weights, n_biases = network.n_weights, network.n_parameters - network.n_weights
    weights = KSparse((n_weights,), as_count("k", k))
    constraint = Joint([weights, Free((n_biases,))]) if n_biases else weights
    if isinstance(start, str) and start == "given":
        start = network.parameters
    point = iht(network.objective(X, Y, weight_decay=weight_decay), constraint, start=start, **options)
    return _restricted(network, point.x, point.places[:n_weights]), point


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
        if len(layer.supports) > 1:
            raise OptionError(
                f"layers must have one support each; found a product of {len(layer.supports)}; give a "
                "network of plain supports"
            )
        (support,), (place,) = layer.supports, layer.places
        rows, columns = support.coordinates()
        own = kept[place]
        supports.append(Support(((rows[own], columns[own]), support.shape)))
    has_biases = network.n_parameters > network.n_weights
    made = SparseNetwork(supports, loss=network.loss_name, biases=has_biases, rng=0)
    n_weights = network.n_weights
    made.parameters = np.concatenate([parameters[:n_weights][kept], parameters[n_weights:]])
    return made
