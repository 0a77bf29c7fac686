"""Blocks at an interface, against dense factors and the definition of classes."""

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import gaussian, patterns
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmf.kernels.kronecker_blocks import Blocks

PAIRS = chainable_architectures(max_factors=2, max_splits=6)


@st.composite
def cuts(draw):
    pair = draw(PAIRS)
    dtype, seed = draw(st.sampled_from([float, complex])), draw(st.integers(0, 99))
    left, right = (gaussian(p.blocks_shape, dtype, [seed, i]) for i, p in enumerate(pair))
    whole = gaussian(pair.product.blocks_shape, dtype, [seed, 2])
    return pair, Blocks.of(*patterns(pair)), left, right, whole


def dense(V, pattern):
    return oracles.chain_factor(V, pattern.abcd)


@settings(max_examples=60)
@given(cuts())
def test_blocks_are_those_of_the_classes(drawn):
    pair, cut, left, right, whole = drawn
    A, X, Y = dense(whole, pair.product), dense(left, pair[0]), dense(right, pair[1])
    blocks = cut.whole(whole).reshape(-1, cut.b, cut.c)
    pieces = [one.reshape(-1, *one.shape[2:]) for one in (cut.left(left), cut.right(right))]
    assert cut.whole(whole).shape[:2] == (pair[1].abcd[0], pair[0].abcd[3])
    expected = {}
    for rows, columns, rank in oracles.chain_blocks(patterns(pair), 1):
        assert rank == cut.r
        expected[A[np.ix_(rows, columns)].tobytes()] = X[rows], Y[:, columns]
    for block, P, Q in zip(blocks, *pieces, strict=True):
        own_rows, own_columns = expected.pop(np.ascontiguousarray(block).tobytes())
        assert np.allclose(P @ Q, own_rows @ own_columns)
    assert not expected


@settings(max_examples=60)
@given(cuts())
def test_views_and_back(drawn):
    _, cut, left, right, whole = drawn
    assert np.array_equal(cut.from_whole(cut.whole(whole)).reshape(whole.shape), whole)
    assert np.array_equal(cut.from_left(cut.left(left)).reshape(left.shape), left)
    assert np.array_equal(cut.from_right(cut.right(right)).reshape(right.shape), right)
    flat = [np.ravel(one) for one in (left, right, whole)]
    assert np.array_equal(cut.left(flat[0]), cut.left(left))
    assert np.array_equal(cut.right(flat[1]), cut.right(right))
    assert np.array_equal(cut.whole(flat[2]), cut.whole(whole))


@settings(max_examples=60)
@given(cuts())
def test_products_and_contractions(drawn):
    pair, cut, left, right, whole = drawn
    A, X, Y = dense(whole, pair.product), dense(left, pair[0]), dense(right, pair[1])
    assert np.allclose(dense(cut.multiply(left, right), pair.product), X @ Y)
    # XᴴA and A Yᴴ, on the places of the other factor.
    for found, pattern, product in (
        (cut.contract_left(left, whole), pair[1], X.conj().T @ A),
        (cut.contract_right(whole, right), pair[0], A @ Y.conj().T),
    ):
        assert np.allclose(dense(found, pattern), np.where(oracles.pattern_array(pattern.abcd), product, 0))


@settings(max_examples=60)
@given(cuts())
def test_shifts_orthogonalize_one_side_and_keep_the_product(drawn):
    pair, cut, left, right, _ = drawn
    product = dense(left, pair[0]) @ dense(right, pair[1])
    X, Y = cut.shift_right(left, right)
    assert np.allclose(dense(X, pair[0]) @ dense(Y, pair[1]), product)
    gram = cut.left(X).conj().swapaxes(2, 3) @ cut.left(X)
    assert np.allclose(gram, np.diag(np.arange(cut.r) < cut.b), atol=1e-12)
    X, Y = cut.shift_left(left, right)
    assert np.allclose(dense(X, pair[0]) @ dense(Y, pair[1]), product)
    gram = cut.right(Y) @ cut.right(Y).conj().swapaxes(2, 3)
    assert np.allclose(gram, np.diag(np.arange(cut.r) < cut.c), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision_stays(dtype):
    pair = [(1, 2, 4, 4), (2, 4, 2, 2)]
    cut = Blocks.of(*pair)
    left, right = (gaussian(a * b * c * d, dtype) for a, b, c, d in pair)
    made = [cut.multiply(left, right), *cut.shift_right(left, right), *cut.shift_left(left, right)]
    assert all(V.dtype == dtype for V in made)
