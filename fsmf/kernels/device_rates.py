"""How fast a device is, as far as planners ask: estimates, until a user has it measured."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from fsmf.kernels import cuda
from fsmf.kernels.namespace import Space

__all__ = ["ESTIMATES", "Rates", "device_key", "forget", "keep", "rates_of"]


class Rates(NamedTuple):
    """What a device does in a second, and where one kernel overtakes another.

    Attributes
    ----------
    bandwidth : float
        Bytes of memory read or written.
    launch : float
        Seconds of a launch.
    chain, chain_double, factor, factor_double : float
        Multiply-adds of the fused kernel, and of the tiled one, in single precision and in double.
    chain_columns, chain_columns_double : float
        Those of the fused kernel where columns lie in memory as a whole.
    matmul, matmul_double, matmul_half : float
        Those of the library's product of matrices.
    processors : float
        Multiprocessors.
    least_side, most_rank : float
        Blocks with at least such sides, and of at most such a rank, are iterated; others are rotated.
    """

    bandwidth: float
    launch: float
    chain: float
    chain_double: float
    chain_columns: float
    chain_columns_double: float
    factor: float
    factor_double: float
    matmul: float
    matmul_double: float
    matmul_half: float
    processors: float
    least_side: float
    most_rank: float


# From the data sheet of a data-centre GPU (Hopper).
ESTIMATES = Rates(
    bandwidth=3.5e12,
    launch=3e-6,
    chain=2.5e13,
    chain_double=1.25e13,
    chain_columns=2.5e13,
    chain_columns_double=1.25e13,
    factor=2.5e13,
    factor_double=1.25e13,
    matmul=2.5e13,
    matmul_double=2.5e13,
    matmul_half=3e14,
    processors=132,
    least_side=16,
    most_rank=8,
)


def rates_of(space: Space) -> Rates:
    """Return what was measured on the device of some arrays, or estimates."""
    if not cuda.takes(space) or space.device is None:
        return ESTIMATES
    return _rates(device_key(int(space.device.id)))


@cache
def device_key(number: int) -> str:
    """Name a device, its driver, and the kernels that were measured: rates of others mean nothing."""
    runtime = import_module("cupy").cuda.runtime
    name = runtime.getDeviceProperties(number)["name"]
    text = "".join(cuda.source(path.name) for path in sorted(Path(cuda.__file__).parent.glob("*.cu")))
    kernels = hashlib.sha256(text.encode()).hexdigest()[:12]
    name = name.decode() if isinstance(name, bytes) else name
    return f"{name}, driver {runtime.driverGetVersion()}, {kernels}"


def forget() -> None:
    """Read what is kept anew, when it is next asked for."""
    _rates.cache_clear()


def keep(key: str, rates: Rates) -> Path | None:
    """Keep rates for later processes of the user; None, and a word in the log, where that cannot be."""
    place = _place()
    try:
        known = _kept()
    except (OSError, ValueError):
        known = {}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(known | {key: rates._asdict()}, indent=1), encoding="utf-8")
        part.replace(place)
    except OSError as reason:
        logging.getLogger(__name__).warning("measured rates cannot be kept: %s", reason)
        return None
    finally:
        forget()
    return place


def _place() -> Path:
    """The file: one for each user, with all devices."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "fsmf" / "devices.json"


def _kept() -> dict[str, Any]:
    found = json.loads(_place().read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{_place()} holds no devices")
    return found


@cache
def _rates(key: str) -> Rates:
    try:
        found = _kept().get(key, ESTIMATES._asdict())
        sound = isinstance(found, dict) and set(found) == set(Rates._fields)
        if not sound or not all(isinstance(x, int | float) and 0 < x < math.inf for x in found.values()):
            raise ValueError(f"those of {key} in {_place()} are damaged")
        return Rates(**found)
    except FileNotFoundError:
        return ESTIMATES
    except (OSError, ValueError, RuntimeError) as reason:
        logging.getLogger(__name__).warning("estimates take the place of measured rates: %s", reason)
        return ESTIMATES
