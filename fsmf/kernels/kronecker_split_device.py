"""Best pieces of low rank of many blocks, and splits of Kronecker-sparse factors, in any array library."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.namespace import space_of

__all__ = ["LowRank", "best_pieces", "norms", "split_there"]

Pattern = tuple[int, int, int, int]

# Gram matrices up to this side are decomposed in batches by the libraries of GPUs; larger ones one by one.
_SMALL = 32


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
    **Guarantee.** Tails are least up to some roundings of the norm of a block. Blocks with a short side have
    the eigenvectors of their Gram matrix: in double precision for single precision blocks, and otherwise for
    rank one, where an error of ε in the squares moves the space by ε, and the tail by no more. Tails are
    norms of what is left itself, not differences of squares.

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
    dtype = space.dtype(B)
    short = min(b, c)
    if k < short <= _SMALL and (k == 1 or dtype.char in "fF"):
        double = space.cast(B, np.result_type(dtype, np.float64))
        if b <= c:
            vectors = xp.linalg.eigh(xp.matmul(double, _adjoint(xp, double)))[1][:, :, -k:]
        else:
            right = xp.linalg.eigh(xp.matmul(_adjoint(xp, double), double))[1][:, :, -k:]
            vectors = xp.linalg.qr(xp.matmul(double, right))[0]
        U = space.cast(xp.flip(vectors, axis=2), dtype)
    else:
        U = xp.linalg.svd(B, full_matrices=False)[0][:, :, :k]
    W = xp.matmul(_adjoint(xp, U), B)
    return LowRank(U, W, norms(B - xp.matmul(U, W)))


def norms(B: Any) -> Any:
    """Return the Frobenius norm of each block, in double precision."""
    space = space_of(B)
    xp = space.xp
    double = space.cast(xp.abs(B), np.float64)
    peak = xp.max(double, axis=(1, 2), keepdims=True)
    scaled = double / xp.where(peak > 0, peak, xp.ones_like(peak))
    return peak[:, 0, 0] * xp.sqrt(xp.sum(scaled * scaled, axis=(1, 2)))


def split_there(V: Any, left: Pattern, right: Pattern, *, side: str = "left") -> tuple[Any, Any, Any]:
    """Split values of a product pattern into those of its two factors; the twin of `split` where V lives.

    Parameters
    ----------
    V : array of shape (a, b, d, c)
        Values of the product ``left * right``, finite.
    left, right : tuple of int
        Chainable patterns (a, b, c, d).
    side : {'left', 'right'}
        Which factor is to be orthonormal.

    Returns
    -------
    X, Y : array of shape (a, b, d, c)
        Values of the left factor and of the right.
    tails : array of float64, shape (a of the right, d of the left)
        Frobenius norm of what each block loses.
    """
    cut = Blocks.of(left, right)
    space = space_of(V)
    xp = space.xp
    whole = cut.whole(V)
    n_left, n_right, b, c = whole.shape
    B = xp.reshape(whole, (n_left * n_right, b, c))
    if side == "left":
        U, W, tails = best_pieces(B, cut.r)
    else:
        V_own, W_own, tails = best_pieces(_adjoint(xp, B), cut.r)
        U, W = _adjoint(xp, W_own), _adjoint(xp, V_own)
    missing = cut.r - U.shape[2]
    if missing:
        U = xp.concat([U, space.zeros((B.shape[0], b, missing), space.dtype(B))], axis=2)
        W = xp.concat([W, space.zeros((B.shape[0], missing, c), space.dtype(B))], axis=1)
    X = cut.from_left(xp.reshape(U, (n_left, n_right, b, cut.r)))
    Y = cut.from_right(xp.reshape(W, (n_left, n_right, cut.r, c)))
    return X, Y, xp.reshape(tails, (n_left, n_right))


def _adjoint(xp: Any, B: Any) -> Any:
    turned = xp.matrix_transpose(B)
    return xp.conj(turned) if xp.isdtype(B.dtype, "complex floating") else turned
