"""Best pieces of low rank of many blocks by a CUDA kernel: Jacobi's rotations, which stop at no tie."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmf.kernels import cuda
from fsmf.kernels.namespace import space_of

__all__ = ["pieces_by_kernel"]

# Short sides up to which a block is decomposed by one block of threads, and how much longer they may be for
# each block that there is: one large matrix is for a library that gives it the whole device.
_SIDE, _MORE = 128, 32

# Bytes of memory that blocks which do not fit in shared memory are worked on in.
_WORK = 1 << 30

_WARPS = 8


def pieces_by_kernel(B: Any, k: int) -> tuple[Any, Any, Any] | None:
    """Find the best pieces of rank k of a batch of blocks.

    Parameters
    ----------
    B : array of shape (n_blocks, b, c)
        float32, float64, complex64 or complex128.
    k : int
        Rank, from 1 to min(b, c).

    Returns
    -------
    tuple of arrays, or None
        As the `LowRank` of `best_pieces`, the rows of W orthogonal, and the longest first; None where no
        kernels run, or the blocks are few and large.
    """
    space, (n_blocks, b, c) = space_of(B), B.shape
    p, q = sorted((b, c))
    if not cuda.takes(space) or not n_blocks or not p or p > max(_SIDE, _MORE * n_blocks):
        return None
    xp, dtype, here = space.xp, space.dtype(B), {"device": space.device}
    U = xp.empty((n_blocks, b, k), dtype=B.dtype, **here)
    W = xp.empty((n_blocks, k, c), dtype=B.dtype, **here)
    tails = xp.empty((n_blocks,), dtype=xp.float64, **here)
    size = p * (q | 1) + (0 if b > c else p * (p | 1))
    room, in_shared = 8 * _WARPS + 16 * p, size * dtype.itemsize
    step, work = n_blocks, None
    if room + in_shared > cuda.most_shared(space):
        step = max(1, min(n_blocks, _WORK // in_shared))
        work, in_shared = xp.empty((step * size,), dtype=B.dtype, **here), 0
    B = xp.ascontiguousarray(B)
    for start in range(0, n_blocks, step):
        some = slice(start, min(start + step, n_blocks))
        cuda.launch(
            space,
            cuda.Kernel("best_pieces.cu", "best_pieces", cuda.number_types(dtype)),
            blocks=some.stop - start,
            threads=32 * min(_WARPS, -(-p // 2)),
            arguments=(
                *(B[some], U[some], W[some], tails[some], cuda.pointer(work)),
                *map(np.int32, (b, c, k)),
                np.float64(4 * np.finfo(dtype).eps),
            ),
            shared=room + in_shared,
        )
    return U, W, tails
