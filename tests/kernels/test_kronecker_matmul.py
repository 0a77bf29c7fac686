"""Chains of Kronecker-sparse factors: against dense matrices built entry by entry, on either path."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmf.errors import InputTypeError, ShapeError
from fsmf.kernels import kronecker_matmul as plain
from fsmf.kernels import kronecker_matmul_cpu as twin
from fsmf.kernels.kronecker_levels import plan_groups
from fsmf.kernels.kronecker_matmul import ChainProduct, fused_pattern
from fsmf.kernels.twins import compiled_twin

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]

CHAINS = {
    "one number": [(1, 1, 1, 1)],
    "one dense factor": [(1, 6, 5, 1)],
    "block diagonal": [(3, 5, 2, 1)],
    "strided": [(1, 2, 7, 11)],
    "diagonal": [(7, 1, 1, 3)],
    "dyadic": [(1, 2, 2, 16), (2, 2, 2, 8), (4, 2, 2, 4), (8, 2, 2, 2), (16, 2, 2, 1)],
    "kaleidoscope": [(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1), (4, 2, 2, 1), (2, 2, 2, 2), (1, 2, 2, 4)],
    "Monarch": [(1, 8, 8, 6), (8, 6, 6, 1)],
    "rank two": [(1, 4, 6, 9), (2, 9, 5, 3), (10, 3, 2, 1)],
    "mixed radix": [(1, 2, 2, 105), (2, 3, 3, 35), (6, 5, 5, 7), (30, 7, 7, 1)],
    "not chainable": [(3, 4, 2, 2), (2, 6, 10, 1), (1, 4, 3, 5)],
    "wide": [(1, 1, 3, 24), (2, 4, 9, 9)],
    "sixteen neighbours": [(2, 3, 4, 32), (8, 1, 2, 32), (16, 16, 2, 2)],
}


@pytest.fixture(params=["compiled", "plain"])
def path(request, monkeypatch):
    """Each way to multiply; what is small is done as what is large."""
    monkeypatch.setattr(plain, "_LARGEST_DENSE", 0)
    monkeypatch.setattr(plain, "_SHARED_NS", 0)
    if request.param == "plain":
        monkeypatch.setattr(plain, "_twin", lambda: None)
    return request.param


def gaussian(rng, shape, dtype):
    X = rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        X = X + 1j * rng.standard_normal(shape)
    return X.astype(dtype)


def values_of(chain, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [gaussian(rng, (a, b, d, c), dtype) / np.sqrt(c).astype(dtype) for a, b, c, d in chain]


def dense(pattern, values):
    """The factor, entry by entry, as the convention says."""
    a, b, c, d = pattern
    X = np.zeros((a * b * d, a * c * d), np.result_type(values, np.float64))
    values = values.reshape(a, b, d, c)
    for alpha, beta, delta, gamma in np.ndindex(a, b, d, c):
        X[(alpha * b + beta) * d + delta, (alpha * c + gamma) * d + delta] = values[alpha, beta, delta, gamma]
    return X


class Truth:
    """The matrix, and how large the sums behind its products with x can be."""

    def __init__(self, chain, values):
        factors = list(map(dense, chain, values))
        self.matrix = reduce(np.matmul, factors)
        self.magnitude = reduce(np.matmul, map(abs, factors))
        self.dtype, self.terms = values[0].dtype, sum(c for _, _, c, _ in chain)

    def check(self, x, y, rows=None, columns=None):
        """What the docstring promises."""
        assert y.shape == (len(self.matrix), *x.shape[1:])
        assert y.dtype == np.result_type(self.dtype, x)
        x = x if columns is None else x[columns]
        y = y if rows is None else y[rows]
        rounding = 4 * self.terms * np.finfo(y.dtype).eps
        assert (abs(y - self.matrix @ x) <= rounding * (self.magnitude @ abs(x))).all()


def test_the_dense_factor_is_a_kronecker_product():
    ones = [np.ones((a, b, d, c)) for a, b, c, d in CHAINS["rank two"]]
    for (a, b, c, d), values in zip(CHAINS["rank two"], ones, strict=True):
        expected = np.kron(np.kron(np.eye(a), np.ones((b, c))), np.eye(d))
        assert np.array_equal(dense((a, b, c, d), values), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHAINS)
def test_every_chain(name, dtype, path):
    chain, rng = CHAINS[name], np.random.default_rng(1)
    values = values_of(chain, dtype)
    product, truth = ChainProduct(chain, values), Truth(chain, values)
    m, n = product.shape
    rows, columns = rng.permutation(m), rng.permutation(n)
    for k in (1, 2, 3, 16, 37):
        x = gaussian(rng, (n, k), dtype)
        before = x.copy()
        truth.check(x, product.apply(x))
        truth.check(x[:, 0], product.apply(x[:, 0]))
        truth.check(x, product.apply(x, rows=rows, columns=columns), rows, columns)
        assert np.array_equal(x, before)
    assert product.apply(np.zeros((n, 0), dtype)).shape == (m, 0)


@pytest.mark.parametrize("values_dtype", DTYPES)
@pytest.mark.parametrize("dtype", ["?", "i2", "i8", "u4", "f2", "f4", "f8", "c8", "c16", ">f8"])
def test_dtypes_are_promoted(values_dtype, dtype, path):
    chain, rng = CHAINS["mixed radix"], np.random.default_rng(2)
    values = values_of(chain, values_dtype)
    product, truth = ChainProduct(chain, [value.ravel() for value in values]), Truth(chain, values)
    for k in (1, 5):
        x = (gaussian(rng, (210, k), np.result_type(dtype, np.float16)) * 10).astype(dtype)
        for given_x in (x, np.asfortranarray(x), x[:, 0], np.repeat(x, 2, axis=1)[:, ::2]):
            truth.check(given_x, product.apply(given_x))


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("k", [1, 2, 9, 33])
def test_any_strides(k, dtype, path):
    chain, rng = CHAINS["rank two"], np.random.default_rng(3)
    values = values_of(chain, dtype)
    product, truth = ChainProduct(chain, values), Truth(chain, values)
    m, n = product.shape
    x = gaussian(rng, (n, k), dtype)
    frozen = x.copy()
    frozen.flags.writeable = False

    def layouts(shape):
        def sheet(*shape):
            return np.full(shape, np.nan, dtype)

        m, k = shape
        yield sheet(m + 1, k + 5)[:m, :k]
        yield sheet(2 * m + 1, 3 * k + 1)[1::2, 1::3]
        yield sheet(2 * m + 1, 3 * k + 1)[-2::-2, -2::-3]
        yield sheet(k, m).T
        yield sheet(k, 2 * m)[:, ::2].T

    assert product.apply(np.asfortranarray(x)).flags.f_contiguous
    truth.check(frozen, product.apply(frozen))
    for place in layouts((n, k)):
        place[:] = x
        for out in layouts((m, k)):
            around = out if out.base is None else out.base
            assert product.apply(place, out=out) is out
            truth.check(x, out)
            assert np.isnan(around).sum() == around.size - out.size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("diagonal", [0, 1e-30, 1e30, 1e-3, np.nan])
def test_levels_with_any_diagonal(diagonal, dtype):
    """What would be divided by stays finite, or nothing is divided by it."""
    chain, rng = CHAINS["kaleidoscope"] + CHAINS["kaleidoscope"], np.random.default_rng(4)
    values = values_of(chain, dtype)
    for i in (2,) if diagonal > 1 else (1, 2, 5, 6):  # one large number is what fits into the range
        values[i][i % len(values[i]), 1, 0, 1] = 0 if np.isnan(diagonal) else diagonal
    x = gaussian(rng, (8, 21), dtype)
    if np.isnan(diagonal):  # a whole row and column of zeros
        values[2][0, 0], values[5][0, :, 0, 0] = 0, 0
    Truth(chain, values).check(x, ChainProduct(chain, values).apply(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_levels_keep_to_the_range_of_their_type(dtype):
    """Diagonals whose products are far from one stay where they are: x may be as small as before."""
    chain = [(2**i, 2, 2, 2 ** (6 - i)) for i in range(7)]
    values = [value * np.array(0.02, dtype) ** (-1) ** i for i, value in enumerate(values_of(chain, dtype))]
    x = gaussian(np.random.default_rng(5), (128, 33), dtype) * np.array(1e-28, dtype)
    Truth(chain, values).check(x, ChainProduct(chain, values).apply(x))


def test_levels_are_not_multiplied_out():
    def strides(chain, values):
        groups, scales, _ = plan_groups(list(zip(chain, values, strict=True)))
        return [stage.strides for group in groups for stage in group.stages], scales

    chain = CHAINS["dyadic"]
    values = values_of(chain, np.float64)
    turned = [(a, c, b, d) for a, b, c, d in reversed(chain)]
    found, scales = strides(chain, values)
    assert [sum(map(bool, own)) for own in found] in ([2, 3], [3, 2])
    assert scales.shape == (32,)
    other, _ = strides(turned, [value.swapaxes(1, 3) for value in reversed(values)])
    assert {tuple(sorted(own)) for own in other} <= {(0, 1, 2), (1, 2, 4)}
    values[2][0, 0, 0, 0] = 0
    assert (0, 0, 0) in strides(chain, values)[0]


def test_the_result_may_replace_the_input(path):
    chain = CHAINS["dyadic"]
    values = values_of(chain, np.float64)
    product = ChainProduct(chain, values)
    x = np.random.default_rng(0).standard_normal((33, 20))
    expected = Truth(chain, values).matrix @ x[:32]
    product.apply(x[:32], out=x[1:])
    np.testing.assert_allclose(x[1:], expected, atol=1e-12)


def test_permutations_may_change(path):
    chain = CHAINS["dyadic"]
    values = values_of(chain, np.float64)
    product, truth, rng = ChainProduct(chain, values), Truth(chain, values), np.random.default_rng(0)
    x, rows = rng.standard_normal((32, 4)), rng.permutation(32)
    for _ in range(2):
        for order in (rows, None, rows[::-1]):
            truth.check(x, product.apply(x, rows=order), order, None)
            truth.check(x[:, 0], product.apply(x[:, 0], columns=order), None, order)
        rows[:] = rng.permutation(32)
    for _ in range(2):
        assert np.array_equal(product.apply(x, rows=rows.tolist()), product.apply(x, rows=rows))


def test_what_is_not_finite_stays_in_its_column(path):
    chain = CHAINS["mixed radix"]
    product = ChainProduct(chain, values_of(chain, np.float64))
    for k in (2, 11, 37):
        x = np.ones((210, k))
        x[17, 1] = np.nan
        assert np.isnan(product.apply(x)).any(axis=0).tolist() == [j == 1 for j in range(k)]


@pytest.mark.parametrize("k", [1, 16, 200])
def test_many_threads_at_once(k, path):
    chain = CHAINS["dyadic"]
    values = values_of(chain, np.float64)
    product = ChainProduct(chain, values)
    x = np.random.default_rng(0).standard_normal((40, 32, k))
    expected = Truth(chain, values).matrix @ x
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(product.apply, x))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_hadamard_and_fourier():
    n = 64
    hadamard = [(2**i, 2, 2, n >> (i + 1)) for i in range(6)]
    values = [np.resize([1.0, 1, 1, -1], (a, d, 2, 2)).swapaxes(1, 2) for a, _, _, d in hadamard]
    for x in (np.eye(n), np.eye(n)[:, 5]):
        expected = scipy.linalg.hadamard(n) @ x
        assert np.array_equal(ChainProduct(hadamard, values).apply(x), expected)
    n = 15  # x[3 i + j], y[k + 5 l]: sums over i, twiddles, sums over j
    i, j = np.arange(5), np.arange(3)
    inner = np.exp(-2j * np.pi * np.multiply.outer(i, i) / 5).reshape(1, 5, 1, 5).repeat(3, axis=2)
    twiddle = np.exp(-2j * np.pi * np.multiply.outer(i, j) / 15)[:, None, None, :]
    outer = np.exp(-2j * np.pi * np.multiply.outer(j, j) / 3)[None, :, None, :] * twiddle
    rows = (np.arange(5)[:, None] + 5 * np.arange(3)).ravel()
    x = np.random.default_rng(0).standard_normal((n, 3))
    y = ChainProduct([(5, 3, 3, 1), (1, 5, 5, 3)], [outer, inner]).apply(x, rows=rows)
    np.testing.assert_allclose(y, np.fft.fft(x, axis=0), atol=1e-12)


def test_the_plan():
    def planned(chain, dtype=np.float64):
        return ChainProduct(chain, values_of(chain, dtype))

    dyadic = [(2**i, 2, 2, 512 >> i) for i in range(10)]
    product = planned(dyadic)
    assert product.stages == tuple((4**i, 4, 4, 256 >> 2 * i) for i in range(5))
    assert product.n_flops == 2 * 20 * 1024
    assert product.n_bytes == 8 * 20 * 1024
    assert product.plan.startswith("in stages (1,4,4,256) (4,4,4,64)")
    assert planned(dyadic, np.complex64).n_flops == 8 * 20 * 1024
    assert planned([(1, 4, 4, 1), (4, 1, 1, 1), (2, 2, 2, 1)]).plan == "dense"
    assert planned([(1, 64, 64, 64), (64, 64, 64, 1)]).stages == ((1, 64, 64, 64), (64, 64, 64, 1))
    few = planned([(2**i, 2, 2, 32 >> i) for i in range(6)])
    assert few.plan.startswith("dense up to")
    x = np.random.default_rng(0).standard_normal((64, 200))
    for k in (1, 2, 8, 30, 200):
        np.testing.assert_allclose(
            few.apply(x[:, :k]), np.hstack([few.apply(x[:, j : j + 1]) for j in range(k)])
        )


def test_the_twin_takes_what_the_launcher_gives_it(monkeypatch):
    used = []
    for kind in ("Tiles", "Columns"):
        monkeypatch.setattr(
            getattr(twin, kind), "multiply", lambda self, x, y, shared: used.append((type(self), shared))
        )
    chain = [(2**i, 2, 2, 512 >> i) for i in range(10)]
    product = ChainProduct(chain, values_of(chain, np.float64))
    for k in (1, 2, 3, 64, 2000):
        product.apply(np.ones((1024, k)))
    assert used == [(twin.Columns, False)] * 2 + [(twin.Tiles, False)] + used[3:4] + [(twin.Tiles, True)]


@pytest.mark.parametrize(
    "chain", [[(1, 3, 5, 1)], [(2, 2, 2, 2), (1, 8, 8, 1)], [(3, 2, 2, 1)], [(1, 2, 2, 3)]]
)
def test_small_matrices_are_dense(chain):
    values, rng = values_of(chain, np.float64), np.random.default_rng(0)
    product, truth = ChainProduct(chain, values), Truth(chain, values)
    assert product.plan.startswith("dense")
    (m, n), x = product.shape, rng.standard_normal((product.shape[1], 4))
    rows, columns = rng.permutation(m), rng.permutation(n)
    truth.check(x, product.apply(x))
    truth.check(x, product.apply(x, rows=rows, columns=columns), rows, columns)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([(1, 2, 2, 4), (2, 2, 2, 2)], (1, 4, 4, 2)),
        ([(1, 4, 6, 9), (2, 9, 5, 3)], (1, 12, 10, 3)),
        ([(3, 4, 2, 2), (2, 6, 10, 1)], (1, 24, 20, 1)),
        ([(6, 2, 3, 10)], (6, 2, 3, 10)),
    ],
)
def test_fused_patterns(patterns, expected):
    assert fused_pattern(patterns) == expected
    product = Truth(patterns, [np.ones((a, b, d, c)) for a, b, c, d in patterns]).matrix
    a, b, c, d = expected
    assert not product[dense(expected, np.ones((a, b, d, c))) == 0].any()


@pytest.mark.parametrize(
    ("patterns", "shapes", "message"),
    [
        ([], [], "needs patterns"),
        ([(1, 2, 2, 1)], [], "0 arrays"),
        ([(1, 0, 2, 1)], [(0,)], "positive"),
        ([(1, 2, 2, 1), (1, 3, 3, 1)], [(4,), (9,)], "must chain"),
        ([(1, 2, 2, 1)], [(5,)], "4 values; found an array of shape"),
    ],
)
def test_chains_that_are_none(patterns, shapes, message):
    with pytest.raises(ShapeError, match=message):
        ChainProduct(patterns, [np.ones(shape) for shape in shapes])


def test_misuse():
    with pytest.raises(InputTypeError, match="float64"):
        ChainProduct([(1, 2, 2, 1)], [np.ones(4, int)])
    with pytest.raises(InputTypeError, match="'float32', 'float64'"):
        ChainProduct([(1, 2, 2, 1)] * 2, [np.ones(4), np.ones(4, np.float32)])
    product, x = ChainProduct([(3, 2, 2, 1)], [np.ones(12)]), np.ones(6)
    frozen = np.ones(6)
    frozen.flags.writeable = False
    for error, message, call in [
        (ShapeError, r"\(6,\) or \(6, k\); found \(5,\)", lambda: product.apply(x[:5])),
        (ShapeError, "found", lambda: product.apply(1.0)),
        (ShapeError, "found", lambda: product.apply(np.ones((6, 1, 1)))),
        (InputTypeError, "numeric", lambda: product.apply(np.array(["a"] * 6))),
        (InputTypeError, "numeric", lambda: product.apply(x.astype(object))),
        (InputTypeError, "double", lambda: product.apply(x.astype(np.longdouble))),
        (ShapeError, r"out must .* found shape \(5,\)", lambda: product.apply(x, out=np.ones(5))),
        (InputTypeError, "dtype float32", lambda: product.apply(x, out=np.ones(6, np.float32))),
        (InputTypeError, "writeable", lambda: product.apply(x, out=frozen)),
        (ShapeError, "rows must be 6 integers", lambda: product.apply(x, rows=np.arange(5))),
        (ShapeError, "columns must be 6 integers", lambda: product.apply(x, columns=np.ones(6))),
        (ShapeError, "permutation", lambda: product.apply(x, rows=np.array([0, 1, 2, 3, 4, 4]))),
        (ShapeError, "permutation", lambda: product.apply(x, columns=np.arange(1, 7))),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_without_numba(monkeypatch, caplog):
    compiled_twin.cache_clear()
    monkeypatch.setitem(sys.modules, "fsmf.kernels.kronecker_matmul_cpu", None)
    assert plain._twin() is None
    assert "NumPy takes the place" in caplog.text
    compiled_twin.cache_clear()


@st.composite
def chains(draw):
    """A chain of factors whose shapes fit: sizes are cut as a·c·d anew for each."""
    size = draw(st.integers(1, 60))
    chain = []
    for _ in range(draw(st.integers(1, 5))):
        a = draw(st.sampled_from([i for i in range(1, size + 1) if size % i == 0]))
        b = draw(st.sampled_from([i for i in range(1, size // a + 1) if size // a % i == 0]))
        d, c = size // (a * b), draw(st.integers(1, 9))
        if a * c * d > 200:
            c = 1
        chain.append((a, b, c, d))
        size = a * c * d
    return chain


@settings(max_examples=60, deadline=None)
@given(
    chain=chains(),
    dtype=st.sampled_from(DTYPES),
    k=st.one_of(st.none(), st.sampled_from([0, 1, 2, 3, 7, 8, 17, 40])),
    order=st.sampled_from("CF"),
    permuted=st.booleans(),
    compiled=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_any_chain(chain, dtype, k, order, permuted, compiled, seed):
    rng = np.random.default_rng(seed)
    values = values_of(chain, dtype, seed)
    m, n = (chain[0][0] * chain[0][1] * chain[0][3], chain[-1][0] * chain[-1][2] * chain[-1][3])
    rows, columns = (rng.permutation(m), rng.permutation(n)) if permuted else (None, None)
    x = np.array(gaussian(rng, (n,) if k is None else (n, k), dtype), order=order)
    out = np.empty((m, *x.shape[1:]), dtype, order=order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_LARGEST_DENSE", 0 if seed % 2 else plain._LARGEST_DENSE)
        if not compiled:
            patch.setattr(plain, "_twin", lambda: None)
        product = ChainProduct(chain, values)
        assert product.apply(x, out=out, rows=rows, columns=columns) is out
        Truth(chain, values).check(x, out, rows, columns)
