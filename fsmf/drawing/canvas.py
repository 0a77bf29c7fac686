"""What all pictures share: Axes, colours, titles, and matrices as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputTypeError
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Supports

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "COLOURS",
    "ORANGE",
    "RED",
    "SKY",
    "as_axes",
    "aspect",
    "class_colours",
    "set_labels",
    "named",
    "pixels_per_place",
    "plural",
    "show",
]

# Okabe and Ito's colours, told apart by every kind of colour vision; black and white are ink and paper.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
BLUE, ORANGE, SKY, RED = (COLOURS[k] for k in (0, 1, 4, 5))


def as_axes(ax: Any) -> Axes:
    """Return the Axes given, or those of a new figure."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(layout="compressed")[1]
    elif not hasattr(ax, "imshow"):
        raise InputTypeError(f"ax must be matplotlib Axes; found {type(ax).__name__}; give ax=figure.gca()")
    return cast("Axes", ax)


def plural(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else many}"


def named(supports: Supports | Constraints, *facts: str) -> str:
    """Return a title: the name of the supports, or their shapes, and what there is to say."""
    own = supports.name if isinstance(supports, Supports) else None
    name = own or " · ".join("×".join(map(str, support.shape)) for support in supports)
    return "\n".join([name, ", ".join(facts)] if facts else [name])


def set_labels(ax: Axes, title: str, x: str = "", y: str = "") -> None:
    """Set the title and the labels of the axes; those of a matrix count in integers."""
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
        ax.locator_params(integer=True)


def show(ax: Axes, image: NDArray[Any], shape: tuple[int, int], **style: Any) -> Any:
    """Draw an image of a matrix of this shape; NaN is transparent."""
    m, n = shape
    style = {"extent": (-0.5, n - 0.5, m - 0.5, -0.5), "interpolation": "nearest"} | style
    return ax.imshow(np.ma.masked_invalid(image), aspect=aspect(m, n), **style)


def aspect(height: float, width: float) -> Literal["equal", "auto"]:
    """Ask for square places, unless the picture would be too thin to see."""
    return "equal" if max(height, width) <= 8 * min(height, width) else "auto"


def pixels_per_place(ax: Axes, height: float, width: float) -> float:
    """Return the side of a place of a matrix, in pixels."""
    box = ax.get_window_extent()
    return max(1.0, min(box.height * width, box.width * height)) / (height * width)


def class_colours(count: int) -> NDArray[np.float64]:
    """Return one opaque colour per class: of many, the colours return paler, then darker."""
    from matplotlib.colors import to_rgba_array

    pure = to_rgba_array(COLOURS)
    tints = np.concatenate([pure, 0.55 * pure + 0.45, [0.55, 0.55, 0.55, 1] * pure])
    return tints[np.arange(count) % len(tints)]
