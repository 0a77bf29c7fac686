"""Kronecker-sparse factors of a matrix, one after another, each the best for what the earlier ones left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import ShapeError, SupportError
from fsmf.kernels import cuda
from fsmf.kernels.frobenius import begin_norms, frobenius_norm, frobenius_norms
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.kronecker_matmul import fused_pattern
from fsmf.kernels.kronecker_split_cuda import begin_iterating, split_by_kernel
from fsmf.kernels.kronecker_split_device import split_there
from fsmf.kernels.kronecker_strips_cuda import plan_all_strips, split_by_strips
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.kernels.truncated_svd import truncated_svd
from fsmf.kernels.twins import compiled_twin

__all__ = ["Interface", "LeftSplit", "begin_split_left", "split", "split_left"]

_twin = partial(compiled_twin, "kronecker_split")

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]

# Entries below which loading the twin (half a second) does not pay: LAPACK takes some milliseconds for them.
_FEW = 1 << 16


class Interface(NamedTuple):
    """Where a chain is cut: a · k · d blocks of shape (b, c), each of which keeps a piece of rank r.

    What is cut has values of shape (a, b, d, k c), the left side (a, b, d, k r), the right (a k, r, d, c).
    The rows (b, d) of a factor, taken together, may be those of several to come: only their order counts.
    """

    a: int
    b: int
    d: int
    k: int
    c: int
    r: int

    @property
    def n_values(self) -> int:
        """Values of the left factor."""
        return self.a * self.b * self.d * self.k * self.r

    @property
    def n_blocks(self) -> int:
        """Blocks."""
        return self.a * self.k * self.d


class LeftSplit(NamedTuple):
    """The factors of a chain, found from left to right.

    Attributes
    ----------
    values : list of ndarray of shape (a, b, d, c)
        Values of each factor, in the dtype of the matrix: ``[α, β, δ, γ]`` stands in row ``(α·b + β)·d + δ``
        and column ``(α·c + γ)·d + δ``. Columns of all factors but the last are orthonormal, or zero where the
        rank of an interface exceeds a side of its blocks.
    tails : list of ndarray of float64, shapes (a of the next, d)
        Frobenius norm of what each block loses, interface by interface, in the units of the matrix.
    losses : list of float
        Frobenius norm of the tails of each interface.
    norm : float
        Frobenius norm of the matrix on the product pattern, in its units; NaN or infinite if entries are, and
        then the factors mean nothing.
    """

    values: list[Array]
    tails: list[NDArray[np.float64]]
    losses: list[float]
    norm: float


def split_left(A: Array, patterns: Sequence[Pattern]) -> LeftSplit:
    """Factorize a matrix into a chain of Kronecker-sparse factors ``X_1 ⋯ X_L``, from left to right.

    What is left at interface s has the values of the product of patterns s, …, L, which are those of disjoint
    blocks B. The best piece of B of the rank of the interface is ``U Uᴴ B``: U, of orthonormal columns, goes
    to factor s, and ``Uᴴ B`` to what is left.

    Parameters
    ----------
    A : ndarray of shape (m, n)
        float32, float64, complex64 or complex128, of any strides; only read. Entries off the product pattern
        are ignored.
    patterns : sequence of tuple of int
        Chainable patterns (a, b, c, d), the supports ``I_a ⊗ 1_{b×c} ⊗ I_d``, left to right.

    Returns
    -------
    LeftSplit
        The factors, and what they lose.

    Raises
    ------
    ShapeError
        If the product does not have the shape of A.
    SupportError
        If neighbours are not chainable.

    Notes
    -----
    **Guarantee.** The squared tails sum up to ``‖A - X_1 ⋯ X_L‖²``, taken on the product pattern, which is at
    most L - 1 times the least possible. The square of each tail exceeds the least possible for a block by at
    most 1e-9 of itself (1e-5 in single precision), and by rounding, if the norm of A is from 1e-60 to 1e60
    (1e-9 to 1e9).

    **Cost.** A is read once, in strips of rows; O(b + r) flops an entry if blocks have b rows. What is left
    after the first few factors, a small part of the size of A, is all that is stored beside them.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, ICASSP 2022.

    Examples
    --------
    >>> import numpy as np
    >>> H = np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> values, tails, _, norm = split_left(np.kron(H, H), [(1, 2, 2, 2), (2, 2, 2, 1)])
    >>> [X.shape for X in values], round(norm, 9), bool(tails[0].max() < 1e-14)
    ([(1, 2, 2, 2), (2, 2, 1, 2)], 4.0, True)
    """
    cuts = _interfaces(tuple(patterns))
    (a, *_), (last, _, c, D) = patterns[0], patterns[-1]
    shape = (a * patterns[0][1] * patterns[0][3], last * c * D)
    if A.shape != shape:
        raise ShapeError(
            f"these patterns take a matrix of shape {shape}; found {A.shape}; give one of theirs"
        )
    V = np.einsum("abdacd->abdc", A.reshape(a, -1, D, a, shape[1] // (a * D), D))
    twin = _twin() if A.size >= _FEW else None
    if twin is None or not all(map(twin.takes, cuts)):
        norm = frobenius_norm(V.reshape(-1, V.shape[3]))
        if not math.isfinite(norm):  # which LAPACK refuses
            empty = [np.full((a, b, d, c), np.nan, A.dtype) for a, b, c, d in patterns]
            lost = [np.full((cut.a * cut.k, cut.d), np.nan) for cut in cuts]
            return LeftSplit(empty, lost, [norm] * len(cuts), norm)
    values: list[Array] = []
    tails: list[NDArray[np.float64]] = []
    rest, step = A, shape[1] // a
    while len(values) < len(cuts):
        some = cuts[len(values) :]
        if twin is not None and twin.takes(some[0]):
            left, lost, rest = twin.split_strips(rest, some, step, D)
        else:
            left, lost, rest = _split(rest, some[0], step, D)
        values += left
        tails += lost
        step, D = 0, 1
    values.append(rest if cuts else V.copy())
    values = [X.reshape(a, b, d, c) for X, (a, b, c, d) in zip(values, patterns, strict=True)]
    losses = frobenius_norms(tails)
    norm = math.hypot(*losses, frobenius_norm(values[-1].reshape(len(rest), -1)))
    return LeftSplit(values, tails, losses, norm)


def begin_split_left(V: Any, patterns: Sequence[Pattern]) -> Callable[[], LeftSplit]:
    """Launch what factorizes values of a product pattern into a chain; `split_left` where they live.

    Parameters
    ----------
    V : array of shape (a, b, d, c)
        Values on the product of the patterns.
    patterns : sequence of tuple of int
        Chainable patterns (a, b, c, d), left to right.

    Returns
    -------
    callable
        Waits, and returns the factors and what they lose, where V is.

    Notes
    -----
    **Guarantee.** As of `split_left`.

    **Cost.** On a GPU interfaces of rank one whose blocks have few rows are split some at a time: V is read
    once, and of what they leave, a small part, the next ones make the same. Others take a pass each, and all
    of those but the last are waited for.

    Examples
    --------
    >>> import numpy as np
    >>> begin_split_left(np.ones((1, 4, 1, 4)), [(1, 2, 2, 2), (2, 2, 2, 1)])().norm
    4.0
    """
    space, cuts = space_of(V), _interfaces(tuple(patterns))
    xp, has_kernels = space.xp, cuda.takes(space)
    most = cuda.most_shared(space) if has_kernels else 0
    finishes: list[Callable[[], tuple[list[Any], list[Any], list[float]]]] = []
    rest, done, unsure = V, 0, None
    while done < len(cuts):
        own = cuts[done:]
        plans = plan_all_strips(own, space.dtype(V).itemsize, most) if has_kernels else ()
        if plans:
            factors, lost, rest = split_by_strips(xp.ascontiguousarray(rest), own, plans)
            own = own[: sum(plan.levels for plan in plans)]
            losses = _begin_norms(lost, tuple(cut.n_blocks for cut in own))
            finishes.append(partial(_cut_up, own, factors, lost, losses))
        else:
            a, b, d, k, c, _ = own[0]
            right = fused_pattern(patterns[done + 1 :])
            whole = xp.reshape(rest, (a, b * d // right[3], right[3], k * c))
            begun = begin_iterating(whole, Blocks.of(patterns[done], right)) if len(own) == 1 else None
            if begun is None:
                X, rest, lost = split(whole, patterns[done], right)
            else:
                X, rest, lost, unsure = begun.X, begun.Y, begun.tails, begun
            own = own[:1]
            finishes.append(partial(_cut_up, own, X, lost, _begin_norms(lost)))
        done += len(own)
    size = _begin_norms(rest)

    def finish() -> LeftSplit:
        values: list[Any] = []
        tails: list[Any] = []
        losses: list[float] = []
        last, norm = rest, size
        for one in finishes:
            more = one()
            values += more[0]
            tails += more[1]
            losses += more[2]
        if unsure is not None and (sure := unsure.mended()) is not unsure:
            values[-1], tails[-1], last = sure.X, sure.tails, sure.Y
            losses[-1:], norm = _begin_norms(sure.tails)(), _begin_norms(last)
        shapes = [(a, b, d, c) for a, b, c, d in patterns]
        values = [xp.reshape(X, shape) for X, shape in zip([*values, last], shapes, strict=True)]
        return LeftSplit(values, tails, losses, math.hypot(*losses, *norm()))

    return finish


def split(
    V: Array, left: Pattern, right: Pattern, *, side: Literal["left", "right"] = "left"
) -> tuple[Array, Array, NDArray[np.float64]]:
    """Split values of a product pattern into those of its two factors, the best there are.

    The values are those of disjoint blocks B; the best piece of B of the rank r of the interface,
    ``U diag(s) Vᴴ``, becomes r columns of the left factor and r rows of the right one.

    Parameters
    ----------
    V : ndarray of shape (a, b, d, c)
        Values of the product ``left * right``: float32, float64, complex64 or complex128, finite.
    left, right : tuple of int
        Chainable patterns (a, b, c, d).
    side : {'left', 'right'}
        Which factor is to be orthonormal: U and ``diag(s) Vᴴ`` are returned, or ``U diag(s)`` and Vᴴ.

    Returns
    -------
    X, Y : ndarray of shape (a, b, d, c)
        Values of the left factor and of the right; columns of X and rows of Y beyond the shorter side of a
        block are zero.
    tails : ndarray of float64, shape (a of the right, d of the left)
        Frobenius norm of what each block loses, in the units of V.

    Raises
    ------
    ShapeError
        If V does not have the shape of values of the product.
    SupportError
        If the patterns are not chainable.

    Notes
    -----
    **Guarantee.** ``‖V - X Y‖²`` is the sum of the squared tails; each is least as `split_left` says.

    **Cost.** O(b + r) flops an entry where blocks have b rows, few; else that of `truncated_svd`.

    Examples
    --------
    >>> import numpy as np
    >>> V = np.arange(16.0).reshape(1, 4, 1, 4)
    >>> X, Y, tails = split(V, (1, 2, 2, 2), (2, 2, 2, 1))
    >>> round(float(np.sum(tails**2)), 9)
    1.020902198
    """
    (cut,) = _interfaces((left, right))
    shape = (left[0], left[1] * left[3] // right[3], right[3], cut.k * cut.c)
    if V.shape != shape:
        raise ShapeError(
            f"the product has values of shape {shape}; found {V.shape}; give values of the product"
        )
    if is_foreign(V):
        found = split_by_kernel(V, Blocks.of(left, right)) if side == "left" else None
        return found or split_there(V, left, right, side=side)
    M = np.ascontiguousarray(V).reshape(-1, shape[3])
    twin = _twin() if V.size >= _FEW and side == "left" else None
    ways = twin.split_strips(M, [cut], 0, 1) if twin and twin.takes(cut) else _split(M, cut, 0, 1, side)
    (X,), (tails,), Y = ways
    return X, Y.reshape(right[0], right[1], right[3], right[2]), tails


def _begin_norms(array: Any, lengths: tuple[int, ...] = ()) -> Callable[[], list[float]]:
    """The norm of an array, or of runs of a vector, under way where kernels run."""
    space = space_of(array)
    if not cuda.takes(space):
        return lambda: [frobenius_norm(array)]
    flat = space.xp.ascontiguousarray(array).reshape(-1)
    return begin_norms(flat, lengths or (flat.size,))


def _cut_up(
    cuts: Sequence[Interface], values: Any, tails: Any, losses: Callable[[], list[float]]
) -> tuple[list[Any], list[Any], list[float]]:
    """What lies interface after interface, as arrays of their own; and losses."""
    lists: tuple[list[Any], list[Any]] = [], []
    xp = space_of(values).xp
    values, tails = xp.reshape(values, (-1,)), xp.reshape(tails, (-1,))
    done = lost = 0
    for cut in cuts:
        shape = cut.a, cut.b, cut.d, cut.k * cut.r
        lists[0].append(xp.reshape(values[done : (done := done + cut.n_values)], shape))
        lists[1].append(xp.reshape(tails[lost : (lost := lost + cut.n_blocks)], (cut.a * cut.k, cut.d)))
    return *lists, losses()


@lru_cache(maxsize=256)
def _interfaces(patterns: tuple[Pattern, ...]) -> tuple[Interface, ...]:
    """The interfaces of a chain, each with all that follows taken for one factor."""
    cuts = []
    width = patterns[-1][0] * patterns[-1][2]
    for s, ((a, b, c, d), (a_next, b_next, _, d_next)) in enumerate(pairwise(patterns)):
        r = a * c // a_next
        if a_next % a or d % d_next or r < 1 or (r * a_next, r * d) != (a * c, b_next * d_next):
            raise SupportError(
                f"a chain needs a | a', d' | d and a·c/a' = b'·d'/d; found {patterns[s]} before "
                f"{patterns[s + 1]}; give chainable patterns"
            )
        cuts.append(Interface(a, b, d, a_next // a, width // a_next, r))
    return tuple(cuts)


def _split(
    M: Array, cut: Interface, step: int, D: int, side: str = "left"
) -> tuple[list[Array], list[NDArray[np.float64]], Array]:
    """Left values, tails and, as a matrix, right values of one cut.

    Row ``(α, β, t)`` of the matrix M holds the values ``[α, β, t]``, from column ``α·step + t mod D`` on, one
    in D columns.
    """
    a, b, d, k, c, r = cut
    alpha, kappa, t = np.ogrid[:a, :k, :d]
    rows = ((alpha + 0 * kappa) * b * d + t)[..., None] + np.arange(b) * d
    columns = (alpha * step + kappa * c * D + t % D)[..., None] + np.arange(c) * D
    U, s, Vh, tails = truncated_svd(M, rows.reshape(-1, b), columns.reshape(-1, c), r)
    m = s.shape[1]
    s = s.astype(M.dtype)
    if side == "left":
        Vh = s[:, :, None] * Vh
    else:
        U = U * s[:, None, :]
    X = np.zeros((a, b, d, k, r), M.dtype)
    X[..., :m] = U.reshape(a, k, d, b, m).transpose(0, 3, 2, 1, 4)
    Y = np.zeros((a * k, r, d, c), M.dtype)
    Y[:, :m] = Vh.reshape(a * k, d, m, c).swapaxes(1, 2)
    return [X.reshape(a, b, d, k * r)], [tails.reshape(a * k, d)], Y.reshape(-1, c)
