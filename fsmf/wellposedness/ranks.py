"""Why a matrix of too high a rank is no product, as an identity that anybody can multiply out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, permutations, product
from math import prod

from fsmf.wellposedness.pattern import union
from fsmf.wellposedness.polynomials import CONSTANT, Laurent, add, multiply, term

__all__ = ["Block", "determinant_identity", "find_high_rank"]

Block = tuple[list[int], list[int]]


def find_high_rank(
    values: Mapping[tuple[int, int], Fraction],
    rows: Mapping[int, int],
    columns: Mapping[int, int],
    watch: Callable[[], None] = lambda: None,
) -> Block | None:
    """Find rows and columns of a matrix whose determinant is not 0 though too few components reach them.

    Parameters
    ----------
    values : mapping of (int, int) to Fraction
        The nonzeros of B.
    rows, columns : mapping of int to int
        For each row and column to look at, the mask of the components that it lies in.
    watch : callable, optional
        Called now and then; it may raise.

    Returns
    -------
    tuple of list of int, or None
        As many rows as columns, more than there are components that meet both.

    Notes
    -----
    Rows that avoid some components and columns that avoid others are looked at, all those with the most of
    them: 3ʳ blocks for r components.

    Examples
    --------
    >>> eye = {(0, 0): Fraction(1), (1, 1): Fraction(1)}
    >>> find_high_rank(eye, {0: 1, 1: 1}, {0: 1, 1: 1})
    ([0, 1], [0, 1])
    """
    n = union(rows.values()).bit_length()
    for choice in sorted(product((0, 1, 2), repeat=n), key=lambda choice: n - choice.count(0), reverse=True):
        avoided = [sum(1 << k for k, side in enumerate(choice) if side == which) for which in (1, 2)]
        chosen = [i for i, kind in rows.items() if not kind & avoided[0]]
        others = [j for j, kind in columns.items() if not kind & avoided[1]]
        rank = choice.count(0)
        if min(len(chosen), len(others)) > rank:
            pivots = _pivots(values, chosen, others, rank + 1, watch)
            if len(pivots) > rank:
                return [i for i, _ in pivots], [j for _, j in pivots]
    return None


def determinant_identity(
    values: Mapping[tuple[int, int], Fraction],
    block: Block,
    left: Mapping[tuple[int, int], int],
    right: Mapping[tuple[int, int], int],
    watch: Callable[[], None] = lambda: None,
) -> dict[tuple[int, int], Laurent]:
    """Return c_ij with Σ c_ij (XY − B)_ij = 1, where the determinant of XY vanishes and that of B does not.

    Parameters
    ----------
    values : mapping of (int, int) to Fraction
        The nonzeros of B.
    block : tuple of list of int
        Rows and columns, more than there are components that meet both.
    left, right : mapping of (int, int) to int
        The number of the unknown at each place of X and of Y.
    watch : callable, optional
        Called now and then; it may raise.

    Returns
    -------
    dict of (int, int) to Laurent
        The cofactors.

    Notes
    -----
    With M_p the block whose first p rows are those of XY and the others those of B,
    ``det M_0 = det B`` and the last is ``det XY = 0`` by Cauchy and Binet; two neighbours differ in row p
    only, so ``det M_p+1 − det M_p = Σ_j (XY − B)_pj C_pj``, with the cofactors C_pj of that row. The minors
    of XY are multiplied out by Cauchy and Binet, too.

    Examples
    --------
    >>> eye = {(0, 0): Fraction(1), (1, 1): Fraction(1)}
    >>> found = determinant_identity(eye, ([0, 1], [0, 1]), {(0, 0): 0, (1, 0): 1}, {(0, 0): 2, (0, 1): 3})
    >>> sorted(found)
    [(0, 0), (1, 0), (1, 1)]
    """
    rows, columns = block
    size = len(rows)
    scale = -1 / _determinant([[values.get((i, j), Fraction(0)) for j in columns] for i in rows])
    classes = sorted({k for _, k in left} & {k for k, _ in right})
    found: dict[tuple[int, int], Laurent] = {}
    for p, i in enumerate(rows):
        for q, j in enumerate(columns):
            rest = [b for b in range(size) if b != q]
            cofactor: Laurent = {}
            for top in combinations(rest, p):
                watch()
                bottom = [b for b in rest if b not in top]
                minor = _determinant(
                    [[values.get((a, columns[b]), Fraction(0)) for b in bottom] for a in rows[p + 1 :]]
                )
                if minor:
                    # Laplace: the sign of the columns' order (top, bottom) among the rest.
                    sign = (-1) ** sum(b > c for b in top for c in bottom)
                    add(
                        cofactor,
                        _binet(rows[:p], [columns[b] for b in top], classes, left, right),
                        sign * minor,
                    )
            if cofactor:
                found[i, j] = multiply(cofactor, {CONSTANT: scale * (-1) ** (p + q)})
    return found


def _binet(
    rows: Sequence[int],
    columns: Sequence[int],
    classes: Sequence[int],
    left: Mapping[tuple[int, int], int],
    right: Mapping[tuple[int, int], int],
) -> Laurent:
    """A minor of XY: Σ over sets K of classes of det X[rows, K] det Y[K, columns]."""
    total: Laurent = {}
    for chosen in combinations(classes, len(rows)):
        X = _leibniz([[left.get((i, k)) for k in chosen] for i in rows])
        if X:
            add(total, multiply(X, _leibniz([[right.get((k, j)) for j in columns] for k in chosen])))
    return total


def _leibniz(unknowns: Sequence[Sequence[int | None]]) -> Laurent:
    """The determinant of a matrix of different unknowns and zeros."""
    total: Laurent = {}
    for order in permutations(range(len(unknowns))):
        chosen = [row[b] for row, b in zip(unknowns, order, strict=True)]
        known = [v for v in chosen if v is not None]
        if len(known) == len(chosen):
            add(total, term(_sign(order), *known))
    return total


def _sign(order: Sequence[int]) -> int:
    return prod(1 if a < b else -1 for a, b in combinations(order, 2))


def _determinant(matrix: Sequence[Sequence[Fraction]]) -> Fraction:
    return sum(
        (_sign(order) * prod((row[b] for row, b in zip(matrix, order, strict=True)), start=Fraction(1)))
        for order in permutations(range(len(matrix)))
    ) + Fraction(0)


def _pivots(
    values: Mapping[tuple[int, int], Fraction],
    rows: Sequence[int],
    columns: Sequence[int],
    enough: int,
    watch: Callable[[], None],
) -> list[tuple[int, int]]:
    """Rows and columns of a block that is not singular, as many as there are, up to a number."""
    left = {}
    for a in rows:
        watch()
        left[a] = {j: values[a, j] for j in columns if values.get((a, j))}
    found: list[tuple[int, int]] = []
    while len(found) < enough:
        i = next((i for i, row in left.items() if row), None)
        if i is None:
            break
        row = left.pop(i)
        j = next(iter(row))
        found.append((i, j))
        for other in left.values():
            if j in other:
                watch()
                factor = other[j] / row[j]
                for c, value in row.items():
                    other[c] = other.get(c, Fraction(0)) - factor * value
                    if not other[c]:
                        del other[c]
    return found
