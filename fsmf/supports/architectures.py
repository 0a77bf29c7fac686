"""Chains of Kronecker patterns with a name.

Each function returns an `Architecture`; ``None`` for the number of columns means square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fsmf.errors import OptionError
from fsmf.supports.kronecker import Architecture
from fsmf.supports.sizes import as_count, as_counts, as_sides

__all__ = ["butterfly", "deformable", "kaleidoscope", "low_rank", "monarch"]

_SMALL_PRIMES = (2, 3, 5, 7)


def butterfly(
    m: int,
    n: int | None = None,
    *,
    radices: Sequence[int] | Sequence[Sequence[int]] | None = None,
    rank: int | Sequence[int] = 1,
) -> Architecture:
    """Return the butterfly: the sparse chain of the fast Fourier and Hadamard transforms.

    Of a size ``n = 2^L``, the factors are ``I_a ⊗ 1_{2×2} ⊗ I_d`` with ``a d = n/2`` and, left to right,
    ``a = 1, 2, …, n/2``. In general they are those of `deformable`, with the radices chosen for you.

    Parameters
    ----------
    m, n : int
        Shape of the product; without `radices`, products of 2, 3, 5 and 7.
    radices : sequence of int, or two of them, optional
        One per factor, each at least 2, with product n; or ``(row radices, column radices)``, of equal
        number, with products m and n. By default the prime factors, ascending; where one side has more of
        them than the other, they are multiplied together, as evenly as it goes.
    rank : int or sequence of int
        Rank of every interface between neighbours, or one for each. A rank above the radices at hand bounds
        nothing: see `Architecture.reduced`.

    Returns
    -------
    Architecture
        A chainable chain, one factor per radix.

    Raises
    ------
    OptionError
        If a size is not a positive integer, has a prime factor above 7 and no radices, or the radices do not
        multiply to the sizes.

    Notes
    -----
    Cost: none; nothing is laid out. A square matrix has ``n · Σ radices`` nonzeros at rank 1, and
    ``2 n log₂ n`` where all radices are 2.

    References
    ----------
    T. Dao, A. Gu, M. Eichhorn, A. Rudra, C. Ré, "Learning fast algorithms for linear transforms using
    butterfly factorizations", ICML 2019, arXiv:1903.05895.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.butterfly(8)
    Architecture(butterfly(8, 8): (1, 2, 2, 4) · (2, 2, 2, 2) · (4, 2, 2, 1), 48 nonzeros)
    >>> fsmf.butterfly(12, radices=(3, 4)).patterns
    (KroneckerPattern(1, 3, 3, 4), KroneckerPattern(3, 4, 4, 1))
    >>> fsmf.butterfly(48, 36, rank=2).ranks
    (2, 2, 2)
    """
    m, n = as_sides(m, n)
    name = f"butterfly({m}, {n}"
    if radices is None:
        row_primes, column_primes = _small_primes(m), _small_primes(n)
        length = max(1, min(len(row_primes), len(column_primes)))
        rows, columns = _grouped(row_primes, length), _grouped(column_primes, length)
    else:
        rows, columns = _pair_of_radices(radices)
        name += f", radices={rows}" if rows == columns else f", radices={(rows, columns)}"
    return _chain(m, n, rows, columns, rank, name)


def deformable(
    m: int,
    n: int | None = None,
    *,
    row_radices: Sequence[int],
    column_radices: Sequence[int],
    rank: int | Sequence[int] = 1,
) -> Architecture:
    """Return a deformable butterfly: a chain whose factors may each have a shape of their own.

    With row radices b', column radices c' and ranks w (w = 1 at both ends), factor ℓ is
    ``I_a ⊗ 1_{b×c} ⊗ I_d`` with ``a = c'_1 ⋯ c'_{ℓ−1}``, ``d = b'_{ℓ+1} ⋯ b'_L``, ``b = w_{ℓ−1} b'_ℓ`` and
    ``c = c'_ℓ w_ℓ``.

    Parameters
    ----------
    m, n : int
        Shape of the product.
    row_radices, column_radices : sequence of int
        One per factor, of equal number, with products m and n.
    rank : int or sequence of int
        Rank of every interface between neighbours, or one for each.

    Returns
    -------
    Architecture
        A chainable chain.

    Raises
    ------
    OptionError
        If an option is not a positive integer, or the radices do not multiply to the sizes.

    Notes
    -----
    Cost: none; nothing is laid out.

    References
    ----------
    R. Lin, J. Ran, K. H. Chiu, G. Chesi, N. Wong, "Deformable butterfly: a highly structured and sparse
    linear transform", NeurIPS 2021, arXiv:2203.13556.

    Examples
    --------
    >>> import fsmf
    >>> chain = fsmf.deformable(6, 16, row_radices=(2, 3), column_radices=(4, 4), rank=2)
    >>> chain.patterns, chain.shape
    ((KroneckerPattern(1, 2, 8, 3), KroneckerPattern(4, 6, 4, 1)), (6, 16))
    """
    m, n = as_sides(m, n)
    rows, columns = as_counts("row_radices", row_radices), as_counts("column_radices", column_radices)
    name = f"deformable({m}, {n}, row_radices={rows}, column_radices={columns}"
    return _chain(m, n, rows, columns, rank, name)


def kaleidoscope(n: int, *, radices: Sequence[int] | None = None) -> Architecture:
    """Return a butterfly followed by its mirror image: richer, and with no promise.

    The patterns of `butterfly`, left to right and then right to left. With more than one radix this chain is
    not chainable, nor is its transpose: its interfaces have no ranks, a best product need not exist, and only
    solvers for arbitrary supports apply.

    Parameters
    ----------
    n : int
        Size; without `radices`, a product of 2, 3, 5 and 7.
    radices : sequence of int, optional
        As for `butterfly`.

    Returns
    -------
    Architecture
        Two factors per radix, ``n × n``.

    Raises
    ------
    OptionError
        As `butterfly`.

    Notes
    -----
    Cost: none; nothing is laid out.

    References
    ----------
    T. Dao et al., "Kaleidoscope: an efficient, learnable representation for all structured linear maps",
    ICLR 2020, arXiv:2012.14966.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.kaleidoscope(4)
    Architecture(kaleidoscope(4): (1, 2, 2, 2) · (2, 2, 2, 1) · (2, 2, 2, 1) · (1, 2, 2, 2), 32 nonzeros)
    """
    half = butterfly(n, radices=radices)
    given = "" if radices is None else f", radices={tuple(pattern.abcd[1] for pattern in half.patterns)}"
    return Architecture((*half, *half.T), f"kaleidoscope({n}{given})")


def monarch(m: int, n: int | None = None, *, blocks: int, rank: int | Sequence[int] = 1) -> Architecture:
    """Return the Monarch supports: a grid of disjoint blocks of a given rank.

    In Kronecker notation ``I_a ⊗ 1_{b×c} ⊗ I_d``, written (a, b, c, d), the left support is
    ``(1, m/p, rank·p, p)`` and the right one ``(p, rank·p, n/p, 1)``, where p = `blocks` divides m and n:
    block (κ, δ) has the rows ``δ, δ + p, δ + 2p, …`` and the consecutive columns
    ``κ n/p, …, (κ + 1) n/p − 1``.

    Parameters
    ----------
    m, n : int
        Shape of the product; both multiples of `blocks`.
    blocks : int
        Number p of row groups, and of column groups: the matrix is cut into p² rectangles.
    rank : int
        Rank of each rectangle.

    Returns
    -------
    Architecture
        Shapes ``(m, p² rank)`` and ``(p² rank, n)``.

    Raises
    ------
    OptionError
        If `blocks` does not divide m and n, or an option is not a positive integer.

    Notes
    -----
    Cost: none; nothing is laid out. There are ``(m + n) · blocks · rank`` nonzeros.

    References
    ----------
    T. Dao et al., "Monarch: expressive structured matrices for efficient and accurate training", ICML 2022,
    arXiv:2204.00595.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.monarch(1024, blocks=32)
    Architecture(monarch(1024, 1024, blocks=32, rank=1): (1, 32, 32, 32) · (32, 32, 32, 1), 65536 nonzeros)
    """
    m, n = as_sides(m, n)
    p = as_count("blocks", blocks)
    if m % p or n % p:
        raise OptionError(
            f"blocks must divide both sides; found blocks={p} for a matrix {m}×{n}; "
            f"common divisors are {', '.join(map(str, _divisors(math.gcd(m, n))))}"
        )
    (r,) = _ranks(rank, 1)
    patterns = [(1, m // p, r * p, p), (p, r * p, n // p, 1)]
    return Architecture(patterns, f"monarch({m}, {n}, blocks={p}, rank={r})")


def low_rank(m: int, n: int | None = None, *, rank: int | Sequence[int]) -> Architecture:
    """Return dense supports of a given rank: the optimum is the truncated SVD.

    Parameters
    ----------
    m, n : int
        Shape of the product.
    rank : int
        Inner dimension.

    Returns
    -------
    Architecture
        Shapes ``(m, rank)`` and ``(rank, n)``, full.

    Raises
    ------
    OptionError
        If a size is not a positive integer.

    Notes
    -----
    Cost: none; nothing is laid out. There are ``(m + n) rank`` nonzeros.

    Examples
    --------
    >>> import fsmf
    >>> fsmf.low_rank(6, 4, rank=2)
    Architecture(low_rank(6, 4, rank=2): (1, 6, 2, 1) · (1, 2, 4, 1), 20 nonzeros)
    """
    m, n = as_sides(m, n)
    (r,) = _ranks(rank, 1)
    return Architecture([(1, m, r, 1), (1, r, n, 1)], f"low_rank({m}, {n}, rank={r})")


def _chain(m: int, n: int, rows: Sequence[int], columns: Sequence[int], rank: Any, name: str) -> Architecture:
    """The deformable chain; `name` lacks the rank and the closing bracket."""
    if len(rows) != len(columns) or not rows:
        raise OptionError(
            f"each factor takes a row radix and a column radix; found {len(rows)} row radices {rows} and "
            f"{len(columns)} column radices {columns}; fill up the shorter list"
        )
    for what, side, radices in (("row", m, rows), ("column", n, columns)):
        if math.prod(radices) != side:
            raise OptionError(
                f"the {what} radices must multiply to {side}; found {radices} with product "
                f"{math.prod(radices)}; give row radices for m = {m} and column radices for n = {n}"
            )
    ranks = _ranks(rank, len(rows) - 1)
    if set(ranks) - {1}:
        name += f", rank={ranks[0] if len(set(ranks)) == 1 else ranks}"
    patterns, a, d = [], 1, m
    for b, c, before, after in zip(rows, columns, (1, *ranks), (*ranks, 1), strict=True):
        d //= b
        patterns.append((a, b * before, c * after, d))
        a *= c
    return Architecture(patterns, f"{name})")


def _ranks(rank: Any, n_interfaces: int) -> tuple[int, ...]:
    """One rank per interface."""
    ranks = as_counts("rank", rank)
    if len(ranks) == 1:
        ranks *= n_interfaces
    if len(ranks) != n_interfaces:
        raise OptionError(
            f"rank must be an integer or one integer per interface; found {len(ranks)} of them, {ranks}, for "
            f"{n_interfaces + 1} factors; give one, or {n_interfaces}"
        )
    return ranks


def _pair_of_radices(radices: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Row and column radices, from one list for both or from two."""
    try:
        sides = [tuple(side) for side in radices]
    except TypeError:
        sides = [as_counts("radices", radices)] * 2
    if len(sides) != 2:
        raise OptionError(
            f"radices must be integers, one per factor, or (row radices, column radices); found {radices!r}; "
            "give for example radices=(2, 2, 3)"
        )
    rows, columns = (as_counts("radices", side, at_least=2) for side in sides)
    return rows, columns


def _small_primes(n: int) -> list[int]:
    """The prime factors of n, ascending, none above 7."""
    factors, rest = [], n
    for prime in _SMALL_PRIMES:
        while rest % prime == 0:
            factors.append(prime)
            rest //= prime
    if rest > 1:
        raise OptionError(
            f"a butterfly needs sizes that are products of 2, 3, 5 and 7; found {n}, a multiple of {rest}; "
            f"give radices, such as radices={(*factors, rest)}, or fill up the matrix with zeros"
        )
    return factors


def _grouped(primes: Sequence[int], length: int) -> tuple[int, ...]:
    """As many products of the factors, as even as the largest-first rule makes them, ascending."""
    products = [1] * length
    for prime in reversed(primes):
        products[products.index(min(products))] *= prime
    return tuple(sorted(products))


def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})
