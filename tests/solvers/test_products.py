"""What is asked of every solver that lets many starts on a product compete: both are asked the same."""

import numpy as np
import pytest
from cases import BY_NAME, solve
from solvers.test_problem_sweep import PRODUCTS, gaussian

import fsmf
from fsmf import ALS, QuasiNewton, Status, VariableProjection

UNIT = fsmf.fixed(np.eye(6), np.eye(6), support=fsmf.lu(6)[0])

both = pytest.mark.parametrize("kind", [QuasiNewton, VariableProjection])


@both
@pytest.mark.parametrize(
    ("supports", "dtype", "options"),
    [
        (PRODUCTS["three"], "float32", {}),
        (PRODUCTS["kaleidoscope"], "complex128", {}),
        (PRODUCTS["pair"], "float64", {"weights": np.random.default_rng(0).random((6, 7))}),
        (PRODUCTS["one"], "float64", {}),
        (PRODUCTS["empty row"], "float64", {}),
        (fsmf.as_supports([UNIT, fsmf.lu(6)[1]]), "float64", {}),
        (fsmf.as_supports([np.zeros((3, 2)), np.ones((2, 4))]), "float64", {}),
        (BY_NAME["mixed"].supports, "complex64", {}),
    ],
    ids=["three", "kaleidoscope", "weighted", "one", "empty row", "prescribed", "dead", "parts"],
)
def test_results_verify_and_do_not_lose_to_alternation(kind, supports, dtype, options):
    supports = fsmf.as_supports(supports)
    A = gaussian(supports.shape, dtype)
    F = solve(A, supports, solver=kind(starts=12), **options)
    verification = F.verify(A, **options)
    assert verification, str(verification)
    assert F.dtype == A.dtype
    G = solve(A, supports, solver=ALS(starts=2, max_sweeps=100), **options)
    assert F.error <= G.error * 1.02 + 1e-6
    twin = solve(A, supports, solver=kind(starts=12), **options)
    assert all(np.array_equal(a, b) for a, b in zip(F.values, twin.values, strict=True))


@both
@pytest.mark.parametrize("size", [1e70, 1e-200, 1e200])
@pytest.mark.parametrize("name", ["three", "two-hard-parts"])
def test_a_warm_start_is_not_lost(kind, name, size):
    supports = fsmf.as_supports(PRODUCTS[name] if name in PRODUCTS else BY_NAME[name].supports)
    A = size * gaussian(supports.shape)
    F = solve(A, supports, solver=kind(starts=24))
    G = solve(A, supports, solver=kind(starts=1, initial=F))
    assert G.error <= F.error * (1 + 1e-9)


@both
@pytest.mark.parametrize("name", ["three", "random"])
def test_callbacks_see_errors_fall_and_can_stop(kind, name):
    seen = []
    supports = fsmf.as_supports(PRODUCTS[name] if name in PRODUCTS else BY_NAME[name].supports)
    A = gaussian(supports.shape, seed=3)
    F = solve(A, supports, solver=kind(starts=5, callback=seen.append))
    for start in range(5):
        errors = [sweep.error for sweep in seen if sweep.start == start]
        assert errors
        assert errors == sorted(errors, reverse=True)
    # What no component reaches is part of all of them.
    assert min(sweep.error for sweep in seen) == pytest.approx(F.error)

    F = solve(A, supports, solver=kind(callback=lambda sweep: True))
    assert F.status is Status.STOPPED
    assert F.verify(A)


@both
@pytest.mark.parametrize("n", [2, 8])
def test_growing_factors_stop_where_storing_them_would_lose_the_error(kind, n):
    F = solve(np.eye(n, dtype=np.float32)[::-1], fsmf.lu(n), solver=kind())
    assert F.relative_error < 0.01


@both
def test_zero_is_made_of_zeros(kind):
    for supports in (BY_NAME["nested"].supports, [np.tri(3)] * 3):
        for budget in ({}, {"max_seconds": 0}):
            F = solve(np.zeros((3, 3)), supports, solver=kind(**budget))
            assert F.status is Status.CONVERGED
            assert not any(X.toarray().any() for X in F.factors)
    assert F.verify(np.zeros((3, 3)))
