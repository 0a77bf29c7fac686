"""Orders of rows and columns: shuffled products of many families fit again, and misfits are told."""

import numpy as np
import pytest
from scipy import sparse

import fsmf
from fsmf.errors import InputError, OptionError, ShapeError

FAMILIES = {
    "block diagonal": fsmf.block_diagonal(12, 10, blocks=4),
    "blocks of rank two": fsmf.block_diagonal(16, blocks=4, rank=2),
    "banded": fsmf.banded(8, lower=1, upper=1),
    "arrow": fsmf.arrow(6, width=1),
    "monarch": fsmf.monarch(16, blocks=4),
    "triangular": [np.eye(8), np.tri(8)],
    "three factors": [np.kron(np.eye(4), np.ones((2, 2))), np.eye(8), np.kron(np.eye(4), np.ones((2, 2)))],
}


def shuffled(supports, seed, noise=0.0, kind=float):
    rng = np.random.default_rng(seed)
    A = 1.0
    for support in fsmf.as_supports(supports):
        S = support.toarray()
        X = S * rng.standard_normal(S.shape)
        A = A @ (X + 1j * S * rng.standard_normal(S.shape) if kind is complex else X) if np.ndim(A) else X
    E = rng.standard_normal(A.shape)
    A = A + noise * np.linalg.norm(A) / np.linalg.norm(E) * E
    return A[rng.permutation(A.shape[0])][:, rng.permutation(A.shape[1])]


@pytest.mark.parametrize("name", FAMILIES)
def test_shuffled_products_fit_again(name):
    supports = fsmf.as_supports(FAMILIES[name])
    A = shuffled(supports, 0)
    F = fsmf.find_order(A, supports)
    assert F.relative_error < 1e-6
    np.testing.assert_allclose(F.to_dense(), A, atol=1e-5 * np.linalg.norm(A))
    assert F.supports == supports
    assert F.verify(A)


def test_noise_is_left():
    supports = fsmf.block_diagonal(16, blocks=4)
    A = shuffled(supports, 0, noise=0.1)
    assert fsmf.find_order(A, supports).relative_error < 0.1


def test_pivots_are_found():
    """The swap has no factors on triangles in its own order, and is one in the other."""
    F = fsmf.find_order(np.array([[0.0, 1.0], [1.0, 0.0]]), fsmf.lu(2))
    assert F.relative_error < 1e-12


def test_no_order_helps_a_matrix_without_structure():
    A = np.random.default_rng(0).standard_normal((8, 8))
    supports = fsmf.block_diagonal(8, blocks=4)
    F = fsmf.find_order(A, supports, starts=1, max_rounds=3)
    assert 0.5 < F.relative_error <= fsmf.factorize(A, supports).relative_error
    assert F.lower_bound > 0
    same = fsmf.find_order(A, supports, starts=1, max_rounds=3)
    np.testing.assert_array_equal(F.rows, same.rows)
    np.testing.assert_array_equal(F.columns, same.columns)


def test_sparse_complex_and_zero():
    supports = fsmf.block_diagonal(8, blocks=4)
    A = shuffled(supports, 3, kind=complex)
    assert fsmf.find_order(A, supports).relative_error < 1e-12
    assert fsmf.find_order(sparse.csr_array(A.real), fsmf.block_diagonal(8, blocks=4)).relative_error < 0.9
    assert fsmf.find_order(np.zeros((8, 8)), supports).error == 0


def test_bad_input():
    supports = fsmf.block_diagonal(4, blocks=2)
    with pytest.raises(ShapeError, match="must agree"):
        fsmf.find_order(np.ones((4, 5)), supports)
    with pytest.raises(InputError):
        fsmf.find_order(np.full((4, 4), np.nan), supports)
    with pytest.raises(OptionError, match="starts"):
        fsmf.find_order(np.eye(4), supports, starts=-1)
    with pytest.raises(OptionError, match="max_rounds"):
        fsmf.find_order(np.eye(4), supports, max_rounds=0)
