"""ReLU networks with frozen gates: linear in their weights, and measured without forming the matrix."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.supports.sizes import as_count

__all__ = ["GatedOperator", "binary_generators", "fuse", "gate_patterns", "gated_to_relu", "unfuse"]

Array = NDArray[Any]


def binary_generators(d: int, k: int) -> NDArray[np.float64]:
    """List the vectors of zeros and ones with one to k ones.

    Parameters
    ----------
    d : int
        Length of the vectors.
    k : int
        Ones at most.

    Returns
    -------
    ndarray of shape (p, d)
        A vector per row; ``p = C(d, 1) + … + C(d, k)``.

    Raises
    ------
    OptionError
        If a number is not positive, or k above d.

    Notes
    -----
    No vector is the negative of another: with both, ``D_h X + D_{−h} X = X`` makes columns of the gated
    operator dependent, and weights are never unique.

    Examples
    --------
    >>> from fsmf.training import binary_generators
    >>> binary_generators(3, 2).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    """
    d, k = as_count("d", d), as_count("k", k)
    if k > d:
        raise OptionError(f"k must be at most d = {d}; found {k}")
    chosen = [ones for size in range(1, k + 1) for ones in combinations(range(d), size)]
    found = np.zeros((len(chosen), d))
    for row, ones in zip(found, chosen, strict=True):
        row[list(ones)] = 1
    return found


def gate_patterns(X: Any, generators: Any) -> NDArray[np.bool_]:
    """Tell which samples each generator lets through: ``X hᵢ ≥ 0``.

    Parameters
    ----------
    X : array_like, shape (n, d)
        A sample per row.
    generators : array_like, shape (p, d)
        A generator h per row.

    Returns
    -------
    ndarray of bool, shape (n, p)
        The diagonal of ``D_i``, a column per generator.

    Raises
    ------
    ShapeError
        If the lengths of samples and generators differ.

    Notes
    -----
    A network of rank r data has at most ``2 Σ_{k<r} C(n−1, k)`` patterns.

    Examples
    --------
    >>> from fsmf.training import gate_patterns
    >>> gate_patterns([[1.0, 2.0], [-1.0, 0.5]], [[1, 0], [0, 1]])
    array([[ True,  True],
           [False,  True]])
    """
    X, H = _samples(X), _samples(generators, "generators")
    if X.shape[1] != H.shape[1]:
        raise ShapeError(
            f"generators must be as long as samples; found {H.shape[1]} and {X.shape[1]} numbers"
        )
    patterns: NDArray[np.bool_] = X @ H.T >= 0
    return patterns


class GatedOperator(LinearOperator):
    """Multiply with ``[D_1 X | … | D_p X]``, the outputs of a network whose gates are frozen.

    Parameters
    ----------
    X : array_like, shape (n, d)
        A sample per row.
    gates : array_like of bool, shape (n, p)
        Which samples pass each gate, as `gate_patterns` tells.
    features : array_like of bool, shape (p, d), optional
        Which columns of X each block has; all by default.

    Attributes
    ----------
    block, feature : ndarray of int
        For each column, to which gate it belongs, and which column of X it is.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Notes
    -----
    **Guarantee.** The products up to rounding.

    **Cost.** With a vector w, 2 n floating-point operations per nonzero of w; the adjoint ``2 n d p``. Memory
    is that of X and the gates, and work space as large as X: the matrix, of n rows and d p columns, is never
    formed.

    References
    ----------
    A. Mishkin, A. Sahiner, M. Pilanci, "Fast convex optimization for two-layer ReLU networks", ICML 2022,
    arXiv:2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.training import GatedOperator, gate_patterns
    >>> X = np.array([[1.0, 2.0], [-1.0, 3.0]])
    >>> A = GatedOperator(X, gate_patterns(X, np.eye(2)))
    >>> A.shape, A @ np.array([1.0, 0.0, 0.0, 1.0])
    ((2, 4), array([3., 3.]))
    """

    def __init__(self, X: Any, gates: Any, *, features: Any = None) -> None:
        self.X, self.gates = _samples(X), np.asarray(gates, dtype=bool)
        n, d = self.X.shape
        if self.gates.ndim != 2 or len(self.gates) != n:
            raise ShapeError(f"gates must have shape ({n}, p), a row per sample; found {self.gates.shape}")
        p = self.gates.shape[1]
        self.features = np.ones((p, d), bool) if features is None else np.asarray(features, dtype=bool)
        if self.features.shape != (p, d):
            raise ShapeError(f"features must have shape ({p}, {d}); found {self.features.shape}")
        self.block, self.feature = np.nonzero(self.features)
        super().__init__(dtype=np.dtype(np.float64), shape=(n, len(self.block)))

    def _matvec(self, w: Array) -> Array:
        w = np.asarray(w).reshape(-1)
        used = np.flatnonzero(w)
        found = np.zeros(self.shape[0], dtype=np.result_type(w, np.float64))
        step = self.X.shape[1]
        for begin in range(0, len(used), step):
            some = used[begin : begin + step]
            found += (self.X[:, self.feature[some]] * self.gates[:, self.block[some]]) @ w[some]
        return found

    def _rmatvec(self, y: Array) -> Array:
        y = np.asarray(y).reshape(-1)
        p, step = self.gates.shape[1], self.X.shape[1]
        found = np.empty(self.shape[1], dtype=np.result_type(y, np.float64))
        begin = 0
        for first in range(0, p, step):
            some = slice(first, first + step)
            piece = (self.X.T @ (self.gates[:, some] * y[:, None])).T[self.features[some]]
            found[begin : begin + piece.size] = piece
            begin += piece.size
        return found

    def blocks(self, w: Any) -> NDArray[np.float64]:
        """Lay a vector of weights out by gates, shape ``(p, d)``."""
        W = np.zeros(self.features.shape)
        W[self.block, self.feature] = w
        return W


def fuse(hidden: Any, output: Any) -> NDArray[np.float64]:
    """Multiply the weights of each hidden neuron with its output weight: ``wᵢ = uᵢ vᵢ``.

    Parameters
    ----------
    hidden : array_like, shape (p, d)
        The weights u of a neuron per row.
    output : array_like, shape (p,)
        The output weights v.

    Returns
    -------
    ndarray of shape (p, d)
        The fused weights. With the gates ``X uᵢ ≥ 0`` they make the same outputs.

    Raises
    ------
    ShapeError
        If there is not one output weight per neuron.

    Examples
    --------
    >>> from fsmf.training import fuse
    >>> fuse([[1, 0], [1, 1]], [2, -1])
    array([[ 2.,  0.],
           [-1., -1.]])
    """
    U, v = _samples(hidden, "hidden"), np.asarray(output, dtype=float)
    if v.shape != (len(U),):
        raise ShapeError(f"output must hold {len(U)} weights, one per neuron; found shape {v.shape}")
    fused: NDArray[np.float64] = U * v[:, None]
    return fused


def unfuse(fused: Any, generators: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take fused weights apart where hidden neurons are generators: ``wᵢ ≈ vᵢ hᵢ``.

    Parameters
    ----------
    fused : array_like, shape (p, d)
        The weights w of a neuron per row.
    generators : array_like, shape (p, d)
        Its generator h, not zero.

    Returns
    -------
    output : ndarray of shape (p,)
        ``vᵢ = ⟨wᵢ, hᵢ⟩ / ‖hᵢ‖²``.
    distance : ndarray of shape (p,)
        ``‖wᵢ − vᵢ hᵢ‖``: zero, up to rounding, where the neuron is a multiple of its generator.

    Raises
    ------
    ShapeError
        If the shapes differ.
    OptionError
        If a generator is zero.

    Examples
    --------
    >>> from fsmf.training import unfuse
    >>> unfuse([[2.0, 2.0], [1.0, 0.0]], [[1, 1], [1, 1]])
    (array([2. , 0.5]), array([0.        , 0.70710678]))
    """
    W, H = _samples(fused, "fused"), _samples(generators, "generators")
    if W.shape != H.shape:
        raise ShapeError(f"fused weights and generators must have one shape; found {W.shape} and {H.shape}")
    squares = np.sum(H**2, axis=1)
    if not squares.all():
        raise OptionError("generators must not be zero; found one that is; leave it out")
    output: NDArray[np.float64] = np.sum(W * H, axis=1) / squares
    return output, np.linalg.norm(W - output[:, None] * H, axis=1)


def gated_to_relu(X: Any, fused: Any, generators: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make a ReLU network that computes what a gated one does, on its samples.

    With ``t`` large enough, ``w + t h`` and ``t h`` both open the gate of h, and
    ``D_h X w = (X (w + t h))₊ − (X t h)₊``.

    Parameters
    ----------
    X : array_like, shape (n, d)
        A sample per row.
    fused : array_like, shape (p, d)
        Weights w, a gate per row.
    generators : array_like, shape (p, d)
        Generators h of the gates ``X h ≥ 0``.

    Returns
    -------
    hidden : ndarray of shape (k, d)
        Weights of hidden neurons: one for each w that has the gate of its own, two for the others, none for
        w = 0.
    output : ndarray of shape (k,)
        Output weights, 1 or −1.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    InputError
        If ``X h`` is zero for a sample on which w needs more: no multiple of h can open or shut the gate.

    Notes
    -----
    **Guarantee.** The outputs on X agree up to rounding, which t amplifies. Elsewhere they do not, since
    gates differ; and neurons have the nonzeros of w and h together.

    **Cost.** Two products with X.

    References
    ----------
    A. Mishkin, A. Sahiner, M. Pilanci, "Fast convex optimization for two-layer ReLU networks", ICML 2022,
    arXiv:2202.01331, for the decomposition into cones.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.training import gated_to_relu
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> W, H = np.array([[1.0, -2.0, 0.5]]), np.array([[1.0, 1.0, 0.0]])
    >>> hidden, output = gated_to_relu(X, W, H)
    >>> np.allclose(np.maximum(X @ hidden.T, 0) @ output, np.where(X @ H[0] >= 0, X @ W[0], 0))
    True
    """
    X, W, H = _samples(X), _samples(fused, "fused"), _samples(generators, "generators")
    if W.shape != H.shape or W.shape[1] != X.shape[1]:
        raise ShapeError(
            f"fused weights and generators must have shape (p, {X.shape[1]}); found {W.shape} and {H.shape}"
        )
    hidden, output = [], []
    for w, h in zip(W, H, strict=True):
        if not w.any():
            continue
        opening = X @ h
        wanted = np.where(opening >= 0, 1.0, -1.0) * (X @ w)  # has to be at least 0
        short = wanted < 0
        if not short.any():
            hidden.append(w)
            output.append(1.0)
            continue
        if not opening[short].all():
            raise InputError(
                "a gate must open or shut on every sample; found X h = 0 where w needs more; perturb h"
            )
        t = float(np.max(-wanted[short] / np.abs(opening[short])))
        hidden += [w + t * h, t * h]
        output += [1.0, -1.0]
    return np.array(hidden).reshape(-1, X.shape[1]), np.array(output)


def _samples(X: Any, name: str = "X") -> NDArray[np.float64]:
    """Check an array of one vector per row."""
    try:
        found = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be an array of real numbers; {error}") from None
    if found.ndim != 2 or 0 in found.shape:
        raise ShapeError(f"{name} must have a vector per row; found shape {found.shape}")
    if not np.isfinite(found).all():
        raise InputError(f"{name} must be finite; found NaN or infinity; clean it")
    return found
