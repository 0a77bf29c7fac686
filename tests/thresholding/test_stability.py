"""Fixed points of hard thresholding, and estimates of smoothness, against their definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["k", "row", "column", "both", "nm", "block", "group", "free", "joint"]),
    size=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)
@settings(max_examples=60, deadline=None)
def test_stable_is_a_fixed_point_of_one_step(seed, kind, size):
    constraint = {
        "k": fsmf.KSparse((4, 4), 3),
        "row": fsmf.RowSparse((4, 4), 2),
        "column": fsmf.ColumnSparse((4, 4), 1),
        "both": fsmf.RowColumnSparse((4, 4), 2),
        "nm": fsmf.NM((4, 4), 1, of=2),
        "block": fsmf.BlockSparse((4, 4), 2, block=2),
        "group": fsmf.GroupSparse(np.arange(16).reshape(4, 4) // 3 - 1, 2),
        "free": fsmf.Free((4, 4)),
        "joint": fsmf.Joint([fsmf.KSparse(10, 2), fsmf.RowSparse((2, 3), 1)]),
    }[kind]
    rng = np.random.default_rng(seed)
    x = constraint.project(rng.standard_normal(constraint.shape))
    gradient = np.where(x == 0, size * rng.standard_normal(x.shape), 0)
    verdict = fsmf.ht_stability(x, gradient, constraint, step=0.7, rtol=0.0)
    assert verdict.stable == np.array_equal(constraint.project(x - 0.7 * gradient), x)
    on = fsmf.ht_stability(x, gradient + 0.1 * (x != 0), constraint, step=0.7)
    assert not on.stable
    assert on.gradient_on == pytest.approx(0.1 * np.sqrt(np.count_nonzero(x)))


def test_a_point_with_room_needs_a_zero_gradient():
    constraint = fsmf.KSparse(3, 2)
    assert not fsmf.ht_stability([1.0, 0, 0], [0, 0.5, 0], constraint, step=1e-3).stable
    assert fsmf.ht_stability([1.0, 0, 0], [0, 0, 0], constraint, step=1.0).stable
    assert fsmf.ht_stability([0.0, 0, 0], [0, 0, 0], constraint, step=1.0).stable


def test_the_margin_is_the_gap_of_magnitudes():
    verdict = fsmf.ht_stability([3.0, -2.0, 0, 0], [0, 0, 1.0, -4.0], fsmf.KSparse(4, 2), step=0.25)
    assert verdict.margin == 1.0
    assert verdict.gradient_off == 4.0
    assert "stable for steps of 0.25" in str(verdict)


def largest_on_pairs(H, k):
    """The restricted smoothness of a quadratic: two k-sparse points differ in at most 2k places."""
    sets = np.array(list(itertools.combinations(range(len(H)), min(2 * k, len(H)))))
    return np.linalg.eigvalsh(H[sets[:, :, None], sets[:, None]])[:, -1].max()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_restricted_estimate_is_from_below(k):
    """Each is near, and samples alone are not: what is climbed from them must not leave out the best."""
    for seed in range(4):
        X = np.random.default_rng(seed).standard_normal((40, 15))
        H = X.T @ X / 40
        sampled, climbed = (
            fsmf.estimate_rss(H.__matmul__, fsmf.KSparse(15, k), n_samples=1000, ascents=ascents, rng=seed)
            for ascents in (0, 5)
        )
        modulus = largest_on_pairs(H, k)
        assert max(0.9 * modulus, sampled) <= climbed <= modulus * (1 + 1e-9)
        assert sampled >= 0.7 * modulus


def test_the_estimate_of_parts_keeps_to_their_budgets():
    """Without a limit it is power iteration, and comes to the largest eigenvalue."""
    X = np.random.default_rng(0).standard_normal((20, 8))
    H = X.T @ X
    free, joint = fsmf.Free(8), fsmf.Joint([fsmf.KSparse(5, 1), fsmf.Free(3)])
    assert fsmf.estimate_rss(H.__matmul__, free) == pytest.approx(np.linalg.norm(H, 2), rel=1e-3)
    pairs = [[*pair, 5, 6, 7] for pair in itertools.combinations(range(5), 2)]
    modulus = max(np.linalg.norm(H[np.ix_(pair, pair)], 2) for pair in pairs)
    assert 0.9 * modulus <= fsmf.estimate_rss(H.__matmul__, joint) <= modulus * (1 + 1e-9)


def test_the_whole_gradient_gives_a_larger_estimate():
    X = np.random.default_rng(0).standard_normal((40, 12))
    H = X.T @ X / 40
    constraint = fsmf.KSparse(12, 2)
    part, whole = (fsmf.estimate_rss(H.__matmul__, constraint, restricted=r) for r in (True, False))
    assert part < whole


def test_bad_input():
    constraint = fsmf.KSparse(3, 1)
    x, gradient = [1.0, 0, 0], [0.0, 0, 0]
    with pytest.raises(OptionError, match="step"):
        fsmf.ht_stability(x, gradient, constraint, step=0)
    with pytest.raises(OptionError, match="project it"):
        fsmf.ht_stability([1.0, 1, 0], gradient, constraint, step=1)
    with pytest.raises(ShapeError):
        fsmf.ht_stability(x, [0.0], constraint, step=1)
    with pytest.raises(InputError, match="gradient"):
        fsmf.ht_stability(x, [0.0, np.nan, 0], constraint, step=1)
    with pytest.raises(OptionError, match="n_samples"):
        fsmf.estimate_rss(lambda x: x, constraint, n_samples=0)
    with pytest.raises(InputError, match="gradient"):
        fsmf.estimate_rss(lambda x: x * np.nan, constraint)
    with pytest.raises(InputTypeError, match="rng"):
        fsmf.estimate_rss(lambda x: x, constraint, rng="no")
