"""The kinds of proofs that some matrix is a limit of products of two factors, and not one."""

from __future__ import annotations

from fsmf.wellposedness.rank_below import RankBelow
from fsmf.wellposedness.rank_block import RankBlock
from fsmf.wellposedness.rank_tight import RankTight
from fsmf.wellposedness.two_class_limits import TwoClassLimit
from fsmf.wellposedness.witnesses import Witness

__all__ = ["PAIR_PROOFS", "PairProof"]

PairProof = Witness | RankBlock | RankTight | RankBelow | TwoClassLimit
PAIR_PROOFS: dict[str, type[PairProof]] = {
    kind.__name__: kind for kind in (Witness, RankBlock, RankTight, RankBelow, TwoClassLimit)
}
