"""Chains with a name, each against the formula that defines it, written out with np.kron."""

import math

import numpy as np
import pytest
from architectures import dense_pattern
from hypothesis import given
from hypothesis import strategies as st

import fsmf
from fsmf.errors import OptionError

smooth = st.builds(math.prod, st.lists(st.sampled_from([2, 3, 5, 7]), max_size=5))


def quadruples(architecture):
    return [pattern.abcd for pattern in architecture]


@pytest.mark.parametrize("length", range(1, 7))
def test_a_dyadic_butterfly_is_that_of_the_fast_fourier_transform(length):
    chain = fsmf.butterfly(2**length)
    assert quadruples(chain) == [(2**s, 2, 2, 2 ** (length - 1 - s)) for s in range(length)]
    assert chain.n_parameters == 2 * length * 2**length
    assert chain.dimension == 2**length * (length + 1)


@given(smooth)
def test_a_square_butterfly_has_one_factor_per_prime(n):
    chain = fsmf.butterfly(n)
    radices = [pattern.abcd[1] for pattern in chain]
    assert radices == sorted(radices)
    assert math.prod(radices) == n
    assert n == 1 or set(radices) <= {2, 3, 5, 7}
    assert chain.n_parameters == n * sum(radices)
    assert chain.ranks == (1,) * (len(chain) - 1)


@given(smooth, smooth, st.integers(1, 3))
def test_any_butterfly_reaches_all_of_its_matrix(m, n, rank):
    chain = fsmf.butterfly(m, n, rank=rank)
    assert chain.is_chainable
    assert chain.product.abcd == (1, m, n, 1)
    assert chain.ranks == (rank,) * (len(chain) - 1)


@pytest.mark.parametrize(
    ("m", "n", "row_radices", "column_radices"),
    [
        (48, 36, (2, 2, 3, 4), (2, 2, 3, 3)),
        (64, 16, (2, 2, 4, 4), (2, 2, 2, 2)),
        (2, 60, (2,), (60,)),
        (1, 6, (1,), (6,)),
        (1, 1, (1,), (1,)),
        (35, 1024, (5, 7), (32, 32)),
    ],
)
def test_primes_are_grouped_evenly(m, n, row_radices, column_radices):
    for chain, rows, columns in (
        (fsmf.butterfly(m, n), row_radices, column_radices),
        (fsmf.butterfly(n, m), column_radices, row_radices),
    ):
        assert tuple(pattern.abcd[1] for pattern in chain) == rows
        assert tuple(pattern.abcd[2] for pattern in chain) == columns


def test_radices_may_be_chosen():
    assert quadruples(fsmf.butterfly(66, radices=(6, 11))) == [(1, 6, 6, 11), (6, 11, 11, 1)]
    assert quadruples(fsmf.butterfly(13, radices=13)) == [(1, 13, 13, 1)]
    assert fsmf.butterfly(12, radices=np.array([3, 4])) == fsmf.butterfly(12, 12, radices=([3, 4], (3, 4)))
    chain = fsmf.butterfly(6, 16, radices=((3, 2), (2, 8)), rank=2)
    assert quadruples(chain) == [(1, 3, 4, 2), (2, 4, 8, 1)]


@given(st.data())
def test_a_deformable_chain_is_its_formula(data):
    length = data.draw(st.integers(1, 4))
    rows, columns = (data.draw(st.tuples(*[st.integers(1, 3)] * length)) for _ in range(2))
    ranks = data.draw(st.tuples(*[st.integers(1, 3)] * (length - 1)))
    m, n, w = math.prod(rows), math.prod(columns), (1, *ranks, 1)
    chain = fsmf.deformable(m, n, row_radices=rows, column_radices=columns, rank=ranks)
    expected = [
        (
            math.prod(columns[:s]),
            rows[s] * w[s],
            columns[s] * w[s + 1],
            m // math.prod(rows[: s + 1]),
        )
        for s in range(length)
    ]
    assert quadruples(chain) == expected
    assert chain.ranks == ranks
    assert chain.product.abcd == (1, m, n, 1)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_monarch_and_low_rank_are_chains_of_two(p, b, c, rank):
    m, n = p * b, p * c
    assert quadruples(fsmf.low_rank(m, n, rank=rank)) == [(1, m, rank, 1), (1, rank, n, 1)]
    left, right = (support.toarray() for support in fsmf.monarch(m, n, blocks=p, rank=rank))
    assert np.array_equal(left, dense_pattern(1, b, rank * p, p))
    assert np.array_equal(right, dense_pattern(p, rank * p, c, 1))
    assert fsmf.monarch(m, n, blocks=1, rank=rank) == fsmf.low_rank(m, n, rank=rank)
    assert fsmf.monarch(m, n, blocks=p, rank=[rank]) == fsmf.monarch(m, n, blocks=p, rank=rank)
    if b > 1 and c > 1 and p > 1:
        assert fsmf.monarch(m, n, blocks=p) == fsmf.butterfly(m, n, radices=((b, p), (p, c)))


@pytest.mark.parametrize("radices", [(2, 2, 2), (2, 3), (3, 2, 2)])
def test_a_kaleidoscope_is_a_butterfly_and_its_mirror_image(radices):
    n = math.prod(radices)
    chain, half = fsmf.kaleidoscope(n, radices=radices), fsmf.butterfly(n, radices=radices)
    assert quadruples(chain) == [*quadruples(half), *reversed(quadruples(half))]
    assert not chain.is_chainable
    assert not chain.T.is_chainable
    assert chain == chain.T
    assert fsmf.kaleidoscope(8) == fsmf.kaleidoscope(8, radices=(2, 2, 2))


@pytest.mark.parametrize(
    ("chain", "name"),
    [
        (fsmf.butterfly(64), "butterfly(64, 64)"),
        (fsmf.butterfly(48, 36, rank=2), "butterfly(48, 36, rank=2)"),
        (fsmf.butterfly(48, 36, rank=(2, 1, 3)), "butterfly(48, 36, rank=(2, 1, 3))"),
        (fsmf.butterfly(12, radices=[3, np.int64(4)]), "butterfly(12, 12, radices=(3, 4))"),
        (fsmf.butterfly(6, 4, radices=((3, 2), (2, 2))), "butterfly(6, 4, radices=((3, 2), (2, 2)))"),
        (
            fsmf.deformable(6, 4, row_radices=[3, 2], column_radices=[2, 2], rank=2),
            "deformable(6, 4, row_radices=(3, 2), column_radices=(2, 2), rank=2)",
        ),
        (fsmf.kaleidoscope(4), "kaleidoscope(4)"),
        (fsmf.kaleidoscope(22, radices=(2, 11)), "kaleidoscope(22, radices=(2, 11))"),
        (fsmf.low_rank(4, rank=2), "low_rank(4, 4, rank=2)"),
        (fsmf.monarch(np.int64(6), 9, blocks=3), "monarch(6, 9, blocks=3, rank=1)"),
    ],
)
def test_a_family_says_its_name_and_its_name_makes_it(chain, name):
    assert chain.name == name
    assert chain.T.name == f"{name}.T"
    assert eval(name, vars(fsmf)) == chain


def test_large_chains_cost_nothing():
    chain = fsmf.butterfly(2**20)
    assert chain.n_parameters == 2 * 20 * 2**20
    assert chain.is_chainable


REFUSED = {
    "no rows": lambda: fsmf.butterfly(0),
    "no rows of rank one": lambda: fsmf.low_rank(0, rank=1),
    "negative": lambda: fsmf.low_rank(3, -1, rank=1),
    "rank zero": lambda: fsmf.low_rank(3, rank=0),
    "a string": lambda: fsmf.butterfly("8"),
    "half": lambda: fsmf.butterfly(8, 2.5),
    "a boolean": lambda: fsmf.kaleidoscope(True),
    "far too large": lambda: fsmf.low_rank(10**30, rank=1),
    "large prime": lambda: fsmf.butterfly(22),
    "large prime of columns": lambda: fsmf.butterfly(8, 11),
    "large prime of a kaleidoscope": lambda: fsmf.kaleidoscope(13),
    "other product": lambda: fsmf.butterfly(8, radices=(2, 2)),
    "square radices": lambda: fsmf.butterfly(8, 4, radices=(2, 2, 2)),
    "radix one": lambda: fsmf.butterfly(8, radices=(1, 8)),
    "three lists": lambda: fsmf.butterfly(8, radices=([8], [8], [8])),
    "no radices": lambda: fsmf.butterfly(8, radices=()),
    "empty radices": lambda: fsmf.butterfly(1, radices=((), ())),
    "radices of a string": lambda: fsmf.butterfly(8, radices="222"),
    "radices a float": lambda: fsmf.butterfly(8, radices=8.0),
    "uneven lists": lambda: fsmf.butterfly(8, radices=((2, 4), (2, 2, 2))),
    "deformable uneven lists": lambda: fsmf.deformable(4, 4, row_radices=(2, 2), column_radices=(4,)),
    "deformable rows": lambda: fsmf.deformable(4, 4, row_radices=(2, 3), column_radices=(2, 2)),
    "deformable columns": lambda: fsmf.deformable(4, 6, row_radices=(2, 2), column_radices=(2, 2)),
    "deformable zero": lambda: fsmf.deformable(4, row_radices=(2, 0), column_radices=(2, 2)),
    "no rank": lambda: fsmf.butterfly(8, rank=0),
    "rank a float": lambda: fsmf.butterfly(8, rank=1.5),
    "too many ranks": lambda: fsmf.butterfly(8, rank=(1, 2, 1)),
    "no ranks": lambda: fsmf.low_rank(3, rank=()),
    "ranks of a pair": lambda: fsmf.monarch(4, blocks=2, rank=(1, 1)),
    "no divisor": lambda: fsmf.monarch(12, 9, blocks=2),
    "several blocks": lambda: fsmf.monarch(4, blocks=(2, 2)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_options_that_make_no_sense_are_refused(make):
    with pytest.raises(OptionError, match="found"):
        make()


def test_a_size_that_is_not_smooth_is_told_what_to_do():
    with pytest.raises(
        OptionError, match=r"found 22, a multiple of 11; give radices, such as .*\(2, 11\), or"
    ):
        fsmf.butterfly(22)
    assert fsmf.butterfly(22, radices=(2, 11)).shape == (22, 22)


def test_factorizing_takes_a_monarch_as_any_other_pair():
    A = np.arange(36.0).reshape(6, 6)
    chain = fsmf.monarch(6, blocks=2)
    plain = fsmf.as_supports([support.toarray() for support in chain])
    assert fsmf.factorize(A, chain).error == pytest.approx(fsmf.factorize(A, plain).error, rel=1e-12)
