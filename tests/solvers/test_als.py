"""Alternating least squares: stationary points, honest statuses, and the golden facts of the LU family."""

import math
from itertools import pairwise

import numpy as np
import oracles
import pytest
from cases import (
    BY_NAME,
    LU2,
    NESTED,
    OFF_DIAGONAL,
    OVERHANG,
    PAIRS_EASY,
    PAIRS_HARD,
    any_supports,
    name_of,
    solve,
    solved,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import in_turn
from scipy import sparse

import fsmf
from fsmf import ALS, Status
from fsmf.errors import ConvergenceWarning, NotAttainedWarning, OptionError, ShapeError
from fsmf.solvers import problem

every_row = pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
SWAP = np.array([[0.0, 1], [1, 0]])


def objective(F, A, ridge):
    return F.error**2 + ridge * sum(np.linalg.norm(factor.toarray()) ** 2 for factor in F.factors)


@every_row
def test_the_point_is_stationary(case):
    """No derivative is large, by finite differences of the error itself."""
    A, F = solved(case)
    if F.status is Status.CONVERGED:
        point = oracles.pack(F.X.toarray(), F.Y.toarray(), F.supports)
        gradient = np.linalg.norm(oracles.numeric_gradient(point, A, F.supports))
        scale = F.norm * np.linalg.norm(point)
        # A squared error that falls by less than 1e-7 a sweep has a gradient of about the root of that.
        assert gradient <= 3e-3 * scale
        assert F.certificate.gradient_norm == pytest.approx(gradient / scale, abs=1e-7)


@pytest.mark.parametrize("case", [c for c in PAIRS_HARD if c.solver == "ALS"], ids=name_of)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_factors_are_balanced(case, dtype):
    _, F = solved(case, dtype)
    x, y = np.linalg.norm(F.X.toarray(), axis=0), np.linalg.norm(F.Y.toarray(), axis=1)
    assert np.allclose(x, y, rtol=1e-6, atol=1e-9 * math.sqrt(F.norm))


@pytest.mark.parametrize(("case", "dtype"), in_turn(PAIRS_HARD, ["float32", "complex64"]))
def test_single_precision_loses_little(case, dtype):
    """Growing factors must not be rounded into nonsense."""
    solver = None if case.tractable else ALS(starts=2, max_sweeps=200)
    for seed in range(2):
        A = case.matrix(np.dtype(dtype), seed=seed)
        double = solve(A.astype(np.result_type(dtype, np.float64)), case.supports, solver=solver)
        F = solve(A, case.supports, solver=solver)
        assert F.relative_error <= double.relative_error + 0.01
        assert F.verify(A)


def test_single_precision_of_growing_factors_is_not_nonsense():
    A = np.array(
        [[-1.8464583, 0.48642954, 0.87365335, 0.3412032], [0.7982732, -1.8713579, 2.271138, -1.0497934]],
        dtype=np.complex64,
    )
    F = solve(A, fsmf.arrow(2, 4), solver=ALS(starts=1, max_sweeps=20))
    assert F.relative_error < 0.55
    swap = solve(SWAP.astype(np.float32), LU2)
    assert swap.relative_error < 0.02
    assert swap.verify(SWAP.astype(np.float32))


@pytest.mark.parametrize(
    "case", [c for c in PAIRS_EASY if c.n_classes and c.matrix().size <= 100], ids=name_of
)
def test_als_does_not_miss_an_optimum_that_is_known(case):
    A, F = solved(case)
    G = solve(A, case.supports, solver=ALS())
    assert G.solver == "ALS"
    assert G.verify(A)
    assert G.error >= F.error * (1 - 1e-9) - 1e-9 * F.norm
    assert G.error <= F.error * (1 + 1e-3) + 1e-6 * F.norm


def hard_instances(count):
    """Random supports that no theorem covers, with Gaussian matrices."""
    rng, found = np.random.default_rng(5), 0
    for seed in range(1, 1000):
        m, n, r = int(rng.integers(3, 7)), int(rng.integers(3, 7)), int(rng.integers(2, 6))
        density = float(rng.choice([0.4, 0.6, 0.8]))
        supports = fsmf.random_supports(m, n, components=r, density=density, rng=seed)
        if not oracles.is_tractable(supports):
            yield np.random.default_rng(seed).standard_normal((m, n)), supports
            found += 1
        if found == count:
            return


def test_the_default_starts_nearly_always_find_what_many_descents_find():
    """Within a thousandth of the best of twenty, in nine cases of ten: no method can promise all of them."""
    reached, bound_kept = [], []
    for A, supports in hard_instances(40):
        F, best = solve(A, supports), oracles.best_of_starts(A, supports, starts=20)
        reached.append(F.error <= best * (1 + 1e-3) + 1e-6 * F.norm)
        bound_kept.append(F.lower_bound <= best * (1 + 1e-9) + 1e-9)
    assert all(bound_kept)
    assert np.mean(reached) >= 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_with_an_exact_lu_is_factorized(seed):
    A = BY_NAME["lu-4"].matrix(seed=seed)
    F = solve(A, fsmf.lu(4))
    assert F.relative_error < 1e-6
    assert F.status is not Status.FACTORS_GROW


@pytest.mark.parametrize("seed", range(6))
def test_l4_completion_is_not_trapped_in_its_spurious_minima(seed):
    A = np.random.default_rng(seed).standard_normal((3, 3))
    best = oracles.best_of_starts(A, OFF_DIAGONAL, starts=30)
    assert solve(A, OFF_DIAGONAL).error <= best * (1 + 1e-3) + 1e-6


# The LU family.


def test_g4_growing_factors_are_told_from_convergence():
    with pytest.warns(NotAttainedWarning, match="infimum may not be attained"):
        F = fsmf.factorize(SWAP, LU2)
    assert F.status is Status.FACTORS_GROW
    assert F.status.value == "factors grow while the error falls"
    assert F.relative_error < 0.05
    assert F.lower_bound == 0
    exact = fsmf.factorize(np.array([[1.0, 1], [1, 0]]), LU2)
    assert exact.status is Status.CONVERGED
    assert exact.relative_error < 1e-12


def test_g4_a_ridge_keeps_the_factors_bounded():
    F = fsmf.factorize(SWAP, LU2, solver=ALS(ridge=1e-3))
    assert F.status is Status.CONVERGED
    assert F.certificate.ridge == 1e-3
    assert F.verify(SWAP)


def test_g5_the_error_falls_as_the_factors_grow():
    """‖θ‖²·error tends to 4 on every path to the infimum; ALS follows one where it stays within 5 %."""
    F = solve(SWAP, LU2, solver=ALS(starts=1, max_sweeps=100))
    growing = F.history.factor_norm**2 > 1e3
    product = (F.history.factor_norm**2 * F.history.error)[growing]
    assert growing.sum() >= 5
    assert np.abs(product - 4).max() < 0.2
    assert product.min() >= 4 * (1 - 1e-3)


@pytest.mark.parametrize(
    ("ridge", "ratio"), [(1e-3, 0.9947), (1e-4, 0.9989), (1e-5, 0.9998)], ids="{:.0e}".format
)
def test_g6_the_ridge_path_of_the_swap(ridge, ratio):
    F = solve(SWAP, LU2, solver=ALS(ridge=ridge, rtol=1e-12, max_sweeps=5000))
    assert objective(F, SWAP, ridge) / (3 * (2 * ridge) ** (2 / 3)) == pytest.approx(ratio, abs=1e-4)


def test_g7_the_valley_traps_small_steps_but_not_the_default():
    """Descent in small steps from this start cannot leave the level above 1; the global minimum is 0."""
    A, far = np.array([[-1.0, 1], [1, 0]]), 1 / 0.3
    X, Y = np.array([[0.3, 0], [far, far]]), np.array([[0.3, far], [0, -far]])
    left, right = oracles.dense(LU2)
    start = np.linalg.norm(X) ** 2 + np.linalg.norm(Y) ** 2
    for _ in range(20_000):
        R = X @ Y - A
        X, Y = X - 5e-3 * left * (R @ Y.T), Y - 5e-3 * right * (X.T @ R)
    assert 1 < np.sum((X @ Y - A) ** 2) < 1.2
    assert np.linalg.norm(X) ** 2 + np.linalg.norm(Y) ** 2 > start
    F = fsmf.factorize(A, LU2)
    assert F.status is Status.CONVERGED
    assert F.relative_error < 1e-12


def test_g8_the_overhang_is_not_attained_either():
    with pytest.warns(NotAttainedWarning):
        F = fsmf.factorize(np.array([[1.0, 0, 1], [0, 1, 0]]), OVERHANG)
    assert F.status is Status.FACTORS_GROW
    assert F.relative_error < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_g10_nested_rectangles_have_a_best_product(seed):
    """Not tractable by the theorem, yet closed: the solver converges, and to the best known error."""
    A = np.random.default_rng(seed).standard_normal((3, 3))
    F = fsmf.factorize(A, NESTED)
    assert F.status is Status.CONVERGED
    assert F.error <= oracles.best_of_starts(A, NESTED, starts=20) * (1 + 1e-3)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_antidiagonals_have_no_lu_either(n):
    F = solve(np.eye(n)[::-1], fsmf.lu(n))
    assert F.status is Status.FACTORS_GROW
    assert F.relative_error < 0.1


# Options.


@every_row
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_with_a_ridge_the_objective_is_stationary_and_verified(case, ridge):
    A = case.matrix()
    F = solve(A, case.supports, solver=ALS(ridge=ridge, starts=2))
    assert F.verify(A)
    assert F.status is not Status.FACTORS_GROW
    assert F.history.error[-1] == pytest.approx(F.error, rel=1e-5, abs=1e-9)
    # Scaling x_k up and y_k down must not pay, nor scaling everything.
    base = objective(F, A, ridge)
    X, Y = F.X.toarray(), F.Y.toarray()
    for scale in (0.99, 1.01):
        for left, right in ((X * scale, Y / scale), (X * scale, Y), (X, Y * scale)):
            other = np.linalg.norm(A - left @ right) ** 2
            other += ridge * (np.linalg.norm(left) ** 2 + np.linalg.norm(right) ** 2)
            assert other >= base * (1 - 1e-6)


def test_a_ridge_has_the_units_of_the_matrix():
    A = BY_NAME["random"].matrix()
    F = solve(A, BY_NAME["random"].supports, solver=ALS(ridge=0.1))
    for scale in (1e-200, 1e-100, 1e100, 1e200):
        G = solve(A * scale, F.supports, solver=ALS(ridge=0.1 * scale))
        assert G.relative_error == pytest.approx(F.relative_error, rel=1e-6)
        assert G.certificate.ridge == pytest.approx(0.1 * scale)
        assert G.verify(A * scale)


@every_row
def test_early_sweeps_are_recorded_truly(case):
    """Whatever the ridge, the history holds the error of the factors, also before anything has converged."""
    A = case.matrix()
    for ridge in (0.0, 0.5):
        F = solve(A, case.supports, solver=ALS(starts=1, max_sweeps=2, ridge=ridge))
        assert len(F.history) <= 2
        assert F.history.error[-1] == pytest.approx(F.error, rel=1e-6, abs=1e-9)


def test_more_starts_are_never_worse():
    A, F = solved(BY_NAME["random"])
    errors = [solve(A, F.supports, solver=ALS(starts=k)).error for k in (1, 2, 4, 8)]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(errors))


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_a_warm_start_is_not_left_for_worse(size):
    case = BY_NAME["random"]
    A = size * case.matrix()
    F = solve(A, case.supports, solver=ALS())
    for initial in (F, (F.X, F.Y), (F.X.toarray(), F.Y.toarray())):
        G = solve(A, F.supports, solver=ALS(starts=1, initial=initial))
        assert G.error <= F.error * (1 + 1e-9)
    assert len(G.history) < 20


def test_a_warm_start_is_restricted_to_the_supports_and_not_written():
    case = BY_NAME["mixed"]
    X, Y = (np.ones(support.shape) for support in fsmf.as_supports(case.supports))
    F = solve(case.matrix(), case.supports, solver=ALS(starts=1, initial=(X, Y)))
    assert F.verify(case.matrix())
    assert (X == 1).all()
    assert (Y == 1).all()


@pytest.mark.parametrize("size", [0.0, 1e-200, 1e200])
def test_a_warm_start_of_any_size_is_survived(size):
    F = solve(SWAP + 1, LU2, solver=ALS(starts=2, initial=(size * np.eye(2), size * np.eye(2))))
    assert F.verify(SWAP + 1)


def test_seeds_decide_everything():
    A, F = solved(BY_NAME["random"])

    def run(rng):
        return solve(A, F.supports, solver=ALS(starts=2, max_sweeps=5, rng=rng))

    one, same, other = run(3), run(np.random.default_rng(3)), run(4)
    assert np.array_equal(one.X.data, same.X.data)
    assert not np.array_equal(one.X.data, other.X.data)


def test_callbacks_see_each_sweep_and_may_stop():
    A, seen = BY_NAME["random"].matrix(), []
    F = solve(A, BY_NAME["random"].supports, solver=ALS(starts=2, max_sweeps=6, callback=seen.append))
    assert {sweep.start for sweep in seen} == {0, 1}
    assert [sweep.sweep for sweep in seen if sweep.start == 0] == list(range(7))
    assert min(sweep.error for sweep in seen) == pytest.approx(F.error, rel=1e-9)
    assert all(sweep.factor_norm > 0 for sweep in seen)
    assert (np.diff([sweep.seconds for sweep in seen]) >= 0).all()
    F = fsmf.factorize(A, F.supports, solver=ALS(callback=lambda sweep: sweep.sweep == 3))
    assert F.status is Status.STOPPED
    assert len(F.history) == 3
    assert F.verify(A)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_callbacks_speak_the_units_of_the_matrix(scale):
    case, seen = BY_NAME["mixed"], []
    A = case.matrix() * scale
    solver = [fsmf.BlockSVD(), ALS(starts=1, callback=seen.append)]
    F = solve(A, case.supports, solver=solver)
    assert seen[-1].error == pytest.approx(F.error, rel=1e-6)
    assert F.history.error[-1] == pytest.approx(F.error, rel=1e-6)


def test_budgets_end_the_solve_with_a_warning():
    A = BY_NAME["random"].matrix()
    for budget in ({"max_sweeps": 2}, {"max_seconds": 0}):
        with pytest.warns(ConvergenceWarning, match="out of budget"):
            F = fsmf.factorize(A, BY_NAME["random"].supports, solver=ALS(starts=3, **budget))
        assert F.status is Status.OUT_OF_BUDGET
        assert 1 <= len(F.history) <= 2
        assert F.verify(A)


BAD_OPTIONS = [
    *({"starts": bad} for bad in (0, -1, 1.5, "two", None, True)),
    *({"max_sweeps": bad} for bad in (0, 2.5, math.inf)),
    *({"max_seconds": bad} for bad in (-1, math.nan, math.inf, "1")),
    *({"rtol": bad} for bad in (-1e-9, math.nan, None, np.complex128(1))),
    *({"ridge": bad} for bad in (-0.1, math.inf, "0.1", np.complex128(1), np.ones(2))),
    *({"rng": bad} for bad in ("seed", -1, 1.5)),
    {"callback": "print"},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="found"):
        ALS(**options)


BAD_INITIALS = {
    "one factor": ((np.eye(2),), ShapeError),
    "wrong shape": ((np.eye(2), np.ones((2, 3))), ShapeError),
    "the papers' form": ((np.ones((2, 2)), np.ones((3, 2))), ShapeError),
    "nan": ((np.full((2, 2), np.nan), np.eye(2)), OptionError),
    "sparse infinity": ((sparse.csr_array(np.full((2, 2), np.inf)), np.eye(2)), OptionError),
    "a number": (3, Exception),
    "strings": (("left", "right"), Exception),
    "objects": ((np.array([[None, 1], [1, 1]]), np.eye(2)), Exception),
}


@pytest.mark.parametrize(("initial", "error"), BAD_INITIALS.values(), ids=BAD_INITIALS)
def test_a_warm_start_that_is_none_is_refused(initial, error):
    with pytest.raises(fsmf.errors.FsmfError) as caught:
        fsmf.factorize(SWAP, LU2, solver=ALS(initial=initial))
    assert isinstance(caught.value, error)


def test_a_complex_warm_start_does_not_fit_a_real_matrix():
    with pytest.raises(fsmf.errors.FsmfError):
        fsmf.factorize(SWAP, LU2, solver=ALS(initial=(1j * np.eye(2), np.eye(2))))


@settings(max_examples=40)
@given(
    any_supports(), st.integers(0, 99), st.sampled_from([np.float32, np.float64, np.complex64, np.complex128])
)
def test_any_pair_gets_a_point_that_verifies(supports, seed, dtype):
    rng = np.random.default_rng(seed)
    A = (rng.standard_normal(supports.shape) + 1j * rng.standard_normal(supports.shape)).astype(np.complex128)
    A = (A if np.issubdtype(dtype, np.complexfloating) else A.real).astype(dtype)
    F = solve(A, supports, solver=ALS(starts=1, max_sweeps=25))
    assert F.verify(A), str(F.verify(A))
    assert F.dtype == dtype
    assert (np.diff(F.history.error) <= 1e-12 * F.norm).all()


@settings(max_examples=40)
@given(any_supports(), st.integers(0, 99))
def test_no_error_is_below_its_bound_or_above_the_matrix(supports, seed):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    F = solve(A, supports, solver=ALS(starts=2, max_sweeps=50))
    assert F.lower_bound <= F.error <= F.norm * (1 + 1e-12)


def scattered(seed):
    """Supports of which none is nested in another, where the first sweeps update one piece after another."""
    rng = np.random.default_rng(seed)
    return fsmf.as_supports([rng.random((60, 12)) < 0.3, rng.random((12, 50)) < 0.3])


@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32"])
def test_early_updates_of_single_pieces_are_true_and_lead_as_far(dtype, monkeypatch):
    monkeypatch.setattr(problem, "_WORTH_COMPILING", -1.0)
    for seed in range(3):
        supports, rng = scattered(seed), np.random.default_rng([seed, 1])
        A = rng.standard_normal((60, 50))
        A = (A + 1j * rng.standard_normal(A.shape) if dtype == "complex128" else A).astype(dtype)
        (part,) = fsmf.analyze(supports).parts
        pair = problem.PairProblem.of(A, part, ridge=0.0, exponent=0)
        X, Y = pair.random(rng)
        relaxation = pair.relaxation(X, Y)
        assert relaxation.squared_error == pytest.approx(pair.squared_error(X, Y))
        for _ in range(5):
            before = relaxation.squared_error
            relaxation.sweep()
            X, Y = relaxation.X, relaxation.Y
            assert relaxation.squared_error == pytest.approx(pair.squared_error(X, Y), rel=1e-12)
            assert relaxation.norm == pytest.approx(pair.balanced_norm(X, Y), rel=1e-12)
            assert relaxation.squared_error < before
        with monkeypatch.context() as patch:
            patch.setattr(problem.PairProblem, "relaxation", lambda *factors: None)
            plain = solve(A, supports, solver=ALS(starts=1))
        F = solve(A, supports, solver=ALS(starts=1))
        assert F.verify(A), F.verify(A)
        assert (np.diff(F.history.error) <= 0).all()
        assert F.error <= 1.005 * plain.error


def test_only_exact_sweeps_are_made_where_single_pieces_mislead(monkeypatch):
    monkeypatch.setattr(problem, "_WORTH_COMPILING", -1.0)
    rng = np.random.default_rng(0)
    for supports, ridge in ((fsmf.lu(6), 0.0), (scattered(0), 0.1)):
        for part in fsmf.analyze(supports).parts:
            A = rng.standard_normal(supports.shape)
            pair = problem.PairProblem.of(A, part, ridge=ridge, exponent=0)
            assert pair.relaxation(*pair.random(rng)) is None


@pytest.mark.parametrize("sides", [(12, 5, 12), (12, 4, 3, 12)])
def test_a_bound_need_not_be_searched(sides):
    rng = np.random.default_rng(0)
    supports = fsmf.as_supports([rng.random(shape) < 0.6 for shape in pairwise(sides)])
    A = rng.standard_normal(supports.shape)
    found, sought = (
        solve(A, supports, solver=fsmf.ALS(bound=bound, starts=1, max_sweeps=9)) for bound in (False, True)
    )
    np.testing.assert_array_equal(found.to_dense(), sought.to_dense())
    assert len(sought.certificate.blocks) > len(found.certificate.blocks) == 0
    reached = supports.reached.toarray()
    assert found.lower_bound == pytest.approx(np.linalg.norm(A[~reached]))
    assert found.lower_bound < sought.lower_bound < found.error
    assert found.verify(A)
