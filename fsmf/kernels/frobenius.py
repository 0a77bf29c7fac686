"""The Frobenius norm in one pass, also where squares overflow or underflow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["frobenius_norm"]

# Entries per partial sum: they stay in cache when converted to double precision, and are too few for a BLAS
# to start threads, which on a busy machine cost more than the sum.
_PIECE = 1 << 13

# Sums of squares in this range lost nothing to overflow or underflow.
_SAFE = (1e-280, 1e300)


def frobenius_norm(A: Any) -> float:
    """Return ‖A‖_F of a dense or sparse array in double precision; NaN if A holds one, inf if it is infinite.

    The plain sum of squares is trusted when it is a normal number, so that the common case reads A once;
    otherwise A is scaled by a power of two. A finite norm also proves that every entry is finite.
    """
    values = A.data if sparse.issparse(A) else np.asarray(A)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = sum(_square(piece) for piece in _pieces(values))
        if _SAFE[0] < total < _SAFE[1] or math.isnan(total):
            return math.sqrt(total)
        peak = float(np.abs(values).max(initial=0.0))
        if peak == 0.0 or not math.isfinite(peak):
            return peak
        exponent = math.frexp(peak)[1]
        total = sum(_square(_scaled(piece, -exponent)) for piece in _pieces(values))
    try:
        return math.ldexp(math.sqrt(total), exponent)
    except OverflowError:
        return math.inf


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Flat pieces in memory order, in double precision."""
    if values.flags.f_contiguous and not values.flags.c_contiguous:
        values = values.T
    double = np.result_type(values.dtype, np.float64)
    if values.flags.c_contiguous:
        flat = values.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            yield flat[start : start + _PIECE].astype(double, copy=False)
    else:
        step = max(1, _PIECE // max(1, values.shape[1]))
        for start in range(0, values.shape[0], step):
            yield values[start : start + step].astype(double).reshape(-1)


def _square(piece: NDArray[Any]) -> float:
    # As real numbers: a complex product that overflows is NaN, not infinity.
    parts = piece.view(np.float64) if np.iscomplexobj(piece) else piece
    return float(np.vdot(parts, parts))


def _scaled(piece: NDArray[Any], exponent: int) -> NDArray[Any]:
    """Multiply by a power of two, in two steps so that the factor itself cannot overflow."""
    half = exponent // 2
    return piece * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)
