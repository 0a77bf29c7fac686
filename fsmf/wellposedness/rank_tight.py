"""Limits of the highest rank, which leave some components too few directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Supports
from fsmf.wellposedness.curve_proofs import CurveProof
from fsmf.wellposedness.witnesses import Witness

__all__ = ["RankTight"]


@dataclass(frozen=True)
class RankTight(CurveProof):
    """Prove that a matrix is a limit of products on the supports and, by its ranks, not a product.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    members : tuple of int
        The components that are left too few directions.

    Notes
    -----
    **Guarantee.** Let B have rank r, the number of components that reach a nonzero row and a nonzero column
    of it, and let BGB = B. For components K let 𝒳 be spanned by the vectors of the column space of B that
    vanish off R_k for a k in K, and 𝒴 by those of its row space that vanish off C_k for a k in K. If the
    form ``y, x ↦ y G x`` has a rank below |K| on 𝒴 × 𝒳, then B is not a product.

    *Proof.* Rows and columns in which B is zero may be zero in factors, too, so only the r components count.
    If B = XY, the columns of X are a basis of the column space of B, and the rows of Y one of its row space;
    ``X (Y G X) Y = X Y``, so ``Y G X`` is the identity. Its part K × K has rank |K|, and is made of values
    of the form: column k of X lies in 𝒳, and row k of Y in 𝒴, for k in K. ∎

    **Cost.** `verify` multiplies the curve out and finds three ranks, exactly.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.wellposedness.rank_limits import find_rank_limit
    >>> rows, columns = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 1]]
    >>> found = find_rank_limit(fsmf.pair(rows, columns), kinds=[RankTight])
    >>> bool(found.verify())
    True
    """

    members: tuple[int, ...]

    def transposed(self) -> RankTight:
        """Return the proof of the transposed problem."""
        return replace(self, curve=self.curve.transposed())

    def padded(self, rows: Any, columns: Any, classes: Any, supports: Supports) -> RankTight:
        """Carry the proof over to supports whose other components reach none of its places."""
        curve = self.curve.padded(rows, columns, classes, supports)
        return replace(self, curve=curve, members=tuple(int(classes[k]) for k in self.members))

    def verify(self) -> Verification:
        """Check the curve and the ranks in exact arithmetic, with sympy alone."""
        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        if not all(check.passed for check in checks):
            return Verification(checks)
        left, right = (support.toarray() for support in self.supports)
        rows, columns = sorted({i for i, _, _ in self.target}), sorted({j for _, j, _ in self.target})
        live = [k for k in range(left.shape[1]) if left[rows, k].any() and right[k, columns].any()]
        known = len(set(self.members)) == len(self.members) and set(self.members) <= set(live)
        named = Check("components", "different ones that reach B", "so" if known else "others", known)
        if not known:
            return Verification((*checks, named))
        rank, directions = self._ranks(left[rows], right[:, columns], rows, columns)
        return Verification(
            (
                *checks,
                named,
                Check("rank of the target", len(live), rank, rank == len(live)),
                Check(
                    f"directions left to {len(self.members)} components",
                    f"at most {len(self.members) - 1}",
                    directions,
                    directions < len(self.members),
                ),
            )
        )

    def _ranks(self, left: Any, right: Any, rows: list[int], columns: list[int]) -> tuple[int, int]:
        """The rank of B, and that of the form on the vectors that the members may take."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        row, column = ({place: at for at, place in enumerate(places)} for places in (rows, columns))
        dense = [[QQ(0)] * len(columns) for _ in rows]
        for i, j, value in self.target:
            dense[row[i]][column[j]] = QQ(*value.as_integer_ratio())
        B = DomainMatrix(dense, (len(rows), len(columns)), QQ).to_sparse()
        in_columns, in_rows = B.rref()[1], B.transpose().rref()[1]
        rank = len(in_columns)
        every = (list(range(len(rows))), list(range(len(columns))))
        bases = (B.extract(every[0], list(in_columns)), B.extract(list(in_rows), every[1]).transpose())
        # x = U a and y = b V; with the inverse of the middle for G, the form is b · middle · a.
        middle = B.extract(list(in_rows), list(in_columns))
        spans = []
        for basis, support in zip(bases, (left, right.T), strict=True):
            span = DomainMatrix.zeros((0, rank), QQ)
            for k in self.members:
                off = [i for i in range(len(support)) if not support[i, k]]
                here = basis.extract(off, list(range(rank)))
                span = span.vstack(here.nullspace() if off else DomainMatrix.eye(rank, QQ))
            spans.append(span)
        return rank, int((spans[1] * middle * spans[0].transpose()).rank())

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {"curve": self.curve.to_dict(), "members": list(self.members)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(Witness.from_dict(data["curve"]), tuple(map(int, data["members"])))
