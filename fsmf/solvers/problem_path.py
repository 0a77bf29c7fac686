"""Follow the minimisers of a falling ridge, each from the last: a path, or its point of a given norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import NotAttainedWarning
from fsmf.factorization import Status
from fsmf.ridge_paths import RidgePath
from fsmf.warning import warn_caller

__all__ = ["Run", "Solve", "follow", "follow_to_norm", "judged"]

Factors = tuple[NDArray[Any], ...]

# Ridges in units of ‖A‖: where all starts compete, and the range of a path, a half decade a step.
_ARENA, _FIRST, _LAST, _RATIO = 3e-3, 3e-2, 1e-12, math.sqrt(10)

# Sweeps of a start in the arena, how many starts for each that is asked for, and how many of the best go two
# steps on before one is taken.
_TRIED, _PER_START, _FINALISTS = 40, 4, 3

# Relative gains below which sweeps end: while starts compete, and on the path.
_ROUGH, _FINE = 1e-4, 1e-9

# Entries that change by less than this factor between two ridges are taken to follow a power law.
_FOLLOWS = 4.0

# A path has levelled off when a step changes neither the error nor the norm by more than this, relatively.
_LEVEL, _LEVEL_NORM = 1e-6, 1e-3

# A path ends when so many of its points in a row do not converge in the sweeps allowed.
_LOST = 3

# How near to the norm asked for counts as there, and how many ridges may be tried.
_NEAR, _TRIES = 1e-3, 40

# A ridge, in units of ‖A‖, at which nothing but zero is worth its penalty.
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
        return RidgePath.of([(ridge, math.sqrt(run.squared_error), run.norm) for ridge, run in sound])

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


def _best_start(solve: Solve[R], starts: Iterator[Factors], count: int, norm: float) -> R:
    """Let starts compete at one ridge, then the best at smaller ones; the winner, at the first ridge."""
    ridge = _ARENA * norm
    runs = []
    for _, factors in zip(range(_PER_START * count), starts, strict=False):
        runs.append(solve(ridge, factors, _TRIED, _ROUGH))
        if runs[-1].status is Status.STOPPED:
            return runs[-1]
    best = sorted(runs, key=lambda run: run.objective)[:_FINALISTS]
    later = []
    for run in best:
        further = solve(ridge / 10, run.factors, 2 * _TRIED, _ROUGH)
        later.append(solve(ridge / 100, further.factors, 2 * _TRIED, _ROUGH).objective)
    return best[int(np.argmin(later))]


def follow(
    solve: Solve[R], starts: Iterator[Factors], count: int, norm: float, is_over: Callable[[], bool]
) -> tuple[R, RidgePath]:
    """Follow the path from the best of several starts down to where nothing changes, or to rounding."""
    if not norm:
        return solve(0.0, next(starts), 1, _FINE), RidgePath.of([(0.0, 0.0, 0.0)])
    first = _best_start(solve, starts, count, norm)
    trail = _Trail(solve)
    ridge, run = _ARENA * norm, trail.at(_ARENA * norm, first.factors)
    while ridge < _FIRST * norm and not _is_ended(run, is_over):
        ridge *= _RATIO
        run = trail.at(ridge)
    trail.points.sort(key=lambda point: -point[0])
    ridge, run = trail.points[-1]
    while ridge / _RATIO > _LAST * norm and not _is_ended(run, is_over):
        last = run
        run = trail.at(ridge / _RATIO)
        ridge /= _RATIO
        if run.objective > last.objective or _is_level(last, run) or trail.is_lost:
            # Rounding has the last word, or there is nothing more to see.
            break
    return run, trail.path


def follow_to_norm(
    solve: Solve[R],
    starts: Iterator[Factors],
    count: int,
    norm: float,
    is_over: Callable[[], bool],
    *,
    max_norm: float,
) -> R:
    """Find the ridge whose minimiser has a given norm; ridge 0 if the factors are no larger without one."""
    if not norm:
        return solve(0.0, next(starts), 1, _FINE)
    trail = _Trail(solve)
    ridge = _ARENA * norm
    run = trail.at(ridge, _best_start(solve, starts, count, norm).factors)
    inside: tuple[float, R] | None = None
    outside: tuple[float, R] | None = None
    for attempt in range(_TRIES):
        if run.norm <= max_norm:
            level = inside is not None and outside is None and _is_level(inside[1], run)
            inside = ridge, run
            if run.norm >= (1 - _NEAR) * max_norm or is_over() or run.status is Status.STOPPED:
                break
            if outside is None and (level or ridge <= _LAST * norm):
                free = trail.at(0.0, run.factors)
                inside = (0.0, free) if free.norm <= max_norm else inside
                break
        else:
            outside = ridge, run
        if inside is None:
            ridge *= _RATIO
            if ridge > _MOST * norm or _is_ended(run, is_over):
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
        run = solve(_MOST * norm, tuple(np.zeros_like(factor) for factor in run.factors), 1, _FINE)
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


def _is_ended(run: Run, is_over: Callable[[], bool]) -> bool:
    return run.status is Status.STOPPED or is_over()


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
