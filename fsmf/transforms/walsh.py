"""Transforms with piecewise constant rows: Hadamard and Haar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from fsmf.errors import OptionError
from fsmf.factorization import Factorization
from fsmf.kernels.permutations import digit_reversal
from fsmf.transforms.chain import Chain, Factor, as_dtype, as_size, normalization

__all__ = ["haar", "hadamard"]


def hadamard(
    n: int, *, order: str = "natural", norm: str | None = None, dtype: Any = np.float64
) -> Factorization:
    """Return the Walsh–Hadamard transform as an exact product of sparse factors.

    In natural order the matrix is ``[[1, 1], [1, −1]] ⊗ … ⊗ [[1, 1], [1, −1]]``, as
    ``scipy.linalg.hadamard``. The factors have the patterns ``(2^l, 2, 2, n/2^{l+1})``, those of
    `fsmf.butterfly`, in every order.

    Parameters
    ----------
    n : int
        A power of two.
    order : {"natural", "sequency", "dyadic"}
        The order of the rows: as above, by the number of sign changes (Walsh), or the natural one with the
        bits of the index reversed (Paley).
    norm : {None, "backward", "ortho", "forward"}
        The normalization: 1 for None and "backward", ``1/√n`` for "ortho", ``1/n`` for "forward".
    dtype : dtype
        float64, float32, complex128 or complex64.

    Returns
    -------
    Factorization
        Shape ``(n, n)``.

    Raises
    ------
    OptionError
        If n is no power of two, or an option is unknown.

    Notes
    -----
    **Guarantee.** Exact by construction, and without any rounding unless `norm` is "ortho" and n no power
    of 4.

    **Cost.** ``2 n log₂ n`` nonzeros; made in time linear in them.

    References
    ----------
    B. J. Fino, V. R. Algazi, "Unified matrix treatment of the fast Walsh–Hadamard transform", IEEE Trans.
    Comput. C-25 (1976).

    Examples
    --------
    >>> from fsmf import transforms
    >>> transforms.hadamard(4, order="sequency").to_dense().astype(int)
    array([[ 1,  1,  1,  1],
           [ 1,  1, -1, -1],
           [ 1, -1, -1,  1],
           [ 1, -1,  1, -1]])
    """
    levels = _as_levels(n)
    dtype = as_dtype(dtype, np.float64, np.float32, np.complex128, np.complex64)
    scale = normalization(norm, n)
    natural = np.arange(n)
    reversed_bits = digit_reversal([2] * levels)
    orders = {
        "natural": natural,
        "dyadic": reversed_bits,
        # Row s by sign changes is the dyadic row whose index is the Gray code of s.
        "sequency": np.argsort(natural ^ natural >> 1)[reversed_bits],
    }
    if not isinstance(order, str) or order not in orders:
        raise OptionError(f"order must be one of {', '.join(orders)}; found {order!r}; choose one of them")
    butterfly = np.array([[1, 1], [1, -1]], dtype=dtype) if levels else np.ones((1, 1), dtype=dtype)
    factors = [
        Factor.kronecker(
            np.broadcast_to(butterfly[:, None], (len(butterfly), max(1, n >> level + 1), len(butterfly))),
            copies=1 << level,
        )
        for level in range(max(1, levels))
    ]
    chain = Chain(tuple(factors), orders[order], natural)
    name = f"hadamard({n}{f', order={order!r}' * (order != 'natural')}{f', norm={norm!r}' * bool(norm)})"
    return chain.factorization(name, scale=scale, norm=n * scale, dtype=dtype)


def haar(n: int, *, dtype: Any = np.float64) -> Factorization:
    """Return the orthonormal Haar wavelet transform as an exact product of sparse factors.

    Row 0 is constant; rows ``2^j`` to ``2^{j+1} − 1`` are the wavelets that live on ``n/2^j`` consecutive
    points, from left to right, positive on their first half and negative on the second.

    Parameters
    ----------
    n : int
        A power of two.
    dtype : dtype
        float64 or float32.

    Returns
    -------
    Factorization
        Shape ``(n, n)``, one or two factors.

    Raises
    ------
    OptionError
        If n is no power of two, or an option is unknown.

    Notes
    -----
    **Guarantee.** Exact by construction: values are correct to one rounding.

    **Cost.** The matrix itself has ``n (log₂ n + 1)`` nonzeros, and one factor per level would have more, as
    each must pass on what is done. The two factors here, the fine levels and the coarse ones, are cut where
    they have the fewest: below ``6 n`` up to ``n = 2^10``, and ``7 n`` for ``n = 2^20``.

    References
    ----------
    A. Haar, "Zur Theorie der orthogonalen Funktionensysteme", Math. Ann. 69 (1910).

    Examples
    --------
    >>> from fsmf import transforms
    >>> W = transforms.haar(1024)
    >>> W.n_parameters / 1024 < 6
    True
    >>> transforms.haar(4).to_dense().round(3)
    array([[ 0.5  ,  0.5  ,  0.5  ,  0.5  ],
           [ 0.5  ,  0.5  , -0.5  , -0.5  ],
           [ 0.707, -0.707,  0.   ,  0.   ],
           [ 0.   ,  0.   ,  0.707, -0.707]])
    """
    levels, dtype = _as_levels(n), as_dtype(dtype, np.float64, np.float32)
    coarse = min(range(levels + 1), key=lambda c: (n * (levels - c + 1) + (n if c else 0) + (c << c), c))
    fine = Factor.of(_haar_levels(n, levels - coarse))
    factors = [fine]
    if coarse:
        passed_on = sparse.eye_array(n - (1 << coarse))
        factors.insert(0, Factor.of(sparse.block_diag([_haar_levels(1 << coarse, coarse), passed_on])))
    chain = Chain(tuple(factors), np.arange(n), np.arange(n))
    return chain.factorization(f"haar({n})", norm=math.sqrt(n), dtype=dtype)


def _haar_levels(n: int, levels: int) -> sparse.csr_array:
    """The finest levels of the transform: means, then wavelets from the coarse to the fine ones."""
    j = np.arange(n)
    rows, values = [j >> levels], [np.full(n, 2.0 ** (-levels / 2))]
    for level in range(1, levels + 1):
        rows.append((n >> level) + (j >> level))
        values.append(2.0 ** (-level / 2) * (1 - 2 * (j >> level - 1 & 1)))
    entries = (np.concatenate(values), (np.concatenate(rows), np.tile(j, levels + 1)))
    return sparse.csr_array(entries, shape=(n, n))


def _as_levels(n: Any) -> int:
    """Check a power of two and return its exponent."""
    count = as_size(n)
    if count & (count - 1):
        nearest = f"{1 << count.bit_length() - 1} or {1 << count.bit_length()}"
        raise OptionError(f"n must be a power of two; found {count}; take {nearest}")
    return count.bit_length() - 1
