"""`import fsmf` loads nothing that it may not need, and is quick."""

import statistics
import subprocess
import sys

HEAVY = {"cupy", "torch", "sympy", "networkx", "numba", "matplotlib", "sklearn"}
SECONDS = 0.05  # of processor time, beyond what scipy.sparse.linalg takes: no neighbour can lengthen it much

LOADED = "import sys; from fsmf import *; print(*sorted({name.split('.')[0] for name in sys.modules}))"
# What takes a tenth of a second to load, and some solvers need at times.
RARE = {"scipy.optimize", "sympy", "networkx", "fsmf.wellposedness.check"}
FACTORIZED = """
import sys, fsmf, numpy as np
fsmf.factorize(np.eye(8), fsmf.butterfly(8))
print(*sys.modules)
"""
TIMED = """
import scipy.sparse.linalg
from time import process_time
start = process_time()
import fsmf
print(process_time() - start)
"""


def fresh(program: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_import_loads_only_numpy_and_scipy():
    assert HEAVY & set(fresh(LOADED).split()) == set()


def test_a_first_factorization_loads_only_what_it_needs():
    assert RARE & set(fresh(FACTORIZED).split()) == set()


def test_import_is_quick():
    fresh(TIMED)  # compiles what is not compiled yet
    assert statistics.median(float(fresh(TIMED)) for _ in range(5)) < SECONDS
