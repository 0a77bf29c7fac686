"""Pairs of supports with a name; for chains of Kronecker patterns see `fsmf.supports.architectures`.

Each function returns a `Supports`; ``None`` for the number of columns means square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fsmf.errors import OptionError
from fsmf.supports.layout import Index
from fsmf.supports.sizes import as_count, as_sides
from fsmf.supports.support import Support, Supports, as_support

__all__ = [
    "arrow",
    "banded",
    "block_diagonal",
    "completion",
    "hodlr",
    "lu",
    "random_supports",
]


def _rectangles(
    shape: tuple[int, int], rectangles: Sequence[tuple[ArrayLike, ArrayLike, int]], name: str
) -> Supports:
    """One class per ``(rows, columns, rank)``, with `rank` components each."""
    m, n = shape
    parts: list[tuple[Index, ...]] = []
    k = 0
    for rows, columns, rank in rectangles:
        rows, columns = np.asarray(rows), np.asarray(columns)
        members = np.arange(k, k + rank)
        k += rank
        parts.append(
            (
                np.tile(rows, rank),
                np.repeat(members, len(rows)),
                np.repeat(members, len(columns)),
                np.tile(columns, rank),
            )
        )
    i, left_k, right_k, j = (np.concatenate(piece) for piece in zip(*parts, strict=True))
    left = Support.from_coordinates(i, left_k, shape=(m, k))
    return Supports((left, Support.from_coordinates(right_k, j, shape=(k, n))), name)


def block_diagonal(m: int, n: int | None = None, *, blocks: int, rank: int = 1) -> Supports:
    """Return disjoint diagonal blocks, each of a given rank.

    Parameters
    ----------
    m, n : int
        Shape of the product.
    blocks : int
        Number of diagonal blocks, at most ``min(m, n)``; sizes differ by at most 1.
    rank : int
        Rank of each block.

    Returns
    -------
    Supports
        Shapes ``(m, blocks · rank)`` and ``(blocks · rank, n)``.

    Raises
    ------
    OptionError
        If a size is not a positive integer, or there are more blocks than rows or columns.

    Notes
    -----
    Cost: linear in the nonzeros, ``(m + n) rank``.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.block_diagonal(6, 4, blocks=2)
    Supports(block_diagonal(6, 4, blocks=2, rank=1): 6×2 · 2×4, 10 nonzeros)
    """
    m, n = as_sides(m, n)
    blocks, rank = as_count("blocks", blocks), as_count("rank", rank)
    if blocks > min(m, n):
        raise OptionError(
            f"at most min(m, n) = {min(m, n)} blocks fit on the diagonal; found blocks={blocks}"
        )
    pieces = zip(np.array_split(np.arange(m), blocks), np.array_split(np.arange(n), blocks), strict=True)
    rectangles = [(rows, columns, rank) for rows, columns in pieces]
    return _rectangles((m, n), rectangles, f"block_diagonal({m}, {n}, blocks={blocks}, rank={rank})")


def lu(n: int) -> Supports:
    """Return lower triangular times upper triangular: the pattern without a best answer.

    Every matrix is a limit of such products, but a matrix that needs pivoting is not one of them: the error
    can be driven towards 0 while the factors grow without bound, and 0 is never reached.

    Parameters
    ----------
    n : int
        Size.

    Returns
    -------
    Supports
        Two ``n × n`` triangles, diagonals included.

    Raises
    ------
    OptionError
        If n is not a positive integer.

    Notes
    -----
    Cost: linear in the nonzeros, ``n (n + 1)``.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.lu(2)[0].toarray().astype(int)
    array([[1, 0],
           [1, 1]])
    """
    n = as_count("n", n)
    i, k = np.tril_indices(n)
    left = Support.from_coordinates(i, k, shape=(n, n))
    return Supports((left, left.T), f"lu({n})")


def banded(m: int, n: int | None = None, *, lower: int = 1, upper: int = 1) -> Supports:
    """Return the supports of a banded LU: a lower band times an upper band.

    Parameters
    ----------
    m, n : int
        Shape of the product; the inner dimension is ``min(m, n)``.
    lower, upper : int
        Number of subdiagonals of the left factor and of superdiagonals of the right one, 0 or more.

    Returns
    -------
    Supports
        Left ``0 ≤ i − k ≤ lower``, right ``0 ≤ j − k ≤ upper``.

    Raises
    ------
    OptionError
        If a size is not an integer in range.

    Notes
    -----
    Cost: linear in the nonzeros.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.banded(4, lower=1, upper=2)
    Supports(banded(4, 4, lower=1, upper=2): 4×4 · 4×4, 16 nonzeros)
    """
    m, n = as_sides(m, n)
    lower, upper = as_count("lower", lower, at_least=0), as_count("upper", upper, at_least=0)
    r = min(m, n)

    def band(side: int, width: int) -> tuple[Index, Index]:
        k, offset = np.divmod(np.arange(r * (min(width, side - 1) + 1)), min(width, side - 1) + 1)
        inside = k + offset < side
        return k[inside] + offset[inside], k[inside]

    i, left_k = band(m, lower)
    j, right_k = band(n, upper)
    return Supports(
        (
            Support.from_coordinates(i, left_k, shape=(m, r)),
            Support.from_coordinates(right_k, j, shape=(r, n)),
        ),
        f"banded({m}, {n}, lower={lower}, upper={upper})",
    )


def arrow(m: int, n: int | None = None, *, width: int = 1) -> Supports:
    """Return the supports of an arrow matrix's elimination from the tip: diagonal plus a dense border.

    The left factor may be nonzero on its diagonal and in its first `width` columns, the right one on its
    diagonal and in its first `width` rows.

    Parameters
    ----------
    m, n : int
        Shape of the product; the inner dimension is ``min(m, n)``.
    width : int
        Number of dense columns and rows, at most ``min(m, n)``.

    Returns
    -------
    Supports
        Shapes ``(m, min(m, n))`` and ``(min(m, n), n)``.

    Raises
    ------
    OptionError
        If a size is not a positive integer, or `width` exceeds the inner dimension.

    Notes
    -----
    Cost: linear in the nonzeros, ``(m + n)(width + 1)``. The `width` dense components form one class over
    the whole matrix, and each other one is a single diagonal place within it.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.arrow(3)[0].toarray().astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 0, 1]])
    """
    m, n = as_sides(m, n)
    width, r = as_count("width", width), min(m, n)
    if width > r:
        raise OptionError(f"width must be at most min(m, n) = {r}; found {width}")
    rectangles: list[tuple[ArrayLike, ArrayLike, int]] = [(np.arange(m), np.arange(n), width)]
    rectangles += [([k], [k], 1) for k in range(width, r)]
    return _rectangles((m, n), rectangles, f"arrow({m}, {n}, width={width})")


def hodlr(m: int, n: int | None = None, *, rank: int = 1) -> Supports:
    """Return one level of a hierarchically off-diagonal low-rank matrix, as a pair.

    The two diagonal blocks are free (complete classes), the two off-diagonal blocks have a given rank.

    Parameters
    ----------
    m, n : int
        Shape of the product, each at least 2.
    rank : int
        Rank of each off-diagonal block.

    Returns
    -------
    Supports
        Shapes ``(m, r)`` and ``(r, n)``, r being the ranks of the four blocks together.

    Raises
    ------
    OptionError
        If a size is not an integer in range.

    Notes
    -----
    Cost: linear in the nonzeros.

    References
    ----------
    S. Ambikasaran, E. Darve, "An O(N log N) fast direct solver for partial hierarchically semi-separable
    matrices", J. Sci. Comput. 57 (2013).

    Examples
    --------
    >>> import fsmf
    >>> print(fsmf.analyze(fsmf.hodlr(8, rank=1)).tractable)
    True
    """
    m, n = as_count("m", m, at_least=2), as_count("n", m if n is None else n, at_least=2)
    rank = as_count("rank", rank)
    top, bottom = np.array_split(np.arange(m), 2)
    left, right = np.array_split(np.arange(n), 2)
    return _rectangles(
        (m, n),
        [
            (top, left, min(len(top), len(left))),
            (bottom, right, min(len(bottom), len(right))),
            (top, right, rank),
            (bottom, left, rank),
        ],
        f"hodlr({m}, {n}, rank={rank})",
    )


def random_supports(
    m: int,
    n: int | None = None,
    *,
    components: int,
    density: float = 0.5,
    rng: int | np.random.Generator | None = None,
) -> Supports:
    """Draw supports at random, each place independently.

    Parameters
    ----------
    m, n : int
        Shape of the product.
    components : int
        Inner dimension.
    density : float
        Probability of each place, between 0 and 1.
    rng : int, numpy.random.Generator or None
        Seed or generator.

    Returns
    -------
    Supports
        Shapes ``(m, components)`` and ``(components, n)``.

    Raises
    ------
    OptionError
        If a size is not a positive integer or the density not a probability.

    Notes
    -----
    Cost: linear in the nonzeros drawn, not in the area.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.random_supports(6, 5, components=3, density=0.4, rng=0).shape
    (6, 5)
    """
    m, n = as_sides(m, n)
    r = as_count("components", components)
    if not (isinstance(density, int | float | np.floating) and 0 <= density <= 1):
        raise OptionError(f"density must be a probability between 0 and 1; found {density!r}")
    try:
        generator = np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise OptionError(f"rng must be a seed or a numpy Generator; found {rng!r}: {error}") from None

    def draw(rows: int, columns: int) -> Support:
        # A binomial count of distinct places is the same law as independent places.
        area = rows * columns
        flat = generator.choice(area, size=generator.binomial(area, density), replace=False, shuffle=False)
        return Support.from_coordinates(*np.divmod(flat, columns), shape=(rows, columns))

    return Supports(
        (draw(m, r), draw(r, n)), f"random_supports({m}, {n}, components={r}, density={density:g})"
    )


def completion(W: Any) -> Supports:
    """Return the pair that completes a matrix of rank one: only the places that W marks count.

    One component is dense; for every row of W (or every column, whichever needs fewer) another one covers
    its missing places, and so makes them free. Hence, for every A, the infimum over this pair is
    ``inf ‖W ⊙ (A − x yᵀ)‖_F``: rank-one completion with noise, which is NP-hard. A source of hard
    instances, and the reason why general supports are hard.

    Parameters
    ----------
    W : array_like, sparse array or Support
        The places that are observed, 0/1, shape ``(m, n)``.

    Returns
    -------
    Supports
        Shapes ``(m, r)`` and ``(r, n)`` with r ≤ ``min(m, n) + 1``.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        If W is not a 0/1 matrix.

    Notes
    -----
    Cost: linear in ``m n``.

    References
    ----------
    N. Gillis, F. Glineur, "Low-rank matrix approximation with weights or missing data is NP-hard", SIAM J.
    Matrix Anal. Appl. 32 (2011), arXiv:1012.0197.

    Examples
    --------
    >>> import fsmf
    >>> supports = fsmf.completion([[1, 0], [1, 1]])
    >>> supports, fsmf.analyze(supports).tractable
    (Supports(completion(2×2, 1 missing): 2×2 · 2×2, 6 nonzeros), False)
    """
    observed = as_support(W)
    m, n = observed.shape
    missing = ~observed.toarray()
    by_rows = np.count_nonzero(missing.any(axis=1)) <= np.count_nonzero(missing.any(axis=0))
    rectangles: list[tuple[ArrayLike, ArrayLike, int]] = [(np.arange(m), np.arange(n), 1)]
    if by_rows:
        rectangles += [([i], np.flatnonzero(missing[i]), 1) for i in np.flatnonzero(missing.any(axis=1))]
    else:
        rectangles += [(np.flatnonzero(missing[:, j]), [j], 1) for j in np.flatnonzero(missing.any(axis=0))]
    return _rectangles((m, n), rectangles, f"completion({m}×{n}, {int(missing.sum())} missing)")
