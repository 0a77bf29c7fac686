"""`__all__` is exactly what is public, in the package and in each of its modules."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import fsmf

ROOT = Path(__file__).parents[2]

MODULES = [
    info.name
    for info in pkgutil.walk_packages(fsmf.__path__, "fsmf.")
    if not info.ispkg and not any(part.startswith("_") for part in info.name.split("."))
]


def test_the_package_shows_what_it_names_and_nothing_else():
    def is_room(name):
        value = getattr(fsmf, name)
        return isinstance(value, ModuleType) and value.__name__ == f"fsmf.{name}"

    seen = {name for name in {*vars(fsmf), *dir(fsmf)} if not name.startswith("_")}
    named = set(fsmf.__all__)
    assert len(named) == len(fsmf.__all__)
    assert {name for name in seen - named if not is_room(name)} == set()
    assert named <= set(dir(fsmf))
    assert all(hasattr(fsmf, name) for name in named)


def test_the_stub_says_the_same():
    stub = ast.parse((ROOT / "fsmf/__init__.pyi").read_text(encoding="utf-8"))
    said = {
        alias.name: node.module
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    packages = dict.fromkeys(fsmf._PACKAGES, "fsmf")
    assert said == fsmf._HOMES | packages


@pytest.mark.parametrize("name", MODULES)
def test_a_module_names_what_it_shows(name):
    module = importlib.import_module(name)
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and getattr(value, "__module__", None) == name
    }
    assert own <= set(module.__all__)
    assert [key for key in module.__all__ if not hasattr(module, key)] == []


def test_everyone_tells_the_same_version():
    def told(file, pattern):
        return re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.M)[1]

    assert told("setup.cfg", r"^version = (\S+)$") == fsmf.__version__
    assert told("CITATION.cff", r"^version: (\S+)$") == fsmf.__version__
    assert told("CHANGELOG.md", r"^## (\S+)") == fsmf.__version__
