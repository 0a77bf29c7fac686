"""The best pieces of a batch of blocks: against LAPACK block by block, on either path."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fsmf.errors import SupportError
from fsmf.kernels import truncated_svd as plain
from fsmf.kernels import truncated_svd_cpu as twin
from fsmf.kernels.truncated_svd import TruncatedSVD, truncated_svd

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def gaussian(rng, shape, dtype):
    X = rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        X = X + 1j * rng.standard_normal(shape)
    return X.astype(dtype)


def with_values(s, shape, rng, dtype=np.float64):
    """A matrix with the given singular values, in random position."""
    m = min(shape)
    U, V = (np.linalg.qr(gaussian(rng, (size, m), dtype))[0] for size in shape)
    return ((U * np.resize(s, m)) @ V.conj().T).astype(dtype)


def whole(*shape):
    """Rows and columns of the one block that is the whole matrix."""
    return tuple(np.arange(size)[None] for size in shape)


def monarch(n, p):
    """The blocks of an n × n Monarch matrix of p × p blocks: rows at a stride, columns in a run."""
    q = n // p
    alpha, delta = np.divmod(np.arange(n), q)
    return np.arange(p) * q + delta[:, None], alpha[:, None] * q + np.arange(q)


def check(svd, A, rows, columns, rank):
    """What the docstring promises, with A's own singular values as the judge."""
    A = A.toarray() if sparse.issparse(A) else A
    k = min(rank, rows.shape[1], columns.shape[1])
    eps = 200 * np.finfo(A.dtype).eps
    assert svd.U.dtype == svd.Vh.dtype == A.dtype
    assert svd.s.dtype == svd.tails.dtype == np.float64
    assert svd.U.shape == (len(rows), rows.shape[1], k)
    assert svd.s.shape == (len(rows), k)
    assert svd.Vh.shape == (len(rows), k, columns.shape[1])
    assert svd.tails.shape == (len(rows),)
    assert (svd.s >= 0).all()
    assert (np.diff(svd.s) <= 0).all()
    for t in range(len(rows)):
        B = A[np.ix_(rows[t], columns[t])].astype(np.result_type(A.dtype, np.float64))
        scale = max(abs(B).max(), np.finfo(float).tiny)  # squares of the entries may be out of range
        B, s, tail = B / scale, svd.s[t] / scale, svd.tails[t] / scale
        values = np.linalg.svd(B, compute_uv=False)
        best, rounding = np.linalg.norm(values[k:]), eps * values[0]
        assert np.allclose(svd.U[t].conj().T @ svd.U[t], np.eye(k), atol=eps, rtol=0)
        assert np.allclose(svd.Vh[t] @ svd.Vh[t].conj().T, np.eye(k), atol=eps, rtol=0)
        left = np.linalg.norm(B - (svd.U[t].astype(B.dtype) * s) @ svd.Vh[t])
        assert left == pytest.approx(tail, rel=1e-12, abs=rounding)
        assert best - rounding <= tail <= best * (1 + 1e-10) + rounding
        # Of nearly tied values, one may be taken for the next; what is lost is bounded by the tail.
        assert (abs(s**2 - values[:k] ** 2) <= 2e-10 * best**2 + 2 * s * rounding + rounding**2).all()


def by_twin(A, rows, columns, rank):
    """What the twin solves by itself, and which blocks those are."""
    k = min(rank, rows.shape[1], columns.shape[1])
    U, s, Vh, tails, solved = twin.truncated_svd(
        np.ascontiguousarray(A), np.ascontiguousarray(rows), np.ascontiguousarray(columns), k
    )
    return TruncatedSVD(U[solved], s[solved], Vh[solved], tails[solved]), solved


def check_twin(A, rows, columns, rank, at_least=1.0):
    svd, solved = by_twin(A, rows, columns, rank)
    assert solved.mean() >= at_least
    check(svd, A, rows[solved], columns[solved], rank)


@pytest.fixture
def always_compiled(monkeypatch):
    monkeypatch.setattr(plain, "_FEW", 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (12, 4), (1, 7), (8, 1), (40, 40)])
def test_scattered_blocks(shape, dtype):
    rng = np.random.default_rng(7)
    A = gaussian(rng, (60, 50), dtype)
    rows = np.stack([rng.permutation(60)[: shape[0]] for _ in range(5)])
    columns = np.stack([rng.permutation(50)[: shape[1]] for _ in range(5)])
    for rank in (1, 2, 3, 4, 100):
        check(truncated_svd(A, rows, columns, rank), A, rows, columns, rank)
        check_twin(A, rows, columns, rank)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_monarch_blocks_of_a_noisy_transform(rank, dtype):
    n = 256
    noise = gaussian(np.random.default_rng(0), (n, n), dtype)
    A = (scipy.linalg.hadamard(n) + 0.1 * noise).astype(dtype)
    check_twin(A, *monarch(n, 16), rank)


def test_the_launcher_uses_the_twin_for_much_work_only(monkeypatch):
    used = []
    monkeypatch.setattr(plain, "_twin", lambda: used.append(True))
    A = np.random.default_rng(0).standard_normal((1024, 1024))
    truncated_svd(A, *monarch(64, 8), 1)
    assert not used
    truncated_svd(A, *(index[:400] for index in monarch(1024, 32)), 1)
    assert used


@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("shape", [(30, 30), (16, 40), (40, 16)])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.complex64])
def test_every_layout_gives_the_same(shape, rank, dtype):
    rng = np.random.default_rng(3)
    A = gaussian(rng, (80, 90), dtype)
    A[abs(A) < 1] = 0
    rows = np.stack([rng.permutation(80)[: shape[0]] for _ in range(4)])
    columns = np.arange(shape[1]) + np.array([[0], [5], [20], [50]])
    spread = np.zeros((160, 270), dtype)
    spread[::-2, ::3] = A
    frozen = A.copy()
    frozen.flags.writeable = False
    for given_A in (A, np.asfortranarray(A), spread[::-2, ::3], frozen, sparse.csr_array(A)):
        before = given_A.copy()
        svd = truncated_svd(given_A, rows, columns.astype(np.int32), rank)
        check(svd, A, rows, columns, rank)
        assert abs(given_A - before).max() == 0


HARD = {
    "zero": np.zeros((6, 9)),
    "ones": np.ones((32, 47)),
    "identity": np.eye(8),
    "Hadamard": scipy.linalg.hadamard(16).astype(float),
    "Fourier": scipy.linalg.dft(12),
    "the largest row misleads": np.array([[5.0, 0.0], [0.0, 4.0], [0.0, 4.0]]),
    "pairs of equal values": np.diag([3.0, 3.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0]),
    "one more of the largest": np.diag([5.0, 5.0] + [4.9] * 20),
    "rank one and a zero row": np.outer([1.0, 0.0, -1.0, 2.0], [1.0, 1.0, 0.0]),
    "one entry": np.outer([0.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0]),
    "powers": np.vander(np.linspace(0, 1, 12)),
    "Hilbert": scipy.linalg.hilbert(20),
    "huge": 1e300 * np.random.default_rng(0).standard_normal((9, 7)),
    "tiny": 1e-300 * np.random.default_rng(0).standard_normal((7, 9)),
    "graded": np.diag(10.0 ** -np.arange(0, 160, 20)),
    "1 × 1": np.array([[-3.0]]),
}


@pytest.mark.parametrize("rank", [1, 2, 3, 8])
@pytest.mark.parametrize("name", HARD)
def test_hard_blocks(name, rank, always_compiled):
    B = HARD[name]
    check(truncated_svd(B, *whole(*B.shape), rank), B, *whole(*B.shape), rank)
    check_twin(B, *whole(*B.shape), rank, at_least=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_exact_piece_leaves_rounding(dtype):
    rng = np.random.default_rng(0)
    B = with_values([7, 5, 3, *[0] * 20], (20, 30), rng, dtype)
    eps = float(np.finfo(dtype).eps)
    svd, solved = by_twin(B, *whole(20, 30), 3)
    assert solved.all()
    assert svd.tails[0] <= 20 * eps * 7
    assert by_twin(B, *whole(20, 30), 2)[0].tails[0] == pytest.approx(3, rel=20 * eps)


def test_a_small_tail_is_accurate_relative_to_itself():
    B = np.diag([1.0, 1e-3, 3e-9, 4e-9])
    svd, solved = by_twin(B, *whole(4, 4), 2)
    assert solved.all()
    assert svd.tails[0] == pytest.approx(5e-9, rel=1e-6)


def test_an_equal_value_that_one_start_cannot_see_is_not_missed(always_compiled):
    B = np.diag([5.0, 5.0, 3.0, 1.0, 1.0, 1.0])
    assert not by_twin(B, *whole(6, 6), 2)[1].any()
    assert truncated_svd(B, *whole(6, 6), 2).s.tolist() == [[pytest.approx(5), pytest.approx(5)]]


def test_nearly_tied_values_need_no_second_opinion():
    rng = np.random.default_rng(0)
    B = np.linalg.qr(rng.standard_normal((48, 48)))[0] + 1e-6 * rng.standard_normal((48, 48))
    check_twin(B, *whole(48, 48), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_twin_hands_back_what_is_not_finite(value):
    A = np.ones((4, 8))
    A[1, 6] = value
    rows, columns = np.array([[0, 1, 2, 3]] * 2), np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    assert by_twin(A, rows, columns, 1)[1].tolist() == [True, False]


def test_many_chunks(monkeypatch, always_compiled):
    monkeypatch.setattr(plain, "_CHUNK", 1 << 12)
    A = np.random.default_rng(0).standard_normal((64, 128))
    rows, columns = monarch(64, 8)
    check(truncated_svd(A[:, ::2], rows, columns, 2), A[:, ::2], rows, columns, 2)
    monkeypatch.setattr(plain, "_twin", lambda: None)
    check(truncated_svd(A, rows, columns, 2), A, rows, columns, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["random", "exact", "zero", "tied", "huge"])
def test_a_sparse_block_too_large_to_lay_out(kind, dtype, monkeypatch):
    monkeypatch.setattr(plain, "_CHUNK", 1 << 12)
    rng = np.random.default_rng(0)
    A = gaussian(rng, (90, 80), dtype) * (rng.random((90, 80)) < 0.1)
    if kind == "exact":
        A[:, 3:] = 0
    elif kind == "zero":
        A[:] = 0
    elif kind == "tied":
        A = np.eye(90, 80, dtype=dtype)
    elif kind == "huge":
        A *= np.finfo(dtype).max / 100
    rows, columns = rng.permutation(90)[None], rng.permutation(80)[None]
    check(truncated_svd(sparse.csr_array(A.astype(dtype)), rows, columns, 3), A, rows, columns, 3)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_nothing_to_do(shape):
    n_blocks, b, c = shape
    svd = truncated_svd(np.ones((5, 5)), np.zeros((n_blocks, b), int), np.zeros((n_blocks, c), int), 2)
    k = min(2, b, c)
    assert [x.shape for x in svd] == [(n_blocks, b, k), (n_blocks, k), (n_blocks, k, c), (n_blocks,)]
    assert not svd.tails.any()


@pytest.mark.parametrize(
    ("rows", "columns", "message"), [([[5]], [[0]], "rows from 0 to 4"), ([[0]], [[-1]], "columns")]
)
def test_indices_outside_are_refused(rows, columns, message):
    with pytest.raises(SupportError, match=message):
        truncated_svd(np.ones((5, 5)), np.array(rows), np.array(columns), 1)


@st.composite
def blocks(draw):
    """A block with singular values that decay, repeat, or vanish, in random position."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    s = draw(
        st.lists(st.sampled_from([0, 1e-12, 1e-6, 1e-3, 0.5, 0.9, 1 - 1e-6, 1, 3]), min_size=1, max_size=30)
    )
    noise = draw(st.sampled_from([0, 0, 1e-10, 1e-3, 1]))
    dtype = draw(st.sampled_from(DTYPES))
    return with_values(s, shape, rng, dtype) + dtype(noise) * gaussian(rng, shape, dtype)


@given(blocks(), st.integers(1, 5))
def test_the_twin_is_right_where_it_says_so(B, rank):
    check_twin(B, *whole(*B.shape), rank, at_least=0)
