"""What certificates share that bound the optimum from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.layout import IndexLists

__all__ = ["OptimumBracket"]


@dataclass(frozen=True)
class OptimumBracket:
    """The part that certificates share: an error, and a bound that no product is below."""

    error: float
    lower_bound: float

    name: ClassVar[str]
    # The fields that have the units of A: numbers, tuples of them, or None.
    in_units: ClassVar[tuple[str, ...]] = ("error", "lower_bound")

    @property
    def gap(self) -> float:
        """How far the error may be above the smallest possible one, in the units of A."""
        return max(0.0, self.error - self.lower_bound)

    def scalars(self) -> dict[str, Any]:
        """Return the numbers of the certificate by name, without its arrays."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: at for name, at in named.items() if not isinstance(at, DisjointBlocks | IndexLists)}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate."""
        return []

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Self:
        """Build the certificate from what a file holds: `scalars` and `arrays`."""
        lists = [field.name for field in fields(cls) if str(field.type).startswith("tuple")]
        return cls(**numbers | {name: tuple(map(_in_tuples, numbers[name])) for name in lists})

    def scaled(self, factor: float) -> Self:
        """Return the certificate of the problem for a multiple of A, shared out between the factors."""
        in_units: dict[str, Any] = {name: _times(getattr(self, name), factor) for name in self.in_units}
        return replace(self, **in_units)


def _in_tuples(value: Any) -> Any:
    """Lists as tuples, in lists, too."""
    return tuple(map(_in_tuples, value)) if isinstance(value, list) else value


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_times(one, factor) for one in value)
    return None if value is None else value * factor
