"""Chains that are taken apart: planted products are found, and nothing is claimed of other matrices."""

from itertools import pairwise

import numpy as np
import pytest

import fsmf
from fsmf.solvers.problem_coarse import taken_apart
from fsmf.solvers.problem_division import divisions
from fsmf.solvers.problem_part import product_of
from fsmf.supports.support import Supports
from fsmf.tractability import Part, analyze

MONARCH, BUTTERFLY = fsmf.monarch(16, blocks=4), fsmf.butterfly(16)
CHAINS = {
    "kaleidoscope 16": fsmf.kaleidoscope(16),
    "transposed butterfly, butterfly": Supports((*BUTTERFLY.T, *BUTTERFLY)),
    "monarch, butterfly": Supports((*MONARCH, *BUTTERFLY)),
    "butterfly, monarch": Supports((*BUTTERFLY, *MONARCH)),
    "transposed butterfly, transposed monarch": Supports((*BUTTERFLY.T, *MONARCH.T)),
    "monarch, transposed monarch": Supports((*MONARCH, *MONARCH.T)),
}


def planted(supports, rng, *, is_complex=False):
    """A product of Gaussian factors."""
    A = np.eye(supports.shape[0])
    for support in supports:
        X = rng.standard_normal(support.shape)
        A = A @ ((X * np.exp(2j * np.pi * rng.random(X.shape)) if is_complex else X) * support.toarray())
    return A


def points(A, supports, *, ridge=0.0, roots=None):
    structure = analyze(supports)
    problem = product_of(A, Part.whole(structure, roots), ridge=ridge, exponent=0)
    return list(taken_apart(problem, structure, np.random.default_rng(0)))


@pytest.mark.parametrize("name", CHAINS)
def test_planted_products_are_found(name):
    supports = CHAINS[name]
    A = planted(supports, np.random.default_rng(1))
    F = fsmf.factorize(A, supports)
    factors = [X.toarray() for X in F.factors]
    assert np.linalg.norm(A - np.linalg.multi_dot(factors)) <= 1e-9 * np.linalg.norm(A)
    assert all(not X[~S.toarray()].any() for X, S in zip(factors, supports, strict=True))
    assert F.status is fsmf.Status.CONVERGED


def test_complex_and_permuted_products_are_found():
    rng = np.random.default_rng(2)
    supports = CHAINS["kaleidoscope 16"]
    A = planted(supports, rng, is_complex=True)
    order = rng.permutation(16)
    first = fsmf.Support(supports[0].toarray()[order])
    F = fsmf.factorize(A[order], [first, *supports[1:]], solver=fsmf.QuasiNewton(starts=3))
    assert np.linalg.norm(A[order] - F.to_dense()) <= 1e-9 * np.linalg.norm(A)


def test_noise_is_no_obstacle():
    supports, rng = CHAINS["kaleidoscope 16"], np.random.default_rng(3)
    A = planted(supports, rng)
    noise = rng.standard_normal(A.shape)
    noise *= 1e-8 * np.linalg.norm(A) / np.linalg.norm(noise)
    F = fsmf.factorize(A + noise, supports)
    assert np.linalg.norm(A + noise - F.to_dense()) <= np.linalg.norm(noise)


def test_nothing_is_claimed_of_other_matrices():
    supports, A = CHAINS["kaleidoscope 16"], np.random.default_rng(0).standard_normal((16, 16))
    assert not points(A, supports)
    B = planted(supports, np.random.default_rng(1))
    assert points(B, supports)
    # With weights or a ridge the product is not what is sought.
    assert not points(B, supports, ridge=0.1)
    assert not points(B, supports, roots=np.ones((16, 16)))
    assert not points(0 * B, supports)


@pytest.mark.parametrize("count", [3, 4])
def test_shares_are_ranks_of_derivatives(count):
    chain = fsmf.kaleidoscope(8)
    rng, found = np.random.default_rng(0), divisions(chain, count)
    assert found
    for division in found:
        assert {0, len(chain)} < set(division.ends)
        factors = [rng.standard_normal(S.shape) * S.toarray() for S in division.supports]
        columns = []
        for i, support in enumerate(division.supports):
            left = np.linalg.multi_dot([np.eye(8), np.eye(8), *factors[:i]])
            right = np.linalg.multi_dot([np.eye(8), np.eye(8), *factors[i + 1 :]])
            columns += [np.kron(left[:, a], right[b]) for a, b in zip(*support.coordinates(), strict=True)]
        assert np.linalg.matrix_rank(np.array(columns)) == round(64 * division.share)
        for (a, b), S in zip(pairwise(division.ends), division.supports, strict=True):
            product = np.linalg.multi_dot([np.eye(8), *(one.toarray().astype(float) for one in chain[a:b])])
            assert np.array_equal(S.toarray(), product > 0)
    assert divisions(chain, len(chain)) == ()
