"""A sparse matrix times dense columns, in any array library: rows of about equal length are one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.namespace import Space

__all__ = ["SparseRows"]

# Entries gathered at a time.
_CHUNK = 1 << 24


class SparseRows:
    """Multiply with a sparse matrix whose values live on a device.

    Parameters
    ----------
    space : Space
        Where the values are.
    indptr, indices : ndarray of int
        Compressed rows, in host memory.
    values : array
        The nonzeros, row by row.
    shape : tuple of int
        Rows and columns.

    Notes
    -----
    **Cost.** Rows are padded to the next power of two: up to twice the multiplications of the nonzeros; some
    tens of MB are gathered at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.kernels.namespace import HOST
    >>> rows = SparseRows(HOST, np.array([0, 1, 3]), np.array([1, 0, 1]), np.array([2.0, 3.0, 4.0]), (2, 2))
    >>> rows(np.ones((2, 1)))
    array([[2.],
           [7.]])
    """

    def __init__(
        self, space: Space, indptr: NDArray[Any], indices: NDArray[Any], values: Any, shape: tuple[int, int]
    ) -> None:
        self._space, self._shape, self._dtype = space, shape, space.dtype(values)
        lengths = np.diff(indptr)
        widths = np.where(lengths > 0, 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(int), 0)
        self._batches = []
        order = []
        # A place behind the last value holds the zero that rows are padded with.
        padded = space.xp.concat([values, space.zeros((1,), self._dtype)])
        for width in np.unique(widths):
            (rows,) = np.nonzero(widths == width)
            order.append(rows)
            places = indptr[rows, None] + np.arange(width)
            within = np.arange(width) < lengths[rows, None]
            columns = np.where(within, indices[np.where(within, places, 0)] if indices.size else 0, 0)
            stored = space.put(np.where(within, places, indptr[-1]).reshape(-1))
            own = space.xp.reshape(space.xp.take(padded, stored, axis=0), (len(rows), int(width)))
            self._batches.append((own, space.put(columns.reshape(-1))))
        self._order = space.put(np.argsort(np.concatenate([np.zeros(0, int), *order])))

    def __call__(self, x: Any) -> Any:
        """Return the product with x, shape (n, k)."""
        xp, k = self._space.xp, x.shape[1]
        dtype = np.result_type(self._dtype, self._space.dtype(x))
        x = self._space.cast(x, dtype)
        found = []
        for values, columns in self._batches:
            count, width = values.shape
            if not width:
                found.append(self._space.zeros((count, k), dtype))
                continue
            values = self._space.cast(values, dtype)
            step = max(1, _CHUNK // max(1, width * k))
            for start in range(0, count, step):
                stop = min(count, start + step)
                picked = columns[start * width : stop * width]
                gathered = xp.reshape(xp.take(x, picked, axis=0), (stop - start, width, k))
                product = xp.matmul(values[start:stop, None, :], gathered)
                found.append(xp.reshape(product, (stop - start, k)))
        return xp.take(xp.concat(found), self._order, axis=0)
