"""One part of a pair as a least-squares problem: its matrix, its objective, and where to start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import OptionError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.masked_lstsq import RowGroups, masked_lstsq
from fsmf.supports.layout import IndexLists, group_equal
from fsmf.supports.support import Support
from fsmf.tractability import Part

__all__ = ["PairProblem"]

Array = NDArray[Any]

# Subspace iterations for a starting point: rough singular vectors are as good there as exact ones.
_ITERATIONS = 20


# When the norm of the factors is lowered: at most that many components, and rounds of all moves.
_MAX_MOVERS, _ROUNDS = 1024, 50


@dataclass(frozen=True)
class PairProblem:
    """Minimise ``‖A − X Y‖² + ridge (‖X‖² + ‖Y‖²)`` on two supports.

    Attributes
    ----------
    A : ndarray, shape (m, n)
        The part's matrix, zero out of reach, in double precision.
    norm : float
        ‖A‖_F.
    part : Part
        The part.
    left, right : Support
        Supports of X (m × r) and of Y (r × n).
    rows, columns : RowGroups
        The rows of X and the columns of Y, grouped by support.
    ridge : float
        Weight of the squared factor norms.
    exponent : int
        The matrix is that of the user divided by ``2**exponent``.
    """

    A: Array
    norm: float
    part: Part
    left: Support
    right: Support
    rows: RowGroups
    columns: RowGroups
    ridge: float
    exponent: int

    @classmethod
    def of(cls, A: Any, part: Part, *, ridge: float, exponent: int) -> PairProblem:
        """Cut a part out of the whole matrix, which was divided by ``2**exponent``; the ridge was not."""
        left, right = part.structure.supports
        m, n = part.structure.shape
        covered = part.structure.classes.layout.covered(slice(None))
        own = np.where(covered, part.block(A, np.arange(m), np.arange(n)), 0)
        own = own.astype(np.result_type(own.dtype, np.float64), copy=False)
        norm, ridge = frobenius_norm(own), math.ldexp(ridge, -exponent)
        return cls(own, norm, part, left, right, _groups(left), _groups(right.T), ridge, exponent)

    @property
    def negligible(self) -> float:
        """A squared error that is only rounding."""
        return float((4 * np.finfo(float).eps * self.norm) ** 2)

    def solve_left(self, Y: Array) -> Array:
        """Find the best X for this Y."""
        return masked_lstsq(self.A, Y, self.rows, ridge=self.ridge)

    def solve_right(self, X: Array) -> Array:
        """Find the best Y for this X."""
        return masked_lstsq(self.A.T, X.T, self.columns, ridge=self.ridge).T

    def penalty(self, X: Array, Y: Array) -> float:
        """Return ``ridge (‖X‖² + ‖Y‖²)``."""
        return self.ridge * (frobenius_norm(X) ** 2 + frobenius_norm(Y) ** 2) if self.ridge else 0.0

    def squared_error(self, X: Array, Y: Array) -> float:
        """Return ``‖A − X Y‖²``."""
        return frobenius_norm(self.A - X @ Y) ** 2

    def gradient_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of half the gradient of the objective on the supports."""
        residual = X @ Y - self.A
        left = residual @ Y.conj().T + self.ridge * X
        right = X.conj().T @ residual + self.ridge * Y
        return math.hypot(
            frobenius_norm(left[self.left.coordinates()]), frobenius_norm(right[self.right.coordinates()])
        )

    def values(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return the values of the factors in the row-major order of their supports."""
        return X[self.left.coordinates()], Y[self.right.coordinates()]

    def balanced_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of the two factors together when x_k and y_k are given equal norms."""
        return math.sqrt(2 * float(np.linalg.norm(X, axis=0) @ np.linalg.norm(Y, axis=1)))

    def balance(self, X: Array, *right: Array) -> None:
        """Give x_k and y_k equal norms, in place, Y being the first of `right`; the others scale with it."""
        x, y = np.linalg.norm(X, axis=0), np.linalg.norm(right[0], axis=1)
        scale = np.sqrt(np.divide(y, x, out=np.ones_like(x), where=(x > 0) & (y > 0)))
        X *= scale
        for Y in {id(Y): Y for Y in right}.values():
            Y /= scale[:, None]

    def settled(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return factors with the same product whose norm no elementary move lowers further.

        First each class gets its factors of least norm, by an SVD. Then, as long as it pays, components k
        and l with R_l ⊆ R_k and C_k ⊆ C_l exchange a multiple: ``x_k + s x_l`` and ``y_l − s y_k`` keep
        supports and product for every s.
        """
        X, Y = X.copy(), Y.copy()
        self.balance(X, Y)
        classes = self.part.structure.classes
        for p in np.flatnonzero(classes.members.sizes > 1):
            members, rows, columns = classes[p]
            left, right = np.ix_(rows, members), np.ix_(members, columns)
            Q, R = np.linalg.qr(X[left])
            P, S = np.linalg.qr(Y[right].conj().T)
            U, s, Vh = np.linalg.svd(R @ S.conj().T, full_matrices=False)
            k = len(s)
            X[left], Y[right] = 0, 0
            X[np.ix_(rows, members[:k])] = (Q @ U) * np.sqrt(s)
            Y[np.ix_(members[:k], columns)] = np.sqrt(s)[:, None] * (Vh @ P.conj().T)
        moves = self._moves() if len(Y) <= _MAX_MOVERS else ()
        before = math.inf
        for _ in range(_ROUNDS if len(moves) else 0):
            for k, l in moves:
                _exchange(X, Y, k, l)
            self.balance(X, Y)
            after = self.balanced_norm(X, Y)
            if after > before * (1 - 1e-6):
                break
            before = after
        return X, Y

    def _moves(self) -> list[tuple[int, int]]:
        """Components k ≠ l of different classes with R_l ⊆ R_k and C_k ⊆ C_l."""
        left, right = self.left.to_sparse().astype(np.int64), self.right.to_sparse().astype(np.int64)
        shared_rows, shared_columns = (left.T @ left).toarray(), (right @ right.T).toarray()
        inside = (shared_rows == np.diag(shared_rows)) & (shared_columns == np.diag(shared_columns)[:, None])
        inside &= ~inside.T & (np.diag(shared_rows) > 0) & (np.diag(shared_columns) > 0)[:, None]
        return [(int(k), int(l)) for k, l in zip(*np.nonzero(inside), strict=True)]

    def random(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw Gaussian factors of the size that makes their product about as large as A."""
        scale = math.sqrt(self.norm / math.sqrt(self.A.size)) if self.norm else 1.0
        return scale * self._gaussian(rng, self.left), scale * self._gaussian(rng, self.right)

    def _gaussian(self, rng: np.random.Generator, support: Support) -> Array:
        values = rng.standard_normal(support.nnz).astype(self.A.dtype)
        if np.iscomplexobj(self.A):
            values += 1j * rng.standard_normal(support.nnz)
        dense = np.zeros(support.shape, dtype=self.A.dtype)
        dense[support.coordinates()] = values
        return dense

    def spectral(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Take dominant singular vectors of each class's block of what the larger classes have left."""
        classes = self.part.structure.classes
        # A little of a random start stays: exact singular vectors can be a saddle point.
        X, Y = (1e-3 * factor for factor in self.random(rng))
        rest = self.A.copy()
        for p in np.argsort(-classes.areas, kind="stable"):
            members, rows, columns = classes[p]
            place = np.ix_(rows, columns)
            U, V = _dominant(rest[place], len(members), rng)
            k = U.shape[1]
            X[np.ix_(rows, members[:k])] += U
            Y[np.ix_(members[:k], columns)] += V
            rest[place] -= U @ V
        return X, Y

    def warm(self, initial: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Restrict given factors of the whole matrix, of that shape, to this part and its supports."""
        factors = initial.factors if isinstance(initial, Factorization) else initial
        if not isinstance(factors, tuple | list) or len(factors) != 2:
            raise ShapeError("initial must be a Factorization or two factors (X, Y); found something else")
        part = self.part
        (m, n), r = shape, part.inner
        found = []
        for factor, support, index, sides in (
            (factors[0], self.left, (part.rows, part.members), (m, r)),
            (factors[1], self.right, (part.members, part.columns), (r, n)),
        ):
            dense = factor.toarray() if sparse.issparse(factor) else np.asarray(factor)
            if dense.shape != sides:
                raise ShapeError(
                    f"initial must be factors of shapes {(m, r)} and {(r, n)}, as they multiply; "
                    f"found one of shape {dense.shape}"
                )
            if dense.dtype.kind not in "biufc" or not np.isfinite(dense).all():
                raise OptionError("initial must be finite numbers; found something else")
            if dense.dtype.kind == "c" and not np.iscomplexobj(self.A):
                raise OptionError("initial must be real, as A is; found complex factors")
            own = np.where(support.toarray(), dense[np.ix_(*index)], 0).astype(self.A.dtype)
            found.append(own * 2.0 ** (-self.exponent / 2))
        return found[0], found[1]


def _groups(support: Support) -> RowGroups:
    lists = IndexLists.of(support)
    label, first = group_equal(lists)
    rows = np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label))[:-1])
    return RowGroups.of(support.shape, [(group, lists[k]) for group, k in zip(rows, first, strict=True)])


def _exchange(X: Array, Y: Array, k: int, l: int) -> None:
    """Move along ``x_k + s x_l``, ``y_l − s y_k`` to where the factors have the least norm."""
    weight = np.vdot(X[:, l], X[:, l]).real + np.vdot(Y[k], Y[k]).real
    if weight > 0:
        s = (np.vdot(Y[k], Y[l]) - np.vdot(X[:, l], X[:, k])) / weight
        X[:, k] += s * X[:, l]
        Y[l] -= s * Y[k]


def _dominant(block: Array, rank: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Roughly the best piece of a given rank, balanced: a few subspace iterations."""
    V = rng.standard_normal((block.shape[1], min(rank, *block.shape))).astype(block.dtype)
    for _ in range(_ITERATIONS):
        U = np.linalg.qr(block @ V)[0]
        V = block.conj().T @ U
    size = np.sqrt(np.linalg.norm(V, axis=0))
    inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
    return U * size, (V * inverse).conj().T
