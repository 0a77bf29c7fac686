"""The split of a Kronecker-sparse factor by a CUDA kernel, which reads the values once."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmf.kernels import cuda
from fsmf.kernels.best_pieces import best_pieces
from fsmf.kernels.device_rates import rates_of
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.namespace import space_of

__all__ = ["iterate", "split_by_kernel"]

# Steps of a block, and how much of the square of what is left they may lose, by the bytes of a real number.
_STEPS, _TOLERANCES = 60, {4: "1e-5", 8: "1e-9"}

# Threads of a block, and the warps that it may have.
_THREADS, _WARPS = 256, 8


def split_by_kernel(V: Any, cut: Blocks) -> tuple[Any, Any, Any] | None:
    """Split values of a product pattern into those of a left factor, orthonormal, and of a right one.

    Parameters
    ----------
    V : array of shape (a, b, d, c)
        Values on the product pattern, where kernels run.
    cut : Blocks
        The interface.

    Returns
    -------
    tuple of arrays, or None
        Values of the left factor and of the right, and what each block loses, as `split_there` has them; None
        where the kernel does not pay, or blocks do not fit in shared memory.
    """
    space, (_, b, c, _, _, _, r) = space_of(V), cut
    rates = rates_of(space)
    if not cuda.takes(space) or min(b, c) < rates.least_side or r > rates.most_rank or 2 * r > min(b, c):
        return None
    return iterate(V, cut)


def iterate(V: Any, cut: Blocks) -> tuple[Any, Any, Any] | None:
    """Split as `split_by_kernel`, whether it pays or not; None where blocks do not fit in shared memory."""
    space, (a, b, c, d, k, l, r) = space_of(V), cut
    xp, dtype = space.xp, space.dtype(V)
    room = 8 * _WARPS + dtype.itemsize * (b * (c | 1) + 2 * b * r + c * r)
    if room > cuda.most_shared(space):
        return None
    real = np.dtype(dtype.char.lower())
    own = ("RANK", str(r)), ("MOST_STEPS", str(_STEPS)), ("TOLERANCE", _TOLERANCES[real.itemsize])
    V = xp.reshape(V, (-1,))
    here = {"device": space.device}
    X = xp.empty((a, b, l * d, k * r), dtype=V.dtype, **here)
    Y = xp.empty((a * k, r * l, d, c), dtype=V.dtype, **here)
    tails = xp.empty((a * k, l * d), dtype=xp.float64, **here)
    unsolved = xp.empty((a * k * l * d,), dtype=xp.int32, **here)
    cuda.launch(
        space,
        cuda.Kernel("kronecker_split.cu", "kronecker_split", (*cuda.number_types(dtype), *own)),
        blocks=a * k * l * d,
        threads=_THREADS,
        arguments=(
            *(xp.ascontiguousarray(V), X, Y, tails, unsolved),
            *map(np.int32, (b, c, k, l * d)),
            np.float64(np.finfo(real).eps),
        ),
        shared=room,
    )
    rest = xp.nonzero(unsolved)[0]
    if rest.shape[0]:  # nearly tied singular values, or a lower rank
        blocks = xp.permute_dims(xp.reshape(V, (a, b, l, d, k, c)), (0, 4, 2, 3, 1, 5))
        U, W, left = best_pieces(blocks[xp.unravel_index(rest, (a, k, l, d))], r)
        pieces, rows = cut.left(X).reshape(-1, b, r), cut.right(Y).reshape(-1, r, c)
        pieces[rest], rows[rest], tails.reshape(-1)[rest] = U, W, left
        X = cut.from_left(pieces.reshape(a * k, l * d, b, r))
        Y = cut.from_right(rows.reshape(a * k, l * d, r, c))
    return X, Y, tails
