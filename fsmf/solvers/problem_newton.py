"""Gauss-Newton steps for products from many starting points side by side, one factor projected out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from fsmf.factorization import Status
from fsmf.solvers.problem_alternation import Descent
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.solvers.problem_trail import Clock

__all__ = ["FORMED", "TINY", "GaussNewton", "Pack", "descend"]

Array = NDArray[Any]

# Unknowns of normal equations that are formed; more are met by conjugate gradients, in so many steps.
FORMED, _STEPS, _ENOUGH = 2000, 100, 1e-6

# Starts go side by side as long as their normal equations hold so few numbers, and take so few operations:
# more than that gain nothing by it.
_HELD, _WORK = 1 << 23, 1 << 26

# Damping at first, its bounds, and by how much it changes after good and bad steps.
FIRST, _RANGE, _EASE, _CURB = 1e-2, (1e-14, 1e6), 5.0, 4.0

# Steps in a row that must gain less than `rtol` before a start counts as converged; one that is damped less
# than this, and promises less, is enough.
_PATIENCE, _FREE = 3, 1e-6

# A start is abandoned after so many steps when the best is further away than the last step times this.
_PROBATION, _HOPE = 30, 300

# Damping of what is projected out, in units of the largest diagonal entry: only against singularity.
TINY = 1e-13


class Pack:
    """Values of the factors of many starting points, and where they are.

    Attributes
    ----------
    values : list of ndarray
        For each factor the values of all starts, shape ``(n_starts, nnz)``.
    squared : ndarray
        Squared errors, shape ``(n_starts,)``.
    objective : ndarray
        With the ridge term.
    """

    def __init__(self, problem: ProductProblem, values: list[Array]) -> None:
        self._problem, self.values = problem, values
        self.factors: list[Array] = []
        for value, support, places in zip(values, problem.supports, problem.places, strict=True):
            X = np.zeros((len(value), *support.shape), value.dtype)
            X[:, *places] = value
            self.factors.append(X)
        first, others = self.factors[0], self.factors[1:]
        self.lefts: list[Array | None] = [None, *accumulate(self.factors[:-1], np.matmul)]
        rights = accumulate(others[::-1], lambda product, Y: Y @ product)
        self.rights: list[Array | None] = [*reversed([*rights]), None]
        product = first if self.rights[0] is None else first @ self.rights[0]
        self.residual = problem.A - product
        weighted = self.residual if problem.roots is None else problem.roots * self.residual
        self.pulled = weighted if problem.roots is None else problem.roots * weighted
        self.squared = _squares(weighted.reshape(len(weighted), -1))
        self.objective = self.squared + problem.ridge * sum(map(_squares, values))

    def __len__(self) -> int:
        return len(self.squared)

    def take(self, which: Array) -> Pack:
        """Some of the starts."""
        return Pack(self._problem, [value[which] for value in self.values])

    def replaced(self, which: Array, other: Pack) -> Pack:
        """The starts of another in place of some of these."""
        if which.all():
            return other
        pairs = zip(other.values, self.values, strict=True)
        return Pack(self._problem, [np.where(which[:, None], new, old) for new, old in pairs])

    def one(self, s: int) -> Values:
        """The values of one start."""
        return [value[s] for value in self.values]


class GaussNewton:
    """Damped Gauss-Newton steps on the free entries of all factors but one, which is solved for exactly.

    The normal equations of the objective in all entries, damped in those of all factors but the largest one,
    give the step of the objective from which that factor is eliminated, to first order; after the step it is
    eliminated exactly. Their matrix is ``(PᵢᴴPⱼ)[a, c] · (QⱼQᵢᴴ)[d, b]`` for entry (a, b) of factor i and
    entry (c, d) of factor j, if ``P X Q`` is the product with X standing for the factor.

    References
    ----------
    L. Kaufman, "A variable projection method for solving separable nonlinear least squares problems", BIT 15
    (1975); J. H. Hong, A. Fitzgibbon, "Secrets of matrix factorization", ICCV 2015.
    """

    def __init__(self, problem: ProductProblem) -> None:
        self.problem = problem
        self.free = [np.arange(support.nnz)[support.free] for support in problem.supports]
        pairs = zip(problem.places, self.free, strict=True)
        self.places = [(rows[free], columns[free]) for (rows, columns), free in pairs]
        sizes = [len(free) for free in self.free]
        self.size = sum(sizes)
        self.projected = int(np.argmax(sizes))
        ends = np.cumsum([0, *sizes])
        self._slices = [slice(a, b) for a, b in pairwise(ends)]

    @property
    def is_formed(self) -> bool:
        """Whether normal equations are formed."""
        return self.size <= FORMED

    @property
    def at_once(self) -> int:
        """How many starts are worked on side by side."""
        if not self.is_formed:
            return 1
        wide = self.size if self.problem.roots is None else max(self.size, self.problem.A.size)
        return max(1, min(_HELD // max(1, self.size * wide), _WORK // max(1, self.size**3)))

    def pack(self, starts: Sequence[Values]) -> Pack:
        """Lay starting points side by side."""
        return Pack(self.problem, [np.stack(same) for same in zip(*starts, strict=True)])

    def target(self, pack: Pack) -> Array:
        """Half the negative gradient of all starts, shape ``(n_starts, n_unknowns)``."""
        return np.concatenate([self._target(pack, i) for i in range(len(self.free))], axis=1)

    def _target(self, pack: Pack, i: int) -> Array:
        (a, b), left, right = self.places[i], pack.lefts[i], pack.rights[i]
        pulled = pack.pulled
        pulled = pulled if left is None else _adjoint(left) @ pulled
        pulled = pulled if right is None else pulled @ _adjoint(right)
        own: Array = pulled[:, a, b] - self.problem.ridge * pack.values[i][:, self.free[i]]
        return own

    def _columns(self, pack: Pack, i: int) -> Array:
        """Derivatives of the weighted product with respect to each unknown of factor i, a row each."""
        assert self.problem.roots is not None
        (a, b), left, right = self.places[i], pack.lefts[i], pack.rights[i]
        m, n = self.problem.A.shape
        L = np.eye(m)[None] if left is None else left
        R = np.eye(n)[None] if right is None else right
        columns = L[:, :, a].swapaxes(1, 2)[:, :, :, None] * R[:, b, None, :] * self.problem.roots
        return columns.reshape(columns.shape[0], len(a), m * n)

    def _block(self, pack: Pack, i: int, j: int) -> Array:
        """The block of the normal equations of factors i ≤ j."""
        if self.problem.roots is not None:
            return self._columns(pack, i).conj() @ self._columns(pack, j).swapaxes(1, 2)
        (a, b), (c, d) = self.places[i], self.places[j]
        first, second = (None if X is None else _adjoint(X) for X in (pack.rights[j], pack.rights[i]))
        return _met(pack.lefts[i], pack.lefts[j], a, c) * _met(first, second, d, b).swapaxes(1, 2)

    def _normal(self, pack: Pack) -> Array:
        dtype = np.result_type(*pack.values)
        normal = np.empty((len(pack), self.size, self.size), dtype)
        for i, rows in enumerate(self._slices):
            for j, columns in enumerate(self._slices[i:], start=i):
                block = self._block(pack, i, j)
                normal[:, rows, columns] = block
                if j > i:
                    normal[:, columns, rows] = _adjoint(block)
        return normal

    def step(self, pack: Pack, damping: Array) -> tuple[Pack, Array]:
        """Step from all starts with their damping (in units of the largest curvature).

        Returns
        -------
        pack : Pack
            Where the steps lead.
        predicted : ndarray
            By how much the objective should fall before the projection.
        """
        target = self.target(pack)
        if self.is_formed:
            normal = self._normal(pack)
            diagonal = np.einsum("skk->sk", normal)
            extra = self._damping(diagonal.real.max(axis=1, initial=0), damping)
            diagonal += extra
            change = np.linalg.solve(normal, target[:, :, None])[:, :, 0]
        else:
            extra, change = self._iterated(pack, target, damping)
        curbed = (extra - self.problem.ridge) * np.abs(change) ** 2
        predicted = np.sum((change.conj() * target).real + curbed, axis=1)
        return self._project(self._moved(pack, change, range(len(self.free)))), predicted

    def _damping(self, peak: Array, damping: Array) -> Array:
        """What is added to the diagonal, shape ``(n_starts, n_unknowns)``."""
        peak = np.where(peak > 0, peak, 1.0)[:, None]
        extra = np.repeat(peak * damping[:, None], self.size, axis=1)
        if len(self.free) > 1:
            extra[:, self._slices[self.projected]] = TINY * peak
        return extra + self.problem.ridge

    def _moved(self, pack: Pack, change: Array, which: Sequence[int]) -> Pack:
        values, start = list(pack.values), 0
        for i in which:
            values[i], size = values[i].copy(), len(self.free[i])
            values[i][:, self.free[i]] += change[:, start : start + size]
            start += size
        return Pack(self.problem, values)

    def _project(self, pack: Pack) -> Pack:
        """Solve for the factor that is eliminated, where that is small enough to be formed."""
        i = self.projected
        if not self.is_formed or len(self.free) == 1:
            return pack
        normal = self._block(pack, i, i)
        diagonal = np.einsum("skk->sk", normal)
        peak = diagonal.real.max(axis=1, keepdims=True, initial=0)
        diagonal += TINY * np.where(peak > 0, peak, 1.0) + self.problem.ridge
        change = np.linalg.solve(normal, self._target(pack, i)[:, :, None])[:, :, 0]
        return self._moved(pack, change, [i])

    def _iterated(self, pack: Pack, target: Array, damping: Array) -> tuple[Array, Array]:
        """Solve the damped normal equations of a single start by conjugate gradients."""
        ends = list(zip(pack.lefts, pack.rights, strict=True))
        weights = 1.0 if self.problem.roots is None else self.problem.roots**2

        sides = list(zip(ends, self.places, self._slices, pack.factors, strict=True))

        def image(change: Array) -> Array:
            moved: Array = np.zeros_like(pack.residual[0])
            for (left, right), place, own, X in sides:
                delta = np.zeros_like(X[0])
                delta[place] = change[own]
                delta = delta if left is None else left[0] @ delta
                moved = moved + (delta if right is None else delta @ right[0])
            return moved

        def back(moved: Array) -> Array:
            pulled = []
            for (left, right), place in zip(ends, self.places, strict=True):
                own = moved if left is None else left[0].conj().T @ moved
                pulled.append((own if right is None else own @ right[0].conj().T)[place])
            return np.concatenate(pulled)

        diagonal = np.concatenate([self._diagonal(pack, i) for i in range(len(self.free))])
        extra = self._damping(np.array([diagonal.max()]), damping)
        shape = (self.size, self.size)
        change, _ = cg(
            LinearOperator(
                shape,
                matvec=lambda x: back(weights * image(x.ravel())) + extra[0] * x.ravel(),
                dtype=target.dtype,
            ),
            target[0],
            rtol=_ENOUGH,
            maxiter=_STEPS,
            M=LinearOperator(shape, matvec=lambda x: x.ravel() / (diagonal + extra[0]), dtype=target.dtype),
        )
        return extra, change[None]

    def _diagonal(self, pack: Pack, i: int) -> Array:
        """The diagonal of the normal equations of a single start, without weights."""
        (a, b), left, right = self.places[i], pack.lefts[i], pack.rights[i]
        rows = 1.0 if left is None else _squares(left[0].T)[a]
        columns = 1.0 if right is None else _squares(right[0])[b]
        return np.ones(len(a)) * rows * columns


def descend(
    newton: GaussNewton,
    runs: Sequence[Descent],
    clock: Clock,
    *,
    max_steps: int,
    rtol: float,
    best: float = math.inf,
    damping: float = FIRST,
    report: Callable[[Descent, int], bool] = lambda run, step: False,
) -> bool:
    """Step from all starts side by side, until each has converged, or is far behind the best objective known.

    Returns whether a report asked to stop.
    """
    active = list(runs)
    if done := [run for run in active if run.is_settled]:
        done[0].status = Status.CONVERGED
        return False
    if clock.is_over() and any(run.errors for run in active):
        return False
    pack = newton.pack([run.values for run in active])
    damped, idle = np.full(len(active), damping), np.zeros(len(active), dtype=int)
    for step in range(1, max_steps + 1):
        tried, predicted = newton.step(pack, damped)
        surely = (damped <= _FREE) & (predicted <= rtol * pack.objective)
        gain = pack.objective - tried.objective
        better = np.isfinite(gain) & (gain > 0)
        factor = np.where(better & (gain > 0.1 * predicted), 1.0, _CURB)
        factor = np.where(better & (gain > 0.5 * predicted), 1 / _EASE, factor)
        damped = np.clip(damped * factor, *_RANGE)
        idle = np.where(better & (gain > rtol * pack.objective), 0, idle + 1)
        pack = pack.replaced(better, tried)
        lost = np.zeros(len(active), bool)
        for s, run in enumerate(active):
            if better[s]:
                found = newton.problem.balanced(pack.one(s))
                lost[s] = not run.took(found, float(pack.squared[s]))
            run.note(clock)
        best = min(best, *pack.objective)
        settled = lost | np.array([run.is_settled for run in active])
        settled |= surely | (idle >= _PATIENCE) & (better | (damped >= _RANGE[1]))
        for run, is_settled in zip(active, settled, strict=True):
            run.status = Status.CONVERGED if is_settled else run.status
        stops = [report(run, step) for run in active]
        if any(stops):
            return True
        hopeless = (step >= _PROBATION) & better & (pack.objective - best > _HOPE * gain)
        stay = ~(settled | hopeless)
        if clock.is_over() or not stay.any():
            break
        if not stay.all():
            pack, damped, idle = pack.take(stay), damped[stay], idle[stay]
            active = [run for run, goes_on in zip(active, stay, strict=True) if goes_on]
    return False


def _squares(rows: Array) -> Array:
    """Squared norms of rows."""
    squares: Array = np.einsum("sk,sk->s", rows, rows.conj()).real
    return squares


def _adjoint(X: Array) -> Array:
    adjoint: Array = X.conj().swapaxes(-1, -2)
    return adjoint


def _met(left: Array | None, right: Array | None, a: Array, c: Array) -> Array:
    """``(leftᴴ right)[a, c]`` for all pairs, None standing for the identity."""
    if left is None and right is None:
        same: Array = (a[:, None] == c).astype(float)
        return same[None]
    if left is None:
        assert right is not None
        gram = right
    else:
        gram = _adjoint(left) if right is None else _adjoint(left) @ right
    picked: Array = gram[:, a[:, None], c]
    return picked
