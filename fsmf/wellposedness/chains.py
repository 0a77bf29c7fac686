"""Chains of Kronecker patterns: a best product exists when all neighbours are chainable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.recognition import arrange
from fsmf.supports.support import Support, Supports

__all__ = ["Chain", "find_chain"]


@dataclass(frozen=True)
class Chain:
    """Prove that products form a closed set by reading the supports as a chainable chain.

    Attributes
    ----------
    patterns : tuple of (a, b, c, d)
        The Kronecker patterns I_a ⊗ 1_{b×c} ⊗ I_d, left to right.
    rows, columns : tuple of int or None
        Orders of the first rows and of the last columns in which the supports are these patterns.
    transposed : bool
        Whether the transposed chain is the chainable one.

    Notes
    -----
    **Guarantee.** The chain is chainable: for neighbours (a, b, c, d), (a', b', c', d') a divides a', d'
    divides d and a c / a' is an integer r. If no interface is redundant, that is if r is smaller than both
    sides of its blocks, the products are exactly the matrices on the product pattern whose blocks of each
    interface have rank at most r: a closed set. *Proof.* Split such a matrix at the interfaces from left to
    right by singular value decompositions of its blocks; each is a contraction of rows for the blocks of
    the interfaces that are left, so their ranks do not grow, and the parts keep their patterns. A redundant
    interface joins two neighbours whose products are all matrices on their product pattern; they count as
    one. One factor is a linear space. ∎
    """

    patterns: tuple[tuple[int, int, int, int], ...]
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None
    transposed: bool = False

    @property
    def reason(self) -> str:
        """Half a sentence that follows "because"."""
        return (
            "the supports are a chainable chain of Kronecker patterns, whose products are the matrices with "
            "blocks of bounded rank"
        )

    def verify(self, supports: Supports) -> Verification:
        """Check the conditions on neighbours, and that the supports are these patterns in these orders."""
        chain = [(a, c, b, d) for a, b, c, d in reversed(self.patterns)] if self.transposed else self.patterns
        chainable = all(
            a * c * d == e * f * h and e % a == 0 and d % h == 0 and a * c % e == 0
            for (a, _, c, d), (e, f, _, h) in pairwise(chain)
        )
        same = len(supports) == len(self.patterns)
        for q, (support, (a, b, c, d)) in enumerate(zip(supports, self.patterns, strict=False)):
            if min(a, b, c, d) < 1 or support.shape != (a * b * d, a * c * d):
                same = False
                break
            rows = self.rows if q == 0 else None
            columns = self.columns if q == len(supports) - 1 else None
            same = same and _is_pattern(support, (a, b, c, d), rows, columns)
        return Verification(
            (
                Check("neighbours", "chainable", "chainable" if chainable else "not chainable", chainable),
                Check("supports", "these patterns", "these patterns" if same else "others", same),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the chain as lists of integers, as JSON takes them."""
        return {
            "patterns": [list(pattern) for pattern in self.patterns],
            "rows": self.rows and list(self.rows),
            "columns": self.columns and list(self.columns),
            "transposed": self.transposed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the chain from what `to_dict` returned."""
        patterns = tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in data["patterns"])
        rows, columns = (data[side] and tuple(map(int, data[side])) for side in ("rows", "columns"))
        return cls(patterns, rows, columns, bool(data["transposed"]))


def find_chain(supports: Supports) -> Chain | None:
    """Return the chainable chain that supports are, they or their transposes, or None."""
    arrangement = arrange(supports)
    if arrangement is None:
        return None
    architecture = arrangement.architecture
    if not (architecture.is_chainable or architecture.T.is_chainable):
        return None
    rows, columns = (
        None if order is None else tuple(int(i) for i in order)
        for order in (arrangement.rows, arrangement.columns)
    )
    patterns = tuple(pattern.abcd for pattern in architecture.patterns)
    return Chain(patterns, rows, columns, not architecture.is_chainable)


def _is_pattern(
    support: Support,
    abcd: tuple[int, int, int, int],
    rows: tuple[int, ...] | None,
    columns: tuple[int, ...] | None,
) -> bool:
    """Whether a support is I_a ⊗ 1_{b×c} ⊗ I_d once its rows and columns are taken in these orders."""
    (a, b, c, d), (m, n) = abcd, support.shape
    places: list[Any] = list(support.coordinates())
    for axis, order, length in ((0, rows, m), (1, columns, n)):
        if order is not None:
            if sorted(order) != list(range(length)):
                return False
            places[axis] = np.argsort(order)[places[axis]]
    i, j = places
    # The places of the pattern, of which there are as many as the support has.
    inside = (i // (b * d) == j // (c * d)) & (i % d == j % d)
    return bool(support.nnz == a * b * c * d and inside.all())
