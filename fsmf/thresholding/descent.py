"""Iterative hard thresholding of a differentiable loss: step, keep the largest entries, repeat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputError, InputTypeError, OptionError
from fsmf.supports.constraints import Constraint
from fsmf.supports.sizes import as_count
from fsmf.thresholding.polishing import Hessian, Loss, polished
from fsmf.thresholding.stability import (
    HTStability,
    as_positive,
    as_rng,
    estimate_rss,
    ht_stability,
    random_sparse,
)

__all__ = ["Ending", "SparsePoint", "Trace", "iht"]

Array = NDArray[Any]

# A step is accepted when it gains this share of ‖Δx‖² over twice its length; it is halved at most so often,
# and tried this much longer next time.
_GAIN, _HALVINGS, _LONGER = 1e-2, 60, 1.5

# What a step has to gain, as a fraction of the loss, to be told from rounding.
_ROUNDING = 1e-16

# How often hard thresholding goes on from a polished point that one more step would change.
_ROUNDS = 10

# Iterations in a row that must gain less than `rtol` before a start counts as converged.
_PATIENCE = 3


class Ending(Enum):
    """How hard thresholding ended, each a sentence."""

    CONVERGED = "converged: another step no longer lowers the loss"
    REACHED = "the value asked for is reached"
    STOPPED = "stopped by the callback"
    OUT_OF_BUDGET = "out of budget: the loss was still falling"
    DIVERGED = "the loss is no longer finite: the step is too long"


def _empty() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True)
class Trace:
    """Hold what hard thresholding went through, one entry per iteration.

    Attributes
    ----------
    value : ndarray of float
        The loss after each iteration.
    step : ndarray of float
        The step taken, in units of x over units of the gradient.
    moved : ndarray of int
        How many places the point has come to use, or left, in each iteration.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> point = fsmf.iht(lambda x: (float(np.sum((x - 1) ** 2)), 2 * (x - 1)), fsmf.KSparse(3, 2))
    >>> point.trace.moved[:2].tolist()
    [2, 0]
    """

    value: NDArray[np.float64] = field(default_factory=_empty)
    step: NDArray[np.float64] = field(default_factory=_empty)
    moved: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class SparsePoint:
    """Hold a point that meets a sparsity constraint, and what it is worth.

    Attributes
    ----------
    x : ndarray
        The point, of the constraint's shape.
    value : float
        The loss there.
    ending : Ending
        How the best start ended.
    stability : HTStability
        Whether the point is a fixed point of hard thresholding, for the step that was last taken.
    trace : Trace
        The iterations of the start that led to the point, before pruning and polishing.
    start : int
        Which start it was, from 0.
    relaxed : ndarray or None
        The point with more nonzeros that was pruned; None if nothing was.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> point = fsmf.sparse_lstsq(A, [2.0, 0.1], 1)
    >>> point.x, point.stability.stable
    (array([1., 0.]), True)
    """

    x: Array
    value: float
    ending: Ending
    stability: HTStability
    trace: Trace = field(repr=False)
    start: int = 0
    relaxed: Array | None = field(default=None, repr=False)

    @property
    def places(self) -> NDArray[np.bool_]:
        """Where the point is nonzero, of its shape."""
        places: NDArray[np.bool_] = self.x != 0
        return places

    def __str__(self) -> str:
        return (
            f"{np.count_nonzero(self.x)} nonzeros of {self.x.size}, loss {self.value:.6g}; "
            f"{self.ending.value}; {self.stability}"
        )


def iht(
    loss: Loss,
    constraint: Constraint,
    *,
    start: Any = "zero",
    step: float | str = "backtracking",
    schedule: int = 0,
    relax: float = 1.0,
    starts: int = 1,
    max_iterations: int = 1000,
    max_seconds: float | None = None,
    rtol: float = 1e-9,
    stop_value: float = -math.inf,
    polish: bool = True,
    hessian: Hessian | None = None,
    rng: int | np.random.Generator = 0,
    batches: Callable[[int], Loss] | None = None,
    callback: Callable[[int, float, Array], bool | None] | None = None,
) -> SparsePoint:
    """Minimise a differentiable loss under a sparsity constraint by iterative hard thresholding.

    Repeats ``x ← P(x − γ ∇f(x))``, P being the projection onto the constraint, from one start or several, and
    then minimises over the places found.

    Parameters
    ----------
    loss : callable
        From an array of the constraint's shape to ``(value, gradient)``. Of complex arrays the gradient is
        that in the real parts plus i times that in the imaginary ones; the loss stays real.
    constraint : Constraint
        What the point has to meet, such as ``KSparse(p, k)``.
    start : "zero", "random", "dense" or array_like
        Where the first start begins: at zero; at Gaussian entries at random places; at Gaussian entries
        everywhere, which `schedule` thins out; or at a point of the constraint's shape. Later starts are
        random, or dense again. Zero suits generalised linear models and is a stationary point of networks.
    step : float, "backtracking" or "restricted"
        The step γ, in units of x over units of the gradient; or found by trial in each iteration; or the
        inverse of what `estimate_rss` says, which is not safe.
    schedule : int
        Number of iterations during which the constraint tightens evenly, from no constraint to itself. A
        dense start without a schedule gets half of the iterations.
    relax : float
        How many times the places are allowed during the iterations; then the largest are kept.
    starts : int
        Number of starts; the best point is kept.
    max_iterations : int
        Iterations of each start.
    max_seconds : float, optional
        Time for everything, in seconds.
    rtol : float
        A start has converged when three iterations in a row change the loss by less than this fraction.
    stop_value : float
        End as soon as the loss is not above this value.
    polish : bool
        Whether to minimise over the places found, by damped Newton steps: up to 200 places by differences of
        gradients where no `hessian` is given, L-BFGS for more; and to go on from there while another step
        would change the point, up to ten times. What was pruned is polished in any case.
    hessian : callable, optional
        From x and flat indices to the second derivatives at these, for polishing.
    rng : int or numpy.random.Generator
        Seed of random starts and of the estimate; results are deterministic for a given seed.
    batches : callable, optional
        From the number of an iteration to the loss that this one goes by, such as that of some samples; a
        start then takes all of its iterations. The trace and `stop_value` go by its values; `loss` judges
        where starts begin and end, and what is polished.
    callback : callable, optional
        Called with the iteration, the loss and the point; returning True ends everything.

    Returns
    -------
    SparsePoint
        The best point, with its stability and what led to it.

    Raises
    ------
    OptionError, InputTypeError, ShapeError
        If an option is out of range, or a start has another shape.
    InputError
        If the loss is not finite where a start begins.

    Notes
    -----
    **Guarantee.** With backtracking, or a fixed step of at most ``1/L`` for a loss of restricted smoothness
    L, the loss never rises once the schedule is over. The point is a local answer: its `stability` says in
    which sense. Polishing never raises the loss.

    With `batches` nothing is promised before polishing: the loss of each batch falls in its own step.

    **Cost.** A gradient and a projection an iteration; backtracking now and then one more, and `batches` one
    more each.

    References
    ----------
    T. Blumensath, M. E. Davies, "Iterative hard thresholding for compressed sensing", Appl. Comput. Harmon.
    Anal. 27 (2009), arXiv:0805.0510; P. Jain, A. Tewari, P. Kar, "On iterative hard thresholding methods for
    high-dimensional M-estimation", NIPS 2014, arXiv:1410.5137, for relaxing; A. Beck, Y. C. Eldar, SIAM J.
    Optim. 23 (2013); N. Nguyen, D. Needell, T. Woolf, "Linear convergence of stochastic iterative greedy
    algorithms with sparse constraints", IEEE Trans. Inf. Theory 63 (2017), arXiv:1407.0088, for batches.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> target = np.array([3.0, 0.5, -2.0])
    >>> point = fsmf.iht(lambda x: (float(np.sum((x - target) ** 2)), 2 * (x - target)), fsmf.KSparse(3, 2))
    >>> point.x
    array([ 3.,  0., -2.])
    >>> print(point)
    2 nonzeros of 3, loss 0.25; converged: another step no longer lowers the loss; stable for steps of ...
    """
    if not isinstance(constraint, Constraint):
        raise InputTypeError(f"constraint must be one such as fsmf.KSparse(p, k); found {constraint!r}")
    generator = as_rng(rng)
    dense = isinstance(start, str) and start == "dense"
    runner = _Runner(
        loss=loss,
        constraint=constraint.relaxed(as_positive("relax", relax)) if relax != 1 else constraint,
        step=_as_step(step, loss, constraint, generator),
        schedule=as_count("schedule", schedule, at_least=0) or (max_iterations // 2 if dense else 0),
        max_iterations=as_count("max_iterations", max_iterations),
        deadline=math.inf
        if max_seconds is None
        else time.perf_counter() + as_positive("max_seconds", max_seconds, zero=True),
        rtol=as_positive("rtol", rtol, zero=True),
        stop_value=stop_value,
        batches=batches,
        callback=callback,
    )
    best: SparsePoint | None = None
    for i in range(as_count("starts", starts)):
        kind = start if i == 0 or dense else "random"
        point = runner.run(_starting_point(kind, runner.constraint, generator), i)
        point = _finished(point, loss, constraint, polish=polish or relax > 1, hessian=hessian)
        if polish:
            point = _settled(point, runner, constraint, hessian)
        if best is None or point.value < best.value:
            best = point
        if point.ending in (Ending.STOPPED, Ending.REACHED) or time.perf_counter() > runner.deadline:
            break
    assert best is not None
    return best


@dataclass(frozen=True)
class _Runner:
    """One start after another, by the same rules."""

    loss: Loss
    constraint: Constraint
    step: float | None
    schedule: int
    max_iterations: int
    deadline: float
    rtol: float
    stop_value: float
    batches: Callable[[int], Loss] | None
    callback: Callable[[int, float, Array], bool | None] | None

    def run(self, x: Array, start: int) -> SparsePoint:
        """Iterate from one starting point."""
        value, gradient = _evaluated(self.loss, x)
        x = x.astype(np.result_type(x, gradient), copy=False)
        if not math.isfinite(value):
            raise InputError(f"the loss must be finite where start {start} begins; found {value}")
        values, steps, moves = [], [], []
        length, idle, fits, ending = self.step or 1.0, 0, False, Ending.OUT_OF_BUDGET
        for i in range(self.max_iterations):
            tight = i >= self.schedule
            constraint = self.constraint if tight else self.constraint.loosened(1 - (i + 1) / self.schedule)
            loss = self.loss
            if self.batches is not None:
                loss = self.batches(i)
                value, gradient = _evaluated(loss, x)
            before = value
            if self.step is None:
                fits = fits or (tight and self.constraint.contains(x))  # as all points do from then on
                length, y, value, slope = _shortened(loss, x, before, gradient, length, constraint, not fits)
            else:
                y = constraint.project(x - length * gradient)
                value, slope = _evaluated(loss, y)
            if not math.isfinite(value):
                value, ending = before, Ending.DIVERGED
                break
            moved = int(np.count_nonzero((x != 0) != (y != 0)))
            # A batch that is at its best already says nothing about the steps of others.
            is_longer = self.step is None and (self.batches is None or bool((y != x).any()))
            x, gradient = y, slope
            values.append(value)
            steps.append(length)
            moves.append(moved)
            if self.callback is not None and self.callback(i, value, x) is True:
                ending = Ending.STOPPED
                break
            if not tight:
                continue
            if value <= self.stop_value:
                ending = Ending.REACHED
                break
            is_idle = self.batches is None and abs(before - value) <= self.rtol * abs(before)
            idle = idle + 1 if is_idle else 0
            if idle >= _PATIENCE:
                ending = Ending.CONVERGED
                break
            if is_longer:
                length *= _LONGER
            if time.perf_counter() > self.deadline:
                break
        x = self.constraint.project(x)
        value, gradient = _evaluated(self.loss, x)
        return SparsePoint(
            x=x,
            value=value,
            ending=ending,
            stability=ht_stability(x, gradient, self.constraint, step=steps[-1] if steps else length),
            trace=Trace(np.array(values), np.array(steps), np.array(moves, dtype=np.int64)),
            start=start,
        )


def _shortened(
    loss: Loss, x: Array, value: float, gradient: Array, length: float, constraint: Constraint, fixed: bool
) -> tuple[float, Array, float, Array]:
    """Halve a step until it gains enough; where the constraint tightens the loss may rise anyway."""
    for _ in range(_HALVINGS):
        y = constraint.project(x - length * gradient)
        after, slope = _evaluated(loss, y)
        change = y - x
        squared = float(np.vdot(change, change).real)
        gain = _GAIN * squared / (2 * length)
        if after <= value - gain:
            break
        if gain <= _ROUNDING * abs(value):
            return length, x, value, gradient
        if fixed and math.isfinite(after):
            # What was cut off may cost more than any step gains: ask only that the model holds.
            model = value + float(np.vdot(gradient, change).real) + squared / length
            if after <= model:
                break
        length /= 2
    else:
        return length, x, value, gradient
    return length, y, after, slope


def _evaluated(loss: Loss, x: Array) -> tuple[float, Array]:
    # Steps that are too long are told by the value.
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient = loss(x)
    gradient = np.asarray(gradient)
    gradient = gradient.astype(np.result_type(gradient, float), copy=False)
    value = float(value)
    return (value if np.isfinite(gradient).all() else math.nan), gradient


def _as_step(step: Any, loss: Loss, constraint: Constraint, rng: np.random.Generator) -> float | None:
    """The length of all steps, or None where it is found by trial."""
    if not isinstance(step, str):
        return as_positive("step", step)
    if step == "backtracking":
        return None
    if step != "restricted":
        raise OptionError(f"step takes a number, 'backtracking' or 'restricted'; found {step!r}")
    modulus = estimate_rss(lambda x: _evaluated(loss, x)[1], constraint, rng=rng)
    return 1 / modulus if modulus else 1.0


def _starting_point(kind: Any, constraint: Constraint, rng: np.random.Generator) -> Array:
    if not isinstance(kind, str):
        given = np.asarray(kind)
        return constraint.project(given.astype(np.result_type(given, float), copy=False))
    if kind == "zero":
        return np.zeros(constraint.shape)
    if kind == "random":
        return random_sparse(constraint, rng)
    if kind == "dense":
        return rng.standard_normal(constraint.shape)
    raise OptionError(f"start takes 'zero', 'random', 'dense' or an array; found {kind!r}; give one of these")


def _settled(
    point: SparsePoint, runner: _Runner, constraint: Constraint, hessian: Hessian | None
) -> SparsePoint:
    """Go on from a polished point that one more step would change, until none would."""
    runner = replace(runner, constraint=constraint, schedule=0, batches=None)
    for _ in range(_ROUNDS):
        is_over = point.ending is Ending.STOPPED or time.perf_counter() > runner.deadline
        if point.stability.stable or is_over:
            break
        further = _finished(
            runner.run(point.x, point.start), runner.loss, constraint, polish=True, hessian=hessian
        )
        if further.value > point.value:
            break
        point = replace(further, trace=point.trace, relaxed=point.relaxed)
    return point


def _finished(
    point: SparsePoint, loss: Loss, constraint: Constraint, *, polish: bool, hessian: Hessian | None
) -> SparsePoint:
    """Prune what was relaxed, and polish what is left."""
    x, relaxed = constraint.project(point.x), None
    if not np.array_equal(x, point.x):
        relaxed = point.x
    if polish:
        x = polished(loss, x, hessian=hessian)
    value, gradient = _evaluated(loss, x)
    stability = ht_stability(x, gradient, constraint, step=point.stability.step)
    return replace(point, x=x, value=value, stability=stability, relaxed=relaxed)
