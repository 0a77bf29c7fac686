"""Which launches apply a chain of Kronecker-sparse factors on a GPU: fused runs, single factors, or matmul.

How fast the device is, `Rates` tell; other constants describe the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from fsmf.kernels.device_rates import ESTIMATES, Rates
from fsmf.kernels.kronecker_matmul import cheapest_cuts, fused_pattern

__all__ = ["Numbers", "Stage", "Step", "Tile", "plan_one_step", "plan_steps"]

Pattern = tuple[int, int, int, int]

# A number read from or written to shared memory costs as much as so many multiply-adds, and a coefficient,
# which serves all columns of a thread, makes each of its multiply-adds cost so much more.
_SHARED, _COEFFICIENT = 4.0, 1.5

# Bytes of shared memory that a block of threads may take: three blocks, or two, then share a multiprocessor.
_POOL = 64 << 10

# Bytes of neighbouring columns that a tile should have, and has at least: a sector of memory has 32.
_WIDE, _NARROW = 512, 64

# Neighbours delta, and columns, of a tile where columns lie in memory as a whole, in order of preference.
_TALL = ((32, 4), (32, 1), (8, 4), (8, 1), (1, 16), (1, 8), (1, 4), (1, 2), (1, 1))

# Banks of shared memory, and bytes of a sector of memory.
_BANKS = _SECTOR = 32

# Rows that a block of threads should have at least, and at most when groups are joined for that.
_FEW_ROWS, _MANY_ROWS = 32, 256

# The most blocks of a launch.
_MOST_BLOCKS = 1 << 31

# Factors are multiplied out where that makes at most so many times the coefficients.
_GROWTH = 8


class Numbers(NamedTuple):
    """What is stored, and what is summed in.

    Attributes
    ----------
    stored : int
        Bytes of a number of x.
    sums : int
        Bytes of what it is summed in.
    is_complex : bool
        Whether that is complex.
    """

    stored: int
    sums: int
    is_complex: bool


class Stage(NamedTuple):
    """A stage of a fused run: factors ``first … stop - 1`` multiplied out, as they act within a group.

    Attributes
    ----------
    first, stop : int
        The factors.
    pattern : tuple of four int
        ``(a, b, c, d)`` within a group.
    rows : int
        Rows of a block that a thread makes at a time.
    source, target : int
        Where the stage reads and writes: a buffer of shared memory, or -1 for memory.
    """

    first: int
    stop: int
    pattern: Pattern
    rows: int
    source: int
    target: int

    @property
    def padded(self) -> int:
        """Rows of coefficients of a block: a multiple of those that a thread makes."""
        return -(-self.pattern[1] // self.rows) * self.rows


class Tile(NamedTuple):
    """What a block of threads takes.

    Attributes
    ----------
    columns, deltas : int
        Columns, and neighbours delta.
    per_thread : int
        Columns of a thread.
    pitch, skew : int
        Numbers from one row to the next in shared memory, and how many more after each eight.
    height : int
        Rows of a buffer.
    buffers : int
        Buffers of shared memory.
    """

    columns: int
    deltas: int
    per_thread: int
    pitch: int
    skew: int
    height: int
    buffers: int

    @property
    def size(self) -> int:
        """Numbers of a buffer."""
        return self.height * self.pitch + self.height // 8 * self.skew


class Step(NamedTuple):
    """A step: factors ``first … stop - 1`` at once.

    Attributes
    ----------
    kind : {"chain", "factor", "matmul"}
        The fused kernel, the tiled kernel, or the library's product.
    first, stop : int
        The factors.
    pattern : tuple of four int
        The smallest pattern that holds their product; of a fused run, the groups that blocks of threads take.
    stages : tuple of Stage
        Of a fused run, in the order in which they are applied.
    tile : Tile or None
        Of a fused run.
    """

    kind: Literal["chain", "factor", "matmul"]
    first: int
    stop: int
    pattern: Pattern
    stages: tuple[Stage, ...] = ()
    tile: Tile | None = None


@lru_cache(maxsize=256)
def plan_steps(
    patterns: tuple[Pattern, ...],
    numbers: Numbers,
    columns: int,
    *,
    by_columns: bool,
    matmul: bool = True,
    rates: Rates = ESTIMATES,
) -> tuple[Step, ...]:
    """Plan the cheapest steps that apply a chain.

    Parameters
    ----------
    patterns : tuple of tuple of four int
        The factors, left to right; shapes chain.
    numbers : Numbers
        What is stored and summed in.
    columns : int
        How many there are, about.
    by_columns : bool
        Whether each column lies in memory as a whole.
    matmul : bool
        Whether the library's product takes these numbers.
    rates : Rates
        Of the device.

    Returns
    -------
    tuple of Step
        In the order in which they are applied: the last factor first.

    Notes
    -----
    Dynamic programming over where the chain is cut, and within a run over which neighbours are multiplied
    out. Time is the larger of that of memory and that of arithmetic, and a launch.
    """
    ways: dict[tuple[int, int], _Way] = {}

    def seconds(first: int, stop: int) -> float:
        found = _steps(patterns, first, stop, numbers, columns, by_columns, matmul, rates.processors)
        if not found:
            return math.inf
        ways[first, stop] = min(found, key=lambda way: way.seconds(rates))
        return ways[first, stop].seconds(rates)

    return tuple(ways[run.start, run.stop].step for run in reversed(cheapest_cuts(len(patterns), seconds)))


class _Way(NamedTuple):
    """A step, and what it takes."""

    step: Step
    nbytes: float  # of memory
    work: float  # multiply-adds, those in vain too, with what they wait for
    rate: str  # the field of the rates that says how fast they are
    share: float  # of the multiprocessors that have something to do
    launches: int

    def seconds(self, rates: Rates) -> float:
        rate: float = getattr(rates, self.rate)
        busy = max(self.nbytes / rates.bandwidth, self.work / rate)
        return busy / self.share + self.launches * rates.launch


def plan_one_step(
    patterns: tuple[Pattern, ...], numbers: Numbers, columns: int, kind: str, *, by_columns: bool
) -> tuple[Step, float]:
    """Return the step of a kind that applies a whole chain, and its multiply-adds, to measure them.

    Parameters
    ----------
    patterns : tuple of tuple of four int
        The factors, left to right, which one step can take.
    numbers : Numbers
        What is stored and summed in.
    columns : int
        How many there are.
    kind : {"chain", "factor", "matmul"}
        Of the step.
    by_columns : bool
        Whether each column lies in memory as a whole.

    Returns
    -------
    Step, float
        The step, and the work as `plan_steps` counts it.
    """
    ways = _steps(patterns, 0, len(patterns), numbers, columns, by_columns, True, ESTIMATES.processors)
    way = next(way for way in ways if way.step.kind == kind)
    return way.step, way.work / way.share


def _steps(
    patterns: Sequence[Pattern],
    first: int,
    stop: int,
    numbers: Numbers,
    columns: int,
    by_columns: bool,
    matmul: bool,
    processors: float,
) -> list[_Way]:
    """The ways to apply some factors at once."""
    run = patterns[first:stop]
    a, b, c, d = pattern = fused_pattern(run)
    vectors = numbers.stored * columns * a * d * (b + c)
    times = 4 if numbers.is_complex else 1
    products = a * b * c * d * columns * times
    suffix = "_double" if numbers.sums // (2 if numbers.is_complex else 1) == 8 else ""
    given, made = sum(map(math.prod, run)), math.prod(pattern)
    found = []
    if made <= _GROWTH * given:
        # One block of threads takes one delta: of a sector of whole columns, what is its own.
        pieces = min(d, _SECTOR // numbers.stored) if by_columns else 1
        nbytes = vectors + made * numbers.sums
        # Tiles waste what small blocks do not have, and few tiles leave multiprocessors without work.
        wasted = (-(-b // 16) * 16 / b) * (-(-c // 16) * 16 / c) * (-(-columns // 32) * 32 / columns)
        share = min(1.0, a * d * -(-b // 64) * -(-columns // 64) / processors)
        if a * d * -(-b // 16) * -(-columns // 32) < _MOST_BLOCKS:
            step = Step("factor", first, stop, pattern)
            moved = nbytes + (pieces - 1) * vectors
            found.append(_Way(step, moved, wasted * products, "factor" + suffix, share, 1))
        if matmul:
            copies = 1 if d == 1 and not by_columns else 3
            # Small products of a batch fill no tile of cuBLAS.
            wasted = (-(-b // 32) * 32 / b) * (-(-c // 16) * 16 / c) * (-(-columns // 32) * 32 / columns)
            rate = "matmul" + ("_half" if numbers.stored == 2 else suffix)
            nbytes += (copies - 1) * vectors
            step = Step("matmul", first, stop, pattern)
            found.append(_Way(step, nbytes, wasted * products, rate, 1.0, copies))
    fused = _fused(run, first, numbers, columns, by_columns, processors)
    if fused is not None:
        work, pattern, stages, tile = fused
        a, _, _, d = pattern
        blocks = a * -(-d // tile.deltas) * -(-columns // tile.columns)
        share = min(1.0, blocks / processors)
        # Narrow tiles read memory in pieces.
        if not by_columns and tile.columns * numbers.stored < 4 * _NARROW:
            share /= 1.2
        coefficients = sum(a * d * math.prod(stage.pattern) for stage in stages) * numbers.sums
        if blocks < _MOST_BLOCKS:
            step = Step("chain", first, stop, pattern, stages, tile)
            work *= columns * a * d * times
            rate = ("chain_columns" if by_columns else "chain") + suffix
            found.append(_Way(step, vectors + coefficients, work, rate, share, 1))
    return found


def _fused(
    run: Sequence[Pattern], first: int, numbers: Numbers, columns: int, by_columns: bool, processors: float
) -> tuple[float, Pattern, tuple[Stage, ...], Tile] | None:
    """A run in one launch: its work for a column of a group, groups, stages and tile; None if too large."""
    groups = _joined(fused_pattern(run), by_columns)
    a, _, c, d = groups
    cuts = cheapest_cuts(len(run), lambda first, stop: _stage_work(_within(run[first:stop], a, d)))
    # From the last factor to the first: what is between two stages lies in a buffer.
    places, stages, buffers = -1, [], 0
    if by_columns:
        places, buffers = 0, 1
    height = c if by_columns else 0
    for i, cut in enumerate(reversed(cuts)):
        pattern = _within(run[cut], a, d)
        rows = _thread_rows(pattern[1])
        is_last = i == len(cuts) - 1 and not by_columns
        # A block whose rows one thread makes can be replaced in place.
        in_place = places >= 0 and pattern[1] == pattern[2] and pattern[1] <= rows
        target = -1 if is_last else places if in_place else (places + 1) % 2
        buffers = max(buffers, target + 1)
        height = max(height, 0 if is_last else pattern[0] * pattern[1] * pattern[3])
        stages.append(Stage(first + cut.start, first + cut.stop, pattern, rows, places, target))
        places = target
    work = sum(_stage_work(stage.pattern) for stage in stages)
    tile = _tile(height, buffers, a, d, numbers, columns, by_columns, processors)
    return None if tile is None else (work, groups, tuple(stages), tile)


def _joined(pattern: Pattern, by_columns: bool) -> Pattern:
    """Groups of enough rows: those of neighbours alpha, or delta, together."""
    a, b, c, d = pattern
    while max(b, c) < _FEW_ROWS and (a > 1 or (d > 1 and not by_columns)):
        count = a if a > 1 else d
        prime = next((p for p in (2, 3, 5, 7) if count % p == 0), count)
        if prime * max(b, c) > _MANY_ROWS:
            break
        a, d = (a // prime, d) if a > 1 else (a, d // prime)
        b, c = b * prime, c * prime
    return a, b, c, d


def _within(run: Sequence[Pattern], a: int, d: int) -> Pattern:
    """The pattern of a product of factors within a group of ``I_a ⊗ · ⊗ I_d``."""
    own = fused_pattern(run)
    return own[0] // a, own[1], own[2], own[3] // d


def _thread_rows(b: int) -> int:
    """How many rows of a block of b a thread makes: few passes over the inputs, and few rows in vain."""
    return min((8, 4, 2, 1), key=lambda rows: (-(-b // rows) * (rows + 2), -rows))


def _stage_work(pattern: Pattern) -> float:
    """What a stage costs a column of a group, in multiply-adds."""
    a, b, c, d = pattern
    rows = _thread_rows(b)
    parts = -(-b // rows)
    return a * d * (parts * c * (rows * _COEFFICIENT + _SHARED) + b * _SHARED)


def _tile(
    height: int,
    buffers: int,
    a: int,
    d: int,
    numbers: Numbers,
    columns: int,
    by_columns: bool,
    processors: float,
) -> Tile | None:
    """The widest tile whose buffers fit in shared memory, if there are enough of them."""
    most = max(1, 16 // numbers.sums)
    if by_columns:
        for deltas, width in _TALL:
            deltas, width = min(deltas, d), min(width, 1 << max(0, columns - 1).bit_length())
            # From row to row another bank, as far as neighbours delta leave some.
            pitch, skew = (deltas * (width | 1), deltas) if deltas < _BANKS else (deltas * width, 0)
            for gap in (skew, 0):
                tile = Tile(width, deltas, min(most, width), pitch, gap, height, buffers)
                if buffers * tile.size * numbers.sums <= _POOL:
                    return tile
        return None
    width = _WIDE // numbers.stored
    while width > 1 and width >= 2 * columns:
        width //= 2
    narrowest = min(width, _NARROW // numbers.stored)
    while width > 2 * narrowest and a * d * -(-columns // width) < processors:
        width //= 2
    while buffers * height * width * numbers.sums > _POOL:
        width //= 2
        if width < narrowest:
            return None
    return Tile(width, 1, min(most, width), width, 0, height, buffers)
