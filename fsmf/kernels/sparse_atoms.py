"""More directions than dimensions, of which each row of a matrix combines few: an overcomplete dictionary."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.sparse_basis import normals

__all__ = ["sparse_atoms"]

Array = NDArray[Any]

# How often independent rows are drawn, and how many hyperplanes and directions are kept for each atom.
_DRAWS, _HYPERPLANES, _DIRECTIONS = 16, 8, 6

# Angles below this are rounding; rows below this share of the largest, too; and both in units of the noise.
_ROUNDING, _NOTHING, _FAR = 1e-6, 1e-9, 30.0

# Independent is what is so many times further away than angles are told.
_INDEPENDENT = 10.0

# What a row costs that combines more than two of the atoms, and what a nonzero beyond a wall costs.
_MORE, _BEYOND = 4, 1e-3

# For how many moves an atom rests that was left out, moves without a gain that end the search, and all.
_REST, _PATIENCE, _MOVES = 6, 10, 100

# Sets of atoms that rows do without, at most.
_SETS = 512


def sparse_atoms(
    B: Array, number: int, rng: np.random.Generator, *, walls: Array | None = None, noise: float = 0.0
) -> tuple[Array, Array]:
    """Return directions, more than B has columns, of which each row of B combines few.

    Rows that combine some of the atoms lie on hyperplanes that these atoms span. So rows are drawn, and of
    the hyperplanes that they span those are kept that hold most of the others. Atoms are where many of these
    meet: hyperplanes are drawn likewise. Of the directions so found, and the rows themselves, those are
    chosen of which most rows are multiples, or combine two (tabu search). Then each row gets its sparsest
    coefficients.

    Parameters
    ----------
    B : ndarray, shape (m, d)
        Of rank d, real or complex.
    number : int
        How many atoms, at least d.
    rng : numpy.random.Generator
        For what is drawn.
    walls : ndarray, shape (d, k), optional
        Normals of hyperplanes that hold many atoms.
    noise : float
        Standard deviation of an entry of B.

    Returns
    -------
    X : ndarray, shape (m, r)
        Coefficients, with exact zeros; r is `number`, or as many directions as there are.
    D : ndarray, shape (r, d)
        Unit rows; ``X D`` is B but for noise, if these atoms span.

    Notes
    -----
    Cost: O(number² m d), for six directions an atom. Where most rows combine more than two atoms, or an atom
    belongs to few rows, others may be returned.

    References
    ----------
    M. Aharon, M. Elad, A. Bruckstein, "On the uniqueness of overcomplete dictionaries, and a practical way to
    retrieve them", Linear Algebra Appl. 416 (2006), for hyperplanes that hold many samples; F. Glover, "Tabu
    search, part I", ORSA Journal on Computing 1 (1989).

    Examples
    --------
    >>> import numpy as np
    >>> atoms = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    >>> B = np.array([[1, 0, 0], [3, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 1], [0, 0, 4]]) @ atoms
    >>> X, D = sparse_atoms(B, 3, np.random.default_rng(0))
    >>> int(np.count_nonzero(X)), np.allclose(X @ D, B)
    (6, True)
    """
    size = np.linalg.norm(B, axis=1)
    used = size > max(_NOTHING * size.max(), _FAR * noise)
    if np.count_nonzero(used) <= B.shape[1]:
        return B, np.eye(B.shape[1], dtype=B.dtype)
    rows = B[used] / size[used, None]
    angle = max(_ROUNDING, _FAR * noise / float(np.median(size[used])))
    spanned = _met(rows, angle, rng, rows[:0])[: _HYPERPLANES * number]
    hyperplanes = spanned if walls is None else np.concatenate([walls.T / _norm(walls.T), spanned])
    atoms = _met(hyperplanes, angle, rng, rows)[: _DIRECTIONS * number]
    price = np.zeros(len(atoms))
    if walls is not None:
        price += _BEYOND * np.count_nonzero(np.abs(atoms @ hyperplanes[: walls.shape[1]].T) > angle, axis=1)
    D = atoms[_chosen(*_told(rows, atoms, angle), price, min(number, len(atoms)), atoms, angle)]
    X = np.zeros((len(B), len(D)), B.dtype)
    X[used] = _coded(B[used], D, angle)
    return X, D


def _norm(rows: Array) -> Array:
    norm: Array = np.linalg.norm(rows, axis=-1, keepdims=True)
    return norm


def _met(rows: Array, angle: float, rng: np.random.Generator, *others: Array) -> Array:
    """Unit rows, orthogonal to most rows first: what rows that are drawn are orthogonal to, and others."""
    spans = np.linalg.matrix_rank(rows, tol=_INDEPENDENT * angle) == rows.shape[1] < len(rows)
    found = np.concatenate([*others, *([normals(rows, _DRAWS, rng).T] if spans else [])])
    on = np.abs(found @ rows.T) < angle
    first = np.sort(np.unique(np.packbits(on, axis=1), axis=0, return_index=True)[1])
    met: Array = found[first[np.argsort(-np.count_nonzero(on[first], axis=1), kind="stable")]]
    return met


def _told(rows: Array, atoms: Array, angle: float) -> tuple[Array, Array]:
    """Which rows are multiples of an atom; and, for each atom, which combine it with which other."""
    solo = np.abs(rows @ atoms.conj().T) > 1 - angle**2 / 2
    left, right = (some - (some @ atoms.conj().T).T[:, :, None] * atoms[:, None] for some in (rows, atoms))
    for some in (left, right):
        size = _norm(some)
        some /= np.where(size > angle, size, np.inf)
    return solo, np.abs(left @ right.conj().swapaxes(1, 2)) > 1 - angle**2 / 2


def _chosen(solo: Array, both: Array, price: Array, number: int, atoms: Array, angle: float) -> Array:
    """The atoms of which rows combine the fewest: one at a time is exchanged for another."""
    chosen, d, least_size = np.arange(number), atoms.shape[1], _INDEPENDENT * angle
    solo, both = solo.astype(np.int16), both.astype(np.int16)
    best, least, idle, rests = chosen, np.inf, 0, np.zeros(len(atoms), int)
    for move in range(_MOVES):
        own = both[chosen]
        pairs = own[:, :, chosen].sum(axis=2)
        # For each atom that may go, each row, and each that may come.
        one = (solo[:, chosen].sum(axis=1) - solo[:, chosen].T)[:, :, None] + solo
        two = (pairs.sum(axis=0) - 2 * pairs)[:, :, None] + own.sum(axis=0) - own
        cost = np.where(one > 0, 1, np.where(two > 0, 2, _MORE)).sum(axis=1) + price
        now = cost[0, chosen[0]] + price[chosen[1:]].sum()
        if now < least and np.linalg.matrix_rank(atoms[chosen], tol=least_size) == d:
            best, least, idle = chosen.copy(), now, 0
        elif idle == _PATIENCE:
            break
        idle += 1
        cost -= price[chosen][:, None]
        cost[:, rests > move] = np.inf
        cost[:, chosen] = np.inf
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        rests[chosen[i]] = move + _REST
        chosen[i] = j
    return best


def _coded(B: Array, D: Array, angle: float) -> Array:
    """The sparsest coefficients, where at least as many vanish as there are atoms beyond the rank."""
    X = B @ np.linalg.pinv(D)
    null = np.linalg.svd(D.T)[2][np.linalg.matrix_rank(D, tol=_INDEPENDENT * angle) :].conj()
    places = np.array(list(combinations(range(len(D)), len(null))), dtype=int)[:_SETS]
    pivots = null[:, places].swapaxes(0, 1)
    safe = np.abs(np.linalg.det(pivots)) > _ROUNDING
    places, pivots = places[safe], pivots[safe]
    without = X - X[:, places].swapaxes(0, 1) @ (np.linalg.inv(pivots) @ null)
    found = np.concatenate([X[None], without])
    small = np.abs(found) < angle * np.abs(X).max()
    at = small.sum(axis=2).argmax(axis=0), np.arange(len(B))
    return np.where(small[at], 0, found[at])
