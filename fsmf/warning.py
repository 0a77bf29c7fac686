"""Warnings in the name of whoever called fsmf."""

from __future__ import annotations

import sys
import warnings

from fsmf.errors import FsmfWarning

__all__ = ["warn_caller"]


def warn_caller(message: str, category: type[FsmfWarning]) -> None:
    """Warn in the name of whoever called fsmf, however many of its rooms lie between."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fsmf":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
