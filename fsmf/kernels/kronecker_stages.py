"""Kronecker-sparse factors by array functions of any library: one times vectors, several multiplied out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsmf.kernels.kronecker_matmul import fused_pattern
from fsmf.kernels.namespace import Space

__all__ = ["fused_values", "multiply_blocks"]

Pattern = tuple[int, int, int, int]


def multiply_blocks(space: Space, pattern: Pattern, V: Any, x: Any) -> Any:
    """Multiply with one factor ``(a, b, c, d)``, whose blocks V have shape (a, d, b, c)."""
    xp, (a, b, c, d), k = space.xp, pattern, x.shape[1]
    y = xp.matmul(V, xp.permute_dims(xp.reshape(x, (a, c, d, k)), (0, 2, 1, 3)))
    return xp.reshape(xp.permute_dims(y, (0, 2, 1, 3)), (a * b * d, k))


def fused_values(space: Space, run: Sequence[tuple[Pattern, Any]]) -> Any:
    """Return the values of a product of factors, on the smallest pattern (a, b, c, d) that holds it.

    Parameters
    ----------
    space : Space
        Where the values are.
    run : sequence of tuple of pattern and array
        The factors, left to right, with values of a·b·d·c entries.

    Returns
    -------
    array of shape (a, b, d, c)
        What is 1 in the same place of each block, taken through all factors.
    """
    xp = space.xp
    if len(run) == 1:
        (a, b, c, d), V = run[0]
        return xp.reshape(V, (a, b, d, c))
    a, b, c, d = fused_pattern([pattern for pattern, _ in run])
    units = space.eye(c, space.dtype(run[0][1]))
    x = xp.reshape(xp.broadcast_to(units[None, :, None, :], (a, c, d, c)), (a * c * d, c))
    for pattern, V in reversed(run):
        a_own, b_own, c_own, d_own = pattern
        blocks = xp.permute_dims(xp.reshape(V, (a_own, b_own, d_own, c_own)), (0, 2, 1, 3))
        x = multiply_blocks(space, pattern, blocks, x)
    return xp.reshape(x, (a, b, d, c))
