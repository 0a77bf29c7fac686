"""Pictures of a ridge path: what accuracy costs in the size of the factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsmf.drawing.canvas import BLUE, ORANGE, as_axes, named, set_labels
from fsmf.errors import InputTypeError
from fsmf.factorization import Factorization
from fsmf.ridge_paths import RidgePath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_ridge_path"]


def draw_ridge_path(path: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the best error against the norm of the factors, both on logarithmic scales.

    A straight line downwards is a power law: the error falls without end as the factors grow. Where a best
    product exists the curve ends at its norm. Where the factors grow, the limit is drawn, if it is not zero.

    Parameters
    ----------
    path : Factorization or RidgePath
        What ``fsmf.ALS(ridge="path")`` found.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    InputTypeError
        If it is no path, and no factorization that holds one.

    Notes
    -----
    **Guarantee.** Every point of the path with a positive error and norm is drawn.

    **Cost.** None to speak of.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf import drawing
    >>> path = fsmf.RidgePath.of([(1e-1, 0.4, 1.0), (1e-3, 0.1, 2.0)])
    >>> drawing.draw_ridge_path(path).get_xlabel()
    'norm of the factors (‖X‖² + ‖Y‖²)^½'
    """
    F, path = (path, path.ridge_path) if isinstance(path, Factorization) else (None, path)
    if not isinstance(path, RidgePath):
        raise InputTypeError(
            f"a ridge path was asked for; found {type(path).__name__}; factorize with "
            'solver=fsmf.ALS(ridge="path")'
        )
    ax = as_axes(ax)
    good = (path.errors > 0) & (path.norms > 0)
    ax.loglog(path.norms[good], path.errors[good], color=BLUE, marker=".", label="best error")
    if path.grows and path.limit > 0:
        ax.axhline(path.limit, color=ORANGE, linestyle=":", label="limit")
    ax.set_ylabel("error ‖A − XY‖")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    law = f"error − limit ∝ norm^{path.rate:.2f}" if path.limit else f"error ∝ norm^{path.rate:.2f}"
    facts = law if path.grows else path.sentences()[0]
    set_labels(ax, facts if F is None else named(F.supports, facts), "norm of the factors (‖X‖² + ‖Y‖²)^½")
    return ax
