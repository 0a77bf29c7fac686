"""What every experiment shares: options, and a plot beside the table."""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot

__all__ = ["options", "peak_of", "plot", "progress"]


def options(description: str | None, **numbers: int) -> argparse.Namespace:
    """Read what all experiments take, and numbers that one has besides, with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few runs: does it work")
    parser.add_argument("--markdown", action="store_true", help="print the results as a Markdown table")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random")
    parser.add_argument("--plots", type=Path, default=Path(), help="the folder for the plot")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"by default {default}")
    return parser.parse_args()


def plot(folder: Path, name: str, draw: Callable[[Any], None], *, panels: int = 1) -> None:
    """Let a function draw into axes, and save the figure."""
    figure, axes = pyplot.subplots(
        1, panels, figsize=(4.5 * panels, 3.5), layout="constrained", squeeze=False
    )
    draw(axes[0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=120)
    print(f"\n{path}")


def peak_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the most memory that Python and NumPy held during a call, in MB, and its result."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] / 1e6, result
    finally:
        tracemalloc.stop()


def progress(message: str) -> None:
    """Say where it is, beside the results."""
    print(message, file=sys.stderr, flush=True)
