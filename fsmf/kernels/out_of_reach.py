"""Which stored entries of a sparse matrix a product of two sparse factors cannot reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_out_of_reach"]

# Places laid out at a time.
_CHUNK = 1 << 22


def is_out_of_reach(A: Any, left: Any, right: Any) -> NDArray[np.bool_]:
    """Tell for each stored entry of A whether X Y is zero there for all X and Y on two supports.

    Parameters
    ----------
    A : csr_array, shape (m, n)
        The matrix, without duplicates.
    left, right : csr_array of bool, shapes (m, r), (r, n)
        The supports of X and of Y.

    Returns
    -------
    ndarray of bool
        In the order of ``A.data``, as long.

    Notes
    -----
    All places of all components' rectangles are met once, some rows at a time; nothing is m × n.
    """
    steps = np.concatenate([[0], np.cumsum(np.diff(right.indptr)[left.indices], dtype=np.int64)])[left.indptr]
    steps += np.arange(len(steps)) * A.shape[1]
    outside, start = [np.zeros(0, dtype=bool)], 0
    while start < A.shape[0]:
        stop = max(start + 1, int(np.searchsorted(steps, steps[start] + _CHUNK, side="right")) - 1)
        reach, places = (left[start:stop] @ right).toarray(), A.indptr[start : stop + 1]
        rows = np.repeat(np.arange(stop - start), np.diff(places))
        outside.append(~reach[rows, A.indices[places[0] : places[-1]]])
        start = stop
    return np.concatenate(outside)
