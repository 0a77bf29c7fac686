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
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.harness import Gate, arguments, machine, milliseconds, optional, table

RECOVERED, STARTS, SWEEPS = 1e-6, 5, 1000
OURS = "fsmf"

# What makes a product, or several factors, of a matrix; and which projection of a peer a factor is to meet.
Contender = Callable[[np.ndarray], Any]
Allowed = tuple[str, tuple[int, int], int]

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


def attempted(call: Callable[[], Any]) -> Any:
    """What a peer makes, or None where it fails, as when a factor becomes zero; it prints past Python."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            return call()
        except Exception:
            return None
        finally:
            os.dup2(kept, 1)
            os.close(kept)


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


def allowed(kind: str, r: int, k: int, n: int) -> list[Allowed]:
    """What each factor of a planted product has to be, for a peer."""
    inner = middle(kind, r) if kind.startswith("three") else (r, r)
    ends = ("sp", "sp") if kind == "total" else ("spcol", "splin")
    between = [("spcol", inner, 3)] if kind.startswith("three") else []
    return [(ends[0], (n, r), k), *between, (ends[1], (inner[1], n), k)]


def palm4msa(A: np.ndarray, constraints: list[Allowed], starts: int) -> Any:
    """The default start, then random ones, until the product is recovered: the best product."""
    fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
    projections = [getattr(proj, name)(shape, k) for name, shape, k in constraints]
    rng, best, least = np.random.default_rng(0), None, math.inf
    for start in range(starts):
        first = None
        if start:
            first = [np.asfortranarray(rng.standard_normal(shape)) for _, shape, _ in constraints]
        ends = params.StoppingCriterion(num_its=SWEEPS)
        settings = params.ParamsPalm4MSA(projections, ends, init_facts=first)
        F = attempted(partial(fact.palm4msa, np.asfortranarray(A), settings, backend=2020))
        if F is not None and (error := relative_error(A, F)) < least:
            best, least = F, error
        if least < RECOVERED:
            break
    return best


def hierarchical(A: np.ndarray, constraints: list[Allowed] | None, backend: int) -> Any:
    """Split one factor after another off a rest that may be anything; without constraints, as of Hadamard."""
    fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
    settings: Any = "hadamard"
    if constraints:
        *own, last = constraints
        rests = [("sp", (shape[1], A.shape[1]), shape[1] * A.shape[1]) for _, shape, _ in own[:-1]]
        lists = [[getattr(proj, name)(shape, k) for name, shape, k in some] for some in (own, [*rests, last])]
        ends = params.StoppingCriterion(num_its=SWEEPS)
        settings = params.ParamsHierarchical(*lists, ends, ends, is_update_way_R2L=False)
    return attempted(partial(fact.hierarchical, np.asfortranarray(A), settings, backend=backend))


def peers(constraints: list[Allowed], *, starts: int, preset: bool) -> dict[str, Contender]:
    """Every peer there is, given these constraints, or what it has for Hadamard matrices."""
    if not optional("pyfaust.fact"):
        return {}
    own = None if preset else constraints
    return {"pyfaust palm4msa": partial(palm4msa, constraints=constraints, starts=starts)} | {
        f"pyfaust hierarchical, backend={backend}": partial(hierarchical, constraints=own, backend=backend)
        for backend in (2016, 2020)
    }


def measured(name: str, run: Contender, A: np.ndarray) -> tuple[float, float]:
    """Seconds of the processor and error; of a peer in a process of its own, which some products end.

    What is written after a process began is copied first, in milliseconds: who runs here runs before.
    """
    if name == OURS:
        seconds, F = worked(lambda: run(A))
        return seconds, relative_error(A, F)
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()

    def apart() -> None:
        seconds, F = worked(lambda: run(A))
        there.send((seconds, math.inf if F is None else relative_error(A, F)))

    child = fork.Process(target=apart)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    try:
        found: tuple[float, float] = here.recv()
        child.join()
        return found
    except EOFError:
        child.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, math.inf


def hadamard(sizes: list[int], budget: float, gate: Gate) -> list[list[str]]:
    fsmf = optional("fsmf")
    rows: list[list[str]] = []
    spent: dict[str, float] = {}
    for n in sizes:
        A = scipy.linalg.hadamard(n) / math.sqrt(n)
        constraints: list[Allowed] = [("splincol", (n, n), 2)] * (n.bit_length() - 1)
        contenders = {OURS: fsmf.hierarchical_sparse} | peers(constraints, starts=1, preset=True)
        times: dict[str, float] = {}
        errors: dict[str, float] = {}
        contenders[OURS](A)  # compile, load
        for name, run in contenders.items():
            if spent.get(name, 0.0) <= budget:
                rounds = [measured(name, run, A) for _ in range(5 if n < 64 else 1)]
                times[name] = spent[name] = median(seconds for seconds, _ in rounds)
                errors[name] = max(error for _, error in rounds)
        ours = times[OURS]
        gate(errors[OURS] < 1e-12, f"Hadamard {n} is recovered")
        for name in contenders:
            if name not in times:
                rows.append([f"Hadamard {n}", name, "over budget", "", ""])
                continue
            if name != OURS:
                gate(ours <= 0.2 * times[name], f"Hadamard {n}: a fifth of the time of {name}")
            cells = milliseconds(times[name]), f"{errors[name]:.0e}", f"{times[name] / ours:.1f}×"
            rows.append([f"Hadamard {n}", name, *cells])
    return rows


def recovery(seeds: range, gate: Gate) -> list[list[str]]:
    fsmf = optional("fsmf")
    rows = []
    for sparsity in PLANTED:
        kind, r, k = sparsity
        A, constraints = planted(*sparsity, len(seeds))
        contenders: dict[str, Contender] = {OURS: partial(fsmf.factorize, supports=constraints)}
        contenders |= peers(allowed(*sparsity, len(A)), starts=STARTS, preset=False)
        contenders[OURS](A)  # compile, load
        products = [planted(*sparsity, seed)[0] for seed in seeds]
        times, found = {}, {}
        for name, run in contenders.items():
            rounds = [measured(name, run, A) for A in products]
            times[name] = median(seconds for seconds, _ in rounds)
            found[name] = sum(error < RECOVERED for _, error in rounds)
        what = "in all" if kind == "total" else "a column"
        job = f"32×32, r = {r}, {k} {what}" + (
            f", {kind.replace('three', 'three factors')}" if kind.startswith("three") else ""
        )
        ours = times[OURS]
        for name, typical in times.items():
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
    sizes = [32] if options.quick else [32, 64, 128, 256]
    seeds = range(5 if options.quick else options.rounds)
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
