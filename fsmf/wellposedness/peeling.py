"""Components that take any matrix apart, one rank after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from time import thread_time
from typing import NamedTuple

from fsmf.wellposedness.pattern import Pattern, bits, largest_flow

__all__ = ["Peeling", "find_peeling"]

# How many choices of the components that are set aside are tried.
_CHOICES = 1000


class Peeling(NamedTuple):
    """Hold for each class how many components are set aside, as E and as E'."""

    left: tuple[int, ...]
    right: tuple[int, ...]


def find_peeling(pattern: Pattern, deadline: float = float("inf")) -> Peeling | None:
    """Show that products are all matrices, or all of rank at most r, if peeling does.

    Let E be components that hold all columns, E' others that hold all rows, F the rest. For l in F let d_l
    be the number of rows that l misses, less the largest number of them that can be given to different
    components of E that hold them; c_l likewise with columns and E'. Let a, a' be the generic ranks of X_E
    and Y_E'.
    If components of F can be ordered so that ``d_l + c_l < i`` for the i-th, i = 1 … min(m − a, n − a'), then
    every matrix is a product. If E and E' are empty and it is so for i = 1 … r, r ≤ min(m, n), then every
    matrix of rank at most r is one.

    *Proof.* Take generic X_E and Y_E', and N, N' with the kernels span X_E and the row space of Y_E'. Let A
    be any matrix and B = N A N'ᵀ of rank ρ ≥ 1. The vectors N x, x on R_l, in the column space U of B have
    codimension at most d_l there, and those N' y, y on C_l, in the row space W codimension at most c_l. The
    form ``⟨B v, u B⟩ = u B v`` pairs U and W without kernel. With d_l + c_l < ρ the first subspace is not
    orthogonal to the second: there are N x_l = B v and N' y_l = u B with u B v = 1, and
    ``B − (N x_l)(N' y_l)ᵀ`` has rank ρ − 1 (Wedderburn). So F takes B apart, of rank ρ = min(m − a, n − a')
    at most, with the ρ-th component first. What remains of A vanishes between N and N', so it is X_E Y + X
    Y_E' for some Y and X, which are not restricted. ∎

    Parameters
    ----------
    pattern : Pattern
        What the question is about.
    deadline : float
        When to give up, on the clock of `time.thread_time`.

    Returns
    -------
    Peeling or None
        None says nothing.
    """
    sides = (pattern, pattern.T)
    full = [(1 << len(side.rows)) - 1 for side in sides]
    gaps = [[whole & ~held for held in side.row_sets] for whole, side in zip(full, sides, strict=True)]
    for left, right in islice(_set_aside(pattern, *gaps), _CHOICES):
        if thread_time() > deadline:
            return None
        n_ranks = []
        deficits = [0] * len(pattern.ranks)
        for side, whole, aside, missed in zip(sides, full, (left, right), gaps, strict=True):
            n_ranks.append(_weight(side, whole) - _given(side, aside, whole))
            for p, mask in enumerate(missed):
                deficits[p] += _weight(side, mask) - _given(side, aside, mask)
        others = [rank - a - b for rank, a, b in zip(pattern.ranks, left, right, strict=True)]
        order = sorted(deficits[p] for p, count in enumerate(others) for _ in range(count))
        size = min(n_ranks) if any(left) or any(right) else min(*n_ranks, len(order))
        if size <= len(order) and all(deficit <= at for at, deficit in enumerate(order[:size])):
            return Peeling(left, right)
    return None


def _set_aside(
    pattern: Pattern, row_gaps: Sequence[int], column_gaps: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield how many components of each class E and E' may have: few first, and enough are left."""
    lefts, rights = (
        sorted(
            islice(
                product(
                    *(range(1 if gap else rank + 1) for gap, rank in zip(gaps, pattern.ranks, strict=True))
                ),
                _CHOICES,
            ),
            key=sum,
        )
        for gaps in (column_gaps, row_gaps)
    )
    for left in lefts:
        for right in rights:
            a, b = sum(left), sum(right)
            enough = pattern.rank - a - b >= min(pattern.n_rows - a, pattern.n_columns - b)
            if all(x + y <= rank for x, y, rank in zip(left, right, pattern.ranks, strict=True)) and (
                enough or not a + b
            ):
                yield left, right


def _weight(side: Pattern, mask: int) -> int:
    """How many rows the kinds in a mask have."""
    return sum(side.row_counts[i] for i in bits(mask))


def _given(side: Pattern, aside: Sequence[int], mask: int) -> int:
    """How many rows of some kinds can be given to different components that are set aside and hold them."""
    supplies = [p for p, count in enumerate(aside) if count]
    return largest_flow(
        [aside[p] for p in supplies],
        [side.row_sets[p] & mask for p in supplies],
        side.row_counts,
        at_most=sum(aside),
    )
