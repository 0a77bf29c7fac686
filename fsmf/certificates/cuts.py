"""How supports are cut as a chain, and how far a matrix is from what its interfaces allow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fsmf.certificates.residuals import dense
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.supports.kronecker import Architecture, KroneckerPattern
from fsmf.supports.recognition import arrange
from fsmf.supports.support import Supports

__all__ = ["Whole", "interface_distances", "norm_off_pattern"]


class Whole(NamedTuple):
    """Say how supports can be cut: as which chain, and how A must be turned to fit it.

    Attributes
    ----------
    given : Architecture
        Chainable.
    chain : Architecture
        The same, not redundant.
    starts : tuple of int
        Which factor of the chain as it was given each one starts with.
    rows, columns : ndarray of int or None
        The order of A's rows and columns.
    transposed : bool
        Whether A is transposed after that.
    """

    given: Architecture
    chain: Architecture
    starts: tuple[int, ...]
    rows: Any
    columns: Any
    transposed: bool

    @classmethod
    def of(cls, supports: Supports) -> Whole | None:
        """Return how supports can be cut; None if they cannot."""
        return next(cls._all(supports), None)

    @classmethod
    def named_by(cls, order: Sequence[int], supports: Supports) -> Whole | None:
        """Return the cut at the interfaces that an order names, where there are several; else any."""
        # A chain and its transpose may both be chainable, and of equal ranks one or the other is redundant.
        for whole in cls._all(supports):
            if sorted(whole.numbered(order, len(supports))) == list(whole.starts[1:]):
                return whole
        return cls.of(supports)

    @classmethod
    def _all(cls, supports: Supports) -> Iterator[Whole]:
        arrangement = arrange(supports)
        if arrangement is not None:
            chain = arrangement.architecture
            for transposed, candidate in enumerate((chain, chain.T)):
                if candidate.is_chainable:
                    reduced, starts = candidate.reduced()
                    yield cls(
                        candidate, reduced, starts, arrangement.rows, arrangement.columns, bool(transposed)
                    )

    def numbered(self, order: Sequence[int], n: int) -> tuple[int, ...]:
        """Return the numbers in the chain of interfaces of n supports."""
        return tuple(n - s for s in order) if self.transposed else tuple(order)

    def turned(self, A: Any) -> Any:
        """Return A as the chain takes it."""
        A = A if self.rows is None else A[self.rows]
        A = A if self.columns is None else A[:, self.columns]
        return A.T if self.transposed else A


def norm_off_pattern(A: Any, pattern: KroneckerPattern) -> float:
    """Return ‖A‖_F off the places of a pattern, row by row."""
    a, b, c, d = pattern.abcd
    if a == d == 1:
        return 0.0
    if is_foreign(A):
        space = space_of(A)
        on = (
            space.eye(a, bool)[:, None, None, :, None, None]
            & space.eye(d, bool)[None, None, :, None, None, :]
        )
        places = space.xp.reshape(A, (a, b, d, a, c, d))
        return frobenius_norm(space.xp.where(on, space.xp.zeros_like(places), places))
    norms = []
    for i in range(A.shape[0]):
        row = dense(A[[i]])[0].reshape(a, c, d).copy()
        row[i // (b * d), :, i % d] = 0
        norms.append(frobenius_norm(row))
    return math.hypot(*norms)


def interface_distances(A: Any, chain: Architecture, interfaces: Sequence[int]) -> list[float]:
    """Return E_s for some interfaces of a chain, by LAPACK."""
    found = []
    for s in interfaces:
        interface = chain.interface(s)
        (a, b, _, d), (n_left, n_right) = interface.product.abcd, interface.n_blocks
        k, l, r = n_left // a, n_right // d, interface.rank
        (b1, c2), tails = interface.block, []
        for alpha in range(a):
            for kappa in range(k):
                # The columns of one slab, all its rows: blocks are disjoint pieces of it.
                columns = np.arange(c2) * d + (alpha * k + kappa) * c2 * d
                for delta in range(d):
                    rows = alpha * b * d + np.arange(b) * d + delta
                    slab = dense(A[rows][:, columns + delta]).reshape(b1, l, c2)
                    values = np.linalg.svd(slab.swapaxes(0, 1), compute_uv=False)
                    tails.append(frobenius_norm(values[:, r:]))
        found.append(math.hypot(*tails))
    return found
