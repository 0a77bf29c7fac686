"""Alternating least squares where the matrix lives: as good as in host memory; nothing of A comes back."""

import numpy as np
import pytest
from cases import LU2, NESTED, OVERHANG, PAIRS_HARD, name_of, rectangles, solve
from chains import DTYPES, gaussian
from devices import ELSEWHERE, ON_GPU, back, on, spy  # noqa: F401

import fsmf
from fsmf import ALS, Status
from fsmf.errors import InputTypeError, NotAttainedWarning, OptionError, ShapeError
from fsmf.kernels.namespace import space_of
from fsmf.solvers.problem import PairProblem
from fsmf.solvers.problem_device import DevicePairProblem
from fsmf.tractability import Part, analyze

SWAP = np.array([[0.0, 1], [1, 0]])
SEVERAL = rectangles(7, 7, (range(4), range(4), 2), (range(2, 7), range(3, 7), 3), ([0, 1], [4, 5, 6], 1))

# Rows that take hundreds of sweeps.
LONG = ("lu-3", "lu-4", "band-wide", "random")


def masks(seed):
    return fsmf.random_supports(24, 27, components=8, density=0.3, rng=seed)


@pytest.mark.parametrize(("seed", "dtype"), [*((0, dtype) for dtype in DTYPES), (1, float), (2, complex)])
def test_random_masks_as_in_host_memory(seed, dtype, spy):  # noqa: F811
    A, supports, solver = gaussian((24, 27), dtype, seed), masks(seed), ALS(starts=2)
    there = on(ELSEWHERE, A)
    spy.seen.clear()
    found = fsmf.factorize(there, supports, solver=solver)
    assert not spy.seen["arrays"]
    expected = fsmf.factorize(A, supports, solver=solver)
    assert found.error <= 1.01 * expected.error
    assert found.lower_bound == pytest.approx(expected.lower_bound, rel=1e-4)
    assert (found.status, found.solver) == (expected.status, "ALS")
    assert all(space_of(value) == ELSEWHERE and value.dtype == there.dtype for value in found.values)
    assert found.to_host().verify(A)
    assert (np.diff(found.history.error) <= 0).all()
    np.testing.assert_array_equal(back(there), A)


def test_a_sweep_brings_three_numbers_to_the_host(spy):  # noqa: F811
    A, counts = on(ELSEWHERE, gaussian((24, 27))), []
    for sweeps in (30, 40):
        spy.seen.clear()
        F = solve(A, masks(0), solver=ALS(starts=1, max_sweeps=sweeps, rtol=0))
        assert len(F.history) == sweeps
        counts.append(spy.seen.copy())
    assert counts[1]["puts"] == counts[0]["puts"]
    if not ON_GPU:
        assert 20 <= counts[1]["numbers"] - counts[0]["numbers"] <= 30


@pytest.mark.parametrize("case", [case for case in PAIRS_HARD if case.name not in LONG], ids=name_of)
def test_hard_rows_as_in_host_memory(case, spy):  # noqa: F811
    A = case.matrix(np.dtype(float))
    there = on(ELSEWHERE, A)
    spy.seen.clear()
    solver = [fsmf.BlockSVD(), ALS(starts=2)]
    found, expected = (solve(some, case.supports, solver=solver) for some in (there, A))
    # Where components are nested, their inner products tell how far the norm can be lowered.
    assert spy.seen["arrays"] <= 2 * len(analyze(case.supports).parts)
    assert found.error <= 1.01 * expected.error + 1e-12 * found.norm
    assert found.lower_bound == pytest.approx(expected.lower_bound, abs=1e-9 * found.norm)
    assert found.status is expected.status
    assert found.certificate.gradient_norm < 1e-4
    assert found.to_host().verify(A)


def test_growing_factors_are_told_and_a_ridge_keeps_them():
    there = on(ELSEWHERE, SWAP)
    with pytest.warns(NotAttainedWarning, match="infimum may not be attained"):
        found = fsmf.factorize(there, LU2, solver=ALS(starts=1))
    assert found.status is Status.FACTORS_GROW
    assert found.relative_error < 0.05
    assert found.to_host().verify(SWAP)
    found, expected = (fsmf.factorize(A, LU2, solver=ALS(ridge=0.1)) for A in (there, SWAP))
    assert found.status is Status.CONVERGED
    assert found.error == pytest.approx(expected.error, rel=1e-4)
    assert found.certificate.ridge == 0.1
    assert found.to_host().verify(SWAP)


@pytest.mark.parametrize("exponent", [None, -660, 660])
def test_matrices_of_any_size(exponent):
    A, solver = gaussian((24, 27)), ALS(starts=1)
    size = 0.0 if exponent is None else 2.0**exponent
    found, ordinary = (fsmf.factorize(on(ELSEWHERE, some), masks(0), solver=solver) for some in (size * A, A))
    assert found.error == pytest.approx(size * ordinary.error, rel=1e-9)
    assert found.to_host().verify(size * A)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("supports", [SEVERAL, fsmf.lu(5), NESTED, masks(3)])
def test_factors_are_settled_as_in_host_memory(supports, dtype):
    part = Part.whole(analyze(supports))
    A = gaussian(part.structure.shape, dtype, 1)
    here = PairProblem.of(A, part, ridge=0.0, exponent=0)
    there = DevicePairProblem.of(on(ELSEWHERE, A), part, ridge=0.0, exponent=0)
    X, Y = here.random(np.random.default_rng(2))
    found = there.settled(on(ELSEWHERE, X), on(ELSEWHERE, Y))
    expected = here.settled(X, Y)
    assert there.balanced_norm(*found) == pytest.approx(here.balanced_norm(*expected), rel=1e-6)
    np.testing.assert_allclose(back(found[0]) @ back(found[1]), X @ Y, atol=1e-11)
    for F, support in zip(found, supports, strict=True):
        assert not back(F)[~support.toarray()].any()


def test_callbacks_and_budgets():
    A, seen = on(ELSEWHERE, gaussian((24, 27))), []
    found = fsmf.factorize(
        A, masks(0), solver=ALS(callback=lambda sweep: seen.append(sweep) or sweep.sweep == 3)
    )
    assert found.status is Status.STOPPED
    assert [one.sweep for one in seen] == [0, 1, 2, 3]
    assert seen[-1].error == pytest.approx(found.error)
    with pytest.warns(fsmf.errors.ConvergenceWarning, match="max_seconds"):
        assert fsmf.factorize(A, masks(0), solver=ALS(max_seconds=0)).status is Status.OUT_OF_BUDGET


def test_seeds_decide_everything():
    A = on(ELSEWHERE, gaussian((24, 27)))
    one, same = (fsmf.factorize(A, masks(0), solver=ALS(starts=3, max_sweeps=5, rtol=1, rng=7)) for _ in "ab")
    assert all(np.array_equal(back(v), back(w)) for v, w in zip(one.values, same.values, strict=True))


@pytest.mark.parametrize("as_arrays", [True, False])
def test_a_warm_start_is_not_left_for_worse(as_arrays):
    A = gaussian((7, 7))
    before = solve(A, SEVERAL)
    F = before.to_device(on(ELSEWHERE, A))
    dense = tuple(on(ELSEWHERE, factor.toarray()) for factor in before.factors)
    solver = ALS(starts=1, max_sweeps=1, initial=dense if as_arrays else F)
    assert solve(on(ELSEWHERE, A), SEVERAL, solver=solver).error <= before.error * (1 + 1e-9)


BAD = {
    "nothing": (lambda X, Y: 3, ShapeError, "two factors"),
    "one": (lambda X, Y: (X,), ShapeError, "two factors"),
    "turned": (lambda X, Y: (Y, X), ShapeError, "shapes"),
    "on the host": (lambda X, Y: (back(X), back(Y)), InputTypeError, "unasked"),
    "infinite": (lambda X, Y: (X / 0, Y), OptionError, "finite"),
    "complex": (lambda X, Y: (X * 1j, Y), OptionError, "as A is"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_warm_start_that_is_none_is_refused(name):
    make, error, say = BAD[name]
    X, Y = on(ELSEWHERE, np.ones((2, 2))), on(ELSEWHERE, np.ones((2, 3)))
    with np.errstate(all="ignore"), pytest.raises(error, match=say):
        fsmf.factorize(on(ELSEWHERE, np.ones((2, 3))), OVERHANG, solver=ALS(initial=make(X, Y)))


@pytest.mark.parametrize(
    ("supports", "options", "say"),
    [
        (LU2, {"ridge": "path"}, "ridge path"),
        (LU2, {"max_norm": 3.0}, "max_norm"),
        ([np.ones((2, 2))] * 3, {}, "two free factors"),
    ],
)
def test_what_stays_in_host_memory_says_so(supports, options, say):
    with pytest.raises(InputTypeError, match=f"{say}.*host memory"):
        fsmf.factorize(on(ELSEWHERE, np.ones((2, 2))), supports, solver=ALS(**options))
