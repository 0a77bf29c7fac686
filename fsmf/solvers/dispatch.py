"""The table: the first solver that does not refuse.

Rows are ordered by the strength of the promise. A new solver is a new row, and nothing else here changes.
"""

from __future__ import annotations

from typing import Any

from fsmf.errors import InputTypeError, RefusedError
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.tractability import Structure

__all__ = ["TABLE", "choose", "refusals"]

TABLE: tuple[Solver, ...] = (BlockSVD(), ALS())


def refusals(structure: Structure) -> list[tuple[Solver, str | None]]:
    """Ask every solver of the table; None stands for no refusal."""
    return [(solver, solver.refuses(structure)) for solver in TABLE]


def choose(structure: Structure, solver: Any = None) -> Solver:
    """Return the first solver of the table that does not refuse, or check the one asked for.

    Raises
    ------
    RefusedError
        If the solver asked for refuses, or all do.
    InputTypeError
        If what was asked for is no solver.
    """
    if solver is None:
        for candidate, refusal in (answers := refusals(structure)):
            if refusal is None:
                return candidate
        reasons = "; ".join(str(refusal) for _, refusal in answers)
        raise RefusedError(f"a solver was asked for; every one in the table refuses: {reasons}")
    if isinstance(solver, type) or not all(hasattr(solver, name) for name in ("refuses", "predict", "solve")):
        raise InputTypeError(
            f"solver must be a solver object such as fsmf.BlockSVD() or fsmf.ALS(); found {solver!r}"
        )
    refusal = solver.refuses(structure)
    if refusal is not None:
        raise RefusedError(f"{refusal}; leave solver= out to let fsmf choose, or ask fsmf.explain(supports)")
    chosen: Solver = solver
    return chosen
