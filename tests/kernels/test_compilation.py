"""CUDA kernels are compiled for devices that need not be there."""

from pathlib import Path

import numpy as np
import pytest
from emulator import compiled, nvrtc

from fsmf.kernels import cuda
from fsmf.kernels.kronecker_matmul_cuda import Types

ARCHITECTURES = ["sm_80", "sm_90"]
# What is stored, and the dtype of the values.
TYPES = [
    *((dtype, dtype) for dtype in ("float32", "float64", "complex64", "complex128")),
    ("float16", "float32"),
    ("bfloat16", "float32"),
    ("complex64", "float32"),
    ("complex128", "float64"),
]

pytestmark = pytest.mark.skipif(nvrtc() is None, reason="the wheel nvidia-cuda-nvrtc-cu12 is not installed")


def kernels(stored, own="float32", i=0):
    """All that there are for a type, each once, in ways that i tells; of mixed types, those of products."""
    types, odd = Types.of(stored, np.dtype(own)), i % 2
    side, each = (64, 4) if types.numbers.sums < 8 else (32, 2)
    tile = {"TILE_ROWS": side, "TILE_COLUMNS": side, "THREAD_ROWS": each, "THREAD_COLUMNS": each, "DEPTH": 16}
    table = [
        ("kronecker_chain", types.defines, {"PER_THREAD": max(1, 16 // types.numbers.sums)}),
        ("kronecker_factor", types.defines, tile),
    ]
    table = [("kronecker_matmul", *row[:2], row[2] | {"BY_COLUMNS": i // 2 % 2}) for row in table]
    if stored == own:
        both = cuda.number_types(np.dtype(own))
        strips = {"SIDE": 2 + i % 3, "LEVELS": 1 + odd, "PACK": 1 + odd, "KEPT": odd, "THREADS": 512}
        split = {"RANK": 1 + i, "MOST_STEPS": 60, "TOLERANCE": 1e-9}
        table += [
            ("kronecker_strips", "kronecker_strips", both, strips),
            ("kronecker_split", "kronecker_split", both, split),
            ("best_pieces", "best_pieces", both, {}),
            ("frobenius", "sums_of_squares", both[1:], {"PACK": 2}),
        ]
    return [
        cuda.Kernel(f"{file}.cu", name, (*given, *((key, str(value)) for key, value in more.items())))
        for file, name, given, more in table
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel(architecture):
    """In single precision, and no source is forgotten."""
    found = kernels("float32")
    sources = {path.name for path in Path(cuda.__file__).parent.glob("*.cu")}
    assert {kernel.file for kernel in found} == sources
    for kernel in found:
        assert "warning" not in compiled(kernel, architecture)


@pytest.mark.parametrize(("i", "types"), list(enumerate(TYPES))[1:])
def test_every_type(i, types):
    """On one architecture, in one layout, in turn."""
    for kernel in kernels(*types, i):
        assert "warning" not in compiled(kernel, ARCHITECTURES[i % 2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_single_precision_keeps_to_registers(architecture):
    by_columns = kernels("float32", i=2)
    strips = {"SIDE": "2", "LEVELS": "2", "PACK": "4", "KEPT": "1", "THREADS": "1024"}
    types = cuda.number_types(np.dtype(np.float32))
    widest = cuda.Kernel("kronecker_strips.cu", "kronecker_strips", (*types, *strips.items()))
    for kernel in (kernels("float32")[0], by_columns[1], widest):
        assert "0 bytes spill stores, 0 bytes spill loads" in compiled(kernel, architecture)


def test_an_error_is_seen():
    with pytest.raises(AssertionError, match="undefined"):
        compiled(cuda.Kernel("kronecker_matmul.cu", "", (("PER_THREAD", "1"),)), "sm_80")
