"""Pictures of a bracket: what each interface of a chain costs, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fsmf.brackets import Bracket
from fsmf.drawing.canvas import BLUE, ORANGE, RED, SKY, as_axes, plural, set_labels, show
from fsmf.errors import InputTypeError, OptionError, ShapeError
from fsmf.factorization import Factorization

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bracket", "draw_residuals"]

# Pixels of a side of a map of blocks, at most.
_MAX_PIXELS = 400


def draw_bracket(found: Any, F: Factorization | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw what every interface costs, and between what bounds the optimum lies.

    A bar is the distance E_s of A from the matrices that interface s allows; the lines are the lower bound,
    in which the longest bar counts, and the upper bound, in which all do. Of a factorization, its error and
    what each step lost.

    Parameters
    ----------
    found : Bracket
        What `fsmf.bracket` returns.
    F : Factorization, optional
        A factorization of the same matrix on the same supports.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    InputTypeError
        If it is no bracket, or no factorization.
    ShapeError
        If the factorization has another number of factors.

    Notes
    -----
    **Guarantee.** The shaded band holds the optimum: it reaches from the lower bound up to the error of the
    factorization, or to the upper bound without one.

    **Cost.** None to speak of.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> from fsmf import drawing
    >>> A = np.random.default_rng(0).standard_normal((16, 16))
    >>> found = fsmf.bracket(A, fsmf.butterfly(16))
    >>> drawing.draw_bracket(found, fsmf.factorize(A, fsmf.butterfly(16))).get_title()
    '9.63 ≤ optimum ≤ 11.7'
    """
    _check_bracket(found)
    if F is not None and not isinstance(F, Factorization):
        raise InputTypeError(f"F must be a Factorization; found {type(F).__name__}; leave it out for none")
    n = len(found.distances)
    if F is not None and len(F.supports) != n + 1:
        raise ShapeError(
            f"the bracket is that of {n + 1} factors; found a factorization into {len(F.supports)}; give "
            "both of the same supports"
        )
    ax = as_axes(ax)
    s = np.arange(1, n + 1)
    ax.bar(s, found.distances, width=0.6, color=SKY, label="distance $E_s$ at interface s")
    highest = found.upper_bound if F is None else F.error
    ax.axhspan(found.lower_bound, highest, color=BLUE, alpha=0.12, linewidth=0)
    ax.axhline(found.upper_bound, color=BLUE, linestyle="--", label="upper bound")
    if F is not None:
        ax.axhline(F.error, color=RED, label="error")
        losses = getattr(F.certificate, "levels", ())
        if losses:
            ax.plot(s, losses, "o", color=ORANGE, markeredgecolor="black", label="loss of the step")
    ax.axhline(found.lower_bound, color=BLUE, linestyle=":", label="lower bound")
    ax.set_ylim(bottom=0)
    set_labels(ax, f"{found.lower_bound:.3g} ≤ optimum ≤ {highest:.3g}", "interface s")
    ax.set_ylabel("in the units of A")
    ax.locator_params(axis="x", integer=True)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    return ax


def draw_residuals(found: Any, s: int, *, ax: Axes | None = None) -> Axes:
    """Draw what each block of one interface loses: where a chain fits a matrix, and where it does not.

    A block of the interface is where a group of columns (across) meets a group of rows (down).

    Parameters
    ----------
    found : Bracket
        What `fsmf.bracket` returns.
    s : int
        The interface, counted from 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    InputTypeError
        If it is no bracket.
    OptionError
        If there is no such interface, or its rank bounds nothing.

    Notes
    -----
    **Guarantee.** The squares of all that is shown add up to that of E_s; of several blocks in a pixel the
    largest is shown.

    **Cost.** Linear in the number of blocks.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> from fsmf import drawing
    >>> found = fsmf.bracket(np.fft.fft(np.eye(16)), fsmf.butterfly(16))
    >>> drawing.draw_residuals(found, 2).get_title()
    'interface 2: 16 blocks, E = 13.9'
    """
    _check_bracket(found)
    n = len(found.residuals)
    if isinstance(s, bool) or not isinstance(s, int | np.integer) or not 1 <= s <= n:
        raise OptionError(f"s must be an interface, 1 to {n}; found {s!r}; interfaces are counted from 1")
    residual = found.residuals[s - 1].T
    if not residual.size:
        raise OptionError(
            f"interface {s} is redundant: its rank bounds nothing; nothing to draw; take another"
        )
    ax = as_axes(ax)
    pixels = [min(side, _MAX_PIXELS) for side in residual.shape]
    i, j = (np.arange(side) * few // side for side, few in zip(residual.shape, pixels, strict=True))
    largest = np.zeros(pixels)
    np.maximum.at(largest, (i[:, None], j), residual)
    image = show(ax, largest, (residual.shape[0], residual.shape[1]), cmap="Blues", vmin=0)
    ax.figure.colorbar(image, ax=ax, label="in the units of A", shrink=0.8)
    blocks = plural(residual.size, "block", "blocks")
    title = f"interface {s}: {blocks}, E = {found.distances[s - 1]:.3g}"
    set_labels(ax, title, "group of columns", "group of rows")
    return ax


def _check_bracket(found: Any) -> None:
    if not isinstance(found, Bracket):
        raise InputTypeError(
            f"a Bracket was asked for; found {type(found).__name__}; give fsmf.bracket(A, supports)"
        )
