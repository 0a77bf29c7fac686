"""The split of a Kronecker-sparse factor, in any array library."""

from __future__ import annotations

from typing import Any

from fsmf.kernels.best_pieces import adjoint, best_pieces
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.namespace import space_of

__all__ = ["split_there"]

Pattern = tuple[int, int, int, int]


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
        V_own, W_own, tails = best_pieces(adjoint(xp, B), cut.r)
        U, W = adjoint(xp, W_own), adjoint(xp, V_own)
    missing = cut.r - U.shape[2]
    if missing:
        U = xp.concat([U, space.zeros((B.shape[0], b, missing), space.dtype(B))], axis=2)
        W = xp.concat([W, space.zeros((B.shape[0], missing, c), space.dtype(B))], axis=1)
    X = cut.from_left(xp.reshape(U, (n_left, n_right, b, cut.r)))
    Y = cut.from_right(xp.reshape(W, (n_left, n_right, cut.r, c)))
    return X, Y, xp.reshape(tails, (n_left, n_right))
