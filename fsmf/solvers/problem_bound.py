"""The best lower bound on the error of every product that families of disjoint blocks prove."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.truncated_svd import truncated_svd
from fsmf.observing import rank_one_minorants
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.layout import Index, IndexLists
from fsmf.supports.support import Supports
from fsmf.tractability import Structure

__all__ = ["best_bound", "best_cut"]

Array = NDArray[Any]


def best_bound(
    block: Callable[[Index, Index], Array], structure: Structure, roots: Array | None = None
) -> tuple[float, DisjointBlocks]:
    """The best bound on the places within reach of a pair, and the blocks that prove it.

    `block` returns the matrix on given rows and columns, zero out of reach; `roots` are those of weights,
    infinite out of reach.
    """
    nothing = IndexLists.of_arrays([])
    best, proof = 0.0, DisjointBlocks(nothing, nothing, nothing)
    for blocks in structure.block_families:
        ranks = blocks.components.sizes
        tails = []
        for t, rank in enumerate(ranks):
            rows, columns = blocks.rows[t], blocks.columns[t]
            piece = block(rows, columns)
            if roots is None:
                tails.append(_tail(piece, rank))
            else:
                minorants = rank_one_minorants(roots[np.ix_(rows, columns)])
                tails.append(max(_tail(u[:, None] * piece * v, rank) for u, v in minorants))
        bound = math.hypot(*tails)
        if bound > best:
            best, proof = bound, blocks
    return best, proof


def best_cut(A: Array, supports: Supports, roots: Array | None = None) -> tuple[int, float, DisjointBlocks]:
    """The best bound of all pairs that a product of several factors is, cut between two of them.

    Returns
    -------
    cut : int
        Number of factors on the left of the cut; 0 where no block bounds anything.
    bound : float
        What the blocks prove on the places within reach.
    blocks : DisjointBlocks
        The blocks.
    """
    best = 0, 0.0, DisjointBlocks.union([])
    for s in range(1, len(supports)):
        structure = Structure(supports.cut(s))
        own = None if roots is None else np.where(structure.reach, roots, np.inf)
        bound, blocks = best_bound(partial(_block, np.where(structure.reach, A, 0)), structure, own)
        if bound > best[1]:
            best = s, bound, blocks
    return best


def _block(A: Array, rows: Index, columns: Index) -> Array:
    block: Array = A[np.ix_(rows, columns)]
    return block


def _tail(block: Array, rank: int | np.integer[Any]) -> float:
    """How far a block is from the nearest one of that rank."""
    i, j = (np.arange(side)[None] for side in block.shape)
    return float(truncated_svd(block, i, j, int(rank)).tails[0])
