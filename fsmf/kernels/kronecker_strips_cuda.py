"""Several interfaces of rank one at once by a CUDA kernel, which reads what is split once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from fsmf.kernels import cuda
from fsmf.kernels.namespace import space_of

__all__ = ["Strips", "plan_all_strips", "plan_strips", "split_by_strips"]

# Rows of a block up to which a thread keeps a column of it, and rows of a strip.
_MOST_SIDE, _MOST_ROWS = 4, 128

# Threads of a block that has a multiprocessor alone, or shares it, and the bytes up to which it does.
_ALONE, _SHARING, _SHARED = 1024, 512, 100 << 10


class Strips(NamedTuple):
    """What one launch splits.

    Attributes
    ----------
    levels : int
        How many interfaces.
    kept : bool
        Whether a strip lies in shared memory meanwhile.
    threads : int
        Of a block.
    items, tasks : int
        Rooms for sums and for vectors.
    shared : int
        Bytes of shared memory of a block.
    """

    levels: int
    kept: bool
    threads: int
    items: int
    tasks: int
    shared: int


def plan_strips(cuts: Sequence[Any], itemsize: int, most: int) -> Strips | None:
    """Find how many interfaces the next launch can split.

    Parameters
    ----------
    cuts : sequence of Interface
        Those that are left, from left to right.
    itemsize : int
        Bytes of a number.
    most : int
        Bytes of shared memory that a block may have.

    Returns
    -------
    Strips or None
        As many as fit; None where the first has more than rank one, or too many rows.
    """
    _, side, _, pieces, _, rank = cuts[0]
    if rank > 1 or not 2 <= side <= _MOST_SIDE:
        return None
    alike = len(list(takewhile(lambda cut: (cut.b, cut.k, cut.r) == (side, pieces, rank), cuts)))
    best = None
    for levels in range(1, alike + 1):
        rows, width = side**levels, cuts[0].c
        if rows > _MOST_ROWS and best is not None:
            break
        tasks = max(pieces**i * side ** (levels - 1 - i) for i in range(levels))
        for threads in (_SHARING, _ALONE):
            items = max(tasks, threads // 32)
            room = 16 * side * (items * side + tasks)
            shared = room + rows * width * itemsize
            if shared <= (min(_SHARED, most) if threads == _SHARING else most):
                best = Strips(levels, True, threads, items, tasks, shared)
                break
        else:
            if levels == 1:
                items = _SHARING // 32
                return Strips(1, False, _SHARING, items, 1, 16 * side * (items * side + 1))
            break
    return best


@lru_cache(maxsize=256)
def plan_all_strips(cuts: tuple[Any, ...], itemsize: int, most: int) -> tuple[Strips, ...]:
    """Plan launches, as `plan_strips`, one after another, until one has to be left to others."""
    found: list[Strips] = []
    done = 0
    while done < len(cuts) and (plan := plan_strips(cuts[done:], itemsize, most)) is not None:
        found.append(plan)
        done += plan.levels
    return tuple(found)


def split_by_strips(M: Any, cuts: Sequence[Any], plans: Sequence[Strips]) -> tuple[Any, Any, Any]:
    """Split at the first interfaces, as many as the plans say.

    Parameters
    ----------
    M : array
        Where kernels run: rows ``(α, β, t)`` and columns ``(κ, γ)``, as the first interface has them, one
        after another; contiguous.
    cuts : sequence of Interface
        Those that are left, from left to right.
    plans : sequence of Strips
        Of `plan_all_strips`.

    Returns
    -------
    factors, tails : array, one axis
        Interface after interface the values of the left factor, each of shape (a, b, d, k), and what each
        block loses, of shape (a k, d).
    rest : array, one axis
        The matrix that is left, of rows ``(α κ, t)`` and of columns γ.
    """
    space = space_of(M)
    xp, dtype, here = space.xp, space.dtype(M), {"device": space.device}
    own = cuts[: sum(plan.levels for plan in plans)]
    factors = xp.empty((sum(cut.n_values for cut in own),), dtype=M.dtype, **here)
    tails = xp.empty((sum(cut.n_blocks for cut in own),), dtype=xp.float64, **here)
    done = filled = lost = 0
    for plan in plans:
        now = own[done : done + plan.levels]
        (a, side, _, pieces, width, _), last = now[0], now[-1]
        rest = xp.empty((last.a * last.k * last.d * last.c,), dtype=M.dtype, **here)
        # Neighbours that can be read at once.
        pack = max(1, 16 // dtype.itemsize)
        if width % pack or cuda.address(M) % 16:
            pack = 1
        defines = (
            *cuda.number_types(dtype),
            ("SIDE", str(side)),
            ("LEVELS", str(plan.levels)),
            ("THREADS", str(plan.threads)),
            ("PACK", str(pack)),
            ("KEPT", str(int(plan.kept))),
        )
        cuda.launch(
            space,
            cuda.Kernel("kronecker_strips.cu", "kronecker_strips", defines),
            blocks=a * pieces * last.d,
            threads=plan.threads,
            arguments=(
                *(M, factors[filled:], tails[lost:], rest),
                *map(np.int32, (last.d, pieces, width, plan.items, plan.tasks)),
            ),
            shared=plan.shared,
        )
        M = rest
        done += plan.levels
        filled += sum(cut.n_values for cut in now)
        lost += sum(cut.n_blocks for cut in now)
    return factors, tails, M
