"""What exact products determine: whether the part of each class can be read off one after another."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.layout import Index
from fsmf.supports.rank_one import EquivalenceClasses

__all__ = ["is_read_off"]

# Above this many places the greedy test is not run: it keeps them all in memory.
_MAX_PLACES = 3 << 21


def is_read_off(classes: EquivalenceClasses) -> bool:
    """Return whether the classes can be read off one after another from an exact generic product.

    A class can be read off when the places that only it still reaches determine it: a class of one member
    when they connect all its rows and columns (rank-one completion), any other when they are its whole
    rectangle. What is read off is subtracted, and frees places of the others.
    """
    layout = classes.layout
    if int(classes.areas.sum()) > _MAX_PLACES:
        return False
    n_types = layout.n_column_types
    chunks = [(chunk.key + chunk.first_row_type * n_types, chunk.rectangle) for chunk in layout.places()]
    keys, owners = (np.concatenate(piece) for piece in zip(*chunks, strict=True))
    order = np.argsort(owners, kind="stable")
    keys = keys[order]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(classes)))])
    count = np.zeros(len(layout.first_row) * n_types, dtype=np.int64)
    np.add.at(count, keys, 1)
    left = set(range(len(classes)))
    progress = True
    while left and progress:
        progress = False
        for p in sorted(left):
            places = keys[bounds[p] : bounds[p + 1]]
            alone = places[count[places] == 1]
            if _determines(alone, places, n_types, single=classes.members.sizes[p] == 1):
                count[places] -= 1
                left.discard(p)
                progress = True
    return not left


def _determines(alone: Index, places: Index, n_types: int, *, single: bool) -> bool:
    if len(alone) == len(places):
        return True
    if not single or not len(alone):
        return False
    rows, columns = np.unique(places // n_types), np.unique(places % n_types)
    i, j = np.searchsorted(rows, alone // n_types), np.searchsorted(columns, alone % n_types)
    size = len(rows) + len(columns)
    graph = sparse.coo_array((np.ones(len(alone), dtype=bool), (i, len(rows) + j)), shape=(size, size))
    return int(csgraph.connected_components(graph, directed=False)[0]) == 1
