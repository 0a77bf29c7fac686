"""CUDA kernels without a GPU: compiled for one by NVRTC, and run on the host, a fiber for each thread."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat.numpy
import numpy as np
import pytest
from devices import ON_GPU

from fsmf.kernels import cuda, kronecker_plan
from fsmf.kernels.namespace import Space, space_named

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("c++")
COMPILING = ("-std=c++17", "-fno-strict-aliasing", "-w", "-fPIC", f"-I{HERE}", "-c")
# What every library depends on besides its kernel.
HOST = b"".join((HERE / name).read_bytes() for name in ("cuda_on_host.h", "cuda_on_host.cpp", "emulator.py"))


class Traffic(NamedTuple):
    """What launches moved, as a device counts: an instruction of a warp of 32 threads at a time."""

    sectors_read: int  # of 32 bytes, in memory
    sectors_written: int
    bytes_read: int  # what the threads asked for
    bytes_written: int
    bank_rounds: int  # rounds to the 32 banks of shared memory, and how many would do without conflicts
    bank_least: int


class Emulator:
    """Stands in for the device: launches kernels on NumPy arrays, and fails where a device may."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libraries: dict[Any, Any] = {}
        self.launched: list[tuple[cuda.Kernel, int, int, int]] = []
        self.counts = False
        self._counted: list[np.ndarray] = []

    def launch(
        self,
        space: Any,
        kernel: cuda.Kernel,
        *,
        blocks: int,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> None:
        if not blocks:
            return
        assert blocks < 1 << 31
        assert 0 < threads <= 1024
        self.launched.append((kernel, blocks, threads, shared))
        kept, pointers, regions = [], [], []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                begin = argument.ctypes.data
                regions += [begin, begin + argument.nbytes]
                argument = np.uintp(begin)
            assert isinstance(argument, np.generic)  # of the size that the kernel declares
            kept.append(np.array(argument))
            pointers.append(kept[-1].ctypes.data)
        library = self._library(kernel)
        function = getattr(library, f"host_{kernel.name}")
        array = (ctypes.c_void_p * len(pointers))(*pointers)
        arrays = (ctypes.c_void_p * len(regions))(*regions)
        whole = ctypes.c_uint(blocks), ctypes.c_uint(threads), ctypes.c_size_t(shared), array, arrays
        code = function(*whole, ctypes.c_size_t(len(regions) // 2), ctypes.c_bool(self.counts))
        library.host_message.restype = ctypes.c_char_p
        assert not code, library.host_message().decode()
        if self.counts:
            self._counted.append(np.zeros(len(Traffic._fields), np.uint64))
            library.host_counts(self._counted[-1].ctypes.data_as(ctypes.c_void_p))

    @contextmanager
    def counting(self) -> Iterator[list[Traffic]]:
        """Count the traffic of the launches within; the sum is in the list afterwards."""
        found: list[Traffic] = []
        self.counts, self._counted = True, []
        try:
            yield found
        finally:
            self.counts = False
        found.append(Traffic(*np.sum(self._counted, axis=0, dtype=np.int64).tolist()))

    def _library(self, kernel: cuda.Kernel) -> Any:
        if kernel not in self._libraries:
            lines = [f"#define {name} {value}" for name, value in kernel.defines]
            text, export = cuda.source(kernel.file), f"EXPORT({kernel.name})"
            code = "\n".join([f'#include "{HERE / "cuda_on_host.h"}"', *lines, text, export])
            stem = hashlib.sha1(code.encode() + HOST).hexdigest()
            own = self._made(f"{stem}.o", *COMPILING, "-O0", "-fsanitize=thread", "-xc++", "-", given=code)
            # What stands for the device, which all kernels are linked with.
            device = f"{hashlib.sha1(HOST).hexdigest()}.o"
            device = self._made(device, *COMPILING, "-O2", str(HERE / "cuda_on_host.cpp"))
            self._libraries[kernel] = ctypes.CDLL(self._made(f"{stem}.so", "-shared", own, device))
        return self._libraries[kernel]

    def _made(self, name: str, *command: str, given: str = "") -> str:
        """Let the compiler make a file that was not made before; others may be at it, too."""
        target = self._folder / name
        if not target.exists():
            whole = target.with_suffix(f".{os.getpid()}")
            subprocess.run([str(COMPILER), "-o", whole, *command], input=given, text=True, check=True)
            whole.replace(target)
        return str(target)


@cache
def nvrtc() -> Any:
    """NVIDIA's compiler for the run time, from its wheel."""
    found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    if found is None or not found.submodule_search_locations:
        return None
    (library,) = Path(next(iter(found.submodule_search_locations))).glob("lib/libnvrtc.so.*[0-9]")
    return ctypes.CDLL(str(library))


def compiled(kernel: cuda.Kernel, architecture: str) -> str:
    """Compile for a device; what the compiler says, with the registers that each kernel takes."""
    library, program = nvrtc(), ctypes.c_void_p()
    text = cuda.source(kernel.file).encode()
    assert library.nvrtcCreateProgram(ctypes.byref(program), text, kernel.file.encode(), 0, None, None) == 0
    options = [
        *cuda.OPTIONS,
        f"--gpu-architecture={architecture}",
        "--ptxas-options=-v",
        *(f"-D{name}={value}" for name, value in kernel.defines),
    ]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    code = library.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if code == 0:
        assert library.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
        assert size.value > 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    said = log.value.decode()
    assert code == 0, said
    return said


class _Library:
    """NumPy by the names of the standard, whose fresh memory is poisoned, and which is taken for CuPy."""

    __name__ = "emulated.cupy"

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.numpy, name)

    def empty(self, shape: Any, **options: Any) -> np.ndarray:
        fresh = np.empty(shape, options["dtype"])
        fresh.view(np.uint8).fill(0xFF)  # NaN
        return fresh


# Where kernels run: on NumPy arrays, or on a GPU with ``pytest --gpu``.
THERE = space_named("gpu") if ON_GPU else Space(_Library())


def on_device(array: np.ndarray) -> Any:
    """A copy there, in the same order."""
    return THERE.xp.asarray(array) if ON_GPU else array.copy(order="K")


def on_host(array: Any) -> np.ndarray:
    return array.get() if ON_GPU else array


@pytest.fixture(scope="module")
def emulator(emulated: Path) -> Iterator[Emulator]:
    """Kernels are launched, in this module, where there is something that runs them."""
    found = Emulator(emulated)
    if ON_GPU:
        yield found
        return
    if COMPILER is None:
        pytest.skip("there is no C++ compiler to run kernels on the host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "launch", found.launch)
        patch.setattr(cuda, "finish", lambda space: None)
        patch.setattr(cuda, "most_shared", lambda space: 64 << 10)
        patch.setattr(cuda, "address", lambda array: array.ctypes.data)
        patch.setattr(cuda, "read", np.array)
        yield found


@pytest.fixture
def only(monkeypatch):
    """Let the planner take steps of one kind alone."""
    all_steps = kronecker_plan._steps

    def restrict(kind):
        def steps(*arguments):
            found = all_steps(*arguments)
            return [one for one in found if one.step.kind == kind] or found

        monkeypatch.setattr(kronecker_plan, "_steps", steps)
        kronecker_plan.plan_steps.cache_clear()

    yield restrict
    monkeypatch.undo()
    kronecker_plan.plan_steps.cache_clear()
