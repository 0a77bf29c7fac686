"""The search for limits of the highest rank with a triangle that components cannot give a diagonal.

Targets have slots, see ``fsmf.wellposedness.slots``, one for each component. Vectors of the column space of B
that vanish off R_c are spanned by the p_s within R_c, those of the row space by the q_s within C_c. Take N
slots in order. A component that misses a row of each of the first t and a column of each of the others adds
nothing to the diagonal of these slots nor above it; one that misses d rows and c columns can do so if
``d + c ≥ N``. If fewer than N components do not, B is no product.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from fsmf.wellposedness.slots import Bools, Places, Target, assigned, exchanged, joining

__all__ = ["block_targets"]

# Of how many sizes targets are, and how many exchanges make a slot.
_NUMBERS, _EXCHANGES = 3, 12
# How often a component that has all places of a slot is exchanged nevertheless.
_ASIDE = 0.25


def block_targets(R: Bools, C: Bools, rng: np.random.Generator) -> Iterator[Target | None]:
    """Yield targets with the rows and columns of their triangles, None for a try that gives none."""
    m, r = R.shape
    missed = (~R).sum(axis=0) + (~C).sum(axis=0)
    numbers = [N for N in range(1, r + 1) if (missed < N).sum() < N][:_NUMBERS]
    if min(m, len(C)) >= r:
        for number in cycle(numbers):
            yield _target(R, C, number, rng)


def _target(R: Bools, C: Bools, number: int, rng: np.random.Generator) -> Target | None:
    r = R.shape[1]
    d, c = (~R).sum(axis=0), (~C).sum(axis=0)
    # In so many slots a component misses rows, in the others columns.
    low, high = np.maximum(0, number - c), np.minimum(d, number)
    by_rows = np.where(low <= high, rng.integers(low, np.maximum(low, high) + 1), 0)
    by_columns = np.where(low <= high, number - by_rows, 0)
    sets = []
    for side, often in ((R, by_rows), (C, by_columns)):
        hits = _hitting(~side, often, number, rng)
        if hits is None or sum(map(len, hits)) - number > len(side) - r:
            return None
        sets.append(hits)
    sets[1].reverse()
    free = np.ones(r, dtype=bool)
    exchanges: list[tuple[int, int]] = []
    for rows, columns in zip(*sets, strict=True):
        for _ in range(_EXCHANGES):
            fits = R[rows].all(axis=0) & C[columns].all(axis=0) & free
            best = int(np.argmax(fits * (1 + rng.random(r))))
            # What has all rows and all columns, others do not join; it makes room if it is exchanged.
            exchange = (best, int(rng.integers(r))) if fits.any() and rng.random() < _ASIDE else None
            if fits.any() and (exchange is None or exchange[1] == best):
                free[best] = False
                break
            exchange = exchange or joining(R[rows] & free, C[columns] & free, rng)
            if exchange is None:
                return None
            exchanges.append(exchange)
            R, C = exchanged(R, C, *exchange)
    order = rng.permutation(r)
    every = np.array([R[I].all(axis=0) & C[J].all(axis=0) for I, J in zip(*sets, strict=True)])
    given = assigned(every[:, order])
    if given is None:
        return None
    taken = [int(order[at]) for at in given]
    rest = [s for s in order.tolist() if s not in taken]
    chosen: list[Places] = []
    for side, hits in zip((R, C), sets, strict=True):
        left = [at for at in range(len(side)) if not any(at in hit for hit in hits)]
        held = assigned(side[left][:, rest].T)
        if held is None:
            return None
        chosen.append(
            dict(zip(taken, hits, strict=True)) | {s: [left[at]] for s, at in zip(rest, held, strict=True)}
        )
    rows, columns = (tuple(places[s][0] for s in taken) for places in chosen)
    return Target(chosen[0], chosen[1], exchanges, (rows, columns))


def _hitting(
    missed: Bools, often: NDArray[np.intp], number: int, rng: np.random.Generator
) -> list[list[int]] | None:
    """Disjoint sets of rows, the first of which hit each component as often as is wanted; greedily."""
    free = np.ones(len(missed), dtype=bool)
    sets = []
    for at in range(number):
        wanted = often > at
        chosen: list[int] = []
        while wanted.any() or not chosen:
            gain = (missed[:, wanted].sum(axis=1) + (not wanted.any())) * free
            if not gain.any():
                return None
            chosen.append(int(np.argmax(gain * (1 + rng.random(len(gain))))))
            free[chosen[-1]] = False
            wanted = wanted & ~missed[chosen[-1]]
        sets.append(chosen)
    return sets
