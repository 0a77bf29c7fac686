"""Orders of rows and columns: the named ones make transforms exact, the search finds what was shuffled."""

import itertools
import time

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
from architectures import chainable_architectures
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import in_turn

import fsmf
from fsmf.errors import OptionError
from fsmf.solvers.problem_permutation import permutations

NOISES = (0.0, 0.01, 0.03, 0.1)


def dense(pattern, values):
    """The matrix of values of shape (a, b, d, c), entry by entry."""
    a, b, c, d = pattern.abcd
    X = np.zeros((a, b, d, a, c, d), values.dtype)
    for i, j in np.ndindex(a, d):
        X[i, :, j, i, :, j] = values[i, :, j]
    return X.reshape(pattern.shape)


def random_product(chain, rng, dtype=float):
    factors = []
    for pattern in chain.patterns:
        a, b, c, d = pattern.abcd
        values = rng.standard_normal((a, b, d, c)).astype(dtype)
        if np.iscomplexobj(values):
            values = values + 1j * rng.standard_normal(values.shape)
        factors.append(dense(pattern, values))
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)


def rotations(n, rng):
    """A butterfly of random rotations of the plane, an orthogonal matrix."""
    factors = []
    for pattern in fsmf.butterfly(n).patterns:
        a, _, _, d = pattern.abcd
        t = rng.uniform(0, 2 * np.pi, (a, d))
        factors.append(
            dense(pattern, np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]).transpose(2, 0, 3, 1))
        )
    return np.linalg.multi_dot(factors)


def bit_reversed(n):
    length = n.bit_length() - 1
    return [int(f"{i:0{length}b}"[::-1], 2) for i in range(n)]


BEDS = {
    "fourier": lambda n, rng: scipy.fft.fft(np.eye(n))[:, bit_reversed(n)],
    "hadamard": lambda n, rng: scipy.linalg.hadamard(n).astype(float),
    "rotations": rotations,
}


def losses(A, chain):
    """What rank-r pieces of the blocks of each interface leave, from the definition of the blocks."""
    found = []
    for s in range(1, len(chain)):
        interface = chain.interface(s)
        (a1, b1, _, d1), (a2, _, c2, d2) = interface.left.abcd, interface.right.abcd
        i, j = np.arange(len(A)), np.arange(A.shape[1])
        row, column = (i // (b1 * d1), i % d1), (j // (c2 * d2), j % d2)
        square = 0.0
        for second, first in np.ndindex(a2, d1):
            rows = (row[0] == second // (a2 // a1)) & (row[1] == first)
            columns = (column[0] == second) & (column[1] == first % d2)
            tail = np.linalg.svd(A[np.ix_(rows, columns)], compute_uv=False)[interface.rank :]
            square += tail @ tail
        found.append(np.sqrt(square))
    return found


def worst(A, chain, orders=(None, None)):
    """The largest loss at an interface, with rows and columns in some order, relative to ‖A‖."""
    rows, columns = orders
    B = A if rows is None else A[rows]
    B = B if columns is None else B[:, columns]
    return max(losses(B, chain), default=0.0) / np.linalg.norm(A)


def is_order(order, n):
    return sorted(order) == list(range(n))


def shuffled(A, rng):
    return A[rng.permutation(len(A))][:, rng.permutation(A.shape[1])]


def noisy(A, noise, rng):
    E = rng.standard_normal(A.shape)
    if np.iscomplexobj(A):
        E = E + 1j * rng.standard_normal(A.shape)
    return A + noise * np.linalg.norm(A) / np.linalg.norm(E) * E


def test_none_is_the_order_as_it_is():
    assert permutations(None, np.eye(8), fsmf.butterfly(8)) == [(None, None)]


@pytest.mark.parametrize("n", [8, 16, 64, 256])
def test_a_fourier_matrix_is_exact_in_bit_reversed_order_and_far_off_in_its_own(n):
    A, chain = scipy.fft.fft(np.eye(n)), fsmf.butterfly(n)
    ((rows, columns),) = permutations("bit-reversal", A, chain)
    assert rows is None
    assert columns.tolist() == bit_reversed(n)
    assert worst(A, chain, (rows, columns)) < 1e-13
    expected = np.sqrt(1 - 2.0 ** -(len(chain) // 2))
    assert worst(A, chain) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("radices", [(2, 3), (3, 2), (2, 3, 4), (5, 2, 2, 3)])
def test_digit_reversal_makes_fourier_matrices_of_mixed_radices_exact(radices):
    A, chain = scipy.fft.fft(np.eye(int(np.prod(radices)))), fsmf.butterfly(np.prod(radices), radices=radices)
    (orders,) = permutations("bit-reversal", A, chain)
    assert worst(A, chain, orders) < 1e-13
    # The transpose of the chain takes the rows.
    ((rows, columns),) = permutations("bit-reversal", A.T, chain.T)
    assert columns is None
    assert np.array_equal(rows, orders[1])


def test_ranks_do_not_count_as_digits():
    ((_, columns),) = permutations("bit-reversal", np.eye(16), fsmf.butterfly(16, rank=2))
    assert columns.tolist() == bit_reversed(16)


def test_digits_are_reversed_within_the_parts_that_a_chain_leaves_apart():
    chain = fsmf.Architecture([(2, 2, 2, 6), (4, 2, 2, 3)])
    A = np.kron(np.eye(2), np.kron(scipy.fft.fft(np.eye(4)), np.eye(3)))
    (orders,) = permutations("bit-reversal", A, chain)
    assert worst(A, chain, orders) < 1e-13 < worst(A, chain)


def test_the_eight_are_what_the_three_choices_make():
    found = permutations("eight", np.eye(8), fsmf.butterfly(8))
    assert found[0] == (None, None)
    columns = [list(range(8))] + [columns.tolist() for _, columns in found[1:]]
    assert len(set(map(tuple, columns))) == 8
    assert all(is_order(order, 8) for order in columns)
    assert all(rows is None for rows, _ in found)

    def by_hand(order, split, first, second):
        if len(order) < 2:
            return order
        if split:
            order = order[::2] + order[1::2]
        left, right = order[: len(order) // 2], order[len(order) // 2 :]
        left, right = left[::-1] if first else left, right[::-1] if second else right
        return by_hand(left, split, first, second) + by_hand(right, split, first, second)

    choices = itertools.product([False, True], repeat=3)
    assert {tuple(by_hand(list(range(8)), *choice)) for choice in choices} == set(map(tuple, columns))
    assert bit_reversed(8) in columns


@pytest.mark.parametrize(("n", "number"), [(1, 1), (2, 1), (4, 8)])
def test_no_order_comes_twice(n, number):
    chain = fsmf.Architecture([(1, n, n, 1)])
    assert len(permutations("eight", np.eye(n), chain)) == number


def test_a_pair_is_taken_as_it_is():
    A, chain = np.zeros((4, 6)), fsmf.monarch(4, 6, blocks=2)
    rows, columns = [2, 0, 1, 3], np.arange(6, dtype=np.int32)[::-1]
    for way, pair in (
        (chain, permutations((rows, columns), A, chain)),
        (chain.T, permutations([rows, columns], A, chain.T.T)),
    ):
        assert np.array_equal(pair[0][0], rows), way
        assert np.array_equal(pair[0][1], columns), way
    assert permutations((None, None), A, chain) == [(None, None)]
    turned = fsmf.butterfly(6, 4).T
    (pair,) = permutations((rows, columns), A, turned)
    assert (pair[0].tolist(), pair[1].tolist()) == (rows, columns.tolist())


@pytest.mark.parametrize(
    "option",
    [
        "bitreversal",
        7,
        (None,),
        (None, None, None),
        np.arange(8),
        ([0, 1, 2], None),
        (None, [0, 1, 2, 3, 4, 5, 6, 6]),
        (None, [1, 2, 3, 4, 5, 6, 7, 8]),
        (np.arange(8.0), None),
        (np.arange(8) > 3, None),
        (np.arange(8).reshape(8, 1), None),
        ("rows", None),
    ],
    ids=str,
)
def test_what_is_no_order_is_refused_in_three_parts(option):
    with pytest.raises(OptionError, match=r"permutation takes .*(?s:.*); found (?s:.*); give "):
        permutations(option, np.eye(8), fsmf.butterfly(8))


def test_the_eight_are_for_powers_of_two():
    with pytest.raises(OptionError, match="power of two; found 6; "):
        permutations("eight", np.eye(6), fsmf.butterfly(6))


@pytest.mark.parametrize(("bed", "noise"), in_turn(list(BEDS), NOISES, 2))
def test_what_was_shuffled_is_found_again(bed, noise):
    """Of 20 such trials of each size, at most one was missed; here one of 12 may be."""
    missed = 0
    for n, seed in itertools.product((8, 16, 32), range(4)):
        rng = np.random.default_rng(seed)
        A = noisy(BEDS[bed](n, rng), noise, rng)
        chain, B = fsmf.butterfly(n), shuffled(A, rng)
        found = permutations("search", B, chain)
        assert found[0] == (None, None)
        assert all(is_order(rows, n) and is_order(columns, n) for rows, columns in found[1:])
        best = min(worst(B, chain, orders) for orders in found)
        missed += best > 1.05 * worst(A, chain) + 1e-12
    assert missed <= 1


@pytest.mark.parametrize(
    "bed", ["fourier", *(pytest.param(bed, marks=pytest.mark.slow) for bed in ("hadamard", "rotations"))]
)
def test_size_128_takes_seconds(bed):
    rng = np.random.default_rng(5)
    A = noisy(BEDS[bed](128, rng), 0.1, rng)
    B = shuffled(A, rng)
    start = time.process_time()
    found = permutations("search", B, fsmf.butterfly(128))
    assert time.process_time() - start < 15
    chain = fsmf.butterfly(128)
    assert min(worst(B, chain, orders) for orders in found) < 1.02 * worst(A, chain)


CHAINS = [
    fsmf.butterfly(27),
    fsmf.butterfly(60),
    fsmf.butterfly(24, 36),
    fsmf.butterfly(36, 24).T,
    fsmf.monarch(64, 32, blocks=8),
    fsmf.monarch(48, blocks=4, rank=2),
    fsmf.Architecture([(2, 2, 2, 6), (4, 3, 2, 2)]),
]


@pytest.mark.parametrize(("chain", "dtype"), in_turn(CHAINS, ["f", "d", "F", "D"], 2))
def test_other_radices_shapes_and_types_are_found_as_well(chain, dtype):
    rng = np.random.default_rng(0)
    B = shuffled(random_product(chain, rng, dtype), rng)
    found = permutations("search", B, chain)
    if not chain.is_chainable:
        B, chain, found = B.T, chain.T, [orders[::-1] for orders in found]
    assert min(worst(B, chain, orders) for orders in found) < 100 * np.finfo(dtype).eps < worst(B, chain)


def test_ranks_above_one_are_mostly_found():
    """Of 20 such trials, all were found."""
    chain, found = fsmf.butterfly(32, rank=2), 0
    reduced, _ = chain.reduced()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        B = shuffled(random_product(chain, rng), rng)
        found += min(worst(B, reduced, orders) for orders in permutations("search", B, chain)) < 1e-12
    assert found >= 6


def test_the_search_repeats_itself_and_leaves_its_input_alone():
    rng = np.random.default_rng(1)
    A = shuffled(noisy(rotations(32, rng), 0.1, rng), rng)
    kept = A.copy()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (permutations("search", A, fsmf.butterfly(32)) for _ in range(2))
    assert np.array_equal(A, kept)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    for one, other in zip(first[1:], second[1:], strict=True):
        assert all(map(np.array_equal, one, other))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale):
    rng = np.random.default_rng(2)
    A = shuffled(rotations(16, rng), rng)
    found = permutations("search", scale * A, fsmf.butterfly(16))
    assert min(worst(A, fsmf.butterfly(16), orders) for orders in found) < 1e-13


@pytest.mark.parametrize("A", [np.zeros((8, 8)), np.ones((8, 8)), np.eye(8), np.eye(8)[::-1], np.eye(8, k=1)])
def test_matrices_full_of_ties_are_no_trouble(A):
    found = permutations("search", A, fsmf.butterfly(8))
    assert found[0] == (None, None)
    assert all(is_order(rows, 8) and is_order(columns, 8) for rows, columns in found[1:])


@settings(max_examples=60)
@given(chainable_architectures(max_factors=4, max_splits=4), st.integers(0, 9), st.booleans())
def test_any_chain_gets_orders_and_what_is_one_way_is_the_other(chain, seed, turned):
    A = np.random.default_rng(seed).standard_normal(chain.shape)
    found = permutations("search", A.T if turned else A, chain.T if turned else chain)
    assert found[0] == (None, None)
    shape = A.T.shape if turned else A.shape
    assert all(is_order(rows, shape[0]) and is_order(columns, shape[1]) for rows, columns in found[1:])
