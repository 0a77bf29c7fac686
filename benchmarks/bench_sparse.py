"""Supports that are not given: Hadamard matrices taken apart, and planted sparse products found again.

Times are those of the processor, so that other programs do not count.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.harness import Gate, arguments, machine, milliseconds, optional, table

RECOVERED, STARTS, SWEEPS = 1e-6, 5, 1000
OURS = "fsmf"

# Kind of constraint, components, nonzeros of each column (row) or in all.
PLANTED = [
    *(("column", 4, 4), ("column", 8, 4), ("column", 8, 8), ("column", 16, 4)),
    *(("total", 4, 16), ("total", 8, 32), ("total", 16, 64)),
    # With a factor of three nonzeros a column between: square, one row or two more than columns, or fewer,
    # and square of one rank less.
    *(
        ("three", 8, 4),
        ("three, 8×7", 8, 4),
        ("three, 8×6", 8, 4),
        ("three, 6×8", 6, 4),
        ("three, singular", 8, 4),
    ),
]


def worked(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and what came of it."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def relative_error(A: np.ndarray, F: Any) -> float:
    """Measured here for everyone, from the whole product."""
    dense = F.to_dense() if hasattr(F, "to_dense") else F.toarray()
    return float(np.linalg.norm(A - dense) / np.linalg.norm(A))


def quietly(call: Callable[[], Any]) -> Any:
    """Compiled code prints past Python, to the file itself."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            return call()
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def hadamard(sizes: list[int], budget: float, gate: Gate) -> list[list[str]]:
    fsmf, fact = optional("fsmf"), optional("pyfaust.fact")
    contenders: dict[str, Callable[[np.ndarray], Any]] = {OURS: fsmf.hierarchical_sparse}
    if fact:
        for backend in (2016, 2020):
            contenders[f"pyfaust hierarchical, backend={backend}"] = lambda A, backend=backend: quietly(
                lambda: fact.hierarchical(np.asfortranarray(A), "hadamard", backend=backend)
            )
    rows, spent = [], dict.fromkeys(contenders, 0.0)
    for n in sizes:
        A = scipy.linalg.hadamard(n) / math.sqrt(n)
        allowed = [name for name in contenders if spent[name] <= budget]
        times: dict[str, list[float]] = {name: [] for name in allowed}
        errors = {}
        contenders[OURS](A)  # compile, load
        for _ in range(5 if n < 64 else 1):
            for name in allowed:
                seconds, F = worked(lambda run=contenders[name], A=A: run(A))
                times[name].append(seconds)
                errors[name] = relative_error(A, F)
        ours = median(times[OURS])
        gate(errors[OURS] < 1e-12, f"Hadamard {n} is recovered")
        for name in contenders:
            if name not in allowed:
                rows.append([f"Hadamard {n}", name, "over budget", "", ""])
                continue
            spent[name] = median(times[name])
            if name != OURS:
                gate(ours <= 0.2 * spent[name], f"Hadamard {n}: a fifth of the time of {name}")
            cells = milliseconds(spent[name]), f"{errors[name]:.0e}", f"{spent[name] / ours:.1f}×"
            rows.append([f"Hadamard {n}", name, *cells])
    return rows


def planted(kind: str, r: int, k: int, seed: int, n: int = 32) -> tuple[np.ndarray, list[Any]]:
    fsmf = optional("fsmf")
    constraints: list[Any]
    if kind == "total":
        constraints = [fsmf.KSparse((n, r), k), fsmf.KSparse((r, n), k)]
    else:
        constraints = [fsmf.ColumnSparse((n, r), k), fsmf.RowSparse((r, n), k)]
    if kind.startswith("three"):
        inner = middle(kind, r)
        constraints[1:] = [fsmf.ColumnSparse(inner, 3), fsmf.RowSparse((inner[1], n), k)]
    rng = np.random.default_rng([seed, r, k])
    factors = [
        one.places(rng.random(one.shape) + 0.5) * rng.standard_normal(one.shape) for one in constraints
    ]
    if kind == "three, singular":
        factors[1][:, -1] = factors[1][:, 0]
    return np.linalg.multi_dot(factors), constraints


def middle(kind: str, r: int) -> tuple[int, int]:
    """The shape of the factor between two others."""
    _, _, shape = kind.partition(", ")
    return (r, r) if shape in ("", "singular") else (r, int(shape.partition("×")[2]))


def palm4msa(A: np.ndarray, kind: str, r: int, k: int) -> float:
    """The default start, then random ones, until the product is recovered: the least error."""
    fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
    n, rng, best = len(A), np.random.default_rng(0), math.inf
    inner = middle(kind, r) if kind.startswith("three") else (r, r)
    shapes = [(n, r), (inner[1], n)]
    ends = ("sp", "sp") if kind == "total" else ("spcol", "splin")
    allowed = [getattr(proj, name)(shape, k) for name, shape in zip(ends, shapes, strict=True)]
    if kind.startswith("three"):
        shapes.insert(1, inner)
        allowed.insert(1, proj.spcol(inner, 3))
    for start in range(STARTS):
        first = None
        if start:
            first = [np.asfortranarray(rng.standard_normal(shape)) for shape in shapes]
        settings = params.ParamsPalm4MSA(allowed, params.StoppingCriterion(num_its=SWEEPS), init_facts=first)
        try:
            F = quietly(lambda s=settings: fact.palm4msa(np.asfortranarray(A), s, backend=2020))
        except Exception:  # a factor became zero
            continue
        best = min(best, relative_error(A, F))
        if best < RECOVERED:
            break
    return best


def apart(A: np.ndarray, sparsity: tuple[str, int, int]) -> tuple[float, float]:
    """Seconds of the processor and error in a process of its own, which some products end."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=lambda: there.send(worked(lambda: palm4msa(A, *sparsity))))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    try:
        seconds, error = here.recv()
        child.join()
    except EOFError:
        child.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        error = math.inf
    return seconds, error


def recovery(seeds: range, gate: Gate) -> list[list[str]]:
    fsmf, peer = optional("fsmf"), "pyfaust palm4msa"
    names = [OURS, peer] if optional("pyfaust.fact") else [OURS]
    rows = []
    for sparsity in PLANTED:
        kind, r, k = sparsity
        times: dict[str, list[float]] = {name: [] for name in names}
        found = dict.fromkeys(names, 0)
        fsmf.factorize(*planted(*sparsity, len(seeds)))  # compile, load
        for seed in seeds:
            A, constraints = planted(*sparsity, seed)
            for name in names:
                if name == OURS:
                    seconds, F = worked(lambda A=A, c=constraints: fsmf.factorize(A, c))
                    error = relative_error(A, F)
                else:
                    seconds, error = apart(A, sparsity)
                times[name].append(seconds)
                found[name] += error < RECOVERED
        what = "in all" if kind == "total" else "a column"
        job = f"32×32, r = {r}, {k} {what}" + (
            f", {kind.replace('three', 'three factors')}" if kind.startswith("three") else ""
        )
        ours = median(times[OURS])
        for name in names:
            typical = median(times[name])
            gate(found[OURS] >= found[name], f"{job}: found as often as by {name}")
            if name != OURS:
                gate(ours <= 0.2 * typical, f"{job}: a fifth of the time of {name}")
            share = f"{found[name]}/{len(seeds)}"
            rows.append([job, name, milliseconds(typical), share, f"{typical / ours:.1f}×"])
    return rows


def main() -> int:
    warnings.simplefilter("ignore")  # growing factors are not what is asked about
    parser = arguments(__doc__, rounds=10)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds after which a peer sits out")
    options = parser.parse_args()
    gate, began = Gate(), time.perf_counter()
    sizes = [16, 32] if options.quick else [32, 64, 128, 256]
    seeds = range(2 if options.quick else options.rounds)
    rows = hadamard(sizes, options.budget, gate)
    print(machine("fsmf", "pyfaust"), end="\n\n")
    print(table(["job", "contender", "time", "error", "time / ours"], rows, markdown=options.markdown))
    print()
    rows = recovery(seeds, gate)
    print(table(["job", "contender", "median time", "found", "time / ours"], rows, markdown=options.markdown))
    print(f"\nat most {STARTS} starts of {SWEEPS} iterations for a peer; {time.perf_counter() - began:.0f} s")
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
