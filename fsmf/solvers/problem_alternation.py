"""Sweeps over a product of any number of factors, extrapolated, from one starting point; and the answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.stationary_product import StationaryProduct
from fsmf.factorization import Status
from fsmf.solvers.base import WholeSolution
from fsmf.solvers.problem_bound import best_cut
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.solvers.problem_sweep import LeastSquares
from fsmf.solvers.problem_trail import LARGE, Clock, Trail
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Supports
from fsmf.tractability import Structure

__all__ = ["Descent", "alternate", "bounded", "whole_solution"]

Array = NDArray[Any]

# Sweeps in a row that must gain less than `rtol` before a start counts as converged.
_PATIENCE = 3

# A start is abandoned after so many sweeps when the best one is further away than the last sweep times this.
_PROBATION, _HOPE = 20, 200


# Errors below this multiple of the rounding of A are none.
_REACHED = 16

# Least squares are solved when a sweep gains less than this, relatively.
_SETTLED = 1e-12


class Descent(Trail):
    """One start, of a number: the values so far and how they came about."""

    number = 0

    def __init__(self, problem: ProductProblem, values: Values) -> None:
        super().__init__(problem.norm, problem.ordinary)
        self.problem, self.n_factors = problem, len(problem)
        self.take(problem.balanced(values), problem.squared(problem.residual(values)))

    def take(self, values: Values, squared_error: float) -> None:
        """Go on from these values."""
        self.values, self.squared_error = values, squared_error
        self.norm = self.problem.factor_norm(self.values)
        self.rounding = self.problem.rounding(values)
        self.objective = squared_error + self.problem.penalty(self.values)

    def is_growing(self, settled_norm: float) -> bool:
        """As any trail; but what makes A to working precision is found, and not on its way."""
        reached = math.sqrt(self.squared_error) <= _REACHED * self.problem.eps * self.problem.norm
        return not reached and super().is_growing(settled_norm)

    def note(self, clock: Clock) -> None:
        """Record where it is."""
        self.record(math.sqrt(self.squared_error), self.norm, clock)

    @property
    def factors(self) -> tuple[Array, ...]:
        """The values, as a path follows them."""
        return tuple(self.values)

    @property
    def is_exact(self) -> bool:
        """Whether the error is only the rounding of the stored factors."""
        return math.sqrt(self.objective) <= 4 * (self.problem.eps * self.problem.norm + self.rounding)

    @property
    def is_lost(self) -> bool:
        """Whether factors are so large that storing them would lose what the last sweeps gained."""
        return self.norm**2 > LARGE * self.ordinary and self.rounding > 0.25 * math.sqrt(self.squared_error)

    def took(self, values: Values, squared_error: float) -> bool:
        """Go on from these values, unless storing them would lose what was gained; whether it does."""
        held, before = (self.values, self.squared_error), self._stored
        self.take(values, squared_error)
        if self._stored < before:
            return True
        self.take(*held)
        return False

    @property
    def _stored(self) -> float:
        """The objective, about, when the values are stored in the user's precision; in double they are."""
        is_double = self.problem.eps == np.finfo(np.float64).eps
        return self.objective if is_double else self.objective + self.rounding**2

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to gain in the user's precision."""
        return self.is_exact or self.is_lost


def alternate(
    problem: ProductProblem,
    squares: LeastSquares,
    values: Values,
    *,
    max_sweeps: int,
    rtol: float,
    clock: Clock,
    best: float = math.inf,
    report: Callable[[Descent, int], bool] = lambda run, sweep: False,
) -> Descent:
    """Sweep until nothing is gained, a budget ends, or the best objective known is out of sight."""
    run = Descent(problem, values)
    if report(run, 0):
        run.status = Status.STOPPED
        return run
    ahead, step, limit, plain, idle = run.values, 0.5, 1.0, True, 0
    for sweep in range(1, max_sweeps + 1):
        found, squared_error = squares.sweep(ahead)
        before, held = run.objective, run.values
        found = problem.balanced(found)
        gain = before - squared_error - problem.penalty(found)
        if gain >= 0:
            run.take(found, squared_error)
            ahead = [new + step * (new - old) for new, old in zip(run.values, held, strict=True)]
            limit, step = (limit, step) if plain else (min(1.0, 1.05 * limit), min(limit, 1.1 * step))
            plain = False
            idle = idle + 1 if gain <= rtol * before else 0
        else:
            # A plain sweep can only fail to gain by rounding.
            idle += plain
            ahead, plain, limit, step = run.values, True, step, step / 1.5
        run.note(clock)
        if report(run, sweep):
            run.status = Status.STOPPED
            break
        if idle >= _PATIENCE or run.is_settled:
            run.status = Status.CONVERGED
            break
        if clock.is_over() or (sweep >= _PROBATION and gain >= 0 and run.objective - best > _HOPE * gain):
            break
    return run


def whole_solution(
    run: Descent, structure: Structure, status: Status, *, search: bool = True
) -> WholeSolution:
    """The values as the user's dtype holds them, measured, with the bound that the supports prove.

    Without a search that is what is out of reach.
    """
    problem, values = run.problem.uneven(run.values, structure.supports)
    if not (problem.norm or structure.n_prescribed):
        # Zero is made of zeros, not of what became small.
        values = [np.zeros_like(value) for value in values]
    stored = [value.astype(problem.dtype) for value in values]
    values = [value.astype(problem.A.dtype) for value in stored]
    error = math.sqrt(problem.squared(problem.residual(values)))
    convex = not problem.ridge and structure.is_linear
    outside = ~structure.supports.reached.toarray()
    out_of_reach = math.sqrt(problem.squared(outside * problem.A))
    certificate = StationaryProduct(
        error=error,
        lower_bound=min(_least_error(problem, values) if convex else out_of_reach, error),
        out_of_reach=out_of_reach,
        blocks=DisjointBlocks.union([]),
        gradient_norm=problem.relative_gradient(values),
        ridge=problem.ridge,
        n_factors=len(problem),
        cut=0,
        weighted=problem.roots is not None,
        convex=convex,
    )
    # Where nothing is left, no bound says more than zero; and none says more than least squares.
    if search and not (run.is_exact or convex):
        certificate = bounded(certificate, problem.A, structure.supports, problem.roots)
    return WholeSolution(structure.supports, stored, certificate, status, problem.norm, history=run.history)


def bounded(
    certificate: StationaryProduct, A: Array, supports: Supports, roots: Array | None = None
) -> StationaryProduct:
    """The certificate with the best bound that a search among disjoint blocks finds."""
    cut, bound, blocks = best_cut(A, supports, roots)
    # The bound and the error are both exact only up to rounding.
    lower_bound = min(math.hypot(bound, certificate.out_of_reach), certificate.error)
    return replace(certificate, lower_bound=lower_bound, blocks=blocks, cut=cut)


def _least_error(problem: ProductProblem, values: Values) -> float:
    """The least error of a problem that is linear, since all factors but one are prescribed."""
    squares, least = LeastSquares(problem), math.inf
    while True:
        values, found = squares.sweep(values)
        if found >= (1 - _SETTLED) * least:
            return math.sqrt(min(found, least))
        least = found
