"""Limits of curves with poles that are sums of products of vectors with disjoint places.

Targets are B = Σ_s p_s q_s over *slots* s, each in the place of a component, where the p_s have disjoint
rows and the q_s disjoint columns, all entries 1. The slot of component c has p on R_c and q on C_c; but two
components k, l may be *exchanged* for a slot z v with z on R_k ∪ R_l, v on C_k ∩ C_l, and a slot u w with
u on R_k ∩ R_l, w on C_k ∪ C_l:

    (u + t z)(v + t w)ᵀ / t − u vᵀ / t → u wᵀ + z vᵀ,

with z and w on R_l and C_l here, and shared out in general. Limits of limits are limits: what came out of an
exchange can be exchanged again, with a power of t that outweighs the poles of later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from fsmf.supports.support import Supports
from fsmf.wellposedness.rational import RationalFunction
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Bools", "Places", "Target", "assigned", "exchanged", "joining", "slot_curve"]

Bools = NDArray[np.bool_]
# By slot, rows of p or columns of q; of components k, l that are exchanged k stands for u w and l for z v.
Places = dict[int, list[int]]
# Coefficients by their powers of t, and a vector of such sums by place.
_Laurent = dict[int, int]
_Vector = dict[int, _Laurent]


class Target(NamedTuple):
    """The rows and columns of all slots, what is exchanged, and what shows that B is no product.

    Exchanges come one after the other: of k, l slot u w is in place k, and z v in place l.
    """

    rows: Places
    columns: Places
    exchanges: Sequence[tuple[int, int]]
    shown_by: tuple[Any, ...]


def assigned(fits: Bools) -> Sequence[int] | None:
    """Return a different column for each row of a table of what fits, or None."""
    if not fits.any(axis=1).all():
        return None
    if not len(fits):
        return []
    given = csgraph.maximum_bipartite_matching(sparse.csr_array(fits.astype(np.int8)), perm_type="column")
    return None if (given < 0).any() else [int(at) for at in given]


def exchanged(R: Bools, C: Bools, k: int, l: int) -> tuple[Bools, Bools]:
    """Return rows and columns of the slots after components k and l are exchanged."""
    R, C = R.copy(), C.copy()
    R[:, k], R[:, l] = R[:, k] & R[:, l], R[:, k] | R[:, l]
    C[:, l], C[:, k] = C[:, k] & C[:, l], C[:, k] | C[:, l]
    return R, C


def joining(I: Bools, J: Bools, rng: np.random.Generator) -> tuple[int, int] | None:
    """Return two components to exchange, so that a slot has more rows, or columns, than either of them.

    Parameters
    ----------
    I, J : numpy.ndarray
        Which components have the rows, and the columns, that count, shapes ``(rows, r)``, ``(columns, r)``.
    rng : numpy.random.Generator
        Chooses, mostly what leaves many rows and columns together.

    Returns
    -------
    (int, int) or None
        As `exchanged` takes them.
    """
    joined, met = (
        [op(side[:, :, None], side[:, None, :]).sum(axis=0) for side in (I, J)]
        for op in (np.logical_or, np.logical_and)
    )
    more = [
        both > np.maximum.outer(side.sum(axis=0), side.sum(axis=0))
        for both, side in zip(joined, (I, J), strict=True)
    ]
    # As slot z v the two have all their rows, as u w all their columns.
    able = np.array([more[0] & (met[1] > 0), more[1] & (met[0] > 0)])
    if not able.any():
        return None
    kept = np.array([joined[0] * met[1], met[0] * joined[1]]) if rng.random() < 0.5 else 1
    _, k, l = np.unravel_index(np.argmax(able * kept * (1 + rng.random(able.shape))), able.shape)
    return int(k), int(l)


def slot_curve(supports: Supports, target: Target) -> Witness:
    """Return the target and the curve in exact rational functions, without an identity.

    Parameters
    ----------
    supports : Supports
        A pair, whose components all have rows and columns.
    target : Target
        What the curve tends to.

    Returns
    -------
    Witness
        On the supports.
    """
    left, right = supports
    rows, columns, exchanges, _ = target
    held = [(left.toarray(), right.toarray().T)]
    for k, l in exchanges:
        held.append(exchanged(*held[-1], k, l))
    x, y = ({s: {at: {0: 1} for at in places[s]} for s in places} for places in (rows, columns))
    for (k, l), (R, C) in zip(reversed(exchanges), reversed(held[:-1]), strict=True):
        u, z, w, v = x.get(k, {}), x.get(l, {}), y.get(k, {}), y.get(l, {})
        # With T, a power of t: (u + T z_l)(v + T w_l) / T − (u − T z_k)(v − T w_k) / T
        # is u w + z v up to T (z_l w_l − z_k w_k).
        N = max(1, 1 - _lowest(z) - _lowest(w))
        z_l, w_l = ({at: f for at, f in whole.items() if on[at, l]} for whole, on in ((z, R), (w, C)))
        z_k, w_k = ({at: f for at, f in whole.items() if not on[at, l]} for whole, on in ((z, R), (w, C)))
        x[l], y[l] = _sum((u, 1, 0), (z_l, 1, N)), _sum((v, 1, -N), (w_l, 1, 0))
        x[k], y[k] = _sum((u, -1, 0), (z_k, 1, N)), _sum((v, 1, -N), (w_k, -1, 0))
    B = sorted((i, j, Fraction(1)) for s in rows for i in rows[s] for j in columns[s])
    X = sorted((i, c, _rational(f)) for c, vector in x.items() for i, f in vector.items())
    Y = sorted((c, j, _rational(f)) for c, vector in y.items() for j, f in vector.items())
    return Witness(left, right, tuple(B), tuple(X), tuple(Y), ())


def _lowest(vector: _Vector) -> int:
    """The lowest power of t."""
    return min((power for f in vector.values() for power in f), default=0)


def _sum(*terms: tuple[_Vector, int, int]) -> _Vector:
    """The sum of vectors, each times a number and a power of t."""
    total: _Vector = {}
    for vector, factor, shift in terms:
        for at, f in vector.items():
            here = total.setdefault(at, {})
            for power, c in f.items():
                here[power + shift] = here.get(power + shift, 0) + factor * c
    return {at: kept for at, f in total.items() if (kept := {power: c for power, c in f.items() if c})}


def _rational(f: Mapping[int, int]) -> RationalFunction:
    """A sum of powers as a fraction."""
    low = min(0, *f)
    above = tuple(Fraction(f.get(power, 0)) for power in range(low, max(f) + 1))
    return above, (Fraction(0),) * -low + (Fraction(1),)
