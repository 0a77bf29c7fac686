"""A picture of an ill-posed question: the error falls only as the factors grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from fsmf.drawing.canvas import BLUE, as_axes, named, set_labels
from fsmf.errors import InputTypeError, OptionError
from fsmf.wellposedness.verdicts import IllPosed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_witness"]


def draw_witness(verdict: Any, t: Any = None, *, ax: Axes | None = None) -> Axes:
    """Draw the error along the curve of a witness against the norm of its factors.

    Parameters
    ----------
    verdict : IllPosed
        What `fsmf.check_well_posedness` returns for supports on which some matrix has no best product.
    t : array_like, optional
        Points of the curve, shape ``(n,)``, none of them 0; by default from 1 down to 1e-6.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on, both scales logarithmic.

    Raises
    ------
    InputTypeError
        If it is no such verdict.
    OptionError
        If there are no points.

    Notes
    -----
    **Guarantee.** What is shown is computed from the factors in floating point: error ‖X(t) Y(t) − B‖ and
    norm (‖X(t)‖² + ‖Y(t)‖²)^½, of all factors where there are more. The error is 0 nowhere.

    **Cost.** A sparse product for each point.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf import drawing
    >>> drawing.draw_witness(fsmf.check_well_posedness(fsmf.lu(2))).get_xlabel()
    'norm of the factors'
    """
    if not isinstance(verdict, IllPosed):
        raise InputTypeError(
            f"an IllPosed verdict was asked for; found {type(verdict).__name__}; only that has a witness"
        )
    points = np.geomspace(1, 1e-6, 40) if t is None else np.asarray(t, dtype=float).reshape(-1)
    if not points.size:
        raise OptionError("points of the curve were asked for; found none; leave t out for the usual ones")
    target = verdict.target
    norms, errors = [], []
    for point in points.tolist():
        factors = verdict.witness(point)
        product = factors[0]
        for factor in factors[1:]:
            product = product @ factor
        errors.append(sparse.linalg.norm(product - target))
        norms.append(np.sqrt(sum(sparse.linalg.norm(factor) ** 2 for factor in factors)))
    ax = as_axes(ax)
    ax.loglog(norms, errors, ".-", color=BLUE)
    ax.grid(alpha=0.3)
    title = named(verdict.supports, "a target that is approached, and never reached")
    set_labels(ax, title, "norm of the factors")
    ax.set_ylabel("error")
    return ax
