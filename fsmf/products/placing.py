"""Where the values of a product of factors live: to move them, and to take in what they are applied to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any, Self

import numpy as np

from fsmf.errors import InputTypeError
from fsmf.kernels.namespace import Borrowed, Space, borrowed, is_foreign, space_named, space_of
from fsmf.supports.layout import Index
from fsmf.supports.support import Supports

__all__ = ["Placed"]


def _as_it_is(y: Any) -> Any:
    return y


class Placed:
    """Move the values of factors, given as `fsmf.Product` keeps them, between host memory and devices."""

    supports: Supports
    values: tuple[Any, ...]
    rows: Index | None
    columns: Index | None
    dtype: Any
    shape: tuple[int, int]
    _like: Callable[..., Any]
    _apply: Callable[..., Any]
    _hermitian: Any

    @cached_property
    def _space(self) -> Space:
        """Where the values are."""
        return space_of(*self.values)

    def to_device(self, device: Any) -> Self:
        """Return the operator with its values on a device.

        Parameters
        ----------
        device : str or array
            ``"gpu"`` (the current CUDA device, through CuPy), ``"gpu:1"``, …, ``"cpu"``; or an array, of any
            library that keeps the array API standard: the device where it is.

        Returns
        -------
        Product or Factorization
            As it was, but for where its values are; itself if they are there already.

        Raises
        ------
        OptionError
            If there is no such device.

        Notes
        -----
        **Guarantee.** Arrays choose the machine: the result multiplies arrays that live where its values do,
        and no others. Supports, permutations and certificates stay in host memory.

        **Cost.** Copies the values once.

        Examples
        --------
        >>> import fsmf
        >>> F = fsmf.transforms.dft(8)
        >>> F.to_device("cpu") is F  # F.to_device("gpu") where there is one
        True
        """
        there = space_named(device)
        if there == self._space:
            return self
        values = [there.put(self._space.get(value)) for value in self.values]
        moved: Self = self._like(self.supports, values, self.rows, self.columns, "moved")
        return moved

    def to_host(self) -> Self:
        """Return the operator with its values in host memory."""
        return self.to_device("cpu")

    def _on_host(self, what: str) -> None:
        if not self._space.is_host:
            raise InputTypeError(
                f"{what} is worked out in host memory; the values are in {self._space}; use to_host() first"
            )

    def as_cupy_operator(self) -> Any:
        """Return the operator as ``cupyx.scipy.sparse.linalg`` takes it.

        Returns
        -------
        cupyx.scipy.sparse.linalg.LinearOperator
            For its solvers, such as ``cg`` and ``lsmr``.

        Raises
        ------
        InputTypeError
            If the values are not on a GPU.

        Examples
        --------
        >>> import fsmf
        >>> F = fsmf.transforms.dft(8)
        >>> F.to_device("gpu").as_cupy_operator()  # doctest: +SKIP
        <8x8 _CustomLinearOperator with dtype=complex128>
        """
        if not self._space.is_cupy:
            raise InputTypeError(
                f"CuPy's solvers work on a GPU; the values are in {self._space}; use to_device('gpu') first"
            )
        forward, backward = self._apply, self._hermitian._apply
        return import_module("cupyx.scipy.sparse.linalg").LinearOperator(
            self.shape,
            matvec=forward,
            rmatvec=backward,
            matmat=forward,
            rmatmat=backward,
            dtype=self.dtype,
        )

    def _numeric(self, x: Any) -> Borrowed:
        """An array to multiply with, where the values are, and how to give the result back."""
        if type(x) is np.ndarray and self._space.is_host and x.dtype.kind in "biufc":
            return Borrowed(x, _as_it_is)
        taken_in = borrowed(x)
        x = taken_in.array if is_foreign(taken_in.array) else np.asarray(taken_in.array)
        space = space_of(x)
        if space != self._space:
            raise InputTypeError(
                f"x must be where the factors are, in {self._space}; found it in {space}; nothing is copied "
                "unasked: move one, the factors with to_device or to_host"
            )
        dtype = space.dtype(x)
        if dtype.kind not in "biufc":
            raise InputTypeError(f"x must be numeric; found dtype {dtype}; convert it")
        return taken_in._replace(array=x)
