"""Certificates: right ones verify, and spoiled ones do not."""

import copy
import dataclasses
import math

import numpy as np
import oracles
import pytest
from cases import BY_NAME, CASES, PAIRS_EASY, PAIRS_HARD, any_supports, name_of, solve, solved
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import in_turn
from scipy import sparse

import fsmf
from fsmf import DisjointBlocks
from fsmf.errors import InputError, ShapeError
from fsmf.supports.layout import IndexLists

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)
DTYPES = ("float32", "float64", "complex64", "complex128")
LIVING = [case for case in CASES if case.n_classes]
BLOCKED = [case for case in CASES if len(solved(case)[1].certificate.blocks)]


def spoiled(F, **fields):
    """The same answer with other fields, or with other fields of its certificate."""
    twin = copy.copy(F)
    own = {name: fields.pop(name) for name in list(fields) if name in ("factors", "norm", "supports")}
    vars(twin).update(own, certificate=dataclasses.replace(F.certificate, **fields))
    return twin


def with_data(factor, data):
    return sparse.csr_array((data, factor.indices, factor.indptr), shape=factor.shape)


def lists_of(blocks):
    return [
        tuple(lists[t].tolist() for lists in (blocks.rows, blocks.columns, blocks.components))
        for t in range(len(blocks))
    ]


def blocks_of(pairs):
    sides = zip(*pairs, strict=True) if pairs else ((), (), ())
    lists = (
        IndexLists(
            np.cumsum([0, *map(len, side)]), np.array([i for one in side for i in one], dtype=np.int64)
        )
        for side in sides
    )
    return DisjointBlocks(*lists)


@pytest.mark.parametrize(("case", "dtype"), in_turn(CASES, DTYPES))
def test_a_certificate_verifies(case, dtype):
    A, F = solved(case, dtype)
    verification = F.verify(A)
    assert verification, str(verification)
    assert F.certificate.name == case.promise
    assert str(verification).count("\n") + 1 == len(verification.checks)
    assert "FAIL" not in str(verification)
    assert "\n" not in str(F.certificate)


@pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
def test_certificates_of_unfinished_solves_verify_too(case):
    for seed in range(1, 7):
        A = case.matrix(seed=seed)
        F = solve(A, case.supports, solver=[fsmf.BlockSVD(), fsmf.ALS(starts=1, max_sweeps=3)])
        assert F.verify(A), str(F.verify(A))


@every_row
def test_a_turned_certificate_verifies(case):
    A, F = solved(case, "complex128")
    assert F.T.verify(A.T)
    assert F.H.verify(A.conj().T)
    assert not F.T.verify(A.T + 0.01 * F.norm)


def scalars_of(case):
    return [field.name for field in dataclasses.fields(solved(case)[1].certificate) if field.name != "blocks"]


SCALARS = [(case, name) for case in CASES for name in scalars_of(case)]


@pytest.mark.parametrize(("case", "name"), SCALARS, ids=[f"{case.name}-{name}" for case, name in SCALARS])
def test_a_spoiled_number_is_noticed(case, name):
    A, F = solved(case)
    value, unit = getattr(F.certificate, name), 1.0 if name == "gradient_norm" else F.norm
    # One per cent, or where the number is zero up to rounding, one per cent of its unit.
    step = 0.01 * (value if value > 1e-6 * unit else unit)
    for wrong in (value + step, value - step, -unit, 1e6 * unit, math.nan, math.inf, -math.inf):
        assert not spoiled(F, **{name: wrong}).verify(A), wrong


@every_row
def test_a_spoiled_norm_is_noticed(case):
    A, F = solved(case)
    for factor in (1.01, 0.99, 0, -1, math.nan, math.inf):
        assert not spoiled(F, norm=F.norm * factor).verify(A)


@pytest.mark.parametrize("case", BLOCKED, ids=name_of)
def test_a_spoiled_block_is_noticed(case):
    A, F = solved(case)
    blocks = lists_of(F.certificate.blocks)
    assert spoiled(F, blocks=blocks_of(blocks)).verify(A)
    m, n = F.shape
    r = F.X.shape[1]
    for t, (rows, columns, own) in list(enumerate(blocks))[:5]:
        others = blocks[:t] + blocks[t + 1 :]
        wrong = {
            "row removed": [*others, (rows[1:], columns, own)],
            "column removed": [*others, (rows, columns[:-1], own)],
            "component removed": [*others, (rows, columns, own[1:])],
            "component twice": [*others, (rows, columns, [*own, own[0]])],
            "component out of range": [*others, (rows, columns, [*own[:-1], r])],
            "block removed": others,
            "block twice": [*blocks, (rows, columns, own)],
            "row twice": [*others, ([*rows, rows[0]], columns, own)],
            "row out of range": [*others, ([*rows[:-1], m], columns, own)],
            "column out of range": [*others, (rows, [*columns[:-1], n], own)],
            "row negative": [*others, ([-1, *rows[1:]], columns, own)],
            "overlapping piece": [*blocks, (rows[:1], columns[:1], own)],
        }
        if spare := sorted({*range(r)} - {*own}):
            wrong["component added"] = [*others, (rows, columns, [*own, spare[0]])]
        for what, listed in wrong.items():
            assert not spoiled(F, blocks=blocks_of(listed)).verify(A), what


@pytest.mark.parametrize("case", LIVING, ids=name_of)
@pytest.mark.parametrize("side", [0, 1])
def test_a_spoiled_factor_is_noticed(case, side):
    A, F = solved(case)
    # The entry that the product depends on most.
    partner = np.linalg.norm(F.factors[1 - side].toarray(), axis=1 - side)
    worth = partner[F.factors[side].tocoo().coords[1 - side]]
    at = int(np.argmax(worth))
    for change in (0.05 * F.norm / worth[at], math.nan, math.inf):
        factors = list(F.factors)
        data = factors[side].data.copy()
        data[at] += change
        factors[side] = with_data(factors[side], data)
        assert not spoiled(F, factors=tuple(factors)).verify(A), change


@pytest.mark.parametrize("case", LIVING, ids=name_of)
@pytest.mark.parametrize("side", [0, 1])
def test_a_factor_off_its_support_is_noticed(case, side):
    A, F = solved(case)
    factor = F.factors[side].tocoo()
    factors = list(F.factors)
    factors[side] = sparse.csr_array((factor.data[1:], (factor.row[1:], factor.col[1:])), shape=factor.shape)
    assert not spoiled(F, factors=tuple(factors)).verify(A)
    if factor.nnz < factor.shape[0] * factor.shape[1]:
        dense = factor.toarray()
        dense[tuple(np.argwhere(~F.supports[side].toarray())[0])] = F.norm
        factors[side] = sparse.csr_array(dense)
        assert not spoiled(F, factors=tuple(factors)).verify(A)


@every_row
def test_another_matrix_is_noticed(case):
    A, F = solved(case)
    other = case.matrix(seed=1)
    for wrong in (2 * A, 0 * A, A + 0.01 * other):
        assert not F.verify(wrong)
    # Where nothing is within reach, every matrix of the same norm has the same answer.
    assert bool(F.verify(other * (F.norm / np.linalg.norm(other)))) == (case.n_classes == 0)


def test_a_matrix_that_is_none_is_refused():
    A, F = solved(BY_NAME["lu-3"])
    for wrong in (A[:2], A[0], [[1.0], [1.0, 2.0]]):
        with pytest.raises(ShapeError):
            F.verify(wrong)
    for wrong in (A * np.nan, A * np.inf):
        with pytest.raises(InputError):
            F.verify(wrong)


@pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
def test_a_stationary_point_cannot_pass_for_an_optimum(case):
    A, F = solved(case)
    own = F.certificate
    if own.gap < 1e-5 * F.norm:
        A = case.matrix(seed=2)
        F = solve(A, case.supports, solver=fsmf.ALS(starts=1, max_sweeps=1))
        own = F.certificate
    assert own.gap > 1e-5 * F.norm
    for bound in (own.error, own.lower_bound):
        claim = fsmf.GlobalOptimum(own.error, bound, own.out_of_reach, own.blocks)
        twin = copy.copy(F)
        twin.certificate = claim
        assert not twin.verify(A)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("name", ["blocks", "CEC-SLM", "lu-3", "mixed"])
def test_certificates_hold_and_spoil_at_every_scale(name, scale):
    case = BY_NAME[name]
    A = case.matrix() * scale
    F = solve(A, case.supports)
    assert F.verify(A), str(F.verify(A))
    for field in scalars_of(case):
        for wrong in (1e307, math.inf, math.nan, -F.norm):
            assert not spoiled(F, **{field: wrong}).verify(A), (field, wrong)


@pytest.mark.parametrize("case", PAIRS_HARD, ids=name_of)
def test_no_start_ever_beats_the_lower_bound_of_a_row(case):
    A, F = solved(case)
    assert F.lower_bound <= oracles.best_of_starts(A, case.supports, starts=10) * (1 + 1e-9) + 1e-9


@settings(max_examples=60)
@given(any_supports(max_components=6), st.integers(0, 9))
def test_no_start_ever_beats_a_lower_bound(supports, seed):
    A = np.random.default_rng(seed).standard_normal(supports.shape)
    F = solve(A, supports, solver=fsmf.ALS(starts=1, max_sweeps=30))
    assert F.verify(A)
    assert F.lower_bound <= F.error
    assert F.lower_bound <= oracles.best_of_starts(A, supports, starts=8) * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("case", PAIRS_EASY, ids=name_of)
def test_the_bound_of_a_tractable_row_is_the_closed_form(case):
    A, F = solved(case)
    assert F.lower_bound == pytest.approx(oracles.optimum(A, case.supports), rel=1e-10, abs=1e-10)
    assert F.certificate.gap == 0
