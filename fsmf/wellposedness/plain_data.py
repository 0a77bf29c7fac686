"""Supports and constraints as lists, numbers and strings, as JSON takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from fsmf.errors import FileFormatError
from fsmf.supports.constraints import Constraint, Constraints, Free, OnSupport, RowColumnSparse
from fsmf.supports.groups import GroupSparse
from fsmf.supports.sparsity import NM, BlockSparse, ColumnSparse, KSparse, RowSparse
from fsmf.supports.support import Support

__all__ = ["constraints_from_list", "constraints_to_list", "read_as", "support_from_dict", "support_to_dict"]

_NUMBERED: dict[str, Any] = {
    kind.__name__: kind for kind in (BlockSparse, ColumnSparse, Free, KSparse, NM, RowColumnSparse, RowSparse)
}


@contextmanager
def read_as(noun: str) -> Iterator[None]:
    """Raise FileFormatError where something is missing, or cannot be read, of what the noun stands for."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise FileFormatError(f"this is no {noun} as to_dict writes it: {error!r}") from error


def support_to_dict(support: Support) -> dict[str, Any]:
    """Return a support as lists and numbers."""
    rows = np.split(support.indices, support.indptr[1:-1])
    return {"n_columns": support.shape[1], "rows": [row.tolist() for row in rows]}


def support_from_dict(data: Mapping[str, Any]) -> Support:
    """Build a support from what `support_to_dict` returned."""
    rows = [np.asarray(row, dtype=np.intp) for row in data["rows"]]
    places = np.repeat(np.arange(len(rows)), [row.size for row in rows]), np.concatenate(rows)
    return Support.from_coordinates(*places, shape=(len(rows), int(data["n_columns"])))


def constraints_to_list(constraints: Sequence[Constraint]) -> list[dict[str, Any]]:
    """Return constraints as lists, numbers and strings."""
    found: list[dict[str, Any]] = []
    for one in constraints:
        if isinstance(one, OnSupport):
            data: dict[str, Any] = {"places": one.allowed.astype(int).tolist()}
        elif isinstance(one, GroupSparse):
            data = {"labels": one.labels.tolist(), "k": one.k}
        else:
            data = asdict(one)
        found.append({"kind": type(one).__name__, **data})
    return found


def constraints_from_list(data: Sequence[Mapping[str, Any]]) -> Constraints:
    """Build constraints from what `constraints_to_list` returned."""
    found: list[Constraint] = []
    for item in data:
        numbers = {name: value for name, value in item.items() if name != "kind"}
        if item["kind"] == "OnSupport":
            found.append(OnSupport(np.array(numbers["places"])))
        elif item["kind"] == "GroupSparse":
            found.append(GroupSparse(**numbers))
        else:
            numbers["shape"] = tuple(numbers["shape"])
            found.append(_NUMBERED[item["kind"]](**numbers))
    return Constraints(found)
