"""What proofs have in common that say with a curve which matrix is a limit of products."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from scipy import sparse

from fsmf.supports.support import Supports
from fsmf.wellposedness.rational import Entries, RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["CurveProof"]


@dataclass(frozen=True)
class CurveProof:
    """Hold a curve of products without an identity; why its limit is no product, subclasses say.

    Attributes
    ----------
    curve : Witness
        The target B and products X(t) Y(t) that tend to it, without an identity.
    """

    curve: Witness

    reason: ClassVar[str] = "some blocks of the matrix have higher ranks than those of a product can have"

    @property
    def supports(self) -> Supports:
        """The two supports, as they multiply."""
        return self.curve.supports

    @property
    def target(self) -> Entries[Fraction]:
        """The nonzeros of the target: row, column, value."""
        return self.curve.target

    @property
    def factors(self) -> tuple[Entries[RationalFunction], ...]:
        """The entries of the curve, factor by factor."""
        return self.curve.factors

    def matrix(self) -> sparse.csr_array:
        """Return the target in floating point, a ``csr_array`` of shape ``(m, n)``."""
        return self.curve.matrix()

    def numeric(self, t: float) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return the factors at one point of the curve, as `Witness.numeric`."""
        return self.curve.numeric(t)
