"""Sparse vectors that span the columns of a matrix: where to begin when a sparse factor is to be found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

__all__ = ["noise_level", "normals", "sparse_basis"]

Array = NDArray[Any]

# How often independent rows are drawn where they are few of many, and at most.
_DRAWS, _MOST = 16, 512

# By how much the logarithms of their weights differ at most; and without noise, which nearly dependent rows
# make grow.
_SPREAD, _EXACT_SPREAD = 6.0, 12.0

# A matrix with no more beyond its rank, as a share of the largest singular value, has that rank.
_EXACT = 1e-14

# Rounding, as a share of the largest singular value; entries, in units of the noise, that are zeros, and when
# vectors are made exact, one limit after another, but never more than a share of the largest.
_ROUNDING, _ZERO, _ZEROS, _SMALL = 1e-9, 4.0, (16.0, 4.0, 1.0, 1.0), 0.1

# Vectors that are compared with those kept at a time.
_BLOCK = 128

# Singular values of pure noise end at 1 in these units; vectors that differ by less are the same.
_NOISE, _DIFFERENT, _SAME = 1.1, 3.0, 1e-3


def noise_level(A: Array, rank: int) -> float:
    """Return the standard deviation of an entry if A is a matrix of that rank and noise alike in all entries.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        Real or complex.
    rank : int
        Of the matrix without noise, at most.

    Returns
    -------
    float
        In the units of A; 0 if any matrix of that shape has no higher rank, and where there is but rounding.

    Examples
    --------
    >>> import numpy as np
    >>> E = np.random.default_rng(0).standard_normal((100, 80))
    >>> round(noise_level(np.ones((100, 80)) + 0.01 * E, 1), 4)
    0.01
    """
    m, n = A.shape
    if rank >= min(m, n):
        return 0.0
    s = np.linalg.svd(A, compute_uv=False)
    rest = np.linalg.norm(s[rank:])
    return float(rest / np.sqrt((m - rank) * (n - rank))) if rest > _EXACT * s[0] else 0.0


def normals(rows: Array, draws: int, rng: np.random.Generator, *, spread: float = _SPREAD) -> Array:
    """Return what vanishes on all of so many drawn independent rows but one, a unit column each.

    Parameters
    ----------
    rows : ndarray, shape (m, r)
        Of rank r, real or complex; m is larger than r.
    draws : int
        How often rows are drawn where they are few of many; else more often.
    rng : numpy.random.Generator
        For the rows.
    spread : float
        By how much the logarithms of the weights of rows differ at most.

    Returns
    -------
    ndarray, shape (r, k)
        r columns for each draw.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> Q = normals(rows, 2, np.random.default_rng(0))
    >>> bool((np.abs(rows @ Q) < 1e-12).any(axis=0).all())
    True
    """
    number, r = rows.shape
    # The share of vectors with few nonzeros that a draw meets falls like this.
    draws = min(_MOST, int(draws * (number / (number - r)) ** 2))
    (pivoted,) = get_lapack_funcs(("geqp3",), (rows,))
    # What is left of a row decides as well as its weight: none is taken that depends on those before.
    weights = np.exp(spread * rng.random((draws, 1, number)))
    drawn = np.stack([pivoted(weighted)[1][:r] - 1 for weighted in weights * rows.conj().T])
    Q = np.concatenate(np.linalg.inv(rows[drawn]), axis=1)
    unit: Array = Q / np.linalg.norm(Q, axis=0)
    return unit


def sparse_basis(
    A: Array, rank: int, rng: np.random.Generator, *, noise: float = 0.0, draws: int = _DRAWS
) -> tuple[Array, Array]:
    """Return sparse vectors that span the columns of A, or the leading part of what they span.

    A vector of a space of dimension r is told by r − 1 independent rows where it vanishes. Independent rows
    are drawn, and what vanishes on all but one of them is a candidate: a vector with many zeros is met again
    and again. Under noise, an entry as small as it is taken for a zero, and the candidate becomes what is
    least in all those places. The sparsest that do not depend on each other are kept.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        Real or complex.
    rank : int
        Dimension at most.
    rng : numpy.random.Generator
        For the rows.
    noise : float
        Standard deviation of an entry of A; see `noise_level`.
    draws : int
        How often r rows are drawn if A has many more; more often if it has not.

    Returns
    -------
    X : ndarray, shape (m, r)
        Unit columns; r is `rank`, or how many singular values of A stand out from the noise.
    level : ndarray, shape (r,)
        How large entries of each column could be that are zero but for noise; smaller ones have become zero.

    Notes
    -----
    Cost: O(m r²) for each draw, of r candidates.

    References
    ----------
    Q. Qu, J. Sun, J. Wright, "Finding a sparse vector in a subspace: linear sparsity using alternating
    directions", IEEE Trans. Inf. Theory 62 (2016), arXiv:1412.4659, for the problem.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.eye(6)[:, :2] + np.eye(6)[:, 3:5]
    >>> B, _ = sparse_basis(X @ [[1.0, 2.0, 0.5], [1.0, -1.0, 3.0]], 2, np.random.default_rng(0))
    >>> np.count_nonzero(B, axis=0).tolist()
    [2, 2]
    """
    m, n = A.shape
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    least = max(_NOISE * noise * (np.sqrt(m) + np.sqrt(n)), _ROUNDING * s[0])
    r = min(rank, int(np.count_nonzero(s > least)))
    zero = max(_ZERO * noise, _ROUNDING * s[0])
    # What unit vectors make of these rows has as much noise as A.
    rows = U[:, :r] * s[:r]
    used = np.linalg.norm(rows, axis=1) > np.sqrt(r) * zero
    rows = rows[used]
    if r < 2 or len(rows) <= r:
        # One direction has one basis; of all there is, unit vectors are the sparsest.
        Z = rows if r < 2 else np.eye(len(rows), dtype=A.dtype) * s[0]
    else:
        Q = normals(rows, draws, rng, spread=_SPREAD if noise else _EXACT_SPREAD)
        if noise:
            Q = _exact(rows, Q, zero)
        Z = rows @ Q
        size = np.abs(Z)
        score = np.log1p((size / zero) ** 2).sum(axis=0)
        order = np.lexsort((score, np.count_nonzero(size > zero, axis=0)))
        same = np.maximum(_SAME * np.linalg.norm(Z, axis=0), _DIFFERENT * noise * np.sqrt(len(Z)))
        Z = Z[:, _independent(Z / same, order, r)]
    Z = np.where(np.abs(Z) > zero, Z, 0)
    norms = np.linalg.norm(Z, axis=0)
    Z, norms = Z[:, norms > 0], norms[norms > 0]
    basis = np.zeros((m, len(norms)), dtype=A.dtype)
    basis[used] = Z / norms
    return basis, (zero if noise else 0.0) / norms


def _exact(rows: Array, Q: Array, zero: float) -> Array:
    """What is least where its entries are small, a unit column each, once; the limit is lowered in steps."""
    for limit in _ZEROS:
        size = np.abs(rows @ Q)
        small = (size < np.maximum(zero, np.minimum(limit * zero, _SMALL * size.max(axis=0)))).T
        # Hundreds of candidates are small at a dozen different sets of places.
        first = np.unique(np.packbits(small, axis=1), axis=0, return_index=True)[1]
        small = small[np.sort(first)].T.astype(float)
        gram = np.einsum("mc,mi,mj->cij", small, rows.conj(), rows, optimize=True)
        Q = np.linalg.eigh(gram)[1][:, :, 0].T
    return Q


def _independent(Z: Array, order: Array, number: int) -> list[int]:
    """So many columns of Z at most, in an order; none is less than 1 away from what those before span."""
    kept: list[int] = []
    basis = np.empty((len(Z), 0), dtype=Z.dtype)
    for start in range(0, len(order), _BLOCK):
        if len(kept) == number:
            break
        some = order[start : start + _BLOCK]
        rest = Z[:, some] - basis @ (basis.conj().T @ Z[:, some])
        while len(kept) < number:
            # Columns that nearly depend on those kept stay so.
            far = np.linalg.norm(rest, axis=0) > 1
            rest, some = rest[:, far], some[far]
            if not len(some):
                break
            kept.append(int(some[0]))
            w = rest[:, :1] / np.linalg.norm(rest[:, 0])
            basis = np.concatenate([basis, w], axis=1)
            rest -= w @ (w.conj().T @ rest)
    return kept
