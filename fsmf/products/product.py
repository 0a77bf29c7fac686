"""A product of sparse factors, as an operator: closed under products, transposes and multiples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from fsmf.errors import InputError, InputTypeError, ShapeError
from fsmf.kernels.namespace import is_foreign, together
from fsmf.products.placing import Placed
from fsmf.products.solving import Solvable
from fsmf.products.stages import ChainStage, permuted_columns, stages_of, taken, transposed_values
from fsmf.supports.kronecker import Architecture, KroneckerPattern
from fsmf.supports.layout import Index
from fsmf.supports.support import Support, Supports

__all__ = ["Product", "joined"]


class Product(Solvable, Placed, LinearOperator):
    """Multiply with ``P X1 X2 … XL Q``, the factors on their supports, P and Q permutations.

    Works wherever SciPy takes a ``LinearOperator``. Products, transposes, adjoints, conjugates and multiples
    of such operators are such operators.

    Parameters
    ----------
    supports : Supports
        One support per factor, left to right.
    values : sequence of array_like
        For each factor its values in the row-major order of its support: of a `KroneckerPattern`, any array
        that flattens from the shape ``(a, b, d, c)``.
    rows, columns : array_like of int, optional
        Permutations of the outer sides: entry ``(i, j)`` of ``X1 … XL`` is entry ``(rows[i], columns[j])``
        of the operator. None for none.

    Raises
    ------
    ShapeError
        If values do not fit their support, or an index vector is no permutation.
    InputTypeError
        If values are not numeric, or of more than double precision.

    Notes
    -----
    **Guarantee.** Every way of applying is the same product up to rounding.

    **Cost.** A vector costs one multiplication per nonzero; consecutive Kronecker factors are applied
    together, a cache tile of columns at a time, by compiled code planned on first use.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.transforms.dft(8)
    >>> np.allclose(F @ np.arange(8.0), np.fft.fft(np.arange(8.0)))
    True
    >>> G = 2 * F.H @ F
    >>> G.shape, len(G.factors), np.allclose(G.to_dense(), 16 * np.eye(8))
    ((8, 8), 6, True)
    """

    # What is derived from the rest, and left out when an instance is copied or pickled.
    _DERIVED = ("factors", "_space", "_stages", "_transposed", "_hermitian", "_solver")

    def __init__(
        self,
        supports: Supports,
        values: Sequence[Any],
        *,
        rows: Any = None,
        columns: Any = None,
    ) -> None:
        space, values = together(values)
        xp = space.xp
        flat = [xp.reshape(np.ascontiguousarray(V) if space.is_host else V, (-1,)) for V in values]
        sizes = [value.shape[0] for value in flat]
        if sizes != [support.nnz for support in supports]:
            raise ShapeError(
                f"values must hold {[support.nnz for support in supports]} numbers, as the supports do; "
                f"found {sizes}"
            )
        super().__init__(dtype=_dtype_of([space.dtype(value) for value in flat]), shape=supports.shape)
        self.supports = supports
        self.values = tuple(space.cast(value, self.dtype) for value in flat)
        self.rows = _permutation(rows, supports.shape[0], "rows")
        self.columns = _permutation(columns, supports.shape[1], "columns")

    @cached_property
    def factors(self) -> tuple[Any, ...]:
        """The factors as ``csr_array``, left to right, zeros stored; without the permutations.

        On a GPU, as ``cupyx.scipy.sparse.csr_matrix``.
        """
        if self._space.is_cupy:
            csr = import_module("cupyx.scipy.sparse").csr_matrix
        else:
            self._on_host("factors")
            csr = sparse.csr_array
        return tuple(
            csr((value, *map(self._space.put, (support.indices, support.indptr))), shape=support.shape)
            for value, support in zip(self.values, self.supports, strict=True)
        )

    @property
    def n_parameters(self) -> int:
        """Number of nonzeros that the supports allow."""
        return self.supports.n_parameters

    @property
    def nbytes(self) -> int:
        """Bytes that the values of the factors take."""
        return sum(value.nbytes for value in self.values)

    @property
    def n_flops(self) -> int:
        """Floating-point operations that the factors take on a vector of their own dtype."""
        return self.n_parameters * (8 if np.issubdtype(self.dtype, np.complexfloating) else 2)

    @property
    def complexity_gain(self) -> float:
        """How many times fewer multiplications a vector takes than with the dense matrix."""
        return math.prod(self.shape) / max(1, self.n_parameters)

    # Applying

    @cached_property
    def _stages(self) -> tuple[Callable[..., Any], ...]:
        """What is applied, last factor first."""
        return stages_of(self._space, self.supports, self.values, rows=self.rows, columns=self.columns)

    def apply(self, x: Any, *, axis: int = 0, out: NDArray[Any] | None = None) -> Any:
        """Multiply along one axis of an array.

        Parameters
        ----------
        x : array_like, shape (…, n, …)
            Vectors of length n along `axis`; any strides, any real or complex dtype; where the values are.
        axis : int
            The axis that is replaced.
        out : ndarray, optional
            Where to write: the shape and the dtype of the result, and no memory of x.

        Returns
        -------
        ndarray
            As x, with m entries along `axis`; `out` if it was given.

        Raises
        ------
        ShapeError, InputTypeError
            If x or `out` does not fit.

        Notes
        -----
        **Guarantee.** As ``F @ x`` for each vector. x is not written.

        **Cost.** Of the product; arrays whose vectors lie in memory with any regular stride are not copied.

        Examples
        --------
        >>> import fsmf, numpy as np
        >>> x = np.ones((2, 3, 8))
        >>> np.allclose(fsmf.transforms.dft(8).apply(x, axis=-1), np.fft.fft(x))
        True
        """
        if out is not None and is_foreign(x):
            raise InputTypeError(f"out is for NumPy arrays; x is a {type(x).__name__}; leave it out")
        x, given_back, is_bfloat16 = self._numeric(x)
        xp, (m, n) = self._space.xp, self.shape
        if not -x.ndim <= axis < x.ndim or x.shape[axis] != n:
            raise ShapeError(f"x must have length {n} along axis {axis}; found shape {x.shape}")
        if x.ndim <= 2 and axis in (0, -x.ndim):
            return given_back(self._apply(x, out, is_bfloat16=is_bfloat16))
        lead = xp.moveaxis(x, axis, -1)
        y = self._apply(xp.reshape(lead, (-1, n)).T, is_bfloat16=is_bfloat16)
        result = xp.moveaxis(xp.reshape(y.T, (*lead.shape[:-1], m)), -1, axis)
        if out is None:
            return given_back(result)
        _check_out(out, result.shape, result.dtype)
        out[...] = result
        return out

    def _apply(self, x: Any, out: NDArray[Any] | None = None, *, is_bfloat16: bool = False) -> Any:
        stages = self._stages
        if is_bfloat16:
            if len(stages) != 1 or not isinstance(stages[0], ChainStage):
                raise InputTypeError(
                    "bfloat16 is for chains of Kronecker patterns; these factors are none; use x.float()"
                )
            with self._space.entered():
                return stages[0](x, is_bfloat16=True)
        if not self._space.is_host:
            with self._space.entered():
                for stage in stages:
                    x = stage(x)
            return x
        if out is not None:
            _check_out(out, (self.shape[0], *x.shape[1:]), np.result_type(self.dtype, x.dtype))
            if np.may_share_memory(out, x):
                x = x.copy()
        for stage in stages[:-1]:
            x = stage(x)
        last = stages[-1]
        if out is None:
            return np.asarray(last(x))
        if isinstance(last, ChainStage):
            last(x, out=out)
        else:
            out[...] = last(x)
        return out

    def _matmat(self, x: Any) -> Any:
        return self._apply(np.asarray(x))

    def _matvec(self, x: Any) -> Any:
        return self._apply(np.asarray(x))

    def _rmatmat(self, x: Any) -> Any:
        return self._hermitian._apply(np.asarray(x))

    def _rmatvec(self, x: Any) -> Any:
        return self._rmatmat(x)

    def to_dense(self) -> Any:
        """Return the operator as a dense array of shape ``(m, n)``."""
        return self._apply(self._space.eye(self.shape[1], self.dtype))

    def to_sparse(self) -> sparse.csr_array:
        """Return the operator as one ``csr_array``, the factors multiplied out."""
        self._on_host("a sparse array")
        product = self.factors[0]
        for factor in self.factors[1:]:
            product = product @ factor
        coordinates = product.tocoo()
        i, j = coordinates.coords
        i = i if self.rows is None else self.rows[i]
        j = j if self.columns is None else self.columns[j]
        return sparse.csr_array((coordinates.data, (i, j)), shape=self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return dense rows, columns or entries, as NumPy indexes a matrix; each row costs a product."""
        self._on_host("indexing")
        key = key if isinstance(key, tuple) else (key,)
        if len(key) > 2 or any(part is None for part in key):
            raise ShapeError(f"an operator has two axes; found the index {key}")
        key = tuple(slice(None) if part is Ellipsis else part for part in key)
        i, j = (*key, slice(None))[:2]
        m, n = self.shape
        rows, columns = np.arange(m)[i], np.arange(n)[j]
        by_columns = np.size(columns) < np.size(rows)
        picked, place = np.unique(columns if by_columns else rows, return_inverse=True)
        unit = np.zeros((n if by_columns else m, picked.size), dtype=self.dtype)
        unit[picked, np.arange(picked.size)] = 1
        if by_columns:
            block, columns = self._apply(unit), place.reshape(np.shape(columns))
        else:
            block, rows = self._transposed._apply(unit).T, place.reshape(np.shape(rows))
        paired = not isinstance(i, slice) and not isinstance(j, slice)
        found: NDArray[Any] = block[rows, columns] if paired else block[rows][..., columns]
        return found

    # Algebra

    def _like(
        self, supports: Supports, values: Sequence[Any], rows: Any, columns: Any, change: Any
    ) -> Product:
        """Build an operator derived from this one; `change` says how a certificate changes with it."""
        return Product(supports, values, rows=rows, columns=columns)

    @cached_property
    def _transposed(self) -> Product:
        space = self._space
        pairs = zip(reversed(self.supports), reversed(self.values), strict=True)
        values = tuple(transposed_values(space, support, value) for support, value in pairs)
        turned = self._like(self.supports.T, values, self.columns, self.rows, "transposed")
        turned.__dict__["_transposed"] = self
        return turned

    @cached_property
    def _hermitian(self) -> Product:
        if not np.issubdtype(self.dtype, np.complexfloating):
            return self._transposed
        adjoint = self._transposed.conj()
        adjoint.__dict__["_hermitian"] = self
        return adjoint

    def _transpose(self) -> Any:
        return self._transposed

    def _adjoint(self) -> Any:
        return self._hermitian

    def conj(self) -> Self:
        """Return the complex conjugate."""
        xp, values = self._space.xp, self.values
        if np.issubdtype(self.dtype, np.complexfloating):
            values = tuple(map(xp.conj, values))
        return self._like(self.supports, values, self.rows, self.columns, "conjugate")

    def _scaled(self, scalar: Any) -> Self:
        size = float(abs(scalar))
        if not math.isfinite(size):
            raise InputError(f"a multiple must be finite; found {scalar}")
        # All factors alike, so that they stay balanced; the phase goes to the first.
        share = size ** (1 / len(self.values))
        phase = scalar / size if size else 0
        values = [value * share for value in self.values]
        if np.isrealobj(phase) or phase.imag == 0:
            values[0] = values[0] * float(phase.real)
        else:
            values[0] = self._space.cast(values[0], np.result_type(self.dtype, np.complex64)) * complex(phase)
        return self._like(self.supports, values, self.rows, self.columns, size)

    def __mul__(self, other: Any) -> Any:
        return self._scaled(other) if _is_number(other) else self @ other

    def __rmul__(self, other: Any) -> Any:
        return self._scaled(other) if _is_number(other) else self.__rmatmul__(other)

    def __truediv__(self, other: Any) -> Any:
        if not _is_number(other) or other == 0:
            raise InputError(f"an operator can be divided by a nonzero number; found {other!r}")
        return self._scaled(1 / other)

    def __neg__(self) -> Any:
        return self._scaled(-1)

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Product):
            return self._times(other)
        if sparse.issparse(other):
            return self.to_sparse() @ other
        if isinstance(other, LinearOperator):
            return self.dot(other)
        x, given_back, is_bfloat16 = self._numeric(other)
        if not 1 <= x.ndim <= 2 or x.shape[0] != self.shape[1]:
            raise ShapeError(
                f"an operator of shape {self.shape} takes arrays of {self.shape[1]} rows; found an array of "
                f"shape {x.shape}; for another axis use apply"
            )
        return given_back(self._apply(x, is_bfloat16=is_bfloat16))

    def __rmatmul__(self, other: Any) -> Any:
        if sparse.issparse(other):
            return other @ self.to_sparse()
        x, given_back, is_bfloat16 = self._numeric(other)
        if x.ndim > 2 or x.shape[-1] != self.shape[0]:
            return self._transposed @ _turned(x)
        return given_back(_turned(self._transposed._apply(_turned(x), is_bfloat16=is_bfloat16)))

    def _times(self, other: Product) -> Product:
        together([self.values[0], other.values[0]])
        if self.shape[1] != other.shape[0]:
            raise ShapeError(f"shapes {self.shape} and {other.shape} do not multiply; inner sides must agree")
        supports, values = list(self.supports), list(self.values)
        if self.columns is not None or other.rows is not None:
            # A permutation between factors is absorbed by the one on its left.
            inner = np.arange(self.shape[1])
            left = inner if self.columns is None else self.columns
            right = inner if other.rows is None else np.argsort(other.rows)
            supports[-1], order = permuted_columns(supports[-1], right[left])
            values[-1] = taken(self._space, values[-1], order)
        name = f"{self.supports.name} @ {other.supports.name}"
        product = joined((*supports, *other.supports), name)
        return Product(product, (*values, *other.values), rows=self.rows, columns=other.columns)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._DERIVED}

    def __repr__(self) -> str:
        m, n = self.shape
        return (
            f"<{m}×{n} {type(self).__name__} of {len(self.supports)} factors, {self.n_parameters} nonzeros>"
        )


def _turned(x: Any) -> Any:
    """The transpose of a matrix; a vector is its own."""
    return x if x.ndim == 1 else x.T


def joined(supports: Sequence[Support], name: str | None) -> Supports:
    """An architecture where all supports are Kronecker patterns."""
    kronecker = all(isinstance(support, KroneckerPattern) for support in supports)
    return Architecture(supports, name) if kronecker else Supports(supports, name)


def _dtype_of(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The working dtype: integers become double precision, and half precision becomes single."""
    dtype = np.result_type(*dtypes).newbyteorder("=")
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.char not in "efdFD":
        raise InputTypeError(f"values must be numeric, of double precision at most; found dtype {dtype}")
    return np.result_type(dtype, np.float32)


def _is_number(x: Any) -> bool:
    return not is_foreign(x) and np.ndim(x) == 0 and np.asarray(x).dtype.kind in "biufc"


def _permutation(order: Any, length: int, what: str) -> Index | None:
    if order is None:
        return None
    order = np.asarray(order)
    if order.dtype.kind not in "iu" or order.shape != (length,):
        raise ShapeError(f"{what} must be {length} integers; found shape {order.shape}, dtype {order.dtype}")
    order = order.astype(np.intp)
    sound = bool((order >= 0).all() and (order < length).all())
    if not sound or np.bincount(order, minlength=length).max() > 1:
        raise ShapeError(
            f"{what} must be a permutation of 0 to {length - 1}; found {np.unique(order).size} different "
            "integers, or some out of range; give each once"
        )
    order.flags.writeable = False
    return None if np.array_equal(order, np.arange(length)) else order


def _check_out(out: Any, shape: tuple[int, ...], dtype: Any) -> None:
    fits = isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype
    if not fits or not out.flags.writeable:
        found = (getattr(out, "shape", None), getattr(out, "dtype", type(out).__name__))
        raise ShapeError(
            f"out must be a writeable array of shape {shape} and dtype {dtype}; found {found}; leave it out "
            "for a new one"
        )
