"""Certificates of chains: right ones verify, spoiled ones do not; constants of orders; files."""

import copy
import dataclasses
import itertools
import json
import math

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import exact, gaussian, patterns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse

import fsmf
from fsmf import Architecture, Hierarchical
from fsmf.certificates.cuts import Whole, norm_off_pattern
from fsmf.certificates.orders import is_extremal, order_constant
from fsmf.certificates.quasi_optimum import QuasiOptimum
from fsmf.certificates.sum_bound import SumBound
from fsmf.errors import FileFormatError
from fsmf.factorization import _checksum

OFF = Architecture([(2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)])
REDUNDANT = Architecture([(1, 4, 4, 4), (2, 4, 4, 2), (4, 4, 2, 1), (4, 2, 8, 1)])
PERMUTED = np.random.default_rng(5).permutation(16), np.random.default_rng(6).permutation(16)


def answer(chain, dtype=float, **options):
    A = gaussian(chain.shape, dtype, 3)
    return A, fsmf.factorize(A, chain, solver=Hierarchical(**options))


ANSWERS = {
    "left": answer(fsmf.butterfly(16), order="left-to-right"),
    "right, complex": answer(fsmf.butterfly(16), complex, order="right-to-left"),
    "outside in": answer(fsmf.butterfly(16), order=(1, 3, 2)),
    "balanced": answer(fsmf.butterfly(16), order="balanced"),
    "refined": answer(fsmf.butterfly(16), refine=2),
    "off the places": answer(OFF),
    "redundant": answer(REDUNDANT),
    "transposed": answer(Architecture([(1, 3, 2, 4), (2, 2, 2, 2), (4, 2, 3, 1)]).T),
    "permuted": answer(fsmf.butterfly(16), permutation=PERMUTED),
    "rtol": answer(fsmf.butterfly(16), rtol=0.5, order="left-to-right"),
    "rtol, surplus": answer(fsmf.butterfly(16), rtol=0.7, order="left-to-right"),
    "single": answer(fsmf.butterfly(16), np.float32),
}
SUMS = {
    "sum": answer(fsmf.butterfly(16), residual_terms=2),
    "sum of transposed": answer(fsmf.butterfly(16).T, complex, residual_terms=3),
    "sum off the places": answer(OFF, residual_terms=2),
}
every = pytest.mark.parametrize("name", ANSWERS)
every_sum = pytest.mark.parametrize("name", SUMS)


def spoiled(F, **fields):
    twin = copy.copy(F)
    twin.certificate = dataclasses.replace(F.certificate, **fields)
    return twin


def assert_noticed(F, A, **fields):
    found = spoiled(F, **fields).verify(A)
    assert not found, (fields, str(found))


# Honest ones.


@pytest.mark.parametrize("name", [*ANSWERS, *SUMS])
def test_a_certificate_verifies(name):
    A, F = (ANSWERS | SUMS)[name]
    for G, B in (
        (F, A),
        (F.T, A.T),
        (F.H, A.conj().T),
        (F.conj(), A.conj()),
        (-2.5 * F, -2.5 * A),
        (F.T.T, A),
    ):
        found = G.verify(B.astype(A.dtype))
        assert found, str(found)
        assert "FAIL" not in str(found)
        assert G.certificate.gap == pytest.approx(G.error - G.lower_bound)
    assert "\n" not in str(F.certificate)
    assert str(F.certificate) in str(F)


@every
def test_numbers_are_those_of_the_blocks(name):
    A, F = ANSWERS[name]
    A = A if F.rows is None else A[np.ix_(F.rows, F.columns)]
    own, chain = F.certificate, F.supports
    if not chain.is_chainable:
        A, chain, own = A.T, chain.T, own.transposed()
    tight = 1e-4 if A.dtype == np.float32 else 1e-9
    distances = {s: oracles.chain_distance(A, patterns(chain), s) for s in own.order}
    if own.order and sum(level > 0 for level in own.levels) == len(own.order):
        assert own.levels[own.order[0] - 1] == pytest.approx(distances[own.order[0]], rel=tight)
    assert own.out_of_reach == pytest.approx(oracles.chain_out_of_reach(A, patterns(chain)), abs=1e-12)
    largest = max((own.levels[s - 1] for s in own.order), default=0)
    assert own.lower_bound == pytest.approx(math.hypot(own.out_of_reach, largest), rel=tight)
    assert 1 <= own.constant <= (own.error / own.lower_bound * (1 + 1e-12) if own.lower_bound else math.inf)


def test_an_interface_that_either_side_makes_redundant():
    """The chain and its transpose are both chainable, and reduce at different interfaces."""
    chain = Architecture([(1, 4, 2, 1), (1, 2, 2, 1), (1, 2, 4, 1)])
    A, F = answer(chain)
    assert chain.reduced()[1] == chain.T.reduced()[1]
    for G, B in ((F, A), (F.T, A.T), (F.T.T, A)):
        assert G.verify(B), str(G.verify(B))
    assert F.error == pytest.approx(oracles.tail(A, 2))


# Spoiled ones.


@every
@pytest.mark.parametrize("field", ["error", "lower_bound", "out_of_reach"])
def test_a_spoiled_number_is_noticed(name, field):
    A, F = ANSWERS[name]
    value = getattr(F.certificate, field)
    step = 0.01 * (value if value > 1e-6 * F.norm else F.norm)
    for wrong in (value + step, value - step, -F.norm, 1e6 * F.norm, math.nan, math.inf, -math.inf):
        assert_noticed(F, A, **{field: wrong})


@every
def test_a_spoiled_loss_is_noticed(name):
    A, F = ANSWERS[name]
    own = F.certificate
    B = A if F.rows is None else A[np.ix_(F.rows, F.columns)]
    chain = F.supports
    for i, level in enumerate(own.levels):
        wrong = [-0.01 * F.norm, math.nan, math.inf, 1.5 * F.norm]
        if own._is_orthogonal and level:
            wrong += [1.01 * level, 0.99 * level]  # the error is the root of their squares
        if i + 1 in own.order:
            s = i + 1 if chain.is_chainable else len(chain) - i - 1
            E = oracles.chain_distance(
                *((B, patterns(chain)) if chain.is_chainable else (B.T, patterns(chain.T))), s
            )
            wrong += [1.01 * E]
        if level == max(own.levels) and i + 1 in own.order:
            wrong += [1.01 * level, 0.99 * level]  # of which the lower bound is made
        for other in wrong:
            assert_noticed(F, A, levels=(*own.levels[:i], other, *own.levels[i + 1 :]))
    assert_noticed(F, A, levels=own.levels[:-1])
    assert_noticed(F, A, levels=(*own.levels, 0.0))
    assert_noticed(F, A, levels=tuple(0.0 for _ in own.levels))


@every
def test_a_spoiled_order_is_noticed(name):
    A, F = ANSWERS[name]
    order, n = F.certificate.order, len(F.supports)
    assert spoiled(F, order=tuple(order)).verify(A)
    for wrong in ((*order, 1), (*order, n), order[1:], (0, *order[1:]), order[:1] * len(order)):
        if sorted(wrong) != sorted(order):
            assert_noticed(F, A, order=wrong)
    if not F.certificate._has_surplus:
        # What is split first loses all of its distance, and what comes later loses less.
        for other in itertools.permutations(order):
            if other[0] != order[0]:
                assert_noticed(F, A, order=other)


def test_a_spoiled_number_of_sweeps_is_noticed():
    for name in ANSWERS:
        A, F = ANSWERS[name]
        for wrong in (-1, math.nan, -math.inf):
            assert_noticed(F, A, refined=wrong)
    A, F = ANSWERS["refined"]
    assert_noticed(F, A, refined=0)


@every
def test_a_spoiled_answer_is_noticed(name):
    A, F = ANSWERS[name]
    for factor in (1.01, 0.99, 0, -1, math.nan, math.inf):
        twin = copy.copy(F)
        twin.norm = F.norm * factor
        assert not twin.verify(A)
    for i in range(len(F.values)):
        twin = copy.copy(F)
        values = [value.copy() for value in F.values]
        values[i][np.argmax(abs(values[i]))] *= 1.2
        twin.values = tuple(values)
        assert not twin.verify(A), i
        values[i][0] = math.nan
        assert not twin.verify(A)
    for wrong in (2 * A, 0 * A, A + 0.01 * F.norm, A[::-1]):
        assert not F.verify(wrong)


def test_other_permutations_are_noticed():
    A, F = ANSWERS["permuted"]
    for rows, columns in ((None, F.columns), (F.rows, None), (F.columns, F.rows), (F.rows[::-1], F.columns)):
        twin = copy.copy(F)
        twin.rows, twin.columns = rows, columns
        assert not twin.verify(A)


def test_a_chain_cannot_pass_for_another():
    A, F = ANSWERS["left"]
    own = F.certificate
    claims = [
        fsmf.ByConstruction.of(F.norm, 4, float),
        SumBound(own.error, own.lower_bound, 1, tuple(patterns(F.supports)), (own.error,)),
    ]
    for claim in claims:
        twin = copy.copy(F)
        twin.certificate = claim
        assert not twin.verify(A)
    lu = fsmf.factorize(np.eye(4) + np.ones((4, 4)), fsmf.lu(4))
    twin = copy.copy(lu)
    twin.certificate = QuasiOptimum(lu.error, 0.0, 0.0, (), (0.0,))
    assert not twin.verify(np.eye(4) + np.ones((4, 4)))


@every_sum
def test_a_spoiled_sum_is_noticed(name):
    A, F = SUMS[name]
    own = F.certificate
    chain, B = Architecture(own.patterns), A.T if own.is_transposed else A
    distances = []
    for s in range(1, len(chain)):
        blocks = oracles.chain_blocks(patterns(chain), s)
        distances.append(
            math.hypot(*(oracles.tail(B[np.ix_(i, j)], own.terms * rank) for i, j, rank in blocks))
        )
    largest = math.hypot(oracles.chain_out_of_reach(B, patterns(chain)), max(distances))
    for wrong in (own.error * 1.01, own.error * 0.99, -1, 0, math.nan, math.inf):
        assert_noticed(F, A, error=wrong)
    for wrong in (largest * 1.01, own.error * 1.01, -1, math.nan, math.inf):
        assert_noticed(F, A, lower_bound=wrong)
    for k, error in enumerate(own.errors):
        for other in (1.01 * error, 0.99 * error, 0, math.nan, -error):
            assert_noticed(F, A, errors=(*own.errors[:k], other, *own.errors[k + 1 :]))
    for errors in (own.errors[1:], own.errors[::-1], (*own.errors, 0.0), ()):
        assert_noticed(F, A, errors=errors)
    for terms in (own.terms - 1, own.terms + 1, 0, -1):
        assert_noticed(F, A, terms=terms)
    assert_noticed(F, A, is_transposed=not own.is_transposed)
    doubled = tuple(
        (a, 2 * b if i else b, c if i else 2 * c, d) for i, (a, b, c, d) in enumerate(own.patterns[:2])
    )
    for wrong in (own.patterns[::-1], own.patterns[1:], (*doubled, *own.patterns[2:]), ()):
        assert_noticed(F, A, patterns=wrong)


# Constants.


@pytest.mark.parametrize("n", range(9))
def test_extremal_orders_have_the_root(n):
    for order in (range(1, n + 1), range(n, 0, -1)):
        assert is_extremal(order)
        assert order_constant(tuple(order)) == pytest.approx(math.sqrt(n))


def balanced(first, last):
    middle = (first + last) // 2
    return [middle, *balanced(first, middle - 1), *balanced(middle + 1, last)] if first <= last else []


@pytest.mark.parametrize(("factors", "constant"), [(2, 1.0), (4, 1 + math.sqrt(2)), (8, 5.027)])
def test_balanced_orders_have_their_tree_constant(factors, constant):
    order = balanced(1, factors - 1)
    # With 4 factors, and both orientations: √3 would be that of an order from the ends.
    assert order_constant(order) == pytest.approx(min(constant, factors - 1), abs=5e-4)


def tree_constant(order):
    """The constant of a tree by its definition: what comes first counts squared."""
    if not order:
        return 0.0
    root, rest = order[0], list(order[1:])
    sides = [s for s in rest if s < root], [s for s in rest if s > root]
    ways = [(first, second) for first, second in (sides, sides[::-1]) if first + second == rest]
    return min(
        (math.hypot(1, tree_constant(one)) + tree_constant(two) for one, two in ways), default=math.inf
    )


@pytest.mark.parametrize("n", range(1, 7))
def test_the_constant_of_every_order(n):
    for order in itertools.permutations(range(1, n + 1)):
        remaining, extremal = list(range(1, n + 1)), True
        for s in order:
            extremal = extremal and s in (remaining[0], remaining[-1])
            remaining.remove(s)
        assert is_extremal(order) == extremal
        expected = math.sqrt(n) if extremal else min(n, tree_constant(order))
        assert order_constant(order) == pytest.approx(expected)
        # Interfaces may be left out in between.
        assert order_constant([3 * s for s in order]) == pytest.approx(expected)


@settings(max_examples=60)
@given(chainable_architectures(max_splits=6), st.randoms(use_true_random=False), st.integers(0, 99))
def test_the_error_is_within_the_constant_of_the_largest_distance(chain, random, seed):
    order = list(range(1, len(chain)))
    random.shuffle(order)
    A = gaussian(chain.shape, seed=seed)
    own = fsmf.factorize(A, chain, solver=Hierarchical(order=order)).certificate
    E = max((oracles.chain_distance(A, patterns(chain), s) for s in own.order), default=0.0)
    optimum = math.hypot(own.out_of_reach, E)
    assert own.error <= max(1, order_constant(own.order)) * optimum * (1 + 1e-9) + 1e-12


# Pieces.


@given(st.tuples(*[st.integers(1, 3)] * 4), st.booleans())
def test_what_lies_off_a_pattern(abcd, thin):
    pattern = fsmf.KroneckerPattern(*abcd)
    A = gaussian(pattern.shape)
    expected = np.linalg.norm(np.where(oracles.pattern_array(abcd), 0, A))
    assert norm_off_pattern(sparse.csr_array(A) if thin else A, pattern) == pytest.approx(expected)


def test_how_supports_are_cut():
    chain = Architecture([(1, 3, 2, 4), (2, 2, 2, 2), (4, 2, 3, 1)])
    whole = Whole.of(chain.T)
    assert whole.transposed
    assert whole.chain == chain
    A = gaussian(chain.T.shape)
    assert np.array_equal(whole.turned(A), A.T)
    assert Whole.of(fsmf.lu(3)) is Whole.of(fsmf.kaleidoscope(4)) is None
    order = np.random.default_rng(0).permutation(12)
    masks = fsmf.as_supports([chain[0].toarray()[order], *(pattern.toarray() for pattern in chain[1:])])
    rows = Whole.of(masks).rows
    assert np.array_equal(masks[0].toarray()[rows], chain[0].toarray())


def test_what_is_known_in_closed_form():
    H = linalg.hadamard(16).astype(float)
    plain = fsmf.factorize(H, fsmf.butterfly(16))
    F = fsmf.Factorization.by_construction(plain.supports, plain.values, norm=16.0)
    assert F.status is fsmf.Status.EXACT
    for scale in (1, 1e300, 1e-300, -3, 1j):
        assert (scale * F).verify(scale * H), str((scale * F).verify(scale * H))
    assert F.T.verify(H.T)
    for fields in (
        {"error": 1.01 * F.error},
        {"error": 0.0},
        {"error": math.nan},
        {"error": 1.0},
        {"n_factors": 3},
    ):
        assert_noticed(F, H, **fields)
    assert not F.verify(H + 1e-6)
    assert "rounding" in str(F.certificate)


# Files.


def same(one, other):
    return (
        one.supports == other.supports
        and patterns(one.supports) == patterns(other.supports)
        and all(
            a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one.values, other.values, strict=True)
        )
        and np.array_equal(np.asarray(one.rows), np.asarray(other.rows))
        and np.array_equal(np.asarray(one.columns), np.asarray(other.columns))
        and str(one) == str(other)
        and (one.norm, one.status, one.certificate, one.solver)
        == (other.norm, other.status, other.certificate, other.solver)
    )


@pytest.mark.parametrize("name", [*ANSWERS, *SUMS])
def test_a_file_gives_back_the_same_answer(name, tmp_path):
    A, F = (ANSWERS | SUMS)[name]
    for G, B in ((F, A), (F.T, A.T)):
        G.save(tmp_path / "answer")
        H = fsmf.load(tmp_path / "answer")
        assert same(G, H)
        assert isinstance(H.supports, Architecture)
        assert H.verify(B)


def test_a_file_keeps_the_users_supports(tmp_path):
    chain = fsmf.butterfly(8)
    masks = [pattern.toarray() for pattern in chain]
    masks[0] = masks[0][np.random.default_rng(0).permutation(8)]
    A = gaussian((8, 8))
    F = fsmf.factorize(A, masks)
    F.save(tmp_path / "answer")
    G = fsmf.load(tmp_path / "answer")
    assert G.verify(A)
    assert all(np.array_equal(s.toarray(), mask) for s, mask in zip(G.supports, masks, strict=True))


@pytest.fixture
def written(tmp_path):
    _, F = ANSWERS["permuted"]
    F.save(tmp_path / "answer.npz")
    return F, tmp_path / "answer.npz"


def test_a_file_cut_anywhere_is_refused(written):
    _, path = written
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 211), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"answer\.npz"):
            fsmf.load(path)


def test_a_byte_changed_anywhere_is_refused_or_harmless(written):
    F, path = written
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 + place % 255
        path.write_bytes(damaged)
        try:
            assert same(fsmf.load(path), F), place
        except FileFormatError:
            refused += 1
    assert refused > 0.3 * len(whole) / 7


def with_numbers(**fields):
    return lambda header, arrays: header["numbers"].update(fields)


WRONG_CONTENT = {
    "newer version": lambda header, arrays: header.update(version=3),
    "other pattern": lambda header, arrays: header["patterns"].__setitem__(0, [1, 2, 2, 4]),
    "no pattern": lambda header, arrays: header["patterns"].__setitem__(0, None),
    "pattern of three": lambda header, arrays: header["patterns"].__setitem__(0, [1, 2, 2]),
    "negative pattern": lambda header, arrays: header["patterns"].__setitem__(0, [1, -2, 2, -8]),
    "huge pattern": lambda header, arrays: header["patterns"].__setitem__(0, [1, 2**40, 2, 8]),
    "too few patterns": lambda header, arrays: header["patterns"].pop(),
    "rows twice": lambda header, arrays: arrays.update(rows=np.zeros(16, int)),
    "rows short": lambda header, arrays: arrays.update(rows=np.arange(8)),
    "columns real": lambda header, arrays: arrays.update(columns=np.arange(16.0)),
    "values short": lambda header, arrays: arrays.update(data1=np.ones(3)),
    "values text": lambda header, arrays: arrays.update(data1=np.array(["a"] * 32)),
    "no values": lambda header, arrays: arrays.pop("data2"),
    "no order": lambda header, arrays: header["numbers"].pop("order"),
    "order is a number": with_numbers(order=3),
    "levels are none": with_numbers(levels=None),
    "unknown number": with_numbers(luck=1),
    "other certificate": lambda header, arrays: header.update(certificate="SumBound"),
}


@pytest.mark.parametrize("change", WRONG_CONTENT.values(), ids=WRONG_CONTENT)
@pytest.mark.parametrize("seal", [True, False])
def test_wrong_content_is_refused(written, change, seal):
    """Whether or not the checksum is made anew."""
    _, path = written
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header, old = json.loads(str(arrays.pop("header"))), arrays.pop("checksum")
    change(header, arrays)
    text = json.dumps(header)
    checksum = np.array(_checksum(text, arrays)) if seal else old
    np.savez(path, header=np.array(text), checksum=checksum, **arrays)
    with pytest.raises(FileFormatError):
        fsmf.load(path)


def test_exact_answers_keep_their_status(tmp_path):
    A = exact(fsmf.butterfly(16), complex, 0)
    F = fsmf.factorize(A, fsmf.butterfly(16))
    assert F.status is fsmf.Status.OPTIMAL
    F.save(tmp_path / "answer")
    assert fsmf.load(tmp_path / "answer").status is fsmf.Status.OPTIMAL
