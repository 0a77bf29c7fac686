"""Another pair of sparse factors with the same product: multiples of components move from one to another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["exchange"]

Array = NDArray[Any]

# For each place the group it belongs to, and for each group how many nonzeros it has room for.
Limits = tuple[Array, Array]

# What a nonzero beyond the room of its group costs, where one within costs 1.
_BEYOND = 2

# For how many moves, and up to how many more, a pair rests that was moved.
_REST, _MORE = 5, 6

# Under noise no component of the product grows beyond this share of its norm: errors would grow with it.
_LARGEST = 1.0

# Multiples outside this range only add to rounding.
_LEAST, _MOST = 1e-3, 1e3


def exchange(
    X: Array,
    Y: Array,
    left: Limits,
    right: Limits,
    *,
    noise: tuple[Array, Array, float] | None = None,
    zero: float = 1e-9,
    max_moves: int = 1000,
    patience: int = 200,
    compiled: bool = True,
) -> tuple[Array, Array, int]:
    """Move multiples of components within a product until it has few nonzeros, in the groups that have room.

    ``X Y`` stays what it is when column j of X takes c times column i, and row i of Y gives c times row j.
    Each move cancels an entry at least. The best one is made, even if it gains nothing, but those of pairs
    (i, j) that were moved lately rest unless they lead to the best so far (tabu search).

    Parameters
    ----------
    X : ndarray, shape (m, r)
        With exact zeros; never written.
    Y : ndarray, shape (r, n)
        Likewise.
    left, right : pair of ndarray of int
        For X and for Y: the group of each place, in the shape of the factor; and the room of each group.
    noise : tuple of two ndarray, shape (r,), and a float, optional
        How large entries of each component of X and of Y may be that are zero but for noise, and how far from
        the first product the last one may be, for entries that become zero without being so add up.
    zero : float
        A sum of two numbers that is smaller than this share of their magnitudes is zero, too.
    max_moves : int
        Moves at most.
    patience : int
        Moves without a gain that end the search.
    compiled : bool
        Whether to use the compiled twin.

    Returns
    -------
    X, Y : ndarray
        The best pair: the first without nonzeros beyond the rooms, else that of the smallest price.
    beyond : int
        Its nonzeros beyond the rooms.

    Notes
    -----
    Cost: a move looks at r² pairs with as many multiples as they have entries, O(r² s²) for s entries a
    component.

    References
    ----------
    F. Glover, "Tabu search, part I", ORSA Journal on Computing 1 (1989).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> everywhere = np.zeros((3, 2), int), np.array([3])
    >>> X, Y, beyond = exchange(X, np.eye(2), everywhere, (np.zeros((2, 2), int), np.array([3])))
    >>> X, Y, beyond
    (array([[1., 0.],
           [0., 1.],
           [1., 0.]]), array([[1., 1.],
           [0., 1.]]), 0)
    """
    XT, Y = np.array(X.T, order="C"), np.array(Y, order="C")
    none = np.zeros(len(Y))
    first, second, deviation = noise or (none, none, math.inf)
    levels = first.copy(), second.copy()
    largest_piece = _LARGEST * float(np.linalg.norm(X @ Y)) if noise else math.inf
    own = np.ascontiguousarray(left[0].T), left[1], np.ascontiguousarray(right[0]), right[1]
    beyond = sum(_beyond(*side) for side in ((XT, *own[:2]), (Y, *own[2:])))
    if beyond and compiled:
        from fsmf.kernels.exchange_cpu import exchanged

        XT, Y, beyond = exchanged(
            *(XT, Y, *own, *levels, largest_piece, deviation),
            *(zero, _BEYOND, max_moves, patience, _REST, _MORE, _LEAST, _MOST),
        )
    elif beyond:
        XT, Y, beyond = _exchanged(
            XT, Y, own, levels, (largest_piece, deviation), zero, (max_moves, patience)
        )
    return XT.T, Y, int(beyond)


def _exchanged(
    XT: Array, Y: Array, own: Any, levels: Any, most: tuple[float, float], zero: float, moves: tuple[int, int]
) -> tuple[Array, Array, int]:
    """The plain search: every move is made, and counted afresh."""
    r = len(XT)
    rests, idle = np.zeros((r, r), int), 0
    least = _price(XT, *own[:2]) + _price(Y, *own[2:])
    best, first = (XT, Y), XT.T @ Y
    for move in range(moves[0]):
        found: tuple[int, int, int, Any, Array, Array] | None = None
        for i, j, c in _moves(XT, Y):
            trial = XT.copy(), Y.copy()
            pairs = (levels[0][j], levels[0][i]), (levels[1][i], levels[1][j])
            level = [math.hypot(mine, abs(c) * other) for mine, other in pairs]
            trial[0][j] = _added(XT[j], c * XT[i], zero, level[0])
            trial[1][i] = _added(Y[i], -c * Y[j], zero, level[1])
            if max(np.linalg.norm(trial[0][k]) * np.linalg.norm(trial[1][k]) for k in (i, j)) > most[0]:
                continue
            price = _price(trial[0], *own[:2]) + _price(trial[1], *own[2:])
            if (rests[i, j] <= move or price < least) and (found is None or price < found[0]):
                found = price, i, j, level, *trial
        idle += 1
        if found is not None:
            price, i, j, (levels[0][j], levels[1][i]), XT, Y = found
            rests[i, j] = move + 1 + _REST + move % _MORE
            if price < least:
                least, best, idle = price, (XT, Y), 0
            near = np.linalg.norm(XT.T @ Y - first) <= most[1]
            if near and not _beyond(XT, *own[:2]) + _beyond(Y, *own[2:]):
                return XT, Y, 0
        if idle == moves[1]:
            break
    return *best, _beyond(best[0], *own[:2]) + _beyond(best[1], *own[2:])


def _moves(XT: Array, Y: Array) -> Iterator[tuple[int, int, Any]]:
    """Pairs of components, and multiples that cancel an entry of either factor."""
    r = len(XT)
    for i in range(r):
        for j in range(r):
            if i != j:
                for a, b, sign in ((XT[i], XT[j], -1), (Y[j], Y[i], 1)):
                    both = (a != 0) & (b != 0)
                    for c in sign * b[both] / a[both]:
                        if _LEAST <= abs(c) <= _MOST:
                            yield i, j, c


def _added(x: Array, y: Array, zero: float, level: float) -> Array:
    least = np.maximum(zero * (np.abs(x) + np.abs(y)), level)
    total: Array = np.where(np.abs(x + y) <= least, 0, x + y)
    return total


def _beyond(Z: Array, group: Array, room: Array) -> int:
    """Nonzeros beyond the rooms."""
    return int(np.maximum(np.bincount(group[Z != 0], minlength=len(room)) - room, 0).sum())


def _price(Z: Array, group: Array, room: Array) -> int:
    return int(np.count_nonzero(Z)) + _BEYOND * _beyond(Z, group, room)
