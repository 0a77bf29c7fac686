"""Small pairs of supports: all, up to the order of rows, columns and components, or some of them."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, permutations

import numpy as np

import fsmf

# For each theorem a pair that it decides first, as I and J.
DECIDED_BY = {
    "compatible": ([[1]], [[1]]),
    "free": ([[1, 1]], [[1, 0], [0, 1], [1, 1]]),
    "twins": ([[1, 1, 1]], [[1, 0, 0], [0, 1, 1], [1, 1, 1]]),
    "fill": ([[1, 1, 0], [1, 1, 1]], [[1, 0, 0], [1, 1, 0], [0, 1, 1]]),
    "transposed": ([[1, 0, 0], [1, 1, 0], [0, 1, 1]], [[1, 1, 0], [1, 1, 1]]),
    "normal forms": ([[1, 0, 0], [0, 1, 1], [1, 1, 1]], [[1, 1, 0], [0, 1, 1], [1, 1, 1]]),
    "two classes": ([[1, 1, 0], [1, 1, 1], [1, 1, 1]], [[1, 1, 0], [1, 1, 1], [1, 1, 1]]),
    "peeled": ([[1, 1, 0], [0, 1, 1], [1, 0, 1]], [[1, 0, 1], [1, 1, 1], [1, 1, 1]]),
    "saturated": ([[1, 0, 0], [1, 1, 1], [1, 1, 1]], [[1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]),
}


def orbits(m: int, n: int, r: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The classes of each row and of each column, as masks."""
    tables = [
        [sum((kind >> order[k] & 1) << k for k in range(r)) for kind in range(2**r)]
        for order in permutations(range(r))
    ]
    kinds = range(2**r)
    for rows in combinations_with_replacement(kinds, m):
        for columns in combinations_with_replacement(kinds, n):
            images = (
                (tuple(sorted(t[kind] for kind in rows)), tuple(sorted(t[kind] for kind in columns)))
                for t in tables
            )
            if min(images) == (rows, columns):
                yield rows, columns


def sampled(rng: np.random.Generator, size: tuple[int, int, int], number: int) -> list[fsmf.Supports]:
    """Pairs drawn from all of one size, each kind of row and of column as likely as any other."""
    m, n, r = size
    return [
        supports_of(tuple(rng.integers(0, 2**r, m).tolist()), tuple(rng.integers(0, 2**r, n).tolist()), r)
        for _ in range(number)
    ]


def supports_of(rows: tuple[int, ...], columns: tuple[int, ...], r: int) -> fsmf.Supports:
    left, right = ([[kind >> k & 1 for k in range(r)] for kind in side] for side in (rows, columns))
    return fsmf.pair(left, right)


def random_pair(rng: np.random.Generator, max_side: int = 5, max_components: int = 4) -> fsmf.Supports:
    m, n, r = rng.integers(1, (max_side + 1, max_side + 1, max_components + 1))
    density = rng.choice([0.3, 0.5, 0.7])
    return fsmf.pair(rng.random((m, r)) < density, rng.random((n, r)) < density)
