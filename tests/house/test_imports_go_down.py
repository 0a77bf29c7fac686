"""Imports go down: a module imports from its own floor or from below, wherever in it the import stands."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fsmf"

HOUSE = [  # roof first; a new room gets its floor here
    {"arguments", "cli", "__main__", "drawing", "files", "matrices"},
    {
        "approximating",
        "explaining",
        "factorizing",
        "sharing",
        "searching",
        "splitting",
        "suggesting",
        "ordering",
        "transforms",
        "training",
        "nn",
    },
    {"solvers"},
    {
        "brackets",
        "factorization",
        "history",
        "receipt",
        "products",
        "ridge_paths",
        "support_search",
        "thresholding",
        "wellposedness",
    },
    {"certificates"},
    {"facts", "tractability"},
    {"supports"},
    {"kernels", "observing", "warning", "errors"},
]
FLOOR = {room: floor for floor, rooms in enumerate(reversed(HOUSE)) for room in rooms}
ROOF = max(FLOOR.values())

MODULES = {
    ".".join(("fsmf", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(source: str, module: str, *, is_package: bool) -> set[str]:
    """The dotted names of fsmf that a module imports, at its top or inside its functions."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == "fsmf"}


def floor(name: str) -> int:
    """The floor of a dotted name; what is taken from `fsmf` itself comes from the whole house."""
    return FLOOR.get([*name.split("."), ""][1], ROOF)


def complaints(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of one module, a sentence each."""
    parts = module.split(".")
    if parts[1] not in FLOOR:
        return [f"{module} is a new room: give it a floor in HOUSE"]
    found = []
    for name in sorted(imported(source, module, is_package=is_package)):
        if floor(name) > floor(module):
            found.append(f"{module} (floor {floor(module)}) imports {name} (floor {floor(name)})")
        knows_all = parts[1] != "solvers" or is_package or parts[2] == "dispatch"
        shared = name.startswith(("fsmf.solvers.base", "fsmf.solvers.problem"))
        if not knows_all and name.startswith("fsmf.solvers") and not shared:
            found.append(f"{module} imports {name}: of the solvers, only dispatch knows the others")
    return found


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"fsmf"}))
def test_imports_go_down(module):
    path = MODULES[module]
    assert complaints(path.read_text(), module, is_package=path.stem == "__init__") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("fsmf.supports.support", "from fsmf.certificates import GlobalOptimum"),
        ("fsmf.supports.support", "from ..certificates import GlobalOptimum"),
        ("fsmf.kernels.truncated_svd", "def f():\n    import fsmf.solvers.als"),
        ("fsmf.tractability", "from . import certificates"),
        ("fsmf.factorization", "import fsmf"),
        ("fsmf.factorizing", "from fsmf import Factorization"),
        ("fsmf.solvers.als", "from .block_svd import BlockSVD"),
        ("fsmf.solvers.als", "from fsmf.solvers import BlockSVD"),
        ("fsmf.utils", ""),
    ],
)
def test_an_import_that_goes_up_is_seen(module, source):
    assert len(complaints(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("fsmf.cli", "import fsmf"),
        ("fsmf.factorizing", "from fsmf.solvers.dispatch import choose"),
        ("fsmf.solvers.dispatch", "from .als import ALS"),
        ("fsmf.solvers.als", "from .base import Solver\nfrom fsmf.kernels import masked\nimport numpy as np"),
        ("fsmf.certificates", "from . import errors"),
    ],
)
def test_an_import_that_goes_down_is_welcome(module, source):
    assert complaints(source, module) == []


def test_single_singular_vectors_are_scipys_alone():
    """None of CuPy's ``svds``, which takes one matrix after another: blocks are split by kernels."""
    named = [path for path in sorted(PACKAGE.rglob("*.py")) if "svds" in path.read_text(encoding="utf-8")]
    assert [path.name for path in named] == ["truncated_svd.py"]
    assert "cupy" not in named[0].read_text(encoding="utf-8")
