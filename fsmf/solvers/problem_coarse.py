"""A chain taken apart: products of few of its runs tell the factors at its ends, one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.product_descent import Descending
from fsmf.solvers.problem import PairProblem
from fsmf.solvers.problem_division import Division, divisions
from fsmf.solvers.problem_equilibrated import equilibrated
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.supports.layout import IndexLists, group_equal
from fsmf.supports.support import Support, Supports
from fsmf.tractability import Part, Structure

__all__ = ["split_off", "taken_apart"]

Array = NDArray[Any]

# Passes over the two factors of a pair before the left one is kept.
_PASSES = 5

# Entries of A up to which chains are taken apart; the numbers of runs into which they are divided, divisions
# that are tried of each, how many may fail, and races in all.
_LARGEST, _RUNS, _DIVISIONS, _FAILURES, _RACES = 1 << 12, (3, 4), 8, 2, 60

# In a race so many starts make so many steps, the best of which go on. When the first few have made theirs,
# the rest is run only if the best error is below this share of what a random matrix would leave.
_STAGES, _RTOL = ((4, 60), (8, 180), (3, 600), (1, 2000)), 1e-7
_FAR = 0.65

# Errors below this share of what a random matrix would leave are those of a product; relative errors that are
# none; and those of a start that has found what there is, and makes so many steps more.
_NEAR, _EXACT, _SURE, _STEPS = 0.01, 1e-5, 1e-3, 1000

# Rounds of whitening, and singular values that count as none, relative to the largest of a block.
_ROUNDS, _NONE = 5, 1e-9


class _Found(NamedTuple):
    """Factors, and the relative error of their product."""

    error: float
    factors: list[Array]

    @classmethod
    def of(cls, A: Array, factors: list[Array]) -> _Found:
        norm = frobenius_norm(A)
        return cls(frobenius_norm(A - _product(factors)) / norm if norm else 0.0, factors)

    def or_better(self, other: _Found) -> _Found:
        """The one of the smaller error."""
        return other if other.error < self.error else self


def taken_apart(problem: ProductProblem, structure: Structure, rng: np.random.Generator) -> Iterator[Values]:
    """Yield values whose product is near A, if the supports are a chain that can be taken apart to such."""
    is_plain = problem.roots is None and not problem.ridge and not structure.n_prescribed
    if structure.arrangement is None or not is_plain or problem.A.size > _LARGEST or not problem.norm:
        return
    # The starts that follow are those they would be without.
    found = _Search(problem, deepcopy(rng)).solve(problem.A, problem.supports)
    if found.error < _NEAR:
        yield [X[place] for X, place in zip(found.factors, problem.places, strict=True)]


class _Search:
    """Take one chain apart.

    All that is known of a chain that has been divided is what ends may be, and that what is left should be a
    product of a shorter chain. It is none where the order of the columns of an end was told wrongly, which
    the next division shows by an error that is not small.
    """

    def __init__(self, problem: ProductProblem, rng: np.random.Generator) -> None:
        self._problem, self._rng, self.races = problem, rng, _RACES

    def solve(self, A: Array, supports: Supports) -> _Found:
        """Factorize A, or give up when it looks like no product."""
        best, some = _Found(math.inf, []), _divisions(supports)
        while True:
            passed, failed = list[Division](), 0
            for division in some:
                if best.error <= _EXACT or not self.races:
                    return best
                coarse, chance = self._divided(A, division)
                if coarse.error <= _NEAR * chance:
                    passed.append(division)
                    best = best.or_better(self._finished(A, supports, division, coarse.factors))
                    continue
                failed += 1
                if coarse.error > _FAR * chance or failed == _FAILURES:
                    break
            if not passed:
                return best
            # Another time the order of columns may be told rightly.
            some = iter(passed)

    def _rest(self, A: Array, supports: Supports) -> _Found:
        """Factorize what is left of a longer chain, or give up when it proves to be no product."""
        best = _Found.of(A, _laid(supports, split_off(A, supports, self._rng)))
        is_divided = False
        for division in _divisions(supports):
            if best.error <= _EXACT or not self.races:
                return best
            coarse, chance = self._divided(A, division)
            if coarse.error > _NEAR * chance:
                return best
            best, is_divided = best.or_better(self._finished(A, supports, division, coarse.factors)), True
        if not is_divided and len(supports) > 2 and best.error > _EXACT and self.races:
            best = best.or_better(self._raced(A, supports))
        return best

    def _divided(self, A: Array, division: Division) -> tuple[_Found, float]:
        """The products of the runs, and the relative error that a random matrix would leave."""
        chance = math.sqrt(1 - division.share)
        return self._raced(A, division.supports, chance), chance

    def _finished(self, A: Array, supports: Supports, division: Division, runs: list[Array]) -> _Found:
        """Factorize what a division leaves of the chain, and put back what it has told."""
        first, last = division.left is not None, division.right is not None
        middle = _product(runs[first : len(runs) - last])
        factors = self._rest(middle, division.remaining(supports)).factors
        if division.left is not None:
            count = len(division.left)
            factors = [_product([runs[0], *factors[:count]]), *factors[count:]]
        if division.right is not None:
            count = len(factors) - len(division.right)
            factors = [*factors[:count], _product([*factors[count:], runs[-1]])]
        return _Found.of(A, factors)

    def _raced(self, A: Array, supports: Supports, chance: float = math.inf) -> _Found:
        """The best of some random starts, from which A is approached where it is whitened."""
        self.races -= 1
        left, B, right = _whitened(A, supports)
        white = replace(self._problem, A=B, supports=supports, norm=frobenius_norm(B))
        points, compiled = equilibrated(white, self._rng), white.in_values.compiled()
        floor = (self._problem.eps * white.norm) ** 2
        runs = list[Descending]()
        for stage, (count, steps) in enumerate(_STAGES):
            runs += [Descending(np.concatenate(next(points)), compiled) for _ in range(len(runs), count)]
            for run in runs[:count]:
                run.go(steps, _RTOL, floor)
            runs.sort(key=lambda run: run.value)
            error = math.sqrt(runs[0].value) / white.norm
            if error <= _SURE or (stage == 0 and error > _FAR * chance):
                break
        if error <= _SURE:
            runs[0].go(_STEPS, _RTOL, floor)
        factors = _laid(supports, white.in_values.split(runs[0].z))
        return _Found.of(A, [left @ factors[0], *factors[1:-1], factors[-1] @ right])


def _divisions(supports: Supports) -> Iterator[Division]:
    """Those into few runs first, as long as they may be tried."""
    found = (division for count in _RUNS for division in divisions(supports, count))
    return islice(found, _DIVISIONS)


def _product(factors: list[Array]) -> Array:
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)


def _laid(supports: Supports, values: Values) -> list[Array]:
    """Dense factors."""
    factors = []
    for support, value in zip(supports, values, strict=True):
        X = np.zeros(support.shape, value.dtype)
        X[support.coordinates()] = value
        factors.append(X)
    return factors


def _whitened(A: Array, supports: Supports) -> tuple[Array, Array, Array]:
    """``(left, B, right)`` with ``A = left B right``, B as well conditioned as left and right can make it.

    Rows of equal support in the first factor may be mixed by any invertible matrix, as may columns in the
    last one: the product stays one on the same supports. Rows and columns of B are nearly orthonormal in each
    such block. Badly conditioned products have local minima everywhere, and B has few.
    """
    rows, columns = (_equal_rows(support) for support in (supports[0], supports[-1].T))
    left, B, right = np.eye(A.shape[0], dtype=A.dtype), A, np.eye(A.shape[1], dtype=A.dtype)
    for _ in range(_ROUNDS):
        moved, B = _orthonormal(B, rows)
        left = left @ moved
        moved, turned = _orthonormal(B.T, columns)
        B, right = turned.T, moved.T @ right
    return left, B, right


def _equal_rows(support: Support) -> list[Array]:
    lists = IndexLists.of_labels(group_equal(IndexLists.of(support))[0])
    return [lists[p] for p in range(len(lists))]


def _orthonormal(A: Array, blocks: list[Array]) -> tuple[Array, Array]:
    """``(moved, B)`` with ``A = moved B``, the rows of B in each block orthonormal on the span of A's."""
    moved, B = np.zeros((len(A), len(A)), A.dtype), np.zeros_like(A)
    for rows in blocks:
        U, s, Vh = np.linalg.svd(A[rows], full_matrices=False)
        kept = s > _NONE * s.max(initial=0)
        U, s, Vh = U[:, kept], s[kept], Vh[kept]
        moved[np.ix_(rows, rows)] = (U * s) @ U.conj().T
        B[rows] = U @ Vh
    return moved, B


def split_off(A: Array, supports: Supports, rng: np.random.Generator) -> Values:
    """Factor after factor from the left: the best pair of it and of all others, whose factor is split next.

    The left factor keeps orthonormal columns within each class, so that what is lost of the right one is
    lost of A.
    """
    values = []
    for s in range(1, len(supports)):
        pair = Supports((supports[s - 1], Supports(supports[s - 1 :]).cut(1)[1]))
        problem = PairProblem.of(A, Part.whole(Structure(pair)), ridge=0.0, exponent=0)
        X, Y, _ = problem.spectral(rng)
        for _ in range(_PASSES):
            X = problem.solve_left(Y)
            Y, _ = problem.solve_right(X)
        classes = problem.part.structure.classes
        for members, rows, _ in map(classes.__getitem__, range(len(classes))):
            Q, R = np.linalg.qr(X[np.ix_(rows, members)])
            k = Q.shape[1]
            X[np.ix_(rows, members[:k])], Y[members[:k]] = Q, R @ Y[members]
            X[np.ix_(rows, members[k:])], Y[members[k:]] = 0, 0
        values.append(X[supports[s - 1].coordinates()])
        A = Y
    return [*values, A[supports[-1].coordinates()]]
