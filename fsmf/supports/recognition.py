"""Chains of Kronecker patterns among plain supports: which, and in what order of rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fsmf.supports.kronecker import Architecture, KroneckerPattern, why_not_chainable
from fsmf.supports.layout import Index
from fsmf.supports.support import Support, Supports

__all__ = ["Arrangement", "arrange"]


class Arrangement(NamedTuple):
    """Say which chain of Kronecker patterns supports are.

    Attributes
    ----------
    architecture : Architecture
        The chain.
    rows : ndarray of int or None
        ``architecture[0]`` is the first support with its rows taken in this order; None: as they are.
    columns : ndarray of int or None
        ``architecture[-1]`` is the last support with its columns taken in this order; None: as they are.
    orders : tuple of ndarray of int or None
        One per factor: the values of the pattern are those of the support, both in row-major order, taken in
        this order; None: as they are.
    """

    architecture: Architecture
    rows: Index | None
    columns: Index | None
    orders: tuple[Index | None, ...]


def arrange(supports: Supports) -> Arrangement | None:
    """Recognize a chain of Kronecker patterns, up to the order of the first rows and of the last columns.

    Parameters
    ----------
    supports : Supports
        One support per factor, of any make.

    Returns
    -------
    Arrangement or None
        The chain, chainable or with a chainable transpose if the supports can be read so; None if they are
        no such chain. The sides between factors, and the columns of a single factor, are taken as they are.

    Notes
    -----
    A pattern can be told from its support unless its blocks have a single place, as in an identity
    (a, 1, 1, d), or a single column and permuted rows: then it is read as its neighbours would have it.

    Cost: none for Kronecker patterns that are chainable or can be read in one way only. Otherwise a few
    passes over the nonzeros; supports that are no chain are mostly found out by their first rows.

    Examples
    --------
    >>> import fsmf
    >>> left, right = fsmf.monarch(6, blocks=2)
    >>> found = arrange(fsmf.as_supports([left.toarray()[::-1], right.toarray()]))
    >>> found.architecture, found.rows
    (Architecture((1, 3, 2, 2) · (2, 2, 3, 1), 24 nonzeros), array([1, 0, 3, 2, 5, 4]))
    >>> arrange(fsmf.lu(6)) is None
    True
    """
    if any(support.n_prescribed for support in supports):
        return None
    if all(isinstance(support, KroneckerPattern) for support in supports):
        chain = supports if isinstance(supports, Architecture) else Architecture(supports, supports.name)
        plain = all(min(pattern.abcd[1:3]) > 1 for pattern in chain.patterns)
        if plain or chain.is_chainable or chain.T.is_chainable:
            return Arrangement(chain, None, None, (None,) * len(chain))
    elif not (_has_even_rows(supports[-1]) and all(map(_may_be_pattern, supports[:-1]))):
        return None
    return _arrange(supports, supports.name)


@lru_cache(maxsize=16)
def _arrange(supports: Supports, name: str | None) -> Arrangement | None:
    # With the last factor transposed, both ends are free in the order of their rows; one factor has one end.
    last = len(supports) - 1
    views = [support.T if 0 < i == last else support for i, support in enumerate(supports)]
    options = _readings(views)
    if not all(options):
        return None
    if last:
        options[last] = [pattern.T for pattern in options[last]]
    patterns = _choose(options)
    row_orders = []
    for i, (view, pattern) in enumerate(zip(views, patterns, strict=True)):
        order = _row_order(view, pattern.T if 0 < i == last else pattern)
        if order is None or (order.size and 0 < i < last):
            return None
        row_orders.append(order if order.size else None)
    rows, columns = row_orders[0], row_orders[last] if last else None
    orders: list[Index | None] = [None] * len(patterns)
    if rows is not None:
        orders[0] = np.arange(supports[0].nnz).reshape(len(rows), -1)[rows].reshape(-1)
    # Columns that share a row are equal and keep their order: none of its values moves.
    for kept in (rows, columns, orders[0]):
        if kept is not None:
            kept.flags.writeable = False
    return Arrangement(Architecture(patterns, name), rows, columns, tuple(orders))


def _has_even_rows(support: Support) -> bool:
    """Whether all rows have as many nonzeros, and at least one."""
    if isinstance(support, KroneckerPattern):
        return True
    sizes = np.diff(support.indptr)
    return bool(sizes[0] and (sizes == sizes[0]).all())


def _may_be_pattern(support: Support) -> bool:
    """Whether, besides, the nonzeros of the first row keep equal distances."""
    if isinstance(support, KroneckerPattern):
        return True
    steps = np.diff(support.row(0))
    return _has_even_rows(support) and bool((steps == steps[:1]).all())


def _readings(views: Sequence[Support]) -> list[list[KroneckerPattern]]:
    """The patterns that each support may be; the rows of the first and of the last may be out of order.

    The stride d is the distance of neighbours within a row, or else within a column whose rows are in order.
    Where neither shows, any divisor will do; only those that occur in other factors can make them chainable.
    """
    fixed, shapes, sides = [], [], {1}
    for view in views:
        (rows, columns), nnz = view.shape, view.nnz
        if nnz % columns or not _may_be_pattern(view):
            return [[]]
        b, c = nnz // columns, nnz // rows
        shapes.append((b, c, rows // b))
        d = view.abcd[3] if isinstance(view, KroneckerPattern) else _stride(view)
        a, rest = divmod(rows // b, d) if d else (0, 1)
        fixed.append([] if rest else [(a, b, c, d)])
        sides |= set() if rest else {a, a * b, a * c}
    readings = []
    for i, (b, c, n_blocks) in enumerate(shapes):
        is_open = c == 1 and (b == 1 or i in (0, len(views) - 1))
        free = [(a, b, c, n_blocks // a) for a in sorted(sides) if is_open and n_blocks % a == 0]
        readings.append([KroneckerPattern(*abcd) for abcd in (*fixed[i], *free)])
    return readings


def _stride(support: Support) -> int:
    """Distance of the first two nonzeros of the first row, else of its column, else 0."""
    lines = support.row(0)
    if len(lines) == 1:
        lines = np.flatnonzero(support.indices == lines[0])
    return int(lines[1] - lines[0]) if len(lines) > 1 else 0


def _choose(options: Sequence[Sequence[KroneckerPattern]]) -> list[KroneckerPattern]:
    """One option each: chainable one way or the other if possible, and that without permuting if possible."""
    in_place = [one if one[0].abcd[1:3] == (1, 1) else one[:1] for one in options]
    for some in (in_place, options):
        mirrored = [[pattern.T for pattern in one] for one in reversed(some)]
        if chain := _chainable(some) or [pattern.T for pattern in reversed(_chainable(mirrored))]:
            return chain
    return [one[0] for one in options]


def _chainable(options: Sequence[Sequence[KroneckerPattern]]) -> list[KroneckerPattern]:
    """A chainable choice of one option each, the first ones preferred; empty if there is none."""
    paths = [[pattern] for pattern in options[0]]
    for some in options[1:]:
        joined = ((path for path in paths if not why_not_chainable(path[-1], right)) for right in some)
        ways = zip(some, (next(path, None) for path in joined), strict=True)
        paths = [[*path, right] for right, path in ways if path]
    return paths[0] if paths else []


def _row_order(support: Support, pattern: KroneckerPattern) -> Index | None:
    """The rows of the support as the pattern has them, empty if in place; None if it is another pattern."""
    a, b, c, d = pattern.abcd
    indices = support.indices.reshape(-1, c)
    first = indices[:, 0]
    alpha, delta = np.divmod(first, c * d)
    block = alpha * d + delta
    regular = (delta < d).all() and (indices == first[:, None] + d * np.arange(c)).all()
    if not regular or (np.bincount(block, minlength=a * d) != b).any():
        return None
    order = block.argsort(kind="stable").reshape(a, d, b).swapaxes(1, 2).reshape(-1)
    return order[:0] if (order[1:] > order[:-1]).all() else order
