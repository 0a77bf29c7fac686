"""Vanishing ridges and bounded factors: exponents that theory knows, bounds that hold, ends that are told."""

import math

import numpy as np
import pytest
from cases import BY_NAME, CEC_SLM, CEC_SLM_TARGET, LU2, OVERHANG, solve
from scipy.optimize import minimize

import fsmf
from fsmf import ALS, RidgePath, Status
from fsmf.errors import NotAttainedWarning, OptionError

SWAP = np.array([[0.0, 1], [1, 0]])
PATH = ALS(ridge="path", max_sweeps=300)


def norm_of(F):
    return math.sqrt(sum(np.linalg.norm(factor.data.astype(np.complex128)) ** 2 for factor in F.factors))


@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_antidiagonals_have_the_exponents_of_theory(n):
    """Each of the n // 2 swaps takes 4/δ for its error δ: error · norm² tends to 4 (n // 2)^1.5."""
    A = np.eye(n)[::-1]
    with pytest.warns(NotAttainedWarning, match="only by letting the factors grow"):
        F = fsmf.factorize(A, fsmf.lu(n), solver=PATH)
    path = F.ridge_path
    assert F.status is Status.FACTORS_GROW
    assert path.grows
    assert path.limit == 0
    assert path.rate == pytest.approx(-2, rel=0.05)
    assert path.error_exponent == pytest.approx(1 / 3, rel=0.05)
    assert path.norm_exponent == pytest.approx(-1 / 6, rel=0.05)
    assert path.errors[-1] * path.norms[-1] ** 2 == pytest.approx(4 * (n // 2) ** 1.5, rel=0.01)
    assert F.verify(A)
    assert F.error == pytest.approx(path.errors[-1], rel=1e-4)
    assert F.certificate.ridge == pytest.approx(path.ridges[-1])


def test_the_ridge_path_is_that_of_single_ridges():
    """At every ridge the minimiser that a descent of another kind finds from it is no better."""
    path = solve(SWAP, LU2, solver=PATH).ridge_path

    def objective(v, ridge):
        X, Y = np.array([[v[0], 0], [v[1], v[2]]]), np.array([[v[3], v[4]], [0, v[5]]])
        return np.sum((SWAP - X @ Y) ** 2) + ridge * np.sum(v**2)

    for ridge, error, norm in list(zip(path.ridges, path.errors, path.norms, strict=True))[:5:2]:
        starts = np.random.default_rng(0).standard_normal((4, 6))
        best = min(minimize(objective, v, ridge, options={"gtol": 1e-9}).fun for v in starts)
        assert error**2 + ridge * norm**2 == pytest.approx(best, rel=1e-5)


def test_the_overhang_grows_alike_and_a_floor_is_found():
    path = solve(np.array([[1.0, 0, 1], [0, 1, 0]]), OVERHANG, solver=PATH).ridge_path
    assert path.grows
    assert path.rate == pytest.approx(-2, rel=0.05)
    # A swap beside a block that rank one cannot make: the limit is the tail of that block.
    left, right = np.zeros((4, 3)), np.zeros((3, 4))
    left[:2, :2], right[:2, :2] = (support.toarray() for support in LU2)
    left[2:, 2] = right[2, 2:] = 1
    A = np.zeros((4, 4))
    A[:2, :2], A[2:, 2:] = SWAP, [[1, 2], [3, 4]]
    F = solve(A, [left, right], solver=PATH)
    tail = np.linalg.svd(A[2:, 2:], compute_uv=False)[1]
    assert F.ridge_path.grows
    assert F.ridge_path.limit == pytest.approx(tail, rel=1e-4)
    assert F.ridge_path.rate == pytest.approx(-2, rel=0.05)
    assert F.lower_bound == pytest.approx(tail)


@pytest.mark.parametrize(
    ("A", "supports", "best"),
    [
        (np.array([[1.0, 1], [1, 0]]), LU2, 0),
        (CEC_SLM_TARGET, CEC_SLM, 1),
        (np.arange(16.0).reshape(4, 4), fsmf.low_rank(4, rank=1), None),
        (BY_NAME["nested"].matrix(), BY_NAME["nested"].supports, None),
    ],
    ids=["lu", "complete class", "low rank", "nested"],
)
def test_where_a_best_product_exists_the_path_ends_at_it(A, supports, best):
    F = solve(A, supports, solver=PATH)
    if best is None:
        best = solve(A, supports).error
    assert F.ridge_path.grows is False
    assert F.status is Status.CONVERGED
    assert F.certificate.ridge == 0
    assert F.error == pytest.approx(best, rel=1e-4, abs=1e-6)
    assert (np.diff(F.ridge_path.errors) <= 1e-9 * F.norm).all()
    assert (np.diff(F.ridge_path.norms) >= -1e-6 * F.ridge_path.norms[-1]).all()


@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 3.0, 100.0])
def test_bounded_factors_keep_to_the_bound_and_use_it(max_norm):
    F = fsmf.factorize(SWAP, LU2, solver=ALS(max_norm=max_norm))
    assert F.status is Status.BOUNDED
    assert norm_of(F) <= max_norm
    assert norm_of(F) >= 0.99 * max_norm or max_norm < 0.1
    assert F.verify(SWAP)
    assert F.ridge_path is None
    # With error δ the squared norm is 4 (1 - δ)²/δ - 2δ at least.
    assert 4 * (1 - F.error) ** 2 / F.error - 2 * F.error <= max_norm**2
    if max_norm >= 10:
        assert F.error == pytest.approx(4 / max_norm**2, rel=0.01)


def test_a_bound_that_does_not_bind_changes_nothing():
    case = BY_NAME["nested"]
    A, free = case.matrix(), solve(case.matrix(), case.supports)
    F = solve(A, case.supports, solver=ALS(max_norm=2 * norm_of(free)))
    assert F.status is Status.CONVERGED
    assert F.certificate.ridge == 0
    assert F.error <= free.error * (1 + 1e-6)
    half = solve(A, case.supports, solver=ALS(max_norm=0.5 * norm_of(free)))
    assert half.status is Status.BOUNDED
    assert half.error > free.error
    assert 0.49 * norm_of(free) <= norm_of(half) <= 0.5 * norm_of(free)


@pytest.mark.parametrize("name", ["mixed", "two-hard-parts", "blocks"])
def test_independent_parts_share_one_ridge(name):
    """The gradient of the whole objective vanishes for one and the same ridge."""
    case = BY_NAME[name]
    A = case.matrix()
    F = solve(A, case.supports, solver=ALS(max_norm=2.0))
    assert F.status is Status.BOUNDED
    assert F.verify(A)
    assert F.certificate.gradient_norm < 1e-4
    assert norm_of(F) == pytest.approx(2, rel=2e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_paths_and_bounds_have_units(scale):
    F = solve(SWAP * scale, LU2, solver=PATH)
    assert F.ridge_path.rate == pytest.approx(-2, rel=1e-3)
    assert F.ridge_path.errors[-1] / scale * (F.ridge_path.norms[-1] / scale**0.5) ** 2 == pytest.approx(
        4, 0.01
    )
    assert F.verify(SWAP * scale)
    G = solve(SWAP * scale, LU2, solver=ALS(max_norm=10 * scale**0.5))
    assert G.error / scale == pytest.approx(0.04, rel=0.01)
    assert F.ridge_path.scaled(3.0).errors[0] == 3 * F.ridge_path.errors[0]


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
def test_any_dtype_is_followed(dtype):
    A = SWAP.astype(dtype)
    F, G = solve(A, LU2, solver=PATH), solve(A, LU2, solver=ALS(max_norm=10.0))
    assert F.ridge_path.rate == pytest.approx(-2, rel=0.01)
    assert norm_of(G) <= 10
    assert G.error == pytest.approx(0.04, rel=0.01)
    assert F.verify(A)
    assert G.verify(A)


@pytest.mark.parametrize("solver", [PATH, ALS(max_norm=1.0)], ids=["path", "bound"])
def test_nothing_to_factorize_is_no_accident(solver):
    for A, supports in ((0 * SWAP, LU2), (np.ones((3, 4)), BY_NAME["all-dead"].supports)):
        F = solve(A, supports, solver=solver)
        assert F.verify(A)
        assert F.status is Status.CONVERGED
        str(F)


@pytest.mark.parametrize("options", [{"ridge": "path"}, {"max_norm": 1.0}], ids=str)
def test_budgets_and_callbacks_end_paths_honestly(options):
    F = solve(SWAP, LU2, solver=ALS(max_seconds=0, **options))
    assert F.status is Status.OUT_OF_BUDGET
    assert F.ridge_path is None or F.ridge_path.grows is None
    assert "too short to tell" in str(F) or F.ridge_path is None
    seen = []
    F = solve(SWAP, LU2, solver=ALS(callback=lambda sweep: seen.append(sweep) or len(seen) == 9, **options))
    assert F.status is Status.STOPPED
    assert F.verify(SWAP)
    if "max_norm" in options:
        assert norm_of(F) <= 1


def test_seeds_and_warm_starts_are_heard():
    one, same = (solve(SWAP, LU2, solver=ALS(ridge="path", rng=3)) for _ in range(2))
    assert np.array_equal(one.X.data, same.X.data)
    warm = solve(SWAP, LU2, solver=ALS(ridge="path", initial=one, starts=1))
    assert warm.ridge_path.rate == pytest.approx(-2, rel=0.05)


def test_the_path_is_saved_and_told(tmp_path):
    F = solve(SWAP, LU2, solver=PATH)
    F.save(tmp_path / "f.npz")
    G = fsmf.load(tmp_path / "f.npz")
    for name, array in F.ridge_path.arrays().items():
        assert np.array_equal(array, G.ridge_path.arrays()[name])
    assert "only by letting the factors grow: it falls towards 0 as norm^-2.00" in str(F)
    assert "0.04 at norm 10" in str(F)
    assert str(F.ridge_path) in f"{len(F.ridge_path)} ridges: {str(F.ridge_path).partition(': ')[2]}"
    assert (2 * F).ridge_path.errors[-1] == pytest.approx(2 * F.ridge_path.errors[-1])
    assert F.T.ridge_path is F.ridge_path
    assert solve(SWAP, LU2).ridge_path is None


def test_errors_between_points_are_read_off():
    path = RidgePath.of([(1.0, 4.0, 1.0), (1e-3, 1.0, 2.0), (1e-9, 0.25, 4.0)])
    assert path.error_at(1.0) == 4
    assert path.error_at(math.sqrt(2)) == pytest.approx(2)
    assert path.error_at(3.9) == pytest.approx(1 / 3.9**2 * 4, rel=1e-6)
    assert path.error_at(100) == 0.25
    assert path.error_at(0.5) == math.inf
    for wrong in (-1, math.nan, "1", None, True):
        with pytest.raises(OptionError):
            path.error_at(wrong)


@pytest.mark.parametrize(
    "options",
    [
        *({"max_norm": bad} for bad in (0, -1, math.inf, math.nan, "1", np.ones(2), True)),
        {"max_norm": 1, "ridge": 0.1},
        {"max_norm": 1, "ridge": "path"},
        {"ridge": "Path"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(OptionError, match="found"):
        ALS(**options)
