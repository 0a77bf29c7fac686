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
# Kept apart: once OpenBLAS and OpenMP have threads, whoever else uses two varies by a factor of two.
FFT, OTHERS, NOBODY = "the FFT", "others", "nobody"
# Seconds: an OpenMP library may spin for 0.2. Neither we nor the FFT spin, so a pause would only let cores
# sleep.
REST, TURN = {FFT: 0.0, OTHERS: 0.25}, 0.1


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


def contenders(n: int, x: np.ndarray, dtype: type, against: str) -> list[Contender]:
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
        if against == FFT:
            # Fresh memory costs page faults, in each call or none, as the allocator likes.
            out = np.empty_like(x)
            found.append(Contender(f"{OURS}, out=", lambda: F.apply(x, out=out), error))
    for workers in (1, 2) if against == FFT else ():
        # Another product of the same kind and cost class: timed, not compared.
        found.append(
            Contender(
                f"scipy.fft, workers={workers}",
                lambda workers=workers: scipy.fft.fft(x, axis=0, workers=workers),
                lambda y: 0.0,
            )
        )
    if against == OTHERS and n <= 4096:
        A = reference(values, np.eye(n, dtype=dtype))
        found.append(Contender("dense product", lambda: A @ x, error))
    if against == OTHERS and (butterfly := optional("lazylinop.butterfly")):
        theirs = [np.ascontiguousarray(V.transpose(0, 1, 3, 2)) for V in values]
        for backend in ("xp", "scipy"):
            L = butterfly.ksm(theirs, ksm_args={"backend": backend, "params": [None] * len(theirs)})
            found.append(Contender(f"lazylinop ksm, {backend}", lambda L=L: L @ x, error))
    if against == OTHERS and (pyfaust := optional("pyfaust")):
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
    options = arguments(__doc__, rounds=9).parse_args()
    gate, rows, slopes = Gate(), [], {}
    sizes = (256, 1024) if options.quick else (1024, 4096, 16384)
    rng = np.random.default_rng(1)
    for n in (512, 1024, 2048, 4096, 8192, 16384) if not options.quick else ():
        alone = contenders(n, rng.standard_normal((n, BATCH)), float, NOBODY)
        slopes[n] = interleave(alone, options.rounds, turn=TURN)[OURS].median
    jobs = [
        (dtype, batch, n) for dtype, batch in ((float, BATCH), (complex, BATCH), (float, None)) for n in sizes
    ]
    for against in (FFT, OTHERS):
        for dtype, batch, n in jobs:
            x = rng.standard_normal(n if batch is None else (n, batch)).astype(dtype)
            if dtype is complex:
                x += 1j * rng.standard_normal(x.shape)
            entrants = contenders(n, x, dtype, against)
            timings = interleave(entrants, options.rounds, rest=REST[against], turn=TURN)
            ours = timings.get(OURS)
            gate(ours is not None, "fsmf takes part")
            job = f"{n}, {dtype.__name__}, {'1 vector' if batch is None else f'{batch} vectors'}"
            for name, timing in timings.items():
                if not name.startswith("scipy.fft"):
                    gate(timing.error <= 1e-15 * sqrt(n) or name != OURS, f"{job}: the product is right")
                ratio = str(Ratio.of(ours.seconds, timing.seconds)) if ours else ""
                rows.append([job, name, milliseconds(timing.median), milliseconds(timing.first), ratio])
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
