"""Chains and factorizations on a GPU, beside cuBLAS, cuFFT, PyTorch and lazylinop: one script, one call.

    python benchmarks/gpu.py [--quick] [--markdown] [--wheels FOLDER] [--out FOLDER] [--seconds S]

It needs CuPy and PyTorch, and fsmf from the folder above; wheels of whatever else is missing on a bare
machine (array-api-compat, SciPy, lazylinop) may lie in a folder. Correctness comes first; a contender that is
wrong is not timed. Times are medians by CUDA events, after warm-up, on inputs that rotate through more memory
than the cache holds. Fractions are of the copy bandwidth that is measured in the same run. What does not fit
into the seconds is left out, and said to be. With --out whole tables go to a file and what counts is printed.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu_contenders import (
    by_adam,
    by_bmm,
    by_einsum,
    by_ksd,
    by_lazylinop,
    by_matmul,
    calibrated,
    dyadic,
    reference,
    relative,
    single_patterns,
    values_of,
)
from benchmarks.harness import table

ROUNDS, WARM_UP = 15, 3

# Seconds that all rounds of a contender may take, and least rounds.
PATIENCE, FEW = 0.4, 3

Array = Any
Row = list[str]


class Sizes(NamedTuple):
    """How large everything is: sides and columns of chains, sides of matrices, and so on."""

    chains: tuple[int, ...]
    batches: tuple[int, ...]
    squares: tuple[int, ...]
    pairs: tuple[tuple[int, int, float], ...]  # sides, components, densities of random masks
    single_step: int  # every so manieth pattern
    single_batch: int
    matmul: int
    copied: int
    rotated: int
    checks: int
    probes: tuple[Any, ...] = ()  # how large those of a calibration are


FULL = Sizes(
    chains=(1024, 2048, 4096, 8192, 16384),
    batches=(25088, 1024, 4096),
    squares=(4096, 16384, 32768),
    pairs=((200, 50, 0.3), (1024, 128, 0.1), (4096, 512, 0.1)),
    single_step=1,
    single_batch=25088,
    matmul=8192,
    copied=1 << 28,
    rotated=512 << 20,
    checks=200,
)
QUICK = FULL._replace(
    chains=(1024,),
    batches=(1024,),
    squares=(1024,),
    pairs=((200, 50, 0.3),),
    single_step=97,
    single_batch=1024,
    matmul=2048,
    checks=20,
)


class Contender(NamedTuple):
    """Who does the job: a function of an input, and how the output is compared with that of the job."""

    name: str
    run: Callable[[Array], Array]
    rtol: float
    is_right: bool = True  # whether it computes the same thing, or only something that costs as much


class Bench:
    """A device, its ceilings, what failed, and how much time is left."""

    def __init__(self, cupy: Any, torch: Any, sizes: Sizes, seconds: float = math.inf) -> None:
        self.xp, self.torch, self.sizes = cupy, torch, sizes
        self.failures: list[str] = []
        self.left_out: list[str] = []
        self._end = time.perf_counter() + seconds
        source = cupy.ones(sizes.copied, np.float32)
        target = cupy.empty_like(source)
        self.bandwidth = 2 * source.nbytes / self.median([source], lambda x: cupy.copyto(target, x))

    def has_time(self, what: str) -> bool:
        """Whether there is time for something, which is otherwise said to be left out."""
        if time.perf_counter() < self._end:
            return True
        self.left_out.append(f"{what}, for lack of time")
        return False

    def expect(self, holds: Any, otherwise: str) -> None:
        """Note what failed."""
        if not bool(holds):
            self.failures.append(otherwise)

    def seconds(self, run: Callable[[], Any]) -> float:
        """Seconds of one call, by the device's clock."""
        start, stop = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, stop)) / 1e3

    def median(self, inputs: Sequence[Array], run: Callable[[Array], Any], rounds: int = ROUNDS) -> float:
        """Seconds of a call, the median over rounds, each on the next input; fewer rounds of what is slow."""
        for i in range(WARM_UP):
            once = self.seconds(partial(run, inputs[i % len(inputs)]))
            if once > PATIENCE / FEW:
                break
        rounds = max(FEW, min(rounds, int(PATIENCE / max(once, 1e-9))))
        return statistics.median(self.seconds(partial(run, inputs[i % len(inputs)])) for i in range(rounds))

    def rotating(self, shape: tuple[int, int], dtype: Any) -> list[Array]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        rng, found = self.xp.random.default_rng(1), []
        for _ in range(max(2, min(16, -(-self.sizes.rotated // size)))):
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
            shares = f"{speed / 1e9:.0f} GB/s", f"{100 * speed / self.bandwidth:.0f} %"
            rows.append([job, contender.name, f"{1e3 * seconds:.4g} ms", *shares, f"{seconds / ours:.2f}"])
        return rows


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
            bench.left_out.append(f"lazylinop, {backend} ({type(problem).__name__}: {problem})")
    return found, exact


def bench_chains(bench: Bench, fsmf: Any) -> tuple[list[Row], list[str]]:
    rows, said = [], []
    for batch in bench.sizes.batches:
        for n in bench.sizes.chains:
            for dtype in (np.float32, np.complex64):
                job = f"dyadic {n}, {batch} columns, {np.dtype(dtype).name}"
                if not bench.has_time(job):
                    continue
                contenders, exact = chain_contenders(bench, fsmf, n, dtype)
                inputs = bench.rotating((n, batch), dtype)
                expected = reference(bench.xp, dyadic(n), exact, inputs[0])
                floor = 2 * inputs[0].nbytes
                whole = [one for one in contenders if one.name.endswith("whole")]
                others = [one for one in contenders if one not in whole]
                found = bench.compare(job, inputs, expected, others, floor)
                turned = [bench.xp.asfortranarray(x) for x in inputs]
                rows += found + bench.compare(job, turned, expected, whole, floor)
                if found and found[0][1] == "fsmf" and found[0][5]:
                    times = {row[1]: float(row[5]) for row in found if row[5]}
                    theirs = min([t for name, t in times.items() if "lazylinop" in name], default=math.nan)
                    said.append(
                        f"{job}: {found[0][4]} of copying (asked: 70), lazylinop {theirs:.2f} (3), "
                        f"cuFFT {times.get('cuFFT', math.nan):.2f} (0.67 or more) times as long"
                    )
    return rows, said


def bench_singles(bench: Bench, fsmf: Any) -> tuple[list[Row], list[str]]:
    """Single factors: how much faster than the best of bmm, einsum and sparse, pattern by pattern."""
    xp, torch = bench.xp, bench.torch
    batch, rows = bench.sizes.single_batch, []
    ratios: dict[str, list[float]] = {"float32": [], "float16": []}
    for pattern in single_patterns(bench.sizes.single_step):
        for dtype, rtol in ((np.float32, 1e-5), (np.float16, 5e-3)):
            if not bench.has_time("single factors"):
                continue
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
                ratios[np.dtype(dtype).name].append(min(others))
    summary = [
        f"{name}: {len(found)} patterns, the best of the others takes {statistics.median(found):.2f} times "
        f"as long (median; asked: 1.4 in single precision), is faster on {sum(one < 1 for one in found)}"
        for name, found in ratios.items()
        if found
    ]
    return rows, summary


def bench_factorize(bench: Bench, fsmf: Any) -> list[Row]:
    """Factorizations, as multiples of the time to read the matrix; the error they state is recomputed."""
    xp, rows = bench.xp, []
    for n in bench.sizes.squares:
        if not bench.has_time(f"factorizations of {n}²"):
            continue
        noise = xp.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
        read, blocks = bench.median([noise], lambda A: A.sum()), 2 ** (n.bit_length() // 2)
        monarch, butterfly = fsmf.monarch(n, blocks=blocks), fsmf.butterfly(n)
        own = fsmf.transforms.hadamard(n).to_device("gpu").to_dense().astype(np.float32)
        own += 0.1 * float(xp.linalg.norm(own)) / n * noise
        for what, A, supports, order in (
            ("monarch", own, monarch, None),
            ("butterfly, left to right", own, butterfly, "left-to-right"),
            ("butterfly, balanced", own, butterfly, "balanced"),
            ("monarch of noise", noise, monarch, None),
        ):
            solver = fsmf.Hierarchical(order=order)
            job, run = f"{what} {n}", partial(fsmf.factorize, supports=supports, solver=solver)
            F = run(A)
            error, norm = float(xp.linalg.norm(A - F.to_dense())), float(xp.linalg.norm(A))
            if not abs(error - F.error) <= 1e-4 * norm:
                bench.failures.append(f"{job}: the error is {error:.6g}, not {F.error:.6g}")
                continue
            # Until the device has the factors and the norms; and until the host has the error, too.
            for name, way in (("fsmf", run), ("fsmf, error read", lambda A: run(A).error)):  # noqa: B023
                seconds = bench.median([A], way, rounds=3)
                rows.append([job, name, f"{1e3 * seconds:.4g} ms", f"{seconds / read:.1f}"])
        try:
            seconds = bench.median([own], by_ksd(n, blocks), rounds=3)
            rows.append([f"monarch {n}", "lazylinop ksd", f"{1e3 * seconds:.4g} ms", f"{seconds / read:.1f}"])
        except Exception as problem:  # not there, or not for this
            bench.left_out.append(f"lazylinop ksd at {n} ({type(problem).__name__}: {problem})")
    return rows


def bench_pairs(bench: Bench, fsmf: Any) -> list[Row]:
    """Random masks by alternating least squares: here, in host memory, and by Adam in as much time."""
    xp, rows = bench.xp, []
    for n, components, density in bench.sizes.pairs:
        job = f"{n}×{n}, {components} components, density {density}"
        if not bench.has_time(job):
            continue
        supports = fsmf.random_supports(n, components=components, density=density, rng=0)
        host = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
        A, solver = xp.asarray(host), fsmf.ALS(starts=1, max_seconds=20, rtol=1e-5)
        fsmf.factorize(A, supports, solver=fsmf.ALS(starts=1, max_sweeps=2))  # warm
        found: list[Any] = []
        seconds = bench.seconds(lambda: found.append(fsmf.factorize(A, supports, solver=solver)))  # noqa: B023
        (F,) = found
        error = float(xp.linalg.norm(A - F.to_dense()) / xp.linalg.norm(A))
        bench.expect(abs(error - F.relative_error) <= 1e-4, f"{job}: the error is {error:.6g}")
        began = time.perf_counter()
        G = fsmf.factorize(host, supports, solver=solver)
        taken = time.perf_counter() - began
        bench.expect(
            F.relative_error <= 1.01 * G.relative_error,
            f"{job}: here {error:.6g}, not {G.relative_error:.6g}",
        )
        for name, spent, reached, sweeps in (
            ("fsmf", seconds, error, len(F.history)),
            ("fsmf, host", taken, G.relative_error, len(G.history)),
            ("torch Adam", *by_adam(bench.torch, A, supports, seconds)),
        ):
            rows.append(
                [job, name, f"{spent:.3f} s", f"{1e3 * spent / max(1, sweeps):.3f} ms", f"{reached:.5f}"]
            )
    return rows


def check_patterns(bench: Bench, fsmf: Any) -> None:
    """Random chains and single factors, in all types and both layouts, forward and adjoint."""
    xp, rng = bench.xp, np.random.default_rng(2)
    for _ in range(bench.sizes.checks):
        radices = rng.integers(2, 6, size=rng.integers(1, 6)).tolist()
        chain = [
            (math.prod(radices[:i]), radix, radix, math.prod(radices[i + 1 :]))
            for i, radix in enumerate(radices)
        ]
        if len(chain) == 1:
            chain = [tuple(int(side) for side in rng.integers(1, 40, 4))]
        for dtype, rtol in (("float16", 5e-3), ("float32", 1e-5), ("float64", 1e-13), ("complex64", 1e-5)):
            own = np.float32 if dtype == "float16" else dtype
            exact = values_of(xp, chain, own, int(rng.integers(99)))
            F = fsmf.Product(fsmf.Architecture(chain), [V.astype(own) for V in exact])
            k = int(rng.integers(1, 70))
            x = xp.asarray(rng.standard_normal((F.shape[1], k)).astype(dtype))
            expected = reference(xp, chain, exact, x)
            for y, name in ((F @ x, "rows"), (F @ xp.asfortranarray(x), "columns")):
                error = relative(xp, y, expected)
                bench.expect(error <= rtol and y.dtype == x.dtype, f"{chain}, {dtype}, {name}: {error:.2g}")
            if dtype == "float16":
                continue
            z = xp.asarray(rng.standard_normal((F.shape[0], k)).astype(own))
            gap = abs(complex((z.conj() * (F @ x)).sum()) - complex((((F.H @ z).conj()) * x).sum()))
            size = float(xp.linalg.norm(z)) * float(xp.linalg.norm(expected))
            bench.expect(
                gap <= 10 * rtol * size, f"{chain}, {dtype}: the adjoint errs by {gap:.2g} of {size:.2g}"
            )


def check_manners(bench: Bench, fsmf: Any) -> None:
    """No leak in a thousand applications; memory is overwritten; streams and devices are respected."""
    xp, n = bench.xp, min(1024, *bench.sizes.chains)
    F = fsmf.transforms.hadamard(n).to_device("gpu")
    x = xp.ones((n, 64))
    expected = F @ x
    xp.cuda.Device().synchronize()
    before = xp.get_default_memory_pool().used_bytes()
    for _ in range(min(1000, 5 * bench.sizes.checks)):
        F @ x
    xp.cuda.Device().synchronize()
    bench.expect(xp.get_default_memory_pool().used_bytes() == before, "a thousand applications leak memory")
    # What the pool hands out next holds NaN.
    poison = [xp.full((n, 64), np.nan) for _ in range(4)]
    del poison
    bench.expect((F @ x == expected).all(), "outputs are not overwritten everywhere")
    with xp.cuda.Stream(non_blocking=True) as stream:
        y = F @ x
        stream.synchronize()
    bench.expect((y == expected).all(), "another stream computes something else")
    for number in range(1, xp.cuda.runtime.getDeviceCount()):
        there = F.to_device(f"gpu:{number}")
        with xp.cuda.Device(number):
            own = xp.asarray(x)
            bench.expect(
                (there @ own == xp.asarray(expected)).all(), f"device {number} computes something else"
            )
        y = there @ own  # from another current device
        with xp.cuda.Device(number):
            bench.expect((y == xp.asarray(expected)).all(), f"device {number} is not entered")


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


HEADER = ["job", "contender", "median", "speed", "of copying", "time / ours"]


def measure(bench: Bench, fsmf: Any, show: Callable[[Sequence[str], Sequence[Row]], None]) -> None:
    """Check and measure everything, what matters most first."""
    print(f"copy bandwidth {bench.bandwidth / 1e9:.0f} GB/s", flush=True)
    rates, rows = calibrated(bench.sizes.chains, bench.sizes.batches, bench.sizes.probes)
    print(*(f"{name}: estimated {old:.3g}, measured {new:.3g}" for name, old, new in rates), sep="\n")
    show(["chain", "columns", "numbers", "planned by estimates", "planned by measurement"], rows)
    xp, torch, side = bench.xp, bench.torch, bench.sizes.matmul
    for dtype, tf32 in ((np.float32, False), (np.float32, True), (np.float16, False), (np.float64, False)):
        square = xp.ones((side, side), dtype)
        rate = 2 * side**3 / bench.median([square], by_matmul(torch, square, tf32=tf32))
        name = f"{np.dtype(dtype).name}{', TF32' if tf32 else ''}"
        print(f"matmul {side}³ in {name}: {rate / 1e12:.1f} Tflop/s", flush=True)
    check_manners(bench, fsmf)
    check_patterns(bench, fsmf)
    rows, said = bench_chains(bench, fsmf)
    show(HEADER, rows)
    print(*said, sep="\n", flush=True)
    rows = bench_factorize(bench, fsmf)
    show(["job, float32", "contender", "median", "times reading A"], rows)
    print(*("  ".join(row) for row in rows), sep="\n", flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fsmf.errors.FsmfWarning)  # not all starts end in time
        rows = bench_pairs(bench, fsmf)
    show(["job", "contender", "in all", "a sweep or step", "relative error"], rows)
    print(*("  ".join(row) for row in rows), sep="\n", flush=True)
    rows, said = bench_singles(bench, fsmf)
    show(HEADER, rows)
    print(*said, sep="\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and few: does it run, is it right")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to import from")
    parser.add_argument("--out", type=Path, help="folder for the tables, which are then not printed")
    parser.add_argument("--seconds", type=float, default=540, help="what does not fit is left out (540)")
    options = parser.parse_args()
    if options.wheels:
        unpack(options.wheels)
    found = device()
    if isinstance(found, str):
        print(found)
        return 2
    cupy, torch = found
    fsmf = importlib.import_module("fsmf")
    began = time.perf_counter()
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}; CuPy {cupy.__version__}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    bench = Bench(cupy, torch, QUICK if options.quick else FULL, options.seconds)

    def show(header: Sequence[str], rows: Sequence[Row]) -> None:
        text = table(header, rows, markdown=options.markdown)
        if options.out is None:
            print("\n" + text, flush=True)
            return
        with (options.out / "gpu.md").open("a", encoding="utf-8") as file:
            file.write(text + "\n\n")

    measure(bench, fsmf, show)
    print(f"{time.perf_counter() - began:.0f} s in all")
    for job in dict.fromkeys(bench.left_out):
        print(f"left out, {bench.left_out.count(job)} times: {job}")
    for failure in bench.failures:
        print(f"GATE FAILED: {failure}")
    return int(bool(bench.failures))


if __name__ == "__main__":
    sys.exit(main())
