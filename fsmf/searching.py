"""Factorize where supports are not given: find candidates, solve on the supports of each, keep the best."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.chain_certificates import QuasiOptimum
from fsmf.errors import ConvergenceWarning, FsmfWarning, NotAttainedWarning
from fsmf.factorization import Factorization, Status
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import checked_norm
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.palm import PALM
from fsmf.solvers.problem_blocks import block_stability, multiplied
from fsmf.support_search import SupportSearch
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Support, Supports
from fsmf.warning import warn_caller

__all__ = ["polished", "search_supports"]

# An error of this share of ‖A‖ is rounding: no further start is made.
_EXACT = 1e-13

# Sweeps on the supports of each start; more are made on the best only.
_TRIAL = 50

# Starts that end at so many times the best error are not worth a solver: their supports have settled.
_HOPELESS = 1.5

_WARNINGS = {Status.FACTORS_GROW: NotAttainedWarning, Status.OUT_OF_BUDGET: ConvergenceWarning}

Factorize = Callable[..., Factorization]


def search_supports(
    A: Any, constraints: Constraints, searcher: PALM, solvers: Sequence[Solver], factorize: Factorize
) -> Factorization:
    """Give the supports of each candidate to a solver, and return the best with a report of the search."""
    norm = checked_norm(A)
    dense = A.toarray() if sparse.issparse(A) else A
    dense = dense.astype(np.result_type(dense.dtype, np.float64), copy=False)
    starts, errors = [], []
    best: Factorization | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        for candidate in searcher.candidates(dense, constraints):
            starts.append(candidate.start)
            errors.append(frobenius_norm(dense - multiplied(list(candidate.factors))))
            if best is not None and errors[-1] > _HOPELESS * best.error:
                continue
            F = polished(A, candidate.factors, solvers, factorize, max_sweeps=_TRIAL)
            errors[-1] = F.error
            if best is None or F.error < best.error:
                best = F
            if best.error <= _EXACT * norm:
                break
        assert best is not None
        if best.status is Status.OUT_OF_BUDGET and not solvers:
            best = polished(A, best.factors, (), factorize)
            errors[int(np.argmin(errors))] = best.error
    if best.status in _WARNINGS:
        warn_caller(
            f"{best.status.value}, on the supports that were found; see Factorization.search",
            _WARNINGS[best.status],
        )
    factors = tuple(X.toarray().astype(dense.dtype) for X in best.factors)
    best.search = SupportSearch(
        constraints=tuple(constraints),
        supports=best.supports,
        starts=tuple(starts),
        errors=tuple(errors),
        best=int(np.argmin(errors)),
        stability=block_stability(dense, factors, constraints),
    )
    best.solver = f"{type(searcher).__name__} + {best.solver}"
    return best


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
    warm = ALS(starts=1, initial=tuple(factors), max_sweeps=max_sweeps)
    F = factorize(A, supports, solver=[BlockSVD(), Hierarchical(), warm])
    if F.certificate.name == QuasiOptimum.name:
        # Within a constant of the optimum may be worse than what was there.
        product = factors[0]
        for X in factors[1:]:
            product = product @ X
        if F.error > frobenius_norm(A - product) + _EXACT * F.norm:
            F = factorize(A, supports, solver=warm)
    return F
