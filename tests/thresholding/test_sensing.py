"""Sparse solutions of linear equations: planted ones, all methods, all kinds of matrices."""

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

import fsmf
from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError

METHODS = ["niht", "iht", "aiht", "htp", "cosamp", "omp"]


def planted(seed, m=60, n=100, k=5, *, dtype=float):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) / np.sqrt(m)
    w = np.zeros(n, dtype)
    w[rng.choice(n, k, replace=False)] = rng.choice([-1.0, 1.0], k) * rng.uniform(1, 2, k)
    if dtype is complex:
        A = (A + 1j * rng.standard_normal((m, n)) / np.sqrt(m)) / np.sqrt(2)
        w = w * np.exp(1j * rng.uniform(0, 6, n))
    return A, w


def gated(seed, n, *, d=20, p=20, k=8):
    """Columns of one data matrix, each block seen through its own random gate: columns are much alike."""
    rng = np.random.default_rng([seed, n])
    X, H = rng.standard_normal((n, d)), rng.standard_normal((d, p))
    A = np.concatenate([(X @ H[:, [j]] >= 0) * X for j in range(p)], axis=1) / np.sqrt(n)
    w = np.zeros(d * p)
    w[rng.choice(d * p, k, replace=False)] = rng.standard_normal(k)
    return A, w


def hits(n, trials=10, **options):
    found = 0
    for seed in range(trials):
        A, w = gated(seed, n)
        x = fsmf.sparse_lstsq(A, A @ w, 8, max_iterations=300, **options).x
        found += np.linalg.norm(x - w) <= 1e-4 * np.linalg.norm(w)
    return found / trials


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("method", METHODS)
def test_planted_solutions_are_found(method, dtype):
    for seed in range(3):
        # The short step of plain hard thresholding makes many points fixed.
        A, w = planted(seed, m=90 if method == "iht" else 60, dtype=dtype)
        point = fsmf.sparse_lstsq(A, A @ w, 5, method=method, max_iterations=3000)
        np.testing.assert_allclose(point.x, w, atol=1e-9)
        assert point.value <= 1e-20
        assert point.stability.stable
        assert point.x.dtype == dtype


@pytest.mark.parametrize("method", METHODS)
def test_all_kinds_of_matrices_agree(method):
    A, w = planted(7)
    y = A @ w + 0.01 * np.random.default_rng(0).standard_normal(60)
    kinds = [A, sparse.csr_array(A), aslinearoperator(A)]
    points = [fsmf.sparse_lstsq(kind, y, 5, method=method) for kind in kinds]
    for point in points[1:]:
        np.testing.assert_allclose(point.x, points[0].x, atol=1e-8)
    assert points[0].value == pytest.approx(np.linalg.norm(A @ points[0].x - y) ** 2 / 2)


def test_it_is_least_squares_on_the_places():
    A, w = planted(1)
    y = A @ w + 0.1 * np.random.default_rng(0).standard_normal(60)
    for method in METHODS:
        x = fsmf.sparse_lstsq(A, y, 5, method=method, relax=2.0).x
        S = x != 0
        assert S.sum() == 5
        np.testing.assert_allclose(x[S], np.linalg.lstsq(A[:, S], y, rcond=None)[0], atol=1e-12)


def test_normalised_steps_descend():
    A, w = gated(0, 60)
    trace = fsmf.sparse_lstsq(A, A @ w, 8).trace
    assert (np.diff(trace.value) <= 1e-15).all()


def test_columns_that_are_alike_need_relaxing():
    """Published for such matrices: exact with room at n = 120, hopeless at n = 40, poor with short steps."""
    assert hits(120, relax=2.0) >= 0.9
    assert hits(40, relax=2.0) <= 0.2
    assert hits(160, method="iht") <= 0.5
    assert hits(120, method="omp", relax=2.0) >= 0.9


def test_constraints_of_other_kinds():
    A, _ = planted(0)
    w = np.zeros(100)
    w[[3, 40]] = 2.0, -1.0
    w[[60, 99]] = 1.5, 1.0
    constraint = fsmf.Joint([fsmf.KSparse(50, 2), fsmf.KSparse(50, 2)])
    for method in ("niht", "aiht", "htp"):
        point = fsmf.sparse_lstsq(A, A @ w, constraint, method=method)
        np.testing.assert_allclose(point.x, w, atol=1e-9)
    with pytest.raises(OptionError, match="takes a number of nonzeros"):
        fsmf.sparse_lstsq(A, A @ w, constraint, method="omp")


def test_zero_right_hand_side():
    for method in METHODS:
        point = fsmf.sparse_lstsq(np.eye(4), np.zeros(4), 2, method=method)
        assert not point.x.any()
        assert point.stability.stable


def test_spectrum_lies_within_that_of_all_sets():
    A = np.random.default_rng(0).standard_normal((10, 8))
    every = [np.linalg.eigvalsh(A[:, S].T @ A[:, S]) for S in map(list, itertools.combinations(range(8), 3))]
    low, high = fsmf.restricted_spectrum(A, 3, n_samples=500)
    assert low == pytest.approx(np.min(every))
    assert high == pytest.approx(np.max(every))
    few = fsmf.restricted_spectrum(aslinearoperator(A), 3, n_samples=3)
    assert low - 1e-12 <= few[0] <= few[1] <= high + 1e-12
    # More columns than rows are dependent.
    assert fsmf.restricted_spectrum(A.T, 9)[0] == pytest.approx(0, abs=1e-12)


def test_bad_input():
    A, y = np.eye(3), np.ones(3)
    for k in (0, -1, 4, 1.5):
        with pytest.raises(OptionError, match="k must"):
            fsmf.sparse_lstsq(A, y, k)
    with pytest.raises(OptionError, match="method"):
        fsmf.sparse_lstsq(A, y, 1, method="lasso")
    with pytest.raises(OptionError, match="relax"):
        fsmf.sparse_lstsq(A, y, 1, relax=0.5)
    with pytest.raises(ShapeError, match="y must have shape"):
        fsmf.sparse_lstsq(A, np.ones(2), 1)
    with pytest.raises(ShapeError, match="constraint must be"):
        fsmf.sparse_lstsq(A, y, fsmf.KSparse(4, 1))
    with pytest.raises(ShapeError, match="A must be a matrix"):
        fsmf.sparse_lstsq(y, y, 1)
    with pytest.raises(InputError, match="A must be finite"):
        fsmf.sparse_lstsq(np.diag([1, np.nan, 1]), y, 1)
    with pytest.raises(InputError, match="y must be finite"):
        fsmf.sparse_lstsq(A, [1, np.inf, 1], 1)
    with pytest.raises(InputTypeError, match="real or complex"):
        fsmf.sparse_lstsq(np.array([["a"]]), [1], 1)
    with pytest.raises(OptionError, match="k must be at most"):
        fsmf.restricted_spectrum(A, 4)
