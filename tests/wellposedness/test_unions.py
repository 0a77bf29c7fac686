"""Constraints stand for many supports: a union is closed, or has a limit that none makes, or is open."""

import json
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from certified import HOOK
from timing import least_seconds

import fsmf
from benchmarks.bench_wellposed import pole_limit
from fsmf import (
    NM,
    BlockSparse,
    ColumnSparse,
    Free,
    GroupSparse,
    IllPosed,
    KSparse,
    OnSupport,
    RowColumnSparse,
    RowSparse,
    Undecided,
    WellPosed,
)
from fsmf.supports.constraints import Constraints
from fsmf.wellposedness.allowances import allows, largest_choices, most_on_line
from fsmf.wellposedness.elimination import Attainable, is_attainable
from fsmf.wellposedness.joins import find_filling
from fsmf.wellposedness.members import meeting, most_at_once
from fsmf.wellposedness.plain_data import constraints_from_list, constraints_to_list
from fsmf.wellposedness.uncrossed import Absorbed, Uncrossed
from fsmf.wellposedness.uncrossing import absorb
from fsmf.wellposedness.unions import EveryMember, Lines, NoMember, OneMember

LOWER, UPPER = (support.toarray() for support in fsmf.lu(2))
# Rows and columns of the right factor are chosen, and no choice makes the limit of some.
CHOSEN = [np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]]), RowColumnSparse((3, 3), 2)]
# A column of one component needs three rows, and none may have more than two.
ESCAPING = [ColumnSparse((3, 2), 2), RowSparse((2, 3), 2)]
# Three rows and columns of two components, where limits of some pairs are products on others.
ABSORBED = [ColumnSparse((3, 2), 2), ColumnSparse((2, 3), 2)]
# Some supports are ill-posed, and lie within the reach of others that make everything there.
WIDE = [KSparse((2, 3), 3), RowSparse((3, 3), 2)]
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
    (ABSORBED, Absorbed),
    (HOOK, Lines),
    ([RowSparse((2, 3), 2), RowSparse((3, 3), 2)], OneMember),
    (WIDE, EveryMember),
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
        ABSORBED,
    ],
    ids=str,
)
def test_limits_on_some_support_are_products_on_another(constraints):
    rng = np.random.default_rng(3)
    left, right = map(meeting, constraints)
    assert isinstance(fsmf.check_well_posedness(constraints).proof, Uncrossed | Absorbed)
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
        uncrossed = not absorb([left], [right])[1]
        closed = isinstance(fsmf.check_well_posedness([left, right]), WellPosed)
        assert closed or not uncrossed
        answers.add((closed, uncrossed))
    assert {(True, True), (False, False)} <= answers


@pytest.mark.parametrize(
    "constraints",
    [
        [KSparse((3, 4), 6), KSparse((4, 3), 6)],
        [KSparse((3, 3), 5), KSparse((3, 3), 5)],
        [ColumnSparse((700, 700), 1), RowSparse((700, 700), 2)],
        [RowColumnSparse((700, 700), 2), RowSparse((700, 700), 2)],
    ],
    ids=str,
)
def test_budgets_for_unions_are_kept(constraints):
    decided()  # compiles the projection
    assert least_seconds(lambda: fsmf.check_well_posedness(constraints, max_seconds=0.1)) < 0.6
    verdict = fsmf.check_well_posedness(constraints, max_seconds=0.1)
    if isinstance(verdict, Undecided) and constraints[0].size < 13:
        assert "The time that was allowed, 0.1 s, is over" in verdict.reason


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
    assert largest_choices(KSparse((4, 4), 3)) is None


def test_spoiled_proofs_about_unions_fail():
    one = fsmf.check_well_posedness([Free((3, 3)), KSparse((3, 3), 3)])
    thin = fsmf.as_supports([np.eye(3), np.eye(3)])
    every = fsmf.check_well_posedness([RowSparse((3, 2), 1), RowSparse((2, 3), 2)])
    none = decided()
    absorbed = fsmf.check_well_posedness(ABSORBED)
    wide = fsmf.check_well_posedness(WIDE)
    other = fsmf.check_well_posedness(fsmf.low_rank(3, rank=1))
    first, _ = every.proof.members[0]
    pair, cofactors = none.proof.others[0]
    wrong = [
        replace(one, proof=replace(one.proof, member=thin)),
        replace(one, proof=other.proof),
        replace(every, proof=EveryMember(every.proof.members[1:])),
        replace(every, proof=EveryMember(((first, other.proof), *every.proof.members[1:]))),
        replace(every, supports=none.supports),
        replace(none, proof=replace(none.proof, others=none.proof.others[1:])),
        replace(none, proof=replace(none.proof, others=((pair, cofactors[1:]), *none.proof.others[1:]))),
        replace(other, proof=Lines()),
        *(
            replace(wide, proof=replace(wide.proof, wide=tuple(p for p in wide.proof.wide if p is not lost)))
            for lost in wide.proof.wide
        ),
        *(
            replace(wide, proof=replace(wide.proof, wide=((pair, other.proof), *wide.proof.wide[1:])))
            for pair, _ in wide.proof.wide[:1]
        ),
        *(
            replace(absorbed, proof=Absorbed(tuple(p for p in absorbed.proof.pairs if p is not lost)))
            for lost in absorbed.proof.pairs
        ),
        replace(absorbed, proof=Absorbed((*absorbed.proof.pairs, fsmf.low_rank(3, rank=2)))),
        replace(absorbed, proof=Absorbed((*absorbed.proof.pairs, thin))),
    ]
    assert not any(bool(verdict.verify()) for verdict in wrong)


FULL, RANK_ONE = fsmf.low_rank(3, rank=3), fsmf.low_rank(3, rank=1)


def proof_of(supports):
    return fsmf.check_well_posedness(supports).proof


# Theorems that are applied where what they assume does not hold: constraints, and the proof that claims it.
MISUSED = [
    # Components that may have two rows and two columns.
    ([KSparse((2, 2), 2), KSparse((2, 2), 2)], Lines(("row", "row"))),
    ([KSparse((2, 2), 2), KSparse((2, 2), 2)], Lines(("column", "row"))),
    ([NM((2, 2), 1, of=2), KSparse((2, 2), 2)], Lines(("row", "row"))),
    ([BlockSparse((2, 2), 1, block=(2, 1)), Free((2, 2))], Lines(("row", "row"))),
    ([ColumnSparse((2, 2), 1), Free((2, 2))], Lines(("row",))),
    ([ColumnSparse((2, 2), 1), Free((2, 2))], Lines(("row", "line"))),
    ([ColumnSparse((2, 2), 1), Free((2, 2))], Lines()),
    ([Free((2, 2)), Free((2, 2)), Free((2, 1))], Lines()),
    # Two components, where constraints do not count by rows and by columns, or ask for more.
    (ESCAPING, Uncrossed(((range(3), 4),), ((range(3), 4),))),
    (map(OnSupport, (LOWER, UPPER)), Uncrossed(((range(2), 3),), ((range(2), 3),))),
    ([KSparse((3, 2), 3), RowColumnSparse((2, 3), 2)], Uncrossed(((range(3), 3),), (((0,), 2), ((1, 2), 2)))),
    (
        [NM((3, 2), 1, of=1), KSparse((2, 3), 3)],
        Uncrossed((((0,), 1), ((1,), 1), ((2,), 1)), ((range(3), 3),)),
    ),
    # Three rows, columns and components; one side alone, or none; three factors.
    ([KSparse((3, 3), 4)] * 2, Uncrossed(((range(3), 4),), ((range(3), 4),))),
    ([KSparse((3, 2), 4), KSparse((2, 3), 4)], Uncrossed(((range(3), 4),), None)),
    ([KSparse((3, 2), 4), KSparse((2, 3), 4)], Uncrossed(None, None)),
    ([KSparse((2, 2), 3)] * 3, Uncrossed(((range(2), 3),), ((range(2), 3),))),
    # No pair makes these limits, and too many to go through.
    (ESCAPING, Absorbed(())),
    (map(OnSupport, (LOWER, UPPER)), Absorbed((fsmf.lu(2),))),
    (map(OnSupport, (LOWER, UPPER)), Absorbed((fsmf.low_rank(2, rank=2),))),
    ([KSparse((3, 3), 4)] * 2, Absorbed(())),
    ([KSparse((7, 2), 3), KSparse((2, 7), 3)], Absorbed(())),
    # Ill-posed pairs, and pairs with all in reach, which do not meet the constraints, or do not make all.
    (ESCAPING, EveryMember(())),
    (ESCAPING, EveryMember((), ((FULL, find_filling(FULL)),))),
    ([RowSparse((3, 2), 1), RowSparse((2, 3), 2)], EveryMember((), ((FULL, find_filling(FULL)),))),
    ([Free((3, 1)), RowColumnSparse((1, 3), 3, 1)], EveryMember((), ((RANK_ONE, proof_of(RANK_ONE)),))),
    ([KSparse((7, 2), 3), KSparse((2, 7), 3)], EveryMember(())),
]


@pytest.mark.parametrize(("constraints", "proof"), MISUSED)
def test_theorems_are_refused_where_their_assumption_fails(constraints, proof):
    assert not fsmf.WellPosed(Constraints(constraints), proof).verify()


KINDS = [
    KSparse((3, 3), 4),
    RowSparse((3, 3), 2),
    ColumnSparse((4, 2), 1),
    RowColumnSparse((3, 3), 2),
    RowColumnSparse((3, 4), 2, 1),
    BlockSparse((2, 4), 2, block=(1, 2)),
    NM((3, 4), 1, of=2),
    GroupSparse([[0, 0, -1], [1, 1, 2], [2, 3, 3]], 2),
    OnSupport([[1, 0, 1], [0, 1, 1]]),
    Free((2, 3)),
]


@pytest.mark.parametrize("one", KINDS, ids=str)
def test_definitions_of_constraints_are_read_as_projections_take_them(one):
    """The verifier reads definitions, the search projects."""
    rng = np.random.default_rng(0)
    m, n = one.shape
    for _ in range(60):
        places = rng.random(one.shape) < rng.random()
        assert allows(one, zip(*np.nonzero(places), strict=True)) == one.contains(places)
    found = {
        frozenset(zip(*map(np.ndarray.tolist, np.nonzero(places)), strict=True)) for places in meeting(one)
    }
    assert found == set(largest_choices(one))
    assert [most_on_line(one, 0, i) for i in range(m)] == most_at_once(one, by_rows=True)
    assert [most_on_line(one, 1, j) for j in range(n)] == most_at_once(one)


@pytest.mark.parametrize("one", KINDS, ids=str)
def test_constraints_survive_json(one):
    data = json.loads(json.dumps(constraints_to_list([one])))
    assert constraints_from_list(data) == Constraints([one])
