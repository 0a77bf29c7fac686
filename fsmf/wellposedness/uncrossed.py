"""Unions of supports that hold the limits of each, since where components cancel, their supports uncross."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Supports
from fsmf.wellposedness.allowances import (
    Cells,
    Rectangle,
    cells,
    largest_choices,
    meets,
    rectangles,
    room_of_lines,
)
from fsmf.wellposedness.unions import pair_from_list, pair_to_list, too_many

__all__ = ["Absorbed", "Room", "Uncrossed"]

# Rows, or columns, and how many nonzeros they have room for together.
Room = tuple[tuple[int, ...], int]


@dataclass(frozen=True)
class Uncrossed:
    """Prove that limits of products are products on uncrossed supports: nonzeros are counted, and as before.

    Attributes
    ----------
    left : tuple of (tuple of int, int) or None
        Sets of rows of the left factor, each with the number of nonzeros that they have room for together;
        the constraint asks no more. None where the theorem does not need it.
    right : tuple of (tuple of int, int) or None
        Likewise sets of columns of the right factor.

    Notes
    -----
    **Guarantee.** *Two components*, with the rectangles R1 × C1 and R2 × C2: each limit of their products is
    one itself, or ``u wᵀ + z vᵀ`` with u on R1 ∩ R2, w on C1 ∪ C2, z on R1 ∪ R2, v on C1 ∩ C2.

    *Proof.* Take ``x1 y1ᵀ + x2 y2ᵀ`` along a sequence with a limit B. Where x1 or x2 is 0 again and again, or
    they are parallel, B is a limit of matrices of rank one on one rectangle, hence such a matrix, and a
    product. Else the lines of x1 and x2 and the plane that they span tend to lines V1, V2 and a plane V, for
    a subsequence. A column of B lies in V1, V2 or V, whichever its components are. If V1 ≠ V2, they span V,
    and B is a product. If V1 = V2 = ⟨u⟩, then u has support in R1 ∩ R2, and V = ⟨u, z⟩ with z on R1 ∪ R2. ∎

    Uncrossing leaves the number of nonzeros in each row of the left factor as it is, and in each column of
    the right one. So a union is closed if both constraints count these.

    *Two rows*: each limit is a product in which the left factor has no new nonzeros, and no column of the
    right one has more than before.

    *Proof.* Again the lines of the x_k, as far as these are not 0, tend to lines V_k. Let D be the components
    with V_k = ⟨u⟩. A column of B whose components belong to two such sets can be anything. If it has one
    component, in D, it lies in ⟨u⟩; if it has several, all in D, it may be outside where not all their x_k
    are parallel, and then some k in D has both rows. So let another one of D have the column u and the row w
    on the columns with components in D; let k have one unit vector that is not parallel to u, on the columns
    with two or more components in D; and let the others be 0. This makes B. ∎ So it suffices that the right
    constraint counts by columns. Likewise with two columns.
    """

    left: tuple[Room, ...] | None
    right: tuple[Room, ...] | None

    reason = (
        "where components tend to cancel, limits are products on uncrossed supports, which meet the "
        "constraints, too"
    )

    def verify(self, constraints: Constraints) -> Verification:
        """Check that the constraints ask for this room alone, and that a theorem needs no more."""
        if len(constraints) != 2:
            return Verification((Check("factors", 2, len(constraints), False),))
        (m, inner), n = constraints[0].shape, constraints[1].shape[1]
        checks = []
        for axis, (name, stated) in enumerate((("rows", self.left), ("columns", self.right))):
            if stated is not None:
                found = room_of_lines(constraints[axis], axis)
                same = (
                    found is not None
                    and len(stated) == len(found)
                    and {(frozenset(lines), room) for lines, room in stated} == found
                )
                checks.append(Check(f"room of {name}", "as stated", "so" if same else "other", same))
        by_rows, by_columns = self.left is not None, self.right is not None
        applies = (m == 2 and by_columns) or (n == 2 and by_rows) or (inner == 2 and by_rows and by_columns)
        size = f"{m} rows, {n} columns, {inner} components"
        return Verification((*checks, Check("two of what is not counted", "so", size, applies)))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists and numbers, as JSON takes them."""
        return {
            name: side if side is None else [[list(lines), room] for lines, room in side]
            for name, side in (("left", self.left), ("right", self.right))
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(
            *(
                None if side is None else tuple((tuple(map(int, lines)), int(room)) for lines, room in side)
                for side in (data["left"], data["right"])
            )
        )


@dataclass(frozen=True)
class Absorbed:
    """Prove that limits of products of two components are products: each on some pair that is named.

    Attributes
    ----------
    pairs : tuple of Supports
        Pairs that meet the constraints.

    Notes
    -----
    **Guarantee.** Limits that are no products on the same supports are ``u wᵀ + z vᵀ``, as `Uncrossed` says,
    with u and v not 0. If v_j ≠ 0, there are such factors with w_j = 0, too, since
    ``(z + s u) vᵀ + u (w − s v)ᵀ`` is the same, and if u_i ≠ 0, with z_i = 0. If always one of these pairs of
    factors lies on a pair of supports that meets the constraints, the union is closed.

    **Cost.** `verify` goes through all supports that meet the constraints, and of u and v.
    """

    pairs: tuple[Supports, ...]

    reason = (
        "where components tend to cancel, limits are products on uncrossed supports, which meet the "
        "constraints, too"
    )

    def verify(self, constraints: Constraints) -> Verification:
        """Check that the pairs meet the constraints, and look for each limit in them."""
        if len(constraints) != 2 or constraints[0].shape[1] != 2:
            return Verification((Check("factors and components", "two", "others", False),))
        left, right = (largest_choices(one) for one in constraints)
        if left is None or right is None:
            return Verification((too_many(),))
        wrong = 0
        absorbing = []
        for pair in self.pairs:
            if meets(constraints, pair):
                (U, W), (Z, V) = rectangles(cells(pair[0]), cells(pair[1]), 2)
                absorbing += [(U, W, Z, V), (Z, V, U, W)]
            else:
                wrong += 1
        missing = sum(
            not any(
                not (u & ~U or w & ~W or z & ~Z or v & ~V)
                for z, w in _freed(u, v, z_whole, w_whole)
                for U, W, Z, V in absorbing
            )
            for u, v, z_whole, w_whole in _limits(left, right)
        )
        return Verification(
            (
                Check("pairs that do not meet the constraints", 0, wrong, not wrong),
                Check("kinds of limits on no pair", 0, missing, not missing),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists and numbers, as JSON takes them."""
        return {"pairs": list(map(pair_to_list, self.pairs))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(tuple(map(pair_from_list, data["pairs"])))


def _limits(left: list[Cells], right: list[Cells]) -> set[tuple[int, int, int, int]]:
    """Where u, v, z and w of a limit may be not zero, as masks: for u and v all that is possible."""
    found = set()
    for I, J in product(left, right):
        (R1, C1), (R2, C2) = rectangles(I, J, 2)
        found |= {(u, v, R1 | R2, C1 | C2) for u in _parts(R1 & R2) for v in _parts(C1 & C2)}
    return found


def _freed(u: int, v: int, z: int, w: int) -> Iterator[Rectangle]:
    """Where z and w may be not zero: wherever they can, or one place less at which u, or v, is not zero."""
    yield z, w
    yield from ((z & ~(1 << i), w) for i in range(u.bit_length()) if u >> i & 1)
    yield from ((z, w & ~(1 << j)) for j in range(v.bit_length()) if v >> j & 1)


def _parts(mask: int) -> Iterator[int]:
    """All sets within another but the empty one."""
    part = mask
    while part:
        yield part
        part = (part - 1) & mask
