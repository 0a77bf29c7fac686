"""Fields of quasi-Newton descents: results against other solvers, budgets, callbacks, and who is let on."""

import itertools

import numpy as np
import oracles
import pytest
from cases import solve
from solvers.test_problem_sweep import PRODUCTS, gaussian

import fsmf
from fsmf import ALS, QuasiNewton, Status, VariableProjection
from fsmf.errors import OptionError
from fsmf.solvers.dispatch import choose
from fsmf.solvers.problem_equilibrated import equilibrated
from fsmf.solvers.problem_product import ProductProblem
from fsmf.solvers.problem_start import crossings
from fsmf.tractability import Part


def test_large_products_and_pairs_of_middle_size_are_its_by_default():
    chain, large = fsmf.kaleidoscope(16), fsmf.random_supports(200, components=50, density=0.1, rng=0)
    middle = fsmf.random_supports(30, components=15, density=0.4, rng=0)
    chosen = [type(choose(fsmf.analyze(supports))) for supports in (chain, middle, large, fsmf.lu(3))]
    assert chosen == [QuasiNewton, QuasiNewton, ALS, VariableProjection]
    refusal = QuasiNewton(max_pair_size=30).refuses(fsmf.analyze(fsmf.lu(3)))
    assert refusal == (
        "QuasiNewton is to take pairs of at most 30 parameters times rows, or columns if they are more; "
        "found 12 times 3"
    )


def test_small_products_reach_the_best_known():
    rng, missed = np.random.default_rng(0), []
    for number in range(6):
        sides = rng.integers(2, 6, size=4)
        supports = [rng.random(shape) < 0.6 for shape in itertools.pairwise(sides)]
        A = rng.standard_normal((sides[0], sides[-1]))
        F = solve(A, supports)
        G = solve(A, supports, solver=VariableProjection())
        assert F.lower_bound <= F.error
        if F.error > G.error + 1e-3 * F.norm:
            missed.append(number)
    assert missed == []


def test_small_pairs_reach_the_best_known():
    A = np.random.default_rng(0).standard_normal((6, 6))
    supports = fsmf.random_supports(6, 6, components=4, density=0.5, rng=2)
    F = solve(A, supports, solver=QuasiNewton(starts=32))
    assert F.error <= oracles.best_of_starts(A, supports, starts=40, seed=0) * (1 + 1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_half_of_a_kaleidoscope_makes_is_found_exactly(side):
    half = fsmf.Product(fsmf.butterfly(8), [np.random.default_rng(i).standard_normal(16) for i in range(3)])
    A = half.to_dense() if side == "left" else half.to_dense().T
    F = solve(A, fsmf.kaleidoscope(8))
    assert F.relative_error < 1e-10


def test_what_is_exact_is_found_in_its_own_units():
    A = 2.0**40 * np.linalg.multi_dot([support.toarray().astype(float) for support in PRODUCTS["three"]])
    F = solve(A, PRODUCTS["three"])
    assert F.relative_error < 1e-10
    assert F.verify(A)


def test_the_third_that_is_best_goes_on():
    steps = {}

    def watch(sweep):
        steps.setdefault(sweep.start, []).append((sweep.sweep, sweep.error))

    solve(gaussian((6, 6), seed=3), PRODUCTS["three"], solver=QuasiNewton(starts=9, callback=watch))
    first = {start: min(error for step, error in seen if step <= 60) for start, seen in steps.items()}
    longer = {start for start, seen in steps.items() if seen[-1][0] > 60}
    assert longer <= set(sorted(first, key=first.get)[:3])


def test_fields_grow_and_a_third_of_each_goes_on():
    steps = {}

    def watch(sweep):
        steps[sweep.start] = max(sweep.sweep, steps.get(sweep.start, 0))

    A = gaussian((6, 6), seed=3)
    solve(A, PRODUCTS["three"], solver=QuasiNewton(starts=36, rtol=0.0, max_steps=200, callback=watch))
    longer = [start for start, made in steps.items() if made > 60]
    assert len(steps) == 36
    assert [sum(start < 9 for start in longer), sum(start >= 9 for start in longer)] == [3, 9]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_equilibrated_starts_have_rows_of_one_norm_and_a_product_smaller_than_the_target(dtype):
    supports = fsmf.random_supports(30, 30, components=30, density=0.2, rng=0)
    A = gaussian((30, 30), dtype)
    problem = ProductProblem.of(A, Part.whole(fsmf.analyze(supports)), ridge=0.0, exponent=0)
    values = next(equilibrated(problem, np.random.default_rng(0)))
    norms = np.concatenate([np.linalg.norm(X, axis=1) for X in problem.factors(values)])
    assert np.allclose(norms[norms > 0], norms.max())
    product = np.linalg.norm(A - problem.residual(values))
    assert 0.1 <= product / np.linalg.norm(A) <= 0.9


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_halfway_between_two_ways_to_write_one_product_it_is_that_product(dtype):
    rng, shapes = np.random.default_rng(0), [(6, 5), (5, 7), (7, 6)]
    masks = [rng.random(shape) < 0.5 for shape in shapes]
    X, Y, Z = (
        gaussian(shape, dtype, seed=i) * mask
        for i, (shape, mask) in enumerate(zip(shapes, masks, strict=True))
    )
    # What is prescribed has no sign of its own, and neither have components that it is in.
    prescribed = masks[1] & (np.arange(7) == 3)
    supports = [masks[0], fsmf.fixed(Y, prescribed, support=masks[1]), masks[2]]
    first, second = (np.sign(gaussian(n, dtype, seed=n)) for n in (5, 7))
    first[prescribed[:, 3]] = second[3] = 1
    part = Part.whole(fsmf.analyze(supports))
    problem = ProductProblem.of(gaussian((6, 6), dtype), part, ridge=0.0, exponent=0)
    twins = [X, Y, Z], [X * first, Y * second / first[:, None], Z / second[:, None]]
    points = [[M[place] for M, place in zip(twin, problem.places, strict=True)] for twin in twins]
    for values in itertools.islice(crossings(problem, points, rng), 2):
        assert np.allclose(problem.residual(values), problem.A - X @ Y @ Z)


def test_crossings_of_the_best_third_take_the_place_of_others_in_large_fields():
    steps = {}

    def watch(sweep):
        steps[sweep.start] = max(sweep.sweep, steps.get(sweep.start, 0))

    solver = QuasiNewton(starts=117, rtol=0.0, max_steps=180, callback=watch)
    solve(gaussian((6, 6), seed=3), PRODUCTS["three"], solver=solver)
    assert len(steps) == 117 + 3 * 54
    assert sum(made > 60 for made in steps.values()) <= 3 + 9 + 4 * 27


def test_budgets_end_it():
    A = gaussian((6, 6))
    F = solve(A, PRODUCTS["three"], solver=QuasiNewton(max_seconds=0))
    assert F.status is Status.OUT_OF_BUDGET
    assert F.verify(A)
    with pytest.warns(fsmf.errors.ConvergenceWarning, match="QuasiNewton is out of budget"):
        fsmf.factorize(A, PRODUCTS["three"], solver=QuasiNewton(starts=1, max_steps=20))


@pytest.mark.parametrize(
    "options", [{"starts": 0}, {"max_steps": 0}, {"max_pair_size": -1}, {"rtol": -1.0}, {"callback": 3}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        QuasiNewton(**options)
