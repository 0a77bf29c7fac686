"""The transforms against SciPy's, their chains multiplied out by hand."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import fft, linalg, signal, sparse
from scipy.sparse.linalg import LinearOperator

import fsmf
from fsmf import transforms
from fsmf.errors import FsmfError, InputError, InputTypeError, OptionError, PerformanceWarning, ShapeError
from fsmf.kernels.permutations import digit_reversal
from fsmf.transforms.chain import prime_factors, unit_roots
from fsmf.transforms.toeplitz import _chain_cost, _circulant_chain, _fast_size

SIZES = [*range(1, 65), 97, 120, 128, 243]
NORMS = [None, "backward", "ortho", "forward"]
every_type = pytest.mark.parametrize("kind", [1, 2, 3, 4])


@pytest.fixture(autouse=True)
def large_primes_are_expected():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)
        yield


def multiplied_out(F):
    """The dense matrix, by definition: the product of the factors, rows and columns put in their places."""
    m, n = F.shape
    product = np.eye(n, dtype=F.dtype)
    for support, values in zip(reversed(F.supports), reversed(F.values), strict=True):
        product = sparse.csr_array((values, support.coordinates()), shape=support.shape) @ product
    rows = np.arange(m) if F.rows is None else F.rows
    columns = np.arange(n) if F.columns is None else F.columns
    dense = np.full((m, n), np.nan, dtype=F.dtype)
    dense[np.ix_(rows, columns)] = product
    return dense


def assert_is(F, A, dtype=None):
    """F is the matrix A up to a rounding or two per factor, says its norm, and has its dtype."""
    dtype = A.dtype if dtype is None else np.dtype(dtype)
    assert isinstance(F, fsmf.Factorization)
    assert isinstance(F, LinearOperator)
    assert F.dtype == dtype
    assert F.shape == A.shape
    size, eps = np.linalg.norm(A), np.finfo(dtype).eps
    assert np.linalg.norm(multiplied_out(F) - A) <= eps * (3 + max(A.shape) ** 0.5) * size
    assert F.norm == pytest.approx(size, rel=1e-12)


def vectors(rng, n, dtype=float):
    x = rng.standard_normal((n, 3)).astype(dtype)
    return x + 1j * rng.standard_normal((n, 3)) if np.issubdtype(dtype, np.complexfloating) else x


# Fourier


@pytest.mark.parametrize("n", SIZES)
def test_dft_is_scipys(n):
    identity = np.eye(n)
    for norm in NORMS:
        assert_is(transforms.dft(n, norm=norm), fft.fft(identity, axis=0, norm=norm))
        assert_is(transforms.dft(n, norm=norm, inverse=True), fft.ifft(identity, axis=0, norm=norm))


@pytest.mark.parametrize("radices", [[2, 2, 2, 2, 2], [2, 2, 3, 5], [3, 3, 7], [13], [1]])
def test_dft_is_the_butterfly_behind_the_digit_reversal(radices):
    n = int(np.prod(radices))
    F = transforms.dft(n)
    patterns, copies = [], 1
    for r in radices:
        patterns.append((copies, r, r, n // copies // r))
        copies *= r
    assert F.supports == fsmf.Architecture(patterns)
    assert F.n_parameters == n * sum(radices)
    assert F.rows is None
    np.testing.assert_array_equal(F.columns if n > 13 else np.arange(n), digit_reversal(radices))


@pytest.mark.parametrize("levels", range(1, 11))
def test_dft_of_a_power_of_two_is_dyadic(levels):
    n = 2**levels
    F = transforms.dft(n)
    assert F.supports == fsmf.butterfly(n)
    assert F.n_parameters == 2 * n * levels


def test_roots_that_are_numbers_are_exact():
    assert set(np.concatenate(transforms.dft(4).values).tolist()) == {1, -1, 1j, -1j}
    roots = unit_roots(np.arange(-24, 48), 24)
    np.testing.assert_array_equal(roots[:24], roots[24:48])
    np.testing.assert_allclose(roots, np.exp(2j * np.pi * np.arange(-24, 48) / 24), atol=4e-15)
    np.testing.assert_array_equal(roots[24:48], roots[24:48][-np.arange(24)].conj())


def test_a_large_dft_is_made_and_right():
    n = 1 << 16
    F = transforms.dft(n)
    x = np.random.default_rng(0).standard_normal(n)
    y = x[F.columns]
    for support, values in zip(reversed(F.supports), reversed(F.values), strict=True):
        a, b, c, d = support.abcd
        y = np.einsum("abdc,acd->abd", values.reshape(a, b, d, c), y.reshape(a, c, d))
    y = y.reshape(-1)
    expected = fft.fft(x)
    assert np.linalg.norm(y - expected) <= 1e-15 * np.linalg.norm(expected)


@pytest.mark.parametrize("n", [97, 2 * 97])
def test_a_large_prime_is_reported(n):
    calls = [
        lambda: transforms.dft(n),
        lambda: transforms.hartley(n),
        lambda: transforms.dct(n),
        lambda: transforms.dst(n, 3),
        lambda: transforms.dct(n + 1, 1),
        lambda: transforms.dst(n - 1, 1),
    ]
    for call in calls:
        with pytest.warns(PerformanceWarning, match="prime factor 97") as caught:
            call()
        assert caught[0].filename == __file__


def test_a_small_prime_is_not_reported():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transforms.dft(61 * 4)
        transforms.dct(122)
        transforms.circulant(np.arange(1009.0))


# Trigonometric


@every_type
@pytest.mark.parametrize("n", SIZES)
def test_dct_and_dst_are_scipys(n, kind):
    identity = np.eye(n)
    for norm in NORMS:
        if (kind, n) != (1, 1):
            assert_is(transforms.dct(n, kind, norm=norm), fft.dct(identity, kind, axis=0, norm=norm))
        assert_is(transforms.dst(n, kind, norm=norm), fft.dst(identity, kind, axis=0, norm=norm))


@every_type
@pytest.mark.parametrize("orthogonalize", [True, False])
@pytest.mark.parametrize("n", [2, 3, 8, 15, 36])
def test_orthogonalize_is_scipys(n, kind, orthogonalize):
    for norm in NORMS:
        options = {"norm": norm, "orthogonalize": orthogonalize}
        assert_is(transforms.dct(n, kind, **options), fft.dct(np.eye(n), kind, axis=0, **options))
        assert_is(transforms.dst(n, kind, **options), fft.dst(np.eye(n), kind, axis=0, **options))


@pytest.mark.parametrize("n", SIZES)
def test_hartley_is_its_definition(n):
    y = fft.fft(np.eye(n), axis=0)
    assert_is(transforms.hartley(n), y.real - y.imag)
    H = multiplied_out(transforms.hartley(n, norm="ortho"))
    np.testing.assert_allclose(H @ H, np.eye(n), atol=1e-14)


@pytest.mark.parametrize("n", [1000, 1024])
def test_larger_sizes(n):
    identity = np.eye(n)
    assert_is(transforms.dft(n), fft.fft(identity, axis=0))
    assert_is(transforms.dct(n), fft.dct(identity, axis=0))
    assert_is(transforms.dst(n, 4), fft.dst(identity, 4, axis=0))
    assert_is(transforms.dct(n + 1, 1), fft.dct(np.eye(n + 1), 1, axis=0))


@pytest.mark.parametrize("n", [2, 4, 6, 8, 18, 30, 64, 120, 1024, 1000])
def test_even_sizes_are_chains_of_kronecker_patterns(n):
    primes = prime_factors(n)
    nonzeros = 2 * n * max(1, sum(primes) - 2)
    made = [transforms.hartley(n)]
    made += [transform(n, kind) for transform in (transforms.dct, transforms.dst) for kind in (2, 3, 4)]
    for F in made:
        assert isinstance(F.supports, fsmf.Architecture)
        assert F.supports.is_chainable or F.supports.T.is_chainable
        assert F.n_parameters == nonzeros


@pytest.mark.parametrize("n", [3, 9, 27, 45, 105, 243])
def test_odd_sizes_have_no_more_nonzeros(n):
    for F in (transforms.hartley(n), transforms.dct(n), transforms.dst(n, 4)):
        assert F.n_parameters <= 2 * n * sum(prime_factors(n))


# Hadamard and Haar


@pytest.mark.parametrize("levels", range(11))
def test_hadamard_is_scipys_to_the_last_bit(levels):
    n = 2**levels
    H = linalg.hadamard(n).astype(float)
    F = transforms.hadamard(n)
    np.testing.assert_array_equal(multiplied_out(F), H)
    assert F.supports == fsmf.butterfly(n)
    assert F.rows is None
    assert F.columns is None
    assert_is(transforms.hadamard(n, norm="ortho"), H / n**0.5)
    np.testing.assert_array_equal(multiplied_out(transforms.hadamard(n, norm="forward")), H / n)


@pytest.mark.parametrize("levels", range(8))
def test_orders_of_hadamard(levels):
    n = 2**levels
    H = linalg.hadamard(n)
    walsh = multiplied_out(transforms.hadamard(n, order="sequency"))
    np.testing.assert_array_equal(np.count_nonzero(np.diff(walsh, axis=1), axis=1), np.arange(n))
    np.testing.assert_array_equal(np.unique(walsh, axis=0), np.unique(H, axis=0))
    paley = multiplied_out(transforms.hadamard(n, order="dyadic"))
    reversed_bits = [int(f"{i:0{levels}b}"[::-1], 2) if levels else 0 for i in range(n)]
    np.testing.assert_array_equal(paley, H[reversed_bits])


@pytest.mark.parametrize("levels", range(9))
def test_haar_is_its_definition(levels):
    n = 2**levels
    W = np.zeros((n, n))
    W[0] = n**-0.5
    for j in range(levels):
        width = n >> j
        for i in range(2**j):
            W[2**j + i, i * width : i * width + width // 2] = width**-0.5
            W[2**j + i, i * width + width // 2 : (i + 1) * width] = -(width**-0.5)
    F = transforms.haar(n)
    assert_is(F, W)
    assert F.n_parameters <= np.count_nonzero(W)


def test_haar_is_sparser_than_its_matrix():
    assert transforms.haar(1024).n_parameters < 6 * 1024
    assert transforms.haar(1 << 20).n_parameters == 7 << 20


# Constant diagonals


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 12, 15, 27, 61, 64, 97, 128, 243, 1000])
@pytest.mark.parametrize("dtype", [float, complex])
def test_circulant_is_scipys(n, dtype):
    c = vectors(np.random.default_rng(n), n, dtype)[:, 0]
    assert_is(transforms.circulant(c), linalg.circulant(c))
    chain = _circulant_chain(c)  # also where the matrix itself would be taken
    norm = n**0.5 * np.linalg.norm(c)
    F = chain.factorization("chain", norm=norm, dtype=c.dtype)
    assert_is(F, linalg.circulant(c))
    assert F.n_parameters <= _chain_cost(n, c) or n % 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 50), (50, 30), (200, 200), (300, 120)])
@pytest.mark.parametrize("dtype", [float, complex])
def test_toeplitz_is_scipys(shape, dtype):
    rng = np.random.default_rng(0)
    c, r = vectors(rng, shape[0], dtype)[:, 0], vectors(rng, shape[1], dtype)[:, 0]
    assert_is(transforms.toeplitz(c, r), linalg.toeplitz(c, r))
    assert_is(transforms.toeplitz(c), linalg.toeplitz(c))
    c[3:-2] = r[5:] = 0  # some diagonals, of which the outer ones are none on one side
    assert_is(transforms.toeplitz(c, r), linalg.toeplitz(c, r))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(
    ("k", "n"), [(1, 1), (1, 8), (8, 1), (3, 20), (4, 20), (20, 4), (150, 400), (400, 150)]
)
@pytest.mark.parametrize("dtype", [float, complex])
def test_convolution_is_scipys(k, n, mode, dtype):
    rng = np.random.default_rng(1)
    h = vectors(rng, k, dtype)[:, 0]
    A = np.stack([signal.convolve(e, h, mode, method="direct") for e in np.eye(n)], axis=1)
    F = transforms.convolution(h, n, mode=mode)
    assert_is(F, A)
    if k <= n:
        x = rng.standard_normal(n)
        np.testing.assert_allclose(multiplied_out(F) @ x, np.convolve(x, h, mode), atol=1e-12)


def test_a_long_filter_is_a_chain_and_a_short_one_is_banded():
    h = np.random.default_rng(0).standard_normal(2000)
    short, long = transforms.convolution(h[:5], 3000), transforms.convolution(h, 3000)
    assert (len(short.factors), short.n_parameters) == (1, 15000)
    assert len(long.factors) > 10
    assert long.n_parameters < 2000 * 3000 / 10
    # Whole overlaps need no padding beyond the signal itself.
    assert max(max(s.shape) for s in transforms.convolution(h, 4096, mode="valid").supports) == 4096


def test_a_circulant_of_prime_size_is_cut_out():
    c = np.random.default_rng(0).standard_normal(1009)
    F = transforms.circulant(c)
    assert F.n_parameters < 1009**2 / 5
    assert_is(F, linalg.circulant(c))


@pytest.mark.parametrize("least", [1, 2, 3, 100, 1009, 4097])
def test_fast_sizes_are_the_sparsest(least):
    smooth = [n for n in range(max(2, least), 2 * least + 3) if n % 2 == 0 and prime_factors(n)[-1] <= 5]
    assert _fast_size(least) == min(smooth, key=lambda n: (n * sum(prime_factors(n)), n))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(float, 1e-300), (float, 5e305), (np.float32, 1e-37), (np.float32, 1e36)]
)
def test_extreme_data(dtype, scale):
    c = np.random.default_rng(0).uniform(0.1, 1, 300).astype(dtype)
    T = linalg.toeplitz(c).astype(float)
    F = transforms.toeplitz((c * dtype(scale)).astype(dtype))
    assert len(F.factors) > 1
    assert np.linalg.norm(multiplied_out(F) / dtype(scale) - T) <= 30 * np.finfo(dtype).eps * np.linalg.norm(
        T
    )
    with pytest.raises(InputError, match="overflows"):
        transforms.toeplitz(np.full(300, 1e307))


def test_zero_is_a_matrix_too():
    for F in (transforms.toeplitz(np.zeros(5), np.zeros(3)), transforms.circulant(np.zeros(64))):
        assert F.norm == 0
        assert not multiplied_out(F).any()


# As operators

SOME = {
    "dft": lambda: transforms.dft(60),
    "inverse dft": lambda: transforms.dft(32, inverse=True, dtype=np.complex64),
    "hartley": lambda: transforms.hartley(27),
    "dct": lambda: transforms.dct(48),
    "dct 1": lambda: transforms.dct(33, 1),
    "dst 3": lambda: transforms.dst(45, 3, dtype=np.float32),
    "hadamard": lambda: transforms.hadamard(64, order="sequency"),
    "haar": lambda: transforms.haar(64),
    "circulant": lambda: transforms.circulant(np.random.default_rng(0).standard_normal(128)),
    "toeplitz": lambda: transforms.toeplitz(np.arange(200), 1j * np.arange(150)),
    "convolution": lambda: transforms.convolution(np.ones(150, np.float32), 300),
}
some = pytest.mark.parametrize("make", SOME.values(), ids=SOME.keys())


@some
def test_they_multiply_and_turn(make):
    F = make()
    A = multiplied_out(F)
    rng = np.random.default_rng(2)
    m, n = F.shape
    x, y = vectors(rng, n, F.dtype).astype(F.dtype), vectors(rng, m, F.dtype).astype(F.dtype)
    close = {"rtol": 0, "atol": 100 * np.finfo(F.dtype).eps * F.norm}
    for found, expected in (
        (F @ x, A @ x),
        (F @ x[:, 0], A @ x[:, 0]),
        (F.T @ y, A.T @ y),
        (F.H @ y, A.conj().T @ y),
    ):
        assert found.dtype == F.dtype
        np.testing.assert_allclose(found, expected, **close)


@some
def test_they_are_certified(make):
    F = make()
    assert F.certificate == pickle.loads(pickle.dumps(F)).certificate
    assert F.status.value == "exact by construction"
    assert F.supports.name in str(F)
    A = multiplied_out(F)
    assert F.verify(A)
    A[0, 0] += F.norm
    assert not F.verify(A)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: transforms.dft(24, dtype=np.complex64), np.complex64),
        (lambda: transforms.dft(24, norm="ortho", dtype="complex64"), np.complex64),
        (lambda: transforms.hartley(24, dtype=np.float32), np.float32),
        (lambda: transforms.hartley(27, dtype=np.float32), np.float32),
        (lambda: transforms.dct(24, norm="ortho", dtype=np.float32), np.float32),
        (lambda: transforms.dst(27, 4, dtype=np.float32), np.float32),
        (lambda: transforms.hadamard(8, norm="ortho", dtype=np.float32), np.float32),
        (lambda: transforms.hadamard(8, dtype=complex), np.complex128),
        (lambda: transforms.haar(8, dtype=np.float32), np.float32),
        (lambda: transforms.circulant(np.ones(300, np.float32)), np.float32),
        (lambda: transforms.circulant(np.arange(300)), np.float64),
        (lambda: transforms.toeplitz(np.ones(300, np.complex64), np.ones(9)), np.complex128),
        (lambda: transforms.toeplitz(np.ones(300, np.complex64)), np.complex64),
        (lambda: transforms.convolution(np.ones(3, np.float16), 5), np.float32),
    ],
)
def test_dtypes(make, dtype):
    F = make()
    assert F.dtype == dtype
    assert all(values.dtype == dtype for values in F.values)


# Refusals


@pytest.mark.parametrize(
    "call",
    [
        *(
            lambda f=f, n=n: f(n)
            for f in (transforms.dft, transforms.dct, transforms.dst, transforms.hartley)
            for n in (0, -4, 2.0, "8", None, True, 2**31)
        ),
        *(lambda f=f, n=n: f(n) for f in (transforms.hadamard, transforms.haar) for n in (0, 3, 12, 4.0, -2)),
        lambda: transforms.dct(1, 1),
        *(lambda f=f, k=k: f(8, k) for f in (transforms.dct, transforms.dst) for k in (0, 5, 2.5, "2", None)),
        *(lambda f=f: f(8, norm="orthogonal") for f in (transforms.dft, transforms.dct, transforms.hartley)),
        lambda: transforms.dft(8, norm=["ortho"]),
        lambda: transforms.hadamard(8, order="walsh"),
        lambda: transforms.hadamard(8, order=None),
        lambda: transforms.dft(8, dtype=float),
        lambda: transforms.dct(8, dtype=complex),
        lambda: transforms.dct(8, dtype="no such"),
        lambda: transforms.dct(8, dtype=">f8"),
        lambda: transforms.convolution([1, 2], 0),
        lambda: transforms.convolution([1, 2], 4, mode="circular"),
    ],
)
def test_bad_options_are_refused_in_three_parts(call):
    with pytest.raises(OptionError) as caught:
        call()
    asked, found, do = str(caught.value).split("; ")
    assert "must be" in asked
    assert found.startswith("found ")
    assert do


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([], ShapeError),
        (3.0, ShapeError),
        ([[1.0, 2.0]], ShapeError),
        ([[1], [1, 2]], ShapeError),
        ([1.0, np.nan], InputError),
        ([1.0, np.inf], InputError),
        (["a"], InputTypeError),
        ([None], InputTypeError),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), InputTypeError),
    ],
)
def test_bad_data_are_refused(data, error):
    for call in (transforms.circulant, transforms.toeplitz, lambda c: transforms.toeplitz([1.0, 2.0], c)):
        with pytest.raises(FsmfError) as caught:
            call(data)
        assert type(caught.value) is error
    with pytest.raises(error, match=r"^h must"):
        transforms.convolution(data, 4)
