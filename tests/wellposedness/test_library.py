"""The library of minimal patterns: verified, not damaged, and made again by the code that made it."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from small_patterns import sampled

import fsmf
from fsmf.errors import FileFormatError
from fsmf.wellposedness import library
from fsmf.wellposedness.curves import find_witness, shortened
from fsmf.wellposedness.enumeration import Census, canonical, free_places, kinds_of, supports_of
from fsmf.wellposedness.library import build, find_shortest, minimal_patterns, read_library, write_library
from fsmf.wellposedness.orbits import find_cover
from fsmf.wellposedness.verdicts import IllPosed


def all_witnesses():
    return [pytest.param(w, id=str(kinds_of(w.supports))) for w in minimal_patterns()]


@pytest.mark.parametrize("witness", all_witnesses())
def test_every_witness_verifies(witness):
    assert witness.verify()


def test_one_for_each_pattern():
    names = [canonical(kinds_of(witness.supports)) for witness in minimal_patterns()]
    assert len(set(names)) == len(names) == 179
    assert str(kinds_of(minimal_patterns()[0].supports)) == "0|01 x 0|01"


@pytest.mark.parametrize("witness", all_witnesses())
def test_identities_leave_free_entries_out(witness):
    """So that a witness carries over when components are added there."""
    used = {(i, j) for i, j, _ in witness.cofactors}
    assert not used & free_places(kinds_of(witness.supports))


@pytest.mark.slow
def test_all_patterns_of_three_components_are_found_again():
    """By the code that made the list, every pattern of these sizes decided."""
    witnesses, undecided = build([(1, 3, 5), (2, 3, 5), (3, 3, 5), (3, 4, 4)], tries=1)
    assert not undecided
    assert all(witness.verify() for witness in witnesses)
    shipped = [witness for witness in minimal_patterns() if witness.left.shape[1] <= 3]
    names = [{canonical(kinds_of(witness.supports)) for witness in some} for some in (witnesses, shipped)]
    assert names[0] == names[1]
    assert len(names[0]) == len(witnesses) == 65


def test_no_pattern_is_a_part_of_another():
    census = Census(lambda supports, seconds: None)
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
    caches = (minimal_patterns, library._shipped)
    for cache in caches:
        cache.cache_clear()
    try:
        with pytest.raises(FileFormatError):
            minimal_patterns()
    finally:
        for cache in caches:
            cache.cache_clear()


def test_it_is_not_read_before_it_is_asked_for():
    program = (
        "import sys, fsmf, fsmf.wellposedness.library as library; "
        "print('sympy' in sys.modules, library.minimal_patterns.cache_info().currsize)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == ["False", "0"]


@pytest.mark.parametrize("size", [(2, 3, 2), (3, 3, 2), (2, 2, 3)], ids=str)
def test_the_census_agrees_with_the_library(size):
    """Curves are searched for anew; the verdicts take them from the file."""
    census = Census(lambda kinds, seconds: find_witness(supports_of(kinds), max_seconds=seconds))
    for supports in sampled(np.random.default_rng(sum(size)), size, 25):
        ill_posed = isinstance(fsmf.check_well_posedness(supports), IllPosed)
        assert census.is_closed(kinds_of(supports)) is not ill_posed
    assert not census.undecided


def test_small_ones_are_found_again():
    witnesses, undecided = build([(r, 2, 2) for r in (1, 2, 3, 4)], max_seconds=10, tries=2)
    found = {canonical(kinds_of(witness.supports)) for witness in witnesses}
    known = {canonical(kinds_of(witness.supports)) for witness in minimal_patterns()}
    assert found == {kinds for kinds in known if len(kinds.rows) <= 2 and len(kinds.columns) <= 2}
    assert not undecided
    assert all(witness.verify() for witness in witnesses)


@pytest.mark.parametrize("witness", random.Random(4).sample(all_witnesses(), 3))
def test_curves_are_found_again(witness):
    kinds = canonical(kinds_of(witness.supports))
    found = find_shortest(supports_of(kinds), form=find_cover(kinds), max_seconds=60, tries=1)
    assert found.verify()


def test_shortening_keeps_the_proof():
    for witness in random.Random(2).sample(minimal_patterns()[:40], 3):
        assert shortened(witness, tries=2).verify()


@pytest.mark.parametrize(
    "supports",
    [fsmf.low_rank(3, rank=2), fsmf.pair([[1, 0], [1, 1]], [[1, 1], [0, 1]]), [[[1], [1]], [[1, 1]]]],
)
def test_no_witness_where_there_is_none(supports):
    assert find_witness(supports, max_seconds=0.5) is None


def test_the_command(tmp_path):
    path = tmp_path / "library.json"
    assert library.main([str(path), "--size", "2", "2", "3"]) == 0
    assert [str(kinds_of(w.supports)) for w in read_library(path.read_text())] == [
        "0|01 x 0|01",
        "01|01 x 0|1|01",
    ]
