"""Chains split from left to right: against dense products and LAPACK on explicit blocks, on either path."""

from functools import cache
from itertools import pairwise
from math import prod

import numpy as np
import pytest
import scipy.linalg

from fsmf.errors import ShapeError, SupportError
from fsmf.kernels import kronecker_split as plain
from fsmf.kernels.kronecker_split import split, split_left

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def radix_chain(rows, columns, rank=1, a=1, d=1):
    """The chain of a matrix of prod(rows) × prod(columns), with equal ranks, between copies a and d."""
    ranks = [1] + [rank] * (len(rows) - 1) + [1]
    return [
        (a * prod(columns[:s]), rows[s] * ranks[s], columns[s] * ranks[s + 1], d * prod(rows[s + 1 :]))
        for s in range(len(rows))
    ]


CHAINS = {
    "dyadic": radix_chain([2] * 5, [2] * 5),
    "one factor": [(2, 3, 4, 2)],
    "two factors": radix_chain([6, 5], [4, 7]),
    "mixed radix": radix_chain([2, 3, 4], [3, 2, 5]),
    "rank 2": radix_chain([4, 4, 4], [4, 4, 4], 2),
    "rank 3, tall": radix_chain([5, 4, 6], [4, 4, 5], 3),
    "rank 4, wide": radix_chain([8, 4], [6, 8], 4),
    "few columns at last": radix_chain([3, 6, 7], [3, 6, 2], 2),
    "redundant": radix_chain([2, 4, 2], [2, 2, 4], 4),
    "copies": radix_chain([2, 4, 4], [4, 4, 2], 1, a=3, d=2),
    "copies of rank 2": radix_chain([4, 4], [4, 4], 2, a=2, d=3),
    "many rows": radix_chain([40, 3], [5, 4]),
    "many rows at last": radix_chain([3, 20, 2], [6, 8, 3], 2, d=2),
}
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())


@pytest.fixture(params=["plain", "compiled"], autouse=True)
def path(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(plain, "_twin", lambda: None)
    else:
        monkeypatch.setattr(plain, "_FEW", 0)
    return request.param


def gaussian(rng, shape, dtype=np.float64):
    X = rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        X = X + 1j * rng.standard_normal(shape)
    return X.astype(dtype)


def dense(values, pattern):
    """The factor, each value in its place."""
    a, b, c, d = pattern
    X = np.zeros((a * b * d, a * c * d), values.dtype)
    i, j, k, l = np.ogrid[:a, :b, :d, :c]
    X[(i * b + j) * d + k, (i * c + l) * d + k] = values
    return X


def product_support(chain):
    a, d = chain[0][0], chain[-1][3]
    rows, columns = chain[0][1] * chain[0][3] // d, chain[-1][0] * chain[-1][2] // a
    return np.kron(np.kron(np.eye(a), np.ones((rows, columns))), np.eye(d)) > 0


def exact(chain, rng, dtype=np.float64):
    """The product of random factors."""
    out = np.eye(1)
    for s, (a, b, c, d) in enumerate(chain):
        X = dense(gaussian(rng, (a, b, d, c), dtype), (a, b, c, d)).astype(np.result_type(dtype, float))
        out = out @ X if s else X
    return (out / np.linalg.norm(out)).astype(dtype)


@cache
def interface_blocks(left, right):
    """Rows, columns and members of each class of a pair, found from the supports alone."""
    X, Y = (dense(np.ones((a, b, d, c), int), (a, b, c, d)) for a, b, c, d in (left, right))
    classes = {}
    for k in range(X.shape[1]):
        key = (tuple(np.flatnonzero(X[:, k])), tuple(np.flatnonzero(Y[k])))
        classes.setdefault(key, []).append(k)
    rows, columns = zip(*classes, strict=True)
    return np.array(rows), np.array(columns), np.array(list(classes.values()))


def join(left, right):
    (a, b, _, d), (a_next, _, c, d_next) = left, right
    return (a, b * d // d_next, a_next * c // a, d_next)


def check(found, A, chain):
    """What the docstring promises, all recomputed from dense matrices in double precision."""
    values, tails, *losses, norm = found
    single = np.finfo(A.dtype).eps > 1e-10
    eps = 40 * float(np.finfo(A.dtype).eps)
    assert [X.shape for X in values] == [(a, b, d, c) for a, b, c, d in chain]
    assert {X.dtype for X in values} == {A.dtype}
    assert [t.shape for t in tails] == [(right[0], left[3]) for left, right in pairwise(chain)]
    assert {t.dtype for t in tails} <= {np.dtype(float)}
    assert losses in ([], [pytest.approx([np.linalg.norm(t) for t in tails], rel=1e-12)])
    A = A * product_support(chain)
    scale = (
        np.linalg.norm(A.astype(np.result_type(A.dtype, float)) / abs(A).max()) * abs(A).max()
        if A.any()
        else 1
    )
    rest = A.astype(np.result_type(A.dtype, float)) / scale
    assert norm / scale == pytest.approx(np.linalg.norm(rest), rel=eps)
    factors = [dense(X, pattern).astype(rest.dtype) for X, pattern in zip(values, chain, strict=True)]
    factors[-1] /= scale
    whole = rest
    # Interface by interface: the columns of each class are orthonormal, and take the best of what is left.
    after = chain[-1]
    joined = [after := join(pattern, after) for pattern in chain[-2::-1]][::-1]
    for s, (X, lost) in enumerate(zip(factors, tails, strict=False)):
        right = joined[s + 1] if s + 2 < len(chain) else chain[-1]
        r = chain[s][0] * chain[s][2] // right[0]
        rows, columns, own = interface_blocks(chain[s], right)
        blocks = rest[rows[:, :, None], columns[:, None, :]]
        peaks = abs(blocks).max((1, 2))
        peaks[peaks == 0] = 1
        singular_values = np.linalg.svd(blocks / peaks[:, None, None], compute_uv=False)
        squares = np.linalg.norm(singular_values[:, r:], axis=1) * peaks
        U = X[rows[:, :, None], own[:, None, :]]
        gram = U.conj().swapaxes(1, 2) @ U
        unit = np.einsum("ijj->ij", gram).real > 0.5
        assert np.allclose(gram, unit[:, None] * np.eye(r), atol=eps, rtol=0)
        assert (unit.sum(1) == min(r, *blocks.shape[1:])).all()
        rounding = eps * np.linalg.norm(rest)
        assert np.allclose(
            np.sort(lost.ravel()) / scale, np.sort(squares), rtol=1e-5 if single else 1e-8, atol=rounding
        )
        # Padding aside, the columns of X are orthonormal: what is left is Xᴴ times what was.
        rest = X.conj().T @ rest * dense(np.ones((right[0], right[1], right[3], right[2])), right)
    approximation = factors[0]
    for X in factors[1:]:
        approximation = approximation @ X
    error = np.linalg.norm(whole - approximation)
    total = np.sqrt(sum(np.sum((t / scale) ** 2) for t in tails))
    assert error == pytest.approx(total, rel=1e-5 if single else 1e-9, abs=eps * max(1, len(chain)))
    return error


@every_chain
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [0, 1e-4, 0.1])
def test_a_chain_and_noise(chain, dtype, noise):
    rng = np.random.default_rng(0)
    A = exact(chain, rng, dtype)
    N = gaussian(rng, A.shape, dtype)
    A = (A + noise / np.linalg.norm(N) * N).astype(dtype)
    error = check(split_left(A, chain), A, chain)
    assert error <= (len(chain) ** 0.5 * noise + 100 * np.finfo(dtype).eps)


@every_chain
def test_what_is_no_chain_at_all(chain):
    A = exact(chain, np.random.default_rng(1))
    A = gaussian(np.random.default_rng(2), A.shape)
    check(split_left(A, chain), A, chain)


@pytest.mark.parametrize("n", [64, 256])
def test_recovers_transforms(n):
    levels = n.bit_length() - 1
    chain = radix_chain([2] * levels, [2] * levels)
    reverse = [int(f"{i:0{levels}b}"[::-1], 2) for i in range(n)]
    for A in (scipy.linalg.hadamard(n) * 1.0, np.fft.fft(np.eye(n))[:, reverse], np.eye(n), np.ones((n, n))):
        values, tails, _, norm = split_left(A, chain)
        assert norm == pytest.approx(np.linalg.norm(A), rel=1e-14)
        assert np.sqrt(sum(np.sum(t**2) for t in tails)) < 1e-15 * n**0.5 * norm
        Z = np.eye(n)
        for X, pattern in zip(values, chain, strict=True):
            Z = Z @ dense(X, pattern)
        assert np.linalg.norm(Z - A) < 1e-15 * n**0.5 * norm


@pytest.mark.parametrize("name", ["dyadic", "rank 2", "copies"])
def test_every_layout_gives_the_same(name):
    chain = CHAINS[name]
    A = gaussian(np.random.default_rng(3), exact(chain, np.random.default_rng(0)).shape)
    spread = np.zeros((2 * A.shape[0], 3 * A.shape[1]))
    spread[::-2, ::3] = A
    frozen = A.copy()
    frozen.flags.writeable = False
    expected = split_left(A, chain)
    for given in (np.asfortranarray(A), spread[::-2, ::3], frozen):
        before = given.copy()
        found = split_left(given, chain)
        assert (given == before).all()
        for X, Y in zip(found.values + found.tails, expected.values + expected.tails, strict=True):
            assert np.allclose(X, Y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.float64, 1e-60), (np.complex128, 1e60), (np.float32, 1e-9), (np.complex64, 1e9)]
)
@pytest.mark.parametrize("name", ["dyadic", "rank 2", "rank 3, tall"])
@pytest.mark.parametrize("noise", [0, 0.1])
def test_scales(name, dtype, scale, noise):
    rng, chain = np.random.default_rng(4), CHAINS[name]
    A = exact(chain, rng, dtype)
    A = (scale * (A + noise * gaussian(rng, A.shape, dtype) / len(A))).astype(dtype)
    check(split_left(A, chain), A, chain)


@every_chain
def test_zeros_and_ties(chain):
    A = exact(chain, np.random.default_rng(0))
    for B in (np.zeros(A.shape), np.ones(A.shape), np.eye(*A.shape), np.outer(np.arange(len(A)) % 2, A[0])):
        check(split_left(B, chain), B, chain)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize(
    "kind", ["any", "steep", "whole numbers", "few values", "in parts", "shuffled", "one row"]
)
def test_one_block(kind, dtype):
    """Up to 32 rows, of any rank: steep spectra, ties, and Gram matrices that fall apart."""
    rng = np.random.default_rng(8)
    for b, c, r in [(2, 2, 1), (5, 9, 3), (8, 40, 4), (16, 7, 2), (31, 33, 1), (32, 128, 4), (32, 32, 30)]:
        B = gaussian(rng, (b, c), dtype)
        if kind == "steep":
            B *= 10.0 ** -np.arange(b)[:, None]
        elif kind == "whole numbers":
            B = np.round(B)
        elif kind == "few values":
            B = (
                np.linalg.qr(gaussian(rng, (b, b), dtype))[0]
                @ np.diag(np.where(np.arange(b) < 5, 3, 1))
                @ np.eye(b, c)
            )
        elif kind == "in parts":
            B *= np.arange(b)[:, None] % 3 == np.arange(c) % 3
        elif kind == "shuffled":
            B = np.eye(b, c, dtype=dtype)[rng.permutation(b)] * (1 + np.arange(c) % 7)
        elif kind == "one row":
            B[np.arange(b) != b // 2] = 0
        check(split_left(B, [(1, b, r, 1), (1, r, c, 1)]), B, [(1, b, r, 1), (1, r, c, 1)])


@pytest.mark.parametrize("chain", [CHAINS["rank 2"], radix_chain([8, 4], [8, 8], 3)], ids=["square", "tall"])
@pytest.mark.parametrize("small", [1e-3, 1e-6, 1e-9, 1e-12])
def test_graded_blocks(chain, small):
    """Small singular values that are to be kept, and what is lost beside them, smaller still."""
    rng, (left, right) = (
        np.random.default_rng(5),
        (chain[0], chain[1] if len(chain) == 2 else join(*chain[1:])),
    )
    A = exact([left, right], rng)
    for rows, columns, _ in zip(*interface_blocks(left, right), strict=True):
        place = np.ix_(rows, columns)
        U, s, Vh = np.linalg.svd(A[place], full_matrices=False)
        A[place] = U * (s[0] * small ** (np.arange(len(s)) / 2)) @ Vh
    check(split_left(A, chain), A, chain)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["dyadic", "rank 2", "many rows"])
def test_the_norm_tells_of_what_is_not_finite(bad, name):
    chain = CHAINS[name]
    A = exact(chain, np.random.default_rng(0))
    A[1, 2] = bad
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(split_left(A, chain).norm)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["two factors", "rank 4, wide", "copies of rank 2", "many rows"])
def test_one_split(name, dtype, side):
    left, right = CHAINS[name]
    a, b, c, d = join(left, right)
    V = gaussian(np.random.default_rng(6), (a, b, d, c), dtype)
    V.flags.writeable = False
    X, Y, tails = split(V, left, right, side=side)
    A = dense(V, (a, b, c, d))
    if side == "left":
        check(([X, Y], [tails], np.linalg.norm(A)), A, [left, right])
    else:
        mirrored = [(p[0], p[2], p[1], p[3]) for p in (right, left)]
        gram = dense(Y, right).conj() @ dense(Y, right).T
        assert np.allclose(np.diag(gram).real, 1, atol=1e-5) or min(left[1], c) < left[2]
        error = np.linalg.norm(A - dense(X, left) @ dense(Y, right))
        assert error == pytest.approx(np.linalg.norm(tails), rel=1e-5, abs=1e-5)
        assert [Y.shape, X.shape] == [(p[0], p[2], p[3], p[1]) for p in mirrored]


@pytest.mark.parametrize("path", ["compiled"], indirect=True)  # the plain twin has no strips
def test_deep_in_cache_or_not(monkeypatch):
    """However many cuts a strip goes through, and however many threads: the same."""
    from fsmf.kernels import kronecker_split_cpu as twin

    chain = radix_chain([2, 4, 2, 3], [3, 2, 4, 2], 2)
    A = gaussian(np.random.default_rng(7), (48, 48))
    expected = split_left(A, chain)
    monkeypatch.setattr(twin, "_ALONE", 0)
    for strip in (0, 48 * 8 * 10, 1 << 30):
        monkeypatch.setattr(twin, "_STRIP", strip)
        found = split_left(A, chain)
        assert all((X == Y).all() for X, Y in zip(found.values, expected.values, strict=True))
        check(found, A, chain)


def test_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="shape"):
        split_left(np.eye(5), CHAINS["dyadic"])
    with pytest.raises(ShapeError, match="values of shape"):
        split(np.ones((1, 4, 1, 5)), (1, 2, 2, 2), (2, 2, 2, 1))
    for left, right in [
        ((1, 2, 2, 2), (2, 2, 2, 2)),
        ((2, 2, 2, 2), (3, 2, 2, 1)),
        ((1, 2, 3, 2), (2, 2, 2, 1)),
    ]:
        with pytest.raises(SupportError, match="chainable"):
            split(np.ones((1, 4, 1, 4)), left, right)
