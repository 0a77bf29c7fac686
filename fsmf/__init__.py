"""Fixed-support matrix factorization: best products of factors with given supports, each with its worth."""

from fsmf import errors, transforms
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

__version__ = "0.1.0"

__all__ = [
    "Bracket",
    "bracket",
    "ALS",
    "Architecture",
    "BlockSVD",
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
    "Interface",
    "KroneckerPattern",
    "Landscape",
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
    "Verification",
    "analyze",
    "approximate",
    "arrow",
    "as_support",
    "as_supports",
    "banded",
    "block_diagonal",
    "butterfly",
    "complete_cover",
    "completion",
    "deformable",
    "equivalence_classes",
    "errors",
    "explain",
    "factorize",
    "hodlr",
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
