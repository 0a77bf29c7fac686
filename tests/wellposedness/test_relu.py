"""Training of ReLU networks: data without an optimum, weights that diverge, and what is never claimed."""

import json
import random
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from spoiling import spoiled
from timing import least_seconds

import fsmf
from fsmf.errors import FsmfError, InputTypeError, OptionError, ShapeError
from fsmf.wellposedness.rank_limits import find_rank_limit
from fsmf.wellposedness.rank_tight import RankTight
from fsmf.wellposedness.relu import check_relu_well_posedness
from fsmf.wellposedness.relu_verdicts import TrainingVerdict

OVERHANG = fsmf.pair([[1, 1], [1, 1]], [[1, 0], [1, 1], [0, 1]])
ILL_POSED = {
    "lu": fsmf.lu(2),
    "larger lu": fsmf.lu(6),
    "overhang": OVERHANG,
    "arrow": fsmf.arrow(7),
    "dense with a corner": fsmf.pair([[1, 0, 1], [1, 1, 1], [0, 0, 1]], [[1, 0, 0], [1, 1, 0], [0, 0, 1]]),
}


def outputs(layers, x):
    """A network of one hidden layer or more, the last layer first."""
    (W, b), *others = layers
    for weight, bias in reversed(others):
        x = np.maximum(x @ weight.toarray().T + bias, 0)
    return x @ W.toarray().T + b


@pytest.mark.parametrize("name", ILL_POSED)
def test_the_loss_falls_to_zero_and_weights_grow(name):
    supports = ILL_POSED[name]
    verdict = check_relu_well_posedness(supports)
    assert verdict.verify()
    x, y = verdict.data()
    assert (len(x), abs(x).max() <= 1) == (verdict.n_points, True)
    np.testing.assert_allclose(y, x @ verdict.linear.target.toarray().T, atol=1e-14)
    errors, norms = [], []
    for t in (1e-1, 1e-2, 1e-3):
        layers = verdict.network(t)
        for (weight, _), support in zip(layers, supports, strict=True):
            assert not weight.toarray()[~support.toarray()].any()
        errors.append(np.linalg.norm(outputs(layers, x) - y))
        norms.append(sum(np.linalg.norm(weight.toarray()) for weight, _ in layers))
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5
    assert norms[2] > 5 * norms[0]


@pytest.mark.parametrize("name", ["lu", "overhang"])
def test_no_network_separates_all_points(name):
    """Random networks have no more patterns of activity than counted, and one holds d + 1 points."""
    verdict = check_relu_well_posedness(ILL_POSED[name])
    x, _ = verdict.data()
    d = len({j for _, j, _ in verdict.linear.proof.target})
    n_hidden = verdict.linear.supports[0].shape[1]
    rng = np.random.default_rng(0)
    most = 0
    for _ in range(2000):
        W = rng.standard_normal((n_hidden, x.shape[1]))
        anchors = x[rng.integers(len(x), size=n_hidden)]  # hyperplanes through or beside a point
        b = -np.sum(W * anchors, axis=1) + rng.choice([0, 1e-3, -1e-3], n_hidden)
        active = x @ W.T + b > 0
        patterns, sizes = np.unique(active, axis=0, return_counts=True)
        most = max(most, len(patterns))
        assert sizes.max() > d
    assert most <= sum(comb(n_hidden, i) for i in range(d + 1))


def test_points_are_in_general_position():
    verdict = check_relu_well_posedness(OVERHANG)
    columns = sorted({j for _, j, _ in verdict.linear.proof.target})
    x, _ = verdict.data()
    s = [Fraction(2 * q, verdict.n_points - 1) - 1 for q in range(verdict.n_points)]
    np.testing.assert_allclose(x[:, columns], [[float(v**p) for p in (1, 2, 3)] for v in s], atol=1e-12)
    rng = np.random.default_rng(1)
    for _ in range(50):
        chosen = rng.choice(len(s), 4, replace=False)
        edges = [[s[q] ** p - s[chosen[0]] ** p for p in (1, 2, 3)] for q in chosen[1:]]
        (a, b, c), (d, e, f), (g, h, i) = edges
        assert a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) != 0


def test_units_that_cannot_help_do_not_count():
    """More rows, columns and components beside the corner leave nine points enough."""
    left, right = (support.toarray() for support in fsmf.lu(2))
    left = np.block([[left, np.zeros((2, 3))], [np.ones((2, 2)), np.ones((2, 3))]])
    right = np.block([[right, np.zeros((2, 4))], [np.zeros((3, 2)), np.ones((3, 4))]])
    verdict = check_relu_well_posedness([left, right])
    assert verdict.n_points == 9
    assert verdict.verify()


def test_a_proof_by_ranks_carries_over():
    supports = fsmf.pair([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 1]])
    linear = fsmf.check_well_posedness(supports)
    from fsmf.wellposedness.relu import n_points_for

    tight = replace(linear, proof=find_rank_limit(supports, kinds=[RankTight]))
    assert isinstance(tight.proof, RankTight)
    verdict = fsmf.TrainingIllPosed(tuple(supports), tight, n_points_for(tight))
    assert verdict.verify()


def test_spoiled_verdicts_fail():
    verdict = check_relu_well_posedness(fsmf.lu(2))
    other = check_relu_well_posedness(fsmf.lu(3))
    assert not replace(verdict, n_points=verdict.n_points - 1).verify()
    assert not replace(verdict, layers=other.layers).verify()
    assert not replace(verdict, linear=other.linear).verify()
    proof = verdict.linear.proof
    for wrong in (
        replace(proof, X=proof.X[1:]),
        replace(proof, target=proof.target[1:]),
        replace(proof, cofactors=proof.cofactors[1:]),
    ):
        assert not replace(verdict, linear=replace(verdict.linear, proof=wrong)).verify()


WELL_POSED = [
    [np.ones((3, 2))],
    [np.ones((1, 5)), np.tri(5)],
    [[[1, 0, 1], [0, 1, 0]], np.ones((3, 4))],
    [np.zeros((2, 3)), np.ones((3, 4))],
    [fsmf.KSparse((1, 6), 2), fsmf.KSparse((6, 4), 7)],
    [fsmf.ColumnSparse((3, 6), 1), fsmf.RowSparse((6, 4), 2)],
    [fsmf.KSparse((3, 6), 1), np.ones((6, 4))],
    [fsmf.KSparse((5, 5), 7)],
]


@pytest.mark.parametrize("layers", WELL_POSED, ids=range(len(WELL_POSED)))
def test_units_that_feed_one_output_have_an_optimum(layers):
    verdict = check_relu_well_posedness(layers)
    assert isinstance(verdict, fsmf.TrainingWellPosed)
    assert verdict.verify()
    assert not replace(verdict, layers=tuple(fsmf.low_rank(3, rank=2))).verify()
    assert not replace(verdict, layers=(*verdict.layers, fsmf.KSparse((2, 2), 4), *verdict.layers)).verify()


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (fsmf.low_rank(4, rank=2), "does not suffice"),
        ([fsmf.KSparse((3, 6), 4), np.ones((6, 4))], "union"),
        ([np.ones((1, 3)), fsmf.KSparse((3, 3), 4), np.ones((3, 3))], "union"),
        (fsmf.kaleidoscope(8), "open"),
    ],
)
def test_the_rest_is_open(layers, reason):
    verdict = check_relu_well_posedness(layers)
    assert isinstance(verdict, fsmf.TrainingUndecided)
    assert reason in str(verdict)
    assert verdict.verify().checks == ()
    assert json.loads(verdict.to_json())["theorem"] == "none"
    with pytest.raises(TypeError, match="truth value"):
        bool(verdict)


def test_misuse():
    with pytest.raises(InputTypeError, match="sequence"):
        check_relu_well_posedness(3)
    with pytest.raises(ShapeError, match="chain"):
        check_relu_well_posedness([np.ones((2, 3)), np.ones((2, 2))])
    with pytest.raises(ShapeError, match="two sides"):
        check_relu_well_posedness([fsmf.KSparse(4, 2)])
    with pytest.raises(OptionError, match="max_seconds"):
        check_relu_well_posedness(fsmf.lu(2), max_seconds=0)
    verdict = check_relu_well_posedness(fsmf.lu(2))
    with pytest.raises(OptionError, match="do not fit"):
        replace(verdict, n_points=10**12).data()


@pytest.mark.parametrize("seed", [0, 2])
def test_budgets_are_kept_while_fillings_are_tried(seed):
    """On these layers the choices of a filling alone took ten times the budget."""
    rng = np.random.default_rng(seed)
    layers = [rng.random((20, 64)) < 0.4, rng.random((64, 64)) < 0.4]
    check_relu_well_posedness(fsmf.lu(3))  # imports are no part of the search
    assert least_seconds(lambda: check_relu_well_posedness(layers, max_seconds=0.1)) < 0.5
    assert isinstance(check_relu_well_posedness(layers, max_seconds=0.1), fsmf.TrainingUndecided)


@pytest.mark.parametrize(
    "layers",
    [
        fsmf.lu(3),
        [np.tri(2), np.eye(2), np.tri(2).T],
        [fsmf.KSparse((1, 4), 2), fsmf.ColumnSparse((4, 6), 1)],
        [np.ones((1, 3)), fsmf.GroupSparse([[0, 0], [1, 1], [1, -1]], 1)],
        fsmf.low_rank(3, rank=2),
        [fsmf.RowColumnSparse((3, 3), 2), fsmf.Free((3, 3))],
    ],
    ids=["lu", "deep", "sparse", "groups", "closed", "open"],
)
def test_verdicts_on_training_survive_json_and_spoiled_ones_fail(layers):
    verdict = fsmf.check_relu_well_posedness(layers)
    data = json.loads(verdict.to_json())
    again = type(verdict).from_dict(data)
    assert again == verdict
    assert again.verify()
    # Of the others, the layers are what was asked, and of the answers only one holds more.
    if not isinstance(verdict, fsmf.TrainingIllPosed):
        return
    wrong = list(spoiled(data))
    for place, other in random.Random(1).sample(wrong, min(60, len(wrong))):
        try:
            found = TrainingVerdict.from_dict(other)
        except FsmfError:
            continue
        if found != verdict and found.verify():
            # More points do no harm, and terms of a curve that vanish in the limit may be others.
            assert {"n_points", "X", "Y", "factors"}.intersection(place), place
