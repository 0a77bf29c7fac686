"""What supports alone tell, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsmf.supports.recognition import Arrangement

if TYPE_CHECKING:
    from fsmf.tractability import Structure

__all__ = ["facts_of"]


def facts_of(structure: Structure) -> Iterator[str]:
    """Yield what is known of supports, one sentence each."""
    m, n = structure.shape
    share = structure.n_parameters / (m * n)
    yield (
        f"{len(structure.supports)} factors for a matrix {m}×{n}, "
        f"{structure.n_parameters} parameters ({share:.3g} of m·n)"
    )
    if structure.n_prescribed:
        yield f"{structure.n_prescribed} of the parameters are prescribed"
    if structure.is_pair:
        yield from _pair_facts(structure)
    if structure.arrangement is not None:
        yield from _chain_facts(structure.arrangement)


def _pair_facts(structure: Structure) -> Iterator[str]:
    m, n = structure.shape
    classes = structure.classes
    yield (
        f"{_plural(len(classes), 'equivalence class', 'es')} "
        f"({int(classes.complete.sum())} complete) of {len(classes.class_of) - structure.n_dead} components"
        + (f", {structure.n_dead} more have no place to act" if structure.n_dead else "")
    )
    yield f"{_plural(structure.n_components, 'connected component')} of the overlap graph"
    yield f"{structure.n_covered} of {m * n} places of A are within reach"
    rectangles = "tractable: residual rectangles are pairwise disjoint"
    yield rectangles if structure.tractable else f"not tractable: {structure.why_not()}"
    yield f"landscape: {structure.landscape.value}"
    yield f"identifiability: {structure.identifiability.value}"


def _chain_facts(arrangement: Arrangement) -> Iterator[str]:
    chain = arrangement.architecture
    permuted = [
        what
        for what, order in (("rows", arrangement.rows), ("columns", arrangement.columns))
        if order is not None
    ]
    yield (
        "a chain of Kronecker patterns "
        + " · ".join(str(pattern.abcd) for pattern in chain.patterns)
        + (f", {' and '.join(permuted)} permuted" if permuted else "")
    )
    reasons = [chain.why_not_chainable(), chain.T.why_not_chainable()]
    if all(reasons):
        yield f"not chainable: {reasons[0]}; nor is the transpose"
        return
    own, what = (chain, "chainable") if reasons[0] is None else (chain.T, "its transpose is chainable")
    reduced, _ = own.reduced()
    redundant = len(own) - len(reduced)
    yield (
        f"{what}, interface ranks {own.ranks}"
        + (f", {redundant} of them bound nothing" if redundant else "")
        + f"; products form a set of dimension {reduced.dimension}"
    )


def _plural(count: int, noun: str, ending: str = "s") -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{ending}"
