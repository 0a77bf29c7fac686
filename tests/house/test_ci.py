"""The README's set-up commands are the ones that are run from nothing."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = [
    "pip install . && fsmf factorize hadamard:1024 monarch:blocks=32",
    'pip install -e ".[test]" && pytest',
]


def test_the_readme_prints_what_ci_runs():
    printed = subprocess.run([ROOT / ".ci/run", "--print"], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == SETUP


def test_the_readme_has_two_set_up_blocks():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "<!-- setup:" in line] == ["<!-- setup:use -->", "<!-- setup:test -->"]
    assert [line for line in lines if line in SETUP] == SETUP


def test_ci_is_a_program():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
