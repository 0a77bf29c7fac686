"""Second-order steps: against other formulations of their equations, and against many starts of an oracle."""

import math

import numpy as np
import oracles
import pytest
from cases import CEC_SLM, CEC_SLM_POINT, CEC_SLM_TARGET, solve
from solvers.test_problem_sweep import PRODUCTS, gaussian, masks

import fsmf
from fsmf import ALS, Status, VariableProjection
from fsmf.errors import ConvergenceWarning, NotAttainedWarning, OptionError
from fsmf.solvers.problem_alternation import Descent
from fsmf.solvers.problem_newton import GaussNewton
from fsmf.solvers.problem_peeling import peeled
from fsmf.solvers.problem_product import ProductProblem
from fsmf.tractability import Part

every_product = pytest.mark.parametrize("supports", PRODUCTS.values(), ids=PRODUCTS.keys())
UNIT = fsmf.fixed(np.eye(6), np.eye(6), support=fsmf.lu(6)[0])


def newton_of(supports, A, roots=None, ridge=0.0):
    part = Part.whole(fsmf.analyze(supports), roots)
    return GaussNewton(ProductProblem.of(A, part, ridge=ridge, exponent=0))


@every_product
@pytest.mark.parametrize("dtype", [float, complex])
def test_normal_equations_are_those_of_the_derivatives(supports, dtype):
    """Formed from Gram matrices, and laid out column by column as for weights."""
    A = gaussian(supports.shape, dtype)
    plain, weighted = newton_of(supports, A), newton_of(supports, A, np.ones(A.shape))
    starts = [plain.problem.random(np.random.default_rng(seed)) for seed in range(2)]
    one, other = plain.pack(starts), weighted.pack(starts)
    assert np.allclose(plain._normal(one), weighted._normal(other))
    for s, values in enumerate(starts):
        gradient = np.concatenate(plain.problem.gradient(values))
        assert np.allclose(plain.target(one)[s], gradient)
        assert one.squared[s] == pytest.approx(plain.problem.squared(plain.problem.residual(values)))


@pytest.mark.parametrize("name", ["pair", "three", "kaleidoscope"])
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_by_conjugate_gradients_are_those_of_the_formed_equations(name, weighted, monkeypatch):
    supports = PRODUCTS[name]
    A = gaussian(supports.shape, complex)
    roots = np.random.default_rng(1).random(A.shape) if weighted else None
    newton = newton_of(supports, A, roots, ridge=0.1)
    pack = newton.pack([newton.problem.random(np.random.default_rng(0))])
    monkeypatch.setattr(newton, "_project", lambda pack: pack)
    formed, foreseen = newton.step(pack, np.array([1e-2]))
    monkeypatch.setattr("fsmf.solvers.problem_newton.FORMED", 0)
    monkeypatch.setattr("fsmf.solvers.problem_newton._ENOUGH", 1e-14)
    monkeypatch.setattr("fsmf.solvers.problem_newton._STEPS", 10_000)
    found, predicted = newton.step(pack, np.array([1e-2]))
    assert found.objective < pack.objective
    # With weights the damping refers to the largest curvature without them.
    if not weighted:
        assert predicted == pytest.approx(foreseen, rel=1e-5)
        for a, b in zip(formed.values, found.values, strict=True):
            assert np.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("supports", [fsmf.lu(5), fsmf.banded(6), fsmf.arrow(5), masks(6, 4, 7)], ids=str)
def test_components_of_a_generic_product_are_read_off(supports):
    left, right = (S.toarray() * gaussian(S.shape, seed=i) for i, S in enumerate(supports))
    X, Y = peeled(left @ right, supports)
    assert not X[~supports[0].toarray()].any()
    assert not Y[~supports[1].toarray()].any()
    if fsmf.analyze(supports).identifiability is not fsmf.Identifiability.UNKNOWN:
        assert np.allclose(X @ Y, left @ right)


@pytest.mark.parametrize("n", [3, 10, 100])
def test_what_has_no_best_product_is_approached_far(n):
    with pytest.warns(NotAttainedWarning, match="the factors are"):
        F = fsmf.factorize(np.eye(n)[::-1], fsmf.lu(n), solver=VariableProjection())
    assert F.relative_error < 1e-6
    assert F.status is Status.FACTORS_GROW
    assert F.history.factor_norm[-1] > 1000
    assert F.verify(np.eye(n)[::-1])


def test_small_pairs_reach_the_best_known():
    """A sample of those of ``benchmarks/bench_census.py``: the better of both solvers is the best known."""
    rng, missed = np.random.default_rng(0), []
    for number in range(10):
        m, n, r = int(rng.integers(2, 7)), int(rng.integers(2, 7)), int(rng.integers(1, 5))
        supports = fsmf.as_supports([rng.random((m, r)) < 0.6, rng.random((r, n)) < 0.6])
        A = rng.standard_normal((m, n))
        F = min(solve(A, supports), solve(A, supports, solver=VariableProjection()), key=lambda F: F.error)
        best = oracles.best_of_starts(A, supports, starts=40, seed=number)
        assert F.lower_bound <= F.error
        if fsmf.analyze(supports).tractable:
            assert F.certificate.gap <= 1e-6 * F.norm
        if F.error > best + 1e-3 * F.norm:
            missed.append(number)
    assert missed == []


def test_perturbations_leave_a_plateau(monkeypatch):
    """Where all starts are at a local minimum that sweeps do not leave, and steps do not, either."""

    def stuck(solver, problem, *others):
        return (Descent(problem, problem.warm(CEC_SLM_POINT)) for _ in range(100))

    monkeypatch.setattr(VariableProjection, "_portfolio", stuck)
    for starts, squared in ((1, 4), (5, 1)):
        F = solve(CEC_SLM_TARGET, CEC_SLM, solver=VariableProjection(starts=starts))
        assert F.error**2 == pytest.approx(squared)


def test_a_ridge_bounds_the_factors():
    A = np.eye(4)[::-1]
    F = fsmf.factorize(A, fsmf.lu(4), solver=VariableProjection(ridge=0.01, starts=8))
    G = solve(A, fsmf.lu(4), solver=ALS(ridge=0.01, max_sweeps=5000, rtol=1e-10))
    values = [H.error**2 + 0.01 * sum(np.linalg.norm(X.toarray()) ** 2 for X in H.factors) for H in (F, G)]
    assert values[0] <= values[1] * (1 + 1e-4)
    assert F.status is Status.CONVERGED
    assert F.verify(A)


def test_time_can_run_out():
    with pytest.warns(ConvergenceWarning, match="VariableProjection is out of budget"):
        F = fsmf.factorize(gaussian((6, 6)), PRODUCTS["three"], solver=VariableProjection(max_seconds=0))
    assert F.status is Status.OUT_OF_BUDGET
    assert len(F.history) <= 1
    # What is read off is a descent of its own: a step of so many unknowns would take seconds.
    with pytest.warns(ConvergenceWarning, match="out of budget after 1 sweeps"):
        fsmf.factorize(gaussian((40, 40)), fsmf.lu(40), solver=VariableProjection(max_seconds=0))


@pytest.mark.parametrize(
    "options", [{"starts": 0}, {"max_steps": 1.5}, {"rtol": -1}, {"ridge": math.nan}, {"rng": "x"}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="found"):
        VariableProjection(**options)


def test_no_entries_at_all_are_no_unknowns():
    A = gaussian((3, 4))
    F = solve(A, [np.zeros((3, 2)), np.zeros((2, 4))], solver=VariableProjection())
    assert F.error == pytest.approx(np.linalg.norm(A))
    assert F.verify(A)
