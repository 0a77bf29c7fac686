"""Pictures of supports: where nonzeros may be, which blocks they make, and which of these overlap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsmf.drawing.canvas import (
    COLOURS,
    ORANGE,
    RED,
    SKY,
    as_axes,
    class_colours,
    named,
    pixels_per_place,
    plural,
    set_labels,
    show,
)
from fsmf.supports.graph import overlap_graph
from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes
from fsmf.supports.raster import densities, sample, visible_classes
from fsmf.supports.support import as_support, as_supports

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_overlap_graph", "draw_support", "draw_supports"]

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
    classes, ax = equivalence_classes(supports), as_axes(ax)
    m, n = supports.shape
    scale = pixels_per_place(ax, m, n)
    inner, outer = visible_classes(classes, *(sample(side, scale) for side in (m, n)))
    enlarged = min(16, max(1, 1024 // max(m, n)))
    inner, outer = (np.repeat(np.repeat(owner, enlarged, 0), enlarged, 1) for owner in (inner, outer))
    i, j = np.ogrid[: inner.shape[0], : inner.shape[1]]
    striped = (i + j) // max(1, enlarged // 4) % 2 == 1
    colours = np.vstack([class_colours(len(classes)), [0, 0, 0, 0]])
    image = colours[np.where(striped, outer, inner)].astype(np.float32)
    if enlarged >= 8:  # a thin line between places
        image[enlarged - 1 :: enlarged] = image[:, enlarged - 1 :: enlarged] = 0
    show(ax, image, (m, n), interpolation="nearest" if enlarged >= 8 else "auto")
    complete = f"{int(classes.complete.sum())} complete"
    set_labels(ax, named(supports, plural(len(classes), "class", "classes"), complete), "column", "row")
    if 0 < len(classes) <= len(COLOURS):
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
    ax = as_axes(ax)
    m, n = support.shape
    density = densities(support, pixels_per_place(ax, m, n))
    shade = np.where(density > 0, 0.3 + 0.7 * np.sqrt(density / (density.max() or 1)), np.nan)
    show(ax, shade, (m, n), cmap="Blues", vmin=0, vmax=1)
    set_labels(ax, f"{m}×{n}, {plural(support.nnz, 'nonzero', 'nonzeros')}", "column", "row")
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
    classes, ax = equivalence_classes(supports), as_axes(ax)
    largest = np.sort(np.argsort(-classes.areas, kind="stable")[:_MAX_NODES])
    lists = (each.take(largest) for each in (classes.members, classes.rows, classes.columns))
    graph = overlap_graph(EquivalenceClasses(classes.shape, classes.class_of, *lists))
    place, complete, room = _places(graph), classes.complete[largest], len(graph) <= 25
    edges = list(graph.edges(data="overlap"))
    if edges:
        share = np.sqrt([overlap for *_, overlap in edges])
        ends = np.array([edge[:2] for edge in edges])
        width = 0.5 + 3 * share / share.max() * min(1.0, 40 / len(edges))
        colours = np.where(complete[ends].any(axis=1), "#AAAAAA", RED).tolist()
        ax.add_collection(LineCollection(list(place[ends]), linewidths=width, colors=colours, zorder=1))
    for p, q, overlap in edges if room and len(edges) <= 15 else ():
        x, y = place[[p, q]].mean(axis=0)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(x, y, str(overlap), ha="center", va="center", fontsize="small", bbox=white)
    size = np.maximum(0.5, classes.areas[largest] / classes.areas.max(initial=1)) * (2000 if room else 150)
    kinds = (complete, "s", SKY, "complete class"), (~complete, "o", ORANGE, "incomplete class")
    for which, marker, colour, label in kinds:
        if which.any():
            x, y = place[which].T
            ax.scatter(x, y, s=size[which], c=colour, marker=marker, edgecolors="black")
            ax.scatter([], [], s=60, c=colour, marker=marker, edgecolors="black", label=label)
    for t, p in enumerate(largest if room else ()):
        text = f"{p}\n{len(classes.rows[p])}×{len(classes.columns[p])}\nrank {classes[p].rank}"
        ax.text(place[t, 0], place[t, 1], text, ha="center", va="center", fontsize="x-small")
    shown = "" if len(graph) == len(classes) else f"the {len(graph)} largest of "
    shown += plural(len(classes), "class", "classes")
    set_labels(ax, named(supports, shown, plural(len(edges), "overlap", "overlaps")))
    ax.margins(0.2)
    ax.set_axis_off()
    if len(graph):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    return ax


def _places(graph: Any) -> NDArray[np.float64]:
    """Where to draw the nodes 0, 1, …: by a spring model, or in rows where nothing overlaps."""
    import networkx

    if not graph.number_of_edges():
        wide = max(1, math.isqrt(len(graph)))
        return np.array([divmod(p, wide) for p in graph], dtype=float).reshape(-1, 2)[:, ::-1] * [1, -1]
    at = networkx.spring_layout(graph, seed=0, k=3 / np.sqrt(len(graph)), iterations=200)
    return np.array([at[p] for p in range(len(graph))])


def _legend_of_classes(ax: Axes, classes: EquivalenceClasses, *, striped: bool) -> None:
    from matplotlib.patches import Patch

    handles = []
    for p, colour in enumerate(class_colours(len(classes))):
        one = classes[p]
        text = f"class {p}: {len(one.rows)}×{len(one.columns)}, rank {one.rank}"
        handles.append(Patch(color=tuple(colour), label=text + ", complete" * one.is_complete))
    legend = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    legend.set_title("stripes: several classes" if striped else "")
    legend.set_frame_on(False)
