"""What comes in at the door, and norms that neither over- nor underflow."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from fsmf.errors import FsmfError
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import as_matrix, comfortable_exponent, divided


def exact_norm(values):
    """By rational arithmetic and an integer square root."""
    parts = [Fraction(float(part)) for value in np.ravel(values) for part in (value.real, value.imag)]
    total = sum(part * part for part in parts)
    scale = 1 << 2400
    root = Fraction(math.isqrt(int(total * scale * scale)), scale)
    return float(root)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e154, 1e300])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_the_norm_is_right_at_every_scale(scale, dtype):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5, 7)) * scale
    with np.errstate(over="ignore"):
        A = (values + (1j * values[::-1] if dtype[0] == "c" else 0)).astype(dtype)
    if np.isfinite(A).all():
        for view in (A, A.T, A[::2, ::3], sparse.csr_array(A)):
            own = view.toarray() if sparse.issparse(view) else view
            assert frobenius_norm(view) == pytest.approx(exact_norm(own), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, complex(0, np.nan)])
def test_a_norm_that_is_finite_proves_finite_entries(bad):
    A = np.ones((200, 100), dtype=complex)
    A[17, 3] = bad
    assert not math.isfinite(frobenius_norm(A))
    with pytest.raises(FsmfError, match="1 entries"):
        as_matrix(A)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("exponent", [-100, -1, 0, 1, 100])
def test_division_by_a_power_of_two_is_exact(dtype, exponent):
    A = np.array([[1.0, -0.5, 0.75]]).astype(dtype)
    there = divided(A, exponent)
    assert there.dtype == A.dtype
    assert np.array_equal(there, A * 2.0**-exponent)
    assert np.array_equal(divided(there, -exponent), A)


@pytest.mark.parametrize("exponent", [-1073, 1023])
def test_division_reaches_the_ends_of_the_floats(exponent):
    A = np.array([[math.ldexp(1.0, exponent)]])
    assert divided(A, exponent) == 1
    assert divided(np.array([[1.0]]), -exponent) == A


def test_comfortable_matrices_are_left_alone():
    assert comfortable_exponent(np.dtype("f8"), 1.0) == 0
    assert comfortable_exponent(np.dtype("f8"), 0.0) == 0
    assert comfortable_exponent(np.dtype("f8"), 1e200) == math.frexp(1e200)[1]
    assert comfortable_exponent(np.dtype("f4"), 1e20) == math.frexp(1e20)[1]
