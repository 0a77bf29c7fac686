"""What comes in as a matrix: checked, in one of the four dtypes, and scaled out of harm's way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.errors import InputError, InputTypeError, ShapeError
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.namespace import borrowed, check_on_host, is_foreign, space_of

__all__ = ["as_array", "as_matrix", "checked_norm", "comfortable_exponent", "divided", "sound_csr", "tamed"]

# Norms in this range are worked with as they are: no square, cube or product on the way leaves the floats.
_COMFORTABLE = (1e-60, 1e60)
_COMFORTABLE_SINGLE = (1e-9, 1e9)


def as_matrix(A: Any) -> tuple[Any, float]:
    """Check a matrix at the door; return it, in one of the four dtypes, with its Frobenius norm.

    Raises
    ------
    InputTypeError
        If it is not in host memory, among other reasons.
    """
    A = as_array(A)
    check_on_host(A, "this")
    return A, checked_norm(A)


def as_array(A: Any) -> Any:
    """Check everything about a matrix but its values, and return it there in one of the four dtypes."""
    A = borrowed(A).array
    if isinstance(A, np.ma.MaskedArray):
        raise InputTypeError(
            "A must have all its entries; found a masked array; fill the missing entries first"
        )
    if sparse.issparse(A):
        try:
            matrix = sound_csr(A) if A.ndim == 2 else A
        except (ValueError, IndexError) as error:
            raise InputError(f"A must be a sound sparse array; {error}; build it anew") from None
    elif is_foreign(A):
        matrix = A
    elif hasattr(A, "matvec"):
        raise InputTypeError(
            f"A must be an array; found the operator {type(A).__name__}; form it first, e.g. A @ np.eye(n)"
        )
    else:
        try:
            matrix = np.asarray(A)
        except (ValueError, OverflowError) as error:
            raise ShapeError(f"A must be a matrix; {error}") from None
    if matrix.ndim != 2:
        raise ShapeError(f"A must be a matrix; found {matrix.ndim}-D of shape {matrix.shape}; reshape it")
    if 0 in matrix.shape:
        raise InputError(f"A must have entries; found shape {matrix.shape}")
    space = space_of(matrix)
    if sparse.issparse(matrix):
        return matrix.astype(_working_dtype(matrix.dtype), copy=False)
    return space.cast(matrix, _working_dtype(space.dtype(matrix)))


def checked_norm(A: Any) -> float:
    """Return the Frobenius norm of a matrix, all of whose entries must be finite."""
    norm = frobenius_norm(A)
    if not math.isfinite(norm):
        values = A.data if sparse.issparse(A) else A
        xp = space_of(values).xp
        bad = int(xp.count_nonzero(~xp.isfinite(values)))
        if bad:
            raise InputError(f"A must be finite; found {bad} entries that are NaN or infinite; clean them")
        raise InputError("the Frobenius norm of A must be finite; it overflows; scale A down")
    return norm


def sound_csr(A: Any) -> Any:
    """Convert a sparse matrix to a csr_array without duplicates; it may share memory with the argument.

    Raises
    ------
    ValueError
        If its index arrays point outside it, which SciPy's conversions would follow into foreign memory.
    """
    if hasattr(A, "check_format"):
        A.check_format(full_check=True)
    elif A.format == "coo":
        for index, side in zip(A.coords, A.shape, strict=True):
            if index.size and (index.min() < 0 or index.max() >= side):
                raise ValueError(f"indices must lie in 0…{side - 1}; found {index.min()}…{index.max()}")
    csr = sparse.csr_array(A)
    if not csr.has_canonical_format:
        # Summing duplicates works in place, and the arrays may still be the caller's.
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.char in "fdFD":
        return dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype == np.float16:
        return np.dtype(np.float32)
    raise InputTypeError(
        f"A must be float32, float64, complex64, complex128 or integer; found dtype {dtype}; convert it"
    )


def comfortable_exponent(dtype: np.dtype[Any], norm: float) -> int:
    """Exponent of the power of two to divide a matrix of this norm by; 0 when there is no need."""
    low, high = _COMFORTABLE_SINGLE if dtype.char in "fF" else _COMFORTABLE
    return 0 if norm == 0 or low < norm < high else math.frexp(norm)[1]


def divided(A: Any, exponent: int) -> Any:
    """Divide an array by ``2**exponent``."""
    if not exponent:
        return A
    # Two steps, since the factor itself may overflow.
    half = -exponent // 2
    if is_foreign(A):
        return A * math.ldexp(1.0, half) * math.ldexp(1.0, -exponent - half)
    return A * A.dtype.type(math.ldexp(1.0, half)) * A.dtype.type(math.ldexp(1.0, -exponent - half))


def tamed(factor: Any, exponent: int, dtype: np.dtype[Any] | None = None) -> Any:
    """Divide a factor to start from by ``2**exponent``, or where its squares would not be floats by its norm.

    Its scale is the first thing that a sweep corrects. The dtype is that of the factor if not given, in terms
    of NumPy.
    """
    norm = frobenius_norm(factor)
    own = math.frexp(norm)[1] if math.isfinite(norm) else 1024
    left = 2.0 ** max(-1000, min(own - exponent, 1000))
    return divided(factor, own if norm and comfortable_exponent(dtype or factor.dtype, left) else exponent)
