"""Matrices for chains of Kronecker patterns, and what a factorization into one makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
ORDERS = ["left-to-right", "right-to-left", "balanced"]


def gaussian(shape: Any, dtype: Any = float, seed: Any = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    return (A + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else A).astype(dtype)


def patterns(chain: Any) -> list[oracles.Pattern]:
    return [pattern.abcd for pattern in chain]


def product(F: Any) -> np.ndarray:
    """What the factors make, in double precision, without permutations."""
    return oracles.chain_product(F.values, patterns(F.supports))


def exact(chain: Any, dtype: Any, seed: int) -> np.ndarray:
    """A product of Gaussian factors."""
    values = [gaussian(pattern.nnz, dtype, [seed, i]) for i, pattern in enumerate(chain)]
    return oracles.chain_product(values, patterns(chain)).astype(dtype)


def slack(A: np.ndarray) -> float:
    """A hundred roundings."""
    return 100 * float(np.finfo(A.dtype).eps) * float(np.linalg.norm(A))
