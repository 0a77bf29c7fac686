"""Factors of planted sparse products: sparse vectors of columns and rows, which exchange multiples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.exchange import exchange
from fsmf.kernels.sparse_basis import sparse_basis
from fsmf.solvers.problem_blocks import balance
from fsmf.supports.constraints import Constraints

__all__ = ["planted_pair", "planted_triple"]

Array = NDArray[Any]

# Entries below this share of the largest are zeros that rounding hides; in units of the noise, likewise.
_ROUNDING, _ZERO = 1e-9, 4.0

# Exchanges under noise may lead so many times the noise of A away.
_FAR = 30.0

# How often the components of all neighbours exchange multiples, of three factors.
_PASSES = 3

# Moves without a gain that end an exchange of two factors; and one of three, which comes back.
_PATIENCE, _BRIEF = 200, 60


def planted_pair(
    A: Array, constraints: Constraints, rng: np.random.Generator, *, noise: float, turned: bool, draws: int
) -> list[Array]:
    """Return sparse vectors of the columns of A and what makes A of them, exchanged until both are sparse.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision.
    constraints : Constraints
        Two, of fewer components than A has columns.
    rng : numpy.random.Generator
        For the search of sparse vectors.
    noise : float
        Standard deviation of the noise of an entry of A.
    turned : bool
        Whether to begin with the rows of A instead.
    draws : int
        As `sparse_basis` takes it.

    Returns
    -------
    list of ndarray, shapes (m, r), (r, n)
        Near A; not always with as few nonzeros as allowed.
    """
    B = A.T if turned else A
    X, left = sparse_basis(B, constraints[0].shape[1], rng, noise=noise, draws=draws)
    Y = np.linalg.lstsq(X, B, rcond=None)[0]
    right = _ZERO * noise * _amplified(X)
    Y = _cleaned(Y, right[:, None])
    factors, levels = [X, Y], [(left, right)]
    if turned:
        factors, levels = [Y.T, X.T], [(right, left)]
    return _exchanged(factors, constraints, levels, _FAR * noise * np.sqrt(A.size))


def planted_triple(
    A: Array, constraints: Constraints, rng: np.random.Generator, *, noise: float
) -> list[Array]:
    """Return sparse vectors of the columns of A, sparse vectors of its rows, and what lies between.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision.
    constraints : Constraints
        Three.
    rng : numpy.random.Generator
        For the search of sparse vectors.
    noise : float
        Standard deviation of the noise of an entry of A.

    Returns
    -------
    list of ndarray, shapes (m, q), (q, r), (r, n)
        Near A, if its rank is q and r; not always with as few nonzeros as allowed.
    """
    X, left = sparse_basis(A, constraints[0].shape[1], rng, noise=noise)
    Z, right = sparse_basis(A.T, constraints[2].shape[0], rng, noise=noise)
    core = np.linalg.pinv(X) @ A @ np.linalg.pinv(Z.T)
    hidden = _ZERO * noise * np.outer(_amplified(X), _amplified(Z))
    core = _cleaned(core, hidden)
    levels = [(left, hidden.max(axis=1, initial=0.0)), (hidden.max(axis=0, initial=0.0), right)]
    return _exchanged([X, core, Z.T], constraints, levels, _FAR * noise * np.sqrt(A.size))


def _exchanged(
    factors: list[Array], constraints: Constraints, levels: list[tuple[Array, Array]], deviation: float
) -> list[Array]:
    """Factors with the same product and, where there are some nearby, no more nonzeros than allowed.

    The levels say for each component between two factors how large entries on either side may be that are
    zero but for noise. Factors of fewer components than allowed get zeros.
    """
    factors = [
        np.pad(X, [(0, whole - part) for whole, part in zip(one.shape, X.shape, strict=True)])
        for X, one in zip(factors, constraints, strict=True)
    ]
    levels = [
        (np.pad(left, (0, X.shape[1] - len(left))), np.pad(right, (0, X.shape[1] - len(right))))
        for (left, right), X in zip(levels, factors, strict=False)
    ]
    quotas = [found for one in constraints if (found := one.quotas())]
    if len(quotas) < len(factors):
        return factors
    rooms = [own.room for own in quotas]
    if len(factors) == 2:
        phases = [(rooms, 1, _PATIENCE)]
    else:
        # Two neighbours that both have room may leave too much to the third: all are made sparse first.
        none = [np.zeros_like(room) for room in rooms]
        phases = [(none, _PASSES, _BRIEF), (rooms, _PASSES, _BRIEF)]
    for limits, passes, patience in phases:
        groups = [(found.group, room) for found, room in zip(quotas, limits, strict=True)]
        idle = 0
        for i in [*range(len(levels))] * passes:
            around = (*levels[i], deviation) if deviation else None
            X, Y, _ = exchange(
                factors[i], factors[i + 1], groups[i], groups[i + 1], noise=around, patience=patience
            )
            stays = np.array_equal(X, factors[i]) and np.array_equal(Y, factors[i + 1])
            factors[i], factors[i + 1] = X, Y
            # What no neighbours change is the end.
            idle = idle + 1 if stays else 0
            if idle == len(levels):
                break
    balance(factors)
    return factors


def _cleaned(X: Array, level: Array) -> Array:
    """What rounding or noise hides becomes zero."""
    return np.where(np.abs(X) > np.maximum(level, _ROUNDING * np.abs(X).max(initial=0.0)), X, 0)


def _amplified(X: Array) -> Array:
    """How much noise each entry of the solution of ``X y = b`` has, where b has 1."""
    amplified: Array = np.linalg.norm(np.linalg.pinv(X), axis=1)
    return amplified
