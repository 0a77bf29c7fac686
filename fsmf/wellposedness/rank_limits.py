"""The search for limits of the highest rank, or of one less, that are no products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from time import thread_time
from typing import Any

import numpy as np

from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.below_targets import below_targets
from fsmf.wellposedness.block_targets import block_targets
from fsmf.wellposedness.rank_below import RankBelow
from fsmf.wellposedness.rank_block import RankBlock
from fsmf.wellposedness.rank_tight import RankTight
from fsmf.wellposedness.slots import slot_curve
from fsmf.wellposedness.tight_targets import tight_targets

__all__ = ["find_rank_limit"]

# Where targets of each kind come from, and how many are tried.
_TARGETS: dict[Any, Any] = {
    RankBlock: (block_targets, 200),
    RankTight: (tight_targets, 300),
    RankBelow: (below_targets, 1000),
}
# Larger factors are not tried: exact ranks of the target would take too long.
_PLACES = 40_000


def find_rank_limit(
    supports: Supports,
    deadline: float = float("inf"),
    *,
    kinds: Sequence[type[RankBlock | RankTight | RankBelow]] = tuple(_TARGETS),
    tries: int | None = None,
) -> RankBlock | RankTight | RankBelow | None:
    """Look for a matrix that its rank, and those of its blocks, show to be a limit and no product.

    Parameters
    ----------
    supports : Supports
        A pair.
    deadline : float
        When to give up, on the clock of `time.thread_time`.
    kinds : sequence of type
        The proofs that are looked for, one after the other, each for half of the time that is left.
    tries : int, optional
        How many targets of each kind to try.

    Returns
    -------
    RankBlock, RankTight, RankBelow or None
        None says nothing.

    Examples
    --------
    >>> import fsmf
    >>> find_rank_limit(fsmf.lu(4), kinds=[RankTight]).members
    (2, 3)
    >>> find_rank_limit(fsmf.low_rank(4, rank=2)) is None
    True
    """
    if sum(support.shape[0] * support.shape[1] for support in supports) > _PLACES:
        return None
    R, C = supports[0].toarray(), supports[1].toarray().T
    live = np.flatnonzero(R.any(axis=0) & C.any(axis=0))
    if not live.size:
        return None
    R, C = R[:, live], C[:, live]
    pair = Supports((Support(R), Support(C.T)))
    for kind in kinds:
        if thread_time() > deadline:
            break
        until = (thread_time() + deadline) / 2
        targets, most = _TARGETS[kind]
        for target in islice(targets(R, C, np.random.default_rng(0)), tries or most):
            if target:
                proof = kind(slot_curve(pair, target), *target.shown_by)
                return proof.padded(range(len(R)), range(len(C)), live.tolist(), supports)
            if thread_time() > until:
                break
    return None
