"""CUDA kernels for chains, run beside the truth, on the host or on a GPU."""

import numpy as np
import pytest
from devices import ON_GPU
from emulator import THERE, emulator, on_device, on_host, only  # noqa: F401
from sampling import in_turn
from test_kronecker_matmul import CHAINS, Truth, gaussian, values_of

from fsmf.errors import InputTypeError, ShapeError
from fsmf.kernels.kronecker_matmul_device import DeviceChain

# What is stored, and the dtype of the values.
TYPES = [
    ("float16", "f"),
    ("bfloat16", "f"),
    ("float32", "f"),
    ("float64", "d"),
    ("complex64", "F"),
    ("complex128", "D"),
    ("complex64", "f"),
    ("complex128", "d"),
]
SOME = ["rank two", "not chainable", "sixteen neighbours", "kaleidoscope", "one dense factor"]
KINDS = ["chain", "factor", "matmul"]

pytestmark = pytest.mark.usefixtures("emulator")


def to_bfloat16(x):
    """The bits of the nearest bfloat16 numbers, ties to even; by comparing with both neighbours."""
    low = x.view(np.uint32) & np.uint32(0xFFFF0000)
    high = low + np.uint32(0x10000)
    a, b = (abs(part.view(np.float32).astype(float) - x) for part in (low, high))
    odd = (low >> 16) & 1 == 1
    return (np.where((b < a) | ((b == a) & odd), high, low) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def chain_there(chain, values, **orders):
    return DeviceChain(THERE, chain, [on_device(V) for V in values], **orders)


@pytest.mark.parametrize(("types", "kind"), in_turn(TYPES, KINDS, 2))
def test_every_type_is_its_dense_matrix(types, kind, only, emulator):  # noqa: F811
    only(kind)
    stored, own = types
    is_bfloat16 = stored == "bfloat16"
    rng = np.random.default_rng(1)
    for name in SOME:
        chain = CHAINS[name]
        values = values_of(chain, np.dtype(own))
        truth = Truth(chain, values)
        m, n = truth.matrix.shape
        rows, columns = rng.permutation(m), rng.permutation(n)
        plain, permuted = chain_there(chain, values), chain_there(chain, values, rows=rows, columns=columns)
        for order, k in (("C", 40), ("F", 21)):
            x = gaussian(rng, (n, k), np.float32 if is_bfloat16 else stored)
            bits = to_bfloat16(x) if is_bfloat16 else x
            x = from_bfloat16(bits) if is_bfloat16 else x
            given = on_device(np.asarray(bits, order=order))
            for product, take, place in ((plain, slice(None), slice(None)), (permuted, columns, rows)):
                found = product.apply(given, is_bfloat16=is_bfloat16)
                assert found.dtype == bits.dtype
                assert found.flags.c_contiguous if order == "C" else found.flags.f_contiguous
                y = on_host(found)
                y = (from_bfloat16(y) if is_bfloat16 else y)[place]
                size = truth.magnitude @ abs(x[take]).astype(float)
                working = np.float32 if stored == "float16" else x.dtype
                # Half precision is stored between steps, too, and for matmul it is that of the factors.
                rounding = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(stored, 0.0)
                rounding *= 1 + len(chain) * (2 if kind == "matmul" else 1)
                bound = (4 * truth.terms * np.finfo(working).eps + rounding) * size + 2.0**-24
                expected = truth.matrix @ x[take]
                assert (abs(y - expected) <= bound).all()


@pytest.mark.parametrize(("kind", "k"), [("chain", 1), ("chain", 5), ("chain", 130), ("factor", 3)])
def test_any_number_of_columns_and_every_chain(k, kind, only, emulator):  # noqa: F811
    only(kind)
    rng = np.random.default_rng(2)
    for chain in CHAINS.values():
        values = values_of(chain, np.float32)
        product, truth = chain_there(chain, values), Truth(chain, values)
        x = gaussian(rng, (truth.matrix.shape[1], k), np.float32)
        for given in (x, np.asfortranarray(x), x[:, 0]):
            truth.check(given, on_host(product.apply(on_device(given))))
        wide = np.repeat(x, 2, axis=1)[:, ::2]  # neither rows nor columns are whole
        truth.check(x, on_host(product.apply(on_device(wide) if k > 1 else on_device(x))))
    assert product.apply(on_device(x[:, :0])).shape == (truth.matrix.shape[0], 0)


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_where_memory_begins(shift, only, emulator):  # noqa: F811
    """Neighbours are read at once only where they lie so."""
    only("chain")
    chain = CHAINS["dyadic"]
    values = values_of(chain, np.float32)
    room = np.full(32 * 40 + 8, np.nan, np.float32)
    there = on_device(room)
    x = gaussian(np.random.default_rng(3), (32, 40), np.float32)
    there[shift : shift + x.size] = on_device(x).reshape(-1)
    given = there[shift : shift + x.size].reshape(32, 40)
    Truth(chain, values).check(x, on_host(chain_there(chain, values).apply(given)))


def test_half_precision_is_rounded_to_the_nearest(only, emulator):  # noqa: F811
    only("chain")
    every = np.arange(0, 1 << 16, 3, dtype=np.uint16)
    ones = np.ones((1, 1, 1, 1), np.float32)
    identity = chain_there([(1, 1, 1, 1)], [ones])
    half = every.view(np.float16)
    found = on_host(identity.apply(on_device(half[None])))[0]
    assert np.array_equal(found, half, equal_nan=True)
    brain = on_host(identity.apply(on_device(every[None]), is_bfloat16=True))[0]
    known = ~np.isnan(from_bfloat16(every))
    assert np.array_equal(from_bfloat16(brain[known]), from_bfloat16(every[known]))
    assert np.isnan(from_bfloat16(brain[~known])).all()
    # Single precision comes in as coefficients: of all sizes, ties, and what over- and underflows.
    rng = np.random.default_rng(4)
    floats = rng.standard_normal(3000) * 2.0 ** rng.integers(-30, 20, 3000)
    ties = (
        half[np.isfinite(half)].astype(float)[::37]
        + np.nextafter(half[np.isfinite(half)][::37], np.float16(np.inf))
    ) / 2
    w = np.concatenate([floats, ties, [65519.9, 65520, 1e30, np.inf, -np.inf, 0.0, -0.0]]).astype(np.float32)
    scaled = chain_there([(len(w), 1, 1, 1)], [w.reshape(-1, 1, 1, 1)])
    with np.errstate(over="ignore"):
        expected = w.astype(np.float16)
    found = on_host(scaled.apply(on_device(np.ones((len(w), 2), np.float16))))[:, 0]
    assert np.array_equal(found, expected)
    one = on_device(np.full((len(w), 2), 0x3F80, np.uint16))
    found = on_host(scaled.apply(one, is_bfloat16=True))[:, 0]
    finite = np.isfinite(w)
    expected = from_bfloat16(to_bfloat16(w[finite]))
    assert np.array_equal(from_bfloat16(found[finite]), expected)


@pytest.mark.parametrize(
    ("own", "given", "made"), [("f", "d", "d"), ("d", "e", "d"), ("F", "f", "F"), ("f", "i", "d")]
)
def test_dtypes_are_promoted(own, given, made, emulator):  # noqa: F811
    chain = CHAINS["rank two"]
    values = values_of(chain, np.dtype(own))
    x = (4 * np.random.default_rng(5).standard_normal((20, 3))).astype(given)
    found = on_host(chain_there(chain, values).apply(on_device(x)))
    assert found.dtype == np.dtype(made)
    Truth(chain, values).check(x, found)
    single = chain_there(chain, values_of(chain, np.float64)).apply(
        on_device(np.zeros((20, 3), np.uint16)), is_bfloat16=True
    )
    assert single.dtype == np.float64


@pytest.mark.skipif(ON_GPU, reason="what counts stands in for the device")
def test_what_a_fused_run_moves(only, emulator):  # noqa: F811
    """Sectors that are written are filled; columns read little more than rows, which meet no conflicts."""
    only("chain")
    chain = [(2**i, 2, 2, 2 ** (5 - i)) for i in range(6)]
    product = chain_there(chain, values_of(chain, np.float32))
    read = {}
    for order, conflicts in (("C", 1.0), ("F", 1.6)):
        x = np.ones((64, 32), np.float32, order=order)
        product.apply(x)
        with emulator.counting() as found:
            y = product.apply(x)
        read[order] = found[0].sectors_read
        assert 32 * found[0].sectors_written == y.nbytes
        assert found[0].bank_rounds <= conflicts * found[0].bank_least
    assert read["F"] <= 1.2 * read["C"]


def test_what_does_not_fit_is_refused(emulator):  # noqa: F811
    product = chain_there(CHAINS["dyadic"], values_of(CHAINS["dyadic"], np.float32))
    with pytest.raises(ShapeError, match="32"):
        product.apply(on_device(np.ones((31, 2), np.float32)))
    with pytest.raises(InputTypeError, match="datetime64"):
        product.apply(np.zeros((32, 2), "M8[s]"))


def test_chains_are_planned_once_for_about_as_many_columns(emulator):  # noqa: F811
    chain = CHAINS["dyadic"]
    product = chain_there(chain, values_of(chain, np.float32))
    for k in (17, 20, 32, 33):
        product.apply(on_device(np.ones((32, k), np.float32)))
    assert len(product._planned) == 2
