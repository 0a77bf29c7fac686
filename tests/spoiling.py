"""Data as JSON takes them with one thing wrong, for each thing that can be."""

from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]


def spoiled(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield where something was changed, and the data: keys lost, lists shortened, values others."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*path, key), {k: v for k, v in data.items() if k != key}
            yield from ((there, {**data, key: other}) for there, other in spoiled(value, (*path, key)))
    elif isinstance(data, list):
        if data:
            yield path, data[1:]
        for at, value in enumerate(data):
            for there, other in spoiled(value, (*path, at)):
                yield there, [*data[:at], other, *data[at + 1 :]]
    elif isinstance(data, bool):
        yield path, not data
    elif isinstance(data, int):
        yield path, data + 1
        yield path, -5
    else:
        yield path, f"{data}1"
        yield path, ""
