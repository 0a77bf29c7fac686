"""Peeling: its proof is gone through on matrices of every kind, and exact algebra looks for exceptions."""

import numpy as np
import pytest
from scipy.linalg import null_space

import fsmf
from benchmarks.bench_wellposed import pole_limit
from fsmf.supports.rank_one import equivalence_classes
from fsmf.wellposedness.elimination import Unattainable, is_attainable
from fsmf.wellposedness.minors import find_corner, find_minor
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.peeling import find_peeling


def peelable(rng, number, *, sides=(2, 7), density=0.8):
    """Random pairs without dead parts that peeling decides."""
    found = []
    while len(found) < number:
        m, n, r = rng.integers(*sides, 3)
        left, right = rng.random((m, r)) < density, rng.random((n, r)) < density
        if not all(side.any(axis=axis).all() for side in (left, right) for axis in (0, 1)):
            continue
        supports = fsmf.pair(left, right)
        if find_peeling(Pattern.of(supports)):
            found.append(supports)
    return found


def generic(rng, places):
    return rng.standard_normal(places.shape) * places


def off(factor):
    """A matrix whose kernel is spanned by the columns of a factor."""
    return null_space(factor.T, rcond=1e-9).T if factor.size else np.eye(len(factor))


def taken_apart(A, supports, rng):
    """Factors of A, as the proof makes them."""
    I, J = (places.astype(float) for places in (supports[0].toarray(), supports[1].toarray().T))
    classes = equivalence_classes(supports)
    left, right = find_peeling(Pattern.of(classes))
    E = [k for p, a in enumerate(left) for k in classes.members[p][:a].tolist()]
    others = [
        k
        for p, (a, b) in enumerate(zip(left, right, strict=True))
        for k in classes.members[p][a + b :].tolist()
    ]
    E2 = [k for p, (a, b) in enumerate(zip(left, right, strict=True)) for k in classes.members[p][a : a + b]]
    X, Y = np.zeros_like(I), np.zeros_like(J)
    X[:, E], Y[:, E2] = generic(rng, I[:, E]), generic(rng, J[:, E2])
    N, M = off(X[:, E]), off(Y[:, E2])

    def short(k):
        return sum(
            len(side) - np.linalg.matrix_rank(side[:, places[:, k] > 0], tol=1e-9)
            for side, places in ((N, I), (M, J))
        )

    order = sorted(others, key=short)
    B = N @ A @ M.T
    rank = np.linalg.matrix_rank(B, tol=1e-8) if B.size else 0
    for k in reversed(order[:rank]):
        sides = []
        for here, side, places in ((B, N, I), (B.T, M, J)):
            held = np.flatnonzero(places[:, k])
            kernel = null_space(np.hstack([here, -side[:, held]]), rcond=1e-9)
            mixed = kernel @ rng.standard_normal(kernel.shape[1])
            whole = np.zeros(len(places))
            whole[held] = mixed[here.shape[1] :]
            sides.append((mixed[: here.shape[1]], whole))
        (v, x), (u, y) = sides
        X[:, k], Y[:, k] = x / (u @ B @ v), y
        B = B - np.outer(N @ X[:, k], M @ y)
    rest = A - X[:, order[:rank]] @ Y[:, order[:rank]].T
    if E:
        Y[:, E] = (np.linalg.pinv(X[:, E]) @ rest).T
        rest = rest - X[:, E] @ Y[:, E].T
    if E2:
        X[:, E2] = rest @ np.linalg.pinv(Y[:, E2]).T
    return X * (I > 0), Y * (J > 0)


def matrices(supports, rng):
    """Generic, of low rank, sparse and permuted ones, of no higher rank than the number of components."""
    (m, n), r = supports.shape, supports[1].shape[0]
    for rank in range(1, min(m, n, r) + 1):
        yield rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))
        diagonal = np.zeros((m, n))
        diagonal[range(rank), range(rank)] = 1
        yield diagonal[rng.permutation(m)][:, rng.permutation(n)]
        yield rng.integers(-1, 2, (m, rank)) @ rng.integers(-1, 2, (rank, n)).astype(float)


def test_the_proof_makes_factors_of_every_matrix():
    rng = np.random.default_rng(0)
    errors, several = [], 0
    for supports in peelable(rng, 60):
        several += any(map(any, find_peeling(Pattern.of(supports))))
        for A in matrices(supports, rng):
            X, Y = taken_apart(A, supports, rng)
            errors.append(np.linalg.norm(X @ Y.T - A) / max(np.linalg.norm(A), 1e-300))
    assert several > 10
    # The choices are random, so that a few are badly conditioned.
    assert np.median(errors) < 1e-11
    assert max(errors) < 1e-3


@pytest.mark.parametrize("sides", [(2, 4), (3, 5)], ids=str)
def test_limits_of_curves_with_poles_are_products(sides):
    rng = np.random.default_rng(sides)
    for supports in peelable(rng, 25, sides=sides, density=0.75):
        for _ in range(2):
            found = is_attainable(pole_limit(supports, rng), supports, max_seconds=1)
            assert not isinstance(found, Unattainable), supports


def test_no_known_minor_is_there():
    rng = np.random.default_rng(2)
    for supports in peelable(rng, 200, density=0.7):
        pattern = Pattern.of(supports)
        assert find_corner(pattern) is None
        assert find_minor(pattern) is None, supports


def test_what_it_cannot_show():
    assert find_peeling(Pattern.of(fsmf.lu(2))) is None
    # Each of two components misses one column, and the same rows are left: rank 2 with equal columns.
    assert find_peeling(Pattern.of(fsmf.pair([[1, 1]] * 2, [[1, 0], [0, 1], [1, 1]]))) is None
    assert find_peeling(Pattern.of(fsmf.low_rank(5, rank=2))) == ((0,), (0,))


@pytest.mark.parametrize("size", [(8, 8, 8), (16, 16, 16)], ids=str)
def test_dense_supports_are_decided(size):
    m, n, r = size
    closed = 0
    for seed in range(10):
        supports = fsmf.random_supports(m, n, components=r, density=0.9, rng=seed)
        verdict = fsmf.check_well_posedness(supports, max_seconds=0.1)
        assert not isinstance(verdict, fsmf.IllPosed)
        closed += isinstance(verdict, fsmf.WellPosed) and bool(verdict.verify())
    assert closed >= 7
