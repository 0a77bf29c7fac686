"""Proofs are checked mostly by spoiling them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_patterns import DECIDED_BY
from spoiling import spoiled

import fsmf
from fsmf.wellposedness.chains import Chain
from fsmf.wellposedness.check import check_well_posedness
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.proofs import THEOREMS, Proof
from fsmf.wellposedness.search import Prover
from fsmf.wellposedness.splits import Split
from fsmf.wellposedness.verdicts import WellPosed
from fsmf.wellposedness.verification import verify_proof


def supports_of_pattern(pattern):
    """Supports with this pattern."""
    members = np.repeat(np.arange(len(pattern.ranks)), pattern.ranks)
    left, right = (
        [
            [kind >> p & 1 for p in members]
            for kind, count in zip(kinds, counts, strict=True)
            for _ in range(count)
        ]
        for kinds, counts in (
            (pattern.rows, pattern.row_counts),
            (pattern.columns, pattern.column_counts),
        )
    )
    return fsmf.pair(left, right)


EXAMPLES = {name: fsmf.pair(*sides) for name, sides in DECIDED_BY.items()}
EXAMPLES = {name: (supports, check_well_posedness(supports).proof) for name, supports in EXAMPLES.items()}
# The two-class theorem as the first step needs a class of more components than one.
NESTED = fsmf.pair([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]], [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]])


def test_every_theorem_has_an_example():
    assert {name: proof.theorem for name, (_, proof) in EXAMPLES.items()} == {name: name for name in THEOREMS}


def test_normal_forms_do_not_prove_what_is_not_so():
    _, proof = EXAMPLES["normal forms"]
    for supports in (fsmf.lu(2), fsmf.pair([[1, 1], [1, 1]], [[1, 0], [1, 1], [0, 1]]), fsmf.lu(9)):
        for data in ({}, proof.data):
            assert not verify_proof(supports, Proof("normal forms", Pattern.of(supports), (), data))


@pytest.mark.parametrize("theorem", sorted(EXAMPLES))
def test_proofs_hold(theorem):
    supports, proof = EXAMPLES[theorem]
    assert verify_proof(supports, proof)
    assert Proof.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof


def test_a_proof_for_other_supports_fails():
    supports, proof = EXAMPLES["free"]
    other = [support.toarray() for support in supports]
    other[0] = 1 - other[0]
    assert not verify_proof(fsmf.as_supports(other), proof)
    assert not verify_proof(fsmf.lu(2), proof)


@pytest.mark.parametrize("theorem", sorted(EXAMPLES))
def test_another_theorem_does_not_do(theorem):
    supports, proof = EXAMPLES[theorem]
    for name in set(THEOREMS) - {theorem, "compatible"}:
        if name == "transposed" and proof.parts == (replace(proof, pattern=proof.pattern.T),):
            continue
        assert not verify_proof(supports, replace(proof, theorem=name)), name
    if theorem != "compatible":
        assert not verify_proof(supports, replace(proof, theorem="compatible", parts=()))
    assert not verify_proof(supports, replace(proof, theorem="magic"))


@pytest.mark.parametrize("theorem", sorted(set(EXAMPLES) - {"compatible"}))
def test_missing_and_foreign_parts_fail(theorem):
    supports, proof = EXAMPLES[theorem]
    foreign = Prover().prove(Pattern.of(fsmf.low_rank(7, rank=2)))
    assert not verify_proof(supports, replace(proof, parts=(*proof.parts, foreign)))
    if proof.parts:
        assert not verify_proof(supports, replace(proof, parts=proof.parts[1:]))
        assert not verify_proof(supports, replace(proof, parts=(foreign, *proof.parts[1:])))


@pytest.mark.parametrize("theorem", sorted(EXAMPLES))
def test_spoiled_patterns_fail(theorem):
    supports, proof = EXAMPLES[theorem]
    for _, data in spoiled(proof.pattern.to_dict()):
        try:
            pattern = Pattern.from_dict(data)
        except (KeyError, ValueError):
            continue
        assert pattern == proof.pattern or not verify_proof(supports, replace(proof, pattern=pattern)), data


def test_freed_places_cannot_be_claimed():
    supports, proof = EXAMPLES["free"]
    steps, groups = proof.data["steps"], proof.data["groups"]
    everything = [[0], list(range(len(proof.pattern.rows))), list(range(len(proof.pattern.columns)))]
    for data in (
        {"steps": [*steps, everything], "groups": groups},
        {"steps": steps[1:], "groups": groups},
        {"steps": steps, "groups": groups[1:]},
        {"steps": [], "groups": [[everything]]},
    ):
        if data != proof.data:
            assert not verify_proof(supports, replace(proof, data=data))


def test_filling_needs_its_classes():
    supports, proof = EXAMPLES["fill"]
    assert not verify_proof(supports, replace(proof, data={"classes": proof.data["classes"], "used": []}))
    many = list(range(len(proof.pattern.ranks)))
    assert not verify_proof(supports, replace(proof, data={"classes": many, "used": proof.data["used"]}))


def test_two_classes_with_a_limit_that_is_no_product_fail():
    proof = Proof("two classes", Pattern.of(fsmf.lu(2)), (), {"rows": [1, 1, 0], "columns": [1, 1, 0]})
    assert not verify_proof(fsmf.lu(2), proof)
    good = Prover().prove(Pattern.of(NESTED))
    assert good is not None
    assert verify_proof(NESTED, good)
    node = next(node for node in good.nodes() if node.theorem == "two classes")
    supports = supports_of_pattern(node.pattern)
    assert verify_proof(supports, node)
    wrong = {"rows": [node.data["rows"][0] + 1, *node.data["rows"][1:]], "columns": node.data["columns"]}
    assert not verify_proof(supports, replace(node, data=wrong))


def test_chains_are_checked():
    supports = fsmf.as_supports([s.toarray() for s in fsmf.butterfly(8)])
    proof = check_well_posedness(supports).proof
    assert isinstance(proof, Chain)
    assert proof.verify(supports)
    assert not proof.verify(fsmf.butterfly(16))
    assert not proof.verify(supports[:2])
    first, *others = proof.patterns
    a, b, c, d = first
    assert not replace(proof, patterns=((a, b, c, 2 * d), *others)).verify(supports)
    assert not replace(proof, patterns=tuple(others)).verify(supports)
    assert not replace(proof, transposed=True).verify(supports)
    assert not replace(proof, rows=(0, 1, 2, 3, 4, 5, 6, 6)).verify(supports)
    assert not replace(proof, rows=(1, 2, 3, 4, 5, 6, 7, 0)).verify(supports)


def test_splits_are_checked():
    blocks = ([[1, 1, 1], [1, 1, 0]], [[1, 1], [1, 0], [1, 1]])
    left, right = (np.kron(np.eye(20), block) for block in blocks)
    supports = fsmf.as_supports([np.hstack([left, left[:, :1]]), np.vstack([right, right[:1]])])
    assert isinstance(check_well_posedness(supports), WellPosed)
    proof = split_of(supports)
    assert proof.verify(supports)
    groups = list(proof.groups)
    assert not replace(proof, groups=(*groups[1:], groups[0])).verify(supports)
    assert not replace(proof, groups=(-1, *groups[1:])).verify(supports)
    assert not replace(proof, groups=(9999, *groups[1:])).verify(supports)
    assert not replace(proof, proof_of={}).verify(supports)
    assert not replace(proof, proof_of=dict.fromkeys(proof.proof_of, 7)).verify(supports)
    other = Prover().prove(Pattern.of(fsmf.low_rank(2, rank=1)))
    assert not replace(proof, proofs=(other,)).verify(supports)
    assert Split.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof


def split_of(supports):
    """The proof by groups, which is otherwise kept for large supports."""
    import fsmf.wellposedness.check as check

    limit, check._BITS = check._BITS, 0
    try:
        return check_well_posedness(supports).proof
    finally:
        check._BITS = limit
