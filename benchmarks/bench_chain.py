"""Butterfly chains: noisy Hadamard and DFT matrices into log₂ n factors, and four factors of rank 2, 4."""

from __future__ import annotations

import sys
from functools import reduce
from typing import Any

import numpy as np
from scipy.linalg import hadamard

from benchmarks.harness import (
    Contender,
    Gate,
    Ratio,
    arguments,
    copy_seconds,
    interleave,
    machine,
    milliseconds,
    optional,
    table,
)

PLAIN, REFINED = "fsmf, left to right", "fsmf, refine=1"
NOISE = 0.1


def noisy_hadamard(n: int) -> np.ndarray:
    """Entries ±1 in Sylvester's order plus Gaussian noise, float64."""
    A = np.random.default_rng(0).standard_normal((n, n))
    A *= NOISE
    A += hadamard(n)
    return A


def noisy_dft(n: int) -> np.ndarray:
    """The DFT with bit-reversed columns plus complex Gaussian noise, complex128."""
    bits = n.bit_length() - 1
    reversed_ = [int(f"{j:0{bits}b}"[::-1], 2) for j in range(n)]
    roots = np.exp(-2j * np.pi * np.arange(n) / n)
    rng = np.random.default_rng(0)
    A = np.empty((n, n), complex)
    for i in range(n):
        A[i] = roots[i * np.array(reversed_) % n]
        A[i] += NOISE / np.sqrt(2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    return A


def noisy_product(patterns: list[tuple[int, ...]], dtype: Any) -> np.ndarray:
    """A product of uniform random factors plus noise of a tenth of its norm."""
    rng = np.random.default_rng(0)
    n = patterns[-1][0] * patterns[-1][2] * patterns[-1][3]
    A = np.eye(n, dtype=dtype)
    for a, b, c, d in reversed(patterns):
        values = rng.random((a, 1, d, b, c)).astype(dtype)
        x = A.reshape(a, c, d, -1).transpose(0, 2, 1, 3)
        A = (values.reshape(a, d, b, c) @ x).transpose(0, 2, 1, 3).reshape(a * b * d, -1)
    noise = rng.standard_normal(A.shape, dtype=np.float32).astype(dtype)
    noise *= NOISE * np.linalg.norm(A) / np.linalg.norm(noise)
    return A + noise


def contenders(A: np.ndarray, patterns: list[tuple[int, ...]], *, slow: bool, faust: bool) -> list[Contender]:
    """Everyone on the same chain."""

    def error(product: np.ndarray) -> float:
        return float(np.linalg.norm(A - product))

    found = []
    if fsmf := optional("fsmf"):
        chain = fsmf.Architecture(patterns)
        for name, solver in ((PLAIN, None), (REFINED, fsmf.Hierarchical(refine=1))):
            found.append(
                Contender(
                    name,
                    lambda solver=solver: fsmf.factorize(A, chain, solver=solver),
                    lambda F: error(reduce(lambda X, Y: X @ Y, F.factors).toarray()),
                )
            )
    if butterfly := optional("lazylinop.butterfly"):
        theirs = butterfly.Chain([tuple(pattern) for pattern in patterns])
        found += [
            Contender(
                f"lazylinop ksd, {order}, ortho={ortho}",
                lambda order=order, ortho=ortho: butterfly.ksd(A, theirs, order=order, ortho=ortho),
                lambda L: error(L.toarray()),
            )
            for order in ("l2r", "balanced")
            for ortho in ((True, False) if slow else (True,))
        ]
    if faust and (fact := optional("pyfaust.fact")):
        # left and right take a hundred times as long as bbtree already at n = 1024.
        found.append(
            Contender(
                "pyfaust butterfly, bbtree",
                lambda: fact.butterfly(A, type="bbtree"),
                lambda F: error(F.toarray()),
            )
        )
    return found


def main() -> int:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--sizes", type=int, nargs="*", help="n of the butterflies")
    parser.add_argument("--ranks", type=int, nargs="*", default=[2, 4], help="of the chains of four factors")
    options = parser.parse_args()
    sizes = options.sizes if options.sizes is not None else (64, 256) if options.quick else (1024, 4096, 8192)
    jobs = []
    for n in sizes:
        L = n.bit_length() - 1
        patterns = [(2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L)]
        jobs += [
            (f"Hadamard {n}", noisy_hadamard, (n,), patterns),
            (f"DFT {n}", noisy_dft, (n,), patterns),
        ]
    radices = (4, 4, 4, 4) if options.quick else (8, 8, 8, 16)
    for rank in options.ranks:
        a, d, patterns = 1, int(np.prod(radices)), []
        for i, radix in enumerate(radices):
            d //= radix
            patterns.append((a, radix * (rank if i else 1), radix * (rank if i < 3 else 1), d))
            a *= radix
        for dtype in (np.float64, np.float32):
            name = f"rank {rank}, four factors, {np.prod(radices)}, {np.dtype(dtype).name}"
            jobs.append((name, noisy_product, (patterns, dtype), patterns))
    gate, rows = Gate(), []
    for name, make, args, patterns in jobs:
        A = make(*args)
        copy = copy_seconds(A, fresh=True)
        slow = len(A) <= 1024
        faust = len(patterns) > 4 and A.dtype != np.float32
        timings = interleave(contenders(A, patterns, slow=slow, faust=faust), options.rounds)
        for ours in (PLAIN, REFINED):
            gate(ours in timings, "fsmf takes part")
        single = A.dtype == np.float32
        for contender, timing in timings.items():
            # A plain left-to-right factorization is compared with theirs, the refined one with all.
            best = timings[REFINED]
            if "balanced" in contender or "bbtree" in contender:
                allowed = 1 + (1e-5 if single else 1e-6)
                gate(best.error <= timing.error * allowed, f"{name}: {REFINED} is no worse than {contender}")
            elif not contender.startswith("fsmf"):
                allowed = 1 + (1e-5 if single else 1e-6)
                gate(
                    timings[PLAIN].error <= timing.error * allowed,
                    f"{name}: {PLAIN} is no worse than {contender}",
                )
            rows.append(
                [
                    name,
                    contender,
                    milliseconds(timing.median),
                    milliseconds(timing.first),
                    f"{timing.median / copy:.2f}",
                    f"{timing.error / np.linalg.norm(A):.10g}",
                    str(Ratio.of(timings[PLAIN].seconds, timing.seconds)),
                    str(Ratio.of(timings[REFINED].seconds, timing.seconds)),
                ]
            )
        speed = f"{2 * A.nbytes / copy / 1e9:.1f} GB/s read and written"
        rows.append([name, f"A.copy() ({speed})", milliseconds(copy), "", "1.00", "", "", ""])
    print(f"Chains of Kronecker factors; noise {NOISE}")
    print(machine("fsmf", "lazylinop", "pyfaust"), end="\n\n")
    header = [
        "job",
        "contender",
        "median",
        "first call",
        "copies of A",
        "relative error",
        "time / plain",
        "time / refined",
    ]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
