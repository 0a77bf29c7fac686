"""How a chain is multiplied with many columns: 2×2 blocks with ones on their diagonals, and groups of rows.

**Levels.** A factor with blocks ``[[p, q], [r, s]]`` is one with blocks ``[[1, q/s], [r/p, 1]]`` times a
diagonal matrix, which goes into the next factor, and from the last one to what is multiplied. So a row costs
one multiplication a factor, not two. Sums of products do not feel diagonal matrices: every term has the same
relative error as before, unless numbers leave the range of their type, which is why diagonals far from one
stay where they are. Up to three such factors are one stage, eight rows at a time in registers.

**Groups.** Neighbouring stages act on few rows at a time: those of one block of their product. Rows go
through all stages of a group before the next ones are touched, and stay in the first level cache meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.kronecker_matmul import cheapest_cuts, fused_pattern, multiplied_out, stage_ns

__all__ = ["Group", "Plan", "Stage", "group_rows", "group_runs", "ordered", "plan_groups"]

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]
Factor = tuple[Pattern, Array]

# Rows of a tile that stay in the first level cache: 16 KB of rows of 128 bytes, which may be there twice.
_CACHED_ROWS = 128

# Diagonals are taken out of blocks while all their products lie between one over this and this: numbers as
# near to the ends of the range as that lose digits, or overflow.
_REACH = {4: 2.0**24, 8: 2.0**200}


class Stage(NamedTuple):
    """What is done to rows at once: a factor, or several multiplied out, or up to three levels.

    Attributes
    ----------
    pattern : tuple of four int
        ``(a, b, c, d)`` of the product.
    strides : tuple of three int
        Of levels, how many rows of a block lie between those of a pair, in the order in which levels are
        applied, and 0 for none; all 0 for blocks of coefficients.
    values : ndarray of shape (a, d, q)
        The coefficients of each block in the order in which they are used.
    """

    pattern: Pattern
    strides: tuple[int, int, int]
    values: Array

    @property
    def in_place(self) -> bool:
        """Whether all rows of a block are read before one is written."""
        return self.strides[0] > 0 or self.pattern[1:3] == (4, 4)


class Plan(NamedTuple):
    """A chain laid out for many columns.

    Attributes
    ----------
    groups : list of Group
        In the order in which they are applied.
    scales : ndarray of shape (n_columns,) or None
        What rows are multiplied by before.
    row_ns : float
        Nanoseconds for a row of a tile, about.
    """

    groups: list[Group]
    scales: Array | None
    row_ns: float


class Group(NamedTuple):
    """Stages whose product has blocks of few rows, from left to right.

    Attributes
    ----------
    pattern : tuple of four int
        ``(a, b, c, d)`` of the product.
    stages : tuple of Stage
        In the order in which they are applied.
    """

    pattern: Pattern
    stages: tuple[Stage, ...]


def plan_groups(chain: Sequence[Factor]) -> Plan:
    """Lay a chain out for many columns.

    Parameters
    ----------
    chain : sequence of tuple of pattern and ndarray of shape (a, b, d, c)
        The factors, left to right.

    Returns
    -------
    Plan
    """
    chain, is_level, scales = _unit_diagonals(chain)
    complex_ = chain[0][1].dtype.kind == "c"

    def stage_cost(first: int, stop: int) -> float:
        pattern = fused_pattern([pattern for pattern, _ in chain[first:stop]])
        levels = stop - first if all(is_level[first:stop]) and pattern[1] == 1 << (stop - first) <= 8 else 0
        return stage_ns(pattern, complex_, levels=levels)

    stages, row_ns = [], 0.0
    for run in cheapest_cuts(len(chain), stage_cost):
        row_ns += stage_cost(run.start, run.stop)
        pattern = fused_pattern([pattern for pattern, _ in chain[run]])
        if all(is_level[run]) and pattern[1] == 1 << (run.stop - run.start) <= 8:
            stages.append(_levels(pattern, chain[run]))
        else:
            stages.append(Stage(pattern, (0, 0, 0), ordered(multiplied_out(chain[run]))))

    groups = []
    for run in group_runs([stage.pattern for stage in stages], _CACHED_ROWS):
        pattern = fused_pattern([stage.pattern for stage in stages[run]])
        groups.append(Group(pattern, tuple(reversed(stages[run]))))
    return Plan(groups[::-1], scales, row_ns)


def group_runs(patterns: Sequence[Pattern], most: int) -> list[slice]:
    """Cut a chain into few groups, whose blocks have at most so many rows where they have several stages.

    Parameters
    ----------
    patterns : sequence of tuple of four int
        ``(a, b, c, d)`` of the stages, left to right.
    most : int
        The number of rows.

    Returns
    -------
    list of slice
        The groups, left to right.

    Examples
    --------
    >>> group_runs([(1, 2, 2, 8), (2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)], 4)
    [slice(0, 2, None), slice(2, 4, None)]
    """

    def cost(first: int, stop: int) -> float:
        rows = group_rows(patterns[first:stop])
        if stop - first > 1 and rows > most:
            return math.inf
        a, b, c, d = fused_pattern(patterns[first:stop])
        return a * d * (b + c) * (1 + 1e-3 * rows)  # of equal ones the more even

    return cheapest_cuts(len(patterns), cost)


def group_rows(patterns: Sequence[Pattern]) -> int:
    """Return how many rows a block of a group has at most before or after one of its stages."""
    a, _, _, d = fused_pattern(patterns)
    return max(a_own * max(b, c) * d_own for a_own, b, c, d_own in patterns) // (a * d)


def ordered(values: Array) -> Array:
    """Put the coefficients of each block into the order in which they are used: four rows at a time.

    Parameters
    ----------
    values : ndarray of shape (a, b, d, c)

    Returns
    -------
    ndarray of shape (a, d, b·c)
    """
    a, b, d, c = values.shape
    blocks = values.swapaxes(1, 2)
    fours = blocks[:, :, : b // 4 * 4].reshape(a, d, b // 4, 4, c).swapaxes(3, 4).reshape(a, d, -1)
    return np.concatenate([fours, blocks[:, :, b // 4 * 4 :].reshape(a, d, -1)], axis=2)


def _unit_diagonals(chain: Sequence[Factor]) -> tuple[list[Factor], list[bool], Array | None]:
    """Move the diagonals of 2×2 blocks to the right; which factors have ones there now, and what is left."""
    found: list[Factor] = []
    is_level: list[bool] = []
    scales: Array | None = None
    for (a, b, c, d), values in chain:
        if scales is not None:
            values = values * scales.reshape(a, b, d, 1)
        scales = None
        if b == c == 2:
            with np.errstate(all="ignore"):
                diagonal = np.stack([values[:, 0, :, 0], values[:, 1, :, 1]], axis=1)
                unit = values / diagonal.swapaxes(1, 2)[:, None]
                reach = _REACH[values.real.itemsize]
                largest = np.maximum(np.abs(diagonal), 1 / np.abs(diagonal)).max()
            if largest <= reach and np.abs(unit).max() <= reach:
                values, scales = unit, diagonal.reshape(-1)
        found.append(((a, b, c, d), values))
        is_level.append(scales is not None)
    return found, is_level, scales


def _levels(pattern: Pattern, factors: Sequence[Factor]) -> Stage:
    """Several levels as one stage."""
    a, rows, _, d = pattern
    strides, values = [0, 0, 0], []
    for step, ((_, _, _, own), _) in enumerate(reversed(factors)):
        strides[step] = own // d
    # Register i holds the row of a block whose place is the sum of the strides of the bits of i.
    place = np.array([sum(strides[bit] for bit in range(3) if i >> bit & 1) for i in range(rows)])
    for step, (_, V) in enumerate(reversed(factors)):
        first = place[np.arange(rows) >> step & 1 == 0]
        t = strides[step]
        pairs = np.stack([V[:, 0, :, 1], V[:, 1, :, 0]], axis=-1).reshape(a, -1, t, d, 2)
        values.append(pairs[:, first // (2 * t), first % t].swapaxes(1, 2).reshape(a, d, -1))
    return Stage(pattern, (strides[0], strides[1], strides[2]), np.concatenate(values, axis=2))
