"""Limits of curves with poles that are sums of products of vectors with disjoint places.

Targets are B = Σ_s p_s q_s over *slots* s, each in the place of a component, where the p_s have disjoint
rows and the q_s disjoint columns, all entries 1. The slot of component c has p on R_c and q on C_c; but two
components k, l share theirs between a slot z v with z on R_k ∪ R_l, v on C_k ∩ C_l, and a slot u w with u on
R_k ∩ R_l, w on C_k ∪ C_l:

    (u + t z)(v + t w)ᵀ / t − u vᵀ / t → u wᵀ + z vᵀ,

with z and w on R_l and C_l here, and shared out in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.support import Supports
from fsmf.wellposedness.rational import RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Bools", "Places", "assigned", "slot_curve"]

Bools = NDArray[np.bool_]
# By slot, rows of p or columns of q; slots are components, of which k stands for u w and l for z v.
Places = dict[int, list[int]]


def assigned(fits: Bools) -> Sequence[int] | None:
    """Return a different column for each row of a table of what fits, or None."""
    if not fits.any(axis=1).all():
        return None
    if not len(fits):
        return []
    given = csgraph.maximum_bipartite_matching(sparse.csr_array(fits.astype(np.int8)), perm_type="column")
    return None if (given < 0).any() else [int(at) for at in given]


def slot_curve(
    supports: Supports,
    live: NDArray[np.intp],
    rows: Places,
    columns: Places,
    pairs: Sequence[tuple[int, int]],
) -> Witness:
    """Return the target and the curve in exact rational functions, without an identity.

    Parameters
    ----------
    supports : Supports
        A pair.
    live : numpy.ndarray
        The component that each number in `rows`, `columns` and `pairs` means, shape ``(r,)``.
    rows, columns : mapping of int to list of int
        The rows of p and the columns of q for each slot.
    pairs : sequence of (int, int)
        Components k, l that share two slots, u w in place k and z v in place l.

    Returns
    -------
    Witness
        On the supports.
    """
    one, t = Fraction(1), (Fraction(0), Fraction(1))
    left, right = (support.toarray() for support in supports)
    X: list[tuple[int, int, RationalFunction]] = []
    Y: list[tuple[int, int, RationalFunction]] = []
    target = sorted((i, j, one) for s in rows for i in rows[s] for j in columns[s])
    apart = {c for pair in pairs for c in pair}
    for s in rows:
        if s not in apart:
            X += [(i, int(live[s]), ((one,), (one,))) for i in rows[s]]
            Y += [(int(live[s]), j, ((one,), (one,))) for j in columns[s]]
    for pair in pairs:
        # (u + t z_l)(v + t w_l) / t − (u − t z_k)(v − t w_k) / t
        k, l = (int(live[c]) for c in pair)
        u, z, w, v = rows[pair[0]], rows[pair[1]], columns[pair[0]], columns[pair[1]]
        for c, sign, other in ((l, one, False), (k, -one, True)):
            has_row = [i for i in z if left[i, c] and not (other and left[i, l])]
            has_column = [j for j in w if right[c, j] and not (other and right[l, j])]
            X += [(i, c, ((sign,), (one,))) for i in u]
            X += [(i, c, ((Fraction(0), one), (one,))) for i in has_row]
            Y += [(c, j, ((one,), t)) for j in v]
            Y += [(c, j, ((sign,), (one,))) for j in has_column]
    return Witness(supports[0], supports[1], tuple(target), tuple(sorted(X)), tuple(sorted(Y)), ())
