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


def _save(figure: pyplot.Figure, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    monarch(HERE / "_static" / "monarch.png")
