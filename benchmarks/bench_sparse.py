"""Supports that are not given: Hadamard matrices taken apart, and planted sparse products found again."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.harness import Gate, arguments, machine, milliseconds, optional, table, timed

RECOVERED, STARTS, SWEEPS = 1e-6, 5, 1000
OURS = "fsmf"

# Kind of constraint, components, nonzeros of each column (row) or in all.
PLANTED = [("column", 4, 4), ("column", 8, 4), ("column", 8, 8), ("total", 4, 16), ("total", 8, 32)]


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
    contenders[OURS](scipy.linalg.hadamard(8) / math.sqrt(8))  # compile, load
    rows, spent = [], dict.fromkeys(contenders, 0.0)
    for n in sizes:
        A = scipy.linalg.hadamard(n) / math.sqrt(n)
        seconds = {}
        for name, run in contenders.items():
            if spent[name] > budget:
                rows.append([f"Hadamard {n}", name, "over budget", "", ""])
                continue
            times, F = zip(
                *(timed(lambda run=run, A=A: run(A)) for _ in range(5 if n < 64 else 1)), strict=True
            )
            seconds[name], F = median(times), F[-1]
            spent[name] = seconds[name]
            error = relative_error(A, F)
            if name == OURS:
                gate(error < 1e-12, f"Hadamard {n} is recovered")
            else:
                gate(seconds[OURS] <= 0.2 * seconds[name], f"Hadamard {n}: a fifth of the time of {name}")
            ratio = f"{seconds[name] / seconds[OURS]:.1f}×"
            rows.append([f"Hadamard {n}", name, milliseconds(seconds[name]), f"{error:.0e}", ratio])
    return rows


def planted(kind: str, r: int, k: int, seed: int, n: int = 32) -> tuple[np.ndarray, list[Any]]:
    fsmf = optional("fsmf")
    if kind == "column":
        constraints = [fsmf.ColumnSparse((n, r), k), fsmf.RowSparse((r, n), k)]
    else:
        constraints = [fsmf.KSparse((n, r), k), fsmf.KSparse((r, n), k)]
    rng = np.random.default_rng([seed, r, k])
    X, Y = (one.places(rng.random(one.shape) + 0.5) * rng.standard_normal(one.shape) for one in constraints)
    return X @ Y, constraints


def palm4msa(A: np.ndarray, kind: str, r: int, k: int) -> float:
    """The default start, then random ones, until the product is recovered: the least error."""
    fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
    n, rng, best = len(A), np.random.default_rng(0), math.inf
    pair = ("spcol", "splin") if kind == "column" else ("sp", "sp")
    allowed = [getattr(proj, name)(shape, k) for name, shape in zip(pair, ((n, r), (r, n)), strict=True)]
    for start in range(STARTS):
        first = None
        if start:
            first = [np.asfortranarray(rng.standard_normal(shape)) for shape in ((n, r), (r, n))]
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
    """Seconds and error in a process of its own, which some products end."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=lambda: there.send(timed(lambda: palm4msa(A, *sparsity))))
    began = time.perf_counter()
    child.start()
    there.close()
    try:
        seconds, error = here.recv()
    except EOFError:
        seconds, error = time.perf_counter() - began, math.inf
    child.join()
    return seconds, error


def recovery(seeds: range, gate: Gate) -> list[list[str]]:
    fsmf, peer = optional("fsmf"), "pyfaust palm4msa"
    names = [OURS, peer] if optional("pyfaust.fact") else [OURS]
    rows = []
    fsmf.factorize(*planted("column", 3, 3, 0))  # compile, load
    for sparsity in PLANTED:
        kind, r, k = sparsity
        spent, found = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
        for seed in seeds:
            A, constraints = planted(*sparsity, seed)
            for name in names:
                if name == OURS:
                    seconds, F = timed(lambda A=A, c=constraints: fsmf.factorize(A, c))
                    error = relative_error(A, F)
                else:
                    seconds, error = apart(A, sparsity)
                spent[name] += seconds
                found[name] += error < RECOVERED
        job = f"32×32, r = {r}, {k} {'a column' if kind == 'column' else 'in all'}"
        for name, seconds in spent.items():
            gate(found[OURS] >= found[name], f"{job}: found as often as by {name}")
            if name != OURS:
                gate(spent[OURS] <= 0.2 * seconds, f"{job}: a fifth of the time of {name}")
            share, ratio = f"{found[name]}/{len(seeds)}", f"{seconds / spent[OURS]:.1f}×"
            rows.append([job, name, milliseconds(seconds / len(seeds)), share, ratio])
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
    print(table(["job", "contender", "mean time", "found", "time / ours"], rows, markdown=options.markdown))
    print(f"\nat most {STARTS} starts of {SWEEPS} iterations for a peer; {time.perf_counter() - began:.0f} s")
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
