"""The families that approximate a matrix best for their size."""

import numpy as np
import pytest
from scipy.linalg import hadamard

import fsmf
from fsmf.errors import OptionError, ShapeError


def hilbert(n):
    return 1 / (np.arange(n)[:, None] + np.arange(n) + 1)


@pytest.mark.parametrize(
    ("A", "family"),
    [
        (hadamard(64), "butterfly"),
        (np.fft.fft(np.eye(64)), "butterfly"),
        (np.outer(np.arange(1.0, 31), np.ones(42)), "low_rank"),
        (fsmf.transforms.dft(36).to_dense(), "butterfly"),
    ],
    ids=["hadamard", "dft", "rank one", "mixed radix"],
)
def test_what_a_matrix_is_made_of_is_found(A, family):
    best = fsmf.approximate(A, rtol=1e-12)[0]
    assert best.supports.name.startswith(family)
    assert best.relative_error < 1e-12
    assert best.n_parameters < A.size
    assert best.verify(A)


def test_errors_fall_as_parameters_grow_and_nothing_tried_is_better():
    A = np.random.default_rng(0).standard_normal((24, 36))
    found = fsmf.approximate(A)
    parameters, errors = ([getattr(F, name) for F in found] for name in ("n_parameters", "error"))
    assert len(found) > 5
    assert (np.diff(parameters) > 0).all()
    assert (np.diff(errors) < 0).all()
    for supports in (fsmf.low_rank(24, 36, rank=4), fsmf.monarch(24, 36, blocks=4), fsmf.butterfly(24, 36)):
        F = fsmf.factorize(A, supports)
        assert any(
            n <= F.n_parameters and e <= F.error * (1 + 1e-12)
            for n, e in zip(parameters, errors, strict=True)
        )


def test_budgets_are_kept():
    A = hilbert(32)
    assert all(F.n_parameters <= 200 for F in fsmf.approximate(A, max_parameters=200))
    assert all(F.n_flops <= 400 for F in fsmf.approximate(A, max_flops=400))
    assert all(F.n_flops <= 1600 for F in fsmf.approximate(A + 0j, max_flops=1600))
    assert all(F.relative_error <= 1e-3 for F in fsmf.approximate(A, rtol=1e-3))
    assert fsmf.approximate(A, max_parameters=1) == []


def test_families_can_be_given():
    A = hilbert(8)
    (F,) = fsmf.approximate(A, families=[fsmf.block_diagonal(8, blocks=2, rank=2)])
    assert F.solver == "BlockSVD"


def test_a_prime_size_has_low_rank_only():
    assert {F.supports.name.split("(")[0] for F in fsmf.approximate(hilbert(13))} == {"low_rank"}


@pytest.mark.parametrize("budget", [{"max_parameters": 0}, {"max_flops": -1}, {"rtol": 0}, {"rtol": "small"}])
def test_wrong_budgets_are_refused(budget):
    with pytest.raises(OptionError, match="must be a positive number; found"):
        fsmf.approximate(np.eye(4), **budget)


def test_families_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="must agree"):
        fsmf.approximate(np.eye(4), families=[fsmf.lu(3)])
