"""Factors wherever their values live: the library, device and dtype of what comes in decide, and stay."""

import pickle
import sys
import types

import numpy as np
import oracles
import pytest
from chains import gaussian
from cupy_on_host import cupy  # noqa: F401
from devices import ANOTHER, ELSEWHERE, ON_GPU, back, on, spy  # noqa: F401
from emulator import only  # noqa: F401
from test_product import OPERATORS, every

import fsmf
from fsmf.errors import FsmfError, InputTypeError, OptionError
from fsmf.kernels.namespace import HOST, borrowed, is_foreign, space_named, space_of, together

TOLERANCE = 1e-12


@every
@pytest.mark.parametrize("k", [None, 1, 5])
def test_products_stay_where_they_are(name, k, spy):  # noqa: F811
    F, D = OPERATORS[name]
    G = F.to_device(on(ELSEWHERE, np.ones(1)))
    m, n = F.shape
    x = gaussian((n,) if k is None else (n, k), F.dtype, 1)
    z = gaussian((m,) if k is None else (k, m), F.dtype, 2)
    x_there, z_there, z_as_columns = on(ELSEWHERE, x), on(ELSEWHERE, z), on(ELSEWHERE, z.T)
    spy.seen.clear()
    y, w, v = G @ x_there, G.__rmatmul__(z_there), G.H @ z_as_columns
    u = G.T @ z_as_columns
    assert not spy.seen["arrays"]
    assert not spy.seen["numbers"]
    assert all(space_of(found) == ELSEWHERE for found in (y, w, v, u))
    spy.seen.clear()
    assert space_of(G @ x_there) == ELSEWHERE
    assert not spy.seen  # planned once: nothing moves any more, in either direction
    for found, expected in ((y, D @ x), (w, z @ D), (v, D.conj().T @ z.T), (u, D.T @ z.T)):
        np.testing.assert_allclose(back(found), expected, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize(
    ("kind", "chain"),
    [
        ("chain", [(2**i, 2, 2, 2 ** (4 - i)) for i in range(5)]),
        ("chain", [(2, 9, 5, 3)]),
        ("factor", [(1, 4, 6, 9), (2, 9, 5, 3)]),
        ("factor", [(2, 17, 33, 3)]),
    ],
)
def test_kernels_take_transposes_and_adjoints(kind, chain, dtype, only, cupy):  # noqa: F811
    """Of fused runs and of single factors, beside dense matrices, in both layouts."""
    only(kind)
    F = fsmf.Product(fsmf.Architecture(chain), [gaussian((a * b * c * d,), dtype) for a, b, c, d in chain])
    D = oracles.chain_product(F.values, chain)
    size = oracles.chain_product([abs(V) for V in F.values], chain)
    G = F.to_device(cupy.asarray(np.ones(1)))
    for there, E, bound in ((G.T, D.T, size.T), (G.H, D.conj().T, size.T), (G.conj(), D.conj(), size)):
        for order in "CF":
            x = np.asarray(gaussian((E.shape[1], 5), dtype, 1), order=order)
            found = (there @ cupy.asarray(x)).get()
            assert found.dtype == dtype
            rounding = 4 * sum(b + c for _, b, c, _ in chain) * np.finfo(dtype).eps
            assert (abs(found - E @ x) <= rounding * (bound @ abs(x))).all()


@every
def test_algebra_stays_there(name):
    F, D = OPERATORS[name]
    G = F.to_device(on(ELSEWHERE, np.ones(1)))
    for found, expected in (
        (G, D),
        (2 * G, 2 * D),
        (-G, -D),
        (G / 4, D / 4),
        ((1 + 2j) * G, (1 + 2j) * D),
        (G.conj(), D.conj()),
        (G.H @ G, D.conj().T @ D),
        (G @ G.T, D @ D.T),
    ):
        assert all(space_of(value) == ELSEWHERE for value in found.values)
        np.testing.assert_allclose(back(found.to_dense()), expected, atol=1e-11)
        np.testing.assert_allclose(found.to_host().to_dense(), expected, atol=1e-11)


def test_what_moves_is_the_values():
    F = fsmf.factorize(gaussian((16, 16)), fsmf.butterfly(16))
    G = F.to_device(on(ELSEWHERE, np.ones(1)))
    assert type(G) is type(F)
    assert (G.certificate, G.status, G.norm, G.solver) == (F.certificate, F.status, F.norm, F.solver)
    assert all(space_of(value) == ELSEWHERE for value in G.values)
    assert G.to_device(G.values[0]) is G
    assert F.to_host() is F
    again = G.to_host()
    assert all(np.array_equal(*pair) for pair in zip(again.values, F.values, strict=True))
    assert np.array_equal(pickle.loads(pickle.dumps(F)).values[0], F.values[0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int32"])
@pytest.mark.parametrize("own", [np.float32, np.complex64, np.float64])
def test_dtypes_are_promoted_as_on_the_host(dtype, own):
    for supports in (fsmf.Architecture([(1, 2, 2, 4), (2, 2, 2, 2)]), fsmf.lu(8)):
        F = fsmf.Product(supports, [gaussian(support.nnz, own, 3) for support in supports])
        x = (10 * gaussian((8, 3), np.result_type(dtype, np.float32))).astype(dtype)
        found = F.to_device(on(ELSEWHERE, np.ones(1))) @ on(ELSEWHERE, x)
        assert ELSEWHERE.dtype(found) == (F @ x).dtype
        np.testing.assert_allclose(back(found), F @ x, rtol=1e-4, atol=1e-4)


def test_any_axis():
    F = fsmf.transforms.dft(8)
    G = F.to_device(on(ELSEWHERE, np.ones(1)))
    x = gaussian((2, 3, 8), complex)
    found = G.apply(on(ELSEWHERE, x), axis=-1)
    np.testing.assert_allclose(back(found), np.fft.fft(x), atol=TOLERANCE)
    found = G.apply(on(ELSEWHERE, x.T), axis=0)
    np.testing.assert_allclose(back(found), np.fft.fft(x.T, axis=0), atol=TOLERANCE)
    with pytest.raises(InputTypeError, match="leave it out"):
        G.apply(on(ELSEWHERE, x[0, 0]), out=np.empty(8, complex))


def test_places_that_do_not_meet():
    F = fsmf.transforms.hadamard(8)
    G = F.to_device(on(ELSEWHERE, np.ones(1)))
    here, there, third = np.ones(8), on(ELSEWHERE, np.ones(8)), on(ANOTHER, np.ones(8))
    for wrong in (
        lambda: F @ there,
        lambda: G @ here,
        lambda: G @ third,
        lambda: here @ G,
        lambda: F.apply(there),
        lambda: F @ G,
        lambda: G @ F,
        lambda: space_of(here, there),
        lambda: together([there, third]),
        lambda: fsmf.Product(fsmf.butterfly(4), [on(ELSEWHERE, np.ones(8)), np.ones(8)]),
    ):
        with pytest.raises(InputTypeError, match=r"host memory|device[12]|cupy") as error:
            wrong()
        assert "nothing is copied unasked" in str(error.value)


@pytest.mark.parametrize(
    "work",
    [
        *([] if ON_GPU else [lambda F: F.factors]),  # CuPy has sparse matrices of its own
        lambda F: F.to_sparse(),
        lambda F: F[0],
        lambda F: F.save("never"),
        lambda F: F.verify(np.eye(8)),
        lambda F: F.solve(np.ones(8)),
        lambda F: F.inv(),
        lambda F: F.slogdet(),
    ],
)
def test_what_is_worked_out_in_host_memory_says_so(work):
    F = fsmf.factorize(gaussian((8, 8)), fsmf.butterfly(8)).to_device(on(ELSEWHERE, np.ones(1)))
    with pytest.raises(InputTypeError, match="to_host"):
        work(F)


@pytest.mark.skipif(not ON_GPU, reason="only with --gpu")
def test_solvers_of_cupy_take_it():
    from cupyx.scipy.sparse import linalg

    F = fsmf.transforms.hadamard(16).to_device("gpu")
    y = on(ELSEWHERE, np.arange(16.0))
    x, failed = linalg.cg((F.H @ F).as_cupy_operator(), F.H @ y)
    assert not failed
    np.testing.assert_allclose(back(F @ x), np.arange(16.0), atol=1e-4)
    np.testing.assert_allclose(back(F.factors[0] @ y), F.to_host().factors[0] @ np.arange(16.0))


def test_bfloat16_is_for_chains():
    F = fsmf.Product(fsmf.lu(4), [np.ones(s.nnz, np.float32) for s in fsmf.lu(4)])
    with pytest.raises(InputTypeError, match="bfloat16"):
        F._apply(np.zeros((4, 2), np.uint16), is_bfloat16=True)


@pytest.mark.skipif(ON_GPU, reason="CuPy itself is there")
def test_cupy_is_known_by_its_class(monkeypatch):
    """Its arrays need not say that they keep the standard."""
    module = types.ModuleType("cupy")
    module.ndarray = type("ndarray", (), {})
    assert not is_foreign(module.ndarray())
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert is_foreign(module.ndarray())
    assert not is_foreign(np.ones(1))
    assert not is_foreign([1.0])


def test_devices_by_name(monkeypatch):
    assert space_named("cpu") == HOST == space_named(np.ones(1))
    for name in ("tpu", "gpu:", "gpu:x", "cpu:0", 3, None):
        with pytest.raises(OptionError, match="found"):
            space_named(name)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(OptionError, match=r"fsmf\[gpu\]"):
        fsmf.transforms.dft(8).to_device("gpu")
    with pytest.raises(InputTypeError, match="to_device"):
        fsmf.transforms.dft(8).as_cupy_operator()


class TestTensors:
    """PyTorch's, where it is installed."""

    torch = property(lambda self: pytest.importorskip("torch", reason="PyTorch is not installed"))

    @pytest.mark.parametrize("dtype", [np.float32, np.complex128])
    def test_come_back_as_tensors(self, dtype):
        torch = self.torch
        F, x = fsmf.transforms.dct(8), gaussian((8, 3), dtype)
        t = torch.from_numpy(x)
        for found, expected in (
            (F @ t, F @ x),
            (F.apply(t.T, axis=1), (F @ x).T),
            (t.T @ F, x.T @ F),
            (F.H @ t.conj(), F.H @ x.conj()),
            (F @ t[:, 0], F @ x[:, 0]),
        ):
            assert isinstance(found, torch.Tensor)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.skipif(not ON_GPU, reason="only with --gpu")
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_come_back_from_the_gpu(self, dtype):
        torch = self.torch
        F = fsmf.Product(
            fsmf.butterfly(64), [gaussian(p.nnz, np.float32, i) for i, p in enumerate(fsmf.butterfly(64))]
        )
        G = F.to_device("gpu")
        x = torch.from_numpy(gaussian((64, 5), np.float32)).to(getattr(torch, dtype))
        for found, expected in (
            (G @ x.cuda(), F @ x.float()),
            (x.T.cuda() @ G, x.T.float() @ F),
            (G.apply(x.T.cuda(), axis=1), (F @ x.float()).T),
        ):
            assert found.device.type == "cuda"
            assert found.dtype == x.dtype
            assert torch.linalg.norm(found.cpu().float() - expected) <= 0.05 * torch.linalg.norm(expected)

    def test_share_their_memory(self):
        t = self.torch.ones(3, 4)
        array, give_back, _ = borrowed(t)
        assert array.ctypes.data == t.data_ptr()
        assert give_back(array).data_ptr() == t.data_ptr()

    def test_are_factorized(self):
        A = gaussian((16, 16))
        F = fsmf.factorize(self.torch.from_numpy(A), fsmf.monarch(16, blocks=4))
        assert F.certificate == fsmf.factorize(A, fsmf.monarch(16, blocks=4)).certificate

    def test_that_cannot_be_taken_say_why(self):
        torch = self.torch
        F = fsmf.transforms.hadamard(4)
        for tensor, say in (
            (torch.ones(4, requires_grad=True), "detach"),
            (torch.ones(4, dtype=torch.bfloat16), "bfloat16"),
            (torch.ones(4, device="meta"), "meta"),
        ):
            with pytest.raises(FsmfError, match=say):
                F @ tensor
