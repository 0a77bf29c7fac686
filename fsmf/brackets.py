"""How near a chain can come to a matrix, told before or after factorizing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.cuts import Whole, norm_off_pattern
from fsmf.errors import RefusedError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import as_matrix, comfortable_exponent, divided
from fsmf.kernels.truncated_svd import truncated_svd
from fsmf.supports.kronecker import Interface
from fsmf.supports.layout import Index
from fsmf.supports.support import as_supports

__all__ = ["Bracket", "bracket"]


@dataclass(frozen=True)
class Bracket:
    """Bound the error of the best factorization into a chain from both sides.

    Attributes
    ----------
    lower_bound : float
        No product of the chain is nearer to A, in the units of A.
    upper_bound : float
        A factorization from left to right is at least this near, in the units of A.
    distances : tuple of float
        E_s for every interface of the chain: the distance of A from the matrices whose blocks there have the
        rank of the interface; 0 where it bounds nothing. In the units of A.
    residuals : tuple of ndarray
        For every interface what each block loses beyond its rank, shape ``(a₂, d₁)``; empty where the rank
        bounds nothing. The squares add up to that of the distance.
    out_of_reach : float
        ‖A‖_F on the places that no product reaches.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> found = fsmf.bracket(np.eye(8), fsmf.butterfly(8))
    >>> found.lower_bound, found.residuals[0].shape
    (0.0, (2, 4))
    """

    lower_bound: float
    upper_bound: float
    distances: tuple[float, ...]
    residuals: tuple[NDArray[np.float64], ...]
    out_of_reach: float

    def __str__(self) -> str:
        levels = ", ".join(f"{distance:.3g}" for distance in self.distances)
        return f"{self.lower_bound:.6g} ≤ optimum ≤ {self.upper_bound:.6g}; by interface: {levels}"


def bracket(A: Any, supports: Any) -> Bracket:
    """Bound the error of the best factorization of A into a chain, without factorizing.

    With E_s the distance of A from the matrices whose blocks at interface s have the rank of the interface,
    ``max_s E_s ≤ optimum ≤ error from left to right ≤ min((Σ_s E_s²)^½, ‖A‖)``.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        The matrix.
    supports : Supports, sequence, or Factorization
        A chainable chain, or the transpose of one; of a factorization, its supports and permutations.

    Returns
    -------
    Bracket
        The bounds, the distances by interface, and what each block contributes.

    Raises
    ------
    RefusedError
        If the supports are no such chain.
    ShapeError, InputError, InputTypeError
        As `fsmf.factorize`.

    Notes
    -----
    **Guarantee.** The bounds hold for every A; they are apart by a factor √(L − 1) at most for L factors.

    **Cost.** One pass over A for each interface: O(r·m·n) for rank r. For a lower bound at no cost see the
    certificate of a factorization.

    References
    ----------
    Derived in the guarantees page of the documentation.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((16, 16))
    >>> found, F = fsmf.bracket(A, fsmf.butterfly(16)), fsmf.factorize(A, fsmf.butterfly(16))
    >>> found.lower_bound <= F.error <= found.upper_bound
    True
    """
    A, norm = as_matrix(A)
    rows = columns = None
    if isinstance(supports, Factorization):
        rows, columns, supports = supports.rows, supports.columns, supports.supports
    supports = as_supports(supports)
    whole = Whole.of(supports)
    if whole is None:
        raise RefusedError(
            "a bracket is that of a chainable chain of Kronecker patterns, or of its transpose; found "
            f"{supports!r}; see fsmf.explain(supports)"
        )
    if A.shape != supports.shape:
        raise ShapeError(f"supports make a product of shape {supports.shape}; A has shape {A.shape}")
    exponent = comfortable_exponent(A.dtype, norm)
    A = divided(A, exponent)
    A = A if rows is None else A[rows]
    A = whole.turned(A if columns is None else A[:, columns])
    A = sparse.csr_array(A) if sparse.issparse(A) else A
    numbers = whole.starts[1:]
    residuals = [np.zeros((0, 0)) for _ in range(len(supports) - 1)]
    for i, s in enumerate(numbers, start=1):
        interface = whole.chain.interface(i)
        tails = truncated_svd(A, *_indices(interface), interface.rank).tails
        residuals[s - 1] = np.ldexp(tails, exponent).reshape(interface.n_blocks)
    if whole.transposed:
        residuals = [residual.T for residual in reversed(residuals)]
    out = math.ldexp(norm_off_pattern(A, whole.chain.product), exponent)
    distances = tuple(frobenius_norm(residual) if residual.size else 0.0 for residual in residuals)
    return Bracket(
        lower_bound=math.hypot(out, max(distances, default=0.0)),
        upper_bound=min(math.hypot(out, *distances), norm),
        distances=distances,
        residuals=tuple(residuals),
        out_of_reach=out,
    )


def _indices(interface: Interface) -> tuple[Index, Index]:
    """Rows and columns of the blocks of an interface, shapes (n_blocks, b₁) and (n_blocks, c₂)."""
    (a, b, _, d), (n_left, n_right), (b1, c2) = interface.product.abcd, interface.n_blocks, interface.block
    l = n_right // d
    blocks = np.array(list(product(range(n_left), range(n_right))))
    alpha, lam, delta = blocks[:, 0] // (n_left // a), blocks[:, 1] // d, blocks[:, 1] % d
    rows = ((alpha * b + lam) * d + delta)[:, None] + np.arange(b1) * (l * d)
    columns = (blocks[:, 0] * c2 * d + delta)[:, None] + np.arange(c2) * d
    return rows, columns
