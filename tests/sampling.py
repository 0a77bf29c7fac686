"""Tables too long to be asked in full each time: every row is asked, the rest with the slow tests."""

from collections.abc import Sequence
from typing import Any

import pytest


def in_turn(rows: Sequence[Any], others: Sequence[Any], n: int = 1) -> list[Any]:
    """All pairs, to parametrize with: n of the others, in turn, beside each row, and what is left if slow."""
    return [
        pytest.param(
            row,
            other,
            marks=() if (j - i * n) % len(others) < n else pytest.mark.slow,
            id=f"{getattr(row, 'name', row)}-{other}",
        )
        for i, row in enumerate(rows)
        for j, other in enumerate(others)
    ]
