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
_MEMORY = 5

# Bytes of the vectors of the compiled twin, and how many numbers it adds up side by side.
_ROW, _SIDE_BY_SIDE = 256, 16


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
        """What the compiled twin is given between the values and the place for the gradient.

        Rows and columns are counted through all factors. The entries in a row or a column begin where
        ``starts`` and ``ends`` say; ``order`` lists them by columns, and ``lefts`` the columns of the factors
        before that meet them. The columns of prefix s are those from ``tops[s]`` on.
        """
        tops = np.cumsum([[0, 0], *self.shapes], axis=0)
        sides = zip(self.places, tops, strict=False)
        rows, columns = np.concatenate([np.stack(place) + top[:, None] for place, top in sides], axis=1)
        order = np.argsort(columns, kind="stable")
        starts, ends = (
            np.concatenate([[0], np.cumsum(np.bincount(lines, minlength=count))])
            for lines, count in zip((rows, columns), tops[-1], strict=True)
        )
        planes, lanes = self.A.itemsize // 8, _ROW // self.A.itemsize
        width = max(shape[1] for shape in self.shapes)
        return (
            self.A.dtype.type(1),
            _in_strips(-self.A),
            np.zeros((0, 0, planes, lanes))
            if self.weights is None
            else _in_strips(self.weights + 0 * self.A),
            float(self.ridge),
            np.resize(np.repeat(~self.frozen, planes), _whole(planes * self.size)),
            starts,
            np.concatenate([place[1] for place in self.places]),
            ends,
            order,
            rows[order] - len(self.A),
            np.concatenate([[0], tops[:, 1]]),
            np.zeros((tops[-1, 1], planes, lanes)),
            np.zeros((2, width, planes, lanes)),
        )


def _whole(size: int) -> int:
    """So many numbers or a few more, of which sums are made without a rest."""
    return -(-size // _SIDE_BY_SIDE) * _SIDE_BY_SIDE


def _in_strips(M: Array) -> Array:
    """Some rows at a time, transposed, real parts before imaginary parts."""
    lanes = _ROW // M.itemsize
    strips = -(-len(M) // lanes)
    rows = np.zeros((strips * lanes, M.shape[1]), M.dtype)
    rows[: len(M)] = M
    columns = rows.reshape(strips, lanes, M.shape[1]).swapaxes(1, 2).copy()
    return columns.view(float).reshape(*columns.shape, M.itemsize // 8).swapaxes(2, 3).copy()


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
        # Real numbers, complex ones in pairs, and zeros up to whole vectors.
        size = z.size * z.itemsize // 8
        whole = np.zeros(_whole(size))
        self.z = whole[:size].view(z.dtype)
        self.z[:] = z
        self._z, self._gradient = whole, np.empty_like(whole)
        self.value = value_and_gradient(whole, compiled, self._gradient)
        shape = _MEMORY, whole.size
        self._memory = np.empty(shape), np.empty(shape), np.empty(_MEMORY), np.zeros(whole.size)
        self._count = self.steps = 0
        self.has_ended = False

    def go(self, steps: int, rtol: float, floor: float) -> None:
        """Make so many steps, or fewer: until three gain less than `rtol`, or the value is at the floor."""
        from fsmf.kernels.product_descent_cpu import descend

        self.value, self._count, made, self.has_ended = descend(
            self._z,
            self.value,
            self._gradient,
            self._memory,
            self._count,
            self.steps,
            self._problem,
            steps,
            rtol,
            floor,
        )
        self.steps += made
