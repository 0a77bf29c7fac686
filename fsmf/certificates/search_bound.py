"""What an exhaustive search over boxes promises, and how the boxes are bounded again by whoever doubts it.

A product is determined by the spans of its columns; the spans are covered by boxes, cut and cut again, and
on every box that was not cut further the error of all products is bounded from below. A certificate keeps how
the boxes were cut. Checking cuts them again, and bounds every last one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.block_brackets import BlockBracket
from fsmf.certificates.proved_bounds import proved_bound
from fsmf.certificates.residuals import dense
from fsmf.certificates.verification import Check, close
from fsmf.supports.layout import IndexLists
from fsmf.supports.support import Supports

__all__ = ["SearchBound"]

Array = NDArray[Any]

# Boxes bounded at a time.
_BATCH = 512

# Of a squared norm, what the arithmetic of a bound may have lost.
_LOST = 1e-12


@dataclass(frozen=True)
class SearchBound(BlockBracket):
    """Certify an error, and a lower bound that exhaustive searches of parts of the problem prove.

    Attributes
    ----------
    error : float
        ‖A − X Y‖_F, in the units of A.
    lower_bound : float
        What blocks and searches prove that every product misses.
    out_of_reach : float
        ‖A‖_F on the places that no component reaches.
    blocks : DisjointBlocks
        The disjoint blocks that prove the bound where nothing was searched.
    parts : IndexLists
        The components of each part that was searched; no others reach a place of theirs.
    axes : IndexLists
        How the boxes of each part were cut: those of all faces in order, each followed by the two that it was
        cut into; the number of the entry that was halved, or −1 where a box was not cut.
    turned : tuple of bool
        Whether the boxes of a part hold the directions of its right factor.

    Notes
    -----
    The directions of a class of p components on the rows R are p vectors, the identity on p of the rows and
    of modulus at most 1 on the others. Faces are the choices of these p rows, of all classes that are not
    complete, in lexicographic order; entries are numbered by class, then by vector, then by row; of a complex
    matrix each counts twice, for its real part and then for its imaginary part. `verify` cuts the boxes again
    and bounds each that is left with other linear algebra than the solver's.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((4, 4))
    >>> F = fsmf.factorize(A, fsmf.completion(1 - np.eye(4)), solver=fsmf.GlobalSearch(rtol=0.05))
    >>> F.certificate.n_boxes > 0, F.certificate.gap <= 0.05 * F.error, bool(F.verify(A))
    (True, True, True)
    """

    parts: IndexLists
    axes: IndexLists
    turned: tuple[bool, ...]

    name: ClassVar[str] = "SearchBound"

    @property
    def n_boxes(self) -> int:
        """Number of boxes that the bound rests on."""
        return int(np.count_nonzero(self.axes.indices < 0))

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: its blocks, its parts and its boxes."""
        lists = (self.parts, self.axes)
        return [*super().arrays(), *(array for one in lists for array in (one.indptr, one.indices))]

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Self:
        """Build the certificate from what a file holds."""
        *blocks, part_starts, parts, starts, axes = arrays
        lists = {"parts": IndexLists(part_starts, parts), "axes": IndexLists(starts, axes)}
        return super().restored(numbers | lists, blocks)

    def transposed(self) -> Self:
        """Return the certificate of the transposed problem."""
        return replace(self, blocks=self.blocks.T, turned=tuple(not turned for turned in self.turned))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any], slack: float) -> list[Check]:
        error, out, _ = super()._checks(A, supports, factors, slack)
        bound = math.hypot(proved_bound(A, supports, self.blocks, out.found), *self._searched(A, supports))
        return [
            error,
            out,
            Check("lower bound", self.lower_bound, bound, close(self.lower_bound, bound, slack)),
            Check(
                "bound ≤ error",
                self.lower_bound,
                error.found,
                self.lower_bound <= error.found * (1 + 1e-7) + slack,
            ),
        ]

    def _searched(self, A: Any, supports: Supports) -> Iterator[float]:
        """What the boxes of each part prove; NaN where they prove nothing."""
        left, right = (support.toarray() for support in supports)
        r, used = left.shape[1], self.blocks.components.indices
        if not len(self.parts) == len(self.axes) == len(self.turned):
            yield math.nan
            return
        for t, turned in enumerate(self.turned):
            own = self.parts[t]
            others = np.setdiff1d(np.arange(r), own)
            sound = bool(((own >= 0) & (own < r)).all()) and len(np.unique(own)) == len(own)
            if not sound or np.isin(own, used).any():
                yield math.nan
                continue
            reach, elsewhere = (
                left[:, some].astype(np.int64) @ right[some].astype(np.int64) > 0 for some in (own, others)
            )
            if (reach & elsewhere).any():
                yield math.nan
                continue
            used = np.concatenate([used, own])
            piece = np.where(reach, dense(A), 0)
            sides = (right[own].T, left[:, own].T) if turned else (left[:, own], right[own])
            yield _Boxes(piece.T if turned else piece, *sides).proved(self.axes[t])

    def __str__(self) -> str:
        boxes = f"{self.n_boxes} box{'es' * (self.n_boxes != 1)}"
        return f"search: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}, by {boxes}"


class _Span(NamedTuple):
    """A class that is not complete: its rows, its columns as flags, and its columns of a basis."""

    rows: list[int]
    columns: Array
    places: list[int]


class _Boxes:
    """One part seen from one side."""

    def __init__(self, A: Array, left: Array, right: Array) -> None:
        self._A = A.astype(np.result_type(A, float))
        classes: dict[tuple[bytes, bytes], list[int]] = {}
        for k in range(left.shape[1]):
            if left[:, k].any() and right[k].any():
                classes.setdefault((left[:, k].tobytes(), right[k].tobytes()), []).append(k)
        self._spans: list[_Span] = []
        reached = [right[members[0]] for members in classes.values()]
        # Columns that the same classes reach, complete or not.
        self._kind_of = np.unique(np.array(reached).T, axis=0, return_inverse=True)[1].ravel()
        # Rows that count in each column: complete classes make anything on theirs.
        self._counts = np.ones(A.shape, dtype=bool)
        width = 0
        for members in classes.values():
            rows, columns = left[:, members[0]], right[members[0]]
            if len(members) >= min(rows.sum(), columns.sum()):
                self._counts[np.ix_(rows, columns)] = False
            else:
                places = list(range(width, width + len(members)))
                self._spans.append(_Span(np.flatnonzero(rows).tolist(), columns, places))
                width += len(members)
        self._width = width

    @property
    def _is_complex(self) -> bool:
        return np.iscomplexobj(self._A)

    def proved(self, axes: Array) -> float:
        """The least bound of all boxes that were not cut; NaN if they were not cut as said."""
        least, batch = math.inf, []
        try:
            for box in self._last(iter(axes.tolist())):
                batch.append(box)
                if len(batch) == _BATCH:
                    least, batch = min(least, self._below(*map(np.stack, zip(*batch, strict=True)))), []
        except (StopIteration, IndexError, RuntimeError):
            return math.nan
        if batch:
            least = min(least, self._below(*map(np.stack, zip(*batch, strict=True))))
        return math.sqrt(least)

    def _last(self, axes: Iterator[int]) -> Iterator[tuple[Array, Array]]:
        """Centres and half widths of the boxes that were not cut."""
        choices = (combinations(span.rows, len(span.places)) for span in self._spans)
        for chosen in product(*choices):
            centre, width = np.zeros((2, len(self._A), self._width), self._A.dtype)
            entries = []
            for span, identity in zip(self._spans, chosen, strict=True):
                centre[list(identity), span.places] = 1
                entries += [(i, k) for k in span.places for i in span.rows if i not in identity]
            for entry in entries:
                width[entry] = 1 + 1j if self._is_complex else 1
            waiting = [(centre, width)]
            while waiting:
                middle, half = waiting.pop()
                axis = next(axes)
                if axis < 0:
                    yield middle, half
                    continue
                side, turn = divmod(axis, 2) if self._is_complex else (axis, 0)
                entry, half = entries[side], half.copy()
                cut = half[entry].imag / 2 * 1j if turn else half[entry].real / 2
                half[entry] -= cut
                lower, upper = middle.copy(), middle.copy()
                lower[entry] -= cut
                upper[entry] += cut
                waiting += [(upper, half), (lower, half)]
        if next(axes, None) is not None:
            raise IndexError("boxes are left over")

    def _below(self, centre: Array, width: Array) -> float:
        """The least bound on the squared error among some boxes."""
        total, linear = np.zeros(len(centre)), np.zeros_like(centre)
        for number in range(self._kind_of.max() + 1):
            columns = np.flatnonzero(self._kind_of == number)
            spans = [span for span in self._spans if span.columns[columns[0]]]
            rows = np.flatnonzero(self._counts[:, columns[0]])
            target = self._A[np.ix_(rows, columns)]
            places = [k for span in spans for k in span.places]
            if not places:
                total += np.sum(np.abs(target) ** 2)
                continue
            X, H = centre[:, rows][:, :, places], np.abs(width[:, rows][:, :, places])
            free = _one_free(target, X, H, [len(span.places) for span in spans])
            if len(places) > len(rows):
                total += free
                continue
            inverse = np.linalg.pinv(X)
            least = np.linalg.svd(X, compute_uv=False)[:, -1]
            margin = least - np.linalg.norm(H, axis=(1, 2))
            good = (least > 1e-7) & (margin > 1e-9 * np.linalg.norm(H, axis=(1, 2)))
            Y = inverse @ target
            R = target - X @ Y
            turned = np.linalg.norm(np.abs(R).swapaxes(1, 2) @ H, axis=2) / np.where(good, margin, 1)[:, None]
            moved = np.linalg.norm(H @ np.abs(Y), axis=1)
            value = np.sum(np.abs(R) ** 2, axis=(1, 2)) - np.sum(turned**2 + 2 * turned * moved, axis=1)
            value[~good] = 0
            taken = value >= free
            total += np.where(taken, value, free)
            for place, k in enumerate(places):
                slope = np.einsum("bij,bj->bi", R, Y[:, place].conj())
                linear[:, rows, k] += np.where((taken & good)[:, None], slope, 0)
        lost = np.abs(linear.real) * width.real + np.abs(linear.imag) * width.imag
        total -= 2 * np.sum(lost, axis=(1, 2)) + _LOST * np.sum(np.abs(self._A) ** 2)
        # Entries need have no modulus above 1.
        off = [
            np.maximum(np.abs(x) - h, 0) for x, h in ((centre.real, width.real), (centre.imag, width.imag))
        ]
        total[(np.hypot(*off) > 1 + 1e-9).any(axis=(1, 2))] = math.inf
        return max(0.0, float(total.min()))


def _one_free(target: Array, X: Array, H: Array, ranks: Sequence[int]) -> Array:
    """Squared singular values beyond the rank when the span of all classes, or of one, is anything."""
    whole = np.linalg.svd(target, compute_uv=False)
    best, size = np.full(len(X), np.sum(whole[sum(ranks) :] ** 2)), np.linalg.norm(target)
    ends = np.cumsum([0, *ranks])
    for first, last in pairwise(ends):
        others = [*range(first), *range(last, ends[-1])]
        if last - first >= min(target.shape) or not 0 < len(others) <= len(target):
            continue
        inverse = np.linalg.pinv(X[:, :, others])
        spread = np.linalg.norm(H[:, :, others], axis=(1, 2))
        margin = np.linalg.svd(X[:, :, others], compute_uv=False)[:, -1] - spread
        tilt = np.where(margin > spread, spread / np.where(margin > 0, margin, 1), 1)
        left = target - X[:, :, others] @ (inverse @ target)
        far = np.linalg.norm(np.linalg.svd(left, compute_uv=False)[:, last - first :], axis=1) - tilt * size
        best = np.maximum(best, np.maximum(far, 0) ** 2)
    return best
