"""Proofs about supports that are not given: only a constraint on each factor is, which many supports meet.

Products whose factors meet the constraints are the union of those on the supports that meet them, finitely
many. The union is closed if each is, and may be if not: another support may make what one has as a limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import permutations, product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates import Check, Verification
from fsmf.supports.constraints import Constraint, Constraints, Free, OnSupport, RowColumnSparse
from fsmf.supports.sparsity import NM, BlockSparse, ColumnSparse, KSparse, RowSparse
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.joins import makes_everything
from fsmf.wellposedness.pair_proofs import PAIR_PROOFS, PairProof
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.rational import Entries, RationalFunction
from fsmf.wellposedness.verification import verify_proof
from fsmf.wellposedness.witnesses import Polynomial, Witness

__all__ = [
    "EveryMember",
    "Lines",
    "NoMember",
    "OneMember",
    "constraints_from_list",
    "constraints_to_list",
    "is_listed",
    "kind_of",
    "kinds_on",
    "meeting",
    "most_at_once",
]

_CONSTRAINTS: dict[str, Any] = {
    kind.__name__: kind for kind in (BlockSparse, ColumnSparse, Free, KSparse, NM, RowColumnSparse, RowSparse)
}

# Constraints on more places are not gone through, support by support.
_PLACES = 12

# The supports of a pair up to the order of rows, columns and components: for each row the components that it
# lies in, and for each column.
Kind = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Lines:
    """Prove that products are a union of coordinate subspaces, or of matrices of rank one, and closed.

    Notes
    -----
    **Guarantee.** If each component has at most one row, the rows of a product are chosen independently, and
    row i is anything on the columns of its components: products on given supports are all matrices on their
    reach. Likewise with columns. With one component they are the matrices of rank one on its rectangle. A
    finite union of closed sets is closed.
    """

    reason = "whatever supports are chosen, each component has one row or one column, or there is just one"

    def verify(self, constraints: Constraints) -> Verification:
        """Count the components, and the places that each may have at most."""
        inner = constraints[0].shape[1]
        most = min(most_at_once(constraints[0]), most_at_once(constraints[-1], by_rows=True))
        holds = len(constraints) == 1 or (len(constraints) == 2 and (inner == 1 or most <= 1))
        found = f"{len(constraints)} factors, {inner} components of {most} or more"
        return Verification((Check("one line or one component", "so", found, holds),))

    def to_dict(self) -> dict[str, Any]:
        """Return nothing: the constraints say it."""
        return {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls()


@dataclass(frozen=True)
class OneMember:
    """Prove that products are all matrices: those on one pair of supports that meets the constraints are.

    Attributes
    ----------
    member : Supports
        The pair.
    proof : Proof
        That its products are all matrices on their reach, which is everywhere.
    """

    member: Supports
    proof: Proof

    reason = "one choice of supports makes every matrix"

    def verify(self, constraints: Constraints) -> Verification:
        """Check that the pair meets the constraints, reaches everything, and makes any values."""
        checks = [_meets(constraints, self.member)]
        reach = self.member[0].toarray().astype(int) @ self.member[1].toarray().astype(int)
        missing = int(np.count_nonzero(reach == 0))
        checks.append(Check("places out of reach", 0, missing, not missing))
        everything = makes_everything(self.proof)
        checks.append(Check("the member makes", "any values", str(everything), everything))
        return Verification((*checks, *verify_proof(self.member, self.proof).checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {"member": _pair_to_list(self.member), "proof": self.proof.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(_pair_from_list(data["member"]), Proof.from_dict(data["proof"]))


@dataclass(frozen=True)
class EveryMember:
    """Prove that products are a finite union of closed sets: those on each pair of supports are closed.

    Attributes
    ----------
    members : tuple of (Supports, Proof)
        One pair for each kind, up to the order of rows, columns and components, with its proof. Each pair
        that meets the constraints is of one of these kinds, or part of such a pair.
    """

    members: tuple[tuple[Supports, Proof], ...]

    reason = "products form a closed set on each choice of supports"

    def verify(self, constraints: Constraints) -> Verification:
        """Check each proof, and go through all supports that meet the constraints."""
        known = {kind_of(*(support.toarray() for support in pair)) for pair, _ in self.members}
        left, right = (meeting(constraint) for constraint in constraints)
        if left is None or right is None:
            return Verification((Check("supports", "few enough to go through", "too many", False),))
        unknown = sum(kind not in known for kind in kinds_on(left, right))
        checks = [Check("kinds of supports without a proof", 0, unknown, not unknown)]
        for pair, proof in self.members:
            checks += verify_proof(pair, proof).checks
        return Verification(tuple(checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {"members": [[_pair_to_list(pair), proof.to_dict()] for pair, proof in self.members]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(tuple((_pair_from_list(p), Proof.from_dict(proof)) for p, proof in data["members"]))


@dataclass(frozen=True)
class NoMember:
    """Prove that a matrix is a limit of products whose factors meet the constraints, and not one.

    Attributes
    ----------
    supports : Constraints
        The constraints, left to right.
    member : PairProof
        The matrix, and products on one pair of supports that tend to it.
    others : tuple of (Supports, cofactors)
        Pairs on the rows and columns in which the matrix is not zero, each with cofactors of an identity
        Σ c_ij (XY − B)_ij = 1. Each pair that meets the constraints is, on these rows and columns, within one
        of them, up to the order of components.
    """

    supports: Constraints
    member: PairProof
    others: tuple[tuple[Supports, Entries[Polynomial]], ...]

    @property
    def target(self) -> Entries[Fraction]:
        """The nonzeros of the target: row, column, value."""
        return self.member.target

    @property
    def factors(self) -> tuple[Entries[RationalFunction], ...]:
        """The entries of the curve, factor by factor."""
        return self.member.factors

    def matrix(self) -> sparse.csr_array:
        """Return the target in floating point, a ``csr_array`` of shape ``(m, n)``."""
        return self.member.matrix()

    def numeric(self, t: float) -> tuple[sparse.csr_array, ...]:
        """Return the factors at one point of the curve, as `Witness.numeric`."""
        return self.member.numeric(t)

    def verify(self) -> Verification:
        """Check the curve of the member, and that no pair that meets the constraints makes the matrix."""
        checks = [_meets(self.supports, self.member.supports), *self.member.verify().checks]
        left, right = (meeting(constraint) for constraint in self.supports)
        if left is None or right is None:
            return Verification((*checks, Check("supports", "few enough to go through", "too many", False)))
        rows, columns = sorted({i for i, _, _ in self.target}), sorted({j for _, j, _ in self.target})
        listed = [tuple(support.toarray() for support in pair) for pair, _ in self.others]
        missing = sum(
            not is_listed(I[rows], J[:, columns], listed, self.target, rows, columns)
            for I, J in product(left, right)
        )
        checks.append(Check("supports that are not excluded", 0, missing, not missing))
        here = tuple((rows.index(i), columns.index(j), value) for i, j, value in self.target)
        for pair, cofactors in self.others:
            checks += Witness(pair[0], pair[1], here, (), (), cofactors).verify_identity().checks
        return Verification(tuple(checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        here = [Witness(pair[0], pair[1], (), (), (), c).to_dict() for pair, c in self.others]
        return {"kind": type(self.member).__name__, "member": self.member.to_dict(), "others": here}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], supports: Constraints) -> Self:
        """Build the proof, for these constraints, from what `to_dict` returned."""
        kind = PAIR_PROOFS[data["kind"]]
        read = [Witness.from_dict(item) for item in data["others"]]
        others = tuple((witness.supports, witness.cofactors) for witness in read)
        return cls(supports, kind.from_dict(data["member"]), others)


def meeting(constraint: Constraint) -> list[Bools] | None:
    """Return the largest supports that meet a constraint, or None if there are too many places.

    Parameters
    ----------
    constraint : Constraint
        On a matrix.

    Returns
    -------
    list of ndarray of bool, or None
        None of them within another; every array that meets the constraint has its nonzeros within one.

    Examples
    --------
    >>> import fsmf
    >>> len(meeting(fsmf.KSparse((2, 2), 3)))
    4
    """
    if isinstance(constraint, Free | OnSupport):
        return [constraint.places(np.ones(constraint.shape))]
    if constraint.size > _PLACES:
        return None
    found: list[Bools] = []
    masks = sorted(range(1 << constraint.size), key=int.bit_count, reverse=True)
    held: list[int] = []
    for mask in masks:
        if any(mask & other == mask for other in held):
            continue
        chosen = np.array([mask >> p & 1 for p in range(constraint.size)], dtype=bool)
        places = chosen.reshape(constraint.shape)
        if constraint.contains(places):
            held.append(mask)
            found.append(places)
    return found


def constraints_to_list(constraints: Constraints) -> list[dict[str, Any]]:
    """Return constraints as lists, numbers and strings, as JSON takes them."""
    return [
        {"kind": "OnSupport", "places": one.places(np.ones(one.shape)).astype(int).tolist()}
        if isinstance(one, OnSupport)
        else {"kind": type(one).__name__, **asdict(one)}
        for one in constraints
    ]


def constraints_from_list(data: Sequence[Mapping[str, Any]]) -> Constraints:
    """Build constraints from what `constraints_to_list` returned."""
    found = []
    for item in data:
        numbers = {name: value for name, value in item.items() if name != "kind"}
        if item["kind"] == "OnSupport":
            found.append(OnSupport(np.array(numbers["places"], dtype=bool)))
            continue
        numbers["shape"] = tuple(numbers["shape"])
        found.append(_CONSTRAINTS[item["kind"]](**numbers))
    return Constraints(found)


def kind_of(left: Bools, right: Bools) -> Kind:
    """Return a pair up to the order of rows, columns and components: the first of all orders."""
    r = left.shape[1]
    return min(_sorted_sides(left[:, list(order)], right[list(order)]) for order in permutations(range(r)))


def kinds_on(left: Sequence[Bools], right: Sequence[Bools]) -> dict[Kind, Supports]:
    """Return the kinds of all pairs of a support from the left and one from the right, and a pair of each."""
    # Rows and columns are put in order first: few arrays are left then.
    lefts = {tuple(sorted(map(tuple, I.tolist()))): I for I in left}.values()
    rights = {tuple(sorted(map(tuple, J.T.tolist()))): J for J in right}.values()
    found = {kind_of(I, J): (I, J) for I, J in product(lefts, rights)}
    return {kind: Supports(map(Support, pair)) for kind, pair in found.items()}


def is_listed(
    I: Bools,
    J: Bools,
    listed: Sequence[tuple[Bools, ...]],
    target: Entries[Fraction],
    rows: Sequence[int],
    columns: Sequence[int],
) -> bool:
    """Return whether a pair misses a nonzero of the target, or is within a listed pair up to an order."""
    reach = I.astype(int) @ J.astype(int)
    if any(not reach[rows.index(i), columns.index(j)] for i, j, _ in target):
        return True
    orders = [list(order) for order in permutations(range(I.shape[1]))]
    return any(
        not (I[:, order] & ~left).any() and not (J[order] & ~right).any()
        for left, right in listed
        for order in orders
    )


def most_at_once(constraint: Constraint, *, by_rows: bool = False) -> int:
    """Return how many places of one column, or of one row, an array may have at most."""
    m, n = constraint.shape
    most = 0
    for k in range(m if by_rows else n):
        M = np.zeros((m, n))
        M[(k, slice(None)) if by_rows else (slice(None), k)] = 1
        most = max(most, int(constraint.places(M).sum()))
    return most


def _sorted_sides(left: Bools, right: Bools) -> Kind:
    rows, columns = (tuple(sorted(map(tuple, side.astype(int).tolist()))) for side in (left, right.T))
    return rows, columns


def _meets(constraints: Constraints, pair: Supports) -> Check:
    holds = len(constraints) == len(pair) and all(
        constraint.shape == support.shape and constraint.contains(support.toarray())
        for constraint, support in zip(constraints, pair, strict=True)
    )
    return Check("the supports", "meet the constraints", "so" if holds else "do not", holds)


def _pair_to_list(pair: Supports) -> list[Any]:
    return [support.toarray().astype(int).tolist() for support in pair]


def _pair_from_list(data: Sequence[Any]) -> Supports:
    return Supports(Support(np.array(side, dtype=bool)) for side in data)
