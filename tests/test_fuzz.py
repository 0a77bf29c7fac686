"""Ten thousand odd inputs: each works, or is refused by an error of ours."""

import functools
import math
import warnings
from array import array
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

import fsmf
from fsmf.errors import FsmfError, FsmfWarning

BATCHES, TRIALS = 120, 85
assert BATCHES * TRIALS >= 10_000


def gaussian(rng, m, n):
    return rng.standard_normal((m, n))


def scaled(*exponents):
    return lambda rng, m, n: gaussian(rng, m, n) * 10.0 ** rng.choice(exponents)


def spread(rng, m, n):
    return gaussian(rng, m, n) * 10.0 ** rng.integers(-300, 301, (m, n))


def as_sparse(rng, m, n):
    A = gaussian(rng, m, n) * (rng.random((m, n)) < 0.6)
    flavour = (sparse.coo_array, sparse.coo_matrix)[rng.integers(2)]
    kind = rng.choice(["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
    return flavour(A.astype(rng.choice(["f4", "f8", "c8", "c16", "i1", "?"]))).asformat(kind)


def duplicated(rng, m, n):
    size = int(rng.integers(0, 9))
    i, j = rng.integers(0, m, size), rng.integers(0, n, size)
    return sparse.coo_array((rng.standard_normal(size), (i, j)), shape=(m, n))


def duplicated_rows(rng, m, n):
    per_row = rng.integers(0, 4, m)
    values, columns = rng.standard_normal(per_row.sum()), rng.integers(0, n, per_row.sum())
    return sparse.csr_array((values, columns, np.concatenate([[0], np.cumsum(per_row)])), shape=(m, n))


def read_only(rng, m, n):
    A = gaussian(rng, m, n)
    A.flags.writeable = False
    return A


def integers(rng, m, n):
    dtype = np.dtype(rng.choice([*"bBhHiIlLqQ?", ">i2", ">u8"]))
    return rng.integers(0, 2 if dtype.kind == "b" else 100, (m, n)).astype(dtype)


def spoil(value):
    def make(rng, m, n):
        A = gaussian(rng, m, n)
        A[rng.integers(m), rng.integers(n)] = value
        return A

    return make


GOOD = {
    "gaussian": gaussian,
    "single": lambda *a: gaussian(*a).astype(np.float32),
    "complex": lambda *a: gaussian(*a) * (1 + 2j),
    "single complex": lambda *a: (gaussian(*a) * (1 - 1j)).astype(np.complex64),
    "half": lambda *a: gaussian(*a).astype(np.float16),
    "integers": integers,
    "large integers": lambda rng, m, n: rng.integers(-(2**62), 2**62, (m, n)),
    "zero": lambda rng, m, n: np.zeros((m, n)),
    "minus zero": lambda rng, m, n: -np.zeros((m, n)),
    "constant": lambda rng, m, n: np.full((m, n), 3.0),
    "identity": lambda rng, m, n: np.eye(m, n),
    "one entry": lambda rng, m, n: np.eye(m, n) * (np.arange(n) == rng.integers(n)),
    "rank one": lambda rng, m, n: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
    "huge": scaled(150, 300, 306),
    "tiny": scaled(-150, -300, -306),
    "subnormal": scaled(-310, -320),
    "smallest": lambda rng, m, n: rng.integers(0, 3, (m, n)) * 5e-324,
    "huge single": lambda *a: (scaled(30, 37)(*a)).astype(np.float32),
    "tiny single": lambda *a: (scaled(-30, -40)(*a)).astype(np.float32),
    "spread": spread,
    "read only": read_only,
    "fortran": lambda *a: np.asfortranarray(gaussian(*a)),
    "transposed": lambda rng, m, n: gaussian(rng, n, m).T,
    "backwards": lambda *a: gaussian(*a)[::-1, ::-1],
    "strided": lambda rng, m, n: gaussian(rng, 2 * m, 3 * n)[::2, ::3],
    "broadcast": lambda rng, m, n: np.broadcast_to(rng.standard_normal(n), (m, n)),
    "swapped bytes": lambda *a: gaussian(*a).astype(">f8"),
    "swapped complex": lambda *a: gaussian(*a).astype(">c8"),
    "unaligned": lambda rng, m, n: np.frombuffer(b"x" + gaussian(rng, m, n).tobytes(), offset=1).reshape(
        m, n
    ),
    "np.matrix": lambda *a: gaussian(*a).view(np.matrix),
    "lists": lambda *a: gaussian(*a).tolist(),
    "tuples": lambda *a: tuple(map(tuple, gaussian(*a))),
    "list of arrays": lambda *a: list(gaussian(*a)),
    "memoryview": lambda *a: memoryview(gaussian(*a)),
    "rows of array.array": lambda *a: [array("d", row) for row in gaussian(*a)],
    "sparse": as_sparse,
    "sparse duplicates": duplicated,
    "sparse csr duplicates": duplicated_rows,
    "sparse empty": lambda rng, m, n: sparse.csr_array((m, n)),
}
BAD = {
    "nan": spoil(np.nan),
    "infinity": spoil(-np.inf),
    "complex nan": lambda *a: gaussian(*a) + 1j * spoil(np.nan)(*a),
    "sparse nan": lambda *a: sparse.csr_array(spoil(np.nan)(*a)),
    "too large": lambda rng, m, n: np.full((m, n), 1.7e308 * (1 + 1j)),
    "no rows": lambda rng, m, n: np.zeros((0, n)),
    "no columns": lambda rng, m, n: sparse.csr_array((m, 0)),
    "a number": lambda rng, m, n: float(rng.standard_normal()),
    "0-d": lambda rng, m, n: np.array(1.0),
    "a vector": lambda rng, m, n: rng.standard_normal(n),
    "a cube": lambda rng, m, n: rng.standard_normal((m, n, 2)),
    "another shape": lambda rng, m, n: gaussian(rng, m, n + 1),
    "objects": lambda *a: gaussian(*a).astype(object),
    "fractions": lambda rng, m, n: [[Fraction(1, 3)] * n] * m,
    "huge integers": lambda rng, m, n: [[10**400] * n] * m,
    "huge and small": lambda rng, m, n: [[1.5] * n, [10**400] * n][: max(2, m)],
    "strings": lambda *a: gaussian(*a).astype(str),
    "bytes": lambda rng, m, n: b"matrix",
    "a string": lambda rng, m, n: "matrix",
    "none": lambda rng, m, n: None,
    "ragged": lambda rng, m, n: [[1.0] * (n + i) for i in range(m + 1)],
    "masked": lambda *a: np.ma.masked_less(gaussian(*a), 0),
    "long double": lambda *a: gaussian(*a).astype(np.longdouble).astype(np.clongdouble),
    "dates": lambda rng, m, n: np.zeros((m, n), "M8[s]"),
    "records": lambda rng, m, n: np.zeros((m, n), [("a", float)]),
    "an operator": lambda *a: sparse_linalg.aslinearoperator(gaussian(*a)),
    "a dictionary": lambda rng, m, n: {"A": 1},
    "a set": lambda rng, m, n: {1.0, 2.0},
    "a generator": lambda rng, m, n: (row for row in np.eye(m, n)),
    "a type": lambda rng, m, n: np.ndarray,
    "sparse vector": lambda rng, m, n: sparse.coo_array(np.ones(n)),
}


def unsound(rng, m, n):
    """A sparse array whose index arrays were tampered with."""
    S = sparse.csr_array(np.ones((m, n))).asformat(rng.choice(UNSOUND))
    indices = S.coords[rng.integers(2)] if S.format == "coo" else S.indices
    indices[0] = rng.choice([-1, 4 + m + n, 10**6])
    return S


UNSOUND = ["bsr", "coo", "csc", "csr"]
BAD["unsound sparse"] = unsound


def bits(rng, m, n, density=0.6):
    return rng.random((m, n)) < density


def pair_of(make):
    """Both factors made by ``make(rng, rows, columns)``, inner dimension up to 4."""

    def both(rng, m, n):
        r = int(rng.integers(1, 5))
        return [make(rng, m, r), make(rng, r, n)]

    return both


def spoiled_pair(change):
    """A sound pair, one factor of which is replaced by ``change(factor)``."""

    def make(rng, m, n):
        pair = pair_of(bits)(rng, m, n)
        side = rng.integers(2)
        pair[side] = change(pair[side])
        return pair

    return make


def with_dead(rng, m, n):
    left, right = pair_of(bits)(rng, m, n)
    left[:, rng.integers(left.shape[1])] = False
    return left, right


def repeated(rng, m, n):
    left, right = pair_of(bits)(rng, m, n)
    k = rng.integers(0, left.shape[1], 5)
    return [left[:, k], right[k]]


GOOD_SUPPORTS = {
    "random": pair_of(bits),
    "sparse": pair_of(
        lambda *a: sparse.coo_array(bits(*a)).asformat(
            ["csr", "csc", "lil", "dok", "bsr", "dia"][sum(a[1:]) % 6]
        )
    ),
    "full": lambda rng, m, n: fsmf.low_rank(m, n, rank=int(rng.integers(1, 6))),
    "empty": pair_of(lambda rng, m, n: np.zeros((m, n))),
    "dead components": with_dead,
    "repeated components": repeated,
    "blocks": lambda rng, m, n: fsmf.block_diagonal(m, n, blocks=min(m, n), rank=int(rng.integers(1, 4))),
    "band": lambda rng, m, n: fsmf.banded(m, n, lower=int(rng.integers(3)), upper=int(rng.integers(3))),
    "arrow": lambda rng, m, n: fsmf.arrow(m, n),
    "completion": lambda rng, m, n: fsmf.completion(bits(rng, m, n)),
    "lists": lambda *a: [side.astype(int).tolist() for side in pair_of(bits)(*a)],
    "tuples": lambda *a: tuple(tuple(map(tuple, side.astype(int).tolist())) for side in pair_of(bits)(*a)),
    "floats": pair_of(lambda *a: bits(*a).astype(rng_dtype(a))),
    "papers' form": lambda rng, m, n: fsmf.pair(bits(rng, m, 3), bits(rng, n, 3)),
    "index lists": pair_of(lambda *a: ((*map(list, np.nonzero(bits(*a))),), a[1:])),
    "read only": pair_of(lambda *a: np.broadcast_to(bits(*a)[:1], a[1:])),
    "one factor": lambda rng, m, n: [bits(rng, m, n)],
    "three factors": lambda rng, m, n: [bits(rng, m, 2), bits(rng, 2, 3), bits(rng, 3, n)],
}
BAD_SUPPORTS = {
    "no inner dimension": lambda rng, m, n: [np.ones((m, 0)), np.ones((0, n))],
    "broken chain": lambda rng, m, n: [bits(rng, m, 3), bits(rng, 2, n)],
    "other rows": lambda rng, m, n: [bits(rng, m + 1, 2), bits(rng, 2, n)],
    "nan": spoiled_pair(lambda side: np.full(side.shape, np.nan)),
    "twos": spoiled_pair(lambda side: 2 * np.ones(side.shape)),
    "objects": spoiled_pair(lambda side: np.full(side.shape, None)),
    "strings": spoiled_pair(lambda side: side.astype(str)),
    "vector": spoiled_pair(lambda side: side[0]),
    "cube": spoiled_pair(lambda side: side[None]),
    "none": spoiled_pair(lambda side: None),
    "number": spoiled_pair(lambda side: 1),
    "ragged": spoiled_pair(lambda side: [[1], [1, 0]]),
    "sparse twos": spoiled_pair(lambda side: 2 * sparse.csr_array(np.ones(side.shape))),
    "unsound sparse": lambda rng, m, n: [unsound(rng, m, 2), bits(rng, 2, n)],
    "sparse vector": spoiled_pair(lambda side: sparse.coo_array(np.ones(3))),
    "bad indices": spoiled_pair(lambda side: (([99], [0]), side.shape)),
    "bad index types": spoiled_pair(lambda side: ((["a"], [0]), side.shape)),
    "bad index counts": spoiled_pair(lambda side: (([0, 0], [0]), side.shape)),
    "bad shape": spoiled_pair(lambda side: (([0], [0]), (-1, 2))),
    "nothing": lambda rng, m, n: [],
    "no sequence": lambda rng, m, n: rng.choice([3, None, "lu"]),
    "one matrix": lambda rng, m, n: np.ones((m, n)),
}


def rng_dtype(a):
    return a[0].choice(["f2", "f4", "f8", "g", "c8", "i1", "u8", ">f8"])


def snapshot(thing):
    """The bytes of everything inside, to see afterwards whether anything was touched."""
    if isinstance(thing, np.ndarray):
        return thing.dtype, thing.shape, repr(thing) if thing.dtype == object else thing.tobytes()
    if sparse.issparse(thing):
        return [snapshot(value) for value in vars(thing).values() if isinstance(value, np.ndarray | dict)]
    if isinstance(thing, list | tuple):
        return [snapshot(value) for value in thing]
    return repr(thing) if isinstance(thing, dict | float) else type(thing)


def shifted(A, exponent):
    """``A / 2**exponent`` in double precision, exactly but for underflow."""
    A = np.asarray(A.toarray() if sparse.issparse(A) else A)
    A = A.astype(np.complex128 if A.dtype.kind == "c" else np.float64)
    return np.ldexp(A.real, -exponent) + (1j * np.ldexp(A.imag, -exponent) if A.dtype.kind == "c" else 0)


def check(F, A, supports):
    """The factors keep their supports, and miss A by the error that is stated."""
    for factor, support in zip(F.factors, fsmf.as_supports(supports), strict=True):
        assert not np.any(factor.toarray()[~support.toarray()])
        assert np.isfinite(factor.data).all()
        assert factor.dtype == F.dtype
    exponent = math.frexp(F.norm)[1]
    L = len(F.factors)
    B, factors = shifted(A, exponent), [shifted(X, (exponent + i) // L) for i, X in enumerate(F.factors)]
    product = functools.reduce(np.matmul, factors)
    terms = np.linalg.norm(B) + math.prod(map(np.linalg.norm, factors))
    # Subnormal numbers have fewer digits.
    smallest = math.ldexp(float(np.finfo(F.dtype).smallest_subnormal), -exponent) * 4 * B.size
    slack = 1e-6 * np.linalg.norm(B - product) + 100 * np.finfo(F.dtype).eps * terms + smallest
    assert abs(math.ldexp(F.error, -exponent) - np.linalg.norm(B - product)) <= slack
    assert F.lower_bound <= F.error
    assert 0 <= F.relative_error <= 1 + 1e-6
    assert F.verify(A), str(F.verify(A))


def pick(rng, good, bad, share_of_bad):
    table = bad if rng.random() < share_of_bad else good
    name = list(table)[rng.integers(len(table))]
    return name, table[name], table is good


def attempt(where, action):
    """The result, or an error of ours; anything else fails, warnings that are not ours included."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FsmfWarning)
        try:
            return action()
        except FsmfError as error:
            return error
        except Exception as error:
            raise AssertionError(f"{where}: {error!r}") from error


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_input_works_or_is_refused_by_an_error_of_ours(batch):
    worked = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng(batch * TRIALS + trial)
        m, n = (int(rng.integers(1, 5)) for _ in range(2))
        what_A, make_A, good_A = pick(rng, GOOD, BAD, 0.35)
        what_S, make_S, good_S = pick(rng, GOOD_SUPPORTS, BAD_SUPPORTS, 0.25)
        A, supports = make_A(rng, m, n), make_S(rng, m, n)
        quick = fsmf.ALS(starts=1, max_sweeps=15)
        solver = quick if rng.random() < 0.5 else [fsmf.BlockSVD(), quick]
        before = snapshot(A), snapshot(supports)
        where = f"batch {batch}, trial {trial}: {what_A} {m}×{n}, supports {what_S}"
        taken = attempt(
            where, lambda A=A, supports=supports, solver=solver: fsmf.factorize(A, supports, solver=solver)
        )
        assert isinstance(taken, FsmfError) != (good_A and good_S), f"{where}: {taken}"
        if good_A and good_S:
            attempt(where, lambda A=A, supports=supports, taken=taken: check(taken, A, supports))
            worked += 1
        assert (snapshot(A), snapshot(supports)) == before, f"{where}: written to"
    assert 0.3 * TRIALS < worked < 0.7 * TRIALS


ODD = [None, True, 0, -1, 1, 2, 3, 2.0, 0.5, math.nan, math.inf, "2", [2], np.int8(2), np.ones(2), 1j, 10**30]


@pytest.mark.parametrize("seed", range(4))
def test_odd_options_work_or_are_refused_by_an_error_of_ours(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((2, 2))

    def odd():
        return ODD[rng.integers(len(ODD))]

    makers = [
        lambda: fsmf.low_rank(odd(), odd(), rank=1) if rng.random() < 0.5 else fsmf.low_rank(2, rank=odd()),
        lambda: fsmf.block_diagonal(3, odd(), blocks=odd()),
        lambda: fsmf.lu(odd()),
        lambda: fsmf.banded(3, lower=odd(), upper=odd()),
        lambda: fsmf.arrow(3, odd(), width=odd()),
        lambda: fsmf.hodlr(odd(), 3, rank=odd()),
        lambda: fsmf.monarch(4, blocks=odd(), rank=odd()),
        lambda: fsmf.random_supports(2, components=odd(), density=odd(), rng=odd()),
        lambda: fsmf.completion(odd()),
        lambda: fsmf.Support(odd()),
        lambda: fsmf.as_supports([odd(), odd()]),
        lambda: fsmf.pair(odd(), odd()),
        lambda: fsmf.analyze(odd()),
        lambda: fsmf.explain(odd()),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=odd()),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(starts=odd(), max_sweeps=3, max_seconds=0.01)),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(ridge=odd(), rtol=odd(), max_sweeps=3)),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(max_seconds=odd(), max_sweeps=3, rng=odd())),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(initial=odd(), max_sweeps=3)),
        lambda: fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(initial=(odd(), odd()), max_sweeps=3)),
        lambda: fsmf.factorize(A, fsmf.low_rank(2, rank=1)).verify(odd()),
    ]
    for trial in range(300):
        which = int(rng.integers(len(makers)))
        attempt(f"seed {seed}, trial {trial}, maker {which}", makers[which])
