"""Least squares for a factor with a support, all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bucket", "RowGroups", "masked_lstsq"]

Index = NDArray[np.integer[Any]]

# Entries of the Gram matrices solved in one batch.
_BATCH = 1 << 21

# A row whose Gram matrix has a Cholesky pivot below this fraction of its diagonal is solved by an
# orthogonal method. A pivot that should vanish comes out as rounding (1e-14) times one plus the squared
# coefficients of its column in the others; seven digits of room for those.
_PIVOT = 1e-6


class Bucket(NamedTuple):
    """Groups of rows solved as one batch: each group shares its columns.

    Where a group has fewer columns than the bucket is wide, columns r, r + 1, … fill up: dummies that meet
    nothing, so that groups of nearly equal sizes make one batch instead of many small ones.
    """

    rows: Index  # (n_groups, rows per group)
    columns: Index  # (n_groups, width)


@dataclass(frozen=True)
class RowGroups:
    """The rows of a support, grouped by the columns that they may use; empty rows left out.

    Attributes
    ----------
    shape : tuple of int
        Shape ``(m, r)`` of the factor.
    n_dummies : int
        How many dummy columns the buckets use.
    buckets : tuple of Bucket
        The batches.
    """

    shape: tuple[int, int]
    n_dummies: int
    buckets: tuple[Bucket, ...]

    @classmethod
    def of(cls, shape: tuple[int, int], groups: Sequence[tuple[Index, Index]]) -> RowGroups:
        """Sort groups ``(rows, columns)`` into batches of equal sizes."""
        by_size: dict[tuple[int, int], list[tuple[Index, Index]]] = {}
        for rows, columns in groups:
            if len(columns):
                by_size.setdefault((len(rows), _width(len(columns))), []).append((rows, columns))
        buckets, n_dummies = [], 0
        for (_, width), members in sorted(by_size.items()):
            step = max(1, _BATCH // width**2)
            for start in range(0, len(members), step):
                batch = members[start : start + step]
                padded = np.tile(np.arange(shape[1], shape[1] + width), (len(batch), 1))
                for t, (_, columns) in enumerate(batch):
                    padded[t, : len(columns)] = columns
                    padded[t, len(columns) :] -= len(columns)
                    n_dummies = max(n_dummies, width - len(columns))
                buckets.append(Bucket(np.stack([rows for rows, _ in batch]), padded))
        return cls(shape, n_dummies, tuple(buckets))


def _width(count: int) -> int:
    """Round up to about the next quarter of a power of two."""
    step = max(1, 1 << (count.bit_length() - 3)) if count > 4 else 1
    return -(-count // step) * step


def masked_lstsq(A: NDArray[Any], Y: NDArray[Any], groups: RowGroups, *, ridge: float = 0.0) -> NDArray[Any]:
    """Return X on its support that minimises ``‖A − X Y‖² + ridge ‖X‖²``, of least norm.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision.
    Y : ndarray, shape (r, n)
        In double precision.
    groups : RowGroups
        The support of X, shape (m, r).
    ridge : float
        Weight of the squared norm.

    Returns
    -------
    ndarray, shape (m, r)
        Zero outside its support.

    Notes
    -----
    Rows with the same support share one factorization, and groups of nearly equal size are one batch. The
    normal equations serve the well-conditioned rows; pivots tell the others, which get the minimum-norm
    solution by an orthogonal method.
    """
    r = len(Y)
    dtype = np.result_type(A, Y)
    gram = np.eye(r + groups.n_dummies, dtype=dtype)
    gram[:r, :r] = Y @ Y.conj().T
    gram[np.arange(r), np.arange(r)] += ridge
    cross = np.zeros((len(A), r + groups.n_dummies), dtype=dtype)
    cross[:, :r] = A @ Y.conj().T
    X = np.zeros_like(cross)
    for rows, columns in groups.buckets:
        # x G = b for row vectors, so the transposed Gram matrix acts on columns.
        G = gram[columns[:, None, :], columns[:, :, None]]
        b = cross[rows[:, None, :], columns[:, :, None]]
        diagonal = np.einsum("tkk->tk", G)
        # A vanishing row of Y takes no part: its coefficient becomes 0, as in the minimum-norm solution.
        np.copyto(diagonal, 1.0, where=diagonal == 0)
        weak = _weak(G, diagonal.real)
        if weak.any():
            solution = np.empty_like(b)
            solution[~weak] = np.linalg.solve(G[~weak], b[~weak])
            for t in np.flatnonzero(weak):
                k = np.count_nonzero(columns[t] < r)
                solution[t, :k] = _minimum_norm(A[rows[t]], Y[columns[t, :k]], ridge)
                solution[t, k:] = 0
        else:
            solution = np.linalg.solve(G, b)
        X[rows[:, None, :], columns[:, :, None]] = solution
    return np.ascontiguousarray(X[:, :r])


def _weak(G: NDArray[Any], diagonal: NDArray[Any]) -> NDArray[np.bool_]:
    """Which Gram matrices have a Cholesky pivot near the rounding of the normal equations."""
    shifted = G.copy()
    # A shift of the size of rounding keeps the factorization from breaking down, so that one bad row does
    # not spoil the batch.
    np.einsum("tkk->tk", shifted)[...] += 8 * G.shape[1] * np.finfo(float).eps * diagonal
    try:
        pivots = np.einsum("tkk->tk", np.linalg.cholesky(shifted)).real ** 2
    except np.linalg.LinAlgError:
        return np.ones(len(G), dtype=bool)
    weak: NDArray[np.bool_] = ~(pivots > _PIVOT * diagonal).all(axis=1)
    return weak


def _minimum_norm(A: NDArray[Any], Y: NDArray[Any], ridge: float) -> NDArray[Any]:
    """Coefficients of the rows of A in the rows of Y, by SVD, shape (k, n_rows)."""
    system, target = Y.T, A.T
    if ridge:
        k = len(Y)
        system = np.concatenate([system, np.sqrt(ridge) * np.eye(k)])
        target = np.concatenate([target, np.zeros((k, len(A)))])
    solution: NDArray[Any] = np.linalg.lstsq(system, target, rcond=None)[0]
    return solution
