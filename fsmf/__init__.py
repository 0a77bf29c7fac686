"""Fixed-support matrix factorization: best products of factors with given supports, each with its worth."""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

# Each public name is loaded when it is first asked for, so that to import fsmf costs next to nothing.
# The stub beside this file says the same to those who read types.
_ROOMS = {
    "approximating": ("approximate",),
    "brackets": ("Bracket", "bracket"),
    "certificates.block_brackets": ("GlobalOptimum", "StationaryPoint"),
    "certificates.by_construction": ("ByConstruction",),
    "certificates.quasi_optimum": ("QuasiOptimum",),
    "certificates.search_bound": ("SearchBound",),
    "certificates.stationary_product": ("StationaryProduct",),
    "certificates.sum_bound": ("SumBound",),
    "certificates.verification": ("Verification",),
    "factorization": ("Factorization", "Status", "load"),
    "history": ("History",),
    "kernels.calibration": ("calibrate",),
    "explaining": ("Plan", "explain"),
    "factorizing": ("factorize",),
    "products.product": ("Product",),
    "ridge_paths": ("RidgePath",),
    "solvers.als": ("ALS",),
    "solvers.base": ("Cost",),
    "solvers.block_svd": ("BlockSVD",),
    "solvers.global_search": ("GlobalSearch",),
    "solvers.hierarchical": ("Hierarchical",),
    "solvers.variable_projection": ("VariableProjection",),
    "solvers.palm": ("PALM",),
    "solvers.problem_progress": ("Sweep",),
    "solvers.quasi_newton": ("QuasiNewton",),
    "splitting": ("hierarchical_sparse",),
    "ordering": ("find_order",),
    "suggesting": ("Suggestion", "suggest_supports"),
    "support_search": ("SupportSearch",),
    "supports.architectures": ("butterfly", "deformable", "kaleidoscope", "low_rank", "monarch"),
    "supports.blocks": ("DisjointBlocks",),
    "supports.constraints": (
        "Constraint",
        "Free",
        "Joint",
        "OnSupport",
        "RowColumnSparse",
    ),
    "supports.families": (
        "arrow",
        "banded",
        "block_diagonal",
        "completion",
        "hodlr",
        "lu",
        "random_supports",
    ),
    "supports.fixed": ("FixedSupport", "fixed"),
    "supports.graph": ("overlap_graph",),
    "supports.groups": ("GroupSparse",),
    "supports.kronecker": ("Architecture", "Interface", "KroneckerPattern"),
    "supports.rank_one": (
        "Collision",
        "EquivalenceClass",
        "EquivalenceClasses",
        "complete_cover",
        "equivalence_classes",
    ),
    "supports.sparsity": ("BlockSparse", "ColumnSparse", "KSparse", "NM", "RowSparse"),
    "supports.support": ("Support", "Supports", "as_support", "as_supports", "pair"),
    "thresholding.descent": ("Ending", "SparsePoint", "Trace", "iht"),
    "thresholding.sensing": ("restricted_spectrum", "sparse_lstsq"),
    "thresholding.stability": ("HTStability", "estimate_rss", "ht_stability"),
    "tractability": ("Identifiability", "Landscape", "Structure", "analyze"),
    "wellposedness.attained": ("Attained", "NotAttained", "check_attained"),
    "wellposedness.check": ("check_well_posedness",),
    "wellposedness.elimination": (
        "Attainable",
        "Unattainable",
        "Unsettled",
        "is_attainable",
    ),
    "wellposedness.relu": ("check_relu_well_posedness",),
    "wellposedness.relu_verdicts": ("TrainingIllPosed", "TrainingUndecided", "TrainingWellPosed"),
    "wellposedness.verdicts": ("IllPosed", "Undecided", "WellPosed", "verdict_from_dict"),
    "wellposedness.witnesses": ("Witness",),
}
_HOMES = {name: f"fsmf.{room}" for room, names in _ROOMS.items() for name in names}
_PACKAGES = ("drawing", "errors", "nn", "training", "transforms")

__all__ = sorted([*_HOMES, *_PACKAGES])


def __getattr__(name: str) -> _Any:
    if name in _PACKAGES:
        return _import_module(f"fsmf.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'fsmf' has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
