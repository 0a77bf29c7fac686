"""Who overlaps whom: the overlap graph of a pair and its connected components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.layout import Index
from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes

if TYPE_CHECKING:
    import networkx

__all__ = ["connected_components", "overlap_graph"]

# Row types looked at before the labels are refreshed; small, since one refresh can make the rest needless.
_BATCH = 256


def overlap_graph(supports: Any) -> networkx.Graph:
    """Draw up the graph whose nodes are equivalence classes and whose edges are overlaps.

    Parameters
    ----------
    supports : Supports, sequence or EquivalenceClasses
        Two supports, as `as_supports` takes them, or their classes.

    Returns
    -------
    networkx.Graph
        Node p is class p, with attributes ``members``, ``rows``, ``columns`` (integer arrays), ``rank``
        (rank budget) and ``complete``. Edge (p, q) says that the rectangles of the two classes share
        ``overlap`` > 0 places.

    Raises
    ------
    ShapeError
        If there are not exactly two factors.

    Notes
    -----
    Cost: linear in the number of edges, which may be far more than the nonzeros; `analyze` finds
    the connected components without it.

    Examples
    --------
    >>> import fsmf
    >>> G = fsmf.overlap_graph(fsmf.lu(2))
    >>> sorted(G.nodes), list(G.edges(data="overlap"))
    ([0, 1], [(0, 1, 1)])
    """
    import networkx

    classes = supports if isinstance(supports, EquivalenceClasses) else equivalence_classes(supports)
    graph = networkx.Graph()
    for p in range(len(classes)):
        one = classes[p]
        graph.add_node(
            p,
            members=one.members,
            rows=one.rows,
            columns=one.columns,
            rank=one.rank,
            complete=one.is_complete,
        )
    shared_rows = classes.rows.incidence(classes.shape[0])
    shared_columns = classes.columns.incidence(classes.shape[1])
    overlap = sparse.triu(
        (shared_rows @ shared_rows.T).multiply(shared_columns @ shared_columns.T), k=1
    ).tocoo()
    graph.add_weighted_edges_from(
        zip(overlap.row.tolist(), overlap.col.tolist(), overlap.data.tolist(), strict=True), weight="overlap"
    )
    return graph


def connected_components(classes: EquivalenceClasses) -> Index:
    """Number the connected components of the overlap graph: the component of each class, shape (n_classes,).

    Components are numbered by their first class. The graph itself is never formed: memory stays linear in
    the nonzeros, and rows whose classes are already joined are passed over.
    """
    if classes.are_few:
        overlap = np.multiply(*classes.shared)
        # Most often any two of them meet each other or the same third.
        if (overlap @ overlap).all():
            return np.zeros(len(classes), dtype=np.int64)
        return _flooded(overlap > 0)
    layout = classes.layout
    labels = np.arange(len(classes))
    for start in range(0, len(layout.memberships), _BATCH):
        row_types = np.arange(start, min(start + _BATCH, len(layout.memberships)))
        row_types = row_types[layout.memberships.sizes[row_types] > 0]
        if not row_types.size:
            continue
        held = layout.memberships.take(row_types)
        label = labels[held.indices]
        joined = np.minimum.reduceat(label, held.indptr[:-1]) == np.maximum.reduceat(label, held.indptr[:-1])
        for chunk in layout.places(row_types[~joined]):
            owner = np.empty(chunk.n_row_types * layout.n_column_types, dtype=labels.dtype)
            owner[chunk.key] = label = labels[chunk.rectangle]
            other = owner[chunk.key]
            edge = other != label
            if edge.any():
                graph = sparse.coo_array(
                    (np.ones(edge.sum(), dtype=bool), (label[edge], other[edge])), shape=(len(labels),) * 2
                )
                labels = csgraph.connected_components(graph, directed=False)[1][labels]
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]


def _flooded(overlap: NDArray[np.bool_]) -> Index:
    """The component of each node of a small graph, given as a dense matrix, numbered by their first nodes."""
    labels, left = np.empty(len(overlap), dtype=np.int64), np.ones(len(overlap), dtype=bool)
    count = 0
    while np.count_nonzero(left):
        new = found = overlap[left.argmax()]
        while np.count_nonzero(new):
            # Those that the new ones meet, and that are not found yet.
            new = np.logical_or.reduce(overlap[new]) > found
            found = found | new
        labels[found], left[found] = count, False
        count += 1
    return labels
