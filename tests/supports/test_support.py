"""Supports: immutable 0/1 patterns, however they are given."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy import sparse

import fsmf
from fsmf.errors import InputTypeError, ShapeError, SupportError

PATTERN = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 1]], dtype=bool)
ROWS, COLUMNS = np.nonzero(PATTERN)
patterns = nst.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5)))

SPELLINGS = {
    "bool": PATTERN,
    **{np.dtype(d).name: PATTERN.astype(d) for d in "bBhHiIlLqQefdgFDG"},
    "fortran": np.asfortranarray(PATTERN),
    "strided": np.repeat(np.repeat(PATTERN, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": PATTERN[::-1, ::-1].copy()[::-1, ::-1],
    "swapped bytes": PATTERN.astype(">i4"),
    "nested lists": PATTERN.astype(int).tolist(),
    "nested tuples": tuple(map(tuple, PATTERN.astype(int).tolist())),
    "np.matrix": PATTERN.view(np.matrix),
    "index lists": ((ROWS.tolist(), COLUMNS.tolist()), PATTERN.shape),
    "index arrays": ((ROWS.astype(np.uint8), COLUMNS), PATTERN.shape),
    "shuffled, repeated": ((np.tile(ROWS[::-1], 2), np.tile(COLUMNS[::-1], 2)), PATTERN.shape),
    "support": fsmf.Support(PATTERN),
    **{
        f"{kind} {flavour.__name__}": flavour(PATTERN.astype(float)).asformat(kind)
        for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for flavour in (sparse.coo_array, sparse.coo_matrix)
    },
    "sparse bool": sparse.csr_array(PATTERN),
    "stored zeros": sparse.csr_array(
        (np.array([1, 0, 1, 1, 1, 1]), [0, 1, 2, 0, 1, 3], [0, 3, 3, 6]), PATTERN.shape
    ),
    "unsorted": sparse.csr_array((np.ones(5), [2, 0, 3, 0, 1], [0, 2, 2, 5]), PATTERN.shape),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_the_same_support(spelling):
    support = fsmf.as_support(spelling)
    assert support == fsmf.Support(PATTERN)
    assert hash(support) == hash(fsmf.Support(PATTERN))
    assert np.array_equal(support.toarray(), PATTERN)


@pytest.mark.parametrize("pattern", [((0, 0), (1, 1)), ((1, 0), (1, 1)), ([0, 1], [1, 1]), ((1, 1), (1, 1))])
def test_a_2_by_2_matrix_is_never_taken_for_index_lists(pattern):
    assert np.array_equal(fsmf.Support(pattern).toarray(), np.array(pattern, dtype=bool))


@given(patterns)
def test_a_support_answers_as_its_dense_pattern(pattern):
    S = fsmf.Support(pattern)
    assert S.shape == pattern.shape
    assert S.nnz == pattern.sum()
    assert S.density == pattern.mean()
    assert np.array_equal(S.to_sparse().toarray(), pattern)
    assert np.array_equal(np.transpose(S.coordinates()), np.argwhere(pattern))
    assert all(np.array_equal(S.row(i), np.flatnonzero(pattern[i])) for i in range(len(pattern)))
    assert np.array_equal(S.T.toarray(), pattern.T)
    assert S.T.T == S


@given(patterns, st.data())
def test_restriction_is_indexing(pattern, data):
    rows, columns = (
        data.draw(st.lists(st.integers(0, side - 1), min_size=1, unique=True)) for side in pattern.shape
    )
    assert np.array_equal(
        fsmf.Support(pattern).restrict(rows, columns).toarray(), pattern[np.ix_(rows, columns)]
    )


@given(patterns, patterns)
def test_equality_is_by_content(one, other):
    assert (fsmf.Support(one) == fsmf.Support(other)) == np.array_equal(one, other)
    assert fsmf.Support(one) != one.tolist()


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda S: pickle.loads(pickle.dumps(S))])
def test_copies_are_equal_and_still_read_only(clone):
    twin = clone(fsmf.Support(PATTERN))
    assert twin == fsmf.Support(PATTERN)
    assert not twin.indices.flags.writeable
    assert not twin.indptr.flags.writeable


def test_a_support_cannot_be_changed():
    S = fsmf.Support(PATTERN)
    for array in (S.indices, S.indptr, S.row(0), S.T.indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        S.shape = (1, 1)


@pytest.mark.parametrize("kind", ["dense", "csr", "coordinates"])
def test_nothing_is_shared_with_the_caller(kind):
    dense = PATTERN.copy()
    csr = sparse.csr_array(dense)
    rows, columns = ROWS.copy(), COLUMNS.copy()
    S = fsmf.Support({"dense": dense, "csr": csr, "coordinates": ((rows, columns), dense.shape)}[kind])
    dense[:] = True
    csr.indices[:] = 0
    rows[:] = columns[:] = 0
    assert np.array_equal(S.toarray(), PATTERN)


def test_a_sparse_input_is_left_as_it_was():
    given_ = sparse.csr_array((np.array([1, 0, 1]), np.array([1, 0, 0]), np.array([0, 2, 3])), shape=(2, 2))
    before = [array.copy() for array in (given_.data, given_.indices, given_.indptr)]
    fsmf.Support(given_)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(before, (given_.data, given_.indices, given_.indptr), strict=True)
    )


BAD_SUPPORTS = {
    "two": ([[1, 2]], SupportError),
    "negative": ([[-1, 0]], SupportError),
    "half": ([[0.5]], SupportError),
    "nan": ([[np.nan, 1]], SupportError),
    "infinity": ([[np.inf, 1]], SupportError),
    "imaginary": ([[1j]], SupportError),
    "sparse two": (sparse.csr_array([[2.0]]), SupportError),
    "strings": ([["a"]], InputTypeError),
    "objects": ([[None]], InputTypeError),
    "dates": (np.zeros((1, 1), "M8[s]"), InputTypeError),
    "huge integers": ([[10**40]], InputTypeError),
    "a number": (1, ShapeError),
    "a vector": ([1, 0], ShapeError),
    "a cube": (np.ones((2, 2, 2)), ShapeError),
    "ragged": ([[1], [1, 0]], ShapeError),
    "a sparse vector": (sparse.coo_array([1, 0]), ShapeError),
    "no rows": (np.ones((0, 3)), SupportError),
    "no columns": (sparse.csr_array((3, 0)), SupportError),
    "index too large": ((([0], [3]), (2, 3)), SupportError),
    "negative index": ((([-1], [0]), (2, 3)), SupportError),
    "unequal lists": ((([0, 1], [0]), (2, 3)), ShapeError),
    "fractional index": ((([0.5], [0]), (2, 3)), InputTypeError),
    "ragged index": ((([[0], [0, 1]], [0]), (2, 3)), ShapeError),
    "empty shape": ((([], []), (0, 3)), SupportError),
    "huge shape": ((([0], [0]), (10**30, 2)), SupportError),
}


@pytest.mark.parametrize(("pattern", "error"), BAD_SUPPORTS.values(), ids=BAD_SUPPORTS)
def test_what_is_no_support_is_refused(pattern, error):
    with pytest.raises(error, match="found") as caught:
        fsmf.Support(pattern)
    with pytest.raises(error, match=r"^factor 0: ") as wrapped:
        fsmf.as_supports([pattern])
    assert str(wrapped.value) == f"factor 0: {caught.value}"


ONES = np.ones((2, 3))
BAD_PRODUCTS = {
    "nothing": ([], SupportError),
    "a broken chain": ([ONES, ONES], ShapeError),
    "one matrix": (ONES, ShapeError),
    "one sparse matrix": (sparse.csr_array(ONES), ShapeError),
    "a number": (3, InputTypeError),
    "none": (None, InputTypeError),
    "a string": ("monarch", InputTypeError),
    "a dictionary": ({"left": ONES}, InputTypeError),
    "a string inside": ([ONES, "S2"], ShapeError),
}


@pytest.mark.parametrize(("supports", "error"), BAD_PRODUCTS.values(), ids=BAD_PRODUCTS)
def test_what_is_no_product_is_refused(supports, error):
    with pytest.raises(error, match=r"found|has"):
        fsmf.as_supports(supports)


@pytest.mark.parametrize("collect", [list, tuple, iter, np.array, fsmf.as_supports])
def test_every_sequence_of_factors_is_the_same_product(collect):
    S = np.tri(3)
    supports = fsmf.as_supports(collect([S, S.T]))
    assert supports == fsmf.lu(3)
    assert hash(supports) == hash(fsmf.lu(3))
    assert supports.shape == (3, 3)
    assert supports.n_parameters == 12


def test_the_papers_form_transposes_the_right_factor():
    I, J = np.ones((4, 2)), np.eye(3, 2)
    assert fsmf.pair(I, J) == fsmf.as_supports([I, J.T])
    with pytest.raises(ShapeError, match=r"\(4, 2\).*\(2, 3\)"):
        fsmf.pair(I, J.T)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_right_factor_is_the_same_in_every_spelling(spelling):
    right = fsmf.pair(np.ones((2, PATTERN.shape[1])), spelling)[1]
    assert np.array_equal(right.toarray(), PATTERN.T)
    assert np.array_equal(right.T.toarray(), PATTERN)


@pytest.mark.parametrize(
    ("J", "found"), [(np.ones((0, 4)), r"\(0, 4\)"), (np.ones((2, 3, 4)), r"\(2, 3, 4\)")]
)
def test_what_is_no_right_factor_is_refused_as_it_was_given(J, found):
    with pytest.raises((SupportError, ShapeError), match=found):
        fsmf.pair(np.ones((2, 4)), J)


def test_transposing_a_product_reverses_it():
    one, other = fsmf.Support(np.ones((2, 3))), fsmf.Support(np.eye(3, 4))
    product = fsmf.Supports([one, other])
    turned = fsmf.Supports([other.T, one.T])
    assert turned == product.T
    assert product == turned.T


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda S: pickle.loads(pickle.dumps(S))])
def test_a_name_is_for_printing_and_travels(clone):
    named = clone(fsmf.lu(3))
    assert named == fsmf.as_supports([np.tri(3), np.tri(3).T])
    assert "lu(3)" in repr(named)
    assert named.name == "lu(3)"


def test_a_large_sparse_support_is_never_dense():
    n, nnz = 20_000, 1_000_000
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, n, (2, nnz))
    tracemalloc.start()
    S = fsmf.Support.from_coordinates(rows, columns, shape=(n, n))
    assert S.T.T.nnz == S.nnz
    assert S != S.T
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * nnz < n * n
