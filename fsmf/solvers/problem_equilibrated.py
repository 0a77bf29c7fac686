"""Random factors whose rows and columns have nearly equal norms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.supports.layout import Index

__all__ = ["equilibrated"]

Array = NDArray[Any]

# Rounds of equilibration, and the size of an equilibrated product in units of ‖A‖: small ones descend into
# better minima than large ones.
_ROUNDS, _SHARE = 2, 0.3

# Random starts that are drawn at a time.
_AT_ONCE = 16


def equilibrated(problem: ProductProblem, rng: np.random.Generator) -> Iterator[Values]:
    """Draw factors whose rows have equal norms, and whose columns nearly so, without end.

    Their product is far better conditioned than that of Gaussian ones, in which what few paths lead to fades.
    """
    scale = (_SHARE * problem.norm / np.sqrt(problem.A.shape[0])) ** (1 / len(problem)) or 1.0
    sides = [(_Lines(columns), _Lines(rows)) for rows, columns in problem.places]
    while True:
        drawn = []
        for support, both in zip(problem.supports, sides, strict=True):
            values = problem.gaussian(rng, _AT_ONCE * support.nnz).reshape(_AT_ONCE, -1)
            for lines in both * _ROUNDS:
                values /= np.sqrt(lines.sums(np.abs(values) ** 2))
            drawn.append(scale * values)
        yield from map(list, zip(*drawn, strict=True))


class _Lines:
    """Which entries share a line."""

    def __init__(self, lines: Index) -> None:
        self._order = np.argsort(lines, kind="stable")
        _, self._starts, self._own = np.unique(lines[self._order], return_index=True, return_inverse=True)
        self._own = self._own[np.argsort(self._order)]

    def sums(self, values: Array) -> Array:
        """The sum over the line of each entry, of many starts side by side."""
        if not self._starts.size:
            return values
        return np.add.reduceat(values[:, self._order], self._starts, axis=1)[:, self._own]
