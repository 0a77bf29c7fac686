"""Limits of two components that cancel, and whether other supports that meet the constraints make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.members import Bools
from fsmf.wellposedness.uncrossed import Absorbed, Room, Uncrossed
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Escaping", "absorb", "cancelling", "uncross"]


class Escaping(NamedTuple):
    """Hold limits of two components: their pair of supports, and where u and v are not zero."""

    left: Bools
    right: Bools
    u: Bools
    v: Bools


def uncross(constraints: Constraints) -> Uncrossed | None:
    """Return the proof that uncrossed supports meet the constraints, because of what these count.

    Parameters
    ----------
    constraints : Constraints
        Two.

    Returns
    -------
    Uncrossed or None
        Two components: if nonzeros are counted by rows on the left and by columns on the right. Two rows: by
        columns on the right. Two columns: by rows on the left.

    Examples
    --------
    >>> import fsmf
    >>> from fsmf.supports.constraints import Constraints
    >>> uncross(Constraints([fsmf.RowSparse((3, 2), 1), fsmf.KSparse((2, 5), 4)]))
    Uncrossed(left=(((0,), 1), ((1,), 1), ((2,), 1)), right=(((0, 1, 2, 3, 4), 4),))
    """
    (m, r), n = constraints[0].shape, constraints[1].shape[1]
    left, right = _rooms(constraints, 0), _rooms(constraints, 1)
    if m == 2 and right:
        return Uncrossed(None, right)
    if n == 2 and left:
        return Uncrossed(left, None)
    return Uncrossed(left, right) if r == 2 and left and right else None


def _rooms(constraints: Constraints, axis: int) -> tuple[Room, ...] | None:
    """What whole rows of the left factor, or columns of the right one, have room for, if that is all."""
    quotas = constraints[axis].quotas()
    if quotas is None:
        return None
    group = quotas.group if axis == 0 else quotas.group.T
    if (group != group[:, :1]).any():
        return None
    return tuple(
        (tuple(np.flatnonzero(group[:, 0] == g).tolist()), int(quotas.room[g])) for g in np.unique(group)
    )


def absorb(lefts: Sequence[Bools], rights: Sequence[Bools]) -> tuple[Absorbed, list[Escaping]]:
    """Look for supports on which the limits u wᵀ + z vᵀ of two components are products.

    Parameters
    ----------
    lefts, rights : sequence of ndarray of bool
        The largest supports that meet two constraints, on two components.

    Returns
    -------
    Absorbed
        With pairs of supports for all limits but the others.
    list of Escaping
        The others: one for all limits of a pair with the same nonzeros of u and v.

    Notes
    -----
    **Cost.** All pairs are gone through, with all supports of u and v.

    Examples
    --------
    >>> import fsmf
    >>> left, right = (support.toarray() for support in fsmf.lu(2))
    >>> _, (found,) = absorb([left], [right])
    >>> found.u, found.v
    (array([False,  True]), array([False,  True]))
    """
    escaping: list[Escaping] = []
    pairs: list[tuple[Bools, Bools]] = []
    forms_of: dict[bytes, list[tuple[Bools, Bools]]] = {}
    for I, J in product(lefts, rights):
        rows, columns = I[:, 0] | I[:, 1], J[0] | J[1]
        for u, v in product(_parts(I[:, 0] & I[:, 1]), _parts(J[0] & J[1])):
            key = np.concatenate((u, v, rows, columns)).tobytes()
            if key in forms_of:
                continue
            forms = forms_of[key] = list(_uncrossed(u, v, rows, columns))
            if _absorbs(pairs, forms):
                continue
            for form in forms:
                left, right = (
                    next((large for large in largest if not (side & ~large).any()), None)
                    for side, largest in zip(form, (lefts, rights), strict=True)
                )
                if left is not None and right is not None:
                    pairs.append((left, right))
                    break
            else:
                escaping.append(Escaping(I, J, u, v))
    # What is made by pairs that were found later needs no other.
    for pair in list(pairs):
        others = [other for other in pairs if other is not pair]
        if not escaping and all(_absorbs(others, forms) for forms in forms_of.values()):
            pairs = others
    return Absorbed(tuple(Supports(map(Support, pair)) for pair in pairs)), escaping


def _uncrossed(u: Bools, v: Bools, rows: Bools, columns: Bools) -> Iterator[tuple[Bools, Bools]]:
    """Pairs with u, v, and all that z and w need."""
    freed = [(rows, columns)]
    freed += [(rows & (np.arange(u.size) != i), columns) for i in np.flatnonzero(u)]
    freed += [(rows, columns & (np.arange(v.size) != j)) for j in np.flatnonzero(v)]
    for z, w in freed:
        for order in (1, -1):
            yield np.column_stack((u, z)[::order]), np.stack((w, v)[::order])


def _absorbs(pairs: Sequence[tuple[Bools, Bools]], forms: Sequence[tuple[Bools, Bools]]) -> bool:
    """Whether one of some forms lies within one of some pairs."""
    return any(
        not ((form[0] & ~left).any() or (form[1] & ~right).any()) for left, right in pairs for form in forms
    )


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
