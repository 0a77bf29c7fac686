"""What factors promise that are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.residuals import product_error
from fsmf.certificates.verification import Check, Verification, close
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.supports.support import Supports

__all__ = ["ByConstruction"]

# Roundings of each entry on the way through one factor, generously.
_ROUNDINGS = 8


@dataclass(frozen=True)
class ByConstruction:
    """Certify factors that are known in closed form: the error is rounding.

    Attributes
    ----------
    error : float
        A bound on the rounding of the product, in the units of the matrix.
    n_factors : int
        Number of factors, which the bound is proportional to.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.transforms.hadamard(4).certificate
    ByConstruction(error=1.4210854715202004e-14, n_factors=2)
    """

    error: float
    n_factors: int

    name: ClassVar[str] = "ByConstruction"
    lower_bound: ClassVar[float] = 0.0

    @classmethod
    def of(cls, norm: float, n_factors: int, dtype: Any) -> ByConstruction:
        """Return the certificate of a product of known norm."""
        return cls(_ROUNDINGS * n_factors * float(np.finfo(dtype).eps) * norm, n_factors)

    @property
    def gap(self) -> float:
        """How far the error may be above 0, in the units of the matrix."""
        return self.error

    def scalars(self) -> dict[str, Any]:
        """Return the numbers of the certificate by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: none."""
        return []

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> ByConstruction:
        """Build the certificate from what a file holds."""
        return cls(**numbers)

    def scaled(self, factor: float) -> ByConstruction:
        """Return the certificate of a multiple."""
        return replace(self, error=self.error * factor)

    def transposed(self) -> ByConstruction:
        """Return the certificate of the transpose."""
        return self

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check the bound against A, as `QuasiOptimum.verify`."""
        error, _ = product_error(A, factors)
        bound = ByConstruction.of(frobenius_norm(A), len(factors), factors[0].dtype).error
        return Verification(
            (
                Check("error within its bound", self.error, error, error <= self.error),
                Check("bound", self.error, bound, close(self.error, bound, 0.0)),
                Check("factors", self.n_factors, len(factors), self.n_factors == len(factors)),
            )
        )

    def __str__(self) -> str:
        return f"exact by construction: error at most {self.error:.2g}, which is rounding"
