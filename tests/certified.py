"""Verdicts of every kind of proof and witness, and how to come by them."""

import numpy as np
from small_patterns import DECIDED_BY

import fsmf
import fsmf.wellposedness.check as check
from fsmf.wellposedness.rank_below import RankBelow
from fsmf.wellposedness.rank_block import RankBlock
from fsmf.wellposedness.rank_limits import find_rank_limit
from fsmf.wellposedness.rank_tight import RankTight


def rank_tight():
    rng = np.random.default_rng(3)
    while True:
        supports = fsmf.pair(rng.random((5, 3)) < 0.6, rng.random((6, 3)) < 0.6)
        proof = find_rank_limit(supports, kinds=[RankTight])
        if proof:
            return fsmf.IllPosed(supports, proof)


def rank_below():
    supports = fsmf.random_supports(8, 8, components=8, density=0.7, rng=2)
    return fsmf.IllPosed(supports, find_rank_limit(supports, kinds=[RankBelow]))


def rank_block():
    """One with two slots, so that their order counts."""
    left, right = np.ones((2, 4, 3), dtype=bool)
    left[0, 1] = left[1, 2] = right[3, 1] = right[2, 2] = False
    supports = fsmf.pair(left, right)
    return fsmf.IllPosed(supports, find_rank_limit(supports, kinds=[RankBlock]))


def in_groups():
    left, right = (np.kron(np.eye(2), block) for block in ([[1, 1, 1], [1, 1, 0]], [[1, 1], [1, 0], [1, 1]]))
    limit, check._BITS = check._BITS, 0
    try:
        return fsmf.check_well_posedness([left, right])
    finally:
        check._BITS = limit


def decided(*supports):
    return lambda: fsmf.check_well_posedness(supports)


overlap = np.array([[1, 1, 0, 0]] * 2 + [[1, 1, 1, 1]] * 3 + [[0, 0, 1, 1]] * 2)
# The first component has one row, the second one column.
HOOK = [fsmf.OnSupport([[1, 1], [0, 1]]), fsmf.OnSupport([[1, 1], [1, 0]])]
# By the name of the proof, or of its first theorem.
PAIRS = {
    **{theorem: decided(*fsmf.pair(*sides)) for theorem, sides in DECIDED_BY.items()},
    "Chain": decided(*(S.toarray() for S in fsmf.butterfly(8))),
    "Split": in_groups,
    "Joined": decided(np.ones((5, 2)), np.eye(2), np.ones((2, 4))),
    "Witness": decided(*fsmf.lu(3)),
    "RankBlock": rank_block,
    "RankTight": rank_tight,
    "RankBelow": rank_below,
    "TwoClassLimit": decided(overlap, overlap.T),
    "Lifted": decided(np.tri(2), np.eye(2), np.tri(2).T),
}
UNIONS = {
    "Lines": decided(*HOOK),
    "OneMember": decided(fsmf.Free((3, 3)), fsmf.KSparse((3, 3), 3)),
    "EveryMember": decided(fsmf.RowSparse((3, 2), 1), fsmf.RowSparse((2, 3), 2)),
    "Uncrossed": decided(fsmf.KSparse((2, 2), 3), fsmf.ColumnSparse((2, 2), 1)),
    "Absorbed": decided(fsmf.ColumnSparse((3, 2), 2), fsmf.ColumnSparse((2, 3), 2)),
    "NoMember": decided(fsmf.ColumnSparse((3, 2), 2), fsmf.RowSparse((2, 3), 2)),
}
