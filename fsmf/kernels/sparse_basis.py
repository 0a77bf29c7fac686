"""Sparse vectors that span the columns of a matrix: where to begin when a sparse factor is to be found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["sparse_basis"]

Array = NDArray[Any]

# Normals that are drawn, for each dimension and altogether.
_DRAWS, _MORE = 32, 64

# Rounds of shrinking, and by how much, in units of the root mean square of an entry.
_ROUNDS, _SHRINK = 30, 0.5

# Entries below these shares of the largest count as zeros, one after another, when a vector is made exact.
_ZEROS = (0.2, 0.1, 0.03)

# Directions that differ by less are the same.
_SAME, _ALIKE = 1e-3, 0.2


def sparse_basis(A: Array, rank: int, rng: np.random.Generator, *, sharp: bool) -> Array:
    """Return sparse vectors that span the columns of A, or the leading part of what they span.

    A vector of a space of dimension r is told by r − 1 places where it vanishes. Places are drawn, and what
    vanishes there is a candidate: a vector with many zeros is met again and again. For matrices with noise,
    candidates are also made sparser by shrinking their entries and projecting back onto the space. The
    sparsest that do not depend on each other are kept.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        Real or complex.
    rank : int
        Dimension at most.
    rng : numpy.random.Generator
        For the places.
    sharp : bool
        Whether entries count as zeros at rounding level only (A is a product without noise), or vectors are
        compared by the sum of their magnitudes.

    Returns
    -------
    ndarray, shape (m, r)
        Unit columns; r is `rank`, or the rank of A if that is lower.

    Notes
    -----
    Cost: O(r³ + m r²) for each of some 32 r candidates.

    References
    ----------
    Q. Qu, J. Sun, J. Wright, "Finding a sparse vector in a subspace: linear sparsity using alternating
    directions", IEEE Trans. Inf. Theory 62 (2016), arXiv:1412.4659, for the shrinking.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.eye(6)[:, :2] + np.eye(6)[:, 3:5]
    >>> B = sparse_basis(X @ [[1.0, 2.0, 0.5], [1.0, -1.0, 3.0]], 2, np.random.default_rng(0), sharp=True)
    >>> np.count_nonzero(np.abs(B) > 1e-9, axis=0).tolist()
    [2, 2]
    """
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    r = min(rank, int(np.count_nonzero(s > 1e-9 * s[0]))) if s[0] else 0
    used = np.linalg.norm(U[:, :r], axis=1) > 1e-9
    U = U[used, :r]
    basis = np.zeros((len(A), r), dtype=A.dtype)
    if r < 2 or len(U) == r:
        # One direction has one basis; of all there is, unit vectors are the sparsest.
        basis[used] = U if r < 2 else np.eye(r)
        return basis
    normals = _normals(U, _DRAWS * r + _MORE, rng)
    rows = (U / np.linalg.norm(U, axis=1)[:, None]).conj().T
    Q = _shrunk(U * np.sqrt(len(U)), np.concatenate([rows, normals], axis=1))
    if sharp:
        Q = np.concatenate([normals, _exact(U, Q)], axis=1)
    Z = U @ Q
    size = np.abs(Z)
    if sharp:
        noise = 3 * s[r] / (s[r - 1] * np.sqrt(len(A))) if r < len(s) else 0.0
        zero = min(max(noise, 1e-7), 0.1)
        score = np.log1p((size / (size.max(axis=0) * zero)) ** 2).sum(axis=0)
    else:
        score = size.sum(axis=0)
    kept = _independent(Q, np.argsort(score, kind="stable"), _SAME if sharp else _ALIKE)
    basis[np.ix_(used, range(len(kept)))] = Z[:, kept]
    return basis[:, : len(kept)]


def _normals(U: Array, number: int, rng: np.random.Generator) -> Array:
    """What vanishes on r − 1 of the rows of U, drawn so many times, a unit column each."""
    m, r = U.shape
    drawn = np.argsort(rng.random((number, m)), axis=1)[:, : r - 1]
    normals: Array = np.linalg.qr(U[drawn].conj().swapaxes(1, 2), mode="complete").Q[:, :, -1].T
    return normals


def _shrunk(V: Array, Q: Array) -> Array:
    """Make V Q sparser: entries shrink, and the rest is projected back."""
    for _ in range(_ROUNDS):
        Z = V @ Q
        size = np.abs(Z)
        Z *= np.maximum(1 - _SHRINK / np.maximum(size, 1e-300), 0)
        Q = V.conj().T @ Z
        norm = np.linalg.norm(Q, axis=0)
        Q /= np.where(norm > 0, norm, 1)
    return Q


def _exact(U: Array, Q: Array) -> Array:
    """What is least where U Q is small, a unit column each, once; the limit is lowered in steps."""
    for share in _ZEROS:
        size = np.abs(U @ Q)
        small = (size < share * size.max(axis=0)).T
        # Hundreds of candidates are small at a dozen different sets of places.
        first = np.unique(np.packbits(small, axis=1), axis=0, return_index=True)[1]
        small = small[np.sort(first)].T.astype(float)
        gram = np.einsum("mc,mi,mj->cij", small, U.conj(), U, optimize=True)
        Q = np.linalg.eigh(gram)[1][:, :, 0].T
    return Q


def _independent(Q: Array, order: Array, least: float) -> list[int]:
    """Columns of Q in an order, those left out that nearly depend on the ones before."""
    rest = Q[:, order]
    kept: list[int] = []
    position = 0
    while len(kept) < len(Q):
        # Columns that nearly depend on those kept stay so.
        far = np.flatnonzero(np.linalg.norm(rest[:, position:], axis=0) > least)
        if not len(far):
            break
        position += int(far[0])
        kept.append(int(order[position]))
        w = rest[:, position] / np.linalg.norm(rest[:, position])
        position += 1
        rest -= w[:, None] * (w.conj() @ rest)
    return kept
