"""Fixed-support matrix factorization: best products of factors with given supports, each with its worth."""

import importlib as _importlib
import typing as _typing

from fsmf import errors
from fsmf.approximate import approximate
from fsmf.brackets import Bracket, bracket
from fsmf.certificates import ByConstruction, GlobalOptimum, StationaryPoint, Verification
from fsmf.chain_certificates import QuasiOptimum, SumBound
from fsmf.factorization import Factorization, History, Status, load
from fsmf.factorize import Plan, explain, factorize
from fsmf.product import Product
from fsmf.solvers.als import ALS, Sweep
from fsmf.solvers.base import Cost
from fsmf.solvers.block_svd import BlockSVD
from fsmf.solvers.hierarchical import Hierarchical
from fsmf.supports.architectures import butterfly, deformable, kaleidoscope, low_rank, monarch
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.families import (
    arrow,
    banded,
    block_diagonal,
    completion,
    hodlr,
    lu,
    random_supports,
)
from fsmf.supports.graph import overlap_graph
from fsmf.supports.kronecker import Architecture, Interface, KroneckerPattern
from fsmf.supports.rank_one import (
    Collision,
    EquivalenceClass,
    EquivalenceClasses,
    complete_cover,
    equivalence_classes,
)
from fsmf.supports.support import Support, Supports, as_support, as_supports, pair
from fsmf.tractability import Identifiability, Landscape, Structure, analyze

if _typing.TYPE_CHECKING:
    from fsmf import transforms
    from fsmf.wellposedness.check import check_well_posedness
    from fsmf.wellposedness.elimination import (
        Attainable,
        Attained,
        NotAttained,
        Unattainable,
        Unsettled,
        check_attained,
        is_attainable,
    )
    from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed
    from fsmf.wellposedness.witnesses import Witness

__version__ = "0.1.0"

# Loaded when first asked for: a third of what else `import fsmf` would take.
_LATER = {
    name: f"fsmf.wellposedness.{room}"
    for room, names in {
        "check": ("check_well_posedness",),
        "elimination": (
            *("Attainable", "Attained", "NotAttained", "Unattainable", "Unsettled"),
            *("check_attained", "is_attainable"),
        ),
        "verdicts": ("IllPosed", "Undecided", "WellPosed"),
        "witnesses": ("Witness",),
    }.items()
    for name in names
}

__all__ = [
    "ALS",
    "Architecture",
    "Attainable",
    "Attained",
    "BlockSVD",
    "Bracket",
    "ByConstruction",
    "Collision",
    "Cost",
    "DisjointBlocks",
    "EquivalenceClass",
    "EquivalenceClasses",
    "Factorization",
    "GlobalOptimum",
    "Hierarchical",
    "History",
    "Identifiability",
    "IllPosed",
    "Interface",
    "KroneckerPattern",
    "Landscape",
    "NotAttained",
    "Plan",
    "Product",
    "QuasiOptimum",
    "StationaryPoint",
    "Status",
    "Structure",
    "SumBound",
    "Support",
    "Supports",
    "Sweep",
    "Unattainable",
    "Undecided",
    "Unsettled",
    "Verification",
    "WellPosed",
    "Witness",
    "analyze",
    "approximate",
    "arrow",
    "as_support",
    "as_supports",
    "banded",
    "block_diagonal",
    "bracket",
    "butterfly",
    "check_attained",
    "check_well_posedness",
    "complete_cover",
    "completion",
    "deformable",
    "equivalence_classes",
    "errors",
    "explain",
    "factorize",
    "hodlr",
    "is_attainable",
    "kaleidoscope",
    "load",
    "low_rank",
    "lu",
    "monarch",
    "overlap_graph",
    "pair",
    "random_supports",
    "transforms",
]


def __getattr__(name: str) -> _typing.Any:
    if name == "transforms":
        return _importlib.import_module("fsmf.transforms")
    if name not in _LATER:
        raise AttributeError(f"module 'fsmf' has no attribute {name!r}")
    return getattr(_importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, "transforms"})
