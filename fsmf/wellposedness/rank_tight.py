"""Limits of the highest rank, which leave two components one and the same direction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from time import thread_time
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates import Check, Verification
from fsmf.supports.support import Supports
from fsmf.wellposedness.rational import Entries, RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["RankTight", "find_rank_tight"]

# Ranks are looked for modulo a prime whose squares fit in 64 bits, and proved in exact arithmetic.
_PRIME = 2_147_483_629
# Larger factors are not tried: exact ranks of the target would take too long.
_PLACES = 40_000


@dataclass(frozen=True)
class RankTight:
    """Prove that a matrix is a limit of products on the supports and, by its ranks, not a product.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    first, second : int
        Two components k, l.
    by_rows : bool
        Whether the argument is about the rows of k and l and the column space of B, or the transposed one.

    Notes
    -----
    **Guarantee.** Let B have rank r, the number of components that reach a place, and let V_k be the part of
    its column space that vanishes off the rows R_k. If V_k and V_l are one and the same line, B is not a
    product. *Proof.* If B = XY, the r columns of X are a basis of the column space of B. But columns k and l
    both lie in that line. ∎ So: rank B = r, and B without the rows R_k, without R_l, and without
    R_k ∩ R_l, has rank r − 1 each time.

    **Cost.** `verify` multiplies the curve out and finds four ranks, exactly.

    Examples
    --------
    >>> import numpy as np, fsmf
    >>> rows, columns = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 1]]
    >>> found = find_rank_tight(fsmf.pair(rows, columns))
    >>> bool(found.verify())
    True
    """

    curve: Witness
    first: int
    second: int
    by_rows: bool

    @property
    def supports(self) -> Supports:
        """The two supports, as they multiply."""
        return self.curve.supports

    @property
    def target(self) -> tuple[tuple[int, int, Fraction], ...]:
        """The nonzeros of the target: row, column, value."""
        return self.curve.target

    @property
    def factors(self) -> tuple[Entries[RationalFunction], ...]:
        """The entries of the curve, factor by factor."""
        return self.curve.factors

    def matrix(self) -> sparse.csr_array:
        """Return the target in floating point, a ``csr_array`` of shape ``(m, n)``."""
        return self.curve.matrix()

    def numeric(self, t: float) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return the factors at one point of the curve, as `Witness.numeric`."""
        return self.curve.numeric(t)

    def transposed(self) -> RankTight:
        """Return the proof of the transposed problem."""
        return replace(self, curve=self.curve.transposed(), by_rows=not self.by_rows)

    def padded(self, rows: Any, columns: Any, classes: Any, supports: Supports) -> RankTight:
        """Carry the proof over to supports whose other components reach none of its places."""
        curve = self.curve.padded(rows, columns, classes, supports)
        return replace(self, curve=curve, first=int(classes[self.first]), second=int(classes[self.second]))

    def verify(self) -> Verification:
        """Check the curve and the ranks in exact arithmetic, with sympy alone."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        if not all(check.passed for check in checks):
            return Verification(checks)
        here = self if self.by_rows else self.transposed()
        left, right = here.supports
        m, n = here.curve.shape
        live = [k for k in range(right.shape[0]) if left.T.row(k).size and right.row(k).size]
        if not {here.first, here.second} <= set(live) or here.first == here.second:
            return Verification((*checks, Check("two components", True, False, False)))
        first, second = (set(left.T.row(k).tolist()) for k in (here.first, here.second))
        entries = {(i, j): QQ(*value.as_integer_ratio()) for i, j, value in here.target}

        def rank_without(gone: set[int]) -> int:
            rows = [i for i in range(m) if i not in gone]
            matrix = [[entries.get((i, j), QQ(0)) for j in range(n)] for i in rows]
            return int(DomainMatrix(matrix, (len(rows), n), QQ).rank()) if rows else 0

        named = {
            "rank of the target": (set(), len(live)),
            "rank without the rows of the first": (first, len(live) - 1),
            "rank without the rows of the second": (second, len(live) - 1),
            "rank without the rows of both": (first & second, len(live) - 1),
        }
        ranks = [(name, rank, rank_without(gone)) for name, (gone, rank) in named.items()]
        return Verification(
            (*checks, *(Check(name, rank, found, rank == found) for name, rank, found in ranks))
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {
            "curve": self.curve.to_dict(),
            "first": self.first,
            "second": self.second,
            "by_rows": self.by_rows,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        curve = Witness.from_dict(data["curve"])
        return cls(curve, int(data["first"]), int(data["second"]), bool(data["by_rows"]))


def find_rank_tight(supports: Supports, deadline: float = float("inf")) -> RankTight | None:
    """Look for a limit of the highest rank that leaves two components one line, or None when time runs out.

    For components k, l that share rows and columns, take vectors u on R_k ∩ R_l, v on C_k ∩ C_l, and z, w
    that both together can make. Then

        (u + t z_k)(v + t w_k)ᵀ / t − (u − t z_l)(v − t w_l)ᵀ / t → u (w_k + w_l)ᵀ + (z_k + z_l) vᵀ,

    and the other components add what they like. If r − 1 rows off R_k, and r − 1 off R_l, are enough
    for the other directions to be independent there, only u is left for both. Vectors are random integers.
    """
    left, right = (support.toarray() for support in supports)
    if left.size + right.size > _PLACES:
        return None
    rng = np.random.default_rng(0)
    for by_rows in (True, False):
        R, C = (left, right.T) if by_rows else (right.T, left)
        n_live = int(np.count_nonzero(R.any(axis=0) & C.any(axis=0)))
        for k, l in _pairs(R, C):
            if thread_time() > deadline:
                return None
            curve = _random_curve(rng, R, C, k, l)
            if _is_tight(curve[-1], R, k, l, n_live):
                found = RankTight(
                    _as_witness(Supports(supports if by_rows else supports.T), *curve), k, l, True
                )
                return found if by_rows else found.transposed()
    return None


Integers = NDArray[np.int64]


def _pairs(R: NDArray[np.bool_], C: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Components that share rows and columns, each leaving enough rows to the others."""
    live = np.flatnonzero(R.any(axis=0) & C.any(axis=0))
    r = len(live)
    if min(len(R), len(C)) < r:
        return
    lean = [int(k) for k in live if np.count_nonzero(~R[:, k]) >= r - 1]
    for at, k in enumerate(lean):
        for l in lean[at + 1 :]:
            if (R[:, k] & R[:, l]).any() and (C[:, k] & C[:, l]).any():
                yield k, l


def _random_curve(
    rng: np.random.Generator, R: NDArray[np.bool_], C: NDArray[np.bool_], k: int, l: int
) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """X = X0 + t X1, Y = Y0 + Y1 / t (transposed, like C), and the limit of X Yᵀ."""

    def draw(places: NDArray[np.bool_]) -> Integers:
        return np.where(places, rng.choice([-3, -2, -1, 1, 2, 3], size=places.shape), 0).astype(np.int64)

    X0, Y0 = draw(R), draw(C)
    X1, Y1 = np.zeros_like(X0), np.zeros_like(Y0)
    both_rows, both_columns = R[:, k] & R[:, l], C[:, k] & C[:, l]
    u, v = draw(both_rows), draw(both_columns)
    X1[:, k], X1[:, l] = X0[:, k], X0[:, l]  # z_k and z_l
    X0[:, k], X0[:, l] = u, -u
    Y1[:, k], Y1[:, l] = v, v
    Y0[:, l] *= -1  # w_k and −w_l
    B = X0 @ Y0.T + X1 @ Y1.T
    return X0, X1, Y0, Y1, B


def _is_tight(B: Integers, R: NDArray[np.bool_], k: int, l: int, r: int) -> bool:
    """Whether the ranks prove that the limit is no product."""
    return (
        _rank(B[~R[:, k]]) == r - 1
        and _rank(B[~R[:, l]]) == r - 1
        and _rank(B[~(R[:, k] & R[:, l])]) == r - 1
        and _rank(B) == r
    )


def _rank(B: Integers) -> int:
    """Rank modulo a prime: at most the rank."""
    B = B % _PRIME
    rank = 0
    for j in range(B.shape[1]):
        below = np.flatnonzero(B[rank:, j])
        if not below.size:
            continue
        pivot = rank + below[0]
        B[[rank, pivot]] = B[[pivot, rank]]
        row = B[rank] * pow(int(B[rank, j]), -1, _PRIME) % _PRIME
        B[rank + 1 :] = (B[rank + 1 :] - B[rank + 1 :, j, None] * row % _PRIME) % _PRIME
        rank += 1
        if rank == len(B):
            break
    return rank


def _as_witness(
    supports: Supports, X0: Integers, X1: Integers, Y0: Integers, Y1: Integers, B: Integers
) -> Witness:
    """The curve in exact rational functions, without an identity."""
    one = (Fraction(1),)
    over_t = (Fraction(0), Fraction(1))
    left = (
        (int(i), int(k), ((Fraction(int(X0[i, k])), Fraction(int(X1[i, k]))), one))
        for i, k in np.argwhere((X0 != 0) | (X1 != 0))
    )
    right = (
        (int(k), int(j), ((Fraction(int(Y1[j, k])), Fraction(int(Y0[j, k]))), over_t))
        for j, k in np.argwhere((Y0 != 0) | (Y1 != 0))
    )
    target = ((int(i), int(j), Fraction(int(B[i, j]))) for i, j in np.argwhere(B))
    return Witness(supports[0], supports[1], tuple(target), tuple(left), tuple(right), ())
