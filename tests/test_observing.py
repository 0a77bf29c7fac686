"""Weights, missing entries, prescribed values: against closed forms, other formulations and plain lstsq."""

import dataclasses
import math

import numpy as np
import pytest
from cases import solve
from scipy import sparse
from solvers.test_problem_sweep import gaussian, masks, spoiled

import fsmf
from fsmf import ALS
from fsmf.errors import InputError, InputTypeError, OptionError, RefusedError, ShapeError, SupportError
from fsmf.observing import observed, rank_one_minorants

RNG = np.random.default_rng(0)
PAIR = masks(6, 4, 7)
THREE = masks(6, 5, 7, 6)
LOWER, UPPER = fsmf.lu(4)
UNIT = fsmf.fixed(np.eye(4), np.eye(4), support=LOWER)

every_solver = pytest.mark.parametrize("kind", [ALS, fsmf.VariableProjection, fsmf.QuasiNewton])


def weights_of(shape, zeros=True, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(shape) * (rng.random(shape) < 0.8 if zeros else 1)


def weighted_error(A, F, W):
    return math.sqrt(float(np.sum(W * np.abs(A - F.to_dense()) ** 2)))


@pytest.mark.parametrize("dtype", [float, complex])
@every_solver
def test_rank_one_weights_are_a_scaling(kind, dtype):
    """With W = u vᵀ the best product is that of the scaled matrix, and the bound is exact."""
    A, u, v = gaussian((6, 5), dtype), RNG.random(6) + 0.1, RNG.random(5) + 0.1
    supports = fsmf.low_rank(6, 5, rank=2)
    F = solve(A, supports, weights=np.outer(u, v), solver=kind())
    scaled = np.sqrt(u)[:, None] * A * np.sqrt(v)
    best = fsmf.factorize(scaled, supports)
    assert F.error == pytest.approx(best.error, rel=1e-6)
    assert F.lower_bound == pytest.approx(best.error, rel=1e-9)
    assert F.error == pytest.approx(weighted_error(A, F, np.outer(u, v)), rel=1e-9)
    assert F.norm == pytest.approx(best.norm)


@pytest.mark.parametrize("seed", range(4))
@every_solver
def test_weights_of_zeros_and_ones_are_the_completion_gadget(kind, seed):
    rng = np.random.default_rng(seed)
    mask, A = rng.random((5, 5)) < 0.7, rng.standard_normal((5, 5))
    gadget = solve(A, fsmf.completion(mask), solver=kind())
    weighted = solve(A, fsmf.low_rank(5, rank=1), weights=mask, solver=kind())
    assert weighted.error == pytest.approx(gadget.error, abs=1e-5 * np.linalg.norm(A))


@pytest.mark.parametrize("supports", [PAIR, THREE], ids=["pair", "three"])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_weighted_results_verify_with_their_weights_only(supports, dtype):
    A, W = gaussian(supports.shape, dtype), weights_of(supports.shape)
    F = solve(A, supports, weights=W, solver=ALS(starts=2, max_sweeps=50))
    assert F.dtype == A.dtype
    assert F.verify(A, weights=W), str(F.verify(A, weights=W))
    assert F.T.verify(A.T, weights=W.T)
    assert (2 * F).verify(2 * A, weights=W)
    assert not F.verify(A, weights=1.1 * W)
    assert F.lower_bound <= F.error == pytest.approx(weighted_error(A, F, W), rel=1e-4)
    with pytest.raises(OptionError, match="left out"):
        F.verify(A)
    with pytest.raises(OptionError, match="not weighted"):
        solve(A, supports, solver=ALS(starts=1, max_sweeps=2)).verify(A, weights=W)


def test_a_spoiled_weighted_certificate_is_noticed():
    A, W = gaussian((6, 5)), weights_of((6, 5), zeros=False) + 0.5
    F = solve(A, fsmf.low_rank(6, 5, rank=2), weights=W)
    assert F.lower_bound > 0.1 * F.error
    for name in ("error", "lower_bound", "out_of_reach", "gradient_norm"):
        value = getattr(F.certificate, name)
        assert not spoiled(F, **{name: value + 0.01 * F.norm}).verify(A, weights=W)
    assert dataclasses.replace(F.certificate, weighted=False) != F.certificate


@pytest.mark.parametrize("seed", range(3))
def test_a_weighted_bound_is_below_any_product(seed):
    rng = np.random.default_rng(seed)
    supports = fsmf.random_supports(5, 6, components=3, density=0.7, rng=seed)
    A, W = rng.standard_normal((5, 6)), weights_of((5, 6), seed=seed)
    F = solve(A, supports, weights=W, solver=ALS(starts=10))
    assert F.lower_bound <= F.error
    G = solve(A, supports, weights=W, solver=ALS(starts=10, rng=1))
    assert F.lower_bound <= G.error * (1 + 1e-9)


def test_missing_entries_are_those_of_weight_zero():
    A, W = gaussian((6, 7)), weights_of((6, 7)) > 0
    F = solve(np.where(W, A, np.nan), PAIR, missing="nan")
    G = solve(A, PAIR, weights=W)
    assert all(np.array_equal(x, y) for x, y in zip(F.values, G.values, strict=True))
    assert F.verify(np.where(W, A, np.nan), missing="nan")
    both = solve(np.where(W, A, np.nan), PAIR, missing="nan", weights=2 * np.ones((6, 7)))
    assert both.error == pytest.approx(math.sqrt(2) * F.error, rel=1e-6)


def test_what_does_not_count_does_not_matter():
    A, W = gaussian((6, 7)), weights_of((6, 7))
    F, G = (solve(B, PAIR, weights=W) for B in (A, np.where(W > 0, A, 1e6)))
    assert all(np.array_equal(x, y) for x, y in zip(F.values, G.values, strict=True))


def test_weights_of_one_are_none():
    A = gaussian((4, 4))
    F = fsmf.factorize(A, fsmf.monarch(4, blocks=2), weights=np.ones((4, 4)), missing="nan")
    assert F.solver == "BlockSVD"
    assert observed(sparse.csr_array(A), np.ones((4, 4)))[1] is None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weights": -np.eye(4)}, InputError, "negative"),
        ({"weights": np.full((4, 4), np.nan)}, InputError, "finite"),
        ({"weights": np.zeros((4, 4))}, InputError, "some entry must count"),
        ({"weights": np.ones(4)}, ShapeError, "broadcast_to"),
        ({"weights": np.ones((4, 4)) * 1j}, InputTypeError, "real"),
        ({"missing": "None"}, OptionError, '"nan"'),
        ({"weights": np.eye(4), "solver": fsmf.BlockSVD()}, RefusedError, "BlockSVD takes no weights"),
        (
            {"weights": np.eye(4), "solver": fsmf.Hierarchical()},
            RefusedError,
            "Hierarchical takes no weights",
        ),
    ],
)
def test_weights_that_are_none_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        fsmf.factorize(np.eye(4), fsmf.lu(4), **options)


def test_nan_is_refused_unless_it_stands_for_missing_entries():
    A = np.where(np.eye(4), np.nan, 1.0)
    for options in ({}, {"weights": 2 - np.eye(4)}, {"weights": 1 - np.eye(4)}):
        with pytest.raises(InputError, match="NaN"):
            fsmf.factorize(A, fsmf.lu(4), **options)
    with pytest.raises(InputError, match="infinite"):
        fsmf.factorize(np.where(np.eye(4), np.inf, 1.0), fsmf.lu(4), missing="nan")
    with pytest.raises(InputError, match="some entry must count"):
        fsmf.factorize(np.full((4, 4), np.nan), fsmf.lu(4), missing="nan")


def test_minorants_are_below_the_roots():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        roots = rng.random((4, 5)) * (rng.random((4, 5)) < 0.8)
        roots[rng.random((4, 5)) < 0.2] = np.inf
        for u, v in rank_one_minorants(roots):
            assert (np.outer(u, v) <= roots * (1 + 1e-12)).all()
            assert np.isfinite(u).all()
            assert np.isfinite(v).all()


@pytest.mark.parametrize("supports", [PAIR, THREE], ids=["pair", "three"])
@every_solver
@pytest.mark.parametrize("scale", [2.0**-600, 2.0**-100, 2.0**100, 2.0**600])
def test_only_ratios_of_weights_tell_which_factors_are_best(supports, kind, scale):
    A, W = gaussian(supports.shape), weights_of(supports.shape) + 0.1
    expected, F = (solve(A, supports, solver=kind(starts=2), weights=U) for U in (W, scale * W))
    assert abs(F.error - math.sqrt(scale) * expected.error) < 1e-6 * F.norm
    assert F.verify(A, weights=scale * W), str(F.verify(A, weights=scale * W))


def test_what_is_told_on_the_way_is_in_the_norm_of_the_weights():
    A, W, seen = gaussian(PAIR.shape), 2.0**100 * weights_of(PAIR.shape), []
    F = solve(A, PAIR, solver=ALS(starts=1, ridge=2.0**97, callback=seen.append), weights=W)
    assert abs(seen[-1].error - weighted_error(A, F, W)) < 1e-6 * F.error
    assert np.isclose(F.history.error[-1], F.error, rtol=1e-6)
    assert np.isclose(F.certificate.ridge, 2.0**97)
    assert F.verify(A, weights=W), str(F.verify(A, weights=W))
    path, plain = (fsmf.factorize(A, PAIR, ridge="path", weights=U).ridge_path for U in (W, 2.0**-100 * W))
    assert np.allclose(path.errors, 2.0**50 * plain.errors)
    assert np.allclose(path.ridges, 2.0**100 * plain.ridges)
    assert np.allclose(path.norms, plain.norms)


@pytest.mark.parametrize("rng", range(3))
def test_weights_of_many_magnitudes_verify(rng):
    draw = np.random.default_rng(rng)
    A, W = gaussian(THREE.shape), 10.0 ** draw.integers(-12, 12, THREE.shape)
    F = solve(A, THREE, solver=fsmf.QuasiNewton(starts=4), weights=W)
    assert F.verify(A, weights=W), str(F.verify(A, weights=W))


@every_solver
def test_zero_is_made_of_zeros(kind):
    A = np.zeros(THREE.shape)
    F = solve(A, THREE, solver=kind())
    assert F.error == 0
    assert not F.to_dense().any()
    assert F.verify(A), str(F.verify(A))


# Prescribed values


def test_prescribed_values_are_kept_and_the_rest_is_optimal():
    """With ones on the diagonal of the lower factor, the factorization is the unit one."""
    A = 4 * np.eye(4) + gaussian((4, 4))
    F = solve(A, [UNIT, UPPER], solver=ALS(rtol=1e-12))
    lower, upper = np.eye(4), A.copy()
    for k in range(4):
        lower[k + 1 :, k] = upper[k + 1 :, k] / upper[k, k]
        upper[k + 1 :] -= np.outer(lower[k + 1 :, k], upper[k])
    assert np.allclose(F.X.toarray(), lower, atol=1e-4)
    assert np.allclose(F.Y.toarray(), upper, atol=1e-4)
    assert F.X.diagonal().tolist() == [1.0] * 4


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_a_frozen_factor_leaves_least_squares(dtype):
    X, A = gaussian((6, 4)), gaussian((6, 5), dtype)
    F = solve(A, [fsmf.fixed(X), np.ones((4, 5))], solver=ALS(starts=1))
    expected, *_ = np.linalg.lstsq(X.astype(dtype), A, rcond=None)
    assert np.allclose(F.Y.toarray(), expected, atol=1e-5)
    assert F.verify(A), str(F.verify(A))
    assert (F.X.toarray() == X.astype(dtype)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("free", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_one_factor_that_is_not_prescribed_has_its_optimum(dtype, free, weighted):
    """Least squares on a design that is laid out say what it is, and no other bound is as good."""
    A, W = gaussian(THREE.shape, dtype), weights_of(THREE.shape) if weighted else np.ones(THREE.shape)
    factors = [gaussian(support.shape) * support.toarray() for support in THREE]
    held = THREE[free].toarray() & (np.arange(THREE[free].shape[1]) == 2)
    supports = [
        fsmf.fixed(X, support.toarray(), support=support) for X, support in zip(factors, THREE, strict=True)
    ]
    supports[free] = fsmf.fixed(factors[free], held, support=THREE[free])
    left, right = np.eye(A.shape[0]), np.eye(A.shape[1])
    for X in factors[:free]:
        left = left @ X
    for X in reversed(factors[free + 1 :]):
        right = X @ right
    places = np.argwhere(THREE[free].toarray() & ~held)
    roots = np.sqrt(W)
    design = np.stack([(roots * np.outer(left[:, a], right[b])).ravel() for a, b in places], axis=1)
    target = (roots * (A - left @ (factors[free] * held) @ right)).ravel()
    least = np.linalg.norm(target - design @ np.linalg.lstsq(design.astype(target.dtype), target)[0])
    given = {"weights": W} if weighted else {}
    F = fsmf.factorize(A, supports, **given)
    assert F.solver == "ALS"
    assert np.isclose(F.lower_bound, least, rtol=1e-6)
    assert F.certificate.gap <= 1e-6 * F.error
    assert str(F.certificate).startswith("global optimum")
    assert F.verify(A, **given), str(F.verify(A, **given))
    assert not spoiled(F, lower_bound=0.999 * F.lower_bound).verify(A, **given)


def test_two_factors_that_are_not_prescribed_are_not_linear():
    A = gaussian((4, 4))
    F = solve(A, [UNIT, UPPER], solver=ALS(starts=1, max_sweeps=2))
    assert not F.certificate.convex
    assert not spoiled(F, convex=True, lower_bound=F.error).verify(A)


def test_a_bound_of_least_squares_does_not_call_what_is_above_it_optimal(tmp_path):
    A, X = gaussian((6, 5)), gaussian((6, 4))
    F = fsmf.factorize(A, [fsmf.fixed(X), np.ones((4, 5))], ridge=10.0)
    assert not F.certificate.convex
    F = fsmf.factorize(A, [fsmf.fixed(X), np.ones((4, 5))])
    F.save(tmp_path / "f.npz")
    assert fsmf.load(tmp_path / "f.npz").certificate == F.certificate
    far = dataclasses.replace(F.certificate, error=2 * F.error)
    assert str(far).startswith("stationary point")
    assert F.T.verify(A.T), str(F.T.verify(A.T))


def test_a_frozen_factor_in_the_middle_with_weights(tmp_path):
    left, middle, right = THREE
    A, W, X = gaussian(THREE.shape), weights_of(THREE.shape), gaussian(middle.shape) * middle.toarray()
    F = solve(A, [left, fsmf.fixed(X), right], weights=W)
    assert F.verify(A, weights=W)
    assert np.array_equal(F.factors[1].toarray(), X)
    F.save(tmp_path / "f.npz")
    G = fsmf.load(tmp_path / "f.npz")
    assert G.supports == F.supports
    assert G.certificate == F.certificate
    assert G.verify(A, weights=W)


def test_operators_made_of_one_with_prescribed_values_verify():
    A = gaussian((4, 4), complex)
    F = solve(A, [UNIT, UPPER])
    for G, B in ((F.T, A.T), (F.H, A.conj().T), (F.conj(), A.conj()), (3 * F, 3 * A)):
        assert G.verify(B), str(G.verify(B))


def test_a_value_that_moved_is_noticed():
    A = gaussian((4, 4))
    F = solve(A, [UNIT, UPPER])
    moved = fsmf.fixed(2 * np.eye(4), np.eye(4), support=LOWER)
    twin = spoiled(F)
    vars(twin)["supports"] = fsmf.as_supports([moved, UPPER])
    assert not twin.verify(A)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("turned", [False, True])
def test_elimination_meets_one_prescribed_value_of_each_component(scale, turned):
    """Doolittle's factors, and Crout's of the transpose, whatever the scale of the matrix."""
    A = scale * gaussian((24, 24))
    lower, upper = fsmf.lu(24)
    unit = fsmf.fixed(np.eye(24), np.eye(24), support=lower)
    F = fsmf.factorize(A, fsmf.as_supports([unit, upper]))
    if turned:
        F = fsmf.factorize(A.T, F.supports.T)
    unit = F.Y.T if turned else F.X
    assert F.relative_error < 1e-12
    assert unit.diagonal().tolist() == [1.0] * 24
    assert F.verify(A.T if turned else A), str(F.verify(A.T if turned else A))


@pytest.mark.parametrize("solver", [ALS(), fsmf.QuasiNewton(), fsmf.VariableProjection(starts=4)])
def test_what_is_prescribed_and_found_does_not_depend_on_the_scale(solver):
    """Entries of X are of the order of 1 and those of Y of that of A: each has a scale of its own."""
    rng = np.random.default_rng(4)
    X, Y, A = rng.random((8, 4)) < 0.6, rng.random((4, 9)) < 0.6, rng.standard_normal((8, 9))
    given = X & (rng.random(X.shape) < 0.3)
    supports = [fsmf.fixed(rng.standard_normal(X.shape) * given, given, support=X), Y]
    error = solve(A, supports, solver=solver).error
    for scale in (2.0**-40, 2.0**40):
        F = solve(scale * A, supports, solver=solver)
        assert np.array_equal(F.X.toarray()[given], supports[0].prescribed)
        assert F.verify(scale * A), str(F.verify(scale * A))
        assert abs(F.error / scale - error) < 1e-6 * error


def test_a_warm_start_has_the_scale_of_what_is_prescribed():
    A = 1e8 * gaussian((4, 4))
    exact = fsmf.factorize(A, [UNIT, UPPER])
    F = solve(A, [UNIT, UPPER], solver=ALS(starts=1, max_sweeps=1, initial=exact))
    assert F.relative_error < 1e-12


def test_more_prescribed_values_than_scales_are_not_read_off():
    lower, upper = fsmf.lu(3)
    ones = fsmf.fixed(np.ones((3, 3)), np.eye(3), support=upper)
    twos = fsmf.fixed(np.ones((3, 3)), np.eye(3) + np.eye(3, k=-2), support=lower)
    zero = fsmf.fixed(np.zeros((3, 3)), np.eye(3, k=-2), support=lower)
    assert fsmf.analyze([lower, ones]).is_readable
    for supports in ([fsmf.fixed(np.eye(3), np.eye(3), support=lower), ones], [twos, upper], [zero, upper]):
        assert not fsmf.analyze(supports).is_readable


@pytest.mark.parametrize(("scale", "value"), [(1, 1e300), (1, 1e-300), (1e200, 1), (1e-200, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes_beyond_all_measure_beside_prescribed_values_are_refused(scale, value, dtype):
    if dtype == "float32":
        scale, value = (float(np.float64(one) ** 0.12) for one in (scale, value))
    supports = [fsmf.fixed(value * np.eye(4)), np.ones((4, 4))]
    with pytest.raises(InputError, match="must be 0 or between"):
        fsmf.factorize(scale * gaussian((4, 4), dtype), supports)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"values": np.ones((2, 2)), "mask": np.eye(2), "support": [[0, 1], [1, 1]]},
            SupportError,
            "contradict",
        ),
        ({"values": np.full((2, 2), np.nan)}, SupportError, "finite"),
        ({"values": np.zeros((2, 2))}, SupportError, "names none"),
        ({"values": np.ones(2)}, ShapeError, "1-D"),
        ({"values": np.ones((2, 2)), "mask": np.eye(3)}, ShapeError, "mask"),
        ({"values": np.ones((2, 2)), "support": np.eye(3)}, ShapeError, "support"),
        ({"values": np.array([["a"]])}, InputTypeError, "numbers"),
    ],
)
def test_values_that_cannot_be_prescribed_are_refused(arguments, error, words):
    values = arguments.pop("values")
    mask = arguments.pop("mask", None)
    with pytest.raises(error, match=words):
        fsmf.fixed(values, mask, **arguments)


def test_zeros_may_be_prescribed():
    S = fsmf.fixed(np.zeros((2, 2)), np.eye(2), support=[[0, 1], [1, 1]])
    assert S.n_prescribed == 1
    assert S.free.tolist() == [0, 1]


def test_exact_solvers_leave_entries_free():
    frozen = fsmf.fixed(np.ones((4, 1)))
    for solver in (fsmf.BlockSVD(), fsmf.Hierarchical()):
        with pytest.raises(RefusedError, match="leaves all entries free; found 4"):
            fsmf.factorize(np.eye(4), [frozen, np.ones((1, 4))], solver=solver)
    assert "4 of the parameters are prescribed" in str(fsmf.analyze([frozen, np.ones((1, 4))]))
    with pytest.raises(InputTypeError, match="real"):
        fsmf.factorize(np.eye(4), [fsmf.fixed(1j * np.ones((4, 1))), np.ones((1, 4))])


def test_well_posedness_is_asked_of_free_entries():
    for question in (fsmf.check_well_posedness, lambda supports: fsmf.is_attainable(np.eye(4), supports)):
        with pytest.raises(RefusedError, match="4 prescribed"):
            question([UNIT, UPPER])


def test_supports_with_other_values_are_others():
    ones, twos = fsmf.fixed(np.eye(2)), fsmf.fixed(2 * np.eye(2))
    plain = fsmf.Support(np.eye(2))
    assert ones == fsmf.fixed(np.eye(2))
    assert len({ones, twos, plain, fsmf.KroneckerPattern(2, 1, 1, 1)}) == 3
    assert ones != twos
    assert ones != plain
    assert plain != ones
    turned = ones.T.T
    assert turned == ones
    assert fsmf.fixed(np.array([[0, 2], [3, 0]])).T.prescribed.tolist() == [3, 2]
