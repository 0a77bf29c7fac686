"""The script that measures on a GPU: what of it needs none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cupy_on_host import installed
from devices import ON_GPU
from emulator import COMPILER, Emulator
from oracles import chain_product

import fsmf
from fsmf.kernels import calibration

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks import gpu  # noqa: E402


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, ROOT / "benchmarks/gpu.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("no GPU is measured: CuPy or PyTorch")
    assert not done.stderr


@pytest.mark.skipif(not ON_GPU, reason="only with --gpu")
def test_with_a_gpu_it_runs():
    subprocess.run([sys.executable, ROOT / "benchmarks/gpu.py", "--quick"], check=True)


@pytest.mark.skipif(ON_GPU or COMPILER is None, reason="CuPy itself is there, or no C++ compiler")
def test_it_runs_where_cupy_is_in_host_memory(tmp_path, emulated, capsys):
    """Every line of it, on small sizes, with kernels that the emulator runs."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    sizes = gpu.FULL._replace(
        chains=(16,),
        batches=(8,),
        squares=(16,),
        pairs=((12, 4, 0.4),),
        single_batch=4,
        matmul=8,
        copied=64,
        rotated=64,
        checks=3,
        probes=(64, 16, 16, 8, 1, (2, 3, 4, 5), (1, 2)),
    )
    shown = []
    with installed(Emulator(emulated)) as cupy, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "single_patterns", lambda step: [(2, 3, 4, 2)])
        patch.setattr(gpu, "PATIENCE", 0.0)
        patch.setattr(calibration, "_ROUNDS", 1)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        bench = gpu.Bench(cupy, torch, sizes)
        gpu.measure(bench, fsmf, lambda header, rows: shown.append(rows))
        assert bench.has_time("anything")
        assert not gpu.Bench(cupy, torch, sizes, 0).has_time("anything")
    assert not bench.failures
    who = [{row[1] for row in rows} for rows in shown]
    peers = {"torch bmm", "cuFFT", "matmul", "matmul, TF32", "fsmf, columns whole"}
    plans, who = shown[0], who[1:]
    assert all("chain" in plan or "factor" in plan or "matmul" in plan for row in plans for plan in row[3:])
    assert [names >= {"fsmf"} for names in who] == [True] * 4
    assert who[0] >= peers
    assert who[2] >= {"fsmf, host", "torch Adam"}
    assert who[3] >= {"bmm", "einsum", "sparse"}
    assert not [row for rows in shown for row in rows if row[2].endswith("Error")]
    said = capsys.readouterr().out
    assert "of copying (asked: 70)" in said
    assert "bandwidth: estimated 3.5e+12, measured" in said


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_its_reference_is_the_product(dtype):
    chain = gpu.dyadic(16)
    values = gpu.values_of(np, chain, dtype)
    x = np.random.default_rng(0).standard_normal((16, 3)).astype(dtype)
    dense = chain_product([V.ravel() for V in values], chain)
    np.testing.assert_allclose(gpu.reference(np, chain, values, x), dense @ x, atol=1e-12)
    assert gpu.relative(np, dense @ x, gpu.reference(np, chain, values, x)) < 1e-14


def test_its_peers_in_pytorch_are_the_product():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    chain = [(2, 3, 4, 2), (4, 4, 5, 1)]
    values = gpu.values_of(np, chain, np.float64)
    x = np.random.default_rng(0).standard_normal((20, 3))
    expected = gpu.reference(np, chain, values, x)
    np.testing.assert_allclose(gpu.by_bmm(torch, chain, values)(x).numpy(), expected, atol=1e-12)
    A = gpu.reference(np, chain, values, np.eye(20))
    np.testing.assert_allclose(gpu.by_matmul(torch, A, tf32=False)(x).numpy(), expected, atol=1e-12)


def test_its_patterns_are_about_as_many_as_published():
    found = gpu.single_patterns(1)
    assert len(set(found)) == len(found)
    assert 300 <= len(found) <= 700
    assert len(gpu.single_patterns(97)) < 10
