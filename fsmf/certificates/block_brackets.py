"""What two factors promise, proved by disjoint blocks.

A certificate keeps the blocks and their components; whoever doubts it looks for others that reach them, takes
singular values, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from fsmf.certificates.optimum_bracket import OptimumBracket
from fsmf.certificates.proved_bounds import proved_bound
from fsmf.certificates.residuals import CHUNK, dense, divided_factor
from fsmf.certificates.verification import Check, Verification, close
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import comfortable_exponent, divided
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Support, Supports

__all__ = ["BlockBracket", "GlobalOptimum", "StationaryPoint"]


@dataclass(frozen=True)
class BlockBracket(OptimumBracket):
    """The part that certificates of two factors share: the blocks that prove the lower bound."""

    out_of_reach: float
    blocks: DisjointBlocks

    in_units: ClassVar[tuple[str, ...]] = (*OptimumBracket.in_units, "out_of_reach")

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: its blocks."""
        return list(self.blocks.arrays())

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Self:
        """Build the certificate from what a file holds."""
        return super().restored(numbers | {"blocks": DisjointBlocks.from_arrays(arrays)}, ())

    def transposed(self) -> Self:
        """Return the certificate of the transposed problem."""
        return replace(self, blocks=self.blocks.T)

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check every number from A, the supports and the factors alone.

        Parameters
        ----------
        A : ndarray or sparse array, shape (m, n)
            The matrix that was factorized.
        supports : Supports
            The two supports.
        factors : sequence of two sparse arrays
            The factors, shapes ``(m, r)`` and ``(r, n)``.

        Returns
        -------
        Verification
            One `Check` per claim.
        """
        norm = frobenius_norm(A)
        exponent = comfortable_exponent(A.dtype, norm)
        if exponent:
            A = divided(A, exponent)
            shares = (exponent // 2, exponent - exponent // 2)
            factors = [divided_factor(factor, share) for factor, share in zip(factors, shares, strict=True)]
        with np.errstate(over="ignore"):
            in_units: dict[str, Any] = {
                name: float(np.ldexp(getattr(self, name), -exponent)) for name in self.in_units
            }
        scaled = replace(self, **in_units)
        # Numbers at the bottom of the floats are multiples of the smallest one.
        granularity = 4 * math.ldexp(5e-324, max(-exponent, 0))
        return Verification(tuple(scaled._checks(A, supports, factors, _slack(A, factors) + granularity)))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any], slack: float) -> list[Check]:
        error, out_of_reach = _residual_norms(A, supports, factors)
        bound = proved_bound(A, supports, self.blocks, out_of_reach)
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check(
                "out of reach",
                self.out_of_reach,
                out_of_reach,
                close(self.out_of_reach, out_of_reach, slack),
            ),
            Check("lower bound", self.lower_bound, bound, close(self.lower_bound, bound, slack)),
        ]


@dataclass(frozen=True)
class GlobalOptimum(BlockBracket):
    """Certify that no factors on these supports come nearer to A.

    Attributes
    ----------
    error : float
        ‖A − X Y‖_F, in the units of A.
    lower_bound : float
        What the blocks prove that every product misses; it equals the error up to rounding.
    out_of_reach : float
        ‖A‖_F on the places that no component reaches.
    blocks : DisjointBlocks
        The residual rectangles, on which the best product is a truncated SVD.

    Notes
    -----
    `verify` counts components and takes singular values by LAPACK; it shares nothing with the solver.

    References
    ----------
    Le, Riccietti, Gribonval, SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> print(fsmf.factorize(np.diag([3.0, 2.0, 1.0]), fsmf.low_rank(3, rank=2)).certificate)
    global optimum: error 1 = lower bound, proved by 1 block
    """

    name: ClassVar[str] = "GlobalOptimum"

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any], slack: float) -> list[Check]:
        checks = super()._checks(A, supports, factors, slack)
        bound = checks[-1].found
        meets = close(self.error, bound, slack)
        return [*checks, Check("error meets the bound", self.error, bound, meets)]

    def __str__(self) -> str:
        blocks = f"{len(self.blocks)} block{'s' * (len(self.blocks) != 1)}"
        return f"global optimum: error {self.error:.6g} = lower bound, proved by {blocks}"


@dataclass(frozen=True)
class StationaryPoint(BlockBracket):
    """Certify a stationary point, and how far below it the optimum can be.

    Attributes
    ----------
    error : float
        ‖A − X Y‖_F, in the units of A.
    lower_bound : float
        What the blocks prove that every product misses.
    out_of_reach : float
        ‖A‖_F on the places that no component reaches.
    blocks : DisjointBlocks
        The disjoint blocks that prove the bound.
    gradient_norm : float
        Norm of the gradient of ``½‖A − X Y‖² + ½ ridge (‖X‖² + ‖Y‖²)`` on the supports, divided by
        ``‖A‖ (‖X‖² + ‖Y‖²)^½``: it has no unit, and 1e-8 is small.
    ridge : float
        The weight of the squared factor norms in the objective, in the units of A; 0 for none.

    Notes
    -----
    A stationary point need not be a local minimum, and a local minimum need not be global: the optimum
    lies between `lower_bound` and `error`.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.array([[1.0, 1.0], [1.0, 0.0]]), fsmf.lu(2))
    >>> F.certificate.lower_bound <= F.certificate.error
    True
    """

    gradient_norm: float
    ridge: float = 0.0

    name: ClassVar[str] = "StationaryPoint"
    in_units: ClassVar[tuple[str, ...]] = (*BlockBracket.in_units, "ridge")

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any], slack: float) -> list[Check]:
        checks = super()._checks(A, supports, factors, slack)
        error = checks[0].found
        norm, factor_norm = frobenius_norm(A), math.hypot(*map(frobenius_norm, factors))
        gradient = _gradient(A, supports, factors, self.ridge)
        gradient = gradient / (norm * factor_norm) if norm * factor_norm else 0.0
        rounding = slack / norm if norm else 0.0
        return [
            *checks,
            Check("gradient", self.gradient_norm, gradient, close(self.gradient_norm, gradient, rounding)),
            Check("bound ≤ error", self.lower_bound, error, self.lower_bound <= error * (1 + 1e-7) + slack),
        ]

    def __str__(self) -> str:
        return (
            f"stationary point: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}, "
            f"gradient {self.gradient_norm:.2g}"
        )


def _residual_norms(A: Any, supports: Supports, factors: Sequence[Any]) -> tuple[float, float]:
    """‖A − X Y‖_F, and ‖A‖_F on the places out of reach, by forming the products row by row."""
    (X, Y), (left, right) = (sparse.csr_array(factor) for factor in factors), supports
    reach_left, reach_right = left.to_sparse().astype(np.int32), right.to_sparse().astype(np.int32)
    m, n = supports.shape
    step = max(1, CHUNK // n)
    errors, outside = [], []
    for start in range(0, m, step):
        rows = slice(start, start + step)
        piece = dense(A[rows])
        reached = (reach_left[rows] @ reach_right).toarray() > 0
        errors.append(frobenius_norm(piece - (X[rows] @ Y).toarray()))
        outside.append(frobenius_norm(np.where(reached, 0, piece)))
    return math.hypot(*errors), math.hypot(*outside)


def _gradient(A: Any, supports: Supports, factors: Sequence[Any], ridge: float) -> float:
    """Norm of the gradient on the supports, by forming the residual row by row, then column by column."""
    X, Y = (sparse.csr_array(factor) for factor in factors)
    transposed = sparse.csr_array(A.T) if sparse.issparse(A) else A.T
    return math.hypot(
        _left_gradient(A, supports[0], X, Y, ridge),
        _left_gradient(transposed, supports[1].T, Y.T.tocsr(), X.T.tocsr(), ridge),
    )


def _left_gradient(A: Any, support: Support, X: Any, Y: Any, ridge: float) -> float:
    """Norm of ``(X Y − A) Yᴴ + ridge X`` on the support of X, whose places X stores in order."""
    m, n = A.shape
    width = np.diff(Y.indptr).max(initial=1)
    norms = []
    for start in range(0, m, step := max(1, CHUNK // n)):
        rows = slice(start, min(start + step, m))
        residual = (X[rows] @ Y).toarray() - dense(A[rows])
        first, last = support.indptr[rows.start], support.indptr[rows.stop]
        i = np.repeat(np.arange(rows.stop - start), np.diff(support.indptr[start : rows.stop + 1]))
        # Only the products at places of the support are formed, so many places at a time.
        for place in range(first, last, some := max(1, CHUNK // int(width))):
            places = slice(place, min(place + some, last))
            met = Y[support.indices[places]]
            at = np.repeat(i[places.start - first : places.stop - first], np.diff(met.indptr))
            met.data = met.data.conj() * residual[at, met.indices]
            norms.append(frobenius_norm(met.sum(axis=1) + ridge * X.data[places]))
    return math.hypot(*norms)


def _slack(A: Any, factors: Sequence[Any]) -> float:
    """Rounding of the product, in the units of A: large terms may cancel."""
    X, Y = factors
    terms = sparse_linalg.norm(X, axis=0) @ sparse_linalg.norm(Y, axis=1)
    return 64 * float(np.finfo(factors[0].dtype).eps) * (frobenius_norm(A) + float(terms))
