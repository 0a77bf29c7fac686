"""Limits of the highest rank, with a triangle that components cannot give a diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Supports
from fsmf.wellposedness.curve_proofs import CurveProof
from fsmf.wellposedness.rank_below import reaching, restricted_target
from fsmf.wellposedness.witnesses import Witness

__all__ = ["RankBlock"]


@dataclass(frozen=True)
class RankBlock(CurveProof):
    """Prove that a matrix is a limit of products on the supports and, by a triangle in it, not a product.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    rows, columns : tuple of int
        Those of the triangle, in order, as many of each.

    Notes
    -----
    **Guarantee.** Let B have rank r, the number of components that reach a nonzero row and a nonzero column
    of it. For a component k let 𝒳_k be the vectors of the column space of B that vanish off R_k, and 𝒴_k
    those of the row space that vanish off C_k. Let ``B[I, J]``, for rows I and as many columns J in order, be
    a lower triangle with nonzeros on the diagonal. Let a_k be the place of the first row of I on which 𝒳_k
    does not vanish, and b_k that of the last column of J on which 𝒴_k does not. If ``a_k ≤ b_k`` for fewer k
    than there are rows in I, then B is not a product.

    *Proof.* Rows and columns in which B is zero may be zero in factors, too, so only the r components count.
    If B = XY, then X and Y have rank r. So column k of X lies in the column space of B, in 𝒳_k, and row k of
    Y in 𝒴_k. Those with ``a_k > b_k`` add to ``B[I, J]`` only below its diagonal. So without them it is still
    a triangle without a zero on its diagonal, and the others are too few for its rank. ∎

    **Cost.** `verify` multiplies the curve out and finds kernels and ranks, exactly.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.rank_limits import find_rank_limit
    >>> supports = fsmf.random_supports(8, 8, components=4, density=0.9, rng=13)
    >>> found = find_rank_limit(supports, kinds=[RankBlock])
    >>> len(found.rows)
    2
    >>> bool(found.verify())
    True
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def transposed(self) -> RankBlock:
        """Return the proof of the transposed problem."""
        return RankBlock(self.curve.transposed(), self.columns[::-1], self.rows[::-1])

    def padded(
        self, rows: Sequence[int], columns: Sequence[int], classes: Sequence[int], supports: Supports
    ) -> RankBlock:
        """Carry the proof over to supports whose other components reach none of its places."""
        return replace(
            self,
            curve=self.curve.padded(rows, columns, classes, supports),
            rows=tuple(int(rows[i]) for i in self.rows),
            columns=tuple(int(columns[j]) for j in self.columns),
        )

    def verify(self) -> Verification:
        """Check the curve, the rank and the block in exact arithmetic, with sympy alone."""
        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        if not all(check.passed for check in checks):
            return Verification(checks)
        B, R, C, row, column = restricted_target(self.curve)
        inside = set(self.rows) <= set(row) and set(self.columns) <= set(column)
        named = Check("block", "where B is not zero", "so" if inside else "elsewhere", inside)
        if not inside:
            return Verification((*checks, named))
        I, J = [row[i] for i in self.rows], [column[j] for j in self.columns]
        block = B.extract(I, J).to_dok() if I and J else {}
        triangle = len(I) == len(J) and all(a >= b for a, b in block)
        triangle = triangle and all((a, a) in block for a in range(len(I)))
        rank, r = B.rank(), R.shape[1]
        in_rows, in_columns = reaching(B, R, I), reaching(B.transpose(), C, J)
        count = sum(
            first.any() and last.any() and int(np.argmax(first)) < len(J) - int(np.argmax(last[::-1]))
            for first, last in zip(in_rows.T, in_columns.T, strict=True)
        )
        return Verification(
            (
                *checks,
                named,
                Check("block", "a triangle", "so" if triangle else "none", triangle),
                Check("rank of the target", r, rank, rank == r),
                Check(
                    f"components that reach its {len(I)} places on the diagonal, or beyond",
                    f"at most {len(I) - 1}",
                    int(count),
                    bool(count < len(I)),
                ),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {"curve": self.curve.to_dict(), "rows": list(self.rows), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        rows, columns = (tuple(map(int, data[side])) for side in ("rows", "columns"))
        return cls(Witness.from_dict(data["curve"]), rows, columns)
