"""Matrices on a device: factorized there as in host memory, and nothing of them comes back unasked."""

import numpy as np
import pytest
from chains import DTYPES, check_pieces, gaussian
from devices import ELSEWHERE, back, on, spy  # noqa: F401

import fsmf
from fsmf.errors import InputError, InputTypeError, ShapeError
from fsmf.kernels import best_pieces as best_pieces_module
from fsmf.kernels.best_pieces import best_pieces, norms
from fsmf.kernels.kronecker_split import split
from fsmf.kernels.namespace import space_of

CHAINS = {
    "butterfly": fsmf.butterfly(16),
    "rank two": fsmf.butterfly(16, 24, rank=2),
    "two factors": fsmf.Architecture([(2, 3, 4, 6), (4, 6, 2, 2)]),
    "three": fsmf.Architecture([(1, 2, 4, 8), (2, 4, 4, 4), (4, 4, 3, 2)]),
    "redundant": fsmf.Architecture([(1, 2, 2, 2), (2, 2, 4, 1)]),
}

OPTIONS = [{}, {"order": "right-to-left"}, {"order": "balanced"}, {"refine": 2, "residual_terms": 2}]


def close(found, expected, dtype, norm):
    slack = 50 * float(np.finfo(dtype).eps) * norm
    for name in ("error", "lower_bound"):
        assert abs(getattr(found, name) - getattr(expected, name)) <= slack + 1e-9 * norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, options) for name in CHAINS for options in OPTIONS),
        ("butterfly", {"rtol": 0.3}),  # all places are reached, so that any tolerance can be met
    ],
)
def test_chains_as_in_host_memory(name, dtype, options, spy):  # noqa: F811
    chain = CHAINS[name]
    A = gaussian(chain.shape, dtype, 1)
    there = on(ELSEWHERE, A)
    spy.seen.clear()
    found = fsmf.factorize(there, chain, solver=fsmf.Hierarchical(**options))
    assert spy.seen["arrays"] <= (20 if "rtol" in options else 0)  # a tolerance needs singular values
    assert spy.seen["numbers"] <= 60  # norms, for the certificate
    assert all(space_of(value) == ELSEWHERE for value in found.values)
    expected = fsmf.factorize(A, chain, solver=fsmf.Hierarchical(**options))
    close(found.certificate, expected.certificate, dtype, expected.norm)
    assert found.supports == expected.supports
    assert found.to_host().verify(A)
    x = gaussian((A.shape[1], 2), dtype, 2)
    np.testing.assert_allclose(back(found @ on(ELSEWHERE, x)), found.to_host() @ x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("permutation", ["bit-reversal", "eight", "pair"])
def test_orders(permutation):
    D = np.fft.fft(np.eye(16))
    columns = fsmf.transforms.dft(16).columns
    given = (None, columns) if permutation == "pair" else permutation
    F = fsmf.factorize(
        on(ELSEWHERE, D), fsmf.butterfly(16), solver=fsmf.Hierarchical(permutation=given)
    ).to_host()
    assert F.relative_error < 1e-14
    np.testing.assert_allclose(F.to_dense(), D, atol=1e-12)
    with pytest.raises(InputTypeError, match="search"):
        fsmf.factorize(on(ELSEWHERE, D), fsmf.butterfly(16), solver=fsmf.Hierarchical(permutation="search"))


@pytest.mark.parametrize(
    "supports",
    [
        fsmf.monarch(24, 16, blocks=4),
        fsmf.low_rank(9, 7, rank=3),
        fsmf.hodlr(16, rank=1),
        fsmf.block_diagonal(12, blocks=3),
        fsmf.pair(np.ones((4, 4), bool), np.eye(4, dtype=bool)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tractable_pairs_as_in_host_memory(supports, dtype, spy):  # noqa: F811
    A = gaussian(fsmf.as_supports(supports).shape, dtype, 3)
    there = on(ELSEWHERE, A)
    spy.seen.clear()
    found = fsmf.factorize(there, supports, solver=fsmf.BlockSVD())
    assert not spy.seen["arrays"]
    assert all(space_of(value) == ELSEWHERE for value in found.values)
    expected = fsmf.factorize(A, supports, solver=fsmf.BlockSVD())
    close(found.certificate, expected.certificate, dtype, expected.norm)
    assert found.to_host().verify(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 2, 9), (5, 9, 2), (3, 40, 36), (2, 6, 6), (1, 1, 4)])
@pytest.mark.parametrize("rank", [1, 2, 7])
def test_pieces_are_the_best(shape, rank, dtype):
    B = gaussian(shape, dtype, 4)
    B[0] = 0
    B[-1, :, 1:] *= 1e-5  # nearly of rank one
    k = min(rank, *shape[1:])
    found = map(back, best_pieces(on(ELSEWHERE, B), rank))
    check_pieces(B, k, *found, gram=50 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "space"), [((6, 70, 90), 8), ((6, 90, 70), 2)])
def test_leading_pieces_of_long_blocks(shape, space, dtype, monkeypatch):
    """Of noise, of ties, of nothing; and the few that are not proved are decomposed."""
    B = gaussian(shape, dtype, 6)
    B[0] = 0
    B[1] = np.eye(*shape[1:])
    B[2] = 1e-30 * B[2]
    monkeypatch.setattr(best_pieces_module, "_SPACE", space)
    U, W, tails = map(back, best_pieces(on(ELSEWHERE, B), 1))
    s = np.linalg.svd(B.astype(np.result_type(dtype, float)), compute_uv=False)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(tails, np.linalg.norm(s[:, 1:], axis=1), rtol=40 * eps)
    np.testing.assert_allclose(np.linalg.norm(U, axis=(1, 2)), 1, rtol=40 * eps)
    assert W.shape == (6, 1, shape[2])


def test_norms_of_any_size():
    B = np.array([[[3e200, 4e200]], [[3e-200, 4e-200]], [[0.0, 0.0]]])
    np.testing.assert_allclose(back(norms(on(ELSEWHERE, B))), [5e200, 5e-200, 0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_splits_as_in_host_memory(side):
    left, right = (1, 3, 4, 6), (2, 6, 5, 2)
    V = gaussian((1, 9, 2, 10), complex, 5)
    X, Y, tails = split(on(ELSEWHERE, V), left, right, side=side)
    expected = split(V, left, right, side=side)
    np.testing.assert_allclose(back(tails), expected[2], atol=1e-12)
    assert (X.shape, Y.shape) == (expected[0].shape, expected[1].shape)


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_matrices_of_any_size(size):
    A = size * gaussian((8, 8))
    for supports in (fsmf.butterfly(8), fsmf.monarch(8, blocks=2)):
        F = fsmf.factorize(on(ELSEWHERE, A), supports)
        expected = fsmf.factorize(A, supports)
        assert F.error == pytest.approx(expected.error)
        assert F.norm == pytest.approx(expected.norm)


@pytest.mark.parametrize(
    "work",
    [
        lambda A: fsmf.bracket(A, fsmf.butterfly(4)),
        lambda A: fsmf.approximate(A, max_parameters=16),
        lambda A: fsmf.factorize(np.eye(4), fsmf.butterfly(4)).verify(A),
    ],
)
def test_what_works_in_host_memory_says_so(work):
    with pytest.raises(InputTypeError, match="host memory"):
        work(on(ELSEWHERE, np.eye(4)))


def test_what_cannot_be_factorized_says_why():
    A = [[np.nan, 1, 1, 1], [np.inf, 0, 0, 0], [1] * 4, [1] * 4]
    with pytest.raises(InputError, match="2 entries"):
        fsmf.factorize(on(ELSEWHERE, A), fsmf.monarch(4, blocks=2)).settle()
    with pytest.raises(ShapeError):
        fsmf.factorize(on(ELSEWHERE, np.ones((3, 4))), fsmf.butterfly(4))
    with pytest.raises(ShapeError, match="matrix"):
        fsmf.factorize(on(ELSEWHERE, np.ones(4)), fsmf.butterfly(4))
    with pytest.raises(InputTypeError, match="VariableProjection works in host memory"):
        fsmf.factorize(on(ELSEWHERE, np.ones((3, 3))), fsmf.lu(3), solver=fsmf.VariableProjection())
    with pytest.raises(InputTypeError, match="weights"):
        fsmf.factorize(on(ELSEWHERE, np.ones((3, 3))), fsmf.low_rank(3, rank=1), weights=np.eye(3))
