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
    """For the rows β l + λ of the given λ: products with the slab of λ, ``slabs[λ, ρ, κ, γ]``.

    Four rows at a time, which share what is read of the slab.
    """
    l, r, k, c = slabs.shape
    b = out.shape[0]
    for lam in range(first, last):
        for beta in range(0, b, 4):
            w, x = A[beta * l + lam], A[min(beta + 1, b - 1) * l + lam]
            y, z = A[min(beta + 2, b - 1) * l + lam], A[min(beta + 3, b - 1) * l + lam]
            for rho in range(r):
                for kappa in range(k):
                    # Only a slice is known to hold no index that counts from the end, and so read in vectors.
                    slab, own = slabs[lam, rho, kappa], slice(kappa * c, kappa * c + c)
                    e, f, g, h = w[own], x[own], y[own], z[own]
                    p = q = s = t = A.dtype.type(0)
                    for j in range(c):
                        p += e[j] * slab[j]
                        q += f[j] * slab[j]
                        s += g[j] * slab[j]
                        t += h[j] * slab[j]
                    at = kappa * r + rho
                    out[min(beta + 3, b - 1), lam, at] = t
                    out[min(beta + 2, b - 1), lam, at] = s
                    out[min(beta + 1, b - 1), lam, at] = q
                    out[beta, lam, at] = p


@_sums
def _contract_left(A: Array, slabs: Array, out: Array, first: int, last: int) -> None:
    """For each λ: sums of the rows β l + λ with weights ``slabs[λ, β, κ, ρ]``, two rows at a time."""
    l, b, k, r = slabs.shape
    c = out.shape[3]
    for lam in range(first, last):
        out[lam] = 0
        for beta in range(0, b, 2):
            x, y = A[beta * l + lam], A[min(beta + 1, b - 1) * l + lam]
            for rho in range(r):
                for kappa in range(k):
                    target, own = out[lam, rho, kappa], slice(kappa * c, kappa * c + c)
                    e, f = x[own], y[own]
                    p = slabs[lam, beta, kappa, rho]
                    q = slabs[lam, beta + 1, kappa, rho] if beta + 1 < b else A.dtype.type(0)
                    for j in range(c):
                        target[j] += p * e[j] + q * f[j]


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
