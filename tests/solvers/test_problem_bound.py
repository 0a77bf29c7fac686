"""The search for disjoint blocks: never worse than the named families, never above what descents find."""

import math

import numpy as np
import oracles
import pytest
from cases import any_supports, solve
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.solvers.problem_bound import best_bound
from fsmf.tractability import analyze


def bounds(A, supports, **options):
    """What is proved on the places within reach: by the search, and by the best named family."""
    structure = analyze(supports)
    within = np.where(structure.reach, A, 0)

    def block(rows, columns):
        return within[np.ix_(rows, columns)]

    named = [
        math.hypot(
            *(
                oracles.tail(block(family.rows[t], family.columns[t]), len(family.components[t]))
                for t in range(len(family))
            )
        )
        for family in structure.block_families
    ]
    return best_bound(block, structure, **options), max(named, default=0.0)


@settings(max_examples=25)
@given(any_supports(max_side=6, max_components=5), st.integers(0, 99))
def test_the_search_never_proves_less_nor_too_much(supports, seed):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    (found, _), named = bounds(A, supports)
    assert found >= named * (1 - 1e-9)
    out = np.linalg.norm(np.where(analyze(supports).reach, 0, A))
    assert math.hypot(out, found) <= oracles.best_of_starts(A, supports, starts=4) * (1 + 1e-9) + 1e-9
    F = solve(A, supports, solver=fsmf.ALS(starts=1, max_sweeps=5))
    assert F.lower_bound >= min(F.error, math.hypot(out, found)) * (1 - 1e-9)
    assert F.verify(A), str(F.verify(A))


def test_the_search_often_proves_more():
    rng, more = np.random.default_rng(3), []
    for seed in range(40):
        supports = fsmf.random_supports(6, 6, components=4, density=0.5, rng=seed)
        if not oracles.is_tractable(supports):
            (found, _), named = bounds(rng.standard_normal((6, 6)), supports)
            more.append(found > 1.001 * named)
    assert np.mean(more) > 0.2


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
def test_bounds_of_any_dtype_verify(dtype):
    supports = fsmf.random_supports(8, 7, components=4, density=0.5, rng=1)
    rng = np.random.default_rng(1)
    A = (rng.standard_normal((8, 7)) + 1j * rng.standard_normal((8, 7))).astype(np.complex128)
    A = (A if np.dtype(dtype).kind == "c" else A.real).astype(dtype)
    F = solve(A, supports)
    assert F.verify(A)
    assert 0 < F.lower_bound <= F.error


def test_more_work_never_proves_less():
    supports = fsmf.random_supports(40, 40, components=10, density=0.2, rng=0)
    A = np.random.default_rng(0).standard_normal((40, 40))
    found = [bounds(A, supports, work=work)[0][0] for work in (0.0, 1e8, 1e9)]
    assert found[0] <= found[1] * (1 + 1e-12) <= found[2] * (1 + 1e-9)
