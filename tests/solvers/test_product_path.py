"""Ridge paths and bounds on the norm beyond plain pairs: exponents and constants that are derived by hand."""

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

import fsmf
from fsmf import ALS, QuasiNewton, Status, VariableProjection
from fsmf.errors import FsmfWarning, NotAttainedWarning, OptionError, RefusedError

SWAP = np.array([[0.0, 1], [1, 0]])
LOWER, UPPER = fsmf.lu(2)
ANY = (QuasiNewton, VariableProjection, ALS)


def solve(A, supports, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        return fsmf.factorize(A, supports, **options)


def norm_of(F):
    return math.hypot(*(np.linalg.norm(factor.data) for factor in F.factors))


def check_power_law(path, rate, constant):
    """Where the error falls as ``constant · norm^-rate`` the ridges fix both exponents."""
    assert path.grows
    assert path.limit == 0
    assert path.rate == pytest.approx(-rate, rel=0.01)
    assert path.norm_exponent == pytest.approx(-1 / (2 * rate + 2), rel=0.02)
    assert path.error_exponent == pytest.approx(rate / (2 * rate + 2), rel=0.02)
    assert path.errors[-1] * path.norms[-1] ** rate == pytest.approx(constant, rel=0.01)


@pytest.mark.parametrize(
    "solver", [*(kind(ridge="path") for kind in ANY)], ids=lambda one: type(one).__name__
)
def test_with_a_diagonal_between_a_swap_takes_the_power_three(solver):
    """Two terms of three entries each are 1/δ: their squared norm is at least 6 δ^(-2/3)."""
    with pytest.warns(NotAttainedWarning, match="only by letting the factors grow"):
        F = fsmf.factorize(SWAP, [LOWER, np.eye(2), UPPER], solver=solver)
    check_power_law(F.ridge_path, 3, 6**1.5)
    assert F.status is Status.FACTORS_GROW
    assert F.ridge_path.n_factors == 3
    assert F.error == pytest.approx(F.ridge_path.errors[-1], rel=1e-4)
    assert F.certificate.ridge == pytest.approx(F.ridge_path.ridges[-1])
    assert F.verify(SWAP)


@pytest.mark.parametrize(("L", "n"), [(3, 4), (4, 2)])
def test_the_door_follows_products_of_any_length(L, n, tmp_path):
    """k swaps of error δ at L factors: error √k δ at the squared norm 2Lk δ^(-2/L)."""
    A, k, (lower, upper) = np.eye(n)[::-1], n // 2, fsmf.lu(n)
    F = solve(A, [lower, *[np.eye(n)] * (L - 2), upper], ridge="path")
    assert F.solver == "VariableProjection"
    check_power_law(F.ridge_path, L, math.sqrt(k) * (2 * L * k) ** (L / 2))
    assert "only by letting the factors grow" in str(F)
    F.save(tmp_path / "f.npz")
    G = fsmf.load(tmp_path / "f.npz")
    assert G.ridge_path.n_factors == L
    assert np.array_equal(G.ridge_path.norms, F.ridge_path.norms)
    twice = (8 * F).ridge_path
    assert twice.norms[-1] == pytest.approx(8 ** (1 / L) * F.ridge_path.norms[-1])
    assert twice.ridges[-1] == pytest.approx(8 ** (2 - 2 / L) * F.ridge_path.ridges[-1])


@pytest.mark.parametrize("kind", ANY)
def test_weights_and_prescribed_values_are_followed(kind):
    """The swap's error is in one entry; of a unit lower factor two single entries are 1/δ."""
    F = solve(SWAP, fsmf.lu(2), solver=kind(ridge="path"), weights=[[4, 1], [1, 1]])
    check_power_law(F.ridge_path, 2, 4 * math.sqrt(4))
    assert F.verify(SWAP, weights=[[4, 1], [1, 1]])
    unit = fsmf.fixed(np.eye(2), np.eye(2), support=LOWER)
    F = solve(SWAP, [unit, UPPER], solver=kind(ridge="path"))
    check_power_law(F.ridge_path, 1, math.sqrt(2))
    assert np.array_equal(np.diag(F.X.toarray()), [1, 1])
    assert F.verify(SWAP)


def test_missing_entries_are_followed():
    """What is missing needs no second large term to cancel the first."""
    A = SWAP.copy()
    A[1, 1] = np.nan
    F = solve(A, fsmf.lu(2), ridge="path", missing="nan")
    assert F.solver == "VariableProjection"
    check_power_law(F.ridge_path, 2, 2)


def test_where_a_best_product_exists_the_path_ends_at_it():
    A = np.random.default_rng(0).standard_normal((8, 8))
    F, best = solve(A, fsmf.kaleidoscope(8), ridge="path"), solve(A, fsmf.kaleidoscope(8))
    assert F.ridge_path.grows is False
    assert (F.status, F.certificate.ridge) == (Status.CONVERGED, 0)
    assert F.error == pytest.approx(best.error, rel=0.05)


@pytest.mark.parametrize("n", [20, 30])
def test_large_antidiagonals_by_the_systems_of_one_factor(n):
    A = np.eye(n)[::-1]
    F = solve(A, fsmf.lu(n), ridge="path")
    check_power_law(F.ridge_path, 2, 4 * (n // 2) ** 1.5)
    assert len(F.ridge_path) > 15
    assert F.verify(A)


@pytest.mark.parametrize("max_norm", [1.0, 5.0, 20.0])
def test_the_bound_on_the_norm_is_kept_and_used(max_norm):
    """Also where no minimiser with a ridge has that norm: of three factors zero is a local one."""
    supports = [LOWER, np.eye(2), UPPER]
    F = solve(SWAP, supports, max_norm=max_norm)
    assert F.status is Status.BOUNDED
    assert 0.99 * max_norm <= norm_of(F) <= max_norm
    assert F.verify(SWAP)
    assert F.certificate.gradient_norm < 1e-3

    def error(z):
        z = z * max_norm / np.linalg.norm(z)
        X, Y = np.array([[z[0], 0], [z[1], z[2]]]), np.array([[z[3], z[4]], [0, z[5]]])
        return np.linalg.norm(SWAP - X @ np.diag(z[6:]) @ Y)

    starts = np.random.default_rng(0).standard_normal((8, 8))
    best = min(minimize(error, z, method="BFGS").fun for z in starts)
    assert F.error <= best * (1 + 1e-2)


@pytest.mark.parametrize("seed", [0, 4, 7, 11])
def test_paths_end_at_what_is_found_without_a_ridge(seed):
    """Where ridges are large all starts lead elsewhere; these products are exact."""
    lower, upper = fsmf.lu(4)
    A = np.random.default_rng(seed).standard_normal((4, 4))
    assert solve(A, [lower, np.eye(4), upper], ridge="path").relative_error < 1e-9


def test_bounded_factors_may_lie_on_another_branch_than_the_path():
    A, (lower, upper) = np.random.default_rng(0).standard_normal((4, 4)), fsmf.lu(4)
    F = solve(A, [lower, upper], max_norm=10.0)
    places = np.tril_indices(4), np.triu_indices(4)

    def squared(z):
        w, (X, Y) = 10 * z / np.linalg.norm(z), np.zeros((2, 4, 4))
        X[places[0]], Y[places[1]] = w[:10], w[10:]
        R = X @ Y - A
        gradient = 2 * np.concatenate([(R @ Y.T)[places[0]], (X.T @ R)[places[1]]])
        return np.sum(R**2), 10 / np.linalg.norm(z) * (gradient - w * (w @ gradient) / 100)

    starts = np.random.default_rng(1).standard_normal((12, 20))
    best = min(minimize(squared, z, jac=True, method="BFGS").fun for z in starts)
    assert F.error <= 1.01 * math.sqrt(best)


def test_a_bound_whose_square_is_nothing_is_kept():
    F = solve(SWAP, [LOWER, UPPER], max_norm=1e-300)
    assert F.status is Status.BOUNDED
    assert all(np.abs(X.data).max() <= 1e-300 for X in F.factors)


def test_bounds_weigh_what_is_prescribed():
    unit = fsmf.fixed(np.eye(2), np.eye(2), support=LOWER)
    F = solve(SWAP, [unit, UPPER], max_norm=10.0)
    assert F.status is Status.BOUNDED
    assert 9.9 <= norm_of(F) <= 10
    with pytest.raises(OptionError, match="prescribed"):
        solve(SWAP, [unit, UPPER], max_norm=1.0)
    far = solve(SWAP, fsmf.lu(2), max_norm=10.0, weights=np.full((2, 2), 4.0))
    assert far.error == pytest.approx(2 * 0.04, rel=0.01)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_paths_of_products_have_units(scale):
    F = solve(SWAP * scale, [LOWER, np.eye(2), UPPER], ridge="path")
    assert F.ridge_path.rate == pytest.approx(-3, rel=0.01)
    assert F.ridge_path.errors[-1] / scale * (
        F.ridge_path.norms[-1] / scale ** (1 / 3)
    ) ** 3 == pytest.approx(6**1.5, rel=0.01)


def test_budgets_and_callbacks_end_paths_of_products():
    for options in ({"ridge": "path"}, {"max_norm": 2.0}):
        for kind in ANY:
            F = solve(SWAP, [LOWER, np.eye(2), UPPER], solver=kind(max_seconds=0, **options))
            assert F.status is Status.OUT_OF_BUDGET
            F = solve(SWAP, [LOWER, np.eye(2), UPPER], solver=kind(callback=lambda sweep: True, **options))
            assert F.status is Status.STOPPED
            assert F.verify(SWAP)


def test_a_ridge_is_given_to_those_that_take_one():
    A = np.random.default_rng(0).standard_normal((4, 4))
    assert fsmf.factorize(A, fsmf.lu(4), ridge=0.1).certificate.ridge == 0.1
    assert fsmf.factorize(A, fsmf.monarch(4, blocks=2), ridge=0.1).solver == "VariableProjection"
    with pytest.raises(OptionError, match="BlockSVD"):
        fsmf.factorize(A, fsmf.monarch(4, blocks=2), ridge=0.1, solver=fsmf.BlockSVD())
    with pytest.raises(OptionError, match="one of the two"):
        fsmf.factorize(A, fsmf.lu(4), ridge=0.1, max_norm=2.0)
    large = fsmf.random_supports(3000, 3000, components=200, density=0.01, rng=0)
    followed = [VariableProjection(ridge="path"), ALS(ridge="path")]
    assert fsmf.explain(large, solver=followed).steps[0][1] is followed[1]
    with pytest.raises(RefusedError, match="few hundred"):
        fsmf.factorize(np.ones((3000, 3000)), large, solver=VariableProjection(max_norm=1.0))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_systems_of_one_factor_find_what_formed_equations_do(turned, weighted, monkeypatch):
    """Two ways to the same steps end at the same objective, for complex matrices too."""
    rng = np.random.default_rng(3)
    A = rng.standard_normal((9, 7)) + 1j * rng.standard_normal((9, 7))
    supports = fsmf.random_supports(9, 7, components=6, density=0.5, rng=5)
    W = rng.random((9, 7)) if weighted else None
    if turned:
        A, supports, W = A.T, supports.T, None if W is None else W.T
    start = [rng.standard_normal(support.shape) + 0j for support in supports]
    errors = []
    for formed in (300, 0):
        monkeypatch.setattr("fsmf.solvers.problem_pair_newton._FORMED_FOR_ONE", formed)
        F = solve(A, supports, solver=VariableProjection(max_norm=4.0, initial=start, starts=1), weights=W)
        errors.append(F.error)
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)
