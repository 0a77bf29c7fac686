"""CuPy as far as fsmf uses it, in host memory: arrays that meet none of the host, emulated kernels.

What is checked is that the way to a GPU holds no slip: names, signatures, types of arguments, and no array
that comes to the host unasked.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from devices import ON_GPU
from emulator import COMPILER, Emulator
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy import sparse

from fsmf.kernels import cuda


class ndarray(NDArrayOperatorsMixin):
    """An array of a device: what NumPy's can, but it meets no array of the host."""

    def __init__(self, held: np.ndarray) -> None:
        self._held = held

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return _taken(getattr(ufunc, method))(*inputs, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._held, name)
        return _taken(found, self._held) if callable(found) else _given(found)

    def __getitem__(self, key: Any) -> Any:
        found = self._held[_own(key)]
        _count([self._held], found)
        return _given(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._held[_own(key)] = _own(value)

    def __len__(self) -> int:
        return len(self._held)

    def __float__(self) -> float:
        return float(self._held)

    def __int__(self) -> int:
        return int(self._held)

    def __complex__(self) -> complex:
        return complex(self._held)

    def __index__(self) -> int:
        return self._held.__index__()

    def __bool__(self) -> bool:
        return bool(self._held)

    def __dlpack__(self, **options: Any) -> Any:
        return self._held.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self._held.__dlpack_device__()

    def get(self) -> np.ndarray:
        return self._held.copy()

    @property
    def device(self) -> Device:
        return Device()

    @property
    def data(self) -> Any:
        memory = ModuleType("memory")
        memory.ptr = self._held.ctypes.data  # type: ignore[attr-defined]
        return memory


def _own(value: Any) -> Any:
    """Arguments as NumPy takes them."""
    if isinstance(value, ndarray):
        return value._held
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        return type(value)(map(_own, value)) if type(value) in (tuple, list) else value
    return value


def _given(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ndarray(value)
    # CuPy has arrays of no dimension where NumPy has numbers.
    if isinstance(value, np.generic):
        return ndarray(np.asarray(value))
    if type(value) is tuple and any(isinstance(one, np.ndarray) for one in value):
        return tuple(map(_given, value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_given, value))
    return value


# Bytes that array functions read and wrote since the last look; views are free.
moved: Counter[str] = Counter()


def _taken(function: Any, owner: Any = None) -> Any:
    def wrapper(*args: Any, **options: Any) -> Any:
        owned = [_own(value) for value in (*args, *options.values())]
        found = function(*owned[: len(args)], **dict(zip(options, owned[len(args) :], strict=True)))
        _count([owner, *owned], found)
        return _given(found)

    return wrapper


def _count(given: Any, made: Any) -> None:
    arrays, results = (
        [one for one in _flattened(some) if isinstance(one, np.ndarray)] for some in (given, made)
    )
    if not results and not isinstance(made, np.generic):
        return
    if not any(np.may_share_memory(one, other) for one in results for other in arrays):
        moved["read"] += sum(one.nbytes for one in arrays)
        moved["written"] += sum(one.nbytes for one in results)


def _flattened(some: Any) -> Iterator[Any]:
    for one in some if isinstance(some, tuple | list) else [some]:
        if isinstance(one, tuple | list):
            yield from _flattened(one)
        else:
            yield one


class Device:
    """The only device."""

    attributes: ClassVar[dict[str, int]] = {
        "MaxSharedMemoryPerBlockOptin": 99 << 10,
        "MultiProcessorCount": 132,
    }

    def __init__(self, device: Any = None) -> None:
        self.id = getattr(device, "id", device) or 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *args: object) -> None: ...

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None: ...


class Stream(Device):
    """A stream, in which all has happened when it is asked for."""

    def __init__(self, *, non_blocking: bool = False) -> None:
        super().__init__()


class Event:
    """A moment."""

    def record(self, stream: Any = None) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...


class RawModule:
    """Kernels, compiled for the host when they are launched."""

    emulator: Emulator

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        assert all(isinstance(option, str) for option in options)
        names = [option[2:].split("=", 1) for option in options if option.startswith("-D")]
        self._kernel = cuda.Kernel(_FILES[code], "", tuple((name, value) for name, value in names))

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._kernel._replace(name=name))


class RawKernel:
    """A kernel, which takes arrays, and numbers of the sizes that it declares."""

    def __init__(self, kernel: cuda.Kernel) -> None:
        self._kernel, self.max_dynamic_shared_size_bytes = kernel, 48 << 10

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        (blocks,), (threads,) = grid, block
        arguments = [arg._held if isinstance(arg, ndarray) else arg for arg in args]
        RawModule.emulator.launch(
            None, self._kernel, blocks=blocks, threads=threads, arguments=arguments, shared=shared_mem
        )


_FILES = {cuda.source(path.name): path.name for path in Path(cuda.__file__).parent.glob("*.cu")}


def modules() -> dict[str, ModuleType]:
    """CuPy and what belongs to it, by name."""
    cupy = _mirrored(np, "cupy")
    cupy.ndarray, cupy.asnumpy, cupy.__version__ = ndarray, ndarray.get, "on the host"
    cupy.asarray = lambda a, dtype=None, **options: ndarray(_copied(a, dtype))
    cupy.array, cupy.ascontiguousarray = cupy.asarray, _taken(np.ascontiguousarray)
    cupy.empty = lambda shape, dtype=float, **options: ndarray(_poisoned(shape, dtype))
    cupy.from_dlpack = lambda x: ndarray(np.from_dlpack(x))
    cupy.get_default_memory_pool = lambda: _module("pool", used_bytes=lambda: 0, free_all_blocks=lambda: None)
    cupy.RawModule = RawModule
    cupy.linalg, cupy.fft = _mirrored(np.linalg, "cupy.linalg"), _mirrored(np.fft, "cupy.fft")
    cupy.random = _module("cupy.random", default_rng=_Random)
    runtime = _module(
        "runtime",
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda number: {"name": b"the host"},
        driverGetVersion=lambda: 12080,
    )
    cupy.cuda = _module(
        "cupy.cuda",
        Device=Device,
        Stream=Stream,
        get_current_stream=Stream,
        Event=Event,
        runtime=runtime,
        get_elapsed_time=lambda start, stop: 1e3 * max(1e-9, stop.at - start.at),
    )
    cupy.cuda.device = _module("cupy.cuda.device", Device=Device)
    found = {
        one.__name__: one for one in (cupy, cupy.linalg, cupy.fft, cupy.random, cupy.cuda, cupy.cuda.device)
    }
    for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.sparse", "cupyx.scipy.sparse.linalg"):
        found[name] = _module(name)
    found["cupyx.scipy.sparse"].csr_matrix = _Sparse
    found["cupyx.scipy.sparse.linalg"].LinearOperator = lambda shape, **options: _module("A", **options)
    return found


def _module(name: str, **found: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(found)
    return module


def _mirrored(library: Any, name: str) -> ModuleType:
    """A module of NumPy's with functions that take arrays of the device."""
    public = {key: getattr(library, key) for key in dir(library) if not key.startswith("_")}
    return _module(
        name,
        **{
            key: value
            if inspect.isclass(value) or inspect.ismodule(value) or not callable(value)
            else _taken(value)
            for key, value in public.items()
        },
    )


def _copied(a: Any, dtype: Any) -> np.ndarray:
    return np.array(a._held if isinstance(a, ndarray) else a, dtype=dtype)


def _poisoned(shape: Any, dtype: Any) -> np.ndarray:
    fresh = np.empty(shape, dtype)
    fresh.view(np.uint8).fill(0xFF)  # NaN
    return fresh


class _Random:
    """Random numbers made on the device."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def standard_normal(self, shape: Any, dtype: Any = np.float64) -> ndarray:
        return ndarray(self._rng.standard_normal(shape, dtype=dtype))


class _Sparse:
    """A sparse matrix of the device."""

    def __init__(self, parts: Any, shape: Any) -> None:
        self._held = sparse.csr_array(_own(parts), shape=shape)

    def __matmul__(self, x: ndarray) -> ndarray:
        return ndarray(self._held @ x._held)


@pytest.fixture(scope="module")
def cupy(emulated: Path) -> Iterator[ModuleType]:
    """CuPy: itself with ``--gpu``, and otherwise what stands in for it."""
    if ON_GPU:
        yield importlib.import_module("cupy")
        return
    if COMPILER is None:
        pytest.skip("there is no C++ compiler to run kernels on the host")
    with installed(Emulator(emulated)) as found:
        yield found


@contextmanager
def installed(emulator: Emulator) -> Iterator[ModuleType]:
    """While this lasts, CuPy is there, and its kernels run in the emulator."""
    RawModule.emulator = emulator
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.startswith("array_api_compat.cupy")]:
            patch.delitem(sys.modules, name)
        found = modules()
        for name, module in found.items():
            patch.setitem(sys.modules, name, module)
        cuda.forget()
        try:
            yield found["cupy"]
        finally:
            cuda.forget()
            for name in [name for name in sys.modules if name.startswith("array_api_compat.cupy")]:
                del sys.modules[name]
