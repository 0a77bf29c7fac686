"""Follow the minimisers of a falling ridge, each from the last: a path, or its point of a given norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count as counted
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import NotAttainedWarning, OptionError
from fsmf.factorization import Status
from fsmf.kernels.product_descent import value_and_gradient
from fsmf.ridge_paths import RidgePath
from fsmf.solvers.base import WholeSolution
from fsmf.solvers.problem_alternation import Descent, whole_solution
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.solvers.problem_trail import Clock
from fsmf.tractability import Part
from fsmf.warning import warn_caller

__all__ = ["PER_START", "Descend", "Run", "Search", "Solve", "follow", "follow_to_norm", "judged", "sought"]

Factors = tuple[NDArray[Any], ...]

# Ridges in units of ‖A‖^(2 − 2/L): where all starts compete, the first at which any is more than zero; and
# the range of a path, a half decade a step.
_ARENAS, _FIRST, _LAST, _RATIO = (3e-3, 3e-4, 3e-5, 3e-6), 3e-2, 1e-12, math.sqrt(10)

# Sweeps of a start in the arena, how many starts for each that is asked for, how many of the best go on, to
# the arena times these, before one is taken; and where those join that are good for small ridges only.
_TRIED, PER_START, _FINALISTS, _FURTHER, _LATE = 40, 4, 3, (0.1, 0.01), 1e-3

# Factors that cost less than this share of the squared error have gone to zero.
_COLLAPSED = 1e-6

# At most so many starts compete where the path of a product is followed, fewer of many unknowns.
_MOST_STARTS, _UNKNOWNS = 16, 1 << 22

# Relative gains below which sweeps end: while starts compete, and on the path.
_ROUGH, _FINE = 1e-4, 1e-9

# Entries that change by less than this factor between two ridges are taken to follow a power law.
_FOLLOWS = 4.0

# A path has levelled off when a step changes neither the error nor the norm by more than this, relatively.
_LEVEL, _LEVEL_NORM = 1e-6, 1e-3

# A path ends when so many of its points in a row do not converge in the sweeps allowed.
_LOST = 3

# Steps on factors of one norm.
_STEPS = 1000

# How near to the norm asked for counts as there, and how many ridges may be tried.
_NEAR, _TRIES = 1e-3, 40

# A ridge, in the units of ridges, at which nothing but zero is worth its penalty.
_MOST = 2.0


class Run(Protocol):
    """What a solve with one ridge ends with."""

    status: Status
    squared_error: float
    norm: float

    @property
    def factors(self) -> Factors:
        """The factors."""

    @property
    def objective(self) -> float:
        """The squared error with the ridge term."""


R = TypeVar("R", bound=Run)

# Solve with this ridge, from these factors, in at most so many sweeps (None: as many as are allowed), until
# they gain less than that.
Solve = Callable[[float, Factors, int | None, float], R]


class Search(NamedTuple, Generic[R]):
    """What a path is followed of.

    Attributes
    ----------
    solve : callable
        See `Solve`.
    starts : iterator of tuple of array
        Factors to start from.
    tried : int
        How many of them compete.
    unit : float
        That of ridges.
    is_over : callable
        Whether time is up.
    late : sequence of tuple of array
        Starts that compete where the ridge is small.
    """

    solve: Solve[R]
    starts: Iterator[Factors]
    tried: int
    unit: float
    is_over: Callable[[], bool]
    late: Sequence[Factors] = ()


class _Trail(Generic[R]):
    """Points found so far, and where the next one is likely to be."""

    def __init__(self, solve: Solve[R]) -> None:
        self._solve = solve
        self.points: list[tuple[float, R]] = []

    def at(self, ridge: float, factors: Factors | None = None) -> R:
        """Solve with a ridge, from given factors or from where the last two points lead."""
        run = self._solve(ridge, self._ahead(ridge) if factors is None else factors, None, _FINE)
        self.points.append((ridge, run))
        return run

    def _ahead(self, ridge: float) -> Factors:
        (now, run), *before = self.points[::-1]
        if not before:
            return run.factors
        step = math.log(ridge / now) / math.log(now / before[0][0])
        return tuple(
            _extrapolated(a, b, step) for a, b in zip(run.factors, before[0][1].factors, strict=True)
        )

    @property
    def path(self) -> RidgePath:
        """All points as numbers; those that did not converge only where nothing else did."""
        sound = [point for point in self.points if point[1].status is Status.CONVERGED] or self.points[:1]
        points = [(ridge, math.sqrt(run.squared_error), run.norm) for ridge, run in sound]
        return RidgePath.of(points, len(sound[0][1].factors))

    @property
    def is_lost(self) -> bool:
        """Whether the last points did not converge."""
        last = self.points[-_LOST:]
        return len(last) == _LOST and all(run.status is not Status.CONVERGED for _, run in last)


def _extrapolated(now: NDArray[Any], before: NDArray[Any], step: float) -> NDArray[Any]:
    """Go on by the power law of each entry that seems to have one: entries of minimisers do, in the end."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.abs(now) / np.abs(before)
    lawful = (ratio > 1 / _FOLLOWS) & (ratio < _FOLLOWS) & np.isfinite(ratio)
    lawful &= (now * before.conj()).real > 0
    power: NDArray[Any] = now * np.where(lawful, ratio, 1.0) ** min(max(step, -1.0), 1.0)
    return power


def _best_starts(search: Search[R]) -> list[tuple[float, R]]:
    """Let starts compete at one ridge and the best go on to smaller ones, where all compete again.

    A ridge and the winner there; before it, if it has no part in that one, the winner of those that went on.
    """
    solve, starts, tried, unit, is_over, late = search
    points = list(islice(starts, tried))
    for arena in _ARENAS:
        ridge, runs = arena * unit, []
        for factors in points:
            runs.append(solve(ridge, factors, _TRIED, _ROUGH))
            if runs[-1].status is Status.STOPPED:
                return [(ridge, runs[-1])]
        if not all(_is_collapsed(run) for run in runs):
            break
    best = sorted(runs, key=_objective)[:_FINALISTS]
    # When time is up there is none for more than one look at each.
    shares, points = ((), []) if is_over() else ((*_FURTHER, _LATE), points)
    further = best
    for share in shares:
        further = [solve(share * ridge, run.factors, 2 * _TRIED, _ROUGH) for run in further]
    others = [solve(_LATE * ridge, factors, 2 * _TRIED, _ROUGH) for factors in (*points, *late)]
    first, winner = min(further, key=_objective), min(*further, *others, key=_objective)
    before = [] if winner is first else [(ridge, best[further.index(first)])]
    return [*before, (_LATE * ridge, winner)]


def follow(search: Search[R]) -> tuple[R, RidgePath]:
    """Follow the path from the best of several starts down to where nothing changes, or to rounding."""
    unit, is_over = search.unit, search.is_over
    if not unit:
        run = search.solve(0.0, next(search.starts), 1, _FINE)
        return run, RidgePath.of([(0.0, 0.0, 0.0)], len(run.factors))
    ridge, first = _best_starts(search)[-1]
    trail = _Trail(search.solve)
    run = trail.at(ridge, first.factors)
    while ridge < _FIRST * unit and not _is_ended(run, is_over):
        ridge *= _RATIO
        run = trail.at(ridge)
    trail.points.sort(key=lambda point: -point[0])
    ridge, run = trail.points[-1]
    while ridge / _RATIO > _LAST * unit and not _is_ended(run, is_over):
        last = run
        run = trail.at(ridge / _RATIO)
        ridge /= _RATIO
        if run.objective > last.objective or _is_level(last, run) or trail.is_lost:
            # Rounding has the last word, or there is nothing more to see.
            break
    return run, trail.path


def follow_to_norm(search: Search[R], max_norm: float) -> R:
    """Find the ridge whose minimiser has a given norm; ridge 0 if the factors are no larger without one."""
    if not search.unit:
        return search.solve(0.0, next(search.starts), 1, _FINE)
    runs = []
    for ridge, first in _best_starts(search):
        runs.append(_to_norm(search, ridge, first.factors, max_norm))
        if _is_ended(runs[-1], search.is_over):
            break
    return min(runs, key=lambda run: run.squared_error)


def _to_norm(search: Search[R], ridge: float, factors: Factors, max_norm: float) -> R:
    """The point of a given norm on the path that begins with these factors."""
    unit, is_over, trail = search.unit, search.is_over, _Trail(search.solve)
    run = trail.at(ridge, factors)
    inside: tuple[float, R] | None = None
    outside: tuple[float, R] | None = None
    for attempt in range(_TRIES):
        if run.norm <= max_norm:
            level = inside is not None and outside is None and _is_level(inside[1], run)
            inside = ridge, run
            if run.norm >= (1 - _NEAR) * max_norm or is_over() or run.status is Status.STOPPED:
                break
            if outside is None and (level or ridge <= _LAST * unit):
                free = trail.at(0.0, run.factors)
                inside = (0.0, free) if free.norm <= max_norm else inside
                break
        else:
            outside = ridge, run
        if inside is None:
            ridge *= _RATIO
            if ridge > _MOST * unit or _is_ended(run, is_over):
                break
            run = trail.at(ridge)
        elif outside is None:
            ridge /= _RATIO
            run = trail.at(ridge)
        else:
            share = _share(inside[1].norm, outside[1].norm, max_norm) if attempt % 3 else 0.5
            ridge = outside[0] * (inside[0] / outside[0]) ** share
            pairs = zip(outside[1].factors, inside[1].factors, strict=True)
            run = trail.at(ridge, tuple(_extrapolated(a, b, -share) for a, b in pairs))
    if inside is None:
        # Hardly anything fits, or time is up: zero fits, and is what so large a ridge leaves.
        ended = run.status
        run = search.solve(_MOST * unit, tuple(np.zeros_like(factor) for factor in run.factors), 1, _FINE)
        run.status = ended
        return run
    return inside[1]


def _share(inside: float, outside: float, wanted: float) -> float:
    """Where between two ridges the norm is likely to be as wanted, by a power law; 0 is outside, 1 inside."""
    wanted *= 1 - _NEAR / 2
    if not inside > 0:
        return 0.5
    share = math.log(outside / wanted) / math.log(outside / inside)
    return min(max(share, 0.02), 0.98)


def _objective(run: Run) -> float:
    return run.objective


def _is_ended(run: Run, is_over: Callable[[], bool]) -> bool:
    return run.status is Status.STOPPED or is_over()


def _is_collapsed(run: Run) -> bool:
    """Whether the factors have gone to zero: of three or more it is a local minimum with any ridge."""
    return run.objective - run.squared_error <= _COLLAPSED * run.squared_error


def _is_level(last: Run, run: Run) -> bool:
    """Whether a smaller ridge has changed next to nothing, or asks for less than sweeps can tell."""
    error, before = math.sqrt(run.squared_error), math.sqrt(last.squared_error)
    level = abs(run.norm - last.norm) <= _LEVEL_NORM * run.norm and abs(before - error) <= _LEVEL * before
    return level or run.objective - run.squared_error <= 10 * _FINE * run.squared_error


def judged(path: RidgePath | None, *, ridge: float) -> Status | None:
    """Tell what a path, or the ridge that a bound on the norm led to, says of the factors, if anything."""
    if path is None:
        return Status.BOUNDED if ridge else None
    if not path.grows:
        return None
    warn_caller(
        f"{Status.FACTORS_GROW.value}: {path.sentences()[0]}; use max_norm= to bound them",
        NotAttainedWarning,
    )
    return Status.FACTORS_GROW


# Descend from these values, in at most so many steps (None: as many as are allowed), until they gain less
# than this; the last is the number of the descent.
Descend = Callable[[ProductProblem, Values, int | None, float, int], Descent]


def sought(
    problem: ProductProblem,
    part: Part,
    descend: Descend,
    starts: Iterator[Values],
    late: Sequence[Values] = (),
    *,
    count: int,
    max_norm: float | None,
    clock: Clock,
    name: str,
    bounds: bool = True,
) -> WholeSolution:
    """Follow a vanishing ridge of a product, or find the one of a given norm of the factors."""
    numbers, stopped, L = counted(), False, len(problem)
    above: Descent | None = None
    # What is stored in the user's precision, and added up, is to keep to the bound.
    bound = (
        math.inf if max_norm is None else max_norm * 2.0 ** (-problem.exponent / L) * (1 - 4 * problem.eps)
    )
    unit = problem.norm ** (2 - 2 / L) if problem.norm or not part.structure.n_prescribed else 1.0

    def is_over() -> bool:
        return stopped or clock.is_over()

    def solve(ridge: float, factors: Factors, max_steps: int | None, rtol: float) -> Descent:
        nonlocal stopped, above
        number, values = next(numbers), problem.holding(list(factors))
        if stopped:
            return Descent(problem.ridged(ridge), values)
        run = descend(problem.ridged(ridge), values, max_steps, rtol, number)
        stopped = run.status is Status.STOPPED
        if bound < run.norm < (math.inf if above is None else above.norm):
            above = run
        return run

    points, later = map(tuple, starts), [tuple(values) for values in late]
    count = min(PER_START * count, _MOST_STARTS, 1 + _UNKNOWNS // max(1, problem.n_unknowns) ** 2)
    search, path = Search(solve, points, count, unit, is_over, later), None
    if max_norm is None:
        run, path = follow(search)
        if path.grows is False and not is_over():
            run = solve(0.0, run.factors, None, _FINE)
    else:
        least = problem.factor_norm(problem.holding([np.zeros(support.nnz) for support in problem.supports]))
        if least > bound:
            raise OptionError(
                f"max_norm must be above the norm of the prescribed values, {least:.4g}; found {max_norm!r}"
            )
        run = follow_to_norm(search, bound)
        if (
            above is not None
            and run.norm < (1 - _NEAR) * bound
            and not (part.structure.n_prescribed or is_over())
        ):
            # The norm jumps over the bound: then no minimiser with a ridge has it.
            run = min(run, _on_sphere(problem, above.values, bound), key=lambda run: run.squared_error)
    if stopped:
        run.status = Status.STOPPED
    said = None if is_over() else judged(path, ridge=run.problem.ridge)
    status = said or run.warned(0.0, ridge=run.problem.ridge, name=name)
    return replace(whole_solution(run, part.structure, status, search=bounds), path=path)


def _on_sphere(problem: ProductProblem, values: Values, norm: float) -> Descent:
    """Descend over factors of a given norm, from given ones made as large; the ridge is the multiplier."""
    from scipy.optimize import minimize  # slow to import, and rarely needed

    free = problem.ridged(0.0).in_values
    start = np.concatenate(values)

    def on_sphere(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        size = float(np.linalg.norm(z))
        own = z.view(start.dtype)
        value, gradient = value_and_gradient(free, own * (norm / size))
        gradient = gradient.view(np.float64)
        return value, norm / size * (gradient - z * (z @ gradient) / size**2)

    found = minimize(
        on_sphere, start.view(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    z = found.x.view(start.dtype) * (norm / float(np.linalg.norm(found.x)))
    gradient = value_and_gradient(free, z)[1]
    # Each is divided by the norm, whose square may underflow.
    ridge = max(0.0, -float(np.vdot(z / norm, gradient / norm).real) / 2)
    run = Descent(problem.ridged(ridge), free.split(z))
    run.status = Status.CONVERGED if found.success else Status.OUT_OF_BUDGET
    return run
