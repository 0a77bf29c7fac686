"""Factorize where supports are not given: find candidates, solve on the supports of each, keep the best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.certificates.quasi_optimum import QuasiOptimum
from fsmf.certificates.stationary_product import StationaryProduct
from fsmf.errors import ConvergenceWarning, FsmfWarning, InputError, NotAttainedWarning
from fsmf.factorization import Factorization, Status
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import checked_norm, comfortable_exponent, divided
from fsmf.kernels.sparse_basis import noise_level
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.palm import PALM, Candidate
from fsmf.solvers.problem_alternation import bounded
from fsmf.solvers.problem_blocks import block_stability, multiplied, thresholded
from fsmf.solvers.problem_trail import Clock
from fsmf.support_search import SupportSearch
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Support, Supports
from fsmf.warning import warn_caller

__all__ = ["SETTLED_ON_SUPPORTS", "check_scale", "polished", "reachable", "search_supports"]

# An error of this share of ‖A‖ is rounding: no further start is made.
_EXACT = 1e-13

# An error of this share is found, though another start may still end lower.
_FOUND = 1e-9

# Sweeps on the supports of each start; more are made on the best only.
_TRIAL = 50

# Starts that end this far from a product without noise, as a share of ‖A‖, have not found it: so many sweeps
# are made on the supports of the best of them.
_FAR, _BRIEF = 0.05, 5

# Starts that end at so many times the best error are not worth a solver: their supports have settled.
_HOPELESS = 1.5

# Turns of thresholding and solving that the best is given at most, and what each has to gain.
_TURNS, _GAIN = 6, 1e-3

# How much larger than expected an error is that noise still explains; the most noise, as a share of A; the
# least share of its dimensions that tells how much; and what is as good as the bound.
_SPARE, _LITTLE, _MUCH, _NEAR = 1.1, 0.1, 0.25, 1e-6

# Norms up to here have Gram matrices whose entries are floats, and so have their inverses.
_HUGE = 1e120

# How a solver may end that has nothing more to say on the supports it was given.
SETTLED_ON_SUPPORTS = (Status.CONVERGED, Status.OPTIMAL, Status.BRACKETED)

_WARNINGS = {Status.FACTORS_GROW: NotAttainedWarning, Status.OUT_OF_BUDGET: ConvergenceWarning}

Factorize = Callable[..., Factorization]


def search_supports(
    A: Any, constraints: Constraints, searcher: PALM, solvers: Sequence[Solver], factorize: Factorize
) -> Factorization:
    """Give the supports of each candidate to a solver, and return the best with a report of the search."""
    check_scale(checked_norm(A))
    dense = A.toarray() if sparse.issparse(A) else A
    dense = dense.astype(np.result_type(dense.dtype, np.float64), copy=False)
    starts, errors, norm = [], [], frobenius_norm(dense)
    lower_bound, explained = reachable(dense, constraints)
    explained = max(explained, _FOUND * norm)
    # A of so low a rank is such a product, or nothing that is near to one.
    is_exact = not lower_bound and min(one.shape[1] for one in constraints[:-1] or constraints) < min(
        dense.shape
    )
    spare: Candidate | None = None
    best: Factorization | None = None
    clock = Clock(0.0, searcher.max_seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        share = comfortable_exponent(dense.dtype, norm) // len(constraints)
        scaled = divided(dense, share * len(constraints))
        for candidate in searcher.candidates(scaled, constraints):
            candidate = candidate._replace(factors=tuple(divided(X, -share) for X in candidate.factors))
            starts.append(candidate.start)
            errors.append(frobenius_norm(dense - multiplied(list(candidate.factors))))
            if is_exact and errors[-1] > _FAR * norm:
                # Its supports are not those sought: the best of such starts is given to a solver in the end.
                spare = candidate if errors[-1] == min(errors) else spare
                continue
            if best is not None and errors[-1] > _HOPELESS * best.error:
                continue
            F = polished(A, candidate.factors, solvers, factorize, max_sweeps=_TRIAL)
            errors[-1] = F.error
            if best is None or F.error < best.error:
                best = F
            if best.error <= explained:
                break
        was_cut_short = clock.is_over()
        if best is None:
            assert spare is not None
            best = polished(A, spare.factors, solvers, factorize, max_sweeps=_BRIEF)
            errors[int(np.argmin(errors))] = best.error
            if best.status is Status.OUT_OF_BUDGET:
                # On other supports than these it would go on.
                best.status = Status.SUPPORTS_OPEN
        elif not solvers:
            # Gradients of a matrix that had to be scaled have squares that are no floats.
            if best.error > explained and len(constraints) > 1 and not share:
                best = _furthered(A, dense, best, constraints, factorize, clock)
            if best.status is Status.OUT_OF_BUDGET:
                best = polished(A, best.factors, (), factorize)
            errors[int(np.argmin(errors))] = best.error
    settled = len(constraints) == 1 or best.error <= explained
    if not settled and best.status in (*SETTLED_ON_SUPPORTS, Status.SUPPORTS_OPEN):
        best.status = Status.OUT_OF_BUDGET if was_cut_short else Status.SUPPORTS_OPEN
    if best.status in _WARNINGS:
        warn_caller(
            f"{best.status.value}, on the supports that were found; see Factorization.search",
            _WARNINGS[best.status],
        )
    proved = best.certificate
    is_open = not solvers and best.error > _FOUND * norm
    if is_open and isinstance(proved, StationaryProduct) and not proved.convex:
        unit = 2.0 ** max(-1000, math.frexp(norm)[1])
        best.certificate = bounded(proved.scaled(1 / unit), dense / unit, best.supports).scaled(unit)
    factors = tuple(X.toarray().astype(dense.dtype) for X in best.factors)
    best.search = SupportSearch(
        constraints=tuple(constraints),
        supports=best.supports,
        starts=tuple(starts),
        errors=tuple(errors),
        best=int(np.argmin(errors)),
        stability=block_stability(dense, factors, constraints),
        lower_bound=lower_bound,
        settled=settled,
    )
    best.solver = f"{type(searcher).__name__} + {best.solver}"
    return best


def _furthered(
    A: Any, dense: Any, best: Factorization, constraints: Constraints, factorize: Factorize, clock: Clock
) -> Factorization:
    """Let hard thresholding of one factor at a time and the solver take turns, while that gains."""
    for _ in range(_TURNS):
        if clock.is_over():
            break
        factors = thresholded(dense, [X.toarray().astype(dense.dtype) for X in best.factors], constraints)
        F = polished(A, factors, (), factorize, max_sweeps=_TRIAL)
        # On the same supports nothing new is learnt, and how factors grow is forgotten.
        if F.supports == best.supports:
            break
        before, best = best.error, min(best, F, key=lambda one: one.error)
        if best.error > (1 - _GAIN) * before:
            break
    return best


def check_scale(norm: float) -> None:
    """Check that no Gram matrix on the way leaves the floats.

    Raises
    ------
    InputError
        If one may.
    """
    if norm and not 1 / _HUGE < norm < _HUGE:
        raise InputError(
            f"supports are searched for in matrices of norm {1 / _HUGE:g} to {_HUGE:g}; found {norm:.3g}; "
            "divide A by its norm"
        )


def reachable(A: Any, constraints: Constraints) -> tuple[float, float]:
    """Return a bound on the error of all factors of these shapes, and up to where noise explains an error.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        Dense.
    constraints : Constraints
        Of which only the inner sides count.

    Returns
    -------
    lower_bound : float
        The norm of A without its leading singular values, as many as the shortest inner side.
    explained : float
        The error of a product planted in noise that leads to this bound, with a tenth to spare. Where the
        noise would be a tenth of A, or is read off less than a quarter of what A has, only the bound itself.
    """
    (m, n), norm = A.shape, frobenius_norm(A)
    rank = min(m, n, *(one.shape[0] for one in constraints[1:]))
    noise, rest = noise_level(A, rank), (m - rank) * (n - rank)
    lower_bound, expected = noise * math.sqrt(rest), _SPARE * noise * math.sqrt(m * n)
    is_clear = expected <= _LITTLE * norm and rest >= _MUCH * m * n
    least = (1 + _NEAR) * lower_bound + _EXACT * norm
    return lower_bound, max(expected, least) if is_clear else least


def polished(
    A: Any,
    factors: Sequence[Any],
    solvers: Sequence[Solver],
    factorize: Factorize,
    *,
    max_sweeps: int = ALS.max_sweeps,
) -> Factorization:
    """Factorize on the supports of given factors; unless others solve, the error is no larger than theirs."""
    supports = Supports(Support(X != 0) for X in factors)
    if solvers:
        return factorize(A, supports, solver=list(solvers))
    # Of more factors than two the bound is sought for the best supports alone.
    warm = ALS(starts=1, initial=tuple(factors), max_sweeps=max_sweeps, bound=len(supports) == 2)
    F = factorize(A, supports, solver=[BlockSVD(), Hierarchical(), warm])
    if F.certificate.name == QuasiOptimum.name:
        # Within a constant of the optimum may be worse than what was there.
        product = factors[0]
        for X in factors[1:]:
            product = product @ X
        if F.error > frobenius_norm(A - product) + _EXACT * F.norm:
            F = factorize(A, supports, solver=warm)
    return F
