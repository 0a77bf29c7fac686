"""Theorems that decide whether the products of a pattern form a closed set: one function each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import prod
from time import thread_time
from typing import NamedTuple

from fsmf.wellposedness.pattern import Pattern, bits, largest_flow, union

__all__ = [
    "Filling",
    "TwoClasses",
    "fillings",
    "find_incompatible",
    "saturated_kinds",
    "two_classes",
]

# Choices that the test of a filling goes through at most.
_CHOICES = 256
# Combinations of ranks that the two-class test goes through at most.
_RANKS = 200_000


def find_incompatible(pattern: Pattern, deadline: float = float("inf")) -> tuple[int, int] | None:
    """Return two classes that are not compatible, or None: then products form a closed set, with a bound.

    At the deadline two classes that were not looked at are returned.

    Classes k, l are compatible if ``S_k ∩ S_l = ∅``, or ``R_k ⊇ R_l`` and ``C_k ⊆ C_l``, or the reverse. If
    all pairs are, every product B has factors with ``Σ_k |x_k|² |y_k|² ≤ |B|²``.

    *Proof.* Among the factors of B take those of least norm (they exist: the set of factors is closed). If
    R_k ⊇ R_l and C_k ⊆ C_l, the move ``x_k += s x_l, y_l −= s y_k`` keeps supports and product, so the
    derivative of the norm vanishes: ``⟨x_k, x_l⟩ = conj ⟨y_k, y_l⟩``, for l = k too. Hence

        |B|² = Σ_{k,l} ⟨x_k, x_l⟩ ⟨y_k, y_l⟩ = Σ_{comparable} |⟨x_k, x_l⟩|² ≥ Σ_k |x_k|⁴,

    where disjoint pairs contribute 0, and |x_k| = |y_k|. The factors are bounded by the product, so the
    limit of a convergent sequence of products is the product of a limit of factors. ∎
    """
    for k, (rows, columns) in enumerate(zip(pattern.row_sets, pattern.column_sets, strict=True)):
        if not k % 64 and thread_time() > deadline:
            return k, k
        in_rows = union(pattern.rows[i] for i in bits(rows))
        in_columns = union(pattern.columns[j] for j in bits(columns))
        for l in bits((in_rows & in_columns) >> (k + 1)):
            l += k + 1
            more_rows = rows | pattern.row_sets[l]
            more_columns = columns | pattern.column_sets[l]
            wide = more_rows == rows and more_columns == pattern.column_sets[l]
            tall = more_rows == pattern.row_sets[l] and more_columns == columns
            if not (wide or tall):
                return k, l
    return None


class TwoClasses(NamedTuple):
    """Hold what decides a pattern of two classes: sizes, and ranks of a limit that is no product.

    Attributes
    ----------
    rows, columns : tuple of int
        Numbers of rows (columns) in the first class only, in both, in the second only.
    violation : tuple or None
        None if products form a closed set; otherwise ``("one", i, e, f, g)`` or
        ``("both", e_1, f_1, g_1, e_2, f_2, g_2)``.
    """

    rows: tuple[int, int, int]
    columns: tuple[int, int, int]
    violation: tuple[str | int, ...] | None


def two_classes(pattern: Pattern) -> TwoClasses | None:
    """Decide a pattern of two classes of any ranks; None if there are not two, or the ranks are too large.

    Let the classes be (R_i, C_i, r_i), O = R_1 ∩ R_2, S = C_1 ∩ C_2, and A_i, P_i the rows and columns of
    class i alone. For B on S_1 ∪ S_2 put ``e_i = rank B[A_i, P_i]``, ``f_i = rank B[O ∪ A_i, P_i] − e_i``,
    ``g_i = rank B[A_i, P_i ∪ S] − e_i``, ``F_i = B[O, P_i] ker B[A_i, P_i]``, G_i likewise in columns, ``φ
    = dim F_1 ∩ F_2``, ``γ = dim G_1 ∩ G_2``. B is a product if and only if

        e_i + f_i + g_i ≤ r_i  (i = 1, 2)   and   rank B + φ + γ ≤ r_1 + r_2.

    *Proof.* B[O, S] is shared out as N to the first class and the rest to the second. A block matrix with an
    unknown N of size O × S and the other three blocks given has least rank e + f + g plus the rank of N,
    shifted, modulo F ⊗ Rˢ + Rᴼ ⊗ G. So N ranges over a shift of F_i ⊗ Rˢ + Rᴼ ⊗ G_i plus matrices of rank
    at most r_i − e_i − f_i − g_i. Adding the two sets, B is a product if and only if a matrix M, modulo
    (F_1 + F_2) ⊗ Rˢ + Rᴼ ⊗ (G_1 + G_2), has rank at most the sum of the two slacks; and the rank of B is
    that of M plus Σ (e_i + f_i + g_i) − φ − γ. ∎

    *Products are a closed set if and only if neither of these has a solution in integers:*
    (one, i) ``e + f + g = r_i + 1``, f, g ≥ 1, e + f ≤ |P_i|, e + g ≤ |A_i|, f ≤ |O|, g ≤ |S|;
    (both) e_i + f_i + g_i ≤ r_i with the same bounds, φ ≤ min f_i, γ ≤ min g_i, φ + γ ≥ 1 and, with
    ``μ = r_1 + r_2 + 1 − Σ (e_i + f_i + g_i)``, f_1 + f_2 − φ + μ ≤ |O|, g_1 + g_2 − γ + μ ≤ |S|.
    *Proof.* Let B be a limit, not a product. Ranks of blocks only drop in a limit, so e + f ≤ r_i, e + g ≤
    r_i, rank B ≤ r_1 + r_2. If e + f + g > r_i, then f, g ≥ 1, and the three shrink to the sum r_i + 1:
    (one). Otherwise rank B + φ + γ > r_1 + r_2, so φ + γ ≥ 1, and the rank of the middle shrinks to
    equality: (both). Conversely take the normal form with these ranks, zero elsewhere. (one): adding t to
    an entry of B[A, P] that links a row of g with a column of f lowers the rank that class i needs by one,
    with an entry −1/t in O × S that the other class takes. (both): moving a common vector of F_1 ∩ F_2, in
    one of them, by t times a vector of the middle lowers φ and leaves the rank of B: a product for t ≠ 0. ∎
    """
    if len(pattern.ranks) != 2:
        return None
    rows = _sizes(pattern.rows, pattern.row_counts)
    columns = _sizes(pattern.columns, pattern.column_counts)
    both_rows, both_columns = rows[1], columns[1]
    if not (both_rows and both_columns):
        return TwoClasses(rows, columns, None)
    sides = ((rows[0], columns[0], pattern.ranks[0]), (rows[2], columns[2], pattern.ranks[1]))
    for i, (own_rows, own_columns, rank) in enumerate(sides):
        f, g = max(1, rank + 1 - own_rows), max(1, rank + 1 - own_columns)
        if f <= both_rows and g <= both_columns and f + g <= rank + 1:
            return TwoClasses(rows, columns, ("one", i, rank + 1 - f - g, f, g))
    options = []
    for own_rows, own_columns, rank in sides:
        options.append(
            [
                (min(rank - f - g, own_columns - f, own_rows - g), f, g)
                for f in range(min(rank, own_columns, both_rows) + 1)
                for g in range(min(rank - f, own_rows, both_columns) + 1)
            ]
        )
    if len(options[0]) * len(options[1]) > _RANKS:
        return None
    for (e1, f1, g1), (e2, f2, g2) in product(*options):
        middle = sum(pattern.ranks) + 1 - (e1 + f1 + g1 + e2 + f2 + g2)
        if (
            min(f1, f2) + min(g1, g2)
            and max(f1, f2) + middle <= both_rows
            and max(g1, g2) + middle <= both_columns
        ):
            return TwoClasses(rows, columns, ("both", e1, f1, g1, e2, f2, g2))
    return TwoClasses(rows, columns, None)


class Filling(NamedTuple):
    """Hold classes D, and for each kind of column not inside D the classes A that its test takes.

    Attributes
    ----------
    classes : int
        Mask of D.
    first : Pattern or None
        The columns whose classes all lie in D, which are to be decided; None if there are none.
    used : dict
        Kind of column → mask of A.
    """

    classes: int
    first: Pattern | None
    used: dict[int, int]


def fillings(pattern: Pattern, deadline: float = float("inf")) -> Iterator[Filling]:
    """Yield ways to settle some kinds of columns whatever the others are, until a deadline.

    Let D be a set of components and J the columns whose components all lie in D. Suppose that for every
    other column, with components S, any nonzero x_k (k in S ∩ D) and generic x_k (k in S ∖ D) span all
    vectors on ``reach(S) = ∪_{k in S} R_k``. Then products are a closed set if and only if those of the
    columns J are. It suffices that some A ⊆ S ∩ D with pairwise disjoint R_k has the following property:
    for every choice of rows i_k in R_k, k in A, the other rows of reach(S) can be given to different
    components of S ∖ D that hold them.

    *Proof.* Let B be a limit. Its columns J are a product, by assumption. Where x_k = 0, k in D, put y_k = 0
    and take x_k nonzero; take the other x_k generic; every remaining column of B lies in reach(S), so it is a
    combination of the x_k, k in S. For the test: x_k has a nonzero entry i_k for each k in A. Expand the
    minor of the rows reach(S) and the columns A and those assigned: the product of the assigned entries has
    as coefficient a minor of (x_k), k in A, on the rows i_k, which is diagonal because the R_k are
    disjoint, and is not zero. So the minor is not zero for generic entries. The converse is heredity. ∎
    """
    kinds = pattern.columns
    unions = {a | b for a, b in combinations(kinds, 2)} if len(kinds) <= 16 else set()
    candidates = sorted({0, *kinds, *unions}, key=int.bit_count)
    everything = union(kinds)
    for D in candidates:
        if everything == D:
            continue
        used: dict[int, int] = {}
        for j, kind in enumerate(kinds):
            if kind & ~D:
                A = _spanning(pattern, kind, D, deadline)
                if A is None:
                    break
                used[j] = A
        else:
            inside = [
                0 if kind & ~D else count for kind, count in zip(kinds, pattern.column_counts, strict=True)
            ]
            yield Filling(D, pattern.with_columns(inside) if any(inside) else None, used)


def saturated_kinds(pattern: Pattern) -> Iterator[tuple[int, Pattern, Pattern]]:
    """Yield kinds of columns that are as many as the rank that they can have, and two smaller patterns.

    Let S be the classes of a kind of column that occurs c times, c the generic rank of the left factor's
    columns in S, and let there be columns whose classes are a proper part of S. Products are a closed set
    if and only if they are for both sub-blocks "one column of the kind less" and "no column of a proper
    part".

    *Proof.* Let B be a limit. If a column of the kind is a combination of the other columns with classes
    inside S, leave it out: the rest is a product, and the combination of the columns of Y has the
    support. Otherwise the columns inside S have rank c plus the rank of those of proper parts. It is at most
    c, as for every product; so the latter vanish, and B comes from the second sub-block. The converse is
    heredity. ∎
    """
    for j, (kind, count) in enumerate(zip(pattern.columns, pattern.column_counts, strict=True)):
        parts = [q for q, other in enumerate(pattern.columns) if q != j and not other & ~kind]
        if parts and pattern.T.generic_rank(kind, at_most=count + 1) == count:
            fewer, none = list(pattern.column_counts), list(pattern.column_counts)
            fewer[j] -= 1
            for q in parts:
                none[q] = 0
            yield j, pattern.with_columns(fewer), pattern.with_columns(none)


def _sizes(kinds: tuple[int, ...], counts: tuple[int, ...]) -> tuple[int, int, int]:
    """How many lie in the first class only, in both, in the second only."""
    sizes = {1: 0, 3: 0, 2: 0}
    for kind, count in zip(kinds, counts, strict=True):
        sizes[kind] += count
    return sizes[1], sizes[3], sizes[2]


def _spanning(pattern: Pattern, kind: int, D: int, deadline: float) -> int | None:
    """Classes A as `fillings` asks for one kind of column, or None, as at the deadline."""
    reach = union(pattern.row_sets[p] for p in bits(kind))
    counts = [count if reach >> i & 1 else 0 for i, count in enumerate(pattern.row_counts)]
    given, generic = list(bits(kind & D)), list(bits(kind & ~D))
    supplies = [pattern.ranks[p] for p in generic]
    sets = [pattern.row_sets[p] for p in generic]
    total = sum(counts)
    if sum(supplies) + len(given) < total:
        return None
    missing = total - largest_flow(supplies, sets, counts, at_most=total)
    if not missing:
        return 0
    for size in range(missing, len(given) + 1):
        for A in combinations(given, size):
            if thread_time() > deadline:
                return None
            rows = [pattern.row_sets[p] for p in A]
            if sum(map(int.bit_count, rows)) > union(rows).bit_count():
                continue
            if prod(map(int.bit_count, rows)) > _CHOICES:
                continue
            for choice in product(*map(bits, rows)):
                left = list(counts)
                for i in choice:
                    left[i] -= 1
                if largest_flow(supplies, sets, left, at_most=total - size) < total - size:
                    break
            else:
                return sum(1 << p for p in A)
        if size >= missing + 1:
            break
    return None
