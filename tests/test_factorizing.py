"""The front door: what comes in, what goes out, and what must not matter."""

import math

import numpy as np
import oracles
import pytest
from cases import BY_NAME, CASES, PAIRS_EASY, PAIRS_HARD, any_supports, name_of, solve, solved
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import in_turn
from scipy import sparse

import fsmf
from fsmf.errors import (
    ConvergenceWarning,
    InputError,
    InputTypeError,
    NotAttainedWarning,
    OptionError,
    RefusedError,
    ShapeError,
)

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)
DTYPES = ("float32", "float64", "complex64", "complex128")
every_row_and_some_dtype = pytest.mark.parametrize(("case", "dtype"), in_turn(CASES, DTYPES))
# Where several optima are as good, or sweeps are few, only the error is compared, and for ALS not even that.
QUICK = fsmf.ALS(starts=1, max_sweeps=40)


def quickly(A, case):
    """The optimum, or what a few sweeps find: enough where it is not asked how good it is."""
    return solve(A, case.supports, solver=None if case.tractable else QUICK)


@every_row
def test_a_row_goes_to_the_solver_of_the_table(case):
    _, F = solved(case)
    assert F.solver == case.solver
    assert F.certificate.name == case.promise
    assert (F.status is fsmf.Status.OPTIMAL) == case.tractable
    assert bool(len(F.history)) == (not case.tractable)


@pytest.mark.parametrize("case", [c for c in CASES if c.well_posed], ids=name_of)
@pytest.mark.parametrize("seed", range(4))
def test_a_well_posed_row_never_warns_of_an_infimum_out_of_reach(case, seed, recwarn):
    F = fsmf.factorize(case.matrix(seed=seed), case.supports)
    assert F.status is not fsmf.Status.FACTORS_GROW
    assert not [warning for warning in recwarn if issubclass(warning.category, NotAttainedWarning)]


@every_row
def test_factorizing_again_gives_the_same_bits(case):
    A, F = solved(case)
    G = solve(A, case.supports)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(F.factors, G.factors, strict=True))
    assert F.certificate == G.certificate


@every_row_and_some_dtype
def test_precision_is_kept_and_agrees_with_double(case, dtype):
    A, F = solved(case, dtype)
    assert F.dtype == A.dtype
    if case.tractable:
        double = solve(A.astype(np.result_type(dtype, np.float64)), case.supports)
        assert F.error == pytest.approx(
            double.error, abs=(1e-5 if dtype in ("float32", "complex64") else 1e-12) * F.norm
        )


NARROW = ("bool", "int8", "uint8", "int32", "int64", "uint64", ">i4", "float16")


@pytest.mark.parametrize(("case", "dtype"), in_turn(CASES, NARROW, 2))
def test_integers_become_double_and_half_precision_single(case, dtype):
    A = (case.matrix() > 0 if dtype == "bool" else np.abs(9 * case.matrix())).astype(dtype)
    F = quickly(A, case)
    assert F.dtype == (np.float32 if dtype == "float16" else np.float64)
    assert F.verify(A.astype(F.dtype))


SPELLINGS = {
    "lists": lambda A: A.tolist(),
    "fortran": np.asfortranarray,
    "strided": lambda A: np.repeat(np.repeat(A, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "swapped bytes": lambda A: A.astype(A.dtype.newbyteorder()),
    "np.matrix": lambda A: A.view(np.matrix),
    "subclass": lambda A: A.view(type("Mine", (np.ndarray,), {})),
    **{
        f"{kind} {flavour.__name__}": lambda A, kind=kind, flavour=flavour: flavour(A).asformat(kind)
        for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for flavour in (sparse.coo_array, sparse.coo_matrix)
    },
    "sparse, duplicates": lambda A: sparse.coo_array(
        (np.tile(A.ravel() / 2, 2), np.tile(np.indices(A.shape).reshape(2, -1), 2)), shape=A.shape
    ),
    "csr, duplicates": lambda A: sparse.csr_array(
        (
            np.repeat(A.ravel() / 2, 2),
            np.repeat(np.indices(A.shape)[1].ravel(), 2),
            np.arange(len(A) + 1) * 2 * A.shape[1],
        ),
        shape=A.shape,
    ),
    "csr, unsorted": lambda A: sparse.csr_array(
        (A[:, ::-1].ravel(), np.indices(A.shape)[1][:, ::-1].ravel(), np.arange(len(A) + 1) * A.shape[1]),
        shape=A.shape,
    ),
}


def contents(A):
    """All the bytes of an input, to see whether any was touched."""
    if isinstance(A, list):
        return repr(A)
    if not sparse.issparse(A):
        return A.tobytes()
    if A.format in ("dok", "lil"):
        return repr(A.tocoo().toarray())
    names = ("data", "indices", "indptr", "row", "col", "offsets")
    return [getattr(A, name).tobytes() for name in names if hasattr(A, name)]


SPELLED = ["blocks-uneven", "CEC-SLM", "pooled-residuals", "mixed", "lu-3"]


@pytest.mark.parametrize(("spelling", "name"), in_turn(list(SPELLINGS), SPELLED, 2))
def test_every_spelling_of_a_matrix_gives_the_same_answer_and_stays_untouched(spelling, name):
    A = BY_NAME[name].matrix()
    F = quickly(A, BY_NAME[name])
    spelled = SPELLINGS[spelling](A)
    before = contents(spelled)
    G = quickly(spelled, BY_NAME[name])
    assert contents(spelled) == before
    assert G.error == pytest.approx(F.error, rel=1e-9, abs=1e-9)
    assert G.norm == pytest.approx(F.norm)
    assert G.verify(spelled)
    assert contents(spelled) == before


@every_row_and_some_dtype
def test_a_read_only_matrix_is_taken_and_untouched(case, dtype):
    A = case.matrix(np.dtype(dtype))
    before = A.tobytes()
    A.flags.writeable = False
    F = quickly(A, case)
    assert A.tobytes() == before
    assert not any(np.shares_memory(A, factor.data) for factor in F.factors)


def alike(case, F, G):
    """Equal errors where the optimum is found, equal bounds always: the bound of ALS depends on no start."""
    assert G.certificate.name == F.certificate.name
    assert G.solver == F.solver
    assert G.lower_bound == pytest.approx(F.lower_bound, rel=1e-7, abs=1e-7 * F.norm)
    if case.tractable:
        assert G.error == pytest.approx(F.error, rel=1e-9, abs=1e-12 * F.norm)


def permuted(supports, i, k, j):
    left, right = oracles.dense(supports)
    return [left[i][:, k], right[k][:, j]]


@every_row
def test_g11_transposing_changes_nothing(case):
    A, F = solved(case)
    alike(case, F, solve(A.T, fsmf.as_supports(case.supports).T))


@every_row
def test_g11_order_does_not_matter(case):
    A, F = solved(case)
    rng = np.random.default_rng(3)
    left, right = fsmf.as_supports(case.supports)
    i, k, j = (rng.permutation(n) for n in (*left.shape, right.shape[1]))
    alike(case, F, solve(A[np.ix_(i, j)], permuted(case.supports, i, k, j)))


@pytest.mark.parametrize(("case", "factor"), in_turn(CASES, [-3.0, 2.0**-20, 1e80, 1e-80, 1e150, 1e-250], 2))
def test_g11_the_error_scales_with_the_matrix(case, factor):
    A = case.matrix()
    F, G = quickly(A, case), quickly(A * factor, case)
    assert G.solver == F.solver
    assert G.norm == pytest.approx(F.norm * abs(factor))
    assert G.lower_bound == pytest.approx(F.lower_bound * abs(factor), rel=1e-9, abs=1e-9 * G.norm)
    if case.tractable:
        assert G.relative_error == pytest.approx(F.relative_error, rel=1e-9, abs=1e-12)
    assert G.verify(A * factor)


@pytest.mark.parametrize("case", [c for c in PAIRS_EASY if c.n_classes], ids=name_of)
def test_components_more_than_a_class_can_use_change_nothing(case):
    """Members of complete classes may be duplicated, and dead components added."""
    A, F = solved(case)
    left, right = oracles.dense(case.supports)
    spare = [
        k
        for members, place in oracles.classes(case.supports)
        if oracles.is_complete(members, place)
        for k in members
    ]
    more = np.concatenate([np.arange(left.shape[1]), spare, spare]).astype(int)
    dead = np.zeros((len(left), 1), dtype=bool)
    G = solve(
        A,
        [np.hstack([left[:, more], dead]), np.vstack([right[more], ~dead.any() * np.ones((1, A.shape[1]))])],
    )
    alike(case, F, G)


@settings(max_examples=40)
@given(any_supports(), st.integers(0, 9), st.randoms(use_true_random=False))
def test_any_pair_is_equivariant(supports, seed, random):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    i, k, j = (random.sample(range(n), n) for n in (*supports[0].shape, supports.shape[1]))
    F = solve(A, supports, solver=None if oracles.is_tractable(supports) else QUICK)
    for B, twin in ((A.T, supports.T), (A[np.ix_(i, j)], permuted(supports, i, k, j)), (-2 * A, supports)):
        G = solve(B, twin, solver=None if oracles.is_tractable(supports) else QUICK)
        scale = G.norm / F.norm
        assert G.lower_bound == pytest.approx(scale * F.lower_bound, rel=1e-8, abs=1e-8)
        if oracles.is_tractable(supports):
            assert G.error == pytest.approx(scale * F.error, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
def test_histories_never_rise_and_end_at_the_error(case):
    _, F = solved(case)
    history = F.history
    assert len(history.error) == len(history.factor_norm) == len(history.seconds)
    assert (np.diff(history.error) <= 1e-12 * F.norm).all()
    assert (np.diff(history.seconds) >= 0).all()
    assert history.error[-1] == pytest.approx(F.error, rel=1e-6, abs=1e-9 * F.norm)


BAD_MATRICES = {
    "nan": (np.array([[np.nan, 1], [1, 1]]), InputError),
    "infinity": (np.array([[1, np.inf], [1, 1]]), InputError),
    "complex nan": (np.array([[1, 1j * np.nan], [1, 1]]), InputError),
    "sparse nan": (sparse.csr_array([[np.nan, 1], [1, 1]]), InputError),
    "overflowing norm": (np.full((2, 2), 1.7e308), InputError),
    "no entries": (np.zeros((0, 2)), InputError),
    "empty list": ([], ShapeError),
    "a number": (3.0, ShapeError),
    "a vector": (np.ones(4), ShapeError),
    "a cube": (np.ones((2, 2, 2)), ShapeError),
    "a sparse vector": (sparse.coo_array([1.0, 2.0]), ShapeError),
    "ragged": ([[1.0], [1.0, 2.0]], ShapeError),
    "wrong shape": (np.ones((2, 3)), ShapeError),
    "objects": (np.array([[None, 1], [1, 1]]), InputTypeError),
    "strings": ([["a", "b"], ["c", "d"]], InputTypeError),
    "none": (None, (ShapeError, InputTypeError)),
    "masked": (np.ma.masked_equal(np.eye(2), 0), InputTypeError),
    "long double": (np.eye(2, dtype=np.longdouble), InputTypeError),
    "dates": (np.zeros((2, 2), "M8[s]"), InputTypeError),
    "records": (np.zeros((2, 2), [("a", float)]), InputTypeError),
    "huge integers": ([[10**400, 1], [1, 1]], InputTypeError),
    "an operator": (sparse.linalg.aslinearoperator(np.eye(2)), InputTypeError),
}


@pytest.mark.parametrize(("A", "error"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_what_is_no_matrix_is_refused(A, error):
    with pytest.raises(error, match=r"found|overflows|inhomogeneous|A has"):
        fsmf.factorize(A, fsmf.lu(2))


@pytest.mark.parametrize("n_factors", [1, 3])
def test_a_product_that_no_solver_asked_for_takes_is_refused_with_every_reason(n_factors):
    reasons = rf"BlockSVD .*found {n_factors}; Hierarchical takes chains .*"
    exact = [fsmf.BlockSVD(), fsmf.Hierarchical()]
    with pytest.raises(RefusedError, match=reasons):
        fsmf.factorize(np.eye(2), [np.tri(2)] * n_factors, solver=exact)


@pytest.mark.parametrize("solver", ["ALS", fsmf.ALS, 3, lambda A: A])
def test_what_is_no_solver_is_refused(solver):
    with pytest.raises(InputTypeError, match="solver"):
        fsmf.factorize(np.eye(2), fsmf.lu(2), solver=solver)


def test_warnings_point_at_the_caller(recwarn):
    fsmf.factorize(np.eye(5)[::-1], fsmf.lu(5), solver=fsmf.ALS(starts=1, max_sweeps=3))
    (warning,) = recwarn
    assert issubclass(warning.category, ConvergenceWarning | NotAttainedWarning)
    assert warning.filename == __file__


@every_row
def test_a_plan_is_what_happens(case):
    plan, (_, F) = fsmf.explain(case.supports), solved(case)
    assert {type(solver).__name__ for _, solver, _ in plan.steps} == set(F.solver.split(" + "))
    assert next(type(solver).__name__ for solver, refusal in plan.answers if refusal is None) in case.solver
    text = str(plan)
    for solver, refusal in plan.answers:
        assert (f"refuses: {refusal}" if refusal else f"accepts: {type(solver).__name__}") in text
    assert text.startswith(str(plan.structure))
    for _, _, cost in plan.steps:
        assert 0 <= cost.seconds < 1e6
        assert 0 <= cost.nbytes < 1e9


def test_a_plan_for_a_chosen_solver_is_for_that_solver():
    plan = fsmf.explain(fsmf.low_rank(4, rank=2), solver=fsmf.ALS())
    assert [type(solver).__name__ for _, solver, _ in plan.steps] == ["ALS"]


@pytest.mark.parametrize(
    "plan",
    [
        lambda: fsmf.explain([np.tri(2)] * 3, solver=fsmf.BlockSVD()),
        lambda: fsmf.explain(fsmf.lu(3), solver=fsmf.BlockSVD()),
    ],
)
def test_a_plan_with_no_taker_says_so(plan):
    assert plan().steps == ()
    assert str(plan()).endswith("plan: none; every solver refuses")


def test_the_zero_matrix_is_made_exactly():
    for case in CASES:
        F = solve(0 * case.matrix(), case.supports)
        assert F.error == F.relative_error == F.lower_bound == 0
        assert F.verify(0 * case.matrix())
        assert not F.to_dense().any()


def test_a_bad_option_is_found_before_any_work():
    for options in ({"starts": 0}, {"max_sweeps": 2.5}, {"ridge": -1}, {"rtol": math.nan}, {"callback": 3}):
        with pytest.raises(OptionError, match="found"):
            fsmf.ALS(**options)


def test_plans_and_receipts_say_whether_best_products_exist():
    assert "\nwell-posed: every matrix" in str(fsmf.explain(fsmf.hodlr(8)))
    told = str(fsmf.explain(fsmf.lu(3)))
    assert "\nill-posed: some matrices" in told
    assert "ReLU" in told
    assert "posed" not in str(fsmf.explain(fsmf.random_supports(6, components=6, density=0.9, rng=0)))
    F = fsmf.factorize(np.eye(3), fsmf.lu(3))
    assert "existence       some matrices have no best product" in str(F)
    chain = fsmf.factorize(np.arange(64.0).reshape(8, 8), fsmf.butterfly(8))
    assert "existence       every matrix has a best product" in str(chain)
    # A global optimum says it all.
    assert "existence" not in str(fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2)))
    # Verdicts speak of entries that count alike, and of factors without prescribed values.
    weighted = fsmf.factorize(np.eye(3), fsmf.lu(3), weights=np.eye(3) + 1)
    assert "existence" not in str(weighted)
    left, right = fsmf.lu(3)
    held = fsmf.fixed(np.eye(3), np.eye(3), support=left)
    assert "-posed" not in str(fsmf.explain([held, right]))
