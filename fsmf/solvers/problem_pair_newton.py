"""Gauss-Newton steps for one pair of many unknowns: normal equations of one factor, the other eliminated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fsmf.solvers.problem_newton import FORMED, TINY, GaussNewton, Pack
from fsmf.solvers.problem_product import ProductProblem
from fsmf.supports.support import Supports

__all__ = ["PairNewton", "newton_for"]

Array = NDArray[np.inexact]

# Unknowns of normal equations that are formed for a single start; more are cheaper met here.
_FORMED_FOR_ONE = 300

# Numbers that the systems of all rows may hold, and those of all columns.
_HELD = 1 << 24

# Steps of conjugate gradients, and the residual at which they end, in the norm of their preconditioner.
_STEPS, _ENOUGH = 100, 1e-2


class PairNewton(GaussNewton):
    """Damped Gauss-Newton steps of a single pair, by conjugate gradients.

    Let Y be eliminated. Column j of Y sees of A only what the columns of X on its support can make; let P_j
    be the projection on the rest. The normal equations of the objective in X alone are, to first order,
    ``Σ_j P_j V y_j y_jᴴ = B``, each row of V on its support. The systems of the columns of Y are small and
    inverted. The diagonal blocks ``Σ_j P_j[i, i] y_j y_jᴴ``, one for each row of X, are the preconditioner.
    """

    def __init__(self, problem: ProductProblem) -> None:
        super().__init__(problem)
        self._turned = self.projected == 0
        masks = []
        for support, (rows, columns) in zip(problem.supports, self.places, strict=True):
            mask = np.zeros(support.shape, bool)
            mask[rows, columns] = True
            masks.append(mask)
        # Rows of the factor that is kept, and columns of the other.
        self._own, self._other = (masks[1].T, masks[0]) if self._turned else (masks[0], masks[1].T)
        weights = None if problem.roots is None else problem.roots**2
        self._weights = weights if weights is None or not self._turned else weights.T
        self._last: tuple[Array, Array] | None = None

    @staticmethod
    def fits(supports: Supports) -> bool:
        """Whether these are those of a pair whose small systems can be held."""
        if len(supports) != 2:
            return False
        (m, r), (_, n) = (support.shape for support in supports)
        return max(m, n) * r * max(m, n, r) <= _HELD

    @property
    def is_formed(self) -> bool:
        """Return False: no normal equations are."""
        return False

    def step(self, pack: Pack, damping: Array) -> tuple[Pack, Array]:
        """Step from a single start; see `GaussNewton.step`."""
        X, Y, pulled = self._turned_about(pack)
        ridge, inverses = self.problem.ridge, self._inverses(X)
        # What the other factor would still gain, and what is left for this one then.
        gap = self._other.T * (X.conj().T @ pulled - ridge * Y)
        Z = _of_columns(inverses, gap)
        rest = pulled - self._weighted(X @ Z)
        target = self._own * (rest @ Y.conj().T - ridge * X)
        extra = ridge + float(damping[0]) * float(np.vecdot(Y, Y).real.max(initial=0))

        def normal(V: Array) -> Array:
            W = V @ Y
            image = self._weighted(W)
            image = image - self._weighted(X @ _of_columns(inverses, self._other.T * (X.conj().T @ image)))
            found: Array = self._own * (image @ Y.conj().T) + extra * V
            return found

        blocks = self._blocks(X, Y, inverses, extra)
        V = _conjugate_gradients(normal, target, lambda R: np.matmul(R[:, None, :], blocks)[:, 0])
        predicted = np.vdot(V, target).real + np.vdot(Z, gap).real + (extra - ridge) * np.vdot(V, V).real
        return self._moved_to(X + V, Y + Z), np.array([predicted])

    def _moved_to(self, X: Array, Y: Array) -> Pack:
        """Where the kept factor is X, and the other the best for it, found from Y."""
        pair = (Y.T, X.T) if self._turned else (X, Y)
        values = [factor[place] for factor, place in zip(pair, self.problem.places, strict=True)]
        # Balanced first: then the systems of the next step are those of this projection.
        values = self.problem.balanced(values) if self.problem.ridge else values
        pack = Pack(self.problem, [value[None] for value in values])
        X, Y, pulled = self._turned_about(pack)
        gap = self._other.T * (X.conj().T @ pulled - self.problem.ridge * Y)
        Y = Y + _of_columns(self._inverses(X), gap)
        found = Y.T if self._turned else Y
        place = self.problem.places[self.projected]
        pack.values[self.projected] = found[place][None]
        return Pack(self.problem, pack.values)

    def _turned_about(self, pack: Pack) -> tuple[Array, Array, Array]:
        """The factor that is kept, the other, and the weighted residual, so that the kept one is the left."""
        X, Y, pulled = pack.factors[0][0], pack.factors[1][0], pack.pulled[0]
        return (Y.T, X.T, pulled.T) if self._turned else (X, Y, pulled)

    def _weighted(self, residual: Array) -> Array:
        return residual if self._weights is None else self._weights * residual

    def _inverses(self, X: Array) -> Array:
        """Inverse normal equations of each column of the other factor, zero beside its free places."""
        if self._last is not None and np.array_equal(X, self._last[0]):
            return self._last[1]
        mask = self._other
        both = mask[:, :, None] & mask[:, None, :]
        if self._weights is None:
            normal = (X.conj().T @ X)[None] * both
        else:
            normal = np.matmul(X.conj().T * self._weights.T[:, None, :], X[None]) * both
        inverses = _inverted(normal, mask, self.problem.ridge) * both
        self._last = X.copy(), inverses
        return inverses

    def _blocks(self, X: Array, Y: Array, inverses: Array, extra: float) -> Array:
        """Inverse diagonal blocks of the normal equations, one for each row."""
        seen = np.einsum("jik,ik->ij", X @ inverses, X.conj()).real
        left = 1 - seen if self._weights is None else self._weights * (1 - self._weights * seen)
        both = self._own[:, :, None] & self._own[:, None, :]
        return _inverted(np.matmul(Y * np.maximum(left, 0)[:, None, :], Y.conj().T) * both, self._own, extra)


def newton_for(problem: ProductProblem, *, one: bool) -> GaussNewton:
    """Return the steps that suit a problem, of one start or of many side by side."""
    newton = GaussNewton(problem)
    large = newton.size > (_FORMED_FOR_ONE if one else FORMED)
    return PairNewton(problem) if large and PairNewton.fits(problem.supports) else newton


def _of_columns(inverses: Array, B: Array) -> Array:
    """Apply the inverse of each column to it."""
    found: Array = np.matmul(inverses, np.ascontiguousarray(B.T)[:, :, None])[:, :, 0].T
    return found


def _inverted(normal: Array, mask: Array, extra: float) -> Array:
    """Inverses of normal equations with so much on the diagonal; the identity beside the mask."""
    diagonal = np.einsum("ikk->ik", normal)
    peak = diagonal.real.max(axis=1, keepdims=True, initial=0)
    diagonal += np.where(mask, extra + TINY * np.where(peak > 0, peak, 1.0), 1.0)
    found: Array = np.linalg.inv(normal)
    return found


def _conjugate_gradients(
    normal: Callable[[Array], Array], target: Array, preconditioned: Callable[[Array], Array]
) -> Array:
    """Solve roughly; whatever is reached minimises the model on the space searched."""
    found, rest = np.zeros_like(target), target
    direction = ready = preconditioned(rest)
    size = first = np.vdot(rest, ready).real
    for _ in range(_STEPS):
        image = normal(direction)
        curvature = np.vdot(direction, image).real
        if not curvature > 0:
            break
        found = found + size / curvature * direction
        rest = rest - size / curvature * image
        ready = preconditioned(rest)
        size, before = np.vdot(rest, ready).real, size
        if not size > _ENOUGH**2 * first:
            break
        direction = ready + size / before * direction
    return found
