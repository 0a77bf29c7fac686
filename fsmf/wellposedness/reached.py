"""Which components reach an entry of a product of two factors."""

from __future__ import annotations

import numpy as np

from fsmf.supports.support import Support

__all__ = ["components", "is_within"]


def is_within(support: Support, i: int, j: int) -> bool:
    """Return whether a place is in range and on the support."""
    if i not in range(support.shape[0]):
        return False
    row = support.row(i)
    return bool((at := np.searchsorted(row, j)) < row.size and row[at] == j)


def components(left: Support, right: Support, i: int, j: int) -> list[int]:
    """Return the components that reach an entry of the product, ascending."""
    return [int(k) for k in left.row(i) if is_within(right, int(k), j)]
