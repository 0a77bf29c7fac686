"""Where iterations over a product start: from pairs split off one after another, from parts, at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.solvers.problem_chain import Train, on_pattern
from fsmf.solvers.problem_coarse import split_off, taken_apart
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.supports.kronecker import Architecture
from fsmf.supports.support import Supports
from fsmf.tractability import Structure

__all__ = ["chain_points", "crossings", "perturbed", "starting_points", "zero"]

Array = NDArray[Any]

# How much of a random start is added to any other: what is split off exactly can be a saddle point.
_NOISE = 1e-3


def starting_points(
    problem: ProductProblem, structure: Structure, rng: np.random.Generator, initial: Any = None
) -> Iterator[Values]:
    """Yield starting points without end: the warm one, those made of parts of the problem, random ones.

    A chain that can be taken apart to a product near A begins with that.
    A chain that has a chainable prefix (suffix) begins with that one alone, the others being identities,
    where they can. Then a pair is split off from the left, factor after factor, as a hierarchical
    factorization does; and from the right.
    """
    if initial is not None:
        yield problem.holding(problem.warm(initial))
    yield from zero(problem, structure)
    yield from taken_apart(problem, structure, rng)
    for values in _made_of_parts(problem, structure, rng):
        noise = problem.random(rng)
        pairs = zip(problem.balanced(values, all_movable=True), noise, strict=True)
        yield problem.holding([value + _NOISE * some for value, some in pairs])
    while True:
        yield problem.holding(problem.random(rng))


def zero(problem: ProductProblem, structure: Structure) -> Iterator[Values]:
    """Yield zeros, where A is zero and nothing is prescribed: no more is needed."""
    if not problem.norm and not structure.n_prescribed:
        yield [np.zeros(support.nnz, problem.A.dtype) for support in problem.supports]


def _made_of_parts(
    problem: ProductProblem, structure: Structure, rng: np.random.Generator
) -> Iterator[Values]:
    yield from chain_points(problem, structure, rng)
    yield split_off(problem.A, problem.supports, rng)
    if len(problem) > 2:
        turned = _transposed(problem)
        yield _turned(turned, split_off(turned.A, turned.supports, rng))


def chain_points(problem: ProductProblem, structure: Structure, rng: np.random.Generator) -> Iterator[Values]:
    """Yield what the longest chainable prefix makes alone, and the longest suffix; nothing of no chain."""
    patterns = () if structure.arrangement is None else structure.arrangement.architecture.patterns
    yield from _with_identities(problem, patterns, rng)
    turned, mirrored = _transposed(problem), tuple(pattern.T for pattern in reversed(patterns))
    yield from (_turned(turned, values) for values in _with_identities(turned, mirrored, rng))


def perturbed(problem: ProductProblem, values: Values, kick: float, rng: np.random.Generator) -> Values:
    """Add noise, in units of the root mean square of each factor's values."""
    pairs = zip(values, problem.random(rng), strict=True)
    return problem.holding([value + kick * _size(value) / _size(noise) * noise for value, noise in pairs])


def crossings(problem: ProductProblem, points: list[Values], rng: np.random.Generator) -> Iterator[Values]:
    """Yield points halfway from one of these, in turn, to another at random, without end.

    Components are balanced first, and those of the other are given the signs of the first's.
    """
    points = [problem.balanced(values) for values in points]
    for i in cycle(range(len(points))):
        others = points[:i] + points[i + 1 :]
        other = _with_signs_of(problem, points[i], others[rng.integers(len(others))])
        yield problem.holding([(a + b) / 2 for a, b in zip(points[i], other, strict=True)])


def _with_signs_of(problem: ProductProblem, values: Values, others: Values) -> Values:
    """Others of the same product, turned so that each component points where that of the values does."""
    others = list(others)
    for i, movable in enumerate(problem.movable):
        own, k = problem.places[i][1], problem.places[i + 1][0]
        met = np.zeros(len(movable), problem.A.dtype)
        np.add.at(met, own, others[i].conj() * values[i])
        sizes = np.abs(met)
        signs = np.divide(met, sizes, out=np.ones_like(met), where=movable & (sizes > 0))
        others[i], others[i + 1] = others[i] * signs[own], others[i + 1] / signs[k]
    return others


def _size(values: Array) -> float:
    """Root mean square, 1 for no values or zeros."""
    return float(np.sqrt(np.mean(np.abs(values) ** 2))) or 1.0 if values.size else 1.0


def _transposed(problem: ProductProblem) -> ProductProblem:
    return replace(problem, A=problem.A.T, supports=problem.supports.T)


def _with_identities(
    problem: ProductProblem, patterns: tuple[Any, ...], rng: np.random.Generator
) -> Iterator[Values]:
    """The longest chainable prefix alone, if identities can follow."""
    lengths = range(len(patterns) - 1, 0, -1)
    chains = ((s, Architecture(patterns[:s])) for s in lengths)
    s = next((s for s, chain in chains if chain.is_chainable and not chain.is_redundant), len(problem))
    others = problem.supports[s:]
    if others and all(_has_diagonal(support.to_sparse()) for support in others):
        ones = [(rows == columns).astype(problem.A.dtype) for rows, columns in problem.places[s:]]
        prefix, chain = Supports(problem.supports[:s]), Architecture(patterns[:s])
        if prefix == chain:
            train, _ = Train.split_all(on_pattern(problem.A, chain.product), chain, range(1, s))
            yield [*(np.ravel(value) for value in train.values), *ones]
        else:
            yield [*split_off(problem.A, prefix, rng), *ones]


def _has_diagonal(pattern: sparse.csr_array) -> bool:
    return pattern.shape[0] == pattern.shape[1] and bool(pattern.diagonal().all())


def _turned(turned: ProductProblem, values: Values) -> Values:
    """Values of the transposed problem, for the problem itself."""
    return [
        sparse.csr_array((value, (columns, rows)), shape=support.shape[::-1]).data
        for value, (rows, columns), support in reversed(
            list(zip(values, turned.places, turned.supports, strict=True))
        )
    ]
