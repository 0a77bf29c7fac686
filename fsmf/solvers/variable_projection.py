"""Any supports, by second-order steps from many starts at once: for what alternation crawls on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, islice
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.block_brackets import StationaryPoint
from fsmf.factorization import Status
from fsmf.solvers.base import Cost, Ridged, Solution, WholeSolution
from fsmf.solvers.problem_alternation import Descent
from fsmf.solvers.problem_newton import FORMED, descend
from fsmf.solvers.problem_newton_path import newton_path
from fsmf.solvers.problem_pair_newton import PairNewton, newton_for
from fsmf.solvers.problem_part import answered, product_of
from fsmf.solvers.problem_peeling import meeting, peeled
from fsmf.solvers.problem_product import ProductProblem, product_cost
from fsmf.solvers.problem_progress import Sweep, tell
from fsmf.solvers.problem_start import perturbed, starting_points
from fsmf.solvers.problem_trail import Clock
from fsmf.tractability import Part, Structure

__all__ = ["VariableProjection"]

Array = NDArray[Any]

# How far A is moved before components are read off it, relative to ‖A‖: less and less, and in the end not.
_MOVES = (*(10.0 ** (-i / 2) for i in range(2, 15)), 1e-9, 1e-12, 0.0)

# Share of the starts that are perturbations of the best found by the others, and by how much, relatively.
_PERTURBED, _KICKS = 0.4, (0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class VariableProjection(Ridged):
    """Descend from many starts by damped Gauss-Newton steps, one factor eliminated.

    The objective is seen as one of all factors but the largest, which least squares eliminates; its
    Gauss-Newton steps are damped as in Levenberg and Marquardt's method. Starts are worked on side by side
    and abandoned when they are far behind: those of `ALS`, components read off a slightly moved matrix one
    after another, random ones, and perturbations of the best of them, which also leave plateaus.

    Parameters
    ----------
    starts : int
        Number of starting points; the best is kept.
    max_steps : int
        Steps per start.
    max_seconds : float, optional
        Time for all starts, in seconds; the lower bound is found afterwards.
    rtol : float
        A start has converged when three steps in a row lower the objective by less than this fraction of it.
    ridge : float or "path"
        As for `ALS`.
    max_norm : float, optional
        As for `ALS`.
    initial : Factorization or tuple of arrays, optional
        Warm start, as for `ALS`.
    rng : int or numpy.random.Generator
        Seed of all that is random; results are deterministic for a given seed.
    callback : callable, optional
        Called with a `Sweep` after each step of each start, several of which go side by side; returning True
        ends the solve with the best so far.
    max_parameters : int, optional
        Products of more parameters are refused, and those with prescribed ones.
    max_readable : int, optional
        Pairs of up to so many are not, if their components can be read off almost every matrix, as in
        elimination.

    Raises
    ------
    OptionError
        If an option is out of range.

    Notes
    -----
    **Guarantee.** `StationaryPoint` or `StationaryProduct`, as from `ALS`. Where the infimum is not
    attained, the error falls geometrically while the factors grow; the status says so and
    `NotAttainedWarning` is issued.

    **Cost.** O(p³) a step and start for p parameters up to 2000; above, up to 100 products with the
    derivative. `ALS` is cheaper on large supports, and where its sweeps gain.

    References
    ----------
    J. H. Hong, A. Fitzgibbon, "Secrets of matrix factorization: approximations, numerics, manifold
    optimization and random restarts", ICCV 2015.

    Examples
    --------
    >>> import fsmf, numpy as np, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", fsmf.errors.NotAttainedWarning)
    ...     F = fsmf.factorize(np.eye(3)[::-1], fsmf.lu(3), solver=fsmf.VariableProjection())
    >>> F.status.name, F.relative_error < 1e-6
    ('FACTORS_GROW', True)
    """

    starts: int = 24
    max_steps: int = 300
    max_seconds: float | None = None
    rtol: float = 1e-8
    ridge: float | Literal["path"] = 0.0
    max_norm: float | None = None
    initial: Any = None
    rng: int | np.random.Generator = 0
    callback: Callable[[Sweep], bool | None] | None = None
    max_parameters: int | None = None
    max_readable: int | None = None

    promise: ClassVar[type[StationaryPoint]] = StationaryPoint
    is_joint: ClassVar[bool] = False
    takes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check_ridge(counts=("starts", "max_steps"), limits=("max_parameters", "max_readable"))

    @property
    def by_parts(self) -> bool:
        """Whether independent parts of a pair are solved one by one: not where one ridge is found for all."""
        return not self.seeks_ridge

    def measures(self, structure: Structure) -> bool:
        """Return False: A is looked at before."""
        return False

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""
        if self.max_parameters is not None and not self._is_small(structure):
            readable = (
                ""
                if self.max_readable is None
                else f", or {self.max_readable} where components can be read off almost every matrix"
            )
            return (
                f"VariableProjection is to take products of at most {self.max_parameters} parameters, all "
                f"free{readable}; found {structure.n_parameters}, {structure.n_prescribed} prescribed"
            )
        if self.seeks_ridge and structure.n_parameters > FORMED and not PairNewton.fits(structure.supports):
            return (
                f"VariableProjection with a ridge path or max_norm takes at most {FORMED} parameters, or "
                f"pairs of a few hundred rows and columns; found {structure.n_parameters}"
            )
        return None

    def _is_small(self, structure: Structure) -> bool:
        """Whether it has no more parameters than this solver is to take."""
        count, readable = structure.n_parameters, self.max_readable or 0
        small = count <= (self.max_parameters or 0) and not structure.n_prescribed
        return small or (count <= readable and structure.is_readable)

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost of all starts and steps."""
        p = min(structure.n_parameters, 2000)
        flops, nbytes = product_cost(structure.supports)
        steps = float(self.starts * self.max_steps)
        return Cost(steps * (2 * flops + p**3 / 3), nbytes + 8.0 * p * p, self.max_steps * 1e-3)

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution | WholeSolution:
        """Solve one part of a pair, or the whole; see `Solver.solve`."""
        clock = Clock(elapsed, self.max_seconds)
        ridge = 0.0 if self.seeks_ridge else float(self.ridge)
        problem = product_of(A, part, ridge=ridge, exponent=exponent, whole=self.seeks_ridge)
        if self.seeks_ridge:
            free = partial(replace(self, callback=None)._searched, problem, part.structure)
            return newton_path(self, problem, part, clock, free)
        return answered(self._searched(problem, part.structure, clock, rest), part, name=type(self).__name__)

    def _searched(
        self, problem: ProductProblem, structure: Structure, clock: Clock, rest: float = 0.0
    ) -> Descent:
        """The best of all starts."""
        newton, rng = newton_for(problem, one=False), np.random.default_rng(self.rng)
        own = max(1, round(self.starts * (1 - _PERTURBED)))
        runs: list[Descent] = []
        portfolio = self._portfolio(problem, structure, rng, clock)
        points = chain(
            (run for _, run in zip(range(own), portfolio, strict=False)),
            _perturbed(runs, problem, rng),
        )
        stopped = False
        while len(runs) < self.starts and not stopped:
            if runs and (clock.is_over() or runs[0].is_settled):
                break
            # Perturbations wait for what they perturb.
            size = min(newton.at_once, (own if len(runs) < own else self.starts) - len(runs))
            batch = list(islice(points, size))
            for number, run in enumerate(batch, start=len(runs)):
                run.number = number
            stopped = descend(
                newton,
                batch,
                clock,
                max_steps=self.max_steps,
                rtol=self.rtol,
                best=runs[0].objective if runs else math.inf,
                report=lambda run, step: tell(
                    self.callback, run, step, start=run.number, clock=clock, rest=rest
                ),
            )
            runs += batch
            runs.sort(key=lambda run: run.objective)
        best = runs[0]
        if stopped:
            best.status = Status.STOPPED
        return best

    def _portfolio(
        self, problem: ProductProblem, structure: Structure, rng: np.random.Generator, clock: Clock
    ) -> Iterator[Descent]:
        """What can be read off, where that is any good, and the starts of `ALS`."""
        if structure.is_pair and (run := _read_off(problem, rng, clock)).squared_error < problem.norm**2:
            yield run
        points = starting_points(problem, structure, rng, self.initial)
        yield from (Descent(problem, values) for values in points)


def _read_off(problem: ProductProblem, rng: np.random.Generator, clock: Clock) -> Descent:
    """Read the factors off A moved less and less: where no best product exists, they grow on this way."""
    noise = problem.gaussian(rng, problem.A.size).reshape(problem.A.shape)
    size = problem.norm / math.sqrt(problem.A.size)
    run: Descent | None = None
    for move in _MOVES:
        factors = meeting(*peeled(problem.A + move * size * noise, problem.supports), problem.supports)
        values = problem.holding([X[place] for X, place in zip(factors, problem.places, strict=True)])
        found = problem.balanced(values)
        squared_error = problem.squared(problem.residual(found))
        if run is None:
            run = Descent(problem, found)
        elif squared_error < run.squared_error and not run.took(found, squared_error):
            break
        run.note(clock)
        if clock.is_over():
            break
    assert run is not None
    return run


def _perturbed(runs: list[Descent], problem: ProductProblem, rng: np.random.Generator) -> Iterator[Descent]:
    """Perturb the best points found so far, without end."""
    for number in count():
        kick, run = _KICKS[number % len(_KICKS)], runs[number // len(_KICKS) % min(2, len(runs))]
        yield Descent(problem, perturbed(problem, run.values, kick, rng))
