"""Independent parts of a pair: who solves each, and how the answers make one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.block_brackets import GlobalOptimum, StationaryPoint
from fsmf.certificates.search_bound import SearchBound
from fsmf.errors import OptionError
from fsmf.factorization import Factorization, History, Status
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import divided
from fsmf.kernels.namespace import space_of
from fsmf.kernels.pieces import Pieces
from fsmf.solvers.base import Solution, Solver
from fsmf.solvers.dispatch import choose, table_of
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.layout import IndexLists
from fsmf.tractability import Part, Structure

__all__ = ["assembled", "goes_by_parts", "shared_out"]


def goes_by_parts(solver: Solver, structure: Structure) -> bool:
    """Return whether independent parts are solved one by one; only a pair of free factors may have any."""
    return solver.by_parts and structure.is_pair and not structure.n_prescribed


def shared_out(structure: Structure, chosen: Solver, solver: Any) -> list[tuple[Part, Solver]]:
    """Choose a solver for each independent part, as one was for the whole; all must have one objective."""
    if chosen.is_joint:
        return [(Part.whole(structure), chosen)]
    shares = [
        (part, chosen if part.structure is structure else choose(part.structure, solver))
        for part in structure.parts
    ]
    ridges = {getattr(one, "ridge", 0.0) for _, one in shares}
    if len(ridges) > 1:
        raise OptionError(
            f"all parts must have the same ridge; found {sorted(map(str, ridges))} among {table_of(solver)}; "
            "leave out the solvers without a ridge"
        )
    return shares


def assembled(
    structure: Structure,
    solved: list[tuple[Part, Solver, Solution]],
    A: Any,
    norm: float,
    out_of_reach: float,
    exponent: int,
) -> Factorization:
    """Put the parts together: values in place, errors and bounds in quadrature, the weakest promise."""
    supports = structure.supports
    solutions = [solution for _, _, solution in solved]
    factors: list[NDArray[Any]] = []
    for i, support in enumerate(supports):
        values = Pieces(space_of(A), support.nnz, space_of(A).dtype(A))
        for part, _, solution in solved:
            values.put(part.places(support, i), (solution.left, solution.right)[i])
        factors.append(values.together())
    gradients = [solution.gradient_norm for solution in solutions if solution.gradient_norm is not None]
    bracket: dict[str, Any] = {
        "error": math.ldexp(math.hypot(out_of_reach, *(solution.error for solution in solutions)), exponent),
        "lower_bound": math.ldexp(
            math.hypot(out_of_reach, *(solution.lower_bound for solution in solutions)), exponent
        ),
        "out_of_reach": math.ldexp(out_of_reach, exponent),
        "blocks": DisjointBlocks.union(solution.blocks for solution in solutions),
    }
    searched = [one for solution in solutions for one in solution.searched]
    certificate: GlobalOptimum | StationaryPoint | SearchBound
    if any(solver.promise is SearchBound for _, solver, _ in solved):
        certificate = SearchBound(
            **bracket,
            parts=IndexLists.of_arrays([one.components for one in searched]),
            axes=IndexLists.of_arrays([one.axes for one in searched]),
            turned=tuple(one.turned for one in searched),
        )
    elif gradients:
        size = math.ldexp(norm, -exponent) * math.hypot(*map(frobenius_norm, factors))
        certificate = StationaryPoint(
            **bracket,
            gradient_norm=math.hypot(*gradients) / size if size else 0.0,
            ridge=math.ldexp(max(solution.ridge for solution in solutions), exponent),
        )
    else:
        certificate = GlobalOptimum(**bracket)
    # The scale taken out of A is shared out between the factors.
    shares = (exponent // 2, exponent - exponent // 2)
    return Factorization(
        supports,
        [divided(factor, -share) for factor, share in zip(factors, shares, strict=True)],
        norm=norm,
        status=max(
            (solution.status for solution in solutions), key=list(Status).index, default=Status.OPTIMAL
        ),
        certificate=certificate,
        history=_merged(solutions, out_of_reach, exponent),
        solver=" + ".join(sorted({type(solver).__name__ for _, solver, _ in solved}, reverse=True)),
        ridge_path=next((solution.path for solution in solutions if solution.path is not None), None),
    )


def _merged(solutions: list[Solution], out_of_reach: float, exponent: int) -> History:
    """One history for all parts: a part that has ended, or was solved at once, stays where it is."""
    length = max((len(solution.history) for solution in solutions), default=0)
    if not length:
        return History()

    def padded(values: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
        return (
            np.pad(values, (0, length - len(values)), mode="edge")
            if len(values)
            else np.full(length, constant)
        )

    errors, norms, seconds = np.full(length, out_of_reach**2), np.zeros(length), np.zeros(length)
    for solution in solutions:
        history = solution.history
        errors += padded(history.error, solution.error) ** 2
        norm = math.hypot(frobenius_norm(solution.left), frobenius_norm(solution.right))
        norms += padded(history.factor_norm, norm) ** 2
        seconds = np.maximum(seconds, padded(history.seconds, 0.0))
    return History(np.sqrt(errors), np.sqrt(norms), seconds).scaled(exponent, 2)
