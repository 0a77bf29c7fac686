"""Answers to the question whether training a sparse ReLU network has an optimum, each with its theorem."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import comb
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.verification import Check, Verification
from fsmf.errors import OptionError
from fsmf.supports.constraints import Constraint
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.plain_data import (
    constraints_from_list,
    constraints_to_list,
    read_as,
    support_from_dict,
    support_to_dict,
)
from fsmf.wellposedness.verdicts import IllPosed, verdict_from_dict

__all__ = ["Layer", "TrainingIllPosed", "TrainingUndecided", "TrainingVerdict", "TrainingWellPosed"]

Layer = Support | Constraint
# Entries of data that are laid out at most.
_LAID_OUT = 20_000_000
# Where the curve is tried in exact arithmetic, and on how many points.
_T = Fraction(1, 1009)
_POINTS = 12


@dataclass(frozen=True)
class TrainingVerdict:
    """The part that all verdicts on training share: the layers that were asked about.

    Attributes
    ----------
    layers : tuple of Support or Constraint
        Left to right as the matrices multiply: the last layer first.
    """

    layers: tuple[Layer, ...]

    answer: ClassVar[str]
    theorem: ClassVar[str]

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"the truth value of a verdict is undefined, since it may be undecided; found {self.answer}; ask "
            "isinstance(verdict, fsmf.TrainingWellPosed), or fsmf.TrainingIllPosed"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        layers = [
            {"constraint": constraints_to_list([layer])[0]}
            if isinstance(layer, Constraint)
            else {"support": support_to_dict(layer)}
            for layer in self.layers
        ]
        return {"verdict": self.answer, "theorem": self.theorem, "layers": layers}

    def to_json(self) -> str:
        """Return the verdict as JSON text."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TrainingVerdict:
        """Build a verdict on training, of any kind, from what its `to_dict` returned.

        Parameters
        ----------
        data : mapping
            As `to_dict` returns it, perhaps after a trip through JSON.

        Returns
        -------
        TrainingWellPosed, TrainingIllPosed or TrainingUndecided
            Not verified yet.

        Raises
        ------
        FileFormatError
            If something is missing or cannot be read.

        Examples
        --------
        >>> import fsmf
        >>> verdict = fsmf.check_relu_well_posedness(fsmf.lu(2))
        >>> fsmf.TrainingIllPosed.from_dict(verdict.to_dict()) == verdict
        True
        """
        with read_as("verdict"):
            layers: tuple[Layer, ...] = tuple(
                constraints_from_list([layer["constraint"]])[0]
                if "constraint" in layer
                else support_from_dict(layer["support"])
                for layer in data["layers"]
            )
            if data["verdict"] == TrainingIllPosed.answer:
                linear = verdict_from_dict(data["linear"])
                if not isinstance(linear, IllPosed):
                    raise ValueError("the verdict on products is another one")
                return TrainingIllPosed(layers, linear, int(data["n_points"]))
            if data["verdict"] == TrainingUndecided.answer:
                return TrainingUndecided(layers, str(data["reason"]))
            if data["verdict"] != TrainingWellPosed.answer:
                raise ValueError(data["verdict"])
            return TrainingWellPosed(layers)


@dataclass(frozen=True)
class TrainingWellPosed(TrainingVerdict):
    """Training has an optimum on these supports, for all finite data.

    Attributes
    ----------
    layers : tuple of Support or Constraint
        Left to right as the matrices multiply: the last layer first.

    Notes
    -----
    **Guarantee.** There are at most two layers, and each hidden unit feeds at most one output; one output
    alone, for instance. Then the outputs that the network can have on any finite data form a closed set, and
    any continuous loss that grows without bound with the outputs has a minimum on it. *Proof.* Scaling the
    input weights and the bias of a unit by c > 0 and its only output weight by 1/c changes nothing, so the
    output weight may be taken from −1, 0, 1. For given such signs, given supports and a given set of active
    points for each unit, the input weights and biases that make just these points active (or lie on the
    border) form a polyhedral cone, and the outputs depend linearly on them and on the last bias. A linear
    image of a polyhedral cone is a polyhedral cone, hence closed; and there are finitely many signs, sets
    and supports. ∎ For one output this is the theorem of Le, Riccietti and Gribonval (2023), and the proof
    covers constraints on the number of nonzeros, which are finite unions of supports.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_relu_well_posedness([fsmf.KSparse((1, 4), 2), fsmf.KSparse((4, 6), 5)])
    >>> bool(verdict.verify())
    True
    """

    answer: ClassVar[str] = "TrainingWellPosed"
    theorem: ClassVar[str] = "each hidden unit feeds at most one output"

    def verify(self) -> Verification:
        """Count the layers, and the outputs that each hidden unit may feed."""
        deep = len(self.layers)
        checks = [Check("layers", "at most 2", deep, deep <= 2)]
        if deep == 2:
            most = _most_fed(self.layers[0])
            checks.append(Check("outputs that a hidden unit feeds", "at most 1", most, most <= 1))
        return Verification(tuple(checks))

    def __str__(self) -> str:
        return (
            "well-posed: training has an optimum for all finite data. Reason: each hidden unit feeds at most "
            "one output, so what the network can do on data is a finite union of polyhedral cones."
        )


@dataclass(frozen=True)
class TrainingIllPosed(TrainingVerdict):
    """Training has no optimum on these supports for some finite data, which are given.

    Attributes
    ----------
    layers : tuple of Support
        Left to right as the matrices multiply: the last layer first.
    linear : IllPosed
        A matrix B that is a limit of products of weights, and no product.
    n_points : int
        How many points the data have.

    Notes
    -----
    **Guarantee.** On the data ``(x, B x)`` the loss can be driven to 0 by letting the weights grow, and is
    never 0. *Proof.* Biases that make every hidden unit active on all data, and an output bias that takes
    off what they add, turn the network into the product of its weights, and products come as near to B
    as one likes. Suppose that a network fits all points. Let d be the number of nonzero columns of B; other
    inputs are 0. A unit divides the points by a hyperplane: if its bias is lowered by a little, none of the
    finitely many points is on it, and each stays active or not. So h units of the first hidden layer have at
    most ``c(h) = Σ_{i≤d} C(h, i)`` patterns of activity, as many as there are regions between h hyperplanes;
    where the pattern is the same, the units of the next layer are affine and divide it likewise. There are
    more than d times the product of all c(h) points, so d + 1 of them have one pattern. Being in general
    position they determine an affine map, x ↦ B x on one hand, and W_1 D_2 W_2 … D_L W_L x + constant on
    the other, with diagonal matrices D of zeros and ones. So B is a product of weights on the supports (put
    zeros in rows and columns where B has them): a contradiction. ∎ Units that no input in use reaches, or
    that reach no nonzero row of B, count for nothing.

    References
    ----------
    Q.-T. Le, E. Riccietti, R. Gribonval, "Does a sparse ReLU network training problem always admit an
    optimum?", NeurIPS 2023, arXiv:2306.02666.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> verdict = fsmf.check_relu_well_posedness(fsmf.lu(2))
    >>> x, y = verdict.data()
    >>> (W1, b1), (W2, b2) = verdict.network(1e-3)
    >>> outputs = np.maximum(x @ W2.T + b2, 0) @ W1.T + b1
    >>> bool(abs(outputs - y).max() < 1e-2), bool(max(abs(W1).max(), abs(W2).max()) > 100)
    (True, True)
    """

    linear: IllPosed
    n_points: int

    answer: ClassVar[str] = "TrainingIllPosed"
    theorem: ClassVar[str] = "the products of the weights are no closed set"

    def data(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return data on which training has no optimum.

        Returns
        -------
        tuple of ndarray
            Inputs of shape ``(n_points, n)`` in [−1, 1], on the curve (s, s², s³, …) in the coordinates in
            use, and targets of shape ``(n_points, m)``.

        Raises
        ------
        OptionError
            If there are too many to lay out.
        """
        m, n = self.linear.supports.shape
        if self.n_points * (m + n) > _LAID_OUT:
            raise OptionError(
                f"data of {self.n_points} points with {n} inputs and {m} outputs were asked for; they do not "
                "fit in memory; n_points and the formula in data.__doc__ describe them"
            )
        x = np.zeros((self.n_points, n))
        s = np.linspace(-1, 1, self.n_points)
        for power, j in enumerate(self._columns(), 1):
            x[:, j] = s**power
        return x, np.asarray((self.linear.target @ x.T).T)

    def network(self, t: float) -> tuple[tuple[sparse.csr_array, NDArray[np.float64]], ...]:
        """Return weights whose outputs on the data tend to the targets as t tends to 0; they grow.

        Parameters
        ----------
        t : float
            Not 0; the smaller, the nearer. In floating point errors are about 1e-16 / t².

        Returns
        -------
        tuple of (csr_array, ndarray)
            Weight and bias of each layer, the last layer first, as the supports are given.
        """
        weights = self.linear.witness(t)
        bounds = np.ones(weights[-1].shape[1])
        offset = np.zeros(weights[-1].shape[1])  # what the biases so far add to the outputs of a layer
        layers = []
        for at, W in enumerate(reversed(weights), 1):
            offset = W @ offset
            if at == len(weights):
                bias = -offset
            else:
                bias = 1 + abs(W) @ bounds
                bounds = 2 * bias
            offset = offset + bias
            layers.append((W, bias))
        return tuple(reversed(layers))

    def verify(self) -> Verification:
        """Check the linear verdict, the number of points, and the network at one t in exact arithmetic."""
        same = list(self.linear.supports) == list(self.layers)
        here = Check("layers", "those of the verdict", "the same" if same else "others", same)
        checks = (here, *self.linear.verify().checks)
        if not all(check.passed for check in checks):
            return Verification(checks)
        fewest = self._points_that_can_be_fitted() + 1
        enough = Check("points", f"at least {fewest}", self.n_points, self.n_points >= fewest)
        wrong = self._wrong_outputs()
        exact = Check("outputs at t = 1/1009 that differ from X(t) Y(t) x", 0, wrong, not wrong)
        return Verification((*checks, enough, exact))

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        return {**super().to_dict(), "linear": self.linear.to_dict(), "n_points": self.n_points}

    def __str__(self) -> str:
        return (
            f"ill-posed: training has no optimum on some data, such as {self.n_points} points x in general "
            "position with the targets B x. The loss can be driven to 0 by letting the weights grow without "
            "bound, and 0 is never reached; `verdict.data()` and `verdict.network(t)` give both. Reason: B "
            "is a limit of products of weights on the supports and not one, and a network that fits so many "
            "points is linear on enough of them."
        )

    def _columns(self) -> list[int]:
        return sorted({j for _, j, _ in self.linear.proof.target})

    def _points_that_can_be_fitted(self) -> int:
        """D points for each pattern of activity; the units between are found by multiplying matrices."""
        assert isinstance(self.linear.supports, Supports)  # training asks about given supports
        layers = [layer.toarray().astype(int) for layer in self.linear.supports]
        d = len(self._columns())
        used = np.zeros(layers[-1].shape[1], dtype=int)
        used[self._columns()] = 1
        up = list(
            accumulate([used, *reversed(layers)], lambda reached, layer: np.minimum(layer @ reached, 1))
        )
        out = np.zeros(layers[0].shape[0], dtype=int)
        out[[i for i, _, _ in self.linear.proof.target]] = 1
        down = list(accumulate([out, *layers], lambda needed, layer: np.minimum(needed @ layer, 1)))
        n_points = d
        for layer in range(1, len(layers)):
            width = int(np.count_nonzero(down[layer] & up[len(layers) - layer]))
            n_points *= sum(comb(width, i) for i in range(d + 1))
        return n_points

    def _wrong_outputs(self) -> int:
        """Go through the layers in fractions, at some points, and compare with the product."""
        factors = [
            {(i, j): _at(function, _T) for i, j, function in entries} for entries in self.linear.proof.factors
        ]
        heights = [support.shape[0] for support in self.linear.supports]
        wrong = 0
        for q in range(min(_POINTS, self.n_points)):
            s = Fraction(2 * q, self.n_points - 1) - 1
            x = {j: s**power for power, j in enumerate(self._columns(), 1)}
            plain, active, offset = dict(x), dict(x), dict[int, Fraction]()
            bounds: dict[int, Fraction] = dict.fromkeys(x, Fraction(1))
            for at in reversed(range(len(factors))):
                plain, offset = _applied(factors[at], plain), _applied(factors[at], offset)
                active = _applied(factors[at], active)
                if not at:
                    wrong += any(
                        active.get(i, 0) - offset.get(i, 0) != plain.get(i, 0) for i in range(heights[0])
                    )
                    break
                reach = _applied({place: abs(value) for place, value in factors[at].items()}, bounds)
                bias = {i: 1 + reach.get(i, Fraction(0)) for i in range(heights[at])}
                bounds = {i: 2 * value for i, value in bias.items()}
                offset = {i: value + offset.get(i, 0) for i, value in bias.items()}
                active = {i: max(value + active.get(i, 0), Fraction(0)) for i, value in bias.items()}
        return wrong


@dataclass(frozen=True)
class TrainingUndecided(TrainingVerdict):
    """Nothing was proved: treat the question as open, never as answered.

    Attributes
    ----------
    layers : tuple of Support or Constraint
        Left to right as the matrices multiply: the last layer first.
    reason : str
        Why no theorem applies.
    """

    reason: str

    answer: ClassVar[str] = "TrainingUndecided"
    theorem: ClassVar[str] = "none"

    def verify(self) -> Verification:
        """Check nothing: there is no claim."""
        return Verification(())

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        return {**super().to_dict(), "reason": self.reason}

    def __str__(self) -> str:
        return f"undecided: whether training has an optimum for all data is open. {self.reason}."


def _most_fed(layer: Layer) -> int:
    """How many units above one unit below may feed at most: by trying with as few zeros as can be."""
    if isinstance(layer, Support):
        return int(layer.toarray().sum(axis=0).max(initial=0))
    most = 0
    for k in range(layer.shape[1]):
        M = np.zeros(layer.shape)
        M[:, k] = 1
        most = max(most, int(layer.places(M).sum()))
    return most


def _at(function: tuple[Sequence[Fraction], Sequence[Fraction]], t: Fraction) -> Fraction:
    above, below = (sum((c * t**d for d, c in enumerate(part)), Fraction(0)) for part in function)
    return above / below


def _applied(W: Mapping[tuple[int, int], Fraction], x: Mapping[int, Fraction]) -> dict[int, Fraction]:
    """A sparse matrix of fractions times a vector."""
    product: dict[int, Fraction] = {}
    for (i, j), value in W.items():
        if j in x:
            product[i] = product.get(i, Fraction(0)) + value * x[j]
    return product
