"""Well-posedness: every small pattern decided and verified, and how long decisions take.

``--only counts`` goes through all patterns of each size, up to the order of rows, columns and components;
``--only attack`` through limits of curves on closed patterns, ``--only random`` through supports drawn at
random, ``--only families`` through those with a name, ``--only unions`` through small constraints in place of
supports, and ``--only large`` through supports with up to two million nonzeros.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement, permutations, product
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

import fsmf
from benchmarks.harness import Gate, arguments, machine, milliseconds, table

# Numbers of patterns with and without a closed set of products, zero rows and columns allowed.
COUNTS = {
    (2, 2, 1): (9, 0),
    (2, 3, 1): (12, 0),
    (2, 4, 1): (15, 0),
    (3, 3, 1): (16, 0),
    (3, 4, 1): (20, 0),
    (4, 4, 1): (25, 0),
    (2, 2, 2): (57, 1),
    (2, 3, 2): (107, 5),
    (2, 4, 2): (180, 13),
    (3, 3, 2): (198, 20),
    (3, 4, 2): (329, 48),
    (4, 4, 2): (541, 112),
    (2, 2, 3): (283, 8),
    (2, 3, 3): (828, 66),
    (2, 4, 3): (2055, 282),
    (3, 3, 3): (2282, 522),
    (3, 4, 3): (5310, 2120),
    (4, 4, 3): (11780, 8079),
    (2, 2, 4): (1204, 36),
    (2, 3, 4): (5816, 502),
    (3, 3, 4): (26423, 7540),
}


def patterns(m: int, n: int, r: int) -> Iterator[fsmf.Supports]:
    """Yield one pair of supports for each pattern of a size."""
    kinds = range(2**r)
    tables = [
        [sum((kind >> order[k] & 1) << k for k in range(r)) for kind in kinds]
        for order in permutations(range(r))
    ]
    for rows in combinations_with_replacement(kinds, m):
        images = [(tuple(sorted(moved[kind] for kind in rows)), moved) for moved in tables]
        if min(image for image, _ in images) < rows:
            continue
        stabilizer = [moved for image, moved in images if image == rows]
        for columns in combinations_with_replacement(kinds, n):
            if columns == min(tuple(sorted(moved[kind] for kind in columns)) for moved in stabilizer):
                left, right = (
                    [[kind >> k & 1 for k in range(r)] for kind in side] for side in (rows, columns)
                )
                yield fsmf.pair(left, right)


def count(size: tuple[int, int, int], gate: Gate) -> list[str]:
    """Decide and verify every pattern of one size."""
    verdicts: dict[str, int] = {"WellPosed": 0, "IllPosed": 0, "Undecided": 0}
    seconds = []
    for supports in patterns(*size):
        start = time.process_time()
        verdict = fsmf.check_well_posedness(supports, max_seconds=60)
        seconds.append(time.process_time() - start)
        verdicts[type(verdict).__name__] += 1
        if not isinstance(verdict, fsmf.Undecided):
            gate(bool(verdict.verify()), f"the verdict on {supports!r} verifies")
    name = "{} × {}, r = {}".format(*size)
    if size in COUNTS:
        gate((*verdicts.values(),) == (*COUNTS[size], 0), f"{name}: counts are {COUNTS[size]}")
    return [
        name,
        *map(str, verdicts.values()),
        *map(milliseconds, (median(seconds), mean(seconds), max(seconds))),
    ]


def scattered(n: int, width: int) -> tuple[fsmf.Support, fsmf.Support]:
    """Components on random rows and columns, so many each."""
    rng = np.random.default_rng(0)
    components = np.repeat(np.arange(n), width)
    rows, columns = (
        np.concatenate([rng.choice(n, width, replace=False) for _ in range(n)]) for _ in range(2)
    )
    left = fsmf.Support.from_coordinates(rows, components, shape=(n, n))
    return left, fsmf.Support.from_coordinates(components, columns, shape=(n, n))


def pole_limit(supports: fsmf.Supports, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the limit of a curve on which two components grow without bound and cancel, in small integers.

    It is ``(u + t z)(v + t w)/t − (u − t z')(v − t w')/t`` at t = 0, and products of the other components.
    """
    left, right = (support.toarray().astype(np.int64) for support in supports)
    r = left.shape[1]

    def drawn(places: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
        return rng.integers(low, high, places.size) * places

    k, l = rng.choice(r, 2, replace=False) if r > 1 else (0, 0)
    u, v = drawn(left[:, k] * left[:, l], -1, 2), drawn(right[k] * right[l], -1, 2)
    z = drawn(left[:, k], -1, 3) + drawn(left[:, l], -1, 3)
    w = drawn(right[k], -1, 3) + drawn(right[l], -1, 3)
    limit = np.outer(u, w) + np.outer(z, v)
    for c in set(range(r)) - {int(k), int(l)}:
        limit += np.outer(drawn(left[:, c], -1, 2), drawn(right[c], -1, 2))
    return limit


def attacked(size: tuple[int, int, int], number: int, gate: Gate) -> list[str]:
    """Draw closed patterns, and limits of curves with poles for each: exact algebra has to attain them."""
    m, n, r = size
    rng = np.random.default_rng(sum(size))
    closed, found = 0, {"Attainable": 0, "Unattainable": 0, "Unsettled": 0}
    while closed < number:
        left, right = ((rng.integers(0, 2**r, (side, 1)) >> np.arange(r) & 1) for side in (m, n))
        supports = fsmf.pair(left, right)
        if not isinstance(fsmf.check_well_posedness(supports, max_seconds=1), fsmf.WellPosed):
            continue
        closed += 1
        for _ in range(LIMITS):
            answer = type(fsmf.is_attainable(pole_limit(supports, rng), supports, max_seconds=2)).__name__
            found[answer] += 1
            gate(answer != "Unattainable", f"limits on {supports!r} are products")
    return ["{} × {}, r = {}".format(*size), str(closed), *map(str, found.values())]


# Closed patterns that limits are drawn for, of each size, and how many limits of each.
ATTACKED = {(3, 3, 3): 700, (3, 4, 3): 500, (4, 4, 3): 400, (3, 3, 4): 500}
LIMITS = 5

# Kinds of supports drawn at random: rows, columns, components, and how many of each density.
RANDOM = {
    (6, 6, 6): 30,
    (8, 8, 4): 30,
    (8, 8, 8): 30,
    (16, 16, 8): 6,
    (16, 16, 16): 6,
    (32, 32, 8): 6,
    (32, 32, 16): 6,
}
DENSITIES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)


def drawn(size: tuple[int, int, int], number: int, gate: Gate) -> list[str]:
    """Decide supports of independent places: closed / not / undecided by density, and the longest time."""
    m, n, r = size
    cells = []
    for density in DENSITIES:
        found = {"WellPosed": 0, "IllPosed": 0, "Undecided": 0}
        longest = 0.0
        for seed in range(number):
            supports = fsmf.random_supports(m, n, components=r, density=density, rng=seed)
            start = time.perf_counter()
            verdict = fsmf.check_well_posedness(supports)
            longest = max(longest, time.perf_counter() - start)
            found[verdict.answer] += 1
            if not isinstance(verdict, fsmf.Undecided):
                gate(bool(verdict.verify()), f"{size}, density {density}, seed {seed}: verifies")
        cells.append("/".join(map(str, found.values())) + f" {milliseconds(longest)}")
    return ["{}, {}, {}".format(*size), *cells]


FAMILIES: dict[str, Callable[[int], fsmf.Supports]] = {
    "low_rank, rank 2": lambda n: fsmf.low_rank(n, rank=2),
    "low_rank, rank n/2": lambda n: fsmf.low_rank(n, rank=max(1, n // 2)),
    "block_diagonal, 2 × 2": lambda n: fsmf.block_diagonal(n, blocks=max(1, n // 2)),
    "disjoint, diagonal": lambda n: fsmf.block_diagonal(n, blocks=n),
    "lu": fsmf.lu,
    "banded": fsmf.banded,
    "arrow": fsmf.arrow,
    "hodlr": fsmf.hodlr,
    "monarch": lambda n: fsmf.monarch(n, blocks=max(d for d in range(1, n + 1) if n % d == 0 and d * d <= n)),
    "butterfly": fsmf.butterfly,
    "completion, all": lambda n: fsmf.completion(np.ones((n, n))),
    "completion, triangle": lambda n: fsmf.completion(np.tri(n)),
    "completion, no diagonal": lambda n: fsmf.completion(1 - np.eye(n)),
}


def family(name: str, gate: Gate) -> list[str]:
    """Decide a family for all sizes up to 64: runs of equal verdicts, and the longest time."""
    runs: list[list[object]] = []
    longest = 0.0
    for n in range(1, 65):
        try:
            supports = FAMILIES[name](n)
        except fsmf.errors.FsmfError:
            continue
        start = time.perf_counter()
        verdict = fsmf.check_well_posedness(supports)
        longest = max(longest, time.perf_counter() - start)
        gate(isinstance(verdict, fsmf.Undecided) or bool(verdict.verify()), f"{name} of size {n}: verifies")
        reason = type(getattr(verdict, "proof", None)).__name__
        if runs and runs[-1][:2] == [verdict.answer, reason]:
            runs[-1][3] = n
        else:
            runs.append([verdict.answer, reason, n, n])
    told = "; ".join(f"{answer} ({reason}) {first}–{last}" for answer, reason, first, last in runs)
    return [name, told, milliseconds(longest)]


def constraints(shape: tuple[int, int]) -> list[fsmf.Constraint]:
    """Return constraints on the nonzeros of all, of each row, of each column, and of both."""
    m, n = shape
    return [
        *(fsmf.KSparse(shape, k) for k in range(1, m * n + 1)),
        *(fsmf.RowSparse(shape, k) for k in range(1, n)),
        *(fsmf.ColumnSparse(shape, k) for k in range(1, m)),
        *(fsmf.RowColumnSparse(shape, k) for k in range(1, min(m, n))),
    ]


def unions(size: tuple[int, int, int], gate: Gate) -> list[str]:
    """Decide and verify all pairs of constraints of one size."""
    m, n, r = size
    numbers = {fsmf.WellPosed: 0, fsmf.IllPosed: 0, fsmf.Undecided: 0}
    times = []
    for pair in product(constraints((m, r)), constraints((r, n))):
        start = time.perf_counter()
        verdict = fsmf.check_well_posedness(pair)
        times.append(time.perf_counter() - start)
        gate(bool(verdict.verify()) or isinstance(verdict, fsmf.Undecided), f"{pair}: verifies")
        numbers[type(verdict)] += 1
    return [f"{m}×{n}, r = {r}", *map(str, numbers.values()), *map(milliseconds, (mean(times), max(times)))]


LARGE: dict[str, tuple[Callable[[], object], type]] = {
    "scattered": (lambda: scattered(20_000, 50), fsmf.IllPosed),
    "blocks": (lambda: fsmf.block_diagonal(1_000_000, blocks=20_000), fsmf.WellPosed),
    "banded": (lambda: fsmf.banded(20_000, lower=49, upper=49), fsmf.IllPosed),
}


def large(name: str, gate: Gate) -> list[str]:
    """Decide and verify one huge pair."""
    build, expected = LARGE[name]
    supports = fsmf.as_supports(build())
    start = time.perf_counter()
    verdict = fsmf.check_well_posedness(supports)
    seconds = time.perf_counter() - start
    gate(isinstance(verdict, expected), f"{name}: {expected.__name__}")
    gate(bool(verdict.verify()), f"{name}: verifies")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform != "darwin" else 1e9)
    return [
        name, f"{supports.n_parameters:,}", type(verdict).__name__, milliseconds(seconds), f"{peak:.1f} GB"
    ]  # fmt: skip


def main() -> int:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument(
        "--only", choices=("counts", "attack", "random", "families", "unions", "large"), help="one part"
    )
    parser.add_argument("--size", type=int, nargs=3, metavar=("M", "N", "R"), help="count this size only")
    options = parser.parse_args()
    gate = Gate()
    print(machine("fsmf", "sympy"), end="\n\n")
    if options.only in (None, "counts"):
        sizes = [tuple(options.size)] if options.size else list(COUNTS)
        if options.quick:
            sizes = [size for size in sizes if sum(COUNTS.get(size, (0,))) < 100]
        print("every pattern, up to the order of rows, columns and components", end="\n\n")
        header = ["size", "closed", "not", "undecided", "median", "mean", "longest"]
        print(table(header, [count(size, gate) for size in sizes], markdown=options.markdown), end="\n\n")
    if options.only in (None, "attack") and not (options.quick or options.size):
        print("limits of random curves with poles, on closed patterns", end="\n\n")
        header = ["size", "closed patterns", "attained", "not attained", "undecided"]
        rows = [attacked(size, number, gate) for size, number in ATTACKED.items()]
        print(table(header, rows, markdown=options.markdown), end="\n\n")
    if options.only in (None, "random") and not (options.quick or options.size):
        print("supports drawn at random: closed / not / undecided, and the longest time", end="\n\n")
        header = ["m, n, r", *(f"density {density}" for density in DENSITIES)]
        rows = [drawn(size, number, gate) for size, number in RANDOM.items()]
        print(table(header, rows, markdown=options.markdown), end="\n\n")
    if options.only in (None, "families") and not (options.quick or options.size):
        header = ["family", "verdicts by size", "longest"]
        rows = [family(name, gate) for name in FAMILIES]
        print(table(header, rows, markdown=options.markdown), end="\n\n")
    if options.only in (None, "unions") and not (options.quick or options.size):
        print("constraints in place of both supports", end="\n\n")
        header = ["size", "closed", "not", "undecided", "mean", "longest"]
        rows = [unions(size, gate) for size in product((2, 3), repeat=3)]
        print(table(header, rows, markdown=options.markdown), end="\n\n")
    if options.only in (None, "large") and not (options.quick or options.size):
        header = ["supports", "nonzeros", "verdict", "time", "peak so far"]
        print(table(header, [large(name, gate) for name in LARGE], markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
