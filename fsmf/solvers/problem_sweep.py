"""One sweep over a product: exact least squares for each factor in turn, the others held."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import LinearOperator, cg

from fsmf.certificates.residuals import dense
from fsmf.solvers.problem_product import ProductProblem, Values
from fsmf.supports.layout import Index
from fsmf.supports.support import Support

__all__ = ["LeastSquares"]

Array = NDArray[Any]

# Unknowns that depend on each other are solved for at once up to so many; more by conjugate gradients.
_DIRECT = 1500

# Numbers of normal equations that are held at a time.
_HELD = 1 << 24

# Steps of conjugate gradients, and the residual at which they end, relative to that of the held values.
_STEPS, _ENOUGH = 50, 1e-3

# A change of the values is charged this much, in units of the largest diagonal entry of the normal equations:
# what they do not determine stays as it is.
_PROXIMAL = 1e-13


class LeastSquares:
    """Solve for one factor after another, what couples at once and what does not apart.

    With all other factors held, ``X1 … XL = P X Q`` is linear in the factor X. Entries ``(a, b)`` and
    ``(c, d)`` of X meet in the objective only when columns a and c of P share a row and rows b and d of Q a
    column, so that the normal equations, of matrix ``(PᴴP)[a, c] · (QQᴴ)[d, b]``, fall apart into blocks that
    the supports tell. Each step is a change that is found from the residual, so that errors do not add up.
    Prescribed entries are no unknowns. With weights the columns of each block are laid out.
    """

    def __init__(self, problem: ProductProblem) -> None:
        self.problem = problem
        supports = problem.supports
        cuts = [supports.cut(s) for s in range(1, len(supports))]
        left_labels = [np.arange(supports.shape[0]), *(_meeting(left) for left, _ in cuts)]
        right_labels = [*(_meeting(right.T) for _, right in cuts), np.arange(supports.shape[1])]
        self._groups = [
            list(_grouped(left[rows], right[columns], np.arange(support.nnz)[support.free]))
            for left, right, (rows, columns), support in zip(
                left_labels, right_labels, problem.places, supports, strict=True
            )
        ]

    def of(self, problem: ProductProblem) -> LeastSquares:
        """Return the same for a problem that differs in its ridge."""
        other = copy(self)
        other.problem = problem
        return other

    def sweep(self, values: Values) -> tuple[Values, float]:
        """Solve for each factor from left to right; the values, and the squared error."""
        problem, values = self.problem, list(values)
        residual = problem.residual(values)
        left: Array | None = None
        for i, right in enumerate(problem.suffixes(values)):
            change = self._change(i, left, residual, right, values[i])
            values[i] = values[i] + change
            moved = problem.factor(i, change)
            moved = moved if left is None else left @ moved
            moved = moved if right is None else moved @ right
            residual = residual - moved
            own = problem.factor(i, values[i])
            left = np.asarray(own.toarray() if sparse.issparse(own) else own) if left is None else left @ own
        return values, problem.squared(residual)

    def _change(self, i: int, left: Array | None, residual: Array, right: Array | None, held: Array) -> Array:
        """What to add to the values of factor i."""
        problem = self.problem
        target = problem.pull(i, left, residual, right) - problem.ridge * held
        change = np.zeros_like(target)
        rows, columns = problem.places[i]
        grams = (
            None if left is None else left.conj().T @ left,
            None if right is None else (right @ right.conj().T).T,
        )
        for members in self._groups[i]:
            k = members.shape[1]
            if k > _DIRECT:
                for some in members:
                    change[some] = self._iterated(i, left, right, grams, target, some)
                continue
            for start in range(0, len(members), step := max(1, _HELD // (k * k))):
                some = members[start : start + step]
                if problem.roots is None:
                    normal = _picked(grams[0], rows[some]) * _picked(grams[1], columns[some])
                else:
                    sides = zip(rows[some], columns[some], strict=True)
                    normal = np.stack([_weighted(problem.roots, left, right, a, b) for a, b in sides])
                diagonal = np.einsum("gkk->gk", normal)
                diagonal += problem.ridge
                # Where nothing is determined any charge will do.
                charge = _PROXIMAL * diagonal.real.max(axis=1, keepdims=True)
                diagonal += np.where(charge > 0, charge, 1.0)
                change[some] = np.linalg.solve(normal, target[some][:, :, None])[:, :, 0]
        return change

    def _iterated(
        self, i: int, left: Array | None, right: Array | None, grams: Any, target: Array, members: Index
    ) -> Array:
        """Do so by conjugate gradients: every step lowers the objective."""
        problem = self.problem
        rows, columns = problem.places[i]
        diagonal = _diagonal(grams[0], rows[members]) * _diagonal(grams[1], columns[members]) + problem.ridge
        diagonal = np.where(diagonal > 0, diagonal, 1.0)

        def normal(change: Array) -> Array:
            spread = np.zeros_like(target)
            spread[members] = change.ravel()
            image = problem.factor(i, spread)
            ends = grams if problem.roots is None else (left, right)
            image = image if ends[0] is None else ends[0] @ image
            image = (
                image if ends[1] is None else image @ (ends[1] if problem.roots is not None else ends[1].T)
            )
            if problem.roots is None:
                at_places = np.asarray(image[rows[members], columns[members]]).ravel()
            else:
                at_places = problem.pull(i, left, dense(image), right)[members]
            return at_places + problem.ridge * change.ravel()

        n = len(members)
        found: Array = cg(
            LinearOperator((n, n), matvec=normal, dtype=target.dtype),
            target[members],
            rtol=_ENOUGH,
            maxiter=_STEPS,
            M=LinearOperator((n, n), matvec=lambda x: x.ravel() / diagonal, dtype=target.dtype),
        )[0]
        return found


def _meeting(support: Support) -> Index:
    """A label for each column, equal for columns that a chain of shared rows connects."""
    m, n = support.shape
    rows, columns = support.coordinates()
    graph = sparse.coo_array((np.ones(support.nnz), (rows, columns + m)), shape=(m + n, m + n))
    labels: Index = csgraph.connected_components(graph, directed=False)[1][m:]
    return labels


def _grouped(left: Index, right: Index, free: Index) -> Any:
    """Free places of equal labels on both sides; groups of equal size in one array, one in each row."""
    if not len(free):
        return
    label = np.unique(np.stack([left[free], right[free]]), axis=1, return_inverse=True)[1].ravel()
    order = free[np.argsort(label, kind="stable")]
    sizes = np.bincount(label)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        yield order[starts[sizes == size][:, None] + np.arange(size)]


def _picked(gram: Array | None, index: Index) -> Array:
    """``gram[a, b]`` for all pairs of each row of indices, the identity for None."""
    pairs = index[:, :, None], index[:, None, :]
    return (pairs[0] == pairs[1]).astype(float) if gram is None else gram[pairs]


def _weighted(roots: Array, left: Array | None, right: Array | None, a: Index, b: Index) -> Array:
    """Normal equations of entries (a, b) with weights, of columns ``roots · left[:, a] right[b, :]``."""
    if left is None:
        # All in one row, or without a right side in one place.
        columns = roots[a[:1]] * right[b] if right is not None else roots[a, b][None]
    elif right is None:
        columns = roots[:, b[0]] * left.T[a]
    else:
        step = max(1, _HELD // (len(a) * roots.shape[1]))
        normal = np.zeros((len(a), len(a)), np.result_type(left, right))
        for start in range(0, roots.shape[0], step):
            rows = slice(start, start + step)
            piece = roots[rows] * left[rows].T[a][:, :, None] * right[b][:, None, :]
            flat = piece.reshape(len(a), -1)
            normal += flat.conj() @ flat.T
        return normal
    return np.asarray(columns.conj() @ columns.T)


def _diagonal(gram: Array | None, index: Index) -> Array:
    return np.ones(len(index)) if gram is None else gram[index, index].real
