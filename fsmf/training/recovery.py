"""The sparsest one-hidden-layer ReLU network behind samples, by hard thresholding of a gated one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError, ShapeError
from fsmf.thresholding.descent import SparsePoint
from fsmf.thresholding.sensing import sparse_lstsq
from fsmf.training.gated import GatedOperator, binary_generators, gate_patterns, gated_to_relu, unfuse
from fsmf.training.network import SparseNetwork

__all__ = ["RecoveredReLU", "recover_relu"]

Array = NDArray[Any]

# A neuron is a multiple of its generator when it is off by no more than this fraction.
_PROPORTIONAL = 1e-6


@dataclass(frozen=True)
class RecoveredReLU:
    """Hold a ReLU network ``x ↦ Σⱼ vⱼ (uⱼᵀ x)₊`` that was found from samples.

    Attributes
    ----------
    hidden : ndarray of shape (k, d)
        Weights u of the hidden neurons, a row each.
    output : ndarray of shape (k,)
        Output weights v.
    is_exact : bool
        Whether every neuron is a multiple of its generator, so that the network is that of the fused weights
        everywhere; otherwise it is on the samples only.
    fused : ndarray of shape (p, d)
        The sparse weights of the gated network, a gate per row.
    point : SparsePoint
        How they were found.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((60, 5))
    >>> found = fsmf.training.recover_relu(X, 3 * np.maximum(X[:, 0] + X[:, 1], 0), 2)
    >>> found.hidden, found.output
    (array([[1., 1., 0., 0., 0.]]), array([3.]))
    """

    hidden: NDArray[np.float64]
    output: NDArray[np.float64]
    is_exact: bool
    fused: NDArray[np.float64] = field(repr=False)
    point: SparsePoint = field(repr=False)

    def features(self, X: Any) -> NDArray[np.float64]:
        """Return what the hidden neurons make of samples, shape ``(n, k)``: the input of a further layer."""
        found: NDArray[np.float64] = np.maximum(np.asarray(X, dtype=float) @ self.hidden.T, 0)
        return found

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the outputs for samples, shape ``(n,)``."""
        return self.features(X) @ self.output

    def to_network(self) -> SparseNetwork:
        """Return the network as a `SparseNetwork` without biases, on the places that it uses."""
        if not len(self.output):
            raise OptionError("a network has at least one neuron; all weights found are zero; raise s")
        network = SparseNetwork([self.output[None, :] != 0, self.hidden != 0], biases=False, rng=0)
        network.parameters = np.concatenate([self.output[self.output != 0], self.hidden[self.hidden != 0]])
        return network


def recover_relu(
    X: Any,
    y: Any,
    s: int,
    *,
    generators: Any = None,
    features: Any = None,
    relax: float = 3.0,
    method: str = "niht",
    max_iterations: int = 2000,
    rtol: float = 1e-4,
    rng: int | np.random.Generator = 0,
) -> RecoveredReLU:
    """Find a sparse ReLU network behind samples, by the convex route.

    The gates of hidden neurons are frozen at those of given generators, which makes the outputs linear in the
    products of hidden and output weights; these are found by `sparse_lstsq`, and taken apart.

    Parameters
    ----------
    X : array_like, shape (n, d)
        A sample per row.
    y : array_like, shape (n,)
        What the network makes of them.
    s : int
        Nonzeros of the fused weights.
    generators : array_like, shape (p, d), optional
        Candidates for the directions of hidden neurons; by default all vectors with one or two ones.
    features : array_like of bool, shape (p, d), optional
        Which weights each neuron may have; by default those where its generator is not zero.
    relax : float
        How many times s nonzeros are kept before they are pruned; exactly s find much less.
    method, max_iterations, rtol, rng
        As for `sparse_lstsq`; values are solved for in the end, so that only places have to converge.

    Returns
    -------
    RecoveredReLU
        The network.

    Raises
    ------
    OptionError
        If a generator is zero or the negative of another, or an option is out of range.
    ShapeError, InputError, InputTypeError
        If the samples do not fit, or are not finite.

    Notes
    -----
    **Guarantee.** On Gaussian samples, in number a little more than s, networks whose neurons are generators
    are found with high probability; no certificate tells a single result. `point` says how large the residual
    is and in which sense it is least. With gates that are not those of the truth, the network is exact on
    the samples at most.

    **Cost.** Per iteration ``2 n d p`` floating-point operations, and memory O(n (d + p)). Columns that are
    zero, or the same as another, are left out.

    References
    ----------
    S. Fridovich-Keil, M. Pilanci, "A recovery guarantee for sparse neural networks", arXiv:2509.20323.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 12))
    >>> y = np.maximum(X[:, 1] + X[:, 4], 0) - 2 * np.maximum(X[:, 4] + X[:, 7], 0)
    >>> found = fsmf.training.recover_relu(X, y, 4)
    >>> found.is_exact, np.allclose(found.predict(2 * X), 2 * y)
    (True, True)
    """
    X = np.asarray(X, dtype=float)
    if X.ndim != 2:
        raise ShapeError(f"X must have a sample per row; found shape {X.shape}")
    H = binary_generators(X.shape[1], min(2, X.shape[1])) if generators is None else np.asarray(generators)
    H = H.astype(float)
    gates = gate_patterns(X, H)
    _check_generators(H)
    features = H != 0 if features is None else np.asarray(features, dtype=bool)
    if features.shape != H.shape:
        raise ShapeError(f"features must have the shape {H.shape} of the generators; found {features.shape}")
    operator = GatedOperator(X, gates, features=features & _first_of_their_kind(X, gates, features))
    point = sparse_lstsq(
        operator, y, s, method=method, relax=relax, max_iterations=max_iterations, rtol=rtol, rng=rng
    )
    fused = operator.blocks(point.x)
    used = fused.any(axis=1)
    output, distance = unfuse(fused[used], H[used]) if used.any() else (np.zeros(0), np.zeros(0))
    is_exact = bool((distance <= _PROPORTIONAL * np.linalg.norm(fused[used], axis=1)).all())
    if is_exact:
        hidden = H[used]
    else:
        hidden, output = gated_to_relu(X, fused, H)
    return RecoveredReLU(hidden, output, is_exact, fused, point)


def _check_generators(H: Array) -> None:
    if not H.any(axis=1).all():
        raise OptionError("generators must not be zero; found one that is; leave it out")
    size = np.linalg.norm(H, axis=1, keepdims=True)
    known = {row.tobytes() for row in np.round(H / size, 12) + 0.0}
    if any(row.tobytes() in known for row in np.round(-H / size, 12) + 0.0):
        raise OptionError(
            "no generator may be the negative of another: weights would not be unique; found such a pair; "
            "leave one out"
        )


def _first_of_their_kind(X: Array, gates: Array, features: Array) -> NDArray[np.bool_]:
    """Which columns are not zero, and not the same as an earlier one."""
    _, kind = np.unique(np.packbits(gates, axis=0).T, axis=0, return_inverse=True)
    found = np.zeros(features.shape, bool)
    block, feature = np.nonzero(features)
    _, first = np.unique(np.stack([kind[block], feature]), axis=1, return_index=True)
    found[block[first], feature[first]] = True
    found[~gates.any(axis=0)] = False
    return found
