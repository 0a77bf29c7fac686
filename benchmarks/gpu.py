"""Chains and factorizations on a GPU, beside cuBLAS, cuFFT, PyTorch and lazylinop: one script, one call.

    python benchmarks/gpu.py [--quick] [--markdown] [--wheels FOLDER]

It needs CuPy and PyTorch, and fsmf from the folder above; wheels of whatever else is missing on a bare
machine (array-api-compat, SciPy, lazylinop) may lie in a folder. Correctness comes first; a contender that is
wrong is not timed. Times are medians by CUDA events, after warm-up, on inputs that rotate through more memory
than the cache holds. Fractions are of the copy bandwidth that is measured in the same run.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROUNDS, WARM_UP = 15, 3

# Larger than any second level cache so far, several times.
ROTATED = 512 << 20

Array = Any
Pattern = tuple[int, int, int, int]


class Contender(NamedTuple):
    """Who does the job: a function of an input, and how the output is compared with that of the job."""

    name: str
    run: Callable[[Array], Array]
    rtol: float
    is_right: bool = True  # whether it computes the same thing, or only something that costs as much


def dyadic(n: int) -> list[Pattern]:
    L = n.bit_length() - 1
    return [(2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L)]


def single_patterns(step: int) -> list[Pattern]:
    """Factors with blocks of 48 to 1024 rows and columns, of the kind that arXiv 2405.15013 measured."""
    found = [
        (a, b, c, d)
        for a in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
        for d in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
        for b, c in (
            (48, 48), (64, 64), (96, 96), (128, 128), (192, 192), (256, 256), (512, 512), (1024, 1024),
            (48, 192), (192, 48), (64, 256), (256, 64), (128, 512), (512, 128), (256, 1024), (1024, 256),
        )
        if a * d * max(b, c) <= 8192
    ]  # fmt: skip
    return found[::step]


def values_of(xp: Any, chain: Sequence[Pattern], dtype: Any, seed: int = 0) -> list[Array]:
    """Random factors that keep the size of vectors, in double precision on the host first."""
    rng = np.random.default_rng(seed)
    found = []
    for a, b, c, d in chain:
        V = rng.standard_normal((a, b, d, c)) / np.sqrt(c)
        if np.dtype(dtype).kind == "c":
            V = V * np.exp(2j * np.pi * rng.random(V.shape))
        found.append(xp.asarray(V))
    return found


def reference(xp: Any, chain: Sequence[Pattern], values: Sequence[Array], x: Array) -> Array:
    """The product in double precision, factor by factor, by einsum alone."""
    y = x.astype(np.result_type(x.dtype, np.float64))
    for (a, b, c, d), V in zip(reversed(chain), reversed(values), strict=True):
        y = xp.einsum("abdc,acdk->abdk", V, y.reshape(a, c, d, -1)).reshape(a * b * d, -1)
    return y


def relative(xp: Any, y: Array, expected: Array) -> float:
    return float(xp.linalg.norm(y.astype(expected.dtype) - expected) / xp.linalg.norm(expected))


class Bench:
    """A device, its ceilings, and the rows of the tables."""

    def __init__(self, cupy: Any, torch: Any) -> None:
        self.xp, self.torch = cupy, torch
        self.failures: list[str] = []
        source = cupy.ones(1 << 28, np.float32)
        target = cupy.empty_like(source)
        seconds = self.median([source], lambda x: cupy.copyto(target, x))
        self.bandwidth = 2 * source.nbytes / seconds

    def median(self, inputs: Sequence[Array], run: Callable[[Array], Any], rounds: int = ROUNDS) -> float:
        """Seconds of a call, the median over rounds, each on the next input."""
        events, xp = [], self.xp
        for i in range(WARM_UP + rounds):
            start, stop = xp.cuda.Event(), xp.cuda.Event()
            start.record()
            run(inputs[i % len(inputs)])
            stop.record()
            stop.synchronize()
            events.append(xp.cuda.get_elapsed_time(start, stop) / 1e3)
        return statistics.median(events[WARM_UP:])

    def rotating(self, shape: tuple[int, int], dtype: Any) -> list[Array]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        rng, found = self.xp.random.default_rng(1), []
        for _ in range(max(2, min(16, -(-ROTATED // size)))):
            x = rng.standard_normal(shape, dtype=np.float32)
            found.append((x + 1j * x[::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype))
        return found

    def compare(
        self, job: str, inputs: Sequence[Array], expected: Array, contenders: Sequence[Contender], floor: int
    ) -> list[list[str]]:
        """Rows of a table: who is right, how long it takes, what part of the copy bandwidth it reaches."""
        rows, ours = [], None
        for contender in contenders:
            try:
                y = contender.run(inputs[0])
                if contender.is_right:
                    error = relative(self.xp, self.xp.asarray(y), expected)
                    if not error <= contender.rtol:
                        self.failures.append(f"{job}: {contender.name} errs by {error:.2g}")
                        continue
                seconds = self.median(inputs, contender.run)
            except Exception as problem:  # a contender may lack memory, or a dtype
                rows.append([job, contender.name, f"{type(problem).__name__}", "", "", ""])
                continue
            ours = seconds if ours is None else ours
            speed = floor / seconds
            rows.append(
                [
                    job,
                    contender.name,
                    f"{1e3 * seconds:.4g} ms",
                    f"{speed / 1e9:.0f} GB/s",
                    f"{100 * speed / self.bandwidth:.0f} %",
                    f"{seconds / ours:.2f}",
                ]
            )
        return rows


def by_bmm(torch: Any, chain: Sequence[Pattern], values: Sequence[Array]) -> Callable[[Array], Array]:
    """PyTorch's batched product, factor by factor."""
    blocks = [torch.from_dlpack(V.swapaxes(1, 2).copy()) for V in values]

    def run(x: Array) -> Array:
        y = torch.from_dlpack(x)
        for (a, b, c, d), V in zip(reversed(chain), reversed(blocks), strict=True):
            y = y.reshape(a, c, d, -1).transpose(1, 2).reshape(a * d, c, -1)
            y = (
                torch.bmm(V.reshape(a * d, b, c), y)
                .reshape(a, d, b, -1)
                .transpose(1, 2)
                .reshape(a * b * d, -1)
            )
        return y

    return run


def by_einsum(torch: Any, pattern: Pattern, values: Array) -> Callable[[Array], Array]:
    (a, _, c, d), V = pattern, torch.from_dlpack(values)

    def run(x: Array) -> Array:
        y = torch.from_dlpack(x).reshape(a, c, d, -1)
        return torch.einsum("abdc,acdk->abdk", V, y).reshape(-1, x.shape[1])

    return run


def by_matmul(torch: Any, A: Array, *, tf32: bool) -> Callable[[Array], Array]:
    matrix = torch.from_dlpack(A)

    def run(x: Array) -> Array:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        return matrix @ torch.from_dlpack(x)

    return run


def by_lazylinop(values: Sequence[Array], backend: str) -> Callable[[Array], Array]:
    ksm = importlib.import_module("lazylinop.butterfly").ksm
    theirs = [V.transpose(0, 1, 3, 2).copy() for V in values]  # shape (a, b, c, d)
    operator = ksm(theirs, ksm_args={"backend": backend, "params": [None] * len(theirs)})
    return lambda x: operator @ x


def chain_contenders(bench: Bench, fsmf: Any, n: int, dtype: Any) -> tuple[list[Contender], Any]:
    xp, torch, chain = bench.xp, bench.torch, dyadic(n)
    exact = values_of(xp, chain, dtype)
    values = [V.astype(dtype) for V in exact]
    rtol = 1e-5 if np.dtype(dtype).char in "fF" else 1e-13
    F = fsmf.Product(fsmf.Architecture(chain), values)
    found = [
        Contender("fsmf", lambda x: F @ x, rtol),
        Contender("fsmf, columns whole", lambda x: F @ x, rtol),
        Contender("torch bmm", by_bmm(torch, chain, values), rtol),
        Contender("cuFFT", lambda x: xp.fft.fft(x, axis=0), 0, is_right=False),
    ]
    if n <= 4096:
        A = reference(xp, chain, exact, xp.eye(n, dtype=np.float64)).astype(dtype)
        found.append(Contender("matmul", by_matmul(torch, A, tf32=False), 1e-4))
        if np.dtype(dtype) == np.float32:
            found.append(Contender("matmul, TF32", by_matmul(torch, A, tf32=True), 1e-2))
    for backend in ("ksmm", "xp", "cupyx"):
        try:
            found.append(Contender(f"lazylinop, {backend}", by_lazylinop(values, backend), rtol))
        except Exception as problem:  # not there, or not for this
            print(f"skipped: lazylinop, {backend} ({type(problem).__name__}: {problem})")
    return found, exact


def bench_chains(bench: Bench, fsmf: Any, quick: bool) -> list[list[str]]:
    rows = []
    for n in (1024,) if quick else (1024, 2048, 4096, 8192, 16384):
        for batch in (1024,) if quick else (1024, 4096, 25088):
            for dtype in (np.float32, np.complex64):
                contenders, exact = chain_contenders(bench, fsmf, n, dtype)
                inputs = bench.rotating((n, batch), dtype)
                expected = reference(bench.xp, dyadic(n), exact, inputs[0])
                floor = 2 * inputs[0].nbytes
                job = f"dyadic {n}, {batch} columns, {np.dtype(dtype).name}"
                whole = [one for one in contenders if one.name.endswith("whole")]
                others = [one for one in contenders if one not in whole]
                rows += bench.compare(job, inputs, expected, others, floor)
                turned = [bench.xp.asfortranarray(x) for x in inputs]
                rows += bench.compare(job, turned, expected, whole, floor)
    return rows


def bench_singles(bench: Bench, fsmf: Any, quick: bool) -> tuple[list[list[str]], list[str]]:
    """Single factors: how much faster than the best of bmm, einsum and sparse, pattern by pattern."""
    xp, torch = bench.xp, bench.torch
    batch, summary, rows = (1024 if quick else 25088), [], []
    for dtype, rtol in ((np.float32, 1e-5), (np.float16, 5e-3)):
        ratios = []
        for pattern in single_patterns(97 if quick else 1):
            a, _, c, d = pattern
            (V,) = values_of(xp, [pattern], dtype)
            own = V.astype(np.float32)
            F = fsmf.Product(fsmf.Architecture([pattern]), [own])
            inputs = bench.rotating((a * c * d, batch), dtype)[:4]
            half = own.astype(dtype)
            expected = reference(xp, [pattern], [V], inputs[0])
            contenders = [
                Contender("fsmf", lambda x, F=F: F @ x, rtol),
                Contender("bmm", by_bmm(torch, [pattern], [half]), rtol),
                Contender("einsum", by_einsum(torch, pattern, half), rtol),
            ]
            if dtype == np.float32:
                csr = F.factors[0]
                contenders.append(Contender("sparse", lambda x, csr=csr: csr @ x, rtol))
            floor = inputs[0].nbytes + expected.size * np.dtype(dtype).itemsize + half.nbytes
            found = bench.compare(f"{pattern}, {np.dtype(dtype).name}", inputs, expected, contenders, floor)
            rows += found
            others = [float(row[5]) for row in found[1:] if row[5]]
            if found and found[0][1] == "fsmf" and others:
                ratios.append(min(others))
        if ratios:
            slower = sum(ratio < 1 for ratio in ratios)
            summary.append(
                f"{np.dtype(dtype).name}: {len(ratios)} patterns, the best of the others takes "
                f"{statistics.median(ratios):.2f} times as long (median), and is faster on {slower}"
            )
    return rows, summary


def bench_factorize(bench: Bench, fsmf: Any, quick: bool) -> list[list[str]]:
    """Factorizations, as multiples of the time to read the matrix; the error they state is recomputed."""
    xp, rows = bench.xp, []
    for n in (1024,) if quick else (4096, 16384, 32768):
        A = xp.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
        read, norm = bench.median([A], lambda A: A.sum()), float(xp.linalg.norm(A))
        blocks = 2 ** (n.bit_length() // 2)
        for name, supports, order in (
            ("monarch", fsmf.monarch(n, blocks=blocks), None),
            ("butterfly, left to right", fsmf.butterfly(n), "left-to-right"),
            ("butterfly, balanced", fsmf.butterfly(n), "balanced"),
        ):
            solver = fsmf.Hierarchical(order=order)
            F = fsmf.factorize(A, supports, solver=solver)
            error = float(xp.linalg.norm(A - F.to_dense()))
            if not abs(error - F.error) <= 1e-4 * norm:
                bench.failures.append(f"{name} {n}: the error is {error:.6g}, not {F.error:.6g}")
                continue
            seconds = bench.median([A], _factorization(fsmf, supports, solver), rounds=3)
            rows.append([f"{name} {n}", "fsmf", f"{1e3 * seconds:.4g} ms", f"{seconds / read:.1f}"])
        try:
            run = by_ksd(n, blocks)
            seconds = bench.median([A], run, rounds=3)
            rows.append([f"monarch {n}", "lazylinop ksd", f"{1e3 * seconds:.4g} ms", f"{seconds / read:.1f}"])
        except Exception as problem:  # not there, or not for this
            print(f"skipped: lazylinop ksd at {n} ({type(problem).__name__}: {problem})")
    return rows


def _factorization(fsmf: Any, supports: Any, solver: Any) -> Callable[[Array], Any]:
    return lambda A: fsmf.factorize(A, supports, solver=solver)


def by_ksd(n: int, blocks: int) -> Callable[[Array], Any]:
    butterfly = importlib.import_module("lazylinop.butterfly")
    chain = butterfly.Chain([(1, blocks, blocks, n // blocks), (blocks, n // blocks, n // blocks, 1)])
    return lambda A: butterfly.ksd(A, chain)


def check_manners(bench: Bench, fsmf: Any) -> None:
    """No leak in a thousand applications; streams and devices are respected."""
    xp = bench.xp
    F = fsmf.transforms.hadamard(1024).to_device("gpu")
    x = xp.ones((1024, 64))
    expected = F @ x
    xp.cuda.Device().synchronize()
    before = xp.get_default_memory_pool().used_bytes()
    for _ in range(1000):
        F @ x
    xp.cuda.Device().synchronize()
    if xp.get_default_memory_pool().used_bytes() != before:
        bench.failures.append("a thousand applications leak memory")
    with xp.cuda.Stream(non_blocking=True) as stream:
        y = F @ x
        stream.synchronize()
    if not float((y == expected).all()):
        bench.failures.append("another stream computes something else")
    for number in range(1, xp.cuda.runtime.getDeviceCount()):
        there = F.to_device(f"gpu:{number}")
        with xp.cuda.Device(number):
            if not float((there @ xp.asarray(x) == xp.asarray(expected)).all()):
                bench.failures.append(f"device {number} computes something else")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    lines = [list(header), *map(list, rows)]
    if markdown:
        lines.insert(1, ["---"] * len(header))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def unpack(folder: Path) -> None:
    """Make the wheels of a folder importable, without an installer."""
    target = tempfile.mkdtemp(prefix="wheels-")
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    sys.path.append(target)


def device() -> tuple[Any, Any] | str:
    """CuPy and PyTorch with a GPU, or the sentence that says what is missing."""
    try:
        cupy, torch = importlib.import_module("cupy"), importlib.import_module("torch")
        if cupy.cuda.runtime.getDeviceCount() and torch.cuda.is_available():
            return cupy, torch
    except Exception as problem:  # half an installation fails in many ways
        return f"no GPU is measured: CuPy or PyTorch does not load ({type(problem).__name__}: {problem})"
    return "no GPU is measured: CuPy or PyTorch finds none"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and few: does it run, is it right")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to import from")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if options.wheels:
        unpack(options.wheels)
    found = device()
    if isinstance(found, str):
        print(found)
        return 2
    cupy, torch = found
    fsmf = importlib.import_module("fsmf")
    began, bench = time.perf_counter(), Bench(cupy, torch)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}; CuPy {cupy.__version__}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"copy bandwidth {bench.bandwidth / 1e9:.0f} GB/s")
    side = 2048 if options.quick else 8192
    square = cupy.ones((side, side), np.float32)
    for tf32 in (False, True):
        seconds = bench.median([square], by_matmul(torch, square, tf32=tf32))
        print(
            f"matmul {side}³ in float32{', TF32' if tf32 else ''}: {2 * side**3 / seconds / 1e12:.1f} Tflop/s"
        )
    check_manners(bench, fsmf)
    header = ["job", "contender", "median", "speed", "of copying", "time / ours"]
    print("\n" + table(header, bench_chains(bench, fsmf, options.quick), markdown=options.markdown))
    header = ["job, float32", "contender", "median", "times reading A"]
    print("\n" + table(header, bench_factorize(bench, fsmf, options.quick), markdown=options.markdown))
    rows, summary = bench_singles(bench, fsmf, options.quick)
    header = ["job", "contender", "median", "speed", "of copying", "time / ours"]
    print("\n" + table(header, rows, markdown=options.markdown))
    print(*summary, sep="\n")
    print(f"{time.perf_counter() - began:.0f} s in all")
    for failure in bench.failures:
        print(f"GATE FAILED: {failure}")
    return int(bool(bench.failures))


if __name__ == "__main__":
    sys.exit(main())
