"""Random supports and a Gaussian matrix: the time to come within 1 % of the best known objective."""

from __future__ import annotations

import itertools
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from benchmarks.harness import Gate, Ratio, arguments, machine, milliseconds, optional, table, timed

SIDE, RANK, WITHIN = 200, 50, 1.01
OURS, FRESH = "fsmf ALS", "fsmf ALS, supports never seen"

# Other problems that each contender works on before its turn, and for how many seconds: so many that what
# fsmf remembers of the supports of this one, from when the best known objective was found, is forgotten.
_OTHERS, _WARMING = 20, 0.005


@dataclass(frozen=True)
class Problem:
    """A and the two supports, as dense booleans; the objective is ‖A − X Y‖²."""

    A: np.ndarray
    left: np.ndarray
    right: np.ndarray
    seed: int

    @classmethod
    def random(cls, density: float, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        left, right = rng.random((SIDE, RANK)) < density, rng.random((RANK, SIDE)) < density
        return cls(rng.standard_normal((SIDE, SIDE)), left, right, seed)

    def objective(self, X: np.ndarray, Y: np.ndarray) -> float:
        """Measured here for everyone, and only for factors that keep to the supports."""
        assert not X[~self.left].any()
        assert not Y[~self.right].any()
        return float(np.sum((self.A - X @ Y) ** 2))

    def starts(self, first: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Random starts without end, `first` telling whether a spectral one precedes them."""
        rng = np.random.default_rng([self.seed, 1])
        if first == "spectral":
            V = rng.standard_normal((SIDE, RANK))
            for _ in range(3):
                U = np.linalg.qr(self.A @ V)[0]
                V = self.A.T @ U
            size = np.sqrt(np.linalg.norm(V, axis=0))
            yield U * size * self.left, (V / size).T * self.right
        # Entries of size one for factors, or small: both are things that people do.
        scale = 0.1 if first == "small" else 1.0
        while True:
            yield tuple(scale * rng.standard_normal(s.shape) * s for s in (self.left, self.right))


class Outcome(NamedTuple):
    """Seconds until the target was met and until the call came back, and the objective of what it gave."""

    reached: float
    returned: float
    objective: float


Contender = Callable[[Problem, float, float], Outcome]


def ours(problem: Problem, target: float, budget: float) -> Outcome:
    """As where several matrices have the same supports: they were examined before."""
    fsmf = optional("fsmf")
    other, supports = np.ascontiguousarray(problem.A.T), fsmf.pair(problem.left, problem.right.T)
    fsmf.factorize(other, supports, solver=fsmf.ALS(starts=100, max_sweeps=500, max_seconds=_WARMING))
    return fresh(problem, target, budget)


def fresh(problem: Problem, target: float, budget: float) -> Outcome:
    fsmf = optional("fsmf")
    supports = fsmf.pair(problem.left, problem.right.T)
    reached, start = math.inf, time.perf_counter()

    def watch(sweep: object) -> bool:
        nonlocal reached
        if sweep.error**2 <= target:
            reached = time.perf_counter() - start
        return math.isfinite(reached)

    solver = fsmf.ALS(starts=100, max_sweeps=500, max_seconds=budget, callback=watch)
    returned, F = timed(lambda: fsmf.factorize(problem.A, supports, solver=solver))
    return Outcome(reached, returned, problem.objective(*(factor.toarray() for factor in F.factors)))


def lbfgs(first: str, memory: int) -> Contender:
    """SciPy's L-BFGS-B on the entries of the supports, with the exact gradient, restarted as needed."""

    def run(problem: Problem, target: float, budget: float) -> Outcome:
        start, best, reached = time.perf_counter(), (math.inf, None), math.inf
        left, right = np.flatnonzero(problem.left), np.flatnonzero(problem.right)
        X, Y = np.zeros(problem.left.shape), np.zeros(problem.right.shape)

        def value_and_gradient(z: np.ndarray) -> tuple[float, np.ndarray]:
            X.put(left, z[: len(left)])
            Y.put(right, z[len(left) :])
            R = X @ Y
            R -= problem.A
            gradient = np.concatenate([(R @ Y.T).take(left), (X.T @ R).take(right)])
            gradient *= 2
            return np.vdot(R, R), gradient

        def watch(intermediate_result: object) -> None:
            nonlocal best, reached
            if intermediate_result.fun < best[0]:
                best = (intermediate_result.fun, intermediate_result.x.copy())
            now = time.perf_counter() - start
            if best[0] <= target:
                reached = now
            if best[0] <= target or now > budget:
                raise StopIteration

        for X0, Y0 in problem.starts(first):
            z = np.concatenate([X0.take(left), Y0.take(right)])
            stop = {"maxcor": memory, "maxiter": 10**6, "maxfun": 10**6, "ftol": 1e-10, "gtol": 0}
            minimize(value_and_gradient, z, jac=True, method="L-BFGS-B", callback=watch, options=stop)
            returned = time.perf_counter() - start
            if math.isfinite(reached) or returned > budget:
                break
        value_and_gradient(best[1])
        return Outcome(reached, returned, problem.objective(X, Y))

    return run


def palm(backend: int, first: str) -> Contender:
    """Time whole calls, doubling the iterations until the target is met, then bisecting to a tenth."""

    def run(problem: Problem, target: float, budget: float) -> Outcome:
        fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
        A = np.asfortranarray(problem.A)
        allowed = [proj.supp(s.astype(float), normalized=False) for s in (problem.left, problem.right)]

        def call(iterations: int) -> Outcome:
            def whole() -> object:
                start = None
                if first != "default":
                    start = [np.asfortranarray(factor) for factor in next(problem.starts(first))]
                settings = params.ParamsPalm4MSA(
                    allowed,
                    params.StoppingCriterion(num_its=iterations),
                    init_facts=start,
                    no_normalization=True,
                    # The newer backend is faster without its scalar; the older one needs it.
                    no_lambda=backend == 2020,
                )
                return fact.palm4msa(A, settings, backend=backend)

            seconds, F = timed(whole)
            # Whole products: its two factors may carry a scalar between them.
            objective = float(np.sum((problem.A - F.toarray()) ** 2))
            return Outcome(seconds if objective <= target else math.inf, seconds, objective)

        low, high = 5, 10
        outcome = call(high)
        while math.isinf(outcome.reached) and outcome.returned < budget:
            low, high = high, 2 * high
            outcome = call(high)
        while math.isfinite(outcome.reached) and high > 1.1 * low:
            middle = (low + high) // 2
            attempt = call(middle)
            if math.isfinite(attempt.reached):
                high, outcome = middle, attempt
            else:
                low = middle + 1
        return outcome

    return run


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    if optional("fsmf"):
        found[OURS], found[FRESH] = ours, fresh
    for memory, first in itertools.product((10, 30), ("spectral", "random", "small")):
        found[f"scipy L-BFGS-B, maxcor={memory}, {first} start"] = lbfgs(first, memory)
    if optional("pyfaust.fact"):
        for backend, first in itertools.product((2016, 2020), ("default", "spectral", "random")):
            found[f"pyfaust palm4msa, backend={backend}, {first} start"] = palm(backend, first)
    return found


def best_known(problem: Problem, entrants: dict[str, Contender], budget: float) -> float:
    """Every contender's kind runs for the whole budget, restarting where it can."""
    kinds = [OURS, "scipy L-BFGS-B, maxcor=10, small start", "scipy L-BFGS-B, maxcor=30, random start"]
    kinds.append("pyfaust palm4msa, backend=2020, spectral start")
    return min(entrants[kind](problem, 0.0, budget).objective for kind in kinds if kind in entrants)


def race(density: float, seeds: range, budget: float, gate: Gate) -> list[list[str]]:
    entrants = contenders()
    outcomes: dict[str, list[Outcome]] = {name: [] for name in entrants}
    gaps: dict[str, list[float]] = {name: [] for name in entrants}
    for contender in entrants.values():  # compile, load, start threads
        contender(Problem.random(density, seed=-1 % 2**32), math.inf, 1.0)
    for seed in seeds:
        problem = Problem.random(density, seed)
        best = best_known(problem, entrants, budget)
        for name, contender in entrants.items():
            # Its own code and threads are warm then, as in a loop of the user's.
            for other in range(_OTHERS):
                contender(Problem.random(density, 2**16 + _OTHERS * seed + other), 0.0, _WARMING)
            outcome = contender(problem, WITHIN * best, budget)
            outcomes[name].append(outcome)
            gaps[name].append(outcome.objective / best - 1)
    gate(OURS in entrants, "fsmf takes part")
    if OURS in entrants:
        within = WITHIN - 1 + 1e-9
        gate(max(gaps[OURS]) <= within, f"density {density}: {OURS} comes within 1 % for every seed")
    rows = []
    for name, runs in outcomes.items():
        reached, returned, _ = (list(column) for column in zip(*runs, strict=True))
        rows.append(
            [
                str(density),
                name,
                milliseconds(median(reached)),
                milliseconds(median(returned)),
                f"{sum(map(math.isfinite, reached))}/{len(runs)}",
                f"{100 * max(gaps[name]):.2f} %",
                str(Ratio.of([run.reached for run in outcomes[OURS]], reached)) if OURS in entrants else "",
            ]
        )
    return rows


def main() -> int:
    warnings.simplefilter("ignore")  # stopped by the callback, as asked
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--budget", type=float, help="seconds for each contender and seed")
    options = parser.parse_args()
    budget = options.budget or (2.0 if options.quick else 10.0)
    seeds = range(1 if options.quick else options.rounds)
    gate = Gate()
    rows = [row for density in (0.1, 0.3) for row in race(density, seeds, budget, gate)]
    print(
        f"Gaussian A, {SIDE}×{SIDE}, random supports, r = {RANK}: time to ‖A − XY‖² ≤ {WITHIN} × best known"
    )
    print(f"medians over {len(seeds)} seeds; at most {budget:g} s each; a start's cost counts")
    print(machine("fsmf", "pyfaust"), end="\n\n")
    header = ["density", "contender", "to 1 %", "whole call", "reached", "worst gap", "time / ours"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
