"""Each theorem against what is known by other means."""

import numpy as np
import pytest
from scipy.linalg import null_space
from small_patterns import random_pair, sampled

import fsmf
from fsmf.wellposedness.criteria import fillings, find_incompatible, saturated_kinds, two_classes
from fsmf.wellposedness.elimination import Attainable, Unsettled, is_attainable
from fsmf.wellposedness.minors import find_corner, find_minor
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.search import Prover


def two(ranks, rows, columns):
    """The pattern of two classes with so many rows and columns in the first only, in both, in the second."""
    return Pattern.cleaned([1, 3, 2], rows, [1, 3, 2], columns, ranks)


@pytest.mark.parametrize("ranks", [(1, 1), (2, 1)])
def test_two_classes_against_the_complete_list_for_three_components(ranks):
    # For up to three components, products are closed exactly when no known minor is there.
    rng = np.random.default_rng(sum(ranks))
    seen = set()
    for rows, columns in rng.integers(0, (3, 4, 3), (150, 2, 3)).tolist():
        pattern = two(ranks, rows, columns)
        decided = two_classes(pattern)
        if decided is not None and pattern not in seen:
            seen.add(pattern)
            minor = find_corner(pattern) or find_minor(pattern)
            assert (decided.violation is None) == (minor is None), (ranks, rows, columns)
    assert len(seen) > 60


def ranks_of(B, rows, columns, i):
    """(e, f, g) of a class, and orthonormal bases of F and G."""
    A, O = (np.flatnonzero(rows == kind) for kind in (i, 3))
    P, S = (np.flatnonzero(columns == kind) for kind in (i, 3))

    def rank(M):
        return np.linalg.matrix_rank(M, tol=1e-9) if M.size else 0

    e = rank(B[np.ix_(A, P)])
    f = rank(B[np.ix_([*O, *A], P)]) - e
    g = rank(B[np.ix_(A, [*P, *S])]) - e
    F = B[np.ix_(O, P)] @ (null_space(B[np.ix_(A, P)], rcond=1e-9) if len(A) else np.eye(len(P)))
    G = B[np.ix_(A, S)].T @ (null_space(B[np.ix_(A, P)].T, rcond=1e-9) if len(P) else np.eye(len(A)))
    return e, f, g, F, G, rank


def is_product_of_two(B, rows, columns, ranks):
    """The theorem's test for membership: rows and columns by kind 1, 3, 2."""
    e1, f1, g1, F1, G1, rank = ranks_of(B, rows, columns, 1)
    e2, f2, g2, F2, G2, _ = ranks_of(B, rows, columns, 2)
    phi = rank(F1) + rank(F2) - rank(np.hstack([F1, F2]))
    gamma = rank(G1) + rank(G2) - rank(np.hstack([G1, G2]))
    return e1 + f1 + g1 <= ranks[0] and e2 + f2 + g2 <= ranks[1] and rank(B) + phi + gamma <= sum(ranks)


def test_membership_in_two_classes_holds_for_products_and_fails_for_targets():
    rng = np.random.default_rng(4)
    kinds = np.array([1, 3, 2])
    for _ in range(200):
        rows, columns = (np.repeat(kinds, rng.integers(0, 4, 3)) for _ in range(2))
        ranks = tuple(rng.integers(1, 4, 2))
        if 0 in (rows.size, columns.size):
            continue
        B = np.zeros((len(rows), len(columns)))
        for bit, r in zip((1, 2), ranks, strict=True):
            X = rng.integers(-1, 2, (len(rows), r)) * (rows & bit > 0)[:, None]
            Y = rng.integers(-1, 2, (r, len(columns))) * (columns & bit > 0)
            B += X @ Y
        assert is_product_of_two(B, rows, columns, ranks)
    assert not is_product_of_two(np.array([[0.0, 1], [1, 0]]), np.array([1, 3]), np.array([1, 3]), (1, 1))
    overhang = np.array([[1.0, 0, 1], [0, 1, 0]])
    assert not is_product_of_two(overhang, np.array([3, 3]), np.array([1, 3, 2]), (1, 1))


def test_membership_in_two_classes_against_exact_elimination():
    rng = np.random.default_rng(12)
    answers = []
    while len(answers) < 40:
        ranks = tuple(rng.choice([1, 1, 2], 2).tolist())
        rows, columns = (np.repeat([1, 3, 2], rng.integers(0, 3, 3)) for _ in range(2))
        if not (rows.size and columns.size and rows.size * columns.size <= 12):
            continue
        reach = (rows[:, None] & columns) > 0
        B = reach * rng.choice([0, 0, 1, -1], reach.shape)
        members = np.repeat([1, 2], ranks)
        supports = [(rows[:, None] & members) > 0, (members[:, None] & columns) > 0]
        found = is_attainable(B, supports, max_seconds=2)
        if not isinstance(found, Unsettled):
            answers.append(is_product_of_two(B.astype(float), rows, columns, ranks))
            assert answers[-1] == isinstance(found, Attainable), (B, rows, columns, ranks)
    assert set(answers) == {True, False}


def test_a_known_pair_with_ranks():
    # One private row and column of the larger class are harmless, two of each are not.
    assert two_classes(two((2, 1), (1, 2, 0), (1, 2, 0))).violation is None
    assert two_classes(two((2, 1), (2, 2, 0), (2, 2, 0))).violation is not None


def test_compatible_pairs_have_bounded_factors():
    # Descent with a small ridge on a closed pattern: Σ |x_k|² |y_k|² stays below |A|².
    rng = np.random.default_rng(5)
    for _ in range(10):
        supports = random_pair(rng, 4, 3)
        if find_incompatible(Pattern.of(supports)) is not None:
            continue
        A = rng.standard_normal(supports.shape)
        F = fsmf.factorize(A, supports, solver=fsmf.ALS(ridge=1e-6, max_sweeps=300))
        X, Y = (factor.toarray() for factor in F.factors)
        size = sum(np.sum(X[:, k] ** 2) * np.sum(Y[k] ** 2) for k in range(X.shape[1]))
        assert size <= np.sum(A**2) * (1 + 1e-3)


def test_incompatible_classes_are_named():
    assert find_incompatible(Pattern.of(fsmf.low_rank(5, rank=2))) is None
    assert find_incompatible(Pattern.of(fsmf.lu(2))) == (0, 1)


def test_filling_reaches_what_it_says():
    # Given generic columns of the classes outside D and nonzero ones inside, others span their reach.
    rng = np.random.default_rng(6)
    tried = 0
    for supports in sampled(rng, (2, 3, 3), 250):
        pattern = Pattern.of(supports)
        for filling in fillings(pattern):
            for j in filling.used:
                kind = pattern.columns[j]
                X = np.zeros((pattern.n_rows, pattern.rank))
                of_row = np.repeat(pattern.rows, pattern.row_counts)
                at = 0
                for p, rank in enumerate(pattern.ranks):
                    for _ in range(rank):
                        held = np.flatnonzero(of_row >> p & 1)
                        if filling.classes >> p & 1:  # any nonzero vector: one entry
                            X[rng.choice(held), at] = 1
                        else:
                            X[held, at] = rng.standard_normal(held.size)
                        at += 1
                members = np.repeat(np.arange(len(pattern.ranks)), pattern.ranks)
                chosen = X[:, [kind >> p & 1 == 1 for p in members]]
                reach = np.count_nonzero(of_row & kind)
                assert np.linalg.matrix_rank(chosen) == reach
                tried += 1
    assert tried > 50


def test_saturated_kinds_leave_smaller_patterns():
    for supports in sampled(np.random.default_rng(7), (2, 4, 3), 250):
        pattern = Pattern.of(supports)
        for _, fewer, none in saturated_kinds(pattern):
            assert max(fewer.n_columns, none.n_columns) < pattern.n_columns


@pytest.mark.parametrize("size", [(2, 3, 3), (3, 3, 2), (3, 3, 3), (3, 4, 3), (2, 3, 4)], ids=str)
def test_no_pattern_has_both_a_proof_and_a_minor(size):
    for supports in sampled(np.random.default_rng(sum(size)), size, 200):
        pattern = Pattern.of(supports)
        proved = Prover().prove(pattern)
        assert proved is None or not (find_corner(pattern) or find_minor(pattern)), supports
