"""Golden facts of theory on chains, and matrices of every kind, scale and layout."""

import math

import numpy as np
import oracles
import pytest
from chains import DTYPES, ORDERS, exact, gaussian, patterns, product
from scipy import linalg, sparse

import fsmf
from fsmf import Architecture, Hierarchical
from fsmf.errors import InputError, RefusedError


def bit_reversal(n):
    width = n.bit_length() - 1
    return [int(f"{i:0{width}b}"[::-1], 2) for i in range(n)]


@pytest.mark.parametrize("order", [None, *ORDERS, (3, 1, 5, 2, 4), (2, 4, 1, 3, 5)])
@pytest.mark.parametrize("dtype", [float, complex])
def test_g12_hadamard_is_exact_in_every_order(order, dtype):
    H = linalg.hadamard(64).astype(dtype)
    F = fsmf.factorize(H, fsmf.butterfly(64), solver=Hierarchical(order=order))
    assert np.linalg.norm(H - product(F)) <= 1e-14 * 8 * 64
    assert F.status is fsmf.Status.OPTIMAL


@pytest.mark.parametrize("n", [8, 16, 32, 64])
def test_g13_the_dft_is_exact_with_its_columns_bit_reversed_only(n):
    D, reversal = np.fft.fft(np.eye(n)), bit_reversal(n)
    chain = fsmf.butterfly(n)
    F = fsmf.factorize(D[:, reversal], chain)
    assert np.linalg.norm(D[:, reversal] - product(F)) <= 1e-14 * n * math.sqrt(n)
    # In natural order singular values tie, and the error depends on which vectors are taken; E_s does not.
    E = [oracles.chain_distance(D, patterns(chain), s) / n for s in range(1, len(chain))]
    assert max(E) == pytest.approx(math.sqrt(1 - 2.0 ** -((n.bit_length() - 1) // 2)))
    assert fsmf.bracket(D, chain).lower_bound / n == pytest.approx(max(E))
    for order in ORDERS:
        natural = fsmf.factorize(D, chain, solver=Hierarchical(order=order))
        assert max(E) * (1 - 1e-12) <= natural.relative_error <= 1
    rows = fsmf.factorize(D[reversal], chain, solver=Hierarchical(order="left-to-right"))
    assert rows.relative_error > 0.5
    if n == 8:
        assert rows.relative_error == pytest.approx(0.539, abs=5e-4)
    # Reversed rows are what the transposed chain wants.
    assert fsmf.factorize(D[reversal], chain.T).relative_error < 1e-13


def test_g14_the_arange():
    A = np.arange(16.0).reshape(4, 4)
    F = fsmf.factorize(A, fsmf.butterfly(4), solver=Hierarchical())
    assert np.linalg.norm(A - product(F)) ** 2 == pytest.approx(1.020902198, abs=1e-9)
    assert F.error**2 == pytest.approx(1.020902198, abs=1e-9)
    assert F.norm**2 == pytest.approx(1240)


def test_g16_the_dimension_is_that_of_the_tangents():
    chain = fsmf.butterfly(8)
    values = [gaussian(pattern.nnz, seed=i) for i, pattern in enumerate(chain)]
    tangents = []
    for i, value in enumerate(values):
        for k in range(value.size):
            moved = [*values[:i], np.eye(value.size)[k], *values[i + 1 :]]
            tangents.append(oracles.chain_product(moved, patterns(chain)).ravel())
    assert np.linalg.matrix_rank(np.array(tangents)) == chain.dimension == 32


def test_g17_a_kaleidoscope_is_refused():
    kaleidoscope = fsmf.kaleidoscope(4)
    assert patterns(kaleidoscope) == [(1, 2, 2, 2), (2, 2, 2, 1), (2, 2, 2, 1), (1, 2, 2, 2)]
    refusal = Hierarchical().refuses(fsmf.analyze(kaleidoscope))
    assert "chainable" in refusal
    with pytest.raises(RefusedError, match="interface"):
        fsmf.factorize(np.eye(4), kaleidoscope, solver=Hierarchical())


@pytest.mark.parametrize(("n", "eta"), [(64, 1e-6), (64, 1e-3), (256, 1e-3)])
def test_g18_a_block_that_is_tiny_and_bad_does_no_harm(n, eta):
    A = linalg.hadamard(n).astype(float)
    noise = np.zeros((n, n))
    noise[[0, n // 2], : n // 2] = gaussian((2, n // 2))
    A[noise != 0] = 0
    A += noise * eta * np.linalg.norm(A) / np.linalg.norm(noise)
    norm = np.linalg.norm(A)
    found = fsmf.bracket(A, fsmf.butterfly(n))
    F = fsmf.factorize(A, fsmf.butterfly(n))
    assert 0.9 * eta < max(found.distances) / norm <= F.error / norm < 1.02 * eta
    assert F.error <= 1.03 * max(found.distances)
    assert 1.5 < found.upper_bound / norm / eta < 2.6
    # The earlier bound √L · ε · ‖A‖, ε the largest relative error of a block, says nothing.
    blocks = [A[np.ix_(rows, columns)] for rows, columns, _ in oracles.chain_blocks(patterns(F.supports), 1)]
    relative = [oracles.tail(block, 1) / np.linalg.norm(block) for block in blocks]
    assert math.sqrt(len(F.supports)) * max(relative) > 1


@pytest.mark.parametrize("A", [np.eye(16), np.eye(16)[::-1], np.ones((16, 16)), np.zeros((16, 16))])
@pytest.mark.parametrize("order", ORDERS)
def test_plain_matrices_are_exact(A, order):
    F = fsmf.factorize(A, fsmf.butterfly(16), solver=Hierarchical(order=order))
    assert np.allclose(product(F), A, atol=1e-14)
    assert F.verify(A)
    assert F.status is fsmf.Status.OPTIMAL


# Matrices of every kind.


@pytest.mark.filterwarnings("ignore:rtol=0.5 cannot be met")
@pytest.mark.parametrize(
    "options", [{}, {"order": "balanced"}, {"refine": 2}, {"rtol": 0.5}, {"residual_terms": 2}]
)
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(float, 1e300), (float, 1e-300), (complex, 1e-307), (np.float32, 1e30), (np.complex64, 1e-30)],
)
def test_scales(options, dtype, scale):
    chain = Architecture([(2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)])
    A = gaussian(chain.shape, dtype)
    scaled = A * A.dtype.type(scale)
    solver = Hierarchical(**options)
    F, G = fsmf.factorize(A, chain, solver=solver), fsmf.factorize(scaled, chain, solver=solver)
    rel = 1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-9
    assert G.relative_error == pytest.approx(F.relative_error, rel=rel)
    assert G.supports == F.supports
    assert all(np.isfinite(V).all() for V in G.values)
    assert G.verify(scaled), str(G.verify(scaled))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"order": "balanced"}, {"refine": 2}, {"rtol": 0.5}, {"residual_terms": 2}]
)
def test_nothing_gives_nothing(dtype, options):
    chain = Architecture([(2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)])
    Z = np.zeros(chain.shape, dtype)
    F = fsmf.factorize(Z, chain, solver=Hierarchical(**options))
    assert F.error == F.relative_error == F.lower_bound == 0
    assert not np.any(F.to_dense())
    assert F.status is fsmf.Status.OPTIMAL
    assert F.verify(Z)


def test_what_lies_off_the_places_is_out_of_reach():
    chain = Architecture([(3, 2, 2, 4), (6, 2, 2, 2)])
    inside = oracles.chain_product([np.ones(p.nnz) for p in chain], patterns(chain)) > 0
    A = np.where(inside, 0, gaussian(chain.shape))
    F = fsmf.factorize(A, chain, solver=Hierarchical())
    assert F.error == pytest.approx(np.linalg.norm(A))
    assert F.lower_bound == pytest.approx(F.error)
    assert not np.any(F.to_dense())
    assert F.verify(A)


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("order", [None, "balanced"])
def test_sparse_matrices_are_taken(container, order):
    chain = fsmf.butterfly(12, 8)
    A = gaussian(chain.shape) * (np.random.default_rng(1).random(chain.shape) < 0.3)
    solver = Hierarchical(order=order)
    F, G = fsmf.factorize(A, chain, solver=solver), fsmf.factorize(container(A), chain, solver=solver)
    assert np.array_equal(F.to_dense(), G.to_dense())
    assert G.verify(container(A))
    assert G.verify(A)


@pytest.mark.parametrize(
    "lay", [np.asfortranarray, lambda A: A.T.copy().T, lambda A: np.repeat(A, 2, 1)[:, ::2]]
)
def test_strides_do_not_matter_and_a_is_not_written(lay):
    A = gaussian((32, 32))
    plain = fsmf.factorize(A, fsmf.butterfly(32))
    laid = lay(A)
    laid.flags.writeable = False
    F = fsmf.factorize(laid, fsmf.butterfly(32))
    assert np.allclose(F.to_dense(), plain.to_dense(), atol=1e-12)
    assert np.array_equal(laid, A)


def test_one_factor_is_the_pattern_itself():
    chain = Architecture([(2, 3, 4, 2)])
    A = gaussian(chain.shape)
    F = fsmf.factorize(A, chain)
    assert np.array_equal(F.to_dense(), np.where(oracles.pattern_array((2, 3, 4, 2)), A, 0))
    assert F.verify(A)
    assert F.T.verify(A.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{}, {"order": "balanced"}, {"refine": 1}, {"rtol": 0.5}])
@pytest.mark.parametrize("n", [16, 512])
def test_what_is_not_finite_is_refused(dtype, bad, options, n):
    for chain in (fsmf.butterfly(n), fsmf.butterfly(n, rank=2)):  # the latter is redundant at both ends
        A = gaussian((n, n), dtype)
        A[3, 2] = bad
        with pytest.raises(InputError, match="found 1 entries"):
            fsmf.factorize(A, chain, solver=Hierarchical(**options))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [16, 512])
def test_entries_near_the_largest_number_are_no_obstacle(dtype, n):
    largest = 0.5 * float(np.finfo(dtype).max) / (1 if np.finfo(dtype).eps > 1e-10 else n)
    for chain in (fsmf.butterfly(n), fsmf.butterfly(n, rank=2)):
        A = np.random.default_rng(0).uniform(-largest, largest, (n, n)).astype(dtype)
        F = fsmf.factorize(A, chain)
        G = fsmf.factorize(A / A.dtype.type(largest), chain)
        assert F.relative_error == pytest.approx(G.relative_error, rel=1e-5)
        assert n > 16 or F.verify(A)


@pytest.mark.parametrize("scale", [1e-310, 1e307])
def test_certificates_at_the_ends_of_the_range(scale):
    A = np.random.default_rng(0).uniform(-1, 1, (8, 8)) * scale
    F = fsmf.factorize(A, fsmf.butterfly(8))
    assert F.verify(A), str(F.verify(A))


LARGE = {
    "dyadic": fsmf.butterfly(256),
    "rank 2": fsmf.butterfly(256, rank=2),
    "mixed radices": fsmf.butterfly(270, 300),
    "few factors": Architecture([(1, 8, 16, 32), (8, 16, 16, 4), (64, 8, 4, 1)]),
    "off the places": Architecture([(2, 4, 4, 64), (4, 8, 8, 16), (16, 4, 4, 8)]),
    "tall blocks": Architecture([(1, 64, 6, 4), (2, 12, 128, 1)]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LARGE)
def test_large_chains_keep_their_bracket(name, dtype):
    """Large enough for compiled code everywhere."""
    chain = LARGE[name]
    chain = chain if chain.is_chainable else chain.T
    A = gaussian(chain.shape, dtype)
    assert A.size >= 1 << 16
    E = [oracles.chain_distance(A, patterns(chain), s) for s in chain.reduced()[1][1:]]
    out, tight = oracles.chain_out_of_reach(A, patterns(chain)), 1e-5 if np.finfo(dtype).eps > 1e-10 else 1e-8
    for order in ORDERS:
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
        error = np.linalg.norm(A - F.to_dense())
        assert F.error == pytest.approx(error, rel=tight)
        steps = sum(E) if order == "balanced" else math.hypot(*E)
        assert math.hypot(out, max(E)) * (1 - tight) <= error <= math.hypot(out, steps) * (1 + tight)
        assert F.lower_bound <= math.hypot(out, max(E)) * (1 + tight)
        first = F.certificate.order[0]
        own = E[sorted(F.certificate.order).index(first)]
        assert F.certificate.levels[first - 1] == pytest.approx(own, rel=tight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LARGE)
def test_large_products_are_recovered(name, dtype):
    chain = LARGE[name]
    A = exact(chain, dtype, 0)
    for order in ORDERS:
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
        assert np.linalg.norm(A - F.to_dense()) <= 450 * np.finfo(dtype).eps * 17 * np.linalg.norm(A)
        assert F.status is fsmf.Status.OPTIMAL
