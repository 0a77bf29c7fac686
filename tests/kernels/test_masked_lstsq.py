"""Least squares on a support: the plain kernel and its compiled twin, against LAPACK row by row."""

import numpy as np
import pytest
from devices import ELSEWHERE, back, on

import fsmf
from fsmf.kernels.masked_lstsq import masked_lstsq
from fsmf.kernels.masked_lstsq_device import DeviceRows


def groups_of(support):
    return fsmf.analyze([support, np.ones((support.shape[1], 1))]).row_groups[0]


def problem(seed, kind):
    rng = np.random.default_rng(seed)
    m, n, r = rng.integers(1, 25, 3)
    A, Y = rng.standard_normal((m, n)), rng.standard_normal((r, n))
    if kind == "complex":
        A, Y = A + 1j * rng.standard_normal((m, n)), Y + 1j * rng.standard_normal((r, n))
    support = rng.random((m, r)) < rng.random()
    if seed % 3 == 0:
        Y[0] = 0
    if seed % 4 == 0 and r > 2:
        Y[2] = Y[1]
    if seed % 5 == 0 and m > 2:
        support[1:] = support[0]
    return A, Y, support


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("seed", range(60))
def test_each_row_is_the_minimum_norm_solution(seed, kind, compiled):
    A, Y, support = problem(seed, kind)
    X, explained = masked_lstsq(A, Y, groups_of(support), compiled=compiled)
    assert not X[~support].any()
    for i, allowed in enumerate(support):
        expected = np.linalg.lstsq(Y[allowed].T, A[i], rcond=None)[0]
        np.testing.assert_allclose(X[i, allowed], expected, atol=1e-7)
    residual = np.linalg.norm(A - X @ Y) ** 2
    assert explained == pytest.approx(np.linalg.norm(A) ** 2 - residual, abs=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("seed", range(12))
def test_a_ridge_is_an_augmented_system(seed, kind, compiled):
    A, Y, support = problem(seed, kind)
    X, explained = masked_lstsq(A, Y, groups_of(support), ridge=0.3, compiled=compiled)
    for i, allowed in enumerate(support):
        k = int(allowed.sum())
        system = np.concatenate([Y[allowed].T, np.sqrt(0.3) * np.eye(k)])
        expected = np.linalg.lstsq(system, np.concatenate([A[i], np.zeros(k)]), rcond=None)[0]
        np.testing.assert_allclose(X[i, allowed], expected, atol=1e-8)
    minimum = np.linalg.norm(A - X @ Y) ** 2 + 0.3 * np.linalg.norm(X) ** 2
    assert explained == pytest.approx(np.linalg.norm(A) ** 2 - minimum, abs=1e-9)


@pytest.mark.parametrize("ridge", [0, 0.3])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("seed", range(24))
def test_a_step_elsewhere_is_as_good(seed, kind, ridge):
    """Of what LAPACK finds row by row, whatever the rank; and where a row is free to choose, it stays."""
    A, Y, support = problem(seed, kind)
    rng = np.random.default_rng(seed)
    X = np.where(support, rng.standard_normal(support.shape), 0).astype(A.dtype)
    gram = Y @ Y.conj().T + ridge * np.eye(len(Y))
    slope = (A - X @ Y) @ Y.conj().T - ridge * X
    step = back(DeviceRows(ELSEWHERE, groups_of(support)).step(on(ELSEWHERE, gram), on(ELSEWHERE, slope)))
    assert not step[~support].any()
    for i, allowed in enumerate(support):
        system = np.concatenate([Y[allowed].T, np.sqrt(ridge) * np.eye(int(allowed.sum()))])
        target = np.concatenate([A[i], np.zeros(int(allowed.sum()))])
        # The change of least norm from X, not the solution of least norm.
        best = np.linalg.lstsq(system, target - system @ X[i, allowed], rcond=None)[0]
        np.testing.assert_allclose(system @ step[i, allowed], system @ best, atol=1e-8)
        if not (Y[0].any() or ridge) and allowed[0]:
            assert abs(step[i, 0]) < 1e-12


def test_equal_supports_share_a_group():
    support = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=bool)
    groups = groups_of(support)
    held = [(rows.tolist(), columns.tolist()) for rows, columns in map(groups.__getitem__, range(3))]
    assert held == [([0, 2], [0, 2]), ([1], [1]), ([3], [])]
    assert groups.work == 2 * (2 + 2) + 1 * (1 + 1)


@pytest.mark.parametrize("compiled", [False, True])
def test_no_rows_at_all(compiled):
    X, explained = masked_lstsq(
        np.ones((3, 4)), np.ones((2, 4)), groups_of(np.zeros((3, 2), dtype=bool)), compiled=compiled
    )
    assert X.shape == (3, 2)
    assert not X.any()
    assert explained == 0
