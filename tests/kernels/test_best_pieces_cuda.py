"""Singular values by a CUDA kernel, and sums of squares: beside LAPACK, here or on a GPU."""

import numpy as np
import pytest
from chains import DTYPES, check_pieces, gaussian
from cupy_on_host import cupy  # noqa: F401

from fsmf.kernels import best_pieces_cuda, cuda
from fsmf.kernels.best_pieces import best_pieces
from fsmf.kernels.best_pieces_cuda import pieces_by_kernel
from fsmf.kernels.frobenius import frobenius_norm, frobenius_norms
from fsmf.kernels.kronecker_blocks import Blocks


def check(B, k, found):
    U, W, tails = (part.get() for part in found)
    check_pieces(B, k, U, W, tails, gram=50 * float(np.finfo(B.dtype).eps))
    overlaps = W @ W.conj().swapaxes(1, 2)
    sizes = np.linalg.norm(W, axis=2)
    assert (sizes[:, :-1] >= sizes[:, 1:] * (1 - 1e-5)).all()
    bound = 20 * float(np.finfo(B.dtype).eps) * np.linalg.norm(B, axis=(1, 2))[:, None, None] ** 2
    assert (abs(overlaps * (1 - np.eye(k))) <= bound + 1e-300).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "k"), [((5, 5, 9), 2), ((4, 9, 5), 5), ((4, 33, 34), 3), ((5, 1, 4), 1), ((5, 6, 1), 1)]
)
def test_pieces_are_the_best(shape, k, dtype, cupy):  # noqa: F811
    B = gaussian(shape, dtype, 1)
    B[0] = 0
    B[1, :, 1:] *= 1e-5  # nearly of rank one
    B[2] = np.eye(*shape[1:])  # all tied
    B[3] *= 1e-17
    check(B, k, pieces_by_kernel(cupy.asarray(B), k))


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_blocks_that_do_not_fit(dtype, monkeypatch, cupy):  # noqa: F811
    """They are worked on in memory, some at a time."""
    monkeypatch.setattr(cuda, "most_shared", lambda space: 1 << 10)
    B = gaussian((3, 12, 20), dtype, 2)
    monkeypatch.setattr(best_pieces_cuda, "_WORK", 2 * 12 * (21 + 13) * B.itemsize)
    check(B, 4, pieces_by_kernel(cupy.asarray(B), 4))


def test_what_is_not_finite_ends_and_is_told(cupy):  # noqa: F811
    B = gaussian((3, 6, 7), np.float32, 3)
    B[0, 2, 3], B[1, 0, 0] = np.nan, np.inf
    for blocks in (B, B.swapaxes(1, 2).copy()):
        tails = pieces_by_kernel(cupy.asarray(blocks), 2)[2].get()
        assert list(np.isfinite(tails)) == [False, False, True]


def test_a_large_matrix_is_for_a_library(cupy):  # noqa: F811
    assert pieces_by_kernel(cupy.asarray(np.zeros((1, 200, 200))), 3) is None
    assert pieces_by_kernel(cupy.asarray(np.zeros((0, 4, 4))), 3) is None


@pytest.mark.parametrize(("b", "r"), [(6, 2), (2, 3)])
def test_pieces_made_orthonormal(b, r, cupy):  # noqa: F811
    """The center of a chain moves by no decomposition of one piece at a time."""
    left, right = (1, b, 2 * r, 2), (2, 2 * r, 5, 1)
    cut = Blocks.of(left, right)
    X, Y = gaussian((1, b, 2, 2 * r), complex, 4), gaussian((2, 2 * r, 1, 5), complex, 5)
    Q, R = (part.get() for part in cut.shift_right(cupy.asarray(X), cupy.asarray(Y)))
    np.testing.assert_allclose(cut.multiply(Q, R), cut.multiply(X, Y), atol=1e-13)
    pieces = cut.left(Q)
    gram = pieces.conj().swapaxes(2, 3) @ pieces
    kept = np.arange(r) < min(b, r)
    np.testing.assert_allclose(gram, np.broadcast_to(np.diag(kept), gram.shape), atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_norms_in_one_reading(dtype, scale, cupy):  # noqa: F811
    room = gaussian((4103,), dtype, 6) * np.dtype(dtype).type(scale)
    there = cupy.asarray(room)
    for shift in (0, 1, 3):
        expected = np.linalg.norm(room[shift:].astype(complex) / scale) * scale
        assert abs(frobenius_norm(there[shift:]) / expected - 1) < 1e-12
    runs = [there[:5], there[7:4103], there[5:6].reshape(1, 1)]
    expected = [np.linalg.norm(run.get().astype(complex) / scale) * scale for run in runs]
    np.testing.assert_allclose(frobenius_norms(runs), expected, rtol=1e-12)
    assert frobenius_norm(cupy.asarray(room[:4100].reshape(10, 410).T)) > 0
    assert np.isnan(frobenius_norm(cupy.asarray(np.array([1, np.nan], dtype))))
    assert frobenius_norm(cupy.asarray(np.zeros((2, 3), dtype))) == 0
    assert frobenius_norms([cupy.asarray(np.zeros(3, dtype)), there[:2]])[0] == 0


def test_best_pieces_take_the_kernel(cupy):  # noqa: F811
    B = gaussian((3, 40, 36), np.float64, 7)
    check(B, 5, best_pieces(cupy.asarray(B), 5))
