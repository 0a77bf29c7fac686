"""What a result promises, in numbers that can be checked from A and the supports alone.

Both certificates rest on one inequality. Let B_1, B_2, … be disjoint sets of places within reach, each in a
block ``rows × columns``, and let only q_t components reach places of B_t. On B_t every product has rank at
most q_t, so no product is nearer to A than

    (‖A out of reach‖² + Σ_t Σ_{i > q_t} σ_i(A on B_t)²)^½.

A certificate keeps the blocks and the components; whoever doubts it looks for others that reach them, takes
singular values, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import comfortable_exponent, divided
from fsmf.observing import rank_one_minorants
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Support, Supports

__all__ = [
    "CHUNK",
    "BlockBracket",
    "ByConstruction",
    "Check",
    "GlobalOptimum",
    "StationaryPoint",
    "Verification",
    "close",
    "dense",
    "divided_factor",
    "product_error",
    "proved_bound",
]

# Places compared at a time when products are formed for checking.
CHUNK = 1 << 22

# Roundings of each entry on the way through one factor, generously.
_ROUNDINGS = 8


class Check(NamedTuple):
    """One thing checked: what the certificate says, what was found, and whether they agree."""

    name: str
    recorded: Any
    found: Any
    passed: bool


@dataclass(frozen=True)
class Verification:
    """Report what a verification found; true when every check passed.

    Attributes
    ----------
    checks : tuple of Check
        Name, recorded value, value found, and whether they agree.

    Notes
    -----
    ``bool(verification)`` is whether all checks passed; ``print`` shows each.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2))
    >>> bool(F.verify(np.eye(4))), bool(F.verify(np.ones((4, 4))))
    (True, False)
    """

    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if check.passed else 'FAIL'} {check.name}: recorded {_short(check.recorded)}, "
            f"found {_short(check.found)}"
            for check in self.checks
        )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class BlockBracket:
    """The part that both certificates share: an error, a lower bound, and the blocks that prove it."""

    error: float
    lower_bound: float
    out_of_reach: float
    blocks: DisjointBlocks

    name: ClassVar[str]
    # The fields that have the units of A.
    in_units: ClassVar[tuple[str, ...]] = ("error", "lower_bound", "out_of_reach")

    @property
    def gap(self) -> float:
        """How far the error may be above the smallest possible one, in the units of A."""
        return max(0.0, self.error - self.lower_bound)

    def scalars(self) -> dict[str, float]:
        """Return the numbers of the certificate by name, without the blocks."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "blocks"}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: its blocks."""
        return list(self.blocks.arrays())

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Self:
        """Build the certificate from what a file holds."""
        return cls(**numbers, blocks=DisjointBlocks.from_arrays(arrays))

    def scaled(self, factor: float) -> Self:
        """Return the certificate of the problem for a multiple of A, shared out between the factors."""
        in_units: dict[str, Any] = {name: factor * getattr(self, name) for name in self.in_units}
        return replace(self, **in_units)

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


@dataclass(frozen=True)
class ByConstruction:
    """Certify factors that are known in closed form: the error is rounding.

    Attributes
    ----------
    error : float
        A bound on the rounding of the product, in the units of the matrix.
    n_factors : int
        Number of factors, which the bound is proportional to.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.transforms.hadamard(4).certificate
    ByConstruction(error=1.4210854715202004e-14, n_factors=2)
    """

    error: float
    n_factors: int

    name: ClassVar[str] = "ByConstruction"
    lower_bound: ClassVar[float] = 0.0

    @classmethod
    def of(cls, norm: float, n_factors: int, dtype: Any) -> ByConstruction:
        """Return the certificate of a product of known norm."""
        return cls(_ROUNDINGS * n_factors * float(np.finfo(dtype).eps) * norm, n_factors)

    @property
    def gap(self) -> float:
        """How far the error may be above 0, in the units of the matrix."""
        return self.error

    def scalars(self) -> dict[str, Any]:
        """Return the numbers of the certificate by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: none."""
        return []

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> ByConstruction:
        """Build the certificate from what a file holds."""
        return cls(**numbers)

    def scaled(self, factor: float) -> ByConstruction:
        """Return the certificate of a multiple."""
        return replace(self, error=self.error * factor)

    def transposed(self) -> ByConstruction:
        """Return the certificate of the transpose."""
        return self

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check the bound against A, as `QuasiOptimum.verify`."""
        error, _ = product_error(A, factors)
        bound = ByConstruction.of(frobenius_norm(A), len(factors), factors[0].dtype).error
        return Verification(
            (
                Check("error within its bound", self.error, error, error <= self.error),
                Check("bound", self.error, bound, close(self.error, bound, 0.0)),
                Check("factors", self.n_factors, len(factors), self.n_factors == len(factors)),
            )
        )

    def __str__(self) -> str:
        return f"exact by construction: error at most {self.error:.2g}, which is rounding"


def product_error(A: Any, factors: Sequence[Any]) -> tuple[float, float]:
    """‖A − X1 … XL‖_F by forming the product row by row, and the rounding to expect."""
    m, n = A.shape
    step = max(1, CHUNK // n)
    errors, sizes = [], []
    for start in range(0, m, step):
        rows = slice(start, start + step)
        product, absolute = sparse.csr_array(factors[0])[rows], abs(sparse.csr_array(factors[0])[rows])
        for factor in factors[1:]:
            product, absolute = product @ factor, absolute @ abs(factor)
        errors.append(frobenius_norm(dense(A[rows]) - dense(product)))
        sizes.append(frobenius_norm(absolute))
    eps = float(np.finfo(factors[0].dtype).eps)
    slack = 8 * len(factors) * eps * (frobenius_norm(A) + math.hypot(*sizes))
    return math.hypot(*errors), slack


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


def proved_bound(
    A: Any,
    supports: Supports,
    blocks: DisjointBlocks,
    out_of_reach: float,
    roots: NDArray[Any] | None = None,
) -> float:
    """Return the bound that blocks prove, by counting components and by LAPACK singular values.

    NaN where they prove nothing: a component that a block leaves out reaches one of its places, two blocks
    speak of the same place, or indices point nowhere.
    """
    (m, n), r = supports.shape, supports[0].shape[1]
    by_row, by_column = supports[0].to_sparse(), supports[1].T.to_sparse()
    left, right = (support.to_sparse().astype(np.int32) for support in supports)
    sides = ((blocks.rows, m), (blocks.columns, n), (blocks.components, r))
    if len({len(lists) for lists, _ in sides}) > 1 or not all(
        ((lists.indices >= 0) & (lists.indices < side)).all() for lists, side in sides
    ):
        return math.nan
    taken = np.zeros((m, n) if len(blocks) else (0, 0), dtype=bool)
    tails = [out_of_reach]
    for t in range(len(blocks)):
        rows, columns, own = blocks.rows[t], blocks.columns[t], blocks.components[t]
        if any(len(np.unique(index)) < len(index) for index in (rows, columns, own)):
            return math.nan
        others = np.setdiff1d(np.intersect1d(by_row[rows].indices, by_column[columns].indices), own)
        reached, elsewhere = (
            (left[rows][:, some] @ right[some][:, columns]).toarray() > 0 for some in (own, others)
        )
        place = np.ix_(rows, columns)
        if (reached & (elsewhere | taken[place])).any():
            return math.nan
        taken[place] |= reached
        if own.size < min(reached.shape):
            piece = np.where(reached, dense(A[rows][:, columns]), 0)
            scales = [(np.ones(len(rows)), np.ones(len(columns)))]
            if roots is not None:
                scales = list(rank_one_minorants(np.where(reached, roots[place], np.inf)))
            tails.append(max(_tail(u[:, None] * piece * v, own.size) for u, v in scales))
    return math.hypot(*tails)


def _tail(block: NDArray[Any], rank: int) -> float:
    peak = float(np.abs(block).max())
    if peak == 0:
        return 0.0
    values = np.linalg.svd((block / peak).astype(np.result_type(block.dtype, np.float64)), compute_uv=False)
    return float(np.linalg.norm(values[rank:])) * peak


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


def dense(piece: Any) -> NDArray[Any]:
    """Return a piece of a matrix as a dense array."""
    dense: NDArray[Any] = piece.toarray() if sparse.issparse(piece) else piece
    return dense


def divided_factor(factor: Any, exponent: int) -> Any:
    """Return a sparse factor divided by ``2**exponent``."""
    factor = sparse.csr_array(factor, copy=True)
    factor.data = divided(factor.data, exponent)
    return factor


def _eps(factors: Sequence[Any]) -> float:
    return float(np.finfo(factors[0].dtype).eps)


def _slack(A: Any, factors: Sequence[Any]) -> float:
    """Rounding of the product, in the units of A: large terms may cancel."""
    X, Y = factors
    terms = sparse_linalg.norm(X, axis=0) @ sparse_linalg.norm(Y, axis=1)
    return 64 * _eps(factors) * (frobenius_norm(A) + float(terms))


def close(recorded: float, found: float, slack: float, rtol: float = 1e-7) -> bool:
    """Whether two norms agree, up to rounding."""
    norms = 0 <= recorded < math.inf and 0 <= found < math.inf
    return norms and abs(recorded - found) <= rtol * found + slack
