"""Compiled twins of plain kernels, where there are any."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from types import ModuleType

__all__ = ["compiled_twin"]


@cache
def compiled_twin(stem: str) -> ModuleType | None:
    """Return a kernel's twin, or None where numba does not load or finds no folder for what it compiles."""
    try:
        return import_module(f"fsmf.kernels.{stem}_cpu")
    except (ImportError, RuntimeError) as reason:
        logging.getLogger(f"fsmf.kernels.{stem}").warning(
            "NumPy takes the place of compiled code: %s", reason
        )
        return None
