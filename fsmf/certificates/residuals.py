"""Products formed piece by piece, and compared with a matrix, to check what a certificate says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import comfortable_exponent, divided

__all__ = ["CHUNK", "comfortable", "dense", "divided_factor", "product_error"]

# Places compared at a time when products are formed for checking.
CHUNK = 1 << 22


def product_error(A: Any, factors: Sequence[Any]) -> tuple[float, float]:
    """‖A − X1 … XL‖_F by forming the product row by row, and the rounding to expect."""
    m, n = A.shape
    step = max(1, CHUNK // n)
    errors, sizes = [], []
    for start in range(0, m, step):
        rows = slice(start, start + step)
        product, absolute = sparse.csr_array(factors[0])[rows], abs(sparse.csr_array(factors[0])[rows])
        for factor in factors[1:]:
            product, absolute = product @ factor, absolute @ abs(factor)
        errors.append(frobenius_norm(dense(A[rows]) - dense(product)))
        sizes.append(frobenius_norm(absolute))
    eps = float(np.finfo(factors[0].dtype).eps)
    slack = 8 * len(factors) * eps * (frobenius_norm(A) + math.hypot(*sizes))
    return math.hypot(*errors), slack


def dense(piece: Any) -> NDArray[Any]:
    """Return a piece of a matrix as a dense array."""
    dense: NDArray[Any] = piece.toarray() if sparse.issparse(piece) else piece
    return dense


def divided_factor(factor: Any, exponent: int) -> Any:
    """Return a sparse factor divided by ``2**exponent``."""
    factor = sparse.csr_array(factor, copy=True)
    factor.data = divided(factor.data, exponent)
    return factor


def comfortable(A: Any, factors: Sequence[Any], certificate: Any) -> tuple[Any, Sequence[Any], Any]:
    """Return A, the factors of a chain and a certificate in units where no square leaves the floats."""
    exponent = comfortable_exponent(A.dtype, frobenius_norm(A))
    if not exponent:
        return A, factors, certificate
    factors = [divided_factor(factors[0], exponent), *factors[1:]]
    half = exponent // 2
    return divided(A, exponent), factors, certificate.scaled(2.0**-half).scaled(2.0 ** (half - exponent))
