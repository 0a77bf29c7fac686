"""What an iteration goes through and how it ends: its clock, its history, and what a user is told."""

from __future__ import annotations

import math
import time

import numpy as np

from fsmf.errors import ConvergenceWarning, NotAttainedWarning
from fsmf.factorization import History, Status
from fsmf.supports.support import Supports
from fsmf.warning import warn_caller

__all__ = ["LARGE", "Clock", "Trail"]

# Factors count as growing when their squared norm exceeds this multiple of what an exact, balanced product
# without cancellation needs at most, and rose over the last half of the sweeps by this ratio.
LARGE, _RISING = 4.0, 1.02


class Clock:
    """Seconds since the solve began, and whether they are used up."""

    def __init__(self, elapsed: float, max_seconds: float | None) -> None:
        self._zero = time.perf_counter() - elapsed
        self._limit = math.inf if max_seconds is None else max_seconds

    def seconds(self) -> float:
        """Time since the solve began, in seconds."""
        return time.perf_counter() - self._zero

    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.seconds() >= self._limit

    def brief(self, share: float) -> Clock:
        """Return a clock for a share of the time that is left."""
        seconds = self.seconds()
        return Clock(seconds, seconds + share * max(self._limit - seconds, 0.0))


class Trail:
    """Record errors and norms of the factors, sweep after sweep.

    Parameters
    ----------
    norm : float
        ‖A‖_F.
    ordinary : float
        A squared norm that balanced factors of A, or of anything smaller, need not exceed.

    Attributes
    ----------
    since : int
        The entry of the record from which on factors are watched.
    """

    def __init__(self, norm: float, ordinary: float) -> None:
        self._norm, self.ordinary = norm, ordinary
        self.status = Status.OUT_OF_BUDGET
        self.since = 0
        self.errors: list[float] = []
        self.norms: list[float] = []
        self.times: list[float] = []

    def record(self, error: float, factor_norm: float, clock: Clock) -> None:
        """Add one sweep."""
        self.errors.append(error)
        self.norms.append(factor_norm)
        self.times.append(clock.seconds())

    @property
    def history(self) -> History:
        """The record as a result keeps it."""
        return History(np.array(self.errors), np.array(self.norms), np.array(self.times))

    def is_growing(self, settled_norm: float) -> bool:
        """Whether factors are far larger than needed, and grew over the last half of the sweeps watched.

        The norm is the one that is left when the product is kept and the norm lowered. Of a matrix of zeros
        nothing need grow.
        """
        middle = (self.since + len(self.norms)) // 2
        return (
            len(self.norms) - self.since >= 10
            and self._norm > 0
            and settled_norm**2 > LARGE * self.ordinary
            and self.norms[-1] > _RISING * self.norms[middle]
            and self.errors[-1] < self.errors[middle]
        )

    def warned(
        self, settled_norm: float, *, ridge: float, name: str, supports: Supports | None = None
    ) -> Status:
        """Tell growing factors from other ends, and warn of what a user should know.

        Where the supports are given, what they say within milliseconds is said: if best factors exist that A
        bounds, growing ones are no sign of anything.
        """
        growing = not ridge and self.is_growing(settled_norm)
        verdict = None
        if growing and supports is not None:
            from fsmf.wellposedness.check import quick_verdict  # slow to import, and rarely needed

            verdict = quick_verdict(supports)
        answer = None if verdict is None else verdict.answer
        if growing and not getattr(verdict, "is_bounded", False):
            said = {
                "WellPosed": "a best product exists all the same, and another start or a ridge may find it",
                "IllPosed": "the infimum may not be attained, as for some matrices on these supports",
            }.get(
                str(answer),
                "the infimum may not be attained, and fsmf.check_well_posedness(supports) tells whether "
                "that can be",
            )
            warn_caller(
                f"{Status.FACTORS_GROW.value}: after {len(self.errors)} sweeps the error is "
                f"{self.errors[-1] / self._norm:.3g} of the norm of A and the factors are "
                f"{self.norms[-1] / self.norms[0]:.3g} times as large as at first; "
                f"{said}; use ridge= or max_norm= to bound the factors",
                ConvergenceWarning if answer == "WellPosed" else NotAttainedWarning,
            )
            return Status.FACTORS_GROW
        if self.status is Status.OUT_OF_BUDGET:
            warn_caller(
                f"{name} is out of budget after {len(self.errors)} sweeps: the error was still falling; "
                "raise max_sweeps or max_seconds, or rtol if the result is good enough",
                ConvergenceWarning,
            )
        return self.status
