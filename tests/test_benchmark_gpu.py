"""The script that measures on a GPU: what of it needs none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from devices import ON_GPU
from oracles import chain_product

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
