"""A butterfly layer of PyTorch, forward and backward, against the dense layer in whose place it stands."""

from __future__ import annotations

import shutil
import sys
from functools import partial

import numpy as np

from benchmarks import THREADS
from benchmarks.harness import (
    Contender,
    Gate,
    Ratio,
    arguments,
    interleave,
    machine,
    milliseconds,
    optional,
    table,
)

AT_LEAST = 5  # times faster than the dense layer, at 4096


def gradients(torch, layer, x, G):
    """One forward and one backward pass: the output and the gradient of the input."""
    layer.zero_grad(set_to_none=True)
    x.grad = None
    y = layer(x)
    y.backward(G)
    return y.detach().numpy(), x.grad.numpy()


def error_against(expected):
    def error(found):
        pairs = zip(found, expected, strict=True)
        return max(float(np.linalg.norm(one - other) / np.linalg.norm(other)) for one, other in pairs)

    return error


def main() -> int:
    options = arguments(__doc__, rounds=9).parse_args()
    torch, fsmf = optional("torch"), optional("fsmf")
    if torch is None or fsmf is None:
        return 0
    torch.set_num_threads(int(THREADS))
    torch.manual_seed(0)
    gate, rows = Gate(), []
    n = 512 if options.quick else 4096
    for batch in (64,) if options.quick else (1, 64, 256):
        ours = fsmf.nn.KroneckerSparseLinear(fsmf.butterfly(n))
        dense = torch.nn.Linear(n, n)
        with torch.no_grad():
            dense.weight.copy_(ours.weight)
            dense.bias.copy_(ours.bias)
        x = torch.randn(batch, n, requires_grad=True)
        G = torch.randn(batch, n)
        expected = [array.copy() for array in gradients(torch, dense, x, G)]
        layers = {"KroneckerSparseLinear": ours, "nn.Linear": dense}
        if shutil.which("g++"):
            layers["KroneckerSparseLinear, compiled"] = torch.compile(ours, fullgraph=True)
        contenders = [
            Contender(name, partial(gradients, torch, layer, x, G), error_against(expected))
            for name, layer in layers.items()
        ]
        timings = interleave(contenders, options.rounds)
        mine = timings["KroneckerSparseLinear"]
        for name, timing in timings.items():
            gate(timing.error < 1e-4, f"{name} of {n}, batch {batch}: the product and its gradient are right")
            ratio = Ratio.of(mine.seconds, timing.seconds)
            rows.append([f"{n}, batch {batch}", name, milliseconds(timing.median), str(ratio)])
            if name == "nn.Linear" and n == 4096:
                gate(ratio.median >= AT_LEAST, f"batch {batch}: {AT_LEAST} times faster than nn.Linear")
    print("A butterfly layer, forward and backward, float32")
    print(machine("torch", "fsmf"), end="\n\n")
    print(table(["job", "contender", "median", "time / ours"], rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
