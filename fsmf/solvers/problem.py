"""One part of a pair as a least-squares problem: its matrix, its objective, and where to start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import OptionError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.deflation import Lists, deflated_pieces, relax_pieces
from fsmf.kernels.frobenius import frobenius_norm, norms_at_once
from fsmf.kernels.masked_lstsq import RowGroups, masked_lstsq
from fsmf.kernels.matrix import tamed
from fsmf.supports.layout import Index
from fsmf.supports.support import Support
from fsmf.tractability import Part, Structure

__all__ = [
    "PairProblem",
    "Relaxation",
    "Swept",
    "checked_factors",
    "drawn",
    "movable",
    "ordinary_entry",
    "spectral_noise",
    "worth_compiling",
]

Array = NDArray[Any]

# Lanczos steps for the singular vectors of a starting point.
ITERATIONS = 10

# How much of a random start stays in the spectral one.
NOISE = 3e-3

# How far over-relaxed updates go, in steps to the best; anything below 2 lowers the error.
_BEYOND = 1.6

# Entries of normal equations, over all sweeps, from which on compiled kernels win: plain ones take about
# 30 ns an entry, and loading the others takes half a second (compiling them, once, ten).
_WORTH_COMPILING = 2e7

# Below this fraction of ‖A‖² a squared error is formed entry by entry, not as a difference.
CANCELLED = 1e-4

# When the norm of the factors is lowered: at most that many components, and rounds of all moves.
MAX_MOVERS, ROUNDS = 1024, 50

# So many values of noise are kept at most.
_KEPT = 1 << 17


class Swept:
    """Sweep by exact solutions for one factor after the other."""

    solve_left: Callable[[Array], Array]
    solve_right: Callable[[Array], tuple[Array, float]]

    def swept(self, X: Array, Y: Array, ahead: Array, step: float) -> tuple[Array, Array, float]:
        """Find the best X for ``Y = ahead``, go beyond it by so many steps from X, and the best Y for that.

        Returns
        -------
        X, Y : ndarray
            The new factors.
        squared_error : float
            ``‖A − X Y‖²``.
        """
        new = self.solve_left(ahead)
        if step:
            new += step * (new - X)
        return new, *self.solve_right(new)


@dataclass(frozen=True)
class PairProblem(Swept):
    """Minimise ``‖A − X Y‖² + ridge (‖X‖² + ‖Y‖²)`` on two supports.

    Attributes
    ----------
    whole : ndarray or csr_array
        The whole matrix, which is not copied.
    eps : float
        Rounding of the user's dtype, in which the factors will be stored.
    part : Part
        The part.
    left, right : Support
        Supports of X (m × r) and of Y (r × n).
    ridge : float
        Weight of the squared factor norms.
    exponent : int
        The matrix is that of the user divided by ``2**exponent``.
    compiled : bool
        Whether compiled kernels are used: worth their loading when many sweeps are to be made.
    """

    whole: Any
    eps: float
    part: Part
    left: Support
    right: Support
    ridge: float
    exponent: int
    compiled: bool

    @classmethod
    def of(cls, A: Any, part: Part, *, ridge: float, exponent: int, n_sweeps: int = 1) -> PairProblem:
        """Cut a part out of the whole matrix, which was divided by ``2**exponent``; the ridge was not."""
        left, right = part.structure.supports
        eps, ridge = float(np.finfo(A.dtype).eps), math.ldexp(ridge, -exponent)
        compiled = worth_compiling(part.structure, n_sweeps)
        return cls(A, eps, part, left, right, ridge, exponent, compiled)

    @property
    def is_complex(self) -> bool:
        """Whether factors are complex."""
        return np.iscomplexobj(self.whole)

    @cached_property
    def A(self) -> Array:
        """The part's matrix, m × n, zero out of reach, in double precision."""
        return self._cut()

    @cached_property
    def norm(self) -> float:
        """‖A‖_F; A itself, which a start can do without, is not set up for it if it is the whole."""
        structure = self.part.structure
        if self.compiled and structure.shape == self.whole.shape:
            norms = norms_at_once(self.whole, structure.reach)
            if norms:
                return norms[0]
        return frobenius_norm(self.A)

    def _cut(self) -> Array:
        part, whole = self.part, self.whole
        reach = part.structure.reach
        if (
            self.compiled
            and isinstance(whole, np.ndarray)
            and whole.dtype.char in "dD"
            and whole.flags.c_contiguous
        ):
            from fsmf.kernels.deflation_cpu import cut

            own, source = np.empty(reach.shape, whole.dtype), whole.view()
            source.flags.writeable = False
            cut(source, part.rows, part.columns, reach.view(np.uint8), own)
            return own
        own = np.where(reach, part.block(whole, *map(np.arange, reach.shape)), 0)
        return own.astype(np.result_type(own.dtype, np.float64), copy=False)

    @property
    def rows(self) -> RowGroups:
        """The rows of X, grouped by support."""
        return self.part.structure.row_groups[0]

    @property
    def columns(self) -> RowGroups:
        """The columns of Y, grouped by support."""
        return self.part.structure.row_groups[1]

    def solve_left(self, Y: Array) -> Array:
        """Find the best X for this Y."""
        return masked_lstsq(self.A, Y, self.rows, ridge=self.ridge, compiled=self.compiled)[0]

    def solve_right(self, X: Array) -> tuple[Array, float]:
        """Find the best Y for this X, and ``‖A − X Y‖²``."""
        YT, explained = masked_lstsq(self.A.T, X.T, self.columns, ridge=self.ridge, compiled=self.compiled)
        squared = self.norm**2 - explained
        if self.ridge:
            squared -= self.ridge * frobenius_norm(YT) ** 2
        # Where A is nearly explained the difference is rounding.
        return YT.T, squared if squared > CANCELLED * self.norm**2 else self.squared_error(X, YT.T)

    def penalty(self, X: Array, Y: Array) -> float:
        """Return ``ridge (‖X‖² + ‖Y‖²)``."""
        return self.ridge * (frobenius_norm(X) ** 2 + frobenius_norm(Y) ** 2) if self.ridge else 0.0

    def block(self, rows: Index, columns: Index) -> Array:
        """Return a copy of a block of the part's matrix, zero out of reach."""
        block: Array = self.A[np.ix_(rows, columns)]
        return block

    def squared_error(self, X: Array, Y: Array) -> float:
        """Return ``‖A − X Y‖²``."""
        return frobenius_norm(self.A - X @ Y) ** 2

    def gradient_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of half the gradient of the objective on the supports."""
        residual = X @ Y - self.A
        left = residual @ Y.conj().T + self.ridge * X
        right = X.conj().T @ residual + self.ridge * Y
        return math.hypot(*map(frobenius_norm, self.values(left, right)))

    def values(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return the values of the factors in the row-major order of their supports."""
        return X.take(self.left.places()), Y.take(self.right.places())

    def balanced_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of the two factors together when x_k and y_k are given equal norms."""
        return math.sqrt(2 * float(np.sqrt(np.vecdot(X.T, X.T).real) @ np.sqrt(np.vecdot(Y, Y).real)))

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
        moves = movable(self.part.structure)
        before = math.inf
        for _ in range(ROUNDS if moves else 0):
            for k, l in moves:
                _exchange(X, Y, k, l)
            self.balance(X, Y)
            after = self.balanced_norm(X, Y)
            if after > before * (1 - 1e-6):
                break
            before = after
        return X, Y

    def random(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw Gaussian factors of the size that makes their product about as large as A."""
        return self._drawn(rng.standard_normal, self.left), self._drawn(rng.standard_normal, self.right)

    def _drawn(self, draw: Callable[[int], Array], support: Support) -> Array:
        dense = np.zeros(support.shape, dtype=self.A.dtype)
        dense.reshape(-1)[support.places()] = drawn(draw, support.nnz, self)
        return dense

    def spectral(self, rng: int | np.random.Generator) -> tuple[Array, Array, Array | None]:
        """Take dominant singular vectors of each class's block of what the larger classes have left.

        X and Y, and what their product leaves of A.
        """
        rest = self._cut()
        X, Y = deflated_pieces(
            rest,
            *_lists(self.part.structure),
            *spectral_noise(rng, self),
            iterations=ITERATIONS,
            noise=NOISE,
            compiled=self.compiled,
        )
        return X, Y, rest

    def relaxation(self, X: Array, Y: Array, rest: Array | None = None) -> Relaxation | None:
        """Updates to begin with, if there are cheap ones; what is given is written, ``A − X Y`` too."""
        if not self.compiled or self.ridge or _is_nested(self.part.structure):
            return None
        return Relaxation(self, X, Y, self.A - X @ Y if rest is None else rest)

    def warm(self, initial: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Restrict given factors of the whole matrix, of that shape, to this part and its supports."""
        part = self.part
        (m, n), r = shape, part.inner
        shapes = (m, r), (r, n)
        X, Y = checked_factors(initial, shapes, real=not self.is_complex, exponent=self.exponent)
        found = []
        for factor, support, index in (
            (X, self.left, (part.rows, part.members)),
            (Y, self.right, (part.members, part.columns)),
        ):
            dense = factor.toarray() if sparse.issparse(factor) else factor
            found.append(np.where(support.toarray(), dense[np.ix_(*index)], 0).astype(self.A.dtype))
        return found[0], found[1]


def worth_compiling(structure: Structure, n_sweeps: int) -> bool:
    """Whether so many sweeps of a dense problem are made by compiled kernels."""
    worth = _WORTH_COMPILING / n_sweeps
    # Right-hand sides have an entry for each parameter; to count the others, rows are grouped.
    return structure.n_parameters > worth or sum(groups.work for groups in structure.row_groups) > worth


@lru_cache(maxsize=64)
def _lists(structure: Structure) -> tuple[Lists, Lists, Index]:
    """The rows and the columns of each component, and the components, those of large rectangles first."""
    left, right = structure.supports
    rows, classes = left.T, structure.classes
    members = classes.members
    order = members.indices[(-classes.areas).repeat(members.sizes).argsort(kind="stable")]
    return (rows.indptr, rows.indices), (right.indptr, right.indices), order


@lru_cache(maxsize=64)
def _is_nested(structure: Structure) -> bool:
    """Whether rows (columns) of one component lie within those of another, as in LU; or components are many.

    Among such supports updates of one piece at a time lead to other, often worse points.
    """
    if structure.supports[0].shape[1] > MAX_MOVERS:
        return True
    return any((within > within.T).any() for within in structure.classes.within)


class Relaxation:
    """Update the rank-one pieces one after another, over-relaxed: x_k goes beyond the best for y_k, then y_k.

    Each update lowers ``‖A − X Y‖``. As long as there is much to gain, one of all pieces gains about what a
    sweep does that is exact for X and for Y, and costs less than half.

    Attributes
    ----------
    X, Y : ndarray
        The factors, written by each sweep.
    squared_error : float
        ``‖A − X Y‖²``.
    norm : float
        Norm of the two factors together when x_k and y_k are given equal norms.
    """

    def __init__(self, problem: PairProblem, X: Array, Y: Array, rest: Array) -> None:
        from fsmf.kernels.deflation_cpu import measured

        self.X, self.Y, self._rest = map(np.ascontiguousarray, (X, Y, rest))
        self._lists = _lists(problem.part.structure)
        rows, columns, _ = self._lists
        self.squared_error, total = measured(self._rest, *rows, *columns, self.X, self.Y)
        self.norm = math.sqrt(2 * total)

    def sweep(self) -> None:
        """Update all pieces."""
        squared_error, total = relax_pieces(
            self._rest, *self._lists, self.X, self.Y, factor=_BEYOND, compiled=True
        )
        # A rise could only be rounding.
        self.squared_error, self.norm = min(squared_error, self.squared_error), math.sqrt(2 * total)


def drawn(draw: Callable[[int], Array], size: int, problem: Any) -> Array:
    """Draw values of factors of ordinary size, real and imaginary parts alike."""
    values = draw(size)
    if problem.is_complex:
        values = values + 1j * draw(size)
    return ordinary_entry(problem.norm, problem.part.structure.shape) * values


def spectral_noise(rng: int | np.random.Generator, problem: Any) -> tuple[Array, Array]:
    """Values of Xᵀ and of Y where a spectral start begins, and a little of which stays.

    For exact singular vectors can be a saddle point. Uniform numbers are drawn five times as fast as
    Gaussian ones; those of a seed are kept.
    """
    parts = 1 + problem.is_complex
    left, count = parts * problem.left.nnz, parts * (problem.left.nnz + problem.right.nnz)
    kept = type(rng) is int and count <= _KEPT
    # Rounded up, that supports of about as many entries find them; the first ones are the same.
    drawn = _kept_noise(rng, 1 << count.bit_length()) if kept else _noise(rng, count)
    entry = ordinary_entry(problem.norm, problem.part.structure.shape)
    one, other = entry * drawn[:left], entry * drawn[left:count]
    if problem.is_complex:
        one, other = (real + 1j * imag for real, imag in (one.reshape(2, -1), other.reshape(2, -1)))
    return one, other


def _noise(rng: int | np.random.Generator, count: int) -> Array:
    noise: Array = np.random.default_rng(rng).random(count) - 0.5
    return noise


# To make a generator takes a tenth of a small start.
_kept_noise = lru_cache(maxsize=16)(_noise)


def ordinary_entry(norm: float, shape: tuple[int, ...]) -> float:
    """Size of the entries of two factors whose product is about as large as a matrix of that norm."""
    return math.sqrt(norm / math.sqrt(math.prod(shape))) if norm else 1.0


def checked_factors(
    initial: Any, shapes: tuple[tuple[int, int], ...], *, real: bool, exponent: int
) -> tuple[Any, ...]:
    """Return the two factors that a solve of a matrix divided by ``2**exponent`` is to start from.

    They are dense or sparse, and of those shapes.
    """
    factors = initial.factors if isinstance(initial, Factorization) else initial
    if not isinstance(factors, tuple | list) or len(factors) != 2:
        raise ShapeError("initial must be a Factorization or two factors (X, Y); found something else")
    factors = tuple(sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X) for X in factors)
    for factor, shape in zip(factors, shapes, strict=True):
        if factor.shape != shape:
            raise ShapeError(
                f"initial must be factors of shapes {shapes[0]} and {shapes[1]}, as they multiply; "
                f"found one of shape {factor.shape}"
            )
        values = factor.data if sparse.issparse(factor) else factor
        if factor.dtype.kind not in "biufc" or not np.isfinite(values).all():
            raise OptionError("initial must be finite numbers; found something else")
        if factor.dtype.kind == "c" and real:
            raise OptionError("initial must be real, as A is; found complex factors")
    X, Y = (factor.astype(np.result_type(factor.dtype, np.float64)) for factor in factors)
    return tamed(X, exponent // 2), tamed(Y, exponent - exponent // 2)


def movable(structure: Structure) -> list[tuple[int, int]]:
    """Components k ≠ l of different classes with R_l ⊆ R_k and C_k ⊆ C_l; none where there are many."""
    if structure.supports[0].shape[1] > MAX_MOVERS:
        return []
    rows, columns = structure.classes.within
    inside = rows & columns.T
    np.fill_diagonal(inside, False)
    if not inside.any():
        return []
    live = np.flatnonzero(structure.classes.class_of >= 0)
    one, other = np.nonzero(inside[np.ix_(*[structure.classes.class_of[live]] * 2)])
    return list(zip(live[one].tolist(), live[other].tolist(), strict=True))


def _exchange(X: Array, Y: Array, k: int, l: int) -> None:
    """Move along ``x_k + s x_l``, ``y_l − s y_k`` to where the factors have the least norm."""
    weight = np.vdot(X[:, l], X[:, l]).real + np.vdot(Y[k], Y[k]).real
    if weight > 0:
        s = (np.vdot(Y[k], Y[l]) - np.vdot(X[:, l], X[:, k])) / weight
        X[:, k] += s * X[:, l]
        Y[l] -= s * Y[k]
