"""Planted sparse ReLU networks: how many samples it takes to find them, and how many weights to keep.

Three neurons that each sum two of twelve features, with output weights of either sign; `recover_relu` is
told that neurons sum one or two features, which makes 144 candidates for weights. Then the same networks
by iterative magnitude pruning of a dense network of 12 neurons, which is told nothing but the number of
weights: 10 % a round, back to the beginning, Adam, 300 steps a round.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import fsmf
from benchmarks.experiments.report import options, plot, progress
from benchmarks.harness import Gate, table
from fsmf.training import Adam, GatedOperator, SparseNetwork, gate_patterns, prune_iteratively, recover_relu

D, K = 12, 3


def teacher(d: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Neurons that sum two features each, all different."""
    pairs: set[tuple[int, ...]] = set()
    while len(pairs) < k:
        pairs.add(tuple(sorted(rng.choice(d, 2, replace=False))))
    U = np.zeros((k, d))
    for u, pair in zip(U, sorted(pairs), strict=True):
        u[list(pair)] = 1
    return U, rng.choice([-1, 1], k) * rng.uniform(0.5, 2, k)


def samples(n: int, seed: int, d: int = D, k: int = K) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    U, v = teacher(d, k, rng)
    X, Z = rng.standard_normal((n, d)), rng.standard_normal((1000, d))
    return X, np.maximum(X @ U.T, 0) @ v, Z, np.maximum(Z @ U.T, 0) @ v


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Normalised mean squared error."""
    return float(np.sum((found - truth) ** 2) / np.sum(truth**2))


def is_recovered(n: int, seed: int, relax: float, d: int = D, k: int = K) -> bool:
    X, y, Z, truth = samples(n, seed, d, k)
    found = recover_relu(X, y, 2 * k, relax=relax)
    return found.is_exact and relative_error(found.predict(Z), truth) < 1e-10


def is_pruned(n: int, seed: int) -> bool:
    """Whether magnitude pruning to as many hidden weights comes within 1 %."""
    X, y, Z, truth = samples(n, seed)
    dense = SparseNetwork([np.ones((1, 12)), np.ones((12, D))], biases=False, rng=seed)
    optimizer = Adam(learning_rate=0.02, max_epochs=300, rtol=0, patience=300)
    found, _ = prune_iteratively(dense, X, y, k=3 * K, share=0.1, optimizer=optimizer)
    return relative_error(found.predict(Z)[:, 0], truth) < 1e-2


def is_gated_recovered(n: int, seed: int, **options: object) -> bool:
    """Eight of the 400 weights of 20 random gates, all features."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 20))
    A = GatedOperator(X, gate_patterns(X, rng.standard_normal((20, 20))))
    w = np.zeros(400)
    w[rng.choice(400, 8, replace=False)] = rng.standard_normal(8)
    found = fsmf.sparse_lstsq(A, A @ w, 8, max_iterations=2000, rtol=1e-6, **options).x
    return bool(np.linalg.norm(found - w) <= 1e-4 * np.linalg.norm(w))


def main() -> int:
    given = options(__doc__, trials=20)
    warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
    trials = range(given.seed, given.seed + (3 if given.quick else given.trials))
    gate, rows, curves = Gate(), [], {}
    sizes = [60, 100, 160] if given.quick else [40, 60, 80, 100, 160]
    for relax in (1, 2, 4):
        name = f"recover_relu, relax={relax}"
        curves[name] = [float(np.mean([is_recovered(n, seed, relax) for seed in trials])) for n in sizes]
        rows.append([name, *(f"{share:.2f}" for share in curves[name])])
        progress(f"{name} done")
    few = list(trials)[:8]
    name = f"magnitude pruning, within 1 % ({len(few)} trials)"
    pruned = [float(np.mean([is_pruned(n, seed) for seed in few])) for n in sizes]
    curves["magnitude pruning, within 1 %"] = pruned
    rows.append([name, *(f"{share:.2f}" for share in pruned)])
    print(f"Share of {len(trials)} planted ReLU networks that is found exactly, by number of samples\n")
    print(table(["method", *map(str, sizes)], rows, markdown=given.markdown))
    at = {n: i for i, n in enumerate(sizes)}
    for n in (100, 160):
        gate(curves["recover_relu, relax=4"][at[n]] >= 0.9, f"{n} samples, relax 4: nine in ten are found")
        gate(curves["recover_relu, relax=1"][at[n]] <= 0.4, f"{n} samples, relax 1: few are found")
    gate(pruned[at[100]] <= 0.75, "100 samples: magnitude pruning misses a quarter at least")
    large = float(np.mean([is_recovered(200, seed, 2, 20, 5) for seed in list(trials)[:10]]))
    print(f"\nOf networks of 5 neurons on 20 features, 400 candidates, 200 samples, relax=2: {large:.2f}")
    gate(large >= 0.9, "more candidates than samples: nine in ten are found")

    rows = []
    methods = {"niht, relax=2": {"relax": 2}, "niht": {}, "iht, step 1/‖A‖²": {"method": "iht"}}
    for name, keywords in methods.items():
        shares = [
            np.mean([is_gated_recovered(n, seed, **keywords) for seed in trials]) for n in (40, 120, 160)
        ]
        rows.append([name, *(f"{share:.2f}" for share in shares)])
        if name == "niht, relax=2":
            gate(shares[0] <= 0.2, "gated, 40 samples: too few")
            gate(shares[1] >= 0.9, "gated, 120 samples: enough")
        if name.startswith("iht"):
            gate(shares[2] <= 0.5, "gated, 160 samples: the safe step finds half at most")
    print("\nShare of planted gated networks, 8 of 400 weights, by number of samples\n")
    print(table(["method", "40", "120", "160"], rows, markdown=given.markdown))

    def draw(axes):
        for name, shares in curves.items():
            axes[0].plot(sizes, shares, "o-", label=name)
        axes[0].set(xlabel="samples", ylabel="share found")
        axes[0].legend(fontsize="small")

    plot(given.plots, "planted", draw)
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
