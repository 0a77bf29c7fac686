"""How many nonzeros there may be, where the places themselves are not given."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.supports.fixed import FixedSupport
from fsmf.supports.sizes import as_count, as_counts
from fsmf.supports.support import as_support

__all__ = [
    "Constraint",
    "Constraints",
    "Free",
    "Joint",
    "OnSupport",
    "Quotas",
    "RowColumnSparse",
    "as_constraint",
    "largest",
]

Array = NDArray[Any]
# From a number of places allowed, and the largest that makes sense, to another.
Resize = Callable[[int, int], int]


class Quotas(NamedTuple):
    """Hold a constraint that allows so many nonzeros in each of several disjoint groups of places.

    Attributes
    ----------
    group : ndarray of int
        For each place the group it belongs to.
    room : ndarray of int, shape (n_groups,)
        How many nonzeros each has room for.
    most : ndarray of int, shape (n_groups,)
        How many it would have room for where the constraint is as loose as its kind can be.
    """

    group: NDArray[np.int64]
    room: NDArray[np.int64]
    most: NDArray[np.int64]


@dataclass(frozen=True)
class Constraint(ABC):
    """Say how sparse an array must be, without saying where: the base of all constraints.

    A constraint stands where a support would in `factorize`; the places are then found, too.

    Parameters
    ----------
    shape : tuple of int, or int
        Shape of the arrays; an integer means a vector.

    Notes
    -----
    Constraints are immutable, and equal when their kind, shape and numbers are.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> isinstance(fsmf.KSparse((2, 3), 2), fsmf.Constraint)
    True
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_counts("shape", self.shape))

    @property
    def size(self) -> int:
        """Number of places."""
        return math.prod(self.shape)

    def places(self, M: Any) -> NDArray[np.bool_]:
        """Return where the nearest array that meets the constraint is nonzero.

        Parameters
        ----------
        M : array_like, shape `shape`
            Real or complex, finite.

        Returns
        -------
        ndarray of bool, shape `shape`
            Never a place where M is zero.
        """
        M = self._checked(M)
        places: NDArray[np.bool_] = self._kept(M) & (M != 0)
        return places

    def project(self, M: Any) -> Array:
        """Return the nearest array that meets the constraint, in the Frobenius norm.

        Parameters
        ----------
        M : array_like, shape `shape`
            Real or complex, finite. Never written.

        Returns
        -------
        ndarray, shape `shape`
            M where it is kept, zero elsewhere. Of equal entries those of lowest index are kept, in
            row-major order.
        """
        M = self._checked(M)
        projected: Array = np.where(self._kept(M), M, M.dtype.type(0))
        return projected

    def contains(self, M: Any) -> bool:
        """Return whether an array meets the constraint; its zeros count as such, not its shape of storage."""
        M = self._checked(M)
        return bool((self._kept(M) | (M == 0)).all())

    def quotas(self) -> Quotas | None:
        """Return what disjoint groups of places have room for; None where that is not what is asked."""
        return None

    def loosened(self, share: float) -> Constraint:
        """Return this kind of constraint with more places: all for a share of 1, no more for 0."""
        return self._resized(lambda k, most: k + math.ceil(share * (most - k)))

    def relaxed(self, factor: float) -> Constraint:
        """Return this kind of constraint with so many times the places, but no more than there are."""
        return self._resized(lambda k, most: min(most, math.ceil(factor * k)))

    @abstractmethod
    def margin(self, x: Array, outside: Array) -> float:
        """Return how much larger the smallest entry of x is than what could take its place.

        Parameters
        ----------
        x : ndarray, shape `shape`
            An array that meets the constraint.
        outside : ndarray, shape `shape`
            What would stand at the other places.

        Returns
        -------
        float
            The least difference of magnitudes between a nonzero of x and an entry of `outside` at a place
            that competes with it; where x has fewer nonzeros than allowed, minus the largest such entry.
        """

    @abstractmethod
    def _kept(self, M: Array) -> NDArray[np.bool_]:
        """Places that the projection keeps; zeros there do not matter."""

    @abstractmethod
    def _resized(self, resize: Resize) -> Constraint:
        """The same kind of constraint with other numbers."""

    def _checked(self, given: Any) -> Array:
        M: Array = np.asarray(given)
        if M.dtype.kind not in "biufc":
            raise InputTypeError(f"an array of numbers was asked for; found dtype {M.dtype}; convert it")
        if M.shape != self.shape:
            raise ShapeError(f"an array of shape {self.shape} was asked for; found {M.shape}; reshape it")
        if not np.isfinite(M).all():
            raise InputError("the array to project must be finite; found NaN or infinity; clean it first")
        return M

    def _needs_sides(self) -> None:
        """Check that the shape is that of a matrix."""
        if len(self.shape) != 2:
            raise ShapeError(
                f"{type(self).__name__} constrains matrices; found shape {self.shape}; give (m, n), or use "
                "KSparse"
            )


@dataclass(frozen=True)
class Free(Constraint):
    """Allow anything: a dense factor.

    Parameters
    ----------
    shape : tuple of int, or int
        Shape of the arrays.

    Notes
    -----
    **Guarantee.** The projection changes nothing. **Cost.** O(size).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.Free((2, 2)).contains([[1, 2], [3, 4]])
    True
    """

    def margin(self, x: Array, outside: Array) -> float:
        """Return minus the largest magnitude outside the nonzeros of x."""
        return -float(np.where(x != 0, 0.0, np.abs(outside)).max())

    def quotas(self) -> Quotas:
        """Return one group with room for all."""
        return Quotas(np.zeros(self.shape, np.int64), np.array([self.size]), np.array([self.size]))

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        return np.ones(self.shape, dtype=bool)

    def _resized(self, resize: Resize) -> Free:
        return self


class OnSupport(Constraint):
    """Allow the places of a given support, and no others.

    Parameters
    ----------
    support : Support or whatever `as_support` takes, or ndarray of bool
        Where entries may be nonzero; an array of booleans may have any number of sides.

    Raises
    ------
    SupportError, InputTypeError
        If the support is none.

    Notes
    -----
    **Guarantee.** The projection is exact. **Cost.** O(size).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.OnSupport([[1, 0], [1, 1]]).project([[1, 2], [3, 4]])
    array([[1, 0],
           [3, 4]])
    """

    allowed: NDArray[np.bool_]

    def __init__(self, support: Any) -> None:
        plain = isinstance(support, np.ndarray) and support.dtype == bool
        allowed = support.copy() if plain else as_support(support).toarray()
        allowed.flags.writeable = False
        super().__init__(allowed.shape)
        object.__setattr__(self, "allowed", allowed)

    def margin(self, x: Array, outside: Array) -> float:
        """Return minus the largest magnitude at the places allowed where x is zero."""
        return -float(np.where((x != 0) | ~self.allowed, 0.0, np.abs(outside)).max())

    def quotas(self) -> Quotas:
        """Return the places allowed as a group with room for all, and the others as one with none."""
        room = np.array([int(self.allowed.sum()), 0])
        return Quotas((~self.allowed).astype(np.int64), room, room)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnSupport) and np.array_equal(self.allowed, other.allowed)

    def __hash__(self) -> int:
        return hash((self.shape, int(self.allowed.sum())))

    def __repr__(self) -> str:
        return f"OnSupport({self.shape}, {int(self.allowed.sum())} places)"

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        return self.allowed

    def _resized(self, resize: Resize) -> OnSupport:
        return self


@dataclass(frozen=True)
class RowColumnSparse(Constraint):
    """Allow at most so many nonzeros in each row, and so many in each column.

    Parameters
    ----------
    shape : tuple of int
        ``(m, n)``.
    k : int
        Nonzeros a row, from 1 to n.
    columns : int, optional
        Nonzeros a column, from 1 to m; by default k, too.

    Raises
    ------
    OptionError, ShapeError
        If a number is out of range, or the shape is not that of a matrix.

    Notes
    -----
    **Guarantee.** The projection is exact: a b-matching of greatest weight, found by shortest augmenting
    paths. No entry that is kept could be exchanged for an equal one before it.

    **Cost.** O(k m · m n) in the worst case, O(m n) where the largest of each row, or as large ones, suit the
    columns.

    References
    ----------
    A. Schrijver, *Combinatorial Optimization*, Springer 2003, chapter 21.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.RowColumnSparse((2, 2), 1).project([[3, 3], [2, 1]])
    array([[0, 3],
           [2, 0]])
    """

    k: int
    columns: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._needs_sides()
        if self.columns is None:
            object.__setattr__(self, "columns", self.k)
        for name, most in (("k", self.shape[1]), ("columns", self.shape[0])):
            value = as_count(name, getattr(self, name))
            if value > most:
                raise OptionError(
                    f"{name} must be at most {most} for shape {self.shape}; found {value}; lower it, or use "
                    "RowSparse or ColumnSparse"
                )
            object.__setattr__(self, name, value)

    def margin(self, x: Array, outside: Array) -> float:
        """Return how much heavier x is than the best choice among its and the outer entries, at most 0."""
        both = np.where(x != 0, x, outside)
        return float(np.linalg.norm(x) - np.linalg.norm(np.where(self._kept(both), both, 0)))

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        assert self.columns is not None
        weight = np.abs(M).astype(float)
        peak = weight.max()
        weight = (weight / (peak or 1.0)) ** 2
        kept = largest(weight, self.k)
        if kept.sum(axis=0).max(initial=0) <= self.columns:
            return kept
        from fsmf.kernels.b_matching_cpu import b_matching, prefer_first, served_in_order

        for own, k, l in ((weight, self.k, self.columns), (weight.T, self.columns, self.k)):
            suits, taken = served_in_order(np.ascontiguousarray(own), k, l)
            if suits:
                taken = np.ascontiguousarray(taken if own is weight else taken.T)
                break
        else:
            taken = b_matching(weight, self.k, self.columns) & (weight > 0)
        prefer_first(weight, taken, self.k, self.columns)
        return np.asarray(taken)

    def _resized(self, resize: Resize) -> Constraint:
        assert self.columns is not None
        m, n = self.shape
        return RowColumnSparse(self.shape, resize(self.k, n), resize(self.columns, m))


class Joint(Constraint):
    """Put several constraints side by side on one vector: the entries of each array in row-major order.

    Parameters
    ----------
    parts : sequence of Constraint
        The constraints of the arrays that the vector holds one after another.

    Raises
    ------
    InputTypeError
        If something else is given.

    Notes
    -----
    **Guarantee.** The projection is exact if those of the parts are. **Cost.** The sum of theirs.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.Joint([fsmf.KSparse((2, 2), 1), fsmf.Free(2)]).project([1, -2, 0, 1, 5, 6])
    array([ 0, -2,  0,  0,  5,  6])
    """

    parts: tuple[Constraint, ...]

    def __init__(self, parts: Any) -> None:
        parts = tuple(parts)
        if not parts or not all(isinstance(part, Constraint) for part in parts):
            raise InputTypeError(f"Joint takes one constraint or more; found {parts!r}; give those")
        super().__init__((sum(part.size for part in parts),))
        object.__setattr__(self, "parts", parts)

    def split(self, x: Array) -> list[Array]:
        """Return the arrays that a vector holds, as views."""
        ends = np.cumsum([part.size for part in self.parts])[:-1]
        return [piece.reshape(part.shape) for part, piece in zip(self.parts, np.split(x, ends), strict=True)]

    def margin(self, x: Array, outside: Array) -> float:
        """Return the least margin of a part."""
        pairs = zip(self.parts, self.split(x), self.split(outside), strict=True)
        return min(part.margin(own, other) for part, own, other in pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Joint) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Joint({list(self.parts)!r})"

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        kept = [part._kept(piece).reshape(-1) for part, piece in zip(self.parts, self.split(M), strict=True)]
        return np.concatenate(kept)

    def _resized(self, resize: Resize) -> Joint:
        return Joint(part._resized(resize) for part in self.parts)


class Constraints(tuple[Constraint, ...]):
    """Hold the constraints of a product, left to right, as they multiply; shapes are checked.

    Parameters
    ----------
    factors : iterable
        One constraint or support per factor.

    Raises
    ------
    ShapeError
        If two neighbours do not chain, or one constrains no matrix.
    """

    def __new__(cls, factors: Iterable[Any]) -> Constraints:
        """Convert and check; a tuple is filled before ``__init__``."""
        self = super().__new__(cls, map(as_constraint, factors))
        for i, one in enumerate(self):
            if len(one.shape) != 2:
                raise ShapeError(f"factor {i} must be a matrix; found shape {one.shape}; give (m, n)")
        for i, (left, right) in enumerate(pairwise(self)):
            if left.shape[1] != right.shape[0]:
                raise ShapeError(
                    f"constraints must chain as matrices multiply; factor {i} has {left.shape[1]} columns "
                    f"and factor {i + 1} has {right.shape[0]} rows; give the right factor as it multiplies"
                )
        return self

    @classmethod
    def found_in(cls, supports: Any) -> Constraints | None:
        """Return the constraints if some factor has one; None where all supports are given."""
        if isinstance(supports, Constraint):
            return cls([supports])
        some = isinstance(supports, list | tuple) and any(isinstance(one, Constraint) for one in supports)
        return cls(supports) if some else None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the product."""
        return self[0].shape[0], self[-1].shape[1]

    def facts(self) -> Iterator[str]:
        """Say in lines what is asked for."""
        yield f"{len(self)} factors for a matrix {self.shape[0]}×{self.shape[1]}, supports to be found"
        yield from (f"  factor {i}: {one}" for i, one in enumerate(self))


def as_constraint(given: Any) -> Constraint:
    """Take a constraint as it is, and a support as the constraint that allows its places."""
    if isinstance(given, FixedSupport):
        raise InputTypeError(
            "constraints stand beside supports without prescribed values; found a fixed factor; give all "
            "supports, or seek one factor beside frozen ones with fsmf.sparse_lstsq or fsmf.iht"
        )
    return given if isinstance(given, Constraint) else OnSupport(given)


def largest(weight: Array, k: int) -> NDArray[np.bool_]:
    """Return the k largest of each row that are not zero; of equal ones the first."""
    size = weight.shape[1]
    if k >= size:
        return weight > 0
    least = np.partition(weight, size - k, axis=1)[:, size - k, None]
    kept: NDArray[np.bool_] = weight >= least
    if np.count_nonzero(kept) > k * len(weight):
        larger, equal = weight > least, weight == least
        kept = larger | (equal & (np.cumsum(equal, axis=1) <= k - larger.sum(axis=1, keepdims=True)))
    kept &= weight > 0
    return kept
