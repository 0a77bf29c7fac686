"""The search for limits of the highest rank, one rank for each component, that are no products.

Targets have slots, see ``fsmf.wellposedness.slots``, one for each component. The vectors of the column space
of B that vanish off R_c are spanned by the p_s within R_c. So for a set K of components B is no product, if
fewer than |K| slots have p within some R_c and q within some C_c, c in K. Slots are kept out of this by a p
that leaves every R_c, or a q that leaves every C_c: sets of rows, or of columns, that hit the complements of
all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from fsmf.wellposedness.slots import Bools, Places, Target, assigned

__all__ = ["tight_targets"]

# How many pairs that share slots are tried for each set of components, and how often the same choice, of one
# component and of more, as sets of rows are found at random.
_PAIRS = 4
_REPEATS = (1, 3)


class _Choice(NamedTuple):
    """Components K, the two that share slots, and whether slot u w, or z v, may be within K."""

    members: tuple[int, ...]
    k: int
    l: int
    within: int | None


def tight_targets(R: Bools, C: Bools, rng: np.random.Generator) -> Iterator[Target | None]:
    """Yield targets with the components that are left too few directions, None for a try that gives none."""
    if min(len(R), len(C)) >= R.shape[1]:
        for choice in _choices(R, C, rng):
            yield _target(R, C, choice, rng)


def _choices(R: Bools, C: Bools, rng: np.random.Generator) -> Iterator[_Choice]:
    """Sets of components that leave rows and columns to enough slots, in random order, some again."""
    r = R.shape[1]
    off_rows, off_columns = (~R).sum(axis=0), (~C).sum(axis=0)
    overlap = (R.T.astype(int) @ R > 0) & (C.T.astype(int) @ C > 0)
    kinds = []
    for size in range(1, r + 1):
        for a in range(r - size + 2):
            able = np.flatnonzero((off_rows >= a) & (off_columns >= r - size + 1 - a))
            if len(able) >= size:
                kinds.append((size, able))
    yielded: Counter[_Choice] = Counter()
    fresh = True
    while fresh:
        fresh = False
        for at in rng.permutation(len(kinds)):
            size, able = kinds[at]
            weight = (off_rows + off_columns)[able] + 2 * rng.random(len(able))
            members = tuple(sorted(able[np.argsort(-weight)[:size]].tolist()))
            others = [c for c in range(r) if c not in members]
            pairs = [(k, l, None) for k in members for l in others if overlap[k, l]]
            pairs += [
                (k, l, within) for k, l in combinations(members, 2) if overlap[k, l] for within in (k, l)
            ]
            for pick in rng.permutation(len(pairs))[:_PAIRS]:
                choice = _Choice(members, *pairs[pick])
                yielded[choice] += 1
                if yielded[choice] <= _REPEATS[size > 1]:
                    fresh = True
                    yield choice


def _target(R: Bools, C: Bools, choice: _Choice, rng: np.random.Generator) -> Target | None:
    members, k, l, within = choice
    r = R.shape[1]
    allowed = []
    for places, meet, union in ((R, k, l), (C, l, k)):
        here = places.copy()
        here[:, meet], here[:, union] = places[:, k] & places[:, l], places[:, k] | places[:, l]
        allowed.append(here)
    inside = {c for c in members if c not in (k, l)} | ({within} - {None})
    outside = [s for s in range(r) if s not in inside]
    pools = [_hitting(~places[:, members], len(outside), rng) for places in (R, C)]
    fits = [
        [bool(here[hit, s].all()) for here, pool in zip(allowed, pools, strict=True) for hit in pool]
        for s in outside
    ]
    given = assigned(np.array(fits, dtype=bool))
    if given is None:
        return None
    chosen: tuple[Places, Places] = ({}, {})
    for s, at in zip(outside, given, strict=True):
        side = int(at >= len(pools[0]))
        chosen[side][s] = pools[side][at - side * len(pools[0])]
    for here, taken in zip(allowed, chosen, strict=True):
        free = [i for i in range(len(here)) if all(i not in hit for hit in taken.values())]
        rest = [s for s in range(r) if s not in taken]
        given = assigned(here[free][:, rest].T)
        if given is None:
            return None
        taken.update({s: [free[at]] for s, at in zip(rest, given, strict=True)})
    return Target(*chosen, [(k, l)], (members,)) if _is_tight(R, C, chosen, members) else None


def _hitting(missed: Bools, at_most: int, rng: np.random.Generator) -> list[list[int]]:
    """Disjoint sets of rows in each of which every member is missed by some row; greedily."""
    sets: list[list[int]] = []
    free = np.ones(len(missed), dtype=bool)
    while len(sets) < at_most:
        wanted, chosen = np.ones(missed.shape[1], dtype=bool), []
        while wanted.any():
            gain = missed[:, wanted].sum(axis=1) * free
            if not gain.any():
                return sets
            i = int(np.argmax(gain + rng.random(len(gain)) / 2))
            chosen.append(i)
            free[i] = False
            wanted &= ~missed[i]
        sets.append(chosen)
    return sets


def _is_tight(R: Bools, C: Bools, chosen: tuple[Places, Places], members: Sequence[int]) -> bool:
    """Whether fewer slots than members have rows within those of one member, and columns of one."""
    rows, columns = (
        {s for s, hit in taken.items() if places[hit][:, members].all(axis=0).any()}
        for taken, places in zip(chosen, (R, C), strict=True)
    )
    return len(rows & columns) < len(members)
