"""Chainable chains of Kronecker patterns, drawn; and their definition by dense 0/1 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from fsmf.supports.kronecker import Architecture


@st.composite
def chainable_architectures(
    draw: Any, min_factors: int = 2, max_factors: int = 6, max_rank: int = 4, max_splits: int = 12
) -> Architecture:
    """Chainable chains; at most ``2 · max_splits`` blocks along each side of any factor.

    With a' = k a, c = k r, d = l d' and b' = r l at every interface, each chainable chain comes up.
    """
    n_interfaces = draw(st.integers(min_factors, max_factors)) - 1

    def splits() -> list[int]:
        left, found = max_splits, []
        for _ in range(n_interfaces):
            found.append(draw(st.integers(1, min(4, left))))
            left //= found[-1]
        return found

    k, l = splits(), splits()
    r = [draw(st.integers(1, max_rank)) for _ in range(n_interfaces)]
    outer, inner = (draw(st.integers(1, 2)) for _ in range(2))
    b = [draw(st.integers(1, 4)), *(one * rank for one, rank in zip(l, r, strict=True))]
    c = [*(one * rank for one, rank in zip(k, r, strict=True)), draw(st.integers(1, 4))]
    a = outer * np.cumprod([1, *k])
    d = inner * np.cumprod([1, *l[::-1]])[::-1]
    return Architecture(zip(a.tolist(), b, c, d.tolist(), strict=True))


def dense_pattern(a: int, b: int, c: int, d: int) -> np.ndarray:
    """``I_a ⊗ 1_{b×c} ⊗ I_d``, as it is written."""
    return np.kron(np.eye(a, dtype=int), np.kron(np.ones((b, c), dtype=int), np.eye(d, dtype=int)))
