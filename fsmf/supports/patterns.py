"""Reading whatever describes a 0/1 pattern into one canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fsmf.errors import InputTypeError, ShapeError, SupportError
from fsmf.kernels.matrix import sound_csr

__all__ = ["compressed", "transposed"]

Index = NDArray[np.integer[Any]]

# Up to so many nonzeros a stable sort costs less than SciPy's constructors.
_SHORT = 4096


def compressed(pattern: Any) -> tuple[tuple[int, int], Index, Index]:
    """Read one pattern into its shape and sorted compressed rows, sharing nothing with the caller."""
    if not (_is_coordinate_form(pattern) or sparse.issparse(pattern)):
        return _from_dense(pattern)
    csr = _from_sparse(pattern) if sparse.issparse(pattern) else _from_coordinates(*pattern)
    _check_sides(csr.shape)
    csr.sort_indices()
    return (int(csr.shape[0]), int(csr.shape[1])), csr.indptr, csr.indices


def transposed(indptr: Index, indices: Index, width: int) -> tuple[Index, Index]:
    """Turn compressed rows into compressed columns, `width` of them: where each starts, and its rows."""
    height = len(indptr) - 1
    if indices.size > _SHORT:
        ones = np.ones(indices.size, dtype=bool)
        csc = sparse.csr_array((ones, indices, indptr), shape=(height, width)).tocsc()
        return csc.indptr, csc.indices
    starts = np.zeros(width + 1, dtype=indices.dtype)
    np.bincount(indices, minlength=width).cumsum(out=starts[1:])
    rows = np.arange(height, dtype=indices.dtype).repeat(indptr[1:] - indptr[:-1])
    # Short integers are sorted digit by digit.
    keys = indices.astype(np.uint16) if width <= 1 << 16 else indices
    return starts, rows[keys.argsort(kind="stable")]


def _is_coordinate_form(pattern: Any) -> bool:
    """Tell ``((rows, columns), (n_rows, n_columns))`` from a nested list that spells a matrix."""
    if not (isinstance(pattern, tuple) and len(pattern) == 2):
        return False
    coordinates, shape = pattern
    return (
        isinstance(coordinates, tuple | list)
        and len(coordinates) == 2
        and not any(np.isscalar(index) for index in coordinates)
        and isinstance(shape, tuple)
        and len(shape) == 2
        and all(isinstance(side, SupportsIndex) for side in shape)
    )


def _from_coordinates(coordinates: Sequence[ArrayLike], shape: Sequence[SupportsIndex]) -> sparse.csr_array:
    try:
        rows, columns = (np.asarray(index) for index in coordinates)
    except ValueError:
        raise ShapeError("index lists must be two flat lists of integers; found nested ones") from None
    m, n = (int(side) for side in shape)
    if not 1 <= min(m, n) <= max(m, n) <= np.iinfo(np.intp).max:
        raise SupportError(f"a support needs a shape of positive integers; found {(m, n)}")
    if rows.ndim != 1 or rows.shape != columns.shape:
        raise ShapeError(
            "index lists must be two flat lists of equal length; "
            f"found shapes {rows.shape} and {columns.shape}"
        )
    for name, index, side in (("row", rows, m), ("column", columns, n)):
        if index.size == 0:
            continue
        if index.dtype.kind not in "iu":
            raise InputTypeError(f"{name} indices must be integers; found dtype {index.dtype}")
        if index.min() < 0 or index.max() >= side:
            raise SupportError(
                f"{name} indices must lie in 0…{side - 1}; found {index.min()}…{index.max()}; check the shape"
            )
    ones = np.ones(rows.size, dtype=bool)
    # A place named twice is one place: summing booleans keeps True.
    return sparse.coo_array((ones, (rows.astype(np.intp), columns.astype(np.intp))), shape=(m, n)).tocsr()


def _from_sparse(pattern: Any) -> sparse.csr_array:
    if pattern.ndim != 2:
        raise ShapeError(f"a support must be a matrix; found a {pattern.ndim}-D sparse array")
    try:
        csr = sound_csr(pattern)
    except (ValueError, IndexError) as error:
        raise SupportError(f"a support must be a sound sparse array; {error}; build it anew") from None
    # A deep copy: the index arrays may still be the caller's.
    csr = csr.copy()
    _check_zero_one(csr.data)
    csr.eliminate_zeros()
    return sparse.csr_array((np.ones(csr.nnz, dtype=bool), csr.indices, csr.indptr), shape=csr.shape)


def _from_dense(pattern: Any) -> tuple[tuple[int, int], Index, Index]:
    try:
        array = np.asarray(pattern)
    except ValueError:
        raise ShapeError("a support must be a matrix; found rows of different lengths") from None
    if array.ndim != 2:
        raise ShapeError(
            f"a support must be a 2-D array; found {array.ndim}-D"
            + (f" of shape {array.shape}" if array.ndim else f" ({type(pattern).__name__})")
        )
    _check_zero_one(array)
    _check_sides(array.shape)
    m, n = array.shape
    (places,) = array.ravel().nonzero()
    # As SciPy numbers rows and columns.
    index = np.int32 if max(m, n, places.size) < 1 << 31 else np.int64
    indptr = places.searchsorted(np.arange(0, (m + 1) * n, n))
    return (m, n), indptr.astype(index), (places % n).astype(index)


def _check_sides(shape: tuple[int, ...]) -> None:
    if 0 in shape:
        raise SupportError(
            f"a support needs at least one row and one column; found shape {shape}; leave out empty factors"
        )


def _check_zero_one(values: NDArray[Any]) -> None:
    if values.dtype.kind == "b":
        return
    if values.dtype.kind not in "iufc":
        raise InputTypeError(
            f"a support must be boolean or 0/1 numbers; found dtype {values.dtype}; "
            "convert it, e.g. with (S != 0)"
        )
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        raise SupportError(
            f"a support must hold only 0 and 1; found {values[wrong].flat[0]}; "
            "if every nonzero counts, give (S != 0)"
        )
