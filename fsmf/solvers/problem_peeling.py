"""Starting points of a pair that read its components off a slightly moved matrix, one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.fixed import FixedSupport
from fsmf.supports.support import Support, Supports

__all__ = ["meeting", "peeled"]

Array = NDArray[Any]


def peeled(A: Array, supports: Supports) -> tuple[Array, Array]:
    """Read rank-one pieces off the places that no other component still reaches, and subtract them.

    Where such places connect all rows and columns of a component they determine its piece, as the first row
    and column do in Gaussian elimination. Where no component is so far, the one with most places takes the
    dominant singular vectors of what is left of its rectangle.
    """
    left, right = (support.toarray() for support in supports)
    X, Y = np.zeros(left.shape, A.dtype), np.zeros(right.shape, A.dtype)
    rest, count = A.copy(), left.astype(int) @ right.astype(int)
    remaining = [k for k in range(len(right)) if left[:, k].any() and right[k].any()]
    while remaining:
        k = next((k for k in remaining if _connects((count == 1)[np.ix_(left[:, k], right[k])])), None)
        if k is None:
            k = max(remaining, key=lambda k: np.count_nonzero(count[np.ix_(left[:, k], right[k])] == 1))
            place = np.ix_(left[:, k], right[k])
            U, s, Vh = np.linalg.svd(rest[place], full_matrices=False)
            x, y = U[:, 0] * np.sqrt(s[0]), Vh[0] * np.sqrt(s[0])
        else:
            place = np.ix_(left[:, k], right[k])
            x, y = _completed(rest[place], count[place] == 1)
        X[left[:, k], k], Y[k, right[k]] = x, y
        rest[place] -= np.outer(x, y)
        count[place] -= 1
        remaining.remove(k)
    return X, Y


def meeting(X: Array, Y: Array, supports: Supports) -> tuple[Array, Array]:
    """Give each component the scale that brings it nearest to what is prescribed in x_k, or else in y_k."""
    left, right = supports
    by_x, by_y = _scales(X, left), _scales(Y.T, right.T)
    scale = np.where(by_x != 0, by_x, np.divide(1, by_y, out=np.ones_like(by_y), where=by_y != 0))
    return X * scale, Y / scale[:, None]


def _scales(X: Array, support: Support) -> Array:
    """What multiples of its columns come nearest to the values prescribed there; 0 where none tells."""
    over, under = np.zeros((2, X.shape[1]), X.dtype)
    if isinstance(support, FixedSupport):
        rows, columns = (place[support.positions] for place in support.coordinates())
        np.add.at(over, columns, X[rows, columns].conj() * support.prescribed)
        np.add.at(under, columns, np.abs(X[rows, columns]) ** 2)
    return np.divide(over, under, out=np.zeros_like(over), where=under != 0)


def _connects(known: Array) -> bool:
    """Whether the known places of a block connect all its rows and columns."""
    m, n = known.shape
    i, j = np.nonzero(known)
    graph = sparse.coo_array((np.ones(len(i)), (i, m + j)), shape=(m + n, m + n))
    return len(i) >= m + n - 1 and int(csgraph.connected_components(graph, directed=False)[0]) == 1


def _completed(block: Array, known: Array) -> tuple[Array, Array]:
    """The rank-one matrix with the known entries, along the spanning tree of the largest of them."""
    m, n = block.shape
    i, j = np.nonzero(known)
    size = np.abs(block[i, j])
    size = np.maximum(size, 1e-300)
    # Products along the tree go through large entries: its weights are all positive, the smaller the larger.
    weights = 1.0 + np.log(size.max() / size)
    graph = sparse.csr_array((weights, (i, m + j)), shape=(m + n, m + n))
    tree = csgraph.minimum_spanning_tree(graph)
    order, parents = csgraph.breadth_first_order(tree, 0, directed=False)
    z = np.ones(m + n, block.dtype)
    for node in order[1:]:
        parent = parents[node]
        row, column = min(node, parent), max(node, parent) - m
        value = block[row, column]
        z[node] = value / z[parent] if z[parent] else 0
    x, y = z[:m], z[m:]
    of_x, of_y = np.linalg.norm(x), np.linalg.norm(y)
    scale = np.sqrt(of_y / of_x) if min(of_x, of_y) > 0 else 1.0
    return x * scale, y / scale
