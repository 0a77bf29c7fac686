"""One layer's linear map on a support, and how a loss changes with its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.support import Support, Supports

__all__ = ["BlockMap", "Layer", "PlainMap", "as_map"]

Array = NDArray[Any]

# Above this density the dense matrix is multiplied: BLAS makes up for the zeros.
_DENSE = 1 / 16

# Numbers that the gradient on a sparse support takes to its places at a time.
_CHUNK = 1 << 16


class PlainMap:
    """Multiply by a matrix that is zero outside a support.

    Parameters
    ----------
    support : Support
        Where the matrix may be nonzero, shape ``(m, n)``.

    Notes
    -----
    **Cost.** Above a density of one in sixteen that of dense products; below, memory and time are linear in
    the nonzeros, and no ``m × n`` array is formed.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> one = PlainMap(fsmf.Support([[1, 0], [1, 1]]))
    >>> one.times(np.array([1.0, 2.0, 3.0]), np.ones((2, 1))).ravel()
    array([1., 5.])
    """

    def __init__(self, support: Support) -> None:
        self.support = support
        self._is_dense = support.density > _DENSE
        self._is_full = support.nnz == support.shape[0] * support.shape[1]
        self._rows, self._columns = (index.astype(np.intp) for index in support.coordinates())

    def _matrix(self, values: Array) -> Any:
        if self._is_full:
            return values.reshape(self.support.shape)
        if self._is_dense:
            matrix = np.zeros(self.support.shape)
            matrix[self._rows, self._columns] = values
            return matrix
        triple = (values, self.support.indices, self.support.indptr)
        return sparse.csr_array(triple, shape=self.support.shape)

    def times(self, values: Array, H: Array) -> Array:
        """Multiply ``W H``, with the values of W in row-major order."""
        product: Array = self._matrix(values) @ H
        return product

    def pulled(self, values: Array, H: Array, G: Array, *, further: bool) -> tuple[Array, Array | None]:
        """Return the gradient of the values, and of H where it goes `further`, from that of ``W H``."""
        back = self._matrix(values).T @ G if further else None
        if self._is_dense:
            gradient = G @ H.T
            return gradient.ravel() if self._is_full else gradient[self._rows, self._columns], back
        found = np.empty(self.support.nnz)
        step = max(1, _CHUNK // H.shape[1])
        for begin in range(0, found.size, step):
            some = slice(begin, begin + step)
            np.einsum("ik,ik->i", G[self._rows[some]], H[self._columns[some]], out=found[some])
        return found, back


class BlockMap:
    """Multiply by a matrix on the support ``I_a ⊗ 1_{b×c} ⊗ I_d``, a dense block at a time.

    Parameters
    ----------
    pattern : KroneckerPattern
        Where the matrix may be nonzero.

    Notes
    -----
    **Cost.** One multiplication per nonzero and column; nothing but the blocks is formed.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> BlockMap(fsmf.KroneckerPattern(1, 1, 2, 1)).times(np.array([2.0, 3.0]), np.ones((2, 1)))
    array([[5.]])
    """

    def __init__(self, pattern: KroneckerPattern) -> None:
        self.support: Support = pattern
        self.abcd = pattern.abcd

    def _blocks(self, values: Array) -> Array:
        a, b, c, d = self.abcd
        return values.reshape(a, b, d, c).swapaxes(1, 2)

    def _sliced(self, H: Array, height: int) -> Array:
        a, _, _, d = self.abcd
        return H.reshape(a, height, d, -1).swapaxes(1, 2)

    def times(self, values: Array, H: Array) -> Array:
        """Multiply ``W H``, with the values of W in row-major order."""
        product = self._blocks(values) @ self._sliced(H, self.abcd[2])
        return product.swapaxes(1, 2).reshape(self.support.shape[0], -1)

    def pulled(self, values: Array, H: Array, G: Array, *, further: bool) -> tuple[Array, Array | None]:
        """Return the gradient of the values, and of H where it goes `further`, from that of ``W H``."""
        _, b, c, _ = self.abcd
        pieces = self._sliced(G, b)
        gradient = pieces @ self._sliced(H, c).swapaxes(2, 3)
        back = None
        if further:
            back = self._blocks(values).swapaxes(2, 3) @ pieces
            back = back.swapaxes(1, 2).reshape(self.support.shape[1], -1)
        return gradient.swapaxes(1, 2).ravel(), back


def as_map(support: Support) -> PlainMap | BlockMap:
    """Choose how to multiply by a matrix on a support.

    Parameters
    ----------
    support : Support
        Where the matrix may be nonzero.

    Returns
    -------
    PlainMap or BlockMap
        Blocks where the support is a Kronecker pattern of several blocks.

    Examples
    --------
    >>> import fsmf
    >>> type(as_map(fsmf.KroneckerPattern(2, 2, 2, 1))).__name__
    'BlockMap'
    """
    if isinstance(support, KroneckerPattern) and support.abcd[0] * support.abcd[3] > 1:
        return BlockMap(support)
    return PlainMap(support)


class Layer:
    """Multiply by a product of matrices on supports, and add a bias.

    Parameters
    ----------
    supports : Supports
        Of the matrices, left to right as they multiply; most layers have one.
    start : int
        Where the values of its matrices begin in the vector of all parameters, left to right.
    bias : slice
        Where its bias is; empty if there is none.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> layer = Layer(fsmf.as_supports([[[1, 1]]]), 0, bias=slice(2, 3))
    >>> layer.forward(np.array([2.0, 3.0, 10.0]), np.ones((2, 1)))[0]
    array([[15.]])
    """

    def __init__(self, supports: Supports, start: int, *, bias: slice) -> None:
        self.supports = supports
        self.maps = [as_map(support) for support in supports]
        self.places: list[slice] = []
        for support in supports:
            self.places.append(slice(start, start + support.nnz))
            start += support.nnz
        self.bias = bias

    def forward(self, parameters: Array, H: Array) -> tuple[Array, Sequence[Array]]:
        """Return what comes out, and what each matrix was multiplied with, last matrix first."""
        seen = []
        for one, place in zip(reversed(self.maps), reversed(self.places), strict=True):
            seen.append(H)
            H = one.times(parameters[place], H)
        if self.bias.stop > self.bias.start:
            H += parameters[self.bias, None]
        return H, seen

    def backward(
        self, parameters: Array, seen: Sequence[Array], G: Array, gradient: Array, *, further: bool
    ) -> Array | None:
        """Write the gradient of the layer's parameters, and return that of its input if it goes `further`."""
        if self.bias.stop > self.bias.start:
            gradient[self.bias] = G.sum(axis=1)
        back: Array | None = G
        for i, (one, place, H) in enumerate(zip(self.maps, self.places, reversed(seen), strict=True)):
            assert back is not None
            inner = further or i < len(self.maps) - 1
            gradient[place], back = one.pulled(parameters[place], H, back, further=inner)
        return back
