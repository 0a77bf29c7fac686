"""Best pieces of a given rank of many equal-shaped blocks of one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackError, svds

from fsmf.errors import SupportError
from fsmf.kernels.best_pieces import best_pieces
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.kernels.twins import compiled_twin

__all__ = ["TruncatedSVD", "truncated_svd"]

_twin = partial(compiled_twin, "truncated_svd")

Array = NDArray[Any]

# Bytes of blocks laid out at a time.
_CHUNK = 1 << 25

# LAPACK takes about 100 + min(b, c) ns an entry (b = c from 8 to 1024, float64, one thread of a Zen 4 core).
# The twin is faster from the first block, but loading it takes half a second, and compiling it, once a dtype,
# some five: not for less than 50 ms of LAPACK.
_FEW = 50_000_000

# Of blocks up to 64 wide the twin finds any number of values at no more than the price of all by LAPACK (one
# thread each); of wider ones an eighth, at a half to a seventh of it; a quarter of 256 costs more.
_ANY_RANK = 64


class TruncatedSVD(NamedTuple):
    """The best rank-k pieces ``U[t] @ diag(s[t]) @ Vh[t]`` of n_blocks blocks of shape (b, c).

    Attributes
    ----------
    U : ndarray of shape (n_blocks, b, k)
        Left singular vectors, orthonormal columns, in the dtype of the matrix.
    s : ndarray of float64, shape (n_blocks, k)
        Singular values, descending, in the units of the matrix.
    Vh : ndarray of shape (n_blocks, k, c)
        Right singular vectors, orthonormal rows, in the dtype of the matrix.
    tails : ndarray of float64, shape (n_blocks,)
        Frobenius norm of each block less its piece, in the units of the matrix.
    """

    U: Array
    s: NDArray[np.float64]
    Vh: Array
    tails: NDArray[np.float64]


def truncated_svd(A: Array | sparse.csr_array, rows: Array, columns: Array, rank: int) -> TruncatedSVD:
    """Find the best pieces of rank k of the blocks ``B_t = A[np.ix_(rows[t], columns[t])]`` of a matrix.

    Block by block, the minimum of ``‖B_t - Z‖_F`` over all Z of rank k = min(rank, b, c), as a singular value
    decomposition.

    Parameters
    ----------
    A : ndarray or csr_array of shape (m, n)
        float32, float64, complex64 or complex128, of finite entries and any strides; only read.
    rows : ndarray of int, shape (n_blocks, b)
        Rows of each block, at least 0.
    columns : ndarray of int, shape (n_blocks, c)
        Columns of each block, at least 0.
    rank : int
        Largest rank of a piece.

    Returns
    -------
    TruncatedSVD
        The pieces, and what they leave.

    Raises
    ------
    SupportError
        If a row or a column lies outside A.

    Notes
    -----
    **Guarantee.** The square of each tail exceeds the least possible by at most 1e-10 of itself, and by
    rounding: some units in the last place of the block's norm, in the dtype of A.

    **Cost.** O(n_blocks · b · c · k) for blocks with a gap behind the k-th singular value, each read from A
    once; more steps, then LAPACK, O(n_blocks · b · c · min(b, c)), where values are nearly tied. Copies of
    blocks take some tens of MB at a time, or one block.

    References
    ----------
    Golub, Kahan, SIAM J. Numer. Anal. 2 (1965); Simon, Zha, SIAM J. Sci. Comput. 21 (2000).

    Examples
    --------
    >>> import numpy as np
    >>> A = np.diag([1.0, 2.0, 3.0, 4.0])
    >>> svd = truncated_svd(A, rows=np.array([[0, 2], [1, 3]]), columns=np.array([[0, 2], [1, 3]]), rank=1)
    >>> svd.s
    array([[3.],
           [4.]])
    >>> svd.tails
    array([1., 2.])
    """
    rows, columns = _indices(rows, A.shape[0], "rows"), _indices(columns, A.shape[1], "columns")
    (n_blocks, b), c = rows.shape, columns.shape[1]
    k = min(rank, b, c)
    if is_foreign(A):
        return _elsewhere(A, rows, columns, rank)
    if sparse.issparse(A) and b * c * A.dtype.itemsize > _CHUNK and 8 * k <= min(b, c):
        return _joined(_sparse_block(A[rows[t]][:, columns[t]], k) for t in range(n_blocks))
    few = n_blocks * b * c * (100 + min(b, c)) < _FEW
    many_values = min(b, c) > _ANY_RANK and 8 * k > min(b, c)
    if few or many_values or _twin() is None:
        return _joined(_lapack(stack, k) for stack in _stacks(A, rows, columns))
    if isinstance(A, np.ndarray) and A.flags.forc:
        return _compiled(A, rows, columns, k)
    return _joined(_compiled(*_side_by_side(stack), k) for stack in _stacks(A, rows, columns))


def _elsewhere(A: Any, rows: Array, columns: Array, rank: int) -> TruncatedSVD:
    """The same where A lives, some blocks at a time."""
    space, n = space_of(A), A.shape[1]
    xp, flat = space.xp, space.xp.reshape(A, (-1,))
    (n_blocks, b), c = rows.shape, columns.shape[1]
    step = max(1, _CHUNK // max(1, b * c))
    parts = []
    for start in range(0, max(1, n_blocks), step):
        i, j = (space.put(index[start : start + step]) for index in (rows, columns))
        places = xp.reshape(i[:, :, None] * n + j[:, None, :], (-1,))
        B = xp.reshape(xp.take(flat, places, axis=0), (i.shape[0], b, c))
        U, W, tails = best_pieces(B, rank)
        # The rows of W are orthogonal where they differ in size; a small decomposition makes them so.
        small, s, Vh = xp.linalg.svd(W, full_matrices=False)
        parts.append((xp.matmul(U, small), space.cast(s, np.float64), Vh, tails))
    return TruncatedSVD(*(xp.concat(list(same)) for same in zip(*parts, strict=True)))


def _indices(indices: Array, size: int, what: str) -> Array:
    """The indices as the twin takes them: within range, for it checks nothing."""
    indices = np.ascontiguousarray(indices, dtype=np.intp)
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise SupportError(
            f"blocks need {what} from 0 to {size - 1}; found {indices.min()} to {indices.max()}; "
            f"give {what} of the matrix itself"
        )
    return indices


def _joined(parts: Iterator[TruncatedSVD]) -> TruncatedSVD:
    """One batch of several."""
    return TruncatedSVD(*map(np.concatenate, zip(*parts, strict=True)))


def _stacks(A: Array | sparse.csr_array, rows: Array, columns: Array) -> Iterator[Array]:
    """Copies of the blocks, as arrays of shape (some of n_blocks, b, c), one at least."""
    (n_blocks, b), c = rows.shape, columns.shape[1]
    at_once = max(1, _CHUNK // max(1, b * c * A.dtype.itemsize))
    for first in range(0, max(1, n_blocks), at_once):
        some = slice(first, first + at_once)
        i, j = rows[some, :, None], columns[some, None, :]
        if sparse.issparse(A):
            i, j = (np.broadcast_to(x, (len(i), b, c)).reshape(-1, c) for x in (i, j))
            yield A[i, j].toarray().reshape(-1, b, c)
        else:
            yield A[i, j]


def _side_by_side(stack: Array) -> tuple[Array, Array, Array]:
    """A stack of blocks as one matrix, with the rows and columns of each."""
    n_blocks, b, c = stack.shape
    rows = np.arange(n_blocks * b).reshape(n_blocks, b)
    return stack.reshape(-1, c), rows, np.tile(np.arange(c), (n_blocks, 1))


def _lapack(stack: Array, k: int) -> TruncatedSVD:
    """The leading k of all singular values."""
    U, s, Vh = np.linalg.svd(stack, full_matrices=False)
    s = s.astype(np.float64)
    peak = s.max(axis=1, initial=0, keepdims=True)
    peak[peak == 0] = 1
    tails = np.linalg.norm(s[:, k:] / peak, axis=1) * peak[:, 0]
    return TruncatedSVD(U[:, :, :k], s[:, :k], Vh[:, :k], tails)


def _compiled(A: Array, rows: Array, columns: Array, k: int) -> TruncatedSVD:
    """Let the twin solve what it can, and LAPACK the rest."""
    if not A.flags.c_contiguous:
        V, s, Uh, tails = _compiled(A.T, columns, rows, k)
        return TruncatedSVD(Uh.swapaxes(1, 2), s, V.swapaxes(1, 2), tails)
    twin = _twin()
    assert twin is not None
    *found, solved = twin.truncated_svd(A, rows, columns, k)
    (rest,) = np.nonzero(~solved)
    if rest.size:
        plain = _joined(_lapack(stack, k) for stack in _stacks(A, rows[rest], columns[rest]))
        for whole, part in zip(found, plain, strict=True):
            whole[rest] = part
    return TruncatedSVD(*found)


def _sparse_block(B: sparse.csr_array, k: int) -> TruncatedSVD:
    """One block too large to be laid out, unless ARPACK is not accurate on it."""
    dtype, peak = B.dtype, abs(B).max()
    if peak == 0:
        eyes = (np.eye(size, k, dtype=dtype)[None] for size in B.shape)
        return TruncatedSVD(next(eyes), np.zeros((1, k)), next(eyes).swapaxes(1, 2), np.zeros(1))
    # Squares of the entries must stay in range; a power of two changes no digit.
    exponent = int(np.frexp(peak)[1])
    scaled = B.astype(np.result_type(dtype, np.float64))
    scaled.data = np.ldexp(scaled.data.view(np.float64), -exponent).view(scaled.dtype)
    start = np.random.default_rng(0).standard_normal(min(B.shape)).astype(scaled.dtype)
    try:
        V = svds(scaled, k, v0=start)[2].conj().T
    except ArpackError:
        return _lapack(B.toarray()[None], k)
    # ARPACK squares the condition: take from it the space alone.
    Q, _ = np.linalg.qr(scaled @ V)
    U, s, Vh = np.linalg.svd((scaled.conj().T @ Q).conj().T, full_matrices=False)
    U = Q @ U
    r = np.linalg.norm(scaled @ Vh.conj().T - U * s, axis=0)
    total = np.linalg.norm(scaled.data) ** 2
    square = total - s @ s
    if square < 1e-6 * total:
        square = 0.0
        at_once = max(1, _CHUNK // (16 * B.shape[1]))
        for first in range(0, B.shape[0], at_once):
            some = slice(first, first + at_once)
            square += np.linalg.norm(scaled[some].toarray() - (U[some] * s) @ Vh) ** 2
    # What such residuals can cost: see the twin.
    gap = s**2 - square
    excess = np.where(gap > 0, np.minimum(2 * s * r, (r * s) ** 2 / np.where(gap > 0, gap, 1)), 2 * s * r)
    if excess[r > 64 * np.finfo(dtype).eps * s[0]].sum() > 1e-10 * square:
        return _lapack(B.toarray()[None], k)
    return TruncatedSVD(
        U.astype(dtype)[None],
        np.ldexp(s, exponent)[None],
        Vh.astype(dtype)[None],
        np.ldexp(np.sqrt([square]), exponent),
    )
