"""Limits of a rank hardly below the number of components, so that one of the factors has no higher rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Supports
from fsmf.wellposedness.curve_proofs import CurveProof
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Block", "RankBelow", "reaching", "restricted_target"]

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
    >>> from fsmf.wellposedness.rank_limits import find_rank_limit
    >>> rows = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1]]
    >>> columns = [[1, 1, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]]
    >>> found = find_rank_limit(fsmf.pair(rows, columns), kinds=[RankBelow])
    >>> found.matrix().toarray()
    array([[1., 0., 0., 0.],
           [1., 0., 0., 0.],
           [0., 0., 0., 1.],
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
        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        if not all(check.passed for check in checks):
            return Verification(checks)
        restricted = restricted_target(self.curve)
        inside = all(
            set(I) <= set(restricted.row) and set(J) <= set(restricted.column)
            for I, J in (self.left, self.right)
        )
        named = Check("blocks", "where B is not zero", "so" if inside else "elsewhere", inside)
        if not inside:
            return Verification((*checks, named))
        B, R, C, row, column = restricted
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
    count = int((C[J].any(axis=0) & reaching(B, R, I).any(axis=0)).sum())
    needed = int(B.extract(I, J).rank()) if I and J else 0
    return Check(f"components left to a block of rank {needed} if {name} has the rank of the target",
                 f"at most {needed - 1}", count, count < needed)  # fmt: skip


class _Restricted(NamedTuple):
    """The target and the supports on its rows and columns, as `restricted_target` returns them."""

    B: Any
    R: Any
    C: Any
    row: dict[int, int]
    column: dict[int, int]


def restricted_target(curve: Witness) -> _Restricted:
    """Return B without its zero rows and columns, exactly, and the components that reach what is left.

    Parameters
    ----------
    curve : Witness
        Its target is B.

    Returns
    -------
    B : sympy.polys.matrices.DomainMatrix
        Shape ``(m, n)``.
    R, C : numpy.ndarray
        Which component has which rows and columns, shapes ``(m, r)`` and ``(n, r)``.
    row, column : dict of int to int
        Where a row or column of the target is among those.
    """
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    left, right = (support.toarray() for support in curve.supports)
    row, column = (
        {place: at for at, place in enumerate(sorted(set(places)))}
        for places in ([i for i, _, _ in curve.target], [j for _, j, _ in curve.target])
    )
    R, C = left[list(row)], right[:, list(column)].T
    live = R.any(axis=0) & C.any(axis=0)
    dense = [[QQ(0)] * len(column) for _ in row]
    for i, j, value in curve.target:
        dense[row[i]][column[j]] = QQ(*value.as_integer_ratio())
    B = DomainMatrix(dense, (len(row), len(column)), QQ).to_sparse()
    return _Restricted(B, R[:, live], C[:, live], row, column)


def reaching(B: Any, R: Any, I: list[int]) -> Any:
    """Return in which rows vectors of the column space that vanish off a component's rows do not all vanish.

    Parameters
    ----------
    B : sympy.polys.matrices.DomainMatrix
        The target, shape ``(m, n)``.
    R : numpy.ndarray
        Which component has which rows, shape ``(m, r)``.
    I : list of int
        Rows.

    Returns
    -------
    numpy.ndarray
        Booleans of shape ``(len(I), r)``.
    """
    basis = B.extract(list(range(len(R))), list(B.rref()[1]))
    every = list(range(basis.shape[1]))
    found = np.zeros((len(I), R.shape[1]), dtype=bool)
    for k in range(R.shape[1]):
        off = np.flatnonzero(~R[:, k]).tolist()
        chosen = basis.extract(I, every)
        if off:
            chosen = chosen * basis.extract(off, every).nullspace().transpose()
        found[[i for i, _ in chosen.to_dok()], k] = True
    return found
