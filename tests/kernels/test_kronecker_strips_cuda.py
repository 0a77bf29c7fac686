"""Interfaces split some at a time by a CUDA kernel: beside the split in host memory, here or on a GPU."""

import math

import numpy as np
import pytest
from chains import DTYPES, gaussian
from cupy_on_host import RawModule, cupy, moved  # noqa: F401
from devices import ON_GPU

import fsmf
from fsmf.kernels import cuda
from fsmf.kernels import kronecker_strips_cuda as strips
from fsmf.kernels.kronecker_split import Interface, begin_split_left, split_left


def dyadic(n):
    L = n.bit_length() - 1
    return [(2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L)]


CHAINS = {
    "dyadic": dyadic(32),
    "thirds": [(1, 3, 3, 9), (3, 3, 3, 3), (9, 3, 3, 1)],
    "sides": [(1, 2, 4, 16), (4, 4, 2, 4), (8, 4, 3, 1)],
    "pieces": [(1, 4, 3, 4), (3, 2, 3, 2), (9, 2, 3, 1)],
    "groups": [(3, 2, 2, 4), (6, 2, 2, 2), (12, 2, 1, 1)],
    "neighbours": [(1, 2, 2, 12), (2, 2, 2, 6), (4, 2, 5, 3)],
}


def values_on(A, chain):
    """The values on the product pattern, where they are on the host."""
    (a, *_), (last, _, c, D) = chain[0], chain[-1]
    shape = A.shape[0] // (a * D), D, last * c // a
    return np.einsum("abdacd->abdc", A.reshape(a, shape[0], D, a, shape[2], D))


def check(found, A, chain):
    """What each block loses is the least, level by level: those of the host's, which another test checks."""
    expected = split_left(A, chain)
    eps = float(np.finfo(A.dtype).eps)
    near = {"rtol": 5e-6 if eps > 1e-9 else 5e-10, "atol": 20 * eps * expected.norm}  # of the host's promise
    for own, other in zip(found.tails, expected.tails, strict=True):
        np.testing.assert_allclose(own.get(), other, **near)
    np.testing.assert_allclose(found.losses, expected.losses, **near)
    assert abs(found.norm - expected.norm) <= 20 * eps * expected.norm
    F, G = (
        fsmf.Product(fsmf.Architecture(chain), [host(V) for V in one.values]) for one in (found, expected)
    )
    assert abs(np.linalg.norm(A - F.to_dense()) - np.linalg.norm(A - G.to_dense())) <= 1e-5 * expected.norm
    for (a, b, c, d), X in zip(chain[:-1], found.values, strict=False):
        norms = np.linalg.norm(X.get(), axis=1)
        np.testing.assert_allclose(norms, np.ones((a, d, c)), rtol=20 * eps, err_msg=f"{b} rows")


def host(V):
    return V if isinstance(V, np.ndarray) else V.get()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHAINS)
def test_chains_as_in_host_memory(name, dtype, cupy):  # noqa: F811
    chain = CHAINS[name]
    A = gaussian(fsmf.Architecture(chain).shape, dtype, 1)
    A[: len(A) // 2, :3] = 0
    check(begin_split_left(cupy.asarray(values_on(A, chain)), chain)(), A, chain)


@pytest.mark.parametrize(("most", "launches"), [(300, 4), (1 << 10, 2), (9 << 10, 1)])
@pytest.mark.parametrize("shift", [0, 1])
def test_shared_memory_of_any_size(most, launches, shift, monkeypatch, cupy):  # noqa: F811
    """Strips that do not fit are read again; and values that begin anywhere."""
    monkeypatch.setattr(cuda, "most_shared", lambda space: most)
    monkeypatch.setattr(strips, "_SHARED", most)
    monkeypatch.setattr(strips, "_SHARING", 32)
    monkeypatch.setattr(strips, "_ALONE", 64)
    chain = dyadic(64)
    A = gaussian((64, 64), np.float32, 2)
    room = cupy.asarray(np.zeros(64 * 64 + 4, np.float32))
    room[shift : shift + A.size] = cupy.asarray(A).reshape(-1)
    if not ON_GPU:
        RawModule.emulator.launched.clear()
    check(begin_split_left(room[shift : shift + A.size].reshape(1, 64, 1, 64), chain)(), A, chain)
    if not ON_GPU:
        names = [launch[0].name for launch in RawModule.emulator.launched]
        assert names.count("kronecker_strips") == launches


@pytest.mark.parametrize(
    ("n", "levels"), [(1024, [6, 3]), (8192, [2, 5, 5]), (16384, [2, 4, 7]), (32768, [1, 2, 4, 7])]
)
def test_how_many_fit_on_a_large_device(n, levels):
    """Two interfaces at once, of single precision on Hopper, where all strips are kept."""
    cuts = [Interface(2**i, 2, n >> (i + 1), 2, n >> (i + 1), 1) for i in range(n.bit_length() - 2)]
    found = []
    while sum(found) < len(cuts):
        plan = strips.plan_strips(cuts[sum(found) :], 4, 227 << 10)
        assert plan.kept
        assert plan.shared <= 227 << 10
        found.append(plan.levels)
    assert sum(found) == len(cuts)
    words = 1 + sum(2 / 2 ** sum(found[: i + 1]) for i in range(len(found)))
    assert words < (2.3 if n == 32768 else 1.6), (found, words)


def test_others_are_left_to_others():
    assert strips.plan_strips([Interface(1, 2, 4, 2, 4, 2)], 4, 1 << 16) is None
    assert strips.plan_strips([Interface(1, 5, 4, 2, 4, 1)], 4, 1 << 16) is None
    assert not strips.plan_strips([Interface(1, 2, 4, 2, 1 << 20, 1)], 4, 1 << 16).kept


@pytest.mark.skipif(ON_GPU, reason="what counts stands in for the device")
@pytest.mark.parametrize(
    ("supports", "order", "most"),
    [
        # Half is what scattered factors take, a share that falls as the root of the size.
        (fsmf.monarch(256, blocks=16), None, 1.75),
        (fsmf.butterfly(256), None, 1.5),
    ],
)
def test_a_matrix_is_read_about_once(supports, order, most, monkeypatch, cupy):  # noqa: F811
    """All that kernels and array functions move in a factorization, from door to door."""
    A = (fsmf.transforms.hadamard(256).to_dense() + gaussian((256, 256), float, 3)).astype(np.float32)
    there = cupy.asarray(A)
    moved.clear()
    with RawModule.emulator.counting() as found:
        F = fsmf.factorize(there, supports, solver=fsmf.Hierarchical(order=order))
    expected = fsmf.factorize(A, supports, solver=fsmf.Hierarchical(order=order or "left-to-right"))
    assert math.isclose(F.error, expected.error, rel_tol=1e-6)
    kernels = 32 * (found[0].sectors_read + found[0].sectors_written)
    assert kernels + sum(moved.values()) <= most * A.nbytes, (found, moved)
