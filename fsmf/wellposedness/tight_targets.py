"""The search for limits of the highest rank, one rank for each component, that are no products.

Targets are B = Σ_s p_s q_s over *slots* s, one for each component, where the p_s have disjoint rows and the
q_s disjoint columns, all entries 1. The slot of component c has p on R_c and q on C_c; but two components
k, l share theirs between a slot z v with z on R_k ∪ R_l, v on C_k ∩ C_l, and a slot u w with u on
R_k ∩ R_l, w on C_k ∪ C_l:

    (u + t z)(v + t w)ᵀ / t − u vᵀ / t → u wᵀ + z vᵀ,

with z and w on R_l and C_l here, and shared out in general. The vectors of the column space of B that vanish
off R_c are spanned by the p_s within R_c. So for a set K of components B is no product, if fewer than |K|
slots have p within some R_c and q within some C_c, c in K. Slots are kept out of this by a p that leaves
every R_c, or a q that leaves every C_c: sets of rows, or of columns, that hit the complements of all of
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from time import thread_time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.support import Supports
from fsmf.wellposedness.rank_tight import RankTight
from fsmf.wellposedness.rational import RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["find_rank_tight"]

# Larger factors are not tried: exact ranks of the target would take too long.
_PLACES = 40_000
# How many ways to choose slots are tried, how many pairs that share slots for each set of components, and how
# often the same choice, of one component and of more, as sets of rows are found at random.
_TRIES, _PAIRS = 300, 4
_REPEATS = (1, 3)

Bools = NDArray[np.bool_]
# By slot, rows of p or columns of q; slots are components, of which k stands for u w and l for z v.
Places = dict[int, list[int]]


class _Choice(NamedTuple):
    """Components K, the two that share slots, and whether slot u w, or z v, may be within K."""

    members: tuple[int, ...]
    k: int
    l: int
    within: int | None


def find_rank_tight(
    supports: Supports, deadline: float = float("inf"), *, tries: int = _TRIES
) -> RankTight | None:
    """Look for a limit of the highest rank that leaves some components too few directions.

    Parameters
    ----------
    supports : Supports
        A pair.
    deadline : float
        When to give up, on the clock of `time.thread_time`.
    tries : int
        How many choices of slots to try.

    Returns
    -------
    RankTight or None
        None says nothing.

    Examples
    --------
    >>> import fsmf
    >>> find_rank_tight(fsmf.lu(4)).members
    (2, 3)
    """
    left, right = supports
    if left.shape[0] * left.shape[1] + right.shape[0] * right.shape[1] > _PLACES:
        return None
    R, C = left.toarray(), right.toarray().T
    live = np.flatnonzero(R.any(axis=0) & C.any(axis=0))
    R, C = R[:, live], C[:, live]
    if min(len(R), len(C)) < len(live):
        return None
    rng = np.random.default_rng(0)
    for tried, choice in enumerate(_choices(R, C, rng)):
        if tried == tries or thread_time() > deadline:
            break
        found = _slots(R, C, choice, rng)
        if found:
            curve = _curve(supports, live, *found, choice)
            return RankTight(curve, tuple(live[list(choice.members)].tolist()))
    return None


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


def _slots(R: Bools, C: Bools, choice: _Choice, rng: np.random.Generator) -> tuple[Places, Places] | None:
    """The rows and the columns of each slot, or None."""
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
    given = _assigned(np.array(fits, dtype=bool))
    if given is None:
        return None
    chosen: tuple[Places, Places] = ({}, {})
    for s, at in zip(outside, given, strict=True):
        side = int(at >= len(pools[0]))
        chosen[side][s] = pools[side][at - side * len(pools[0])]
    for here, taken in zip(allowed, chosen, strict=True):
        free = [i for i in range(len(here)) if all(i not in hit for hit in taken.values())]
        rest = [s for s in range(r) if s not in taken]
        given = _assigned(here[free][:, rest].T)
        if given is None:
            return None
        taken.update({s: [free[at]] for s, at in zip(rest, given, strict=True)})
    return chosen if _is_tight(R, C, chosen, members) else None


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


def _assigned(fits: Bools) -> Sequence[int] | None:
    """A different column for each row of a table of what fits, or None."""
    if not fits.any(axis=1).all():
        return None
    if not len(fits):
        return []
    given = csgraph.maximum_bipartite_matching(sparse.csr_array(fits.astype(np.int8)), perm_type="column")
    return None if (given < 0).any() else [int(at) for at in given]


def _is_tight(R: Bools, C: Bools, chosen: tuple[Places, Places], members: Sequence[int]) -> bool:
    """Whether fewer slots than members have rows within those of one member, and columns of one."""
    rows, columns = (
        {s for s, hit in taken.items() if places[hit][:, members].all(axis=0).any()}
        for taken, places in zip(chosen, (R, C), strict=True)
    )
    return len(rows & columns) < len(members)


def _curve(
    supports: Supports, live: NDArray[np.intp], rows: Places, columns: Places, choice: _Choice
) -> Witness:
    """The target and the curve in exact rational functions, without an identity."""
    one, t = Fraction(1), (Fraction(0), Fraction(1))
    left, right = (support.toarray() for support in supports)
    X: list[tuple[int, int, RationalFunction]] = []
    Y: list[tuple[int, int, RationalFunction]] = []
    target = sorted((i, j, one) for s in rows for i in rows[s] for j in columns[s])
    k, l = (int(live[c]) for c in (choice.k, choice.l))
    for s in rows:
        c = int(live[s])
        if c not in (k, l):
            X += [(i, c, ((one,), (one,))) for i in rows[s]]
            Y += [(c, j, ((one,), (one,))) for j in columns[s]]
    # (u + t z_l)(v + t w_l) / t − (u − t z_k)(v − t w_k) / t
    u, z, w, v = rows[choice.k], rows[choice.l], columns[choice.k], columns[choice.l]
    for c, sign, other in ((l, one, False), (k, -one, True)):
        has_row = [i for i in z if left[i, c] and not (other and left[i, l])]
        has_column = [j for j in w if right[c, j] and not (other and right[l, j])]
        X += [(i, c, ((sign,), (one,))) for i in u]
        X += [(i, c, ((Fraction(0), one), (one,))) for i in has_row]
        Y += [(c, j, ((one,), t)) for j in v]
        Y += [(c, j, ((sign,), (one,))) for j in has_column]
    return Witness(supports[0], supports[1], tuple(target), tuple(sorted(X)), tuple(sorted(Y)), ())
