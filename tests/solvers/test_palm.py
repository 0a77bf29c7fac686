"""Supports that are found: planted products, feasibility, certificates, reports, and bad input."""

import warnings

import numpy as np
import pytest
from cases import solve
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse

import fsmf
from fsmf.errors import ConvergenceWarning, InputError, InputTypeError, OptionError, RefusedError, ShapeError
from fsmf.solvers.problem_blocks import _block_loss, block_stability, multiplied, norm_bound, thresholded
from fsmf.solvers.problem_trail import Clock
from fsmf.supports.constraints import Constraints


def constraints_of(kind, r, k, n=32):
    return {
        "column": [fsmf.ColumnSparse((n, r), min(k, n)), fsmf.RowSparse((r, n), min(k, n))],
        "row": [fsmf.RowSparse((n, r), min(k, r)), fsmf.ColumnSparse((r, n), min(k, r))],
        "total": [fsmf.KSparse((n, r), k), fsmf.KSparse((r, n), k)],
    }[kind]


def planted(kind, r, k, seed, n=32, noise=0.0):
    """A product of Gaussian entries at random places."""
    rng = np.random.default_rng([seed, r, k])
    constraints = constraints_of(kind, r, k, n)
    X, Y = (one.places(rng.random(one.shape) + 0.5) * rng.standard_normal(one.shape) for one in constraints)
    A, E = X @ Y, rng.standard_normal((n, n))
    return A + noise * np.linalg.norm(A) / np.linalg.norm(E) * E, constraints


@pytest.mark.parametrize(
    ("kind", "r", "k"),
    [
        *(("column", 4, 4), ("row", 8, 1), ("row", 8, 2), ("column", 8, 4), ("column", 8, 8)),
        *(("total", 4, 16), ("total", 8, 32), ("total", 8, 64), ("row", 16, 2), ("total", 16, 64)),
    ],
)
def test_planted_products_are_found(kind, r, k):
    """Published for PALM from five random starts, of 5: 5, 5, 3, 2, 0 and 5, 0, 0, 0, 0."""
    for seed in range(3):
        F = solve(*planted(kind, r, k, seed), solver=fsmf.PALM(starts=0))
        assert F.relative_error < 1e-6


def found_by_random_starts(kind, schedule):
    """Of five products, those that one of five random starts ends at.

    Those with few nonzeros in all are made of the largest of Gaussian entries: others are harder to find.
    """
    found = 0
    for seed in range(5):
        A, constraints = planted(kind, 4, 4 if kind == "column" else 16, seed)
        if kind == "total":
            rng = np.random.default_rng([seed, 4, 16])
            A = np.linalg.multi_dot([one.project(rng.standard_normal(one.shape)) for one in constraints])
        palm = fsmf.PALM(schedule=schedule, max_sweeps=1000)
        for start in palm.candidates(A, Constraints(constraints)):
            error = np.linalg.norm(A - start.factors[0] @ start.factors[1]) / np.linalg.norm(A)
            if start.start.startswith("random") and error < 1e-6:
                found += 1
                break
    return found


def test_random_starts_need_a_schedule():
    """Published for constant constraints: 0.8 of products with four a column, 0.2 with sixteen in all."""
    assert found_by_random_starts("column", 0.6) == 5
    assert found_by_random_starts("total", 0.6) == 5
    assert found_by_random_starts("column", 0.0) <= 4
    assert found_by_random_starts("total", 0.0) <= 3


@pytest.mark.parametrize(
    ("schedule", "options"), [(0, {}), (10, {}), (10, {"max_seconds": 1e9}), (10, {"max_seconds": 0})]
)
def test_compiled_sweeps_do_what_plain_ones_do(schedule, options):
    rng = np.random.default_rng(2)
    four = [
        *(fsmf.NM((7, 6), 1, of=2), fsmf.RowSparse((6, 5), 2)),
        *(fsmf.OnSupport(rng.random((5, 6)) < 0.7), fsmf.Free((6, 8))),
    ]
    palm = fsmf.PALM(max_sweeps=25, **options)
    for some in map(Constraints, (four, [fsmf.ColumnSparse((7, 6), 3), fsmf.KSparse((6, 8), 20)])):
        A, start = rng.standard_normal((7, 8)), [rng.standard_normal(one.shape) for one in some]
        is_over = Clock(0.0, palm.max_seconds).is_over
        plain, quick = (
            palm._descended(A, [X.copy() for X in start], some, schedule, is_over=is_over, compiled=c)
            for c in (False, True)
        )
        for one, X, Y in zip(some, plain, quick, strict=True):
            assert one.contains(Y)
            np.testing.assert_allclose(Y, X, atol=1e-8)


@pytest.mark.parametrize("noise", [1e-8, 1e-4, 1e-2])
def test_noise_is_left(noise):
    """Ten components; of such products with noise three in ten were found when only exact zeros counted."""
    for kind, k in (("column", 4), ("total", 60)):
        for seed in (0, 3):
            A, constraints = planted(kind, 10, k, seed, noise=noise)
            F = solve(A, constraints)
            assert F.relative_error < noise
            assert F.search.settled
            assert F.status is not fsmf.Status.SUPPORTS_OPEN


def test_supports_that_noise_does_not_explain_are_told():
    """The bound is the best of that rank, which few nonzeros do not reach."""
    A = np.random.default_rng(0).standard_normal((12, 12))
    constraints = constraints_of("total", 3, 10, n=12)
    F = solve(A, constraints, solver=fsmf.PALM(starts=1))
    assert F.status is fsmf.Status.SUPPORTS_OPEN
    assert not F.search.settled
    assert F.search.lower_bound == pytest.approx(np.linalg.norm(np.linalg.svd(A)[1][3:]))
    assert "others may come nearer" in str(F)
    free = solve(A, [fsmf.KSparse((12, 3), 36), fsmf.KSparse((3, 12), 36)])
    assert free.search.settled
    assert free.error == pytest.approx(free.search.lower_bound)
    assert fsmf.factorize(A, [fsmf.KSparse((12, 12), 7)]).search.settled


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["k", "row", "both", "nm", "block", "support", "free"]),
    dtype=st.sampled_from([np.float32, np.float64, np.complex128]),
)
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
def test_factors_meet_the_constraints_and_the_certificate_holds(seed, kind, dtype):
    left = {
        "k": fsmf.KSparse((6, 4), 5),
        "row": fsmf.RowSparse((6, 4), 2),
        "both": fsmf.RowColumnSparse((6, 4), 2, columns=3),
        "nm": fsmf.NM((6, 4), 1, of=2),
        "block": fsmf.BlockSparse((6, 4), 2, block=2),
        "support": fsmf.as_support(np.tri(6, 4)),
        "free": fsmf.Free((6, 4)),
    }[kind]
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((6, 5))
    A = (A + 1j * rng.standard_normal((6, 5)) if np.issubdtype(dtype, complex) else A).astype(dtype)
    constraints = [left, fsmf.ColumnSparse((4, 5), 2)]
    before = A.copy()
    F = solve(A, constraints, solver=fsmf.PALM(starts=1, max_sweeps=60, rng=seed))
    np.testing.assert_array_equal(A, before)
    assert F.dtype == dtype
    for one, X in zip(Constraints(constraints), F.factors, strict=True):
        assert one.contains(X.toarray())
    assert F.error == pytest.approx(np.linalg.norm(A - F.to_dense()), abs=1e-5 * float(np.linalg.norm(A)))
    assert F.verify(A)
    # What was found is no worse than any start was before the supports were given to a solver.
    candidates = fsmf.PALM(starts=1, max_sweeps=60, rng=seed).candidates(
        A.astype(np.result_type(dtype, float)), Constraints(constraints)
    )
    for start in candidates:
        assert F.error <= np.linalg.norm(A - start.factors[0] @ start.factors[1]) * (1 + 1e-5)


@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("turn", [1, 1j])
def test_the_loss_of_one_factor_is_that_of_the_product(sides, turn):
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((6, 3)) * turn, rng.standard_normal((4, 5)) * turn
    left, right = (M if given else None for M, given in zip((left, right), sides, strict=True))
    X = rng.standard_normal((3 if sides[0] else 6, 4 if sides[1] else 5))
    A = rng.standard_normal((6, 5)) * turn
    loss, hessian = _block_loss(A, left, right)

    def plain(X):
        product = X if left is None else left @ X
        return 0.5 * np.linalg.norm(A - (product if right is None else product @ right)) ** 2

    index, units = np.arange(X.size)[::2], np.eye(X.size).reshape(-1, *X.shape)[::2]
    value, gradient = loss(X)
    assert np.isclose(value, plain(X))
    for i, (place, E) in enumerate(zip(index, units, strict=True)):
        assert np.isclose(gradient.flat[place].real, (plain(X + E) - plain(X - E)) / 2)
        second = [loss(X + E)[1].flat[j] - loss(X)[1].flat[j] for j in index]
        assert np.allclose(hessian(X, index)[i], second)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [float, complex])
def test_thresholding_one_factor_at_a_time_only_gains(seed, dtype):
    rng = np.random.default_rng(seed)
    constraints = fsmf.RowSparse((8, 6), 2), fsmf.KSparse((6, 5), 12), fsmf.ColumnSparse((5, 8), 3)
    A = rng.standard_normal((8, 8)) + (1j * rng.standard_normal((8, 8)) if dtype is complex else 0)
    before = [one.project(rng.standard_normal(one.shape)).astype(dtype) for one in constraints]
    after = thresholded(A, before, constraints)
    assert all(one.contains(X) for one, X in zip(constraints, after, strict=True))
    assert np.linalg.norm(A - multiplied(after)) <= np.linalg.norm(A - multiplied(before))
    # Least squares on the places of the last factor cannot do better: it is at its best.
    left, (rows, columns) = after[0] @ after[1], np.nonzero(after[2])
    design = np.stack(
        [np.outer(left[:, i], np.arange(8) == j).ravel() for i, j in zip(rows, columns, strict=True)], axis=1
    )
    best = design @ np.linalg.lstsq(design, A.ravel(), rcond=None)[0]
    assert np.isclose(np.linalg.norm(A - multiplied(after)), np.linalg.norm(A.ravel() - best))


def test_thresholding_finds_what_palm_alone_does_not(monkeypatch):
    rng = np.random.default_rng(1)
    A, constraints = rng.standard_normal((16, 16)), [fsmf.RowSparse((16, 16), 3)] * 3
    found = solve(A, constraints)
    monkeypatch.setattr("fsmf.searching._TURNS", 0)
    alone = solve(A, constraints)
    assert found.error < 0.9 * alone.error
    assert min(found.search.errors) == found.error
    assert all(one.contains(X.toarray()) for one, X in zip(constraints, found.factors, strict=True))


@pytest.mark.parametrize("kind", [fsmf.KSparse, fsmf.RowColumnSparse])
@pytest.mark.parametrize(
    "options", [{"max_sweeps": 5}, {"max_sweeps": 15, "schedule": 1.0}, {"max_seconds": 0}]
)
def test_factors_meet_the_constraints_however_early_their_search_ends(kind, options):
    A, constraints = np.random.default_rng(0).standard_normal((8, 8)), [kind((8, 8), 3)] * 2
    F = solve(A, constraints, solver=fsmf.PALM(starts=1, **options))
    assert all(one.contains(X.toarray()) for one, X in zip(constraints, F.factors, strict=True))
    assert F.verify(A)


def test_one_factor_is_the_projection():
    A = np.random.default_rng(0).standard_normal((5, 5))
    F = fsmf.factorize(A, [fsmf.KSparse((5, 5), 7)])
    np.testing.assert_allclose(F.to_dense(), fsmf.KSparse((5, 5), 7).project(A), atol=1e-12)


@pytest.mark.parametrize("ends", ["column", "total"])
def test_three_factors_are_found_from_both_ends(ends):
    """Where the product has the rank of the middle factor: all of those, of twenty that were tried."""
    if ends == "column":
        left, right = fsmf.ColumnSparse((32, 8), 4), fsmf.RowSparse((8, 32), 4)
    else:
        left, right = fsmf.KSparse((32, 8), 40), fsmf.KSparse((8, 32), 40)
    constraints, tried = [left, fsmf.ColumnSparse((8, 8), 3), right], 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, Y, Z = (one.places(rng.random(one.shape)) * rng.standard_normal(one.shape) for one in constraints)
        if np.linalg.matrix_rank(X @ Y @ Z) == 8:
            F = solve(X @ Y @ Z, constraints, solver=fsmf.PALM(starts=0))
            assert F.relative_error < 1e-6
            assert F.search.starts == ("sparse columns and rows",)
            tried += 1
    assert tried >= 3


@pytest.mark.parametrize(
    ("inner", "alike", "dtype"),
    [
        *(((8, 7), None, float), ((8, 6), None, float), ((6, 8), None, float), ((7, 8), None, complex)),
        *(((8, 8), "columns", float), ((8, 8), "rows", float)),
    ],
)
def test_three_factors_are_found_where_the_middle_one_is_deficient(inner, alike, dtype):
    """Of twenty that were tried of each kind sixteen to twenty; without atoms none or two of ten."""
    constraints = [
        fsmf.ColumnSparse((32, inner[0]), 4),
        fsmf.ColumnSparse(inner, 3) if alike != "rows" else fsmf.RowSparse(inner, 3),
        fsmf.RowSparse((inner[1], 32), 4),
    ]
    found = 0
    for seed in range(6, 11):
        rng = np.random.default_rng(seed)
        factors = [
            one.places(rng.random(one.shape)) * rng.standard_normal(one.shape).astype(dtype)
            for one in constraints
        ]
        if dtype is complex:
            factors = [X * np.exp(1j * rng.uniform(0, 2 * np.pi, X.shape)) for X in factors]
        if alike == "columns":
            factors[1][:, -1] = factors[1][:, 0]
        elif alike == "rows":
            factors[1][-1] = factors[1][0]
        A = np.linalg.multi_dot(factors)
        F = solve(A, constraints, solver=fsmf.PALM(starts=0))
        assert all(one.contains(X.toarray()) for one, X in zip(constraints, F.factors, strict=True))
        found += F.relative_error < 1e-9
    assert found >= 4


def test_noise_is_left_where_the_middle_factor_is_deficient():
    constraints = [fsmf.ColumnSparse((32, 8), 4), fsmf.ColumnSparse((8, 7), 3), fsmf.RowSparse((7, 32), 4)]
    for seed in range(3, 6):
        rng = np.random.default_rng(seed)
        A = np.linalg.multi_dot(
            [one.places(rng.random(one.shape)) * rng.standard_normal(one.shape) for one in constraints]
        )
        E = rng.standard_normal(A.shape)
        E *= 1e-7 * np.linalg.norm(A) / np.linalg.norm(E)
        F = solve(A + E, constraints, solver=fsmf.PALM(starts=0))
        assert F.relative_error < 1e-7
        assert F.search.settled


def test_a_search_without_hope_ends_early():
    """Rows that combine four of eight: these are not told. The best start is kept, the status is honest."""
    constraints = [fsmf.ColumnSparse((32, 8), 16), fsmf.ColumnSparse((8, 8), 3), fsmf.RowSparse((8, 32), 16)]
    rng = np.random.default_rng(0)
    X, Y, Z = (one.places(rng.random(one.shape)) * rng.standard_normal(one.shape) for one in constraints)
    Y[:, -1] = Y[:, 0]
    A = X @ Y @ Z
    F = solve(A, constraints, solver=fsmf.PALM(starts=40))
    assert F.status is fsmf.Status.SUPPORTS_OPEN
    assert not F.search.settled
    random = F.search.errors[1:]
    assert 1 <= len(random) < 10
    ends = [
        np.linalg.norm(A - np.linalg.multi_dot(start.factors))
        for start in fsmf.PALM(starts=40).candidates(A, Constraints(constraints))
    ]
    assert np.all(np.diff(ends[:-1]) < 0)
    assert ends[-1] >= min(ends[:-1])
    assert F.error <= min(ends)
    # Under noise, or with two factors, as many starts are made as asked for.
    noisy = A + 1e-6 * rng.standard_normal(A.shape)
    assert len([*fsmf.PALM(starts=3, max_sweeps=1).candidates(noisy, Constraints(constraints))]) == 7


def test_the_bound_is_that_of_the_best_supports():
    """Of three factors it is sought once, in any units: as good as one for these supports alone."""
    constraints = [fsmf.ColumnSparse((12, 4), 4), fsmf.ColumnSparse((4, 4), 2), fsmf.RowSparse((4, 12), 4)]
    A = np.random.default_rng(0).standard_normal((12, 12))
    for scale in (1.0, 1e-90, 1e90):
        F = solve(scale * A, constraints, solver=fsmf.PALM(starts=1))
        alone = solve(A, F.supports, solver=fsmf.ALS(starts=1, max_sweeps=1))
        assert alone.lower_bound > np.linalg.norm(A[~F.supports.reached.toarray()])
        assert F.lower_bound == pytest.approx(scale * alone.lower_bound)
        assert F.error >= F.lower_bound
        assert F.verify(scale * A)


def test_bound_on_norms():
    rng = np.random.default_rng(0)
    for r in (1, 2, 7, 30):
        X = rng.standard_normal((r, r)) * 10.0 ** rng.uniform(-3, 3, r)
        for gram in (X.T @ X, np.eye(r), 1e-150 * X.T @ X):
            exact = np.linalg.norm(gram, 2)
            assert (1 - 1e-12) * exact <= norm_bound(gram) <= (1 + 1e-12) * r ** (1 / 16) * exact
    assert norm_bound(np.zeros((3, 3))) == 0


def test_three_factors():
    rng = np.random.default_rng(1)
    constraints = Constraints([fsmf.RowSparse((8, 8), 2)] * 3)
    X, Y, Z = (one.project(rng.standard_normal((8, 8))) for one in constraints)
    F = solve(X @ Y @ Z, [*constraints], solver=fsmf.PALM(starts=2))
    assert F.relative_error < 0.5
    assert all(one.contains(factor.toarray()) for one, factor in zip(constraints, F.factors, strict=True))
    assert F.verify(X @ Y @ Z)


def test_zero_matrix():
    F = fsmf.factorize(np.zeros((4, 4)), constraints_of("column", 2, 2, n=4))
    assert F.error == 0


def test_sparse_matrices_and_scales():
    A, constraints = planted("column", 4, 4, 0)
    for factor in (1e-100, 1e100):
        F = solve(factor * A, constraints, solver=fsmf.PALM(starts=0))
        assert F.relative_error < 1e-9
    assert solve(sparse.csr_array(A), constraints).relative_error < 1e-9


def test_norms_beyond_which_gram_matrices_leave_the_floats_are_refused():
    A, constraints = planted("column", 4, 4, 0)
    for scale in (1e-200, 1e200):
        with pytest.raises(InputError, match="divide A by its norm"):
            fsmf.factorize(scale * A, constraints)
        with pytest.raises(InputError, match="divide A by its norm"):
            fsmf.hierarchical_sparse(scale * A)
    A, constraints = np.random.default_rng(0).standard_normal((8, 8)), constraints_of("total", 4, 12, 8)
    expected, *errors = (solve(scale * A, constraints).relative_error for scale in (1, 2.0**-210, 2.0**210))
    assert np.allclose(errors, expected, rtol=0.2)


def test_the_report_says_how():
    A, constraints = planted("column", 4, 4, 0)
    F = fsmf.factorize(A, constraints)
    search = F.search
    assert search.starts[search.best] in ("sparse columns", "sparse rows")
    assert search.errors[search.best] == F.error == min(search.errors)
    assert search.supports == F.supports
    assert all(one.stable for one in search.stability)
    assert type(search.verdict).__name__ in ("WellPosed", "IllPosed", "Undecided")
    assert "supports found from sparse" in str(F)
    assert F.solver.startswith("PALM + ")
    assert F.T.search is None
    plan = str(fsmf.explain(constraints))
    assert "supports to be found" in plan
    assert "PALM on 32×32" in plan


def test_stability_is_a_fixed_point_of_one_more_step():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    constraints = Constraints(constraints_of("column", 3, 2, n=6))
    F = solve(A, list(constraints), solver=fsmf.PALM(starts=2))
    X, Y = (factor.toarray() for factor in F.factors)
    x, y = np.linalg.norm(X, axis=0), np.linalg.norm(Y, axis=1)
    X, Y = X * np.sqrt(y / x), Y * np.sqrt(x / y)[:, None]
    moved = constraints[0].project(X - (X @ Y - A) @ Y.T / np.linalg.norm(Y, 2) ** 2)
    assert block_stability(A, (X, Y), constraints)[0].stable == np.allclose(moved, X, atol=1e-6)
    spoiled = block_stability(A, (X + 0.1 * (X != 0), Y), constraints)
    assert not spoiled[0].stable


def test_growing_factors_are_told():
    """Lower times upper triangular comes as near to the swap as one likes, slowly, with growing factors."""
    A = np.array([[0.0, 1.0], [1.0, 0.0]])
    constraints = Constraints([fsmf.OnSupport(np.tri(2)), fsmf.OnSupport(np.tri(2).T)])
    for k in (1, 8, 1024):
        near = np.array([[1.0, 0.0], [k, -k]]), np.array([[1 / k, 1.0], [0.0, 1.0]])
        assert all(one.contains(X) for one, X in zip(constraints, near, strict=True))
        assert np.linalg.norm(A - near[0] @ near[1]) == 1 / k
    errors, norms = [], []
    for max_sweeps in (100, 10_000):
        plain = fsmf.PALM(starts=1, max_sweeps=max_sweeps, inertia=0, rtol=0, schedule=0)
        (start,) = plain.candidates(A, constraints)
        errors.append(np.linalg.norm(A - start.factors[0] @ start.factors[1]))
        norms.append(np.linalg.norm(start.factors[1]))
    assert errors[0] > 2 * errors[1]
    assert 0.05 < errors[1] < 0.15
    assert norms[1] > 1.5 * norms[0]
    with pytest.warns(fsmf.errors.NotAttainedWarning, match="supports that were found"):
        F = fsmf.factorize(A, [*constraints])
    assert type(F.search.verdict) is fsmf.IllPosed
    dense = fsmf.factorize(A, [fsmf.Free((2, 2)), fsmf.Free((2, 2))])
    assert dense.relative_error < 1e-10
    assert type(dense.search.verdict) is fsmf.WellPosed


def test_deterministic():
    A, constraints = planted("total", 8, 32, 0)
    first, second = (solve(A, constraints, solver=fsmf.PALM(starts=1, rng=3)) for _ in "ab")
    assert first.supports == second.supports
    np.testing.assert_array_equal(first.to_dense(), second.to_dense())


def test_options_and_bad_input():
    A, constraints = planted("column", 2, 2, 0, n=6)
    for options in (
        {"starts": -1},
        {"max_sweeps": 0},
        {"schedule": 1.5},
        {"inertia": 1.0},
        {"inertia": -0.1},
        {"rtol": -1},
        {"max_seconds": -1},
    ):
        with pytest.raises(OptionError):
            fsmf.PALM(**options)
    for some in ([fsmf.RowSparse((6, 6), 2)] * 2, [fsmf.RowSparse((6, 6), 2)] * 4, [fsmf.Free((6, 6))] * 2):
        with pytest.raises(OptionError, match="nothing but random starts"):
            fsmf.factorize(A, some, solver=fsmf.PALM(starts=0))
    with pytest.warns(ConvergenceWarning, match="out of budget"):
        short = fsmf.factorize(A + 1, constraints, solver=fsmf.PALM(max_seconds=0))
    assert len(short.search.starts) == 1
    assert short.status is fsmf.Status.OUT_OF_BUDGET
    with pytest.raises(ShapeError, match="must agree"):
        fsmf.factorize(np.ones((6, 7)), constraints)
    with pytest.raises(ShapeError, match="chain"):
        fsmf.factorize(A, constraints[::-1][:1] + constraints[1:])
    with pytest.raises(ShapeError, match="must be a matrix"):
        fsmf.factorize(A, [fsmf.KSparse(6, 2)])
    with pytest.raises(InputError):
        fsmf.factorize(np.full((6, 6), np.nan), constraints)
    with pytest.raises(InputTypeError, match="PALM finds supports"):
        fsmf.factorize(A, fsmf.lu(6), solver=fsmf.PALM())
    with pytest.raises(RefusedError, match="without weights"):
        fsmf.factorize(A, constraints, weights=np.full((6, 6), 2.0))
    with pytest.raises(InputTypeError, match="prescribed"):
        fsmf.factorize(A, [constraints[0], fsmf.fixed(np.eye(2, 6), np.ones((2, 6)))])
    with pytest.raises(InputTypeError, match="one PALM"):
        fsmf.factorize(A, constraints, solver=[fsmf.PALM(), fsmf.PALM()])


def test_the_solver_that_follows_can_be_chosen():
    A, constraints = planted("column", 4, 4, 0, noise=0.1)
    F = solve(A, constraints, solver=[fsmf.PALM(starts=1), fsmf.ALS(ridge=0.1)])
    assert F.certificate.ridge == 0.1
    assert F.solver == "PALM + ALS"


def test_nothing_is_warned_of_losing_starts():
    A, constraints = planted("column", 4, 4, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fsmf.factorize(A, constraints)
