"""How many groups of entries may be nonzero, such as all that belongs to a neuron."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputTypeError, OptionError
from fsmf.supports.constraints import Constraint, Resize, largest
from fsmf.supports.sizes import as_count

__all__ = ["GroupSparse"]

Array = NDArray[Any]


class GroupSparse(Constraint):
    """Allow nonzeros in at most k of the groups that entries belong to.

    Parameters
    ----------
    labels : array_like of int
        The group of each entry, from 0; entries with negative labels are always allowed. Its shape is that of
        the arrays.
    k : int
        Number of groups, from 1 to all.

    Attributes
    ----------
    labels : ndarray of int
        As given, read-only.
    k : int
        As given.
    n_groups : int
        One more than the largest label.

    Raises
    ------
    InputTypeError
        If labels are no integers.
    OptionError
        If k is out of range, or some label up to the largest is not used.

    Notes
    -----
    **Guarantee.** The projection is exact; groups are compared by their Euclidean norms, and of equal ones
    those of lowest label are kept. **Cost.** O(size).

    Examples
    --------
    >>> import fsmf
    >>> fsmf.GroupSparse([0, 0, 1, 1, -1], 1).project([3, 3, 4, 0, 1])
    array([3, 3, 0, 0, 1])
    """

    labels: NDArray[np.intp]
    k: int

    def __init__(self, labels: Any, k: int) -> None:
        found = np.array(labels)
        if found.dtype.kind not in "iu":
            raise InputTypeError(f"labels must be integers; found dtype {found.dtype}; number the groups")
        found = found.astype(np.intp)
        found.flags.writeable = False
        super().__init__(found.shape)
        sizes = np.bincount(found[found >= 0])
        if not len(sizes) or not sizes.all():
            raise OptionError(
                f"labels must number groups 0, 1, …, each with an entry; found {np.unique(found)}; "
                "np.unique(labels, return_inverse=True) numbers them"
            )
        k = as_count("k", k)
        if k > len(sizes):
            raise OptionError(f"k must be at most {len(sizes)}, the number of groups; found {k}; lower it")
        object.__setattr__(self, "labels", found)
        object.__setattr__(self, "k", k)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.labels.max()) + 1

    def margin(self, x: Array, outside: Array) -> float:
        """Return the least gap between the norm of a group of x and of one outside; see `Constraint.margin`.

        At the zeros of x that are allowed in any case, any entry outside counts against it.
        """
        own, other = self._norms(x), self._norms(outside)
        used = own > 0
        least = float(own[used].min()) if used.sum() == self.k else 0.0
        allowed = (self.labels < 0) | used[self.labels]
        inside = float(np.where(allowed & (x == 0), np.abs(outside), 0.0).max())
        return min(least - float(np.where(used, 0.0, other).max()), -inside if inside else np.inf)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupSparse):
            return NotImplemented
        return self.k == other.k and np.array_equal(self.labels, other.labels)

    def __hash__(self) -> int:
        return hash((self.shape, self.k, self.labels.tobytes()))

    def __repr__(self) -> str:
        return f"GroupSparse({self.shape}, {self.k} of {self.n_groups} groups)"

    def _norms(self, M: Array) -> Array:
        """The norm of each group."""
        size = np.abs(M)
        peak = size.max() or 1.0
        grouped = self.labels >= 0
        squares = np.bincount(self.labels[grouped], weights=(size[grouped] / peak) ** 2)
        norms: Array = peak * np.sqrt(squares)
        return norms

    def _kept(self, M: Array) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = (self.labels < 0) | largest(self._norms(M)[None], self.k)[0][self.labels]
        return kept

    def _resized(self, resize: Resize) -> GroupSparse:
        return GroupSparse(self.labels, resize(self.k, self.n_groups))
