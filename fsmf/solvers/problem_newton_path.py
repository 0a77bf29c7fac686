"""Follow a vanishing ridge by Gauss-Newton steps, a few for each ridge: they converge where sweeps crawl."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from fsmf.factorization import Status
from fsmf.solvers.base import WholeSolution
from fsmf.solvers.problem_alternation import Descent
from fsmf.solvers.problem_newton import FIRST, FORMED, descend
from fsmf.solvers.problem_pair_newton import PairNewton, newton_for
from fsmf.solvers.problem_path import Descend, sought
from fsmf.solvers.problem_peeling import peeled
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.solvers.problem_progress import Sweep, tell
from fsmf.solvers.problem_start import starting_points
from fsmf.solvers.problem_trail import Clock
from fsmf.tractability import Part

__all__ = ["newton_path"]

# How far A is moved before components are read off it, relative to ‖A‖, for starts at a small ridge.
_MOVES = (1e-2, 1e-3)

# The share of the time for a search without a ridge, to begin with.
_FREE = 0.3

# Damping where a path leads: hardly any.
_AHEAD = 1e-6


class _Options(Protocol):
    """What a solver says of itself."""

    @property
    def max_norm(self) -> float | None: ...

    @property
    def initial(self) -> Any: ...

    @property
    def starts(self) -> int: ...

    @property
    def max_steps(self) -> int: ...

    @property
    def rng(self) -> Any: ...

    @property
    def callback(self) -> Callable[[Sweep], bool | None] | None: ...


def newton_path(
    solver: _Options,
    problem: ProductProblem,
    part: Part,
    clock: Clock,
    free: Callable[[Clock], Descent],
    rough: Descend | None = None,
) -> WholeSolution:
    """Follow the ridges of a product, as `sought` does; starts compete in rough descents, if there are any.

    These do all the work where there are too many unknowns for second-order steps. Where ridges are small,
    what is found without one competes: of a pair, what is read off, and of more factors what a free search
    ends with.
    """
    rng = np.random.default_rng(solver.rng)
    is_large = problem.n_unknowns > FORMED and not PairNewton.fits(problem.supports)

    def refined(
        problem: ProductProblem, values: Values, max_steps: int | None, rtol: float, start: int
    ) -> Descent:
        if rough is not None and (max_steps is not None or is_large):
            return rough(problem, values, max_steps, rtol, start)
        run = Descent(problem, values)
        stopped = descend(
            newton_for(problem, one=True),
            [run],
            clock,
            max_steps=max_steps or solver.max_steps,
            rtol=rtol,
            damping=_AHEAD if max_steps is None else FIRST,
            report=lambda run, step: tell(solver.callback, run, step, start=start, clock=clock),
        )
        run.status = Status.STOPPED if stopped else run.status
        return run

    points = starting_points(problem, part.structure, rng, solver.initial)
    late: list[Values] = []
    if part.structure.is_pair:
        size = problem.norm / math.sqrt(problem.A.size)
        for move in _MOVES:
            noise = problem.gaussian(rng, problem.A.size).reshape(problem.A.shape)
            factors = peeled(problem.A + move * size * noise, problem.supports)
            late.append([X[place] for X, place in zip(factors, problem.places, strict=True)])
    elif not (is_large or clock.is_over()):
        late.append(free(clock.brief(_FREE)).values)
    return sought(
        problem,
        part,
        refined,
        points,
        late,
        count=solver.starts,
        max_norm=solver.max_norm,
        clock=clock,
        name=type(solver).__name__,
    )
