"""Tractable pairs: one truncated SVD per residual rectangle, and the global optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.block_brackets import GlobalOptimum
from fsmf.factorization import Status
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.namespace import Space, space_of
from fsmf.kernels.pieces import Pieces
from fsmf.kernels.truncated_svd import truncated_svd
from fsmf.products.stages import transposed_values
from fsmf.solvers.base import Cost, Solution
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.layout import Index, IndexLists, equal_shapes, offsets
from fsmf.supports.support import Support
from fsmf.tractability import Part, Structure

__all__ = ["BlockSVD"]


@dataclass(frozen=True)
class BlockSVD:
    """Solve a tractable pair exactly.

    With S* the union of the complete classes' rectangles, each other class P keeps ``S_P ∖ S*``. When these
    residuals are rectangles, pairwise disjoint or equal, the problem falls apart: the best approximation of
    A on each residual rectangle is a truncated SVD, and the complete classes then make whatever is left
    on S*.

    Notes
    -----
    **Guarantee.** `GlobalOptimum`: the optimum exists, and the result attains it to working precision.
    The residual rectangles themselves prove the lower bound.

    **Cost.** O(Σ k·b·c) for residual rectangles of b × c places and rank budget k (O(b·c·min(b, c)) where
    singular values nearly tie), plus one pass over S*. Memory: the factors.

    References
    ----------
    Le, Riccietti, Gribonval, SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386; pooling equal residuals
    is ours.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((8, 8))
    >>> F = fsmf.factorize(A, fsmf.hodlr(8, rank=1), solver=fsmf.BlockSVD())
    >>> F.status.name, F.certificate.gap
    ('OPTIMAL', 0.0)
    """

    promise: ClassVar[type[GlobalOptimum]] = GlobalOptimum
    by_parts: ClassVar[bool] = True
    anywhere: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False

    def measures(self, structure: Structure) -> bool:
        """Return False: A is looked at before."""
        return False

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""
        if structure.n_prescribed:
            return f"BlockSVD leaves all entries free; found {structure.n_prescribed} that are prescribed"
        if not structure.is_pair:
            return f"BlockSVD takes two factors; found {len(structure.supports)}"
        if not structure.tractable:
            return f"BlockSVD takes tractable pairs; here {structure.why_not()}"
        return None

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost for supports that are not refused."""
        rectangles = structure.rectangles
        area = rectangles.rows.sizes.astype(float) * rectangles.columns.sizes
        # About six products with the block find a rank-one piece; see kernels/truncated_svd.py.
        flops = 12 * float(area @ rectangles.ranks) + float(structure.classes.areas.sum())
        return Cost(flops, 16.0 * structure.n_parameters)

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution:
        """Solve one part of A; see `Solver.solve`."""
        structure = part.structure
        left, right = structure.supports
        rectangles, classes = structure.rectangles, structure.classes
        space = space_of(A)
        # X column by column.
        X, Y = (Pieces(space, support.nnz, space.dtype(A)) for support in (left, right))
        tails = []
        batches = equal_shapes(rectangles.rows, rectangles.columns, rectangles.ranks)
        for which, rows, columns, rank in batches:
            svd = truncated_svd(A, part.rows[rows], part.columns[columns], rank)
            tails.append(frobenius_norm(svd.tails))
            # The members of all classes pooled in a rectangle share its singular triplets.
            members = classes.members.take(rectangles.classes.take(which).indices).indices
            members = members.reshape(len(which), rank)
            k = svd.s.shape[1]
            root = space.xp.sqrt(svd.s)[:, :, None]
            X.put(_positions(left.T, members[:, :k], rows), space.xp.matrix_transpose(svd.U) * root)
            Y.put(_positions(right, members[:, :k], columns), svd.Vh * root)
        self._complete(A, part, X, Y)
        error = math.hypot(*tails) if tails else 0.0
        return Solution(
            left=_to_row_order(space, X.together(), left),
            right=Y.together(),
            error=error,
            lower_bound=error,
            status=Status.OPTIMAL,
            blocks=part.locate(_proof(structure)),
        )

    def _complete(self, A: Any, part: Part, X: Pieces, Y: Pieces) -> None:
        """Let the complete classes make A on S*, each the places that no earlier one has made."""
        structure = part.structure
        left, right = structure.supports
        classes = structure.classes
        space = space_of(A)
        xp, dtype = space.xp, space.dtype(A)
        complete = np.flatnonzero(classes.complete)
        # Which places are made already; needed only where complete rectangles overlap.
        overlap = np.unique(structure.component_of[complete]).size < complete.size
        made = np.zeros(structure.shape if overlap else (0, 0), dtype=bool)
        for p in complete:
            members, rows, columns = classes[p]
            block = part.block(A, rows, columns)
            if overlap:
                place = np.ix_(rows, columns)
                block = xp.where(space.put(made[place]), xp.zeros_like(block), block)
                made[place] = True
            if len(rows) <= len(columns):
                members = members[: len(rows)]
                own, values = space.eye(len(rows), dtype), block
            else:
                members = members[: len(columns)]
                own, values = block.T, space.eye(len(columns), dtype)
            X.put(_positions(left.T, members[None], rows[None])[0], own)
            Y.put(_positions(right, members[None], columns[None])[0], values)


def _proof(structure: Structure) -> DisjointBlocks:
    """The residual rectangles with their components, on which nothing else acts."""
    rectangles, members = structure.rectangles, structure.classes.members
    pooled = members.take(rectangles.classes.indices)
    ends = offsets(pooled.sizes)[rectangles.classes.indptr]
    owner = np.repeat(np.arange(len(rectangles.classes)), np.diff(ends))
    ordered = pooled.indices[np.lexsort((pooled.indices, owner))]
    return DisjointBlocks(rectangles.rows, rectangles.columns, IndexLists(ends, ordered))


def _positions(support: Support, members: Index, indices: Index) -> Index:
    """Where the entries ``indices[t]`` of each row ``members[t, i]`` of a support are stored.

    Shapes (n_blocks, k) and (n_blocks, b) give (n_blocks, k, b).
    """
    starts, stops = support.indptr[members], support.indptr[members + 1]
    b = indices.shape[1]
    if (stops - starts == b).all():
        return starts[:, :, None] + np.arange(b)
    positions = np.empty((*members.shape, b), dtype=np.intp)
    for t, i in np.ndindex(*members.shape):
        start = starts[t, i]
        positions[t, i] = start + np.searchsorted(support.indices[start : stops[t, i]], indices[t])
    return positions


def _to_row_order(space: Space, values: Any, support: Support) -> Any:
    """Reorder values stored column by column into the row-major order of the support."""
    transposed = support.T
    if not space.is_host:
        return transposed_values(space, transposed, values)
    csc = sparse.csc_array((values, transposed.indices, transposed.indptr), shape=support.shape)
    ordered: NDArray[Any] = csc.tocsr().data
    return ordered
