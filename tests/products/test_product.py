"""A product of factors as an operator: all that it does, beside the dense matrix that it stands for."""

import copy
import itertools
import pickle

import numpy as np
import oracles
import pytest
from architectures import chainable_architectures
from chains import DTYPES, exact, gaussian, patterns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

import fsmf
from fsmf import Architecture, Product
from fsmf.errors import FsmfError, InputError, InputTypeError, ShapeError

EIGHT = [(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)]


def operator(chain, dtype=float, seed=0, *, permuted=True):
    """A random operator, and the dense matrix by its definition."""
    supports = fsmf.as_supports(chain)
    rng = np.random.default_rng([seed, 7])
    values = [gaussian(support.nnz, dtype, [seed, i]) for i, support in enumerate(supports)]
    D = np.eye(supports.shape[0])
    for value, support in zip(values, supports, strict=True):
        factor = np.zeros(support.shape, np.result_type(dtype, float))
        factor[np.nonzero(support.toarray())] = value
        D = D @ factor
    if not permuted:
        return Product(supports, values), D
    rows, columns = rng.permutation(D.shape[0]), rng.permutation(D.shape[1])
    E = np.zeros_like(D)
    E[np.ix_(rows, columns)] = D
    return Product(supports, values, rows=rows, columns=columns), E


OPERATORS = {
    "dyadic": operator(Architecture(EIGHT)),
    "complex": operator(Architecture(EIGHT), complex, 1),
    "plain": operator(Architecture(EIGHT), seed=2, permuted=False),
    "rectangular": operator(Architecture([(2, 3, 4, 2), (4, 2, 1, 2)]), complex, 3),
    "kaleidoscope": operator(fsmf.kaleidoscope(8), seed=4),
    "lu": operator(fsmf.lu(8), seed=5),
    "masks": operator([np.random.default_rng(0).random((8, 5)) < 0.5, np.ones((5, 6), bool)], seed=6),
    "mixed": operator([fsmf.KroneckerPattern(2, 2, 2, 2), fsmf.lu(8)[0], *Architecture(EIGHT)], complex, 7),
    "one": operator(Architecture([(2, 3, 2, 1)]), seed=8),
}
every = pytest.mark.parametrize("name", OPERATORS)


@settings(max_examples=80)
@given(chainable_architectures(max_splits=6), st.sampled_from(DTYPES), st.booleans(), st.integers(0, 99))
def test_any_chain_is_its_dense_matrix(chain, dtype, turned, seed):
    chain = chain.T if turned else chain
    F, D = operator(chain, dtype, seed)
    eps = 200 * np.finfo(dtype).eps
    size = np.prod([np.linalg.norm(V) for V in F.values])
    x, y = gaussian((F.shape[1], 3), dtype, seed), gaussian((F.shape[0], 3), dtype, seed)
    for found, expected in (
        (F @ x, D @ x),
        (F @ x[:, 0], D @ x[:, 0]),
        (F.T @ y, D.T @ y),
        (F.H @ y, D.conj().T @ y),
        (y.T @ F, y.T @ D),
        (F.conj() @ x, D.conj() @ x),
        (F.rmatvec(y[:, 0]), D.conj().T @ y[:, 0]),
        (F.to_dense(), D),
        (F.to_sparse().toarray(), D),
    ):
        assert found.dtype == dtype
        assert np.linalg.norm(found - expected) <= eps * size * (1 + np.linalg.norm(x) + np.linalg.norm(y))
    # The adjoint, by its definition.
    gap = abs(np.vdot(y[:, 0], F @ x[:, 0]) - np.vdot(F.H @ y[:, 0], x[:, 0]))
    assert gap <= eps * size * np.linalg.norm(x) * np.linalg.norm(y)


def spread(x):
    """The same numbers with holes in between."""
    return np.repeat(x, 2, axis=-1)[..., ::2]


@every
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("lay", [np.ascontiguousarray, np.asfortranarray, spread, np.flip])
def test_any_axis_and_any_strides(name, axis, lay):
    F, D = OPERATORS[name]
    for ndim in (1, 2, 3):
        if not -ndim <= axis < ndim:
            continue
        shape = [2, 3, 4][:ndim]
        shape[axis] = D.shape[1]
        for dtype in (float, complex, np.float32):
            x = lay(gaussian(shape, dtype))
            kept = x.copy()
            expected = np.moveaxis(np.tensordot(D, x, (1, axis)), 0, axis)
            found = F.apply(x, axis=axis)
            assert found.dtype == np.result_type(F.dtype, x.dtype)
            assert np.allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-10)
            assert np.array_equal(x, kept)
            holes = np.zeros([2 * side for side in expected.shape], found.dtype)
            some = tuple(slice(1, None, 2) for _ in shape)
            for out in (np.empty(expected.shape, found.dtype), holes[some]):
                assert F.apply(x, axis=axis, out=out) is out
                assert np.allclose(out, found)
            holes[some] = 0
            assert not holes.any()  # nothing was written in between
    assert F.apply(np.ones((D.shape[1], 0))).shape == (D.shape[0], 0)


def test_out_may_overlap_x():
    F, D = OPERATORS["dyadic"]
    memory = np.arange(12.0)
    x = memory[:8].copy()
    assert np.allclose(F.apply(memory[:8], out=memory[4:]), D @ x)
    X = gaussian((2, 8, 3))
    expected = F.apply(X, axis=1)
    assert np.allclose(F.apply(X, axis=1, out=X), expected)


@every
def test_algebra(name):
    F, D = OPERATORS[name]
    for found, expected in (
        (2 * F, 2 * D),
        (F * 0.25, D / 4),
        (F / 2, D / 2),
        (F / (1 + 1j), D / (1 + 1j)),
        (-F, -D),
        (1j * F, 1j * D),
        (0 * F, 0 * D),
        (np.float32(3) * F, 3 * D),
        (np.array(3.0) * F, 3 * D),
        (np.int64(-2) * F, -2 * D),
        (1e200 * F, 1e200 * D),
        (F.T, D.T),
        (F.H, D.conj().T),
        (F.T.T, D),
        (F.H.H, D),
        (F.conj(), D.conj()),
        (F.T @ F, D.T @ D),
        (F @ F.H, D @ D.conj().T),
        (F.H @ F @ F.T, D.conj().T @ D @ D.T),
        (F * F.T, D @ D.T),
    ):
        assert isinstance(found, Product)
        assert np.allclose(found.to_dense(), expected, rtol=1e-10, atol=1e-12 * abs(expected).max())
        assert found.dtype == np.result_type(expected.dtype)
    assert np.allclose((F + F) @ np.eye(D.shape[1]), 2 * D)
    assert np.allclose((2 * F - F) @ np.ones(D.shape[1]), D @ np.ones(D.shape[1]))


PARTNERS = ["dyadic", "complex", "plain", "kaleidoscope", "lu", "mixed"]


@pytest.mark.parametrize("names", list(itertools.product(PARTNERS, repeat=2)))
def test_products_of_operators(names):
    (F, D), (G, E) = (OPERATORS[name] for name in names)
    product = F @ G
    assert isinstance(product, Product)
    assert len(product.factors) == len(F.factors) + len(G.factors)
    assert np.allclose(product.to_dense(), D @ E)
    assert np.allclose(product.to_sparse().toarray(), D @ E)
    assert np.allclose((product @ F).to_dense(), D @ E @ D)
    assert np.allclose(product.H.to_dense(), (D @ E).conj().T)


@every
def test_arrays_and_sparse_matrices_on_either_side(name):
    F, D = OPERATORS[name]
    m, n = D.shape
    S = sparse.random_array((n, 3), density=0.5, rng=np.random.default_rng(0), format="csr")
    T = sparse.random_array((3, m), density=0.5, rng=np.random.default_rng(1), format="csc")
    for found, expected in ((F @ S, D @ S.toarray()), (T @ F, T.toarray() @ D)):
        assert sparse.issparse(found)
        assert np.allclose(found.toarray(), expected)
    x, y = gaussian(n), gaussian((2, m), complex)
    assert np.allclose(F @ list(x), D @ x)
    assert np.allclose(F @ (x > 0), D @ (x > 0))
    assert np.allclose(y @ F, y @ D)
    assert np.allclose(y[0] @ F, y[0] @ D)
    assert np.allclose((F @ sparse_linalg.aslinearoperator(np.eye(n))) @ x, D @ x)


KEYS = [
    *(0, -1, np.int64(3), slice(None), slice(1, 5), slice(None, None, -2), slice(3, 3)),
    *([0, 2], [3], [3, 3, 1], np.array([], int), np.array([[0], [1]])),
    *(np.array([[0, 1], [2, 3]]), np.array(2)),
]


@pytest.mark.parametrize("name", ["dyadic", "complex", "rectangular", "lu", "masks"])
def test_indexing_is_that_of_the_dense_matrix(name):
    F, D = OPERATORS[name]
    mask = np.arange(D.shape[0]) % 3 == 0
    more = [
        mask,
        (mask, 1),
        (mask, slice(1, 4)),
        ...,
        (...,),
        (..., 1),
        (1, ...),
        99,
        (0, 99),
        (slice(None), -99),
    ]
    for key in [*KEYS, *itertools.product(KEYS, KEYS), *more]:
        try:
            expected = D[key]
        except IndexError:
            with pytest.raises((IndexError, ValueError)):
                F[key]
            continue
        found = F[key]
        assert np.shape(found) == np.shape(expected), key
        assert np.allclose(found, expected)
    for key in (None, (0, None), (0, 0, 0)):
        with pytest.raises(ShapeError, match="two axes"):
            F[key]
    with pytest.raises(IndexError):
        F["a"]


# Solving.


SQUARE = ["dyadic", "complex", "plain", "kaleidoscope", "lu"]


@pytest.mark.parametrize("name", SQUARE)
def test_solving(name):
    F, D = OPERATORS[name]
    tolerance = 1e-13 * np.prod([np.linalg.cond(factor.toarray()) for factor in F.factors])
    for y in (gaussian(8), gaussian((8, 3)), gaussian((8, 2), complex), np.arange(8), gaussian((8, 0))):
        x = F.solve(y)
        assert x.shape == y.shape
        assert np.linalg.norm(D @ x - y) <= tolerance * (1 + np.linalg.norm(y))
        assert np.allclose(x, np.linalg.solve(D, y), rtol=tolerance, atol=tolerance)
    G = OPERATORS["complex"][0] @ F
    assert np.allclose(G.to_dense() @ G.solve(np.ones(8)), np.ones(8))


@pytest.mark.parametrize("name", ["dyadic", "complex", "plain", "kaleidoscope"])
def test_inverses_and_determinants(name):
    F, D = OPERATORS[name]
    inverse = F.inv()
    assert isinstance(inverse, Product)
    assert inverse.supports == F.supports.T
    assert np.allclose(inverse.to_dense(), np.linalg.inv(D))
    assert np.allclose(inverse.inv().to_dense(), D)
    for G, E in ((F, D), (F.T, D.T), (F.H, D.conj().T), (inverse, np.linalg.inv(D)), (-F, -D)):
        sign, logarithm = G.slogdet()
        expected = np.linalg.slogdet(E)
        assert sign == pytest.approx(expected[0])
        assert logarithm == pytest.approx(expected[1])
    # Where the determinant itself would leave the floats.
    assert (1e-200 * F).slogdet()[1] == pytest.approx(F.slogdet()[1] - 1600 * np.log(10))
    assert np.allclose((1e-200 * F).solve(1e-200 * np.ones(8)), F.solve(np.ones(8)))


@settings(max_examples=40)
@given(st.permutations(range(8)), st.permutations(range(8)))
def test_the_sign_of_any_permutation(rows, columns):
    F = Product(Architecture([(8, 1, 1, 1)]), [np.arange(1.0, 9)], rows=rows, columns=columns)
    sign, logarithm = F.slogdet()
    assert sign == np.linalg.slogdet(F.to_dense())[0]
    assert logarithm == pytest.approx(np.log(40320))
    assert np.array_equal(F.inv().to_dense() != 0, F.to_dense().T != 0)


def test_singular_operators_are_found_out():
    F, _ = OPERATORS["dyadic"]
    for spoil in (lambda V: 0 * V, np.ones_like):
        values = [*F.values[:1], spoil(F.values[1]), *F.values[2:]]
        G = Product(F.supports, values, rows=F.rows)
        for ask in (G.inv, G.slogdet, lambda G=G: G.solve(np.ones(8))):
            with pytest.raises(InputError, match="factor 1 has a singular block"):
                ask()
    lu = fsmf.lu(4)
    with pytest.raises(InputError, match="singular"):
        Product(lu, [np.zeros(10), np.ones(10)]).solve(np.ones(4))


def test_what_cannot_be_solved_is_refused():
    F, _ = OPERATORS["rectangular"]
    for ask in (F.inv, F.slogdet, lambda: F.solve(np.ones(12))):
        with pytest.raises(ShapeError, match="use"):
            ask()
    lu, _ = OPERATORS["lu"]
    for ask in (lu.inv, lu.slogdet):
        with pytest.raises(ShapeError, match="square blocks"):
            ask()
    G, _ = OPERATORS["dyadic"]
    for y in (np.ones(7), np.ones((8, 2, 2)), 1.0):
        with pytest.raises(ShapeError, match="8 rows"):
            G.solve(y)
    for H in (G, lu):
        for y in (["a"] * 8, [None] * 8, np.ones(8, np.longdouble)):
            with pytest.raises(InputTypeError, match="numeric"):
                H.solve(y)


def test_scipy_takes_it_for_an_operator():
    exact_one = fsmf.factorize(linalg.hadamard(16) / 4, fsmf.butterfly(16))
    values = [V + 0.05 * gaussian(32, seed=i) for i, V in enumerate(exact_one.values)]
    F = Product(exact_one.supports, values)
    D, b = F.to_dense(), gaussian(16, seed=9)
    found = np.sort(sparse_linalg.svds(F, k=3, return_singular_vectors=False, rng=np.random.default_rng(0)))
    assert np.allclose(found, np.linalg.svd(D, compute_uv=False)[2::-1])
    x = sparse_linalg.lsqr(F, b, atol=1e-13, btol=1e-13)[0]
    assert np.allclose(x, np.linalg.lstsq(D, b)[0])
    solution, info = sparse_linalg.cg(F.H @ F, b, rtol=1e-12, maxiter=500)
    assert info == 0
    assert np.allclose(solution, np.linalg.solve(D.T @ D, b))
    assert np.allclose(sparse_linalg.gmres(F, b, rtol=1e-12, restart=16)[0], np.linalg.solve(D, b))
    assert np.allclose(F.matmat(np.eye(16)), D)
    assert sparse_linalg.onenormest(F) <= np.abs(D).sum(axis=0).max() * (1 + 1e-12)


# As a value.


@every
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda F: pickle.loads(pickle.dumps(F))])
def test_copies(name, clone):
    F, D = OPERATORS[name]
    for G, E in ((F, D), (F.T, D.T), (F.H, D.conj().T), (F @ F.T, D @ D.T)):
        G @ np.ones(G.shape[1])  # which plans
        H = clone(G)
        assert np.array_equal(H.to_dense(), G.to_dense())
        assert np.allclose(H.to_dense(), E)
        assert repr(H) == repr(G)
        assert H.supports == G.supports


@every
def test_numbers(name):
    F, D = OPERATORS[name]
    assert F.n_parameters == sum(int(s.toarray().sum()) for s in F.supports)
    assert F.nbytes == F.n_parameters * F.dtype.itemsize
    assert F.n_flops == F.n_parameters * (8 if F.dtype.kind == "c" else 2)
    assert F.complexity_gain == pytest.approx(D.size / F.n_parameters)
    assert F.shape == D.shape
    for factor, support in zip(F.factors, F.supports, strict=True):
        assert factor.shape == support.shape
        assert factor.nnz == support.nnz


@pytest.mark.parametrize(
    ("given", "kept"), [(int, np.float64), (bool, np.float64), (np.float16, np.float32), (">f8", np.float64)]
)
def test_dtypes_of_values(given, kept):
    F = Product(Architecture(EIGHT), [np.ones(16, given)] * 3)
    assert F.dtype == kept
    assert (F @ np.ones(8, np.float32)).dtype == kept
    assert np.allclose(F.to_dense(), 1)
    mixed = Product(
        Architecture(EIGHT), [np.ones(16, np.float32), np.ones(16), 1j * np.ones(16, np.complex64)]
    )
    assert {value.dtype for value in mixed.values} == {np.dtype(complex)}


def test_values_may_have_the_shape_of_their_blocks():
    chain = Architecture(EIGHT)
    values = [gaussian(pattern.blocks_shape, seed=i) for i, pattern in enumerate(chain)]
    assert np.allclose(Product(chain, values).to_dense(), oracles.chain_product(values, patterns(chain)))


def test_answers_are_closed_too():
    """Derived factorizations keep a certificate that holds."""
    A = gaussian((8, 8), complex)
    permutation = (np.random.default_rng(0).permutation(8), None)
    F = fsmf.factorize(A, fsmf.butterfly(8), solver=fsmf.Hierarchical(permutation=permutation))
    for G, B in (
        (F.T, A.T),
        (F.H, A.conj().T),
        (F.conj(), A.conj()),
        (3 * F, 3 * A),
        (F / 1e100, A / 1e100),
        (-1j * F, -1j * A),
        (0 * F, 0 * A),
        ((2 * F.T).H.conj(), 2 * A),
    ):
        assert isinstance(G, fsmf.Factorization)
        assert G.verify(B), str(G.verify(B))
        assert not G.verify(B + 1)
        assert G.error == pytest.approx(np.linalg.norm(B - G.to_dense()))
    assert type(F @ F) is Product


# Misuse.


def bad_calls():
    F, _ = OPERATORS["dyadic"]
    chain, values = Architecture(EIGHT), [np.ones(16)] * 3
    frozen = np.empty(8)
    frozen.flags.writeable = False
    stacked = np.empty((2, 8))
    stacked.flags.writeable = False
    return {
        "too few": (ShapeError, lambda: Product(chain, values[:2])),
        "too short": (ShapeError, lambda: Product(chain, [*values[:2], np.ones(15)])),
        "text": (InputTypeError, lambda: Product(chain, [["a"] * 16] * 3)),
        "objects": (InputTypeError, lambda: Product(chain, [[None] * 16] * 3)),
        "long": (InputTypeError, lambda: Product(chain, [np.ones(16, np.longdouble)] * 3)),
        "rows twice": (ShapeError, lambda: Product(chain, values, rows=[0] * 8)),
        "rows outside": (ShapeError, lambda: Product(chain, values, rows=np.arange(1, 9))),
        "rows short": (ShapeError, lambda: Product(chain, values, rows=[0, 1])),
        "columns real": (ShapeError, lambda: Product(chain, values, columns=np.arange(8.0))),
        "x long": (ShapeError, lambda: F @ np.ones(9)),
        "x 3-D": (ShapeError, lambda: F @ np.ones((2, 8, 3))),
        "x number": (ShapeError, lambda: F @ 2),
        "x 0-D": (ShapeError, lambda: F @ np.array(2.0)),
        "x text": (InputTypeError, lambda: F @ np.array(["a"] * 8)),
        "x none": (InputTypeError, lambda: F @ None),
        "x object": (InputTypeError, lambda: F @ np.array([None] * 8)),
        "x too long": (InputTypeError, lambda: F @ np.ones(8, np.longdouble)),
        "left": (ShapeError, lambda: np.ones(7) @ F),
        "left text": (InputTypeError, lambda: np.array(["a"] * 8) @ F),
        "other size": (ShapeError, lambda: F @ Product(fsmf.butterfly(4), [np.ones(8)] * 2)),
        "axis": (ShapeError, lambda: F.apply(np.ones((8, 3)), axis=1)),
        "axis outside": (ShapeError, lambda: F.apply(np.ones(8), axis=2)),
        "apply number": (ShapeError, lambda: F.apply(1.0)),
        "apply text": (InputTypeError, lambda: F.apply("a")),
        "out shape": (ShapeError, lambda: F.apply(np.ones(8), out=np.empty(7))),
        "out dtype": (ShapeError, lambda: F.apply(np.ones(8), out=np.empty(8, np.float32))),
        "out list": (ShapeError, lambda: F.apply(np.ones(8), out=[0] * 8)),
        "out frozen": (ShapeError, lambda: F.apply(np.ones(8), out=frozen)),
        "out frozen axis": (ShapeError, lambda: F.apply(np.ones((2, 8)), axis=1, out=stacked)),
        "times nan": (InputError, lambda: F * np.nan),
        "times infinity": (InputError, lambda: np.inf * F),
        "by zero": (InputError, lambda: F / 0),
        "by text": (InputError, lambda: F / "a"),
        "by vector": (InputError, lambda: F / np.ones(8)),
    }


@pytest.mark.parametrize("name", bad_calls())
def test_misuse_raises_errors_of_the_house(name):
    error, call = bad_calls()[name]
    with pytest.raises(error, match=r"found|must|inner sides") as caught:
        call()
    assert isinstance(caught.value, FsmfError)


def test_exact_products_are_recovered_as_operators():
    A = exact(Architecture(EIGHT), complex, 0)
    F = fsmf.factorize(A, Architecture(EIGHT))
    x = gaussian((8, 5), complex)
    assert np.allclose(F @ x, A @ x)
    assert np.allclose(F.solve(A @ x), x)
