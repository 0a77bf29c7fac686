"""The examination: everything that the supports alone can tell. No value of A is ever read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import ShapeError
from fsmf.facts import facts_of
from fsmf.kernels.masked_lstsq import RowGroups
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.supports.blocks import DisjointBlocks, block_families
from fsmf.supports.fixed import prescribes_scales
from fsmf.supports.graph import connected_components
from fsmf.supports.identifying import is_read_off
from fsmf.supports.layout import Index, IndexLists, group_equal
from fsmf.supports.rank_one import (
    Collision,
    EquivalenceClasses,
    Rectangles,
    equivalence_classes,
    residual_rectangles,
)
from fsmf.supports.recognition import Arrangement, arrange
from fsmf.supports.support import Support, Supports, as_supports

__all__ = ["Identifiability", "Landscape", "Part", "Structure", "analyze"]


class Landscape(Enum):
    """What is known of the local minima of ``‖A − X Y‖²`` on the supports, for every A."""

    NO_SPURIOUS_MINIMA = (
        "no spurious local minimum and no spurious local valley: supports are pairwise disjoint or identical"
    )
    NO_SPURIOUS_VALLEYS = (
        "no spurious local valley, but spurious local minima can exist: complete classes overlap others"
    )
    NO_PROMISE = "nothing is promised: spurious local valleys and minima can exist"


class Identifiability(Enum):
    """Whether an exact product determines its terms."""

    TERMS = "each rank-one term of an exact product is read off from it: factors are unique up to scaling"
    CLASSES = (
        "the part of each class is read off from an exact product: where its rank is full, its factors are "
        "unique up to an invertible matrix"
    )
    GENERIC = "almost every exact product determines the part of each class, found one after another"
    UNKNOWN = "not settled by these tests"


class Part(NamedTuple):
    """A union of connected components of the overlap graph: a problem of its own.

    Attributes
    ----------
    rows, columns, members : ndarray of int
        The rows and columns of A and the components that it touches, ascending.
    structure : Structure
        The examination of the restricted supports.
    inner : int
        Inner dimension of the whole pair.
    roots : ndarray, optional
        Square roots of the weights of the entries of A, where they are weighted.
    """

    rows: Index
    columns: Index
    members: Index
    structure: Structure
    inner: int
    roots: NDArray[Any] | None = None

    @classmethod
    def whole(cls, structure: Structure, roots: NDArray[Any] | None = None) -> Part:
        """Return all of a product as one part."""
        (m, n), r = structure.shape, structure.supports[0].shape[1]
        return cls(np.arange(m), np.arange(n), np.arange(r), structure, r, roots)

    def block(self, A: Any, rows: Index, columns: Index) -> Any:
        """Return a dense copy of the block ``rows × columns`` of this part of A."""
        rows, columns = self.rows[rows], self.columns[columns]
        if is_foreign(A):
            space = space_of(A)
            taken: Any = space.xp.take(A, space.put(rows), axis=0)
            return space.xp.take(taken, space.put(columns), axis=1)
        dense: NDArray[Any] = (
            A[rows][:, columns].toarray() if sparse.issparse(A) else A[np.ix_(rows, columns)]
        )
        return dense

    def places(self, support: Support, i: int) -> NDArray[Any] | slice:
        """Say where the places of factor i of this part are stored in the support of the whole."""
        own = self.structure.supports[i]
        if own.nnz == support.nnz:
            return slice(None)
        rows, columns = ((self.rows, self.members), (self.members, self.columns))[i]
        j, k = own.coordinates()
        width = support.shape[1]
        all_of_them, these = (
            i.astype(np.int64) * width + k for i, k in (support.coordinates(), (rows[j], columns[k]))
        )
        found: NDArray[Any] = np.searchsorted(all_of_them, these)
        return found

    def locate(self, blocks: DisjointBlocks) -> DisjointBlocks:
        """Say which blocks of the whole matrix some blocks of this part are."""
        return DisjointBlocks(
            *(
                IndexLists(lists.indptr, index[lists.indices])
                for lists, index in (
                    (blocks.rows, self.rows),
                    (blocks.columns, self.columns),
                    (blocks.components, self.members),
                )
            )
        )


@dataclass(frozen=True, eq=False)
class Structure:
    """Hold what the supports alone tell; one structure serves every A.

    Attributes
    ----------
    supports : Supports
        The supports examined.

    Notes
    -----
    Everything beyond the supports is found when first asked for, and kept. Questions about classes are
    those of a pair; on a product of another length they raise `ShapeError`.

    Examples
    --------
    >>> import fsmf
    >>> structure = fsmf.analyze(fsmf.lu(2))
    >>> structure.tractable, structure.collision
    (False, Collision(first=0, second=1, row=1, column=1))
    """

    supports: Supports

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the product."""
        return self.supports.shape

    @property
    def is_pair(self) -> bool:
        """Whether there are exactly two factors."""
        return len(self.supports) == 2

    @property
    def n_parameters(self) -> int:
        """Number of nonzeros in all factors together."""
        return self.supports.n_parameters

    @property
    def n_prescribed(self) -> int:
        """Number of entries, of all factors, whose value is prescribed."""
        return sum(support.n_prescribed for support in self.supports)

    @property
    def is_linear(self) -> bool:
        """Whether all factors but one are prescribed, at most, so that the product is linear in that one."""
        return (
            self.n_prescribed > 0 and sum(support.nnz > support.n_prescribed for support in self.supports) < 2
        )

    @cached_property
    def arrangement(self) -> Arrangement | None:
        """The chain of Kronecker patterns that the supports are, outer sides permuted or not; or None."""
        return arrange(self.supports)

    @cached_property
    def classes(self) -> EquivalenceClasses:
        """The equivalence classes of the components."""
        if not self.is_pair:
            raise ShapeError(f"classes are those of a pair; found {len(self.supports)} factors")
        return equivalence_classes(self.supports)

    @cached_property
    def _residuals(self) -> Rectangles | Collision:
        return residual_rectangles(self.classes)

    @property
    def tractable(self) -> bool:
        """Whether block SVDs solve the pair for every A: residuals are rectangles, disjoint or equal."""
        return not isinstance(self._residuals, Collision)

    @property
    def collision(self) -> Collision | None:
        """The first pair of classes that rules tractability out, and where they collide; or None."""
        return self._residuals if isinstance(self._residuals, Collision) else None

    @property
    def rectangles(self) -> Rectangles:
        """The residual rectangles and their rank budgets, of a tractable pair."""
        if isinstance(self._residuals, Collision):
            raise ShapeError("only a tractable pair has residual rectangles; see Structure.collision")
        return self._residuals

    @cached_property
    def component_of(self) -> Index:
        """The connected component of the overlap graph that each class is in, shape ``(n_classes,)``."""
        return connected_components(self.classes)

    @property
    def n_components(self) -> int:
        """Number of connected components of the overlap graph."""
        return int(self.component_of.max(initial=-1)) + 1

    @property
    def n_dead(self) -> int:
        """Number of components with an empty row or column set, which add nothing."""
        return len(self.classes.class_of) - len(self.classes.members.indices)

    @property
    def n_covered(self) -> int:
        """Number of places of A that some component reaches."""
        return self.classes.layout.n_covered

    @property
    def reach(self) -> NDArray[np.bool_]:
        """Which places of A some component reaches, a dense boolean array; for matrices of moderate size."""
        return self.classes.reach

    @cached_property
    def unreached(self) -> NDArray[np.bool_]:
        """The opposite of `reach`."""
        unreached = ~self.reach
        unreached.flags.writeable = False
        return unreached

    @cached_property
    def distinct(self) -> tuple[tuple[Index, Index], tuple[Index, Index]]:
        """Labels, equal for equal rows of the left factor (columns of the right one); the first of each."""
        left, right = self.supports
        return group_equal(IndexLists.of(left)), group_equal(IndexLists.of(right.T))

    @cached_property
    def row_groups(self) -> tuple[RowGroups, RowGroups]:
        """The rows of the left factor, and the columns of the right one, grouped by support."""
        left, right = self.supports
        rows, columns = self.distinct
        return _grouped(left, rows), _grouped(right.T, columns)

    @cached_property
    def landscape(self) -> Landscape:
        """What is known of spurious local minima and valleys."""
        if self.n_components == len(self.classes):
            return Landscape.NO_SPURIOUS_MINIMA
        return Landscape.NO_SPURIOUS_VALLEYS if self.tractable else Landscape.NO_PROMISE

    @cached_property
    def identifiability(self) -> Identifiability:
        """Whether an exact product determines its terms."""
        if self.n_components == len(self.classes):
            single = bool((self.classes.members.sizes == 1).all())
            return Identifiability.TERMS if single else Identifiability.CLASSES
        return Identifiability.GENERIC if is_read_off(self.classes) else Identifiability.UNKNOWN

    @cached_property
    def is_readable(self) -> bool:
        """Whether almost every matrix within reach is a product, its components read off as in elimination.

        So it is where classes can be read off exact products and have as many dimensions as there are places.
        One value of each component, not 0, may be prescribed: that settles its scale alone.
        """
        if not self.is_pair or not prescribes_scales(self.supports):
            return False
        classes = self.classes
        b, c = classes.rows.sizes, classes.columns.sizes
        rank = np.minimum(classes.members.sizes, np.minimum(b, c))
        dimension = int((rank * (b + c - rank)).sum())
        return dimension >= self.n_covered and self.identifiability is not Identifiability.UNKNOWN

    @cached_property
    def block_families(self) -> tuple[DisjointBlocks, ...]:
        """Families of disjoint blocks whose rank every product bounds, for lower bounds."""
        return tuple(block_families(self.classes))

    @cached_property
    def whole(self) -> Part:
        """All of it as one part."""
        return Part.whole(self)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The independent problems: all that is tractable as one, then each other connected component."""
        if (self.n_components == 1 and not self.n_dead) or self.tractable:
            return (self.whole,)
        easy: list[Index] = []
        hard: list[Part] = []
        order = np.argsort(self.component_of, kind="stable")
        for classes in np.split(order, np.cumsum(np.bincount(self.component_of))[:-1]):
            part = self._part(classes) if len(classes) > 1 else None
            if part is None or part.structure.tractable:
                easy.append(classes)
            else:
                hard.append(part)
        return (*([self._part(np.concatenate(easy))] if easy else []), *hard)

    def _part(self, classes: Index) -> Part:
        rows, columns, members = (
            np.unique(lists.take(classes).indices)
            for lists in (self.classes.rows, self.classes.columns, self.classes.members)
        )
        left, right = self.supports
        restricted = Supports((left.restrict(rows, members), right.restrict(members, columns)))
        return Part(rows, columns, members, Structure(restricted), left.shape[1])

    def facts(self) -> Iterator[str]:
        """Yield what is known, one sentence each."""
        return facts_of(self)

    def why_not(self) -> str:
        """Say which classes collide and where; empty for a tractable pair."""
        collision = self.collision
        if collision is None:
            return ""
        one, other = collision.first, collision.second
        place = f"row {collision.row}, column {collision.column}"
        if self.classes.complete[other]:
            return (
                f"what complete class {other} leaves of class {one} is not a rectangle (they meet at {place})"
            )
        return f"classes {one} and {other} compete at {place}"

    def __str__(self) -> str:
        return "\n".join(self.facts())


def _grouped(support: Support, distinct: tuple[Index, Index]) -> RowGroups:
    label, first = distinct
    rows, columns = IndexLists.of_labels(label), IndexLists.of(support).kept(first)
    flat = (rows.indptr, rows.indices, columns.indptr, columns.indices)
    return RowGroups(support.shape, *(array.astype(np.int64) for array in flat))


def analyze(supports: Any) -> Structure:
    """Examine the supports: all that can be said before any matrix is seen.

    Parameters
    ----------
    supports : Supports or sequence
        One support per factor, left to right, as `as_supports` takes them.

    Returns
    -------
    Structure
        Sizes, equivalence classes, connected components, tractability with the first collision, what is
        known of the landscape, and identifiability. ``print`` it for a summary.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `as_supports`.

    Notes
    -----
    **Guarantee.** Exact; nothing is sampled. A pair is called tractable when, after the complete classes
    are set aside, what is left of each class is empty or a rectangle, and these are pairwise disjoint or
    equal.

    **Cost.** Linear in the nonzeros for classes; overlaps are laid out by distinct rows and columns, in
    chunks, and stop at the first collision, so that memory stays linear. Equal supports are examined once:
    the last few structures are kept.

    References
    ----------
    Le, Riccietti, Gribonval, SIAM J. Matrix Anal. Appl. 44 (2023), arXiv:2112.00386.

    Examples
    --------
    >>> import fsmf
    >>> structure = fsmf.analyze(fsmf.monarch(64, blocks=8))
    >>> structure.tractable, len(structure.classes), structure.n_components
    (True, 64, 64)
    """
    supports = as_supports(supports)
    return _analyze(supports, supports.name, tuple(map(type, supports)))


@lru_cache(maxsize=16)
def _analyze(supports: Supports, name: str | None, kinds: tuple[type, ...]) -> Structure:
    # Neither is part of a support's identity, but a structure prints the name and keeps Kronecker patterns.
    return Structure(supports)
