"""Kronecker patterns and their chains, against np.kron, dense 0/1 products, and exact ranks of Jacobians."""

import pickle
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from architectures import chainable_architectures, dense_pattern
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import block_diag

import fsmf
from fsmf.errors import OptionError, ShapeError, SupportError
from fsmf.supports.kronecker import Architecture, Interface, KroneckerPattern, why_not_chainable

quadruples = st.tuples(*[st.integers(1, 4)] * 4)

# Prime below 2³¹: products of two residues fit in 64 bits.
P = 2**31 - 1


def rank_modulo(M):
    """Rank over the integers modulo P, by elimination."""
    M, rank = M % P, 0
    for j in range(M.shape[1]):
        pivots = np.flatnonzero(M[rank:, j])
        if not len(pivots):
            continue
        M[[rank, rank + pivots[0]]] = M[[rank + pivots[0], rank]]
        M[rank] = M[rank] * pow(int(M[rank, j]), -1, P) % P
        below = rank + 1 + np.flatnonzero(M[rank + 1 :, j])
        M[below] = (M[below] - M[below, j][:, None] * M[rank]) % P
        rank += 1
        if rank == len(M):
            break
    return rank


def product_modulo(matrices, side):
    """Product of matrices modulo P; the identity if there are none."""
    result = np.eye(side, dtype=np.int64)
    for M in matrices:
        result = np.array([[int(x) for x in row] for row in result], dtype=object) @ M.astype(object) % P
    return result.astype(np.int64)


def jacobian_rank(architecture, seed=0):
    """Rank of the derivative of ``X1 X2 … XL`` at a random point: the dimension of the set of products.

    Exact arithmetic modulo a large prime: a random point is generic but for one chance in millions.
    """
    rng = np.random.default_rng(seed)
    places = [np.argwhere(dense_pattern(*pattern.abcd)) for pattern in architecture]
    factors = []
    for pattern, (i, j) in zip(architecture, (where.T for where in places), strict=True):
        X = np.zeros(pattern.shape, dtype=np.int64)
        X[i, j] = rng.integers(1, P, size=len(i))
        factors.append(X)
    rows = []
    for s, where in enumerate(places):
        before = product_modulo(factors[:s], architecture.shape[0])
        after = product_modulo(factors[s + 1 :], factors[s].shape[1])
        rows += [np.outer(before[:, i], after[j]).reshape(-1) % P for i, j in where]
    return rank_modulo(np.array(rows))


@given(quadruples)
def test_a_pattern_is_its_kronecker_product(abcd):
    pattern, expected = KroneckerPattern(*abcd), dense_pattern(*abcd)
    a, b, c, d = abcd
    assert pattern.shape == expected.shape == (a * b * d, a * c * d)
    assert pattern.nnz == expected.sum() == np.prod(abcd)
    assert np.array_equal(pattern.toarray(), expected)
    assert np.array_equal(pattern.T.toarray(), expected.T)
    assert pattern.T.abcd == (a, c, b, d)
    assert np.array_equal(np.diff(pattern.indptr), expected.sum(axis=1))
    assert pattern.density == 1 / (a * d)


@given(quadruples)
def test_values_in_row_major_order_are_indexed_by_a_b_d_c(abcd):
    pattern = KroneckerPattern(*abcd)
    a, b, c, d = abcd
    values = np.arange(1, pattern.nnz + 1).reshape(pattern.blocks_shape)
    X = np.zeros(pattern.shape, dtype=int)
    X[pattern.coordinates()] = values.reshape(-1)
    for alpha, beta, delta, gamma in np.ndindex(a, b, d, c):
        row, column = (alpha * b + beta) * d + delta, (alpha * c + gamma) * d + delta
        assert X[row, column] == values[alpha, beta, delta, gamma]


@given(quadruples, quadruples)
def test_patterns_are_equal_when_their_places_are(one, other):
    left, right = KroneckerPattern(*one), KroneckerPattern(*other)
    same = np.array_equal(dense_pattern(*one), dense_pattern(*other))
    assert (left == right) is same
    assert (left == fsmf.Support(dense_pattern(*other))) is same
    assert (fsmf.Support(dense_pattern(*one)) == right) is same
    if same:
        assert hash(left) == hash(right) == hash(fsmf.Support(dense_pattern(*one)))


def test_an_identity_has_many_names():
    names = [KroneckerPattern(a, 1, 1, 12 // a) for a in (1, 2, 3, 4, 6, 12)]
    assert len(set(names)) == 1
    assert KroneckerPattern(1, 1, 1, 12) != KroneckerPattern(1, 1, 1, 11)
    assert KroneckerPattern(1, 2, 2, 1) != "KroneckerPattern(1, 2, 2, 1)"


def test_nothing_is_laid_out_before_it_is_asked_for():
    huge = KroneckerPattern(2**10, 2**10, 2**10, 2**10)
    assert huge.nnz == 2**40
    assert huge.T.shape == (2**30, 2**30)
    assert (huge * KroneckerPattern(2**20, 2**10, 2, 1)).abcd == (2**10, 2**20, 2**11, 1)
    assert huge != KroneckerPattern(2**11, 2**10, 2**10, 2**9)
    assert repr(huge) == "KroneckerPattern(1024, 1024, 1024, 1024)"


@given(quadruples, quadruples)
def test_products_of_chainable_pairs(one, other):
    left, right = KroneckerPattern(*one), KroneckerPattern(*other)
    (a1, _, c1, d1), (a2, b2, _, d2) = one, other
    fits = left.shape[1] == right.shape[0]
    chainable = fits and a2 % a1 == 0 and d1 % d2 == 0 and (a1 * c1) % a2 == 0 and (b2 * d2) % d1 == 0
    assert (why_not_chainable(left, right) is None) is chainable
    if not chainable:
        with pytest.raises(ShapeError, match="multiply" if not fits else "not chainable"):
            left * right


@given(chainable_architectures())
def test_dense_products_count_the_rank_on_the_product_pattern(chain):
    """``S1 S2 = r S12``, and so along the chain, whichever neighbours are multiplied first."""
    assert chain.is_chainable
    for left, right in pairwise(chain):
        interface = Interface.of(left, right)
        count = dense_pattern(*left.abcd) @ dense_pattern(*right.abcd)
        assert np.array_equal(count, interface.rank * dense_pattern(*(left * right).abcd))
    everything = np.linalg.multi_dot([dense_pattern(*pattern.abcd).astype(float) for pattern in chain])
    assert np.array_equal(everything, np.prod(chain.ranks) * dense_pattern(*chain.product.abcd))
    assert chain.product.shape == chain.shape


@given(chainable_architectures(min_factors=3))
def test_multiplication_of_patterns_is_associative(chain):
    for x, y, z in zip(chain, chain[1:], chain[2:], strict=False):
        assert ((x * y) * z).abcd == (x * (y * z)).abcd


@given(chainable_architectures())
def test_an_interface_cuts_the_product_into_disjoint_blocks(chain):
    """Components with equal rank-one supports: as many per class as the rank, on blocks of b₁ × c₂."""
    for s in range(1, len(chain)):
        interface = chain.interface(s)
        assert interface.rank == chain.ranks[s - 1]
        assert interface.product.abcd == chain.product.abcd
        left, right = (dense_pattern(*side.abcd) for side in (interface.left, interface.right))
        rectangles = {}
        for k in range(left.shape[1]):
            key = (left[:, k].tobytes(), right[k].tobytes())
            rectangles[key] = rectangles.get(key, 0) + 1
            assert (left[:, k].sum(), right[k].sum()) == interface.block
        assert set(rectangles.values()) == {interface.rank}
        assert len(rectangles) == np.prod(interface.n_blocks)


@given(chainable_architectures(max_factors=4, max_rank=2, max_splits=8), st.integers(0, 99))
def test_products_have_blocks_of_bounded_rank_and_their_real_parts_of_twice_that(chain, seed):
    rng = np.random.default_rng(seed)
    factors = []
    for pattern in chain:
        x, y = rng.standard_normal((2, *pattern.shape))
        factors.append(pattern.toarray() * (x + 1j * y))
    A = reduce(np.matmul, factors)
    doubled = chain.with_ranks([2 * rank for rank in chain.ranks])
    assert doubled[0].abcd[1] == chain[0].abcd[1]
    assert doubled[-1].abcd[2] == chain[-1].abcd[2]
    for s in range(1, len(chain)):
        for given_chain, B in ((chain, A), (doubled, A.real)):
            interface = given_chain.interface(s)
            left, right = (dense_pattern(*side.abcd) for side in (interface.left, interface.right))
            for k in range(left.shape[1]):
                block = B[np.ix_(np.flatnonzero(left[:, k]), np.flatnonzero(right[k]))]
                singular = np.linalg.svd(block, compute_uv=False)
                assert np.all(singular[interface.rank :] <= 1e-12 * np.linalg.norm(A))


@given(chainable_architectures(max_factors=4, max_rank=3, max_splits=4))
def test_the_dimension_is_the_rank_of_the_jacobian(chain):
    assume(chain.n_parameters <= 200)
    assume(np.prod(chain.shape) <= 600)
    assert chain.dimension == jacobian_rank(chain)


@pytest.mark.parametrize(
    ("patterns", "dimension"),
    [
        ([(1, 2, 2, 2), (2, 2, 2, 1)], 12),
        ([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)], 32),
        ([(1, 2, 2, 8), (2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)], 80),
        ([(1, 3, 2, 1), (1, 2, 4, 1)], 10),
        ([(1, 2, 5, 1), (1, 5, 3, 1)], 6),
        ([(2, 3, 5, 1)], 30),
    ],
)
def test_known_dimensions(patterns, dimension):
    """n (log₂ n + 1) for the dyadic butterfly, r (m + n − r) for rank r, m n where nothing is bounded."""
    chain = Architecture(patterns)
    assert chain.dimension == dimension == jacobian_rank(chain)


@given(chainable_architectures(max_factors=2, max_splits=3))
def test_a_pair_is_redundant_where_it_makes_every_matrix_on_its_places(pair):
    assume(pair.n_parameters <= 300)
    assert pair.is_redundant == (jacobian_rank(pair) == pair.product.nnz)


@given(chainable_architectures(max_factors=5, max_rank=4, max_splits=4))
def test_reduction_keeps_the_products_and_leaves_nothing_redundant(chain):
    """Merging can only add products; where the closures of both sets have one dimension, they are equal."""
    reduced, starts = chain.reduced()
    assert reduced.is_chainable
    assert not reduced.is_redundant
    assert (reduced is chain) is not chain.is_redundant
    assert starts[0] == 0
    for pattern, (first, last) in zip(reduced, pairwise((*starts, len(chain))), strict=True):
        assert pattern.abcd == Architecture(chain[first:last]).product.abcd
    assume(max(chain.n_parameters, reduced.n_parameters) <= 200)
    assume(np.prod(chain.shape) <= 600)
    assert jacobian_rank(reduced) == jacobian_rank(chain)


@given(chainable_architectures(max_factors=4), st.data())
def test_ranks_can_be_changed(chain, data):
    ranks = data.draw(st.tuples(*[st.integers(1, 5)] * (len(chain) - 1)))
    changed = chain.with_ranks(ranks)
    assert changed.ranks == ranks
    assert changed.product.abcd == chain.product.abcd
    assert [pattern.abcd[::3] for pattern in changed] == [pattern.abcd[::3] for pattern in chain]
    assert changed.with_ranks(chain.ranks).patterns == chain.patterns


@given(chainable_architectures(min_factors=3), st.data())
def test_fused_factors_have_the_product_pattern(chain, data):
    first = data.draw(st.integers(0, len(chain) - 2))
    last = data.draw(st.integers(first + 1, len(chain) - 1))
    fused = chain.fuse(first, last)
    assert fused.product.abcd == chain.product.abcd
    assert fused.ranks == chain.ranks[:first] + chain.ranks[last:]


@given(chainable_architectures(max_factors=3, max_splits=4), st.integers(1, 3))
def test_a_summed_chain_makes_sums_of_products(chain, terms):
    rng = np.random.default_rng(0)
    summed = chain.summed(terms)
    products = []
    blocks = [[] for _ in chain]
    for _ in range(terms):
        factors = [rng.integers(-9, 10, pattern.shape) * pattern.toarray() for pattern in chain]
        products.append(reduce(np.matmul, factors))
        for some, X in zip(blocks, factors, strict=True):
            some.append(X)
    m, n = chain.shape
    sides = np.tile(np.eye(m, dtype=int), terms), np.tile(np.eye(n, dtype=int), terms).T
    whole = [sides[0], *(block_diag(*some) for some in blocks), sides[1]]
    assert np.array_equal(reduce(np.matmul, whole), sum(products))
    for pattern, X in zip(summed, whole, strict=True):
        assert not np.any(X[~pattern.toarray()])
    assert summed.n_parameters == terms * (chain.n_parameters + m + n)


@given(chainable_architectures())
def test_the_transpose_reverses_and_comes_back(chain):
    turned = chain.T
    assert turned.T.patterns == chain.patterns
    assert turned.shape == chain.shape[::-1]
    for pattern, original in zip(turned, reversed(chain), strict=True):
        assert np.array_equal(pattern.toarray(), original.toarray().T)


def test_the_transpose_of_a_chainable_chain_is_in_general_not_chainable():
    chain = Architecture([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)], "dyadic")
    assert chain.T.why_not_chainable().startswith(
        "interface 1: (4, 2, 2, 1) and (2, 2, 2, 2) are not chainable"
    )
    with pytest.raises(ShapeError, match="not chainable"):
        chain.T.ranks  # noqa: B018
    assert (chain.name, chain.T.name, chain.T.T.name) == ("dyadic", "dyadic.T", "dyadic")


@given(chainable_architectures())
def test_architectures_are_supports_and_survive_pickling(chain):
    plain = fsmf.as_supports([pattern.toarray() for pattern in chain])
    assert chain == plain
    assert hash(chain) == hash(plain)
    assert fsmf.as_supports(chain) is chain
    again = pickle.loads(pickle.dumps(Architecture(chain, "named")))
    assert isinstance(again, Architecture)
    assert again.name == "named"
    assert [pattern.abcd for pattern in again] == [pattern.abcd for pattern in chain]
    assert chain.n_parameters == plain.n_parameters


def test_chains_are_joined_end_to_end():
    one = Architecture([(1, 2, 3, 2)], "one")
    other = Architecture([[2, 3, 1, 1]], "other")
    joined = one @ other
    assert joined.patterns == (*one, *other)
    assert joined.name == "one @ other"
    assert repr(joined) == "Architecture(one @ other: (1, 2, 3, 2) · (2, 3, 1, 1), 18 nonzeros)"
    with pytest.raises(ShapeError):
        one @ one
    with pytest.raises(TypeError):
        one @ [(2, 3, 1, 1)]
    with pytest.raises(TypeError):
        one[0] * 2


BAD_PATTERNS = {
    "zero": (1, 0, 2, 2),
    "negative": (1, 2, -2, 2),
    "half": (1, 2, 2.5, 2),
    "a float": (1, 2, 2.0, 2),
    "a boolean": (True, 2, 2, 2),
    "a string": ("1", 2, 2, 2),
    "too large": (2**16, 2**16, 1, 1),
    "far too large": (10**30, 1, 1, 1),
}


@pytest.mark.parametrize("abcd", BAD_PATTERNS.values(), ids=BAD_PATTERNS)
def test_what_is_no_pattern(abcd):
    with pytest.raises(SupportError):
        KroneckerPattern(*abcd)
    with pytest.raises(SupportError):
        Architecture([abcd])


@pytest.mark.parametrize("patterns", [[], [(1, 2, 3)], ["abcd"], [7], [fsmf.Support(np.eye(2))], [None]])
def test_what_is_no_architecture(patterns):
    with pytest.raises(SupportError):
        Architecture(patterns)


def test_patterns_that_do_not_multiply():
    with pytest.raises(ShapeError, match="factor 0 has 4 columns"):
        Architecture([(1, 2, 2, 2), (1, 2, 2, 1)])


def test_questions_out_of_range():
    chain = Architecture([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)])
    for s in (0, 3, -1, 1.0, None):
        with pytest.raises(OptionError, match="interfaces 1 to 2; found"):
            chain.interface(s)
    for first, last in ((0, 3), (1, 1), (2, 1), (-1, 1)):
        with pytest.raises(OptionError, match="fuse takes"):
            chain.fuse(first, last)
    for terms in (0, -1, 1.5, "2"):
        with pytest.raises(OptionError, match="terms must be a positive integer; found"):
            chain.summed(terms)
    for ranks in ((1,), (1, 2, 3), (0, 1), (1.5, 1), "12", 2, (True, 1)):
        with pytest.raises(OptionError, match="found"):
            chain.with_ranks(ranks)
