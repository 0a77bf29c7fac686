"""Plans of launches: whole, within the limits of a device, and what is expected where that is clear."""

import math

import pytest
from architectures import chainable_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmf.kernels.kronecker_matmul import fused_pattern
from fsmf.kernels.kronecker_plan import Numbers, plan_steps

SINGLE, DOUBLE, HALF = Numbers(4, 4, False), Numbers(8, 8, False), Numbers(2, 4, False)
COMPLEX = Numbers(16, 16, True)


def dyadic(n):
    L = n.bit_length() - 1
    return tuple((2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L))


@settings(max_examples=30)
@given(
    chainable_architectures(),
    st.sampled_from([SINGLE, DOUBLE, HALF, COMPLEX]),
    st.integers(1, 300),
    st.booleans(),
)
def test_plans_are_whole_and_fit(chain, numbers, columns, by_columns):
    patterns = tuple(pattern.abcd for pattern in chain)
    steps = plan_steps(patterns, numbers, columns, by_columns=by_columns, matmul=numbers != HALF)
    assert [i for step in reversed(steps) for i in range(step.first, step.stop)] == list(range(len(patterns)))
    for step in steps:
        run = patterns[step.first : step.stop]
        a, b, c, d = step.pattern
        whole = fused_pattern(run)
        assert (a * b * d, a * c * d) == (
            math.prod((*whole[:2], whole[3])),
            math.prod((whole[0], *whole[2:])),
        )
        if step.kind != "chain":
            assert step.pattern == whole
            continue
        tile = step.tile
        assert tile.buffers * tile.size * numbers.sums <= 64 << 10
        assert tile.columns % tile.per_thread == 0
        assert tile.per_thread * numbers.sums <= 16
        assert [i for stage in reversed(step.stages) for i in range(stage.first, stage.stop)] == [
            *range(step.first, step.stop)
        ]
        height = c
        place = 0 if by_columns else -1
        for stage in step.stages:
            inner_a, inner_b, inner_c, inner_d = stage.pattern
            assert inner_a * inner_c * inner_d == height
            assert stage.source == place
            assert stage.source != stage.target or stage.source < 0 or inner_b == inner_c <= stage.rows
            height, place = inner_a * inner_b * inner_d, stage.target
            assert place < tile.buffers
            assert place < 0 or height <= tile.height
        assert height == b
        assert (place >= 0) == by_columns


@pytest.mark.parametrize(("n", "launches"), [(512, 1), (1024, 1), (4096, 2), (16384, 2)])
@pytest.mark.parametrize("columns", [1024, 25088])
def test_butterflies_take_one_or_two_passes(n, launches, columns):
    steps = plan_steps(dyadic(n), SINGLE, columns, by_columns=False)
    if columns == 1024:  # where smaller steps keep more multiprocessors busy
        launches = 2
    assert {step.kind for step in steps} == {"chain"}
    assert len(steps) <= launches
    assert [step.kind for step in plan_steps(dyadic(n), SINGLE, columns, by_columns=True)] == ["chain"]


def test_large_blocks_in_half_precision_go_to_tensor_cores():
    pattern = ((4, 256, 256, 1),)
    (step,) = plan_steps(pattern, HALF, 4096, by_columns=False)
    assert step.kind == "matmul"
    (step,) = plan_steps(pattern, HALF, 4096, by_columns=False, matmul=False)
    assert step.kind == "factor"
    (step,) = plan_steps(((64, 2, 2, 64),), HALF, 4096, by_columns=False)
    assert step.kind == "chain"
