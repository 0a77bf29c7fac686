"""What a product of any number of factors promises: stationarity, and a bound that a cut into a pair proves.

Cut between two factors, a product X1 … XL is a product of two, on the supports of ``X1 … Xs`` and of
``Xs+1 … XL``; whatever bounds every product of that pair bounds this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, lsqr

from fsmf.certificates.block_brackets import StationaryPoint
from fsmf.certificates.proved_bounds import proved_bound
from fsmf.certificates.residuals import dense, divided_factor
from fsmf.certificates.verification import Check, Verification, close
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import comfortable_exponent, divided
from fsmf.supports.support import Supports

__all__ = ["StationaryProduct"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class StationaryProduct(StationaryPoint):
    """Certify a stationary point of any number of factors, and how far below it the optimum can be.

    Attributes
    ----------
    error : float
        ‖A − X1 … XL‖_F, in the units of A.
    lower_bound : float
        What the blocks prove that every product misses.
    out_of_reach : float
        ‖A‖_F on the places that no product reaches.
    blocks : DisjointBlocks
        The disjoint blocks that prove the bound, of the pair that the product is when it is cut.
    gradient_norm : float
        Norm of the gradient of ``½‖A − X1 … XL‖² + ½ ridge Σ‖Xi‖²`` on the supports, divided by ‖A‖ and by
        ``(Σ_i ‖X1 … Xi−1‖² ‖Xi+1 … XL‖²)^½``, an empty product counting 1: it has no unit.
    ridge : float
        The weight of the squared factor norms in the objective, in the units of ``A^(2 − 2/L)``; 0 for none.
    n_factors : int
        Number of factors L.
    cut : int
        Number of factors on the left of the cut; 0 where there is no block.
    weighted : bool
        Whether entries of A are weighted: then all norms of matrices of its shape are.
    convex : bool
        Whether all factors but one are prescribed. Then least squares in that one find the optimum, which is
        the lower bound, and no blocks are needed.

    Notes
    -----
    As for a pair, the optimum lies between `lower_bound` and `error`.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((4, 4))
    >>> F = fsmf.factorize(A, fsmf.kaleidoscope(4))
    >>> F.certificate.name, F.certificate.n_factors, bool(F.verify(A))
    ('StationaryProduct', 4, True)
    """

    n_factors: int
    cut: int
    weighted: bool = False
    convex: bool = False

    name: ClassVar[str] = "StationaryProduct"
    in_units: ClassVar[tuple[str, ...]] = ("error", "lower_bound", "out_of_reach")

    def scaled(self, factor: float) -> Self:
        """Return the certificate of the problem for a multiple of A, shared out between the factors."""
        ridge = self.ridge * factor ** (2 - 2 / self.n_factors)
        return replace(super().scaled(factor), ridge=ridge)

    def weighed(self, factor: float) -> Self:
        """Return the certificate for weights that are ``factor**2`` times as large."""
        return replace(
            self,
            error=self.error * factor,
            lower_bound=self.lower_bound * factor,
            out_of_reach=self.out_of_reach * factor,
            gradient_norm=self.gradient_norm * factor,
            ridge=self.ridge * factor**2,
        )

    def transposed(self) -> Self:
        """Return the certificate of the transposed problem."""
        cut = self.n_factors - self.cut if self.cut else 0
        return replace(super().transposed(), cut=cut)

    def __str__(self) -> str:
        if not self.convex or self.error > self.lower_bound * (1 + 1e-7):
            return super().__str__()
        return f"global optimum: error {self.error:.6g}, by least squares in the one factor not prescribed"

    def verify(
        self, A: Any, supports: Supports, factors: Sequence[Any], roots: Array | None = None
    ) -> Verification:
        """Check every number from A, the supports and the factors alone, as `StationaryPoint.verify`.

        `roots` are the square roots of the weights, shape ``(m, n)``.
        """
        A, L, dtype = dense(A), len(factors), factors[0].dtype
        A = A.astype(np.result_type(A.dtype, np.float64), copy=False)
        share = comfortable_exponent(A.dtype, frobenius_norm(A)) // L
        half = share * L // 2
        scaled = self.scaled(2.0**-half).scaled(2.0 ** (half - share * L))
        own = [divided_factor(factor.astype(A.dtype), share) for factor in factors]
        # Numbers at the bottom of the floats are multiples of the smallest one.
        granularity = 4 * math.ldexp(5e-324, max(-share * L, 0))
        checks = scaled._all_checks(divided(A, share * L), supports, own, dtype, roots, granularity)
        return Verification(tuple(checks))

    def _all_checks(
        self,
        A: Array,
        supports: Supports,
        factors: Sequence[Any],
        dtype: Any,
        roots: Array | None,
        granularity: float,
    ) -> list[Check]:
        W = np.ones(A.shape) if roots is None else roots
        norm, L = frobenius_norm(W * A), len(factors)
        lefts, rights = [sparse.eye_array(A.shape[0])], [sparse.eye_array(A.shape[1])]
        for X, Y in zip(factors, reversed(factors), strict=True):
            lefts.append(dense(lefts[-1] @ X))
            rights.append(dense(Y @ rights[-1]))
        terms = abs(factors[0])
        for X in factors[1:]:
            terms = terms @ abs(X)
        slack = 64 * L * float(np.finfo(dtype).eps) * (norm + frobenius_norm(W * dense(terms))) + granularity
        residual = W * (A - lefts[-1])
        error, outside = frobenius_norm(residual), frobenius_norm((W * A)[~supports.reached.toarray()])
        bound = outside if not self.cut and not len(self.blocks) else math.nan
        if self.convex:
            bound = _least_error(A, W, supports, factors, lefts, rights)
        if 0 < self.cut < L and len(self.blocks):
            bound = proved_bound(A, supports.cut(self.cut), self.blocks, outside, roots)
        gradients, sizes = [], []
        for i, (X, support) in enumerate(zip(factors, supports, strict=True)):
            left, right = lefts[i], rights[L - 1 - i]
            pulled = left.conj().T @ (W * residual) @ right.conj().T
            own = pulled[support.coordinates()] - self.ridge * X.data
            gradients.append(frobenius_norm(own[support.free]))
            sizes.append((frobenius_norm(left) if i else 1.0) * (frobenius_norm(right) if i < L - 1 else 1.0))
        scale = norm * math.hypot(*sizes)
        gradient = math.hypot(*gradients) / scale if scale else 0.0
        # What rounding does to the residual is weighed once more in the gradient.
        rounding = float(W.max()) * slack / norm if norm else 0.0
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check("out of reach", self.out_of_reach, outside, close(self.out_of_reach, outside, slack)),
            Check("lower bound", self.lower_bound, bound, close(self.lower_bound, bound, slack)),
            Check("gradient", self.gradient_norm, gradient, close(self.gradient_norm, gradient, rounding)),
            Check("factors", self.n_factors, L, self.n_factors == L),
            Check("bound ≤ error", self.lower_bound, error, self.lower_bound <= error * (1 + 1e-7) + slack),
        ]


def _least_error(
    A: Array,
    W: Array,
    supports: Supports,
    factors: Sequence[Any],
    lefts: Sequence[Any],
    rights: Sequence[Any],
) -> float:
    """The least error where one factor is not prescribed, by Golub-Kahan bidiagonalization from zero."""
    free = [i for i, support in enumerate(supports) if support.nnz > support.n_prescribed]
    if len(free) > 1:
        return math.nan
    if not free:
        return frobenius_norm(W * (A - lefts[-1]))
    support, X = supports[free[0]], factors[free[0]]
    left, right, kind = lefts[free[0]], rights[len(supports) - 1 - free[0]], lefts[-1].dtype
    places = tuple(place[support.free] for place in support.coordinates())
    held = X.toarray()
    held[places] = 0

    # Complex numbers are pairs of real ones.
    def forward(x: Array) -> Array:
        spread = np.zeros(support.shape, kind)
        spread[places] = np.ascontiguousarray(x).view(kind)
        return np.ascontiguousarray(W * dense(left @ spread @ right)).reshape(-1).view(np.float64)

    def back(y: Array) -> Array:
        residual = W * np.ascontiguousarray(y).view(kind).reshape(A.shape)
        pulled = dense(left.conj().T @ residual @ right.conj().T)
        return np.ascontiguousarray(pulled[places]).view(np.float64)

    target = np.ascontiguousarray(W * (A - left @ held @ right)).astype(kind).reshape(-1).view(np.float64)
    shape = target.size, len(places[0]) * kind.itemsize // 8
    design = LinearOperator(shape, matvec=forward, rmatvec=back, dtype=np.float64)
    return float(lsqr(design, target, atol=1e-12, btol=1e-12, conlim=0, iter_lim=10 * min(shape))[3])
