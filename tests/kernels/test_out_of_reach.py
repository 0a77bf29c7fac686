"""Entries out of reach, against a dense product."""

import numpy as np
import pytest
from scipy import sparse

from fsmf.kernels import out_of_reach
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.out_of_reach import is_out_of_reach


@pytest.mark.parametrize("chunk", [1, 50, 1 << 22])
@pytest.mark.parametrize("seed", range(15))
def test_entries_where_the_product_vanishes(seed, chunk, monkeypatch):
    monkeypatch.setattr(out_of_reach, "_CHUNK", chunk)
    rng = np.random.default_rng(seed)
    m, r, n = rng.integers(1, 30, 3)
    left, right = rng.random((m, r)) < 0.2, rng.random((r, n)) < 0.2
    A = np.where(rng.random((m, n)) < 0.5, rng.standard_normal((m, n)), 0)
    S = sparse.csr_array(A)
    outside = is_out_of_reach(S, sparse.csr_array(left), sparse.csr_array(right))
    assert outside.dtype == bool
    reach = (left.astype(int) @ right.astype(int)) > 0
    np.testing.assert_array_equal(outside, ~reach[S.tocoo().coords])
    assert frobenius_norm(S.data[outside]) == pytest.approx(np.linalg.norm(A[~reach]), abs=1e-14)


def test_nothing_stored():
    supports = sparse.csr_array(np.ones((3, 2), dtype=bool)), sparse.csr_array((2, 4), dtype=bool)
    assert is_out_of_reach(sparse.csr_array((3, 4)), *supports).shape == (0,)
    assert is_out_of_reach(sparse.csr_array(np.ones((3, 4))), *supports).tolist() == [True] * 12
