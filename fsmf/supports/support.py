"""Where the entries of a factor may be nonzero: immutable patterns whose shapes chain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fsmf.errors import InputTypeError, ShapeError, SupportError
from fsmf.supports.patterns import compressed, transposed

__all__ = ["Support", "Supports", "as_support", "as_supports", "pair"]

# Patterns of so few places are quicker to lay out than to be held by SciPy.
_SMALL = 4096


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


class Support:
    """Say where one factor may be nonzero.

    A support is a 0/1 pattern of shape ``(n_rows, n_columns)``, kept as sorted compressed rows: it costs
    memory for its nonzeros only, never for its area. It is immutable and hashable, and two supports are
    equal when their shapes and their patterns are.

    Parameters
    ----------
    pattern : array_like, sparse array or matrix, or Support
        A 2-D array of booleans or of zeros and ones, shape ``(n_rows, n_columns)``; or a tuple
        ``((rows, columns), shape)`` of two integer index arrays and the shape.

    Raises
    ------
    SupportError
        If a value is neither 0 nor 1, an index is out of range, or a side has length 0.
    ShapeError
        If the pattern is not 2-D.
    InputTypeError
        If the dtype is not boolean or numeric.

    Notes
    -----
    Cost: one pass over the pattern.

    Examples
    --------
    >>> import fsmf
    >>> S = fsmf.Support([[1, 0], [1, 1]])
    >>> S
    Support(2×2, 3 nonzeros)
    >>> S == fsmf.Support.from_coordinates([0, 1, 1], [0, 0, 1], shape=(2, 2))
    True
    >>> S.T.toarray()
    array([[ True,  True],
           [False,  True]])
    """

    def __init__(self, pattern: Any) -> None:
        given = pattern.to_sparse() if isinstance(pattern, Support) else pattern
        self._shape, indptr, indices = compressed(given)
        self._indptr, self._indices = _frozen(indptr), _frozen(indices)

    @classmethod
    def from_coordinates(cls, rows: ArrayLike, columns: ArrayLike, *, shape: tuple[int, int]) -> Support:
        """Build a support from the rows and columns of its nonzeros, two flat integer lists."""
        return cls(((rows, columns), shape))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self._shape

    @property
    def indptr(self) -> NDArray[np.integer]:
        """Where each row starts in `indices`, shape ``(n_rows + 1,)``; read-only."""
        return self._indptr

    @property
    def indices(self) -> NDArray[np.integer]:
        """Columns of the nonzeros, row by row and ascending, shape ``(nnz,)``; read-only."""
        return self._indices

    @property
    def nnz(self) -> int:
        """Number of places that may be nonzero."""
        return int(self.indices.size)

    @property
    def n_prescribed(self) -> int:
        """Number of places whose value is prescribed, as `fixed` does; none here."""
        return 0

    @property
    def free(self) -> slice | NDArray[np.integer]:
        """The places whose value is not prescribed, in row-major order: here all."""
        return slice(None)

    @property
    def density(self) -> float:
        """Fraction of the places that may be nonzero, between 0 and 1."""
        return self.nnz / (self._shape[0] * self._shape[1])

    @cached_property
    def T(self) -> Support:
        """The transposed support, shape ``(n_columns, n_rows)``."""
        turned = Support.__new__(Support)
        turned._shape = self._shape[::-1]
        turned._indptr, turned._indices = map(_frozen, transposed(self.indptr, self.indices, self._shape[1]))
        turned.__dict__["T"] = self
        return turned

    def row(self, i: int) -> NDArray[np.integer]:
        """Return the columns that row `i` may use, ascending; read-only."""
        return self.indices[self.indptr[i] : self.indptr[i + 1]]

    def coordinates(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Return the rows and the columns of the nonzeros, each of shape ``(nnz,)``, in row-major order."""
        rows = np.repeat(np.arange(self._shape[0], dtype=self.indices.dtype), np.diff(self.indptr))
        return rows, self.indices

    def places(self) -> NDArray[np.int64]:
        """Return where the nonzeros stand in a dense array in C order, ascending, shape ``(nnz,)``."""
        # Gathers and scatters by these are eight times as fast as by two index arrays.
        starts = np.arange(self._shape[0], dtype=np.int64) * self._shape[1]
        return starts.repeat(np.diff(self.indptr)) + self.indices

    def toarray(self) -> NDArray[np.bool_]:
        """Return the pattern as a dense boolean array of shape `shape`."""
        dense = np.zeros(self._shape, dtype=bool)
        dense.reshape(-1)[self.places()] = True
        return dense

    def to_sparse(self) -> sparse.csr_array:
        """Return the pattern as a boolean ``csr_array`` of shape `shape`."""
        ones = np.ones(self.nnz, dtype=bool)
        return sparse.csr_array((ones, self.indices, self.indptr), shape=self._shape)

    def restrict(self, rows: ArrayLike, columns: ArrayLike) -> Support:
        """Return the support of the sub-block ``rows × columns``, shape ``(len(rows), len(columns))``."""
        rows, columns = np.asarray(rows), np.asarray(columns)
        if math.prod(self._shape) <= _SMALL:
            return Support(self.toarray()[rows][:, columns])
        return Support(self.to_sparse()[rows][:, columns])

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Support):
            return NotImplemented
        return (
            self._shape == other._shape
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def __hash__(self) -> int:
        # Cheap, where places may not even be laid out; equality looks at them.
        return hash((self.shape, self.nnz))

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("_shape", "_indptr", "_indices")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _frozen(self._indptr)
        _frozen(self._indices)

    def __repr__(self) -> str:
        return f"Support({self._shape[0]}×{self._shape[1]}, {self.nnz} nonzeros)"


class Supports(tuple[Support, ...]):
    """Hold the supports of a product, left to right, as they multiply.

    An immutable tuple of `Support` whose shapes chain; it compares by content, and a name (of the family
    it came from) goes with it for printing only.

    Parameters
    ----------
    factors : iterable of Support
        One support per factor, left to right; the columns of each are the rows of the next.
    name : str, optional
        What to call the whole.

    Raises
    ------
    SupportError
        If there is no factor.
    ShapeError
        If two neighbours do not chain.

    Notes
    -----
    Cost: none; the supports are shared, not copied.

    Examples
    --------
    >>> import fsmf
    >>> supports = fsmf.lu(3)
    >>> supports
    Supports(lu(3): 3×3 · 3×3, 12 nonzeros)
    >>> supports.shape, supports.n_parameters
    ((3, 3), 12)
    """

    name: str | None

    def __new__(cls, factors: Iterable[Support], name: str | None = None) -> Supports:
        """Check that the shapes chain; a tuple is filled before ``__init__``."""
        self = super().__new__(cls, factors)
        if not self:
            raise SupportError(
                "a product of supports was asked for; found no factor at all; give one support per factor"
            )
        for i, (left, right) in enumerate(pairwise(self)):
            if left.shape[1] != right.shape[0]:
                raise ShapeError(
                    f"supports must chain as matrices multiply; factor {i} has {left.shape[1]} columns and "
                    f"factor {i + 1} has {right.shape[0]} rows; give the right factor as it multiplies, or "
                    "use fsmf.pair(I, J) for the form X Yᵀ"
                )
        self.name = name
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (tuple(self), self.name)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the product."""
        return (self[0].shape[0], self[-1].shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of nonzeros in all factors together."""
        return sum(support.nnz for support in self)

    @property
    def T(self) -> Supports:
        """The supports of the transposed product: each transposed, in reverse order."""
        return Supports((support.T for support in reversed(self)), self.name and f"{self.name}.T")

    def cut(self, s: int) -> Supports:
        """Return the pair of supports of the products of the first `s` factors and of the others."""
        return Supports((Supports(self[:s]).reached, Supports(self[s:]).reached))

    @property
    def reached(self) -> Support:
        """Where the product may be nonzero."""
        is_small = max(max(self[0].shape[0], one.shape[0]) * one.shape[1] for one in self) <= _SMALL
        product = self[0].toarray() if is_small else self[0].to_sparse()
        for factor in self[1:]:
            product = (product @ (factor.toarray() if is_small else factor.to_sparse())).astype(bool)
        return Support(product)

    def __repr__(self) -> str:
        shapes = " · ".join(f"{m}×{n}" for m, n in (support.shape for support in self))
        name = f"{self.name}: " if self.name else ""
        return f"Supports({name}{shapes}, {self.n_parameters} nonzeros)"


def as_support(pattern: Any) -> Support:
    """Convert whatever describes one factor's support to a `Support`.

    Parameters
    ----------
    pattern : array_like, sparse array or matrix, tuple or Support
        As for `Support`.

    Returns
    -------
    Support
        The argument itself if it is one already.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `Support`.

    Notes
    -----
    Cost: one pass over the pattern.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.as_support((([0, 1, 1], [0, 0, 1]), (2, 2)))
    Support(2×2, 3 nonzeros)
    """
    return pattern if isinstance(pattern, Support) else Support(pattern)


def as_supports(supports: Any) -> Supports:
    """Convert whatever describes the supports of a product to `Supports`.

    Parameters
    ----------
    supports : sequence
        One pattern per factor, left to right, each as `Support` takes it: boolean or 0/1 array,
        ``scipy.sparse`` array or matrix, or index lists ``((rows, columns), shape)``. What a family
        such as `fsmf.monarch` returns is taken as it is.

    Returns
    -------
    Supports
        The supports, shapes checked.

    Raises
    ------
    SupportError
        If there is no factor, or a pattern is not one.
    ShapeError
        If neighbours do not chain, or one matrix was given instead of a sequence.
    InputTypeError
        If the argument is no sequence.

    Notes
    -----
    Cost: one pass over each pattern. The right factor is given as it multiplies: for the papers' form
    ``X Yᵀ`` use `pair`.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> fsmf.as_supports([np.tri(3), np.tri(3).T])
    Supports(3×3 · 3×3, 12 nonzeros)
    """
    if isinstance(supports, Supports):
        return supports
    if isinstance(supports, Support):
        return Supports([supports])
    if sparse.issparse(supports) or (isinstance(supports, np.ndarray) and supports.ndim != 3):
        raise ShapeError(
            f"a sequence of supports was asked for, one per factor; found one array of shape "
            f"{supports.shape}; put the supports in a list, or use fsmf.pair(I, J)"
        )
    if isinstance(supports, str | bytes | dict) or not isinstance(supports, Iterable):
        raise InputTypeError(
            f"a sequence of supports was asked for, one per factor; found {type(supports).__name__}; "
            "give a list such as [S1, S2], fsmf.pair(I, J) or a family such as fsmf.monarch"
        )
    factors = []
    for i, pattern in enumerate(supports):
        try:
            factors.append(as_support(pattern))
        except (SupportError, ShapeError, InputTypeError) as error:
            raise type(error)(f"factor {i}: {error}") from None
    return Supports(factors)


def pair(I: Any, J: Any, *, name: str | None = None) -> Supports:
    """Take two supports in the papers' form A ≈ X Yᵀ, supp X ⊆ I, supp Y ⊆ J.

    fsmf stores the right factor as it multiplies, so its support is Jᵀ.

    Parameters
    ----------
    I : array_like, sparse array or Support
        Support of X, shape ``(m, r)``.
    J : array_like, sparse array or Support
        Support of Y, shape ``(n, r)``.
    name : str, optional
        What to call the pair when it is printed.

    Returns
    -------
    Supports
        The chain ``(I, Jᵀ)`` of shapes ``(m, r)`` and ``(r, n)``.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `Support`; `ShapeError` also when I and J have different numbers of columns.

    Notes
    -----
    Cost: one pass over the patterns.

    References
    ----------
    Q.-T. Le, E. Riccietti, R. Gribonval, "Spurious valleys, NP-hardness, and tractability of sparse matrix
    factorization with fixed support", SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.pair([[1, 0], [1, 1]], [[1, 0], [1, 1]])
    Supports(2×2 · 2×2, 6 nonzeros)
    """
    left = as_support(I)
    # A dense array is turned for nothing before it is read.
    is_dense = isinstance(J, np.ndarray) and J.ndim == 2 and J.size
    right = as_support(J.T) if is_dense else as_support(J).T
    if left.shape[1] != right.shape[0]:
        raise ShapeError(
            f"I and J must have one column per component; found I of shape {left.shape} and J of shape "
            f"{right.shape[::-1]}; give J as the support of Y in X Yᵀ, or use a list [S1, S2] of supports as "
            "they multiply"
        )
    return Supports((left, right), name)
