"""What a sum of products of a chain promises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from scipy import sparse

from fsmf.certificates.cuts import Whole, interface_distances, norm_off_pattern
from fsmf.certificates.optimum_bracket import OptimumBracket
from fsmf.certificates.residuals import comfortable, product_error
from fsmf.certificates.verification import Check, Verification, close
from fsmf.errors import FsmfError
from fsmf.supports.kronecker import Architecture
from fsmf.supports.support import Supports

__all__ = ["SumBound"]


@dataclass(frozen=True)
class SumBound(OptimumBracket):
    """Certify a sum of products of a chain: its error, and what bounds it from below.

    Attributes
    ----------
    error : float
        ‖A − sum‖_F, in the units of A.
    lower_bound : float
        No sum of so many products is nearer to A: they have so many times the rank on each block.
    terms : int
        Number of products.
    patterns : tuple of (int, int, int, int)
        The chainable chain.
    errors : tuple of float
        ‖A − sum of the first products‖_F after each product, in the units of A.
    is_transposed : bool
        Whether the sum is of transposed products.

    Notes
    -----
    **Guarantee.** ``lower_bound ≤ optimum ≤ error``. Each product is nearly the best for what the earlier
    ones leave; nothing is promised for the sum.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((16, 16))
    >>> F = fsmf.factorize(A, fsmf.butterfly(16), solver=fsmf.Hierarchical(residual_terms=2))
    >>> F.certificate.terms, bool(F.verify(A))
    (2, True)
    """

    terms: int
    patterns: tuple[tuple[int, int, int, int], ...]
    errors: tuple[float, ...]
    is_transposed: bool = False

    name: ClassVar[str] = "SumBound"
    in_units: ClassVar[tuple[str, ...]] = (*OptimumBracket.in_units, "errors")

    def transposed(self) -> SumBound:
        """Return the certificate of the transposed problem."""
        return replace(self, is_transposed=not self.is_transposed)

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check every number from A, the supports and the factors alone, as `QuasiOptimum.verify`."""
        A, factors, scaled = comfortable(A, factors, self)
        return Verification(tuple(scaled._checks(A, supports, factors)))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any]) -> list[Check]:
        none = [Check("the supports are those of a sum", True, False, False)]
        try:
            chain = Architecture(self.patterns)
            expected = chain.summed(self.terms)
        except FsmfError:
            return none
        same = supports == (expected.T if self.is_transposed else expected)
        if not same or not chain.is_chainable or len(self.errors) != self.terms:
            return none
        error, slack = product_error(A, factors)
        whole = Whole.of(chain.with_ranks([self.terms * rank for rank in chain.ranks]))
        assert whole is not None
        turned = A.T if self.is_transposed else A
        bound = math.hypot(
            norm_off_pattern(turned, whole.chain.product),
            max(interface_distances(turned, whole.chain, range(1, len(whole.chain))), default=0.0),
        )
        partial = [_partial_error(A, factors, k) for k in range(1, self.terms + 1)]
        agree = all(close(*pair, slack) for pair in zip(self.errors, partial, strict=True))
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check("errors", self.errors, tuple(partial), agree),
            Check(
                "lower bound ≤ largest distance",
                self.lower_bound,
                bound,
                0 <= self.lower_bound <= bound * (1 + 1e-7) + slack,
            ),
        ]

    def __str__(self) -> str:
        return f"sum of {self.terms} products: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}"


def _partial_error(A: Any, factors: Sequence[Any], terms: int) -> float:
    """‖A − sum of the first terms‖_F."""
    m, n = A.shape
    count = factors[0].shape[1] // m
    kept = [sparse.csr_array(factors[0])[:, : terms * m]]
    for factor in factors[1:-1]:
        rows, columns = (terms * side // count for side in factor.shape)
        kept.append(sparse.csr_array(factor)[:rows, :columns])
    kept.append(sparse.csr_array(factors[-1])[: terms * n])
    return product_error(A, kept)[0]
