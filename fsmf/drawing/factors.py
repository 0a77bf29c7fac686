"""Pictures of factors, and of how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsmf.drawing.canvas import (
    BLUE,
    RED,
    as_axes,
    aspect,
    class_colours,
    named,
    pixels_per_place,
    set_labels,
    show,
)
from fsmf.errors import InputTypeError, OptionError
from fsmf.factorization import Factorization, History
from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.rank_one import equivalence_classes
from fsmf.supports.raster import to_pixels
from fsmf.supports.support import Support, Supports, as_supports

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_factors", "draw_history"]


def draw_factors(F: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the factors side by side, as they multiply; more than four of them on several lines.

    Of a `Factorization`, the values: blue below zero and red above, on one scale symmetric about zero
    (moduli, if complex); of more than two factors, each relative to its largest modulus. Of a pair of
    supports, the columns of the left factor and the rows of the right one, in the colours of their classes as
    in `draw_supports`. Places outside the supports are grey.

    Parameters
    ----------
    F : Factorization, Supports or sequence of supports
        What to draw; supports other than a pair are drawn in one colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `fsmf.as_supports`.

    Notes
    -----
    **Guarantee.** No nonzero is lost: of several places in a pixel the value of largest modulus is shown.

    **Cost.** Linear in the nonzeros, up to sorting them.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> from fsmf import drawing
    >>> ax = drawing.draw_factors(fsmf.factorize(np.eye(8), fsmf.low_rank(8, rank=2)))
    >>> [text.get_text() for text in ax.texts]
    ['8×2', '·', '2×8']
    """
    from matplotlib.patches import Rectangle

    supports = F.supports if isinstance(F, Factorization) else as_supports(F)
    ax = as_axes(ax)
    # A thin factor is drawn thicker than it is, or it would not be seen.
    longest = max(max(support.shape) for support in supports)
    boxes = [[max(side, 0.06 * longest) for side in support.shape] for support in supports]
    gap = 0.12 * longest
    lines = _lines(ax, boxes, gap)
    width = max(sum(boxes[t][1] + gap for t in line) for line in lines)
    heights = [max(boxes[t][0] for t in line) for line in lines]
    below = (0.15 if len(lines) == 1 else 0.22) * max(heights)
    scale = pixels_per_place(ax, sum(heights) + below * len(lines), width)
    values, style = _values(F, supports)
    y, size = 0.0, "medium" if len(lines) == 1 else "small"
    for line, height in zip(lines, heights, strict=True):
        x = 0.0
        for t in line:
            support, value, (tall, wide) = supports[t], values[t], boxes[t]
            top = y + (height - tall) / 2
            i, j, pixels = to_pixels(support, scale)
            grid = np.full(pixels, np.nan)
            order = np.argsort(np.abs(value), kind="stable")
            grid[i[order], j[order]] = value[order]
            ax.add_patch(Rectangle((x, top), wide, tall, color="#EEEEEE", zorder=0))
            ax.add_patch(Rectangle((x, top), wide, tall, fill=False))
            image = show(ax, grid, support.shape, extent=(x, x + wide, top + tall, top), **style)
            where = (x + wide / 2, top + tall + 0.02 * height)
            ax.text(*where, _short(support, len(supports)), ha="center", va="top", fontsize=size)
            x += wide + gap
            if t + 1 < len(supports):
                ax.text(x - gap / 2, y + height / 2, "·", ha="center", va="center", fontsize="xx-large")
        y += height + below
    ax.set(xlim=(-0.01 * width, 1.01 * width - gap), ylim=(y, -0.02 * y), aspect=aspect(y, width))
    ax.set_axis_off()
    set_labels(ax, named(supports))
    if isinstance(F, Factorization):
        bar = ax.figure.colorbar(image, cax=ax.inset_axes((0.3, -0.06, 0.4, 0.035)), orientation="horizontal")
        bar.set_label("relative to the largest modulus of the factor" if len(supports) > 2 else "")
    return ax


def draw_history(history: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the error (left axis) and the size of the factors (right axis) against sweeps.

    All scales are logarithmic: where factors grow while the error falls, both are near to powers of the
    number of sweeps. Of a `Factorization` a positive lower bound is drawn as well.

    Parameters
    ----------
    history : Factorization or History
        What an iterative solver went through.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes with the error; a twin of it has the factor norm.

    Raises
    ------
    OptionError
        If the history is empty, as that of a direct solver is.
    InputTypeError
        If the argument is neither.

    Notes
    -----
    **Guarantee.** Every sweep is drawn; an error that is exactly 0 falls off the lower edge.

    **Cost.** Linear in the number of sweeps.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> from fsmf import drawing
    >>> ax = drawing.draw_history(fsmf.factorize(np.ones((3, 3)) + np.eye(3), fsmf.lu(3)))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('sweep', 'error ‖A − XY‖')
    """
    F, history = (history, history.history) if isinstance(history, Factorization) else (None, history)
    if not isinstance(history, History):
        raise InputTypeError(
            f"a Factorization or its history was asked for; found {type(history).__name__}; give F.history"
        )
    if not len(history):
        raise OptionError(
            "a history of at least one sweep was asked for; found an empty one, as direct solvers leave; "
            "print the factorization instead"
        )
    ax = as_axes(ax)
    twin = ax.twinx()
    sweeps = np.arange(1, len(history) + 1)
    dot = "." if len(history) <= 100 else ""
    lines = ax.semilogx(sweeps, history.error, color=BLUE, marker=dot, label="error")
    lines += twin.semilogx(sweeps, history.factor_norm, "--", color=RED, marker=dot, label="factor norm")
    for axes, values in ((ax, history.error), (twin, history.factor_norm)):
        axes.set_yscale("log" if values.any() else "linear")
    if F is not None and F.lower_bound > 0:
        lines.append(ax.axhline(F.lower_bound, color=BLUE, linestyle=":", label="lower bound"))
    ax.set_ylabel("error ‖A − XY‖", color=BLUE)
    twin.set_ylabel("factor norm (‖X‖² + ‖Y‖²)^½", color=RED)
    ax.grid(alpha=0.3)
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False)
    set_labels(ax, "" if F is None else named(F.supports, F.status.value), "sweep")
    return ax


def _lines(ax: Axes, boxes: Sequence[Sequence[float]], gap: float) -> list[range]:
    """Which factors go on which line: one line for a few, else as many as make the picture largest."""
    n = len(boxes)
    if n <= 4:
        return [range(n)]
    high, wide = (max(sides) + gap for sides in zip(*boxes, strict=True))
    counts = [-(-n // lines) for lines in range(1, n + 1)]
    box = ax.get_window_extent()
    most = max(counts, key=lambda each: min(box.width / (each * wide), box.height / (-(-n // each) * high)))
    return [range(start, min(start + most, n)) for start in range(0, n, most)]


def _short(support: Support, n_factors: int) -> str:
    """A pattern where it tells factors of a chain apart, else the shape."""
    if isinstance(support, KroneckerPattern) and n_factors > 2:
        return str(support.abcd)
    return "×".join(map(str, support.shape))


def _values(F: Any, supports: Supports) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """What to draw at each nonzero of each factor, and the colours for it."""
    from matplotlib.colors import ListedColormap

    if isinstance(F, Factorization):
        real = not np.iscomplexobj(F.factors[0].data)
        values = [factor.data if real else np.abs(factor.data) for factor in F.factors]
        tops = [float(np.abs(value).max(initial=0)) for value in values]
        if len(values) > 2:
            # How a product is shared out between many factors is arbitrary.
            values = [value / (own or 1.0) for value, own in zip(values, tops, strict=True)]
            tops = [1.0]
        top = max(tops) or 1.0
        return values, {"cmap": "RdBu_r" if real else "cividis", "vmin": -top if real else 0, "vmax": top}
    if len(supports) != 2:
        return [np.ones(support.nnz) for support in supports], {"cmap": "Blues", "vmin": 0, "vmax": 1}
    classes = equivalence_classes(supports)
    # Class -1 holds the components that have no place to act.
    colours = ListedColormap(np.vstack([[0.6, 0.6, 0.6, 1], class_colours(len(classes))]))
    left, right = supports
    values = [classes.class_of[left.coordinates()[1]] + 0.0, classes.class_of[right.coordinates()[0]] + 0.0]
    return values, {"cmap": colours, "vmin": -1.5, "vmax": len(classes) - 0.5}
