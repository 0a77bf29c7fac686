"""Supports some of whose entries have a value that is not to be changed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import InputTypeError, RefusedError, ShapeError, SupportError
from fsmf.supports.layout import Index
from fsmf.supports.support import Support, Supports, as_support, as_supports

__all__ = ["FixedSupport", "as_free_supports", "fixed", "held", "prescribes_scales"]

Array = NDArray[Any]


class FixedSupport(Support):
    """Say where one factor may be nonzero, and what it is at some of these places.

    Parameters
    ----------
    pattern : array_like, sparse array or Support
        Where the factor may be nonzero, as for `Support`.
    positions : array_like of int
        Places with a prescribed value, counted in the row-major order of the support, ascending.
    prescribed : array_like
        Their values.

    Notes
    -----
    Equal to another when places and prescribed values are. `fixed` makes them from matrices.

    Examples
    --------
    >>> import fsmf
    >>> S = fsmf.FixedSupport([[1, 0], [1, 1]], [0, 2], [1.0, 1.0])
    >>> S
    FixedSupport(2×2, 3 nonzeros, 2 prescribed)
    """

    def __init__(self, pattern: Any, positions: Any, prescribed: Any) -> None:
        super().__init__(pattern)
        self.positions: Index = np.array(positions, dtype=np.int64)
        self.prescribed: Array = np.array(prescribed)
        self.positions.flags.writeable = self.prescribed.flags.writeable = False

    @property
    def n_prescribed(self) -> int:
        """Number of places with a prescribed value."""
        return int(self.positions.size)

    @property
    def free(self) -> Index:
        """Places without one, counted in the row-major order of the support, ascending."""
        return np.setdiff1d(np.arange(self.nnz), self.positions, assume_unique=True)

    @cached_property
    def T(self) -> FixedSupport:
        """The transposed support."""
        numbers = sparse.csr_array((np.arange(self.nnz), self.indices, self.indptr), shape=self.shape)
        positions = np.argsort(numbers.T.tocsr().data)[self.positions]
        order = np.argsort(positions)
        transposed = FixedSupport(self.to_sparse().T, positions[order], self.prescribed[order])
        transposed.__dict__["T"] = self
        return transposed

    def holding(self, values: Array) -> FixedSupport:
        """Return the support that prescribes what these values are at the same places."""
        return FixedSupport(self, self.positions, values[self.positions])

    def scaled(self, exponent: int) -> FixedSupport:
        """Return the support that prescribes ``2**exponent`` times the values."""
        return FixedSupport(self, self.positions, self.prescribed * 2.0**exponent)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Support):
            return NotImplemented
        return (
            isinstance(other, FixedSupport)
            and super().__eq__(other)
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.prescribed, other.prescribed)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.nnz, self.n_prescribed))

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"positions": self.positions, "prescribed": self.prescribed}

    def __repr__(self) -> str:
        return f"Fixed{super().__repr__()[:-1]}, {self.n_prescribed} prescribed)"


def held(support: Support, values: Array) -> Support:
    """Let a support prescribe, where it prescribes anything, what the values are."""
    return support.holding(values) if isinstance(support, FixedSupport) else support


def prescribes_scales(supports: Supports) -> bool:
    """Whether no more is prescribed of any component of a pair than its scale can meet: one value, not 0."""
    left, right = supports
    counts = np.zeros(left.shape[1], dtype=int)
    for support in (left, right.T):
        if isinstance(support, FixedSupport):
            counts += np.bincount(support.coordinates()[1][support.positions], minlength=len(counts))
            counts += 2 * (not support.prescribed.all())
    return int(counts.max()) <= 1


def as_free_supports(supports: Any) -> Supports:
    """Convert to supports that prescribe nothing, for questions that are answered for free entries only.

    Raises
    ------
    RefusedError
        If values are prescribed.
    """
    found = as_supports(supports)
    count = sum(support.n_prescribed for support in found)
    if count:
        raise RefusedError(
            f"this is decided for factors whose entries are free; found {count} prescribed values; ask about "
            "the patterns alone, fsmf.Support(support)"
        )
    return found


def fixed(values: Any, mask: Any = None, *, support: Any = None) -> FixedSupport:
    """Prescribe values of a factor: a frozen factor, ones on a diagonal.

    Parameters
    ----------
    values : array_like or sparse array, shape (p, q)
        Values of the factor; those off the mask are not read.
    mask : array_like of bool or Support, shape (p, q), optional
        Which entries have the value that `values` gives; by default those that are not zero.
    support : array_like or Support, shape (p, q), optional
        Where the factor may be nonzero, prescribed or not. By default the mask alone when none is given, so
        that the factor is frozen, and otherwise everywhere.

    Returns
    -------
    FixedSupport
        A support that stands in a product as any other, for `VariableProjection`, `QuasiNewton` and `ALS`.

    Raises
    ------
    SupportError
        If a value is not finite, one other than 0 is prescribed off the support, or nothing is prescribed.
    ShapeError, InputTypeError
        If shapes differ, or values are not numeric.

    Notes
    -----
    **Guarantee.** A factor that a solver returns holds the prescribed values exactly, in A's precision.

    **Cost.** One pass over the values.

    Examples
    --------
    A lower factor with ones on its diagonal:

    >>> import fsmf, numpy as np
    >>> lower, upper = fsmf.lu(3)
    >>> unit = fsmf.fixed(np.eye(3), np.eye(3), support=lower)
    >>> F = fsmf.factorize(np.array([[4.0, 3, 2], [8, 8, 5], [4, 7, 9]]), [unit, upper])
    >>> F.X.diagonal().tolist(), F.relative_error < 1e-6
    ([1.0, 1.0, 1.0], True)
    """
    found = values.toarray() if sparse.issparse(values) else np.asarray(values)
    if found.dtype.kind not in "biufc":
        raise InputTypeError(f"prescribed values must be numbers; found dtype {found.dtype}; convert them")
    if found.ndim != 2:
        raise ShapeError(f"prescribed values must be a matrix; found {found.ndim}-D")
    chosen = as_support(found != 0 if mask is None else mask)
    if support is None:
        pattern = chosen if mask is None else Support(np.ones(found.shape, dtype=bool))
    else:
        pattern = as_support(support)
    for name, other in (("mask", chosen), ("support", pattern)):
        if other.shape != found.shape:
            raise ShapeError(
                f"the {name} must have the shape {found.shape} of the values; found {other.shape}"
            )
    at, within = chosen.toarray(), pattern.toarray()
    if not at.any():
        raise SupportError("some entry must be prescribed; the mask names none; give the support itself")
    if not np.isfinite(found[at]).all():
        raise SupportError(
            "prescribed values must be finite; found NaN or infinity; give numbers, or no mask there"
        )
    wrong = at & ~within & (found != 0)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise SupportError(
            f"prescribed values contradict the support: entry ({i}, {j}) is to be {found[i, j]} and the "
            "support leaves it out; widen the support or narrow the mask"
        )
    at &= within
    dtype = np.result_type(found.dtype, np.float64)
    return FixedSupport(pattern, np.flatnonzero(at[within]), found[at].astype(dtype))
