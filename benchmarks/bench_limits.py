"""What factorizing a butterfly costs as n grows: time, memory, the first call, and matrices beyond memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median

import numpy as np

from benchmarks.harness import Gate, arguments, machine, milliseconds, table, timed

NOISE = 0.1

# What a fresh process does; it prints one JSON object.
CHILD = """
import json, sys, time
began = time.perf_counter()
import numpy as np
import fsmf
loaded = time.perf_counter() - began
from benchmarks.bench_limits import measured, noisy_hadamard
n, dtype, path = json.loads(sys.argv[1])
A = noisy_hadamard(n, dtype, path)
if path:
    del A
    A = np.memmap(path, dtype=dtype, mode="r", shape=(n, n))
began = time.perf_counter()
small = min(n, 2048)
fsmf.factorize(A[:small, :small].copy(), fsmf.butterfly(small))
first = time.perf_counter() - began
print(json.dumps(measured(A) | {"first": first, "loaded": loaded}))
"""


def noisy_hadamard(n: int, dtype: str = "float64", path: str | None = None) -> np.ndarray:
    """Entries ±1 in Sylvester's order plus Gaussian noise, row by row.

    In a file if there is a path; there all but every 64th row are zero, holes that take no room on the disk.
    """
    shape = (n, n)
    A = np.memmap(path, dtype=dtype, mode="w+", shape=shape) if path else np.empty(shape, dtype)
    rng, columns = np.random.default_rng(0), np.arange(n)
    for i in range(0, n, 64 if path else 1):
        # The sign is the parity of the common bits of row and column.
        A[i] = 1 - 2.0 * (np.bitwise_count(i & columns) & 1)
        A[i] += NOISE * rng.standard_normal(n, dtype=np.float32)
    return A


def _memory(key: str) -> int:
    """Bytes that /proc/self/status tells."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def measured(A: np.ndarray) -> dict[str, float]:
    """Time of a factorization, and the memory it takes beyond what is there, files not counted."""
    import fsmf

    supports = fsmf.butterfly(len(A))
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forgets the peak
    before = _memory("RssAnon")
    seconds, F = timed(lambda: fsmf.factorize(A, supports))
    # The peak counts pages of files, which the system takes back when it likes.
    peak = _memory("VmHWM") - (_memory("VmRSS") - _memory("RssAnon"))
    again = [timed(lambda: fsmf.factorize(A, supports))[0] for _ in range(0 if A.nbytes > 1 << 31 else 5)]
    return {
        "seconds": median(again) if again else seconds,
        "memory": max(0, peak - before) / A.nbytes,
        "error": F.relative_error,
    }


def child(n: int, dtype: str = "float64", path: str | None = None, **environment: str) -> dict[str, float]:
    arguments = [sys.executable, "-c", CHILD, json.dumps([n, dtype, path])]
    done = subprocess.run(
        arguments, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--large", action="store_true", help="also 4 GiB in memory, and a file beyond memory")
    parser.add_argument("--file", default=None, help="where that file may be, and how large n is: PATH:N")
    options = parser.parse_args()
    gate, rows = Gate(), []
    sizes = (256, 512) if options.quick else (512, 1024, 2048, 4096, 8192, 16384)
    found = {n: child(n) for n in sizes}
    for n, result in found.items():
        rows.append([f"{n}, float64", milliseconds(result["seconds"]), f"{result['memory']:.2f}"])
        gate(result["error"] <= NOISE, f"{n}: the error is that of the noise")
    print("Noisy Hadamard into log₂ n factors, left to right")
    print(machine("fsmf"), end="\n\n")
    if options.large:
        result = child(32768, "float32")
        rows.append(["32768, float32", milliseconds(result["seconds"]), f"{result['memory']:.2f}"])
    if options.file:
        path, _, n = options.file.rpartition(":")
        result = child(int(n), "float64", path)
        rows.append([f"{n}, float64, a file", milliseconds(result["seconds"]), f"{result['memory']:.2f}"])
    print(table(["n", "time", "peak memory beyond A, in sizes of A"], rows, markdown=options.markdown))
    slope = np.polyfit(np.log(sizes), np.log([found[n]["seconds"] for n in sizes]), 1)[0]
    print(f"\nlog-log slope of the time: {slope:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        cold = child(1024, NUMBA_CACHE_DIR=folder)
        warm = child(1024, NUMBA_CACHE_DIR=folder)
    for name, result in (("cold", cold), ("warm", warm)):
        print(
            f"first factorization of a process, {name} compilation cache: {result['first']:.2f} s, later "
            f"{milliseconds(result['seconds'])}; NumPy, SciPy and fsmf load in {result['loaded']:.2f} s"
        )
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
