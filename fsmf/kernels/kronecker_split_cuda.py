"""The split of a Kronecker-sparse factor by a CUDA kernel, which reads the values once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fsmf.kernels import cuda
from fsmf.kernels.best_pieces import best_pieces
from fsmf.kernels.device_rates import rates_of
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.namespace import space_of

__all__ = ["Iterated", "begin_iterating", "iterate", "split_by_kernel"]

# Steps of a block, and how much of the square of what is left they may lose, by the bytes of a real number.
_STEPS, _TOLERANCES = 60, {4: "1e-5", 8: "1e-9"}

# Threads of a block, and the warps that it may have.
_THREADS, _WARPS = 256, 8


class Iterated(NamedTuple):
    """What a launch leaves of values that it splits.

    Attributes
    ----------
    cut : Blocks
        The interface.
    V, X, Y, tails : array
        The values that were split, those of the left factor, orthonormal, and of the right one, and what
        each block loses, as `split_there` has them.
    unsolved : array of int32
        Which blocks have nearly tied singular values, or a lower rank.
    """

    cut: Blocks
    V: Any
    X: Any
    Y: Any
    tails: Any
    unsolved: Any

    def mended(self) -> Iterated:
        """Wait for the launch, and solve what it has left; itself where that is nothing."""
        space, (a, b, c, d, k, l, r) = space_of(self.V), self.cut
        which = np.flatnonzero(cuda.read(self.unsolved))
        if not len(which):
            return self
        blocks = space.xp.permute_dims(space.xp.reshape(self.V, (a, b, l, d, k, c)), (0, 4, 2, 3, 1, 5))
        places = tuple(map(space.put, np.unravel_index(which, (a, k, l, d))))
        U, W, left = best_pieces(blocks[places], r)
        rest = space.put(which)
        pieces = self.cut.left(self.X).reshape(-1, b, r)
        rows, tails = self.cut.right(self.Y).reshape(-1, r, c), self.tails.reshape(-1)
        pieces[rest], rows[rest], tails[rest] = U, W, left
        X = self.cut.from_left(pieces.reshape(a * k, l * d, b, r))
        Y = self.cut.from_right(rows.reshape(a * k, l * d, r, c))
        return self._replace(X=X, Y=Y, tails=tails.reshape(a * k, l * d))


def begin_iterating(V: Any, cut: Blocks) -> Iterated | None:
    """Launch what splits values of a product pattern into those of a left factor, orthonormal, and a right.

    Parameters
    ----------
    V : array of shape (a, b, d, c)
        Values on the product pattern.
    cut : Blocks
        The interface.

    Returns
    -------
    Iterated or None
        None where the kernel does not run or does not pay, or blocks do not fit in shared memory.
    """
    space, (_, b, c, _, _, _, r) = space_of(V), cut
    if not cuda.takes(space):
        return None
    rates = rates_of(space)
    if min(b, c) < rates.least_side or r > rates.most_rank or 2 * r > min(b, c):
        return None
    return iterate(V, cut)


def split_by_kernel(V: Any, cut: Blocks) -> tuple[Any, Any, Any] | None:
    """Split as `split_there`, orthonormal on the left, or None as `begin_iterating`; waits for the device."""
    begun = begin_iterating(V, cut)
    return None if begun is None else begun.mended()[2:5]


def iterate(V: Any, cut: Blocks) -> Iterated | None:
    """Launch as `begin_iterating`, whether it pays or not; None where blocks do not fit in shared memory."""
    space, (a, b, c, d, k, l, r) = space_of(V), cut
    xp, dtype = space.xp, space.dtype(V)
    room = 8 * _WARPS + dtype.itemsize * (b * (c | 1) + 2 * b * r + c * r)
    if room > cuda.most_shared(space):
        return None
    real = np.dtype(dtype.char.lower())
    own = ("RANK", str(r)), ("MOST_STEPS", str(_STEPS)), ("TOLERANCE", _TOLERANCES[real.itemsize])
    V = xp.ascontiguousarray(xp.reshape(V, (-1,)))
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
            *(V, X, Y, tails, unsolved),
            *map(np.int32, (b, c, k, l * d)),
            np.float64(np.finfo(real).eps),
        ),
        shared=room,
    )
    return Iterated(cut, V, X, Y, tails, unsolved)
