"""Lower bounds on hard pairs: what the search adds, what it takes of the time, and what exhaustion closes."""

from __future__ import annotations

import sys
import time
import warnings
from statistics import median

import numpy as np

import fsmf
from benchmarks.harness import Gate, arguments, machine, table
from fsmf.solvers import als, problem_bound
from fsmf.tractability import Structure, analyze

SIZES = [(6, 6, 4, 0.5), (12, 10, 6, 0.4), (40, 40, 10, 0.2), (200, 200, 50, 0.1), (200, 200, 50, 0.3)]


def named_families(A: np.ndarray, structure: Structure) -> float:
    """The best bound of the families known from the supports, without a search."""
    within = np.where(structure.reach, A, 0)

    def tail(rows: np.ndarray, columns: np.ndarray, rank: int) -> float:
        values = np.linalg.svd(within[np.ix_(rows, columns)], compute_uv=False)
        return float(np.sum(values[rank:] ** 2))

    proved = [
        sum(tail(own.rows[t], own.columns[t], len(own.components[t])) for t in range(len(own)))
        for own in structure.block_families
    ]
    out = float(np.sum(np.where(structure.reach, 0, A) ** 2))
    return (out + max(proved, default=0.0)) ** 0.5


def searched(sizes: tuple[int, int, int, float], seeds: range, gate: Gate) -> list[str]:
    """Bounds relative to the error, and the share of the processor's time that finding them takes."""
    m, n, r, density = sizes
    spent = [0.0]
    original = problem_bound.best_bound

    def watched(*args: object, **options: object) -> object:
        began = time.process_time()
        found = original(*args, **options)
        spent[0] += time.process_time() - began
        return found

    before, after, shares = [], [], []
    als.best_bound = watched
    try:
        for seed in seeds:
            supports = fsmf.random_supports(m, n, components=r, density=density, rng=seed)
            structure = analyze(supports)
            A = np.random.default_rng(seed).standard_normal((m, n))
            if structure.tractable:
                continue
            old = named_families(A, structure)
            spent[0], began = 0.0, time.process_time()
            F = fsmf.factorize(A, supports, solver=fsmf.ALS())
            shares.append(spent[0] / (time.process_time() - began))
            before.append(old / F.error)
            after.append(F.lower_bound / F.error)
            gate(F.lower_bound >= min(old, F.error) * (1 - 1e-9), f"{sizes}, seed {seed}: no bound is lost")
            gate(bool(F.verify(A)), f"{sizes}, seed {seed}: the bound verifies")
    finally:
        als.best_bound = original
    more = sum(b > 1.001 * a for a, b in zip(before, after, strict=True))
    return [
        f"{m}×{n}, r = {r}, density {density}",
        f"{np.mean(before):.4f}",
        f"{np.mean(after):.4f}",
        f"{more}/{len(after)}",
        f"{100 * median(shares):.1f} %",
    ]


def exhausted(seeds: range, seconds: float, gate: Gate) -> list[str]:
    """How many small random pairs are closed to a hundredth, by `ALS` and its bound and by the search."""
    closed, others, took = 0, 0, []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        m, n, r = (int(rng.integers(3, 7)), int(rng.integers(3, 7)), int(rng.integers(2, 5)))
        supports = fsmf.random_supports(
            m, n, components=r, density=float(rng.choice([0.4, 0.6, 0.8])), rng=seed
        )
        if analyze(supports).tractable:
            continue
        A = rng.standard_normal((m, n))
        began = time.perf_counter()
        F = fsmf.factorize(A, supports, solver=fsmf.GlobalSearch(max_seconds=seconds, rtol=1e-2))
        took.append(time.perf_counter() - began)
        G = fsmf.factorize(A, supports, solver=fsmf.ALS())
        closed += F.certificate.gap <= 1e-2 * F.error + 1e-6 * F.norm
        others += G.certificate.gap <= 1e-2 * G.error + 1e-6 * G.norm
        gate(bool(F.verify(A)), f"seed {seed}: the search verifies")
        gate(F.lower_bound <= G.error * (1 + 1e-9), f"seed {seed}: no product beats the bound")
    return [f"{closed}/{len(took)}", f"{others}/{len(took)}", f"{median(took):.2f} s", f"{max(took):.2f} s"]


def main() -> int:
    warnings.simplefilter("ignore")
    options = arguments(__doc__, rounds=10).parse_args()
    gate = Gate()
    print(machine("fsmf"), end="\n\n")
    seeds = range(2 if options.quick else options.rounds)
    rows = [searched(sizes, seeds, gate) for sizes in SIZES[: 3 if options.quick else None]]
    header = ["random supports", "named / error", "searched / error", "better", "share of ALS's time"]
    print(table(header, rows, markdown=options.markdown), end="\n\n")
    header = ["closed to 1 % by GlobalSearch", "by ALS's bound", "median time", "longest"]
    row = exhausted(range(6 if options.quick else 10 * options.rounds), 2.0 if options.quick else 10.0, gate)
    print(table(header, [row], markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
