"""Certificates are checked without the search: no function of it is called when one is verified."""

import sys
from typing import get_args

import pytest
from certified import PAIRS, UNIONS, decided

import fsmf
from fsmf.wellposedness.pair_proofs import PAIR_PROOFS
from fsmf.wellposedness.proofs import THEOREMS
from fsmf.wellposedness.verdicts import Chain, Joined, Lifted, NoMember, Split, UnionProof

# Attributes of certificates, which both ask for.
SHARED = {"Witness.shape", "Witness.supports", "Witness.factors"}
WATCHED = (
    "fsmf.wellposedness",
    *(f"fsmf.supports.{room}" for room in ("constraints", "sparsity", "groups", "graph")),
)
FOUND = {
    **PAIRS,
    **UNIONS,
    "Lines, one component": decided(fsmf.KSparse((3, 1), 2), fsmf.Free((1, 3))),
    "Uncrossed, two rows": decided(fsmf.RowSparse((2, 4), 3), fsmf.KSparse((4, 4), 6)),
    "NoMember of given supports": decided(*map(fsmf.OnSupport, (S.toarray() for S in fsmf.lu(2)))),
    "Attainable": lambda: fsmf.is_attainable([[1, 1], [1, 0]], fsmf.lu(2)),
    "Unattainable": lambda: fsmf.is_attainable([[0, 1], [1, 0]], fsmf.lu(2)),
    "Unattainable by rank": lambda: fsmf.is_attainable([[0, 1], [1, 0]], fsmf.low_rank(2, rank=1)),
    "Attained": lambda: fsmf.check_attained([[2, 1], [1, 1]], fsmf.lu(2)),
    "NotAttained": lambda: fsmf.check_attained([[0, 1], [1, 0]], fsmf.lu(2)),
    "TrainingIllPosed": lambda: fsmf.check_relu_well_posedness(fsmf.lu(2)),
    "TrainingWellPosed": lambda: fsmf.check_relu_well_posedness([[[1, 1]], [[1, 0], [1, 1]]]),
    "TrainingWellPosed, sparse": lambda: fsmf.check_relu_well_posedness(
        [fsmf.ColumnSparse((2, 3), 1), fsmf.KSparse((3, 4), 5)]
    ),
}


def called(function):
    """What a function returns, and the functions of the theorems and of constraints that it calls."""
    seen = set()

    def note(frame, event, _):
        name, code = frame.f_globals.get("__name__", ""), frame.f_code
        # What dataclasses write themselves is in no file.
        if event == "call" and name.startswith(WATCHED) and code.co_filename != "<string>":
            seen.add((name, code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        return function(), seen
    finally:
        sys.setprofile(before)


def test_every_kind_of_proof_is_followed():
    kinds = {*THEOREMS, *PAIR_PROOFS, *(kind.__name__ for kind in (Chain, Split, Joined, Lifted, NoMember))}
    kinds |= {kind.__name__ for kind in get_args(UnionProof)}
    assert kinds == {*PAIRS, *UNIONS}


@pytest.mark.parametrize("kind", FOUND)
def test_search_and_verification_share_no_function(kind):
    verdict, search = called(FOUND[kind])
    verified, check = called(verdict.verify)
    assert verified
    assert search
    assert check
    assert {function for function in search & check if function[1] not in SHARED} == set()
