"""The table: the first solver that does not refuse.

Rows are ordered by the strength of the promise. A new solver is a new row, and nothing else here changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsmf.errors import InputTypeError, RefusedError
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.variable_projection import VariableProjection
from fsmf.tractability import Structure

__all__ = ["TABLE", "choose", "refusals", "table_of"]

TABLE: tuple[Solver, ...] = (BlockSVD(), Hierarchical(), ALS(), VariableProjection())


def refusals(
    structure: Structure, table: Sequence[Solver] = TABLE, *, weighted: bool = False
) -> list[tuple[Solver, str | None]]:
    """Ask every solver of a table; None stands for no refusal."""
    return [
        (
            solver,
            f"{type(solver).__name__} takes no weights"
            if weighted and not solver.takes_weights
            else solver.refuses(structure),
        )
        for solver in table
    ]


def table_of(solver: Any) -> Sequence[Solver]:
    """Return the table that ``solver=`` asks for: the whole one for None, or one or several solvers.

    Raises
    ------
    InputTypeError
        If what was asked for is no solver.
    """
    if solver is None:
        return TABLE
    table = tuple(solver) if isinstance(solver, list | tuple) else (solver,)
    for one in table:
        if isinstance(one, type) or not all(hasattr(one, name) for name in ("refuses", "predict", "solve")):
            raise InputTypeError(
                "solver must be a solver object such as fsmf.BlockSVD() or fsmf.ALS(), or a list of them; "
                f"found {one!r}"
            )
    return table


def choose(structure: Structure, solver: Any = None, *, weighted: bool = False) -> Solver:
    """Return the first solver that does not refuse, of the table or of those asked for.

    Raises
    ------
    RefusedError
        If all refuse.
    InputTypeError
        If what was asked for is no solver.
    """
    answers = refusals(structure, table_of(solver), weighted=weighted)
    for candidate, refusal in answers:
        if refusal is None:
            return candidate
    reasons = "; ".join(str(refusal) for _, refusal in answers) or "none was given"
    if solver is not None:
        raise RefusedError(f"the solver asked for refuses: {reasons}; leave solver= out to let fsmf choose")
    raise RefusedError(f"every solver refuses these supports: {reasons}; see fsmf.explain(supports)")
