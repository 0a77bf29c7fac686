"""Factors of planted sparse products: sparse vectors of columns and rows, which exchange multiples."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.exchange import exchange
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.sparse_atoms import sparse_atoms
from fsmf.kernels.sparse_basis import sparse_basis
from fsmf.solvers.problem_blocks import balance, multiplied
from fsmf.supports.constraints import Constraints

__all__ = ["planted_pair", "planted_triple"]

Array = NDArray[Any]

# Entries below this share of the largest are zeros that rounding hides; in units of the noise, likewise.
_ROUNDING, _ZERO = 1e-9, 4.0

# Singular values of pure noise end at 1 in these units.
_NOISE = 1.1

# Exchanges under noise may lead so many times the noise of A away.
_FAR = 30.0

# How often the components of all neighbours exchange multiples, of three factors.
_PASSES = 3

# Components up to which atoms are sought, and how often.
_MOST, _TRIES = 16, 2

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

    Where the rank of A is lower than the number of columns of the first factor, these are not sparse vectors
    of what the columns of A span. Then each row of A combines few of the rows of what follows, which is how
    they are found: see `sparse_atoms`. So it is with the rows of the last factor.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision.
    constraints : Constraints
        Three.
    rng : numpy.random.Generator
        For the search of sparse vectors, and of atoms.
    noise : float
        Standard deviation of the noise of an entry of A.

    Returns
    -------
    list of ndarray, shapes (m, q), (q, r), (r, n)
        Near A; not always with as few nonzeros as allowed.
    """
    sides, numbers = (A, A.T), (constraints[0].shape[1], constraints[2].shape[0])
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    rank = int(np.count_nonzero(s > max(_NOISE * noise * sum(map(math.sqrt, A.shape)), _ROUNDING * s[0])))
    spans = Vh[:rank].conj().T, U[:, :rank].conj()
    basis = cache(lambda i: sparse_basis(sides[i], numbers[i], rng, noise=noise))

    def atoms(i: int, beside_basis: bool) -> tuple[Array, Array]:
        # Columns of a sparse factor between hold few nonzeros: most atoms lie where each of them vanishes.
        walls = np.linalg.pinv(basis(1 - i)[0].T @ spans[i]) if beside_basis else None
        X, D = sparse_atoms(sides[i] @ spans[i], numbers[i], rng, walls=walls, noise=noise)
        return X, _ZERO * noise * _amplified(D.T)

    # Which ends have more components than dimensions.
    options: list[tuple[int, ...]] = [()]
    if 1 < rank < max(numbers) <= _MOST:
        long = int(numbers[0] < numbers[1])
        options = [(long,)] if rank == min(numbers) else [(long,), (1 - long,), (0, 1)]
        options *= _TRIES
    deviation = _FAR * noise * math.sqrt(A.size)
    best: list[Array] = []
    least = math.inf
    for more in options:
        (X, left), (Z, right) = (atoms(i, len(more) == 1) if i in more else basis(i) for i in (0, 1))
        core = np.linalg.pinv(X) @ A @ np.linalg.pinv(Z.T)
        hidden = _ZERO * noise * np.outer(_amplified(X), _amplified(Z))
        core = _cleaned(core, hidden)
        levels = [(left, hidden.max(axis=1, initial=0.0)), (hidden.max(axis=0, initial=0.0), right)]
        factors = _shared(_exchanged([X, core, Z.T], constraints, levels, deviation), constraints)
        allowed = [one.project(F) for F, one in zip(factors, constraints, strict=True)]
        error = frobenius_norm(A - multiplied(allowed))
        if error < least:
            best, least = factors, error
        if error <= deviation + _ROUNDING * frobenius_norm(A):
            break
    return best


def _beyond(factors: list[Array], constraints: Constraints) -> int:
    """How many nonzeros the constraints do not allow."""
    pairs = zip(factors, constraints, strict=True)
    return sum(int(np.count_nonzero(X - one.project(X))) for X, one in pairs)


def _shared(factors: list[Array], constraints: Constraints) -> list[Array]:
    """Let components that nothing needs take over nonzeros of others that have too many.

    Two equal columns of a factor make one component of two, with the nonzeros of both.
    """
    for i in range(len(factors) - 1):
        for k in np.flatnonzero(~(factors[i].any(axis=0) & factors[i + 1].any(axis=1))):
            for side in (0, 1):
                trial = [X.copy() for X in factors]
                rest = trial[i + side] - constraints[i + side].project(trial[i + side])
                X, Y = trial[i : i + 2]
                if side:
                    X, Y, rest = Y.T, X.T, rest.T
                j = np.count_nonzero(rest, axis=0).argmax()
                X[:, k], Y[k] = rest[:, j], Y[j]
                X[:, j] -= rest[:, j]
                if _beyond(trial, constraints) < _beyond(factors, constraints):
                    factors = trial
                    break
    return factors


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
