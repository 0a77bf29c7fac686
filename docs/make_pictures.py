"""Make the pictures of the documentation, all through fsmf.drawing.

``python docs/make_pictures.py`` redraws the one that is kept, ``_static/monarch.png``; the others are drawn
when the documentation is built.
"""

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot

import fsmf
from fsmf import drawing

HERE = Path(__file__).parent
SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])


def monarch(path: Path) -> None:
    """Two factors and the blocks that they make, a colour per class."""
    supports = fsmf.monarch(16, blocks=4)
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), width_ratios=(34.6, 18.9), layout="constrained")
    drawing.draw_factors(supports, ax=axes[0])
    drawing.draw_supports(supports, ax=axes[1])
    axes[0].set_title("column k of X, and row k of Y, in the colour of k", fontsize="medium")
    axes[1].set_title("the block that component k makes", fontsize="medium")
    # The same scale and the same height on both sides of the equals sign.
    bottom, top = axes[0].get_ylim()
    axes[1].set(xlim=(-3, 15.85), ylim=(bottom - 0.5, top - 0.5))
    axes[1].text(-1.7, 7.5, "=", va="center", ha="center", fontsize="xx-large")
    axes[1].text(7.5, 15.8, "16×16", va="top", ha="center")
    axes[1].set_axis_off()
    _save(figure, path)


def classes(path: Path) -> None:
    """Blocks and overlap graphs: a tractable pair, and one that is not."""
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 7.5), layout="constrained")
    for row, supports in zip(axes, (fsmf.hodlr(8, rank=1), fsmf.lu(5)), strict=True):
        drawing.draw_supports(supports, ax=row[0])
        drawing.draw_overlap_graph(supports, ax=row[1])
    _save(figure, path)


def lu(path: Path) -> None:
    """Error and factors of the LU supports, sweep by sweep, without a ridge and with one."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for ax, ridge in zip(axes, (0, 0.01), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fsmf.errors.NotAttainedWarning)
            F = fsmf.factorize(SWAP, fsmf.lu(2), solver=fsmf.ALS(ridge=ridge))
        drawing.draw_history(F, ax=ax)
        ax.set_title(f"ridge {ridge}: {F.status.value.partition(':')[0]}")
    _save(figure, path)


def chain(path: Path) -> None:
    """The factors of a butterfly, and the blocks into which each interface cuts the matrix."""
    chain = fsmf.butterfly(16)
    figure = pyplot.figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    drawing.draw_factors(chain, ax=above.subplots()).set_title("")
    for s, ax in enumerate(below.subplots(1, 3), start=1):
        interface = chain.interface(s)
        drawing.draw_supports([interface.left, interface.right], ax=ax)
        (rows, columns), (across, down) = interface.block, interface.n_blocks
        ax.set_title(
            f"interface {s}: {across * down} blocks, {rows} rows × {columns} columns", fontsize="small"
        )
        ax.set(xlabel="", ylabel="", xticks=[0, 15], yticks=[0, 15])
    _save(figure, path)


def bracket(path: Path) -> None:
    """A Hadamard matrix with noise that grows to the right: its bracket, and a map of one interface."""
    n = 256
    noise = np.linspace(0, 1, n) * np.random.default_rng(0).standard_normal((n, n))
    A = fsmf.transforms.hadamard(n).to_dense() + 0.2 * noise
    found = fsmf.bracket(A, fsmf.butterfly(n))
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1.15, 1), layout="constrained")
    drawing.draw_bracket(found, fsmf.factorize(A, fsmf.butterfly(n)), ax=axes[0])
    drawing.draw_residuals(found, 4, ax=axes[1])
    _save(figure, path)


def witness(path: Path) -> None:
    """How the error of the smallest ill-posed pair falls as its factors grow."""
    figure, ax = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    drawing.draw_witness(fsmf.check_well_posedness(fsmf.lu(2)), ax=ax)
    _save(figure, path)


def _save(figure: pyplot.Figure, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    monarch(HERE / "_static" / "monarch.png")
