"""Norms of a matrix and of what a mask leaves of it, in one pass of compiled code."""

import math

import numpy as np
import pytest

from fsmf.kernels.frobenius import norms_at_once


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_both_norms_are_those_of_the_entries(dtype, density):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((17, 23)).astype(dtype)
    if dtype == "complex128":
        A += 1j * rng.standard_normal(A.shape)
    mask = rng.random(A.shape) < density
    expected = [
        math.hypot(*(abs(entry) for entry, masked in zip(A.flat, mask.flat, strict=True) if masked == wanted))
        for wanted in (True, False)
    ]
    assert norms_at_once(A, mask) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("entry", [math.nan, math.inf, 1e200, 1e-200])
def test_entries_without_ordinary_squares_are_left_to_others(entry):
    mask = np.zeros((3, 4), dtype=bool)
    assert norms_at_once(np.full((3, 4), entry), mask) is None


@pytest.mark.parametrize("outside", [False, True])
def test_small_entries_on_one_side_are_left_to_others(outside):
    A, mask = np.ones((3, 4)), np.full((3, 4), outside)
    A[0, 0], mask[0, 0] = 1e-200, not outside
    assert norms_at_once(A, mask) is None


@pytest.mark.parametrize("A", [np.ones((3, 4), dtype=np.float32), np.ones((4, 3)).T])
def test_other_layouts_and_precisions_are_left_to_others(A):
    assert norms_at_once(A, np.zeros((3, 4), dtype=bool)) is None
