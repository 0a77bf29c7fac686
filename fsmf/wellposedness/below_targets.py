"""The search for limits of a rank one below the number of components that are no products.

Targets have slots, see ``fsmf.wellposedness.slots``, in the places of all components but one. If X has no
higher rank than B, its column k is spanned by the p_s within R_k. So X is excluded by a slot z v and a column
of v, if every component that holds the column misses a row of z; or, where some hold all rows, by as many
slots more, a column of each, and sets of rows that every other component that holds one of these columns
misses in part. Y is excluded by a slot u w in the same way, of the same exchange or of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fsmf.wellposedness.rank_below import Block
from fsmf.wellposedness.slots import Bools, Places, Target, assigned, exchanged, joining

__all__ = ["below_targets"]

# How often few rows are looked for, up to how many rows all pairs are, and how many exchanges make a slot.
_DRAWS, _ROWS, _EXCHANGES = 5, 64, 3


# Rows and columns that a slot has.
_Need = tuple[list[int], list[int]]


class _End(NamedTuple):
    """What excludes X: a slot z v with these rows and a column, and others, for components with all rows."""

    needs: list[_Need]

    @property
    def block(self) -> Block:
        """A row and a column of each of these slots."""
        return tuple(rows[0] for rows, _ in self.needs), tuple(columns[0] for _, columns in self.needs)


def below_targets(R: Bools, C: Bools, rng: np.random.Generator) -> Iterator[Target | None]:
    """Yield targets with the blocks that exclude X and Y, None for a try that gives none."""
    r = R.shape[1]
    if r < 3 or min(len(R), len(C)) < r - 1:
        return
    sides = ((R, C), (C, R))
    promising = [_promising(*side, rng) for side in sides]
    while all(promising):
        first, second = (
            _end(*side, *found[rng.integers(len(found))], rng)
            for side, found in zip(sides, promising, strict=True)
        )
        yield _target(R, C, first, second, rng) if first and second else None


def _promising(R: Bools, C: Bools, rng: np.random.Generator) -> list[tuple[int, list[int] | None]]:
    """Columns for which there are rows enough, with two rows that do, or None for more."""
    m, r = R.shape
    found: list[tuple[int, list[int] | None]] = []
    full = R.all(axis=0)
    pairs = _pairs_that_hit(R, C) if m <= _ROWS else {}
    for j in np.flatnonzero((C & ~full).sum(axis=1) > 1).tolist():
        if j in pairs:
            found += [(j, pair) for pair in pairs[j]]
            continue
        hits = [_hitting(~R[:, C[j] & ~full], np.ones(m, dtype=bool), rng) for _ in range(_DRAWS)]
        # Each slot but these has a row, too.
        if ((full & C[j]).sum() + 1) * (min(len(hit or R) for hit in hits) - 1) <= m - r + 1:
            found.append((j, None))
    return found


def _pairs_that_hit(R: Bools, C: Bools) -> dict[int, list[list[int]]]:
    """For a column all pairs of rows that no component has both of which holds the column."""
    both = (R[:, None] & R[None, :]).astype(np.float32)
    pairs: dict[int, list[list[int]]] = {}
    for i, other, j in np.argwhere(both @ C.T.astype(np.float32) == 0).tolist():
        if i < other:
            pairs.setdefault(j, []).append([i, other])
    return pairs


def _end(R: Bools, C: Bools, j: int, pair: list[int] | None, rng: np.random.Generator) -> _End | None:
    """Rows for slot z v, whose column is j, and rows and columns for the components that have all rows."""
    if pair:
        return _End([(pair, [j])])
    full = R.all(axis=0)
    columns = [j]
    reached = C[j].copy()
    others = np.flatnonzero(full & C[j]).tolist()
    for a in others:
        able = [q for q in np.flatnonzero(C[:, a]).tolist() if q not in columns]
        if not able:
            return None
        columns.append(min(able, key=lambda q: int((C[q] & ~reached).sum()) + rng.random()))
        reached |= C[columns[-1]]
    reached[others] = False
    hits: list[list[int]] = []
    free = np.ones(len(R), dtype=bool)
    for _ in columns:
        hit = _hitting(~R[:, reached], free, rng)
        if not hit:
            return None
        free[hit] = False
        hits.append(hit)
    return _End([(hit, [q]) for hit, q in zip(hits, columns, strict=True)])


def _hitting(missed: Bools, free: Bools, rng: np.random.Generator) -> list[int] | None:
    """Some of the free rows in which each component is missed; greedily, few of them."""
    wanted, chosen = np.ones(missed.shape[1], dtype=bool), []
    while wanted.any():
        gain = missed[:, wanted].sum(axis=1) * free
        if not gain.any():
            return None
        chosen.append(int(np.argmax(gain + rng.random(len(gain)) * 1.2 * (gain > 0))))
        wanted &= ~missed[chosen[-1]]
    return chosen


def _target(R: Bools, C: Bools, first: _End, second: _End, rng: np.random.Generator) -> Target | None:
    (rows, at), (other_at, columns) = first.needs[0], second.needs[0][::-1]
    if set(other_at) <= set(rows) and set(at) <= set(columns):
        # One slot excludes both X and Y.
        main = [(rows, columns)]
    else:
        main = [(rows, at), (other_at, columns)]
    needs = [*main, *first.needs[1:], *((rows, columns) for columns, rows in second.needs[1:])]
    used = [[at for need in needs for at in need[side]] for side in (0, 1)]
    if any(len(set(ats)) < len(ats) for ats in used):
        return None
    exchanges: list[tuple[int, int]] = []
    own = [R[rows].all(axis=0) & C[columns].all(axis=0) for rows, columns in main]
    for which in rng.permutation(len(main)):
        rows, columns = main[which]
        # Components with all rows have slots of their own.
        free = ~own[which]
        for _ in range(_EXCHANGES):
            if (R[rows].all(axis=0) & C[columns].all(axis=0) & free).any():
                break
            exchange = joining(R[rows] & free, C[columns] & free, rng)
            if exchange is None:
                return None
            exchanges.append(exchange)
            R, C = exchanged(R, C, *exchange)
    order = rng.permutation(R.shape[1])
    fits = np.array([R[rows].all(axis=0) & C[columns].all(axis=0) for rows, columns in needs])
    given = assigned(fits[:, order])
    if given is None:
        return None
    taken = [int(order[at]) for at in given]
    chosen: tuple[Places, Places] = (
        {s: rows for s, (rows, _) in zip(taken, needs, strict=True)},
        {s: columns for s, (_, columns) in zip(taken, needs, strict=True)},
    )
    # One component is left out, any that is taken by no need.
    rest = [s for s in order.tolist() if s not in taken][1:]
    for here, ats, places in zip((R, C), used, chosen, strict=True):
        free = [at for at in range(len(here)) if at not in ats]
        held = assigned(here[free][:, rest].T)
        if held is None:
            return None
        places.update({s: [free[at]] for s, at in zip(rest, held, strict=True)})
    return Target(*chosen, exchanges, (first.block, second.block[::-1]))
