"""The product of a chain of Kronecker-sparse factors with vectors, in the array library of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsmf.errors import InputTypeError, ShapeError
from fsmf.kernels import cuda
from fsmf.kernels.kronecker_matmul_cuda import CudaChain, Types
from fsmf.kernels.kronecker_plan import Pattern
from fsmf.kernels.kronecker_stages import multiply_blocks
from fsmf.kernels.namespace import Space

__all__ = ["DeviceChain"]


class DeviceChain:
    """Multiply with ``A = X_1 X_2 ⋯ X_L`` where the arrays live; the twin of `ChainProduct` there.

    Parameters
    ----------
    space : Space
        The library and device of the values.
    patterns : sequence of tuple of four int
        One ``(a, b, c, d)`` per factor, left to right; shapes chain.
    values : sequence of array
        The values of each factor, of a·b·d·c entries and one dtype.
    rows, columns : ndarray of int, optional
        Permutations, as of `ChainProduct.apply`, in host memory.

    Notes
    -----
    **Guarantee.** As of `ChainProduct`. Half precision is summed in single.

    **Cost.** On a GPU one or two passes over the vectors for a butterfly of up to some thousand rows, by
    kernels that are compiled on first use; there is a plan for each dtype, layout, and power of two of
    columns. Elsewhere a batched matrix product a factor, and two copies of the vectors where d > 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.kernels.namespace import HOST
    >>> chain = DeviceChain(HOST, [(2, 1, 1, 2)], [np.array([1.0, 2.0, 3.0, 4.0])])
    >>> chain.apply(np.ones(4))
    array([1., 2., 3., 4.])
    """

    def __init__(
        self,
        space: Space,
        patterns: Sequence[Pattern],
        values: Sequence[Any],
        *,
        rows: Any = None,
        columns: Any = None,
    ) -> None:
        self._space, self._patterns = space, list(patterns)
        self.dtype = space.dtype(values[0])
        (a, b, _, d), (last, _, c, D) = self._patterns[0], self._patterns[-1]
        self.shape = a * b * d, last * c * D
        self._values = [
            space.xp.reshape(V, (a, b, d, c)) for V, (a, b, c, d) in zip(values, self._patterns, strict=True)
        ]
        # Without kernels, y[rows] = … is a gather by the inverse.
        self._has_kernels = cuda.takes(space)
        index = np.int32 if self._has_kernels else np.int64
        inverse = rows is not None and not self._has_kernels
        placed = np.argsort(rows) if inverse else rows
        self._placed, self._taken = (
            None if order is None else space.put(np.asarray(order, dtype=index))
            for order in (placed, columns)
        )
        self._blocks: dict[str, list[Any]] = {}
        self._planned: dict[Any, CudaChain] = {}

    def apply(self, x: Any, *, is_bfloat16: bool = False) -> Any:
        """Compute ``y`` with ``y[rows] = A x[columns]``.

        Parameters
        ----------
        x : array of shape (n,) or (n, k)
            In the space of the values.
        is_bfloat16 : bool
            Whether x holds the bits of bfloat16 numbers, as 16-bit integers.

        Returns
        -------
        array of shape (m,) or (m, k)
            Of the dtype to which NumPy promotes that of the values and that of x; on a GPU of that of x,
            where that is half precision and the values are float32. In Fortran order where x is.

        Raises
        ------
        ShapeError
            If x has another shape.
        InputTypeError
            If x is not numeric or of more than double precision.
        """
        space = self._space
        if not 1 <= x.ndim <= 2 or x.shape[0] != self.shape[1]:
            raise ShapeError(f"x must have shape ({self.shape[1]},) or ({self.shape[1]}, k); found {x.shape}")
        given = np.dtype(np.float32) if is_bfloat16 else space.dtype(x)
        dtype = np.result_type(self.dtype, given) if given.kind in "biufc" else given
        if dtype.char not in "fdFD":
            raise InputTypeError(f"x must be numeric, of double precision at most; found dtype {given}")
        y = x if x.ndim == 2 else x[:, None]
        if self._has_kernels:
            is_half = is_bfloat16 or given == np.float16
            if is_half and self.dtype == np.float32:
                y = self._launched(y, "bfloat16" if is_bfloat16 else "float16")
            else:
                y = space.cast(y, np.uint32) << 16 if is_bfloat16 else y
                y = self._launched(space.cast(y.view(np.float32) if is_bfloat16 else y, dtype), dtype.name)
        else:
            y = self._multiplied(space.cast(y, dtype), dtype.name)
        return y if x.ndim == 2 else y[:, 0]

    def _multiplied(self, y: Any, dtype: str) -> Any:
        """The product by array functions alone."""
        xp = self._space.xp
        if dtype not in self._blocks:
            turned = (xp.permute_dims(V, (0, 2, 1, 3)) for V in self._values)
            self._blocks[dtype] = [self._space.cast(V, dtype) for V in turned]
        if self._taken is not None:
            y = xp.take(y, self._taken, axis=0)
        for pattern, V in zip(reversed(self._patterns), reversed(self._blocks[dtype]), strict=True):
            y = multiply_blocks(self._space, pattern, V, y)
        return y if self._placed is None else xp.take(y, self._placed, axis=0)

    def _launched(self, y: Any, dtype: str) -> Any:
        """The product by kernels."""
        k = y.shape[1]
        if not k:
            return self._space.xp.empty((self.shape[0], 0), dtype=y.dtype, device=self._space.device)
        by_columns = bool(y.flags.f_contiguous)
        if not by_columns and not y.flags.c_contiguous:
            y = y.copy(order="C")
        key = dtype, by_columns, (k - 1).bit_length()
        if key not in self._planned:
            types = Types.of(dtype, self.dtype)
            self._planned[key] = CudaChain(
                self._space,
                self._patterns,
                [self._space.cast(V, types.coefficients) for V in self._values],
                types=types,
                columns=k,
                by_columns=by_columns,
                taken=self._taken,
                placed=self._placed,
            )
            # What is laid out here may be read on other streams, which know nothing of this one.
            cuda.finish(self._space)
        return self._planned[key].apply(y)
