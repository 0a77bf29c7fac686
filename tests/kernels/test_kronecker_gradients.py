"""Products of samples with a chain, and their gradients, against dense matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.kernels.kronecker_gradients_cpu import ChainGradients

CHAINS = {
    "butterfly": fsmf.butterfly(256),
    "rectangular": fsmf.butterfly(48, 36, rank=2),
    "kaleidoscope": fsmf.kaleidoscope(16),
    "odd blocks": fsmf.Architecture([(1, 3, 5, 14), (5, 7, 3, 2)]),
    "one factor": fsmf.Architecture([(2, 3, 1, 17)]),
}


def dense(patterns, values):
    """Each factor by the definition of its pattern."""
    found = []
    for (a, b, c, d), value in zip(patterns, values, strict=True):
        X = np.zeros((a, b, d, a, c, d), value.dtype)
        for alpha in range(a):
            for delta in range(d):
                X[alpha, :, delta, alpha, :, delta] = value[alpha, :, delta]
        found.append(X.reshape(a * b * d, a * c * d))
    return found


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 80) | st.sampled_from([128, 1300]),
    dtype=st.sampled_from([np.float32, np.float64]),
    has_bias=st.booleans(),
)
def test_products_and_gradients_are_those_of_dense_matrices(chain, seed, count, dtype, has_bias):
    rng = np.random.default_rng(seed)
    patterns = [pattern.abcd for pattern in chain.patterns]
    values = [rng.standard_normal((a, b, d, c)).astype(dtype) for a, b, c, d in patterns]
    (m, n), factors = chain.shape, [X.astype(float) for X in dense(patterns, values)]
    bias = [rng.standard_normal(m).astype(dtype)] * has_bias
    padded = rng.standard_normal((count, n + 3)).astype(dtype)
    x, gy = padded[:, 3:], rng.standard_normal((count, m)).astype(dtype)
    y, gx = np.empty((count, m), dtype), np.empty((count, n), dtype)
    kernels = ChainGradients(patterns)
    kernels.multiply([*values, *bias], x, y)
    found = kernels.differentiate([*values, *bias], x, gy, gx)
    x, gy = x.astype(float), gy.astype(float)
    left, right = [np.eye(m)], [np.eye(n)]
    for X in factors[:-1]:
        left.append(left[-1] @ X)
    for X in factors[:0:-1]:
        right.insert(0, X @ right[0])
    W = left[-1] @ factors[-1]
    assert_near(y, x @ W.T + (bias[0] if has_bias else 0))
    assert_near(gx, gy @ W)
    for pattern, own, before, after in zip(chain.patterns, found, left, right, strict=False):
        of_factor = before.T @ (gy.T @ x) @ after.T
        assert_near(own, of_factor[pattern.toarray()])
    assert len(found) == len(factors) + has_bias
    if has_bias:
        assert_near(found[-1], gy.sum(axis=0))


def assert_near(found, expected):
    precision = 100 * np.finfo(found.dtype).eps
    assert np.linalg.norm(found - expected) <= precision * np.linalg.norm(expected)


def test_values_may_be_left_out_and_threads_change_nothing():
    chain = CHAINS["butterfly"]
    kernels = ChainGradients([pattern.abcd for pattern in chain.patterns])
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(pattern.blocks_shape) for pattern in chain.patterns]
    x, gy, found = rng.standard_normal((999, 256)), rng.standard_normal((999, 256)), []
    for threads in (1, 4):
        gx, y = np.empty_like(x), np.empty_like(gy)
        kernels.multiply(values, x, y, threads=threads)
        found.append([y, *kernels.differentiate(values, x, gy, gx, threads=threads), gx])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    without = np.empty_like(x)
    assert kernels.differentiate(values, x, gy, without, of_values=False) == []
    np.testing.assert_array_equal(without, gx)
