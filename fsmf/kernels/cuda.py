"""CUDA kernels: compiled at run time from the text beside this file, and launched where the arrays are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.namespace import Space

__all__ = [
    "OPTIONS",
    "Kernel",
    "address",
    "finish",
    "forget",
    "launch",
    "most_shared",
    "number_types",
    "on_this_stream",
    "pointer",
    "read",
    "source",
    "takes",
]

Result = TypeVar("Result")

_FOLDER = Path(__file__).parent

# How every kernel is compiled.
OPTIONS = ("-std=c++17",)

# Shared memory of a block of threads that needs no leave.
_FREE = 48 << 10


class Kernel(NamedTuple):
    """A function of a source file, compiled with some names defined.

    Attributes
    ----------
    file : str
        The file, beside this one.
    name : str
        The function.
    defines : tuple of (str, str)
        Names and what they stand for.
    """

    file: str
    name: str
    defines: tuple[tuple[str, str], ...]


@cache
def source(file: str) -> str:
    """Return the text of a source file, with what it includes put in: it then needs no other file."""
    lines = (_FOLDER / file).read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if line.startswith('#include "'):
            lines[i] = source(line.split('"')[1])
    return "\n".join(lines) + "\n"


def most_shared(space: Space) -> int:
    """Return how many bytes of shared memory a block of threads may have."""
    return _most_shared(int(space.device.id))


@cache
def _most_shared(device: int) -> int:
    return int(import_module("cupy").cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"])


def takes(space: Space) -> bool:
    """Whether kernels work on arrays there."""
    return space.is_cupy


@cache
def number_types(dtype: np.dtype[Any]) -> tuple[tuple[str, str], ...]:
    """Return what NUMBER and REAL stand for where numbers have a dtype."""
    names = {"float32": "float", "float64": "double"}
    real = names[np.dtype(dtype.char.lower()).name]
    return ("NUMBER", names.get(dtype.name, dtype.name)), ("REAL", real)


def address(array: Any) -> int:
    """Where an array begins in memory."""
    return int(array.data.ptr)


def finish(space: Space) -> None:
    """Wait for what the current stream of the device has to do."""
    with space.device:
        import_module("cupy").cuda.get_current_stream().synchronize()


def read(array: Any) -> NDArray[Any]:
    """Copy to the host what a kernel leaves for it to look at: partial sums, or flags."""
    found: NDArray[Any] = array.get()
    return found


def on_this_stream(space: Space, finish: Callable[[], Result]) -> Callable[[], Result]:
    """Return what finishes later on the device and the stream that are current now, and waits for them."""
    stream = import_module("cupy").cuda.get_current_stream()

    def run() -> Result:
        with space.device, stream:
            found = finish()
            stream.synchronize()
        return found

    return run


def pointer(array: Any) -> Any:
    """Return an array, or the pointer to none."""
    return np.uint64(0) if array is None else array


def launch(
    space: Space, kernel: Kernel, *, blocks: int, threads: int, arguments: Sequence[Any], shared: int = 0
) -> None:
    """Run a kernel on the current stream of the device of the arrays.

    Parameters
    ----------
    space : Space
        Where the arrays are.
    kernel : Kernel
        Compiled on first use on a device; CuPy keeps what is compiled on disk.
    blocks, threads : int
        Number of blocks of threads, and of threads in each.
    arguments : sequence
        Arrays, and NumPy scalars of the types that the kernel declares.
    shared : int
        Bytes of shared memory of each block.
    """
    if not blocks:
        return
    with space.device:
        function = _function(kernel, int(space.device.id), shared > _FREE)
        function((blocks,), (threads,), tuple(arguments), shared_mem=shared)


def forget() -> None:
    """Forget what was compiled and asked, for another CuPy."""
    for one in (_function, _most_shared):
        one.cache_clear()


@cache
def _function(kernel: Kernel, device: int, with_leave: bool) -> Any:
    """The kernel on a device, with leave to take as much shared memory as there is, or none."""
    options = (*OPTIONS, *(f"-D{name}={value}" for name, value in kernel.defines))
    module = import_module("cupy").RawModule(code=source(kernel.file), options=options)
    function = module.get_function(kernel.name)
    if with_leave:
        function.max_dynamic_shared_size_bytes = _most_shared(device)
    return function
