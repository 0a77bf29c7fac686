"""How long a call takes, whatever else its process does."""

import time
from collections.abc import Callable
from typing import Any


def least_seconds(call: Callable[[], Any]) -> float:
    """Seconds of the processor of the quicker of two calls: one may meet a collection of all garbage."""
    seconds = []
    for _ in range(2):
        began = time.thread_time()
        call()
        seconds.append(time.thread_time() - began)
    return min(seconds)
