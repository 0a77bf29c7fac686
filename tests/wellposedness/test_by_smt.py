"""The smallest questions, asked of z3: it decides polynomial equations over the reals by other means."""

import numpy as np
import pytest
import z3
from small_patterns import sampled

import fsmf
from benchmarks.bench_wellposed import pole_limit
from fsmf.wellposedness.elimination import Attainable, Unsettled, is_attainable
from fsmf.wellposedness.verdicts import IllPosed, WellPosed

# Milliseconds for each question; what takes longer is left out, and counted.
TIMEOUT = 2000


def asked(B, supports):
    """Whether B is a product, by z3; None if it does not say in time."""
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", TIMEOUT)
    left, right = (support.toarray() for support in supports)
    for i in range(left.shape[0]):
        for j in range(right.shape[1]):
            terms = [
                z3.Real(f"x{i}_{k}") * z3.Real(f"y{k}_{j}")
                for k in range(left.shape[1])
                if left[i, k] and right[k, j]
            ]
            solver.add(z3.Sum([z3.RealVal(0), *terms]) == z3.RealVal(str(B[i, j])))
    return {"sat": True, "unsat": False}.get(str(solver.check()))


@pytest.mark.parametrize("size", [(2, 2, 2), (2, 3, 2), (2, 2, 3)], ids=str)
def test_membership(size):
    rng = np.random.default_rng(sum(size))
    answers = []
    for supports in sampled(rng, size, 60):
        B = (supports.reached.toarray() * rng.integers(-1, 3, supports.shape)).astype(int)
        found, expected = is_attainable(B, supports), asked(B, supports)
        assert not isinstance(found, Unsettled)
        if expected is not None:
            assert isinstance(found, Attainable) is expected, (supports, B)
        answers.append(expected)
    assert {True, False} <= set(answers)
    assert answers.count(None) < len(answers) / 4


@pytest.mark.parametrize("size", [(2, 2, 2), (2, 3, 2), (2, 2, 3), (2, 3, 3)], ids=str)
def test_verdicts(size):
    """Targets of ill-posed pairs are no products; limits of curves on well-posed ones are."""
    rng = np.random.default_rng(sum(size))
    answers = set()
    for supports in sampled(rng, size, 40):
        verdict = fsmf.check_well_posedness(supports)
        if isinstance(verdict, IllPosed):
            target = verdict.target.toarray()
            assert (target == target.round()).all()
            answer = asked(target.astype(int), supports)
            assert answer is not True, supports
        else:
            assert isinstance(verdict, WellPosed)
            answer = asked(pole_limit(supports, rng), supports)
            assert answer is not False, supports
        answers.add((type(verdict), answer))
    assert (WellPosed, True) in answers
