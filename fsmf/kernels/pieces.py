"""Values of a factor put together from pieces, wherever they live."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.namespace import Space

__all__ = ["Pieces"]


class Pieces:
    """Collect values for some places of a vector; what nobody puts is zero.

    Parameters
    ----------
    space : Space
        Where the values are.
    size : int
        Length of the vector.
    dtype : dtype
        Of the vector.

    Notes
    -----
    In host memory values are stored at once. Elsewhere, where libraries may not write into arrays, they are
    gathered in the end by one index vector, which is made in host memory.

    Examples
    --------
    >>> import numpy as np
    >>> from fsmf.kernels.namespace import HOST
    >>> pieces = Pieces(HOST, 3, np.dtype(float))
    >>> pieces.put(np.array([2, 0]), np.array([5.0, 6.0]))
    >>> pieces.together()
    array([6., 0., 5.])
    """

    def __init__(self, space: Space, size: int, dtype: np.dtype[Any]) -> None:
        self._space, self._dtype = space, dtype
        self._whole = np.zeros(size, dtype) if space.is_host else None
        self._index = np.zeros(0 if space.is_host else size, dtype=np.int64)
        self._given: list[Any] = []
        self._count = 1

    def put(self, places: NDArray[Any] | slice, values: Any) -> None:
        """Put values at places, arrays of one shape; a slice takes as many values as it has places."""
        if self._whole is not None:
            self._whole[places] = values
            return
        size = math.prod(values.shape)
        self._given.append(self._space.cast(self._space.xp.reshape(values, (-1,)), self._dtype))
        places = places if isinstance(places, slice) else places.reshape(-1)
        self._index[places] = np.arange(self._count, self._count + size)
        self._count += size

    def together(self) -> Any:
        """Return the vector."""
        if self._whole is not None:
            return self._whole
        xp = self._space.xp
        nothing = self._space.zeros((1,), self._dtype)
        return xp.take(xp.concat([nothing, *self._given]), self._space.put(self._index), axis=0)
