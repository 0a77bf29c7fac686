"""The CUDA kernel that splits blocks, run beside LAPACK, here or on a GPU."""

import numpy as np
import pytest
from chains import DTYPES, gaussian
from emulator import THERE, emulator, on_device, on_host  # noqa: F401

from fsmf.kernels import kronecker_split_cuda as kernel
from fsmf.kernels.kronecker_blocks import Blocks

CUTS = {
    "one block": Blocks(1, 17, 20, 1, 1, 1, 1),
    "square": Blocks(1, 16, 16, 1, 3, 2, 1),
    "everything": Blocks(2, 16, 19, 2, 2, 1, 2),
    "rank five": Blocks(1, 18, 33, 2, 1, 1, 5),
}

pytestmark = pytest.mark.usefixtures("emulator")


@pytest.fixture(autouse=True)
def few_threads(monkeypatch):
    monkeypatch.setattr(kernel, "_THREADS", 32)
    monkeypatch.setattr(kernel, "space_of", lambda V: THERE)


def values(cut, dtype, decay):
    """Values whose blocks have singular values that fall by a factor, from one to the next."""
    n, (b, c) = cut.a * cut.k * cut.l * cut.d, (cut.b, cut.c)
    s = decay ** np.arange(min(b, c))
    kind = complex if np.dtype(dtype).kind == "c" else float
    U, V = (np.linalg.qr(gaussian((n, side, min(b, c)), kind, side))[0] for side in (b, c))
    blocks = (U * s) @ V.conj().swapaxes(1, 2)
    return cut.from_whole(blocks.reshape(cut.a * cut.k, cut.l * cut.d, b, c)).astype(dtype)


def check(cut, V, X, Y, tails, slack):
    """The best there are, by LAPACK; and what the factors say of themselves."""
    r = cut.r
    whole = cut.whole(V.astype(np.result_type(V.dtype, float)))
    s = np.linalg.svd(whole, compute_uv=False)
    norm = np.linalg.norm(s, axis=-1)
    best = np.linalg.norm(s[..., r:], axis=-1)
    assert not np.isnan(X).any()
    assert not np.isnan(Y).any()
    U, W = cut.left(X), cut.right(Y)
    np.testing.assert_allclose(tails, np.linalg.norm(whole - U @ W, axis=(2, 3)), atol=slack * norm.max())
    excess = tails**2 - best**2
    rounding = slack * norm * (best + slack * norm)
    assert (excess <= (1e-4 if slack > 1e-9 else 1e-8) * best**2 + rounding).all()
    gram = U.conj().swapaxes(2, 3) @ U
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(r), gram.shape), atol=slack)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CUTS)
def test_blocks_with_a_gap(name, dtype, emulator):  # noqa: F811
    cut = CUTS[name]
    V = values(cut, dtype, 0.3)
    emulator.launched.clear()
    found = kernel.split_by_kernel(on_device(V), cut)
    assert [launch[0].name for launch in emulator.launched] == ["kronecker_split"] or not emulator.launched
    check(cut, V, *map(on_host, found), slack=100 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_blocks_without_a_gap_of_low_rank_and_zero(dtype, monkeypatch, emulator):  # noqa: F811
    cut = CUTS["everything"]
    monkeypatch.setattr(kernel, "_STEPS", 12)
    V = cut.whole(values(cut, dtype, 0.9)).copy()
    n_left, n_right, b, c = V.shape
    V[0, 0] = 0
    V[0, 1] = np.outer(V[0, 1, :, 0], V[0, 1, 0])
    V[1, 0] = np.eye(b, c)
    V[1, 1] = 1e-6 * V[2, 0] + np.outer(V[2, 0, :, 0], V[2, 0, 0])
    asked = []
    plain = kernel.best_pieces
    monkeypatch.setattr(kernel, "best_pieces", lambda B, rank: asked.append(len(B)) or plain(B, rank))
    V = cut.from_whole(V)
    found = kernel.split_by_kernel(on_device(V), cut)
    check(cut, V, *map(on_host, found), slack=100 * float(np.finfo(dtype).eps))
    assert len(asked) == 1
    assert 2 <= asked[0] < n_left * n_right  # the kernel says which it did not solve, and only those


def test_what_does_not_pay_is_left_to_others(monkeypatch):
    for cut in (
        Blocks(1, 2, 64, 1, 1, 1, 1),
        Blocks(1, 64, 64, 1, 1, 1, 9),
        Blocks(1, 16, 16, 1, 1, 1, 8 + 1),
    ):
        assert kernel.split_by_kernel(np.zeros((1, cut.b, 1, cut.c)), cut) is None
    huge = Blocks(1, 400, 400, 1, 1, 1, 1)
    assert kernel.split_by_kernel(np.zeros((1, 400, 1, 400)), huge) is None
