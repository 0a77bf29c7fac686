"""Proofs that products form a closed set: trees whose nodes name a theorem and what its check needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from fsmf.wellposedness.pattern import Pattern

__all__ = ["THEOREMS", "Proof"]

# What each theorem says, in half a sentence that follows "because".
THEOREMS = {
    "compatible": "any two components are disjoint or one has the more rows and the other the more columns, "
    "so factors of least norm are bounded",
    "two classes": "there are two classes, and the rank conditions that products satisfy are closed",
    "twins": "rows or columns of one kind beyond the rank that they can have change nothing",
    "free": "on some entries the components can make any values, and what is left falls apart into groups",
    "fill": "the remaining columns can be anything within reach, whatever the first ones are",
    "peeled": "components that miss few rows and columns take any matrix apart, one rank after the other",
    "saturated": "columns of one kind are as many as the rank that they can have",
    "normal forms": "finitely many normal forms of the matrices that could be limits all are products",
    "transposed": "the transposed question has the same answer",
}


@dataclass(frozen=True)
class Proof:
    """Prove that the products of a pattern form a closed set.

    Attributes
    ----------
    theorem : str
        A key of `THEOREMS`.
    pattern : Pattern
        What the node speaks of.
    parts : tuple of Proof
        Proofs of the patterns that the theorem leads to.
    data : dict
        What the check of the theorem needs, as JSON takes it.

    Notes
    -----
    ``fsmf.wellposedness.verification`` checks proofs, and shares no code with the search.
    """

    theorem: str
    pattern: Pattern
    parts: tuple[Proof, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def nodes(self) -> Iterator[Proof]:
        """Yield the node and all below it."""
        yield self
        for part in self.parts:
            yield from part.nodes()

    @property
    def reason(self) -> str:
        """Half a sentence that follows "because": every theorem of the tree once."""
        return "; and ".join(THEOREMS[name] for name in dict.fromkeys(node.theorem for node in self.nodes()))

    @property
    def bounded(self) -> bool:
        """Whether the least factors of every product are bounded by it: Σ |x_k|² |y_k|² ≤ |B|²."""
        return self.theorem == "compatible"

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as lists, numbers and strings."""
        return {
            "theorem": self.theorem,
            "pattern": self.pattern.to_dict(),
            "data": self.data,
            "parts": [part.to_dict() for part in self.parts],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls(
            data["theorem"],
            Pattern.from_dict(data["pattern"]),
            tuple(cls.from_dict(part) for part in data["parts"]),
            data["data"],
        )
