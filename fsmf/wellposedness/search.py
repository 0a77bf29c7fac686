"""The search for a proof that products form a closed set: the theorems in order, cheap ones first."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from fsmf.wellposedness.criteria import Filling, fillings, find_incompatible, saturated_kinds, two_classes
from fsmf.wellposedness.pattern import Pattern, bits, mask_of
from fsmf.wellposedness.peeling import find_peeling
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.reductions import Freed, find_free_region, group_pattern, without_twins

if TYPE_CHECKING:
    from fsmf.wellposedness.orbits import Cover, OpenForm

__all__ = ["Prover", "filling_proof", "freeing_proof", "listed_kinds"]

# Beyond these sizes only the linear part is tried: the rest is for what reductions leave.
_CLASSES, _KINDS = 64, 128
# Normal forms grow exponentially with the places; beyond these sizes they are not tried.
_PLACES, _COMPONENTS = 20, 5


@dataclass
class Prover:
    """Look for proofs until a moment in time, and remember what was found.

    Attributes
    ----------
    deadline : float
        When to stop, on the clock of `time.thread_time`.
    plain : Prover or None
        One that has tried what is polynomial; then small questions that it left are covered by normal forms.
    cheap : bool
        Whether only what takes milliseconds is tried.
    open_forms : dict of Pattern to OpenForm
        The normal forms that stopped proofs by normal forms.
    """

    deadline: float = float("inf")
    plain: Prover | None = None
    cheap: bool = False
    out_of_time: bool = False
    open_questions: dict[Pattern, None] = field(default_factory=dict)
    open_forms: dict[Pattern, OpenForm] = field(default_factory=dict)
    _known: dict[Pattern, Proof | None] = field(default_factory=dict)

    def prove(self, pattern: Pattern) -> Proof | None:
        """Return a proof that the products of the pattern form a closed set, or None if none was found."""
        if pattern not in self._known:
            self._known[pattern] = None  # a question is no argument for itself
            self._known[pattern] = (self.plain and self.plain.prove(pattern)) or self._prove(pattern)
        return self._known[pattern]

    def _prove(self, pattern: Pattern) -> Proof | None:
        if self.out_of_time or thread_time() > self.deadline:
            self.out_of_time = True
            return None
        small = max(len(pattern.rows), len(pattern.columns)) <= _KINDS and len(pattern.ranks) <= _CLASSES
        if small and find_incompatible(pattern) is None:
            return Proof("compatible", pattern)
        fewer = without_twins(pattern)
        if fewer != pattern:
            found = self.prove(fewer)
            return found and Proof("twins", pattern, (found,))
        freed = find_free_region(pattern, self.deadline)
        if freed is None:
            self.out_of_time = True
            return None
        whole = len(freed.groups) == 1 and not freed.steps
        parts = [] if whole else [group_pattern(pattern, freed.free, group) for group in freed.groups]
        if not whole and _size(parts) < _size([pattern]):
            proofs = []
            for part in sorted(parts, key=lambda part: len(part.ranks)):
                found = self.prove(part)
                if found is None:
                    break
                proofs.append(found)
            else:
                proofs_of = {proof.pattern: proof for proof in proofs}
                return Proof("free", pattern, tuple(proofs_of[part] for part in parts), _freed_data(freed))
        if not small:
            if whole and find_incompatible(pattern, self.deadline) is None:
                return Proof("compatible", pattern)
            self.open_questions[pattern] = None
            return None
        decided = two_classes(pattern)
        if decided is not None:
            if decided.violation is None:
                return Proof(
                    "two classes", pattern, (), {"rows": list(decided.rows), "columns": list(decided.columns)}
                )
            self.open_questions[pattern] = None
            return None
        if self.plain:
            cover = self._cover(pattern)
            if cover:
                return Proof("normal forms", pattern, (), {"cases": cover.cases})
        elif len(pattern.ranks) > 1 and not self.cheap:
            for side in (pattern, pattern.T):
                found = self._fill(side) or self._saturate(side)
                if found:
                    return found if side is pattern else Proof("transposed", pattern, (found,))
            peeling = find_peeling(pattern, self.deadline)
            if peeling:
                data = {"left": list(peeling.left), "right": list(peeling.right)}
                return Proof("peeled", pattern, (), data)
        self.open_questions[pattern] = None
        return None

    def _cover(self, pattern: Pattern) -> Cover | None:
        if pattern.n_rows * pattern.n_columns > _PLACES or pattern.rank > _COMPONENTS:
            return None
        from fsmf.wellposedness.orbits import OpenForm, find_cover

        found = find_cover(listed_kinds(pattern), max_seconds=self.deadline - thread_time())
        if isinstance(found, OpenForm):
            self.open_forms[pattern] = found
            return None
        return found

    def _fill(self, pattern: Pattern) -> Proof | None:
        for filling in fillings(pattern, self.deadline):
            if filling.first is None:
                return filling_proof(pattern, filling)
            found = self.prove(filling.first)
            if found:
                return filling_proof(pattern, filling, found)
        return None

    def _saturate(self, pattern: Pattern) -> Proof | None:
        for kind, fewer, none in saturated_kinds(pattern):
            first = self.prove(none)
            second = first and self.prove(fewer)
            if first and second:
                return Proof("saturated", pattern, (second, first), {"kind": kind})
        return None


def freeing_proof(pattern: Pattern) -> Proof | None:
    """Return a proof that all entries are free, or None."""
    freed = find_free_region(pattern)
    return None if freed is None or freed.groups else Proof("free", pattern, (), _freed_data(freed))


def filling_proof(pattern: Pattern, filling: Filling, first: Proof | None = None) -> Proof:
    """Return the proof that a filling gives, from one for its first columns if there are any."""
    data = {
        "classes": list(bits(filling.classes)),
        "used": [[j, list(bits(A))] for j, A in filling.used.items()],
    }
    return Proof("fill", pattern, (first,) if first else (), data)


def _freed_data(freed: Freed) -> dict[str, Any]:
    return {
        "steps": [_listed(piece) for piece in freed.steps],
        "groups": [[_listed(piece) for piece in group] for group in freed.groups],
    }


def _size(patterns: list[Pattern]) -> tuple[int, int]:
    """What must fall for a reduction to be one: the places that the largest question has, and its classes."""
    return max(
        ((pattern.n_rows * pattern.n_columns, len(pattern.ranks)) for pattern in patterns), default=(0, 0)
    )


def _listed(piece: tuple[int, int, int]) -> list[list[int]]:
    """A piece as lists of integers."""
    return [list(bits(mask)) for mask in piece]


def listed_kinds(pattern: Pattern) -> Any:
    """Return the kinds with repetitions, a component for each unit of rank, as normal forms take them."""
    from fsmf.wellposedness.enumeration import Kinds

    members = np.repeat(np.arange(len(pattern.ranks)), pattern.ranks).tolist()
    rows, columns = (
        tuple(
            mask_of(k for k, p in enumerate(members) if kind >> p & 1)
            for kind, count in zip(kinds, counts, strict=True)
            for _ in range(count)
        )
        for kinds, counts in (
            (pattern.rows, pattern.row_counts),
            (pattern.columns, pattern.column_counts),
        )
    )
    return Kinds(rows, columns)
