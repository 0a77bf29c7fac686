"""A linear classifier of the iris data, s of its 15 parameters not zero: hard thresholding, and the truth.

Softmax regression of three classes on four standardised features, 120 samples to train and 30 to test.
For each sparsity: many splits, from zero and from random starts, with the step of the literature, one over
what `fsmf.estimate_rss` finds in samples, until the cross-entropy is 0.05 or the steps are used up. All
splits go at once, a row each of one `fsmf.iht`. Beside them, what `fsmf.iht` does by default, the best of ten
starts. On one split all supports of up to six entries are solved one by one: what the best of them reaches is
the truth that hard thresholding is measured against.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

import fsmf
from benchmarks.experiments.report import options, plot, progress
from benchmarks.harness import Gate, table
from fsmf.training import LBFGS, SparseNetwork, load_iris

GOAL, SIZE = 0.05, 15
BEST = "best of ten"
STARTS = ("random", "zero", BEST)

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def split(seed: int) -> Split:
    """Standardised samples to train and to test with."""
    X, y = load_iris()
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:120], order[120:]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return X[train], y[train], X[test], y[test]


def classifier(theta: np.ndarray | None = None) -> SparseNetwork:
    network = SparseNetwork([np.ones((3, 4))], loss="cross-entropy", rng=0)
    if theta is not None:
        network.parameters = theta
    return network


def accuracy(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(classifier(theta).predict(X).argmax(axis=1) == y))


def dense_optimum(X: np.ndarray, y: np.ndarray) -> float:
    """The loss of all 15 parameters after quasi-Newton steps; its infimum need not be attained."""
    return float(classifier().fit(X, y, optimizer=LBFGS(max_iterations=2000)).loss[-1])


class Rows:
    """The cross-entropy of many classifiers at once, a row of parameters each: 12 weights, then 3 biases."""

    def __init__(self, samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Take samples and labels for each row, or one pair of them for all."""
        X = np.array([X for X, _ in samples])
        self.inputs = np.concatenate([X, np.ones((*X.shape[:2], 1))], axis=2).swapaxes(1, 2).copy()
        self.is_label = np.array([[y == k for k in range(3)] for _, y in samples])

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each row, and the probabilities of the classes, of shape (rows, 3, samples)."""
        M = np.concatenate([theta[:, :12].reshape(-1, 3, 4), theta[:, 12:, None]], axis=2)
        F = M @ self.inputs
        F -= F.max(axis=1, keepdims=True)
        right = np.einsum("bkn,bkn->bn", F, np.broadcast_to(self.is_label, F.shape))
        np.exp(F, out=F)
        total = F.sum(axis=1)
        F /= total[:, None]
        return np.mean(np.log(total) - right, axis=1), F

    def gradient(self, P: np.ndarray) -> np.ndarray:
        M = (P - self.is_label) @ self.inputs.swapaxes(1, 2) / P.shape[2]
        return np.concatenate([M[:, :, :4].reshape(-1, 12), M[:, :, 4]], axis=1)

    def hessian(self, P: np.ndarray) -> np.ndarray:
        n = P.shape[2]
        products = np.einsum("bin,bjn->bnij", self.inputs, self.inputs).reshape(-1, n, 25)
        weights = -P[:, :, None] * P[:, None]
        weights[:, range(3), range(3)] += P
        H = (weights.reshape(-1, 9, n) @ products / n).reshape(-1, 3, 3, 5, 5).transpose(0, 1, 3, 2, 4)
        places = [*(5 * k + j for k in range(3) for j in range(4)), 4, 9, 14]
        return H.reshape(-1, SIZE, SIZE)[:, places][:, :, places]


def thresholded(
    samples: Sequence[tuple[np.ndarray, np.ndarray]], start: np.ndarray, s: int, step: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hard thresholding of all rows, each with its own step, and none further than to the goal.

    Returns the points, how often the loss of a row rose, and whether its support has moved.
    """
    losses, scale = Rows(samples), np.sqrt(step)[:, None]
    last = np.full(len(start), np.inf)
    rises, moved = np.zeros(len(start), int), np.zeros(len(start), bool)
    places = start != 0 if start.any() else None

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        """In units in which the step of each row is one; a row that is there has no gradient any more."""
        values, P = losses(scaled * scale)
        gradient = losses.gradient(P) * scale
        gradient[values <= GOAL] = 0
        loss.values = values
        return float(values.sum()), gradient

    def watch(i: int, value: float, scaled: np.ndarray) -> None:
        nonlocal last, places
        rises[loss.values > last + 1e-12] += 1
        last = loss.values
        if places is not None:
            moved[((scaled != 0) != places).any(axis=1)] = True
        places = scaled != 0

    point = fsmf.iht(
        loss,
        fsmf.RowSparse(start.shape, s),
        start=start / scale,
        step=1.0,
        max_iterations=steps,
        rtol=0,
        polish=False,
        callback=watch,
    )
    return point.x * scale, rises, moved


def drawn(rows: int, s: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian parameters at s random places in each row."""
    theta = rng.standard_normal((rows, SIZE))
    theta[rng.random((rows, SIZE)).argsort(axis=1).argsort(axis=1) >= s] = 0
    return theta


def restricted_step(X: np.ndarray, y: np.ndarray, s: int, seed: int) -> float:
    loss = classifier().objective(X, y)
    constraint = fsmf.KSparse((SIZE,), s)
    return 1 / fsmf.estimate_rss(lambda x: loss(x)[1], constraint, ascents=0, restricted=False, rng=seed)


def runs(
    s: int, start: str, splits: Sequence[Split], step: np.ndarray, seed: int, steps: int
) -> list[dict[str, float]]:
    """One run per split, as in the literature."""
    begin = np.zeros((len(splits), SIZE))
    if start == "random":
        begin = drawn(len(splits), s, np.random.default_rng(seed))
    points, rises, moved = thresholded([part[:2] for part in splits], begin, s, step, steps)
    found = []
    for i, part in enumerate(splits):
        loss, constraint, theta = classifier().objective(*part[:2]), fsmf.KSparse((SIZE,), s), points[i]
        stability = fsmf.ht_stability(theta, loss(theta)[1], constraint, step=step[i])
        polished = fsmf.iht(loss, constraint, start=theta, max_iterations=1, step=float(step[i]))
        found.append(
            {
                **measured(theta, part),
                "step": step[i],
                "moved": moved[i],
                "rises": rises[i],
                "off stable": stability.margin >= 0,
                "stable": polished.stability.stable,
            }
        )
    return found


def best_runs(s: int, splits: Sequence[Split], starts: int) -> list[dict[str, float]]:
    """The best of several starts per split, otherwise by default."""
    found = []
    for part in splits:
        loss, constraint, rows = classifier().objective(*part[:2]), fsmf.KSparse((SIZE,), s), Rows([part[:2]])

        def hessian(theta: np.ndarray, places: np.ndarray, rows: Rows = rows) -> np.ndarray:
            return rows.hessian(rows(theta[None])[1])[0][np.ix_(places, places)]

        point = fsmf.iht(loss, constraint, starts=starts, max_iterations=300, hessian=hessian)
        found.append(
            {
                **measured(point.x, part),
                "step": point.stability.step,
                "moved": point.trace.moved[1:].any(),
                "rises": np.sum(np.diff(point.trace.value) > 1e-12),
                "off stable": point.stability.margin >= -point.stability.tolerance,
                "stable": point.stability.stable,
            }
        )
    return found


def measured(theta: np.ndarray, part: Split) -> dict[str, float]:
    """Losses and accuracies."""
    X, y, X_test, y_test = part
    value = classifier(theta).loss(X, y)
    return {
        "train": value,
        "test": classifier(theta).loss(X_test, y_test),
        "train accuracy": accuracy(theta, X, y),
        "test accuracy": accuracy(theta, X_test, y_test),
        "stopped": value <= GOAL,
    }


def best_of_all(X: np.ndarray, y: np.ndarray, s: int) -> tuple[float, int]:
    """The least cross-entropy over all supports of s entries, by damped Newton steps on all at once."""
    losses = Rows([(X, y)])
    supports = np.array(list(combinations(range(SIZE), s)))
    theta = np.zeros((len(supports), SIZE))
    loss, P = losses(theta)
    left = np.arange(len(supports))
    for _ in range(100):
        own, place = supports[left], np.arange(len(left))[:, None]
        gradient = losses.gradient(P)[place, own]
        H = losses.hessian(P)[place[:, None], own[:, :, None], own[:, None]] + 1e-9 * np.eye(s)
        step = -np.linalg.solve(H, gradient[..., None])[..., 0]
        length = np.ones(len(left))
        for _ in range(30):
            trial = theta[left]
            trial[place, own] += length[:, None] * step
            values, P = losses(trial)
            worse = values > loss[left] + 1e-4 * length * np.sum(gradient * step, axis=1)
            if not worse.any():
                break
            length[worse] /= 2
        going = loss[left] - values > 1e-9
        theta[left], loss[left] = trial, values
        left, P = left[going], P[going]
        if not len(left):
            break
    return float(loss.min()), len(supports)


def best_of_starts(
    X: np.ndarray, y: np.ndarray, s: int, seed: int, starts: int, steps: int
) -> tuple[float, np.ndarray]:
    """The least cross-entropy of many random starts, and that of each, polished on the support it ends at."""
    step = np.full(starts, restricted_step(X, y, s, seed))
    begin = drawn(starts, s, np.random.default_rng(seed))
    points, _, _ = thresholded([(X, y)] * starts, begin, s, step, steps)
    loss, constraint = classifier().objective(X, y), fsmf.KSparse((SIZE,), s)
    _, firsts, which = np.unique(points != 0, axis=0, return_index=True, return_inverse=True)
    values = []
    for theta in points[firsts]:
        values.append(fsmf.iht(loss, constraint, start=theta, max_iterations=1, step=step[0]).value)
    each = np.array(values)[which.ravel()]
    return float(each.min()), each


def main() -> int:
    given = options(__doc__, splits=40, steps=10_000)
    warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
    n_splits, steps = (5, 300) if given.quick else (given.splits, given.steps)
    gate, rows, curves = Gate(), [], {}
    splits = [split(given.seed + i) for i in range(n_splits)]
    dense = np.array([dense_optimum(X, y) for X, y, *_ in splits])
    for s in range(1, SIZE + 1):
        step = np.array([restricted_step(X, y, s, given.seed + i) for i, (X, y, *_) in enumerate(splits)])
        for start in STARTS:
            found = (
                best_runs(s, splits, 2 if given.quick else 10)
                if start == BEST
                else runs(s, start, splits, step, given.seed, steps)
            )
            mean = {key: float(np.mean([run[key] for run in found])) for key in found[0]}
            mean["above dense"] = mean["train"] - float(dense.mean())
            curves[s, start] = mean
            losses = ("step", "train", "above dense", "test", "train accuracy", "test accuracy")
            rows.append(
                [str(s), start]
                + [f"{mean[key]:.3f}" for key in losses]
                + [f"{mean[key]:.2f}" for key in ("stopped", "moved", "stable")]
            )
            gate(sum(run["rises"] for run in found) == 0, f"s = {s}: the loss never rises")
            gate(mean["off stable"] == 1, f"s = {s}: no place outside would be taken in")
            gate(mean["stable"] == 1, f"s = {s}, {start}: all are stable where they end")
        progress(f"s = {s} done")
    header = ["s", "start", "step", "train loss", "above dense", "test loss", "train acc.", "test acc."]
    print(f"Iris, {n_splits} splits, {steps} steps at most; dense optimum {dense.mean():.3f} on average\n")
    print(table([*header, "reached 0.05", "moved", "stable"], rows, markdown=given.markdown))
    if not given.quick:
        claims(gate, curves)

    X, y, *_ = split(given.seed)
    rows, truth = [], {}
    for s in range(1, 4 if given.quick else 7):
        truth[s], n_supports = best_of_all(X, y, s)
        gate(n_supports == comb(SIZE, s), f"s = {s}: all supports are there")
        starts = 10 if given.quick else 100
        best, each = best_of_starts(X, y, s, given.seed, starts, 300 if given.quick else 1500)
        gate(best >= truth[s] - 1e-6, f"s = {s}: no start ends below the best of all supports")
        hits = float(np.mean(each <= truth[s] + 1e-3))
        rows.append([str(s), str(n_supports), f"{truth[s]:.4f}", f"{best:.4f}", f"{hits:.2f}"])
        progress(f"all supports of {s} done")
        if s <= 5 and not given.quick:
            gate(hits > 0, f"s = {s}: the best of 100 starts is the best of all supports")
    print("\nOne split: the best of all supports, and of random starts\n")
    print(table(["s", "supports", "best of all", "of starts", "share"], rows, markdown=given.markdown))
    if not given.quick:
        smallest = min(s for s, value in truth.items() if value <= GOAL)
        print(f"\nThe smallest sparsity that reaches {GOAL} is {smallest}.")
        gate(smallest == 5, "five parameters reach 0.05, and no four do")

    def draw(axes):
        sizes = range(1, SIZE + 1)
        for start in STARTS:
            axes[0].plot(sizes, [curves[s, start]["train"] for s in sizes], "o-", label=start)
            axes[1].plot(sizes, [curves[s, start]["test accuracy"] for s in sizes], "o-")
        axes[0].plot(truth.keys(), truth.values(), "k*", label="best of all supports")
        axes[0].axhline(GOAL, color="gray", linewidth=0.8)
        axes[0].set(xlabel="nonzero parameters", ylabel="cross-entropy, training", yscale="log")
        axes[1].set(xlabel="nonzero parameters", ylabel="accuracy, test")
        axes[0].legend()

    plot(given.plots, "iris", draw, panels=2)
    return gate.exit_code()


def claims(gate: Gate, curves: dict[tuple[int, str], dict[str, float]]) -> None:
    """What the literature tells in words, with numbers."""
    accuracies = {key: mean["test accuracy"] for key, mean in curves.items()}
    gate(accuracies[15, "zero"] >= 0.95, "dense: test accuracy 0.95")
    gate(accuracies[5, "zero"] >= 0.94, "s = 5 from zero: test accuracy 0.94")
    gate(accuracies[5, "random"] >= 0.88, "s = 5 at random: test accuracy 0.88")
    gate(accuracies[3, "zero"] >= 0.93, "s = 3 from zero: test accuracy 0.93")
    gain = accuracies[3, "zero"] - accuracies[3, "random"]
    gate(gain >= 0.05, "s = 3: zero is 5 points better than random")
    for (s, start), mean in curves.items():
        if s >= 11 and start == BEST:
            gate(mean["stopped"] == 1, f"s = {s}, {start}: all reach 0.05")
            gate(mean["above dense"] <= 0.002, f"s = {s}, {start}: within 0.002 of the dense optimum")
        elif s >= 11:
            gate(abs(mean["train"] - GOAL) <= 0.006, f"s = {s}, {start}: the loss has settled at 0.05")
            gate(mean["above dense"] <= 0.03, f"s = {s}, {start}: within 0.03 of the dense optimum")
        if s >= (7 if start == "random" else 5):
            flat = accuracies[15, start] - accuracies[s, start] <= 0.025
            gate(flat, f"s = {s}, {start}: as accurate as dense within 0.025")
        if 3 <= s <= 13:
            gate(mean["moved"] >= 0.75, f"s = {s}, {start}: supports move")


if __name__ == "__main__":
    sys.exit(main())
