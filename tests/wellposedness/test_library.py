"""The library of minimal patterns: verified, not damaged, and made again by the code that made it."""

import json
import random
import subprocess
import sys
from itertools import combinations_with_replacement, permutations

import pytest

import fsmf
from fsmf.errors import FileFormatError
from fsmf.wellposedness import library
from fsmf.wellposedness.curves import find_witness, shortened
from fsmf.wellposedness.enumeration import Census, Kinds, canonical, free_places, kinds_of, supports_of
from fsmf.wellposedness.library import build, find_shortest, minimal_patterns, read_library, write_library

# Closed / not closed, for pairs with rows and columns of zeros, up to permutations (not transposition).
COUNTS = {
    (2, 2): [(9, 0), (57, 1)],
    (2, 3): [(12, 0), (107, 5)],
    (2, 4): [(15, 0), (180, 13)],
    (3, 3): [(16, 0), (198, 20)],
    (3, 4): [(20, 0), (329, 48)],
    (4, 4): [(25, 0), (541, 112)],
}


def all_witnesses():
    return [pytest.param(w, id=str(kinds_of(w.supports))) for w in minimal_patterns()]


@pytest.mark.parametrize("witness", all_witnesses())
def test_every_witness_verifies(witness):
    assert witness.verify()


def test_one_for_each_pattern():
    names = [canonical(kinds_of(witness.supports)) for witness in minimal_patterns()]
    assert len(set(names)) == len(names) == 65
    assert str(kinds_of(minimal_patterns()[0].supports)) == "0|01 x 0|01"


@pytest.mark.parametrize("witness", all_witnesses())
def test_identities_leave_free_entries_out(witness):
    """So that a witness carries over when components are added there."""
    used = {(i, j) for i, j, _ in witness.cofactors}
    assert not used & free_places(kinds_of(witness.supports))


def test_no_pattern_is_a_part_of_another():
    census = Census(lambda supports: None)
    known = {canonical(kinds_of(witness.supports)) for witness in minimal_patterns()}
    for kinds in known:
        for rows, columns in (kinds, kinds[::-1]):
            for i in range(len(rows)):
                part = census.reduced(type(kinds)(rows[:i] + rows[i + 1 :], columns))
                assert not all(part) or canonical(part) not in known


def test_the_file_is_checked():
    text = write_library(minimal_patterns()[:3])
    assert read_library(text) == minimal_patterns()[:3]
    data = json.loads(text)
    assert len(text.splitlines()) == 5
    wrong = [
        "",
        "{}",
        "[]",
        text[:-20],
        text.replace("x0_0", "x1_0", 1),
        text.replace('"format":1', '"format":2'),
        json.dumps({**data, "witnesses": data["witnesses"][1:]}),
        json.dumps({**data, "checksum": None}),
    ]
    for damaged in wrong:
        with pytest.raises(FileFormatError, match="install fsmf again"):
            read_library(damaged)


def test_damage_shows_when_the_library_is_asked_for(monkeypatch, tmp_path):
    (tmp_path / "minimal_patterns.json").write_text('{"format": 1}')
    monkeypatch.setattr(library.resources, "files", lambda package: tmp_path)
    minimal_patterns.cache_clear()
    try:
        with pytest.raises(FileFormatError):
            minimal_patterns()
    finally:
        minimal_patterns.cache_clear()


def test_it_is_not_read_before_it_is_asked_for():
    program = (
        "import sys, fsmf, fsmf.wellposedness.library as library; "
        "print('sympy' in sys.modules, library.minimal_patterns.cache_info().currsize)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == ["False", "0"]


def with_zeros(r, m, n):
    """Every pair up to permutations, one of each: multisets of kinds of both sides, components permuted."""
    seen = set()
    for rows in combinations_with_replacement(range(1 << r), m):
        for columns in combinations_with_replacement(range(1 << r), n):
            pair = min(
                tuple(
                    tuple(sorted(sum((kind >> k & 1) << order[k] for k in range(r)) for kind in side))
                    for side in (rows, columns)
                )
                for order in permutations(range(r))
            )
            if pair not in seen:
                seen.add(pair)
                yield Kinds(*pair)


@pytest.mark.parametrize("shape", COUNTS, ids=str)
def test_counts_of_the_theory(shape):
    census = Census(lambda supports: find_witness(supports, max_seconds=5))
    for r, expected in enumerate(COUNTS[shape], 1):
        answers = [census.is_closed(kinds) for kinds in with_zeros(r, *shape)]
        assert (answers.count(True), answers.count(False)) == expected
    assert not census.undecided


def test_three_components_on_two_rows_and_columns():
    census = Census(lambda supports: find_witness(supports, max_seconds=5))
    answers = [census.is_closed(kinds) for kinds in with_zeros(3, 2, 2)]
    assert (answers.count(True), answers.count(False), answers.count(None)) == (283, 8, 0)


def test_small_ones_are_found_again():
    witnesses, undecided = build(max_components=3, max_rows=2, max_columns=3, max_seconds=10)
    found = {canonical(kinds_of(witness.supports)) for witness in witnesses}
    known = {canonical(kinds_of(witness.supports)) for witness in minimal_patterns()}
    assert found == {kinds for kinds in known if len(kinds.rows) <= 2 and len(kinds.columns) <= 3}
    assert not undecided
    assert all(witness.verify() for witness in witnesses)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns", "number"), [(3, 5, 64), (4, 4, 61)])
def test_all_patterns_of_three_components_are_decided(rows, columns, number):
    """Each one is closed, by a theorem or by normal forms, or has a known pattern as a sub-block."""
    witnesses, undecided = build(
        max_components=3, max_rows=rows, max_columns=columns, max_seconds=60, tries=1
    )
    found = {canonical(kinds_of(witness.supports)) for witness in witnesses}
    known = {canonical(kinds_of(witness.supports)) for witness in minimal_patterns()}
    assert found == {k for k in known if len(k.rows) <= rows and len(k.columns) <= columns}
    assert len(found) == number
    assert not undecided
    assert all(witness.verify() for witness in witnesses)


@pytest.mark.slow
@pytest.mark.parametrize("witness", all_witnesses())
def test_every_curve_is_found_again(witness):
    found = find_shortest(supports_of(canonical(kinds_of(witness.supports))), max_seconds=60, tries=1)
    assert found.verify()


def test_shortening_keeps_the_proof():
    for witness in random.Random(2).sample(minimal_patterns()[:40], 5):
        assert shortened(witness, tries=2).verify()


@pytest.mark.parametrize(
    "supports",
    [fsmf.low_rank(3, rank=2), fsmf.pair([[1, 0], [1, 1]], [[1, 1], [0, 1]]), [[[1], [1]], [[1, 1]]]],
)
def test_no_witness_where_there_is_none(supports):
    assert find_witness(supports, max_seconds=0.5) is None


def test_the_command(tmp_path):
    path = tmp_path / "library.json"
    assert library.main([str(path), "--components", "2", "--rows", "2", "--columns", "3"]) == 0
    assert [str(kinds_of(w.supports)) for w in read_library(path.read_text())] == [
        "0|01 x 0|01",
        "01|01 x 0|1|01",
    ]
