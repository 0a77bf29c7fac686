"""Any supports: alternating least squares, a stationary point, and a bound on what is left to gain."""

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
from fsmf.kernels.namespace import check_on_host, space_of
from fsmf.ridge_paths import RidgePath
from fsmf.solvers.base import Cost, Ridged, Solution, WholeSolution
from fsmf.solvers.problem import Relaxation, worth_compiling
from fsmf.solvers.problem_alternation import Descent, alternate, whole_solution
from fsmf.solvers.problem_part import pair_solution
from fsmf.solvers.problem_path import PER_START, Search, follow, follow_to_norm, judged, sought
from fsmf.solvers.problem_product import ProductProblem, Values, is_general, product_cost, unweighted
from fsmf.solvers.problem_progress import Sweep, tell
from fsmf.solvers.problem_sparse import Problem, problem_of, sweep_cost
from fsmf.solvers.problem_start import starting_points
from fsmf.solvers.problem_sweep import LeastSquares
from fsmf.solvers.problem_trail import LARGE, Clock, Trail
from fsmf.tractability import Part, Structure

__all__ = ["ALS"]

Array = NDArray[Any]

# X, Y, and ``A − X Y`` where it is known.
_Point = tuple[Array, Array, Array | None]

# Sweeps in a row that must gain less than `rtol` before a start counts as converged.
_PATIENCE = 3

# Where all starts end with growing factors, one more follows these ridges, in units of ‖A‖, for so many
# sweeps each.
_PATH, _PATH_SWEEPS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6), 60

# Sweeps are over-relaxed updates of one piece after another until one gains less than this fraction, and at
# most so many: on some supports only exact ones gain more than a little.
_SLOW, _RELAXED = 5e-4, 10

# The share of the operations of all sweeps that the search for a lower bound may take.
_SHARE = 0.02

# Seconds that a sweep takes however small the matrix.
_OVERHEAD = 3e-4


@dataclass(frozen=True, kw_only=True)
class ALS(Ridged):
    """Alternate between exact least-squares solutions for X and for Y.

    With Y fixed each row of X is a least-squares problem on its own support, and conversely; rows with equal
    supports share one factorization. Between sweeps the factors are extrapolated along their last step, and
    the extrapolation is taken back whenever the error would rise: the error never does. Where many sweeps
    of a dense matrix are to be made, the first are over-relaxed updates of one x_k and y_k after another,
    which are cheaper, as long as they gain much. Several starts are made, the first from the dominant
    singular vectors of each class's block, largest first, deflating. When the best of them ends with
    growing factors, one more follows the minimisers of a vanishing ridge.

    On a device (see `factorize`) all systems of nearly equal size are one batch, and each is damped by a hair
    towards where it was, so that none is singular; starts take components in a few portions.

    Of another number of factors each is solved for in turn, the others held: what its entries share in the
    objective is told by the supports, and systems that share nothing are solved apart, all of one size at
    once; large ones by conjugate gradients, which also only lower the error. Starts split off one factor
    after another, from the left and from the right, or take the longest chainable part of a chain alone.

    Parameters
    ----------
    starts : int
        Number of starts; the best is kept. With `initial` the first start is the warm one.
    max_sweeps : int
        Sweeps per start, and per ridge of a path.
    max_seconds : float, optional
        Time for all starts, in seconds; the lower bound is found afterwards.
    rtol : float
        A start has converged when three sweeps in a row lower the squared error (plus ridge term)
        by less than this fraction of it.
    ridge : float or "path"
        Weight λ ≥ 0 in ``‖A − X1 … XL‖² + λ Σ‖Xi‖²``, in the units of ``A^(2 − 2/L)``: those of A for a
        pair. With λ > 0 a minimiser exists. "path" follows the minimisers of a vanishing ridge, and keeps
        what they tell as ``F.ridge_path``.
    max_norm : float, optional
        A bound on ``(Σ‖Xi‖²)^½``, in the units of ``A^(1/L)``: the ridge is found for which the factors are
        that large, if smaller ones are not as good. Not together with a ridge.
    initial : Factorization or tuple of arrays, optional
        Warm start: factors of the shapes of the supports, as they multiply.
    bound : bool
        Whether to search disjoint blocks for a lower bound; otherwise only places out of reach count.
    rng : int or numpy.random.Generator
        Seed of the random starts; results are deterministic for a given seed.
    callback : callable, optional
        Called with a `Sweep` at each start and after each sweep; returning True ends the solve with the
        best so far.

    Raises
    ------
    OptionError
        If an option is out of range.

    Notes
    -----
    **Guarantee.** `StationaryPoint`, of other lengths than two `StationaryProduct`: the gradient norm is
    recorded, and disjoint blocks prove a lower bound on every product, so the gap to the optimum is known.
    When factors grow while the error falls, the status says so and `NotAttainedWarning` is issued: the
    infimum may not be attained. With a path or a
    bound on the norm all parts share one ridge, which the certificate names; the factors keep to the bound.

    **Cost.** Per sweep O(mnr + (m + n)r² + Σ_i k_i³), k_i being the size of each distinct row or column
    support. Computes in double precision, whatever A's; memory is three times A in double precision, plus
    dense factors. Where supports are sparse enough for it to pay, or that would be above a gigabyte, no m × n
    array is set up, and mnr becomes the number of places in all components' rectangles. Of other lengths,
    O(mnp) for each factor of p rows and O(k³) for each k entries that share an objective.

    References
    ----------
    A. Ang, J. Cohen, N. Gillis, L. T. K. Hien, "Accelerating block coordinate descent for nonnegative tensor
    factorization", Numer. Linear Algebra Appl. 28 (2021), for the extrapolation.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> F = fsmf.factorize(A, fsmf.lu(2), solver=fsmf.ALS(max_sweeps=200))
    >>> F.relative_error < 1e-6
    True
    """

    starts: int = 4
    max_sweeps: int = 1000
    max_seconds: float | None = None
    rtol: float = 1e-7
    ridge: float | Literal["path"] = 0.0
    max_norm: float | None = None
    initial: Any = None
    bound: bool = True
    rng: int | np.random.Generator = 0
    callback: Callable[[Sweep], bool | None] | None = None

    promise: ClassVar[type[StationaryPoint]] = StationaryPoint
    by_parts: ClassVar[bool] = True
    anywhere: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check_ridge(counts=("starts", "max_sweeps"))

    @property
    def is_joint(self) -> bool:
        """Whether independent parts have to be solved together: one ridge is found for all."""
        return self.seeks_ridge

    def measures(self, structure: Structure) -> bool:
        """Return False: A is looked at before."""
        return False

    def refuses(self, structure: Structure) -> str | None:
        """Return None: it takes any supports."""
        return None

    def compiles(self, structure: Structure) -> bool:
        """Whether compiled code is loaded for a pair of these supports, so that others may use it as well."""
        return worth_compiling(structure, self.starts * self.max_sweeps)

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost of all starts and sweeps for supports that are not refused."""
        flops = nbytes = 0.0
        parts = () if is_general(Part.whole(structure)) else structure.parts
        for part in parts:
            one = sweep_cost(part.structure)
            flops, nbytes = flops + one[0], max(nbytes, one[1])
        if not parts:
            flops, nbytes = product_cost(structure.supports)
        sweeps = self.starts * self.max_sweeps
        return Cost(sweeps * flops, nbytes, sweeps * _OVERHEAD * max(len(parts), len(structure.supports)))

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution | WholeSolution:
        """Solve one part of A, or the whole; see `Solver.solve`."""
        space = space_of(A)
        if is_general(part):
            check_on_host(A, "ALS with other than two free factors")
            return self._solve_product(A, part, exponent, Clock(elapsed, self.max_seconds))
        if self.is_joint:
            check_on_host(A, "ALS with a ridge path or max_norm")
        own = replace(self, ridge=0.0, max_norm=None) if self.is_joint else self
        n_sweeps = self.starts * self.max_sweeps
        problem = problem_of(A, part, ridge=float(own.ridge), exponent=exponent, n_sweeps=n_sweeps)
        clock, path = Clock(elapsed, self.max_seconds), None
        if self.is_joint:
            best, path = own._followed(problem, self.max_norm, A.shape, rest, clock)
            problem = best.problem
            X, Y = problem.settled(best.X, best.Y)
            ended = best.status is Status.STOPPED or clock.is_over()
            said = None if ended else judged(path, ridge=problem.ridge)
            status = said or best.warned(0.0, ridge=problem.ridge, name="ALS")
        else:
            best, (X, Y) = self._best(problem, A.shape, rest, clock)
            norm = problem.balanced_norm(X, Y)
            supports = part.structure.supports
            status = best.warned(norm, ridge=problem.ridge, name="ALS", supports=supports)
        X, Y = (space.cast(F, space.dtype(A)) for F in (X, Y))
        work = _SHARE * sweep_cost(part.structure)[0] * len(best.errors) * self.starts
        history = best.history
        return pair_solution(
            problem, X, Y, status=status, history=history, work=work, search=self.bound, path=path
        )

    def _best(
        self, problem: Problem, shape: tuple[int, int], rest: float, clock: Clock
    ) -> tuple[_Run, tuple[Array, Array]]:
        """The best of all starts, and its factors of least norm."""
        best: _Run | None = None
        for start, factors in zip(range(self.starts), self._starting_points(problem, shape), strict=False):
            run = self._run(problem, factors, start, rest, clock)
            if best is None or run.objective < best.objective:
                best = run
            if run.status is Status.STOPPED or clock.is_over() or run.is_exact:
                break
        assert best is not None
        settled = problem.settled(best.X, best.Y)
        ended = best.status is Status.STOPPED or clock.is_over()
        if not ended and best.is_growing(problem.balanced_norm(*settled)):
            run = self._run(problem, self._ridge_path(problem, clock), self.starts, rest, clock)
            if run.objective < best.objective:
                best, settled = run, problem.settled(run.X, run.Y)
        return best, settled

    def _followed(
        self, problem: Problem, max_norm: float | None, shape: tuple[int, int], rest: float, clock: Clock
    ) -> tuple[_Run, RidgePath | None]:
        """The last point of the path of a vanishing ridge, and the path; or the point of the given norm."""
        numbers, stopped = count(), False

        def is_over() -> bool:
            return stopped or clock.is_over()

        def solve(ridge: float, factors: tuple[Array, ...], max_sweeps: int | None, rtol: float) -> _Run:
            nonlocal stopped
            quick = replace(self, max_sweeps=max_sweeps or self.max_sweeps, rtol=rtol)
            if stopped:
                quick = replace(quick, max_sweeps=1, callback=None)
            left, right = (factor.copy() for factor in factors)
            run = quick._run(replace(problem, ridge=ridge), (left, right, None), next(numbers), rest, clock)
            if stopped or run.status is Status.STOPPED:
                stopped, run.status = True, Status.STOPPED
            return run

        points = ((X, Y) for X, Y, _ in self._starting_points(problem, shape))
        search = Search(solve, points, PER_START * self.starts, problem.norm, is_over)
        if max_norm is not None:
            # What is stored in the user's precision, and added up, is to keep to the bound.
            bound = max_norm * 2.0 ** (-problem.exponent / 2) * (1 - 4 * problem.eps)
            return follow_to_norm(search, bound), None
        run, path = follow(search)
        if path.grows is False and not is_over():
            run = solve(0.0, run.factors, self.max_sweeps, self.rtol)
        return run, path.beside(rest).scaled(2.0**problem.exponent)

    def _solve_product(self, A: Any, part: Part, exponent: int, clock: Clock) -> WholeSolution:
        """Solve a product of any length, weighted or not, as a whole."""
        ridge = 0.0 if self.seeks_ridge else float(self.ridge)
        evened = not (ridge or self.seeks_ridge)
        problem = ProductProblem.of(A, part, ridge=ridge, exponent=exponent, evened=evened)
        squares = LeastSquares(problem)
        points = starting_points(problem, part.structure, np.random.default_rng(self.rng), self.initial)

        def descend(
            problem: ProductProblem, values: Values, max_sweeps: int | None, rtol: float, start: int
        ) -> Descent:
            return alternate(
                problem,
                squares.of(problem),
                values,
                max_sweeps=max_sweeps or self.max_sweeps,
                rtol=rtol,
                clock=clock,
                report=partial(self._tell, start=start, rest=0.0, clock=clock),
            )

        if self.seeks_ridge:
            return sought(
                problem,
                part,
                descend,
                points,
                count=self.starts,
                max_norm=self.max_norm,
                clock=clock,
                name="ALS",
                bounds=self.bound,
            )
        best: Descent | None = None
        for start, values in zip(range(self.starts), points, strict=False):
            run = alternate(
                problem,
                squares,
                values,
                max_sweeps=self.max_sweeps,
                rtol=self.rtol,
                clock=clock,
                best=math.inf if best is None else best.objective,
                report=partial(self._tell, start=start, rest=0.0, clock=clock),
            )
            if best is None or run.objective < best.objective:
                best = run
            if run.status is Status.STOPPED or clock.is_over() or run.is_exact:
                break
        assert best is not None
        status = best.warned(best.norm, ridge=ridge, name="ALS", supports=unweighted(part))
        return whole_solution(best, part.structure, status, search=self.bound)

    def _starting_points(self, problem: Problem, shape: tuple[int, int]) -> Iterator[_Point]:
        if self.initial is not None:
            yield *problem.warm(self.initial, shape), None
        yield problem.spectral(self.rng)
        rng = self.rng
        if not isinstance(rng, np.random.Generator):
            # Far from the numbers that the spectral start was made of.
            rng = np.random.Generator(np.random.PCG64(rng).jumped())
        while True:
            yield *problem.random(rng), None

    def _ridge_path(self, problem: Problem, clock: Clock) -> _Point:
        """Start where factors stay small as long as they can: follow the minimisers of a vanishing ridge."""
        point = problem.spectral(self.rng)
        quiet = replace(self, callback=None, max_sweeps=_PATH_SWEEPS)
        for fraction in _PATH:
            ridged = replace(problem, ridge=fraction * problem.norm)
            run = quiet._run(ridged, point, 0, 0.0, clock)
            point = run.X, run.Y, None
        return point

    def _run(self, problem: Problem, point: _Point, start: int, rest: float, clock: Clock) -> _Run:
        """Sweep from one starting point, which is given away, until nothing is gained, or a budget ends."""
        relaxation = problem.relaxation(*point)
        run = _Run(problem, *point[:2], relaxation)
        if self._tell(run, 0, start, rest, clock):
            run.status = Status.STOPPED
            return run
        ahead, step, limit, plain, idle = run.Y, 0.5, 1.0, True, 0
        for sweep in range(1, self.max_sweeps + 1):
            if relaxation is not None:
                relaxation.sweep()
                X, Y, squared_error = relaxation.X, relaxation.Y, relaxation.squared_error
            else:
                X, Y, squared_error = problem.swept(run.X, run.Y, ahead, 0.0 if plain else step)
            before = run.objective
            gain = before - squared_error - problem.penalty(X, Y)
            if relaxation is not None:
                norm = relaxation.norm
            else:
                norm = problem.balanced_norm(X, Y) if gain >= 0 else run.norm
            # What was written in place cannot be refused; it is the first sweeps only.
            if relaxation is None and problem.eps * norm**2 > max(
                0.25 * math.sqrt(squared_error), problem.eps * LARGE * run.ordinary
            ):
                # Stored in the user's precision, factors this large would lose what the sweep gained.
                run.status = Status.CONVERGED
                break
            # A plain sweep can only fail to gain by rounding.
            if gain >= 0:
                ahead = Y if plain else Y + step * (Y - run.Y)
                run.X, run.Y, run.squared_error, run.norm = X, Y, squared_error, norm
                if relaxation is None:
                    plain, limit, step = False, min(1.0, 1.05 * limit), min(limit, 1.1 * step)
                if problem.ridge:
                    # Equal norms cost the least penalty.
                    problem.balance(run.X, run.Y, ahead)
            else:
                idle += plain
                ahead, plain, limit, step = run.Y, True, step, step / 1.5
            if not gain >= _SLOW * before or sweep == _RELAXED:
                relaxation = None
            run.record(math.sqrt(run.squared_error), run.norm, clock)
            if self._tell(run, sweep, start, rest, clock):
                run.status = Status.STOPPED
                break
            if gain >= 0:
                idle = idle + 1 if before - run.objective <= self.rtol * before else 0
            if idle >= _PATIENCE or run.is_exact:
                run.status = Status.CONVERGED
                break
            if clock.is_over():
                break
        return run

    def _tell(self, run: _Run | Descent, sweep: int, start: int, rest: float, clock: Clock) -> bool:
        """Tell the callback where the run is; whether it wants to stop."""
        return tell(self.callback, run, sweep, start=start, clock=clock, rest=rest)


class _Run(Trail):
    """One start: the best factors so far and how they came about."""

    n_factors = 2

    def __init__(self, problem: Problem, X: Array, Y: Array, relaxation: Relaxation | None) -> None:
        # Balanced factors need no squared norm above 2 √r ‖A‖.
        super().__init__(problem.norm, 2 * math.sqrt(min(problem.part.structure.shape)) * problem.norm)
        self.problem, self.X, self.Y = problem, X, Y
        if relaxation is None:
            self.squared_error, self.norm = problem.squared_error(X, Y), problem.balanced_norm(X, Y)
        else:
            self.squared_error, self.norm = relaxation.squared_error, relaxation.norm

    @property
    def factors(self) -> tuple[Array, Array]:
        return self.X, self.Y

    @property
    def objective(self) -> float:
        return self.squared_error + self.problem.penalty(self.X, self.Y)

    @property
    def is_exact(self) -> bool:
        """Whether the error is only the rounding of the stored factors."""
        return self.objective <= (4 * self.problem.eps * (self.problem.norm + self.norm**2)) ** 2
