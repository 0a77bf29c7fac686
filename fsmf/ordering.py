"""Orders of rows and columns in which supports of any family fit a matrix."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import FsmfWarning
from fsmf.factorization import Factorization, Status
from fsmf.factorizing import factorize
from fsmf.kernels.matrix import as_matrix
from fsmf.solvers.als import ALS
from fsmf.solvers.base import Solver
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.problem_blocks import multiplied, right_products
from fsmf.solvers.variable_projection import VariableProjection
from fsmf.supports.layout import Index, IndexLists, group_equal
from fsmf.supports.sizes import as_count
from fsmf.supports.support import Support, Supports, as_supports
from fsmf.thresholding.stability import as_rng

__all__ = ["find_order"]

Array = NDArray[Any]
Orders = tuple[Index, Index]

# Numbers below this share of the largest are rounding.
_ROUNDING = 1e-12

# Entries below these shares of the largest count as zeros, when orders are told by where entries are.
_ZEROS = (1e-9, 0.05, 0.3)

# Between two assignments, so many sweeps, with a ridge that keeps factors from growing; what a round has to
# gain.
_SWEEPS, _RIDGE, _GAIN = 20, 1e-6, 1e-3

# Orders with errors below this share of ‖A‖ are given to a solver that finishes at once, and those that then
# are below the other end the search.
_NEAR, _FOUND = 0.1, 1e-6


def find_order(
    A: Any,
    supports: Any,
    *,
    starts: int = 4,
    max_rounds: int = 20,
    rng: int | np.random.Generator = 0,
) -> Factorization:
    """Find orders of rows and columns in which supports fit a matrix, and factorize it.

    Rounds of three steps: factors for the order as it is; each row of A is given to the place whose support
    can make most of it out of the other factors, all rows at once (an assignment problem); each column
    likewise. Starts are the order as it is, orders that bring entries near the diagonal or sort rows and
    columns by how many they have, and random ones.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        Real or complex, finite.
    supports : Supports or sequence of supports
        Two factors or more, as `factorize` takes them.
    starts : int
        Number of random orders to start from, besides the others.
    max_rounds : int
        Rounds of each start.
    rng : int or numpy.random.Generator
        Seed of the random orders.

    Returns
    -------
    Factorization
        The best one found, whose `rows` and `columns` are the orders: ``A[rows][:, columns]`` has the
        product of the factors, up to the error.

    Raises
    ------
    OptionError, ShapeError, InputError, InputTypeError
        As `factorize`, and if a number is out of range.

    Notes
    -----
    **Guarantee.** None about the orders: which are best is a combinatorial question that this heuristic does
    not answer, and `relative_error` tells whether it found any that fit. The certificate is about the orders
    found. For chains of Kronecker patterns ``Hierarchical(permutation="search")`` knows more.

    **Cost.** Each round that of some sweeps, O((m + n) · m n) for the gains, and two assignments, O(m³ + n³);
    up to a dozen starts besides the random ones, of a few rounds each.

    References
    ----------
    H. W. Kuhn, "The Hungarian method for the assignment problem", Nav. Res. Logist. Q. 2 (1955); E. Cuthill,
    J. McKee, "Reducing the bandwidth of sparse symmetric matrices", ACM 1969, for entries near the diagonal.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> A = np.kron(np.eye(4), [[1.0, 2.0], [3.0, 6.0]])[rng.permutation(8)][:, rng.permutation(8)]
    >>> F = fsmf.find_order(A, fsmf.block_diagonal(8, blocks=4))
    >>> F.relative_error < 1e-12, np.allclose(F.to_dense(), A)
    (True, True)
    """
    A, norm = as_matrix(A)
    supports = as_supports(supports)
    starts, max_rounds = as_count("starts", starts, at_least=0), as_count("max_rounds", max_rounds)
    generator = as_rng(rng)
    dense: Array = (A.toarray() if sparse.issparse(A) else A) / (norm or 1.0)
    best: Factorization | None = None
    least = math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        order = np.arange(A.shape[0]), np.arange(A.shape[1])
        seen = set()
        for start in _starts(dense, starts, generator):
            error, found = _improved(dense, start, supports, max_rounds)
            if error < least:
                least, order = error, found
            # A few sweeps do not tell which of those that nearly fit does.
            key = found[0].tobytes() + found[1].tobytes()
            if error <= _NEAR and key not in seen:
                seen.add(key)
                F = _finished(A, supports, found)
                best = F if best is None or _misfit(F) < _misfit(best) else best
                if _misfit(best) <= (False, _FOUND):
                    break
        if best is None:
            best = _finished(A, supports, order)
    return best


def _misfit(F: Factorization) -> tuple[bool, float]:
    """Whether factors grow, and the error: small ones come at no price in some other order."""
    return F.status is Status.FACTORS_GROW, F.relative_error


def _finished(A: Any, supports: Supports, order: Orders) -> Factorization:
    """The factorization for these orders."""
    rows, columns = order
    solvers: list[Solver] = [BlockSVD(), Hierarchical(), VariableProjection()]
    F = factorize(A[rows][:, columns], supports, solver=solvers)
    return Factorization(
        F.supports,
        F.values,
        rows=rows,
        columns=columns,
        norm=F.norm,
        status=F.status,
        certificate=F.certificate,
        history=F.history,
        solver=F.solver,
        ridge_path=F.ridge_path,
    )


def _improved(A: Array, order: Orders, supports: Supports, max_rounds: int) -> tuple[float, Orders]:
    """The error that rounds end at, and the orders."""
    rows, columns = best = order
    least = math.inf
    solvers: list[Solver] = [BlockSVD(), Hierarchical(), ALS(starts=1, max_sweeps=_SWEEPS, ridge=_RIDGE)]
    for _ in range(max_rounds):
        F = factorize(A[rows][:, columns], supports, solver=solvers)
        if F.error >= (1 - _GAIN) * least:
            break
        least, best = F.error, (rows, columns)
        if least <= _FOUND:
            break
        factors = [X.toarray() for X in F.factors]
        right = right_products(factors)[0]
        assert right is not None
        own, factors[0] = _assigned(A[rows][:, columns], supports[0], right)
        rows = rows[own]
        own, _ = _assigned(A[rows][:, columns].T, supports[-1].T, multiplied(factors[:-1]).T)
        columns = columns[own]
    return least, best


def _assigned(A: Array, support: Support, right: Array) -> tuple[Index, Array]:
    """Which row of A each place of a left factor is to make, and the factor that makes it."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and rarely needed

    lists = IndexLists.of(support)
    labels, first = group_equal(lists)
    kinds = [lists[k] for k in first]
    gains = np.empty((len(A), len(kinds)))
    for kind, places in enumerate(kinds):
        _, s, Vh = np.linalg.svd(right[places], full_matrices=False)
        used = Vh[s > _ROUNDING * s.max(initial=0.0)]
        gains[:, kind] = np.linalg.norm(A @ used.conj().T, axis=1) ** 2
    order: Index = np.argsort(linear_sum_assignment(gains[:, labels], maximize=True)[1])
    factor = np.zeros(support.shape, dtype=np.result_type(A, right))
    for kind, places in enumerate(kinds):
        rows = np.flatnonzero(labels == kind)
        solved = np.linalg.lstsq(right[places].T, A[order[rows]].T, rcond=None)[0]
        factor[np.ix_(rows, places)] = solved.T
    return order, factor


def _starts(A: Array, number: int, rng: np.random.Generator) -> Iterator[Orders]:
    """The order as it is, orders that the places and sizes of entries tell, and random ones; none twice."""
    (m, n), seen = A.shape, set()
    for rows, columns in (
        (np.arange(m), np.arange(n)),
        *_told(np.abs(A)),
        *((rng.permutation(m), rng.permutation(n)) for _ in range(number)),
    ):
        key = rows.tobytes() + columns.tobytes()
        if key not in seen:
            seen.add(key)
            yield rows, columns


def _told(size: Array) -> Iterator[Orders]:
    """Entries near the diagonal, components together, and rows and columns by how many entries they have."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    m, n = size.shape
    peak = size.max(initial=0.0)
    if not peak:
        return
    for share in _ZEROS:
        there = size > share * peak
        if there.all():
            continue
        graph = sparse.csr_array(
            np.block([[np.zeros((m, m), bool), there], [there.T, np.zeros((n, n), bool)]])
        )
        near = reverse_cuthill_mckee(graph, symmetric_mode=True)
        yield near[near < m].astype(np.intp), near[near >= m].astype(np.intp) - m
        counts = there.sum(axis=1), there.sum(axis=0)
        for signs in ((1, -1), (1, 1), (-1, -1)):
            rows, columns = (
                np.argsort(sign * count, kind="stable") for sign, count in zip(signs, counts, strict=True)
            )
            yield rows, columns
    # The second singular vectors of a bipartite graph put what belongs together side by side.
    weight = (size / peak) ** 2
    roots = [np.sqrt(np.maximum(weight.sum(axis=axis), 1e-300)) for axis in (1, 0)]
    U, _, Vh = np.linalg.svd(weight / roots[0][:, None] / roots[1])
    if min(m, n) > 1:
        yield np.argsort(U[:, 1] / roots[0], kind="stable"), np.argsort(Vh[1] / roots[1], kind="stable")
