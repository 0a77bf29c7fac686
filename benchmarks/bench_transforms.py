"""Hadamard and Fourier matrices on the supports of butterflies, by everyone: errors, and the time they take.

All clocks count processor time of one thread.
"""

from __future__ import annotations

import math
import sys
import time
import warnings

import numpy as np
from scipy.linalg import hadamard

import fsmf
from benchmarks.bench_hard import OURS, Contender, PeerDied, Problem, Trace, adam, lbfgs, ours, palm
from benchmarks.harness import Gate, arguments, machine, milliseconds, optional, table

DEFAULT, CLOSE = "fsmf, default (Hierarchical)", 1e-6


def transform(name: str, n: int) -> Problem:
    """A transform with bit-reversed columns where its butterfly needs them, and its supports."""
    if name == "Hadamard":
        A = hadamard(n).astype(float)
    else:
        bits = n.bit_length() - 1
        order = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(n)]
        A = np.fft.fft(np.eye(n))[:, order]
    return Problem(f"{name} {n}", A, [support.toarray() for support in fsmf.butterfly(n)])


def by_default(problem: Problem, seconds: float) -> Trace:
    """What `factorize` does when nothing else is said."""
    fsmf.factorize(problem.A, problem.supports)  # compile, load
    start = time.process_time()
    F = fsmf.factorize(problem.A, problem.supports)
    took = time.process_time() - start
    return [(took, problem.objective([X.toarray() for X in F.factors]))]


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {DEFAULT: by_default, OURS: ours, "scipy L-BFGS-B": lbfgs(1e-10)}
    if optional("torch"):
        found["torch Adam, lr=0.03"] = adam(0.03)
    if optional("pyfaust.fact"):
        # The newer backend ends its process on complex matrices of any size.
        for backend in (2016, 2020):
            for start in ("default", "random"):
                found[f"pyfaust palm4msa, backend={backend}, {start} start"] = palm(backend, start=start)
    return found


def compared(problem: Problem, seconds: float, gate: Gate) -> list[list[str]]:
    """A row for each: when the relative error was small, and what it was in the end."""
    rows, norm = [], float(np.linalg.norm(problem.A))
    for name, run in contenders().items():
        try:
            trace = run(problem, seconds)
        except PeerDied as reason:
            rows.append([problem.name, name, "never", str(reason)])
            continue
        reached = next((t for t, value in trace if math.sqrt(value) <= CLOSE * norm), math.inf)
        error = math.sqrt(trace[-1][1]) / norm
        gate(name != DEFAULT or error < 1e-12, f"{problem.name}: the default is exact")
        rows.append([problem.name, name, milliseconds(reached), f"{error:.1e}"])
    return rows


def main() -> int:
    warnings.simplefilter("ignore")
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each contender")
    parser.add_argument("--only", default="", help="only transforms whose name and size begin so")
    options = parser.parse_args()
    gate, rows = Gate(), []
    print(machine("fsmf", "torch", "pyfaust"), end="\n\n")
    sizes, seconds = ((16,), 1.0) if options.quick else ((256, 512), options.seconds)
    for name in ("Hadamard", "DFT"):
        for run in (ours, lbfgs(1e-10)):
            run(transform(name, 8), 0.1)  # load, compile
    for n in sizes:
        for name in ("Hadamard", "DFT"):
            if f"{name} {n}".startswith(options.only):
                rows += compared(transform(name, n), seconds, gate)
    header = ["transform", "contender", f"to a relative error of {CLOSE:.0e}", "error in the end"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
