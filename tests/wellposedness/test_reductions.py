"""Patterns, and reductions of them, against counting by hand and random matrices."""

import json

import numpy as np
import pytest
from small_patterns import random_pair

import fsmf
from fsmf.wellposedness.pattern import Pattern, bits, largest_flow, mask_of
from fsmf.wellposedness.reductions import find_free_region, group_pattern, without_twins


def test_a_pattern_counts_kinds():
    pattern = Pattern.of(fsmf.low_rank(40, 30, rank=3))
    assert pattern == Pattern((1,), (40,), (1,), (30,), (3,))
    assert without_twins(pattern) == Pattern((1,), (3,), (1,), (3,), (3,))
    assert Pattern.of(fsmf.lu(2)) == Pattern((1, 3), (1, 1), (1, 3), (1, 1), (1, 1))


def test_dead_rows_columns_and_components_are_left_out():
    left = [[1, 0, 1], [0, 0, 0], [1, 1, 0]]
    right = [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert Pattern.of([left, right]) == Pattern((3, 1), (1, 1), (3,), (2,), (1, 1))


def test_cleaning_changes_nothing_that_is_clean():
    rng = np.random.default_rng(1)
    for _ in range(100):
        pattern = Pattern.of(random_pair(rng))
        again = Pattern.cleaned(
            pattern.rows, pattern.row_counts, pattern.columns, pattern.column_counts, pattern.ranks
        )
        assert again == pattern
        assert Pattern.from_dict(json.loads(json.dumps(pattern.to_dict()))) == pattern
        assert pattern == pattern.T.T


@pytest.mark.parametrize("positions", [[], [0], [3, 70, 5000], list(range(0, 9000, 7))])
def test_masks_and_positions(positions):
    assert list(bits(mask_of(positions))) == positions


def test_flow_is_the_generic_rank():
    rng = np.random.default_rng(2)
    for _ in range(100):
        places = rng.random(rng.integers(1, 6, 2)) < 0.4
        reach = [mask_of(np.flatnonzero(row).tolist()) for row in places]
        rank = np.linalg.matrix_rank(np.where(places, rng.standard_normal(places.shape), 0))
        assert largest_flow([1] * len(places), reach, [1] * places.shape[1], at_most=9) == rank
        double = np.repeat(np.repeat(places, 2, axis=0), 3, axis=1)
        rank = np.linalg.matrix_rank(np.where(double, rng.standard_normal(double.shape), 0))
        assert largest_flow([2] * len(places), reach, [3] * places.shape[1], at_most=99) == rank
        assert largest_flow([2] * len(places), reach, [3] * places.shape[1], at_most=1) == min(1, rank)


def test_free_entries_can_be_anything():
    # The tangent space at a generic product holds every matrix on the free entries.
    rng = np.random.default_rng(3)
    for _ in range(100):
        supports = random_pair(rng)
        pattern = Pattern.of(supports)
        freed = find_free_region(pattern)
        of_row = np.repeat(np.arange(len(pattern.rows)), pattern.row_counts)
        of_column = np.repeat(np.arange(len(pattern.columns)), pattern.column_counts)
        if not (of_row.size and of_column.size):
            continue
        free = np.array([[freed.free[i] >> j & 1 for j in of_column] for i in of_row], dtype=bool)
        members = np.repeat(np.arange(len(pattern.ranks)), pattern.ranks)
        left = np.array([[pattern.rows[i] >> p & 1 for p in members] for i in of_row], dtype=bool)
        right = np.array([[pattern.columns[j] >> p & 1 for p in members] for j in of_column], dtype=bool)
        X, Y = (np.where(side, rng.standard_normal(side.shape), 0) for side in (left, right))
        directions = []
        for i, k in np.argwhere(left):
            direction = np.zeros(free.shape)
            direction[i] = Y[:, k]
            directions.append(direction.ravel())
        for j, k in np.argwhere(right):
            direction = np.zeros(free.shape)
            direction[:, j] = X[:, k]
            directions.append(direction.ravel())
        spanned = np.linalg.matrix_rank(np.array(directions))
        wanted = np.eye(free.size)[free.ravel()]
        assert np.linalg.matrix_rank(np.vstack([*directions, wanted])) == spanned


def test_groups_of_separate_blocks():
    left, right = np.kron(np.eye(3), np.ones((3, 2))), np.kron(np.eye(3), np.ones((2, 4)))
    pattern = Pattern.of([left, right])
    freed = find_free_region(pattern)
    assert freed.steps == ()
    assert len(freed.groups) == 3
    parts = {group_pattern(pattern, freed.free, group) for group in freed.groups}
    assert parts == {Pattern((1,), (3,), (1,), (4,), (2,))}


def test_complete_classes_free_their_places():
    freed = find_free_region(Pattern.of(fsmf.low_rank(3, 5, rank=3)))
    assert freed.groups == ()
    assert freed.free == (1,)
    assert find_free_region(Pattern.of(fsmf.lu(3)), deadline=-1.0) is None
