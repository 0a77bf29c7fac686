"""The front door: validate, examine, choose, solve."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import InputTypeError, RefusedError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels import cuda
from fsmf.kernels.frobenius import frobenius_norm, norm_within, norms_at_once
from fsmf.kernels.matrix import checked_norm, comfortable_exponent, divided
from fsmf.kernels.namespace import check_on_host, is_foreign, space_of
from fsmf.kernels.out_of_reach import is_out_of_reach
from fsmf.observing import observed
from fsmf.searching import search_supports
from fsmf.sharing import assembled, goes_by_parts, shared_out
from fsmf.solvers.base import Solution, Solver
from fsmf.solvers.dispatch import choose, ridged, searchers, table_of
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.palm import PALM
from fsmf.supports.constraints import Constraints
from fsmf.tractability import Part, Structure, analyze

__all__ = ["factorize"]

# Places read at a time when energy out of reach is added up.
_CHUNK = 1 << 22


def factorize(
    A: Any,
    supports: Any,
    *,
    solver: Solver | PALM | Sequence[Solver | PALM] | None = None,
    ridge: float | Literal["path"] | None = None,
    max_norm: float | None = None,
    weights: Any = None,
    missing: str | None = None,
) -> Factorization:
    """Find the factors on given supports whose product is nearest to A.

    Solves ``min ‖A − X1 X2 … XL‖_F`` subject to ``supp(Xi) ⊆ Si`` with the strongest method that applies, and
    says what the answer is worth.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        The matrix, real or complex, in single or double precision; integers become double precision, and half
        precision becomes single. Never written. Of another array library, CuPy for one, it is worked on
        where it is, by solvers that can, and the factors stay there.
    supports : Supports or sequence
        One support per factor, left to right as they multiply; see `as_supports`, `pair` and the families.
        Where a `Constraint` stands in place of a support, only how sparse the factor is is given: the places
        are found first, as `PALM` says.
    solver : Solver, PALM or sequence of these, optional
        A solver object such as ``ALS(ridge=0.1)``, or several of which the first that does not refuse
        takes each part; by default those of the table.
    ridge : float or "path", optional
        Weight λ ≥ 0 in ``‖A − X1 … XL‖² + λ Σ‖Xi‖²``, in the units of ``A^(2 − 2/L)``; "path" follows the
        minimisers of a vanishing λ and keeps what they tell as ``F.ridge_path``: a `RidgePath`.
    max_norm : float, optional
        A bound on ``(Σ‖Xi‖²)^½``, in the units of ``A^(1/L)``. Not together with a ridge.
    weights : array_like, shape (m, n), optional
        Weights W ≥ 0, zeros allowed: then ``Σ W_ij |A − X1 … XL|²_ij`` is minimised, and errors, norms and
        bounds are those of this norm.
    missing : {"nan"}, optional
        ``"nan"`` takes NaN in A for a missing entry, of weight 0.

    Returns
    -------
    Factorization
        An operator with the factors (in A's precision), their error, a status and a certificate.

    Raises
    ------
    SupportError, ShapeError
        If the supports are none, or do not fit A.
    InputError, InputTypeError
        If A holds NaN or infinity, has no entries, or is not numeric; if weights are negative or infinite.
    OptionError
        If a ridge or a bound is out of range, or the solver asked for takes none.
    RefusedError
        If every solver refuses the supports.

    Warns
    -----
    NotAttainedWarning
        If the factors grow while the error falls: the infimum may not be attained.
    ConvergenceWarning
        If an iterative solver ran out of its budget.

    Notes
    -----
    **Guarantee.** Stated by ``F.certificate``: a global optimum for tractable pairs, otherwise a stationary
    point with a lower bound on the optimum. Independent parts (connected components of the overlap
    graph) are solved independently, and everything tractable among them exactly.

    **Cost.** Two passes over A besides the solver's cost; `explain` predicts it. On a GPU, where one pass
    is all, nobody waits for the device, and NaN in A shows, when something is first asked for.

    References
    ----------
    Le, Riccietti, Gribonval, SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((16, 16))
    >>> F = fsmf.factorize(A, fsmf.monarch(16, blocks=4))
    >>> F.status.value
    'global optimum, to working precision'
    >>> bool(F.verify(A))
    True
    """
    began = time.perf_counter()
    A, roots = observed(A, weights, missing)
    solver = ridged(solver, ridge=ridge, max_norm=max_norm)
    with space_of(A).entered():
        return _factorized(A, supports, solver, roots, began)


def _factorized(A: Any, supports: Any, solver: Any, roots: Any, began: float) -> Factorization:
    """Examine, choose and solve; everything that is made is made where A is."""
    constraints = Constraints.found_in(supports)
    if constraints is not None:
        check_on_host(A, "PALM")
        if roots is not None:
            raise RefusedError(
                "PALM finds supports for matrices without weights; found weights or missing entries; give "
                "supports, or fill the entries"
            )
        return _searched(A, constraints, solver)
    structure = analyze(supports)
    if structure.shape != A.shape:
        raise ShapeError(
            f"supports make a product of shape {structure.shape}; A has shape {A.shape}; they must agree"
        )
    if is_foreign(A):
        solver = _solvers_there(structure, solver)
    chosen = choose(structure, solver, weighted=roots is not None)
    if roots is not None:
        return _weighed(A, structure, chosen, roots)
    if not goes_by_parts(chosen, structure):
        return _whole(A, structure, chosen)
    norms = _norms_at_once(A, structure, chosen)
    norm = math.hypot(*norms) if norms else checked_norm(A)
    exponent = comfortable_exponent(_dtype(A), norm)
    A = divided(A, exponent)
    shares = [(part, _taking(one, A)) for part, one in shared_out(structure, chosen, solver)]
    out_of_reach = rest = norms[1] if norms and not exponent else _norm_out_of_reach(A, structure)
    solved = []
    for part, one in shares:
        elapsed = time.perf_counter() - began
        solution = one.solve(A, part, exponent=exponent, rest=rest, elapsed=elapsed)
        assert isinstance(solution, Solution)
        solved.append((part, one, solution))
        rest = math.hypot(rest, solution.error)
    return assembled(structure, solved, A, norm, out_of_reach, exponent)


def _solvers_there(structure: Structure, solver: Any) -> Any:
    """Those that work where arrays are; of the table, those first that need one pass over A."""
    table = [one for one in table_of(solver) if _works_anywhere(one)]
    if solver is None:
        table.sort(key=lambda one: one.refuses(structure) is not None or not one.measures(structure))
    # Those that cannot say so themselves, if there are no others.
    return table or solver


def _searched(A: Any, constraints: Constraints, solver: Any) -> Factorization:
    """Find supports, and factorize on them."""
    if constraints.shape != A.shape:
        raise ShapeError(
            f"constraints make a product of shape {constraints.shape}; A has shape {A.shape}; they must agree"
        )
    if is_foreign(A):
        raise InputTypeError(
            f"PALM finds supports for NumPy arrays; found {type(A).__name__}; convert A, or give supports"
        )
    searcher, solvers = searchers(solver)
    return search_supports(A, constraints, searcher, solvers, factorize)


def _weighed(A: Any, structure: Structure, solver: Any, roots: NDArray[Any]) -> Factorization:
    """Let a solver take the whole, with weights of ordinary size: only their ratios tell what is best."""
    exponent = math.frexp(float(roots.max()))[1]
    told = solver.callback

    def tell(sweep: Any) -> bool | None:
        answer: bool | None = told(replace(sweep, error=math.ldexp(sweep.error, exponent)))
        return answer

    changes: dict[str, Any] = {} if told is None else {"callback": tell}
    if solver.ridge and not solver.seeks_ridge:
        changes["ridge"] = float(solver.ridge) * 2.0 ** min(-2 * exponent, 400)
    own = replace(solver, **changes) if exponent and changes else solver
    return _whole(A, structure, own, divided(roots, exponent)).weighed(2.0**exponent)


def _whole(A: Any, structure: Structure, solver: Solver, roots: NDArray[Any] | None = None) -> Factorization:
    """Let a solver take the whole; if it can, it measures A in the pass that it makes anyway."""
    _taking(solver, A)
    part = structure.whole if roots is None else Part.whole(structure, roots)
    measures, space = solver.measures(structure), space_of(A)
    if space.is_cupy and isinstance(solver, Hierarchical) and solver.streams(structure):
        later = partial(_sound, A, part, solver, solver.begin(A, part))
        return Factorization.begun(structure.supports, space.dtype(A), cuda.on_this_stream(space, later))
    return _sound(A, part, solver, partial(solver.solve, A, part) if measures else None)


def _sound(A: Any, part: Part, solver: Solver, measured: Callable[[], Any] | None) -> Factorization:
    """What a solver found that measures A, if A was fit for that; else what it finds for A, scaled."""
    structure, exponent = part.structure, 0
    # What overflows on the way is scaled, or refused, below.
    whole: Any = None
    with np.errstate(over="ignore", invalid="ignore"), suppress(np.linalg.LinAlgError):
        whole = measured and measured()
    unfit = whole is None or not math.isfinite(whole.norm) or comfortable_exponent(_dtype(A), whole.norm)
    if unfit:
        # A multiple of the number of factors is shared out evenly.
        exponent = comfortable_exponent(_dtype(A), checked_norm(A)) // len(structure.supports)
        # Prescribed values have a scale of their own.
        exponent *= 0 if structure.n_prescribed else len(structure.supports)
        whole = solver.solve(divided(A, exponent), part, exponent=exponent)
    # The scale taken out of A goes back to the factors, a power of two to each; halves of it cannot overflow.
    half = exponent // 2

    def scaled(one: Any) -> Any:
        return one.scaled(2.0**half).scaled(2.0 ** (exponent - half))

    shares = [(exponent + i) // len(whole.values) for i in range(len(whole.values))]
    return Factorization(
        whole.supports,
        [divided(value, -share) for value, share in zip(whole.values, shares, strict=True)],
        rows=whole.rows,
        columns=whole.columns,
        norm=math.ldexp(whole.norm, exponent),
        status=whole.status,
        certificate=scaled(whole.certificate),
        history=whole.history.scaled(exponent, len(whole.values)),
        solver=type(solver).__name__,
        ridge_path=None if whole.path is None else scaled(whole.path),
    )


def _norms_at_once(A: Any, structure: Structure, solver: Solver) -> tuple[float, float] | None:
    """‖A‖_F on the places that some component reaches and on the others, where there is compiled code."""
    compiles = getattr(solver, "compiles", None)
    if compiles is None or math.prod(structure.shape) > _CHUNK or len(structure.parts) > 1:
        return None
    return norms_at_once(A, structure.reach) if compiles(structure) else None


def _norm_out_of_reach(A: Any, structure: Structure) -> float:
    """‖A‖_F on the places that no component reaches."""
    m, n = structure.shape
    if m * n <= _CHUNK and isinstance(A, np.ndarray):
        return norm_within(A, structure.unreached)
    layout = structure.classes.layout
    if layout.n_covered == m * n:
        return 0.0
    if sparse.issparse(A):
        left, right = (support.to_sparse() for support in structure.supports)
        return frobenius_norm(A.data[is_out_of_reach(A, left, right)])
    norms = []
    for start in range(0, m, step := max(1, _CHUNK // n)):
        rows = slice(start, start + step)
        some = A[start : min(start + step, m), :] if is_foreign(A) else A[rows]
        norms.append(frobenius_norm(_outside(some, layout.covered(rows))))
    return math.hypot(*norms)


def _taking(solver: Solver, A: Any) -> Solver:
    """The solver, if it works where A is."""
    if not _works_anywhere(solver):
        check_on_host(A, type(solver).__name__)
    return solver


def _works_anywhere(solver: Solver) -> bool:
    return getattr(solver, "anywhere", False)


def _dtype(A: Any) -> np.dtype[Any]:
    return space_of(A).dtype(A)


def _outside(A: Any, reached: NDArray[Any]) -> Any:
    """A on the places that are not reached, and zero elsewhere."""
    space = space_of(A)
    return space.xp.where(space.put(reached), space.xp.zeros_like(A), A)
