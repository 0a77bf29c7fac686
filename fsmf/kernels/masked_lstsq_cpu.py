"""Numba twin of `fsmf.kernels.masked_lstsq` where Y has a support too: a row meets only what is in its reach.

Row i of X, of support K_i, is concerned with the columns that the rows ``Y[k]``, k in K_i, may use; they are
its reach. A row of A is laid out in scratch, and the sparse rows of Y are run over it. Their Gram matrix is
summed up column by column: entries in one column are chained as they are read, and each meets those before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.gram_solve_cpu import _cholesky, _substitute
from fsmf.kernels.masked_lstsq import _PIVOT
from fsmf.kernels.masked_lstsq_weak_cpu import Pattern, add_weak_part, weak_directions
from fsmf.kernels.threads import in_parallel, n_threads

__all__ = ["DenseRows", "Pattern", "RowSource", "RowSystem", "SparseRows", "fixed"]

Array = NDArray[Any]

# Rows of A laid out at a time, at most, and their entries. Several, for a transposed matrix is read by cache
# lines; and by tiles of so many columns (2.7 s became 1 s for 20000 × 20000).
_PANEL, _PANEL_ENTRIES, _TILE = 32, 1 << 20, 16

# Entries that are worth a thread's attention.
_PIECE = 1 << 14

# Bytes for the Gram matrix of the widest rows of Y.
_GRAM = 1 << 27

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
_exact = njit(cache=True, nogil=True)


@_exact
def _copy(A: Array, rows: Array, columns: Array, out: Array) -> None:
    """Lay out rows of a dense matrix, in the order of its memory."""
    if abs(A.strides[0]) >= abs(A.strides[1]):
        for t in range(rows.size):
            for j in range(columns.size):
                out[t, j] = A[rows[t], columns[j]]
    else:
        for first in range(0, columns.size, _TILE):
            last = min(first + _TILE, columns.size)
            for t in range(rows.size):
                for j in range(first, last):
                    out[t, j] = A[rows[t], columns[j]]


@_exact
def _scatter(pattern: Pattern, values: Array, rows: Array, factor: float, out: Array) -> None:
    """Put `factor` times the entries of sparse rows in their places; 0 clears them."""
    indptr, indices = pattern
    for t in range(rows.size):
        for e in range(indptr[rows[t]], indptr[rows[t] + 1]):
            out[t, indices[e]] = factor * values[e]


@_exact
def _scatter_block(pattern: Pattern, values: Array, rows: Array, local: Array, out: Array) -> None:
    """Put the entries of sparse rows in the columns of `out` that `local` says, if not -1."""
    indptr, indices = pattern
    for t in range(rows.size):
        for e in range(indptr[rows[t]], indptr[rows[t] + 1]):
            if local[indices[e]] >= 0:
                out[t, local[indices[e]]] = values[e]


@_exact
def _gram_rows(which: Array, right: Pattern, Y: Array, below: Pattern, YT: Array, gram: Array) -> None:
    """Add up ``gram[h] = conj(Y[which[h]]) Yᵀ``."""
    for h in range(which.size):
        for e in range(right[0][which[h]], right[0][which[h] + 1]):
            j, y = right[1][e], np.conj(Y[e])
            for f in range(below[0][j], below[0][j + 1]):
                gram[h, below[1][f]] += y * YT[f]


@_sums
def _along(a: Array, columns: Array, y: Array) -> Any:
    """Product of a dense row with a conjugated sparse one."""
    total = y.dtype.type(0)
    for e in range(columns.size):
        total += a[columns[e]] * np.conj(y[e])
    return total


@_exact
def _solve(
    panel: Array,
    rows: Array,
    label: Array,
    left: Pattern,
    right: Pattern,
    Y: Array,
    wide: Array,
    gram: Array,
    ridge: float,
    work: tuple[Array, ...],
    X: Array,
    explained: Array,
) -> None:
    """Solve for some rows by normal equations, completed where those are too ill-conditioned.

    Gram matrices are conjugated: ``conj(G) x = b`` is ``x G = b`` for a Hermitian G.
    """
    state, head, above, owner, value, G, b, x = work
    weak = np.empty(0, np.int64), np.empty((0, 0), Y.dtype), np.empty((0, 0), Y.dtype), 0
    for t in range(rows.size):
        i, a = rows[t], panel[t]
        start, k = left[0][i], left[0][i + 1] - left[0][i]
        known = state[0] == label[i]
        count = 0
        for p in range(k):
            row = left[1][start + p]
            place = slice(right[0][row], right[0][row + 1])
            b[p] = _along(a, right[1][place], Y[place])
            if known:
                continue
            for q in range(p + 1):
                other = left[1][start + q]
                if wide[row] >= 0:
                    G[p, q] = gram[wide[row], other]
                elif wide[other] >= 0:
                    G[p, q] = np.conj(gram[wide[other], row])
                else:
                    G[p, q] = 0
            if wide[row] < 0:
                for e in range(right[0][row], right[0][row + 1]):
                    j, y = right[1][e], np.conj(Y[e])
                    owner[count], value[count], above[count] = p, Y[e], head[j]
                    head[j] = count
                    entry = count
                    while entry >= 0:
                        G[p, owner[entry]] += y * value[entry]
                        entry = above[entry]
                    count += 1
            G[p, p] += ridge
            # A vanishing row of Y takes no part: its coefficient becomes 0, as in the minimum-norm solution.
            if G[p, p] == 0:
                G[p, p] = 1
        if not known:
            for p in range(k):
                row = left[1][start + p]
                for e in range(right[0][row], right[0][row + 1]):
                    head[right[1][e]] = -1
            state[0], state[1] = label[i], _cholesky(G, k, _PIVOT)
            if state[1]:
                weak = weak_directions(G, state[1], left[1][start : start + k], right, Y, ridge, head)
        x[:k] = b[:k]
        _substitute(G, x, k)
        if state[1]:
            add_weak_part(a, weak, x[:k])
        total = 0.0
        for p in range(k):
            total += b[p].real * x[p].real + b[p].imag * x[p].imag
            X[start + p] = x[p]
        explained[i] = total


@_sums
def _residuals(
    panel: Array,
    rows: Array,
    left: Pattern,
    right: Pattern,
    X: Array,
    Y: Array,
    ridge: float,
    gradient: bool,
    work: tuple[Array, ...],
    out: Array,
) -> None:
    """Squared norms, row by row, of ``A - X Y`` within reach and of the gradient for X."""
    seen, reach, rest = work
    for t in range(rows.size):
        i, a = rows[t], panel[t]
        count, square = 0, 0.0
        for s in range(left[0][i], left[0][i + 1]):
            # Names for what stays, which no store into an array can then be thought to change.
            x, start, stop = X[s], right[0][left[1][s]], right[0][left[1][s] + 1]
            columns, y = right[1][start:stop], Y[start:stop]
            for e in range(columns.size):
                j = columns[e]
                if seen[j] != i:
                    seen[j], reach[count], rest[j] = i, j, a[j]
                    count += 1
                rest[j] -= x * y[e]
        for c in range(count):
            x = rest[reach[c]]
            square += x.real * x.real + x.imag * x.imag
        out[0, i], square = square, 0.0
        if gradient:
            for s in range(left[0][i], left[0][i + 1]):
                place = slice(right[0][left[1][s]], right[0][left[1][s] + 1])
                x = _along(rest, right[1][place], Y[place]) - ridge * X[s]
                square += x.real * x.real + x.imag * x.imag
            out[1, i] = square


def fixed(array: Array, dtype: Any) -> Array:
    """Return the array in that dtype, as one that is not written: kernels are compiled once for those."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


class RowSource(Protocol):
    """Rows of a matrix, whatever it is stored as."""

    def load(self, rows: Array, panel: Array) -> None:
        """Lay out some rows in the first rows of `panel`, of zeros, in double precision."""

    def unload(self, rows: Array, panel: Array) -> None:
        """Leave the panel as `load` wants it."""

    def block(self, rows: Array, columns: Array, local: Array, out: Array) -> None:
        """Lay out a block; `local` is where each column of the matrix stands in `columns`, -1 for nowhere."""


class DenseRows:
    """Some rows and columns of a dense matrix, which stays where it is; see `RowSource`."""

    def __init__(self, A: Array, rows: Array, columns: Array) -> None:
        self._A, self._rows, self._columns = A.view(), fixed(rows, np.int64), fixed(columns, np.int64)
        self._A.flags.writeable = False

    def load(self, rows: Array, panel: Array) -> None:  # noqa: D102
        _copy(self._A, self._rows[rows], self._columns, panel)

    def unload(self, rows: Array, panel: Array) -> None:  # noqa: D102
        pass

    def block(self, rows: Array, columns: Array, local: Array, out: Array) -> None:  # noqa: D102
        _copy(self._A, self._rows[rows], fixed(self._columns[columns], np.int64), out)


class SparseRows:
    """A ``csr_array`` in double precision; see `RowSource`."""

    def __init__(self, A: Any) -> None:
        self._pattern = (fixed(A.indptr, np.int64), fixed(A.indices, np.int32))
        self._values = fixed(A.data, A.dtype)

    def load(self, rows: Array, panel: Array) -> None:  # noqa: D102
        _scatter(self._pattern, self._values, fixed(rows, np.int64), 1.0, panel)

    def unload(self, rows: Array, panel: Array) -> None:  # noqa: D102
        _scatter(self._pattern, self._values, fixed(rows, np.int64), 0.0, panel)

    def block(self, rows: Array, columns: Array, local: Array, out: Array) -> None:  # noqa: D102
        out[:] = 0
        _scatter_block(self._pattern, self._values, fixed(rows, np.int64), local, out)


@dataclass(frozen=True, eq=False)
class RowSystem:
    """Least squares for the rows of X (m × r) on a support, for any Y (r × n) on another.

    Attributes
    ----------
    left, right, below : Pattern
        The supports of X, of Y, and of Yᵀ.
    label : ndarray of int, shape (m,)
        Equal for rows of X with equal supports.
    """

    left: Pattern
    right: Pattern
    below: Pattern
    label: Array

    @cached_property
    def _wide(self) -> tuple[Array, Array]:
        """Rows of Y of which any two are likely to meet, within a budget, and their numbers or -1."""
        widths = np.diff(self.right[0])
        r, n = len(widths), len(self.below[0]) - 1
        widest = np.argsort(-widths, kind="stable")[: max(1, _GRAM // (8 * r))]
        widest = fixed(widest[widths[widest] ** 2 > n], np.int64)
        number = np.full(r, -1)
        number[widest] = np.arange(len(widest))
        return widest, fixed(number, np.int64)

    @cached_property
    def reach(self) -> Array:
        """Entries of Y that each row of X meets, shape (m,)."""
        sums = np.concatenate([[0], np.cumsum(np.diff(self.right[0])[self.left[1]])])
        return np.diff(sums[self.left[0]])

    @cached_property
    def _order(self) -> tuple[Array, Array]:
        """Rows of X, equal supports together, and where to cut them into pieces of about equal work."""
        order = np.argsort(self.label, kind="stable")
        work = np.cumsum((self.reach + np.diff(self.left[0]) ** 2 + 1)[order])
        n_pieces = min(len(order), 8 * n_threads(), 1 + int(work[-1]) // _PIECE)
        cuts = np.searchsorted(work, np.linspace(0, work[-1], n_pieces + 1)[1:-1])
        return fixed(order, np.int64), np.concatenate([[0], cuts, [len(order)]])

    def _each_panel(
        self, A: RowSource, dtype: Any, work: Callable[[], Callable[[Array, Array], None]]
    ) -> None:
        """Lay out all rows, panel by panel and piece by piece, for what `work` makes for a piece."""
        n = len(self.below[0]) - 1
        order, cuts = self._order
        height = max(1, min(_PANEL, _PANEL_ENTRIES // n))

        def run(start: int, stop: int) -> None:
            panel, step = np.zeros((height, n), dtype), work()
            for first in range(start, stop, height):
                rows = order[first : min(first + height, stop)]
                A.load(rows, panel)
                step(panel, rows)
                A.unload(rows, panel)

        in_parallel(lambda ends: run(*ends), pairwise(cuts))

    def solve(self, A: RowSource, Y: Array, YT: Array, ridge: float) -> tuple[Array, float]:
        """Find X of least ``‖A − X Y‖² + ridge ‖X‖²`` within reach, row by row of least norm.

        Parameters
        ----------
        A : RowSource
            The matrix, m × n.
        Y, YT : ndarray
            The values of Y and of Yᵀ in the row-major order of their supports, float64 or complex128.
        ridge : float
            Weight of the squared norm.

        Returns
        -------
        X : ndarray
            Its values, in the row-major order of its support.
        explained : float
            ``Re⟨A Yᴴ, X⟩``: the minimum is ``‖A‖² − explained``.
        """
        Y, YT = fixed(Y, Y.dtype), fixed(YT, Y.dtype)
        (m, r, n), (widest, wide) = (len(p[0]) - 1 for p in (self.left, self.right, self.below)), self._wide
        most, longest = int(np.diff(self.left[0]).max()), int(self.reach.max())
        gram = np.zeros((len(widest), r), Y.dtype)
        X, explained = np.zeros(len(self.left[1]), Y.dtype), np.zeros(m)

        def part_of_gram(start: int, stop: int) -> None:
            _gram_rows(widest[start:stop], self.right, Y, self.below, YT, gram[start:stop])

        cuts = np.linspace(0, len(widest), min(len(widest), 8 * n_threads()) + 1).astype(int)
        in_parallel(lambda ends: part_of_gram(*ends), pairwise(cuts))

        def piece() -> Callable[[Array, Array], None]:
            work = (
                np.full(2, -1),
                np.full(n, -1),
                *np.empty((2, longest), dtype=np.int64),
                np.empty(longest, Y.dtype),
                np.empty((most, most), Y.dtype),
                *np.empty((2, most), Y.dtype),
            )
            return lambda panel, rows: _solve(
                panel, rows, self.label, self.left, self.right, Y, wide, gram, ridge, work, X, explained
            )

        self._each_panel(A, Y.dtype, piece)
        return X, math.fsum(explained)

    def residuals(
        self, A: RowSource, X: Array, Y: Array, *, ridge: float = 0.0, gradient: bool = False
    ) -> tuple[float, float]:
        """Return ``‖A − X Y‖²`` within reach, and the squared norm of half the gradient for X if asked for.

        X and Y are values as in `solve`.
        """
        m, n = len(self.left[0]) - 1, len(self.below[0]) - 1
        X, Y = fixed(X, Y.dtype), fixed(Y, Y.dtype)
        squares = np.zeros((2, m))

        def piece() -> Callable[[Array, Array], None]:
            work = (np.full(n, -1), np.empty(n, dtype=np.int64), np.empty(n, Y.dtype))
            return lambda panel, rows: _residuals(
                panel, rows, self.left, self.right, X, Y, ridge, gradient, work, squares
            )

        self._each_panel(A, Y.dtype, piece)
        return math.fsum(squares[0]), math.fsum(squares[1])
