"""Atoms of sparse combinations: planted ones are found, more of them than there are dimensions."""

import numpy as np
import pytest

from fsmf.kernels.sparse_atoms import sparse_atoms


def planted(seed, *, number=8, d=7, m=64, k=8, dtype=float):
    """Coefficients, k of each atom, and atoms; some rows combine none."""
    rng = np.random.default_rng([seed, number, d])

    def gaussian(*shape):
        return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype is complex else 0)

    X = np.zeros((m, number), dtype)
    for j in range(number):
        X[rng.choice(m, k, replace=False), j] = gaussian(k)
    return X, gaussian(number, d)


def is_found(D, true):
    """Whether each planted atom is a multiple of one that was found."""
    D, true = (some / np.linalg.norm(some, axis=1)[:, None] for some in (D, true))
    return bool((np.abs(true @ D.conj().T).max(axis=1) > 1 - 1e-9).all())


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(
    ("number", "d", "m", "k"), [(8, 7, 64, 8), (8, 6, 64, 8), (5, 3, 48, 8), (12, 11, 96, 10)]
)
def test_planted_atoms_are_found(number, d, m, k, dtype):
    """Nearly always where as many rows are multiples of an atom, or combine two, as here."""
    found = 0
    for seed in range(5):
        X, true = planted(seed, number=number, d=d, m=m, k=k, dtype=dtype)
        coefficients, D = sparse_atoms(X @ true, number, np.random.default_rng(0))
        np.testing.assert_allclose(np.linalg.norm(D, axis=1), 1)
        np.testing.assert_allclose(coefficients @ D, X @ true, atol=1e-5 * np.abs(X @ true).max())
        if is_found(D, true):
            assert np.count_nonzero(coefficients) <= np.count_nonzero(X)
            found += 1
    assert found >= 4


def test_walls_tell_where_atoms_lie():
    """Atoms of few entries: more of them are found where it is known that they lie where entries vanish."""
    found = [0, 0]
    for seed in range(40):
        X, true = planted(seed, m=40, k=5)
        rng = np.random.default_rng(seed)
        for j in range(7):
            true[rng.permutation(8)[3:], j] = 0
        if true.any(axis=1).all() and np.linalg.matrix_rank(true) == 7:
            for i, walls in enumerate((None, np.eye(7))):
                coefficients, D = sparse_atoms(X @ true, 8, np.random.default_rng(0), walls=walls)
                counts = np.count_nonzero(coefficients), np.count_nonzero(np.abs(D) > 1e-9)
                found[i] += counts[0] <= np.count_nonzero(X) and counts[1] <= np.count_nonzero(true)
    assert found[1] > found[0] > 0


@pytest.mark.parametrize("noise", [1e-8, 1e-7])
def test_noise_hides_no_atom(noise):
    for seed in range(4):
        X, true = planted(seed)
        B = X @ true + noise * np.random.default_rng(seed).standard_normal((64, 7))
        coefficients, D = sparse_atoms(B, 8, np.random.default_rng(0), noise=noise)
        assert is_found(D, true)
        assert np.count_nonzero(coefficients) <= np.count_nonzero(X) + 2
        np.testing.assert_allclose(coefficients @ D, B, atol=1e3 * noise)


def test_where_there_are_none_the_product_stays():
    rng = np.random.default_rng(0)
    for m, d, number in ((3, 3, 5), (20, 4, 4), (20, 4, 7), (9, 1, 2)):
        B = rng.standard_normal((m, d))
        X, D = sparse_atoms(B, number, np.random.default_rng(0))
        assert len(D) <= number
        np.testing.assert_allclose(X @ D, B, atol=1e-9)
