"""Best pieces of low rank of many blocks, in any array library."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fsmf.kernels.best_pieces_cuda import pieces_by_kernel
from fsmf.kernels.namespace import space_of

__all__ = ["LowRank", "adjoint", "best_pieces", "norms"]

# Gram matrices up to this side are decomposed in batches by the libraries of GPUs; larger ones one by one.
_SMALL = 32

# The leading vector of larger ones is sought in a space of this dimension, which so many squarings of the
# matrix single out: of what lies below it by a hundredth nothing is left then.
_SPACE, _SQUARINGS, _NEAR = 8, 12, 1 / 256

# Directions this much weaker than the strongest, in squares, are rounding.
_ROUNDING = 1e-14


class LowRank(NamedTuple):
    """The best pieces ``U[t] @ W[t]`` of rank k of blocks of shape (b, c).

    Attributes
    ----------
    U : array of shape (n_blocks, b, k)
        Orthonormal columns.
    W : array of shape (n_blocks, k, c)
        ``Uᴴ B``: rows that are orthogonal to each other where U holds singular vectors.
    tails : array of float64, shape (n_blocks,)
        Frobenius norm of each block less its piece.
    """

    U: Any
    W: Any
    tails: Any


def best_pieces(B: Any, rank: int) -> LowRank:
    """Find the best pieces of rank k = min(rank, b, c) of a batch of blocks.

    Parameters
    ----------
    B : array of shape (n_blocks, b, c)
        float32, float64, complex64 or complex128, finite.
    rank : int
        Largest rank of a piece.

    Returns
    -------
    LowRank
        Where the blocks are.

    Notes
    -----
    **Guarantee.** Tails are least up to some roundings of the norm of a block. On a GPU many blocks, or short
    ones, are decomposed by Jacobi's rotations, all at once. Elsewhere blocks with a short side have
    the eigenvectors of their Gram matrix: in double precision for single precision blocks, and otherwise for
    rank one, where an error of ε in the squares moves the space by ε, and the tail by no more. For rank
    one those of long sides get them from a high power of it, and where a residual does not prove them, from
    an SVD. Tails are norms of what is left itself, not differences of squares.

    **Cost.** O(n_blocks · b · c · min(b, c)), in some passes over the blocks.

    Examples
    --------
    >>> import numpy as np
    >>> best_pieces(np.array([[[3.0, 0.0], [0.0, 4.0]]]), 1).tails
    array([3.])
    """
    space = space_of(B)
    xp, (_, b, c) = space.xp, B.shape
    k = min(rank, b, c)
    found = pieces_by_kernel(B, k)
    if found is not None:
        return LowRank(*found)
    dtype = space.dtype(B)
    short = min(b, c)
    if k < short <= _SMALL and (k == 1 or dtype.char in "fF"):
        double = space.cast(B, np.result_type(dtype, np.float64))
        if b <= c:
            vectors = xp.linalg.eigh(xp.matmul(double, adjoint(xp, double)))[1][:, :, -k:]
        else:
            right = xp.linalg.eigh(xp.matmul(adjoint(xp, double), double))[1][:, :, -k:]
            vectors = xp.linalg.qr(xp.matmul(double, right))[0]
        U = space.cast(xp.flip(vectors, axis=2), dtype)
    elif k == 1 < short and B.shape[0]:
        U = _leading(B)
    else:
        U = xp.linalg.svd(B, full_matrices=False)[0][:, :, :k]
    W = xp.matmul(adjoint(xp, U), B)
    return LowRank(U, W, norms(B - xp.matmul(U, W)))


def _leading(B: Any) -> Any:
    """Leading left singular vectors of blocks with long sides, shape (n_blocks, b, 1)."""
    space = space_of(B)
    xp, dtype, (n_blocks, b, c) = space.xp, space.dtype(B), B.shape
    double = space.cast(B, np.result_type(dtype, np.float64))
    turned = adjoint(xp, double)
    gram = xp.matmul(double, turned) if b <= c else xp.matmul(turned, double)
    whole = _trace(space, gram)
    power = gram
    for _ in range(_SQUARINGS):
        size = _trace(space, power)
        power = power / xp.where(size > 0, size, xp.ones_like(size))[:, None, None]
        power = xp.matmul(power, power)
    mixed = np.random.default_rng(0).standard_normal((min(b, c), _SPACE))
    basis = _basis(xp, xp.matmul(power, space.cast(space.put(mixed), space.dtype(gram))))
    image = xp.matmul(gram, basis)
    values, vectors = xp.linalg.eigh(xp.matmul(adjoint(xp, basis), image))
    found = xp.matmul(basis, vectors[:, :, -1:])
    residual = norms(xp.matmul(image, vectors[:, :, -1:]) - values[:, None, -1:] * found)
    # What the square of the tail exceeds the least one by, and what rounding may make it exceed. Values that
    # the space does not hold can be as near as _NEAR.
    gap = xp.minimum(values[:, -1] - values[:, -2], _NEAR * values[:, -1])
    gap = xp.maximum(gap, residual)
    excess = residual**2 / xp.where(gap > 0, gap, xp.ones_like(gap))
    left = xp.maximum(whole - values[:, -1], xp.zeros_like(whole))
    unsure = excess > float(np.finfo(dtype).eps) * xp.sqrt(whole * left)
    U = found if b <= c else xp.matmul(double, found)
    size = norms(U)[:, None, None]
    U = xp.where(size > 0, U / xp.where(size > 0, size, xp.ones_like(size)), space.eye(b, np.float64)[:, :1])
    which = xp.nonzero(unsure)[0]
    if which.shape[0]:
        own = xp.linalg.svd(xp.take(double, which, axis=0), full_matrices=False)[0][:, :, :1]
        order = xp.cumulative_sum(space.cast(unsure, np.int64)) + (n_blocks - 1)
        everyone = xp.arange(n_blocks, dtype=order.dtype, device=space.device)
        U = xp.take(xp.concat([U, own]), xp.where(unsure, order, everyone), axis=0)
    return space.cast(U, dtype)


def _basis(xp: Any, Z: Any) -> Any:
    """Orthonormal columns that span what those of few columns do, zeros for what is rounding.

    By small Gram matrices, twice, as one pass leaves its rounding divided by what it kept: libraries of GPUs
    have no QR of a batch that is not a loop.
    """
    for _ in range(2):
        values, vectors = xp.linalg.eigh(xp.matmul(adjoint(xp, Z), Z))
        kept = values > _ROUNDING * values[:, -1:]
        scale = xp.where(
            kept, 1 / xp.sqrt(xp.where(kept, values, xp.ones_like(values))), xp.zeros_like(values)
        )
        Z = xp.matmul(Z, vectors) * scale[:, None, :]
    return Z


def _trace(space: Any, gram: Any) -> Any:
    """The traces of Gram matrices, real."""
    xp, found = space.xp, space.xp.linalg.trace(gram)
    return xp.real(found) if xp.isdtype(found.dtype, "complex floating") else found


def norms(B: Any) -> Any:
    """Return the Frobenius norm of each block, in double precision."""
    space = space_of(B)
    xp = space.xp
    double = space.cast(xp.abs(B), np.float64)
    peak = xp.max(double, axis=(1, 2), keepdims=True)
    scaled = double / xp.where(peak > 0, peak, xp.ones_like(peak))
    return peak[:, 0, 0] * xp.sqrt(xp.sum(scaled * scaled, axis=(1, 2)))


def adjoint(xp: Any, B: Any) -> Any:
    """Return the conjugate transpose of each block."""
    turned = xp.matrix_transpose(B)
    return xp.conj(turned) if xp.isdtype(B.dtype, "complex floating") else turned
