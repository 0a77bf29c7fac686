"""The discrete Fourier transform as an exact chain."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmf.factorization import Factorization
from fsmf.kernels.permutations import digit_reversal
from fsmf.transforms.chain import (
    Chain,
    Factor,
    as_dtype,
    as_size,
    normalization,
    prime_factors,
    unit_roots,
    warn_of_dense_blocks,
)

__all__ = ["dft", "fourier_chain"]


def dft(
    n: int, *, norm: str | None = None, inverse: bool = False, dtype: Any = np.complex128
) -> Factorization:
    """Return the discrete Fourier transform as an exact product of sparse factors.

    ``y_k = Σ_j x_j exp(−2πi jk/n)``, as ``scipy.fft.fft``. With the prime factors ``n = r_1 ⋯ r_L``,
    ascending, the factors have the patterns ``(r_1 ⋯ r_{l−1}, r_l, r_l, r_{l+1} ⋯ r_L)``, those of
    `fsmf.butterfly`, and take the columns in the order of reversed digits (of bits, for ``n = 2^L``).

    Parameters
    ----------
    n : int
        Number of points.
    norm : {None, "backward", "ortho", "forward"}
        The normalization, as in ``scipy.fft``; None is "backward", without factor.
    inverse : bool
        Return the inverse transform, ``scipy.fft.ifft`` with the same `norm`.
    dtype : dtype
        complex128 or complex64.

    Returns
    -------
    Factorization
        Shape ``(n, n)``.

    Raises
    ------
    OptionError
        If n is no positive integer, or an option is unknown.

    Warns
    -----
    PerformanceWarning
        If n has a prime factor above 64: a prime p is one factor of dense p × p blocks.

    Notes
    -----
    **Guarantee.** Exact by construction: every value is a root of unity, correct to about one rounding.

    **Cost.** ``n (r_1 + … + r_L)`` nonzeros, ``2 n log₂ n`` for a power of two; made in time linear in them.

    References
    ----------
    J. W. Cooley, J. W. Tukey, "An algorithm for the machine calculation of complex Fourier series", Math.
    Comp. 19 (1965).

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf import transforms
    >>> F = transforms.dft(12)
    >>> F.supports
    Architecture(dft(12): (1, 2, 2, 6) · (2, 2, 2, 3) · (4, 3, 3, 1), 84 nonzeros)
    >>> x = np.arange(12.0)
    >>> np.allclose(F @ x, np.fft.fft(x))
    True
    """
    n, dtype = as_size(n), as_dtype(dtype, np.complex128, np.complex64)
    scale = normalization(norm, n, inverse=bool(inverse))
    warn_of_dense_blocks(f"dft({n})", n)
    chain = fourier_chain(n, inverse=bool(inverse))
    name = f"dft({n}{', inverse=True' * bool(inverse)}{f', norm={norm!r}' * bool(norm)})"
    return chain.factorization(name, scale=scale, norm=n * scale, dtype=dtype)


def fourier_chain(n: int, *, inverse: bool = False) -> Chain:
    """Return the chain of the transform without normalization.

    With ``n = r m`` and the transforms Y_q of ``x_q, x_{q+r}, …``, entry ``k + m s`` of the transform is
    ``Σ_q exp(−2πi q (k + m s)/n) Y_q[k]``: a factor ``(1, r, r, m)``, and then r chains of size m.
    """
    radices = prime_factors(n)
    roots = unit_roots(np.arange(n) if inverse else -np.arange(n), n)
    factors, copies = [], 1
    for r in radices:
        k = copies * np.arange(n // copies).reshape(r, -1, 1)
        factors.append(Factor.kronecker(roots[k * np.arange(r) % n], copies=copies))
        copies *= r
    return Chain(tuple(factors), np.arange(n), digit_reversal(radices))
