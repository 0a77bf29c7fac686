"""What every benchmark shares: a fair clock, an accuracy gate, and words for where it ran."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from typing import Any

import numpy as np

from benchmarks import THREADS


@dataclass(frozen=True)
class Contender:
    """One way to do the job, and how wrong its result is, measured from outside."""

    name: str
    run: Callable[[], Any]
    error: Callable[[Any], float]


@dataclass
class Timing:
    """What one contender took: the first call apart, then one call a round."""

    first: float
    error: float
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def interleave(
    contenders: Sequence[Contender], rounds: int, *, rest: float = 0.0, turn: float = 0.0
) -> dict[str, Timing]:
    """Time A B C, A B C, …: whatever else the machine does, it does it to all of them.

    Short jobs take turns of `turn` seconds, after as long a time that does not count: cores that have slept
    are slow at first. Where some library keeps its threads spinning for milliseconds after a call, each
    contender rests first, so that nobody pays for the one before.
    """
    timings = {}
    for contender in contenders:
        first, result = timed(contender.run)
        timings[contender.name] = Timing(first, contender.error(result))
    for _ in range(rounds):
        for contender in contenders:
            times = 0
            time.sleep(rest)
            began = time.perf_counter()
            while turn and times < 1000 and time.perf_counter() - began < turn:
                contender.run()
                times += 1
            times = max(1, times)
            began = time.perf_counter()
            for _ in range(times):
                contender.run()
            timings[contender.name].seconds.append((time.perf_counter() - began) / times)
    return timings


@dataclass(frozen=True)
class Ratio:
    """How many times longer they took: the ratio of medians, and the range over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        pairs = [b / a if math.isfinite(a) else math.nan for a, b in zip(ours, theirs, strict=True)]
        return cls(median(theirs) / median(ours), min(pairs), max(pairs))

    def __str__(self) -> str:
        return "never" if math.isinf(self.median) else f"{self.median:.1f}× ({self.low:.1f}–{self.high:.1f})"


class Gate:
    """Time only what is right: remember every claim that does not hold."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, holds: bool, claim: str) -> None:
        if not holds:
            self.failures.append(claim)

    def exit_code(self) -> int:
        for claim in self.failures:
            print(f"GATE FAILED: {claim}")
        return int(bool(self.failures))


@cache
def optional(module: str) -> Any:
    """Import a contender, or say in one line that it is left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except Exception as problem:  # a peer half installed fails in many ways
        print(f"skipped: {module} ({type(problem).__name__}: {problem})")
        return None


def copy_seconds(array: np.ndarray, rounds: int = 7, *, fresh: bool = False) -> float:
    """Time to copy an array to memory that is already mapped, or to fresh memory as ``array.copy()`` does."""
    if fresh:
        return median(timed(array.copy)[0] for _ in range(rounds))
    target = np.empty_like(array)
    np.copyto(target, array)
    return median(timed(lambda: np.copyto(target, array))[0] for _ in range(rounds))


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if math.isfinite(seconds) else "never"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    """Lay out rows as aligned text, or as a Markdown table."""
    if markdown:
        return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in [header, *rows])


def machine(*packages: str) -> str:
    """Say in one line where and with what this ran."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "scipy", "numba", *packages):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{_processor()}, {os.cpu_count()} cores; {_threads()}; {', '.join(versions)}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _threads() -> str:
    """The thread count asked for, and what the loaded libraries made of it where that can be seen."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return f"{THREADS} threads asked for"
    pools = {f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info()}
    return f"{THREADS} threads asked for (in effect: {', '.join(sorted(pools))})"


def arguments(description: str, *, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small and few: does it run, is it right")
    parser.add_argument("--markdown", action="store_true", help="print the results as a Markdown table")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of interleaved runs")
    return parser
