"""Check proofs that products form a closed set, from the supports and the theorems alone.

Nothing is shared with the search: patterns are read as plain sets, flows are SciPy's, the algebra is sympy's,
and what the search finds by formulas is counted out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.covers import is_cover
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.proofs import Proof

__all__ = ["makes_everything", "verify_proof"]

Kind = frozenset[int]


class _Question(NamedTuple):
    """A pattern as sets: the classes of each kind of row and of column, how many there are, and the ranks."""

    rows: tuple[Kind, ...]
    row_counts: tuple[int, ...]
    columns: tuple[Kind, ...]
    column_counts: tuple[int, ...]
    ranks: tuple[int, ...]

    @property
    def T(self) -> _Question:
        return _Question(self.columns, self.column_counts, self.rows, self.row_counts, self.ranks)

    def row_sets(self) -> list[set[int]]:
        """The kinds of rows in each class."""
        sets: list[set[int]] = [set() for _ in self.ranks]
        for i, kind in enumerate(self.rows):
            for p in kind:
                sets[p].add(i)
        return sets

    def column_sets(self) -> list[set[int]]:
        """The kinds of columns in each class."""
        return self.T.row_sets()


def verify_proof(supports: Supports, proof: Proof) -> Verification:
    """Check that a proof is one, and that it speaks of these supports.

    Parameters
    ----------
    supports : Supports
        The pair.
    proof : Proof
        What is to be checked.

    Returns
    -------
    Verification
        One `Check` for the pattern, and one per node.

    Notes
    -----
    **Cost.** A few passes over the nonzeros, and for each node at most what its search took.
    """
    try:
        same = _read(proof.pattern) == _pattern(supports)
    except ValueError:
        same = False
    checks = [Check("pattern of the supports", "as stated", *_found(same))]
    for node in proof.nodes():
        try:
            holds = _THEOREMS[node.theorem](
                _read(node.pattern), node, [_read(part.pattern) for part in node.parts]
            )
        except (ArithmeticError, LookupError, TypeError, ValueError):  # what a spoiled proof runs into
            holds = False
        checks.append(Check(f"theorem “{node.theorem}”", "applies", *_found(holds, "applies")))
    return Verification(tuple(checks))


def makes_everything(proof: Proof) -> bool:
    """Return whether a proof that products are closed says that they are all matrices on their reach."""
    if proof.theorem == "transposed":
        return len(proof.parts) == 1 and makes_everything(proof.parts[0])
    return proof.theorem in ("free", "fill") and not proof.parts and not proof.data.get("groups")


def _found(holds: bool, word: str = "as stated") -> tuple[str, bool]:
    return (word if holds else "does not hold", holds)


def _read(pattern: Pattern) -> _Question:
    def kinds(masks: Sequence[int]) -> tuple[Kind, ...]:
        return tuple(
            frozenset(p for p, bit in enumerate(reversed(f"{mask:b}")) if bit == "1") for mask in masks
        )

    question = _Question(
        kinds(pattern.rows), pattern.row_counts, kinds(pattern.columns), pattern.column_counts, pattern.ranks
    )
    if not (
        all(count > 0 for count in (*question.row_counts, *question.column_counts, *question.ranks))
        and len(question.rows) == len(question.row_counts)
        and len(question.columns) == len(question.column_counts)
        and len(set(question.rows)) == len(question.rows)
        and len(set(question.columns)) == len(question.columns)
        and {p for kind in question.rows for p in kind} == set(range(len(question.ranks)))
        and {p for kind in question.columns for p in kind} == set(range(len(question.ranks)))
    ):
        raise ValueError("not a pattern")
    return question


def _pattern(supports: Supports) -> _Question:
    """The pattern of a pair, component by component and row by row."""
    left, right = supports if len(supports) != 1 else _after_a_diagonal(*supports)
    turned = left.T
    number: dict[tuple[bytes, bytes], int] = {}
    class_of: dict[int, int] = {}
    ranks: list[int] = []
    for k in range(right.shape[0]):
        rows, columns = turned.row(k), right.row(k)
        if rows.size and columns.size:
            p = class_of[k] = number.setdefault((rows.tobytes(), columns.tobytes()), len(number))
            if p == len(ranks):
                ranks.append(0)
            ranks[p] += 1

    def kinds(support: Any) -> tuple[tuple[Kind, ...], tuple[int, ...]]:
        counts: dict[Kind, int] = {}
        for i in range(support.shape[0]):
            kind = frozenset(class_of[k] for k in support.row(i).tolist() if k in class_of)
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
        return tuple(counts), tuple(counts.values())

    return _Question(*kinds(left), *kinds(right.T), tuple(ranks))


def _after_a_diagonal(support: Support) -> tuple[Support, Support]:
    """Two factors with the products of one, which a diagonal scales row by row."""
    m = support.shape[0]
    return Support.from_coordinates(range(m), range(m), shape=(m, m)), support


def _simplified(
    rows: Sequence[set[int]], row_counts: Sequence[int], columns: Sequence[set[int]],
    column_counts: Sequence[int], ranks: Sequence[int],
) -> _Question:  # fmt: skip
    """The pattern of classes given by rectangles, in any state: none empty or equal, kinds that occur."""
    held_rows = [i for i, count in enumerate(row_counts) if count]
    held_columns = [j for j, count in enumerate(column_counts) if count]
    pooled: dict[tuple[Kind, Kind], int] = {}
    for row_set, column_set, rank in zip(rows, columns, ranks, strict=True):
        place = (frozenset(row_set.intersection(held_rows)), frozenset(column_set.intersection(held_columns)))
        if all(place) and rank:
            pooled[place] = pooled.get(place, 0) + rank

    def kinds(side: int, held: list[int], counts: Sequence[int]) -> tuple[tuple[Kind, ...], tuple[int, ...]]:
        found: dict[Kind, int] = {}
        members: dict[int, list[int]] = {i: [] for i in held}
        for p, place in enumerate(pooled):
            for i in place[side]:
                members[i].append(p)
        for i in held:
            if members[i]:
                kind = frozenset(members[i])
                found[kind] = found.get(kind, 0) + counts[i]
        return tuple(found), tuple(found.values())

    return _Question(
        *kinds(0, held_rows, row_counts), *kinds(1, held_columns, column_counts), tuple(pooled.values())
    )


def _with_columns(question: _Question, counts: Sequence[int]) -> _Question:
    return _simplified(
        question.row_sets(), question.row_counts, question.column_sets(), counts, question.ranks
    )


def _flow(supplies: Sequence[int], reach: Sequence[set[int]], demands: Sequence[int]) -> int:
    """How much the supplies can bring to the demands within reach."""
    if not supplies or not demands:
        return 0
    source, first, sink = 0, 1 + len(supplies), 1 + len(supplies) + len(demands)
    edges = [(source, 1 + p, supply) for p, supply in enumerate(supplies)]
    edges += [
        (1 + p, first + j, min(supplies[p], demands[j])) for p, places in enumerate(reach) for j in places
    ]
    edges += [(first + j, sink, demand) for j, demand in enumerate(demands)]
    start, end, capacity = np.array([edge for edge in edges if edge[2]], dtype=np.int32).reshape(-1, 3).T
    graph = sparse.csr_array((capacity, (start, end)), shape=(sink + 1, sink + 1))
    return int(csgraph.maximum_flow(sparse.csr_matrix(graph), source, sink).flow_value)


def _generic_rank(question: _Question, kind: Kind) -> int:
    """The generic rank of the rows of the right factor in some classes."""
    sets = question.column_sets()
    return _flow([question.ranks[p] for p in kind], [sets[p] for p in kind], question.column_counts)


def _compatible(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    rows, columns = question.row_sets(), question.column_sets()
    beside: list[set[int]] = [set() for _ in question.ranks]
    for kind in question.rows:
        for p in kind:
            beside[p] |= kind
    return not parts and all(
        not columns[p] & columns[q]
        or (rows[p] >= rows[q] and columns[p] <= columns[q])
        or (rows[p] <= rows[q] and columns[p] >= columns[q])
        for p in range(len(question.ranks))
        for q in beside[p]
        if p < q
    )


def _two_classes(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    """Every combination of ranks is gone through: none may describe a limit that is no product."""

    def sizes(kinds: tuple[Kind, ...], counts: tuple[int, ...]) -> list[int]:
        which = [frozenset({0}), frozenset({0, 1}), frozenset({1})]
        return [sum(c for kind, c in zip(kinds, counts, strict=True) if kind == one) for one in which]

    rows, columns = sizes(question.rows, question.row_counts), sizes(question.columns, question.column_counts)
    if parts or len(question.ranks) != 2 or [rows, columns] != [node.data["rows"], node.data["columns"]]:
        return False
    if not (rows[1] and columns[1]):
        return True
    solutions = []
    for rank, A, P in zip(question.ranks, rows[::2], columns[::2], strict=True):
        triples = [
            (e, f, g)
            for e in range(min(A, P, rank + 1) + 1)
            for f in range(min(rows[1], P - e, rank + 1) + 1)
            for g in range(min(columns[1], A - e, rank + 1 - f) + 1)
        ]
        if any(e + f + g == rank + 1 and f and g for e, f, g in triples):
            return False
        solutions.append([(e, f, g) for e, f, g in triples if e + f + g <= rank])
    total = sum(question.ranks)
    return not any(
        f1 - phi + f2 + total + 1 - (e1 + f1 + g1 + e2 + f2 + g2) <= rows[1]
        and g1 - gamma + g2 + total + 1 - (e1 + f1 + g1 + e2 + f2 + g2) <= columns[1]
        for (e1, f1, g1), (e2, f2, g2) in product(*solutions)
        for phi in range(min(f1, f2) + 1)
        for gamma in range(min(g1, g2) + 1)
        if phi + gamma
    )


def _twins(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    (part,) = parts
    if (part.rows, part.columns, len(part.ranks)) != (question.rows, question.columns, len(question.ranks)):
        return False
    halfway = question._replace(row_counts=part.row_counts)

    def as_many(before: _Question, after: tuple[int, ...]) -> bool:
        return all(
            kept == min(count, _generic_rank(before, kind))
            for kind, count, kept in zip(before.rows, before.row_counts, after, strict=True)
        )

    return (
        as_many(question, part.row_counts)
        and as_many(halfway.T, part.column_counts)
        and all(
            kept == min(rank, sum(part.row_counts[i] for i in R), sum(part.column_counts[j] for j in C))
            for rank, kept, R, C in zip(
                question.ranks, part.ranks, part.row_sets(), part.column_sets(), strict=True
            )
        )
    )


def _free(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    rows, columns = question.row_sets(), question.column_sets()
    free: list[set[int]] = [set() for _ in question.rows]
    crossing: list[set[int]] = [set() for _ in question.columns]  # the same, column by column

    def stands_alone(piece: list[list[int]]) -> bool:
        """Each class of the piece has no entries that are not free in only its rows, or only its columns."""
        classes, R, C = map(set, piece)
        return bool(classes and R and C) and all(
            rows[p] >= R
            and columns[p] >= C
            and all(columns[p] - C <= free[i] for i in R)
            and all(rows[p] - R <= crossing[j] for j in C)
            for p in classes
        )

    for piece in node.data["steps"]:
        classes, R, C = map(set, piece)
        rank = sum(question.ranks[p] for p in classes)
        supplies, reach = [question.row_counts[i] for i in R], [C - free[i] for i in R]
        short = min(sum(supplies), sum(question.column_counts[j] for j in C))
        if not stands_alone(piece) or min(short, _flow(supplies, reach, question.column_counts)) > rank:
            return False
        for i in R:
            free[i] |= C
        for j in C:
            crossing[j] |= R
    groups = node.data["groups"]
    left = [sum(len(columns[p] - free[i]) for i in rows[p]) for p in range(len(question.ranks))]
    owner: dict[tuple[int, int], int] = {}
    for g, group in enumerate(groups):
        for piece in group:
            classes, R, C = map(set, piece)
            entries = [(i, j) for i in R for j in C - free[i]]
            if not stands_alone(piece) or any(owner.setdefault(entry, g) != g for entry in entries):
                return False
            for p in classes:
                left[p] -= len(entries)
    taken = [set(piece[0]) for group in groups for piece in group]
    places = [{(p, i) for p in piece[0] for i in piece[1]} for group in groups for piece in group]
    return (
        not any(left)
        and len(taken) == sum(map(len, groups))
        and sum(map(len, places)) == len(set().union(*places))
        and parts == [_group(question, free, group) for group in groups]
    )


def _group(question: _Question, free: list[set[int]], group: list[list[list[int]]]) -> _Question:
    """The question of one group: its pieces, and each row's free entries as a class that makes any values."""
    R = sorted({i for piece in group for i in piece[1]})
    C = sorted({j for piece in group for j in piece[2]})
    row_place, column_place = {i: a for a, i in enumerate(R)}, {j: b for b, j in enumerate(C)}
    rows = [{row_place[i] for i in piece[1]} for piece in group]
    columns = [{column_place[j] for j in piece[2]} for piece in group]
    ranks = [sum(question.ranks[p] for p in piece[0]) for piece in group]
    row_counts = [question.row_counts[i] for i in R]
    column_counts = [question.column_counts[j] for j in C]
    if any(free[i].intersection(piece[2]) for piece in group for i in piece[1]):
        for i in R:
            places = {column_place[j] for j in free[i].intersection(C)}
            if places:
                rows.append({row_place[i]})
                columns.append(places)
                ranks.append(min(question.row_counts[i], sum(column_counts[b] for b in places)))
    return _simplified(rows, row_counts, columns, column_counts, ranks)


def _fill(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    D, used = set(node.data["classes"]), {int(j): set(A) for j, A in node.data["used"]}
    rows = question.row_sets()
    outside = {j for j, kind in enumerate(question.columns) if kind - D}
    if outside != set(used):
        return False
    for j in outside:
        kind, A = question.columns[j], used[j]
        reach = set().union(*(rows[p] for p in kind))
        generic = sorted(kind - D)
        if not (
            A.issubset(kind & D) and sum(len(rows[p]) for p in A) == len(set().union(*(rows[p] for p in A)))
        ):
            return False
        for choice in product(*(rows[p] for p in A)):
            counts = [c if i in reach else 0 for i, c in enumerate(question.row_counts)]
            for i in choice:
                counts[i] -= 1
            if _flow([question.ranks[p] for p in generic], [rows[p] for p in generic], counts) != sum(counts):
                return False
    inside = [0 if j in outside else count for j, count in enumerate(question.column_counts)]
    return parts == ([_with_columns(question, inside)] if any(inside) else [])


def _peeled(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    """Every matrix is taken apart, or every one whose rank is not above the number of components."""
    left, right = node.data["left"], node.data["right"]
    classes = range(len(question.ranks))
    others = [rank - a - b for rank, a, b in zip(question.ranks, left, right, strict=True)]
    if parts or min(*left, *right, *others) < 0:
        return False
    most, deficits = [], [0 for _ in classes]
    for side, aside in ((question, left), (question.T, right)):
        held, every = side.row_sets(), set(range(len(side.rows)))
        if any(a and len(C) < len(side.columns) for a, C in zip(aside, side.column_sets(), strict=True)):
            return False
        most.append(sum(side.row_counts) - _flow(aside, held, side.row_counts))
        for p in classes:
            missed = every - held[p]
            given = _flow(aside, [rows & missed for rows in held], side.row_counts)
            deficits[p] += sum(side.row_counts[i] for i in missed) - given
    order = sorted(deficits[p] for p in classes for _ in range(others[p]))
    size = min(most) if any(left) or any(right) else min(*most, len(order))
    return len(order) >= size and all(order[i - 1] < i for i in range(1, size + 1))


def _saturated(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    j = int(node.data["kind"])
    kind = question.columns[j]
    smaller = {q for q, other in enumerate(question.columns) if other < kind}
    fewer = [count - (q == j) for q, count in enumerate(question.column_counts)]
    none = [0 if q in smaller else count for q, count in enumerate(question.column_counts)]
    return (
        bool(smaller)
        and _generic_rank(question.T, kind) == question.column_counts[j]
        and parts == [_with_columns(question, fewer), _with_columns(question, none)]
    )


def _transposed(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    return parts == [question.T]


def _normal_forms(question: _Question, node: Proof, parts: list[_Question]) -> bool:
    first = np.cumsum([0, *question.ranks]).tolist()

    def listed(kinds: tuple[Kind, ...], counts: tuple[int, ...]) -> list[Kind]:
        """A component for each unit of rank, rows and columns with repetition."""
        spread = [frozenset(k for p in kind for k in range(first[p], first[p + 1])) for kind in kinds]
        return [kind for kind, count in zip(spread, counts, strict=True) for _ in range(count)]

    rows = listed(question.rows, question.row_counts)
    columns = listed(question.columns, question.column_counts)
    return not parts and is_cover(rows, columns, node.data["cases"])


_THEOREMS = {
    "compatible": _compatible,
    "two classes": _two_classes,
    "twins": _twins,
    "free": _free,
    "fill": _fill,
    "peeled": _peeled,
    "saturated": _saturated,
    "normal forms": _normal_forms,
    "transposed": _transposed,
}
