"""THE table: supports, and what is known of each from theory alone. A question of one row is asked of all."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

import fsmf

BLOCK_SVD, SMALL, BOTH = "BlockSVD", "VariableProjection", "VariableProjection + BlockSVD"
OPTIMUM, STATIONARY = "GlobalOptimum", "StationaryPoint"
MINIMA, VALLEYS, NONE = "NO_SPURIOUS_MINIMA", "NO_SPURIOUS_VALLEYS", "NO_PROMISE"
TERMS, CLASSES, GENERIC, UNKNOWN = "TERMS", "CLASSES", "GENERIC", "UNKNOWN"


@dataclass(frozen=True, eq=False)
class Case:
    """One row: a name, two supports, and the expected answers."""

    name: str
    supports: Any
    solver: str
    promise: str
    n_classes: int
    n_components: int  # connected components of the overlap graph
    landscape: str
    identifiability: str
    well_posed: bool | None  # whether every A has a best product; None where theory does not say

    @property
    def tractable(self) -> bool:
        return self.promise == OPTIMUM

    def matrix(self, dtype: Any = float, seed: int = 0) -> np.ndarray:
        """A Gaussian matrix of the right shape: complex for a complex dtype, rounded for an integer one."""
        rng = np.random.default_rng([seed, *fsmf.as_supports(self.supports).shape])
        A = rng.standard_normal(fsmf.as_supports(self.supports).shape)
        if np.issubdtype(dtype, np.complexfloating):
            A = A + 1j * rng.standard_normal(A.shape)
        return (9 * A).astype(dtype) if np.issubdtype(dtype, np.integer) else A.astype(dtype)


def rectangles(m: int, n: int, *parts: tuple[Any, Any, int]) -> fsmf.Supports:
    """One class per ``(rows, columns, members)``: the definition of a pair by its rank-one supports."""
    left, right = [], []
    for rows, columns, members in parts:
        left += [np.isin(np.arange(m), list(rows))] * members
        right += [np.isin(np.arange(n), list(columns))] * members
    return fsmf.as_supports([np.array(left).T, np.array(right)])


def solve(A: Any, supports: Any, **options: Any) -> fsmf.Factorization:
    """Factorize where running out of sweeps, or growing factors, are not what is asked about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
        return fsmf.factorize(A, supports, **options)


@cache
def solved(case: Case, dtype: str = "float64") -> tuple[np.ndarray, fsmf.Factorization]:
    """A matrix and its factorization for a row, solved once for all questions; do not write to either."""
    A = case.matrix(np.dtype(dtype))
    return A, solve(A, case.supports)


@st.composite
def any_supports(draw: Any, max_side: int = 5, max_components: int = 4) -> fsmf.Supports:
    """Small pairs whose components share few row and column sets, so that classes and overlaps are common."""
    m, n = (draw(st.integers(1, max_side)) for _ in range(2))
    row_sets, column_sets = (
        draw(st.lists(st.integers(0, 2**side - 1), min_size=1, max_size=3)) for side in (m, n)
    )
    component = st.tuples(st.sampled_from(row_sets), st.sampled_from(column_sets))
    picked = draw(st.lists(component, min_size=1, max_size=max_components))
    left = [[rows >> i & 1 for rows, _ in picked] for i in range(m)]
    right = [[columns >> j & 1 for j in range(n)] for _, columns in picked]
    return fsmf.as_supports([left, right])


LU2 = fsmf.lu(2)
# No spurious valley, yet a spurious minimum: see CEC_SLM_* below.
CEC_SLM = fsmf.pair(np.ones((3, 3)), [[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
CEC_SLM_TARGET = np.array([[0.0, 0, 2, 0], [10, 0, 0, 1], [0, 0, 0, 0]])
CEC_SLM_POINT = (
    np.array([[0.0, 0, 0], [0, 0, 1], [1, 0, 0]]),
    np.array([[0.0, 0, 0, 0], [0, 1, 0, 0], [10, 0, 0, 1]]),
)
CROSSING_BARS = rectangles(2, 2, ([0], [0, 1], 1), ([0, 1], [0], 1))
NESTED = rectangles(3, 3, ([0, 1], [0, 1, 2], 1), ([0, 1, 2], [0, 1], 1))
OVERHANG = rectangles(2, 3, ([0, 1], [0, 1], 1), ([0, 1], [1, 2], 1))
OFF_DIAGONAL = fsmf.completion(1 - np.eye(3))

CASES = [
    # one class
    Case("low-rank", fsmf.low_rank(6, rank=2), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, CLASSES, True),
    Case("low-rank-wide", fsmf.low_rank(4, 7, rank=1), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, TERMS, True),
    Case("low-rank-tall", fsmf.low_rank(9, 3, rank=2), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, CLASSES, True),
    Case("low-rank-full", fsmf.low_rank(4, rank=4), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, CLASSES, True),
    Case("surplus-members", fsmf.low_rank(3, 5, rank=7), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, CLASSES, True),
    Case("one-row", fsmf.low_rank(1, 6, rank=1), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, TERMS, True),
    Case("one-column", fsmf.low_rank(5, 1, rank=2), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, CLASSES, True),
    Case("one-place", fsmf.low_rank(1, rank=1), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, TERMS, True),
    Case(
        "one-row-crowded",
        rectangles(1, 4, ([0], [0, 1, 2], 2), ([0], [1, 2], 1), ([0], [2, 3], 1)),
        *(BLOCK_SVD, OPTIMUM, 3, 1, VALLEYS, UNKNOWN, True),
    ),
    # disjoint blocks
    Case("blocks", fsmf.block_diagonal(6, 4, blocks=2), BLOCK_SVD, OPTIMUM, 2, 2, MINIMA, TERMS, True),
    Case(
        "blocks-uneven",
        fsmf.block_diagonal(11, 8, blocks=3, rank=2),
        *(BLOCK_SVD, OPTIMUM, 3, 3, MINIMA, CLASSES, True),
    ),
    Case("diagonal", fsmf.block_diagonal(5, blocks=5), BLOCK_SVD, OPTIMUM, 5, 5, MINIMA, TERMS, True),
    Case("monarch", fsmf.monarch(4, blocks=2), BLOCK_SVD, OPTIMUM, 4, 4, MINIMA, TERMS, True),
    Case(
        "monarch-rank-2", fsmf.monarch(12, blocks=2, rank=2), BLOCK_SVD, OPTIMUM, 4, 4, MINIMA, CLASSES, True
    ),
    Case("monarch-oblong", fsmf.monarch(6, 9, blocks=3), BLOCK_SVD, OPTIMUM, 9, 9, MINIMA, TERMS, True),
    Case("monarch-large", fsmf.monarch(64, blocks=8), BLOCK_SVD, OPTIMUM, 64, 64, MINIMA, TERMS, True),
    Case("hodlr", fsmf.hodlr(6, rank=1), BLOCK_SVD, OPTIMUM, 4, 4, MINIMA, CLASSES, True),
    Case("hodlr-uneven", fsmf.hodlr(7, 9, rank=2), BLOCK_SVD, OPTIMUM, 4, 4, MINIMA, CLASSES, True),
    Case("one-sided-band", fsmf.banded(5, lower=0), BLOCK_SVD, OPTIMUM, 5, 5, MINIMA, TERMS, True),
    Case("lu-1", fsmf.lu(1), BLOCK_SVD, OPTIMUM, 1, 1, MINIMA, TERMS, True),
    # complete classes among others
    Case("CEC-SLM", CEC_SLM, BLOCK_SVD, OPTIMUM, 2, 1, VALLEYS, UNKNOWN, True),
    Case("crossing-bars", CROSSING_BARS, BLOCK_SVD, OPTIMUM, 2, 1, VALLEYS, UNKNOWN, True),
    Case(
        "duplicated-lu",
        [np.repeat(LU2[0].toarray(), 2, axis=1), np.repeat(LU2[1].toarray(), 2, axis=0)],
        *(BLOCK_SVD, OPTIMUM, 2, 1, VALLEYS, UNKNOWN, True),
    ),
    Case(
        "pooled-residuals",
        rectangles(5, 5, (range(5), [0], 1), (range(5), range(5), 1), (range(5), range(1, 5), 2)),
        *(BLOCK_SVD, OPTIMUM, 3, 1, VALLEYS, UNKNOWN, True),
    ),
    Case(
        "overlapping-complete",
        rectangles(4, 4, ([0, 1], [0, 1, 2], 2), ([1, 2, 3], [2, 3], 2), (range(4), [0], 1)),
        *(BLOCK_SVD, OPTIMUM, 3, 1, VALLEYS, UNKNOWN, True),
    ),
    Case(
        "swallowed-class",
        rectangles(4, 4, (range(4), range(4), 4), ([1, 2, 3], [0, 1, 2], 1)),
        *(BLOCK_SVD, OPTIMUM, 2, 1, VALLEYS, UNKNOWN, True),
    ),
    Case(
        "cut-residuals",
        rectangles(6, 6, ([0, 1], [0, 1, 2], 2), (range(5), [1, 2, 3], 1), ([5], range(6), 1)),
        *(BOTH, STATIONARY, 3, 2, NONE, GENERIC, False),
    ),
    Case(
        "completed-rows",
        fsmf.completion([[0, 0, 0], [1, 1, 1], [1, 1, 1]]),
        *(BLOCK_SVD, OPTIMUM, 2, 1, VALLEYS, UNKNOWN, True),
    ),
    # nothing to do
    Case(
        "dead-components",
        [[[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 1]], [[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]]],
        *(BLOCK_SVD, OPTIMUM, 2, 2, MINIMA, TERMS, True),
    ),
    Case(
        "all-dead",
        [np.zeros((3, 2)), np.ones((2, 4))],
        *(BLOCK_SVD, OPTIMUM, 0, 0, MINIMA, TERMS, True),
    ),
    Case(
        "nothing-random",
        fsmf.random_supports(3, components=2, density=0, rng=0),
        *(BLOCK_SVD, OPTIMUM, 0, 0, MINIMA, TERMS, True),
    ),
    # hard
    Case("lu-2", LU2, SMALL, STATIONARY, 2, 1, NONE, GENERIC, False),
    Case("lu-3", fsmf.lu(3), SMALL, STATIONARY, 3, 1, NONE, GENERIC, False),
    Case("lu-4", fsmf.lu(4), SMALL, STATIONARY, 4, 1, NONE, GENERIC, False),
    Case("nested", NESTED, SMALL, STATIONARY, 2, 1, NONE, UNKNOWN, True),
    Case("overhang", OVERHANG, SMALL, STATIONARY, 2, 1, NONE, UNKNOWN, False),
    Case("completion", OFF_DIAGONAL, SMALL, STATIONARY, 4, 1, NONE, GENERIC, False),
    Case("completion-2", fsmf.completion([[1, 0], [1, 1]]), SMALL, STATIONARY, 2, 1, NONE, GENERIC, False),
    Case("band", fsmf.banded(5), SMALL, STATIONARY, 5, 1, NONE, GENERIC, False),
    Case("band-wide", fsmf.banded(6, 8, lower=2), SMALL, STATIONARY, 6, 1, NONE, GENERIC, False),
    Case("arrow", fsmf.arrow(4), SMALL, STATIONARY, 4, 1, NONE, GENERIC, False),
    Case("arrow-wide", fsmf.arrow(6, 5, width=2), SMALL, STATIONARY, 4, 1, NONE, UNKNOWN, None),
    Case(
        "touching-corners",
        rectangles(5, 5, ([0, 1, 2], [0, 1, 2], 1), ([2, 3, 4], [2, 3, 4], 1)),
        *(SMALL, STATIONARY, 2, 1, NONE, GENERIC, False),
    ),
    Case(
        "random",
        fsmf.random_supports(12, 10, components=6, density=0.4, rng=0),
        *(SMALL, STATIONARY, 6, 1, NONE, UNKNOWN, False),
    ),
    # hard beside easy
    Case(
        "mixed",
        rectangles(
            7, 8, ([0, 1], [0, 1], 1), ([1], [1], 1), ([2, 3, 4], [2, 3, 4], 1), ([5, 6], range(5, 8), 1)
        ),
        *(BOTH, STATIONARY, 4, 3, NONE, GENERIC, False),
    ),
    Case(
        "interleaved",
        rectangles(3, 4, ([1, 2], [0, 2, 3], 1), ([0, 1], range(4), 1), ([2], [1], 1)),
        *(BOTH, STATIONARY, 3, 2, NONE, GENERIC, False),
    ),
    Case(
        "interleaved-hard",
        rectangles(
            7,
            7,
            (range(4), range(4), 1),
            (range(3, 7), range(3, 7), 1),
            ([0, 1, 2], [4, 5], 1),
            ([1, 2], [4, 5, 6], 1),
        ),
        *(SMALL, STATIONARY, 4, 2, NONE, UNKNOWN, False),
    ),
    Case(
        "two-hard-parts",
        rectangles(5, 5, ([0, 1], [0, 1], 1), ([1], [1], 1), ([2, 3], [2, 3], 1), ([2, 3], [3, 4], 1)),
        *(SMALL, STATIONARY, 4, 2, NONE, UNKNOWN, False),
    ),
]

assert len({case.name for case in CASES}) == len(CASES)
BY_NAME = {case.name: case for case in CASES}
PAIRS_EASY = [case for case in CASES if case.tractable]
PAIRS_HARD = [case for case in CASES if not case.tractable]


def name_of(case: Case) -> str:
    """What pytest calls a row."""
    return case.name
