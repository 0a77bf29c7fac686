"""Supports that no theorem helps with: time to within 1 % of the best known, and final errors."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.optimize import minimize

from benchmarks.harness import Gate, arguments, machine, milliseconds, optional, table, timed

WITHIN, SIDE = 1.01, 20
ALS, VARPRO = "fsmf ALS", "fsmf VariableProjection"

# Seconds and objectives, whenever the objective fell.
Trace = list[tuple[float, float]]


@dataclass(frozen=True)
class Problem:
    """A and the supports, as dense booleans; the objective is ‖A − X1 … XL‖²."""

    name: str
    A: np.ndarray
    supports: list[np.ndarray]

    @classmethod
    def random(cls, n_factors: int, seed: int) -> Problem:
        rng = np.random.default_rng([n_factors, seed])
        supports = [rng.random((SIDE, SIDE)) < 0.2 for _ in range(n_factors)]
        return cls(f"{n_factors} random factors", rng.standard_normal((SIDE, SIDE)), supports)

    @classmethod
    def kaleidoscope(cls, n: int, seed: int) -> Problem:
        rng = np.random.default_rng([n, seed])
        supports = [support.toarray() for support in optional("fsmf").kaleidoscope(n)]
        return cls(f"kaleidoscope {n}", rng.standard_normal((n, n)), supports)

    @classmethod
    def completion(cls, n: int, seed: int) -> Problem:
        rng = np.random.default_rng([n, seed, 1])
        supports = optional("fsmf").completion(rng.random((n, n)) < 0.5)
        return cls(f"completion {n}", rng.standard_normal((n, n)), [S.toarray() for S in supports])

    def random_factors(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Gaussian factors whose product is about as large as A."""
        paths = np.linalg.multi_dot([np.eye(len(self.A)), *(S.astype(float) for S in self.supports)]).sum()
        scale = (np.linalg.norm(self.A) / math.sqrt(paths)) ** (1 / len(self.supports))
        return [scale * rng.standard_normal(S.shape) * S for S in self.supports]

    def objective(self, factors: list[np.ndarray]) -> float:
        """Measured here for everyone, and only for factors that keep to the supports."""
        assert all(not X[~S].any() for X, S in zip(factors, self.supports, strict=True))
        return float(np.sum((self.A - np.linalg.multi_dot([np.eye(len(self.A)), *factors])) ** 2))


Contender = Callable[[Problem, float], Trace]


def falling(trace: Trace) -> Trace:
    """The running minimum."""
    best, found = math.inf, []
    for seconds, objective in trace:
        if objective < best:
            best = objective
            found.append((seconds, objective))
    return found


def ours(problem: Problem, seconds: float) -> Trace:
    fsmf, trace = optional("fsmf"), []

    def watch(sweep: object) -> None:
        trace.append((sweep.seconds, sweep.error**2))

    solver = fsmf.ALS(starts=1000, max_seconds=seconds, callback=watch)
    took, F = timed(lambda: fsmf.factorize(problem.A, problem.supports, solver=solver))
    return falling([*trace, (took, problem.objective([X.toarray() for X in F.factors]))])


def ours_second_order(problem: Problem, seconds: float) -> Trace:
    """The history of the best start alone, whose clock counts from the beginning of them all."""
    fsmf = optional("fsmf")
    solver = fsmf.VariableProjection(starts=1000, max_seconds=seconds)
    took, F = timed(lambda: fsmf.factorize(problem.A, problem.supports, solver=solver))
    trace = list(zip(F.history.seconds, F.history.error**2, strict=True))
    return falling([*trace, (took, problem.objective([X.toarray() for X in F.factors]))])


def lbfgs(problem: Problem, seconds: float) -> Trace:
    """SciPy's L-BFGS-B on the entries of the supports, with the exact gradient, from random starts."""
    start, trace = time.perf_counter(), []
    places = [np.flatnonzero(S) for S in problem.supports]
    ends = np.cumsum([0, *map(len, places)])
    factors = [np.zeros(S.shape) for S in problem.supports]
    rng = np.random.default_rng(0)

    def value_and_gradient(z: np.ndarray) -> tuple[float, np.ndarray]:
        for X, place, a, b in zip(factors, places, ends[:-1], ends[1:], strict=True):
            X.put(place, z[a:b])
        lefts = [np.eye(len(problem.A))]
        for X in factors:
            lefts.append(lefts[-1] @ X)
        pulled, pieces = 2 * (lefts[-1] - problem.A), []
        value = float(np.sum(pulled**2)) / 4
        for left, X, place in zip(lefts[-2::-1], factors[::-1], places[::-1], strict=True):
            pieces.append((left.T @ pulled).take(place))
            pulled = pulled @ X.T
        trace.append((time.perf_counter() - start, value))
        return value, np.concatenate(pieces[::-1])

    def watch(intermediate_result: object) -> None:
        if time.perf_counter() - start > seconds:
            raise StopIteration

    while time.perf_counter() - start < seconds:
        z = np.concatenate([X.take(p) for X, p in zip(problem.random_factors(rng), places, strict=True)])
        stop = {"maxcor": 20, "maxiter": 10**6, "maxfun": 10**6, "ftol": 1e-12, "gtol": 0}
        minimize(value_and_gradient, z, jac=True, method="L-BFGS-B", callback=watch, options=stop)
    return falling(trace)


def adam(rate: float) -> Contender:
    """torch's Adam on the entries of the supports, restarted when 300 steps gain less than 0.01 %."""

    def run(problem: Problem, seconds: float) -> Trace:
        torch = optional("torch")
        start, trace, rng = time.perf_counter(), [], np.random.default_rng(0)
        A = torch.from_numpy(problem.A)
        masks = [torch.from_numpy(S.astype(float)) for S in problem.supports]
        while time.perf_counter() - start < seconds:
            factors = [torch.from_numpy(X).requires_grad_() for X in problem.random_factors(rng)]
            optimizer, last = torch.optim.Adam(factors, lr=rate), math.inf
            for step in range(10**6):
                optimizer.zero_grad()
                product = factors[0] * masks[0]
                for X, mask in zip(factors[1:], masks[1:], strict=True):
                    product = product @ (X * mask)
                loss = ((A - product) ** 2).sum()
                loss.backward()
                optimizer.step()
                trace.append((time.perf_counter() - start, float(loss)))
                if trace[-1][0] > seconds or (step % 300 == 299 and trace[-1][1] > (1 - 1e-4) * last):
                    break
                last = trace[-1][1] if step % 300 == 299 else last
        return falling(trace)

    return run


def palm(backend: int) -> Contender:
    """Whole calls with more and more iterations: nothing is reported on the way."""

    def run(problem: Problem, seconds: float) -> Trace:
        fact, params, proj = (optional(f"pyfaust.{name}") for name in ("fact", "factparams", "proj"))
        allowed = [proj.supp(S.astype(float), normalized=False) for S in problem.supports]
        A = np.asfortranarray(problem.A)
        trace, spent, iterations = [], 0.0, 10
        while spent < seconds:
            settings = params.ParamsPalm4MSA(
                allowed,
                params.StoppingCriterion(num_its=iterations),
                init_facts=[
                    np.asfortranarray(X) for X in problem.random_factors(np.random.default_rng(iterations))
                ],
                no_normalization=True,
                no_lambda=backend == 2020,
            )
            took, F = timed(lambda s=settings: fact.palm4msa(A, s, backend=backend))
            trace.append((took, float(np.sum((problem.A - F.toarray()) ** 2))))
            spent, iterations = spent + took, 2 * iterations
        return falling(sorted(trace))

    return run


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    if optional("fsmf"):
        found |= {ALS: ours, VARPRO: ours_second_order}
    found["scipy L-BFGS-B"] = lbfgs
    if optional("torch"):
        found |= {f"torch Adam, lr={rate}": adam(rate) for rate in (0.03, 0.003)}
    if optional("pyfaust.fact"):
        found |= {f"pyfaust palm4msa, backend={backend}": palm(backend) for backend in (2016, 2020)}
    return found


def problems(seeds: range, *, quick: bool, large: bool) -> Iterator[list[Problem]]:
    for n_factors in (2, 3, 4):
        yield [Problem.random(n_factors, seed) for seed in seeds]
    for n in (8,) if quick else (32, 64, 128, 256) if large else (32, 64):
        yield [Problem.kaleidoscope(n, seed) for seed in seeds]
    yield [Problem.completion(6 if quick else 12, seed) for seed in seeds]


def race(same: list[Problem], seconds: float, gate: Gate) -> list[list[str]]:
    """Everyone has the same time; the best known objective is the best that anyone found."""
    traces = [{name: run(problem, seconds) for name, run in contenders().items()} for problem in same]
    best = [min(trace[-1][1] for trace in found.values()) for found in traces]
    reached, final = {}, {}
    for name in traces[0]:
        pairs = list(zip(traces, best, strict=True))
        reached[name] = [
            next((t for t, value in found[name] if value <= WITHIN * least), math.inf)
            for found, least in pairs
        ]
        final[name] = [math.sqrt(found[name][-1][1] / least) - 1 for found, least in pairs]
    own = [min(pair) for pair in zip(reached[ALS], reached[VARPRO], strict=True)]
    gate(all(map(math.isfinite, own)), f"{same[0].name}: one of ours comes within 1 % for every seed")
    return [
        [
            same[0].name,
            name,
            milliseconds(median(reached[name])),
            f"{sum(map(math.isfinite, reached[name]))}/{len(same)}",
            f"{100 * median(final[name]):.2g} % ({100 * max(final[name]):.2g} %)",
            f"{median(reached[name]) / median(own):.2g}×"
            if math.isfinite(median(reached[name]))
            else "never",
        ]
        for name in reached
    ]


def lu_table(sizes: tuple[int, ...]) -> list[list[str]]:
    """The anti-diagonal matrix has no best product of a lower and an upper factor."""
    fsmf, rows = optional("fsmf"), []
    for n in sizes:
        A = np.eye(n)[::-1].copy()
        for solver in (fsmf.ALS(max_seconds=60), fsmf.VariableProjection(max_seconds=60)):
            took, F = timed(lambda A=A, n=n, s=solver: fsmf.factorize(A, fsmf.lu(n), solver=s))
            growth = F.history.factor_norm[-1]
            rows.append(
                [
                    str(n),
                    type(solver).__name__,
                    f"{took:.2f} s",
                    f"{F.relative_error:.1e}",
                    f"{growth:.1e}",
                    F.status.name,
                ]
            )
    return rows


def main() -> int:
    warnings.simplefilter("ignore")  # budgets end, and factors grow, as asked
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each contender and instance")
    parser.add_argument("--large", action="store_true", help="kaleidoscopes up to 256")
    options = parser.parse_args()
    quick, gate = options.quick, Gate()
    seconds, seeds = (1.0 if quick else options.seconds), range(1 if quick else options.rounds)
    print(machine("fsmf", "torch", "pyfaust"), end="\n\n")
    groups = problems(seeds, quick=quick, large=options.large)
    rows = [row for same in groups for row in race(same, seconds, gate)]
    header = [
        "job",
        "contender",
        "to 1 %",
        "reached",
        "final error: median (worst) above best",
        "time / ours",
    ]
    print(table(header, rows, markdown=options.markdown), end="\n\n")
    rows = lu_table((3, 10) if quick else (3, 10, 100))
    header = ["n", "solver", "time", "relative error", "norm of the factors", "status"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
