"""Two classes of any ranks without a closed set of products: the limit in normal form, and its ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from time import thread_time
from typing import Any, NamedTuple, Self

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.rank_one import EquivalenceClasses
from fsmf.supports.support import Supports
from fsmf.wellposedness.criteria import TwoClasses, two_classes
from fsmf.wellposedness.curve_proofs import CurveProof
from fsmf.wellposedness.minors import images_of
from fsmf.wellposedness.pattern import Pattern, bits, union
from fsmf.wellposedness.rational import RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["TwoClassLimit", "TwoClassMinor", "find_two_class_minor", "limit_of_two_classes"]

# Other classes that may touch the two, each of which loses its rows or its columns.
_OTHERS = 5
# With more classes than this, two of rank one are left to other tests.
_CLASSES = 6
_ONE, _T, _OVER_T, _MINUS_OVER_T = (
    ((Fraction(1),), (Fraction(1),)),
    ((Fraction(0), Fraction(1)), (Fraction(1),)),
    ((Fraction(1),), (Fraction(0), Fraction(1))),
    ((Fraction(-1),), (Fraction(0), Fraction(1))),
)


@dataclass(frozen=True)
class TwoClassLimit(CurveProof):
    """Prove that a matrix is a limit of products on the supports and, by ranks of its blocks, not a product.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    rows, columns : tuple of int
        A sub-block that only two classes of components reach.
    first, second : tuple of int
        The components of the two classes.

    Notes
    -----
    **Guarantee.** In the sub-block B violates a condition that all products of two classes satisfy, which
    `two_classes` states and proves; and a sub-block of a product is a product of the sub-block.

    **Cost.** `verify` multiplies the curve out and finds ten ranks, exactly.

    Examples
    --------
    >>> import fsmf
    >>> left = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]
    >>> verdict = fsmf.check_well_posedness(fsmf.pair(left, left))
    >>> bool(verdict.verify())
    True
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]

    def padded(
        self, rows: Sequence[int], columns: Sequence[int], classes: Sequence[int], supports: Supports
    ) -> TwoClassLimit:
        """Carry the proof over to supports whose other components reach none of its places."""
        return replace(
            self,
            curve=self.curve.padded(rows, columns, classes, supports),
            rows=tuple(int(rows[i]) for i in self.rows),
            columns=tuple(int(columns[j]) for j in self.columns),
            first=tuple(int(classes[k]) for k in self.first),
            second=tuple(int(classes[k]) for k in self.second),
        )

    def verify(self) -> Verification:
        """Check the curve, the sub-block and the ranks in exact arithmetic, with sympy alone."""
        # The last check of a witness is its identity, in whose place the ranks stand.
        checks = self.curve.verify().checks[:-1]
        two = all(check.passed for check in checks) and self._has_two_classes()
        checks = (*checks, Check("classes that reach the sub-block", "two", "so" if two else "others", two))
        if not two:
            return Verification(checks)
        violated = self._violated()
        return Verification(
            (*checks, Check("condition on ranks that the target violates", "one", violated, bool(violated)))
        )

    def _has_two_classes(self) -> bool:
        """Whether the components named are those that reach the sub-block, and are alike there."""
        left, right = (support.toarray() for support in self.supports)
        named = (*self.first, *self.second)
        sides = ((self.rows, len(left)), (self.columns, right.shape[1]), (named, len(right)))
        if any(not set(places) <= set(range(n)) or len(set(places)) < len(places) for places, n in sides):
            return False
        left, right = left[list(self.rows)], right[:, list(self.columns)]
        reach = {int(k) for k in range(left.shape[1]) if left[:, k].any() and right[k].any()}
        alike = all(
            (left[:, k] == left[:, group[0]]).all() and (right[k] == right[group[0]]).all()
            for group in (self.first, self.second)
            for k in group
            if k in reach
        )
        return bool(self.first and self.second) and set(named) == reach and alike

    def _violated(self) -> str:
        """The first condition that fails, in words; empty if none does."""
        from sympy import QQ
        from sympy.polys.matrices import DomainMatrix

        left, right = (support.toarray() for support in self.supports)
        values = {(i, j): QQ(*value.as_integer_ratio()) for i, j, value in self.target}
        k, l = self.first[0], self.second[0]

        def block(rows: list[int], columns: list[int]) -> Any:
            entries = [[values.get((i, j), QQ(0)) for j in columns] for i in rows]
            return DomainMatrix(entries, (len(rows), len(columns)), QQ)

        def directions(outer: Any, inner: Any) -> Any:
            """The image, under the first, of the kernel of the second."""
            return outer * inner.nullspace().transpose()

        shared_rows = [i for i in self.rows if left[i, k] and left[i, l]]
        shared_columns = [j for j in self.columns if right[k, j] and right[l, j]]
        total, F, G = 0, [], []
        for own, other, rank in ((k, l, len(self.first)), (l, k, len(self.second))):
            A = [i for i in self.rows if left[i, own] and not left[i, other]]
            P = [j for j in self.columns if right[own, j] and not right[other, j]]
            e = block(A, P).rank()
            f = block(shared_rows + A, P).rank() - e
            g = block(A, P + shared_columns).rank() - e
            if e + f + g > rank:
                return f"the class of component {own} would need {e + f + g} components and has {rank}"
            total += rank
            F.append(directions(block(shared_rows, P), block(A, P)))
            G.append(directions(block(A, shared_columns).transpose(), block(A, P).transpose()))
        rank = block(list(self.rows), list(self.columns)).rank()
        phi, gamma = (sum(M.rank() for M in pair) - pair[0].hstack(pair[1]).rank() for pair in (F, G))
        if rank + phi + gamma > total:
            return f"both classes would need {rank + phi + gamma} components and have {total}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        names = ("rows", "columns", "first", "second")
        return {"curve": self.curve.to_dict()} | {name: list(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        names = ("rows", "columns", "first", "second")
        return cls(Witness.from_dict(data["curve"]), *(tuple(map(int, data[name])) for name in names))


class TwoClassMinor(NamedTuple):
    """Name a sub-block that two classes alone reach, and what violates the condition for a closed set.

    Attributes
    ----------
    classes : tuple of int
        The two classes of the pattern.
    rows, columns : tuple of int
        Kinds that are kept, all of each.
    decided : TwoClasses
        With a violation.
    """

    classes: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    decided: TwoClasses


def find_two_class_minor(pattern: Pattern, deadline: float = float("inf")) -> TwoClassMinor | None:
    """Return two classes, and a sub-block of theirs alone, without a closed set of products; or None.

    Every other class that reaches the two loses its rows or its columns.
    """
    for p, q in _pairs(pattern):
        if thread_time() > deadline:
            return None
        rows = pattern.row_sets[p] | pattern.row_sets[q]
        columns = pattern.column_sets[p] | pattern.column_sets[q]
        others = [
            c
            for c in range(len(pattern.ranks))
            if c not in (p, q) and pattern.row_sets[c] & rows and pattern.column_sets[c] & columns
        ]
        if len(others) > _OTHERS:
            continue
        for sides in product((True, False), repeat=len(others)):
            lost = [
                union(1 << c for c, s in zip(others, sides, strict=True) if s is side)
                for side in (True, False)
            ]
            kept_rows = tuple(i for i in bits(rows) if not pattern.rows[i] & lost[0])
            kept_columns = tuple(j for j in bits(columns) if not pattern.columns[j] & lost[1])
            small = _two(pattern, p, q, kept_rows, kept_columns)
            decided = two_classes(small) if len(small.ranks) == 2 else None
            if decided is not None and decided.violation:
                return TwoClassMinor((p, q), kept_rows, kept_columns, decided)
    return None


def _pairs(pattern: Pattern) -> Iterator[tuple[int, int]]:
    """Classes that share entries, one of them of rank 2 or more if there are many."""
    n = len(pattern.ranks)
    for p in range(n):
        for q in range(p + 1, n):
            shared = (
                pattern.row_sets[p] & pattern.row_sets[q] and pattern.column_sets[p] & pattern.column_sets[q]
            )
            if shared and (n <= _CLASSES or max(pattern.ranks[p], pattern.ranks[q]) > 1):
                yield p, q


def _two(pattern: Pattern, p: int, q: int, rows: Sequence[int], columns: Sequence[int]) -> Pattern:
    """The pattern of two classes on some kinds: those of the first only, of both, of the second only."""
    sides = []
    for kinds, counts, kept in (
        (pattern.rows, pattern.row_counts, rows),
        (pattern.columns, pattern.column_counts, columns),
    ):
        sizes = [0, 0, 0, 0]
        for i in kept:
            sizes[(kinds[i] >> p & 1) + 2 * (kinds[i] >> q & 1)] += counts[i]
        sides.append([sizes[1], sizes[3], sizes[2]])
    return Pattern.cleaned([1, 3, 2], sides[0], [1, 3, 2], sides[1], [pattern.ranks[p], pattern.ranks[q]])


class _Units:
    """Entries of X and Y unit by unit: classes by their components, of which the next unused one is taken."""

    def __init__(self, components: Sequence[Sequence[int]]) -> None:
        self.left = [iter(group) for group in components]
        self.X: list[tuple[int, int, RationalFunction]] = []
        self.Y: list[tuple[int, int, RationalFunction]] = []

    def add(self, side: int, x: Mapping[int, RationalFunction], y: Mapping[int, RationalFunction]) -> None:
        k = next(self.left[side])
        self.X += [(i, k, function) for i, function in x.items()]
        self.Y += [(k, j, function) for j, function in y.items()]


def limit_of_two_classes(
    pattern: Pattern, minor: TwoClassMinor, classes: EquivalenceClasses, supports: Supports
) -> TwoClassLimit:
    """Return the proof for supports in whose pattern two classes were found, the limit in normal form."""
    rows_of, columns_of, members_of = images_of(classes)
    p, q = minor.classes

    def members(
        kept: Sequence[int], kinds: Sequence[int], images: Sequence[Any], kind: tuple[bool, bool]
    ) -> list[int]:
        return [
            int(i)
            for at in kept
            if (bool(kinds[at] >> p & 1), bool(kinds[at] >> q & 1)) == kind
            for i in images[at]
        ]

    alone = ((True, False), (False, True))
    A, P = (
        [members(kept, kinds, images, kind) for kind in alone]
        for kept, kinds, images in (
            (minor.rows, pattern.rows, rows_of),
            (minor.columns, pattern.columns, columns_of),
        )
    )
    O = members(minor.rows, pattern.rows, rows_of, (True, True))
    S = members(minor.columns, pattern.columns, columns_of, (True, True))
    components = [[int(k) for k in members_of[c]] for c in (p, q)]
    units = _Units(components)
    B: dict[tuple[int, int], Fraction] = {}

    def one(side: int, i: int, j: int) -> None:
        """An entry 1 of the target, made by a unit of its own."""
        B[i, j] = Fraction(1)
        units.add(side, {i: _ONE}, {j: _ONE})

    assert minor.decided.violation
    kind, *numbers = minor.decided.violation
    if kind == "one":
        side, e, f, g = map(int, numbers)
        for u in range(e):
            one(side, A[side][u], P[side][u])
        for u in range(1, f):
            one(side, O[u], P[side][e + u])
        for u in range(1, g):
            one(side, A[side][e + u], S[u])
        # The rank-one block [[1/t, 1], [1, t]], whose pole the other class takes.
        o, a, s, c = O[0], A[side][e], S[0], P[side][e]
        B[o, c] = B[a, s] = Fraction(1)
        units.add(side, {o: _ONE, a: _T}, {s: _OVER_T, c: _ONE})
        units.add(1 - side, {o: _ONE}, {s: _MINUS_OVER_T})
    else:
        sizes = [tuple(map(int, numbers[:3])), tuple(map(int, numbers[3:]))]
        (_, f1, g1), (_, f2, g2) = sizes
        middle = sum(pattern.ranks[c] for c in (p, q)) + 1 - sum(map(sum, sizes))
        o, s = O[max(f1, f2)], S[max(g1, g2)]
        B[o, s] = Fraction(1)
        by_rows = min(f1, f2) > 0
        for side, (e, f, g) in enumerate(sizes):
            over, small = ((_MINUS_OVER_T, None), (_OVER_T, _T))[side]
            for u in range(e):
                one(side, A[side][u], P[side][u])
            for u in range(f):
                if u or not by_rows:
                    one(side, O[u], P[side][e + u])
                else:  # (o_1 + t o)(c_2 + s/t) + o_1 (c_1 − s/t) = o_1 c_1 + (o_1 + t o) c_2 + o s
                    B[O[0], P[side][e]] = Fraction(1)
                    units.add(
                        side, {O[0]: _ONE, **({o: small} if small else {})}, {P[side][e]: _ONE, s: over}
                    )
            for u in range(g):
                if u or by_rows:
                    one(side, A[side][e + u], S[u])
                else:
                    B[A[side][e], S[0]] = Fraction(1)
                    units.add(
                        side, {A[side][e]: _ONE, o: over}, {S[0]: _ONE, **({s: small} if small else {})}
                    )
        slack = [side for side, c in enumerate((p, q)) for _ in range(pattern.ranks[c] - sum(sizes[side]))]
        for u, side in zip(range(1, middle), slack, strict=True):
            one(side, O[max(f1, f2) + u], S[max(g1, g2) + u])
    curve = Witness(
        supports[0],
        supports[1],
        tuple((i, j, value) for (i, j), value in sorted(B.items())),
        tuple(units.X),
        tuple(units.Y),
        (),
    )
    return TwoClassLimit(
        curve,
        tuple(sorted((*A[0], *O, *A[1]))),
        tuple(sorted((*P[0], *S, *P[1]))),
        tuple(components[0]),
        tuple(components[1]),
    )
