"""The way from factors on their supports to functions that multiply with them, wherever the values live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.kernels.kronecker_matmul import ChainProduct
from fsmf.kernels.kronecker_matmul_device import DeviceChain
from fsmf.kernels.namespace import Space
from fsmf.kernels.sparse_rows import SparseRows
from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.layout import Index
from fsmf.supports.recognition import arrange
from fsmf.supports.support import Support, Supports

__all__ = ["ChainStage", "composed", "permuted_columns", "stages_of", "taken", "transposed_values"]


def stages_of(
    space: Space, supports: Supports, values: Sequence[Any], *, rows: Index | None, columns: Index | None
) -> tuple[Callable[..., Any], ...]:
    """Return what is to be applied one after another, last factor first.

    Parameters
    ----------
    space : Space
        Where the values are, and what they are applied to.
    supports : Supports
        One per factor.
    values : sequence of array
        Those of each factor, in the row-major order of its support.
    rows, columns : ndarray of int or None
        Permutations of the outer sides, as `fsmf.Product` has them.

    Returns
    -------
    tuple of callable
        From arrays of shape (n,) or (n, k) to arrays of as many axes; a `ChainStage` also takes ``out=``.
    """
    arrangement = arrange(supports)
    if arrangement is not None:
        chain = arrangement.architecture
        values = tuple(
            value if order is None else taken(space, value, order)
            for value, order in zip(values, arrangement.orders, strict=True)
        )
        return (
            ChainStage(
                space,
                chain.patterns,
                values,
                composed(rows, arrangement.rows),
                composed(columns, arrangement.columns),
            ),
        )
    stages: list[Callable[[Any], Any]] = []
    pairs = zip(supports, values, strict=True)
    for dense, run in groupby(pairs, key=lambda pair: isinstance(pair[0], KroneckerPattern)):
        own = list(run)
        if dense:
            stages.append(ChainStage(space, [pattern for pattern, _ in own], [value for _, value in own]))
        else:
            stages += [_multiplication(space, *pair) for pair in own]
    if rows is not None:
        stages.insert(0, _order(space, np.argsort(rows)))
    if columns is not None:
        stages.append(_order(space, columns))
    return tuple(reversed(stages))


class ChainStage:
    """Apply a run of Kronecker factors where their values are; planned on first use."""

    def __init__(
        self,
        space: Space,
        patterns: Any,
        values: Any,
        rows: Index | None = None,
        columns: Index | None = None,
    ) -> None:
        chain = [pattern.abcd for pattern in patterns]
        self._orders: dict[str, Any] = {"rows": rows, "columns": columns} if space.is_host else {}
        self._product: ChainProduct | DeviceChain
        if space.is_host:
            self._product = ChainProduct(chain, values)
        else:
            self._product = DeviceChain(space, chain, values, rows=rows, columns=columns)

    def __call__(self, x: Any, **options: Any) -> Any:
        """Return the product with x, with what the kernels take: ``out=`` here, ``is_bfloat16=`` on a GPU."""
        return self._product.apply(x, **self._orders, **options)


def _multiplication(space: Space, support: Support, value: Any) -> Callable[[Any], Any]:
    """The product with a factor on any support."""
    if space.is_host:
        factor = sparse.csr_array((value, support.indices, support.indptr), shape=support.shape)
        return lambda x: factor @ x
    rows = SparseRows(space, support.indptr, support.indices, value, support.shape)
    return lambda x: rows(x) if x.ndim == 2 else rows(x[:, None])[:, 0]


def _order(space: Space, order: Index) -> Callable[[Any], Any]:
    """What takes rows in this order, which is copied to where they are once."""
    there = space.put(order)
    return lambda x: space.xp.take(x, there, axis=0)


def taken(space: Space, array: Any, order: Index) -> Any:
    """Return entries, or rows, in this order."""
    return array[order] if space.is_host else space.xp.take(array, space.put(order), axis=0)


def composed(outer: Index | None, inner: Index | None) -> Index | None:
    """Return the order that takes one order and then another; None is that of things as they are."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    composed: Index = outer[inner]
    return composed


def transposed_values(space: Space, support: Support, value: Any) -> Any:
    """Return the values of the transposed factor, in the order of its support."""
    if isinstance(support, KroneckerPattern):
        blocks = space.xp.reshape(value, support.blocks_shape)
        return space.xp.reshape(space.xp.permute_dims(blocks, (0, 3, 2, 1)), (-1,))
    places = np.arange(1, support.nnz + 1)  # none of them zero, so that all are kept
    factor = sparse.csr_array((places, support.indices, support.indptr), shape=support.shape)
    return taken(space, value, factor.T.tocsr().data - 1)


def permuted_columns(support: Support, order: Index) -> tuple[Support, Index]:
    """Return the factor whose column ``order[j]`` is column j of this one, and the order of its values."""
    i, j = support.coordinates()
    permuted = Support.from_coordinates(i, order[j], shape=support.shape)
    return permuted, np.lexsort((order[j], i))
