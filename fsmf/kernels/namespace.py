"""Where arrays live: which array library they belong to, and on which device.

Arrays choose the machine. NumPy arrays are worked on in host memory; arrays of CuPy, or of any other library
that keeps the array API standard, stay on their device; PyTorch tensors share their memory with arrays of
NumPy or CuPy (DLPack), and results are tensors again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputTypeError, OptionError

__all__ = [
    "HOST",
    "Borrowed",
    "Space",
    "borrowed",
    "check_on_host",
    "is_foreign",
    "space_named",
    "space_of",
    "together",
]


@dataclass(frozen=True)
class Space:
    """An array library and one of its devices.

    Attributes
    ----------
    xp : module
        The library's functions by the names of the array API standard.
    device : object
        The library's own device; None in host memory.

    Notes
    -----
    Nothing here copies between host and device but `put` and `get`, which are called for what comes from or
    goes to the host by its nature: supports, index vectors, and what a user moves.

    Examples
    --------
    >>> space_of(np.ones(2)) == HOST
    True
    """

    xp: Any
    device: Any = None

    @property
    def is_host(self) -> bool:
        """Whether these are NumPy arrays."""
        return self.xp is np

    @property
    def is_cupy(self) -> bool:
        """Whether CUDA kernels can work on these arrays."""
        return bool(self.xp.__name__.endswith("cupy"))

    def entered(self) -> AbstractContextManager[Any]:
        """Return a context in which what the library makes is made on this device."""
        return self.device if self.is_cupy and self.device is not None else nullcontext()

    def put(self, array: NDArray[Any]) -> Any:
        """Copy an array from host memory; in host memory, return it."""
        return array if self.is_host else self.xp.asarray(array, device=self.device)

    def get(self, array: Any) -> NDArray[Any]:
        """Copy an array to host memory; in host memory, return it."""
        if self.is_host:
            return np.asarray(array)
        found: NDArray[Any] = array.get() if self.is_cupy else np.array(np.from_dlpack(array))
        return found

    def dtype(self, array: Any) -> np.dtype[Any]:
        """The dtype of an array, as NumPy names it."""
        found = array.dtype
        return found if isinstance(found, np.dtype) else np.dtype(str(found).rpartition(".")[2])

    def cast(self, array: Any, dtype: Any) -> Any:
        """Return the array in another dtype, or itself where it has that."""
        dtype = np.dtype(dtype)
        if self.is_host:
            return np.asarray(array).astype(dtype, copy=False)
        return array if self.dtype(array) == dtype else self.xp.astype(array, getattr(self.xp, dtype.name))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return zeros."""
        return self.xp.zeros(shape, dtype=getattr(self.xp, np.dtype(dtype).name), device=self.device)

    def eye(self, n: int, dtype: Any) -> Any:
        """Return the identity."""
        return self.xp.eye(n, dtype=getattr(self.xp, np.dtype(dtype).name), device=self.device)

    def __str__(self) -> str:
        return "host memory" if self.is_host else f"{self.xp.__name__.rpartition('.')[2]} on {self.device}"


HOST = Space(np)


class Borrowed(NamedTuple):
    """An argument as an array that fsmf works on.

    Attributes
    ----------
    array : array
        Of NumPy, CuPy or another library; for a tensor, a view of its memory.
    give_back : callable
        Turns a result into what the caller uses.
    is_bfloat16 : bool
        Whether the array holds the bits of bfloat16 numbers, as integers of 16 bits.
    """

    array: Any
    give_back: Callable[[Any], Any]
    is_bfloat16: bool = False


def is_foreign(x: Any) -> bool:
    """Whether an argument is an array, but not one of NumPy's."""
    if isinstance(x, np.ndarray | np.generic):
        return False
    # Not every version of CuPy says that it keeps the standard.
    return _is_of("torch", "Tensor", x) or _is_of("cupy", "ndarray", x) or hasattr(x, "__array_namespace__")


def borrowed(x: Any) -> Borrowed:
    """Take in an argument, sharing its memory.

    Parameters
    ----------
    x : object
        Anything; what is no PyTorch tensor is taken as it is.

    Returns
    -------
    Borrowed
        The array, and how to give results back.

    Raises
    ------
    InputTypeError
        If a tensor takes part in automatic differentiation, is neither in host memory nor on a CUDA device,
        or has a dtype that its array library lacks.

    Notes
    -----
    **Guarantee.** No entry is copied, but for tensors that are conjugates or negatives not yet carried out.

    **Cost.** Some microseconds.

    Examples
    --------
    >>> borrowed(np.ones(2)).array
    array([1., 1.])
    """
    if not _is_of("torch", "Tensor", x):
        return Borrowed(x, lambda y: y)
    torch = sys.modules["torch"]
    if x.requires_grad:
        raise InputTypeError(
            "fsmf takes tensors without gradients; found one that requires them; use x.detach()"
        )
    if x.device.type not in ("cpu", "cuda"):
        raise InputTypeError(
            f"fsmf takes tensors in host memory or on a CUDA device; found one on {x.device}; move it"
        )
    on_host = x.device.type == "cpu"
    # NumPy and CuPy have no such numbers; kernels have.
    is_bfloat16 = not on_host and x.dtype == torch.bfloat16
    library = np if on_host else import_module("cupy")
    try:
        array = library.from_dlpack(x.view(torch.int16) if is_bfloat16 else x.resolve_conj().resolve_neg())
    except (RuntimeError, ValueError, BufferError) as error:
        raise InputTypeError(
            f"fsmf takes numeric tensors; found dtype {x.dtype}: {error}; convert it"
        ) from None
    if not is_bfloat16:
        return Borrowed(array, torch.from_dlpack)

    def give_back(y: Any) -> Any:
        found = torch.from_dlpack(y)
        return found.view(torch.bfloat16) if found.dtype == torch.int16 else found

    return Borrowed(array, give_back, True)


def space_of(*arrays: Any) -> Space:
    """Find where arrays live, all of them together.

    Parameters
    ----------
    *arrays : array_like
        Lists, numbers and sparse arrays are in host memory.

    Returns
    -------
    Space
        Their library and device.

    Raises
    ------
    InputTypeError
        If they are not together.

    Examples
    --------
    >>> str(space_of(np.ones(2), [1, 2]))
    'host memory'
    """
    found = [_space(array) for array in arrays]
    for other in found[1:]:
        if other != found[0]:
            raise InputTypeError(
                f"arrays must live together; found one in {found[0]} and another in {other}; nothing is "
                "copied unasked: move one, a factorization with to_device or to_host"
            )
    return found[0] if found else HOST


def check_on_host(A: Any, what: str) -> None:
    """Refuse a matrix on a device.

    Raises
    ------
    InputTypeError
        If A is no array of NumPy's, nor what becomes one.
    """
    if is_foreign(A):
        raise InputTypeError(
            f"{what} works in host memory; found A in {space_of(A)}; copy it there, e.g. with cupy.asnumpy"
        )


def together(arrays: Sequence[Any]) -> tuple[Space, list[Any]]:
    """Take in arrays that must live together, and say where.

    Raises
    ------
    InputTypeError
        As `space_of` and `borrowed`.
    """
    found = [borrowed(array).array for array in arrays]
    return space_of(*found), found


def space_named(device: Any) -> Space:
    """Return the space that a user names.

    Parameters
    ----------
    device : str or array
        ``"cpu"``, ``"gpu"`` (the current CUDA device), ``"gpu:1"``, …; or an array, which is where it is.

    Returns
    -------
    Space
        The library and device.

    Raises
    ------
    OptionError
        If the name is none of these, or CuPy does not load.

    Examples
    --------
    >>> space_named("cpu") == HOST
    True
    """
    if is_foreign(device) or isinstance(device, np.ndarray):
        return space_of(borrowed(device).array)
    name, _, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if device == "cpu":
        return HOST
    if name != "gpu" or not (number.isdigit() or device == "gpu"):
        raise OptionError(
            f"device must be 'cpu', 'gpu', 'gpu:1', … or an array that lives there; found {device!r}"
        )
    try:
        import cupy
        from array_api_compat import cupy as xp

        return Space(xp, cupy.cuda.Device(int(number) if number else None))
    except ImportError as error:
        raise OptionError(
            f"a GPU is used through CuPy; it does not load here: {error}; pip install fsmf[gpu]"
        ) from None


def _is_of(library: str, kind: str, x: Any) -> bool:
    """Whether x is of a class of a library, which is then loaded."""
    return isinstance(x, getattr(sys.modules.get(library), kind, ()))


def _space(array: Any) -> Space:
    if not is_foreign(array):
        return HOST
    if _is_of("cupy", "ndarray", array):  # without asking around, which takes longer than a launch
        return Space(import_module("array_api_compat.cupy"), array.device)
    import array_api_compat

    return Space(array_api_compat.array_namespace(array), array_api_compat.device(array))
