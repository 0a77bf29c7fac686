"""Chains found among plain supports, against enumeration of all patterns and all orders."""

from itertools import pairwise, product

import numpy as np
import pytest
from architectures import chainable_architectures, dense_pattern
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.supports.kronecker import Architecture, KroneckerPattern
from fsmf.supports.recognition import arrange


def plain(arrays):
    return fsmf.as_supports([np.asarray(X, dtype=bool) for X in arrays])


def is_chainable(architecture):
    return architecture.is_chainable or architecture.T.is_chainable


def check(found, given):
    """The arrangement is what it says it is, for patterns and for values."""
    arrays = [support.toarray() for support in given]
    values = [np.arange(1.0, support.nnz + 1) for support in given]
    filled = []
    for X, v in zip(arrays, values, strict=True):
        filled.append(np.zeros(X.shape))
        filled[-1][X] = v
    if found.rows is not None:
        arrays[0], filled[0] = arrays[0][found.rows], filled[0][found.rows]
    if found.columns is not None:
        arrays[-1], filled[-1] = arrays[-1][:, found.columns], filled[-1][:, found.columns]
    for pattern, order, X, v, expected in zip(
        found.architecture, found.orders, arrays, values, filled, strict=True
    ):
        assert np.array_equal(dense_pattern(*pattern.abcd), X)
        Y = np.zeros(X.shape)
        Y[pattern.coordinates()] = v if order is None else v[order]
        assert np.array_equal(Y, expected)
    assert (found.orders[0] is None) == (found.rows is None)
    assert all(order is None for order in found.orders[1:])


@given(chainable_architectures(), st.booleans())
def test_plain_copies_of_chains_are_found_as_they_are(chain, turn):
    chain = chain.T if turn else chain
    copy = plain(pattern.toarray() for pattern in chain)
    found = arrange(copy)
    check(found, copy)
    assert is_chainable(found.architecture)
    assert found.rows is found.columns is None
    assert found.orders == (None,) * len(chain)
    assert arrange(copy) is found


@given(chainable_architectures(), st.booleans(), st.integers(0, 99))
def test_outer_permutations_are_undone(chain, turn, seed):
    chain = chain.T if turn else chain
    rng = np.random.default_rng(seed)
    arrays = [pattern.toarray() for pattern in chain]
    arrays[0] = rng.permutation(arrays[0], axis=0)
    arrays[-1] = rng.permutation(arrays[-1], axis=1)
    copy = plain(arrays)
    found = arrange(copy)
    check(found, copy)
    assert is_chainable(found.architecture)


@given(st.lists(st.tuples(*[st.integers(1, 3)] * 4), min_size=1, max_size=1))
def test_a_single_factor_may_have_its_rows_permuted(patterns):
    array = dense_pattern(*patterns[0])
    order = np.random.default_rng(0).permutation(len(array))
    copy = plain([array[order]])
    check(arrange(copy), copy)


@given(chainable_architectures())
def test_patterns_are_taken_as_they_are(chain):
    for given_chain in (chain, chain.T, Architecture(chain)):
        found = arrange(given_chain)
        assert found.architecture is given_chain
        assert found[1:] == (None, None, (None,) * len(chain))
    supports = fsmf.Supports(chain, "named")
    assert [pattern.abcd for pattern in arrange(supports).architecture] == [p.abcd for p in chain]
    assert arrange(supports).architecture.name == "named"


@pytest.mark.parametrize(
    "chain", [fsmf.butterfly(2**20), fsmf.kaleidoscope(2**20), fsmf.low_rank(10**6, rank=10**6)]
)
def test_patterns_are_not_laid_out(chain):
    assert arrange(chain).architecture is chain
    assert not any("_compressed" in vars(pattern) for pattern in chain)


def test_a_name_is_kept_and_is_no_part_of_the_question():
    arrays = [pattern.toarray() for pattern in fsmf.monarch(4, blocks=2)]
    for name in ("one", None, "other"):
        assert arrange(fsmf.Supports(plain(arrays), name)).architecture.name == name


IDENTITIES = {
    "on the left": [(1, 1, 1, 8), (1, 2, 2, 4), (2, 2, 2, 2)],
    "on the right": [(1, 2, 2, 4), (2, 2, 2, 2), (1, 1, 1, 8)],
    "between": [(1, 4, 2, 4), (1, 1, 1, 8), (2, 4, 3, 1)],
    "twice between": [(1, 4, 2, 4), (8, 1, 1, 1), (1, 1, 1, 8), (2, 4, 3, 1)],
    "around a mirrored pair": [(1, 1, 1, 8), (4, 2, 2, 1), (2, 2, 2, 2), (1, 1, 1, 8)],
    "behind single columns": [(2, 2, 1, 1), (2, 1, 1, 1)],
    "alone": [(2, 1, 1, 3)],
    "only": [(1, 1, 1, 6), (6, 1, 1, 1), (2, 1, 1, 3)],
}


@pytest.mark.parametrize("patterns", IDENTITIES.values(), ids=IDENTITIES)
@pytest.mark.parametrize("as_patterns", [True, False])
def test_identities_are_read_as_their_neighbours_would_have_them(patterns, as_patterns):
    supports = Architecture(patterns) if as_patterns else plain(dense_pattern(*abcd) for abcd in patterns)
    found = arrange(supports)
    check(found, supports)
    assert is_chainable(found.architecture)
    assert found.rows is found.columns is None


def all_patterns(rows, columns):
    """Every pattern of a shape."""
    return [
        KroneckerPattern(a, rows // (a * d), columns // (a * d), d)
        for a, d in product(range(1, 7), repeat=2)
        if rows % (a * d) == 0 and columns % (a * d) == 0
    ]


def sorted_lines(X):
    return sorted(map(tuple, X.astype(int).tolist()))


def all_readings(arrays):
    """Every chain that the arrays are up to the order of the first rows and of the last columns."""
    last = len(arrays) - 1
    options = []
    for i, X in enumerate(arrays):
        same = []
        for pattern in all_patterns(*X.shape):
            Y = dense_pattern(*pattern.abcd)
            if (
                np.array_equal(X, Y)
                or (i == 0 and sorted_lines(X) == sorted_lines(Y))
                or (0 < i == last and sorted_lines(X.T) == sorted_lines(Y.T))
            ):
                same.append(pattern)
        options.append(same)
    return [Architecture(patterns) for patterns in product(*options)]


@st.composite
def nearly_chains(draw):
    """Neighbours that need not be chainable, with sides permuted or a place flipped."""
    sides = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=2, max_size=4))
    arrays = []
    for rows, columns in pairwise(sides):
        pattern = draw(st.sampled_from(all_patterns(rows, columns)))
        arrays.append(dense_pattern(*pattern.abcd).astype(bool))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    spoil = draw(st.sampled_from(["nothing", "rows", "columns", "both", "inside", "place"]))
    if spoil in ("rows", "both"):
        arrays[0] = rng.permutation(arrays[0], axis=0)
    if spoil in ("columns", "both"):
        arrays[-1] = rng.permutation(arrays[-1], axis=1)
    if spoil == "inside":
        arrays[-1] = rng.permutation(arrays[-1], axis=0)
    if spoil == "place":
        X = arrays[rng.integers(len(arrays))]
        i, j = (rng.integers(side) for side in X.shape)
        X[i, j] = ~X[i, j]
    return arrays


@settings(max_examples=300)
@given(nearly_chains())
def test_a_chain_is_found_exactly_where_there_is_one(arrays):
    supports = plain(arrays)
    found, readings = arrange(supports), all_readings(arrays)
    assert (found is not None) == bool(readings)
    if found is not None:
        check(found, supports)
        assert is_chainable(found.architecture) == any(map(is_chainable, readings))


NO_CHAINS = {
    "triangles": fsmf.lu(4),
    "a band": fsmf.banded(6),
    "random": fsmf.random_supports(9, 8, components=6, density=0.4, rng=0),
    "nothing": [np.zeros((2, 3)), np.ones((3, 2))],
    "empty columns": [np.eye(2, 4), np.ones((4, 2))],
    "a circulant": [np.eye(5) + np.roll(np.eye(5), 1, axis=0), np.eye(5)],
    "uneven columns": [[[1, 1, 0], [1, 1, 0], [0, 1, 1]], np.eye(3)],
    "overlapping rows": [[[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], np.ones((4, 4))],
    "shifted rows": [[[1, 1, 0, 0], [0, 1, 1, 0]], np.eye(4)],
    "uneven distances": [[[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1]], np.eye(6)],
    "uneven blocks": [[[1, 1, 0, 0]] * 3 + [[0, 0, 1, 1]], np.eye(4)],
    "one empty column": [np.eye(2, 3), np.eye(3)],
    "uneven last columns": [np.ones((2, 4)), np.eye(3)[[0, 1, 2, 0]]],
    "random columns": [np.eye(4), [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]]],
    "an inner permutation": [np.kron(np.eye(2), np.ones((2, 3))), np.eye(6)[[0, 2, 1, 3, 4, 5]], np.eye(6)],
}


@pytest.mark.parametrize("supports", NO_CHAINS.values(), ids=NO_CHAINS)
def test_what_is_no_chain(supports):
    assert arrange(fsmf.as_supports(supports)) is None


def test_what_is_handed_out_cannot_be_written_to():
    left, right = (pattern.toarray() for pattern in fsmf.monarch(8, blocks=2))
    found = arrange(plain([left[::-1], right[:, ::-1]]))
    for array in (found.rows, found.columns, found.orders[0]):
        assert not array.flags.writeable
