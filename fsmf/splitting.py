"""Split off one sparse factor after another, until what is left is sparse too."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import FsmfWarning, OptionError, ShapeError
from fsmf.factorization import Factorization, Status
from fsmf.factorizing import factorize
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import as_matrix
from fsmf.searching import SETTLED_ON_SUPPORTS, check_scale, polished, reachable
from fsmf.solvers.problem_blocks import balance, block_gradient, block_stability
from fsmf.support_search import SupportSearch
from fsmf.supports.constraints import Constraint, Constraints, RowColumnSparse
from fsmf.supports.sizes import as_count
from fsmf.thresholding.stability import as_positive

__all__ = ["hierarchical_sparse"]

Array = NDArray[Any]

# Errors of this share of ‖A‖ are rounding.
_EXACT = 1e-14


def hierarchical_sparse(
    A: Any,
    splits: Sequence[tuple[Constraint, Constraint]] | None = None,
    *,
    ties: float = 1e-3,
    max_sweeps: int = 50,
) -> Factorization:
    """Find sparse factors by splitting: A ≈ S R, then R ≈ S' R', and so on.

    Each split starts at S = I and R = 0 and takes turns at a gradient step and a projection for R and for S.
    The supports found are then given to the solvers of given supports.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        Real or complex.
    splits : sequence of pairs of Constraint, optional
        For each split, what the factor S that is split off and what the rest R have to meet. By default, for
        a square A whose side n is a power of two, at most 2 entries a row and column of each S, and at most
        n/2, n/4, …, 2 of each rest: so a Hadamard matrix splits.
    ties : float
        Magnitudes that differ by less than this share of the largest count as equal when places are chosen;
        the first places are then taken. Noise must not decide between entries that are equal without it.
    max_sweeps : int
        Sweeps of each split, at most.

    Returns
    -------
    Factorization
        With one factor more than there are splits, the certificate of the solver that had the supports last,
        and a report (`Factorization.search`).

    Raises
    ------
    OptionError
        If an option is out of range, or no splits are given for an A that has no default ones.
    ShapeError, InputError, InputTypeError
        If constraints do not chain, or A is no finite matrix.

    Notes
    -----
    **Guarantee.** None about the supports: Hadamard matrices in their natural order, of all sizes tried (4 to
    256), also under noise of a hundredth of their norm with ``ties=0.2``, are split exactly; their rows or
    columns in another order are not. ``Hierarchical(permutation="search")`` looks for the order.

    **Cost.** Some sweeps a split, of O(m n r) and two projections each.

    References
    ----------
    L. Le Magoarou, R. Gribonval, "Flexible multilayer sparse approximations of matrices and applications",
    IEEE J. Sel. Top. Signal Process. 10 (2016), arXiv:1506.07300.

    Examples
    --------
    >>> import fsmf, scipy.linalg
    >>> F = fsmf.hierarchical_sparse(scipy.linalg.hadamard(16))
    >>> [support.nnz for support in F.supports], F.relative_error < 1e-14
    ([32, 32, 32, 32], True)
    """
    A, norm = as_matrix(A)
    check_scale(norm)
    ties, max_sweeps = as_positive("ties", ties), as_count("max_sweeps", max_sweeps)
    pairs = _default(A.shape) if splits is None else [Constraints(split) for split in splits]
    _check(pairs, A.shape)
    rest: Array = A.toarray() if sparse.issparse(A) else A
    rest = rest.astype(np.result_type(rest.dtype, np.float64), copy=False)
    dense, factors = rest, []
    for pair in pairs:
        S, rest = _split(rest, pair, ties, max_sweeps)
        factors.append(S)
    factors.append(rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        F = polished(A, factors, (), factorize)
    constraints = Constraints([*(pair[0] for pair in pairs), pairs[-1][1]])
    lower_bound, explained = reachable(dense, constraints)
    settled = F.error <= explained
    if not settled and F.status in SETTLED_ON_SUPPORTS:
        F.status = Status.SUPPORTS_OPEN
    F.search = SupportSearch(
        constraints=tuple(constraints),
        supports=F.supports,
        starts=("splits",),
        errors=(F.error,),
        best=0,
        stability=block_stability(dense, tuple(X.toarray() for X in F.factors), constraints),
        lower_bound=lower_bound,
        settled=settled,
    )
    F.solver = f"splits + {F.solver}"
    return F


def _default(shape: tuple[int, int]) -> list[Constraints]:
    """The splits of a Hadamard matrix."""
    m, n = shape
    if m != n or n < 4 or n & (n - 1):
        raise OptionError(
            f"splits may be left out for a square A whose side is a power of two, from 4; found {m}×{n}; "
            "give a pair of constraints for each split"
        )
    levels = range(1, n.bit_length() - 1)
    return [Constraints([RowColumnSparse(shape, 2), RowColumnSparse(shape, n >> level)]) for level in levels]


def _check(pairs: list[Constraints], shape: tuple[int, int]) -> None:
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise OptionError(f"splits must be pairs of constraints, one or more; found {pairs}; give (S, rest)")
    for i, pair in enumerate(pairs):
        if pair.shape != shape:
            raise ShapeError(
                f"split {i} must make a matrix of shape {shape}; found {pair.shape}; what is split is the "
                "rest of the split before"
            )
        shape = pair[1].shape[0], shape[1]


def _split(A: Array, pair: Constraints, ties: float, max_sweeps: int) -> tuple[Array, Array]:
    """Two factors of A, from S = I and R = 0."""
    left, right = pair
    floor = _EXACT * frobenius_norm(A)
    factors = [np.eye(*left.shape, dtype=A.dtype), np.zeros(right.shape, dtype=A.dtype)]
    best, least = factors, np.inf
    for _ in range(max_sweeps):
        gradient, step = block_gradient(A, factors[0], factors[1], None)
        factors[1] = _projected(right, factors[1] - step * gradient, ties)
        gradient, step = block_gradient(A, None, factors[0], factors[1])
        factors[0] = _projected(left, factors[0] - step * gradient, ties)
        error = frobenius_norm(A - factors[0] @ factors[1])
        if error >= least:
            break
        best, least = list(factors), error
        if error <= floor:
            break
        balance(factors)
    return best[0], best[1]


def _projected(constraint: Constraint, X: Array, ties: float) -> Array:
    """The projection of a matrix, but nearly equal magnitudes are taken as equal."""
    size = np.abs(X)
    peak = float(size.max())
    if not peak:
        return X
    projected: Array = np.where(constraint.places(np.round(size / (peak * ties))), X, 0)
    return projected
