"""The product of a chain of Kronecker-sparse factors with vectors, in the array library of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsmf.errors import InputTypeError, ShapeError
from fsmf.kernels.namespace import Space

__all__ = ["DeviceChain"]

Pattern = tuple[int, int, int, int]


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
    **Guarantee.** As of `ChainProduct`.

    **Cost.** A batched matrix product a factor, and two copies of the vectors where d > 1.

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
        self._blocks = [
            space.xp.permute_dims(space.xp.reshape(V, (a, b, d, c)), (0, 2, 1, 3))
            for V, (a, b, c, d) in zip(values, self._patterns, strict=True)
        ]
        # y[rows] = … is a gather by the inverse.
        self._rows = None if rows is None else space.put(np.argsort(rows))
        self._columns = None if columns is None else space.put(np.asarray(columns))
        self._cast: dict[Any, list[Any]] = {self.dtype: self._blocks}

    def apply(self, x: Any) -> Any:
        """Compute ``y`` with ``y[rows] = A x[columns]``.

        Parameters
        ----------
        x : array of shape (n,) or (n, k)
            In the space of the values.

        Returns
        -------
        array of shape (m,) or (m, k)
            Of the dtype to which NumPy promotes that of the values and that of x.

        Raises
        ------
        ShapeError
            If x has another shape.
        InputTypeError
            If x is not numeric or of more than double precision.
        """
        xp, space = self._space.xp, self._space
        if not 1 <= x.ndim <= 2 or x.shape[0] != self.shape[1]:
            raise ShapeError(f"x must have shape ({self.shape[1]},) or ({self.shape[1]}, k); found {x.shape}")
        given = space.dtype(x)
        dtype = np.result_type(self.dtype, given)
        if given.kind not in "biufc" or dtype.char not in "fdFD":
            raise InputTypeError(f"x must be numeric, of double precision at most; found dtype {given}")
        y = space.cast(x if x.ndim == 2 else x[:, None], dtype)
        if self._columns is not None:
            y = xp.take(y, self._columns, axis=0)
        for (a, b, c, d), V in zip(reversed(self._patterns), reversed(self._in(dtype)), strict=True):
            k = y.shape[1]
            y = xp.permute_dims(xp.reshape(y, (a, c, d, k)), (0, 2, 1, 3))
            y = xp.reshape(xp.permute_dims(xp.matmul(V, y), (0, 2, 1, 3)), (a * b * d, k))
        if self._rows is not None:
            y = xp.take(y, self._rows, axis=0)
        return y if x.ndim == 2 else y[:, 0]

    def _in(self, dtype: np.dtype[Any]) -> list[Any]:
        """The blocks in another dtype, kept."""
        if dtype not in self._cast:
            self._cast[dtype] = [self._space.cast(V, dtype) for V in self._blocks]
        return self._cast[dtype]
