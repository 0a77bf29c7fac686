"""Proofs about supports that are not given: only a constraint on each factor is, which many supports meet.

Products whose factors meet the constraints are the union of those on the supports that meet them, finitely
many. The union is closed if each is, and may be if not: another support may make what one has as a limit.

Checks read constraints from their definitions, see ``fsmf.wellposedness.allowances``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Self

import numpy as np
from scipy import sparse

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Support, Supports, as_support
from fsmf.wellposedness.allowances import (
    Cells,
    cells,
    component_sets,
    fits_within,
    largest_choices,
    meets,
    most_on_line,
    reached,
    rectangles,
    standard_form,
)
from fsmf.wellposedness.pair_proofs import PAIR_PROOFS, PairProof
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.rational import Entries, RationalFunction
from fsmf.wellposedness.verification import makes_everything, verify_proof
from fsmf.wellposedness.witnesses import Polynomial, Witness

__all__ = ["EveryMember", "Lines", "NoMember", "OneMember", "pair_from_list", "pair_to_list", "too_many"]


@dataclass(frozen=True)
class Lines:
    """Prove that products are a union of coordinate subspaces, or of matrices of rank one, and closed.

    Attributes
    ----------
    lines : tuple of str
        For each component "row" or "column": of these it has at most one, whatever supports are chosen. None
        are named where there is one component, or one factor.

    Notes
    -----
    **Guarantee.** Products on given supports are sums of what the components make. One with a single row
    makes anything on its columns there, one with a single column anything on its rows: a coordinate subspace
    each, and their sum is one. With one component products are the matrices of rank one on its rectangle. A
    finite union of closed sets is closed.
    """

    lines: tuple[str, ...] = ()

    reason = "whatever supports are chosen, each component has one row or one column, or there is just one"

    def verify(self, constraints: Constraints) -> Verification:
        """Count the components, and the places that each may have at most."""
        inner = constraints[0].shape[1]
        if not self.lines:
            single = len(constraints) == 1 or (len(constraints) == 2 and inner == 1)
            found = f"{len(constraints)} factors, {inner} components"
            return Verification((Check("one factor or one component", "so", found, single),))
        stated = len(constraints) == 2 and len(self.lines) == inner
        checks = [Check("components with a line", inner, len(self.lines), stated)]
        if stated:
            left, right = constraints
            wrong = sum(
                not (
                    (line == "row" and most_on_line(left, 1, k) <= 1)
                    or (line == "column" and most_on_line(right, 0, k) <= 1)
                )
                for k, line in enumerate(self.lines)
            )
            checks.append(Check("components that may have more than one line", 0, wrong, not wrong))
        return Verification(tuple(checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists and strings, as JSON takes them."""
        return {"lines": list(self.lines)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(tuple(map(str, data["lines"])))


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
        checks.append(_makes_everything(self.proof))
        return Verification((*checks, *verify_proof(self.member, self.proof).checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {"member": pair_to_list(self.member), "proof": self.proof.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(pair_from_list(data["member"]), Proof.from_dict(data["proof"]))


@dataclass(frozen=True)
class EveryMember:
    """Prove that products are a finite union of closed sets: of those on some pairs of supports.

    Attributes
    ----------
    members : tuple of (Supports, Proof)
        Pairs with closed products, one for each kind up to the order of rows, columns and components.
    wide : tuple of (Supports, Proof)
        Pairs that meet the constraints, and whose products are all matrices on their reach.

    Notes
    -----
    **Guarantee.** Each pair of largest supports that meet the constraints is of one of these kinds, or has
    its reach within that of a wide pair, which makes its products, too. So the products of those kinds and
    of the wide pairs are all there are.
    """

    members: tuple[tuple[Supports, Proof], ...]
    wide: tuple[tuple[Supports, Proof], ...] = ()

    reason = "products form a closed set on each choice of supports, or on another one that makes them, too"

    def verify(self, constraints: Constraints) -> Verification:
        """Check each proof, and go through all supports that meet the constraints."""
        choices = _choices(constraints)
        if choices is None:
            return Verification((too_many(),))
        m, (inner, n) = constraints[0].shape[0], constraints[1].shape
        known = {_form(I, J) for (I, J), _ in self.members}
        left, right = (
            {P: component_sets(P, axis, (m, n)[axis]) for P in side} for axis, side in enumerate(choices)
        )
        checks = []
        reaches = []
        for pair, proof in self.wide:
            checks += [_meets(constraints, pair), _makes_everything(proof)]
            if checks[-2].passed:
                reaches.append(reached(rectangles(cells(pair[0]), cells(pair[1]), inner), n))
        if reaches:
            open_pairs = {
                (left[I], right[J])
                for I, J in product(left, right)
                if all(reached(rectangles(I, J, inner), n) & ~wide for wide in reaches)
            }
        else:
            open_pairs = set(product(left.values(), right.values()))
        unknown = sum(standard_form(*sets, inner) not in known for sets in open_pairs)
        checks.append(Check("kinds of supports without a proof", 0, unknown, not unknown))
        for pair, proof in (*self.members, *self.wide):
            checks += verify_proof(pair, proof).checks
        return Verification(tuple(checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {
            name: [[pair_to_list(pair), proof.to_dict()] for pair, proof in pairs]
            for name, pairs in (("members", self.members), ("wide", self.wide))
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(
            *(
                tuple((pair_from_list(pair), Proof.from_dict(proof)) for pair, proof in data[name])
                for name in ("members", "wide")
            )
        )


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
        of them, up to the order of components, or has a nonzero of the matrix out of reach.
    """

    supports: Constraints
    member: PairProof
    others: tuple[tuple[Supports, Entries[Polynomial]], ...]

    reason = "for each choice of supports an identity Σ c_ij (XY − B)_ij = 1 excludes this B"

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
        choices = _choices(self.supports)
        if choices is None:
            return Verification((*checks, too_many()))
        rows, columns = sorted({i for i, _, _ in self.target}), sorted({j for _, j, _ in self.target})
        inner = self.supports[0].shape[1]
        listed = [rectangles(cells(I), cells(J), J.shape[0]) for (I, J), _ in self.others]
        here = tuple((rows.index(i), columns.index(j), value) for i, j, value in self.target)
        lefts = {frozenset((rows.index(i), k) for i, k in I if i in rows) for I in choices[0]}
        rights = {frozenset((k, columns.index(j)) for k, j in J if j in columns) for J in choices[1]}
        missing = 0
        for I, J in product(lefts, rights):
            choice = rectangles(I, J, inner)
            reached = all(any(R >> i & 1 and C >> j & 1 for R, C in choice) for i, j, _ in here)
            missing += reached and not any(fits_within(choice, other) for other in listed)
        checks.append(Check("supports that are not excluded", 0, missing, not missing))
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


def too_many() -> Check:
    """Return the check that fails where supports would have to be gone through, and are too many."""
    return Check("supports", "few enough to go through", "too many", False)


def pair_to_list(pair: Supports) -> list[Any]:
    """Return two supports as lists of 0 and 1."""
    return [support.toarray().astype(int).tolist() for support in pair]


def pair_from_list(data: Any) -> Supports:
    """Build two supports from what `pair_to_list` returned."""
    left, right = data
    return Supports(as_support(np.array(side)) for side in (left, right))


def _choices(constraints: Constraints) -> tuple[list[Cells], list[Cells]] | None:
    """The largest supports that meet each of two constraints."""
    if len(constraints) != 2:
        return None
    left, right = (largest_choices(one) for one in constraints)
    return None if left is None or right is None else (left, right)


def _form(left: Support, right: Support) -> tuple[tuple[int, ...], ...]:
    """The standard form of a pair."""
    rows = component_sets(cells(left), 0, left.shape[0])
    columns = component_sets(cells(right), 1, right.shape[1])
    return standard_form(rows, columns, right.shape[0])


def _makes_everything(proof: Proof) -> Check:
    everything = makes_everything(proof)
    return Check("the member makes", "any values", str(everything), everything)


def _meets(constraints: Constraints, pair: Supports) -> Check:
    holds = meets(constraints, pair)
    return Check("the supports", "meet the constraints", "so" if holds else "do not", holds)
