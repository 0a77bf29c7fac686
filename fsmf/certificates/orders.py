"""In which order a chain is split, and what errors that allows at most."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["is_extremal", "order_constant"]


def is_extremal(order: Sequence[int]) -> bool:
    """Whether each interface is the smallest or the largest of those that remain."""
    remaining = sorted(order)
    for s in order:
        if s not in (remaining[0], remaining[-1]):
            return False
        remaining.remove(s)
    return True


def order_constant(order: Sequence[int]) -> float:
    """Return the c for which a factorization in this order is proved to err by at most c times the optimum.

    Parameters
    ----------
    order : sequence of int
        The interfaces that bound a rank, as they are split.

    Returns
    -------
    float
        ``√n`` for n interfaces in an extremal order, where the errors of the steps are orthogonal; for a
        tree processed depth first ``√(1 + c_first²) + c_second`` at each node; otherwise n.
    """
    if is_extremal(order):
        return math.sqrt(len(order))
    tree = _tree_constant(tuple(order))
    return min(float(len(order)), math.inf if tree is None else tree)


def _tree_constant(order: tuple[int, ...]) -> float | None:
    """The constant of a tree processed depth first; None for another order."""
    if not order:
        return 0.0
    root, rest = order[0], order[1:]
    sides = [tuple(s for s in rest if s < root), tuple(s for s in rest if s > root)]
    # A side without interfaces comes second, where it costs nothing.
    first, second = sides if sides[0] and rest[: len(sides[0])] == sides[0] else sides[::-1]
    if first + second != rest:
        return None
    constants = _tree_constant(first), _tree_constant(second)
    if constants[0] is None or constants[1] is None:
        return None
    return math.sqrt(1 + constants[0] ** 2) + constants[1]
