"""An image as a network: from the place of a pixel to its brightness, with few weights.

A made image of 32×32 pixels, 256 random Fourier features of the place, one hidden layer of 64 neurons.
Hard thresholding and iterative magnitude pruning get the same number of weights, and as many gradients of
all pixels.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import fsmf
from benchmarks.experiments.report import options, plot, progress
from benchmarks.harness import Gate, table
from fsmf.training import Adam, SparseNetwork, learn_supports, prune_iteratively

SIDE, FEATURES, WIDTH = 32, 256, 64


def image() -> np.ndarray:
    """A disc with a bright spot, a bar and a ramp; values from 0 to 1."""
    v, u = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    picture = 0.2 + 0.3 * u
    picture[(u - 0.4) ** 2 + (v - 0.45) ** 2 < 0.08] = 0.8
    picture += 0.2 * np.exp(-((u - 0.35) ** 2 + (v - 0.35) ** 2) / 0.01)
    picture[(v > 0.8) & (v < 0.9)] = 0.1
    return np.clip(picture, 0, 1)


def main() -> int:
    given = options(__doc__, iterations=1500)
    warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)
    iterations = 60 if given.quick else given.iterations
    picture = image()
    places = np.stack(np.mgrid[0:SIDE, 0:SIDE], axis=-1).reshape(-1, 2) / SIDE
    rng = np.random.default_rng(given.seed)
    angles = 2 * np.pi * places @ rng.normal(0, 2, (2, FEATURES // 2))
    X = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    Y = picture.reshape(-1, 1)
    n_weights = WIDTH * (FEATURES + 1)

    def psnr(network: SparseNetwork) -> float:
        return float(-10 * np.log10(np.mean((network.predict(X) - Y) ** 2)))

    def new() -> SparseNetwork:
        return SparseNetwork([np.ones((1, WIDTH)), np.ones((WIDTH, FEATURES))], rng=given.seed)

    gate, rows, shown = Gate(), [], {"image": picture}
    sparsities = (200,) if given.quick else (100, 300, 1000)
    for k in sparsities:
        found, _ = learn_supports(
            new(), X, Y, k=k, schedule=iterations // 2, max_iterations=iterations, polish=False
        )
        rounds = int(np.ceil(np.log(k / n_weights) / np.log(0.8))) + 1
        each = max(1, iterations // rounds)
        optimizer = Adam(learning_rate=0.01, max_epochs=each, rtol=0, patience=each)
        other, runs = prune_iteratively(new(), X, Y, k=k, share=0.2, optimizer=optimizer)
        gate(found.n_weights <= k and other.n_weights <= k, f"at most {k} weights")
        rows.append([str(k), f"{psnr(found):.1f} dB", f"{psnr(other):.1f} dB", f"{len(runs)} × {each}"])
        shown[f"{k} weights"] = found.predict(X).reshape(SIDE, SIDE)
        progress(f"{k} weights done")
    print(
        f"An image of {SIDE}×{SIDE} pixels, {n_weights} candidates for weights, {iterations} gradients each\n"
    )
    header = ["weights", "hard thresholding", "magnitude pruning", "rounds × steps of it"]
    print(table(header, rows, markdown=given.markdown))

    def draw(axes):
        for ax, (name, values) in zip(axes, shown.items(), strict=True):
            ax.imshow(values, cmap="gray", vmin=0, vmax=1)
            ax.set(title=name, xticks=[], yticks=[])

    plot(given.plots, "image", draw, panels=len(shown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
