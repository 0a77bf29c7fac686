"""Suggested supports: what a matrix was made of comes first."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg

import fsmf
from fsmf.errors import InputError, OptionError


def first(A, **options):
    return fsmf.suggest_supports(A, **options)[0]


def test_low_rank():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((16, 2)) @ rng.standard_normal((2, 16))
    assert first(A).name == "low_rank(16, 16, rank=2)"


def test_butterflies_in_three_orders():
    assert first(scipy.linalg.hadamard(32)).name == "butterfly(32, 32)"
    assert first(np.fft.fft(np.eye(32))).name == "butterfly(32, 32), digits reversed"
    rng = np.random.default_rng(1)
    shuffled = scipy.linalg.hadamard(32)[rng.permutation(32)][:, rng.permutation(32)]
    best = first(shuffled)
    assert best.name == "butterfly(32, 32), reordered"
    assert best.factorization.relative_error < 1e-12
    np.testing.assert_allclose(best.factorization.to_dense(), shuffled, atol=1e-10)


def test_shuffled_blocks():
    rng = np.random.default_rng(0)
    blocks = scipy.linalg.block_diag(*(np.outer(*rng.standard_normal((2, 4))) for _ in range(5)))
    best = first(blocks[rng.permutation(20)][:, rng.permutation(20)])
    assert best.name == "block_diagonal(20, 20, blocks=5, rank=1), reordered"
    assert best.factorization.relative_error < 1e-12


def test_sparse_pairs_are_found():
    rng = np.random.default_rng(0)
    X = fsmf.ColumnSparse((24, 5), 4).project(rng.standard_normal((24, 5)))
    Y = fsmf.RowSparse((5, 24), 4).project(rng.standard_normal((5, 24)))
    best = first(X @ Y)
    assert best.name.startswith("found: ")
    assert best.factorization.n_parameters <= 40
    assert best.factorization.relative_error < 1e-12


def test_ranked_and_unbeaten():
    A = scipy.linalg.hadamard(16) + 0.1 * np.random.default_rng(0).standard_normal((16, 16))
    found = fsmf.suggest_supports(A)
    assert all(a.decades >= b.decades for a, b in pairwise(found))
    pairs = [(one.factorization.n_parameters, one.factorization.relative_error) for one in found]
    for i, (parameters, error) in enumerate(pairs):
        others = pairs[:i] + pairs[i + 1 :]
        assert not any(p <= parameters and e < error for p, e in others)
    assert all(one.factorization.verify(A) for one in found)
    few = fsmf.suggest_supports(A, max_parameters=40)
    assert few
    assert all(one.factorization.n_parameters <= 40 for one in few)


def test_zero_and_prime_sides():
    assert fsmf.suggest_supports(np.zeros((4, 4)))
    assert fsmf.suggest_supports(np.random.default_rng(0).standard_normal((7, 5)), max_parameters=20)


def test_a_number_has_no_fewer_parameters():
    assert all(one.factorization.relative_error == 0 for one in fsmf.suggest_supports([[3.0]]))


def test_bad_input():
    with pytest.raises(OptionError):
        fsmf.suggest_supports(np.eye(4), max_parameters=0)
    with pytest.raises(InputError):
        fsmf.suggest_supports(np.full((4, 4), np.inf))
