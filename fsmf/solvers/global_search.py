"""Small pairs that no theorem covers: an exhaustive search that closes the gap, or says how far it got."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.search_bound import SearchBound
from fsmf.errors import ConvergenceWarning, OptionError, RefusedError
from fsmf.factorization import Status
from fsmf.solvers.base import Cost, Searched, Solution, check_options
from fsmf.solvers.problem import PairProblem
from fsmf.solvers.problem_alternation import alternate
from fsmf.solvers.problem_bound import best_bound
from fsmf.solvers.problem_boxes import MAX_FACES, MAX_OPEN, BoxSearch, Side
from fsmf.solvers.problem_product import ProductProblem
from fsmf.solvers.problem_sweep import LeastSquares
from fsmf.solvers.problem_trail import Clock
from fsmf.supports.blocks import DisjointBlocks
from fsmf.tractability import Part, Structure
from fsmf.warning import warn_caller

__all__ = ["GlobalSearch"]

Array = NDArray[Any]

# Starts, sweeps of each, and the relative gain below which they end.
_STARTS, _SWEEPS, _GAIN = 8, 1000, 1e-9

# Every other start follows these ridges first, in units of ‖A‖, for so many sweeps each.
_RIDGES, _RIDGED = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6), 40

# Operations for the blocks that bound the error before anything is searched.
_WORK = 1e9

# A gap below this multiple of ‖A‖ is closed: the error is rounding.
_NOTHING = 1e-7

# Operations that bounding one box takes for each place of the part, and the seconds whatever its size.
_PER_PLACE, _EACH = 200.0, 2e-5


@dataclass(frozen=True, kw_only=True)
class GlobalSearch:
    """Search all directions of one side of a small pair, by cutting boxes of them until all are bounded.

    For given spans of the columns of X the best Y is a least-squares problem. The spans are covered by boxes.
    On a box the error of every product is bounded from below: by what the centre misses, less what moving
    within the box can gain; or by singular values, where spans are nearly dependent. Boxes that may hold
    something better than what is known are cut in two; the best centres are where descents start.

    Parameters
    ----------
    max_seconds : float
        Time for everything, in seconds.
    max_boxes : int
        Number of boxes bounded for each part, about.
    rtol : float
        The gap is closed when it is below this fraction of the error.
    rng : int or numpy.random.Generator
        Seed of the random starts.

    Raises
    ------
    OptionError
        If an option is out of range.
    RefusedError
        If too many entries are open; from the solve, if the matrix is complex and half as many are: each
        counts twice, for its real and its imaginary part.

    Notes
    -----
    **Guarantee.** `SearchBound`: ``lower_bound ≤ optimum ≤ error``, proved by boxes and blocks, which are
    kept. Where the status is `Status.SEARCHED`, the gap is at most ``rtol`` times the error, or 1e-7 of the
    norm of A. Otherwise the search ran out of time or boxes, and says how far it got. Bounds are computed in
    floating point.

    **Cost.** Grows exponentially with the number of open entries, the sum of ``p (|R| − p)`` over the classes
    of p components on the rows R (or the columns, whichever is less) that are not complete: four or five are
    closed to a thousandth in seconds, more to less.

    References
    ----------
    The bound of a box is proved on the page on hard pairs of the documentation.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.array([[1.0, 2.0, 0.5], [0.3, 1.0, 2.0], [2.0, 0.1, 1.0]])
    >>> F = fsmf.factorize(A, fsmf.completion(1 - np.eye(3)), solver=fsmf.GlobalSearch(rtol=0.01))
    >>> F.status.name, F.certificate.gap <= 0.01 * F.error
    ('SEARCHED', True)
    """

    max_seconds: float = 10.0
    max_boxes: int = 200_000
    rtol: float = 1e-3
    rng: int | np.random.Generator = 0

    promise: ClassVar[type[SearchBound]] = SearchBound
    by_parts: ClassVar[bool] = True
    is_joint: ClassVar[bool] = False
    takes_weights: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_options(self, counts=("max_boxes",), numbers=("rtol",))
        if self.max_seconds is None:
            raise OptionError("max_seconds must be a finite number of at least 0; found None")

    def measures(self, structure: Structure) -> bool:
        """Return False: A is looked at before."""
        return False

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""
        if not structure.is_pair or structure.n_prescribed:
            count, prescribed = len(structure.supports), structure.n_prescribed
            return (
                f"GlobalSearch takes two free factors; found {count}"
                f"{f', with {prescribed} values prescribed' if prescribed else ''}"
            )
        for part in structure.parts:
            if not part.structure.tractable:
                side = _side(part.structure)
                if side.n_open > MAX_OPEN or side.n_faces > MAX_FACES:
                    return (
                        f"GlobalSearch takes pairs of at most {MAX_OPEN} open entries on {MAX_FACES} "
                        f"faces; found {side.n_open} on {side.n_faces}"
                    )
        return None

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost for supports that are not refused, if the search takes all its boxes."""
        m, n = structure.shape
        flops = self.max_boxes * _PER_PLACE * m * n
        seconds = min(self.max_seconds, self.max_boxes * _EACH + flops / Cost.RATE)
        return Cost(0.0, 8.0 * self.max_boxes * (2 * MAX_OPEN + 8), seconds)

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution:
        """Solve one part of A; see `Solver.solve`."""
        n_open = 0 if part.structure.tractable else _side(part.structure).n_open
        if np.iscomplexobj(A) and 2 * n_open > MAX_OPEN:
            raise RefusedError(
                f"GlobalSearch takes complex pairs of at most {MAX_OPEN // 2} open entries; found {n_open}; "
                "use fsmf.ALS()"
            )
        clock = Clock(elapsed, self.max_seconds)
        problem = PairProblem.of(A, part, ridge=0.0, exponent=exponent)
        bound, blocks = best_bound(problem.block, part.structure, work=_WORK)
        located = part.locate(blocks)
        descents = _Descents(problem, clock)
        rng = np.random.default_rng(self.rng)
        descents.start(rng, lambda error: bound**2 >= self._wanted(problem, error))
        searched: tuple[Searched, ...] = ()
        if bound**2 < self._wanted(problem, descents.error):
            side = _side(part.structure)
            search = BoxSearch(problem.A.T if side.turned else problem.A, side)

            def goal(error: float, basis: Array) -> float:
                if error < descents.error * (1 - 1e-6):
                    descents.descend(*_factors(problem, side, basis))
                return self._wanted(problem, min(descents.error, error))

            search.run(goal, max_boxes=self.max_boxes, is_over=clock.is_over)
            if search.below > bound**2:
                bound, located = math.sqrt(search.below), DisjointBlocks.union([])
                searched = (Searched(part.members, search.axes(), side.turned),)
        X, Y = (factor.astype(A.dtype) for factor in problem.settled(*descents.factors))
        error = math.sqrt(problem.squared_error(X, Y))
        closed = bound**2 >= self._wanted(problem, error**2) * (1 - 1e-9)
        if not closed:
            scale = math.ldexp(1.0, exponent)
            warn_caller(
                f"GlobalSearch is out of budget: the optimum of a part lies between {bound * scale:.6g} and "
                f"{error * scale:.6g}; raise max_seconds or max_boxes, or rtol if that is near enough",
                ConvergenceWarning,
            )
        left, right = problem.values(X, Y)
        return Solution(
            left=left,
            right=right,
            error=error,
            lower_bound=min(bound, error),
            status=Status.SEARCHED if closed else Status.OUT_OF_BUDGET,
            blocks=located,
            searched=searched,
        )

    def _wanted(self, problem: PairProblem, squared_error: float) -> float:
        """The squared error that is to be bounded, for the gap to be closed."""
        return max(0.0, (1 - self.rtol) * math.sqrt(squared_error) - _NOTHING * problem.norm) ** 2


def _side(structure: Structure) -> Side:
    """The side with fewer open entries."""
    sides = [Side.of(structure.classes, transposed=turned) for turned in (False, True)]
    return min(sides, key=lambda side: (side.n_open, side.n_faces))


class _Descents:
    """Alternating descents from several starts; the best of them, or zero where none is better.

    Attributes
    ----------
    error : float
        The least squared error found.
    factors : tuple of two ndarray
        Its factors.
    """

    def __init__(self, problem: PairProblem, clock: Clock) -> None:
        whole = Part.whole(problem.part.structure)
        self._problem, self._clock = problem, clock
        self._product = ProductProblem.of(problem.A, whole, ridge=0.0, exponent=0)
        self._squares = LeastSquares(self._product)
        self.factors: tuple[Array, Array] = np.zeros(problem.left.shape), np.zeros(problem.right.shape)
        self.error = problem.squared_error(*self.factors)

    def descend(self, X: Array, Y: Array) -> None:
        """Descend from factors, and keep the end if it is the best."""
        self._descend(list(self._problem.values(X, Y)))

    def _descend(self, values: list[Array]) -> None:
        run = alternate(
            self._product, self._squares, values, max_sweeps=_SWEEPS, rtol=_GAIN, clock=self._clock
        )
        if run.squared_error < self.error:
            self.error = run.squared_error
            left, right = (
                np.zeros(support.shape, self._problem.A.dtype)
                for support in (self._problem.left, self._problem.right)
            )
            left[self._problem.left.coordinates()], right[self._problem.right.coordinates()] = run.values
            self.factors = left, right

    def start(self, rng: np.random.Generator, is_enough: Callable[[float], bool]) -> None:
        """Descend from spectral, from ridged and from random starts, until that is good enough."""
        self.descend(*self._problem.spectral(rng)[:2])
        for start in range(_STARTS):
            if is_enough(self.error) or self._clock.is_over():
                break
            values = list(self._problem.values(*self._problem.random(rng)))
            self._descend(self._ridged(values) if start % 2 == 0 else values)

    def _ridged(self, values: list[Array]) -> list[Array]:
        """Follow the minimisers of a falling ridge: factors stay small as long as they can."""
        for ridge in _RIDGES:
            product = replace(self._product, ridge=ridge * self._product.norm)
            run = alternate(
                product, LeastSquares(product), values, max_sweeps=_RIDGED, rtol=1e-6, clock=self._clock
            )
            values = run.values
        return values


def _factors(problem: PairProblem, side: Side, basis: Array) -> tuple[Array, Array]:
    """Factors to start from whose spans, on one side, are those of a basis."""
    X, Y = problem.random(np.random.default_rng(0))
    start = 0
    for members in side.members:
        columns = basis[:, start : start + len(members)]
        if side.turned:
            Y[members] = columns.T
        else:
            X[:, members] = columns
        start += len(members)
    return (problem.solve_left(Y), Y) if side.turned else (X, Y)
