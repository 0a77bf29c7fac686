"""Matrices that are constant along diagonals, as exact chains: two Fourier or Hartley transforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fsmf.errors import FsmfError, InputError, OptionError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import as_matrix, comfortable_exponent, divided
from fsmf.transforms.chain import Chain, Factor, as_size, prime_factors
from fsmf.transforms.fourier import fourier_chain
from fsmf.transforms.trigonometric import hartley_chain, real_radices

__all__ = ["circulant", "convolution", "toeplitz"]


def circulant(c: ArrayLike) -> Factorization:
    """Return the circulant matrix with a given first column as an exact product of sparse factors.

    ``C[i, j] = c[(i − j) mod n]``, as ``scipy.linalg.circulant``. For complex data it is ``F⁻¹ diag(F c) F``
    with the Fourier transform F; for real data the same with the Hartley transform, and real factors. The
    diagonal and its two neighbours are one factor.

    Parameters
    ----------
    c : array_like, shape (n,)
        The first column, real or complex.

    Returns
    -------
    Factorization
        Shape ``(n, n)``, with the dtype of c in floating point.

    Raises
    ------
    ShapeError, InputError, InputTypeError
        If c is no vector of finite numbers.

    Notes
    -----
    **Guarantee.** Exact by construction, up to rounding.

    **Cost.** About twice the nonzeros of `dft`, or, real, of `hartley`. Where n has a large prime factor, the
    matrix is cut out of a larger circulant; where c has so few nonzeros that the matrix itself is sparser
    than the chain, it is the one factor.

    References
    ----------
    P. J. Davis, "Circulant matrices", Wiley, 1979.

    Examples
    --------
    >>> import numpy as np, scipy.linalg
    >>> from fsmf import transforms
    >>> c = np.random.default_rng(0).standard_normal(64)
    >>> C = transforms.circulant(c)
    >>> len(C.factors), np.allclose(C.to_dense(), scipy.linalg.circulant(c))
    (9, True)
    """
    c = _as_vector("c", c)
    n = len(c)
    t = np.concatenate([c[1:], c])
    if _chain_cost(n, c) <= _chain_cost(_fast_size(2 * n - 1), c):
        return _constant_diagonals(t, n, n, f"circulant({n})", period=n)
    return _constant_diagonals(t, n, n, f"circulant({n})")


def toeplitz(c: ArrayLike, r: ArrayLike | None = None) -> Factorization:
    """Return the matrix with constant diagonals as an exact product of sparse factors.

    ``T[i, j] = c[i − j]`` for ``i ≥ j`` and ``r[j − i]`` above the diagonal, as ``scipy.linalg.toeplitz``:
    cut out of a circulant matrix of a size with small prime factors, whose outer factors are cut with it.

    Parameters
    ----------
    c : array_like, shape (m,)
        The first column, real or complex.
    r : array_like, shape (n,), optional
        The first row; ``r[0]`` is not used. The conjugate of c by default.

    Returns
    -------
    Factorization
        Shape ``(m, n)``, with the dtype of the data in floating point.

    Raises
    ------
    ShapeError, InputError, InputTypeError
        If c or r is no vector of finite numbers.

    Notes
    -----
    **Guarantee.** Exact by construction, up to rounding.

    **Cost.** About twice the nonzeros of `hartley`, or, complex, of `dft`, of size ``m + n``, less where
    outer diagonals are zero; or one factor, the matrix itself, where that is sparser.

    References
    ----------
    P. J. Davis, "Circulant matrices", Wiley, 1979.

    Examples
    --------
    >>> import numpy as np, scipy.linalg
    >>> from fsmf import transforms
    >>> T = transforms.toeplitz(np.arange(100.0), -np.arange(80.0))
    >>> T.shape, np.allclose(T.to_dense(), scipy.linalg.toeplitz(np.arange(100.0), -np.arange(80.0)))
    ((100, 80), True)
    """
    c = _as_vector("c", c)
    r = c.conj() if r is None else _as_vector("r", r)
    m, n = len(c), len(r)
    return _constant_diagonals(np.concatenate([r[:0:-1], c]), m, n, f"toeplitz({m}, {n})")


def convolution(h: ArrayLike, n: int, *, mode: str = "full") -> Factorization:
    """Return the convolution with a filter as an exact product of sparse factors.

    ``F @ x`` is ``scipy.signal.convolve(x, h, mode)`` for a signal x of n points.

    Parameters
    ----------
    h : array_like, shape (k,)
        The filter, real or complex.
    n : int
        Number of points of the signal.
    mode : {"full", "same", "valid"}
        All ``n + k − 1`` points where the two overlap, the central n of them, or the ``|n − k| + 1`` where
        the shorter one lies inside the longer one.

    Returns
    -------
    Factorization
        One row per point, n columns, with the dtype of h in floating point.

    Raises
    ------
    ShapeError, InputError, InputTypeError
        If h is no vector of finite numbers.
    OptionError
        If n is no positive integer or the mode is unknown.

    Notes
    -----
    **Guarantee.** Exact by construction, up to rounding.

    **Cost.** As `toeplitz`: a short filter is one banded factor, a long one a chain.

    References
    ----------
    P. J. Davis, "Circulant matrices", Wiley, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf import transforms
    >>> F = transforms.convolution([1.0, -2.0, 1.0], 5, mode="same")
    >>> F @ np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    array([  1.,   2.,   2.,   2., -23.])
    """
    h, n = _as_vector("h", h), as_size(n)
    k = len(h)
    spans = {
        "full": (0, n + k - 1),
        "same": ((k - 1) // 2, n),
        "valid": (min(n, k) - 1, abs(n - k) + 1),
    }
    if not isinstance(mode, str) or mode not in spans:
        raise OptionError(f"mode must be 'full', 'same' or 'valid'; found {mode!r}; choose one of them")
    start, m = spans[mode]
    # Entry (i, j) is h[i + start − j], zero outside.
    t = np.concatenate([np.zeros(n - 1, h.dtype), h, np.zeros(n - 1, h.dtype)])[start:][: m + n - 1]
    return _constant_diagonals(t, m, n, f"convolution({k}, {n}, mode={mode!r})")


def _constant_diagonals(
    t: NDArray[Any], m: int, n: int, name: str, period: int | None = None
) -> Factorization:
    """The m × n matrix whose diagonal ``i − j = d`` is ``t[d + n − 1]``; circulant if it has a period."""
    d = np.arange(1 - n, m)
    lengths = np.minimum(m, n + d) - np.maximum(d, 0)
    with np.errstate(over="ignore"):
        norm = frobenius_norm((np.sqrt(lengths) * t)[None])
    if not math.isfinite(norm):
        raise InputError(f"the norm of {name} must be finite; found that it overflows; scale the data down")
    kept = np.flatnonzero(t) if t.any() else np.array([n - 1])
    if period is None:
        # Smaller than m + n − 1 where diagonals are zero: what wraps round must not fall on the matrix.
        low, high = int(d[kept[0]]), int(d[kept[-1]])
        size = _fast_size(max(m, n, high + n, m - low))
    else:
        size = period
    if lengths[kept].sum() <= _chain_cost(size, t):
        matrix = sparse.diags_array(list(t[kept]), offsets=-d[kept], shape=(m, n), dtype=t.dtype)
        chain, exponent = Chain((Factor.of(matrix),), np.arange(m), np.arange(n)), 0
    else:
        # The spectrum of extreme data would overflow.
        exponent = min(comfortable_exponent(t.dtype, norm), np.finfo(t.dtype).maxexp - 1)
        column = np.zeros(size, np.result_type(t, np.float64))
        column[d[kept] % size] = divided(t[kept], exponent)
        chain = _circulant_chain(column).restricted(slice(m), slice(n))
    return chain.factorization(name, scale=math.ldexp(1.0, exponent), norm=norm, dtype=t.dtype)


def _circulant_chain(c: NDArray[Any]) -> Chain:
    """There and back is one chain and its transpose: they agree in the order of what is between them."""
    spectrum = np.fft.fft(c) / len(c)
    if np.iscomplexobj(c):
        forward = fourier_chain(len(c)).scaled(rows=spectrum)
        return fourier_chain(len(c), inverse=True).T @ forward
    return hartley_chain(len(c)).T @ hartley_chain(len(c), weights=spectrum.conj())


def _chain_cost(n: int, data: NDArray[Any]) -> int:
    """How many nonzeros the chain of a circulant matrix has; a few less for odd n and real data."""
    if np.iscomplexobj(data):
        blocks = prime_factors(n)
    else:
        *pairs, last = real_radices(n)
        blocks = [*(2 * r for r in pairs), last]
    return n * (2 * sum(blocks) - blocks[0])


def _fast_size(least: int) -> int:
    """The even size 2^a 3^b 5^c, not below `least`, whose transform is the sparsest."""
    sizes: dict[int, int] = {}
    for b in range(math.ceil(math.log(2 * least, 3)) + 1):
        for c in range(math.ceil(math.log(2 * least, 5)) + 1):
            odd = 3**b * 5**c
            a = max(1, (-(-least // odd) - 1).bit_length())
            sizes[odd << a] = (odd << a) * (2 * a + 3 * b + 5 * c)
    return min(sizes, key=lambda size: (sizes[size], size))


def _as_vector(name: str, values: Any) -> NDArray[Any]:
    """Check a vector of data; in one of the four dtypes."""
    try:
        vector = np.asanyarray(values)
    except (ValueError, OverflowError) as error:
        raise ShapeError(f"{name} must be a vector; {error}; give one number per entry") from None
    if vector.ndim != 1 or not vector.size:
        raise ShapeError(f"{name} must be a vector with entries; found shape {vector.shape}; reshape it")
    try:
        checked: NDArray[Any] = as_matrix(vector[None])[0][0]
    except FsmfError as error:
        raise type(error)(
            str(error).replace("A must", f"{name} must").replace("scale A", f"scale {name}")
        ) from None
    return checked
