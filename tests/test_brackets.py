"""The bracket that is known before factorizing, against blocks by their definition."""

import math

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import DTYPES, ORDERS, gaussian, patterns, slack
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse

import fsmf
from fsmf import Architecture, Hierarchical
from fsmf.errors import InputError, InputTypeError, RefusedError, ShapeError

SMALL = chainable_architectures(max_splits=6)


@settings(max_examples=100)
@given(SMALL, st.sampled_from(DTYPES), st.booleans(), st.integers(0, 99))
def test_distances_are_those_of_the_blocks(chain, dtype, turned, seed):
    A = gaussian(chain.shape, dtype, seed)
    out = oracles.chain_out_of_reach(A, patterns(chain))
    kept = chain.reduced()[1][1:]
    E = [oracles.chain_distance(A, patterns(chain), s) if s in kept else 0.0 for s in range(1, len(chain))]
    if turned and not chain.T.is_chainable:
        A, chain, E = A.T, chain.T, E[::-1]
    elif turned:
        A, chain = np.asfortranarray(A), chain
    found = fsmf.bracket(A, chain)
    tight = slack(A)
    assert found.distances == pytest.approx(E, rel=1e-5, abs=tight)
    assert found.out_of_reach == pytest.approx(out, rel=1e-6, abs=tight)
    assert found.lower_bound == pytest.approx(math.hypot(out, max(E)), rel=1e-5, abs=tight)
    assert found.upper_bound == pytest.approx(math.hypot(out, *E), rel=1e-5, abs=tight)
    for residual, distance in zip(found.residuals, found.distances, strict=True):
        assert np.linalg.norm(residual) == pytest.approx(distance)


@settings(max_examples=60)
@given(SMALL, st.booleans(), st.integers(0, 99))
def test_every_factorization_falls_between(chain, cplx, seed):
    A = gaussian(chain.shape, complex if cplx else float, seed)
    found = fsmf.bracket(A, chain)
    for order in ORDERS:
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
        assert found.lower_bound <= F.error * (1 + 1e-9) + slack(A)
        assert F.lower_bound <= found.lower_bound * (1 + 1e-9) + slack(A)
        ceiling = found.upper_bound if order != "balanced" else found.out_of_reach + sum(found.distances)
        assert F.error <= ceiling * (1 + 1e-9) + slack(A)


def test_residuals_are_laid_out_as_the_blocks():
    chain = Architecture([(2, 3, 2, 6), (4, 3, 2, 2)])
    A = gaussian(chain.shape)
    (a1, b1, _, _), (a2, _, c2, d2) = patterns(chain)
    (residual,) = fsmf.bracket(A, chain).residuals
    d1 = chain[0].abcd[3]
    assert residual.shape == (a2, d1)
    for alpha_kappa in range(a2):
        for t in range(d1):
            rows = [(alpha_kappa // (a2 // a1) * b1 + beta) * d1 + t for beta in range(b1)]
            columns = [(alpha_kappa * c2 + gamma) * d2 + t % d2 for gamma in range(c2)]
            expected = oracles.tail(A[np.ix_(rows, columns)], chain.ranks[0])
            assert residual[alpha_kappa, t] == pytest.approx(expected)


def test_the_map_shows_where_a_matrix_is_no_butterfly():
    H = linalg.hadamard(8).astype(float)
    H[0, 0] += 1
    found = fsmf.bracket(H, fsmf.butterfly(8))
    for residual in found.residuals:
        assert residual[0, 0] > 0.1
        assert np.count_nonzero(residual > 1e-12) == 1
    # Of the transposed problem the maps are transposed.
    turned = fsmf.bracket(H.T, fsmf.butterfly(8).T)
    for one, other in zip(found.residuals, reversed(turned.residuals), strict=True):
        assert np.allclose(one, other.T)


def test_permutations_of_an_answer_and_of_masks_are_kept():
    A, rng = gaussian((16, 16)), np.random.default_rng(0)
    rows, columns = rng.permutation(16), rng.permutation(16)
    F = fsmf.factorize(A, fsmf.butterfly(16), solver=Hierarchical(permutation=(rows, columns)))
    expected = fsmf.bracket(A[np.ix_(rows, columns)], fsmf.butterfly(16))
    assert fsmf.bracket(A, F).distances == pytest.approx(expected.distances)
    assert fsmf.bracket(A.T, F.T).distances == pytest.approx(expected.distances[::-1])
    masks = [pattern.toarray() for pattern in fsmf.butterfly(16)]
    back = np.argsort(rows), np.argsort(columns)
    masks[0], masks[-1] = masks[0][back[0]], masks[-1][:, back[1]]
    assert fsmf.bracket(A, masks).distances == pytest.approx(expected.distances)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e-310])
def test_scales(scale):
    A = gaussian((16, 16))
    found, plain = fsmf.bracket(A * scale, fsmf.butterfly(16)), fsmf.bracket(A, fsmf.butterfly(16))
    assert np.array(found.distances) / scale == pytest.approx(plain.distances, rel=1e-6)
    assert found.upper_bound / scale == pytest.approx(plain.upper_bound, rel=1e-6)
    single = fsmf.bracket((A * 1e-30).astype(np.float32), fsmf.butterfly(16))
    assert np.array(single.distances) * 1e30 == pytest.approx(plain.distances, rel=1e-4)


def test_exact_products_and_zeros_have_none():
    for A in (linalg.hadamard(16), np.zeros((16, 16)), np.eye(16), np.ones((16, 16), int)):
        assert fsmf.bracket(A, fsmf.butterfly(16)).upper_bound <= 1e-13


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
def test_sparse_matrices(container):
    chain = Architecture([(2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)])
    A = gaussian(chain.shape) * (np.random.default_rng(1).random(chain.shape) < 0.4)
    for matrix, supports in ((A, chain), (A.T, chain.T)):
        dense, thin = fsmf.bracket(matrix, supports), fsmf.bracket(container(matrix), supports)
        assert thin.distances == pytest.approx(dense.distances)
        assert thin.out_of_reach == pytest.approx(dense.out_of_reach)


def test_one_factor_has_no_interface():
    A = gaussian((12, 16))
    found = fsmf.bracket(A, Architecture([(2, 3, 4, 2)]))
    assert found.distances == found.residuals == ()
    assert found.lower_bound == found.upper_bound == found.out_of_reach
    assert found.out_of_reach == pytest.approx(oracles.chain_out_of_reach(A, [(2, 3, 4, 2)]))


def test_it_prints():
    text = str(fsmf.bracket(gaussian((8, 8)), fsmf.butterfly(8)))
    assert text.count("≤") == 2
    assert "by interface" in text


@pytest.mark.parametrize(
    ("A", "supports", "error"),
    [
        (np.eye(4), fsmf.lu(4), RefusedError),
        (np.eye(4), fsmf.kaleidoscope(4), RefusedError),
        (np.eye(5), fsmf.butterfly(4), ShapeError),
        (np.ones(4), fsmf.butterfly(4), ShapeError),
        (np.full((4, 4), np.nan), fsmf.butterfly(4), InputError),
        (np.full((4, 4), "a"), fsmf.butterfly(4), InputTypeError),
    ],
)
def test_misuse(A, supports, error):
    with pytest.raises(error):
        fsmf.bracket(A, supports)
