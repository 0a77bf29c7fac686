"""Constraints: projections against brute force over all sets of places, ties, and bad numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import fsmf
from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError

SHAPE = (3, 4)
# Groups of one, two, three and four entries, and two that belong to none.
LABELS = np.array([[0, 1, 1, -1], [2, 2, 2, 3], [3, 3, 3, -1]])

# Each constraint with what it allows, said again in other words.
KINDS = {
    "k": (fsmf.KSparse(SHAPE, 4), lambda P: P.sum() <= 4),
    "one": (fsmf.KSparse(SHAPE, 1), lambda P: P.sum() <= 1),
    "all": (fsmf.KSparse(SHAPE, 12), lambda P: True),
    "row": (fsmf.RowSparse(SHAPE, 2), lambda P: P.sum(axis=1).max() <= 2),
    "column": (fsmf.ColumnSparse(SHAPE, 1), lambda P: P.sum(axis=0).max() <= 1),
    "both": (
        fsmf.RowColumnSparse(SHAPE, 2, columns=1),
        lambda P: P.sum(axis=1).max() <= 2 and P.sum(axis=0).max() <= 1,
    ),
    "permutation": (
        fsmf.RowColumnSparse(SHAPE, 1),
        lambda P: P.sum(axis=1).max() <= 1 and P.sum(axis=0).max() <= 1,
    ),
    "two": (
        fsmf.RowColumnSparse(SHAPE, 2),
        lambda P: P.sum(axis=1).max() <= 2 and P.sum(axis=0).max() <= 2,
    ),
    "1:2": (fsmf.NM(SHAPE, 1, of=2), lambda P: P.reshape(3, 2, 2).sum(axis=2).max() <= 1),
    "block": (
        fsmf.BlockSparse(SHAPE, 2, block=(1, 2)),
        lambda P: P.reshape(3, 2, 2).any(axis=2).sum() <= 2,
    ),
    "group": (
        fsmf.GroupSparse(LABELS, 2),
        lambda P: len(set(LABELS[P & (LABELS >= 0)])) <= 2,
    ),
    "free": (fsmf.Free(SHAPE), lambda P: True),
    "support": (fsmf.OnSupport(np.eye(3, 4)), lambda P: not (P & (np.eye(3, 4) == 0)).any()),
}
PATTERNS = (np.arange(2**12)[:, None] >> np.arange(12) & 1).astype(bool).reshape(-1, *SHAPE)
FEASIBLE = {name: PATTERNS[[bool(allows(P)) for P in PATTERNS]] for name, (_, allows) in KINDS.items()}

each = pytest.mark.parametrize("name", KINDS)
entries = st.lists(st.integers(-3, 3), min_size=12, max_size=12).map(lambda x: np.reshape(x, SHAPE))


@each
@given(M=entries, scale=st.sampled_from([1.0, 1e-200, 1e200, 1j]))
@settings(max_examples=25, deadline=None)
def test_projection_is_nearest(name, M, scale):
    """Against all 4096 sets of places; equal entries, and zeros, are common among these."""
    constraint, allows = KINDS[name]
    best = (FEASIBLE[name] * M**2).sum(axis=(1, 2)).max()
    P = constraint.project(scale * M)
    assert allows(P != 0)
    assert (P[P != 0] == (scale * M)[P != 0]).all()
    assert (M[P != 0] ** 2).sum() == best
    assert constraint.contains(P)
    assert constraint.contains(scale * M) == bool(allows(M != 0))
    np.testing.assert_array_equal(constraint.places(scale * M), P != 0)
    np.testing.assert_array_equal(constraint.project(P), P)


@each
@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_projection_is_nearest_without_ties(name, seed):
    M = np.random.default_rng(seed).standard_normal(SHAPE)
    best = FEASIBLE[name][(FEASIBLE[name] * M**2).sum(axis=(1, 2)).argmax()]
    np.testing.assert_array_equal(KINDS[name][0].places(M), best)


@each
def test_of_equal_entries_the_first_are_kept(name):
    """The first in row-major order: among the best sets of places, that whose places come first."""
    constraint, _ = KINDS[name]
    sizes = FEASIBLE[name].sum(axis=(1, 2))
    first = max(FEASIBLE[name][sizes == sizes.max()], key=lambda P: tuple(P.reshape(-1)))
    np.testing.assert_array_equal(constraint.places(np.ones(SHAPE)), first)


@each
@given(M=entries)
@example(M=np.array([[-2, 1, 0, -2], [0, 0, 0, 2], [-1, -1, 2, -2]]))
@settings(max_examples=25, deadline=None)
def test_no_entry_kept_could_be_exchanged_for_an_equal_one_before_it(name, M):
    """And where one entry, or group, does not stand in the way of another one, the first set is kept."""
    constraint, allows = KINDS[name]
    P = constraint.places(M)
    if name in ("both", "permutation", "two"):
        for kept, other in itertools.product(np.argwhere(P).tolist(), np.argwhere(~P & (M != 0)).tolist()):
            if other < kept and abs(M[*other]) == abs(M[*kept]):
                Q = P.copy()
                Q[*kept], Q[*other] = False, True
                assert not allows(Q)
    else:
        sizes = (FEASIBLE[name] * M**2).sum(axis=(1, 2))
        best = FEASIBLE[name][sizes == sizes.max()] & (M != 0)
        np.testing.assert_array_equal(P, max(best, key=lambda places: tuple(places.reshape(-1))))


@pytest.mark.parametrize("seed", range(6))
def test_matching_against_linear_programming(seed):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(4, 14, size=2)
    k, l = rng.integers(1, n + 1), rng.integers(1, m + 1)
    M = rng.integers(0, 5, (m, n)) if seed % 2 else rng.standard_normal((m, n))
    constraint = fsmf.RowColumnSparse((m, n), k, columns=l)
    P = constraint.project(M) != 0
    rows, columns = np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))
    best = linprog(
        -(M**2).reshape(-1),
        A_ub=np.vstack([rows, columns]),
        b_ub=np.concatenate([np.full(m, k), np.full(n, l)]),
        bounds=(0, 1),
    )
    assert P.sum(axis=1).max() <= k
    assert P.sum(axis=0).max() <= l
    assert (M[P] ** 2).sum() == pytest.approx(-best.fun, rel=1e-9)


def test_matching_of_a_flat_matrix_is_made_of_blocks():
    places = fsmf.RowColumnSparse((6, 6), 2).places(np.ones((6, 6)))
    np.testing.assert_array_equal(places, np.kron(np.eye(3), np.ones((2, 2))))


def test_vectors_and_more_sides():
    np.testing.assert_array_equal(fsmf.KSparse(4, 2).project([3, -4, 4, 1]), [0, -4, 4, 0])
    assert fsmf.KSparse((2, 2, 2), 3).project(np.arange(8).reshape(2, 2, 2)).sum() == 18


def test_input_is_not_written():
    M = np.ones(SHAPE)
    for constraint, _ in KINDS.values():
        constraint.project(M)[:] = 7
    assert (M == 1).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "i8"])
def test_dtype_is_kept(dtype):
    for constraint, _ in KINDS.values():
        assert constraint.project(np.ones(SHAPE, dtype)).dtype == dtype


def test_joint_projects_each_part():
    joint = fsmf.Joint([fsmf.RowSparse((2, 2), 1), fsmf.Free(2), fsmf.KSparse(3, 1)])
    np.testing.assert_array_equal(joint.project([1, 2, 3, -4, 5, 6, 7, 8, 9]), [0, 2, 0, -4, 5, 6, 0, 0, 9])
    assert joint.size == 9
    assert joint.relaxed(2) == fsmf.Joint([fsmf.RowSparse((2, 2), 2), fsmf.Free(2), fsmf.KSparse(3, 2)])
    with pytest.raises(InputTypeError):
        fsmf.Joint([])
    with pytest.raises(InputTypeError):
        fsmf.Joint([3])


def test_resizing():
    assert fsmf.KSparse((4, 5), 4).loosened(1) == fsmf.KSparse((4, 5), 20)
    assert fsmf.KSparse((4, 5), 4).loosened(0.5) == fsmf.KSparse((4, 5), 12)
    assert fsmf.RowSparse((4, 5), 2).relaxed(1.5) == fsmf.RowSparse((4, 5), 3)
    assert fsmf.NM((4, 8), 1, of=4).relaxed(9) == fsmf.NM((4, 8), 4, of=4)
    assert fsmf.RowColumnSparse((4, 5), 1).relaxed(2) == fsmf.RowColumnSparse((4, 5), 2)
    assert fsmf.RowColumnSparse((4, 5), 1).loosened(1) == fsmf.RowColumnSparse((4, 5), 5, columns=4)
    assert fsmf.BlockSparse((4, 4), 1, block=2).loosened(1).k == 4
    assert fsmf.GroupSparse([0, 1, 1], 1).relaxed(2) == fsmf.GroupSparse([0, 1, 1], 2)
    for constraint in (fsmf.Free((2, 2)), fsmf.OnSupport(np.eye(2))):
        assert constraint.loosened(0.5) is constraint


@each
def test_margin_tells_whether_another_entry_would_be_kept(name):
    """Where x holds all the nonzeros it may, the margin's sign says whether x stays when others appear."""
    constraint, _ = KINDS[name]
    rng = np.random.default_rng(3)
    for size in (0.01, 0.3, 1.0, 30.0):
        x = constraint.project(rng.uniform(0.5, 1.5, SHAPE))
        outside = np.where(x == 0, size * rng.uniform(0.5, 1.5, SHAPE), 0)
        stays = bool((constraint.places(x + outside) == (x != 0)).all())
        assert (constraint.margin(x, outside) >= 0) == stays


@pytest.mark.parametrize(
    "make",
    [
        lambda: fsmf.KSparse(SHAPE, 0),
        lambda: fsmf.KSparse(SHAPE, -1),
        lambda: fsmf.KSparse(SHAPE, 13),
        lambda: fsmf.KSparse(SHAPE, 2.5),
        lambda: fsmf.KSparse(SHAPE, True),
        lambda: fsmf.RowSparse(SHAPE, 5),
        lambda: fsmf.ColumnSparse(SHAPE, 4),
        lambda: fsmf.RowColumnSparse(SHAPE, 4),
        lambda: fsmf.RowColumnSparse(SHAPE, 2, columns=0),
        lambda: fsmf.NM(SHAPE, 3, of=2),
        lambda: fsmf.NM(SHAPE, 1, of=3),
        lambda: fsmf.BlockSparse(SHAPE, 1, block=2),
        lambda: fsmf.BlockSparse(SHAPE, 7, block=(1, 2)),
        lambda: fsmf.BlockSparse(SHAPE, 1, block=(1, 2, 1)),
        lambda: fsmf.GroupSparse([0, 1, 1], 3),
        lambda: fsmf.GroupSparse([0, 2], 1),
        lambda: fsmf.GroupSparse([-1, -1], 1),
        lambda: fsmf.Free(0),
    ],
)
def test_bad_numbers(make):
    with pytest.raises(OptionError, match="found"):
        make()


def test_groups_are_numbered():
    with pytest.raises(InputTypeError, match="number the groups"):
        fsmf.GroupSparse([0.0, 1.0], 1)
    assert repr(fsmf.GroupSparse(LABELS, 2)) == "GroupSparse((3, 4), 2 of 4 groups)"


def test_zeros_within_what_is_kept_have_to_stay_zero():
    """Of groups and blocks, all entries are allowed where one is."""
    x, outside = np.array([[2.0, 0.0, 0.0, 0.0]]), np.array([[0.0, 0.5, 0.0, 0.0]])
    for constraint in (fsmf.GroupSparse([[0, 0, 1, 1]], 1), fsmf.BlockSparse((1, 4), 1, block=(1, 2))):
        assert constraint.margin(x, outside) == -0.5
        assert constraint.margin(x, np.roll(outside, 1)) == 1.5
    assert fsmf.GroupSparse([[0, 1, -1, 1]], 1).margin(x, np.roll(outside, 1)) == -0.5


@pytest.mark.parametrize("kind", [fsmf.RowSparse, fsmf.ColumnSparse, fsmf.RowColumnSparse, fsmf.NM])
def test_rows_need_a_matrix(kind):
    with pytest.raises(ShapeError, match="constrains matrices"):
        kind(5, 1)


@each
def test_bad_arrays(name):
    constraint, _ = KINDS[name]
    with pytest.raises(ShapeError, match="reshape"):
        constraint.project(np.ones((4, 3)))
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="finite"):
            constraint.project(np.full(SHAPE, bad))
    for bad in ("a", None):
        with pytest.raises(InputTypeError, match="numbers"):
            constraint.project(np.full(SHAPE, bad))


def test_equality_and_hash():
    kinds = [constraint for constraint, _ in KINDS.values()]
    for (i, a), (j, b) in itertools.product(enumerate(kinds), repeat=2):
        assert (a == b) == (i == j)
    assert len(set(kinds)) == len(kinds)
    assert fsmf.OnSupport(np.eye(2)) == fsmf.OnSupport(fsmf.Support(np.eye(2)))
    assert repr(fsmf.KSparse(3, 1)) == "KSparse(shape=(3,), k=1)"
    assert "2 places" in repr(fsmf.OnSupport(np.eye(2)))


def test_the_base_constrains_nothing_by_itself():
    with pytest.raises(TypeError, match="abstract"):
        fsmf.Constraint((2, 2))


@each
@given(M=entries)
@settings(max_examples=10, deadline=None)
def test_quotas_say_the_same(name, M):
    constraint, _ = KINDS[name]
    quotas = constraint.quotas()
    assert (quotas is None) == (name in ("both", "permutation", "two", "block", "group"))
    if quotas:
        counts = np.bincount(quotas.group[M != 0], minlength=len(quotas.room))
        assert bool((counts <= quotas.room).all()) == constraint.contains(M)
        np.testing.assert_array_equal(quotas.most, constraint.loosened(1).quotas().room)
