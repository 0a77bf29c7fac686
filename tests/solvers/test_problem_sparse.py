"""The sparse twin of a pair's problem: it equals the dense one, and stays small where that does not."""

import dataclasses
import logging
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from cases import CASES, PAIRS_HARD, any_supports, name_of, solve
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import in_turn
from scipy import sparse

import fsmf
from fsmf.errors import OptionError, ShapeError
from fsmf.kernels import masked_lstsq_cpu
from fsmf.solvers import problem_sparse
from fsmf.solvers.problem import PairProblem
from fsmf.solvers.problem_sparse import SparsePairProblem, problem_of, sweep_cost

KINDS = ["real", "complex", "real-sparse", "complex-sparse"]


def matrix(rng, shape, kind):
    A = rng.standard_normal(shape)
    if kind.startswith("complex"):
        A = A + 1j * rng.standard_normal(shape)
    return sparse.csr_array(np.where(rng.random(shape) < 0.3, A, 0)) if kind.endswith("sparse") else A


def ragged(rng, m=23, n=19, r=12):
    """Supports with classes of two, nested and dead components, empty rows, and one that is everywhere."""
    left, right = rng.random((m, r)) < 0.4, rng.random((r, n)) < 0.4
    left[:, 3], right[5], left[4], right[:, 6] = False, False, False, False
    left[:, 2], right[2] = True, True
    left[:, 8], right[8] = left[:, 7], right[7]
    left[:, 10], right[9] = left[:, 9] & left[:, 10], right[9] & right[10]
    return [left, right]


def twins(supports, A, *, ridge=0.0, exponent=0):
    """For each part, the dense problem and the sparse one."""
    for part in fsmf.analyze(supports).parts:
        yield tuple(
            of(A, part, ridge=ridge, exponent=exponent) for of in (PairProblem.of, SparsePairProblem.of)
        )


def pick(seed, kind):
    rng = np.random.default_rng(seed)
    supports = ragged(rng)
    return rng, supports, matrix(rng, (23, 19), kind)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_sparse_arithmetic_equals_dense(seed, kind, ridge):
    rng, supports, A = pick(seed, kind)
    for dense, thin in twins(supports, A, ridge=ridge, exponent=1):
        assert thin.ridge == dense.ridge
        assert thin.norm == pytest.approx(dense.norm, rel=1e-14)
        assert thin.eps == dense.eps
        X, Y = dense.random(np.random.default_rng(seed))
        for mine, theirs in zip(thin.random(np.random.default_rng(seed)), dense.values(X, Y), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-14)
        X = dense.solve_left(Y)
        np.testing.assert_allclose(
            thin.solve_left(dense.values(X, Y)[1]), dense.values(X, Y)[0], rtol=1e-10, atol=1e-12
        )
        Y, squared_error = dense.solve_right(X)
        y, thin_squared_error = thin.solve_right(dense.values(X, Y)[0])
        np.testing.assert_allclose(y, dense.values(X, Y)[1], rtol=1e-9, atol=1e-11)
        assert thin_squared_error == pytest.approx(squared_error, rel=1e-10)
        assert thin_squared_error == pytest.approx(dense.squared_error(X, Y), rel=1e-10)
        Y += 0.1 * dense.random(rng)[1]
        x, y = dense.values(X, Y)
        for question in ("squared_error", "gradient_norm", "balanced_norm", "penalty"):
            expected = pytest.approx(getattr(dense, question)(X, Y), rel=1e-12)
            assert getattr(thin, question)(x, y) == expected, question


@pytest.mark.parametrize("kind", KINDS)
def test_ill_conditioned_rows_get_the_solution_of_least_norm(kind):
    rng, supports, A = pick(5, kind)
    for dense, thin in twins(supports, A):
        _, Y = dense.random(rng)
        twin, partner = (np.flatnonzero(dense.part.members == k) for k in (7, 8))
        if len(twin):  # the same rows of X use both
            Y[partner] = (2 + 1e-9) * Y[twin]
            Y[0] = 0
            X = dense.solve_left(Y)
            x, y = dense.values(X, Y)
            np.testing.assert_allclose(thin.solve_left(y), x, rtol=1e-6, atol=1e-8)
            X[:, partner] = X[:, twin]
            Y, squared_error = dense.solve_right(X)
            y, thin_squared_error = thin.solve_right(dense.values(X, Y)[0])
            np.testing.assert_allclose(y, dense.values(X, Y)[1], rtol=1e-6, atol=1e-8)
            assert thin_squared_error == pytest.approx(squared_error, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_settling_keeps_the_product_and_finds_the_norm_that_the_dense_twin_finds(kind):
    _, supports, A = pick(1, kind)
    for dense, thin in twins(supports, A):
        X, Y = dense.random(np.random.default_rng(0))
        X[:, 0] *= 100
        x, y = dense.values(X, Y)
        p, q = thin.settled(x, y)
        for mine, theirs in zip((p, q), dense.values(*dense.settled(X, Y)), strict=True):
            np.testing.assert_allclose(np.abs(mine), np.abs(theirs), rtol=1e-6, atol=1e-9)
        assert thin.squared_error(p, q) == pytest.approx(dense.squared_error(X, Y), rel=1e-10)
        thin.balance(x, y, ahead := y.copy())
        np.testing.assert_allclose(ahead, y)
        dense.balance(X, Y)
        for mine, theirs in zip((x, y), dense.values(X, Y), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_start_is_that_of_the_dense_twin(kind, monkeypatch):
    _, supports, A = pick(2, kind)
    for dense, thin in twins(supports, A):
        X, Y, _ = dataclasses.replace(dense, compiled=True).spectral(np.random.default_rng(0))
        for mine, theirs in zip(thin.spectral(np.random.default_rng(0))[:2], dense.values(X, Y), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)
        start = dense.squared_error(X, Y)
        # Rectangles too large to be laid out, some rows at a time; the worse they overlap the rougher.
        monkeypatch.setattr(problem_sparse, "_LAID_OUT", 40)
        large = thin.squared_error(*thin.spectral(np.random.default_rng(0))[:2])
        assert large == pytest.approx(start, rel=0.15)
        monkeypatch.setattr(problem_sparse, "_DEFLATION", 0.0)
        rough = thin.spectral(np.random.default_rng(0))[1]
        assert thin.squared_error(thin.solve_left(rough), rough) < dense.norm**2
        monkeypatch.undo()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_zero_out_of_reach(kind):
    rng, supports, A = pick(3, kind)
    for dense, thin in twins(supports, A):
        rows, columns = (np.flatnonzero(rng.random(side) < 0.5) for side in dense.A.shape)
        np.testing.assert_array_equal(thin.block(rows, columns), dense.block(rows, columns))


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_is_cut_to_part_and_support(kind):
    rng, supports, A = pick(4, kind)
    given_ = [rng.standard_normal(support.shape) for support in supports]
    sparsely = [sparse.coo_array(np.where(rng.random(X.shape) < 0.5, X, 0)) for X in given_]
    F = solve(A, supports, solver=fsmf.ALS(starts=1, rtol=1e-2))
    for dense, thin in twins(supports, A, exponent=3):
        for initial in (given_, tuple(sparsely), [sparsely[0], given_[1]], [0 * sparsely[0], given_[1]], F):
            expected = dense.values(*dense.warm(initial, A.shape))
            for mine, theirs in zip(thin.warm(initial, A.shape), expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        with pytest.raises(ShapeError, match="as they multiply"):
            thin.warm(given_[::-1], A.shape)
        with pytest.raises(OptionError, match="finite"):
            thin.warm((given_[0] + np.inf, given_[1]), A.shape)


def test_a_gram_matrix_of_wide_components_is_only_a_short_cut(monkeypatch):
    rng, supports, A = pick(6, "complex")
    for dense, thin in twins(supports, A):
        _, Y = dense.random(rng)
        X = dense.solve_left(Y)
        for limit in (1, 8 * 12 * 3, 1 << 20):  # the widest alone, some, all that are likely to meet
            monkeypatch.setattr(masked_lstsq_cpu, "_GRAM", limit)
            thin.rows.__dict__.pop("_wide", None)
            x, y = dense.values(X, Y)
            np.testing.assert_allclose(thin.solve_left(y), x, rtol=1e-10, atol=1e-12)


def test_layout_of_memory_makes_no_difference():
    _, supports, A = pick(7, "complex")
    wide = np.zeros((46, 57), dtype=A.dtype)
    wide[::2, ::3] = A
    part = fsmf.analyze(supports).parts[-1]
    results = []
    for B in (A, np.asfortranarray(A), wide[::2, ::3], A[::-1, ::-1].copy()[::-1, ::-1]):
        thin = SparsePairProblem.of(B, part, ridge=0.0, exponent=0)
        X, Y = thin.random(np.random.default_rng(0))
        results.append((thin.solve_left(Y), *thin.solve_right(X), thin.squared_error(X, Y)))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_is_worked_on_in_double(dtype):
    _, supports, A = pick(8, "complex")
    A = A.astype(dtype) if dtype == "complex64" else A.real.astype(dtype)
    for B in (A, sparse.csr_array(A)):
        for dense, thin in twins(supports, B):
            X, Y, _ = dense.spectral(np.random.default_rng(0))
            X = dense.solve_left(Y)
            x, y = dense.values(X, Y)
            np.testing.assert_allclose(thin.solve_left(y), x, rtol=1e-9, atol=1e-11)
            single = x.astype(dtype), y.astype(dtype)
            expected = dense.squared_error(X.astype(dtype), Y.astype(dtype))
            assert thin.squared_error(*single) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def always_sparse(monkeypatch):
    monkeypatch.setattr(problem_sparse, "_MAX_BYTES", -1.0)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_sparse_als_reaches_what_dense_als_reaches(case, always_sparse, monkeypatch):
    A, solver = case.matrix(), fsmf.ALS(starts=2, max_sweeps=100)
    F = solve(A, case.supports, solver=solver)
    monkeypatch.undo()
    G = solve(A, case.supports, solver=solver)
    assert F.verify(A), F.verify(A)
    assert F.error == pytest.approx(G.error, rel=1e-3, abs=1e-6 * G.norm)
    assert F.lower_bound == pytest.approx(G.lower_bound, rel=1e-9, abs=1e-9 * G.norm)
    assert F.certificate.blocks == G.certificate.blocks


@pytest.mark.parametrize(("case", "kind"), in_turn(PAIRS_HARD, KINDS, 2))
def test_sparse_als_with_every_option_verifies(case, kind, always_sparse):
    A = matrix(np.random.default_rng(0), fsmf.as_supports(case.supports).shape, kind)
    solver = fsmf.ALS(starts=1, max_sweeps=20, ridge=0.1)
    F = solve(A, case.supports, solver=solver)
    assert F.verify(A), F.verify(A)
    again = solve(A, case.supports, solver=dataclasses.replace(solver, initial=F))
    assert again.verify(A), again.verify(A)
    assert again.history.factor_norm[0] == pytest.approx(F.history.factor_norm[-1], rel=0.05)
    if kind == "complex-sparse":
        for x, y in zip(F.factors, solve(A, case.supports, solver=solver).factors, strict=True):
            np.testing.assert_array_equal(x.data, y.data)


@settings(max_examples=60)
@given(any_supports(max_side=6, max_components=5), st.integers(0, 9))
def test_any_pair_is_solved_sparsely(supports, seed):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    for dense, thin in twins(supports, A):
        X, Y, _ = dense.spectral(np.random.default_rng(seed))
        for _ in range(3):
            x, y = dense.values(X, Y)
            assert thin.squared_error(x, y) == pytest.approx(dense.squared_error(X, Y), abs=1e-12)
            X = dense.solve_left(Y)
            mine = thin.solve_left(y)
            # Where the solution is not unique to working precision the product is.
            expected = pytest.approx(dense.squared_error(X, Y), abs=1e-9 * (1 + dense.norm**2))
            assert thin.squared_error(mine, y) == expected
            Y = dense.solve_right(X)[0]


def scattered(size, per_component, seed=0):
    """As many components as rows and columns, each with so many random rows and columns."""
    rng = np.random.default_rng(seed)
    pattern = [np.sort(rng.choice(size, per_component, replace=False)) for _ in range(2 * size)]
    where, which = np.concatenate(pattern), np.repeat(np.arange(size), per_component)
    half = size * per_component
    return fsmf.as_supports([((where[:half], which), (size, size)), ((which, where[half:]), (size, size))])


def test_what_is_set_up_is_what_was_predicted():
    small, large = fsmf.analyze(fsmf.lu(20)), fsmf.analyze(scattered(1200, 12))
    for structure, expected in ((small, PairProblem), (large, SparsePairProblem)):
        part = max(structure.parts, key=lambda part: len(part.members))
        m, n = structure.shape
        for A in (np.ones((m, n)), sparse.eye_array(m, n, format="csr")):
            assert type(problem_of(A, part, ridge=0.0, exponent=0)) is expected
    flops, nbytes = sweep_cost(large)
    assert nbytes < 1e9
    assert flops < 1e9
    assert "GB" not in str(fsmf.ALS().predict(large))
    # Too much memory for a dense problem, whatever the operations.
    assert sweep_cost(fsmf.analyze(fsmf.low_rank(20_000, rank=3)))[1] < 2e9


def test_without_numba_the_problem_is_dense(monkeypatch, caplog):
    (part,) = fsmf.analyze(scattered(1200, 12)).parts
    problem_sparse._has_numba.cache_clear()
    monkeypatch.setitem(sys.modules, "fsmf.kernels.deflation_sparse_cpu", None)
    monkeypatch.delattr("fsmf.kernels.deflation_sparse_cpu", raising=False)
    try:
        with caplog.at_level(logging.WARNING):
            assert type(problem_of(np.ones((1200, 1200)), part, ridge=0.0, exponent=0)) is PairProblem
        assert "dense arithmetic" in caplog.text
    finally:
        problem_sparse._has_numba.cache_clear()


def test_two_thousand_components_take_little_memory():
    size = 2000
    supports, rng = scattered(size, 20), np.random.default_rng(0)
    A = sparse.random_array((size, size), density=0.05, rng=rng, format="csr")
    solver = fsmf.ALS(starts=1, max_sweeps=10)
    small = scattered(1200, 12)
    solve(A[:1200, :1200], small, solver=solver)  # compiles what is not compiled yet
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fsmf.errors.ConvergenceWarning)
            F = fsmf.factorize(A, supports, solver=solver)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    dense = 8 * (3 * size**2 + 6 * 2 * size * size + 2 * size**2)
    assert peak < dense / 4
    assert F.verify(A), F.verify(A)
    assert (np.diff(F.history.error) <= 0).all()
    assert F.history.error[-1] < 0.98 * F.norm
