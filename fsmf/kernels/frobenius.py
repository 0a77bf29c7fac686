"""The Frobenius norm in one pass, also where squares overflow or underflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.kernels import cuda
from fsmf.kernels.namespace import Space, is_foreign, space_of

__all__ = ["begin_norms", "frobenius_norm", "frobenius_norms", "norm_within", "norms_at_once"]

# Entries per partial sum: they stay in cache when converted to double precision, and are too few for a BLAS
# to start threads, which on a busy machine cost more than the sum.
_PIECE = 1 << 13

# The same on a device, where only memory counts.
_LARGE_PIECE = 1 << 26

# Threads of a block of the kernel for it, and blocks: some for each multiprocessor.
_THREADS, _MOST_PARTS = 256, 1056

# Where runs start, by device and lengths: those of a chain, as long as it is used.
_KNOWN: dict[tuple[str, tuple[int, ...]], Any] = {}

# Sums of squares in this range lost nothing to overflow or underflow.
_SAFE = (1e-280, 1e300)


def frobenius_norm(A: Any) -> float:
    """Return ‖A‖_F of a dense or sparse array in double precision; NaN if A holds one, inf if it is infinite.

    Of an array on a device, this number is all that comes to the host.

    The plain sum of squares is trusted when it is a normal number, so that the common case reads A once;
    otherwise A is scaled by a power of two. A finite norm also proves that every entry is finite.
    """
    if is_foreign(A):
        return _elsewhere(A)
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


def frobenius_norms(arrays: Sequence[Any]) -> list[float]:
    """Return the norms of some arrays of one dtype, which come to the host together where kernels run."""
    space = space_of(*arrays)
    if cuda.takes(space) and len(arrays) > 1 and all(A.flags.c_contiguous and A.size for A in arrays):
        flat = space.xp.concat([A.reshape(-1) for A in arrays])
        return begin_norms(flat, tuple(A.size for A in arrays))()
    return [frobenius_norm(A) for A in arrays]


def begin_norms(flat: Any, lengths: tuple[int, ...]) -> Callable[[], list[float]]:
    """Launch a kernel for the norms of runs of a contiguous vector; what is returned waits for them."""
    totals = _begin_sums(space_of(flat), flat, lengths)

    def finish() -> list[float]:
        found = totals()
        # Of several runs, those that are zero are taken to be: what blocks lose often is.
        zero = len(lengths) > 1
        if all(_SAFE[0] < total < _SAFE[1] or (zero and total == 0) for total in found):
            return [math.sqrt(total) for total in found]
        ends = np.cumsum(lengths)
        return [_scaled_norm(flat[end - n : end]) for n, end in zip(lengths, ends.tolist(), strict=True)]

    return finish


def norm_within(A: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Return ``‖A * mask‖_F`` for a finite matrix, without forming the product."""
    parts = (A.real, A.imag) if np.iscomplexobj(A) else (A,)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = sum(float(np.einsum("ij,ij,ij->", P, P, mask, dtype=np.float64)) for P in parts)
    return math.sqrt(total) if _SAFE[0] < total < _SAFE[1] else frobenius_norm(A * mask)


def norms_at_once(A: Any, mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return ``‖A * mask‖_F`` and ``‖A * ~mask‖_F`` in one compiled pass; None where it will not do."""
    if not isinstance(A, np.ndarray) or A.dtype.char not in "dD" or not A.flags.c_contiguous:
        return None
    from fsmf.kernels.frobenius_cpu import squares

    source = A.view()
    source.flags.writeable = False  # compiled once, for what may be written and what may not
    found = squares(source, mask.view(np.uint8))
    for square, is_empty in zip(found, (not mask.any(), mask.all()), strict=True):
        if not (_SAFE[0] < square < _SAFE[1] or is_empty):
            return None
    return math.sqrt(found[0]), math.sqrt(found[1])


def _elsewhere(A: Any) -> float:
    """The norm of an array of another library."""
    space = space_of(A)
    xp = space.xp
    if cuda.takes(space) and space.dtype(A).char in "fdFD" and A.flags.forc and A.size:
        return begin_norms((A if A.flags.c_contiguous else A.T).reshape(-1), (A.size,))()[0]
    return _scaled_norm(xp.reshape(A, (-1,)))


def _scaled_norm(flat: Any) -> float:
    """The norm of a vector, in pieces, scaled by the largest entry."""
    space = space_of(flat)
    xp = space.xp
    if not flat.shape[0]:
        return 0.0
    peak = space.cast(xp.max(xp.abs(flat)), np.float64)
    divisor = xp.where((peak > 0) & xp.isfinite(peak), peak, xp.ones_like(peak))
    total = space.zeros((), np.float64)
    for start in range(0, flat.shape[0], _LARGE_PIECE):
        piece = space.cast(xp.abs(flat[start : min(start + _LARGE_PIECE, flat.shape[0])]), np.float64)
        total = total + xp.sum(xp.square(piece / divisor))
    return float(divisor * xp.sqrt(total))


def _begin_sums(space: Space, flat: Any, lengths: tuple[int, ...]) -> Callable[[], list[float]]:
    """Sums of squares of runs of an array, by a CUDA kernel; they come to the host when asked for."""
    real = np.dtype(space.dtype(flat).char.lower())
    scale = flat.dtype.itemsize // real.itemsize
    flat = flat.view(real) if scale > 1 else flat
    one = len(lengths) == 1
    pack = 16 // real.itemsize if one and cuda.address(flat) % 16 == 0 else 1
    parts = max(1, min(_MOST_PARTS // len(lengths), max(lengths) * scale // (_THREADS * 16)))
    sums = space.xp.empty((len(lengths), parts), dtype=space.xp.float64, device=space.device)
    starts = None if one else _starts(space, tuple(n * scale for n in lengths))
    defines = (("REAL", {4: "float", 8: "double"}[real.itemsize]), ("PACK", str(pack)))
    cuda.launch(
        space,
        cuda.Kernel("frobenius.cu", "sums_of_squares", defines),
        blocks=len(lengths) * parts,
        threads=_THREADS,
        arguments=(flat, sums, cuda.pointer(starts), np.int64(flat.size), np.int32(parts)),
    )
    # What each block of threads found is little, and summed on the host without another launch.
    return lambda: cuda.read(sums).sum(axis=1).tolist()


def _starts(space: Space, lengths: tuple[int, ...]) -> Any:
    """Where runs of such lengths start, and the last ends: copied to a device once."""
    key = str(space), lengths
    if key not in _KNOWN:
        _KNOWN[key] = space.put(np.cumsum([0, *lengths], dtype=np.int64))
        cuda.finish(space)  # other streams know nothing of this one
    return _KNOWN[key]


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
