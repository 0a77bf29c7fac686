"""The search for limits of a rank one below the number of components that are no products.

Targets have slots, see ``fsmf.wellposedness.slots``, in the places of all components but one. If X has no
higher rank than B, its column k is spanned by the p_s within R_k. So X is excluded by a slot z v and a column
of v, if every component that holds the column misses a row of z; or, where some hold all rows, by as many
slots more, a column of each, and sets of rows that every other component that holds one of these columns
misses in part. Y is excluded by a slot u w in the same way, of the same two components or of two others.
"""

from __future__ import annotations

from itertools import combinations
from time import thread_time
from typing import NamedTuple

import numpy as np

from fsmf.supports.support import Supports
from fsmf.wellposedness.rank_below import Block, RankBelow
from fsmf.wellposedness.slots import Bools, Places, assigned, slot_curve

__all__ = ["find_rank_below"]

# Larger factors are not tried; how many targets are, and how often few rows are looked for.
_PLACES, _TRIES, _DRAWS = 40_000, 1000, 5


class _End(NamedTuple):
    """What excludes X: rows and a column of slot z v, and of others by component; pairs to share slots."""

    hit: list[int]
    at: int
    rows: Places
    columns: dict[int, int]
    pairs: list[tuple[int, int]]

    @property
    def block(self) -> Block:
        """A row and a column of each of these slots."""
        return tuple(hit[0] for hit in (self.hit, *self.rows.values())), (self.at, *self.columns.values())


def find_rank_below(
    supports: Supports, deadline: float = float("inf"), *, tries: int = _TRIES
) -> RankBelow | None:
    """Look for a limit of a rank one below the number of components that is no product, whatever X and Y are.

    Parameters
    ----------
    supports : Supports
        A pair.
    deadline : float
        When to give up, on the clock of `time.thread_time`.
    tries : int
        How many targets to try.

    Returns
    -------
    RankBelow or None
        None says nothing.

    Examples
    --------
    >>> import fsmf
    >>> find_rank_below(fsmf.low_rank(4, rank=2)) is None
    True
    """
    left, right = supports
    if left.shape[0] * left.shape[1] + right.shape[0] * right.shape[1] > _PLACES:
        return None
    R, C = left.toarray(), right.toarray().T
    live = np.flatnonzero(R.any(axis=0) & C.any(axis=0))
    R, C = R[:, live], C[:, live]
    if len(live) < 3 or min(len(R), len(C)) < len(live) - 1:
        return None
    rng = np.random.default_rng(0)
    places = [_promising(*sides, rng) for sides in ((R, C), (C, R))]
    if not all(places):
        return None
    for _ in range(tries):
        if thread_time() > deadline:
            break
        first, second = (
            _end(*sides, int(rng.choice(found)), rng)
            for sides, found in zip(((R, C), (C, R)), places, strict=True)
        )
        found = _target(R, C, first, second, rng) if first and second else None
        if first and second and found:
            curve = slot_curve(supports, live, *found)
            return RankBelow(curve, first.block, second.block[::-1])
    return None


def _promising(R: Bools, C: Bools, rng: np.random.Generator) -> list[int]:
    """Columns for which there are rows enough."""
    m, r = R.shape
    found = []
    for j in np.flatnonzero((C & ~R.all(axis=0)).sum(axis=1) > 1):
        holds, full = C[j] & ~R.all(axis=0), C[j] & R.all(axis=0)
        hits = [_hitting(~R[:, holds], np.ones(m, dtype=bool), rng) for _ in range(_DRAWS)]
        # Each slot but these has a row, too.
        if (full.sum() + 1) * (min(len(hit or R) for hit in hits) - 1) <= m - r + 1:
            found.append(int(j))
    return found


def _end(R: Bools, C: Bools, j: int, rng: np.random.Generator) -> _End | None:
    """Rows for slot z v, whose column is j, and rows and columns for the components that have all rows."""
    full = R.all(axis=0)
    columns: dict[int, int] = {}
    reached = C[j].copy()
    for a in np.flatnonzero(full & C[j]).tolist():
        able = [q for q in np.flatnonzero(C[:, a]).tolist() if q != j and q not in columns.values()]
        if not able:
            return None
        columns[a] = min(able, key=lambda q: int((C[q] & ~reached).sum()) + rng.random())
        reached |= C[columns[a]]
    reached[list(columns)] = False
    hits: list[list[int]] = []
    free = np.ones(len(R), dtype=bool)
    for _ in range(len(columns) + 1):
        hit = _hitting(~R[:, reached], free, rng)
        if not hit:
            return None
        free[hit] = False
        hits.append(hit)
    able = np.flatnonzero(C[j] & reached).tolist()
    pairs = [
        (k, l)
        for k, l in combinations(able, 2)
        if (R[:, k] & R[:, l]).any() and (R[hits[0], k] | R[hits[0], l]).all()
    ]
    return _End(hits[0], j, dict(zip(columns, hits[1:], strict=True)), columns, pairs)


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


def _target(
    R: Bools, C: Bools, first: _End, second: _End, rng: np.random.Generator
) -> tuple[Places, Places, list[tuple[int, int]]] | None:
    """The rows and columns of all slots, and the components that share some, or None."""
    aside = set(first.rows) | set(second.rows)
    ways = [
        (one, other)
        for one in first.pairs
        for other in second.pairs
        if (one == other or not set(one) & set(other)) and not aside.intersection(one + other)
    ]
    if not ways:
        return None
    one, other = ways[rng.integers(len(ways))]
    pairs = [one] if one == other else [one, other]
    taken = {c for pair in pairs for c in pair} | aside
    left_out = [c for c in range(R.shape[1]) if c not in taken]
    if not left_out:
        return None
    without = rng.choice(left_out)
    slots = [c for c in range(R.shape[1]) if c != without]
    # Slot z v is in the second place of a pair, u w in the first.
    k, l = other[0], one[1]
    rows = {l: first.hit, **{a: list(hit) for a, hit in first.rows.items()}}
    columns = {k: second.hit, **{a: list(hit) for a, hit in second.rows.items()}}
    for mine, at, others in ((columns, first.at, first.columns), (rows, second.at, second.columns)):
        for s, place in ((l if mine is columns else k, at), *others.items()):
            mine[s] = [*(q for q in mine.get(s, []) if q != place), place]
    for mine, places, pick in ((rows, R, (0, 1)), (columns, C, (1, 0))):
        used = [i for hit in mine.values() for i in hit]
        if len(set(used)) < len(used):
            return None
        here = places.copy()
        for pair in pairs:
            meet, union = pair[pick[0]], pair[pick[1]]
            here[:, meet], here[:, union] = (
                places[:, pair[0]] & places[:, pair[1]],
                places[:, pair[0]] | places[:, pair[1]],
            )
        if not all(here[hit, s].all() for s, hit in mine.items()):
            return None
        free = [i for i in range(len(places)) if i not in used]
        rest = [s for s in slots if s not in mine]
        given = assigned(here[free][:, rest].T)
        if given is None:
            return None
        mine.update({s: [free[at]] for s, at in zip(rest, given, strict=True)})
    return rows, columns, pairs
