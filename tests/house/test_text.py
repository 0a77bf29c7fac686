"""The text of the project: nothing left for later, no one's machine in it, no file too long to read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ["fsmf", "tests", "benchmarks", "docs", ".ci"]
SUFFIXES = {"", ".cff", ".cfg", ".cu", ".cuh", ".h", ".json", ".md", ".py", ".rst", ".toml", ".txt", ".yml"}
MADE = {"__pycache__", "_build", "generated"}
PAGES = 520  # lines, docstrings included

LATER = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")
MACHINE = re.compile(r"(?<![\w.:/])/(home|root|Users|work|tmp|opt|mnt|workspace)/\w")

FILES = sorted(
    path
    for found in [ROOT.glob("[!.]*"), *((ROOT / place).rglob("*") for place in PLACES)]
    for path in found
    if path.is_file() and path.suffix in SUFFIXES and not MADE & set(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_finished_and_at_home_anywhere(path):
    text = path.read_text(encoding="utf-8")
    assert LATER.search(text) is None
    assert MACHINE.search(text) is None
    if path.is_relative_to(ROOT / "fsmf"):
        assert len(text.splitlines()) <= PAGES
