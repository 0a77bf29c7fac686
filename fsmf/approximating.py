"""Approximate a matrix by what multiplies fast, whichever family of supports does it best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from typing import Any

from fsmf.errors import OptionError
from fsmf.factorization import Factorization
from fsmf.factorizing import factorize
from fsmf.kernels.matrix import as_matrix
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.supports.architectures import butterfly, low_rank, monarch
from fsmf.supports.kronecker import Architecture
from fsmf.supports.support import Supports, as_supports

__all__ = ["approximate"]


def approximate(
    A: Any,
    *,
    max_parameters: int | None = None,
    max_flops: int | None = None,
    rtol: float | None = None,
    families: Sequence[Any] | None = None,
) -> list[Factorization]:
    """Try the families of chains that fit a matrix, and return those that no other one beats.

    Parameters
    ----------
    A : array_like or sparse array, shape (m, n)
        The matrix.
    max_parameters : int, optional
        Most nonzeros that all factors may have together; by default ``m n``, where sparsity begins.
    max_flops : int, optional
        Most floating-point operations that a vector may take.
    rtol : float, optional
        Largest error, relative to ‖A‖.
    families : sequence of supports, optional
        What to try instead of low rank, Monarch and butterfly supports of growing ranks, each of the
        latter two for the columns as they are and in digit-reversed order.

    Returns
    -------
    list of Factorization
        From few parameters and a large error to many and a small one: every other that was tried has both no
        fewer parameters and no smaller error than one of these. Empty if nothing keeps to the budgets.

    Raises
    ------
    OptionError
        If a budget is not positive.
    ShapeError, InputError, InputTypeError, RefusedError
        As `fsmf.factorize`.

    Notes
    -----
    **Guarantee.** That of each factorization; nothing is promised about families that were not tried.

    **Cost.** A factorization for each candidate: some dozens of passes over A.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> best = fsmf.approximate(np.fft.fft(np.eye(64)), rtol=1e-12)[0]
    >>> best.supports.name, best.n_parameters
    ('butterfly(64, 64)', 768)
    """
    A, norm = as_matrix(A)
    m, n = A.shape
    for name, value in (("max_parameters", max_parameters), ("max_flops", max_flops), ("rtol", rtol)):
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise OptionError(f"{name} must be a positive number; found {value!r}")
    most = min(max_parameters or m * n, (max_flops or math.inf) / (8 if A.dtype.kind == "c" else 2))
    candidates = _candidates(m, n) if families is None else [as_supports(one) for one in families]
    tried = []
    for supports in candidates:
        if supports.n_parameters > most:
            continue
        chain = supports.patterns if families is None and isinstance(supports, Architecture) else ()
        reorder = any(pattern.abcd[0] > 1 for pattern in chain)
        solvers = [None, Hierarchical(permutation="bit-reversal")] if reorder else [None]
        tried += [factorize(A, supports, solver=solver) for solver in solvers]
    return [F for F in _unbeaten(tried) if rtol is None or F.error <= rtol * norm]


def _candidates(m: int, n: int) -> Iterator[Supports]:
    """Families of shape (m, n) with growing ranks, as far as they have fewer parameters than m·n."""
    ranks = [2**i for i in takewhile(lambda i: 2**i <= min(m, n), count())]
    yield from (low_rank(m, n, rank=rank) for rank in ranks if rank * (m + n) <= m * n)
    common = math.gcd(m, n)
    for blocks in range(2, common):
        if common % blocks == 0:
            yield from _sparse(m, n, (monarch(m, n, blocks=blocks, rank=rank) for rank in ranks))
    try:
        yield from _sparse(m, n, (butterfly(m, n, rank=rank) for rank in ranks))
    except OptionError:
        return  # a large prime divides a side


def _sparse(m: int, n: int, chains: Iterator[Architecture]) -> Iterator[Architecture]:
    return takewhile(lambda chain: chain.n_parameters <= m * n, chains)


def _unbeaten(found: list[Factorization]) -> list[Factorization]:
    """Those with fewer parameters than all that have a smaller or equal error."""
    best: list[Factorization] = []
    for F in sorted(found, key=lambda F: (F.n_parameters, F.error)):
        if not best or F.error < best[-1].error:
            best.append(F)
    return best
