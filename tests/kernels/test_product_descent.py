"""Objectives and gradients of products in their values: both twins, differences, and where descents end."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from fsmf.kernels.product_descent import Descending, ValuesProblem, value_and_gradient
from fsmf.kernels.product_descent_cpu import invert_curvatures
from fsmf.kernels.product_descent_cpu import value_and_gradient as value_and_gradient_cpu

# Sides of the factors; strips are 32 rows wide, of complex numbers 16.
SIDES = [(5, 7), (40, 3, 6), (33, 8, 5, 64), (2, 2, 2, 2, 2)]


def problem_of(sides, dtype=float, *, general=False, seed=0):
    rng = np.random.default_rng(seed)
    shapes = list(itertools.pairwise(sides))
    places = [np.nonzero(rng.random(shape) < 0.6) for shape in shapes]
    size = sum(len(rows) for rows, _ in places)

    def gaussian(*shape):
        imaginary = 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else 0.0
        return rng.standard_normal(shape) + imaginary

    A = gaussian(sides[0], sides[-1])
    options = {"weights": rng.random(A.shape), "ridge": 0.3, "frozen": rng.random(size) < 0.2}
    return ValuesProblem(A, shapes, places, **(options if general else {})), gaussian(size)


@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("general", [False, True])
def test_twins_agree_with_each_other_and_with_differences(sides, dtype, general):
    problem, z = problem_of(sides, dtype, general=general)
    value, gradient = value_and_gradient(problem, z)
    theirs = np.empty_like(z)
    found = value_and_gradient_cpu(z.view(float), problem.compiled(), theirs.view(float))
    assert found == pytest.approx(value, rel=1e-12)
    assert np.allclose(theirs, gradient, rtol=1e-10, atol=1e-12 * np.abs(gradient).max())
    step = np.random.default_rng(1).standard_normal(z.size) * (1 if dtype is float else 1 + 1j)
    step[problem.frozen] = 0
    ahead, behind = (value_and_gradient(problem, z + t * step)[0] for t in (1e-5, -1e-5))
    assert (ahead - behind) / 2e-5 == pytest.approx(np.vdot(gradient, step).real, rel=1e-5, abs=1e-6 * value)


@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("dtype", [float, complex])
def test_curvatures_are_the_squared_norms_of_derivatives(sides, dtype):
    problem, z = problem_of(sides, dtype)
    curvatures = []
    for i, (rows, columns) in enumerate(problem.places):
        factors = []
        for values, shape, place in zip(problem.split(z), problem.shapes, problem.places, strict=True):
            factors.append(np.zeros(shape, z.dtype))
            factors[-1][place] = values
        for place in zip(rows, columns, strict=True):
            factors[i] = np.zeros(problem.shapes[i])
            factors[i][place] = 1
            curvatures.append(np.linalg.norm(np.linalg.multi_dot([np.eye(sides[0]), *factors])) ** 2)
    curvatures = np.repeat(curvatures, z.itemsize // 8)
    inverses = np.zeros(curvatures.size)
    invert_curvatures(z.view(float), problem.compiled(), inverses)
    assert np.allclose(1 / inverses, curvatures + 1e-3 * curvatures.max())


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
def test_descents_never_rise_and_end_where_the_gradient_vanishes(dtype, general):
    # With seed 0 the best product, 7.3198, is attained, but from that start factors grow: the error tends to
    # 8.245 and is not attained. Steps without curvatures reach the best from there in 141 steps, and from
    # another start they are those whose factors grow, where steps with curvatures reach it in 131.
    problem, z = problem_of((6, 5, 7), dtype, general=general, seed=1)
    run = Descending(z, problem.compiled())
    values = [run.value]
    while not run.has_ended:
        run.go(20, 1e-14, 0.0)
        values.append(run.value)
    assert values == sorted(values, reverse=True)
    value, gradient = value_and_gradient(problem, run.z)
    assert value == pytest.approx(run.value)
    assert np.linalg.norm(gradient) < 1e-5 * np.linalg.norm(value_and_gradient(problem, z)[1])
    assert np.array_equal(run.z[problem.frozen], z[problem.frozen])


def test_pieces_of_a_descent_are_the_descent():
    problem, z = problem_of((6, 5, 7, 6))
    whole, pieces = (Descending(z, problem.compiled()) for _ in range(2))
    whole.go(40, 0.0, 0.0)
    pieces.go(20, 0.0, 0.0)
    pieces.go(20, 0.0, 0.0)
    assert np.array_equal(whole.z, pieces.z)
    assert whole.steps == pieces.steps == 40


def test_they_end_no_higher_than_scipy_on_the_whole():
    found, theirs = [], []
    for seed in range(5):
        problem, z = problem_of((5, 4, 6, 5), seed=seed)
        run = Descending(z, problem.compiled())
        run.go(10_000, 1e-10, 0.0)
        found.append(run.value)
        stop = {"maxiter": 2000, "maxfun": 2000, "ftol": 1e-12}
        theirs.append(
            minimize(
                lambda x, problem=problem: value_and_gradient(problem, x),
                z,
                jac=True,
                method="L-BFGS-B",
                options=stop,
            ).fun
        )
    assert np.median(np.divide(found, theirs)) <= 1.001


def test_a_target_within_reach_ends_at_the_floor():
    problem, z = problem_of((4, 9, 4))
    run = Descending(z, problem.compiled())
    run.go(5000, 1e-12, 1e-20)
    assert run.has_ended
    assert run.value <= 1e-20
