"""What stands in for a device finds the faults that kernels can have, planted here, and counts traffic."""

import numpy as np
import pytest
from emulator import COMPILER, ON_GPU, Emulator

from fsmf.kernels import cuda

FAULTS = """
#include "numbers.cuh"
extern "C" __global__ void faulty(float* y, int fault, int stride) {
    __shared__ float still[64];
    DYNAMIC_SHARED(float, pool);
    const int i = threadIdx.x;
    pool[i] = i;
    still[i] = 1;
    if (fault == 0) pool[63 - i] += 1;                          // no barrier: who is first?
    if (fault == 1) { if (i % 2) __syncthreads(); else __syncthreads(); }
    if (fault == 2) { if (i == 63) return; }                    // some end before the barrier
    __syncthreads();
    if (fault == 3) y[i] = pool[64 + i];                        // never written
    if (fault == 4) y[i + 1] = 0;                               // past the end
    if (fault == 5) y[blockIdx.x * i] = i;                      // blocks, and threads of one, meet in 0
    if (fault == 6 && i == 0) { Pack<float, 4> pack = *(Pack<float, 4>*)(pool + 1); y[0] = pack.of[0]; }
    if (fault == 7) { pool[i] = 0; __syncwarp(); y[i] = pool[63 - i]; }  // another warp's
    if (fault == 8) { pool[i] = 7; __syncwarp(); y[i] = pool[i ^ 31]; }  // the own warp's: no fault
    if (fault == 9) {
        float sum = i;
        for (int lanes = 16; lanes > 0; lanes >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
        y[i] = sum;
    }
    if (fault == 10) y[i] = pool[i * stride % 64];              // conflicts of banks
    if (fault == 11 && i * stride < 64) y[i * stride] = 1;      // sectors
    if (fault == 12) { still[i] = 2; y[0] = still[0]; }
}
"""

pytestmark = pytest.mark.skipif(ON_GPU or COMPILER is None, reason="there is a GPU, or no C++ compiler")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    emulator = Emulator(tmp_path_factory.mktemp("faults"))
    kernel = cuda.Kernel("faulty.cu", "faulty", ())

    def launch(fault, *, blocks=1, stride=1):
        y = np.zeros(64, np.float32)
        arguments = y, np.int32(fault), np.int32(stride)
        emulator.launch(None, kernel, blocks=blocks, threads=64, arguments=arguments, shared=512)
        return y

    launch.counting = emulator.counting
    text = FAULTS.replace('#include "numbers.cuh"', cuda.source("numbers.cuh"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "source", lambda file: text)
        yield launch


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (0, "race|before it is written"),
        (1, "different barriers"),
        (2, "different barriers"),
        (3, "read before it is written"),
        (4, "outside of all arrays"),
        (5, "race with a write"),
        (6, "misaligned"),
        (7, "race"),
        (12, "race"),
    ],
)
def test_a_fault_is_found(fault, says, run):
    with pytest.raises(AssertionError, match=says):
        run(fault)


def test_blocks_that_meet_are_found(run):
    run(11, stride=64)
    with pytest.raises(AssertionError, match="race with a write: block 1"):
        run(11, blocks=2, stride=64)


def test_warps(run):
    assert (run(8) == 7).all()
    assert np.array_equal(run(9), np.repeat([31 * 16, 31 * 16 + 32 * 32], 32))


@pytest.mark.parametrize(("stride", "rounds"), [(1, 1), (2, 2), (4, 2), (32, 2), (64, 1)])
def test_conflicts_of_banks(stride, rounds, run):
    """Each of two warps writes 32 words twice, and reads some, which lie in as many banks or in fewer."""
    with run.counting() as found:
        run(10, stride=stride)
    assert found[0].bank_rounds == 2 * (2 + rounds)
    assert found[0].bank_least == 2 * (2 + 1)


@pytest.mark.parametrize(("stride", "sectors"), [(1, 8), (2, 8), (8, 8), (16, 4)])
def test_sectors(stride, sectors, run):
    with run.counting() as found:
        run(11, stride=stride)
    assert found[0].sectors_written == sectors
    assert (found[0].sectors_read, found[0].bytes_written) == (0, 4 * -(-64 // stride))
