"""check_well_posedness against counts, symmetries, and what sub-blocks say."""

from collections import Counter

import numpy as np
import pytest
from small_patterns import orbits, random_pair, sampled, supports_of

import fsmf
from benchmarks.bench_wellposed import COUNTS, pole_limit
from fsmf.wellposedness.check import check_well_posedness, quick_verdict
from fsmf.wellposedness.elimination import Attainable, Unattainable, is_attainable
from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed

DECIDED = (WellPosed, IllPosed)


def quick(supports):
    """The verdict of the cheap tests, mostly."""
    return check_well_posedness(supports, max_seconds=0.3)


def agree(one, other):
    """Two verdicts that must be the same are not contradictory."""
    return type(one) is type(other) or Undecided in (type(one), type(other))


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        pytest.param(*item, marks=() if sum(item[1]) < 200 else pytest.mark.slow, id=str(item[0]))
        for item in COUNTS.items()
    ],
)
def test_every_small_pattern_is_decided_and_verifies(size, counts):
    m, n, r = size
    found = Counter()
    for sides in orbits(m, n, r):
        verdict = check_well_posedness(supports_of(*sides, r), max_seconds=60)
        found[type(verdict)] += 1
        assert verdict.verify(), sides
    assert found == Counter(dict(zip(DECIDED, counts, strict=True)))


@pytest.mark.parametrize("size", [(2, 4, 3), (3, 3, 3), (3, 4, 3), (4, 4, 3), (3, 3, 4)], ids=str)
def test_verdicts_on_small_patterns_verify(size):
    for supports in sampled(np.random.default_rng(sum(size)), size, 60):
        verdict = check_well_posedness(supports, max_seconds=1)
        assert isinstance(verdict, Undecided) or verdict.verify(), supports


NAMED = [
    (fsmf.low_rank(64, 48, rank=5), WellPosed),
    (fsmf.low_rank(4, 6, rank=9), WellPosed),
    (fsmf.block_diagonal(64, 40, blocks=8, rank=2), WellPosed),
    (fsmf.block_diagonal(64, blocks=64), WellPosed),
    (fsmf.hodlr(64), WellPosed),
    (fsmf.hodlr(64, rank=3), WellPosed),
    (fsmf.monarch(64, blocks=8), WellPosed),
    (fsmf.butterfly(64), WellPosed),
    (fsmf.lu(1), WellPosed),
    (fsmf.lu(2), IllPosed),
    (fsmf.lu(64), IllPosed),
    (fsmf.banded(64, lower=2, upper=3), IllPosed),
    (fsmf.arrow(64, width=2), IllPosed),
    (fsmf.completion(np.ones((6, 5))), WellPosed),
    (fsmf.completion(1 - np.eye(8)), IllPosed),
    (fsmf.completion(np.tri(64)), IllPosed),
    (fsmf.as_supports([np.tri(7)]), WellPosed),
    (fsmf.as_supports([s.toarray() for s in fsmf.butterfly(16)]), WellPosed),
    (fsmf.butterfly(16).T, WellPosed),
]


@pytest.mark.parametrize(("supports", "expected"), NAMED, ids=lambda case: getattr(case, "name", None) or "")
def test_named_families(supports, expected):
    verdict = check_well_posedness(supports)
    assert type(verdict) is expected
    assert verdict.verify()


@pytest.mark.parametrize("n", [*range(2, 9), 17, 32])
def test_families_of_all_sizes(n):
    assert isinstance(check_well_posedness(fsmf.lu(n)), IllPosed)
    assert isinstance(check_well_posedness(fsmf.banded(n)), IllPosed)
    assert isinstance(check_well_posedness(fsmf.low_rank(n, rank=(n + 1) // 2)), WellPosed)
    assert isinstance(check_well_posedness(fsmf.hodlr(n)), WellPosed)


def test_sub_blocks_transposes_and_orders_do_not_contradict():
    rng = np.random.default_rng(1)
    for _ in range(60):
        supports = random_pair(rng)
        verdict = quick(supports)
        assert agree(verdict, quick(supports.T))
        left, right = (support.toarray() for support in supports)
        sides = (len(left), len(right), right.shape[1])
        rows, components, columns = (rng.permutation(side) for side in sides)
        mixed = [left[rows][:, components], right[components][:, columns]]
        assert agree(verdict, quick(mixed))
        if isinstance(verdict, WellPosed):  # deleting rows and columns keeps closedness
            some_rows, some_columns = rows[: rng.integers(1, 6)], columns[: rng.integers(1, 6)]
            block = quick([left[some_rows], right[:, some_columns]])
            assert not isinstance(block, IllPosed)


@pytest.mark.parametrize("size", [(3, 3, 3), (3, 4, 3), (4, 4, 3), (3, 3, 4)], ids=str)
def test_limits_on_closed_patterns_are_products(size):
    """Thousands have their turn in the benchmarks."""
    rng = np.random.default_rng(sum(size))
    attained = 0
    for supports in sampled(rng, size, 40):
        if isinstance(quick(supports), WellPosed):
            for _ in range(2):
                found = is_attainable(pole_limit(supports, rng), supports, max_seconds=1)
                assert not isinstance(found, Unattainable), supports
                attained += isinstance(found, Attainable)
    assert attained > 10


def test_quick_verdicts_are_the_thorough_ones():
    rng = np.random.default_rng(11)
    found = set()
    for _ in range(60):
        supports = random_pair(rng, 6, 5)
        verdict = quick_verdict(supports)
        if verdict is not None:
            assert verdict.verify()
            assert type(check_well_posedness(supports)) is type(verdict)
        found.add(type(verdict))
    assert found == {WellPosed, IllPosed, type(None)}
    assert quick_verdict(fsmf.as_supports([np.tri(3)])) is None
    assert isinstance(quick_verdict(fsmf.butterfly(1024)), WellPosed)


def test_more_rows_of_a_kind_than_its_rank_change_nothing():
    rng = np.random.default_rng(2)
    for _ in range(40):
        supports = random_pair(rng, max_side=4, max_components=3)
        left, right = (support.toarray() for support in supports)
        i = rng.integers(len(left))
        many = np.vstack([left, np.repeat(left[[i]], left[i].sum(), axis=0)])
        more = np.vstack([many, left[[i]]])
        assert agree(quick([many, right]), quick([more, right]))


def test_witnesses_come_near_and_grow():
    rng = np.random.default_rng(3)
    seen = 0
    while seen < 20:
        verdict = quick(random_pair(rng, 6, 5))
        if isinstance(verdict, IllPosed):
            seen += 1
            errors, norms = [], []
            for t in (1e-2, 1e-4):
                X, Y = verdict.witness(t)
                errors.append(abs((X @ Y - verdict.target).toarray()).max())
                norms.append(max(abs(X).max(), abs(Y).max()))
            assert errors[1] < 0.1 * errors[0] + 1e-9
            assert norms[1] > 5 * norms[0]


def test_bound_on_the_factors_is_claimed_where_it_holds():
    assert check_well_posedness(fsmf.low_rank(9, rank=2)).is_bounded
    free = fsmf.pair([[1, 1, 0], [1, 1, 1]], [[1, 1, 0], [1, 1, 1]])
    assert not check_well_posedness(free).is_bounded


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "soon", None])
def test_budget_must_be_a_time(seconds):
    with pytest.raises(fsmf.errors.OptionError, match="max_seconds"):
        check_well_posedness(fsmf.lu(2), max_seconds=seconds)


def test_without_time_nothing_is_claimed():
    supports = fsmf.random_supports(24, components=24, density=0.8, rng=0)
    verdict = check_well_posedness(supports, max_seconds=1e-9)
    assert isinstance(verdict, Undecided)
    assert "time" in str(verdict)


def test_not_supports():
    with pytest.raises(ValueError, match="0"):
        check_well_posedness([np.full((2, 2), 0.5), np.ones((2, 2))])
    with pytest.raises(fsmf.errors.ShapeError):
        check_well_posedness([np.ones((2, 3)), np.ones((2, 2))])


def scattered(rng, m, r, width):
    """Components on random rows and columns, so many each."""
    components = np.repeat(np.arange(r), width)
    rows, columns = (
        np.concatenate([rng.choice(m, width, replace=False) for _ in range(r)]) for _ in range(2)
    )
    left = fsmf.Support.from_coordinates(rows, components, shape=(m, r))
    return left, fsmf.Support.from_coordinates(components, columns, shape=(r, m))


@pytest.mark.parametrize(
    ("supports", "expected"),
    [
        (lambda: scattered(np.random.default_rng(0), 5_000, 5_000, 10), IllPosed),
        (lambda: fsmf.block_diagonal(100_000, blocks=2_000), WellPosed),
        (lambda: fsmf.banded(2_000, lower=9, upper=9), IllPosed),
    ],
    ids=["scattered", "blocks", "banded"],
)
def test_many_nonzeros(supports, expected):
    """Millions have their turn in the benchmarks."""
    verdict = check_well_posedness(supports())
    assert type(verdict) is expected
    assert verdict.verify()
