"""What disjoint blocks prove of all products of two factors.

Let B_1, B_2, … be disjoint sets of places within reach, each in a block ``rows × columns``, and let only q_t
components reach places of B_t. On B_t every product has rank at most q_t, so no product is nearer to A than

    (‖A out of reach‖² + Σ_t Σ_{i > q_t} σ_i(A on B_t)²)^½.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.residuals import dense
from fsmf.observing import rank_one_minorants
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Supports

__all__ = ["proved_bound"]


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
