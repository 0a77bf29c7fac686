"""Applying a butterfly to 64 vectors and to one, against the FFT, the dense product and the peers."""

from __future__ import annotations

import sys
from math import sqrt

import numpy as np
import scipy.fft

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

OURS = "fsmf"
BATCH = 64


def patterns(n: int) -> list[tuple[int, int, int, int]]:
    L = n.bit_length() - 1
    return [(2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L)]


def factors(n: int, dtype: type) -> list[np.ndarray]:
    """Random orthogonal or unitary 2 × 2 blocks, so that nothing grows; shape (a, b, d, c)."""
    rng = np.random.default_rng(0)
    found = []
    for a, b, c, d in patterns(n):
        angle = rng.uniform(0, 2 * np.pi, (a, d))
        V = np.empty((a, b, d, c), dtype)
        V[:, 0, :, 0] = V[:, 1, :, 1] = np.cos(angle)
        V[:, 0, :, 1], V[:, 1, :, 0] = np.sin(angle), -np.sin(angle)
        if dtype is complex:
            V *= np.exp(1j * rng.uniform(0, 2 * np.pi, (a, 1, d, 1)))
        found.append(V)
    return found


def reference(values: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The product by plain sums, factor by factor."""
    y = x.reshape(len(x), -1)
    for V in reversed(values):
        a, b, d, c = V.shape
        y = np.einsum("abdc,acdk->abdk", V, y.reshape(a, c, d, -1)).reshape(a * b * d, -1)
    return y.reshape(x.shape)


def contenders(n: int, x: np.ndarray, dtype: type, *, dense: bool, peers: bool) -> list[Contender]:
    values = factors(n, dtype)
    expected = reference(values, x)

    def error(y: np.ndarray) -> float:
        return float(
            np.linalg.norm(np.asarray(y).reshape(expected.shape) - expected) / np.linalg.norm(expected)
        )

    found = []
    if fsmf := optional("fsmf"):
        F = fsmf.Product(fsmf.Architecture(patterns(n)), values)
        found.append(Contender(OURS, lambda: F @ x, error))
    for workers in (1, 2):
        # Another product of the same kind and cost class: timed, not compared.
        found.append(
            Contender(
                f"scipy.fft, workers={workers}",
                lambda workers=workers: scipy.fft.fft(x, axis=0, workers=workers),
                lambda y: 0.0,
            )
        )
    if dense:
        A = reference(values, np.eye(n, dtype=dtype))
        found.append(Contender("dense product", lambda: A @ x, error))
    if peers and (butterfly := optional("lazylinop.butterfly")):
        theirs = [np.ascontiguousarray(V.transpose(0, 1, 3, 2)) for V in values]
        for backend in ("xp", "scipy"):
            L = butterfly.ksm(theirs, ksm_args={"backend": backend, "params": [None] * len(theirs)})
            found.append(Contender(f"lazylinop ksm, {backend}", lambda L=L: L @ x, error))
    if peers and (pyfaust := optional("pyfaust")):
        from scipy.sparse import csr_matrix

        sparse = []
        for V, (a, b, c, d) in zip(values, patterns(n), strict=True):
            columns = np.arange(a * c * d).reshape(a, 1, c, d).swapaxes(2, 3)
            indices = np.broadcast_to(columns, (a, b, d, c)).reshape(-1)
            indptr = np.arange(0, a * b * c * d + 1, c)
            sparse.append(csr_matrix((V.reshape(-1), indices, indptr), shape=(a * b * d, a * c * d)))
        F_theirs = pyfaust.Faust(sparse)
        order = np.asfortranarray(x)
        found.append(Contender("pyfaust", lambda: F_theirs @ order, error))
    return found


def main() -> int:
    options = arguments(__doc__, rounds=60).parse_args()
    gate, rows, slopes = Gate(), [], {}
    sizes = (256, 1024) if options.quick else (1024, 4096, 16384)
    rng = np.random.default_rng(1)
    for dtype, batch in ((float, BATCH), (complex, BATCH), (float, None)):
        for n in sizes:
            x = rng.standard_normal(n if batch is None else (n, batch)).astype(dtype)
            if dtype is complex:
                x += 1j * rng.standard_normal(x.shape)
            found = contenders(n, x, dtype, dense=n <= 4096, peers=True)
            timings = interleave(found, 5 if options.quick else options.rounds)
            ours = timings.get(OURS)
            gate(ours is not None, "fsmf takes part")
            for name, timing in timings.items():
                if name == OURS:
                    gate(timing.error <= 1e-15 * sqrt(n), f"{dtype.__name__} {n}: the product is right")
                rows.append(
                    [
                        f"{n}, {dtype.__name__}, {'1 vector' if batch is None else f'{batch} vectors'}",
                        name,
                        milliseconds(timing.median),
                        milliseconds(timing.first),
                        str(Ratio.of(ours.seconds, timing.seconds)) if ours else "",
                    ]
                )
    for n in (512, 1024, 2048, 4096, 8192, 16384) if not options.quick else ():
        x = rng.standard_normal((n, BATCH))
        slopes[n] = interleave(contenders(n, x, float, dense=False, peers=False)[:1], options.rounds)[
            OURS
        ].median
    print(f"Butterflies of 2 × 2 blocks, {BATCH} vectors or one")
    print(machine("fsmf", "lazylinop", "pyfaust"), end="\n\n")
    print(table(["job", "contender", "median", "first call", "time / ours"], rows, markdown=options.markdown))
    if slopes:
        slope = np.polyfit(np.log(list(slopes)), np.log(list(slopes.values())), 1)[0]
        times = ", ".join(f"{n}: {milliseconds(seconds)}" for n, seconds in slopes.items())
        print(f"\nlog-log slope of the time for {BATCH} real vectors: {slope:.2f} ({times})")
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
