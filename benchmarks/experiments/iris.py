"""A linear classifier of the iris data, s of its 15 parameters not zero: hard thresholding, and the truth.

Softmax regression of three classes on four standardised features, 120 samples to train and 30 to test.
For each sparsity: many splits, from zero and from random starts, with the step that `fsmf.estimate_rss`
suggests, until the cross-entropy is 0.05 or the steps are used up. On one split all supports of up to six
entries are solved one by one: what the best of them reaches is the truth that hard thresholding is
measured against.
"""

from __future__ import annotations

import sys
import warnings
from itertools import combinations

import numpy as np

import fsmf
from benchmarks.experiments.report import options, plot, progress
from benchmarks.harness import Gate, table
from fsmf.training import LBFGS, SparseNetwork, load_iris

GOAL = 0.05


def split(seed: int) -> tuple[np.ndarray, ...]:
    """Standardised samples to train and to test with."""
    X, y = load_iris()
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:120], order[120:]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return X[train], y[train], X[test], y[test]


def classifier() -> SparseNetwork:
    return SparseNetwork([np.ones((3, 4))], loss="cross-entropy", rng=0)


def accuracy(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
    network = classifier()
    network.parameters = theta
    return float(np.mean(network.predict(X).argmax(axis=1) == y))


def dense_optimum(X: np.ndarray, y: np.ndarray) -> float:
    """The loss of all 15 parameters after quasi-Newton steps; its infimum need not be attained."""
    return float(classifier().fit(X, y, optimizer=LBFGS(max_iterations=2000)).loss[-1])


def runs(s: int, start: str, n_splits: int, seed: int, steps: int) -> list[dict[str, float]]:
    """One run per split."""
    found = []
    for i in range(n_splits):
        X, y, X_test, y_test = split(seed + i)
        loss = classifier().objective(X, y)
        point = fsmf.iht(
            loss,
            fsmf.KSparse((15,), s),
            start=start,
            step="restricted",
            max_iterations=steps,
            stop_value=GOAL,
            rtol=0,
            polish=False,
            rng=seed + i,
        )
        step = float(point.trace.step[0])
        polished = fsmf.iht(loss, fsmf.KSparse((15,), s), start=point.x, max_iterations=1, step=step)
        found.append(
            {
                "step": step,
                "train": point.value,
                "test": float(classifier().objective(X_test, y_test)(point.x)[0]),
                "train accuracy": accuracy(point.x, X, y),
                "test accuracy": accuracy(point.x, X_test, y_test),
                "stopped": point.ending is fsmf.Ending.REACHED,
                "moved": point.trace.moved[1:].sum() > 0,
                "rises": np.sum(np.diff(point.trace.value) > 1e-12),
                "off stable": point.stability.margin >= -1e-9,
                "stable": polished.stability.stable,
            }
        )
    return found


def best_of_all(X: np.ndarray, y: np.ndarray, s: int) -> tuple[float, int]:
    """The least cross-entropy over all supports of s entries, by damped Newton steps on many at once."""
    n = len(y)
    wide = np.zeros((n, 3, 15))  # the outputs of a sample, linear in the 12 weights and 3 biases
    for k in range(3):
        wide[:, k, 4 * k : 4 * k + 4] = X
        wide[:, k, 12 + k] = 1
    supports = np.array(list(combinations(range(15), s)))
    least = np.inf
    for some in np.array_split(supports, max(1, len(supports) // 500)):
        A = np.ascontiguousarray(np.moveaxis(wide[:, :, some], 2, 0))  # (supports, n, 3, s)
        flat = A.reshape(len(some), 3 * n, s)
        theta = np.zeros((len(some), s))

        def values(theta: np.ndarray, A: np.ndarray = A) -> tuple[np.ndarray, np.ndarray]:
            F = (A @ theta[:, None, :, None])[..., 0]
            F -= F.max(axis=2, keepdims=True)
            P = np.exp(F)
            total = P.sum(axis=2)
            loss = np.mean(np.log(total) - F[:, np.arange(n), y], axis=1)
            return loss, P / total[..., None]

        loss, P = values(theta)
        for _ in range(60):
            R = P.copy()
            R[:, np.arange(n), y] -= 1
            gradient = np.einsum("bi,bis->bs", R.reshape(len(some), -1), flat) / n
            mean = np.einsum("bnk,bnks->bns", P, A)
            H = flat.swapaxes(1, 2) @ (P.reshape(len(some), -1, 1) * flat) - mean.swapaxes(1, 2) @ mean
            step = np.linalg.solve(H / n + 1e-9 * np.eye(s), -gradient[..., None])[..., 0]
            length = np.ones(len(some))
            for _ in range(30):
                trial, P_trial = values(theta + length[:, None] * step)
                worse = trial > loss + 1e-4 * length * np.sum(gradient * step, axis=1)
                if not worse.any():
                    break
                length[worse] /= 2
            gain = loss - trial
            theta, loss, P = theta + length[:, None] * step, trial, P_trial
            if (np.abs(gain) < 1e-7).all():
                break
        least = min(least, float(loss.min()))
    return least, len(supports)


def main() -> int:
    given = options(__doc__, splits=40, steps=2000)
    warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
    n_splits, steps = (5, 300) if given.quick else (given.splits, given.steps)
    gate, rows, curves = Gate(), [], {}
    dense = float(np.mean([dense_optimum(*split(given.seed + i)[:2]) for i in range(min(n_splits, 10))]))
    for s in range(1, 16):
        for start in ("random", "zero"):
            found = runs(s, start, n_splits, given.seed, steps)
            mean = {key: float(np.mean([run[key] for run in found])) for key in found[0]}
            curves[s, start] = mean
            rows.append(
                [str(s), start]
                + [f"{mean[key]:.3f}" for key in ("step", "train", "test", "train accuracy", "test accuracy")]
                + [f"{mean[key]:.2f}" for key in ("stopped", "moved", "stable")]
            )
            gate(sum(run["rises"] for run in found) == 0, f"s = {s}: the loss never rises")
            gate(mean["off stable"] == 1, f"s = {s}: no place outside would be taken in")
        progress(f"s = {s} done")
    header = ["s", "start", "step", "train loss", "test loss", "train acc.", "test acc."]
    print(f"Iris, {n_splits} splits, {steps} steps at most; dense optimum {dense:.3f} on average\n")
    print(table([*header, "reached 0.05", "moved", "stable"], rows, markdown=given.markdown))
    if not given.quick:
        gate(curves[15, "zero"]["test accuracy"] >= 0.95, "dense: test accuracy 0.95")
        gate(curves[5, "zero"]["test accuracy"] >= 0.94, "s = 5 from zero: test accuracy 0.94")
        gate(curves[5, "random"]["test accuracy"] >= 0.88, "s = 5 at random: test accuracy 0.88")
        gate(curves[3, "zero"]["test accuracy"] >= 0.93, "s = 3 from zero: test accuracy 0.93")
        gain = curves[3, "zero"]["test accuracy"] - curves[3, "random"]["test accuracy"]
        gate(gain >= 0.05, "s = 3: zero is 5 points better than random")

    X, y, *_ = split(given.seed)
    rows, truth = [], {}
    for s in range(1, 4 if given.quick else 7):
        truth[s], n_supports = best_of_all(X, y, s)
        point = fsmf.iht(
            classifier().objective(X, y),
            fsmf.KSparse((15,), s),
            start="random",
            starts=10 if given.quick else 100,
            max_iterations=200,
            rng=given.seed,
        )
        rows.append([str(s), str(n_supports), f"{truth[s]:.4f}", f"{point.value:.4f}"])
        progress(f"all supports of {s} done")
        if s <= 5 and not given.quick:
            gate(
                point.value <= truth[s] + 1e-3, f"s = {s}: the best of 100 starts is the best of all supports"
            )
    print("\nOne split: the best of all supports, and of 100 random starts\n")
    print(table(["s", "supports", "best of all", "best of starts"], rows, markdown=given.markdown))
    if not given.quick:
        smallest = min(s for s, value in truth.items() if value <= GOAL)
        print(f"\nThe smallest sparsity that reaches {GOAL} is {smallest}.")
        gate(smallest == 5, "five parameters reach 0.05, and no four do")

    def draw(axes):
        sizes = range(1, 16)
        for start in ("random", "zero"):
            axes[0].plot(sizes, [curves[s, start]["train"] for s in sizes], "o-", label=f"{start} start")
            axes[1].plot(sizes, [curves[s, start]["test accuracy"] for s in sizes], "o-")
        axes[0].plot(truth.keys(), truth.values(), "k*", label="best of all supports")
        axes[0].axhline(GOAL, color="gray", linewidth=0.8)
        axes[0].set(xlabel="nonzero parameters", ylabel="cross-entropy, training", yscale="log")
        axes[1].set(xlabel="nonzero parameters", ylabel="accuracy, test")
        axes[0].legend()

    plot(given.plots, "iris", draw, panels=2)
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
