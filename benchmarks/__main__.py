"""Run every benchmark, each in its own process, with the arguments given here."""

import subprocess
import sys

BENCHMARKS = [
    "bench_block_svd",
    "bench_als",
    "bench_hard",
    "bench_census",
    "bench_transforms",
    "bench_analyze",
    "bench_chain",
    "bench_apply",
    "bench_limits",
    "bench_bounds",
    "bench_wellposed",
    "bench_nn",
    "bench_sparse",
]

if __name__ == "__main__":
    codes = [
        subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]) for name in BENCHMARKS
    ]
    sys.exit(max(codes))
