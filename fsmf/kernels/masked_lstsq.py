"""Least squares for a factor with a support, all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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

    groups: Index  # (n_groups,)
    rows: Index  # (n_groups, rows per group)
    columns: Index  # (n_groups, width)


@dataclass(frozen=True)
class RowGroups:
    """The rows of a support, grouped by the columns that they may use, in flat arrays of int64.

    Group g has the rows ``rows[row_start[g]:row_start[g + 1]]``, and its columns are laid out likewise; those
    of empty rows are none.

    Attributes
    ----------
    shape : tuple of int
        Shape ``(m, r)`` of the factor.
    row_start, rows, column_start, columns : ndarray of int
        Where each group's rows start, the rows, where its columns start, and the columns.
    """

    shape: tuple[int, int]
    row_start: Index
    rows: Index
    column_start: Index
    columns: Index

    def __len__(self) -> int:
        return len(self.row_start) - 1

    def __getitem__(self, g: int | np.integer[Any]) -> tuple[Index, Index]:
        rows = self.rows[self.row_start[g] : self.row_start[g + 1]]
        return rows, self.columns[self.column_start[g] : self.column_start[g + 1]]

    @cached_property
    def work(self) -> float:
        """Entries of all Gram matrices and right-hand sides, a measure of the work in a solve."""
        widths = np.diff(self.column_start)
        return float(widths @ (widths + np.diff(self.row_start)))

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """The groups in batches for host memory."""
        return self.bucketed(_BATCH)

    def bucketed(self, most: int) -> tuple[Bucket, ...]:
        """The groups in batches of nearly equal sizes, of so many entries of Gram matrices at most."""
        by_size: dict[tuple[int, int], list[int]] = {}
        heights, widths = np.diff(self.row_start), np.diff(self.column_start)
        for g in np.flatnonzero(widths).tolist():
            by_size.setdefault((int(heights[g]), _width(int(widths[g]))), []).append(g)
        buckets = []
        for (_, width), members in sorted(by_size.items()):
            step = max(1, most // width**2)
            for start in range(0, len(members), step):
                batch = members[start : start + step]
                padded = np.tile(np.arange(self.shape[1], self.shape[1] + width), (len(batch), 1))
                for t, g in enumerate(batch):
                    k = widths[g]
                    padded[t, :k] = self[g][1]
                    padded[t, k:] -= k
                buckets.append(Bucket(np.array(batch), np.stack([self[g][0] for g in batch]), padded))
        return tuple(buckets)


def _width(count: int) -> int:
    """Round up to about the next quarter of a power of two."""
    step = max(1, 1 << (count.bit_length() - 3)) if count > 4 else 1
    return -(-count // step) * step


def masked_lstsq(
    A: NDArray[Any], Y: NDArray[Any], groups: RowGroups, *, ridge: float = 0.0, compiled: bool = False
) -> tuple[NDArray[Any], float]:
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
    compiled : bool
        Whether to use the compiled twin, worth its loading when there are many sweeps to make.

    Returns
    -------
    X : ndarray, shape (m, r)
        Zero outside its support.
    explained : float
        ``Re⟨A Yᴴ, X⟩``: the minimum is ``‖A‖² − explained``.

    Notes
    -----
    Rows with the same support share one factorization, and groups of nearly equal size are one batch. The
    normal equations serve the well-conditioned rows; pivots tell the others, which get the minimum-norm
    solution by an orthogonal method.
    """
    gram = Y @ Y.conj().T
    gram[np.diag_indices_from(gram)] += ridge
    cross = A @ Y.conj().T
    if compiled:
        from fsmf.kernels.gram_solve_cpu import gram_solve

        X, weak = gram_solve(gram, cross, groups, _PIVOT)
    else:
        X, weak = _gram_solve(gram, cross, groups)
    for g in weak:
        rows, columns = groups[g]
        X[np.ix_(rows, columns)] = _minimum_norm(A[rows], Y[columns], ridge).T
    return X, float(np.vdot(cross, X).real)


def _gram_solve(gram: NDArray[Any], cross: NDArray[Any], groups: RowGroups) -> tuple[NDArray[Any], Index]:
    """Solve the well-conditioned groups' normal equations; return X and the groups left out."""
    r, width = len(gram), max((bucket.columns.shape[1] for bucket in groups.buckets), default=0)
    padded = np.eye(r + width, dtype=gram.dtype)
    padded[:r, :r] = gram
    cross = np.concatenate([cross, np.zeros((len(cross), width), dtype=cross.dtype)], axis=1)
    X = np.zeros_like(cross)
    left_out = []
    for bucket, rows, columns in groups.buckets:
        # x G = b for row vectors, so the transposed Gram matrix acts on columns.
        G = padded[columns[:, None, :], columns[:, :, None]]
        b = cross[rows[:, None, :], columns[:, :, None]]
        diagonal = np.einsum("tkk->tk", G)
        # A vanishing row of Y takes no part: its coefficient becomes 0, as in the minimum-norm solution.
        np.copyto(diagonal, 1.0, where=diagonal == 0)
        weak = _weak(G, diagonal.real)
        if weak.any():
            left_out.append(bucket[weak])
            G[weak] = np.eye(G.shape[1])
        X[rows[:, None, :], columns[:, :, None]] = np.linalg.solve(G, b)
    return np.ascontiguousarray(X[:, :r]), np.concatenate([np.zeros(0, dtype=np.int64), *left_out])


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
