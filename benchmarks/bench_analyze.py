"""The examination of supports with 20,000 components and two million nonzeros: time and memory.

Each measurement is a process of its own: nothing is cached, and its peak memory is that of this one job.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from statistics import median

import numpy as np

from benchmarks.harness import Gate, arguments, machine, milliseconds, table

PER_COMPONENT = 50
FAMILIES = ("random", "disjoint")


def random_pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of each component drawn without order: nearly all of them overlap others."""
    rng = np.random.default_rng(0)
    rows, columns = (
        np.stack([rng.choice(n, PER_COMPONENT, replace=False, shuffle=False) for _ in range(n)])
        for _ in range(2)
    )
    return rows, columns


def disjoint_pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The dyadic split (1, b, b, n/b), (b, b, b, n/b²), b = 50, renumbered at random: tractable."""
    b = PER_COMPONENT
    d = n // b
    k = np.arange(n)
    alpha, delta = k // d, k % d
    rows = np.arange(b) * d + delta[:, None]
    columns = np.arange(b) * (d // b) + (alpha * d + delta % (d // b))[:, None]
    rng = np.random.default_rng(0)
    order = rng.permutation(n)
    return rng.permutation(n)[rows][order], rng.permutation(n)[columns][order]


def peak() -> int:
    """Bytes that this process has used at most."""
    kilo = 1 if sys.platform == "darwin" else 1024
    return kilo * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(family: str, n: int) -> dict[str, float]:
    """Examine one pair, in this process."""
    import fsmf

    start = time.perf_counter()
    str(fsmf.analyze(fsmf.random_supports(30, 30, components=20, density=0.2, rng=0)))
    first = time.perf_counter() - start
    empty = peak()
    rows, columns = (random_pair if family == "random" else disjoint_pair)(n)
    k = np.repeat(np.arange(n), PER_COMPONENT)
    left = fsmf.Support.from_coordinates(rows.ravel(), k, shape=(n, n))
    right = fsmf.Support.from_coordinates(k, columns.ravel(), shape=(n, n))
    supports = fsmf.as_supports([left, right])
    built = peak()
    start = time.perf_counter()
    structure = fsmf.analyze(supports)
    str(structure)  # facts are found when asked for: ask for all of them
    seconds = time.perf_counter() - start
    return {
        "nnz": left.nnz + right.nnz,
        "classes": len(structure.classes),
        "tractable": structure.tractable,
        "first": first,
        "seconds": seconds,
        "built": built - empty,
        "peak": peak() - empty,
    }


def measure_apart(family: str, n: int) -> dict[str, float]:
    """Examine one pair, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.bench_analyze", "--one", family, str(n)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> int:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--one", nargs=2, metavar=("FAMILY", "N"), help="measure one pair in this process")
    options = parser.parse_args()
    if options.one:
        family, n = options.one
        print(json.dumps(measure(family, int(n))))
        return 0
    sizes = (2500, 5000) if options.quick else (2500, 5000, 10_000, 20_000)
    rounds = 1 if options.quick else options.rounds
    gate, rows = Gate(), []
    for family in FAMILIES:
        per_nonzero = []
        for n in sizes:
            runs = [measure_apart(family, n) for _ in range(rounds)]
            one = runs[0]
            gate(one["classes"] == n, f"{family}, {n} components: each is a class")
            gate(one["tractable"] == (family == "disjoint"), f"{family}, {n} components: tractable or not")
            middle = {key: median(run[key] for run in runs) for key in ("seconds", "first", "built", "peak")}
            per_nonzero.append(middle["peak"] / one["nnz"])
            rows.append(
                [
                    family,
                    f"{n:,}",
                    f"{one['nnz']:,}",
                    milliseconds(middle["seconds"]),
                    milliseconds(middle["first"]),
                    f"{middle['built'] / 1e6:.0f} MB",
                    f"{middle['peak'] / 1e6:.0f} MB",
                    f"{per_nonzero[-1]:.0f}",
                ]
            )
        # Fixed costs make the small sizes dearer per nonzero; growth is what must not happen.
        gate(per_nonzero[-1] <= 1.25 * per_nonzero[-2], f"{family}: memory grows no faster than the nonzeros")
    print(f"analyze, every fact asked for, {PER_COMPONENT} rows and {PER_COMPONENT} columns per component")
    print("memory above the imports: once the supports are built, and at the peak of the examination")
    print(machine("fsmf"), end="\n\n")
    header = ["supports", "components", "nonzeros", "time", "first call", "built", "peak", "bytes/nonzero"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
