"""Constraints that keep the largest entries of each group: all, each row, column or stretch; or blocks."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError
from fsmf.supports.constraints import Constraint, Quotas, Resize, largest
from fsmf.supports.sizes import as_count, as_counts

__all__ = ["BlockSparse", "ColumnSparse", "KSparse", "NM", "RowSparse"]

Array = NDArray[Any]


@dataclass(frozen=True)
class _Grouped(Constraint):
    """The k largest of each of several groups of equal size; every entry belongs to one."""

    k: int

    def __post_init__(self) -> None:
        super().__post_init__()
        most, unit = self._most()
        object.__setattr__(self, "k", as_count("k", self.k))
        if self.k > most:
            raise OptionError(
                f"k must be at most {most}, {unit}; found {self.k} for shape {self.shape}; lower it, or use "
                "Free"
            )

    @abstractmethod
    def _most(self) -> tuple[int, str]:
        """The largest k, and what it is in words."""

    @abstractmethod
    def _groups(self, M: Array) -> Array:
        """Magnitudes, a group a row."""

    @abstractmethod
    def _places(self, groups: Array) -> Array:
        """An array of this shape from one of groups."""

    def quotas(self) -> Quotas | None:
        """Return the groups, each with room for k."""
        most = self._most()[0]
        n = self.size // most
        group = self._places(np.repeat(np.arange(n), most).reshape(n, most))
        return Quotas(group, np.full(n, self.k), np.full(n, most))

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        return self._places(largest(self._groups(M), self.k))

    def _resized(self, resize: Resize) -> Constraint:
        return replace(self, k=resize(self.k, self._most()[0]))

    def margin(self, x: Array, outside: Array) -> float:
        """Return the least gap between a nonzero of x and a competitor; see `Constraint.margin`."""
        own, other = self._groups(x), self._groups(outside)
        used = own > 0
        least = np.where(used.sum(axis=1) < self.k, 0.0, np.where(used, own, np.inf).min(axis=1))
        return float((least - np.where(used, 0.0, other).max(axis=1)).min())


class KSparse(_Grouped):
    """Allow at most k nonzeros in the whole array.

    Parameters
    ----------
    shape : tuple of int, or int
        Shape of the arrays, of any number of sides; an integer means a vector.
    k : int
        Number of nonzeros, from 1 to the size.

    Raises
    ------
    OptionError
        If k is out of range.

    Notes
    -----
    **Guarantee.** The projection is exact. **Cost.** O(size).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.KSparse((2, 3), 2).project([[1, -3, 2], [2, 0, 1]])
    array([[ 0, -3,  2],
           [ 0,  0,  0]])
    """

    def _most(self) -> tuple[int, str]:
        return self.size, "the number of entries"

    def _groups(self, M: Array) -> Array:
        return np.abs(M).reshape(1, -1)

    def _places(self, groups: Array) -> Array:
        return groups.reshape(self.shape)


class RowSparse(_Grouped):
    """Allow at most k nonzeros in each row.

    Parameters
    ----------
    shape : tuple of int
        ``(m, n)``.
    k : int
        Nonzeros a row, from 1 to n.

    Raises
    ------
    OptionError, ShapeError
        If k is out of range, or the shape is not that of a matrix.

    Notes
    -----
    **Guarantee.** The projection is exact. **Cost.** O(m n).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.RowSparse((2, 3), 1).project([[1, -3, 2], [2, 0, 1]])
    array([[ 0, -3,  0],
           [ 2,  0,  0]])
    """

    def _most(self) -> tuple[int, str]:
        self._needs_sides()
        return self.shape[1], "the length of a row"

    def _groups(self, M: Array) -> Array:
        return np.abs(M)

    def _places(self, groups: Array) -> Array:
        return groups


class ColumnSparse(_Grouped):
    """Allow at most k nonzeros in each column.

    Parameters
    ----------
    shape : tuple of int
        ``(m, n)``.
    k : int
        Nonzeros a column, from 1 to m.

    Raises
    ------
    OptionError, ShapeError
        If k is out of range, or the shape is not that of a matrix.

    Notes
    -----
    **Guarantee.** The projection is exact. **Cost.** O(m n).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.ColumnSparse((2, 3), 1).project([[1, -3, 2], [2, 0, 1]])
    array([[ 0, -3,  2],
           [ 2,  0,  0]])
    """

    def _most(self) -> tuple[int, str]:
        self._needs_sides()
        return self.shape[0], "the length of a column"

    def _groups(self, M: Array) -> Array:
        return np.abs(M).T

    def _places(self, groups: Array) -> Array:
        return groups.T


@dataclass(frozen=True)
class NM(_Grouped):
    """Allow at most k nonzeros among each `of` consecutive entries of a row: N:M sparsity.

    N is k, and M is `of`.

    Parameters
    ----------
    shape : tuple of int
        ``(m, n)``; n must be a multiple of `of`.
    k : int
        Nonzeros in a stretch, from 1 to `of`.
    of : int
        Length of a stretch.

    Raises
    ------
    OptionError, ShapeError
        If k is out of range, `of` does not divide n, or the shape is not that of a matrix.

    Notes
    -----
    **Guarantee.** The projection is exact. **Cost.** O(m n).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.NM((1, 8), 2, of=4).project([[1, 2, 3, 4, 8, 7, 6, 5]])
    array([[0, 0, 3, 4, 8, 7, 0, 0]])
    """

    _: KW_ONLY
    of: int = 4

    def _most(self) -> tuple[int, str]:
        self._needs_sides()
        object.__setattr__(self, "of", as_count("of", self.of))
        if self.shape[1] % self.of:
            raise OptionError(
                f"of must divide the length of a row; found {self.of} for shape {self.shape}; pad the rows"
            )
        return self.of, "the length of a stretch"

    def _groups(self, M: Array) -> Array:
        return np.abs(M).reshape(-1, self.of)

    def _places(self, groups: Array) -> Array:
        return groups.reshape(self.shape)


@dataclass(frozen=True)
class BlockSparse(_Grouped):
    """Allow nonzeros in at most k of the blocks of equal size that a matrix is cut into.

    Parameters
    ----------
    shape : tuple of int
        ``(m, n)``.
    k : int
        Number of blocks, from 1 to all.
    block : tuple of int, or int
        Shape of a block, whose sides divide m and n; an integer means square.

    Raises
    ------
    OptionError, ShapeError
        If k is out of range, blocks do not fit, or the shape is not that of a matrix.

    Notes
    -----
    **Guarantee.** The projection is exact; blocks are compared by their Frobenius norms, and of equal ones
    the first are kept, in row-major order. **Cost.** O(m n).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.BlockSparse((2, 4), 1, block=2).project([[1, 1, 3, 0], [1, 1, 0, 0]])
    array([[0, 0, 3, 0],
           [0, 0, 0, 0]])
    """

    _: KW_ONLY
    block: tuple[int, ...] = (2, 2)

    def _most(self) -> tuple[int, str]:
        self._needs_sides()
        block = as_counts("block", self.block)
        object.__setattr__(self, "block", block * 2 if len(block) == 1 else block)
        if len(self.block) != 2 or any(
            side % part for side, part in zip(self.shape, self.block, strict=True)
        ):
            raise OptionError(
                f"block must be two numbers that divide the sides; found {self.block} for shape "
                f"{self.shape}; pad the matrix"
            )
        return self.size // (self.block[0] * self.block[1]), "the number of blocks"

    def margin(self, x: Array, outside: Array) -> float:
        """Return the least gap of norms, or what stands at a zero within a block; see `Constraint.margin`."""
        allowed = self._places(self._groups(x) > 0)
        inside = float(np.where(allowed & (x == 0), np.abs(outside), 0.0).max())
        return min(super().margin(x, outside), -inside if inside else np.inf)

    def quotas(self) -> None:
        """Return nothing: blocks count, not entries."""

    def _cut(self) -> tuple[int, int, int, int]:
        (m, n), (p, q) = self.shape, self.block
        return m // p, p, n // q, q

    def _groups(self, M: Array) -> Array:
        peak = np.abs(M).max() or 1.0
        squares: Array = (np.abs(M / peak).reshape(self._cut()) ** 2).sum(axis=(1, 3))
        norms: Array = peak * np.sqrt(squares).reshape(1, -1)
        return norms

    def _places(self, groups: Array) -> Array:
        m, p, n, q = self._cut()
        return np.broadcast_to(groups.reshape(m, 1, n, 1), (m, p, n, q)).reshape(self.shape)
