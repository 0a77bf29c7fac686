"""Pictures: what is drawn is what is there, where it was asked for, and in a picture's time and memory."""

import time
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import fsmf
from fsmf import drawing

SUPPORTS = {
    "lu": fsmf.lu(5),
    "hodlr": fsmf.hodlr(8, rank=1),
    "many classes": fsmf.monarch(64, blocks=8),
    "one place": fsmf.low_rank(1, rank=1),
    "thin": fsmf.low_rank(3, 5000, rank=2),
    "nothing in reach": fsmf.as_supports([np.zeros((3, 2)), np.ones((2, 4))]),
    "dead component": fsmf.pair([[1, 0], [1, 1]], [[1, 0], [1, 0]]),
    "dense overlaps": fsmf.lu(700),
}
OF_SUPPORTS = [drawing.draw_supports, drawing.draw_overlap_graph, drawing.draw_factors]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nothing is shown, no setting changed, every figure closed."""
    monkeypatch.setattr(pyplot, "show", lambda *_, **__: pytest.fail("a picture was shown"))
    pyplot.close("all")
    before = mpl.rcParams.copy()
    yield
    assert mpl.rcParams == before
    pyplot.close("all")


@pytest.fixture
def lu_run():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fsmf.errors.NotAttainedWarning)
        return fsmf.factorize(np.array([[0, 1], [1, 0]]), fsmf.lu(2))


@pytest.mark.parametrize("draw", OF_SUPPORTS)
@pytest.mark.parametrize("supports", SUPPORTS.values(), ids=SUPPORTS.keys())
def test_draws_on_the_axes_given(draw, supports):
    figure, axes = pyplot.subplots(1, 2)
    assert draw(supports, ax=axes[1]) is axes[1]
    assert not axes[0].has_data()
    assert pyplot.get_fignums() == [figure.number]
    figure.canvas.draw()


@pytest.mark.parametrize("draw", OF_SUPPORTS)
def test_opens_a_figure_when_none_is_given(draw):
    ax = draw(fsmf.lu(3))
    assert ax.figure.number in pyplot.get_fignums()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("draw", [*OF_SUPPORTS, drawing.draw_support])
def test_misuse_opens_no_figure(draw):
    with pytest.raises(fsmf.errors.FsmfError):
        draw("monarch")
    with pytest.raises(fsmf.errors.InputTypeError, match="Axes"):
        draw(np.ones((2, 2)) if draw is drawing.draw_support else fsmf.lu(2), ax=3)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("draw", [drawing.draw_supports, drawing.draw_overlap_graph])
def test_classes_are_those_of_a_pair(draw):
    with pytest.raises(fsmf.errors.ShapeError):
        draw([np.ones((2, 2))] * 3)


def image_of(ax):
    return np.asarray(ax.images[0].get_array())


def in_255ths(colour):
    return tuple(np.rint(255 * np.asarray(colour)).astype(int).tolist())


def colours_at(image, shape, row, column):
    """The distinct colours of the pixels of one place, the line between places left out."""
    step = [side // n for side, n in zip(image.shape, shape, strict=False)]
    place = image[row * step[0] : (row + 1) * step[0] - 1, column * step[1] : (column + 1) * step[1] - 1]
    return set(map(in_255ths, place.reshape(-1, 4)))


def test_every_place_has_the_colours_of_its_classes():
    supports = fsmf.random_supports(9, 12, components=6, density=0.4, rng=3)
    classes = fsmf.equivalence_classes(supports)
    ax = drawing.draw_supports(supports)
    image = image_of(ax)
    patches = ax.get_legend().get_patches()
    legend = [in_255ths(patch.get_facecolor()) for patch in patches]
    for i in range(9):
        for j in range(12):
            here = [p for p in range(len(classes)) if i in classes[p].rows and j in classes[p].columns]
            here.sort(key=lambda p: -classes.areas[p])
            expected = {legend[p] for p in (here[0], here[-1])} if here else {(0, 0, 0, 0)}
            assert colours_at(image, (9, 12), i, j) == expected


def test_factors_and_blocks_share_their_colours():
    supports = fsmf.hodlr(8, rank=1)
    blocks = image_of(drawing.draw_supports(supports))
    left, right = drawing.draw_factors(supports).images
    for i, j in ((0, 0), (0, 7), (7, 0), (7, 7)):
        (colour,) = colours_at(blocks, (8, 8), i, j)
        k = next(k for k in range(10) if {(i, k), (k, j)} <= places(supports, i, j))
        for image, place in ((left, (i, k)), (right, (k, j))):
            value = image.get_array()[place]
            assert in_255ths(image.cmap(image.norm(value))) == colour


def places(supports, i, j):
    left, right = (support.toarray() for support in supports)
    return {(i, k) for k in np.flatnonzero(left[i])} | {(k, j) for k in np.flatnonzero(right[:, j])}


def test_factors_show_their_values():
    F = fsmf.factorize(np.arange(64.0).reshape(8, 8), fsmf.monarch(8, blocks=2))
    for image, factor, support in zip(drawing.draw_factors(F).images, F.factors, F.supports, strict=True):
        shown = image.get_array()
        np.testing.assert_array_equal(np.ma.getmaskarray(shown), ~support.toarray())
        np.testing.assert_array_equal(shown.filled(0), factor.toarray())
        assert image.norm.vmin == -image.norm.vmax


def test_complex_factors_show_their_moduli():
    F = fsmf.factorize(1j * np.arange(9.0).reshape(3, 3), fsmf.low_rank(3, rank=1))
    left, right = drawing.draw_factors(F).images
    np.testing.assert_allclose(left.get_array(), abs(F.X.toarray()))
    np.testing.assert_allclose(right.get_array(), abs(F.Y.toarray()))


def test_a_pixel_of_factors_shows_the_largest():
    support = fsmf.low_rank(4000, 3, rank=1)
    A = np.ones((4000, 3))
    A[1234] = -100
    F = fsmf.factorize(A, support)
    shown = drawing.draw_factors(F).images[0].get_array()
    assert shown.shape[0] < 4000
    assert np.abs(shown).max() == np.abs(F.X.data).max()


def test_a_chain_of_three_is_drawn_side_by_side():
    ax = drawing.draw_factors([np.ones((5, 3)), np.eye(3), np.ones((3, 2))])
    assert len(ax.images) == 3
    assert [text.get_text() for text in ax.texts] == ["5×3", "·", "3×3", "·", "3×2"]


def test_many_factors_go_on_several_lines_each_on_its_own_scale():
    n, rng = 4096, np.random.default_rng(0)
    patterns = fsmf.butterfly(n)
    values = [10.0**-t * rng.choice([-1.0, 1.0], pattern.nnz) for t, pattern in enumerate(patterns)]
    F = fsmf.Factorization.by_construction(patterns, values, norm=1.0)
    began = time.perf_counter()
    ax = drawing.draw_factors(F)
    ax.figure.canvas.draw()
    assert time.perf_counter() - began < 5
    tops = sorted({image.get_extent()[3] for image in ax.images})
    assert len(ax.images) == 12
    assert 2 <= len(tops) <= 4
    boxes = [image.get_window_extent() for image in ax.images]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(np.abs(image.get_array()).max() == 1 for image in ax.images)
    assert "(1, 2, 2, 2048)" in [text.get_text() for text in ax.texts]


@pytest.fixture
def found():
    A = np.random.default_rng(0).standard_normal((16, 16))
    return fsmf.bracket(A, fsmf.butterfly(16)), fsmf.factorize(A, fsmf.butterfly(16))


def test_a_bracket_shows_distances_and_bounds(found):
    bracket, F = found
    ax = drawing.draw_bracket(bracket, F)
    np.testing.assert_array_equal([bar.get_height() for bar in ax.containers[0]], bracket.distances)
    heights = {line.get_label().partition(" ")[0]: line.get_ydata() for line in ax.lines}
    assert set(heights["lower"]) == {bracket.lower_bound}
    assert set(heights["upper"]) == {bracket.upper_bound}
    assert set(heights["error"]) == {F.error}
    np.testing.assert_array_equal(heights["loss"], F.certificate.levels)
    without = [line.get_label().partition(" ")[0] for line in drawing.draw_bracket(bracket).lines]
    assert without == ["upper", "lower"]
    ax.figure.canvas.draw()


def test_residuals_are_drawn_columns_across(found):
    bracket, _ = found
    for s, shape in ((1, (8, 2)), (2, (4, 4)), (3, (2, 8))):
        shown = image_of(drawing.draw_residuals(bracket, s))
        assert shown.shape == shape
        np.testing.assert_array_equal(shown, bracket.residuals[s - 1].T)


def test_of_many_blocks_in_a_pixel_the_largest_is_shown():
    residual = np.zeros((3, 5000))
    residual[2, 1234] = 7.0
    found = fsmf.Bracket(7.0, 7.0, (7.0,), (residual,), 0.0)
    shown = image_of(drawing.draw_residuals(found, 1))
    assert shown.size < 3000
    assert (shown.max(), np.count_nonzero(shown)) == (7.0, 1)


def test_a_bracket_without_interfaces_or_errors_is_no_accident():
    drawing.draw_bracket(fsmf.bracket(np.ones((2, 2)), [np.ones((2, 2))])).figure.canvas.draw()
    drawing.draw_bracket(fsmf.bracket(np.eye(8), fsmf.butterfly(8))).figure.canvas.draw()


def test_misuse_of_brackets_opens_no_figure(found):
    bracket, F = found
    redundant = fsmf.bracket(np.eye(8), fsmf.butterfly(8, rank=(2, 1)))
    for s, one in ((0, bracket), (4, bracket), (1.0, bracket), (True, bracket), (1, redundant)):
        with pytest.raises(fsmf.errors.OptionError):
            drawing.draw_residuals(one, s)
    with pytest.raises(fsmf.errors.InputTypeError, match="Bracket"):
        drawing.draw_residuals(F, 1)
    with pytest.raises(fsmf.errors.InputTypeError, match="Bracket"):
        drawing.draw_bracket(F)
    with pytest.raises(fsmf.errors.InputTypeError, match="Factorization"):
        drawing.draw_bracket(bracket, 3.0)
    with pytest.raises(fsmf.errors.ShapeError, match="4 factors"):
        drawing.draw_bracket(bracket, fsmf.factorize(np.eye(8), fsmf.butterfly(8)))
    with pytest.raises(fsmf.errors.InputTypeError, match="Axes"):
        drawing.draw_bracket(bracket, ax=3)
    assert pyplot.get_fignums() == []


def test_one_nonzero_among_millions_is_seen():
    support = fsmf.Support.from_coordinates([12345], [678], shape=(20_000, 20_000))
    ax = drawing.draw_support(support)
    assert np.ma.count(ax.images[0].get_array()) == 1
    assert drawing.draw_support(np.zeros((4, 4))).get_title() == "4×4, 0 nonzeros"


@pytest.mark.parametrize("supports", [fsmf.monarch(20_000, blocks=100), "random"], ids=["grid", "random"])
def test_two_million_nonzeros_make_a_small_image(supports):
    if supports == "random":
        i, j = np.random.default_rng(0).integers(0, 20_000, (2, 1_000_000))
        left = fsmf.Support.from_coordinates(i, j, shape=(20_000, 20_000))
        supports = fsmf.Supports([left, left.T])
    for draw in (drawing.draw_supports, drawing.draw_factors, drawing.draw_overlap_graph):
        ax = draw(supports)
        assert all(image.get_array().size < 20_000_000 for image in ax.images)
        ax.figure.canvas.draw()


def test_the_overlap_graph_is_drawn():
    supports = fsmf.lu(4)
    ax = drawing.draw_overlap_graph(supports)
    (edges,) = [lines for lines in ax.collections if hasattr(lines, "get_segments")]
    assert len(edges.get_segments()) == fsmf.overlap_graph(supports).number_of_edges() == 6
    shapes = [text.get_text() for text in ax.texts if "rank" in text.get_text()]
    assert shapes == ["0\n4×4\nrank 1", "1\n3×3\nrank 1", "2\n2×2\nrank 1", "3\n1×1\nrank 1"]
    grey = [tuple(colour) for colour in edges.get_edgecolors()].count((0xAA / 255,) * 3 + (1.0,))
    assert grey == 3  # the complete class meets the three others


def test_a_large_graph_says_what_it_leaves_out():
    ax = drawing.draw_overlap_graph(fsmf.monarch(256, blocks=16))
    assert "the 120 largest of 256 classes" in ax.get_title()


def test_history_shows_error_and_factor_norm(lu_run):
    ax = drawing.draw_history(lu_run)
    twin = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), lu_run.history.error)
    np.testing.assert_array_equal(twin.lines[0].get_ydata(), lu_run.history.factor_norm)
    assert (ax.get_xscale(), ax.get_yscale(), twin.get_yscale()) == ("log", "log", "log")
    assert "factors grow" in ax.get_title()
    assert len(drawing.draw_history(lu_run.history).lines) == 1


def test_history_shows_a_positive_lower_bound():
    A = np.random.default_rng(0).standard_normal((12, 12))
    supports = fsmf.pair(np.ones((12, 2)), np.vstack([np.ones((11, 2)), [[0, 1]]]))
    F = fsmf.factorize(A, supports, solver=fsmf.ALS(starts=1, rtol=1e-4))
    assert F.lower_bound > 0
    assert [line.get_label() for line in drawing.draw_history(F).lines] == ["error", "lower bound"]


def test_an_error_of_zero_is_no_accident():
    ax = drawing.draw_history(fsmf.History(np.zeros(3), np.zeros(3), np.arange(3.0)))
    ax.figure.canvas.draw()
    assert ax.get_yscale() == "linear"


def test_what_has_no_history_is_refused():
    F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=1))
    with pytest.raises(fsmf.errors.OptionError, match="direct solvers"):
        drawing.draw_history(F)
    with pytest.raises(fsmf.errors.InputTypeError):
        drawing.draw_history([1.0, 0.5])
    assert pyplot.get_fignums() == []


def test_a_ridge_path_is_drawn_point_by_point(lu_run):
    path = fsmf.RidgePath.of(
        [(ridge / 2, ridge ** (1 / 3), 2 * ridge ** (-1 / 6)) for ridge in 10.0 ** -np.arange(12)]
    )
    ax = drawing.draw_ridge_path(path)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), path.norms)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), path.errors)
    assert ax.get_title() == "error ∝ norm^-2.00"
    bounded = fsmf.RidgePath.of([(10.0**-k, 1.0, 2.0) for k in range(12)])
    assert "bounded" in drawing.draw_ridge_path(bounded).get_title()
    drawing.draw_ridge_path(fsmf.RidgePath.of([(0.0, 0.0, 0.0)])).figure.canvas.draw()
    pyplot.close("all")
    for wrong in (lu_run, 3.0):
        with pytest.raises(fsmf.errors.InputTypeError, match="ridge path"):
            drawing.draw_ridge_path(wrong)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("supports", [fsmf.lu(2), [np.tri(3), np.eye(3), np.tri(3).T]], ids=["two", "three"])
def test_a_witness_shows_errors_that_fall_as_factors_grow(supports):
    verdict = fsmf.check_well_posedness(supports)
    ax = drawing.draw_witness(verdict, [1e-1, 1e-2, 1e-3])
    ((norms, errors),) = (line.get_data() for line in ax.lines)
    factors = [factor.toarray() for factor in verdict.witness(1e-3)]
    assert norms[2] == pytest.approx(np.sqrt(sum(np.sum(factor**2) for factor in factors)))
    assert errors[2] == pytest.approx(np.linalg.norm(np.linalg.multi_dot(factors) - verdict.target.toarray()))
    assert (np.diff(norms) > 0).all()
    assert (np.diff(errors) < 0).all()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_only_witnesses_are_drawn():
    with pytest.raises(fsmf.errors.InputTypeError, match="IllPosed"):
        drawing.draw_witness(fsmf.check_well_posedness(fsmf.low_rank(3, rank=1)))
    with pytest.raises(fsmf.errors.OptionError, match="none"):
        drawing.draw_witness(fsmf.check_well_posedness(fsmf.lu(2)), [])
