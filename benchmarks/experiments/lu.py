"""Lower times upper triangular supports in a ReLU network: the weights go to infinity, unless they are held.

Two layers with the supports of `fsmf.lu` learn to reverse the order of their inputs, which no such
network does exactly and some do as nearly as one likes. The same with weight decay, and with dense
layers. In theory the norm grows like loss^(-1/4).
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import fsmf
from benchmarks.experiments.report import options, plot
from benchmarks.harness import Gate, table
from fsmf.training import Adam, SparseNetwork
from fsmf.training.monitor import growth


def main() -> int:
    given = options(__doc__, epochs=30_000, size=2)
    warnings.simplefilter("ignore", fsmf.errors.NotAttainedWarning)
    n, epochs = given.size, 3000 if given.quick else given.epochs
    X = np.random.default_rng(given.seed).uniform(-1, 1, (50 * n, n))
    dense = [np.ones((n, n))] * 2
    cases = {"LU": (fsmf.lu(n), 0.0), "LU, weight decay 5e-4": (fsmf.lu(n), 5e-4), "dense": (dense, 0.0)}
    gate, rows, runs, powers = Gate(), [], {}, {}
    for name, (supports, weight_decay) in cases.items():
        network = SparseNetwork(supports, rng=given.seed + 1)
        network.parameters[network.layers[1].bias] = 3.0  # hidden neurons begin open
        losses, norms = [], []
        for learning_rate in (1e-2, 1e-3, 1e-4):
            optimizer = Adam(learning_rate=learning_rate, max_epochs=epochs // 3, rtol=0, patience=epochs)
            run = network.fit(X, X[:, ::-1], optimizer=optimizer, weight_decay=weight_decay)
            losses += list(run.loss[bool(losses) :])
            norms += list(run.norm[bool(norms) :])
        runs[name] = np.array(losses), np.array(norms)
        powers[name] = 0.0 if weight_decay else growth(losses, norms)
        at = [0, epochs // 150, epochs // 15, epochs // 3, 2 * epochs // 3, epochs]
        rows.append([name, *(f"{losses[i]:.1e} / {norms[i]:.1f}" for i in at), f"{powers[name]:.2f}"])
    print(
        f"Reversing {n} numbers, Adam on all of {len(X)} samples, learning rate 0.01, 0.001, 0.0001 for a\n"
        f"third of the steps each: loss / norm of the parameters after steps, and the power of growth\n"
    )
    header = ["network", *map(str, at), "power"]
    print(table(header, rows, markdown=given.markdown))
    gate(powers["LU"] > 0.1, "LU: growth is seen")
    gate(runs["LU"][1][-1] > 1.5 * runs["LU"][1][0], "LU: the norm grows")
    gate(powers["dense"] == 0, "dense: no growth is seen")
    held = runs["LU, weight decay 5e-4"][1]
    if not given.quick:
        gate(held[-1] < 1.01 * held[epochs // 2], "weight decay: the norm stays")
    gate(runs["dense"][0][-1] < 1e-10, "dense: the loss falls to zero")
    gate(runs["LU"][0][-1] > 1e-5, "LU: the loss does not, in as many steps")

    def draw(axes):
        for name, run in runs.items():
            axes[0].loglog(run[0][1:], label=name)
            axes[1].loglog(run[1][1:])
        axes[0].set(xlabel="step", ylabel="loss")
        axes[1].set(xlabel="step", ylabel="norm of the parameters")
        axes[0].legend()

    plot(given.plots, "lu", draw, panels=2)
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
