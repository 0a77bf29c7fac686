"""The canonical form of a chain: orthonormal on both sides of its center, which carries all changes."""

import math

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import gaussian, patterns
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmf import Architecture, KroneckerPattern
from fsmf.certificates.orders import is_extremal
from fsmf.solvers.problem_chain import Train, on_pattern

SMALL = chainable_architectures(max_splits=6)


def values_of(V, pattern):
    """Values on a pattern as the dense matrix they stand for."""
    return oracles.chain_factor(V, pattern.abcd)


def dense(train):
    return oracles.chain_product(train.values, patterns(train.patterns))


def split(chain, order, dtype=float, seed=0, budget=None):
    V = gaussian(chain.product.blocks_shape, dtype, seed)
    return V, *Train.split_all(V, chain, order, budget)


@st.composite
def trains(draw):
    chain = draw(SMALL).reduced()[0]
    order = draw(st.permutations(range(1, len(chain))))
    return chain, order


def made(values, chain, side):
    """The product of some factors; of none, the identity."""
    return oracles.chain_product(values, chain) if chain else np.eye(side)


def assert_canonical(train):
    """Changes of the center change the product by as much."""
    c, chain = train.center, patterns(train.patterns)
    m, n = train.patterns[c].shape
    left, right = made(train.values[:c], chain[:c], m), made(train.values[c + 1 :], chain[c + 1 :], n)
    for seed in range(2):
        Z = values_of(gaussian(train.patterns[c].nnz, complex, seed), train.patterns[c])
        assert np.linalg.norm(left @ Z @ right) == pytest.approx(np.linalg.norm(Z), rel=1e-9)


@given(st.tuples(*[st.integers(1, 4)] * 4), st.booleans())
def test_values_on_a_pattern(abcd, turned):
    pattern = KroneckerPattern(*abcd)
    m, n = pattern.shape
    A = np.arange(1.0, m * n + 1).reshape(n, m).T if turned else np.arange(1.0, m * n + 1).reshape(m, n)
    V = on_pattern(A, pattern)
    assert V.shape == pattern.blocks_shape
    assert np.array_equal(values_of(V, pattern), np.where(oracles.pattern_array(abcd), A, 0))
    if abcd[0] == abcd[3] == 1:
        assert np.shares_memory(V, A)


@settings(max_examples=60)
@given(trains(), st.booleans(), st.integers(0, 99))
def test_splitting_leaves_the_canonical_form(drawn, cplx, seed):
    chain, order = drawn
    V, train, losses = split(chain, order, complex if cplx else float, seed)
    assert [p.abcd for p in train.patterns] == patterns(chain)
    assert sorted(losses) == sorted(order)
    assert_canonical(train)
    A = values_of(V, chain.product)
    error = np.linalg.norm(A - dense(train))
    assert train.distance(V) == pytest.approx(error, rel=1e-9, abs=1e-12)
    assert np.allclose(values_of(train.product(), chain.product), dense(train))
    assert error <= sum(losses.values()) * (1 + 1e-9) + 1e-12
    if order:
        first = oracles.chain_distance(A, patterns(chain), order[0])
        assert losses[order[0]] == pytest.approx(first, rel=1e-9, abs=1e-12)


@settings(max_examples=40)
@given(trains(), st.integers(0, 99), st.data())
def test_the_center_moves_and_the_product_stays(drawn, seed, data):
    chain, order = drawn
    _, train, _ = split(chain, order, complex, seed)
    before = dense(train)
    for _ in range(3):
        train._move(data.draw(st.integers(0, len(chain) - 1)))
        assert_canonical(train)
        assert np.allclose(dense(train), before)


@settings(max_examples=40)
@given(trains(), st.integers(1, 3), st.integers(0, 99))
def test_refining_never_goes_up_and_tells_the_distance(drawn, sweeps, seed):
    chain, order = drawn
    V, train, _ = split(chain, order, complex, seed)
    before = train.distance(V)
    after = train.refine(V, sweeps, float(np.linalg.norm(V)))
    assert after == pytest.approx(
        np.linalg.norm(values_of(V, chain.product) - dense(train)), rel=1e-8, abs=1e-12
    )
    assert after <= before * (1 + 1e-12) + 1e-12
    assert_canonical(train)


def test_refining_an_exact_product_keeps_it():
    chain = Architecture([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)])
    V = oracles.chain_product([gaussian(p.nnz, seed=i) for i, p in enumerate(chain)], patterns(chain))
    V = V.reshape(chain.product.blocks_shape)
    train, _ = Train.split_all(V, chain, (2, 1))
    assert train.refine(V, 3, float(np.linalg.norm(V))) <= 1e-13 * np.linalg.norm(V)


@settings(max_examples=50)
@given(SMALL, st.integers(0, 99), st.sampled_from([0.9, 0.4, 0.1, 1e-3]), st.randoms(use_true_random=False))
def test_a_budget_is_kept_with_ranks_no_larger_than_needed(chain, seed, share, random):
    order = list(range(1, len(chain)))
    random.shuffle(order)
    V = gaussian(chain.product.blocks_shape, seed=seed)
    budget = share * float(np.linalg.norm(V))
    train, losses = Train.split_all(V, chain, order, budget)
    found = Architecture(train.patterns)
    assert found.product == chain.product
    assert train.distance(V) <= budget * (1 + 1e-9)
    # The first step: one rank less would take more than its share.
    s, A = order[0], values_of(V, chain.product)
    blocks = [A[np.ix_(i, j)] for i, j, _ in oracles.chain_blocks(patterns(found), s)]
    rank = found.ranks[s - 1]
    allowed = budget / (math.sqrt(len(order)) if is_extremal(order) else len(order))
    tails = [math.hypot(*(oracles.tail(block, k) for block in blocks)) for k in (rank, max(0, rank - 1))]
    assert losses[s] == pytest.approx(tails[0], abs=1e-9)
    assert rank == 1 or tails[1] > allowed
    assert tails[0] <= allowed * (1 + 1e-9)


@settings(max_examples=50)
@given(chainable_architectures(min_factors=3, max_splits=6), st.booleans(), st.integers(0, 99))
def test_what_was_merged_is_lifted_back(chain, cplx, seed):
    merged, starts = chain.reduced()
    _, train, _ = split(merged, range(1, len(merged)), complex if cplx else float, seed)
    values = train.lifted(chain, starts)
    for V, pattern in zip(values, chain, strict=True):
        assert np.size(V) == pattern.nnz
    assert np.allclose(oracles.chain_product(values, patterns(chain)), dense(train))
