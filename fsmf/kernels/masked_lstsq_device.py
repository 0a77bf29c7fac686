"""Least squares for a factor with a support, all rows at once, where the arrays live."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmf.kernels.masked_lstsq import RowGroups
from fsmf.kernels.namespace import Space

__all__ = ["DeviceRows"]

# Entries of the Gram matrices solved in one batch.
_BATCH = 1 << 26

# Steps are damped by this fraction of the diagonal of the normal equations: far above their rounding, so that
# no system breaks down; and what a step is kept from, by directions in which Y is small, the next ones find.
_DAMPING = 2.0**-40


class DeviceRows:
    """The rows of a support, laid out to be solved for in a few batches; the twin of `masked_lstsq`.

    Parameters
    ----------
    space : Space
        Where they are solved for.
    groups : RowGroups
        The support of X, shape (m, r).

    Notes
    -----
    **Guarantee.** A step never raises ``‖A − X Y‖² + ridge ‖X‖²``, but for rounding: it is a proximal one,
    ``argmin ‖A − (X + D) Y‖² + ridge ‖X + D‖² + δ Σ_k g_k ‖D_k‖²``, g being the diagonal of the normal
    equations and δ about 1e-12. So no system is singular, no batch needs a second look, which would wait for
    the device, and of many solutions that next to X is taken.

    **Cost.** O(Σ k³) for groups of k columns. Index arrays of about the size of X are kept.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.kernels.namespace import HOST
    >>> both = RowGroups((1, 2), np.array([0, 1]), np.array([0]), np.array([0, 2]), np.array([0, 1]))
    >>> A, X, Y = np.array([[2.0, 3.0]]), np.zeros((1, 2)), np.eye(2)
    >>> (X + DeviceRows(HOST, both).step(Y @ Y.T, (A - X @ Y) @ Y.T)).round(9)
    array([[2., 3.]])
    """

    def __init__(self, space: Space, groups: RowGroups) -> None:
        (m, r), self._space, self._shape = groups.shape, space, groups.shape
        buckets = groups.bucketed(_BATCH)
        self._width = max((columns.shape[1] for _, _, columns in buckets), default=0)
        # Where each entry of X is among those solved for; the first of these is zero.
        places = np.zeros((m, r + 1), dtype=np.int64)
        self._batches: list[tuple[Any, Any, tuple[int, ...]]] = []
        count = 1
        for _, rows, columns in buckets:
            # Dummies have no right-hand side, and what is found for them is dropped.
            own = rows[:, None, :] * (r + 1) + np.minimum(columns, r)[:, :, None]
            places.reshape(-1)[own] = np.arange(count, count + own.size).reshape(own.shape)
            count += own.size
            self._batches.append((space.put(columns), space.put(own.reshape(-1)), own.shape))
        self._places: Any = space.put(np.ascontiguousarray(places[:, :r]).reshape(-1))

    def step(self, gram: Any, slope: Any) -> Any:
        """Return the change D of X, zero outside its support.

        Parameters
        ----------
        gram : array of shape (r, r)
            ``Y Yᴴ``, plus the ridge times the identity, in double precision.
        slope : array of shape (m, r)
            ``(A − X Y) Yᴴ − ridge X``.
        """
        space, (m, r), width = self._space, self._shape, self._width
        xp, size, dtype = space.xp, r + width, space.dtype(gram)
        diagonal = xp.linalg.diagonal(gram)
        diagonal = xp.real(diagonal) if dtype.kind == "c" else diagonal
        # A row of zeros has no slope either: any number will do.
        damping = xp.where(diagonal > 0, _DAMPING * diagonal, xp.ones_like(diagonal))
        shift = xp.concat([damping, space.zeros((width,), np.float64) + 1])
        padded = xp.concat([gram, space.zeros((r, width), dtype)], axis=1)
        padded = xp.concat([padded, space.zeros((width, size), dtype)])
        flat = xp.reshape(padded + shift * space.eye(size, dtype), (-1,))
        sides = xp.reshape(xp.concat([slope, space.zeros((m, 1), dtype)], axis=1), (-1,))
        found = [space.zeros((1,), dtype)]
        for columns, own, shape in self._batches:
            # x G = b for row vectors, so the transposed Gram matrix acts on columns.
            places = xp.reshape(columns[:, None, :] * size + columns[:, :, None], (-1,))
            G = xp.reshape(xp.take(flat, places), (*shape[:2], shape[1]))
            b = xp.reshape(xp.take(sides, own), shape)
            found.append(xp.reshape(xp.linalg.solve(G, b), (-1,)))
        return xp.reshape(xp.take(xp.concat(found), self._places), (m, r))
