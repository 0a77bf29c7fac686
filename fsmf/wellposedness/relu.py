"""Does training a sparse ReLU network have an optimum, whatever the data? Asked of its linear counterpart."""

from __future__ import annotations

from itertools import pairwise
from math import comb, prod
from typing import Any

from fsmf.errors import InputTypeError, ShapeError
from fsmf.supports.constraints import Constraint
from fsmf.supports.sparsity import ColumnSparse, KSparse
from fsmf.supports.support import Support, Supports, as_support
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.relu_verdicts import (
    Layer,
    TrainingIllPosed,
    TrainingUndecided,
    TrainingWellPosed,
)
from fsmf.wellposedness.verdicts import IllPosed, WellPosed

__all__ = ["check_relu_well_posedness", "n_points_for"]


def check_relu_well_posedness(
    supports: Any, *, max_seconds: float = 5.0
) -> TrainingWellPosed | TrainingIllPosed | TrainingUndecided:
    """Decide whether training a ReLU network on given supports has an optimum for all finite data.

    The network is ``x ↦ W_1 σ(W_2 σ(… W_L x + b_L …) + b_2) + b_1`` with ``σ(z) = max(z, 0)``, weights on
    the supports, and biases that are free.

    Parameters
    ----------
    supports : sequence
        One support per layer, left to right as the matrices multiply: the last layer first. A layer may
        also be a `Constraint` such as ``KSparse``, which stands for all supports that meet it.
    max_seconds : float
        When to stop searching, in seconds of processor time.

    Returns
    -------
    TrainingWellPosed, TrainingIllPosed or TrainingUndecided
        The answer, with the theorem that it rests on. It has no truth value.

    Raises
    ------
    InputTypeError, SupportError, ShapeError
        If layers are no supports or constraints, or their shapes do not chain.
    OptionError
        If `max_seconds` is not a number above 0.

    Notes
    -----
    **Guarantee.** Answers are theorems: their classes state and prove them. The loss is the squared error, or
    any continuous loss that is 0 for the right outputs only and grows without bound with them.

    **Cost.** That of `check_well_posedness`.

    References
    ----------
    Q.-T. Le, E. Riccietti, R. Gribonval, "Does a sparse ReLU network training problem always admit an
    optimum?", NeurIPS 2023, arXiv:2306.02666.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_relu_well_posedness(fsmf.lu(2))
    >>> verdict.n_points, bool(verdict.verify())
    (9, True)
    >>> type(fsmf.check_relu_well_posedness([[[1, 1, 1]], [[1, 0], [1, 1], [0, 1]]])).__name__
    'TrainingWellPosed'
    """
    layers = _as_layers(supports)
    if len(layers) == 1 or (len(layers) == 2 and _feeds_one(layers[0])):
        return TrainingWellPosed(layers)
    if any(isinstance(layer, Constraint) for layer in layers):
        return TrainingUndecided(
            layers,
            "Places that are to be found, with several outputs or several hidden layers, are a union of "
            "supports, and one of them without an optimum does not settle it",
        )
    linear = check_well_posedness(layers, max_seconds=max_seconds)
    if isinstance(linear, IllPosed):
        return TrainingIllPosed(layers, linear, n_points_for(linear))
    if isinstance(linear, WellPosed):
        return TrainingUndecided(
            layers,
            "The products of the weights are a closed set, which does not suffice: each choice of active "
            "hidden units has its own products",
        )
    return TrainingUndecided(
        layers, f"Whether the products of the weights are a closed set is open. {linear.reason}"
    )


def n_points_for(linear: IllPosed) -> int:
    """Return how many points in general position no network fits where its linear counterpart does not.

    Parameters
    ----------
    linear : IllPosed
        The verdict on products of the weights.

    Returns
    -------
    int
        One more than d points for each pattern of activity, d being the number of inputs in use.
    """
    d = len({j for _, j, _ in linear.proof.target})
    return d * prod(sum(comb(width, i) for i in range(d + 1)) for width in _widths(linear)) + 1


def _widths(linear: IllPosed) -> list[int]:
    """How many units of each hidden layer lie between the inputs and the outputs in use."""
    assert isinstance(linear.supports, Supports)  # training asks about given supports
    first, *others = reversed(linear.supports)
    reached = {j for _, j, _ in linear.proof.target}
    reach = [reached]
    for layer in (first, *others):
        reached = {int(i) for j in reached for i in layer.T.row(j)}
        reach.append(reached)
    needed = {i for i, _, _ in linear.proof.target}
    widths = []
    for layer, here in zip(linear.supports[:-1], reach[-2:0:-1], strict=True):
        needed = {int(k) for i in needed for k in layer.row(i)} & here
        widths.append(len(needed))
    return widths


def _as_layers(given: Any) -> tuple[Layer, ...]:
    try:
        layers = tuple(layer if isinstance(layer, Constraint) else as_support(layer) for layer in given)
    except TypeError as error:
        raise InputTypeError(
            f"one support or constraint per layer was asked for; found {given!r}; give a sequence"
        ) from error
    shapes = [layer.shape for layer in layers]
    if not layers or any(len(shape) != 2 for shape in shapes):
        raise ShapeError(f"layers of two sides each were asked for; found shapes {shapes}; give (m, n)")
    for at, (shape, other) in enumerate(pairwise(shapes)):
        if shape[1] != other[0]:
            raise ShapeError(
                f"layers must chain; layer {at} has shape {shape} and layer {at + 1} {other}; give them left "
                "to right as the matrices multiply"
            )
    return layers


def _feeds_one(layer: Layer) -> bool:
    """Whether each unit below a layer feeds at most one unit above, whatever places are chosen."""
    if layer.shape[0] == 1:
        return True
    if isinstance(layer, Support):
        return all(layer.T.row(k).size <= 1 for k in range(layer.shape[1]))
    return isinstance(layer, KSparse | ColumnSparse) and layer.k == 1
