"""Views of Kronecker-sparse values as the blocks that an interface cuts, and products of neighbours.

Patterns (a, b, c, d), values of shape (a, b, d, c). At the interface of a chainable pair, ``a₂ = k a₁``,
``c₁ = k r``, ``d₁ = l d₂`` and ``b₂ = r l``: a₂·d₁ disjoint blocks of shape (b₁, c₂), each the product of
a b₁ × r piece of the left factor and an r × c₂ piece of the right one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.best_pieces_cuda import pieces_by_kernel
from fsmf.kernels.namespace import is_foreign, space_of

__all__ = ["Blocks"]

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]


class Blocks(NamedTuple):
    """Cut values at one interface into blocks, and put them together again.

    Attributes
    ----------
    a, b, c, d : int
        a₁ and b₁ of the left pattern, c₂ and d₂ of the right one.
    k, l, r : int
        ``a₂ / a₁``, ``d₁ / d₂``, and the rank of the interface.
    """

    a: int
    b: int
    c: int
    d: int
    k: int
    l: int
    r: int

    @classmethod
    def of(cls, left: Pattern, right: Pattern) -> Blocks:
        """Return the cut of a chainable pair."""
        (a1, b1, c1, d1), (a2, _, c2, d2) = left, right
        return cls(a1, b1, c2, d2, a2 // a1, d1 // d2, a1 * c1 // a2)

    def whole(self, values: Array) -> Any:
        """Blocks of the product, shape (a₂, d₁, b₁, c₂)."""
        a, b, c, d, k, l, _ = self
        return _turned(values, (a, b, l, d, k, c), (0, 4, 2, 3, 1, 5), (a * k, l * d, b, c))

    def left(self, values: Array) -> Any:
        """Pieces of the left factor, shape (a₂, d₁, b₁, r)."""
        a, b, _, d, k, l, r = self
        return _turned(values, (a, b, l * d, k, r), (0, 3, 2, 1, 4), (a * k, l * d, b, r))

    def right(self, values: Array) -> Any:
        """Pieces of the right factor, shape (a₂, d₁, r, c₂)."""
        a, _, c, d, k, l, r = self
        return _turned(values, (a * k, r, l, d, c), (0, 2, 3, 1, 4), (a * k, l * d, r, c))

    def from_whole(self, blocks: Array) -> Any:
        """Values of the product, shape (a₁, b₁ l, d₂, k c₂)."""
        a, b, c, d, k, l, _ = self
        return _turned(blocks, (a, k, l, d, b, c), (0, 4, 2, 3, 1, 5), (a, b * l, d, k * c))

    def from_left(self, pieces: Array) -> Any:
        """Values of the left factor, shape (a₁, b₁, d₁, k r)."""
        a, b, _, d, k, l, r = self
        return _turned(pieces, (a, k, l * d, b, r), (0, 3, 2, 1, 4), (a, b, l * d, k * r))

    def from_right(self, pieces: Array) -> Any:
        """Values of the right factor, shape (a₂, r l, d₂, c₂)."""
        a, _, c, d, k, l, r = self
        return _turned(pieces, (a * k, l, d, r, c), (0, 3, 1, 2, 4), (a * k, r * l, d, c))

    def multiply(self, left: Array, right: Array) -> Any:
        """Values of the product of two factors."""
        return self.from_whole(_times(self.left(left), self.right(right)))

    def contract_left(self, left: Array, whole: Array) -> Any:
        """Values of ``leftᴴ · whole`` on the right pattern."""
        return self.from_right(_times(_adjoint(self.left(left)), self.whole(whole)))

    def contract_right(self, whole: Array, right: Array) -> Any:
        """Values of ``whole · rightᴴ`` on the left pattern."""
        return self.from_left(_times(self.whole(whole), _adjoint(self.right(right))))

    def shift_right(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Make the columns of the left factor orthonormal, or zero where b₁ < r, and keep the product."""
        Q, R = _orthogonalized(self.left(left))
        return self.from_left(Q), self.from_right(R @ self.right(right))

    def shift_left(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Make the rows of the right factor orthonormal, or zero where c₂ < r, and keep the product."""
        Q, R = _orthogonalized(_adjoint(self.right(right)))
        return (
            self.from_left(self.left(left) @ _adjoint(R)),
            self.from_right(_adjoint(Q)),
        )


def _turned(values: Any, shape: tuple[int, ...], axes: tuple[int, ...], back: tuple[int, ...]) -> Any:
    """The values with the axes of one shape in another order, in another shape."""
    if not is_foreign(values):
        return values.reshape(shape).transpose(axes).reshape(back)
    xp = space_of(values).xp
    return xp.reshape(xp.permute_dims(xp.reshape(values, shape), axes), back)


def _adjoint(pieces: Any) -> Any:
    """The conjugate transpose of each piece."""
    if not is_foreign(pieces):
        return pieces.conj().swapaxes(2, 3)
    xp = space_of(pieces).xp
    turned = xp.matrix_transpose(pieces)
    return xp.conj(turned) if xp.isdtype(turned.dtype, "complex floating") else turned


def _times(X: Array, Y: Array) -> Array:
    """``X @ Y``; for vectors without a call for each of many tiny products."""
    if is_foreign(X) or 1 not in (X.shape[2], X.shape[3], Y.shape[3]):
        return X @ Y
    product: Array = np.einsum("abij,abjk->abik", X, Y)
    return product


def _orthogonalized(pieces: Array) -> tuple[Array, Array]:
    """``pieces = Q R`` with as many columns of Q as of the pieces."""
    if is_foreign(pieces):
        return _orthogonalized_there(pieces)
    if pieces.shape[-1] == 1:
        R = np.linalg.norm(pieces, axis=2, keepdims=True)
        return pieces / np.where(R > 0, R, 1), R.astype(pieces.dtype)
    Q, R = np.linalg.qr(pieces)
    missing = pieces.shape[-1] - Q.shape[-1]
    if missing:
        Q = np.pad(Q, ((0, 0), (0, 0), (0, 0), (0, missing)))
        R = np.pad(R, ((0, 0), (0, 0), (0, missing), (0, 0)))
    return Q, R


def _orthogonalized_there(pieces: Any) -> tuple[Any, Any]:
    """The same in any array library, of all pieces at once; R is no triangle where kernels find it."""
    space = space_of(pieces)
    xp, (n_left, n_right, b, r) = space.xp, pieces.shape
    pieces = xp.reshape(pieces, (n_left * n_right, b, r))
    found = pieces_by_kernel(pieces, min(b, r))
    Q, R = xp.linalg.qr(pieces) if found is None else found[:2]
    missing = r - Q.shape[-1]
    if missing:
        Q = xp.concat([Q, space.zeros((n_left * n_right, b, missing), space.dtype(Q))], axis=2)
        R = xp.concat([R, space.zeros((n_left * n_right, missing, r), space.dtype(R))], axis=1)
    return xp.reshape(Q, (n_left, n_right, b, r)), xp.reshape(R, (n_left, n_right, r, r))
