"""What the factors on one side leave of a matrix: NumPy, its compiled twin, and plain sums."""

import numpy as np
import pytest

from fsmf.kernels import kronecker_contract
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.kronecker_contract import contract_left, contract_right

# Left and right pattern of an interface; the last cannot be a matrix in C order.
PAIRS = {
    "rank one": ((1, 3, 4, 5), (4, 5, 2, 1)),
    "rank two": ((1, 2, 6, 4), (3, 8, 5, 1)),
    "one block": ((1, 4, 2, 1), (1, 2, 5, 1)),
    "many blocks": ((2, 2, 6, 6), (4, 6, 3, 3)),
}
TOLERANCE = {"float32": 1e-5, "complex64": 1e-5, "float64": 1e-13, "complex128": 1e-13}


def drawn(shape, dtype, rng):
    values = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return (values if np.issubdtype(dtype, np.complexfloating) else values.real).astype(dtype)


def dense(values):
    """The matrix with these values, entry by entry."""
    a, b, d, c = values.shape
    A = np.zeros((a * b * d, a * c * d), dtype=values.dtype)
    for i, j, k, l in np.ndindex(a, b, d, c):
        A[(i * b + j) * d + k, (i * c + l) * d + k] = values[i, j, k, l]
    return A


def on_pattern(A, pattern):
    a, b, c, d = pattern
    values = np.zeros((a, b, d, c), dtype=A.dtype)
    for i, j, k, l in np.ndindex(a, b, d, c):
        values[i, j, k, l] = A[(i * b + j) * d + k, (i * c + l) * d + k]
    return values


@pytest.fixture(params=["NumPy", "twin"])
def way(request, monkeypatch):
    monkeypatch.setattr(kronecker_contract, "_FEW", 0)
    if request.param == "NumPy":
        monkeypatch.setattr(kronecker_contract, "_twin", lambda: None)
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("left", "right"), PAIRS.values(), ids=PAIRS)
def test_contractions_are_the_products_on_the_patterns(way, left, right, dtype):
    rng = np.random.default_rng(0)
    cut = Blocks.of(left, right)
    product = (cut.a, cut.b * cut.l, cut.k * cut.c, cut.d)
    V = drawn((product[0], product[1], product[3], product[2]), dtype, rng)
    X, Y = (drawn((a, b, d, c), dtype, rng) for a, b, c, d in (left, right))
    for found, expected in (
        (contract_right(V, Y, cut), on_pattern(dense(V) @ dense(Y).conj().T, left)),
        (contract_left(X, V, cut), on_pattern(dense(X).conj().T @ dense(V), right)),
    ):
        assert (found.shape, found.dtype) == (expected.shape, V.dtype)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype] * abs(expected).max(), rtol=0)


def test_any_strides_are_taken_and_nothing_is_written(way):
    rng = np.random.default_rng(0)
    left, right = PAIRS["rank two"]
    cut = Blocks.of(left, right)
    A = rng.standard_normal((cut.k * cut.c, cut.b * cut.l)).T
    V = A.reshape(1, len(A), 1, -1)
    X, Y = (rng.standard_normal((a, b, d, c)) for a, b, c, d in (left, right))
    for array in (V, X, Y):
        array.flags.writeable = False
    straight = np.ascontiguousarray(V)
    np.testing.assert_allclose(contract_right(V, Y, cut), contract_right(straight, Y, cut), rtol=1e-12)
    np.testing.assert_allclose(contract_left(X, V, cut), contract_left(X, straight, cut), rtol=1e-12)
