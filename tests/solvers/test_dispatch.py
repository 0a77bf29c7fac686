"""The table: who takes what, in which order, and why not."""

import numpy as np
import pytest
from cases import BY_NAME, CASES, name_of, solve

import fsmf
from fsmf.errors import InputTypeError, OptionError, RefusedError
from fsmf.solvers.dispatch import TABLE, choose, refusals

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)


def test_rows_are_ordered_by_the_strength_of_their_promise():
    strength = {fsmf.GlobalOptimum: 0, fsmf.QuasiOptimum: 1, fsmf.StationaryPoint: 2}
    assert [strength[solver.promise] for solver in TABLE] == sorted(
        strength[solver.promise] for solver in TABLE
    )


@every_row
def test_block_svd_takes_tractable_pairs_and_als_any(case):
    answers = {type(solver).__name__: refusal for solver, refusal in refusals(fsmf.analyze(case.supports))}
    assert (answers["BlockSVD"] is None) == case.tractable
    assert answers["ALS"] is None


@every_row
def test_the_first_that_does_not_refuse_is_chosen(case):
    structure = fsmf.analyze(case.supports)
    chosen = choose(structure)
    before = TABLE[: TABLE.index(chosen)]
    assert chosen.refuses(structure) is None
    assert all(solver.refuses(structure) for solver in before)


@every_row
def test_a_solver_asked_for_is_taken_or_says_why_not(case):
    structure = fsmf.analyze(case.supports)
    for solver in TABLE:
        refusal = solver.refuses(structure)
        if refusal is None:
            assert choose(structure, solver) is solver
        else:
            assert refusal.startswith(type(solver).__name__)
            assert solver.promise is not fsmf.GlobalOptimum or structure.why_not() in refusal
            with pytest.raises(RefusedError) as caught:
                fsmf.factorize(case.matrix(), case.supports, solver=solver)
            assert refusal in str(caught.value)


@pytest.mark.parametrize(
    ("supports", "taken"),
    [
        (fsmf.lu(9), fsmf.VariableProjection),
        (fsmf.lu(30), fsmf.VariableProjection),
        (fsmf.lu(256), fsmf.VariableProjection),
        (fsmf.arrow(40), fsmf.QuasiNewton),
        (fsmf.lu(300), fsmf.ALS),
        (fsmf.kaleidoscope(32), fsmf.QuasiNewton),
    ],
    ids=["few parameters", "read off", "most read off", "of middle size", "large", "many factors"],
)
def test_hard_supports_go_by_size(supports, taken):
    assert type(choose(fsmf.analyze(supports))) is taken


@pytest.mark.parametrize("n", [12, 40])
def test_almost_every_matrix_is_eliminated_exactly(n):
    A = np.random.default_rng(n).standard_normal((n, n))
    assert fsmf.factorize(A, fsmf.lu(n)).relative_error < 1e-12


def test_several_solvers_share_the_parts():
    case = BY_NAME["mixed"]
    F = solve(case.matrix(), case.supports, solver=[fsmf.BlockSVD(), fsmf.ALS(starts=1)])
    assert F.solver == "BlockSVD + ALS"
    assert solve(case.matrix(), case.supports, solver=fsmf.ALS()).solver == "ALS"


def test_parts_must_minimise_the_same_thing():
    case = BY_NAME["mixed"]
    with pytest.raises(OptionError, match="ridge"):
        fsmf.factorize(case.matrix(), case.supports, solver=[fsmf.BlockSVD(), fsmf.ALS(ridge=0.1)])


@pytest.mark.parametrize("solver", [[], [fsmf.ALS], "ALS", object()])
def test_what_is_no_solver_is_refused(solver):
    with pytest.raises((InputTypeError, RefusedError)):
        fsmf.factorize(np.eye(2), fsmf.lu(2), solver=solver)


@every_row
def test_costs_are_predicted_without_a_matrix(case):
    structure = fsmf.analyze(case.supports)
    for solver, refusal in refusals(structure):
        if refusal is None:
            cost = solver.predict(structure)
            assert cost.flops >= 0
            assert cost.nbytes >= 0
            assert cost.seconds >= 0
