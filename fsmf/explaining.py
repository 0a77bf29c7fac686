"""What the front door would do with supports, and why, told without any matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fsmf.sharing import goes_by_parts, shared_out
from fsmf.solvers.base import Cost, Solver
from fsmf.solvers.dispatch import refusals, searchers, table_of
from fsmf.solvers.palm import PALM
from fsmf.supports.constraints import Constraints
from fsmf.tractability import analyze

if TYPE_CHECKING:
    from fsmf.wellposedness.verdicts import IllPosed, WellPosed

__all__ = ["Plan", "explain"]


@dataclass(frozen=True)
class Plan:
    """Tell what `factorize` would do, and why; ``print`` it.

    Attributes
    ----------
    structure : Structure or Constraints
        The examination of the supports; or the constraints, where supports are to be found.
    answers : tuple of (Solver, str or None)
        Each solver of the table with its refusal, or None.
    steps : tuple of (int, int, Solver, Cost)
        For each independent part: its shape, who solves it, and the predicted cost.

    Examples
    --------
    >>> import fsmf
    >>> print(fsmf.explain(fsmf.monarch(64, blocks=8)))  # doctest: +ELLIPSIS
    2 factors for a matrix 64×64, 1024 parameters (0.25 of m·n)
    ...
    plan: BlockSVD on 64×64, about ... s and ...B
    """

    structure: Any
    answers: tuple[tuple[Solver, str | None], ...]
    steps: tuple[tuple[tuple[int, int], Any, Cost], ...]

    @property
    def verdict(self) -> WellPosed | IllPosed | None:
        """Whether every matrix has a best product, where that shows within milliseconds."""
        from fsmf.wellposedness.check import quick_verdict

        if isinstance(self.structure, Constraints):
            return None
        return quick_verdict(self.structure.supports)

    def __str__(self) -> str:
        lines = list(self.structure.facts())
        verdict = self.verdict
        if verdict is not None:
            posed = {"WellPosed": "well-posed", "IllPosed": "ill-posed"}[verdict.answer]
            lines.append(f"{posed}: {verdict.fact}")
            if posed == "ill-posed":
                lines.append("beware: ReLU networks on them have no optimum for some data, either")
        for solver, refusal in self.answers:
            if refusal is None:
                name, cost = type(solver).__name__, solver.predict(self.structure)
                lines.append(f"accepts: {name}, promises {solver.promise.name}, {cost}")
            else:
                lines.append(f"refuses: {refusal}")
        costs: dict[str, list[Cost]] = {}
        for (m, n), solver, cost in self.steps:
            costs.setdefault(f"{type(solver).__name__} on {m}×{n}", []).append(cost)
        for what, same in costs.items():
            times = f"{len(same)} times " if len(same) > 1 else ""
            total = Cost(
                sum(cost.flops for cost in same),
                max(cost.nbytes for cost in same),
                sum(cost.overhead for cost in same),
            )
            lines.append(f"plan: {times}{what}, {total}")
        if not self.steps:
            lines.append("plan: none; every solver refuses")
        return "\n".join(lines)


def explain(supports: Any, *, solver: Solver | PALM | Sequence[Solver | PALM] | None = None) -> Plan:
    """Say what `factorize` would do with these supports, without any matrix.

    Parameters
    ----------
    supports : Supports or sequence
        One support per factor, left to right; see `as_supports`.
    solver : Solver or sequence of Solver, optional
        As for `factorize`.

    Returns
    -------
    Plan
        The facts, who refuses and why, who accepts, what is promised, and the predicted time and memory.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `as_supports`.

    Notes
    -----
    **Guarantee.** The plan is the one that `factorize` follows. Times are rough predictions.

    **Cost.** That of `analyze`.

    Examples
    --------
    >>> import fsmf
    >>> plan = fsmf.explain(fsmf.lu(3))
    >>> [type(solver).__name__ for solver, refusal in plan.answers if refusal is None]
    ['VariableProjection', 'QuasiNewton', 'ALS']
    """
    constraints = Constraints.found_in(supports)
    if constraints is not None:
        searcher = searchers(solver)[0]
        return Plan(constraints, (), ((constraints.shape, searcher, searcher.predict(constraints)),))
    structure = analyze(supports)
    answers = refusals(structure, table_of(solver))
    steps: list[tuple[tuple[int, int], Solver, Cost]] = []
    first = next((one for one, refusal in answers if refusal is None), None)
    if first is not None and not goes_by_parts(first, structure):
        steps.append((structure.shape, first, first.predict(structure)))
    elif first is not None:
        for part, one in shared_out(structure, first, solver):
            steps.append((part.structure.shape, one, one.predict(part.structure)))
    return Plan(structure, tuple(answers), tuple(steps))
