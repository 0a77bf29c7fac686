"""One factor of a product at a time: its gradient, its step, its share of the norm, and whether it stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.constraints import Constraint
from fsmf.thresholding.descent import iht
from fsmf.thresholding.polishing import Hessian, Loss
from fsmf.thresholding.stability import HTStability, ht_stability

__all__ = [
    "balance",
    "block_gradient",
    "block_stability",
    "multiplied",
    "norm_bound",
    "right_products",
    "thresholded",
]

Array = NDArray[Any]

# How often a Gram matrix is squared to bound its norm.
_SQUARINGS = 3

# Rounds over all factors, iterations of each factor, the gain that ends them, and the most nonzeros that are
# settled by second derivatives.
_ROUNDS, _ITERATIONS, _GAIN, _FEW = 10, 200, 1e-6, 500


def _norm(gram: Array) -> float:
    """Spectral norm of a Gram matrix."""
    return float(np.linalg.eigvalsh(gram)[-1])


def norm_bound(gram: Array) -> float:
    """A bound on the spectral norm of a Gram matrix, by squaring: at most r^(1/16) times too large."""
    bound, share = 1.0, 1.0
    for squared in range(_SQUARINGS + 1):
        if squared:
            gram = gram @ gram
        size = float(np.linalg.norm(gram))
        if not size:
            return 0.0
        bound *= size**share
        gram, share = gram / size, share / 2
    return bound


def block_stability(
    A: Array, factors: tuple[Array, ...], constraints: tuple[Constraint, ...]
) -> tuple[HTStability, ...]:
    """Tell for each factor, the others fixed, whether another step of hard thresholding would move it."""
    balanced = list(factors)
    balance(balanced)
    rights, left, found = right_products(balanced), None, []
    for X, one, right in zip(balanced, constraints, rights, strict=True):
        gradient, step = block_gradient(A, left, X, right)
        found.append(ht_stability(X, gradient, one, step=step))
        left = X if left is None else left @ X
    return tuple(found)


def thresholded(A: Array, factors: list[Array], constraints: tuple[Constraint, ...]) -> list[Array]:
    """Let `fsmf.iht` go on with one factor after another, the others fixed, until all keep their places.

    In one factor the error is that of sparse least squares.
    """
    factors = list(factors)
    for _ in range(_ROUNDS):
        balance(factors)
        rights, left, moved = right_products(factors), None, False
        for i, (X, one, right) in enumerate(zip(factors, constraints, rights, strict=True)):
            few = bool(np.count_nonzero(X) <= _FEW)
            loss, hessian = _block_loss(A, left, right)
            point = iht(
                loss,
                one,
                start=X,
                max_iterations=_ITERATIONS,
                rtol=_GAIN,
                hessian=hessian if few else None,
                polish=few,
            )
            moved = moved or not np.array_equal(point.places, X != 0)
            factors[i] = point.x
            left = point.x if left is None else left @ point.x
        if not moved:
            break
    return factors


def _block_loss(A: Array, left: Array | None, right: Array | None) -> tuple[Loss, Hessian]:
    """Half the squared error of ``left X right`` in X, with its gradient; and its second derivatives."""
    G = np.eye(A.shape[0]) if left is None else left.conj().T @ left
    H = np.eye(A.shape[1]) if right is None else right @ right.conj().T
    target = A if left is None else left.conj().T @ A
    target = target if right is None else target @ right.conj().T
    whole = float(np.linalg.norm(A)) ** 2

    def loss(X: Array) -> tuple[float, Array]:
        gradient = G @ X @ H - target
        return (whole + float(np.vdot(X, gradient - target).real)) / 2, gradient

    def hessian(X: Array, index: Array) -> Array:
        rows, columns = np.divmod(index, X.shape[1])
        second: Array = G[np.ix_(rows, rows)] * H[np.ix_(columns, columns)]
        return second

    return loss, hessian


def block_gradient(
    A: Array, left: Array | None, X: Array, right: Array | None, *, norm: Callable[[Array], float] = _norm
) -> tuple[Array, float]:
    """Return half the gradient of ‖A − left X right‖² in X, and the inverse of its Lipschitz constant.

    The norm is what takes the place of that of Gram matrices.
    """
    gradient, target, lipschitz = X, A, 1.0
    if left is not None:
        gram = left.conj().T @ left
        gradient, target = gram @ gradient, left.conj().T @ target
        lipschitz *= norm(gram)
    if right is not None:
        gram = right @ right.conj().T
        gradient, target = gradient @ gram, target @ right.conj().T
        lipschitz *= norm(gram)
    return gradient - target, 1 / lipschitz if lipschitz > 0 else 1.0


def right_products(factors: list[Array]) -> list[Array | None]:
    """Return for each factor the product of those to its right; None for the last."""
    rights: list[Array | None] = [None]
    for X in factors[:0:-1]:
        rights.append(X if rights[-1] is None else X @ rights[-1])
    return rights[::-1]


def multiplied(factors: list[Array]) -> Array:
    """Return the product of factors, left to right."""
    product = factors[0]
    for X in factors[1:]:
        product = product @ X
    return product


def balance(factors: list[Array], *others: list[Array]) -> None:
    """Give each column and the row that it meets equal norms; the other lists of factors scale with them."""
    for i in range(len(factors) - 1):
        x = np.linalg.norm(factors[i], axis=0)
        y = np.linalg.norm(factors[i + 1], axis=1)
        scale = np.sqrt(np.divide(y, x, out=np.ones_like(x), where=(x > 0) & (y > 0)))
        for some in (factors, *others):
            some[i] = some[i] * scale
            some[i + 1] = some[i + 1] / scale[:, None]
