"""Several factors: a witness for two partial products, carried over to the factors that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Self

from scipy import sparse

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.identities import n_misplaced
from fsmf.wellposedness.joins import reach
from fsmf.wellposedness.pair_proofs import PAIR_PROOFS, PairProof
from fsmf.wellposedness.rational import (
    Entries,
    RationalFunction,
    entries_from_list,
    entries_to_list,
    evaluated,
    product_of_curves,
)
from fsmf.wellposedness.reached import is_within

__all__ = ["Lifted", "lift"]

_ONE: RationalFunction = ((Fraction(1),), (Fraction(1),))
# How many ways to cover the entries of a factor are tried, and how many branches for each.
_WAYS, _BRANCHES = 20, 2000
Curve = dict[tuple[int, int], RationalFunction]


@dataclass(frozen=True)
class Lifted:
    """Prove that a matrix is a limit of products of several factors, and not a product.

    Attributes
    ----------
    supports : Supports
        All supports, left to right.
    split : int
        How many factors the left partial product has.
    pair : PairProof
        The witness for two factors on the reach of both partial products.
    factors : tuple of entries
        Factors with entries that are rational in t; both partial products of them are the pair's curve.

    Notes
    -----
    **Guarantee.** The target is no product of the pair, and each product of all factors is one; but the
    curve that tends to it is made by all factors.
    """

    supports: Supports
    split: int
    pair: PairProof
    factors: tuple[Entries[RationalFunction], ...]

    @property
    def reason(self) -> str:
        """Half a sentence on why no product is the target."""
        return f"for two factors, the partial products, {self.pair.reason}"

    @property
    def target(self) -> Entries[Fraction]:
        """The nonzeros of the target: row, column, value."""
        return self.pair.target

    def matrix(self) -> sparse.csr_array:
        """Return the target in floating point, a ``csr_array`` of shape ``(m, n)``."""
        return self.pair.matrix()

    def numeric(self, t: float) -> tuple[sparse.csr_array, ...]:
        """Return the factors at one point of the curve, as `Witness.numeric`."""
        return evaluated(self.factors, self.supports, t)

    def verify(self) -> Verification:
        """Check the pair's witness, and that the factors make its curve, in exact arithmetic."""
        inside = 0 < self.split < len(self.supports) == len(self.factors)
        checks = [Check("place of the split", "between factors", self.split, inside)]
        if not inside:
            return Verification(tuple(checks))
        off = sum(map(n_misplaced, self.supports, self.factors))
        checks.append(Check("entries off the supports", 0, off, not off))
        sides = (self.supports[: self.split], self.supports[self.split :])
        wide = all(
            support == Support(_product(side) > 0)
            for support, side in zip(self.pair.supports, sides, strict=True)
        )
        checks.append(Check("supports of the pair", "reach of the factors", "so" if wide else "no", wide))
        checks += self.pair.verify().checks
        if not all(check.passed for check in checks):
            return Verification(tuple(checks))
        parts = (self.factors[: self.split], self.factors[self.split :])
        same = all(
            product_of_curves(part) == product_of_curves((curve,))
            for part, curve in zip(parts, self.pair.factors, strict=True)
        )
        checks.append(Check("partial products", "the pair's curve", "so" if same else "others", same))
        return Verification(tuple(checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {
            "split": self.split,
            "kind": type(self.pair).__name__,
            "pair": self.pair.to_dict(),
            "factors": [entries_to_list(entries) for entries in self.factors],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], supports: Supports) -> Self:
        """Build the proof, for these supports, from what `to_dict` returned."""
        kind = PAIR_PROOFS[data["kind"]]
        factors = tuple(map(entries_from_list, data["factors"]))
        return cls(supports, int(data["split"]), kind.from_dict(data["pair"]), factors)


def lift(supports: Supports, split: int, pair: PairProof) -> Lifted | None:
    """Carry a witness for two partial products over to all factors, or return None.

    Each unit between two factors makes a row, or a column, of what their product is to be: units are
    chosen so that these cover its nonzeros.
    """
    sides = (Supports(supports[:split]), Supports(supports[split:]))
    curves = ({(i, j): f for i, j, f in entries} for entries in pair.factors)
    found = [next(_lifts(curve, side), None) for curve, side in zip(curves, sides, strict=True)]
    left, right = found
    if left is None or right is None:
        return None
    factors = tuple(
        tuple((i, j, function) for (i, j), function in sorted(curve.items())) for curve in (*left, *right)
    )
    return Lifted(supports, split, pair, factors)


def _lifts(curve: Curve, supports: Supports) -> Iterator[tuple[Curve, ...]]:
    """Ways to write a matrix as a product of several factors."""
    if len(supports) == 1:
        yield (curve,)
        return
    others = Supports(supports[1:])
    below = reach(others)
    if below is None:
        return
    for first, rest in islice(_stars(curve, supports[0], below), _WAYS):
        for factors in _lifts(rest, others):
            yield (first, *factors)


def _stars(curve: Curve, left: Support, right: Support) -> Iterator[tuple[Curve, Curve]]:
    """Ways to write a matrix as a sum of its rows and columns, one for each of some units."""
    branches = 0

    def cover(open_places: frozenset[tuple[int, int]], used: frozenset[int]) -> Iterator[tuple[Curve, Curve]]:
        nonlocal branches
        branches += 1
        if branches > _BRANCHES:
            return
        if not open_places:
            yield {}, {}
            return
        i, j = min(open_places)
        units = [int(k) for k in left.row(i) if int(k) not in used and is_within(right, int(k), j)]
        for k in units:
            row = {place for place in open_places if place[0] == i and is_within(right, k, place[1])}
            column = {place for place in open_places if place[1] == j and is_within(left, place[0], k)}
            for star in sorted((row, column), key=len, reverse=True):
                for U, V in cover(open_places - star, used | {k}):
                    if star is row:
                        yield {**U, (i, k): _ONE}, {**V, **{(k, b): curve[a, b] for a, b in star}}
                    else:
                        yield {**U, **{(a, k): curve[a, b] for a, b in star}}, {**V, (k, j): _ONE}

    yield from cover(frozenset(curve), frozenset())


def _product(supports: tuple[Support, ...]) -> Any:
    product, *others = (support.toarray().astype(int) for support in supports)
    for factor in others:
        product = (product @ factor > 0).astype(int)
    return product
