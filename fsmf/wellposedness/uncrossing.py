"""Unions of supports that hold the limits of each, since where components cancel, their supports uncross."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np

from fsmf.certificates import Check, Verification
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Support
from fsmf.wellposedness.unions import Bools, meeting
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Escaping", "Uncrossed", "cancelling", "limits_that_escape", "uncrossing_keeps"]

# Pairs of supports that are gone through one by one.
_PAIRS = 3000


@dataclass(frozen=True)
class Uncrossed:
    """Prove that limits of products are products on uncrossed supports, which meet the constraints, too.

    Notes
    -----
    **Guarantee.** *Two components*, with the rectangles R1 × C1 and R2 × C2: each limit of their products is
    one itself, or ``u wᵀ + z vᵀ`` with u on R1 ∩ R2, w on C1 ∪ C2, z on R1 ∪ R2, v on C1 ∩ C2.

    *Proof.* Take ``x1 y1ᵀ + x2 y2ᵀ`` along a sequence with a limit B. Where x1 or x2 is 0 again and again, or
    they are parallel, B is a limit of matrices of rank one on one rectangle, hence such a matrix, and a
    product. Else the lines of x1 and x2 and the plane that they span tend to lines V1, V2 and a plane V, for
    a subsequence. A column of B lies in V1, V2 or V, whichever its components are. If V1 ≠ V2, they span V,
    and B is a product. If V1 = V2 = ⟨u⟩, then u has support in R1 ∩ R2, and V = ⟨u, z⟩ with z on R1 ∪ R2. ∎

    All these are limits, so the union is closed if and only if it holds them. They are products of the
    *uncrossed* pair; if v_j ≠ 0, then also with w_j = 0, since ``(z + s u) vᵀ + u (w − s v)ᵀ`` is the same,
    and if u_i ≠ 0, with z_i = 0. Uncrossing leaves the number of nonzeros in each row of the left factor as
    it is, and in each column of the right one.

    *Two rows*: each limit is a product in which the left factor has no new nonzeros, and no column of the
    right one has more than before.

    *Proof.* Again the lines of the x_k, as far as these are not 0, tend to lines V_k. Let D be the components
    with V_k = ⟨u⟩. A column of B whose components belong to two such sets can be anything. If it has one
    component, in D, it lies in ⟨u⟩; if it has several, all in D, it may be outside where not all their x_k
    are parallel, and then some k in D has both rows. So let another one of D have the column u and the row w
    on the columns with components in D; let k have one unit vector that is not parallel to u, on the columns
    with two or more components in D; and let the others be 0. This makes B. ∎ Likewise with two columns.
    """

    reason = (
        "where components tend to cancel, limits are products on uncrossed supports, which meet the "
        "constraints, too"
    )

    def verify(self, constraints: Constraints) -> Verification:
        """Look at what the constraints count, or else uncross all supports of two components."""
        if len(constraints) == 2 and uncrossing_keeps(constraints):
            return Verification((Check("what is counted", "as before", "as before", True),))
        if len(constraints) != 2 or constraints[0].shape[1] != 2:
            return Verification((Check("factors and components", "two", "others", False),))
        left, right = (meeting(constraint) for constraint in constraints)
        if left is None or right is None or len(left) * len(right) > _PAIRS:
            return Verification((Check("supports", "few enough to go through", "too many", False),))
        escaping = next(limits_that_escape(constraints, left, right), None)
        found = "none" if escaping is None else "one"
        return Verification((Check("limits on no support", "none", found, escaping is None),))

    def to_dict(self) -> dict[str, Any]:
        """Return nothing: the constraints say it."""
        return {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the proof from what `to_dict` returned."""
        return cls()


class Escaping(NamedTuple):
    """Hold limits of two components: their pair of supports, and where u and v are not zero."""

    left: Bools
    right: Bools
    u: Bools
    v: Bools


def uncrossing_keeps(constraints: Constraints) -> bool:
    """Return whether uncrossed supports meet the constraints, because of what these count.

    Parameters
    ----------
    constraints : Constraints
        Two.

    Returns
    -------
    bool
        Two components: whether nonzeros are counted by rows on the left and by columns on the right. Two
        rows: by columns on the right. Two columns: by rows on the left.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.supports.constraints import Constraints
    >>> uncrossing_keeps(Constraints([fsmf.RowSparse((3, 2), 1), fsmf.KSparse((2, 5), 4)]))
    True
    """
    (m, r), n = constraints[0].shape, constraints[1].shape[1]
    left, right = (constraint.quotas() for constraint in constraints)
    by_rows = left is not None and bool((left.group == left.group[:, :1]).all())
    by_columns = right is not None and bool((right.group == right.group[:1]).all())
    return (m == 2 and by_columns) or (n == 2 and by_rows) or (r == 2 and by_rows and by_columns)


def limits_that_escape(
    constraints: Constraints, lefts: Sequence[Bools], rights: Sequence[Bools]
) -> Iterator[Escaping]:
    """Yield limits u wᵀ + z vᵀ of two components that are not seen to be products on uncrossed supports.

    Parameters
    ----------
    constraints : Constraints
        Two, on two components.
    lefts, rights : sequence of ndarray of bool
        The largest supports that meet them.

    Yields
    ------
    Escaping
        One for all limits of a pair with the same nonzeros of u and v.

    Notes
    -----
    **Cost.** All pairs are gone through, with all supports of u and v.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.supports.constraints import Constraints
    >>> left, right = (support.toarray() for support in fsmf.lu(2))
    >>> constraints = Constraints([fsmf.OnSupport(left), fsmf.OnSupport(right)])
    >>> found = next(limits_that_escape(constraints, [left], [right]))
    >>> found.u, found.v
    (array([False,  True]), array([False,  True]))
    """
    left, right = constraints
    for I, J in product(lefts, rights):
        rows, columns = I.any(axis=1), J.any(axis=0)
        for u, v in product(_parts(I[:, 0] & I[:, 1]), _parts(J[0] & J[1])):
            freed = [(rows, columns)]
            freed += [(rows & (np.arange(u.size) != i), columns) for i in np.flatnonzero(u)]
            freed += [(rows, columns & (np.arange(v.size) != j)) for j in np.flatnonzero(v)]
            if not any(
                left.contains(np.column_stack((u, z)[::order])) and right.contains(np.stack((w, v)[::order]))
                for z, w in freed
                for order in (1, -1)
            ):
                yield Escaping(I, J, u, v)


def cancelling(limits: Escaping) -> Witness:
    """Return a curve of two components that cancel, and its limit u wᵀ + z vᵀ, without an identity.

    Parameters
    ----------
    limits : Escaping
        The pair, and where u and v are not zero.

    Returns
    -------
    Witness
        With ``x = ±u + t z`` and ``y = (v ± t w) / t``, and z and w wherever they can be.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> left, right = (support.toarray() for support in fsmf.lu(2))
    >>> second = np.array([False, True])
    >>> cancelling(Escaping(left, right, second, second)).target
    ((0, 1, Fraction(3, 1)), (1, 0, Fraction(3, 1)), (1, 1, Fraction(10, 1)))
    """
    I, J, u, v = limits
    # Whether such a limit is a product on other supports is the same for almost all numbers.
    z, w = (np.array([Fraction(3 + 2 * at * at) for at in range(side.size)]) for side in (u, v))
    pole = (Fraction(0), Fraction(1))
    X, Y = [], []
    for k, sign in enumerate((Fraction(1), Fraction(-1))):
        # Of z and w the second component has what the first has not.
        rows, columns = (k == 0) | ~I[:, 0], (k == 0) | ~J[0]
        X += [(int(i), k, ((sign * u[i], z[i] * rows[i]), pole[1:])) for i in np.flatnonzero(I[:, k])]
        Y += [(k, int(j), ((pole[1] * v[j], sign * w[j] * columns[j]), pole)) for j in np.flatnonzero(J[k])]
    limit: Any = np.outer(u, w * J.any(axis=0)) + np.outer(z * I.any(axis=1), v)
    target = tuple((i, j, limit[i, j]) for i, j in np.ndindex(limit.shape) if limit[i, j])
    return Witness(Support(I), Support(J), target, tuple(X), tuple(Y), ())


def _parts(places: Bools) -> Iterator[Bools]:
    """All supports within another but the empty one."""
    at = np.flatnonzero(places)
    for chosen in product((False, True), repeat=at.size):
        if any(chosen):
            part = np.zeros_like(places)
            part[at[list(chosen)]] = True
            yield part
