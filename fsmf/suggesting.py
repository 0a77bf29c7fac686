"""Which supports suit a matrix: families in several orders, and supports that are found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from fsmf.approximating import approximate
from fsmf.errors import FsmfWarning, OptionError
from fsmf.factorization import Factorization
from fsmf.factorizing import factorize
from fsmf.kernels.matrix import as_matrix
from fsmf.kernels.sparse_basis import noise_level, sparse_basis
from fsmf.ordering import find_order
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.solvers.palm import PALM
from fsmf.supports.architectures import butterfly, monarch
from fsmf.supports.families import block_diagonal
from fsmf.supports.sizes import as_count
from fsmf.supports.sparsity import KSparse
from fsmf.thresholding.stability import as_rng

__all__ = ["Suggestion", "suggest_supports"]

Array = NDArray[Any]

# Errors below this share of the norm are rounding.
_ROUNDING = 1e-15

# Up to this side the order of rows and columns is searched for, and up to this rank sparse vectors are.
_SIDE, _RANK = 256, 48

# Singular values below this share of the largest do not count, nor entries of factors that are found.
_SMALL = 1e-6, 1e-3


@dataclass(frozen=True)
class Suggestion:
    """Hold supports for a matrix, and what they are worth.

    Attributes
    ----------
    name : str
        What the supports are: a family, in which order, or found.
    factorization : Factorization
        The factors on these supports.
    decades : float
        How many decimal digits of the error, relative to the norm, a thousand parameters take away.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> print(fsmf.suggest_supports(np.ones((8, 8)))[0])
    low_rank(8, 8, rank=1): error 0, 16 parameters
    """

    name: str
    factorization: Factorization
    decades: float

    def __str__(self) -> str:
        F = self.factorization
        error = 0.0 if F.relative_error <= _ROUNDING * 10 else F.relative_error
        return f"{self.name}: error {error:.3g}, {F.n_parameters} parameters"


def suggest_supports(
    A: Any,
    *,
    max_parameters: int | None = None,
    rng: int | np.random.Generator = 0,
) -> list[Suggestion]:
    """Rank families of supports, and supports that are found, by what their parameters buy.

    Low rank, Monarch and butterfly supports of several ranks are tried in the natural order and in
    digit-reversed order, and, up to side 256, a butterfly and a Monarch pair in the order that similarity of
    rows and of columns tells. Where zeros leave parts of A apart, as many diagonal blocks are tried in an
    order that `find_order` finds. Where A has low rank, sparse vectors that span its columns or its rows tell
    how many nonzeros a sparse pair needs.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        Real or complex, finite.
    max_parameters : int, optional
        Most nonzeros that all factors may have together; by default fewer than ``m n``.
    rng : int or numpy.random.Generator
        Seed of the search for sparse vectors.

    Returns
    -------
    list of Suggestion
        Those first whose parameters take most of the error away, counted in decimal digits a parameter; each
        has fewer parameters or a smaller error than any other.

    Raises
    ------
    OptionError
        If a budget is not positive.
    ShapeError, InputError, InputTypeError
        As `fsmf.factorize`.

    Notes
    -----
    **Guarantee.** None: other supports may be better. Each suggestion carries the certificate of its
    factorization.

    **Cost.** Some dozens of factorizations; the orders O(m n (m + n)) in each of some tens of rounds.

    Examples
    --------
    >>> import fsmf, numpy as np, scipy.linalg
    >>> shuffled = scipy.linalg.hadamard(32)[np.random.default_rng(0).permutation(32)]
    >>> fsmf.suggest_supports(shuffled)[0].name
    'butterfly(32, 32), reordered'
    """
    A, norm = as_matrix(A)
    m, n = A.shape
    most = max(1, m * n - 1) if max_parameters is None else as_count("max_parameters", max_parameters)
    generator = as_rng(rng)
    found: list[tuple[str, Factorization]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FsmfWarning)
        for F in approximate(A, max_parameters=most):
            name = F.supports.name or repr(F.supports)
            found.append((name if F.columns is None else f"{name}, digits reversed", F))
        if norm:
            found += _reordered(A, most)
            found += _shuffled(A, most)
            found += _sparse_pairs(A, most, generator)
    ranked = [Suggestion(name, F, _decades(F)) for name, F in _unbeaten(found)]
    return sorted(ranked, key=lambda one: -one.decades)


def _decades(F: Factorization) -> float:
    return -1000 * math.log10(max(F.relative_error, _ROUNDING)) / max(1, F.n_parameters)


def _unbeaten(found: list[tuple[str, Factorization]]) -> Iterator[tuple[str, Factorization]]:
    """Those with fewer parameters than all that have a smaller or equal error, up to rounding."""

    def worth(one: tuple[str, Factorization]) -> tuple[int, float]:
        return one[1].n_parameters, max(one[1].relative_error, 10 * _ROUNDING)

    least = math.inf
    for name, F in sorted(found, key=worth):
        error = worth((name, F))[1]
        if error < least:
            least = error
            yield name, F


def _reordered(A: Any, most: int) -> Iterator[tuple[str, Factorization]]:
    """Chains in the order of rows and columns that similarity tells."""
    m, n = A.shape
    if max(m, n) > _SIDE or sparse.issparse(A):
        return
    common = math.gcd(m, n)
    divisors = [p for p in range(2, common) if common % p == 0]
    chains = []
    if divisors:
        chains.append(monarch(m, n, blocks=min(divisors, key=lambda p: abs(p - math.sqrt(common)))))
    with suppress(OptionError):  # a large prime divides a side
        chains.append(butterfly(m, n))
    for chain in chains:
        if len(chain) > 1 and chain.n_parameters <= most:
            F = factorize(A, chain, solver=Hierarchical(permutation="search"))
            if F.rows is not None or F.columns is not None:
                yield f"{chain.name}, reordered", F


def _shuffled(A: Any, most: int) -> Iterator[tuple[str, Factorization]]:
    """Diagonal blocks, as many as no entry connects, in an order that shows them."""
    (m, n), (rows, columns) = A.shape, A.nonzero()
    if max(m, n) > _SIDE or len(rows) == m * n:
        return
    graph = sparse.coo_array((np.ones(len(rows), bool), (rows, columns + m)), shape=(m + n, m + n))
    count, label = connected_components(graph, directed=False)
    if not 1 < count <= min(m, n):
        return
    dense: Array = A.toarray() if sparse.issparse(A) else A
    parts = [dense[np.ix_(label[:m] == part, label[m:] == part)] for part in range(count)]
    rank = max(int(np.linalg.matrix_rank(part, rtol=_SMALL[0])) for part in parts if part.size)
    family = block_diagonal(m, n, blocks=count, rank=rank)
    if sum(support.nnz for support in family) <= most:
        yield f"{family.name}, reordered", find_order(A, family, starts=0)


def _sparse_pairs(A: Any, most: int, rng: np.random.Generator) -> Iterator[tuple[str, Factorization]]:
    """Pairs of sparse factors, with as many nonzeros as sparse vectors of a space of low dimension need."""
    dense: Array = A.toarray() if sparse.issparse(A) else A
    dense = dense.astype(np.result_type(dense.dtype, np.float64), copy=False)
    s = np.linalg.svd(dense, compute_uv=False)
    r = int(np.count_nonzero(s > _SMALL[0] * s[0]))
    if r > min(_RANK, min(dense.shape) // 2):
        return
    for turned in (False, True):
        B = dense.T if turned else dense
        X = sparse_basis(B, r, rng, noise=noise_level(B, r))[0]
        Y = np.linalg.lstsq(X, B, rcond=None)[0]
        counts = [int(np.count_nonzero(np.abs(Z) > _SMALL[1] * np.abs(Z).max())) for Z in (X, Y)]
        # Any matrix of rank r has factors with so many zeros.
        if sum(counts) > min(most, (sum(B.shape) - 2 * (r - 1)) * r - 1):
            continue
        pair = [KSparse(X.shape, counts[0]), KSparse(Y.shape, counts[1])]
        if turned:
            pair = [KSparse(Y.T.shape, counts[1]), KSparse(X.T.shape, counts[0])]
        F = factorize(A, pair, solver=PALM(starts=0, rng=rng))
        yield f"found: {F.n_parameters} nonzeros in {len(F.supports)} factors of rank {r}", F
