"""Supports seen from afar."""

import numpy as np
import pytest

import fsmf
from fsmf.supports.raster import densities, sample, to_pixels, visible_classes


@pytest.mark.parametrize("scale", [1.0, 3.7, 0.2, 0.01])
@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (1000, 3), (640, 480)])
def test_every_nonzero_has_its_pixel(shape, scale):
    support = fsmf.random_supports(*shape, components=1, density=1, rng=0)[0]
    i, j, size = to_pixels(support, scale)
    assert size[0] <= support.shape[0]
    assert size[0] >= min(64, support.shape[0])
    assert i.max() == size[0] - 1
    assert j.max() == size[1] - 1
    np.testing.assert_allclose(densities(support, scale), 1)


def test_densities_are_averages():
    support = fsmf.Support(np.random.default_rng(0).integers(0, 2, (500, 700)))
    density = densities(support, 0.1)
    rows, columns = (
        np.bincount(np.arange(s) * p // s) for s, p in zip(support.shape, density.shape, strict=True)
    )
    assert np.sum(density * np.outer(rows, columns)) == pytest.approx(support.nnz)


def test_sampled_rows_ascend_and_reach_everywhere():
    np.testing.assert_array_equal(sample(50, 0.3), np.arange(50))
    drawn = sample(100_000, 0.004)
    assert len(drawn) == 1200
    assert (np.diff(drawn) > 0).all()
    assert (drawn // 10_000 == np.repeat(np.arange(10), 120)).all()


def test_smallest_and_largest_class_of_each_place():
    supports = fsmf.random_supports(20, 30, components=8, density=0.4, rng=5)
    classes = fsmf.equivalence_classes(supports)
    rows, columns = np.arange(0, 20, 3), np.arange(1, 30, 2)
    inner, outer = visible_classes(classes, rows, columns)
    for s, i in enumerate(rows):
        for t, j in enumerate(columns):
            areas = [
                classes.areas[p]
                for p in range(len(classes))
                if i in classes[p].rows and j in classes[p].columns
            ]
            found = [-1 if owner[s, t] < 0 else classes.areas[owner[s, t]] for owner in (inner, outer)]
            assert found == ([min(areas), max(areas)] if areas else [-1, -1])


def test_too_many_places_make_it_coarser():
    classes = fsmf.equivalence_classes(fsmf.lu(1000))
    inner, outer = visible_classes(classes, np.arange(1000), np.arange(1000))
    assert inner.shape == outer.shape
    assert 100 <= len(inner) < 1000
    assert (np.diag(inner) == np.arange(0, 1000, 1000 // len(inner))).all()
