"""Tractable pairs are solved: closed forms, brute force, and many descents that never do better."""

import numpy as np
import oracles
import pytest
from cases import BY_NAME, CEC_SLM, CEC_SLM_TARGET, CROSSING_BARS, PAIRS_EASY, any_supports, name_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fsmf

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
every_row = pytest.mark.parametrize("case", PAIRS_EASY, ids=name_of)


@every_row
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_error_is_the_closed_form(case, dtype):
    A = case.matrix(dtype, seed=1)
    F = fsmf.factorize(A, case.supports)
    wide = A.astype(np.result_type(dtype, np.float64))
    slack = float(50 * np.finfo(dtype).eps * F.norm)
    optimum = oracles.optimum(wide, case.supports)
    assert F.error == pytest.approx(optimum, abs=slack)
    assert F.lower_bound == pytest.approx(optimum, abs=slack)
    # What is promised is also what the factors do.
    product = F.X.toarray().astype(wide.dtype) @ F.Y.toarray().astype(wide.dtype)
    assert np.linalg.norm(wide - product) == pytest.approx(optimum, abs=slack)


@pytest.mark.parametrize("case", [c for c in PAIRS_EASY if c.matrix().size <= 50], ids=name_of)
def test_no_descent_does_better(case):
    A = case.matrix(seed=2)
    F = fsmf.factorize(A, case.supports)
    assert F.error <= oracles.best_of_starts(A, case.supports, starts=15) * (1 + 1e-9) + 1e-9


@settings(max_examples=150)
@given(any_supports(), st.integers(0, 99))
def test_any_tractable_pair_is_solved(supports, seed):
    assume(oracles.is_tractable(supports))
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    F = fsmf.factorize(A, supports)
    assert F.solver == "BlockSVD"
    assert F.error == pytest.approx(oracles.optimum(A, supports), rel=1e-9, abs=1e-12)
    assert F.error == F.lower_bound
    assert F.verify(A)


@settings(max_examples=25)
@given(any_supports(), st.integers(0, 99))
def test_no_descent_does_better_on_any_tractable_pair(supports, seed):
    assume(oracles.is_tractable(supports))
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    best = oracles.best_of_starts(A, supports, starts=10)
    assert fsmf.factorize(A, supports).error <= best * (1 + 1e-9) + 1e-9


@settings(max_examples=60)
@given(any_supports(), st.integers(0, 99))
def test_what_can_be_made_exactly_is(supports, seed):
    assume(oracles.is_tractable(supports))
    X, Y = oracles.random_product(supports, seed)
    F = fsmf.factorize(X @ Y, supports)
    assert F.error <= 1e-12 * (1 + F.norm)
    assert np.allclose(F.to_dense(), X @ Y)


def gaussian(m, n, dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n)) + 1j * rng.standard_normal((m, n))
    return (A if np.issubdtype(dtype, np.complexfloating) else A.real).astype(dtype)


@pytest.mark.parametrize(("m", "n", "rank"), [(6, 6, 2), (9, 4, 1), (3, 8, 3), (5, 5, 9)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_g1_full_supports_give_the_truncated_svd(m, n, rank, dtype):
    A = gaussian(m, n, dtype)
    U, s, Vh = np.linalg.svd(A.astype(np.result_type(dtype, np.float64)))
    k = min(rank, m, n)
    F = fsmf.factorize(A, fsmf.low_rank(m, n, rank=rank))
    assert np.allclose(F.to_dense(), (U[:, :k] * s[:k]) @ Vh[:k], atol=50 * np.finfo(dtype).eps * F.norm)
    # Balanced: both factors have the same singular values.
    for factor in (F.X, F.Y):
        own = np.linalg.svd(factor.toarray().astype(np.complex128), compute_uv=False)
        if rank < min(m, n):
            assert np.allclose(own[:k], np.sqrt(s[:k]), atol=1e-3 if np.finfo(dtype).eps > 1e-10 else 1e-10)


def test_g2_disjoint_blocks_give_the_sum_of_tails():
    supports = fsmf.block_diagonal(9, 7, blocks=3, rank=1)
    A = np.random.default_rng(0).standard_normal((9, 7))
    rows, columns = np.array_split(np.arange(9), 3), np.array_split(np.arange(7), 3)
    blocks = [A[np.ix_(i, j)] for i, j in zip(rows, columns, strict=True)]
    off = np.sum(A**2) - sum(np.sum(block**2) for block in blocks)
    expected = np.sqrt(off + sum(oracles.tail(block, 1) ** 2 for block in blocks))
    F = fsmf.factorize(A, supports)
    assert F.error == pytest.approx(expected, rel=1e-12)
    assert F.certificate.out_of_reach == pytest.approx(np.sqrt(off), rel=1e-12)


def test_g3_the_spurious_minimum_is_passed_by():
    F = fsmf.factorize(CEC_SLM_TARGET, CEC_SLM)
    assert F.error == pytest.approx(1)
    assert F.solver == "BlockSVD"


@pytest.mark.parametrize("seed", range(5))
def test_g9_crossing_bars_miss_only_the_far_corner(seed):
    A = np.random.default_rng(seed).standard_normal((2, 2))
    F = fsmf.factorize(A, CROSSING_BARS)
    assert F.error == pytest.approx(abs(A[1, 1]))
    A[1, 1] = 0
    assert fsmf.factorize(A, CROSSING_BARS).error == 0


def test_g20_surplus_members_stay_zero():
    A = np.random.default_rng(0).standard_normal((3, 5))
    F = fsmf.factorize(A, fsmf.low_rank(3, 5, rank=7))
    assert F.error <= 1e-14 * F.norm
    used = (np.abs(F.X.toarray()).max(axis=0) > 0) & (np.abs(F.Y.toarray()).max(axis=1) > 0)
    assert used.sum() == 3


def test_pooled_residuals_share_their_rank():
    """A class of one and a class of two, with the same residual, are a class of three there."""
    case = BY_NAME["pooled-residuals"]
    A = case.matrix()
    assert fsmf.factorize(A, case.supports).error == pytest.approx(oracles.tail(A[:, 1:], 3))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_matrix_of_low_rank_leaves_no_error(rank):
    rng = np.random.default_rng(rank)
    A = rng.standard_normal((8, rank)) @ rng.standard_normal((rank, 6))
    F = fsmf.factorize(A, fsmf.low_rank(8, 6, rank=3))
    assert F.error <= 1e-13 * max(F.norm, 1)
    assert np.isfinite(F.X.data).all()
    assert F.verify(A)


def test_equal_singular_values_are_no_obstacle():
    for A in (np.eye(6), np.ones((6, 6)), np.kron(np.eye(2), np.ones((3, 3)))):
        F = fsmf.factorize(A, fsmf.low_rank(6, rank=2))
        assert F.error == pytest.approx(oracles.tail(A, 2), abs=1e-12)
        assert F.verify(A)


def test_a_large_monarch_agrees_with_lapack():
    supports = fsmf.monarch(256, 128, blocks=16, rank=2)
    A = np.random.default_rng(0).standard_normal((256, 128))
    tails = [
        oracles.tail(A[delta::16, 8 * kappa : 8 * kappa + 8], 2) for delta in range(16) for kappa in range(16)
    ]
    F = fsmf.factorize(A, supports)
    assert F.error == pytest.approx(np.linalg.norm(tails), rel=1e-9)
    assert F.verify(A)
