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


def check_pieces(B, k, U, W, tails, *, gram):
    """Pieces of blocks are the best of rank k, by LAPACK, and U is orthonormal up to `gram`."""
    s = np.linalg.svd(B.astype(np.result_type(B.dtype, float)), compute_uv=False)
    slack = 40 * float(np.finfo(B.dtype).eps) * s.max()
    np.testing.assert_allclose(tails, np.linalg.norm(s[:, k:], axis=1), atol=slack)
    np.testing.assert_allclose(tails, np.linalg.norm(B - U @ W, axis=(1, 2)), atol=slack)
    found = U.conj().swapaxes(1, 2) @ U
    np.testing.assert_allclose(found, np.broadcast_to(np.eye(k), found.shape), atol=gram)
    assert tails.dtype == np.float64
