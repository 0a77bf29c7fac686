"""One part of a pair as a least-squares problem where A lives: the twin of `fsmf.solvers.problem`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsmf.errors import OptionError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.masked_lstsq_device import DeviceRows
from fsmf.kernels.matrix import tamed
from fsmf.kernels.namespace import Space, borrowed, space_of
from fsmf.kernels.pieces import Pieces
from fsmf.solvers.problem import CANCELLED, NOISE, ROUNDS, drawn, movable
from fsmf.supports.layout import Index, equal_shapes
from fsmf.supports.support import Support
from fsmf.tractability import Part

__all__ = ["DevicePairProblem"]

Array = Any

# A spectral start is made in so many portions, each of what the earlier ones leave, by so many iterations.
_PORTIONS, _ITERATIONS = 16, 5


@dataclass(frozen=True, eq=False)
class DevicePairProblem:
    """The twin of `PairProblem` on a device.

    Attributes
    ----------
    A : array, shape (m, n)
        The part's matrix, zero out of reach, in double precision.
    norm : float
        ‖A‖_F.
    space : Space
        Where everything is.
    places : tuple of two arrays
        Where the entries of the supports are in X and in Y, laid out row by row.
    rows, columns : DeviceRows
        Least squares for the rows of X and for the columns of Y.
    eps, part, left, right, ridge, exponent
        As of `PairProblem`.
    """

    A: Array
    eps: float
    norm: float
    part: Part
    space: Space
    left: Support
    right: Support
    places: tuple[Array, Array]
    rows: DeviceRows
    columns: DeviceRows
    ridge: float
    exponent: int

    @classmethod
    def of(cls, A: Any, part: Part, *, ridge: float, exponent: int) -> DevicePairProblem:
        """Cut a part out of the whole matrix, which was divided by ``2**exponent``; the ridge was not."""
        space, structure = space_of(A), part.structure
        eps = float(np.finfo(space.dtype(A)).eps)
        if structure.shape != A.shape:
            A = part.block(A, *map(np.arange, structure.shape))
        if structure.classes.layout.n_covered < math.prod(structure.shape):
            A = space.xp.where(space.put(structure.reach), A, space.xp.zeros_like(A))
        A = space.cast(A, np.result_type(space.dtype(A), np.float64))
        left, right = structure.supports
        rows, columns = (DeviceRows(space, groups) for groups in structure.row_groups)
        return cls(
            A=A,
            eps=eps,
            norm=frobenius_norm(A),
            part=part,
            space=space,
            left=left,
            right=right,
            places=(space.put(left.places()), space.put(right.places())),
            rows=rows,
            columns=columns,
            ridge=math.ldexp(ridge, -exponent),
            exponent=exponent,
        )

    def swept(self, X: Array, Y: Array, ahead: Array, step: float) -> tuple[Array, Array, float]:
        """Find the best X for ``Y = ahead``, go beyond it by `step`, and the best Y; and ``‖A − X Y‖²``."""
        xp = self.space.xp
        own = self._adjoint(ahead)
        slope = xp.matmul(self.A - xp.matmul(X, ahead), own)
        change = self.rows.step(self._ridged(xp.matmul(ahead, own)), slope - self.ridge * X)
        X = X + (1 + step) * change
        # The columns of Y are found as rows.
        own = self._adjoint(X)
        rest = self.A - xp.matmul(X, Y)
        gram, slope = (xp.matrix_transpose(xp.matmul(own, other)) for other in (X, rest))
        change = self.columns.step(self._ridged(gram), slope - self.ridge * xp.matrix_transpose(Y))
        # What this leaves of the rest, without another product as large as A.
        gained = xp.sum(xp.real(xp.conj(change) * (2 * slope - xp.matmul(change, gram))))
        before = xp.sum(self._squares(rest))
        before, gained = (float(number) for number in (before, gained))
        Y = Y + xp.matrix_transpose(change)
        squared = before - gained
        return X, Y, squared if squared > CANCELLED * before else self.squared_error(X, Y)

    def _ridged(self, gram: Array) -> Array:
        return gram + self.ridge * self.space.eye(gram.shape[0], self._dtype) if self.ridge else gram

    def penalty(self, X: Array, Y: Array) -> float:
        """Return ``ridge (‖X‖² + ‖Y‖²)``."""
        return self.ridge * (frobenius_norm(X) ** 2 + frobenius_norm(Y) ** 2) if self.ridge else 0.0

    def block(self, rows: Index, columns: Index) -> Array:
        """Return a block of the part's matrix, zero out of reach."""
        xp, put = self.space.xp, self.space.put
        return xp.take(xp.take(self.A, put(rows), axis=0), put(columns), axis=1)

    def squared_error(self, X: Array, Y: Array) -> float:
        """Return ``‖A − X Y‖²``."""
        return frobenius_norm(self._rest(X, Y)) ** 2

    def gradient_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of half the gradient of the objective on the supports."""
        xp, rest = self.space.xp, self._rest(X, Y)
        left = xp.matmul(rest, self._adjoint(self._double(Y))) - self.ridge * X
        right = xp.matmul(self._adjoint(self._double(X)), rest) - self.ridge * Y
        return math.hypot(*map(frobenius_norm, self.values(left, right)))

    def values(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return the values of the factors in the row-major order of their supports."""
        xp, (left, right) = self.space.xp, self.places
        return xp.take(xp.reshape(X, (-1,)), left), xp.take(xp.reshape(Y, (-1,)), right)

    def balanced_norm(self, X: Array, Y: Array) -> float:
        """Return the norm of the two factors together when x_k and y_k are given equal norms."""
        x, y = self._lengths(X, Y)
        return math.sqrt(2 * float(self.space.xp.sum(x * y)))

    def balance(self, X: Array, *right: Array) -> None:
        """Give x_k and y_k equal norms, in place, Y being the first of `right`; the others scale with it."""
        scale = self._scale(X, right[0])
        X *= scale
        for Y in {id(Y): Y for Y in right}.values():
            Y /= scale[:, None]

    def settled(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return factors with the same product whose norm no elementary move lowers further.

        Each class gets its factors of least norm, by an SVD. What moves between components change, they tell
        by inner products of columns of X and of rows of Y: these tables alone go to the host, and what
        multiplies X and Y comes back.
        """
        xp, classes = self.space.xp, self.part.structure.classes
        scale = self._scale(X, Y)
        X, Y = X * scale, Y / scale[:, None]
        several = np.flatnonzero(classes.members.sizes > 1)
        if several.size:
            X, Y = self._least(X, Y, several)
        moves = movable(self.part.structure)
        if not moves:
            return X, Y
        left, right = xp.matmul(self._adjoint(X), X), xp.matmul(Y, self._adjoint(Y))
        T, inverse = _moved(self.space.get(left), self.space.get(right), moves)
        return xp.matmul(X, self.space.put(T)), xp.matmul(self.space.put(inverse), Y)

    def _least(self, X: Array, Y: Array, several: Index) -> tuple[Array, Array]:
        """Factors whose classes of several components have the least norm that their products allow."""
        space, classes, (m, n), r = self.space, self.part.structure.classes, self.A.shape, X.shape[1]
        xp, lists = space.xp, (classes.rows.take(several), classes.columns.take(several))
        new = [Pieces(space, math.prod(F.shape), self._dtype) for F in (X, Y)]
        for pieces, F in zip(new, (X, Y), strict=True):
            pieces.put(slice(None), F)
        for which, rows, columns, _ in equal_shapes(*lists, classes.members.sizes[several]):
            members = classes.members.take(several[which]).indices.reshape(len(which), -1)
            left = rows[:, :, None] * r + members[:, None, :]
            right = members[:, :, None] * n + columns[:, None, :]
            own_X, own_Y = (
                xp.reshape(xp.take(xp.reshape(F, (-1,)), space.put(places.reshape(-1))), places.shape)
                for F, places in ((X, left), (Y, right))
            )
            Q, R = xp.linalg.qr(own_X)
            P, S = xp.linalg.qr(self._adjoint(own_Y))
            U, s, Vh = xp.linalg.svd(xp.matmul(R, self._adjoint(S)), full_matrices=False)
            k, root = s.shape[1], xp.sqrt(s)
            found = xp.matmul(Q, U) * root[:, None, :], root[:, :, None] * xp.matmul(Vh, self._adjoint(P))
            for pieces, F, places, own in zip(new, (own_X, own_Y), (left, right), found, strict=True):
                pieces.put(places, xp.zeros_like(F))
                pieces.put(places[:, :, :k] if F is own_X else places[:, :k], own)
        return xp.reshape(new[0].together(), (m, r)), xp.reshape(new[1].together(), (r, n))

    def random(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw Gaussian factors of the size that makes their product about as large as A."""
        left, right = (drawn(rng.standard_normal, F.nnz, self) for F in (self.left, self.right))
        return self._dense(left, self.left), self._dense(right, self.right)

    def spectral(self, rng: int | np.random.Generator) -> tuple[Array, Array, None]:
        """Take near dominant singular vectors of each component's block, a portion of components at a time.

        Those of large blocks come first, and each portion meets what the earlier ones leave of A.
        """
        xp, put, classes = self.space.xp, self.space.put, self.part.structure.classes
        X, Y = self.random(np.random.default_rng(rng))
        inside = [self._dense(np.ones(F.nnz), F) for F in (self.left, self.right)]
        order = classes.members.take(np.argsort(-classes.areas, kind="stable")).indices
        rest, pieces = self.A, []
        for portion in np.array_split(order, min(len(order), _PORTIONS)):
            members = put(portion)
            y = xp.take(Y, members, axis=0)
            rows, columns = xp.take(inside[0], members, axis=1), xp.take(inside[1], members, axis=0)
            for _ in range(_ITERATIONS):
                x = xp.matmul(rest, self._adjoint(y)) * rows
                size = xp.sqrt(xp.sum(self._squares(x), axis=0))
                x = x / xp.where(size > 0, size, xp.ones_like(size))
                y = xp.matmul(self._adjoint(x), rest) * columns
            # Together they may overshoot: ⟨rest, x y⟩ = ‖y‖².
            square = xp.sum(
                xp.real(xp.matmul(self._adjoint(x), x) * xp.matrix_transpose(xp.matmul(y, self._adjoint(y))))
            )
            scale = xp.sum(self._squares(y)) / xp.where(square > 0, square, xp.ones_like(square))
            rest = rest - scale * xp.matmul(x, y)
            root = xp.sqrt(scale * xp.sqrt(xp.sum(self._squares(y), axis=1)))
            size = xp.where(root > 0, root, xp.ones_like(root))
            pieces.append((x * root, scale * y / size[:, None]))
        back = put(np.argsort(order))
        return (
            xp.take(xp.concat([x for x, _ in pieces], axis=1), back, axis=1) + NOISE * X,
            xp.take(xp.concat([y for _, y in pieces], axis=0), back, axis=0) + NOISE * Y,
            None,
        )

    def relaxation(self, X: Array, Y: Array, rest: Array | None = None) -> None:
        """Return None: updates of one piece after another would be many small ones."""

    def warm(self, initial: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Restrict given factors of the whole matrix, of that shape, to this part and its supports."""
        space, part = self.space, self.part
        xp, (m, n), r = space.xp, shape, part.inner
        found = []
        half = self.exponent // 2
        for F, expected, support, exponent, rows, columns in zip(
            self._given(initial),
            ((m, r), (r, n)),
            (self.left, self.right),
            (half, self.exponent - half),
            (part.rows, part.members),
            (part.members, part.columns),
            strict=True,
        ):
            if F.shape != expected:
                raise ShapeError(f"initial must be factors of shapes {(m, r)} and {(r, n)}; found {F.shape}")
            if space.dtype(F).kind not in ("biufc" if self.is_complex else "biuf"):
                raise OptionError(f"initial must be numbers as A is; found dtype {space.dtype(F)}")
            F = self._double(F)
            if not math.isfinite(frobenius_norm(F)):
                raise OptionError("initial must be finite numbers; found something else")
            own = xp.take(xp.take(F, space.put(rows), axis=0), space.put(columns), axis=1)
            own = tamed(own, exponent, self._dtype)
            found.append(xp.where(space.put(support.toarray()), own, xp.zeros_like(own)))
        return found[0], found[1]

    def _given(self, initial: Any) -> list[Array]:
        """The factors to start from, where A is."""
        if isinstance(initial, Factorization):
            given = [
                _laid_out(value, support)
                for value, support in zip(initial.values, initial.supports, strict=True)
            ]
        elif isinstance(initial, tuple | list):
            given = [borrowed(F).array for F in initial]
        else:
            given = []
        if len(given) != 2:
            raise ShapeError("initial must be a Factorization or two factors (X, Y); found something else")
        space_of(self.A, *given)
        return given

    def _dense(self, values: Any, support: Support) -> Array:
        """A factor, from values that are in host memory."""
        return _laid_out(self.space.put(values), support)

    def _scale(self, X: Array, Y: Array) -> Array:
        """What columns of X are multiplied by, and rows of Y divided by, to have equal norms."""
        xp, (x, y) = self.space.xp, self._lengths(X, Y)
        both = (x > 0) & (y > 0)
        one = xp.ones_like(x)
        return xp.sqrt(xp.where(both, y, one) / xp.where(both, x, one))

    def _lengths(self, X: Array, Y: Array) -> tuple[Array, Array]:
        xp = self.space.xp
        return xp.sqrt(xp.sum(self._squares(X), axis=0)), xp.sqrt(xp.sum(self._squares(Y), axis=1))

    def _squares(self, F: Array) -> Array:
        xp = self.space.xp
        return xp.real(xp.conj(F) * F) if self.is_complex else F * F

    def _rest(self, X: Array, Y: Array) -> Array:
        return self.A - self.space.xp.matmul(self._double(X), self._double(Y))

    def _double(self, F: Array) -> Array:
        return self.space.cast(F, self._dtype)

    @property
    def is_complex(self) -> bool:
        """Whether factors are complex."""
        return self._dtype.kind == "c"

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self.space.dtype(self.A)

    def _adjoint(self, F: Array) -> Array:
        xp = self.space.xp
        turned = xp.matrix_transpose(F)
        return xp.conj(turned) if self.is_complex else turned


def _laid_out(values: Array, support: Support) -> Array:
    """A factor with zeros, from its values."""
    space = space_of(values)
    dense = Pieces(space, math.prod(support.shape), space.dtype(values))
    dense.put(support.places(), values)
    return space.xp.reshape(dense.together(), support.shape)


def _moved(left: Any, right: Any, moves: list[tuple[int, int]]) -> tuple[Any, Any]:
    """What to multiply X and Y by, inverse to each other, so that the factors have the least norm.

    Given ``Xᴴ X`` and ``Y Yᴴ``, and the components k and l that may exchange a multiple: ``x_k + s x_l`` and
    ``y_l − s y_k``. As long as it pays, each pair takes the best s, and all are balanced again.
    """
    left, right = left.copy(), right.copy()
    T, inverse = np.eye(len(left), dtype=left.dtype), np.eye(len(left), dtype=left.dtype)
    before = math.inf
    for _ in range(ROUNDS):
        for k, l in moves:
            weight = left[l, l].real + right[k, k].real
            if weight > 0:
                s = (right[l, k] - left[l, k]) / weight
                for F in (T, left):
                    F[:, k] += s * F[:, l]
                left[k] += np.conj(s) * left[l]
                for F in (inverse, right):
                    F[l] -= s * F[k]
                right[:, l] -= np.conj(s) * right[:, k]
        x, y = (np.sqrt(np.maximum(np.diag(gram).real, 0)) for gram in (left, right))
        scale = np.sqrt(np.divide(y, x, out=np.ones_like(x), where=(x > 0) & (y > 0)))
        T, inverse = T * scale, inverse / scale[:, None]
        left, right = left * np.outer(scale, scale), right / np.outer(scale, scale)
        after = float(x @ y)
        if after > before * (1 - 2e-6):
            break
        before = after
    return T, inverse
