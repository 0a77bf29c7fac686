"""Fixed-support matrix factorization: best products of factors with given supports, each with its worth."""

from fsmf import errors
from fsmf.certificates import GlobalOptimum, StationaryPoint, Verification
from fsmf.factorization import Factorization, History, Status, load
from fsmf.factorize import Plan, explain, factorize
from fsmf.solvers.als import ALS, Sweep
from fsmf.solvers.base import Cost
from fsmf.solvers.block_svd import BlockSVD
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.families import (
    arrow,
    banded,
    block_diagonal,
    completion,
    hodlr,
    low_rank,
    lu,
    monarch,
    random_supports,
)
from fsmf.supports.graph import overlap_graph
from fsmf.supports.rank_one import (
    Collision,
    EquivalenceClass,
    EquivalenceClasses,
    complete_cover,
    equivalence_classes,
)
from fsmf.supports.support import Support, Supports, as_support, as_supports, pair
from fsmf.tractability import Identifiability, Landscape, Structure, analyze

__version__ = "0.1.0"

__all__ = [
    "ALS",
    "BlockSVD",
    "Collision",
    "Cost",
    "DisjointBlocks",
    "EquivalenceClass",
    "EquivalenceClasses",
    "Factorization",
    "GlobalOptimum",
    "History",
    "Identifiability",
    "Landscape",
    "Plan",
    "StationaryPoint",
    "Status",
    "Structure",
    "Support",
    "Supports",
    "Sweep",
    "Verification",
    "analyze",
    "arrow",
    "as_support",
    "as_supports",
    "banded",
    "block_diagonal",
    "complete_cover",
    "completion",
    "equivalence_classes",
    "errors",
    "explain",
    "factorize",
    "hodlr",
    "load",
    "low_rank",
    "lu",
    "monarch",
    "overlap_graph",
    "pair",
    "random_supports",
]
