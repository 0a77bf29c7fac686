"""Numba twin of `fsmf.kernels.kronecker_contract`: rows of the matrix stream past the factor."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsmf.kernels.threads import in_parallel, n_threads

__all__ = ["contract_left", "contract_right"]

Array = NDArray[Any]

# Sums may be reordered, which is what vectorises them; NaN and infinity keep their meaning.
_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_sums
def _contract_right(A: Array, slabs: Array, out: Array, first: int, last: int) -> None:
    """For the rows β l + λ of the given λ: products with the slab of λ, ``slabs[λ, ρ, κ, γ]``."""
    l, r, k, c = slabs.shape
    for lam in range(first, last):
        for beta in range(out.shape[0]):
            row = A[beta * l + lam]
            for rho in range(r):
                for kappa in range(k):
                    piece, slab = row[kappa * c : (kappa + 1) * c], slabs[lam, rho, kappa]
                    total = A.dtype.type(0)
                    for gamma in range(c):
                        total += piece[gamma] * slab[gamma]
                    out[beta, lam, kappa * r + rho] = total


@_sums
def _contract_left(A: Array, slabs: Array, out: Array, first: int, last: int) -> None:
    """For each λ: sums of the rows β l + λ with weights ``slabs[λ, β, κ, ρ]``."""
    l, b, k, r = slabs.shape
    c = out.shape[3]
    for lam in range(first, last):
        out[lam] = 0
        for beta in range(b):
            row = A[beta * l + lam]
            for rho in range(r):
                for kappa in range(k):
                    weight = slabs[lam, beta, kappa, rho]
                    piece, target = row[kappa * c : (kappa + 1) * c], out[lam, rho, kappa]
                    for gamma in range(c):
                        target[gamma] += weight * piece[gamma]


def _by_slab(kernel: Any, A: Array, slabs: Array, out: Array) -> None:
    A = A.view()
    A.flags.writeable = False  # compiled once, for what may be written and what may not
    bounds = np.linspace(0, len(slabs), min(4 * n_threads(), len(slabs)) + 1).astype(int)
    in_parallel(lambda ends: kernel(A, slabs, out, *ends), pairwise(bounds))


def contract_right(A: Array, slabs: Array, out: Array) -> None:
    """Write to ``out[β, λ, (κ, ρ)]`` the products of row β l + λ of A with ``slabs[λ, ρ, κ]``."""
    _by_slab(_contract_right, A, slabs, out)


def contract_left(A: Array, slabs: Array, out: Array) -> None:
    """Write to ``out[λ, ρ, κ]`` the sums of the rows β l + λ of A with weights ``slabs[λ, β, κ, ρ]``."""
    _by_slab(_contract_left, A, slabs, out)
