"""Minimise a loss over the places that a point uses: damped Newton steps, or L-BFGS where they are many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hessian", "Loss", "polished"]

Array = NDArray[Any]
# The value of a loss and its gradient; its second derivatives at some places, by their flat indices.
Loss = Callable[[Array], tuple[float, Array]]
Hessian = Callable[[Array, Array], Array]

# Up to so many places second derivatives are taken, by differences of gradients where nobody gives them.
_FEW = 200

# Newton steps at most, how often one is halved, and what it has to gain of what it promises.
_STEPS, _HALVINGS, _ARMIJO = 50, 30, 1e-4

# Steps of a difference, in units of the size of an entry, or of all entries where that is larger.
_DIFFERENCE = 6e-6


def polished(loss: Loss, x: Array, *, places: Array | None = None, hessian: Hessian | None = None) -> Array:
    """Return a point that is at least as good, with entries at the same places.

    Parameters
    ----------
    loss : callable
        Value and gradient at an array of the shape of x.
    x : ndarray
        Where to start.
    places : ndarray of bool, optional
        What may change; by default the nonzeros of x.
    hessian : callable, optional
        Second derivatives at flat indices, shape ``(len(indices), len(indices))``; of real points only.

    Returns
    -------
    ndarray
        Of the shape of x.
    """
    index = np.flatnonzero(x if places is None else places)
    kind = np.result_type(x, float)
    hessian = None if kind.kind == "c" else hessian

    # Complex entries are pairs of real ones.
    def inserted(z: Array) -> Array:
        full = np.zeros(x.size, kind)
        full[index] = z.view(kind)
        return full.reshape(x.shape)

    def own(z: Array) -> tuple[float, Array]:
        value, gradient = loss(inserted(z))
        return float(value), np.asarray(gradient, dtype=kind).reshape(-1)[index].view(float)

    z = x.reshape(-1)[index].astype(kind).view(float)
    if not len(index):
        return inserted(z)
    value, gradient = own(z)
    if len(index) > _FEW and hessian is None:
        from scipy.optimize import minimize  # slow to import, and rarely needed

        found = minimize(own, z, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-12})
        return inserted(found.x if found.fun <= value else z)
    for _ in range(_STEPS):
        H = hessian(inserted(z), index) if hessian else _differences(own, z)
        # Losses may be flat in some directions and bend down in others.
        curvatures, V = np.linalg.eigh((H + H.T) / 2)
        curvatures = np.abs(curvatures)
        peak = float(curvatures.max())
        if not np.isfinite(peak) or peak == 0:
            break
        steep = V.T @ gradient
        useful = curvatures > 1e-10 * peak
        step = -(V[:, useful] @ (steep[useful] / curvatures[useful]))
        promise = -float(gradient @ step)
        length = 1.0
        for _ in range(_HALVINGS):
            trial = z + length * step
            after, slope = own(trial)
            if after <= value - _ARMIJO * length * promise:
                break
            length /= 2
        else:
            break
        done = promise <= 1e-15 * abs(value) or np.linalg.norm(slope) == 0
        z, value, gradient = trial, after, slope
        if done:
            break
    return inserted(z)


def _differences(own: Callable[[Array], tuple[float, Array]], z: Array) -> Array:
    """Second derivatives by central differences of gradients."""
    H = np.empty((len(z), len(z)))
    size = float(np.abs(z).max(initial=0.0)) or 1.0
    for i in range(len(z)):
        h = _DIFFERENCE * max(abs(z[i]), size)
        up, down = z.copy(), z.copy()
        up[i] += h
        down[i] -= h
        H[i] = (own(up)[1] - own(down)[1]) / (up[i] - down[i])
    return H
