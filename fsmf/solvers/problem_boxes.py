"""Boxes of directions, what every product in a box misses, and the search that cuts them.

A pair is seen from one side, and the columns of A are sorted by the classes that reach them. Complete classes
make any column on their rows, so that there only the other rows count; a class of p < |R| components spans a
p-dimensional space, which has a basis with the identity on some p rows, those of largest volume, and entries
of modulus at most 1 on the others. A box holds such entries, of complex ones the real and the imaginary
parts; its widths are then complex numbers of these two. The bound is proved on the page on hard pairs of the
documentation.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.rank_one import EquivalenceClasses

__all__ = ["MAX_FACES", "MAX_OPEN", "Bounded", "BoxSearch", "ColumnType", "Side", "box_bounds"]

Array = NDArray[Any]
Index = NDArray[np.integer[Any]]

# Faces, and entries that are open on each, beyond which nothing is searched.
MAX_FACES, MAX_OPEN = 4096, 24

# Boxes bounded at a time.
_BATCH = 256

# A least singular value must exceed this, and what the box can do to it, for a basis to count as one.
_CLEAR = 1e-7

# A modulus that counts as above 1.
_MODULUS = 1 + 1e-9

# What the arithmetic may have lost, in units of the squared norm.
_LOST = 1e-12


class ColumnType(NamedTuple):
    """Columns that the same classes reach."""

    columns: Index
    rows: Index  # without those of complete classes
    spans: tuple[int, ...]  # columns of the basis, of the classes that are not complete
    owners: tuple[int, ...]  # which class each of them is of


@dataclass(frozen=True)
class Side:
    """The directions of one side of a pair.

    Attributes
    ----------
    turned : bool
        Whether it is the right one.
    shape : tuple of int
        Shape of the matrix, transposed where the right side is taken.
    rows : tuple of ndarray
        For each class that is not complete, its rows.
    ranks : tuple of int
        Its number of components p.
    members : tuple of ndarray
        Its components.
    types : tuple of ColumnType
        The columns by the classes that reach them.
    """

    turned: bool
    shape: tuple[int, int]
    rows: tuple[Index, ...]
    ranks: tuple[int, ...]
    members: tuple[Index, ...]
    types: tuple[ColumnType, ...]

    @classmethod
    def of(cls, classes: EquivalenceClasses, *, transposed: bool) -> Side:
        """Look at the classes from the left, or from the right."""
        m, n = classes.shape[::-1] if transposed else classes.shape
        rows, columns = (classes.columns, classes.rows) if transposed else (classes.rows, classes.columns)
        open_ = np.flatnonzero(~classes.complete)
        ranks = tuple(int(classes.members.sizes[p]) for p in open_)
        starts = np.cumsum([0, *ranks])
        reached: dict[tuple[int, ...], list[int]] = {}
        held = columns.transposed(n)
        for j in range(n):
            reached.setdefault(tuple(map(int, held[j])), []).append(j)
        types = []
        for own, some in reached.items():
            free = [rows[p] for p in own if classes.complete[p]]
            left = np.setdiff1d(np.arange(m), np.concatenate([*free, np.zeros(0, int)]))
            mine = [t for t, p in enumerate(open_) if p in own]
            spans = tuple(int(k) for t in mine for k in range(starts[t], starts[t + 1]))
            owners = tuple(t for t in mine for _ in range(ranks[t]))
            types.append(ColumnType(np.array(some), left, spans, owners))
        members = tuple(classes.members[p] for p in open_)
        return cls(transposed, (m, n), tuple(rows[p] for p in open_), ranks, members, tuple(types))

    @property
    def n_open(self) -> int:
        """Number of entries of a box."""
        return sum(p * (len(rows) - p) for rows, p in zip(self.rows, self.ranks, strict=True))

    @property
    def n_faces(self) -> int:
        """Number of choices of the rows with the identity."""
        return math.prod(math.comb(len(rows), p) for rows, p in zip(self.rows, self.ranks, strict=True))

    @cached_property
    def faces(self) -> list[tuple[Array, NDArray[np.intp]]]:
        """Each face: the basis with its identities, and where its open entries are, shape (n_open, 2)."""
        found = []
        for chosen in product(
            *(combinations(rows, p) for rows, p in zip(self.rows, self.ranks, strict=True))
        ):
            basis, places, start = np.zeros((self.shape[0], sum(self.ranks))), [], 0
            for rows, own in zip(self.rows, chosen, strict=True):
                for k, i in enumerate(own, start=start):
                    basis[i, k] = 1
                places += [(i, k) for k in range(start, start + len(own)) for i in rows if i not in own]
                start += len(own)
            found.append((basis, np.array(places, dtype=np.intp).reshape(-1, 2)))
        return found


class Bounded(NamedTuple):
    """What is known of some boxes."""

    below: Array  # a bound on the squared error of all products in each box
    centre: Array  # the squared error of the best product at its centre; infinity where that is not clear
    worth: Array  # how much cutting each part of each entry promises, shape (n, m, spans, 1 or 2)


def box_bounds(A: Array, side: Side, basis: Array, width: Array) -> Bounded:
    """Bound the squared error of all products whose spans lie in boxes.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        The matrix, zero out of reach.
    side : Side
        The side.
    basis, width : ndarray, shape (boxes, m, spans)
        Centres and half widths; of complex bases those of the real and of the imaginary parts.
    """
    count = len(basis)
    below, centre = np.zeros(count), np.zeros(count)
    halves = _parts(width)
    slope, worth = np.zeros_like(basis), halves**2
    for one in side.types:
        target = A[np.ix_(one.rows, one.columns)]
        size = float(np.vdot(target, target).real)
        if not size or not one.spans:
            below += size
            centre += size
            continue
        X, H = (both[:, one.rows][:, :, one.spans] for both in (basis, np.abs(width)))
        shifted, exact, G, size_of_Y = _of_type(target, X, H)
        first = _with_one_free(target, X, H, one.owners)
        take = shifted >= first
        below += np.where(take, shifted, first)
        centre += exact
        at = np.ix_(np.arange(count), one.rows, np.array(one.spans))
        slope[at] += np.where(take[:, None, None], G, 0)
        own = halves[at]
        worth[at] += own**2 * size_of_Y[:, None, :, None] + 2 * own * np.abs(_parts(G))
    below -= 2 * np.sum(np.abs(_parts(slope)) * halves, axis=(1, 2, 3))
    below -= _LOST * float(np.vdot(A, A).real)
    # No entry of modulus above 1 need be looked at.
    nearest = np.linalg.norm(np.maximum(np.abs(_parts(basis)) - halves, 0), axis=3)
    below[nearest.max(axis=(1, 2), initial=0) > _MODULUS] = math.inf
    return Bounded(np.maximum(below, 0), centre, worth)


def _parts(values: Array) -> Array:
    """Real and imaginary parts of complex numbers side by side, in a last axis; of real ones, themselves."""
    return np.stack([values.real, values.imag], axis=-1) if np.iscomplexobj(values) else values[..., None]


def _of_type(target: Array, X: Array, H: Array) -> tuple[Array, Array, Array, Array]:
    """The squared error without its linear part, that at the centre, the linear part, and squares of Y."""
    count, rows, spans = X.shape
    zero = np.zeros(count), np.zeros(count), np.zeros_like(X), np.zeros((count, spans))
    if spans > rows:
        return zero
    U, s, Vh = np.linalg.svd(X, full_matrices=False)
    least, spread = s[:, -1], np.sqrt(np.sum(H**2, axis=(1, 2)))
    clear = least > _CLEAR
    s = np.where(clear[:, None], s, 1.0)
    Y = np.einsum("bkq,bk,bik,ij->bqj", Vh.conj(), 1 / s, U.conj(), target, optimize=True)
    R = target - X @ Y
    errors = np.sum(np.abs(R) ** 2, axis=1)
    sound = clear & (least > (1 + 1e-9) * spread)
    margin = np.where(sound, least - spread, 1.0)
    turned = np.sqrt(np.sum((H.swapaxes(1, 2) @ np.abs(R)) ** 2, axis=1)) / margin[:, None]
    moved = np.sqrt(np.sum((H @ np.abs(Y)) ** 2, axis=1))
    shifted = np.sum(errors - turned**2 - 2 * turned * moved, axis=1)
    exact = np.where(clear, errors.sum(axis=1), math.inf)
    squares = np.where(clear[:, None], np.sum(np.abs(Y) ** 2, axis=2), 1.0)
    slope = np.where(sound[:, None, None], R @ Y.conj().swapaxes(1, 2), 0.0)
    return np.where(sound, shifted, 0.0), exact, slope, squares


def _with_one_free(target: Array, X: Array, H: Array, owners: Sequence[int]) -> Array:
    """What is left when the span of one class, or of all, is anything: singular values beyond the rank."""
    count, rows, spans = X.shape
    best = np.full(count, _tail(target, spans))
    short, owner = min(target.shape), np.array(owners)
    size = math.sqrt(float(np.vdot(target, target).real))
    for one in sorted(set(owners)):
        rest, rank = owner != one, int(np.sum(owner == one))
        if rank >= short or not rest.any() or rest.sum() > rows:
            continue
        U, s, _ = np.linalg.svd(X[:, :, rest], full_matrices=False)
        spread = np.sqrt(np.sum(H[:, :, rest] ** 2, axis=(1, 2)))
        margin = s[:, -1] - spread
        tilt = np.where(margin > spread, spread / np.where(margin > 0, margin, 1.0), 1.0)
        left = target - U @ (U.conj().swapaxes(1, 2) @ target)
        values = np.linalg.svd(left, compute_uv=False)[:, rank:]
        far = np.sqrt(np.sum(values**2, axis=1)) - np.minimum(tilt, 1.0) * size
        best = np.maximum(best, np.maximum(far, 0.0) ** 2)
    return best


def _tail(target: Array, rank: int) -> float:
    """Squares of the singular values beyond a rank."""
    if rank >= min(target.shape):
        return 0.0
    return float(np.sum(np.linalg.svd(target, compute_uv=False)[rank:] ** 2))


class BoxSearch:
    """Cut boxes, those first that promise least, until every one is bounded by what is wanted.

    Attributes
    ----------
    n_boxes : int
        Number of boxes bounded so far.
    """

    def __init__(self, A: Array, side: Side) -> None:
        self._A, self._side, self._dtype = A, side, np.result_type(A, float)
        # For each box the entry that it was cut by, -1 for none, and the first of the two pieces.
        self._axis: list[int] = []
        self._child: list[int] = []
        self._queue: list[tuple[float, int, int, Array, Array, int]] = []
        self.n_boxes = 0

    @property
    def below(self) -> float:
        """A bound on the squared error of every product."""
        return max(0.0, self._queue[0][0])

    def run(
        self, goal: Callable[[float, Array], float], *, max_boxes: int, is_over: Callable[[], bool]
    ) -> bool:
        """Search; whether the goal was met.

        `goal` is told the least squared error at a centre, with the basis there, whenever that is new; it
        returns the squared error that is to be bounded.
        """
        wanted, best = -math.inf, math.inf
        side = self._side
        n_sides = side.n_open * (2 if np.iscomplexobj(self._A) else 1)
        ends = np.zeros(n_sides), np.ones(n_sides)
        boxes = [(face, *ends) for face in range(side.n_faces)]
        while boxes:
            for start in range(0, len(boxes), _BATCH):
                error, basis = self._bound(boxes[start : start + _BATCH])
                if error < best or wanted == -math.inf:
                    best = min(best, error)
                    wanted = goal(error, basis)
            if self.n_boxes >= max_boxes or is_over():
                break
            boxes = []
            while self._queue[0][0] < wanted and len(boxes) < _BATCH and side.n_open:
                boxes += self._cut(len(self._axis) + len(boxes))
                if not self._queue:
                    break
        return self.below >= wanted

    def _cut(self, first: int) -> list[tuple[int, Array, Array]]:
        """The two pieces of the box that promises least, which will have these numbers."""
        _, number, face, centre, width, axis = heapq.heappop(self._queue)
        self._axis[number], self._child[number] = axis, first
        pieces = []
        for sign in (-1, 1):
            middle, half = centre.copy(), width.copy()
            half[axis] /= 2
            middle[axis] += sign * half[axis]
            pieces.append((face, middle, half))
        return pieces

    def _bound(self, boxes: list[tuple[int, Array, Array]]) -> tuple[float, Array]:
        """Bound boxes and queue them; the least error at a centre, and the basis there."""
        faces = self._side.faces
        basis = np.stack([faces[face][0] for face, _, _ in boxes]).astype(self._dtype)
        width = np.zeros_like(basis)
        for t, (face, centre, half) in enumerate(boxes):
            rows, columns = faces[face][1].T
            basis[t, rows, columns], width[t, rows, columns] = (
                centre.view(self._dtype),
                half.view(self._dtype),
            )
        found = box_bounds(self._A, self._side, basis, width)
        for t, (face, centre, half) in enumerate(boxes):
            rows, columns = faces[face][1].T
            axis = int(np.argmax(found.worth[t, rows, columns])) if len(rows) else -1
            entry = float(found.below[t]), len(self._axis), face, centre, half, axis
            heapq.heappush(self._queue, entry)
            self._axis.append(-1)
            self._child.append(-1)
        self.n_boxes += len(boxes)
        t = int(np.argmin(found.centre))
        return float(found.centre[t]), basis[t]

    def axes(self) -> NDArray[np.int64]:
        """All boxes, each followed by those that it was cut into: by which entry, or -1 for a last one."""
        listed, stack = [], list(range(self._side.n_faces))[::-1]
        while stack:
            number = stack.pop()
            listed.append(self._axis[number])
            if self._axis[number] >= 0:
                stack += [self._child[number] + 1, self._child[number]]
        return np.array(listed, dtype=np.int64)
