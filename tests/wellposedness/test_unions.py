"""Constraints stand for many supports: a union is closed, or has a limit that none makes, or is open."""

import json
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

import fsmf
from benchmarks.bench_wellposed import pole_limit
from fsmf import (
    BlockSparse,
    ColumnSparse,
    Free,
    IllPosed,
    KSparse,
    OnSupport,
    RowColumnSparse,
    RowSparse,
    Undecided,
    WellPosed,
)
from fsmf.supports.constraints import Constraints
from fsmf.wellposedness.elimination import Attainable, is_attainable
from fsmf.wellposedness.uncrossing import Uncrossed
from fsmf.wellposedness.unions import EveryMember, Lines, NoMember, OneMember, meeting

LOWER, UPPER = (support.toarray() for support in fsmf.lu(2))
# Rows and columns of the right factor are chosen, and no choice makes the limit of some.
CHOSEN = [np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]]), RowColumnSparse((3, 3), 2)]
# A column of one component needs three rows, and none may have more than two.
ESCAPING = [ColumnSparse((3, 2), 2), RowSparse((2, 3), 2)]
CASES = [
    ([KSparse((5, 1), 2), KSparse((1, 7), 3)], Lines),
    ([ColumnSparse((6, 6), 1), KSparse((6, 6), 9)], Lines),
    ([KSparse((4, 6), 7)], Lines),
    ([KSparse((20, 20), 60), KSparse((20, 20), 400)], OneMember),
    ([Free((3, 3)), KSparse((3, 3), 3)], OneMember),
    ([KSparse((2, 2), 3), KSparse((2, 2), 2)], Uncrossed),
    ([KSparse((2, 2), 3), KSparse((2, 2), 3)], Uncrossed),
    ([KSparse((900, 2), 70), ColumnSparse((2, 800), 1)], Uncrossed),
    ([ColumnSparse((2, 3), 1), KSparse((3, 9), 20)], Lines),
    ([RowSparse((2, 30), 8), KSparse((30, 70), 90)], Uncrossed),
    ([ColumnSparse((3, 2), 2), ColumnSparse((2, 3), 2)], Uncrossed),
    (ESCAPING, NoMember),
    ([LOWER, KSparse((2, 2), 2)], Uncrossed),
    ([RowSparse((3, 2), 1), RowSparse((2, 3), 2)], EveryMember),
    ([OnSupport(LOWER), OnSupport(UPPER)], NoMember),
    (CHOSEN, NoMember),
    ([KSparse((9, 9), 30), KSparse((9, 9), 30)], None),
    ([KSparse((3, 2), 4), KSparse((2, 2), 3), KSparse((2, 3), 3)], None),
]


@cache
def decided():
    """Return the verdict for CHOSEN; the projection is compiled at first, which takes its time."""
    return fsmf.check_well_posedness(CHOSEN, max_seconds=100)


@pytest.mark.parametrize(("constraints", "proof"), CASES)
def test_unions_are_decided_where_they_can_be(constraints, proof):
    verdict = decided() if constraints is CHOSEN else fsmf.check_well_posedness(constraints)
    if proof is None:
        assert isinstance(verdict, Undecided)
        assert "open" in str(verdict)
    else:
        assert isinstance(verdict, IllPosed if proof is NoMember else WellPosed)
        assert isinstance(verdict.proof, proof)
    assert verdict.verify()
    again = fsmf.verdict_from_dict(json.loads(verdict.to_json()))
    assert again == verdict
    assert again.verify()
    assert list(again.supports) == list(verdict.supports)


def test_limits_of_unions_are_limits():
    verdict = decided()
    assert len(verdict.proof.others) > 1
    for t in (1e-2, 1e-4):
        X, Y = verdict.witness(t)
        assert abs(X @ Y - verdict.target).max() < 10 * t
        assert all(one.contains(F.toarray()) for one, F in zip(verdict.supports, (X, Y), strict=True))
    left, right = (meeting(one) for one in verdict.supports)
    for I in left:
        for J in right:
            assert not isinstance(is_attainable(verdict.target, [I, J], max_seconds=1), Attainable)


def test_a_limit_on_one_support_may_be_a_product_on_another():
    """With exchanged rows the lower factor makes what LU only tends to, so the union is closed."""
    swap = np.eye(2)[::-1]
    assert isinstance(fsmf.check_well_posedness([LOWER, UPPER]), IllPosed)
    assert isinstance(is_attainable(swap, [LOWER[::-1], UPPER]), Attainable)
    assert isinstance(fsmf.check_well_posedness([KSparse((2, 2), 3)] * 2), WellPosed)


def test_given_supports_have_the_same_answer_as_constraints():
    rng = np.random.default_rng(1)
    answers = set()
    for _ in range(25):
        left, right = rng.random((3, 2)) < 0.7, rng.random((2, 3)) < 0.7
        plain = fsmf.check_well_posedness([left, right])
        union = fsmf.check_well_posedness([OnSupport(left), OnSupport(right)])
        assert type(plain) is type(union)
        assert union.verify()
        answers.add(type(plain))
    assert answers == {WellPosed, IllPosed}


@pytest.mark.parametrize(
    "constraints",
    [
        [KSparse((3, 2), 3), KSparse((2, 3), 4)],
        [RowSparse((3, 2), 1), ColumnSparse((2, 3), 2)],
        [KSparse((2, 3), 4), KSparse((3, 3), 4)],
        [KSparse((3, 4), 6), ColumnSparse((4, 2), 2)],
        [ColumnSparse((3, 2), 2), ColumnSparse((2, 3), 2)],
    ],
    ids=str,
)
def test_limits_on_some_support_are_products_on_another(constraints):
    rng = np.random.default_rng(3)
    left, right = map(meeting, constraints)
    assert isinstance(fsmf.check_well_posedness(constraints).proof, Uncrossed)
    for _ in range(8):
        pair = fsmf.Supports([fsmf.Support(side[rng.integers(len(side))]) for side in (left, right)])
        limit = pole_limit(pair, rng)
        members = sorted(product(left, right), key=lambda pair: not (pair[0] @ pair[1])[limit != 0].all())
        assert any(isinstance(is_attainable(limit, pair, max_seconds=1), Attainable) for pair in members)


def test_two_given_components_with_uncrossed_limits_are_well_posed():
    """The theorem on two classes says when they are; what uncrossing proves must be among that."""
    rng = np.random.default_rng(2)
    answers = set()
    for _ in range(60):
        left, right = rng.random((3, 2)) < 0.7, rng.random((2, 3)) < 0.7
        uncrossed = bool(Uncrossed().verify(Constraints([OnSupport(left), OnSupport(right)])))
        closed = isinstance(fsmf.check_well_posedness([left, right]), WellPosed)
        assert closed or not uncrossed
        answers.add((closed, uncrossed))
    assert {(True, True), (False, False)} <= answers


def test_supports_that_meet_a_constraint_are_all_there():
    rng = np.random.default_rng(0)
    blocks = BlockSparse((2, 4), 2, block=(1, 2))
    for one in (KSparse((3, 3), 4), RowSparse((3, 3), 2), ColumnSparse((4, 2), 1), blocks):
        listed = meeting(one)
        for _ in range(50):
            places = one.project(rng.standard_normal(one.shape)) != 0
            assert any(not (places & ~other).any() for other in listed)
        assert all(one.contains(places) for places in listed)
    assert meeting(KSparse((4, 4), 3)) is None


def test_spoiled_proofs_about_unions_fail():
    one = fsmf.check_well_posedness([Free((3, 3)), KSparse((3, 3), 3)])
    thin = fsmf.as_supports([np.eye(3), np.eye(3)])
    every = fsmf.check_well_posedness([RowSparse((3, 2), 1), RowSparse((2, 3), 2)])
    none = decided()
    other = fsmf.check_well_posedness(fsmf.low_rank(3, rank=1))
    first, _ = every.proof.members[0]
    pair, cofactors = none.proof.others[0]
    wrong = [
        replace(one, proof=replace(one.proof, member=thin)),
        replace(one, proof=other.proof),
        replace(one, proof=Lines()),
        replace(every, proof=EveryMember(every.proof.members[1:])),
        replace(every, proof=EveryMember(((first, other.proof), *every.proof.members[1:]))),
        replace(every, supports=none.supports),
        replace(none, proof=replace(none.proof, others=none.proof.others[1:])),
        replace(none, proof=replace(none.proof, others=((pair, cofactors[1:]), *none.proof.others[1:]))),
        replace(other, proof=Lines()),
        *(
            fsmf.WellPosed(constraints, Uncrossed())
            for case in (ESCAPING, map(OnSupport, (LOWER, UPPER)), [KSparse((3, 3), 4)] * 2)
            for constraints in [Constraints(case)]
        ),
    ]
    assert not any(bool(verdict.verify()) for verdict in wrong)
