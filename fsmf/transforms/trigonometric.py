"""Real trigonometric transforms: Hartley, cosine and sine, as exact chains of real factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import OptionError
from fsmf.factorization import Factorization
from fsmf.kernels.permutations import digit_reversal
from fsmf.supports.layout import Index
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

__all__ = ["dct", "dst", "hartley", "hartley_chain", "real_radices"]


def hartley(n: int, *, norm: str | None = None, dtype: Any = np.float64) -> Factorization:
    """Return the discrete Hartley transform as an exact product of real sparse factors.

    ``y_k = Σ_j x_j (cos(2πjk/n) + sin(2πjk/n))``: the real part of the Fourier transform less the imaginary.

    Parameters
    ----------
    n : int
        Number of points.
    norm : {None, "backward", "ortho", "forward"}
        The normalization, as in ``scipy.fft``; None is "backward", without factor. With "ortho" the transform
        is its own inverse.
    dtype : dtype
        float64 or float32.

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
        If n has a prime factor above 64: a prime p is one factor of dense blocks with sides p or 2p.

    Notes
    -----
    **Guarantee.** Exact by construction: values are correct to a few roundings.

    **Cost.** For even n all factors are Kronecker patterns: with the prime factors ``n = 2 r_2 ⋯ r_L`` they
    have ``2 n (r_2 + … + r_L)`` nonzeros, ``4 n (log₂ n − 1)`` for a power of two. For odd n only the last
    one is; they have less than ``2 n (r_1 + … + r_L)``.

    References
    ----------
    R. N. Bracewell, "The fast Hartley transform", Proc. IEEE 72 (1984).

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf import transforms
    >>> H = transforms.hartley(16)
    >>> H.supports
    Architecture(hartley(16): (1, 4, 4, 4) · (2, 4, 4, 2) · (4, 4, 4, 1), 192 nonzeros)
    >>> y = np.fft.fft(np.arange(16.0))
    >>> np.allclose(H @ np.arange(16.0), y.real - y.imag)
    True
    """
    n, dtype = as_size(n), as_dtype(dtype, np.float64, np.float32)
    scale = normalization(norm, n)
    warn_of_dense_blocks(f"hartley({n})", n)
    chain = hartley_chain(n)
    name = f"hartley({n}{f', norm={norm!r}' * bool(norm)})"
    return chain.factorization(name, scale=scale, norm=n * scale, dtype=dtype)


def dct(
    n: int,
    type: int = 2,
    *,
    norm: str | None = None,
    orthogonalize: bool | None = None,
    dtype: Any = np.float64,
) -> Factorization:
    """Return a discrete cosine transform as an exact product of real sparse factors.

    The same as ``scipy.fft.dct`` with the same arguments.

    Parameters
    ----------
    n : int
        Number of points; at least 2 for type 1.
    type : {1, 2, 3, 4}
        Which of the transforms.
    norm : {None, "backward", "ortho", "forward"}
        The normalization, as in ``scipy.fft``; None is "backward", without factor.
    orthogonalize : bool, optional
        Whether to make the matrix a multiple of an orthogonal one, as in ``scipy.fft``. By default where
        `norm` is "ortho".
    dtype : dtype
        float64 or float32.

    Returns
    -------
    Factorization
        Shape ``(n, n)``.

    Raises
    ------
    OptionError
        If n is too small or no integer, or an option is unknown.

    Warns
    -----
    PerformanceWarning
        If the size (``n − 1`` for type 1) has a prime factor above 64, which makes dense blocks.

    Notes
    -----
    **Guarantee.** Exact by construction: values are correct to a few roundings.

    **Cost.** Types 2 to 4 have as many nonzeros as `hartley` of size n, on the same patterns for even n:
    rotations, signs and reorderings cost nothing. Type 1 has the factors of size ``2 (n − 1)``, the outer
    ones cut.

    References
    ----------
    J. Makhoul, "A fast cosine transform in one and two dimensions", IEEE Trans. Acoust. Speech Signal
    Process. 28 (1980).

    Examples
    --------
    >>> import numpy as np, scipy.fft
    >>> from fsmf import transforms
    >>> C = transforms.dct(8, norm="ortho")
    >>> x = np.arange(8.0)
    >>> np.allclose(C @ x, scipy.fft.dct(x, norm="ortho")), np.allclose(C.T @ (C @ x), x)
    (True, True)
    """
    kind = _as_type(type)
    n = as_size(n, at_least=2 if kind == 1 else 1)
    size = n - 1 if kind == 1 else n
    warn_of_dense_blocks(f"dct({n}, {kind})", size)
    chain = _cosine_chain(n, kind)
    return _normalized("dct", chain, kind, norm, orthogonalize, dtype, size=2 * size)


def dst(
    n: int,
    type: int = 2,
    *,
    norm: str | None = None,
    orthogonalize: bool | None = None,
    dtype: Any = np.float64,
) -> Factorization:
    """Return a discrete sine transform as an exact product of real sparse factors.

    The same as ``scipy.fft.dst`` with the same arguments.

    Parameters
    ----------
    n : int
        Number of points.
    type : {1, 2, 3, 4}
        Which of the transforms.
    norm : {None, "backward", "ortho", "forward"}
        The normalization, as in ``scipy.fft``; None is "backward", without factor.
    orthogonalize : bool, optional
        Whether to make the matrix a multiple of an orthogonal one, as in ``scipy.fft``. By default where
        `norm` is "ortho".
    dtype : dtype
        float64 or float32.

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
        If the size (``n + 1`` for type 1) has a prime factor above 64, which makes dense blocks.

    Notes
    -----
    **Guarantee.** Exact by construction: values are correct to a few roundings.

    **Cost.** Types 2 to 4 have as many nonzeros as `hartley` of size n, on the same patterns for even n;
    type 1 has the factors of size ``2 (n + 1)``, the outer ones cut.

    References
    ----------
    S. A. Martucci, "Symmetric convolution and the discrete sine and cosine transforms", IEEE Trans. Signal
    Process. 42 (1994).

    Examples
    --------
    >>> import numpy as np, scipy.fft
    >>> from fsmf import transforms
    >>> S = transforms.dst(7, 1)
    >>> x = np.arange(7.0)
    >>> np.allclose(S @ x, scipy.fft.dst(x, 1))
    True
    """
    kind, n = _as_type(type), as_size(n)
    size = n + 1 if kind == 1 else n
    warn_of_dense_blocks(f"dst({n}, {kind})", size)
    return _normalized("dst", _sine_chain(n, kind), kind, norm, orthogonalize, dtype, size=2 * size)


def _as_type(kind: Any) -> int:
    if not isinstance(kind, int | np.integer) or kind not in (1, 2, 3, 4):
        raise OptionError(f"type must be 1, 2, 3 or 4; found {kind!r}; choose one of them")
    return int(kind)


def _normalized(
    family: str,
    chain: Chain,
    kind: int,
    norm: str | None,
    orthogonalize: bool | None,
    dtype: Any,
    *,
    size: int,
) -> Factorization:
    """Scale a chain without normalization; `size` is what `norm` divides by."""
    n, dtype = len(chain.rows), as_dtype(dtype, np.float64, np.float32)
    scale = normalization(norm, size)
    orthogonal = norm == "ortho" if orthogonalize is None else bool(orthogonalize)
    # What keeps the matrix from being a multiple of an orthogonal one: its ends, and what they add to ‖F‖².
    ends, excess = {
        ("dct", 1): ([0, -1], size - 2),
        ("dct", 2): ([0], size),
        ("dct", 3): ([0], -size // 2),
        ("dst", 2): ([-1], size),
        ("dst", 3): ([-1], -size // 2),
    }.get((family, kind), ([], 0))
    if orthogonal and ends:
        longer, excess = np.ones(n), 0
        longer[ends] = math.sqrt(2)
        chain = chain.scaled(rows=None if kind == 3 else 1 / longer, columns=None if kind == 2 else longer)
    name = f"{family}({n}, {kind}{f', norm={norm!r}' * bool(norm)})"
    return chain.factorization(name, scale=scale, norm=math.sqrt(size * n + excess) * scale, dtype=dtype)


def _cosine_chain(n: int, kind: int) -> Chain:
    """The cosine transforms without normalization.

    With the even samples first, ascending, and then the odd ones, descending, types 2 and 4 are
    ``2 Re exp(iφ_k) Σ_j exp(2πi jκ/n) v_j`` with κ = k or k + ½ and ``φ_k = πκ/2n``, for type 4 with the odd
    samples negated: see Makhoul for type 2.
    """
    if kind == 1:
        length = 2 * n - 2
        chain = hartley_chain(length, weights=np.full(length, 1 + 1j)).restricted(slice(n), slice(n))
        ends = np.ones(n)
        ends[[0, -1]] = 0.5
        return chain.scaled(columns=ends)
    if kind == 3:
        first = np.ones(n)
        first[0] = 0.5
        return _cosine_chain(n, 2).T.scaled(columns=first)
    halves = 2 * np.arange(n) + (kind == 4)
    weights = (1 + 1j) * unit_roots(halves, 8 * n)
    chain = hartley_chain(n, halves=int(kind == 4), weights=weights)
    chain = chain.relabelled(columns=np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)[::-1]]))
    return chain.scaled(columns=_alternating(n)) if kind == 4 else chain


def _sine_chain(n: int, kind: int) -> Chain:
    """The sine transforms without normalization: cosine transforms turned round."""
    if kind == 1:
        length = 2 * n + 2
        chain = hartley_chain(length, weights=np.full(length, 1 - 1j))
        return chain.restricted(slice(1, n + 1), slice(1, n + 1))
    back = np.arange(n)[::-1]
    if kind == 4:
        return _cosine_chain(n, 4).relabelled(columns=back).scaled(rows=_alternating(n))
    chain = _cosine_chain(n, kind)
    if kind == 2:
        return chain.relabelled(rows=back).scaled(columns=_alternating(n))
    return chain.relabelled(columns=back).scaled(rows=_alternating(n))


def _alternating(n: int) -> NDArray[np.float64]:
    signs = np.ones(n)
    signs[1::2] = -1
    return signs


def hartley_chain(n: int, *, halves: int = 0, weights: NDArray[np.complex128] | None = None) -> Chain:
    """Return the chain of ``Re(μ_k) h_k + Im(μ_k) h_{−k}``, where μ are the weights, 1 by default.

    Here ``h_k = Σ_j x_j cas(2πjκ/n)`` with ``cas = cos + sin`` and ``κ = k + halves/2``, and −k is the index
    of −κ. With ``n = r m`` and the transforms Y_q of ``x_q, x_{q+r}, …``,

        h_k = Σ_q cos(2πqκ/n) Y_q[k mod m] + sin(2πqκ/n) Y_q[−k mod m],

    so that outputs k and −k draw on the same 2r numbers: kept together, they make a Kronecker pattern
    ``(1, 2r, 2r, m/2)``. For even m there are m/2 such pairs, where 0 and m/2, which are their own mirrors,
    make one; odd m leaves an index over, and the factor is a plain one.
    """
    radices = real_radices(n)
    order: Index = np.zeros(1, dtype=np.intp)
    m, factors = 1, []
    for r in reversed(radices):
        inner, size = order, r * m
        order = _paired_order(inner, r, halves) if size % 2 == 0 else np.arange(size)
        twiddles = unit_roots((2 * order[:, None] + halves) * np.arange(r), 2 * size)
        if size == n and weights is not None:
            twiddles = twiddles * weights[order, None]
        if m == 1 or m % 2 == 0:
            values = _paired_values(order, inner, twiddles, halves)
            factors.append(Factor.kronecker(values, copies=n // size))
        else:
            stage = _plain_stage(m, twiddles, halves)
            if size < n or weights is None:
                stage.eliminate_zeros()  # unit roots are exact where they are zero; weighted ones are not
            factors.append(Factor.of(sparse.kron(sparse.eye_array(n // size), stage)))
        m = size
    return Chain(tuple(reversed(factors)), order, digit_reversal(radices))


def real_radices(n: int) -> list[int]:
    """Return the radices with the fewest nonzeros: the last, whose inputs have no mirrors, counts once."""
    primes = prime_factors(n)
    # Even n needs an even last radix, and then all the choices but 2 itself cost the same.
    return [*primes[2:], math.prod(primes[:2])] if n % 2 == 0 else primes


def _paired_order(inner: Index, r: int, halves: int) -> Index:
    """Indices of a transform of even size: one of each pair {k, −k}, then their mirrors.

    The pairs that the radix-r stage makes from one pair of `inner`, the order of the transforms that it
    combines, stand at a distance of m/2, as the pattern wants them.
    """
    m = len(inner)
    if m == 1:
        half = np.arange(r // 2)
    else:
        half = np.add.outer(m * np.arange(r), inner[: m // 2])
        if not halves:
            half[:, 0] = m // 2 * np.arange(r)
        half = half.reshape(-1)
    mirrors = (-half - halves) % (r * m)
    if not halves:
        mirrors[0] = r * m // 2
    return np.concatenate([half, mirrors])


def _paired_values(
    order: Index, inner: Index, twiddles: NDArray[np.complex128], halves: int
) -> NDArray[np.float64]:
    """Values of shape ``(w r, m/w, r w)`` of the stage, for w = 2 members a pair, or one where m = 1."""
    r, m = twiddles.shape[1], len(inner)
    w = min(m, 2)
    k, j = order.reshape(w * r, m // w, 1), inner.reshape(w, m // w).T
    same, mirror = (k - j) % m == 0, (k + j + halves) % m == 0
    t = twiddles.reshape(w * r, m // w, r, 1)
    values = t.real * same[:, :, None] + t.imag * mirror[:, :, None]
    flat: NDArray[np.float64] = values.reshape(w * r, m // w, r * w)
    return flat


def _plain_stage(m: int, twiddles: NDArray[np.complex128], halves: int) -> sparse.csr_array:
    """The stage in natural order, for odd m."""
    size, r = twiddles.shape
    k, q = np.arange(size)[:, None], m * np.arange(r)
    i = np.broadcast_to(k, (size, 2 * r))
    j = np.hstack([q + k % m, q + (-k - halves) % m])
    values = np.hstack([twiddles.real, twiddles.imag])
    return sparse.csr_array((values.ravel(), (i.ravel(), j.ravel())), shape=(size, size))
