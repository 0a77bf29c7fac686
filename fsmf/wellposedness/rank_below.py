"""Limits of a rank hardly below the number of components, so that one of the factors has no higher rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from fsmf.certificates import Check, Verification
from fsmf.supports.support import Supports
from fsmf.wellposedness.curve_proofs import CurveProof
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Block", "RankBelow"]

Block = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class RankBelow(CurveProof):
    """Prove that a matrix is a limit of products on the supports and, for either factor, not a product.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    left, right : tuple of (tuple of int, tuple of int)
        Rows and columns of the blocks that B cannot have if X, or Y, has the rank of B.

    Notes
    -----
    **Guarantee.** Let B have rank r − 1 or r, where r components reach a nonzero row and a nonzero column of
    it. For a component k let 𝒳_k be the vectors of the column space of B that vanish off R_k, and 𝒴_k those
    of the row space that vanish off C_k. Let rows I and columns J be such that ``rank B[I, J]`` exceeds the
    number of the k for which C_k meets J and 𝒳_k does not vanish on I; and let rows I' and columns J' be
    such that ``rank B[I', J']`` exceeds the number of those for which R_k meets I' and 𝒴_k does not vanish
    on J'. Then B is not a product.

    *Proof.* Rows and columns in which B is zero may be zero in factors, too, so only the r components count.
    If B = XY, then ``rank X + rank Y ≤ r + rank B`` (Sylvester). So X and Y do not both have a higher rank
    than B, for ``2 (rank B + 1) > r + rank B``. If X has the rank of B, its columns lie in the column space,
    column k in 𝒳_k, and B[I, J] is a sum of as many products of a column and a row as there are k for which
    C_k meets J and 𝒳_k does not vanish on I. The other case is the transposed one. ∎

    **Cost.** `verify` multiplies the curve out and finds kernels and ranks, exactly.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.below_targets import find_rank_below
    >>> rows = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1]]
    >>> columns = [[1, 1, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]]
    >>> found = find_rank_below(fsmf.pair(rows, columns))
    >>> found.matrix().toarray()
    array([[0., 0., 0., 1.],
           [0., 0., 0., 1.],
           [1., 0., 0., 0.],
           [0., 1., 1., 0.]])
    >>> bool(found.verify())
    True
    """

    left: Block
    right: Block

    def transposed(self) -> RankBelow:
        """Return the proof of the transposed problem."""
        return RankBelow(self.curve.transposed(), self.right[::-1], self.left[::-1])

    def padded(
        self, rows: Sequence[int], columns: Sequence[int], classes: Sequence[int], supports: Supports
    ) -> RankBelow:
        """Carry the proof over to supports whose other components reach none of its places."""

        def moved(block: Block) -> Block:
            return tuple(int(rows[i]) for i in block[0]), tuple(int(columns[j]) for j in block[1])

        curve = self.curve.padded(rows, columns, classes, supports)
        return replace(self, curve=curve, left=moved(self.left), right=moved(self.right))

    def verify(self) -> Verification:
        """Check the curve, the rank and both blocks in exact arithmetic, with sympy alone."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        if not all(check.passed for check in checks):
            return Verification(checks)
        left, right = (support.toarray() for support in self.supports)
        rows, columns = ({place[side]: None for place in self.target} for side in (0, 1))
        inside = all(set(I) <= set(rows) and set(J) <= set(columns) for I, J in (self.left, self.right))
        named = Check("blocks", "where B is not zero", "so" if inside else "elsewhere", inside)
        if not inside:
            return Verification((*checks, named))
        row, column = ({place: at for at, place in enumerate(sorted(places))} for places in (rows, columns))
        R, C = left[sorted(rows)], right[:, sorted(columns)].T
        live = R.any(axis=0) & C.any(axis=0)
        R, C = R[:, live], C[:, live]
        dense = [[QQ(0)] * len(column) for _ in row]
        for i, j, value in self.target:
            dense[row[i]][column[j]] = QQ(*value.as_integer_ratio())
        B = DomainMatrix(dense, (len(row), len(column)), QQ).to_sparse()
        rank = B.rank()
        found = [
            *checks,
            named,
            Check("rank of the target", f"at least {R.shape[1] - 1}", rank, rank >= R.shape[1] - 1),
        ]
        I, J = [row[i] for i in self.left[0]], [column[j] for j in self.left[1]]
        found.append(_too_few("X", B, R, C, I, J))
        I, J = [row[i] for i in self.right[0]], [column[j] for j in self.right[1]]
        found.append(_too_few("Y", B.transpose(), C, R, J, I))
        return Verification(tuple(found))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        blocks = {
            name: list(map(list, block)) for name, block in (("left", self.left), ("right", self.right))
        }
        return {"curve": self.curve.to_dict(), **blocks}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""

        def block(entry: Any) -> Block:
            I, J = entry
            return tuple(map(int, I)), tuple(map(int, J))

        return cls(Witness.from_dict(data["curve"]), block(data["left"]), block(data["right"]))


def _too_few(name: str, B: Any, R: Any, C: Any, I: list[int], J: list[int]) -> Check:
    """Whether a block of B has a higher rank than there are components left to it."""
    basis = B.extract(list(range(len(R))), list(B.rref()[1]))
    rank = basis.shape[1]
    count = 0
    for k in range(R.shape[1]):
        if C[J, k].any():
            off = [i for i in range(len(R)) if not R[i, k]]
            chosen = basis.extract(I, list(range(rank)))
            if off:
                chosen = chosen * basis.extract(off, list(range(rank))).nullspace().transpose()
            count += not chosen.is_zero_matrix
    needed = int(B.extract(I, J).rank()) if I and J else 0
    return Check(f"components left to a block of rank {needed} if {name} has the rank of the target",
                 f"at most {needed - 1}", count, count < needed)  # fmt: skip
