"""A chain in canonical form: orthonormal on both sides of one factor, as tensor trains have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.orders import is_extremal
from fsmf.kernels.best_pieces_cuda import pieces_by_kernel
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.kronecker_contract import contract_left, contract_right
from fsmf.kernels.kronecker_split import split
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.supports.kronecker import Architecture, Interface, KroneckerPattern

__all__ = ["Train", "on_pattern"]

Array = NDArray[Any]


def on_pattern(A: Any, pattern: KroneckerPattern) -> Any:
    """Return the values of A on a pattern, shape ``(a, b, d, c)``; a view where the pattern is full."""
    a, b, c, d = pattern.abcd
    if is_foreign(A):
        return _on_pattern_there(A, pattern)
    values: Array = np.einsum("abdacd->abdc", A.reshape(a, b, d, a, c, d))
    return values


def _on_pattern_there(A: Any, pattern: KroneckerPattern) -> Any:
    """The same in any array library: of all pairs of blocks, those of equal places."""
    space, (a, b, c, d) = space_of(A), pattern.abcd
    xp = space.xp
    if a == d == 1:
        return xp.reshape(A, (1, b, 1, c))
    pairs = xp.permute_dims(xp.reshape(A, (a, b, d, a, c, d)), (0, 3, 2, 5, 1, 4))
    pairs = xp.take(xp.reshape(pairs, (a * a, d * d, b, c)), space.put(np.arange(a) * (a + 1)), axis=0)
    pairs = xp.take(pairs, space.put(np.arange(d) * (d + 1)), axis=1)
    return xp.permute_dims(pairs, (0, 2, 1, 3))


class Train:
    """Hold the factors of a chainable chain that is not redundant, while they are found.

    Factors left of the center have orthonormal columns on each block, those right of it orthonormal rows: a
    change of the center changes the product by as much, in the Frobenius norm.

    Parameters
    ----------
    patterns : sequence of KroneckerPattern
        The chain.
    values : sequence of ndarray
        Shapes ``(a, b, d, c)``.
    center : int
        The factor that is not orthonormal.
    """

    def __init__(
        self, patterns: Sequence[KroneckerPattern], values: Sequence[Array], center: int = 0
    ) -> None:
        self.patterns = list(patterns)
        self.values = list(values)
        self.center = center

    @classmethod
    def split_all(
        cls,
        V: Array,
        chain: Architecture,
        order: Sequence[int],
        budget: float | None = None,
        eagerness: float = 1.0,
    ) -> tuple[Train, dict[int, float]]:
        """Split values on the product pattern of a chain at all its interfaces.

        Parameters
        ----------
        V : ndarray
            Values on the product pattern.
        chain : Architecture
            The chain.
        order : sequence of int
            The interfaces, counted from 1, as they are to be split.
        budget : float, optional
            Error that all steps together may make: the ranks are chosen for it, as small as they can be.
        eagerness : float
            How much more than an equal share of what is left of the budget each step may take.

        Returns
        -------
        train : Train
            The factors; the patterns have the ranks that were chosen.
        losses : dict
            What the step at each interface lost.
        """
        train = cls([chain.product], [V])
        losses: dict[int, float] = {}
        ranks, orthogonal, left_over = list(chain.ranks), is_extremal(order), budget
        for step, s in enumerate(order):
            lower = max((t for t in losses if t < s), default=0)
            upper = min((t for t in losses if t > s), default=len(chain))
            i = sum(t < s for t in losses)
            train._move(i)
            steps = len(order) - step
            allowed = None
            if left_over is not None:
                allowed = min(1.0, eagerness / (math.sqrt(steps) if orthogonal else steps)) * left_over

            def sides(rank: int, s: int = s, lower: int = lower, upper: int = upper) -> Interface:
                patterns = chain.with_ranks([*ranks[: s - 1], rank, *ranks[s:]]).patterns
                left, right = (
                    reduce(KroneckerPattern.__mul__, side) for side in (patterns[lower:s], patterns[s:upper])
                )
                return Interface.of(left, right)

            if allowed is None:
                interface = sides(ranks[s - 1])
                X, Y, tails = split(train.values[i], interface.left.abcd, interface.right.abcd)
                losses[s] = frobenius_norm(tails)
            else:
                X, Y, losses[s], rank = _split_within(train.values[i], sides, allowed)
                ranks[s - 1], interface = rank, sides(rank)
            if left_over is not None:
                spent = losses[s]
                left_over = math.sqrt(max(0.0, left_over**2 - spent**2)) if orthogonal else left_over - spent
            train.patterns[i : i + 1] = [interface.left, interface.right]
            train.values[i : i + 1] = [X, Y]
            train.center = i + 1
        return train, losses

    def _cut(self, i: int) -> Blocks:
        """The interface between factors i and i + 1."""
        return Blocks.of(self.patterns[i].abcd, self.patterns[i + 1].abcd)

    def _move(self, center: int) -> None:
        """Move the center."""
        while self.center < center:
            i = self.center
            self.values[i : i + 2] = self._cut(i).shift_right(*self.values[i : i + 2])
            self.center += 1
        while self.center > center:
            i = self.center - 1
            self.values[i : i + 2] = self._cut(i).shift_left(*self.values[i : i + 2])
            self.center -= 1

    def _tails(self) -> list[KroneckerPattern]:
        """The pattern of the product of factors i, i + 1, … for each i."""
        tails = [self.patterns[-1]]
        for pattern in self.patterns[-2::-1]:
            tails.append(pattern * tails[-1])
        return tails[::-1]

    def product(self) -> Array:
        """Return the values of the product on its pattern."""
        V, tails = self.values[-1], self._tails()
        for i in range(len(self.values) - 2, -1, -1):
            V = Blocks.of(self.patterns[i].abcd, tails[i + 1].abcd).multiply(self.values[i], V)
        return V

    def distance(self, V: Array) -> float:
        """Return the Frobenius norm of V less the product, V being values on the product's pattern."""
        return frobenius_norm(V - space_of(V).xp.reshape(self.product(), V.shape))

    def refine(self, V: Array, passes: int, norm: float) -> float:
        """Solve for one factor after the other, given the rest, so that the product is nearest to V.

        A pass over V is for the factors on one side of the middle interface: left, right, left, …

        Parameters
        ----------
        V : ndarray
            Values on the product pattern.
        passes : int
            How often V is read.
        norm : float
            ‖V‖_F.

        Returns
        -------
        float
            Frobenius norm of V less the product.
        """
        s = len(self.values) // 2
        if not s:
            return self.distance(V)
        left, right = (
            reduce(KroneckerPattern.__mul__, side) for side in (self.patterns[:s], self.patterns[s:])
        )
        cut = Blocks.of(left.abcd, right.abcd)
        square = math.inf
        for i in range(passes):
            # What the orthonormal factors on one side leave of V is all that those on the other see of it.
            on_left = i % 2 == 0
            own, rest = (slice(0, s), slice(s, None))[:: 1 if on_left else -1]
            self._move(s - 1 if on_left else s)
            fixed = Train(self.patterns[rest], self.values[rest]).product()
            W = contract_right(V, fixed, cut) if on_left else contract_left(fixed, V, cut)
            part = Train(self.patterns[own], self.values[own], self.center - own.start)
            part._sweep(W)
            self.values[own], self.center = part.values, part.center + own.start
            square = norm**2 - frobenius_norm(W) ** 2 + part.distance(W) ** 2
        # A difference of squares loses as many digits as it is small.
        return math.sqrt(square) if square > 1e-4 * norm**2 else self.distance(V)

    def _sweep(self, V: Array) -> None:
        """Solve for each factor once, given the rest; the center ends in the last."""
        tails = self._tails()
        self._move(0)
        for i in range(len(self.values)):
            # What the factors on the left, orthonormal, leave of V; then what those on the right do.
            W = V
            for j in range(len(self.values) - 1, i, -1):
                W = self._contract_last(W, i, j)
            self.values[i] = W
            if i + 1 < len(self.values):
                self._move(i + 1)
                V = Blocks.of(self.patterns[i].abcd, tails[i + 1].abcd).contract_left(self.values[i], V)

    def _contract_last(self, W: Array, i: int, j: int) -> Any:
        """Contract factor j from values on the product of factors i, …, j."""
        left = reduce(KroneckerPattern.__mul__, self.patterns[i:j])
        return Blocks.of(left.abcd, self.patterns[j].abcd).contract_right(W, self.values[j])

    def lifted(self, chain: Architecture, starts: Sequence[int]) -> list[Array]:
        """Return values on a redundant chain of which this one is the reduction, with the same product.

        Parameters
        ----------
        chain : Architecture
            The redundant chain.
        starts : sequence of int
            Which of its factors each factor of this train begins with, as `Architecture.reduced` tells.
        """
        values: list[Array] = []
        for start, stop, V in zip(starts, [*starts[1:], len(chain)], self.values, strict=True):
            for i in range(start, stop - 1):
                right = reduce(KroneckerPattern.__mul__, chain.patterns[i + 1 : stop])
                X, V, _ = split(V, chain.patterns[i].abcd, right.abcd)
                values.append(X)
            values.append(V)
        return values


def _split_within(V: Array, sides: Any, allowed: float) -> tuple[Array, Array, float, int]:
    """Split with the smallest rank that loses at most what is allowed."""
    full = sides(1)
    cut = Blocks.of(full.left.abcd, full.right.abcd)
    space = space_of(V)
    U, s, W = _singular(cut.whole(V))
    squares = space.get(space.xp.sum(space.xp.square(space.cast(s, np.float64)), axis=(0, 1)))
    beyond = np.sqrt(np.append(np.cumsum(squares[::-1])[::-1], 0.0))
    rank = max(1, int(np.argmax(beyond <= allowed)))
    chosen = sides(rank)
    cut = Blocks.of(chosen.left.abcd, chosen.right.abcd)
    X = cut.from_left(U[..., :rank])
    Y = cut.from_right(W[..., :rank, :])
    return X, Y, float(beyond[rank]), rank


def _singular(B: Any) -> tuple[Any, Any, Any]:
    """Singular values s of blocks, shape (…, b, c), with U and ``diag(s) Vᴴ``."""
    space, (*shape, b, c) = space_of(B), B.shape
    xp, k = space.xp, min(b, c)
    found = pieces_by_kernel(xp.reshape(B, (-1, b, c)), k)
    if found is None:
        U, s, Vh = xp.linalg.svd(B, full_matrices=False)
        return U, s, space.cast(s[..., None], space.dtype(B)) * Vh
    U, W, _ = found
    s = xp.sqrt(xp.sum(xp.square(space.cast(xp.abs(W), np.float64)), axis=2))
    return tuple(xp.reshape(F, (*shape, *F.shape[1:])) for F in (U, s, W))
