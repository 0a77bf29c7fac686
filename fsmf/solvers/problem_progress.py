"""What a callback is told while a solver works."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fsmf.solvers.problem_trail import Clock

__all__ = ["Sweep", "Telling", "tell"]


@dataclass(frozen=True)
class Sweep:
    """Tell a callback where the solver is.

    Attributes
    ----------
    start : int
        Which start, from 0.
    sweep : int
        How many sweeps of this start are done; 0 for the starting point itself.
    error : float
        ‖A − X1 … XL‖_F, in the units of A.
    factor_norm : float
        Norm of the balanced factors, in the units of ``A^(1/L)``.
    seconds : float
        Time since the solve began, in seconds.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> seen = []
    >>> F = fsmf.factorize(np.eye(3), fsmf.lu(3), solver=fsmf.ALS(starts=1, callback=seen.append))
    >>> seen[0].start, seen[0].sweep
    (0, 0)
    """

    start: int
    sweep: int
    error: float
    factor_norm: float
    seconds: float


class Telling(Protocol):
    """What a callback may be told of: where a run is."""

    problem: Any
    n_factors: int
    squared_error: float
    norm: float


def tell(
    callback: Callable[[Sweep], bool | None] | None,
    run: Telling,
    sweep: int,
    *,
    start: int,
    clock: Clock,
    rest: float = 0.0,
) -> bool:
    """Tell a callback, if there is one, where a run is; whether it wants to stop."""
    if callback is None:
        return False
    exponent = run.problem.exponent
    error = math.ldexp(math.hypot(rest, math.sqrt(run.squared_error)), exponent)
    norm = run.norm * 2.0 ** (exponent / run.n_factors)
    return callback(Sweep(start, sweep, error, norm, clock.seconds())) is True
