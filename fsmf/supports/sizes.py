"""Sizes and counts as arguments, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmf.errors import OptionError

__all__ = ["as_count", "as_counts", "as_sides"]

# No side of a matrix reaches this; arrays of so many indices would fill any memory.
_HUGE = 1 << 31


def as_count(name: str, value: Any, *, at_least: int = 1) -> int:
    """Check an option that counts something."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise OptionError(f"{name} must be an integer; found {value!r}")
    if not at_least <= value < _HUGE:
        raise OptionError(f"{name} must be at least {at_least} and below 2³¹; found {value}")
    return int(value)


def as_counts(name: str, value: Any, *, at_least: int = 1) -> tuple[int, ...]:
    """Check an option that is one count or several."""
    try:
        counts = tuple(value)
    except TypeError:
        counts = (value,)
    return tuple(as_count(name, count, at_least=at_least) for count in counts)


def as_sides(m: Any, n: Any) -> tuple[int, int]:
    """Check the shape of a product; ``None`` for the number of columns means square."""
    return as_count("m", m), as_count("n", m if n is None else n)
