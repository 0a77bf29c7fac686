"""Disjoint blocks, and the lower bounds that they prove."""

import math
from itertools import combinations

import numpy as np
import oracles
import pytest
from cases import CASES, any_supports, name_of
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf import DisjointBlocks
from fsmf.supports.blocks import block_families
from fsmf.supports.layout import IndexLists


def families(supports):
    """Per family, its blocks as (rows, columns, components)."""
    for family in block_families(fsmf.equivalence_classes(supports)):
        yield [
            (family.rows[t].tolist(), family.columns[t].tolist(), family.components[t].tolist())
            for t in range(len(family))
        ]


def check_families(supports):
    components = oracles.rank_one_supports(supports)
    for blocks in families(supports):
        covered = [oracles.places((frozenset(rows), frozenset(columns))) for rows, columns, _ in blocks]
        assert not any(one & other for one, other in combinations(covered, 2))
        for place, (_, _, own) in zip(covered, blocks, strict=True):
            meet = {k for k, component in enumerate(components) if oracles.places(component) & place}
            assert meet <= set(own)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_blocks_are_disjoint_and_ranks_are_not_understated(case):
    check_families(fsmf.as_supports(case.supports))


@given(any_supports(max_side=6, max_components=5))
def test_blocks_of_any_pair_are_disjoint(supports):
    check_families(supports)


@settings(max_examples=50)
@given(any_supports(max_side=6, max_components=4), st.integers(0, 9))
def test_every_product_respects_the_bound_of_every_family(supports, seed):
    X, Y = oracles.random_product(supports, seed)
    for blocks in families(supports):
        tails = [oracles.tail((X @ Y)[np.ix_(rows, columns)], len(own)) for rows, columns, own in blocks]
        assert math.hypot(*tails) <= 1e-12 * (1 + np.linalg.norm(X @ Y))


def blocks_of(*pairs):
    lists = (
        IndexLists(np.cumsum([0, *map(len, side)]), np.concatenate(side)) for side in zip(*pairs, strict=True)
    )
    return DisjointBlocks(*lists)


ONE = blocks_of(([0, 1], [0], [3]), ([2], [1, 2], [0, 4]))


def test_blocks_compare_by_content():
    twin = DisjointBlocks.from_arrays([array.tolist() for array in ONE.arrays()])
    assert twin == ONE
    assert hash(twin) == hash(ONE)
    assert ONE.T.T == ONE
    assert ONE.T != ONE
    assert ONE != "blocks"
    assert len(ONE) == 2


def test_blocks_can_be_put_together():
    whole = DisjointBlocks.union([blocks_of(([0, 1], [0], [3])), blocks_of(([2], [1, 2], [0, 4]))])
    assert whole == ONE
    assert len(DisjointBlocks.union([])) == 0
