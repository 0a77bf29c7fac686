"""Handwritten digits with few weights: hard thresholding against iterative magnitude pruning, and memory.

The 8×8 digits of scikit-learn, 1347 to train and 450 to test, one hidden layer, cross-entropy. Both train
on all samples at a time and end with the same number of weights. Pruning goes on from one number of weights
to the next, so that its time and memory are those of the whole way there. Memory is the peak of what Python
and NumPy hold beyond what there was before, counted by tracemalloc.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits

import fsmf
from benchmarks.experiments.report import options, peak_of, plot, progress
from benchmarks.harness import Gate, table
from fsmf.training import Adam, SparseNetwork, learn_supports, prune_iteratively


def main() -> int:
    given = options(__doc__, width=256, iterations=600, epochs=100)
    warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
    width = 64 if given.quick else given.width
    iterations, epochs = (60, 10) if given.quick else (given.iterations, given.epochs)
    X, y = load_digits(return_X_y=True)
    X = X / 16
    order = np.random.default_rng(given.seed).permutation(len(y))
    train, test = order[:1347], order[1347:]
    n_weights = 74 * width
    gate, rows, curves = Gate(), [], {}

    def accuracy(network: SparseNetwork) -> float:
        return float(np.mean(network.predict(X[test]).argmax(axis=1) == y[test]))

    def new() -> SparseNetwork:
        layers = [np.ones((10, width)), np.ones((width, 64))]
        return SparseNetwork(layers, loss="cross-entropy", rng=given.seed)

    def at_its_beginning(left: SparseNetwork) -> SparseNetwork:
        """The weights that pruning has left, where they began."""
        supports, first = [layer.supports[0] for layer in left.layers], new()
        network = SparseNetwork(supports, loss="cross-entropy", rng=given.seed)
        weights = [W.to_dense()[S.toarray()] for W, S in zip(first.weights, supports, strict=True)]
        network.parameters = np.concatenate([*weights, *first.biases])
        return network

    def thresholded(k: int) -> SparseNetwork:
        return learn_supports(
            new(),
            X[train],
            y[train],
            k=k,
            schedule=iterations // 2,
            max_iterations=iterations,
            weight_decay=1e-4,
            polish=False,
        )[0]

    def pruned(k: int) -> SparseNetwork:
        optimizer = Adam(learning_rate=0.01, max_epochs=epochs, rtol=0, patience=epochs)
        return prune_iteratively(
            at_its_beginning(left), X[train], y[train], k=k, share=0.2, optimizer=optimizer, weight_decay=1e-4
        )[0]

    left, on_the_way = new(), (0.0, 0.0)
    for density in (0.1, 0.02, 0.005) if not given.quick else (0.1,):
        k = int(density * n_weights)
        for name, method in (("hard thresholding", thresholded), ("magnitude pruning", pruned)):
            began = time.process_time()
            peak, network = peak_of(lambda method=method, k=k: method(k))
            seconds = time.process_time() - began
            if method is pruned:
                left, on_the_way = network, (max(peak, on_the_way[0]), seconds + on_the_way[1])
                peak, seconds = on_the_way
            curves.setdefault(name, []).append((k, accuracy(network), peak))
            numbers = f"{accuracy(network):.3f} {network.loss(X[train], y[train]):.3f}".split()
            rows.append([str(k), name, *numbers, f"{peak:.1f} MB", f"{seconds:.0f} s"])
            gate(network.n_weights <= k, f"{name}: at most {k} weights")
            progress(f"{k} weights, {name} done")
    print(f"Digits, {width} hidden neurons, {n_weights} candidates for weights\n")
    header = ["weights", "method", "test accuracy", "train loss", "peak memory", "processor time"]
    print(table(header, rows, markdown=given.markdown))
    for ours, theirs in zip(curves["hard thresholding"], curves["magnitude pruning"], strict=True):
        gate(ours[2] < theirs[2], f"{ours[0]} weights: hard thresholding holds less memory")

    def draw(axes):
        for name, points in curves.items():
            k, accuracies, peaks = zip(*points, strict=True)
            axes[0].semilogx(k, accuracies, "o-", label=name)
            axes[1].semilogx(k, peaks, "o-")
        axes[0].set(xlabel="weights", ylabel="test accuracy")
        axes[1].set(xlabel="weights", ylabel="peak memory, MB", ylim=(0, None))
        axes[0].legend()

    plot(given.plots, "digits", draw, panels=2)
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
