"""Pictures of supports, blocks, overlaps, factors, histories, brackets, paths, witnesses: one Axes each.

Every function takes ``ax=None`` and returns the Axes: it opens a figure only when none is given, changes no
global setting, and shows nothing by itself. What is larger than the picture is counted or sampled by pixel:
cost and memory depend on the nonzeros, never on the area.
"""

from fsmf.drawing.brackets import draw_bracket, draw_residuals
from fsmf.drawing.factors import draw_factors, draw_history
from fsmf.drawing.paths import draw_ridge_path
from fsmf.drawing.supports import draw_overlap_graph, draw_support, draw_supports
from fsmf.drawing.witnesses import draw_witness

__all__ = [
    "draw_bracket",
    "draw_factors",
    "draw_history",
    "draw_overlap_graph",
    "draw_residuals",
    "draw_ridge_path",
    "draw_support",
    "draw_supports",
    "draw_witness",
]
