"""The sparse twin of `fsmf.solvers.problem`: factors are the values on their supports, and nothing is m × n.

What one sweep costs either way, and which of the two a pair of supports gets, is decided here as well.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.namespace import is_foreign
from fsmf.solvers.problem import (
    CANCELLED,
    ITERATIONS,
    NOISE,
    ROUNDS,
    PairProblem,
    Relaxation,
    Swept,
    checked_factors,
    drawn,
    movable,
    spectral_noise,
)
from fsmf.solvers.problem_device import DevicePairProblem
from fsmf.supports.layout import Index, IndexLists, group_equal, offsets
from fsmf.supports.support import Support
from fsmf.tractability import Part, Structure

if TYPE_CHECKING:
    from fsmf.kernels.masked_lstsq_cpu import Pattern, RowSource, RowSystem

__all__ = ["Problem", "SparsePairProblem", "problem_of", "sweep_cost"]

Array = NDArray[Any]

# Dense problems of more bytes than this are not set up.
_MAX_BYTES = 1e9

# Of smaller ones, those of at least so many operations a sweep that sparse arithmetic needs a tenth of: its
# operations wait for memory, and loading compiled code takes half a second.
_WORTHWHILE, _ADVANTAGE = 1e9, 10

# Places of a rectangle laid out for its singular vectors; larger ones are met as operators, in so many
# iterations.
_LAID_OUT, _FEW_ITERATIONS = 1 << 22, 5

# Operations above which starting points do without deflation.
_DEFLATION = 1e11


@dataclass(frozen=True, eq=False)
class SparsePairProblem(Swept):
    """Minimise ``‖A − X Y‖² + ridge (‖X‖² + ‖Y‖²)`` on two supports; X and Y are vectors of values.

    Attributes
    ----------
    A : ndarray or csr_array
        The whole matrix, which is not copied.
    norm : float
        ‖A‖_F on the places of the part within reach.
    part : Part
        The part.
    left, right : Support
        Supports of X (m × r) and of Y (r × n); values are in their row-major order.
    stored_left, stored_right : ndarray of int
        Where each entry of Xᵀ (of Yᵀ), in row-major order, is stored in X (in Y).
    rows, columns : RowSystem
        Least squares for the rows of X and for those of Yᵀ.
    by_row, by_column : RowSource
        The rows of the part's matrix, and its columns.
    ridge : float
        Weight of the squared factor norms.
    exponent : int
        The matrix is that of the user divided by ``2**exponent``.
    """

    A: Any
    norm: float
    part: Part
    left: Support
    right: Support
    stored_left: Index
    stored_right: Index
    rows: RowSystem
    columns: RowSystem
    by_row: RowSource
    by_column: RowSource
    ridge: float
    exponent: int

    @property
    def is_complex(self) -> bool:
        """Whether factors are complex."""
        return np.iscomplexobj(self.A)

    @classmethod
    def of(cls, A: Any, part: Part, *, ridge: float, exponent: int) -> SparsePairProblem:
        """Take a part of the whole matrix, which was divided by ``2**exponent``; the ridge was not."""
        from fsmf.kernels.masked_lstsq_cpu import DenseRows, RowSystem, SparseRows, fixed

        def pattern(support: Support) -> Pattern:
            return fixed(support.indptr, np.int64), fixed(support.indices, np.int32)

        def label(support: Support) -> Array:
            return fixed(group_equal(IndexLists.of(support))[0], np.int64)

        left, right = part.structure.supports
        X, XT, Y, YT = (pattern(support) for support in (left, left.T, right, right.T))
        rows, columns = RowSystem(X, Y, YT, label(left)), RowSystem(YT, XT, X, label(right.T))
        by_row: RowSource
        by_column: RowSource
        if sparse.issparse(A):
            B = A.astype(np.result_type(A.dtype, np.float64), copy=False)
            if part.structure.shape != A.shape:
                B = B[part.rows][:, part.columns]
            by_row, by_column = SparseRows(B), SparseRows(B.T.tocsr())
        else:
            by_row = DenseRows(A, part.rows, part.columns)
            by_column = DenseRows(A.T, part.columns, part.rows)
        zero = (np.zeros(support.nnz, np.result_type(A.dtype, np.float64)) for support in (left, right))
        return cls(
            A=A,
            norm=math.sqrt(rows.residuals(by_row, *zero)[0]),
            part=part,
            left=left,
            right=right,
            stored_left=fixed(_stored(left), np.int64),
            stored_right=fixed(_stored(right), np.int64),
            rows=rows,
            columns=columns,
            by_row=by_row,
            by_column=by_column,
            ridge=math.ldexp(ridge, -exponent),
            exponent=exponent,
        )

    @property
    def eps(self) -> float:
        """Rounding of the user's dtype, in which the factors will be stored."""
        return float(np.finfo(self.A.dtype).eps)

    def solve_left(self, Y: Array) -> Array:
        """Find the best X for this Y."""
        return self.rows.solve(self.by_row, Y, Y[self.stored_right], self.ridge)[0]

    def solve_right(self, X: Array) -> tuple[Array, float]:
        """Find the best Y for this X, and ``‖A − X Y‖²``."""
        YT, explained = self.columns.solve(self.by_column, X[self.stored_left], X, self.ridge)
        Y = np.empty_like(YT)
        Y[self.stored_right] = YT
        squared = self.norm**2 - explained
        if self.ridge:
            squared -= self.ridge * frobenius_norm(Y) ** 2
        # Where A is nearly explained the difference is rounding.
        return Y, squared if squared > CANCELLED * self.norm**2 else self.squared_error(X, Y)

    def penalty(self, X: Array, Y: Array) -> float:
        """Return ``ridge (‖X‖² + ‖Y‖²)``."""
        return self.ridge * (frobenius_norm(X) ** 2 + frobenius_norm(Y) ** 2) if self.ridge else 0.0

    def block(self, rows: Index, columns: Index) -> Array:
        """Return a copy of a block of the part's matrix, zero out of reach."""
        left = self.left.to_sparse()[rows]
        met = np.unique(left.indices)
        reached = (left[:, met] @ self.right.to_sparse()[met][:, columns]).toarray()
        return np.where(reached, self.part.block(self.A, rows, columns), 0)

    def squared_error(self, X: Array, Y: Array) -> float:
        """Return ``‖A − X Y‖²`` on the places within reach."""
        X, Y = self._double(X), self._double(Y)
        return self.rows.residuals(self.by_row, X, Y)[0]

    def gradient_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of half the gradient of the objective on the supports."""
        X, Y = self._double(X), self._double(Y)
        XT, YT = X[self.stored_left], Y[self.stored_right]
        _, left = self.rows.residuals(self.by_row, X, Y, ridge=self.ridge, gradient=True)
        _, right = self.columns.residuals(self.by_column, YT, XT, ridge=self.ridge, gradient=True)
        return math.sqrt(left + right)

    def _double(self, values: Array) -> Array:
        return values.astype(np.result_type(values.dtype, np.float64), copy=False)

    def values(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return the values of the factors in the row-major order of their supports."""
        return X, Y

    def _norms(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Norms of the columns of X and of the rows of Y, shape (r,) each."""
        r = self.right.shape[0]
        members = (self.left.indices, self.right.coordinates()[0])
        x, y = (
            np.sqrt(np.bincount(k, weights=Z.real**2 + Z.imag**2, minlength=r))
            for k, Z in zip(members, (X, Y), strict=True)
        )
        return x, y

    def balanced_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of the two factors together when x_k and y_k are given equal norms."""
        x, y = self._norms(X, Y)
        return math.sqrt(2 * float(x @ y))

    def balance(self, X: Array, *right: Array) -> None:
        """Give x_k and y_k equal norms, in place, Y being the first of `right`; the others scale with it."""
        x, y = self._norms(X, right[0])
        scale = np.sqrt(np.divide(y, x, out=np.ones_like(x), where=(x > 0) & (y > 0)))
        X *= scale[self.left.indices]
        for Y in {id(Y): Y for Y in right}.values():
            Y /= np.repeat(scale, np.diff(self.right.indptr))

    def _places(self, k: int | np.integer[Any]) -> tuple[Index, slice]:
        """Where column k of X and row k of Y are stored."""
        x, y = self.left.T.indptr, self.right.indptr
        return self.stored_left[x[k] : x[k + 1]], slice(y[k], y[k + 1])

    def settled(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return factors with the same product whose norm no elementary move lowers further.

        As `PairProblem.settled`: factors of least norm for each class, then exchanges between nested ones.
        """
        X, Y = X.copy(), Y.copy()
        self.balance(X, Y)
        members = self.part.structure.classes.members
        for p in np.flatnonzero(members.sizes > 1):
            places = [self._places(k) for k in members[p]]
            left, right = np.stack([place for place, _ in places], axis=1), [place for _, place in places]
            Q, R = np.linalg.qr(X[left])
            P, S = np.linalg.qr(np.stack([Y[place].conj() for place in right], axis=1))
            U, s, Vh = np.linalg.svd(R @ S.conj().T, full_matrices=False)
            k = len(s)
            X[left[:, k:]] = 0
            X[left[:, :k]] = (Q @ U) * np.sqrt(s)
            V = np.sqrt(s)[:, None] * (Vh @ P.conj().T)
            for i, place in enumerate(right):
                Y[place] = V[i] if i < k else 0
        moves = movable(self.part.structure)
        before = math.inf
        for _ in range(ROUNDS if moves else 0):
            for k, l in moves:
                self._exchange(X, Y, k, l)
            self.balance(X, Y)
            after = self.balanced_norm(X, Y)
            if after > before * (1 - 1e-6):
                break
            before = after
        return X, Y

    def _exchange(self, X: Array, Y: Array, k: int, l: int) -> None:
        """Move along ``x_k + s x_l``, ``y_l − s y_k`` to where the factors have the least norm."""
        (xk, yk), (xl, yl) = self._places(k), self._places(l)
        weight = np.vdot(X[xl], X[xl]).real + np.vdot(Y[yk], Y[yk]).real
        if weight > 0:
            # The entries of x_k in the rows of l, and those of y_l in the columns of k.
            xk = xk[np.searchsorted(self.left.T.row(k), self.left.T.row(l))]
            inside = yl.start + np.searchsorted(self.right.row(l), self.right.row(k))
            s = (np.vdot(Y[yk], Y[inside]) - np.vdot(X[xl], X[xk])) / weight
            X[xk] += s * X[xl]
            Y[inside] -= s * Y[yk]

    def random(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw Gaussian factors of the size that makes their product about as large as A."""
        left, right = (drawn(rng.standard_normal, support.nnz, self) for support in (self.left, self.right))
        return left, right

    def spectral(self, rng: int | np.random.Generator) -> tuple[Array, Array, Array | None]:
        """Take dominant singular vectors of each class's block of what the larger classes have left.

        X and Y; what they leave of A is not held.
        """
        from fsmf.kernels.deflation_sparse_cpu import deflate_block, take_pieces
        from fsmf.kernels.masked_lstsq_cpu import fixed

        X0, Y0 = spectral_noise(rng, self)
        X, Y = np.zeros_like(X0), np.zeros_like(Y0)
        classes, local = self.part.structure.classes, np.full(self.right.shape[1], -1)
        patterns, starts = (self.rows.left, self.rows.right), (self.columns.right[0], self.rows.right[0])
        deflate = float(self.rows.reach @ np.diff(self.left.indptr)) < _DEFLATION
        for p in np.argsort(-classes.areas, kind="stable"):
            members, rows, columns = classes[p]
            if len(rows) * len(columns) > _LAID_OUT:
                self._take_pieces_of_large(rows, columns, members, deflate, X0, Y0, X, Y)
                continue
            local[columns] = np.arange(len(columns))
            block = np.empty((len(rows), len(columns)), X.dtype)
            self.by_row.block(rows, columns, local, block)
            if deflate:
                deflate_block(block, fixed(rows, np.int32), local, *patterns, X, Y)
            take_pieces(
                block, members, starts[0], self.stored_left, starts[1], X0, Y0, ITERATIONS, NOISE, X, Y
            )
            local[columns] = -1
        return X, Y, None

    def _take_pieces_of_large(
        self,
        rows: Index,
        columns: Index,
        members: Index,
        deflate: bool,
        X0: Array,
        Y0: Array,
        X: Array,
        Y: Array,
    ) -> None:
        """Do so for a block that is only multiplied with, some rows at a time, for all members at once."""
        starts = self.left.T.indptr
        for k in members:
            x, y = self._places(k)
            X[x], Y[y] = NOISE * X0[starts[k] : starts[k + 1]], NOISE * Y0[y]
        members = members[: min(len(rows), len(columns))]
        if sparse.issparse(self.A):
            B = self.A[self.part.rows[rows]][:, self.part.columns[columns]]
            step = len(rows)
        else:
            step = max(1, _LAID_OUT // len(columns))
        some = [slice(start, start + step) for start in range(0, len(rows), step)]

        def piece(part: slice) -> Any:
            return B if sparse.issparse(self.A) else self.part.block(self.A, rows[part], columns)

        left, right = (
            sparse.csr_array((values if deflate else 0 * values, s.indices, s.indptr), shape=s.shape)
            for values, s in ((X, self.left), (Y, self.right))
        )
        left, right = left[rows], right[:, columns]
        V = np.stack([Y0[self._places(k)[1]].conj() for k in members], axis=1)
        for _ in range(_FEW_ITERATIONS):
            U = np.concatenate([piece(part) @ V for part in some])
            U = np.linalg.qr(U - left @ (right @ V))[0]
            V = -(right.conj().T @ (left.conj().T @ U))
            for part in some:
                V += piece(part).conj().T @ U[part]
        size = np.sqrt(np.linalg.norm(V, axis=0))
        for i in np.flatnonzero(size):
            x, y = self._places(members[i])
            X[x] += size[i] * U[:, i]
            Y[y] += V[:, i].conj() / size[i]

    def relaxation(self, X: Array, Y: Array, rest: Array | None = None) -> Relaxation | None:
        """None: sweeps are cheap enough to begin with."""
        return None

    def warm(self, initial: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Restrict given factors of the whole matrix, of that shape, to this part and its supports."""
        part, r = self.part, self.part.inner
        shapes = ((shape[0], r), (r, shape[1]))
        X, Y = checked_factors(initial, shapes, real=not self.is_complex, exponent=self.exponent)
        dtype = np.result_type(self.A.dtype, np.float64)
        found = (
            _values_on(X, part.rows, part.members, self.left),
            _values_on(Y, part.members, part.columns, self.right),
        )
        left, right = (values.astype(dtype) for values in found)
        return left, right


Problem = PairProblem | SparsePairProblem | DevicePairProblem


def problem_of(A: Any, part: Part, *, ridge: float, exponent: int, n_sweeps: int = 1) -> Problem:
    """Set up a part of the whole matrix as a dense or a sparse problem, whichever is quicker to solve.

    On a device it is dense.
    """
    if is_foreign(A):
        return DevicePairProblem.of(A, part, ridge=ridge, exponent=exponent)
    if _is_dense(part.structure) or not _has_numba():
        return PairProblem.of(A, part, ridge=ridge, exponent=exponent, n_sweeps=n_sweeps)
    return SparsePairProblem.of(A, part, ridge=ridge, exponent=exponent)


def sweep_cost(structure: Structure) -> tuple[float, float]:
    """Operations of a sweep, and bytes of memory beyond A, of the problem that `problem_of` sets up."""
    return _dense_cost(structure) if _is_dense(structure) else _sparse_cost(structure)


def _is_dense(structure: Structure) -> bool:
    flops, nbytes = _plain_cost(structure)
    m, n = structure.shape
    # What solves may add at most says enough of small ones.
    if flops + (m + n) * structure.supports[1].shape[0] ** 3 < _WORTHWHILE:
        return nbytes <= _MAX_BYTES
    flops, _ = _dense_cost(structure)
    return nbytes <= _MAX_BYTES and (flops < _WORTHWHILE or flops < _ADVANTAGE * _sparse_cost(structure)[0])


def _plain_cost(structure: Structure) -> tuple[float, float]:
    """The cost of a dense problem without that of solving systems."""
    (m, n), r = structure.shape, structure.supports[1].shape[0]
    return 6.0 * m * n * r + 2.0 * (m + n) * r * r, 8.0 * (3 * m * n + 6 * (m + n) * r + 2 * r * r)


@lru_cache(maxsize=64)
def _dense_cost(structure: Structure) -> tuple[float, float]:
    left, right = structure.supports
    flops, nbytes = _plain_cost(structure)
    for support, (_, first) in zip((left, right.T), structure.distinct, strict=True):
        sizes = np.diff(support.indptr)[first].astype(float)
        flops += float(sizes @ (sizes * sizes))
    return flops, nbytes


@lru_cache(maxsize=64)
def _sparse_cost(structure: Structure) -> tuple[float, float]:
    left, right = structure.supports
    m, n = structure.shape
    flops, nbytes = 3.0 * m * n, 100.0 * structure.n_parameters + 800.0 * (m + n) + 2e8
    for X, Y, (_, first) in zip((left, right.T), (right, left.T), structure.distinct, strict=True):
        degrees = np.diff(X.indptr).astype(float)
        met = offsets(np.diff(Y.indptr)[X.indices])
        reach = np.diff(met[X.indptr]).astype(float)
        # Right-hand sides and residuals; Gram matrices, of supports that do not seek each other; solves.
        flops += 12 * float(reach.sum()) + float((reach[first] ** 2).sum()) / Y.shape[1]
        flops += float((degrees[first] ** 3 / 3).sum() + (2 * degrees**2).sum())
        nbytes = max(nbytes, 1e8 + 16 * float(degrees.max()) ** 2)
    return flops, nbytes


@cache
def _has_numba() -> bool:
    """Whether numba loads, and finds a folder for what it compiles."""
    try:
        from fsmf.kernels import deflation_sparse_cpu  # noqa: F401
    except (ImportError, RuntimeError) as reason:
        logging.getLogger(__name__).warning("dense arithmetic takes the place of sparse: %s", reason)
        return False
    return True


def _stored(support: Support) -> Index:
    """Where each entry of the transposed support, in row-major order, is stored in the support."""
    numbers = np.arange(support.nnz)
    stored: Index = (
        sparse.csr_array((numbers, support.indices, support.indptr), shape=support.shape).tocsc().data
    )
    return stored


def _values_on(factor: Any, rows: Index, columns: Index, support: Support) -> Array:
    """The values of ``factor[rows][:, columns]`` on a support, in its row-major order."""
    i, k = support.coordinates()
    if not sparse.issparse(factor):
        values: Array = factor[rows[i], columns[k]]
        return values
    own = factor[rows][:, columns].tocoo()
    given = sparse.coo_array((own.data, (own.row, own.col)), shape=support.shape).tocsr()
    width = support.shape[1]
    key = given.tocoo().row.astype(np.int64) * width + given.indices
    wanted = i.astype(np.int64) * width + k
    at = np.minimum(np.searchsorted(key, wanted), max(0, key.size - 1))
    return np.where(key[at] == wanted, given.data[at], 0) if key.size else np.zeros(len(wanted))
