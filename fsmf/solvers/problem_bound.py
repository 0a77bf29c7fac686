"""The best lower bound on the error of every product that disjoint blocks prove, and the search for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.namespace import space_of
from fsmf.kernels.truncated_svd import truncated_svd
from fsmf.observing import rank_one_minorants
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.layout import Index, IndexLists
from fsmf.supports.support import Supports
from fsmf.tractability import Structure

__all__ = ["best_bound", "best_cut"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

# Singular values of one block cost so many operations however small it is, and so many for each of
# b·c·min(b, c); a search may always take so many in all, and none is begun whose first block is dearer than
# this multiple of them.
_EACH, _PER_ENTRY, _WORK, _HOPELESS = 5e5, 10.0, 1e7, 4

# Blocks that a search looks at, at most, with singular values or without.
_LOOKS = 700

# Rows and columns of all classes, as flags, that a search may lay out.
_MAX_FLAGS = 1e7

# How often a block is cut, at most, and how many of the cuts that look best are followed.
_DEPTH, _FOLLOWED = 8, 3

# Cuts must gain more than this, relatively: sums of squared singular values are that precise.
_GAIN = 1e-9

# Squares of singular values that make up less than this share are not told from those of a Gram matrix.
_CLEAR = 1e-5


def best_bound(
    block: Callable[[Index, Index], Array],
    structure: Structure,
    roots: Array | None = None,
    *,
    work: float = 0.0,
    search: bool = True,
) -> tuple[float, DisjointBlocks]:
    """The best bound on the places within reach of a pair, and the blocks that prove it.

    `block` returns the matrix on given rows and columns, zero out of reach; `roots` are those of weights,
    infinite out of reach. First the families that `Structure.block_families` names; then what cutting the
    matrix into blocks by the rows or columns of some class, again and again, finds in `work` operations, or
    a few milliseconds. Without a search, nothing.
    """
    nothing = IndexLists.of_arrays([])
    best, proof = 0.0, DisjointBlocks(nothing, nothing, nothing)
    work = max(work, _WORK)
    (m, n), count = structure.shape, len(structure.classes)
    families = list(structure.block_families) if search else []
    if search and _price(m, n) <= _HOPELESS * work and count * (m + n) <= _MAX_FLAGS:
        families.append(_Cuts(block, structure, work).blocks())
    for blocks in families:
        ranks = blocks.components.sizes
        tails = []
        for t, rank in enumerate(map(int, ranks)):
            rows, columns = blocks.rows[t], blocks.columns[t]
            piece = block(rows, columns)
            if roots is None:
                tails.append(_tail(piece, rank))
            else:
                minorants = rank_one_minorants(roots[np.ix_(rows, columns)])
                tails.append(max(_tail(u[:, None] * piece * v, rank) for u, v in minorants))
        bound = math.hypot(*tails)
        # What only rounding makes better is not taken for the family before.
        if bound > best * (1 + _GAIN):
            best, proof = bound, blocks
    return best, proof


def _price(rows: float, columns: float) -> float:
    """Operations that the singular values of a block cost."""
    return _EACH + _PER_ENTRY * rows * columns * min(rows, columns)


class _Cuts:
    """Blocks of a matrix that is cut in two, and each piece again, wherever that proves more."""

    def __init__(self, block: Callable[[Index, Index], Array], structure: Structure, work: float) -> None:
        self._block, self._work, self._looks = block, work, _LOOKS
        classes = structure.classes
        (m, n), count = structure.shape, len(classes)
        self._rows, self._columns = np.zeros((count, m), bool), np.zeros((count, n), bool)
        for flags, lists in ((self._rows, classes.rows), (self._columns, classes.columns)):
            flags[np.repeat(np.arange(count), lists.sizes), lists.indices] = True
        self._classes = classes
        self._known: dict[bytes, float] = {}
        self._found: dict[bytes, tuple[float, list[tuple[Flags, Flags]]]] = {}

    def blocks(self) -> DisjointBlocks:
        """The blocks found."""
        m, n = self._rows.shape[1], self._columns.shape[1]
        found = self._best(np.ones(m, bool), np.ones(n, bool), _DEPTH)[1]
        members = self._classes.members
        components = [np.sort(members.take(self._met(*block)).indices) for block in found]
        rows, columns = ([np.flatnonzero(block[side]) for block in found] for side in (0, 1))
        return DisjointBlocks(*(IndexLists.of_arrays(lists) for lists in (rows, columns, components)))

    def _met(self, rows: Flags, columns: Flags) -> Index:
        """The classes that reach a block."""
        return np.flatnonzero(self._rows[:, rows].any(axis=1) & self._columns[:, columns].any(axis=1))

    def _proved(self, rows: Flags, columns: Flags) -> float:
        """The squares of the singular values beyond the rank of the block; 0 when out of work."""
        key = rows.tobytes() + columns.tobytes()
        if key not in self._known:
            self._looks -= 1
            rank = int(self._classes.members.sizes[self._met(rows, columns)].sum())
            sides = int(rows.sum()), int(columns.sum())
            short, proved = min(sides), 0.0
            price = _price(*sides)
            if 0 < rank < short and price > self._work:
                self._work = 0.0
            elif 0 < rank < short:
                self._work -= price
                block = self._block(np.flatnonzero(rows), np.flatnonzero(columns))
                proved = _squares_beyond(block, rank)
            self._known[key] = proved
        return self._known[key]

    @property
    def _is_over(self) -> bool:
        return self._work < _EACH or self._looks <= 0

    def _best(self, rows: Flags, columns: Flags, depth: int) -> tuple[float, list[tuple[Flags, Flags]]]:
        """What is proved on a block, whole or cut, and by which pieces; it is sought once."""
        key = rows.tobytes() + columns.tobytes()
        if key not in self._found:
            self._found[key] = self._sought(rows, columns, depth)
        return self._found[key]

    def _sought(self, rows: Flags, columns: Flags, depth: int) -> tuple[float, list[tuple[Flags, Flags]]]:
        proved = self._proved(rows, columns)
        best = proved, [(rows, columns)] if proved > 0 else []
        if depth == 0 or self._is_over:
            return best
        scored = []
        for i, pieces in enumerate(self._cuts(rows, columns)):
            scored.append((sum(self._proved(*piece) for piece in pieces), -i, pieces))
            if self._is_over:
                break
        for _, _, pieces in sorted(scored, reverse=True, key=lambda entry: entry[:2])[:_FOLLOWED]:
            first, second = (self._best(*piece, depth - 1) for piece in pieces)
            if first[0] + second[0] > best[0] * (1 + _GAIN):
                best = first[0] + second[0], first[1] + second[1]
        return best

    def _cuts(self, rows: Flags, columns: Flags) -> Iterator[tuple[tuple[Flags, Flags], ...]]:
        """Cut by the rows, or the columns, of each class that has some but not all of them."""
        seen = set()
        for own, given in ((self._rows, rows), (self._columns, columns)):
            for inside in own & given:
                outside = given & ~inside
                key = min(inside.tobytes(), outside.tobytes()), given is rows
                if inside.any() and outside.any() and key not in seen:
                    seen.add(key)
                    yield (
                        ((inside, columns), (outside, columns))
                        if given is rows
                        else ((rows, inside), (rows, outside))
                    )


def best_cut(A: Array, supports: Supports, roots: Array | None = None) -> tuple[int, float, DisjointBlocks]:
    """The best bound of all pairs that a product of several factors is, cut between two of them.

    Returns
    -------
    cut : int
        Number of factors on the left of the cut; 0 where no block bounds anything.
    bound : float
        What the blocks prove on the places within reach.
    blocks : DisjointBlocks
        The blocks.
    """
    best = 0, 0.0, DisjointBlocks.union([])
    for s in range(1, len(supports)):
        structure = Structure(supports.cut(s))
        if structure.classes.complete.all():
            # Such a pair makes everything within its reach.
            continue
        own = None if roots is None else np.where(structure.reach, roots, np.inf)
        bound, blocks = best_bound(partial(_block, np.where(structure.reach, A, 0)), structure, own)
        if bound > best[1]:
            best = s, bound, blocks
    return best


def _block(A: Array, rows: Index, columns: Index) -> Array:
    block: Array = A[np.ix_(rows, columns)]
    return block


def _squares_beyond(block: Any, rank: int) -> float:
    """The squares of the singular values of a block beyond its rank."""
    xp = space_of(block).xp
    turned = xp.conj(xp.matrix_transpose(block))
    gram = xp.matmul(block, turned) if block.shape[0] <= block.shape[1] else xp.matmul(turned, block)
    return max(0.0, float(xp.sum(xp.linalg.eigvalsh(gram)[: gram.shape[0] - rank])))


def _tail(block: Array, rank: int) -> float:
    """How far a block is from the nearest one of that rank."""
    # Eigenvalues of a Gram matrix take half the time of singular values, or less, and rounding is that of its
    # norm, squared.
    squares = _squares_beyond(block, rank)
    if squares > _CLEAR * frobenius_norm(block) ** 2:
        return math.sqrt(squares)
    i, j = (np.arange(side)[None] for side in block.shape)
    return float(truncated_svd(block, i, j, rank).tails[0])
