"""A noisy Hadamard matrix on Monarch supports: one rank-one block per component, the optimum is known."""

from __future__ import annotations

import sys
from math import isqrt

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

OURS = "fsmf BlockSVD"
NOISE = 0.1


def noisy_hadamard(n: int) -> np.ndarray:
    """Entries ±1 in Sylvester's order, which the supports fit exactly, plus Gaussian noise."""
    return hadamard(n).astype(float) + NOISE * np.random.default_rng(0).standard_normal((n, n))


def contenders(A: np.ndarray) -> list[Contender]:
    """Everyone on the same supports: (1, p, p, p) and (p, p, p, 1) in Kronecker notation, p = √n."""
    n = len(A)
    p = isqrt(n)

    def error(product: np.ndarray) -> float:
        return float(np.linalg.norm(A - product))

    found = []
    if fsmf := optional("fsmf"):
        supports = fsmf.monarch(n, n, blocks=p)
        found.append(
            Contender(
                OURS,
                lambda: fsmf.factorize(A, supports),
                lambda F: error((F.factors[0] @ F.factors[1]).toarray()),
            )
        )
    if butterfly := optional("lazylinop.butterfly"):
        chain = butterfly.Chain.monarch((n, n), p, p)
        assert chain.ks_patterns == ((1, p, p, p), (p, p, p, 1))
        found += [
            Contender(
                f"lazylinop ksd, {svd}, ortho={ortho}",
                lambda svd=svd, ortho=ortho: butterfly.ksd(A, chain, ortho=ortho, svd_backend=svd),
                lambda L: error(L.toarray()),
            )
            for svd in ("numpy_svd", "scipy_svd", "scipy_svds_propack")
            for ortho in (True, False)
        ]
    if fact := optional("pyfaust.fact"):
        found += [
            Contender(
                f"pyfaust fdb, orthonormalize={ortho}",
                lambda ortho=ortho: fact.fdb(A, n_factors=2, rank=1, orthonormalize=ortho),
                lambda F: error(F.toarray()),
            )
            for ortho in (True, False)
        ]
    return found


def main() -> int:
    options = arguments(__doc__, rounds=5).parse_args()
    gate, rows = Gate(), []
    for n in (256, 1024) if options.quick else (1024, 4096):
        A = noisy_hadamard(n)
        copy = copy_seconds(A)
        timings = interleave(contenders(A), options.rounds)
        ours = timings.get(OURS)
        gate(ours is not None, "fsmf takes part")
        for name, timing in timings.items():
            if ours:
                gate(ours.error <= timing.error * (1 + 1e-6), f"n = {n}: {OURS} is no worse than {name}")
            rows.append(
                [
                    str(n),
                    name,
                    milliseconds(timing.median),
                    milliseconds(timing.first),
                    f"{timing.median / copy:.1f}",
                    f"{timing.error:.10g}",
                    str(Ratio.of(ours.seconds, timing.seconds)) if ours else "",
                ]
            )
        speed = f"{2 * A.nbytes / copy / 1e9:.1f} GB/s read and written"
        rows.append([str(n), f"copying A ({speed})", milliseconds(copy), "", "1.0", "", ""])
    print(f"Noisy Hadamard (entries ±1, noise {NOISE}, float64) on Monarch supports, blocks = √n, rank one")
    print(machine("fsmf", "lazylinop", "pyfaust"), end="\n\n")
    header = ["n", "contender", "median", "first call", "copies of A", "‖A − XY‖", "time / ours"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
