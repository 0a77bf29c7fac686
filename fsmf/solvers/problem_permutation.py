"""Orders of rows and columns in which to try a chain of Kronecker patterns: named, given or searched for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError
from fsmf.kernels.permutations import digit_reversal
from fsmf.supports.kronecker import Architecture
from fsmf.supports.layout import Index

__all__ = ["permutations"]

Array = NDArray[Any]
Orders = tuple[Index | None, Index | None]

# Starting points of a cut, the rows whose partners are looked at to find them, and how many have to end at
# the same cut. With 8, 12 and 2, noise of a tenth of the norm hid one butterfly of size 16 or 32 in seven.
_STARTS, _REFERENCES, _AGREED = 16, 16, 3

# Rounds of an alternation; most take 3 or 4.
_ROUNDS = 10

# Squared losses below this share of the squared norm are rounding.
_ROUNDING = 1e-24


def permutations(option: Any, A: Array, chain: Architecture) -> list[Orders]:
    """Return the orders of rows and columns in which a chain is to be tried on a matrix.

    The chain is for ``A[rows][:, columns]``: row i of its product is row ``rows[i]`` of A.

    Parameters
    ----------
    option : None, str or pair of array_like
        ``"bit-reversal"``: columns in digit-reversed order, in which a butterfly is exact for the discrete
        Fourier transform. ``"eight"``: the eight orders of columns of Dao et al. (bit reversal, reversed
        halves, and what they combine to). For a chain that is chainable only when transposed, both take the
        rows in place of the columns. ``"search"``: the order as it is, and what similarity of rows and of
        columns tells. A pair ``(rows, columns)``: index vectors, or None for the order as it is.
    A : ndarray of shape (m, n)
        Real or complex, finite; read by the search alone.
    chain : Architecture
        Chainable, or the transpose of a chainable chain.

    Returns
    -------
    list of (rows, columns)
        Index vectors, or None for the order as it is; no pair twice.

    Raises
    ------
    OptionError
        If the option is none of these, an index vector is no permutation of the rows or columns, or
        ``"eight"`` meets a number of columns that is no power of two.

    Notes
    -----
    **Guarantee.** None for the search, a heuristic: to decide whether rows and columns can be ordered such
    that a chain fits is a combinatorial problem. The order as it is stands first in the list, so that
    whoever keeps the best never loses by it. Fourier and Hadamard matrices and butterflies of rotations, of
    sizes 8 to 128 in random order, were found in nearly all trials, also under noise of a tenth of their
    norm; chains with ranks above one are found less often.

    **Cost.** Of the search, O(m n (m + n)) in each of some tens of rounds: one or two seconds for 128 × 128.

    References
    ----------
    T. Dao, A. Gu, M. Eichhorn, A. Rudra, C. Ré, "Learning fast algorithms for linear transforms using
    butterfly factorizations", ICML 2019, arXiv:1903.05895; "Butterfly factorization by algorithmic
    identification of rank-one blocks", arXiv:2307.00820, which alternates between rows and columns, as here.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> permutations("bit-reversal", np.eye(8), fsmf.butterfly(8))
    [(None, array([0, 4, 2, 6, 1, 5, 3, 7]))]
    """
    if option is None:
        return [(None, None)]
    turned = not chain.is_chainable
    if turned:
        A, chain = A.T, chain.T
    found: list[Orders]
    if isinstance(option, str) and option in ("bit-reversal", "eight", "search"):
        if option == "search":
            found = _search(A, chain)
        elif option == "eight":
            found = [(None, columns) for columns in _eight(A.shape[1])]
        else:
            found = [(None, _bit_reversal(chain))]
        return [(columns, rows) for rows, columns in found] if turned else found
    if isinstance(option, str) or not isinstance(option, Sequence) or len(option) != 2:
        raise OptionError(
            "permutation takes 'bit-reversal', 'eight', 'search' or a pair (rows, columns); found "
            f"{option!r}; give one of these"
        )
    sizes = A.shape[::-1] if turned else A.shape
    return [(_checked(option[0], sizes[0], "rows"), _checked(option[1], sizes[1], "columns"))]


def _checked(order: Any, size: int, what: str) -> Index | None:
    """An index vector that is a permutation, or None."""
    if order is None:
        return None
    order = np.asarray(order)
    if order.shape != (size,) or order.dtype.kind not in "iu" or np.any(np.sort(order) != np.arange(size)):
        raise OptionError(
            f"permutation takes {what} as a vector of the integers 0 to {size - 1}, each once; found "
            f"{np.array2string(order, threshold=8)}; give such a vector, or None for the order as it is"
        )
    index: Index = order.astype(np.intp)
    return index


def _bit_reversal(chain: Architecture) -> Index:
    """Columns in digit-reversed order, within each of the a · d parts that the chain leaves apart."""
    a, _, c, d = chain.product.abcd
    order = digit_reversal([p.abcd[2] // r for p, r in zip(chain.patterns, (*chain.ranks, 1), strict=True)])
    return np.arange(a * c * d).reshape(a, c, d)[:, order].reshape(-1)


def _eight(n: int) -> list[Index | None]:
    """What splitting into even and odd, and reversing either half, make at all levels; without repetition."""
    if n & (n - 1):
        raise OptionError(
            f"permutation='eight' takes a number of columns that is a power of two; found {n}; give it"
        )
    found: list[Index | None] = [None]
    seen = {tuple(range(n))}
    for choice in range(1, 8):
        order = np.arange(n)
        for blocks in (1 << level for level in range(n.bit_length() - 1)):
            pairs = order.reshape(blocks, -1)
            if choice & 1:
                pairs = np.concatenate([pairs[:, ::2], pairs[:, 1::2]], axis=1)
            halves = pairs.reshape(blocks, 2, -1).copy()
            for half in (0, 1):
                if choice & 2 << half:
                    halves[:, half] = halves[:, half, ::-1]
            order = halves.reshape(-1)
        if tuple(order) not in seen:
            seen.add(tuple(order))
            found.append(order)
    return found


class _Level(NamedTuple):
    """What an interface does to classes of rows and columns, to bound the rank of all blocks of the new ones.

    So many classes of rows at a time are merged, and each class of columns is cut into so many parts.
    """

    merged: int
    parts: int
    rank: int


def _search(A: Array, chain: Architecture) -> list[Orders]:
    """The order as it is, and what is found from either end of the chain."""
    a, b, c, d = chain.product.abcd
    chain = chain.reduced()[0]
    peak = np.abs(A).max(initial=0.0)
    if not peak or len(chain) == a * d == 1:
        return [(None, None)]
    A = (A / peak).astype(np.result_type(A.dtype, np.float64))
    cuts = [chain.interface(s) for s in range(1, len(chain))]
    down = _levels([(1, c), *(cut.block for cut in cuts)], chain.ranks)
    up = _levels([(1, b), *(cut.block[::-1] for cut in reversed(cuts))], chain.ranks[::-1])
    digits = [level.parts for level in up]
    digits.append(b // math.prod(digits))
    rows, columns = _components(A, a * d, b)
    ends: list[list[tuple[Index, Index]]] = [[], []]
    for i, j in zip(rows, columns, strict=True):
        for end, (I, J) in zip(ends, _trees(A[np.ix_(i, j)], down, up), strict=True):
            # A class of rows of a chain has its last digits in common, not its first ones as in the tree.
            end.append((i[I].reshape(digits).T.reshape(-1), j[J]))
    found: list[tuple[Index, Index]] = []
    for end in ends:
        sides = (np.array(side) for side in zip(*end, strict=True))
        rows, columns = (side.reshape(a, d, -1).swapaxes(1, 2).reshape(-1) for side in sides)
        if not any(np.array_equal(rows, I) and np.array_equal(columns, J) for I, J in found):
            found.append((rows, columns))
    return [(None, None), *found]


def _levels(blocks: Sequence[tuple[int, int]], ranks: Sequence[int]) -> list[_Level]:
    """The levels of blocks that grow taller and narrower."""
    return [_Level(b // p, q // c, r) for ((p, q), (b, c)), r in zip(pairwise(blocks), ranks, strict=True)]


def _components(A: Array, number: int, height: int) -> tuple[Index, Index]:
    """Rows and columns of so many parts of A, of so many rows each, that hold most of its squared norm."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and rarely needed

    squares = np.abs(A) ** 2
    like = squares @ squares.T
    rows = _clusters(like.max() - like, height)
    kept = np.repeat(squares[rows].sum(axis=1), A.shape[1] // number, axis=0)
    return rows, linear_sum_assignment(kept, maximize=True)[1].reshape(number, -1)


def _trees(A: Array, down: Sequence[_Level], up: Sequence[_Level]) -> list[tuple[Index, Index]]:
    """Orders of rows and columns in which classes of all levels are contiguous, from either end of the chain.

    Which classes are to be merged may be a close call; how a class is cut is told by all classes of the other
    side. So what was merged first is found again, by cutting, from the other end.
    """
    floor = _ROUNDING * np.linalg.norm(A) ** 2
    found: list[tuple[Index, Index]] = []
    for B, own, other in ((A, down, up), (A.T, up, down)):
        best, I, J = _tree(B, own)
        order = I, J
        for _ in range(_ROUNDS if best > floor else 0):
            I = _tree(B[:, J].T, other, search=False)[2]
            loss, _, J = _tree(B[I], own, search=False)
            if loss >= best * (1 - 1e-9):
                break
            best, order = loss, (I, J)
        if best <= floor:
            return [order if B is A else order[::-1]] * 2
        found.append(order)
    return [found[0], found[1][::-1]]


def _tree(A: Array, levels: Sequence[_Level], *, search: bool = True) -> tuple[float, Index, Index]:
    """Squared loss, and orders of rows and columns; without a search, rows are merged as they stand."""
    rng = np.random.default_rng(0)
    rows, columns = np.arange(A.shape[0])[:, None], np.arange(A.shape[1])[None]
    T = A[None, :, None, :]
    loss = 0.0
    for level in levels:
        if search:
            groups, parts = _cut(T, level, rng)
        else:
            groups = np.arange(T.shape[1]).reshape(-1, level.merged)
            parts = _parts(T, groups, level)
        loss += _loss(T, groups, parts, level.rank)
        rows = rows[groups].reshape(len(groups), -1)
        columns = np.take_along_axis(columns[:, None], parts, 2).reshape(-1, parts.shape[2])
        B = _blocks(T, groups, parts)
        U = np.linalg.svd(B, full_matrices=False)[0][..., : level.rank]
        T = U.conj().swapaxes(-1, -2) @ B
        T = T.reshape(-1, *T.shape[2:])
    return loss, rows.reshape(-1), columns.reshape(-1)


def _blocks(T: Array, groups: Index, parts: Index) -> Array:
    """Blocks of a cut, shape (sets, parts, groups, rows, columns)."""
    K, k, q = parts.shape
    B = np.take_along_axis(T[:, None], parts[:, :, None, None, :], 4)
    return B[:, :, groups].reshape(K, k, len(groups), -1, q)


def _loss(T: Array, groups: Index, parts: Index, rank: int) -> float:
    """Squared loss of a cut."""
    B = _blocks(T, groups, parts)
    if B.shape[-2] > B.shape[-1]:
        B = B.swapaxes(-1, -2)
    squares = np.linalg.eigvalsh(B @ B.conj().swapaxes(-1, -2))
    return float(np.maximum(squares[..., : max(0, squares.shape[-1] - rank)], 0).sum())


def _cut(T: Array, level: _Level, rng: np.random.Generator) -> tuple[Index, Index]:
    """The best cut that alternation ends at, from several starts, until some agree on it."""
    floor = _ROUNDING * np.linalg.norm(T) ** 2
    best, ends, cut = np.inf, [], None
    for parts in _starts(T, level, rng):
        last = np.inf
        for _ in range(_ROUNDS):
            groups = _groups(T, parts, level)
            parts = _parts(T, groups, level)
            loss = _loss(T, groups, parts, level.rank)
            if loss < best:
                best, cut = loss, (groups, parts)
            if loss >= last * (1 - 1e-6) or loss <= floor:
                break
            last = loss
        ends.append(loss)
        if best <= floor or sum(end <= best * (1 + 1e-6) for end in ends) == _AGREED:
            break
    assert cut is not None
    return cut


def _groups(T: Array, parts: Index, level: _Level) -> Index:
    """Classes of rows to merge, for given parts of the columns."""
    _, n, w, _ = T.shape
    total = n // level.merged * level.rank
    loss = np.zeros((n, n))
    for piece, some in zip(T, parts, strict=True):
        for part in some:
            loss += _unlikeness(piece[:, :, part].reshape(n * w, -1), n, level.rank, total)
    return _clusters(loss, level.merged)


def _parts(T: Array, groups: Index, level: _Level) -> Index:
    """Parts of the columns, for given classes of rows."""
    K, q = len(T), T.shape[3]
    losses = np.zeros((K, q, q))
    for loss, piece in zip(losses, T, strict=True):
        for group in groups:
            loss += _unlikeness(piece[group].reshape(-1, q).T, q, level.rank, level.parts * level.rank)
    return np.array([_clusters(loss, q // level.parts) for loss in losses])


def _unlikeness(X: Array, n: int, rank: int, total: int) -> Array:
    """How badly any two of n sets of rows fit into one cluster of a given rank; all have the total rank.

    Of single rows, what rank one loses of the two. Else by the projector on the columns, which has no entries
    between clusters, unless these depend on each other; then by the angles between rows.
    """
    lost: Array
    if rank == 1 and len(X) == n:
        gram = X @ X.conj().T
        x = gram.diagonal().real
        lost = (x[:, None] + x - np.sqrt((x[:, None] - x) ** 2 + 4 * np.abs(gram) ** 2)) / 2
        return lost
    if total > X.shape[1]:
        X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-300)
    else:
        X = np.linalg.svd(X, full_matrices=False)[0][:, :total]
    like = (np.abs(X @ X.conj().T) ** 2).reshape(n, len(X) // n, n, -1).sum(axis=(1, 3))
    lost = like.max() - like
    return lost


def _clusters(loss: Array, size: int) -> Index:
    """Equal clusters with a small sum of losses within: the closest first, then swaps while they help."""
    n = len(loss)
    every = np.arange(n)
    loss = loss - np.diag(loss.diagonal())
    free, label = every, np.empty(n, np.intp)
    for g in range(n // size):
        some = loss[np.ix_(free, free)]
        near = np.argpartition(some, size - 1, axis=1)[:, :size]
        core = near[np.take_along_axis(some, near, 1).sum(axis=1).argmin()]
        label[free[core]] = g
        free = np.delete(free, core)
    for _ in range(2 * n):
        sums = loss @ np.eye(n // size)[label]
        own = sums[every, label]
        gain = sums[:, label] - own[:, None]
        gain += gain.T - 2 * loss
        gain[label[:, None] == label] = 0
        i, j = divmod(int(gain.argmin()), n)
        if gain[i, j] >= -1e-12 * own.max():
            break
        label[i], label[j] = label[j], label[i]
    return np.argsort(label, kind="stable").reshape(-1, size)


def _starts(T: Array, level: _Level, rng: np.random.Generator) -> Iterator[Index]:
    """Parts of the columns to start with: what two rows tell that may well be of one class, or random ones.

    On the columns of one part, two rows of one class are proportional if the rank is one: the ratios of their
    entries take few values.
    """
    K, _, w, q = T.shape
    if level.rank > 1 or w > 1 or level.merged == 1:
        for _ in range(_STARTS):
            yield np.array([rng.permutation(q).reshape(level.parts, -1) for _ in range(K)])
        return
    X = T[:, :, 0]
    squares = (np.abs(X) ** 2).sum(axis=2)
    pairs = []
    for i in np.argsort(-squares.sum(axis=0))[:_REFERENCES]:
        least = np.minimum(squares, squares[:, [i]]).sum(axis=0)
        score = _distance_from_lines(X[:, [i]], X, level.parts).sum(axis=0) / np.where(
            least > 0, least, np.nan
        )
        score[i] = np.nan
        pairs += [(score[j], i, j) for j in np.argsort(score)[:_STARTS] if np.isfinite(score[j])]
    for _, i, j in sorted(pairs)[:_STARTS]:
        yield _parts(T, np.array([[i, j]]), level)


def _distance_from_lines(x: Array, y: Array, k: int) -> Array:
    """Squared distance of points (x, y) of a plane, along the last axis, from the best k lines, or nearly so.

    Lines of the plane are points of a sphere, the ratios x : y, where a point of the plane weighs its squared
    norm.
    """
    cross = 2 * x * y.conj()
    x2, y2 = np.broadcast_arrays(np.abs(x) ** 2, np.abs(y) ** 2)
    z = np.stack([cross.real, cross.imag, x2 - y2], axis=-1)
    weight = x2 + y2
    centres = np.zeros((*z.shape[:-2], 3, k))
    gap = weight
    for c in range(k):
        far = np.take_along_axis(z, gap.argmax(axis=-1)[..., None, None], -2)[..., 0, :]
        centres[..., c] = far / np.maximum(np.linalg.norm(far, axis=-1, keepdims=True), 1e-300)
        gap = np.minimum(gap, weight - (z @ centres[..., c, None])[..., 0])
    for _ in range(4):
        label = (z @ centres).argmax(axis=-1)
        sums = np.stack([(z * (label == c)[..., None]).sum(axis=-2) for c in range(k)], axis=-1)
        norms = np.linalg.norm(sums, axis=-2)
        centres = sums / np.maximum(norms, 1e-300)[..., None, :]
    distance: Array = (weight.sum(axis=-1) - norms.sum(axis=-1)) / 2
    return distance
