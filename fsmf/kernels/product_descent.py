"""The objective of a product on supports and its gradient in all values, and descents that use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Descending", "ValuesProblem", "value_and_gradient"]

Array = NDArray[Any]
Places = Sequence[tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]]

# Steps that are remembered.
_MEMORY = 10


class ValuesProblem:
    """Minimise ``Σ W |A − X1 … XL|² + ridge Σ|Xi|²`` over the values of the factors at given places.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        In double precision.
    shapes : sequence of tuple of int
        Shapes of the factors.
    places : sequence of tuple of ndarray
        Rows and columns of the entries of each factor.
    weights : ndarray, shape (m, n), optional
        The weights W.
    ridge : float
        Weight of the squared values.
    frozen : ndarray of bool, optional
        Which values, of all factors, stay as they are.
    """

    def __init__(
        self,
        A: Array,
        shapes: Sequence[tuple[int, int]],
        places: Places,
        *,
        weights: Array | None = None,
        ridge: float = 0.0,
        frozen: Array | None = None,
    ) -> None:
        self.A, self.shapes, self.places, self.weights, self.ridge = A, shapes, places, weights, ridge
        self.ends = np.cumsum([0, *(len(rows) for rows, _ in places)])
        self.size = int(self.ends[-1])
        self.frozen = np.zeros(self.size, bool) if frozen is None else frozen

    def split(self, z: Array) -> list[Array]:
        """The values of each factor."""
        return [z[a:b] for a, b in zip(self.ends[:-1], self.ends[1:], strict=True)]

    def compiled(self) -> tuple[Any, ...]:
        """What the compiled twin is given between the values and the place for the gradient."""
        from fsmf.kernels.product_descent_cpu import STRIP

        A, weights = self.A.T, np.zeros((0, 0)) if self.weights is None else self.weights.T
        sizes = np.array([shape[1] for shape in self.shapes])
        rows, columns = (np.concatenate([place[side] for place in self.places]) for side in (0, 1))
        tops = np.concatenate([[0, 0], np.cumsum(sizes)]).astype(np.int64)
        width = min(STRIP, self.A.shape[0])
        return (
            np.ascontiguousarray(A),
            np.ascontiguousarray(weights),
            float(self.ridge),
            self.frozen,
            rows.astype(np.int64),
            columns.astype(np.int64),
            self.ends.astype(np.int64),
            tops,
            np.zeros((int(sizes.sum()), width), A.dtype),
            np.zeros((2, int(sizes.max()), width), A.dtype),
        )


def value_and_gradient(problem: ValuesProblem, z: Array) -> tuple[float, Array]:
    """Return the objective at the values z, and its gradient there, by dense products.

    Parameters
    ----------
    problem : ValuesProblem
        The problem.
    z : ndarray, shape (size,)
        The values of all factors.

    Returns
    -------
    value : float
        The objective.
    gradient : ndarray, shape (size,)
        The change of the objective is ``Re⟨gradient, dz⟩``.
    """
    factors = []
    for values, shape, place in zip(problem.split(z), problem.shapes, problem.places, strict=True):
        X = np.zeros(shape, z.dtype)
        X[place] = values
        factors.append(X)
    prefixes = [np.eye(len(problem.A))]
    for X in factors:
        prefixes.append(prefixes[-1] @ X)
    pulled = prefixes[-1] - problem.A
    value = float(np.sum(np.abs(pulled) ** 2 * (1.0 if problem.weights is None else problem.weights)))
    pulled = pulled if problem.weights is None else problem.weights * pulled
    pieces = []
    for left, X, place in zip(prefixes[-2::-1], factors[::-1], problem.places[::-1], strict=True):
        pieces.append((left.conj().T @ pulled)[place])
        pulled = pulled @ X.conj().T
    gradient = 2 * (np.concatenate(pieces[::-1]) + problem.ridge * z)
    gradient[problem.frozen] = 0
    return value + problem.ridge * float(np.vdot(z, z).real), gradient


class Descending:
    """One start on its way down.

    Attributes
    ----------
    z : ndarray, shape (size,)
        The values of all factors, updated in place.
    value : float
        The objective there.
    steps : int
        Steps made so far.
    has_ended : bool
        Whether another step gains next to nothing.
    """

    def __init__(self, z: Array, compiled: tuple[Any, ...]) -> None:
        from fsmf.kernels.product_descent_cpu import value_and_gradient

        self._problem = compiled
        self.z, self._gradient = z.copy(), np.empty_like(z)
        self.value = value_and_gradient(self.z, compiled, self._gradient)
        shape = _MEMORY, z.size
        self._memory = np.empty(shape, z.dtype), np.empty(shape, z.dtype), np.empty(_MEMORY)
        self._count = self.steps = 0
        self.has_ended = False

    def go(self, steps: int, rtol: float, floor: float) -> None:
        """Make so many steps, or fewer: until three gain less than `rtol`, or the value is at the floor."""
        from fsmf.kernels.product_descent_cpu import descend

        self.value, self._count, made, self.has_ended = descend(
            self.z, self.value, self._gradient, self._memory, self._count, self._problem, steps, rtol, floor
        )
        self.steps += made
