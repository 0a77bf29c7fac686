"""Measure how fast a device is, in a second or two, so that planners need not guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from fsmf.errors import OptionError
from fsmf.kernels import cuda
from fsmf.kernels.best_pieces_cuda import pieces_by_kernel
from fsmf.kernels.device_rates import ESTIMATES, Rates, device_key, keep
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.kronecker_matmul_cuda import CudaChain, Types
from fsmf.kernels.kronecker_plan import plan_one_step
from fsmf.kernels.kronecker_split_cuda import iterate
from fsmf.kernels.namespace import Space, space_named

__all__ = ["Probe", "Scale", "calibrate", "measure", "probes", "timed"]

_ROUNDS = 5


class Scale(NamedTuple):
    """How large the probes are.

    Attributes
    ----------
    copied : int
        Numbers that are copied.
    side : int
        Of square matrices and of dense factors.
    dyadic : int
        Rows of the chain that is fused, a power of two.
    columns : int
        Vectors that it is multiplied with.
    blocks : int
        Blocks that are decomposed.
    sides, ranks : tuple of int
        Sides at which the two ways to decompose blocks are compared, and ranks at the last but one of them.
    """

    copied: int = 1 << 25
    side: int = 2048
    dyadic: int = 512
    columns: int = 8192
    blocks: int = 1056
    sides: tuple[int, ...] = (8, 16, 32, 64)
    ranks: tuple[int, ...] = (1, 4, 8)


class Probe(NamedTuple):
    """One thing to measure.

    Attributes
    ----------
    name : str
        A field of `Rates`, or what is compared with another.
    work : float
        Bytes, multiply-adds or launches.
    run : callable
        Does it.
    """

    name: str
    work: float
    run: Callable[[], Any]


def calibrate(device: Any = "gpu") -> Rates:
    """Measure a device, and keep what was found for the user's later work on it.

    Parameters
    ----------
    device : str or array
        ``"gpu"``, ``"gpu:1"``, …, or an array that lives there.

    Returns
    -------
    Rates
        What planners go by from now on: which runs of a chain are fused, which factors go to the tiled
        kernel or to the library's product, which blocks are iterated and which rotated.

    Raises
    ------
    OptionError
        If the device has no CUDA kernels, or CuPy does not load.

    Notes
    -----
    **Guarantee.** Results do not depend on it beyond rounding. What is kept counts for the device's name, its
    driver, and these kernels; a file that cannot be read or written leaves estimates, and a word in the log.

    **Cost.** A second or two, and the time to compile some kernels once.

    Examples
    --------
    >>> calibrate("cpu")
    Traceback (most recent call last):
    fsmf.errors.OptionError: only a GPU is measured; found host memory; name one, as 'gpu'
    """
    space = space_named(device)
    if not cuda.takes(space):
        raise OptionError(f"only a GPU is measured; found {space}; name one, as 'gpu'")
    with space.device:
        rates = measure(space, Scale(), partial(timed, space))
    keep(device_key(int(space.device.id)), rates)
    return rates


def measure(space: Space, scale: Scale, clock: Callable[[Probe], float]) -> Rates:
    """Return the rates by a clock, which tells the seconds of a probe.

    Parameters
    ----------
    space : Space
        Where kernels run.
    scale : Scale
        How large the probes are.
    clock : callable
        Runs a probe, and returns its seconds; infinite for what does not run.

    Returns
    -------
    Rates
        Estimates where the clock tells nothing.
    """
    found: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for probe in probes(space, scale):
        taken = clock(probe)
        seconds[probe.name] = taken
        if probe.name in Rates._fields and 0 < taken < math.inf:
            own = taken - (0 if probe.name in ("launch", "bandwidth") else found.get("launch", 0.0))
            own = max(own, taken / 10)
            found[probe.name] = own / probe.work if probe.name == "launch" else probe.work / own
    # From the largest side down, and from the smallest rank up, as long as iteration is faster.
    wins = {name[1:]: seconds[name] <= seconds["r" + name[1:]] for name in seconds if name[:2] == "i "}
    sides = takewhile(lambda side: wins[f" {side} 1"], reversed(scale.sides))
    ranks = takewhile(lambda rank: wins[f" {scale.sides[-2]} {rank}"], scale.ranks)
    found |= {"least_side": min(sides, default=2 * max(scale.sides)), "most_rank": max(ranks, default=1)}
    attributes = space.device.attributes if space.device is not None else {}
    found["processors"] = attributes.get("MultiProcessorCount", ESTIMATES.processors)
    return ESTIMATES._replace(**found)


def probes(space: Space, scale: Scale) -> Iterator[Probe]:
    """Yield what is measured, one after another.

    Parameters
    ----------
    space : Space
        Where kernels run.
    scale : Scale
        How large the probes are.

    Yields
    ------
    Probe
        That of a launch first.
    """
    xp, n = space.xp, scale.side
    one, many = space.zeros((1,), np.float32), space.zeros((scale.copied,), np.float32)
    yield Probe("launch", 16, lambda: [one + one for _ in range(16)])
    yield Probe("bandwidth", 2 * many.nbytes, many.copy)
    del many
    for name, dtype in (("matmul", "float32"), ("matmul_double", "float64"), ("matmul_half", "float16")):
        square = space.zeros((n, n), dtype)
        yield Probe(name, float(n) ** 3, partial(xp.matmul, square, square))
    levels = scale.dyadic.bit_length() - 1
    dyadic = tuple((2**i, 2, 2, 2 ** (levels - 1 - i)) for i in range(levels))
    for name, kind, chain, columns, by_columns in (
        ("chain", "chain", dyadic, scale.columns, False),
        ("chain_columns", "chain", dyadic, scale.columns, True),
        ("factor", "factor", ((1, n // 2, n // 2, 1),), n, False),
    ):
        for suffix, dtype in (("", "float32"), ("_double", "float64")):
            types = Types.of(dtype, np.dtype(dtype))
            step, work = plan_one_step(chain, types.numbers, columns, kind, by_columns=by_columns)
            values = [space.zeros((a, b, d, c), dtype) for a, b, c, d in chain]
            product = CudaChain(
                space, chain, values, types=types, columns=columns, by_columns=by_columns, steps=(step,)
            )
            rows = chain[-1][0] * chain[-1][2] * chain[-1][3]
            x = space.zeros((columns, rows), dtype).T if by_columns else space.zeros((rows, columns), dtype)
            yield Probe(name + suffix, work, partial(product.apply, x))
    rng = np.random.default_rng(0)
    for side in scale.sides:
        # Singular values that fall by a third: some steps are enough, but not one.
        U, V = (np.linalg.qr(rng.standard_normal((side, side)))[0] for _ in range(2))
        B = space.put(((U * (2.0 / 3) ** np.arange(side)) @ V).astype(np.float32))
        many = xp.ascontiguousarray(xp.broadcast_to(B, (scale.blocks, side, side)))
        for rank in scale.ranks if side == scale.sides[-2] else (1,):
            cut = Blocks(scale.blocks, side, side, 1, 1, 1, rank)
            values_there = xp.reshape(many, (scale.blocks, side, 1, side))
            yield Probe(f"i {side} {rank}", 1, partial(iterate, values_there, cut))
            yield Probe(f"r {side} {rank}", 1, partial(pieces_by_kernel, many, rank))


def timed(space: Space, probe: Probe) -> float:
    """Return the seconds of a probe, by the clock of the device: the least of some rounds after a first one.

    Parameters
    ----------
    space : Space
        Where kernels run.
    probe : Probe
        What is measured.

    Returns
    -------
    float
        Infinite where it fails, for lack of memory or of a dtype.
    """
    cupy = import_module("cupy")
    found = []
    try:
        for _ in range(1 + _ROUNDS):
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            probe.run()
            stop.record()
            stop.synchronize()
            found.append(float(cupy.cuda.get_elapsed_time(start, stop)) / 1e3)
    except (RuntimeError, MemoryError):  # too little memory: planners keep the estimate
        return math.inf
    return min(found[1:])
