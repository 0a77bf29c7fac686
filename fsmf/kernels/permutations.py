"""Index vectors of the permutations that come with fast transforms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["digit_reversal"]


def digit_reversal(radices: Sequence[int]) -> NDArray[np.intp]:
    """Return p that reads the digits of an index backwards; the bit reversal where all radices are 2.

    Position ``t = (q_1, …, q_L)``, the last digit running fastest, goes to
    ``p[t] = q_1 + r_1 (q_2 + r_2 (q_3 + …))``. With it, ``dft(n)[:, p]`` is a chain of the patterns
    ``(r_1 ⋯ r_{l−1}, r_l, r_l, r_{l+1} ⋯ r_L)``, l = 1, …, L.
    """
    order = np.zeros(1, dtype=np.intp)
    for radix in reversed(radices):
        order = np.add.outer(np.arange(radix), radix * order).reshape(-1)
    return order
