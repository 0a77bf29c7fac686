"""Iterative hard thresholding of losses, against enumeration and its own theory."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import fsmf
from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError


class Quadratic:
    """``½ (x − c)ᵀ H (x − c)``, with the minimum over each set of places in closed form."""

    def __init__(self, seed, p=10, rows=30):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((rows, p))
        self.H, self.c = X.T @ X / rows, rng.standard_normal(p)

    def __call__(self, x):
        d = x - self.c
        return float(d @ self.H @ d) / 2, self.H @ d

    def modulus(self, k):
        sets = itertools.combinations(range(len(self.c)), min(k, len(self.c)))
        return max(np.linalg.eigvalsh(self.H[np.ix_(S, S)])[-1] for S in sets)

    def best(self, k):
        """By enumeration."""
        values = []
        for S in itertools.combinations(range(len(self.c)), k):
            x = np.zeros(len(self.c))
            x[list(S)] = np.linalg.solve(self.H[np.ix_(S, S)], (self.H @ self.c)[list(S)])
            values.append(self(x)[0])
        return min(values)


def logistic(seed, n=80, p=12, k=3):
    """A convex loss that is no quadratic."""
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((n, p)), np.zeros(p)
    w[:k] = 2.0
    sign = np.where(rng.random(n) < 1 / (1 + np.exp(-X @ w)), 1.0, -1.0)

    def loss(x):
        margin = sign * (X @ x)
        weight = 1 / (1 + np.exp(margin))
        return float(np.logaddexp(0, -margin).mean()), -X.T @ (sign * weight) / n

    return loss


@given(seed=st.integers(0, 999), k=st.integers(1, 4), share=st.floats(0.3, 1.0))
@settings(max_examples=25, deadline=None)
def test_short_steps_descend_to_a_stable_point(seed, k, share):
    loss = Quadratic(seed)
    step = share / loss.modulus(2 * k)
    point = fsmf.iht(loss, fsmf.KSparse(10, k), step=step, start="random", max_iterations=5000, rng=seed)
    values = np.concatenate([point.trace.value, [point.value]])
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    assert np.count_nonzero(point.x) <= k
    assert point.stability.stable
    assert point.stability.margin >= 0
    assert point.stability.step == step
    assert point.stability.gradient_on <= 1e-8
    assert point.value == pytest.approx(loss(point.x)[0], rel=1e-12)
    assert fsmf.KSparse(10, k).project(point.x - step * loss(point.x)[1]) == pytest.approx(point.x, abs=1e-8)


@given(seed=st.integers(0, 999), k=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_backtracking_descends(seed, k):
    loss = Quadratic(seed)
    point = fsmf.iht(loss, fsmf.KSparse(10, k), rng=seed)
    assert (np.diff(point.trace.value) <= 1e-12).all()
    assert point.ending is fsmf.Ending.CONVERGED
    assert point.stability.gradient_on <= 1e-8


def test_restarts_find_the_best_of_all_supports():
    found = 0
    for seed in range(8):
        loss = Quadratic(seed)
        best = loss.best(3)
        point = fsmf.iht(loss, fsmf.KSparse(10, 3), starts=15, rng=seed)
        assert point.value >= best * (1 - 1e-9)
        found += point.value <= best * (1 + 1e-9)
    assert found >= 7


def test_a_dense_start_is_thinned_out():
    loss = Quadratic(3)
    point = fsmf.iht(loss, fsmf.KSparse(10, 2), start="dense", max_iterations=400)
    assert np.count_nonzero(point.x) == 2
    assert point.stability.stable
    scheduled = fsmf.iht(loss, fsmf.KSparse(10, 2), schedule=50)
    assert np.count_nonzero(scheduled.x) == 2


@pytest.mark.parametrize("step", ["backtracking", "restricted", 0.5])
def test_polish_minimises_over_the_places(step):
    loss = logistic(0)
    point = fsmf.iht(loss, fsmf.KSparse(12, 3), step=step)
    S = point.places

    def own(z):
        x = np.zeros(12)
        x[S] = z
        value, gradient = loss(x)
        return value, gradient[S]

    oracle = minimize(own, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-10})
    assert point.value == pytest.approx(oracle.fun, rel=1e-9)
    assert point.stability.gradient_on <= 1e-8
    assert set(np.flatnonzero(S)) == {0, 1, 2}


def test_polish_with_given_second_derivatives():
    loss = Quadratic(1)
    given_ = fsmf.iht(loss, fsmf.KSparse(10, 4), max_iterations=5, hessian=lambda x, S: loss.H[np.ix_(S, S)])
    plain = fsmf.iht(loss, fsmf.KSparse(10, 4), max_iterations=5)
    np.testing.assert_allclose(given_.x, plain.x, atol=1e-9)
    rough = fsmf.iht(loss, fsmf.KSparse(10, 4), max_iterations=5, polish=False)
    assert given_.value <= rough.value


def test_polish_of_many_places():
    loss = Quadratic(1, p=260, rows=600)
    point = fsmf.iht(loss, fsmf.KSparse(260, 230), max_iterations=3)
    assert point.stability.gradient_on <= 1e-6


def test_polish_where_the_loss_is_flat():
    """The softmax loss does not change when all classes move together."""
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((40, 2)), rng.integers(0, 3, 40)

    def loss(x):
        scores = X @ x
        P = np.exp(scores - scores.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        value = -np.log(P[np.arange(40), labels]).mean()
        P[np.arange(40), labels] -= 1
        return value, X.T @ P / 40

    point = fsmf.iht(loss, fsmf.Free((2, 3)), max_iterations=20)
    assert np.linalg.norm(loss(point.x)[1]) <= 1e-9


def test_relaxing_reports_both_points():
    loss = Quadratic(0)
    point = fsmf.iht(loss, fsmf.KSparse(10, 2), relax=2.0)
    assert np.count_nonzero(point.relaxed) == 4
    assert np.count_nonzero(point.x) == 2
    assert set(np.flatnonzero(point.x)) <= set(np.flatnonzero(point.relaxed))
    assert fsmf.iht(loss, fsmf.KSparse(10, 2)).relaxed is None


@pytest.mark.parametrize("relax", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("step", ["backtracking", "fixed"])
def test_what_is_polished_is_stable_in_the_end(relax, step):
    """Pruning, and minimising over places, may leave points that another step would change."""
    for seed in range(15):
        loss = Quadratic(seed)
        length = step if step == "backtracking" else 1 / loss.modulus(6)
        point = fsmf.iht(loss, fsmf.KSparse(10, 3), relax=relax, step=length, max_iterations=20)
        assert point.stability.stable
        assert point.value <= loss(np.zeros(10))[0]


def test_parts_of_a_vector_have_their_own_budgets():
    loss = Quadratic(2)
    constraint = fsmf.Joint([fsmf.KSparse((2, 3), 2), fsmf.KSparse(4, 1)])
    point = fsmf.iht(loss, constraint)
    assert np.count_nonzero(point.x[:6]) <= 2
    assert np.count_nonzero(point.x[6:]) <= 1
    assert point.stability.stable


@pytest.mark.parametrize("step", ["backtracking", 0.4])
def test_batches_take_turns_and_all_iterations(step):
    """The trace is of their values; the whole loss judges the end."""
    parts = [Quadratic(seed) for seed in range(3)]
    for part in parts:
        part.c = parts[0].c * (np.arange(10) < 3)  # all have the same minimum, of three places

    def loss(x):
        found = [part(x) for part in parts]
        return sum(value for value, _ in found) / 3, sum(gradient for _, gradient in found) / 3

    seen = []
    point = fsmf.iht(
        loss,
        fsmf.KSparse(10, 3),
        step=step,
        batches=lambda i: parts[i % 3],
        max_iterations=200,
        polish=False,
        callback=lambda i, value, x: seen.append(parts[i % 3](x)[0] - value),
    )
    assert np.abs(seen).max() <= 1e-12
    assert len(point.trace) == 200
    assert point.ending is fsmf.Ending.OUT_OF_BUDGET
    assert point.value == loss(point.x)[0]
    np.testing.assert_allclose(point.x, parts[0].c, atol=1e-6)


def test_batches_at_their_best_leave_the_others_their_steps():
    flat = (lambda x: (0.0, np.zeros(10)), Quadratic(0))
    point = fsmf.iht(
        Quadratic(0), fsmf.KSparse(10, 3), batches=lambda i: flat[i >= 1800], max_iterations=1900
    )
    assert point.value <= Quadratic(0).best(3) * 1.5


def test_endings():
    loss = Quadratic(0)
    constraint = fsmf.KSparse(10, 3)
    assert fsmf.iht(loss, constraint, stop_value=1e9).ending is fsmf.Ending.REACHED
    assert fsmf.iht(loss, constraint, max_iterations=1).ending is fsmf.Ending.OUT_OF_BUDGET
    assert fsmf.iht(loss, constraint, step=1e3).ending is fsmf.Ending.DIVERGED
    assert fsmf.iht(loss, constraint, max_seconds=0, starts=9).start == 0
    seen = []

    def watch(i, value, x):
        seen.append((i, value))
        return i == 1

    stopped = fsmf.iht(loss, constraint, callback=watch, starts=5)
    assert stopped.ending is fsmf.Ending.STOPPED
    assert [i for i, _ in seen] == [0, 1]
    assert seen[-1][1] == stopped.trace.value[-1]


def test_the_same_seed_gives_the_same_point():
    points = [fsmf.iht(Quadratic(0), fsmf.KSparse(10, 3), start="random", starts=3, rng=5) for _ in "ab"]
    np.testing.assert_array_equal(points[0].x, points[1].x)


def test_bad_input():
    loss, constraint = Quadratic(0), fsmf.KSparse(10, 3)
    for options in (
        {"start": "near"},
        {"step": "long"},
        {"step": 0.0},
        {"step": -1.0},
        {"relax": 0},
        {"starts": 0},
        {"max_iterations": 0},
        {"schedule": -1},
        {"rtol": -1},
        {"max_seconds": -1},
    ):
        with pytest.raises(OptionError, match="found"):
            fsmf.iht(loss, constraint, **options)
    with pytest.raises(InputTypeError, match="constraint"):
        fsmf.iht(loss, 3)
    with pytest.raises(ShapeError):
        fsmf.iht(loss, constraint, start=np.zeros(3))
    with pytest.raises(InputError, match="finite where start 0"):
        fsmf.iht(lambda x: (np.nan, x), constraint)


@pytest.mark.parametrize("start", ["zero", "random", "dense"])
def test_complex_points(start):
    """The best complex point at the places found, by least squares that are laid out."""
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((12, 6, 2)) @ [1, 1j], rng.standard_normal((12, 2)) @ [1, 1j]

    def loss(x):
        rest = A @ x - y
        return float(np.vdot(rest, rest).real) / 2, A.conj().T @ rest

    point = fsmf.iht(loss, fsmf.KSparse(6, 3), start=start, starts=4)
    expected = np.linalg.lstsq(A[:, point.places], y)[0]
    assert np.allclose(point.x[point.places], expected)
    assert np.isclose(point.value, loss(point.x)[0])
    best = min(
        float(np.linalg.norm(A[:, places] @ np.linalg.lstsq(A[:, places], y)[0] - y)) ** 2 / 2
        for places in map(list, itertools.combinations(range(6), 3))
    )
    assert np.isclose(point.value, best)
