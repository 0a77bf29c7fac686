"""What a product of square factors can do beyond multiplying: solve, invert, and tell its determinant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from fsmf.errors import InputError, InputTypeError, ShapeError
from fsmf.supports.kronecker import Architecture, KroneckerPattern
from fsmf.supports.layout import Index
from fsmf.supports.support import Supports

__all__ = ["Solvable"]

_NUMERIC = np.typecodes["AllInteger"] + "?efdFD"


class Solvable:
    """Solve with a product of factors, given as `fsmf.Product` keeps them."""

    supports: Supports
    values: tuple[NDArray[Any], ...]
    factors: Any
    rows: Index | None
    columns: Index | None
    dtype: Any
    shape: tuple[int, int]
    _on_host: Callable[[str], None]

    def inv(self) -> Any:
        """Return the inverse, factor by factor.

        Returns
        -------
        Product
            The inverses of the factors in reverse order, on the transposed patterns.

        Raises
        ------
        ShapeError
            If a factor is no Kronecker pattern with square blocks: only of these is the inverse as sparse.
        InputError
            If a block is singular.

        Notes
        -----
        **Guarantee.** Each block is inverted by LAPACK with partial pivoting.

        **Cost.** O(a·d·b³) for each factor (a, b, b, d).

        Examples
        --------
        >>> import fsmf, numpy as np
        >>> F = fsmf.transforms.dft(8)
        >>> np.allclose((F.inv() @ F).to_dense(), np.eye(8))
        True
        """
        from fsmf.products.product import Product  # which is Solvable itself

        inverses = [np.linalg.inv(block) for block in self._square_blocks("inverse")]
        values = [np.ascontiguousarray(inverse.swapaxes(1, 2)) for inverse in inverses]
        return Product(self.supports.T, values[::-1], rows=self.columns, columns=self.rows)

    def _square_blocks(self, what: str) -> Iterator[NDArray[Any]]:
        """The blocks of each factor, shape (a, d, b, b); an error if one is singular."""
        self._on_host(f"the {what}")
        for i, (pattern, value) in enumerate(zip(self.supports, self.values, strict=True)):
            if not isinstance(pattern, KroneckerPattern) or pattern.abcd[1] != pattern.abcd[2]:
                raise ShapeError(
                    f"the {what} needs factors with square blocks (a, b, b, d); factor {i} is {pattern!r}; "
                    "use solve, or take that of to_dense()"
                )
            block = value.reshape(pattern.blocks_shape).swapaxes(1, 2)
            condition = np.linalg.cond(block, 1) if block.size else np.zeros(1)
            if not np.all(condition < 1 / np.finfo(self.dtype).eps):
                raise InputError(
                    f"factor {i} has a singular block: there is no {what}; for least squares use "
                    "scipy.sparse.linalg.lsqr"
                )
            yield block

    def solve(self, y: Any) -> NDArray[Any]:
        """Return x with ``F @ x = y``.

        Parameters
        ----------
        y : array_like, shape (m,) or (m, k)
            Right-hand sides.

        Returns
        -------
        ndarray
            Shape ``(n,)`` or ``(n, k)``.

        Raises
        ------
        ShapeError, InputTypeError
            If a factor is not square, or y does not fit.
        InputError
            If a factor is singular.

        Notes
        -----
        **Guarantee.** As near to the solution as the condition of the factors allows: Kronecker factors by
        the inverses of their blocks, found with partial pivoting, others by sparse LU.

        **Cost.** That of factoring all factors on the first call; then of a product.

        Examples
        --------
        >>> import fsmf, numpy as np
        >>> F = fsmf.transforms.hadamard(8)
        >>> np.allclose(F @ F.solve(np.arange(8.0)), np.arange(8.0))
        True
        """
        self._on_host("a solution")
        y = np.asarray(y)
        if y.dtype.char not in _NUMERIC:
            raise InputTypeError(f"y must be numeric, of double precision at most; found dtype {y.dtype}")
        if y.ndim not in (1, 2) or y.shape[0] != self.shape[0]:
            raise ShapeError(f"y must have {self.shape[0]} rows; found shape {y.shape}; give it as columns")
        return self._solver(y)

    @cached_property
    def _solver(self) -> Callable[[Any], NDArray[Any]]:
        if any(support.shape[0] != support.shape[1] for support in self.supports):
            shapes = [support.shape for support in self.supports]
            raise ShapeError(
                f"solving needs square factors; found {shapes}; use scipy.sparse.linalg.lsqr(F, y)"
            )
        if isinstance(self.supports, Architecture):
            apply: Callable[[Any], NDArray[Any]] = self.inv()._apply
            return apply
        try:
            solvers = [splu(factor.tocsc()) for factor in self.factors]
        except RuntimeError:
            raise InputError(
                "a factor is singular: there is no unique solution; use scipy.sparse.linalg.lsqr(F, y)"
            ) from None

        def solve(y: NDArray[Any]) -> NDArray[Any]:
            dtype = np.result_type(self.dtype, y.dtype)
            y = y if self.rows is None else y[self.rows]
            parts = [y.real, y.imag] if np.iscomplexobj(y) and self.dtype.kind == "f" else [y]
            found = []
            for x in parts:
                x = x.astype(self.dtype)
                for solver in solvers:
                    x = solver.solve(x)
                found.append(x if self.columns is None else x[np.argsort(self.columns)])
            return (found[0] if len(found) == 1 else found[0] + 1j * found[1]).astype(dtype)

        return solve

    def slogdet(self) -> tuple[Any, float]:
        """Return the sign, or complex phase, and the logarithm of the absolute determinant.

        Returns
        -------
        sign : float or complex
            Of absolute value 1.
        logabsdet : float
            Natural logarithm of ``|det F|``.

        Raises
        ------
        ShapeError
            If a factor is no Kronecker pattern with square blocks.
        InputError
            If a block is singular.

        Notes
        -----
        **Guarantee.** LU with partial pivoting, block by block.

        **Cost.** That of `inv`.

        Examples
        --------
        >>> import fsmf, numpy as np
        >>> sign, logdet = fsmf.transforms.hadamard(4).slogdet()
        >>> round(float(sign * np.exp(logdet)))
        16
        """
        sign: Any = 1.0
        total = 0.0
        for block in self._square_blocks("determinant"):
            signs, logs = np.linalg.slogdet(block)
            sign, total = sign * np.prod(signs), total + float(np.sum(logs))
        for order in (self.rows, self.columns):
            sign = sign * (1 if order is None else _parity(order))
        return sign, total


def _parity(order: Index) -> int:
    """The sign of a permutation: each cycle of even length changes it."""
    n = len(order)
    graph = sparse.csr_array((np.ones(n), (np.arange(n), order)), shape=(n, n))
    cycles, _ = csgraph.connected_components(graph)
    return 1 if (n - cycles) % 2 == 0 else -1
