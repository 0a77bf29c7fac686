"""An answer that a device is still at work on: it waits when somebody asks for more than its shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from scipy.sparse.linalg import LinearOperator

from fsmf.supports.support import Supports

__all__ = ["UnderWay"]


class UnderWay:
    """Let an operator exist before what it holds: the first look at anything but its shape waits for that."""

    supports: Supports

    @classmethod
    def begun(cls, supports: Supports, dtype: Any, finish: Callable[[], Self]) -> Self:
        """Return an operator for which a device is at work.

        Parameters
        ----------
        supports : Supports
            Those of the factors.
        dtype : dtype
            Of the values.
        finish : callable
            Waits, and returns the operator; what it raises is raised by whoever asks.

        Returns
        -------
        operator
            What `finish` returns, later.
        """
        self = cls.__new__(cls)
        LinearOperator.__init__(self, dtype, supports.shape)
        self.supports = supports
        self.__dict__["_finish"] = finish
        return self

    def settle(self) -> None:
        """Wait for a device that is still at work, if one is."""
        finish = self.__dict__.get("_finish")
        if finish is not None:
            found = finish()
            self.__dict__ |= found.__dict__
            self.__dict__.pop("_finish", None)

    def __getstate__(self) -> Any:
        self.settle()
        return super().__getstate__()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Asked for only what is not there.
            if "_finish" not in self.__dict__ or name.startswith("__"):
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
                )
            self.settle()
            return getattr(self, name)
