"""Several factors: neighbours that can make any values on their reach count as one factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import thread_time
from typing import Any, Self

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.chains import Chain
from fsmf.wellposedness.criteria import fillings
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.search import filling_proof, freeing_proof
from fsmf.wellposedness.splits import Split
from fsmf.wellposedness.verification import makes_everything, verify_proof

__all__ = ["Joined", "as_pair", "find_filling", "join", "reach"]

# Larger products are not laid out.
_PLACES = 4_000_000


@dataclass(frozen=True)
class Joined:
    """Prove that products of several factors form a closed set by joining neighbours.

    If the products of two neighbouring factors are all matrices on their reach, the products of all factors
    are those with one factor on this reach in their place.

    Attributes
    ----------
    joins : tuple of (int, Proof)
        Which factor is joined with the next, in order, and why their products are all matrices.
    rest : Proof, Chain or Split
        The proof for the factors that are left.
    """

    joins: tuple[tuple[int, Proof], ...]
    rest: Proof | Chain | Split

    @property
    def reason(self) -> str:
        """Half a sentence that follows "because"."""
        return f"some neighbouring factors can make any values on their reach; and {self.rest.reason}"

    def verify(self, supports: Supports) -> Verification:
        """Check each join and what is left."""
        checks: list[Check] = []
        for at, proof in self.joins:
            if at not in range(len(supports) - 1):
                return Verification((*checks, Check("factors to join", at, "out of range", False)))
            pair = Supports(supports[at : at + 2])
            everything = makes_everything(proof)
            checks += verify_proof(pair, proof).checks
            checks.append(Check("the joined factors make", "any values", str(everything), everything))
            product = pair[0].toarray().astype(int) @ pair[1].toarray().astype(int)
            supports = Supports((*supports[:at], Support(product > 0), *supports[at + 2 :]))
        if isinstance(self.rest, Proof):
            return Verification((*checks, *verify_proof(supports, self.rest).checks))
        return Verification((*checks, *self.rest.verify(supports).checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings, as JSON takes them."""
        return {
            "joins": [[at, proof.to_dict()] for at, proof in self.joins],
            "kind": type(self.rest).__name__,
            "rest": self.rest.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        (kind,) = (kind for kind in (Proof, Chain, Split) if kind.__name__ == data["kind"])
        joins = tuple((int(at), Proof.from_dict(proof)) for at, proof in data["joins"])
        return cls(joins, kind.from_dict(data["rest"]))


def as_pair(supports: Supports) -> Supports:
    """Return a pair with the same products: the supports themselves, or a diagonal and the only factor."""
    if len(supports) != 1:
        return supports
    diagonal = range(supports.shape[0])
    return Supports((Support.from_coordinates(diagonal, diagonal, shape=(len(diagonal),) * 2), *supports))


def find_filling(pair: Supports) -> Proof | None:
    """Return a proof that the products of two factors are all matrices on their reach, or None."""
    pattern = Pattern.of(pair)
    freed = freeing_proof(pattern)
    if freed:
        return freed
    for side in (pattern, pattern.T):
        for filling in fillings(side):
            if filling.first is None:
                proof = filling_proof(side, filling)
                return proof if side is pattern else Proof("transposed", pattern, (proof,))
    return None


def reach(supports: Supports) -> Support | None:
    """Return where products can be nonzero; None if that is too large to be laid out."""
    m, n = supports.shape
    if m * n > _PLACES:
        return None
    product, *others = (support.to_sparse().astype(np.int64) for support in supports)
    for factor in others:
        product = product @ factor
        product.data[:] = 1
    return Support.from_coordinates(*product.nonzero(), shape=(m, n))


def join(
    supports: Supports, deadline: float = float("inf")
) -> tuple[tuple[tuple[int, Proof], ...], Supports]:
    """Join neighbours that can make any values, as long as there are any; say which, and what is left."""
    joins: list[tuple[int, Proof]] = []
    at = 0
    while len(supports) > 1 and at < len(supports) - 1 and thread_time() < deadline:
        pair = Supports(supports[at : at + 2])
        product = reach(pair)
        proof = product and find_filling(pair)
        if product and proof:
            joins.append((at, proof))
            supports = Supports((*supports[:at], product, *supports[at + 2 :]))
            at = max(at - 1, 0)
        else:
            at += 1
    return tuple(joins), supports
