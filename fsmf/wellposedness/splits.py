"""Large pairs fall apart: components that share no place with others are a question of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.graph import connected_components
from fsmf.supports.layout import Index
from fsmf.supports.rank_one import equivalence_classes
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.proofs import THEOREMS, Proof
from fsmf.wellposedness.verification import verify_proof

__all__ = ["Group", "Split", "part_of", "restricted", "split"]

# Places that a chunk of rows may reach when groups are checked for common places.
_PLACES = 1 << 23


class Group(NamedTuple):
    """Hold one group of components that share places: the components, and the rows and columns they reach."""

    components: Index
    rows: Index
    columns: Index


@dataclass(frozen=True)
class Split:
    """Prove that products form a closed set by groups of components that share no place.

    The set of products is the product of the sets of the groups, on disjoint places, and closed if each of
    these is. A group of components with one and the same rectangle makes the matrices of bounded rank
    there.

    Attributes
    ----------
    groups : tuple of int
        The group of each component, -1 for one that reaches no place.
    proofs : tuple of Proof
        Proofs for groups, each pattern once.
    proof_of : dict
        Group → position in `proofs`; groups of equal rectangles have none.
    """

    groups: tuple[int, ...]
    proofs: tuple[Proof, ...]
    proof_of: dict[int, int]

    @property
    def bounded(self) -> bool:
        """Whether the least factors of every product are bounded by it: those of each group are."""
        return all(proof.bounded for proof in self.proofs)

    @property
    def reason(self) -> str:
        """Half a sentence that follows "because"."""
        names = dict.fromkeys(node.theorem for proof in self.proofs for node in proof.nodes())
        return "; and ".join(
            [
                "components fall into groups that share no place, "
                "and equal rectangles make the matrices of bounded rank",
                *(THEOREMS[name] for name in names),
            ]
        )

    def verify(self, supports: Supports) -> Verification:
        """Check that groups share no place, and the proof of each."""
        if len(supports) != 2:
            return Verification((Check("factors", 2, len(supports), False),))
        left, right = supports
        label = np.asarray(self.groups, dtype=np.int64)
        reached = (np.diff(left.T.indptr) > 0) & (np.diff(right.indptr) > 0)
        if label.shape != reached.shape or not np.array_equal(label >= 0, reached):
            return Verification((Check("components", "in groups", "others", False),))
        apart = _share_no_place(supports, label)
        order = np.argsort(label, kind="stable")[np.count_nonzero(label < 0) :]
        wrong = 0
        for components in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if order.size else []:
            position = self.proof_of.get(int(label[components[0]]))
            if position is None:
                wrong += not _are_equal(supports, components)
            elif not 0 <= position < len(self.proofs):
                wrong += 1
            else:
                wrong += not verify_proof(_cut_out(supports, components), self.proofs[position])
        return Verification(
            (
                Check("groups", "share no place", "share no place" if apart else "share places", apart),
                Check("groups without a proof that holds", 0, wrong, not wrong),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the split as lists and numbers, as JSON takes them."""
        return {
            "groups": list(self.groups),
            "proofs": [proof.to_dict() for proof in self.proofs],
            "proof_of": [[group, position] for group, position in self.proof_of.items()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the split from what `to_dict` returned."""
        return cls(
            tuple(map(int, data["groups"])),
            tuple(map(Proof.from_dict, data["proofs"])),
            {int(group): int(position) for group, position in data["proof_of"]},
        )


def split(supports: Supports) -> tuple[Index, list[Group]]:
    """Return the group of each component, and the groups that hold more than one rectangle."""
    classes = equivalence_classes(supports)
    of_class = connected_components(classes)
    label = np.where(classes.class_of >= 0, of_class[classes.class_of], -1)
    n_classes = np.bincount(of_class, minlength=1)
    mixed = np.flatnonzero((label >= 0) & (n_classes[np.maximum(label, 0)] > 1))
    mixed = mixed[np.argsort(label[mixed], kind="stable")]
    pieces = np.split(mixed, np.flatnonzero(np.diff(label[mixed])) + 1) if mixed.size else []
    return label, [part_of(supports, components) for components in pieces]


def part_of(supports: Supports, components: Index) -> Group:
    """Return the rows and columns that some components reach."""
    left, right = supports
    rows = np.unique(np.concatenate([left.T.row(k) for k in components]))
    columns = np.unique(np.concatenate([right.row(k) for k in components]))
    return Group(components, rows, columns)


def restricted(supports: Supports, group: Group) -> Supports:
    """Return the pair of one group, on its own rows and columns."""
    left, right = supports
    return Supports(
        (
            left.T.restrict(group.components, group.rows).T,
            right.restrict(group.components, group.columns),
        )
    )


def _cut_out(supports: Supports, components: Index) -> Supports:
    """The pair of some components, without the rows and columns that these miss."""
    left, right = (side.to_sparse().tocsr()[components].tocoo() for side in (supports[0].T, supports[1]))
    rows, i = np.unique(left.coords[1], return_inverse=True)
    columns, j = np.unique(right.coords[1], return_inverse=True)
    n = len(components)
    return Supports(
        (
            Support.from_coordinates(i, left.coords[0], shape=(rows.size, n)),
            Support.from_coordinates(right.coords[0], j, shape=(n, columns.size)),
        )
    )


def _are_equal(supports: Supports, components: Index) -> bool:
    """Whether components have one and the same rectangle."""
    left, right = supports[0].T, supports[1]
    return all(
        np.array_equal(side.row(components[0]), side.row(k)) for side in (left, right) for k in components[1:]
    )


def _share_no_place(supports: Supports, label: Index) -> bool:
    """Whether, at every place, all components that reach it have one label: no variance, in integers."""
    left, right = (support.to_sparse().astype(np.int64) for support in supports)
    reach = np.concatenate([[0], np.cumsum(left @ np.diff(right.indptr))])
    start = 0
    while start < left.shape[0]:
        stop = max(start + 1, int(np.searchsorted(reach, reach[start] + _PLACES, side="right")) - 1)
        rows = left[start:stop]
        count, total, squares = (
            (rows.multiply(weight[None, :]).tocsr() @ right).data
            for weight in (label * 0 + 1, label + 1, (label + 1) ** 2)
        )
        if not np.array_equal(count * squares, total * total):
            return False
        start = stop
    return True
