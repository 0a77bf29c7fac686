"""Products of any number of factors: sweeps against dense least squares, starts, certificates."""

import copy
import dataclasses
import math
import warnings
from itertools import pairwise

import numpy as np
import oracles
import pytest
from cases import solve
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf import ALS, Status
from fsmf.solvers.problem_product import ProductProblem
from fsmf.solvers.problem_start import starting_points
from fsmf.solvers.problem_sweep import LeastSquares
from fsmf.tractability import Part

MODES = ["direct", "iterated"]


def masks(*sides, density=0.6, seed=0):
    rng = np.random.default_rng(seed)
    return fsmf.as_supports([rng.random((p, q)) < density for p, q in pairwise(sides)])


PRODUCTS = {
    "one": masks(5, 6),
    "pair": masks(6, 4, 7),
    "three": masks(6, 5, 7, 6),
    "four": masks(5, 6, 4, 6, 5),
    "thin": masks(8, 3, 2, 8, density=0.9),
    "kaleidoscope": fsmf.kaleidoscope(8),
    "two monarchs": fsmf.as_supports([*fsmf.monarch(6, blocks=2), *fsmf.monarch(6, blocks=3)]),
    "empty row": fsmf.as_supports([[[0, 0], [1, 1]], [[1, 0], [0, 1]], [[1, 1], [0, 1]]]),
}
every_product = pytest.mark.parametrize("supports", PRODUCTS.values(), ids=PRODUCTS.keys())


def gaussian(shape, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    return (
        A.astype(dtype)
        if np.dtype(dtype).kind != "c"
        else (A + 1j * rng.standard_normal(shape)).astype(dtype)
    )


def problem_of(supports, A, ridge=0.0, roots=None):
    return ProductProblem.of(A, Part.whole(fsmf.analyze(supports), roots), ridge=ridge, exponent=0)


def dense_factors(supports, values):
    found = []
    for support, value in zip(supports, values, strict=True):
        X = np.zeros(support.shape, value.dtype)
        X[support.toarray()] = value
        found.append(X)
    return found


def objective(A, factors, ridge=0.0, roots=1.0):
    product = factors[0]
    for X in factors[1:]:
        product = product @ X
    return np.linalg.norm(roots * (A - product)) ** 2 + ridge * sum(np.linalg.norm(X) ** 2 for X in factors)


@every_product
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "ridge", "weighted"), [(float, 0.0, False), (complex, 0.3, False), (complex, 0.1, True)]
)
def test_a_sweep_is_least_squares_for_each_factor(supports, mode, dtype, ridge, weighted, monkeypatch):
    if mode == "iterated":
        monkeypatch.setattr("fsmf.solvers.problem_sweep._DIRECT", 0)
        monkeypatch.setattr("fsmf.solvers.problem_sweep._ENOUGH", 1e-13)
    A, rng = gaussian(supports.shape, dtype), np.random.default_rng(1)
    W = np.sqrt(rng.random(A.shape) * (rng.random(A.shape) < 0.8)) if weighted else np.ones(A.shape)
    problem = problem_of(supports, A, ridge, W if weighted else None)
    values = problem.random(rng)
    found, squared_error = LeastSquares(problem).sweep(values)
    before, after = dense_factors(supports, values), dense_factors(supports, found)
    for i, support in enumerate(supports):
        # Every entry of the factor is a column of an ordinary least-squares problem.
        left, right = np.eye(A.shape[0]), np.eye(A.shape[1])
        for X in after[:i]:
            left = left @ X
        for X in reversed(before[i + 1 :]):
            right = X @ right
        columns = [(W * np.outer(left[:, a], right[b])).ravel() for a, b in np.argwhere(support.toarray())]
        design = np.concatenate([np.array(columns).T, math.sqrt(ridge) * np.eye(len(columns))])
        target = np.concatenate([(W * A).ravel(), np.zeros(len(columns))])
        best = np.zeros(support.shape, dtype)
        best[support.toarray()] = np.linalg.lstsq(design, target, rcond=None)[0]
        others = after[:i], before[i + 1 :]
        least = objective(A, [*others[0], best, *others[1]], ridge, W)
        assert objective(A, [*others[0], after[i], *others[1]], ridge, W) == pytest.approx(least, rel=1e-7)
        assert not ridge or np.allclose(after[i], best, atol=1e-6)
    assert squared_error == pytest.approx(objective(A, dense_factors(supports, found), roots=W), rel=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(0, 99), st.floats(0.2, 1))
def test_errors_never_rise_and_certificates_verify(sides, seed, density):
    supports = masks(*sides, density=density, seed=seed)
    A = gaussian(supports.shape, seed=seed)
    F = solve(A, supports, solver=ALS(starts=2, max_sweeps=30))
    assert (np.diff(F.history.error) <= 1e-9 * F.norm).all()
    assert F.lower_bound <= F.error <= F.norm * (1 + 1e-12)
    verification = F.verify(A)
    assert verification, str(verification)
    assert F.T.verify(A.T)
    assert (3 * F).verify(3 * A)


@every_product
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_products_of_any_length_are_solved(supports, dtype):
    A = gaussian(supports.shape, dtype)
    before = A.copy()
    F = solve(A, supports, solver=ALS(starts=2, max_sweeps=40))
    assert F.dtype == A.dtype
    assert F.error == pytest.approx(np.linalg.norm(A - F.to_dense()), rel=1e-3, abs=1e-4)
    assert F.verify(A), str(F.verify(A))
    assert np.array_equal(A, before)
    twin = solve(A, supports, solver=ALS(starts=2, max_sweeps=40))
    assert all((a == b).all() for a, b in zip(F.values, twin.values, strict=True))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_products_of_any_size_are_solved(scale):
    supports = PRODUCTS["three"]
    A = gaussian(supports.shape)
    F, G = (solve(B, supports, solver=ALS(starts=1, max_sweeps=20)) for B in (A, A * scale))
    assert G.relative_error == pytest.approx(F.relative_error, rel=0.05)
    assert G.verify(A * scale), str(G.verify(A * scale))


def test_the_ridge_has_its_unit():
    supports = PRODUCTS["three"]
    A, tenfold = gaussian(supports.shape), 10.0
    F = solve(A, supports, solver=ALS(ridge=0.1, rtol=1e-12))
    G = solve(tenfold * A, supports, solver=ALS(ridge=0.1 * tenfold ** (4 / 3), rtol=1e-12))
    assert G.error == pytest.approx(tenfold * F.error, rel=1e-5)
    assert F.status is Status.CONVERGED
    assert (tenfold * F).certificate.ridge == pytest.approx(G.certificate.ridge)
    assert F.verify(A)


@pytest.mark.parametrize("name", ["three", "kaleidoscope"])
def test_the_point_is_stationary(name):
    supports = PRODUCTS[name]
    A = gaussian(supports.shape)
    F = solve(A, supports, solver=ALS(starts=1, max_sweeps=3000, rtol=1e-11))
    factors = [factor.toarray() for factor in F.factors]
    rng, step = np.random.default_rng(0), 1e-5
    for _ in range(10):
        move = [
            step * rng.standard_normal(X.shape) * (S.toarray())
            for X, S in zip(factors, supports, strict=True)
        ]
        up, down = ([X + sign * D for X, D in zip(factors, move, strict=True)] for sign in (1, -1))
        slope = (objective(A, up) - objective(A, down)) / (2 * step)
        assert abs(slope) <= 1e-3 * F.norm**2


def test_a_planted_product_of_three_is_found():
    supports = masks(12, 10, 11, 12, density=0.3, seed=3)
    factors = [S.toarray() * gaussian(S.shape, seed=i) for i, S in enumerate(supports)]
    A = factors[0] @ factors[1] @ factors[2]
    assert solve(A, supports).relative_error < 1e-2


def test_a_start_from_the_answer_stays_there():
    chain = fsmf.kaleidoscope(16)
    planted = dense_factors(chain, [gaussian(S.nnz, seed=i) for i, S in enumerate(chain)])
    A = np.linalg.multi_dot(planted)
    F = solve(A, chain, solver=ALS(initial=planted, starts=1))
    assert F.relative_error < 1e-12
    assert F.status is Status.CONVERGED


@pytest.mark.parametrize("name", ["butterfly", "transposed"])
def test_what_half_of_a_kaleidoscope_makes_is_found_exactly(name):
    """The chainable half alone is one of the starts, the other half being identities."""
    half = fsmf.butterfly(16) if name == "butterfly" else fsmf.butterfly(16).T
    factors = dense_factors(half, [gaussian(S.nnz, seed=i) for i, S in enumerate(half)])
    A = np.linalg.multi_dot(factors)
    assert solve(A, fsmf.kaleidoscope(16)).relative_error < 1e-4


def test_chains_split_off_as_hierarchical_does():
    """On a chainable chain the start from the left is the hierarchical factorization, noise aside."""
    chain = fsmf.butterfly(16)
    A = gaussian((16, 16))
    problem = problem_of(fsmf.as_supports([S.toarray() for S in chain]), A)
    points = starting_points(problem, fsmf.analyze(chain), np.random.default_rng(0))
    best = fsmf.factorize(A, chain, solver=fsmf.Hierarchical(order="left-to-right"))
    assert any(
        math.sqrt(problem.squared(problem.residual(next(points)))) <= best.error * 1.01 for _ in range(4)
    )


def spoiled(F, **fields):
    twin = copy.copy(F)
    vars(twin).update(certificate=dataclasses.replace(F.certificate, **fields))
    return twin


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_a_spoiled_certificate_is_noticed(ridge):
    supports = masks(8, 3, 2, 8, density=0.9, seed=1)
    A = gaussian(supports.shape)
    F = solve(A, supports, solver=ALS(ridge=ridge, starts=1))
    certificate = F.certificate
    assert certificate.cut == 2
    assert F.verify(A)
    for name in ("error", "lower_bound", "out_of_reach", "gradient_norm", "ridge"):
        value = getattr(certificate, name)
        for wrong in (value + 0.01 * F.norm, -1.0, math.nan, math.inf):
            assert not spoiled(F, **{name: wrong}).verify(A), (name, wrong)
    for wrong in ({"cut": 1}, {"cut": 0}, {"cut": 3}, {"n_factors": 2}, {"n_factors": 4}):
        assert not spoiled(F, **wrong).verify(A), wrong
    empty = fsmf.DisjointBlocks.union([])
    assert not spoiled(F, blocks=empty).verify(A)
    assert not spoiled(F, blocks=empty, cut=0).verify(A)
    assert not F.verify(A + 0.01 * F.norm)


@pytest.mark.parametrize("name", ["thin", "three", "one"])
def test_the_bound_is_below_what_many_starts_find(name):
    supports = PRODUCTS[name]
    A = gaussian(supports.shape)
    F = solve(A, supports, solver=ALS(starts=10))
    reached = np.linalg.multi_dot([np.eye(supports.shape[0]), *(S.toarray().astype(float) for S in supports)])
    assert F.certificate.out_of_reach == pytest.approx(np.linalg.norm(A[reached == 0]))
    narrow = min(min(S.shape) for S in supports)
    assert F.lower_bound >= 0.9 * oracles.tail(A, narrow)


@pytest.mark.parametrize(
    ("initial", "error", "words"),
    [
        ((np.ones((6, 5)),), fsmf.errors.ShapeError, "3 factors"),
        (tuple(np.ones((2, 2)) for _ in range(3)), fsmf.errors.ShapeError, "shape"),
        (
            tuple(np.full(S.shape, np.nan) for S in PRODUCTS["three"]),
            fsmf.errors.OptionError,
            "finite",
        ),
        (tuple(1j * S.toarray() for S in PRODUCTS["three"]), fsmf.errors.OptionError, "real"),
    ],
)
def test_a_start_that_is_none_is_refused(initial, error, words):
    with pytest.raises(error, match=words):
        fsmf.factorize(np.eye(6), PRODUCTS["three"], solver=ALS(initial=initial))


def test_the_callback_sees_every_start_and_can_stop():
    seen = []
    F = solve(
        gaussian((6, 6)),
        PRODUCTS["three"],
        solver=ALS(callback=lambda sweep: seen.append(sweep) or len(seen) == 4),
    )
    assert [sweep.sweep for sweep in seen] == [0, 1, 2, 3]
    assert F.status is Status.STOPPED


def test_time_can_run_out():
    with pytest.warns(fsmf.errors.ConvergenceWarning, match="out of budget"):
        F = fsmf.factorize(gaussian((6, 6)), PRODUCTS["three"], solver=ALS(max_seconds=0))
    assert F.status is Status.OUT_OF_BUDGET
    assert F.verify(gaussian((6, 6)))


def test_files_keep_products(tmp_path):
    A = gaussian((6, 6))
    F = solve(A, PRODUCTS["three"])
    F.save(tmp_path / "f.npz")
    G = fsmf.load(tmp_path / "f.npz")
    assert G.certificate == F.certificate
    assert G.verify(A)


def test_zeros_raise_no_alarm():
    left = np.array([[True, False], [True, False]])
    supports = [left, np.array([[True, True, False], [True, True, True]]), np.ones((3, 4), bool)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fsmf.errors.ConvergenceWarning)
        F = fsmf.factorize(np.zeros((2, 4)), supports, solver=fsmf.ALS(starts=1, max_sweeps=15))
    assert F.error < 1e-12
    assert F.status is not fsmf.Status.FACTORS_GROW
