"""What was checked of a certificate, and what was found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Check", "Verification", "close"]


class Check(NamedTuple):
    """One thing checked: what the certificate says, what was found, and whether they agree."""

    name: str
    recorded: Any
    found: Any
    passed: bool


@dataclass(frozen=True)
class Verification:
    """Report what a verification found; true when every check passed.

    Attributes
    ----------
    checks : tuple of Check
        Name, recorded value, value found, and whether they agree.

    Notes
    -----
    ``bool(verification)`` is whether all checks passed; ``print`` shows each.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2))
    >>> bool(F.verify(np.eye(4))), bool(F.verify(np.ones((4, 4))))
    (True, False)
    """

    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if check.passed else 'FAIL'} {check.name}: recorded {_short(check.recorded)}, "
            f"found {_short(check.found)}"
            for check in self.checks
        )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def close(recorded: float, found: float, slack: float, rtol: float = 1e-7) -> bool:
    """Whether two norms agree, up to rounding."""
    norms = 0 <= recorded < math.inf and 0 <= found < math.inf
    return norms and abs(recorded - found) <= rtol * found + slack
