"""Supports seen from afar: which pixel a nonzero falls in, and which class a pixel shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.supports.layout import Index, IndexLists, Layout
from fsmf.supports.rank_one import EquivalenceClasses
from fsmf.supports.support import Support

__all__ = ["densities", "sample", "to_pixels", "visible_classes"]

# Places of all rectangles together that are visited; beyond, the picture is made coarser.
_MAX_PLACES = 1 << 25

# So few rows or columns are always told apart: a thin matrix may be drawn wider than it is.
_FEW = 64


def to_pixels(support: Support, scale: float) -> tuple[Index, Index, tuple[int, int]]:
    """The pixel of each nonzero, and the size of the image: one pixel a place where there is room."""
    size = [side if scale >= 1 else min(side, max(_FEW, int(side * scale / 1.5))) for side in support.shape]
    i, j = (
        index.astype(np.int64) * pixels // side
        for index, pixels, side in zip(support.coordinates(), size, support.shape, strict=True)
    )
    return i, j, (size[0], size[1])


def densities(support: Support, scale: float) -> NDArray[np.float64]:
    """The fraction of each pixel's places that are in the support."""
    i, j, (height, width) = to_pixels(support, scale)
    count = np.bincount(i * width + j, minlength=height * width).reshape(height, width)
    m, n = support.shape
    rows, columns = np.bincount(np.arange(m) * height // m), np.bincount(np.arange(n) * width // n)
    return count / np.outer(rows, columns)


def sample(side: int, scale: float) -> Index:
    """The rows (columns) to draw: all, or one at random from each of equal strata, against moiré."""
    if scale >= 0.25:
        return np.arange(side)
    edges = np.linspace(0, side, min(side, max(_FEW, int(3 * scale * side))) + 1)
    drawn = np.random.default_rng(0).uniform(edges[:-1], edges[1:])
    return np.minimum(drawn.astype(np.int64), side - 1)


def visible_classes(
    classes: EquivalenceClasses, rows: Index, columns: Index
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For chosen rows and columns, the smallest and the largest class at each place; -1 for none."""
    order = np.argsort(-classes.areas, kind="stable")
    while True:
        own_rows = _only(classes.rows.take(order), classes.shape[0], rows)
        own_columns = _only(classes.columns.take(order), classes.shape[1], columns)
        if own_rows.sizes.astype(float) @ own_columns.sizes <= _MAX_PLACES:
            break
        rows, columns = rows[::2], columns[::2]
    layout = Layout.of(own_rows, own_columns, (len(rows), len(columns)))
    inner = np.full((len(layout.first_row), layout.n_column_types), -1, dtype=np.int64)
    outer = inner.copy()
    for chunk in layout.places():
        key = chunk.key + chunk.first_row_type * layout.n_column_types
        # Rectangles ascend within each place, and of several writes to one place the last stays.
        inner.reshape(-1)[key] = order[chunk.rectangle]
        outer.reshape(-1)[key[::-1]] = order[chunk.rectangle[::-1]]
    place = np.ix_(layout.row_type, layout.column_type)
    return inner[place], outer[place]


def _only(lists: IndexLists, width: int, chosen: Index) -> IndexLists:
    """The lists over the chosen values only, renumbered."""
    ones = np.ones(lists.indices.size, dtype=bool)
    csr = sparse.csr_array((ones, lists.indices, lists.indptr), shape=(len(lists), width))[:, chosen]
    csr.sort_indices()
    return IndexLists(csr.indptr, csr.indices)
