"""What is observed of a matrix: weights of its entries, and entries that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.kernels.matrix import as_array
from fsmf.kernels.namespace import check_on_host

__all__ = ["observed", "rank_one_minorants"]

Array = NDArray[Any]


def observed(A: Any, weights: Any = None, missing: str | None = None) -> tuple[Any, Array | None]:
    """Check a matrix with its weights, and put zeros where nothing is known.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        The matrix.
    weights : array_like, shape (m, n), optional
        Nonnegative weights of the squared differences.
    missing : {"nan"}, optional
        Whether NaN stands for a missing entry, of weight 0.

    Returns
    -------
    A : ndarray or sparse array
        In one of the four dtypes, 0 where the weight is.
    roots : ndarray, shape (m, n), or None
        Square roots of the weights; None where all are 1.

    Raises
    ------
    ShapeError, InputError, InputTypeError, OptionError
        If the weights are none, or `missing` names nothing.
    """
    A = as_array(A)
    if missing not in (None, "nan"):
        raise OptionError(f'missing must be "nan", or None where nothing is missing; found {missing!r}')
    if weights is None and missing is None:
        return A, None
    check_on_host(A, "what takes weights or missing entries")
    A = A.toarray() if sparse.issparse(A) else A
    roots = np.ones(A.shape) if weights is None else np.sqrt(_checked(weights, A.shape))
    if missing:
        roots = np.where(np.isnan(A), 0, roots)
    if not roots.any():
        raise InputError(
            "some entry must count; found every entry missing or of weight 0; give some a weight"
        )
    if missing or (roots == 0).any():
        # A NaN of weight 0 stays where missing="nan" was not asked for, and is refused as any other.
        known = (roots > 0) | (np.isnan(A) if missing is None else False)
        A = np.where(known, A, A.dtype.type(0))
    return A, None if (roots == 1).all() else roots


def _checked(weights: Any, shape: tuple[int, int]) -> Array:
    found = weights.toarray() if sparse.issparse(weights) else np.asarray(weights)
    if found.dtype.kind not in "biuf":
        raise InputTypeError(f"weights must be real numbers; found dtype {found.dtype}; convert them")
    if found.shape != shape:
        raise ShapeError(
            f"weights must have the shape {shape} of A; found {found.shape}; use np.broadcast_to for "
            "one of each row or column"
        )
    wrong = ~np.isfinite(found) | (found < 0)
    if wrong.any():
        raise InputError(
            f"weights must be finite and not negative; found {np.count_nonzero(wrong)} others, such as "
            f"{found[wrong].flat[0]}; give 0 to what should not count"
        )
    return found.astype(float)


def rank_one_minorants(roots: Array) -> tuple[tuple[Array, Array], ...]:
    """Vectors u and v with ``u vᵀ ≤ roots``, two choices; equal to the roots where these have rank one.

    Infinity stands for entries that do not matter. Since ``u_i v_j ≤ roots_ij``, the weighted distance of A
    from any matrix of rank q is at least that of ``diag(u) A diag(v)`` from those of rank q, not weighted.
    """

    def by_rows(roots: Array) -> tuple[Array, Array]:
        matters = np.isfinite(roots)
        count = np.maximum(1, matters.sum(axis=1))
        u = np.where(matters, roots, 0).sum(axis=1) / count
        ratios = np.divide(roots, u[:, None], out=np.full(roots.shape, np.inf), where=u[:, None] > 0)
        v = ratios.min(axis=0, initial=np.inf)
        return u, np.where(np.isfinite(v), v, 0)

    return by_rows(roots), by_rows(roots.T)[::-1]
