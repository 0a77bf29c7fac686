"""The table: the first solver that does not refuse.

Rows are ordered by the strength of the promise. A new solver is a new row, and nothing else here changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fsmf.errors import InputTypeError, OptionError, RefusedError
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Ridged, Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.palm import PALM
from fsmf.solvers.quasi_newton import QuasiNewton
from fsmf.solvers.variable_projection import VariableProjection
from fsmf.tractability import Structure

__all__ = ["PATH", "SEARCH", "TABLE", "choose", "refusals", "ridged", "searchers", "table_of"]

# Up to so many parameters second-order steps are as quick as sweeps, and miss nothing; nothing has to be
# compiled for them. Up to so many they are where components can be read off, which is their first start, and
# where others are lost. Up to so many, times rows or columns, quasi-Newton steps on pairs end in half a
# second, lower than sweeps; beyond, sweeps take less and less of their time. docs/choosing.rst has figures.
_SMALL, _READABLE, _MEDIUM = 100, 70_000, 1 << 16

TABLE: tuple[Solver, ...] = (
    BlockSVD(),
    Hierarchical(),
    VariableProjection(starts=12, max_parameters=_SMALL, max_readable=_READABLE),
    QuasiNewton(max_pair_size=_MEDIUM),
    ALS(),
)

# A ridge that is sought is followed by second-order steps, unless a pair is too large for them; cheaper steps
# find where to begin only where there are many parameters.
PATH: tuple[Solver, ...] = (
    VariableProjection(max_parameters=_SMALL),
    QuasiNewton(max_pair_size=0),
    VariableProjection(),
    ALS(),
)

# Where only constraints are given, supports are searched for first.
SEARCH = PALM()


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
        if isinstance(one, PALM):
            raise InputTypeError(
                "PALM finds supports where constraints are given; these supports are given already; leave "
                "solver= out, or give constraints such as fsmf.RowSparse"
            )
        if isinstance(one, type) or not all(hasattr(one, name) for name in ("refuses", "predict", "solve")):
            raise InputTypeError(
                "solver must be a solver object such as fsmf.BlockSVD() or fsmf.ALS(), or a list of them; "
                f"found {one!r}"
            )
    return table


def ridged(solver: Any, *, ridge: float | str | None, max_norm: float | None) -> Any:
    """Return the solvers asked for that take a ridge, or those that follow one best, with these options.

    Raises
    ------
    OptionError
        If none of those asked for takes one, or an option is out of range.
    """
    given = {name: value for name, value in (("ridge", ridge), ("max_norm", max_norm)) if value is not None}
    if not given:
        return solver
    asked = () if solver is None else tuple(solver) if isinstance(solver, list | tuple) else (solver,)
    searching = [one for one in asked if isinstance(one, PALM)]
    others = [one for one in asked if not isinstance(one, PALM)]
    sought = isinstance(ridge, str) or max_norm is not None
    table = table_of(others) if others else PATH if sought else TABLE
    takers: list[Any] = [one for one in table if isinstance(one, Ridged)]
    if not takers:
        names = " and ".join(type(one).__name__ for one in others)
        raise OptionError(
            f"{' and '.join(given)} cannot be given to {names}; leave solver= out, or use ALS()"
        )
    return [*searching, *(replace(one, **given) for one in takers)]


def choose(structure: Structure, solver: Any = None, *, weighted: bool = False) -> Solver:
    """Return the first solver that does not refuse, of the table or of those asked for.

    Raises
    ------
    RefusedError
        If all refuse.
    InputTypeError
        If what was asked for is no solver.
    """
    answers = []
    for candidate in table_of(solver):
        answers += refusals(structure, (candidate,), weighted=weighted)
        if answers[-1][1] is None:
            return candidate
    reasons = "; ".join(str(refusal) for _, refusal in answers) or "none was given"
    if solver is not None:
        raise RefusedError(f"the solver asked for refuses: {reasons}; leave solver= out to let fsmf choose")
    raise RefusedError(f"every solver refuses these supports: {reasons}; see fsmf.explain(supports)")


def searchers(solver: Any = None) -> tuple[PALM, tuple[Solver, ...]]:
    """Split what ``solver=`` asks for, where supports are to be found: who searches, and who solves then.

    Raises
    ------
    InputTypeError
        If what was asked for is neither, or several search.
    """
    given = () if solver is None else tuple(solver) if isinstance(solver, list | tuple) else (solver,)
    searching = [one for one in given if isinstance(one, PALM)]
    if len(searching) > 1:
        raise InputTypeError(f"one solver may search for supports; found {len(searching)}; give one PALM")
    rest = tuple(one for one in given if not isinstance(one, PALM))
    return (searching or [SEARCH])[0], tuple(table_of(rest)) if rest else ()
