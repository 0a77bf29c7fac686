"""Where a chain may be cut into few runs whose products still say something about A."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes
from fsmf.supports.support import Support, Supports

__all__ = ["Division", "divisions"]


class Division(NamedTuple):
    """A chain cut into runs, each of which counts as one factor.

    An exact product of these tells its factors up to invertible matrices between them. A single factor at an
    end is told so, where these are no more than those between any factors that meet there; where they are
    more, what they may be takes its place in the chain that is left. A longer run at an end stays, since the
    order of its columns may not be told.

    Attributes
    ----------
    ends : tuple of int
        Where the runs begin, and the end of the last one.
    supports : Supports
        Of the products of the runs.
    share : float
        Dimensions of what these make, per place within reach.
    left, right : tuple of Support, or None
        What takes the place of the first and the last run in the chain that is left; None where it stays.
    """

    ends: tuple[int, ...]
    supports: Supports
    share: float
    left: tuple[Support, ...] | None
    right: tuple[Support, ...] | None

    def remaining(self, supports: Supports) -> Supports:
        """The chain that is left when the ends have been told."""
        first, last = self.ends[1], self.ends[-2]
        left = supports[:first] if self.left is None else self.left
        right = supports[last:] if self.right is None else self.right
        return Supports((*left, *supports[first:last], *right))


@lru_cache(maxsize=64)
def divisions(supports: Supports, count: int) -> tuple[Division, ...]:
    """Return the divisions that tell a factor at an end, of few dimensions first.

    Parameters
    ----------
    supports : Supports
        The chain.
    count : int
        Number of runs; there are no divisions into as many as there are factors.

    Returns
    -------
    tuple of Division
        Those whose products have fewer dimensions than there are places.
    """
    L, places = len(supports), supports.reached.nnz
    runs = _Runs(supports)
    found = []
    for cuts in combinations(range(1, L), count - 1) if count < L else ():
        ends = (0, *cuts, L)
        if (cuts[0] > 1 and cuts[-1] < L - 1) or any(map(runs.is_full, ends[:-1], ends[1:])):
            continue
        products = Supports(runs.product(a, b) for a, b in pairwise(ends))
        meeting = [runs.meeting(*where) for where in zip(ends, ends[1:], ends[2:], strict=False)]
        share = (products.n_parameters - sum(map(_dimension, meeting))) / places
        sides = [
            runs.told(0, meeting[0]) if ends[1] == 1 else None,
            runs.told(-1, meeting[-1]) if ends[-2] == L - 1 else None,
        ]
        if share < 1 and sides != [None, None]:
            found.append(Division(ends, products, share, *sides))
    return tuple(sorted(found, key=lambda division: division.share))


class _Runs:
    """What the runs of one chain make, and how they meet."""

    def __init__(self, supports: Supports) -> None:
        self._supports = supports
        self._dense: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._products: dict[tuple[int, int], Support] = {}
        self._met: dict[tuple[int, int, int], EquivalenceClasses] = {}

    def _paths(self, a: int, b: int) -> NDArray[np.float32]:
        """Ones where the product of factors a, …, b - 1 may be nonzero."""
        if (a, b) not in self._dense:
            last = self._supports[b - 1].toarray().astype(np.float32)
            self._dense[a, b] = last if b == a + 1 else np.minimum(self._paths(a, b - 1) @ last, 1)
        return self._dense[a, b]

    def is_full(self, a: int, b: int) -> bool:
        """Whether the run makes any matrix, as far as its support tells."""
        return bool(self._paths(a, b).all())

    def product(self, a: int, b: int) -> Support:
        if (a, b) not in self._products:
            self._products[a, b] = Support(self._paths(a, b) > 0)
        return self._products[a, b]

    def meeting(self, a: int, b: int, c: int) -> EquivalenceClasses:
        """The components between the runs a, …, b - 1 and b, …, c - 1."""
        if (a, b, c) not in self._met:
            self._met[a, b, c] = equivalence_classes(Supports((self.product(a, b), self.product(b, c))))
        return self._met[a, b, c]

    def told(self, end: int, classes: EquivalenceClasses) -> tuple[Support, ...] | None:
        """What takes the place of the factor at an end, 0 or -1, that is a run by itself."""
        L = len(self._supports)
        meeting = self.meeting(0, 1, 2) if end == 0 else self.meeting(L - 2, L - 1, L)
        if _dimension(classes) == _dimension(meeting):
            return ()
        mixing = Support(classes.class_of[:, None] == classes.class_of)
        return (mixing,) if mixing.nnz < self._supports[end].nnz else None


def _dimension(classes: EquivalenceClasses) -> int:
    """Of the invertible matrices between two factors: equal components may be mixed."""
    return int(np.sum(classes.members.sizes**2))
