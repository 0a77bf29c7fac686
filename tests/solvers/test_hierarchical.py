"""Chains are bracketed, exact ones recovered; every number against dense products and singular values."""

import math
from unittest import mock

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import DTYPES, ORDERS, exact, gaussian, patterns, product, slack
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fsmf
from fsmf import Architecture, Hierarchical
from fsmf.certificates.orders import is_extremal
from fsmf.errors import InputTypeError, OptionError, RefusedError, ShapeError
from fsmf.kernels import kronecker_split

SMALL = chainable_architectures(max_splits=6)


def distances(A, chain):
    """E_s at the interfaces that bound anything beyond the others."""
    kept = chain.reduced()[1][1:]
    return {s: oracles.chain_distance(A, patterns(chain), s) for s in kept}


@st.composite
def chains_and_orders(draw, chains=SMALL):
    chain = draw(chains)
    order = draw(st.one_of(st.none(), st.sampled_from(ORDERS), st.permutations(range(1, len(chain)))))
    return chain, order


def compiled(always):
    """Take compiled code for small matrices, too."""
    return mock.patch.object(kronecker_split, "_FEW", 0 if always else kronecker_split._FEW)


# The bracket.


@settings(max_examples=120)
@given(chains_and_orders(), st.sampled_from(DTYPES), st.booleans(), st.integers(0, 99))
def test_the_bracket_is_never_violated(drawn, dtype, always, seed):
    chain, order = drawn
    A = gaussian(chain.shape, dtype, seed)
    with compiled(always):
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
    tight, out = slack(A), oracles.chain_out_of_reach(A, patterns(chain))
    E = distances(A, chain)
    error = float(np.linalg.norm(A - product(F)))
    own = F.certificate
    assert F.error == pytest.approx(error, rel=1e-6, abs=tight)
    assert own.out_of_reach == pytest.approx(out, rel=1e-6, abs=tight)
    assert sorted(own.order) == sorted(E)
    # max E_s ≤ optimum ≤ error ≤ √ΣE_s² for extremal orders, ≤ ΣE_s for any.
    assert math.hypot(out, max(E.values(), default=0)) <= error * (1 + 1e-9) + tight
    steps = math.hypot(*E.values()) if is_extremal(own.order) else sum(E.values())
    assert error <= math.hypot(out, steps) * (1 + 1e-6) + tight
    # Each step loses at most its E_s; the largest loss is the bound.
    for s, level in enumerate(own.levels, start=1):
        assert 0 <= level <= E.get(s, 0.0) * (1 + 1e-6) + tight
    assert F.lower_bound <= math.hypot(out, max(E.values(), default=0)) * (1 + 1e-6) + tight
    if is_extremal(own.order):
        assert error == pytest.approx(math.hypot(out, *own.levels), rel=1e-6, abs=tight)
    optimum = math.hypot(out, max(E.values(), default=0))
    assert error <= own.constant * max(optimum, F.lower_bound) * (1 + 1e-6) + tight
    verified = F.verify(A)
    assert verified, str(verified)
    assert F.dtype == A.dtype
    assert F.supports == chain


@settings(max_examples=60)
@given(SMALL, st.integers(0, 99))
def test_descents_from_the_answer_stay_above_the_lower_bound(chain, seed):
    A = gaussian(chain.shape, seed=seed)
    F = fsmf.factorize(A, chain, solver=Hierarchical(order="balanced", refine=8))
    assert F.lower_bound <= np.linalg.norm(A - product(F)) * (1 + 1e-9) + slack(A)


def test_a_balanced_order_is_not_orthogonal():
    gaps = []
    for seed in range(10):
        A = gaussian((16, 16), seed=seed)
        F = fsmf.factorize(A, fsmf.butterfly(16), solver=Hierarchical(order=(2, 1, 3)))
        gaps.append(np.linalg.norm(A - product(F)) ** 2 - sum(np.square(F.certificate.levels)))
    # The squared error may be above the sum of the squared losses, and below.
    assert max(gaps) > 0.1
    assert min(gaps) < -0.1


@settings(max_examples=80)
@given(chains_and_orders(), st.sampled_from(DTYPES), st.booleans(), st.integers(0, 99))
def test_what_is_a_product_is_recovered(drawn, dtype, always, seed):
    chain, order = drawn
    A = exact(chain, dtype, seed)
    with compiled(always):
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
    error, norm = np.linalg.norm(A - product(F)), np.linalg.norm(A)
    assert error <= 450 * np.finfo(dtype).eps * math.sqrt(max(A.shape)) * norm  # 1e-13 √n in double
    assert F.status is fsmf.Status.OPTIMAL
    assert F.verify(A)


@settings(max_examples=50)
@given(SMALL, st.sampled_from(ORDERS[:2]), st.booleans(), st.integers(0, 99))
def test_transposition_changes_nothing(chain, order, cplx, seed):
    A = gaussian(chain.shape, complex if cplx else float, seed)
    F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
    mirrored = ORDERS[1 - ORDERS.index(order)]
    G = fsmf.factorize(A.T, chain.T, solver=Hierarchical(order=mirrored))
    assert np.allclose(product(G), product(F).T, atol=1e-8)
    assert pytest.approx(F.error, rel=1e-9, abs=slack(A)) == G.error
    assert pytest.approx(F.lower_bound, rel=1e-8, abs=slack(A)) == G.lower_bound
    assert G.supports == chain.T
    for one, matrix in ((G, A.T), (F.T, A.T), (F.H, A.conj().T), (G.T, A)):
        assert one.verify(matrix), str(one.verify(matrix))


def test_interfaces_of_a_transposed_chain_are_counted_as_they_are_given():
    chain = Architecture([(1, 3, 2, 4), (2, 2, 2, 2), (4, 2, 3, 1)]).T
    assert not chain.is_chainable
    B = gaussian(chain.shape)
    for order in ((1, 2), (2, 1)):
        assert fsmf.factorize(B, chain, solver=Hierarchical(order=order)).certificate.order == order
    for name, order in zip(ORDERS, ((1, 2), (2, 1)), strict=False):
        assert fsmf.factorize(B, chain, solver=Hierarchical(order=name)).certificate.order == order


@settings(max_examples=50)
@given(chainable_architectures(min_factors=3, max_splits=6), st.sampled_from(ORDERS[:2]), st.integers(0, 99))
def test_merging_what_is_redundant_changes_nothing(chain, order, seed):
    assume(chain.is_redundant)
    A = gaussian(chain.shape, seed=seed)
    merged, starts = chain.reduced()
    F = fsmf.factorize(A, chain, solver=Hierarchical(order=order))
    G = fsmf.factorize(A, merged, solver=Hierarchical(order=order))
    assert np.allclose(product(F), product(G), atol=1e-8)
    assert pytest.approx(F.error, rel=1e-9, abs=slack(A)) == G.error
    assert sorted(F.certificate.order) == list(starts[1:])
    unbound = set(range(1, len(chain))) - set(starts)
    assert all(F.certificate.levels[s - 1] == 0 for s in unbound)


@settings(max_examples=40)
@given(chainable_architectures(min_factors=3, max_splits=6), st.integers(0, 99), st.data())
def test_fused_factors_make_the_same_product(chain, seed, data):
    A = gaussian(chain.shape, seed=seed)
    F = fsmf.factorize(A, chain, solver=Hierarchical())
    first = data.draw(st.integers(0, len(chain) - 2))
    fused = chain.fuse(first, first + 1)
    G = fsmf.factorize(product(F), fused, solver=Hierarchical())
    # The coarser chain has all products of the finer one, and so an optimum that is no larger.
    assert np.linalg.norm(product(F) - product(G)) <= slack(A)
    assert fsmf.factorize(A, fused, solver=Hierarchical(refine=5)).lower_bound <= F.error + slack(A)


@settings(max_examples=60)
@given(chainable_architectures(max_factors=2), st.sampled_from(DTYPES), st.integers(0, 99))
def test_pairs_are_solved_as_block_svd_solves_them(chain, dtype, seed):
    A = gaussian(chain.shape, dtype, seed)
    F = fsmf.factorize(A, chain, solver=Hierarchical())
    best = oracles.optimum(A, [pattern.toarray() for pattern in chain])
    assert F.error == pytest.approx(best, rel=1e-6, abs=slack(A))
    assert fsmf.factorize(A, chain, solver=fsmf.BlockSVD()).error == pytest.approx(
        best, rel=1e-6, abs=slack(A)
    )
    assert F.status is fsmf.Status.OPTIMAL


# Options.


@settings(max_examples=40)
@given(chains_and_orders(), st.sampled_from([np.float64, np.complex128, np.float32]), st.integers(0, 99))
def test_refinement_never_increases_the_error(drawn, dtype, seed):
    chain, order = drawn
    A = gaussian(chain.shape, dtype, seed)
    errors = []
    for sweeps in (0, 1, 3):
        F = fsmf.factorize(A, chain, solver=Hierarchical(order=order, refine=sweeps))
        assert F.error == pytest.approx(np.linalg.norm(A - product(F)), rel=1e-6, abs=slack(A))
        assert F.verify(A), str(F.verify(A))
        errors.append(F.error)
    assert errors[1] <= errors[0] + slack(A)
    assert errors[2] <= errors[1] + slack(A)
    assert F.lower_bound <= F.error


def test_refinement_ends_at_a_point_where_every_factor_is_the_best_for_the_others():
    A, chain = gaussian((16, 16)), fsmf.butterfly(16)
    F = fsmf.factorize(A, chain, solver=Hierarchical(refine=400))
    more = fsmf.factorize(A, chain, solver=Hierarchical(refine=500))
    assert more.error == pytest.approx(F.error, rel=1e-10)
    assert F.error < fsmf.factorize(A, chain).error
    residual = A - product(F)
    dense = [oracles.chain_factor(V, p) for V, p in zip(F.values, patterns(chain), strict=True)]
    for i, pattern in enumerate(patterns(chain)):
        left = np.linalg.multi_dot([np.eye(16), np.eye(16), *dense[:i]])
        right = np.linalg.multi_dot([*dense[i + 1 :], np.eye(16), np.eye(16)])
        gradient = (left.T @ residual @ right.T) * oracles.pattern_array(pattern)
        assert np.linalg.norm(gradient) <= 1e-4 * np.linalg.norm(left, 2) * np.linalg.norm(right, 2) * F.norm


@settings(max_examples=50)
@given(chains_and_orders(), st.sampled_from([0.9, 0.5, 0.2, 0.05, 1e-6]), st.booleans(), st.integers(0, 99))
def test_a_requested_error_is_met(drawn, rtol, cplx, seed):
    chain, order = drawn
    A = gaussian(chain.shape, complex if cplx else float, seed)
    A = A * (np.abs(oracles.chain_product([np.ones(p.nnz) for p in chain], patterns(chain))) > 0)
    F = fsmf.factorize(A, chain, solver=Hierarchical(order=order, rtol=rtol))
    error = np.linalg.norm(A - product(F))
    assert error <= rtol * np.linalg.norm(A) * (1 + 1e-9)
    assert F.error == pytest.approx(error, rel=1e-7, abs=slack(A))
    assert F.supports.is_chainable
    assert F.supports.product == chain.product
    for one, matrix in ((F, A), (F.T, A.T), (2 * F, 2 * A)):
        assert one.verify(matrix), str(one.verify(matrix))


def test_a_requested_error_takes_no_larger_ranks_than_equal_shares_of_it():
    A, chain = gaussian((16, 16)), fsmf.butterfly(16)
    for rtol in (0.8, 0.5, 0.3, 0.1):
        F = fsmf.factorize(A, chain, solver=Hierarchical(order="left-to-right", rtol=rtol))
        assert F.certificate.requested == pytest.approx(rtol * F.norm)
        assert F.error <= rtol * F.norm * (1 + 1e-9)
        budget, rest, ranks = (rtol * F.norm) ** 2, A, [1] * (len(chain) - 1)
        for s in range(1, len(chain)):
            places = list(oracles.chain_blocks(patterns(chain.with_ranks(ranks)), s))
            blocks = [rest[np.ix_(i, j)] for i, j, _ in places]
            losses = [sum(oracles.tail(B, k) ** 2 for B in blocks) for k in range(1 + min(blocks[0].shape))]
            share = budget / (len(chain) - s)  # what is left, in equal parts
            ranks[s - 1] = max(1, next(k for k, loss in enumerate(losses) if loss <= share * (1 + 1e-9)))
            budget -= losses[ranks[s - 1]]
            rest = rest.copy()
            for (i, j, _), block in zip(places, blocks, strict=True):
                U, sigma, Vh = np.linalg.svd(block)
                rest[np.ix_(i, j)] = (U[:, : ranks[s - 1]] * sigma[: ranks[s - 1]]) @ Vh[: ranks[s - 1]]
        assert F.n_parameters <= chain.with_ranks(ranks).n_parameters
        assert np.linalg.norm(A - product(F)) == pytest.approx(F.error)


def test_an_exact_matrix_needs_its_own_ranks_only():
    chain = fsmf.butterfly(16, rank=2)
    A = exact(chain, float, 0)
    for order in ORDERS:
        F = fsmf.factorize(A, fsmf.butterfly(16), solver=Hierarchical(rtol=1e-10, order=order))
        assert F.supports.ranks == chain.ranks
        assert F.relative_error < 1e-13


def test_an_error_that_the_places_forbid_is_told():
    chain = Architecture([(2, 2, 2, 4), (4, 2, 2, 2)])
    A = gaussian(chain.shape)
    with pytest.warns(fsmf.errors.ConvergenceWarning, match="rtol=0.1 cannot be met"):
        F = fsmf.factorize(A, chain, solver=Hierarchical(rtol=0.1))
    assert F.status is fsmf.Status.OUT_OF_REACH
    assert F.relative_error > 0.1
    assert F.error == pytest.approx(oracles.chain_out_of_reach(A, patterns(chain)))
    assert F.lower_bound == pytest.approx(F.error)


@settings(max_examples=25)
@given(
    chainable_architectures(max_factors=4, max_splits=4, max_rank=2), st.integers(2, 3), st.integers(0, 99)
)
def test_sums_of_products(chain, terms, seed):
    A = gaussian(chain.shape, seed=seed)
    F = fsmf.factorize(A, chain, solver=Hierarchical(residual_terms=terms))
    own = F.certificate
    assert F.supports == chain.summed(terms)
    assert F.error == pytest.approx(np.linalg.norm(A - product(F)), rel=1e-7, abs=slack(A))
    assert len(own.errors) == terms
    assert all(after <= before + slack(A) for before, after in zip(own.errors, own.errors[1:], strict=False))
    assert own.errors[0] == pytest.approx(fsmf.factorize(A, chain, solver=Hierarchical()).error, abs=slack(A))
    # Blocks of the sum have so many times the rank.
    tails = []
    for s in range(1, len(chain)):
        blocks = oracles.chain_blocks(patterns(chain), s)
        tails.append(math.hypot(*(oracles.tail(A[np.ix_(i, j)], terms * rank) for i, j, rank in blocks)))
    out = oracles.chain_out_of_reach(A, patterns(chain))
    assert F.lower_bound <= math.hypot(out, max(tails)) * (1 + 1e-7) + slack(A)
    assert F.lower_bound <= F.error
    for one, matrix in ((F, A), (F.T, A.T), (F.conj(), A)):
        assert one.verify(matrix), str(one.verify(matrix))


@settings(max_examples=25)
@given(SMALL, st.booleans(), st.integers(0, 99))
def test_explicit_permutations(chain, cplx, seed):
    A, rng = gaussian(chain.shape, complex if cplx else float, seed), np.random.default_rng(seed)
    rows, columns = rng.permutation(A.shape[0]), rng.permutation(A.shape[1])
    for given_rows, given_columns in ((rows, columns), (rows, None), (None, columns)):
        i = np.arange(A.shape[0]) if given_rows is None else rows
        j = np.arange(A.shape[1]) if given_columns is None else columns
        F = fsmf.factorize(A, chain, solver=Hierarchical(permutation=(given_rows, given_columns)))
        plain = fsmf.factorize(A[np.ix_(i, j)], chain, solver=Hierarchical())
        made = np.zeros_like(A)
        made[np.ix_(i, j)] = product(F)
        assert np.allclose(F.to_dense(), made)
        assert F.error == pytest.approx(np.linalg.norm(A - made), rel=1e-8, abs=slack(A))
        assert F.error == pytest.approx(plain.error, rel=1e-8, abs=slack(A))
        for one, matrix in ((F, A), (F.T, A.T), (F.H, A.conj().T), (-F, -A)):
            assert one.verify(matrix), str(one.verify(matrix))


@settings(max_examples=60)
@given(SMALL, st.booleans(), st.integers(0, 99))
def test_masks_are_recognized_and_given_back(chain, turned, seed):
    chain = chain.T if turned else chain
    A, rng = gaussian(chain.shape, seed=seed), np.random.default_rng(seed)
    masks = [oracles.pattern_array(abcd) for abcd in patterns(chain)]
    rows, columns = rng.permutation(A.shape[0]), rng.permutation(A.shape[1])
    masks[0], masks[-1] = masks[0][rows], masks[-1][:, columns]
    F = fsmf.factorize(A[np.ix_(rows, columns)], masks, solver=Hierarchical())
    for factor, mask in zip(F.factors, masks, strict=True):
        assert not np.any(factor.toarray()[mask == 0])
        assert factor.nnz == mask.sum()
    dense = F.factors[0].toarray()
    for factor in F.factors[1:]:
        dense = dense @ factor.toarray()
    assert (F.rows, F.columns) == (None, None)
    assert np.allclose(F.to_dense(), dense)
    assert F.error == pytest.approx(np.linalg.norm(A[np.ix_(rows, columns)] - dense), rel=1e-8, abs=slack(A))
    for one, matrix in ((F, A[np.ix_(rows, columns)]), (F.T, A[np.ix_(rows, columns)].T)):
        assert one.verify(matrix), str(one.verify(matrix))


def test_masks_of_a_pair_in_any_order_have_one_optimum():
    chain = Architecture([(1, 3, 2, 4), (2, 4, 3, 1)])
    A, rng = gaussian(chain.shape), np.random.default_rng(0)
    rows, columns = rng.permutation(12), rng.permutation(6)
    masks = [pattern.toarray() for pattern in chain]
    F = fsmf.factorize(
        A[np.ix_(rows, columns)], [masks[0][rows], masks[1][:, columns]], solver=Hierarchical()
    )
    assert F.error == pytest.approx(fsmf.factorize(A, chain).error, rel=1e-12)


# Answers and refusals.


def test_the_table_takes_chains():
    chain = fsmf.butterfly(16)
    F = fsmf.factorize(gaussian((16, 16)), chain)
    assert F.solver == "Hierarchical"
    assert F.status is fsmf.Status.BRACKETED
    plan = fsmf.explain(chain)
    assert "accepts: Hierarchical, promises QuasiOptimum" in str(plan)
    assert Hierarchical().refuses(fsmf.analyze(chain)) is None
    cost = Hierarchical().predict(fsmf.analyze(chain))
    assert 0 < cost.flops <= Hierarchical(refine=3).predict(fsmf.analyze(chain)).flops
    assert "Kronecker" in Hierarchical().refuses(fsmf.analyze(fsmf.lu(4)))


def test_the_order_is_that_which_the_model_finds_cheapest():
    for chain in (fsmf.butterfly(64), Architecture([(1, 32, 4, 4), (4, 4, 4, 1)])):
        structure = fsmf.analyze(chain)
        own = Hierarchical().predict(structure).flops
        assert own == min(Hierarchical(order=order).predict(structure).flops for order in ORDERS)


@pytest.mark.parametrize(
    "options",
    [
        *({"refine": value} for value in (-1, 1.5, True, "2", None)),
        *({"residual_terms": value} for value in (0, 2.0, False)),
        *({"rtol": value} for value in (0, 1, -0.1, math.nan, "0.1", True)),
        *({"order": value} for value in ("up", 5, (1.0, 2.0), ["a"])),
        {"rtol": 0.1, "residual_terms": 2},
    ],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(OptionError):
        Hierarchical(**options)


@pytest.mark.parametrize("order", [(1, 2), (1, 2, 2, 3), (0, 1, 2), (1, 2, 3, 4), ()])
def test_orders_that_do_not_fit(order):
    with pytest.raises(OptionError, match="order must name"):
        fsmf.factorize(np.eye(16), fsmf.butterfly(16), solver=Hierarchical(order=order))


def test_matrices_that_do_not_fit():
    with pytest.raises(ShapeError):
        fsmf.factorize(np.eye(8), fsmf.butterfly(16), solver=Hierarchical())
    with pytest.raises(InputTypeError):
        fsmf.factorize(np.full((16, 16), "a"), fsmf.butterfly(16), solver=Hierarchical())
    with pytest.raises(RefusedError):
        fsmf.factorize(np.eye(4), fsmf.lu(4), solver=Hierarchical())


def test_numbers_may_be_those_of_numpy():
    solver = Hierarchical(order=np.array([2, 1, 3]), refine=np.int64(1), rtol=np.float32(0.5))
    assert solver.order == (2, 1, 3)
    assert fsmf.factorize(gaussian((16, 16)), fsmf.butterfly(16), solver=solver).relative_error <= 0.5
