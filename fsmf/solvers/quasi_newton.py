"""Any supports, by compiled quasi-Newton steps from many starts: the best third goes on, and is crossed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.block_brackets import StationaryPoint
from fsmf.factorization import Status
from fsmf.kernels.product_descent import Descending
from fsmf.solvers.base import Cost, Ridged, Solution, WholeSolution
from fsmf.solvers.problem_alternation import Descent
from fsmf.solvers.problem_coarse import taken_apart
from fsmf.solvers.problem_equilibrated import equilibrated
from fsmf.solvers.problem_newton import FIRST, descend
from fsmf.solvers.problem_newton_path import newton_path
from fsmf.solvers.problem_pair_newton import PairNewton, newton_for
from fsmf.solvers.problem_part import answered, product_of
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.solvers.problem_progress import Sweep, tell
from fsmf.solvers.problem_start import chain_points, crossings, perturbed, zero
from fsmf.solvers.problem_trail import Clock, Trail
from fsmf.tractability import Part, Structure

__all__ = ["QuasiNewton"]

Array = NDArray[Any]

# Starts compete in so many steps each; one in so many of them goes on, for as many times more steps. The
# first field is small, so that something good is soon known; the next ones are as many times larger each, up
# to the last size.
_STEPS, _ONE_IN, _FIRST, _LARGEST = 60, 3, 9, 81

# In fields of the last size crossings of the best take the place of the others, so many times.
_CROSSINGS = 3

# Steps between two entries of the record, of products that take more operations than so many and fewer.
_PIECE, _LONGER, _SMALL = 20, 60, 1 << 15

# Noise on what a part of the chain makes alone, which can be a saddle point; kicks that make more starts.
_NOISE, _KICKS = 1e-3, (0.03, 0.1)

# The best of at most so many unknowns is finished by Gauss-Newton steps, at most so many; and the damping of
# those that follow where factors seem to grow.
_FINISHED, _FINISH, _AHEAD = 400, 60, 1e-6

# Where the relative error is as small as this, quasi-Newton steps crawl, and so many unknowns are few.
_NEAR, _NEARLY = 0.01, 800

# On a path of ridges so many steps stand for one of those that others make.
_CHEAPER = 10

# Operations per entry of a factor and row of A in a step, and what a step costs besides.
_PER_ENTRY, _OVERHEAD = 8.0, 1e-5


@dataclass(frozen=True, kw_only=True)
class QuasiNewton(Ridged):
    """Let many starts compete in compiled quasi-Newton steps, and finish the best.

    The values of all factors descend together by limited-memory BFGS steps, scaled by the curvature in each
    value. Starts compete in fields, each larger than the last: after a few steps the best third goes on, for
    three times as many, until one is left. In fields of 81 starts, but of chains, points halfway between two
    of the best third first take the place of the others, three times over. The best of a small problem is
    finished by the Gauss-Newton steps of `VariableProjection`. Chains of up to 64 rows begin with the product
    that they can be taken apart to, if A is near one; then with what their longest chainable
    prefix and suffix make alone, the other factors being identities, and with perturbations of these; all
    others at random, with factors of equilibrated rows and columns.

    Parameters
    ----------
    starts : int
        Number of starting points; the best result is kept.
    max_steps : int
        Quasi-Newton steps per start.
    max_seconds : float, optional
        Time for all starts, in seconds; the lower bound is found afterwards.
    rtol : float
        A start has converged when three steps in a row lower the objective by less than this fraction of it.
    ridge : float or "path"
        As for `ALS`.
    max_norm : float, optional
        As for `ALS`.
    initial : Factorization or tuple of arrays, optional
        Warm start, as for `ALS`; perturbations of it are among the starts.
    rng : int or numpy.random.Generator
        Seed of all that is random; results are deterministic for a given seed.
    callback : callable, optional
        Called with a `Sweep` every twenty steps of each start, or every sixty of a small product; returning
        True ends the solve with the best so far.
    max_pair_size : int, optional
        Fewer than three factors are refused whose number of parameters, times the longer side of A, is above
        this.

    Raises
    ------
    OptionError
        If an option is out of range.

    Notes
    -----
    **Guarantee.** `StationaryPoint` or `StationaryProduct`, as from `ALS`; the objective of a start
    never rises.

    **Cost.** For p parameters a step takes about 6 p m operations: no least squares are solved. It converges
    in hundreds of steps, or thousands where `VariableProjection` takes dozens that cost O(p³).

    References
    ----------
    D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Program. 45
    (1989); K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", AISTATS 2016, for fields of which a fraction goes on.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((8, 8))
    >>> F = fsmf.factorize(A, fsmf.kaleidoscope(8), solver=fsmf.QuasiNewton(starts=8))
    >>> F.solver, bool(F.verify(A))
    ('QuasiNewton', True)
    """

    starts: int = 64
    max_steps: int = 20_000
    max_seconds: float | None = None
    rtol: float = 1e-7
    ridge: float | Literal["path"] = 0.0
    max_norm: float | None = None
    initial: Any = None
    rng: int | np.random.Generator = 0
    callback: Callable[[Sweep], bool | None] | None = None
    max_pair_size: int | None = None

    promise: ClassVar[type[StationaryPoint]] = StationaryPoint
    is_joint: ClassVar[bool] = False
    takes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check_ridge(counts=("starts", "max_steps"), limits=("max_pair_size",))

    @property
    def by_parts(self) -> bool:
        """Whether independent parts of a pair are solved one by one: not where one ridge is found for all."""
        return not self.seeks_ridge

    def measures(self, structure: Structure) -> bool:
        """Return False: A is looked at before."""
        return False

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""
        if self.max_pair_size is None:
            return None
        if structure.is_linear:
            return "QuasiNewton is to leave least squares in one factor, the others prescribed, to ALS"
        if len(structure.supports) > 2:
            return None
        if structure.n_parameters * max(structure.shape) > self.max_pair_size:
            return (
                f"QuasiNewton is to take pairs of at most {self.max_pair_size} parameters times rows, or "
                f"columns if they are more; found {structure.n_parameters} times {max(structure.shape)}"
            )
        return None

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost of all fields, whose winners take some thousand steps to the end."""
        (m, n), steps = structure.shape, 0.0
        for size in _fields(self.starts):
            # A round of a field takes about as many steps as the one before, by fewer starts.
            rounds = math.ceil(math.log(max(size, _ONE_IN), _ONE_IN)) + _CROSSINGS * (size == _LARGEST)
            steps += min(self.max_steps, _STEPS) * size * rounds + min(self.max_steps, 3000)
        flops = steps * _PER_ENTRY * structure.n_parameters * m
        return Cost(flops, 8.0 * (40 * structure.n_parameters + 2 * m * n), steps * _OVERHEAD)

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution | WholeSolution:
        """Solve one part of a pair, or the whole; see `Solver.solve`."""
        clock = Clock(elapsed, self.max_seconds)
        ridge = 0.0 if self.seeks_ridge else float(self.ridge)
        problem = product_of(A, part, ridge=ridge, exponent=exponent, whole=self.seeks_ridge)
        if self.seeks_ridge:
            free = partial(replace(self, callback=None)._raced, problem, part.structure)
            return newton_path(self, problem, part, clock, free, partial(self._descend, clock))
        return answered(self._raced(problem, part.structure, clock, rest), part, name=type(self).__name__)

    def _raced(
        self, problem: ProductProblem, structure: Structure, clock: Clock, rest: float = 0.0
    ) -> Descent:
        """The best of all fields."""
        race = _Race(self, problem, structure, clock, rest)
        best = race.run()
        if race.is_stopped:
            best.status = Status.STOPPED
        return best

    def _descend(
        self,
        clock: Clock,
        problem: ProductProblem,
        values: Values,
        max_steps: int | None,
        rtol: float,
        start: int,
    ) -> Descent:
        """Descend from one point; `Descend` says how. Its steps are cheap, and gain as much less."""
        run = _Run(problem, values, problem.in_values.compiled(), start)
        limit = self.max_steps if max_steps is None else _CHEAPER * max_steps
        stopped = False
        while run.steps < limit and not (run.has_ended or stopped or clock.is_over()):
            run.go(min(run.piece, limit - run.steps), rtol, clock)
            stopped = tell(self.callback, run, run.steps, start=start, clock=clock)
        found = run.descent()
        found.status = Status.STOPPED if stopped else found.status
        return found


class _Race:
    """All starts of one solve."""

    def __init__(
        self,
        options: QuasiNewton,
        problem: ProductProblem,
        structure: Structure,
        clock: Clock,
        rest: float,
    ) -> None:
        self._options, self._problem, self._clock, self._rest = options, problem, clock, rest
        self._compiled = problem.in_values.compiled()
        self._rng = np.random.default_rng(options.rng)
        self._own = list[Values]()
        self._points = self._starting_points(structure)
        self._newton = newton_for(problem, one=True)
        self._begun, self.is_stopped = 0, False

    @property
    def _is_over(self) -> bool:
        """Whether somebody asked to stop, or the time is used up."""
        return self.is_stopped or self._clock.is_over()

    def run(self) -> Descent:
        """Let field after field compete, and finish the best of all."""
        best: Descent | None = None
        steps = 0
        for size in _fields(self._options.starts):
            first = self._winner(size)
            if best is None or first.objective < best.objective:
                best, steps = first.descent(), first.steps
            if self._is_over or best.is_settled:
                break
        assert best is not None
        self._finish(best, steps)
        return best

    def _winner(self, size: int) -> _Run:
        """Let so many starts compete, and return the best."""
        steps, field = _STEPS, self._begin(self._points, size)
        for _ in range(_CROSSINGS if size == _LARGEST and not self._own else 0):
            field = self._crossed(field)
        first = min(field, key=_objective)
        while field and not self._is_over:
            ranked = sorted(field, key=_objective)[: max(1, len(field) // _ONE_IN)]
            field, steps = [run for run in ranked if not run.has_ended], steps * _ONE_IN
            for run in field:
                self._go(run, steps)
                first = min(first, run, key=_objective)
                if self._is_over:
                    break
        return first

    def _begin(self, points: Iterator[Values], size: int) -> list[_Run]:
        """Make the first steps from so many points, from one at least."""
        field = list[_Run]()
        while len(field) < size and not (field and self._is_over):
            run = _Run(self._problem, next(points), self._compiled, self._begun)
            self._begun += 1
            self._go(run, _STEPS)
            field.append(run)
        return field

    def _crossed(self, field: list[_Run]) -> list[_Run]:
        """Let the best third go on, and crossings of it take the place of the others."""
        best = sorted(field, key=_objective)[: len(field) // _ONE_IN]
        if self._is_over:
            return field
        points = crossings(self._problem, [run.values for run in best], self._rng)
        made = self._begin(points, len(field) - len(best))
        for run in best:
            if not self._is_over:
                self._go(run, _STEPS)
        return best + made

    def _finish(self, best: Descent, steps: int) -> None:
        """Finish the best by Gauss-Newton steps, where it is small and has converged, or is nearly exact.

        Where factors seem to grow, further steps tell whether they do: a minimum attracts them, however
        flat the way there was.
        """
        is_near = best.squared_error <= (_NEAR * self._problem.norm) ** 2
        size = 0 if isinstance(self._newton, PairNewton) else self._newton.size
        if size > (_NEARLY if is_near else _FINISHED) or not (is_near or best.status is Status.CONVERGED):
            return
        self._refine(best, steps, self._options.rtol, FIRST)
        if best.is_growing(best.norm):
            best.since = len(best.norms)
            self._refine(best, steps + _FINISH, 0.0, _AHEAD)

    def _refine(self, best: Descent, steps: int, rtol: float, damping: float) -> None:
        """Make Gauss-Newton steps after so many others."""
        if self._is_over:
            return
        descend(
            self._newton,
            [best],
            self._clock,
            max_steps=_FINISH,
            rtol=rtol,
            damping=damping,
            report=lambda run, step: self._tell(run, steps + step, run.number),
        )
        best.status = Status.CONVERGED

    def _go(self, run: _Run, steps: int) -> None:
        """Make so many steps of one start, in pieces."""
        options = self._options
        steps = min(steps, options.max_steps - run.steps)
        while steps > 0 and not run.has_ended:
            run.go(min(steps, run.piece), options.rtol, self._clock)
            steps -= run.piece
            self._tell(run, run.steps, run.number)
            if self._is_over:
                break
        run.has_ended |= run.steps >= options.max_steps

    def _tell(self, run: _Run | Descent, step: int, start: int) -> bool:
        callback, clock, rest = self._options.callback, self._clock, self._rest
        self.is_stopped |= tell(callback, run, step, start=start, clock=clock, rest=rest)
        return self.is_stopped

    def _starting_points(self, structure: Structure) -> Iterator[Values]:
        """Yield starting points without end."""
        problem, own, rng = self._problem, self._own, self._rng
        if self._options.initial is not None:
            own.append(problem.holding(problem.warm(self._options.initial)))
            yield own[0]
        yield from zero(problem, structure)
        for values in taken_apart(problem, structure, rng):
            own.append(problem.balanced(values))
            yield own[-1]
        for values in chain_points(problem, structure, rng):
            own.append(problem.balanced(values))
            yield perturbed(problem, own[-1], _NOISE, rng)
        drawn = equilibrated(problem, rng)
        for number in count():
            turn, kick = number // 4, _KICKS[number // 2 % len(_KICKS)]
            if own and number % 4 != 1:
                yield perturbed(problem, own[turn % len(own)], kick, rng)
            else:
                yield problem.holding(next(drawn))


class _Run(Trail):
    """One start on its way."""

    def __init__(
        self, problem: ProductProblem, values: Values, compiled: tuple[Any, ...], number: int
    ) -> None:
        super().__init__(problem.norm, problem.ordinary)
        self.problem, self.n_factors, self.number = problem, len(problem), number
        self._descending = Descending(np.concatenate(values), compiled)
        self.piece = _LONGER if self._descending.z.size * len(problem.A) <= _SMALL else _PIECE
        self._floor = (problem.eps * problem.norm) ** 2
        self.has_ended, self.steps = False, 0
        self._measure()

    @property
    def values(self) -> Values:
        """Where it is."""
        return self.problem.in_values.split(self._descending.z)

    def _measure(self) -> None:
        self.objective = self._descending.value
        squared_norm = float(np.vdot(self._descending.z, self._descending.z).real)
        self.norm = math.sqrt(squared_norm)
        self.squared_error = max(0.0, self.objective - self.problem.ridge * squared_norm)

    def go(self, steps: int, rtol: float, clock: Clock) -> None:
        """Make so many steps."""
        z, value, before = self._descending.z.copy(), self._descending.value, self._stored()
        self._descending.go(steps, rtol, self._floor)
        self.steps, self.has_ended = self._descending.steps, self._descending.has_ended
        self._measure()
        if self._stored() > before:
            self._descending.z, self._descending.value = z, value
            self.has_ended = self._descending.has_ended = True
            self._measure()
        self.record(math.sqrt(self.squared_error), self.norm, clock)

    def _stored(self) -> float:
        """The objective, about, when the values are stored in the user's precision."""
        # Rounding is less than this, and takes a while to find.
        if self.problem.eps * self.norm**2 < 0.25 * math.sqrt(self.objective):
            return self.objective
        rounding = self.problem.rounding(self.values)
        return self.objective + rounding**2

    def descent(self) -> Descent:
        """Where it is, and how it came about."""
        found = Descent(self.problem, self.values)
        found.number = self.number
        found.errors, found.norms, found.times = self.errors, self.norms, self.times
        found.status = Status.CONVERGED if self._descending.has_ended else Status.OUT_OF_BUDGET
        return found


def _objective(run: _Run) -> float:
    return run.objective


def _fields(starts: int) -> Iterator[int]:
    """How many starts compete in each field, until so many have been made."""
    size = _FIRST
    while starts > 0:
        yield min(size, starts)
        starts, size = starts - size, min(_ONE_IN * size, _LARGEST)
