"""Pictures of supports, rank-one blocks, overlaps, factors and histories, each on one Axes.

Every function takes ``ax=None`` and returns the Axes: it opens a figure only when none is given, changes no
global setting, and shows nothing by itself. What is larger than the picture is counted or sampled by pixel:
cost and memory depend on the nonzeros, never on the area.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputTypeError, OptionError
from fsmf.factorization import Factorization, History
from fsmf.supports.graph import overlap_graph
from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes
from fsmf.supports.raster import densities, sample, to_pixels, visible_classes
from fsmf.supports.support import Supports, as_support, as_supports

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_factors", "draw_history", "draw_overlap_graph", "draw_support", "draw_supports"]

# Okabe and Ito's colours, told apart by every kind of colour vision; black and white are ink and paper.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_BLUE, _ORANGE, _SKY, _RED = (_COLOURS[k] for k in (0, 1, 4, 5))

# Nodes of a picture of the overlap graph; more could not be told apart.
_MAX_NODES = 120


def draw_supports(supports: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the rank-one blocks of a pair over the matrix that it makes.

    Each equivalence class fills its rectangle with its own colour. A place that several classes reach is
    striped in the colours of the largest and of the smallest of them; a place out of reach is blank.

    Parameters
    ----------
    supports : Supports or sequence
        Two supports, as `fsmf.as_supports` takes them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    ShapeError
        If there are not exactly two factors.

    Notes
    -----
    **Guarantee.** Up to four places a pixel are all drawn; of a larger matrix rows and columns are sampled
    at random, about three of each a pixel, always the same.

    **Cost.** Linear in the nonzeros, plus the drawn places of all rectangles, 34 million at most.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf import drawing
    >>> ax = drawing.draw_supports(fsmf.hodlr(8, rank=1))
    >>> [text.get_text() for text in ax.get_legend().get_texts()][1:3]
    ['class 1: 4×4, rank 4, complete', 'class 2: 4×4, rank 1']
    """
    supports = as_supports(supports)
    classes, ax = equivalence_classes(supports), _axes(ax)
    m, n = supports.shape
    scale = _pixels_per_place(ax, m, n)
    inner, outer = visible_classes(classes, *(sample(side, scale) for side in (m, n)))
    enlarged = min(16, max(1, 1024 // max(m, n)))
    inner, outer = (np.repeat(np.repeat(owner, enlarged, 0), enlarged, 1) for owner in (inner, outer))
    i, j = np.ogrid[: inner.shape[0], : inner.shape[1]]
    striped = (i + j) // max(1, enlarged // 4) % 2 == 1
    colours = np.vstack([_class_colours(len(classes)), [0, 0, 0, 0]])
    image = colours[np.where(striped, outer, inner)].astype(np.float32)
    if enlarged >= 8:  # a thin line between places
        image[enlarged - 1 :: enlarged] = image[:, enlarged - 1 :: enlarged] = 0
    _show(ax, image, (m, n), interpolation="nearest" if enlarged >= 8 else "auto")
    complete = f"{int(classes.complete.sum())} complete"
    _label(ax, _named(supports, _plural(len(classes), "class", "classes"), complete), "column", "row")
    if 0 < len(classes) <= len(_COLOURS):
        _legend_of_classes(ax, classes, striped=bool((inner != outer).any()))
    return ax


def draw_support(support: Any, *, ax: Axes | None = None) -> Axes:
    """Draw where one factor may be nonzero.

    A pixel that stands for many places is the darker the more of them are in the support.

    Parameters
    ----------
    support : Support, array_like or sparse array, shape (n_rows, n_columns)
        The pattern, as `fsmf.as_support` takes it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `fsmf.as_support`.

    Notes
    -----
    **Guarantee.** No nonzero is lost: a pixel is blank only when none of its places is in the support.

    **Cost.** Linear in the nonzeros.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf import drawing
    >>> drawing.draw_support(fsmf.lu(8)[0]).get_title()
    '8×8, 36 nonzeros'
    """
    support = as_support(support)
    ax = _axes(ax)
    m, n = support.shape
    density = densities(support, _pixels_per_place(ax, m, n))
    shade = np.where(density > 0, 0.3 + 0.7 * np.sqrt(density / (density.max() or 1)), np.nan)
    _show(ax, shade, (m, n), cmap="Blues", vmin=0, vmax=1)
    _label(ax, f"{m}×{n}, {_plural(support.nnz, 'nonzero', 'nonzeros')}", "column", "row")
    return ax


def draw_overlap_graph(supports: Any, *, ax: Axes | None = None) -> Axes:
    """Draw who overlaps whom: the overlap graph of a pair.

    A node is an equivalence class, the larger the larger its rectangle, labelled with its number, rank and
    shape where there is room; complete classes are squares. An edge is the wider the more places two
    classes share; it is red when both are incomplete.

    Parameters
    ----------
    supports : Supports or sequence
        Two supports, as `fsmf.as_supports` takes them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    ShapeError
        If there are not exactly two factors.

    Notes
    -----
    **Guarantee.** Of more than 120 classes only the largest are drawn, and the title says so.

    **Cost.** Linear in the nonzeros, plus that of a spring model of at most 120 nodes.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf import drawing
    >>> drawing.draw_overlap_graph(fsmf.lu(4)).get_title().splitlines()
    ['lu(4)', '4 classes, 6 overlaps']
    """
    from matplotlib.collections import LineCollection

    supports = as_supports(supports)
    classes, ax = equivalence_classes(supports), _axes(ax)
    largest = np.sort(np.argsort(-classes.areas, kind="stable")[:_MAX_NODES])
    lists = (each.take(largest) for each in (classes.members, classes.rows, classes.columns))
    graph = overlap_graph(EquivalenceClasses(classes.shape, classes.class_of, *lists))
    place, complete, room = _places(graph), classes.complete[largest], len(graph) <= 25
    edges = list(graph.edges(data="overlap"))
    if edges:
        share = np.sqrt([overlap for *_, overlap in edges])
        ends = np.array([edge[:2] for edge in edges])
        width = 0.5 + 3 * share / share.max() * min(1.0, 40 / len(edges))
        colours = np.where(complete[ends].any(axis=1), "#AAAAAA", _RED).tolist()
        ax.add_collection(LineCollection(list(place[ends]), linewidths=width, colors=colours, zorder=1))
    for p, q, overlap in edges if room and len(edges) <= 15 else ():
        x, y = place[[p, q]].mean(axis=0)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(x, y, str(overlap), ha="center", va="center", fontsize="small", bbox=white)
    size = np.maximum(0.5, classes.areas[largest] / classes.areas.max(initial=1)) * (2000 if room else 150)
    kinds = (complete, "s", _SKY, "complete class"), (~complete, "o", _ORANGE, "incomplete class")
    for which, marker, colour, label in kinds:
        if which.any():
            x, y = place[which].T
            ax.scatter(x, y, s=size[which], c=colour, marker=marker, edgecolors="black")
            ax.scatter([], [], s=60, c=colour, marker=marker, edgecolors="black", label=label)
    for t, p in enumerate(largest if room else ()):
        text = f"{p}\n{len(classes.rows[p])}×{len(classes.columns[p])}\nrank {classes[p].rank}"
        ax.text(place[t, 0], place[t, 1], text, ha="center", va="center", fontsize="x-small")
    shown = "" if len(graph) == len(classes) else f"the {len(graph)} largest of "
    shown += _plural(len(classes), "class", "classes")
    _label(ax, _named(supports, shown, _plural(len(edges), "overlap", "overlaps")))
    ax.margins(0.2)
    ax.set_axis_off()
    if len(graph):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    return ax


def draw_factors(F: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the factors side by side, as they multiply.

    Of a `Factorization`, the values: blue below zero and red above, on one scale symmetric about zero
    (moduli, if complex). Of a pair of supports, the columns of the left factor and the rows of the right one,
    in the colours of their classes as in `draw_supports`. Places outside the supports are grey.

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
    ax = _axes(ax)
    longest = max(max(support.shape) for support in supports)
    # A thin factor is drawn thicker than it is, or it would not be seen.
    boxes = [[max(side, 0.06 * longest) for side in support.shape] for support in supports]
    gap, height = 0.12 * longest, max(box[0] for box in boxes)
    scale = _pixels_per_place(ax, height, sum(box[1] + gap for box in boxes))
    values, style = _values(F, supports)
    x = 0.0
    for t, (support, value, (tall, wide)) in enumerate(zip(supports, values, boxes, strict=True)):
        top = (height - tall) / 2
        if t:
            ax.text(x - gap / 2, height / 2, "·", ha="center", va="center", fontsize="xx-large")
        i, j, pixels = to_pixels(support, scale)
        grid = np.full(pixels, np.nan)
        order = np.argsort(np.abs(value), kind="stable")
        grid[i[order], j[order]] = value[order]
        ax.add_patch(Rectangle((x, top), wide, tall, color="#EEEEEE", zorder=0))
        ax.add_patch(Rectangle((x, top), wide, tall, fill=False))
        image = _show(ax, grid, support.shape, extent=(x, x + wide, top + tall, top), **style)
        below = "×".join(map(str, support.shape))
        ax.text(x + wide / 2, top + tall + 0.02 * height, below, ha="center", va="top")
        x += wide + gap
    ax.set(xlim=(-0.01 * x, 1.01 * x - gap), ylim=(1.15 * height, -0.02 * height), aspect=_aspect(height, x))
    ax.set_axis_off()
    _label(ax, _named(supports))
    if isinstance(F, Factorization):
        bar = ax.inset_axes((0.3, -0.06, 0.4, 0.035))
        ax.figure.colorbar(image, cax=bar, orientation="horizontal")
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
    ax = _axes(ax)
    twin = ax.twinx()
    sweeps = np.arange(1, len(history) + 1)
    dot = "." if len(history) <= 100 else ""
    lines = ax.semilogx(sweeps, history.error, color=_BLUE, marker=dot, label="error")
    lines += twin.semilogx(sweeps, history.factor_norm, "--", color=_RED, marker=dot, label="factor norm")
    for axes, values in ((ax, history.error), (twin, history.factor_norm)):
        axes.set_yscale("log" if values.any() else "linear")
    if F is not None and F.lower_bound > 0:
        lines.append(ax.axhline(F.lower_bound, color=_BLUE, linestyle=":", label="lower bound"))
    ax.set_ylabel("error ‖A − XY‖", color=_BLUE)
    twin.set_ylabel("factor norm (‖X‖² + ‖Y‖²)^½", color=_RED)
    ax.grid(alpha=0.3)
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False)
    _label(ax, "" if F is None else _named(F.supports, F.status.value), "sweep")
    return ax


def _axes(ax: Any) -> Axes:
    """The Axes given, or those of a new figure."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(layout="compressed")[1]
    elif not hasattr(ax, "imshow"):
        raise InputTypeError(f"ax must be matplotlib Axes; found {type(ax).__name__}; give ax=figure.gca()")
    return cast("Axes", ax)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _named(supports: Supports, *facts: str) -> str:
    """A title: the name of the supports, or their shapes, and what there is to say."""
    name = supports.name or " · ".join("×".join(map(str, support.shape)) for support in supports)
    return "\n".join([name, ", ".join(facts)] if facts else [name])


def _label(ax: Axes, title: str, x: str = "", y: str = "") -> None:
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
        ax.locator_params(integer=True)


def _show(ax: Axes, image: NDArray[Any], shape: tuple[int, int], **style: Any) -> Any:
    """Draw an image of a matrix of this shape; NaN is transparent."""
    m, n = shape
    style = {"extent": (-0.5, n - 0.5, m - 0.5, -0.5), "interpolation": "nearest"} | style
    return ax.imshow(np.ma.masked_invalid(image), aspect=_aspect(m, n), **style)


def _aspect(height: float, width: float) -> Literal["equal", "auto"]:
    """Square places, unless the picture would be too thin to see."""
    return "equal" if max(height, width) <= 8 * min(height, width) else "auto"


def _pixels_per_place(ax: Axes, height: float, width: float) -> float:
    box = ax.get_window_extent()
    return max(1.0, min(box.height * width, box.width * height)) / (height * width)


def _places(graph: Any) -> NDArray[np.float64]:
    """Where to draw the nodes 0, 1, …: by a spring model, or in rows where nothing overlaps."""
    import networkx

    if not graph.number_of_edges():
        wide = max(1, math.isqrt(len(graph)))
        return np.array([divmod(p, wide) for p in graph], dtype=float).reshape(-1, 2)[:, ::-1] * [1, -1]
    at = networkx.spring_layout(graph, seed=0, k=3 / np.sqrt(len(graph)), iterations=200)
    return np.array([at[p] for p in range(len(graph))])


def _class_colours(count: int) -> NDArray[np.float64]:
    """One opaque colour per class: of many, the colours return paler, then darker."""
    from matplotlib.colors import to_rgba_array

    pure = to_rgba_array(_COLOURS)
    tints = np.concatenate([pure, 0.55 * pure + 0.45, [0.55, 0.55, 0.55, 1] * pure])
    return tints[np.arange(count) % len(tints)]


def _legend_of_classes(ax: Axes, classes: EquivalenceClasses, *, striped: bool) -> None:
    from matplotlib.patches import Patch

    handles = []
    for p, colour in enumerate(_class_colours(len(classes))):
        one = classes[p]
        text = f"class {p}: {len(one.rows)}×{len(one.columns)}, rank {one.rank}"
        handles.append(Patch(color=tuple(colour), label=text + ", complete" * one.is_complete))
    legend = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    legend.set_title("stripes: several classes" if striped else "")
    legend.set_frame_on(False)


def _values(F: Any, supports: Supports) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """What to draw at each nonzero of each factor, and the colours for it."""
    from matplotlib.colors import ListedColormap

    if isinstance(F, Factorization):
        real = not np.iscomplexobj(F.factors[0].data)
        values = [factor.data if real else np.abs(factor.data) for factor in F.factors]
        top = max(float(np.abs(value).max(initial=0)) for value in values) or 1.0
        return values, {"cmap": "RdBu_r" if real else "cividis", "vmin": -top if real else 0, "vmax": top}
    if len(supports) != 2:
        return [np.ones(support.nnz) for support in supports], {"cmap": "Blues", "vmin": 0, "vmax": 1}
    classes = equivalence_classes(supports)
    # Class -1 holds the components that have no place to act.
    colours = ListedColormap(np.vstack([[0.6, 0.6, 0.6, 1], _class_colours(len(classes))]))
    left, right = supports
    values = [classes.class_of[left.coordinates()[1]] + 0.0, classes.class_of[right.coordinates()[0]] + 0.0]
    return values, {"cmap": colours, "vmin": -1.5, "vmax": len(classes) - 0.5}
