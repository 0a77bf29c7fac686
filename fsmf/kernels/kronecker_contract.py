"""What the factors on one side of an interface leave of a matrix, in one pass over it."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.namespace import is_foreign
from fsmf.kernels.twins import compiled_twin

__all__ = ["contract_left", "contract_right"]

_twin = partial(compiled_twin, "kronecker_contract")

Array = NDArray[Any]

# Fewer entries than this take NumPy less time than loading the twin.
_FEW = 1 << 16


def contract_right(V: Any, right: Any, cut: Blocks) -> Any:
    """Return the values of ``V · rightᴴ`` on the left pattern of an interface.

    Parameters
    ----------
    V : ndarray of shape (a, b, d, c)
        Values on the product pattern; of any strides, and only read.
    right : ndarray
        Values of the right factor.
    cut : Blocks
        The interface.

    Returns
    -------
    ndarray of shape (a₁, b₁, d₁, c₁)
        In the dtype of V.

    Notes
    -----
    **Guarantee.** That of matrix products in the dtype of V.

    **Cost.** V is read once, ``2 r`` flops an entry for rank r.

    Examples
    --------
    >>> import numpy as np
    >>> cut = Blocks.of((1, 2, 1, 1), (1, 1, 2, 1))
    >>> V = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 1, 2)
    >>> contract_right(V, np.ones((1, 1, 1, 2)), cut).ravel()
    array([3., 7.])
    """
    A, twin = _as_matrix(V, cut)
    if A is None or twin is None:
        return cut.contract_right(V, right)
    # One slab for each λ, the columns of A along its rows.
    slabs = np.ascontiguousarray(cut.right(right.conj()).transpose(1, 2, 0, 3))
    out = np.empty((cut.b, cut.l, cut.k * cut.r), dtype=A.dtype)
    twin.contract_right(A, slabs, out)
    return out.reshape(1, cut.b, cut.l, -1)


def contract_left(left: Any, V: Any, cut: Blocks) -> Any:
    """Return the values of ``leftᴴ · V`` on the right pattern of an interface.

    Parameters
    ----------
    left : ndarray
        Values of the left factor.
    V : ndarray of shape (a, b, d, c)
        Values on the product pattern; of any strides, and only read.
    cut : Blocks
        The interface.

    Returns
    -------
    ndarray of shape (a₂, b₂, d₂, c₂)
        In the dtype of V.

    Notes
    -----
    **Guarantee** and **Cost** as of `contract_right`.

    Examples
    --------
    >>> import numpy as np
    >>> cut = Blocks.of((1, 2, 1, 1), (1, 1, 2, 1))
    >>> V = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 1, 2)
    >>> contract_left(np.ones((1, 2, 1, 1)), V, cut).ravel()
    array([4., 6.])
    """
    A, twin = _as_matrix(V, cut)
    if A is None or twin is None:
        return cut.contract_left(left, V)
    slabs = np.ascontiguousarray(cut.left(left.conj()).transpose(1, 2, 0, 3))
    out = np.empty((cut.l, cut.r, cut.k, cut.c), dtype=A.dtype)
    twin.contract_left(A, slabs, out)
    return np.ascontiguousarray(out.transpose(2, 1, 0, 3)).reshape(cut.k, cut.r * cut.l, 1, cut.c)


def _as_matrix(V: Array, cut: Blocks) -> tuple[Array | None, ModuleType | None]:
    """V as a matrix in C order, where it is one, and the twin, where it pays."""
    if is_foreign(V) or cut.a != 1 or cut.d != 1 or V.size < _FEW:
        return None, None
    A = V.reshape(cut.b * cut.l, cut.k * cut.c)
    return (A, _twin()) if A.flags.c_contiguous else (None, None)
