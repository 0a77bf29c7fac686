"""Splitting off sparse factors: Hadamard matrices come apart, also under noise; their order matters."""

import time

import numpy as np
import pytest
import scipy.linalg

import fsmf
from fsmf.errors import InputError, OptionError, ShapeError


def noisy_hadamard(n, noise, seed=0):
    H = scipy.linalg.hadamard(n) / np.sqrt(n)
    E = np.random.default_rng(seed).standard_normal((n, n))
    return H + noise * np.linalg.norm(H) / np.linalg.norm(E) * E


@pytest.mark.parametrize("n", [4, 8, 16, 32, 64])
def test_hadamard_matrices_come_apart(n):
    H = noisy_hadamard(n, 0.0)
    fsmf.hierarchical_sparse(H)  # compile
    began = time.process_time()
    F = fsmf.hierarchical_sparse(H)
    assert time.process_time() - began < 2
    assert [support.nnz for support in F.supports] == [2 * n] * (n.bit_length() - 1)
    for X in F.factors:
        counts = X.toarray() != 0
        assert (counts.sum(axis=0) == 2).all()
        assert (counts.sum(axis=1) == 2).all()
    assert F.relative_error <= 1e-14
    assert F.verify(H)


@pytest.mark.parametrize(("noise", "ties"), [(1e-8, 1e-3), (1e-4, 1e-2), (1e-2, 0.2)])
def test_noise_is_left(noise, ties):
    F = fsmf.hierarchical_sparse(noisy_hadamard(16, noise), ties=ties)
    assert [support.nnz for support in F.supports] == [32] * 4
    assert F.relative_error <= noise


def test_ties_are_broken_by_noise_unless_told_otherwise():
    F = fsmf.hierarchical_sparse(noisy_hadamard(8, 1e-3), ties=1e-9)
    assert F.relative_error > 0.1


def test_another_order_is_not_found():
    order = np.random.default_rng(0).permutation(16)
    F = fsmf.hierarchical_sparse(noisy_hadamard(16, 0.0)[order])
    assert F.relative_error > 0.1
    assert F.status is fsmf.Status.SUPPORTS_OPEN


def test_rectangular_complex_and_sparse():
    rng = np.random.default_rng(0)
    left = fsmf.RowColumnSparse((6, 6), 1)
    S = np.eye(6)
    R = fsmf.RowSparse((6, 4), 2).project(rng.standard_normal((6, 4)) + 1j * rng.standard_normal((6, 4)))
    F = fsmf.hierarchical_sparse(S @ R, [(left, fsmf.RowSparse((6, 4), 2))])
    assert F.relative_error < 1e-14
    assert F.dtype == complex
    assert F.search.starts == ("splits",)
    assert "splits + " in F.solver


def test_zero_matrix():
    assert fsmf.hierarchical_sparse(np.zeros((4, 4))).error == 0


def test_bad_input():
    A = np.eye(4)
    with pytest.raises(OptionError, match="power of two"):
        fsmf.hierarchical_sparse(np.eye(6))
    with pytest.raises(OptionError, match="pairs"):
        fsmf.hierarchical_sparse(A, [])
    with pytest.raises(OptionError, match="pairs"):
        fsmf.hierarchical_sparse(A, [[fsmf.Free((4, 4))] * 3])
    with pytest.raises(ShapeError, match="split 0"):
        fsmf.hierarchical_sparse(A, [(fsmf.Free((4, 4)), fsmf.Free((4, 5)))])
    with pytest.raises(ShapeError, match="chain"):
        fsmf.hierarchical_sparse(A, [(fsmf.Free((4, 3)), fsmf.Free((4, 4)))])
    with pytest.raises(OptionError, match="ties"):
        fsmf.hierarchical_sparse(A, ties=0)
    with pytest.raises(OptionError, match="max_sweeps"):
        fsmf.hierarchical_sparse(A, max_sweeps=0)
    with pytest.raises(InputError):
        fsmf.hierarchical_sparse(np.full((4, 4), np.nan))


def test_what_noise_does_not_explain_is_left_open():
    A = np.random.default_rng(0).standard_normal((8, 8))
    F = fsmf.hierarchical_sparse(A)
    assert not F.search.settled
    assert F.status is fsmf.Status.SUPPORTS_OPEN
