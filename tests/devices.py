"""Arrays that are not in host memory, in every test run: a library that keeps them apart, and a spy on it.

With ``pytest --gpu`` they are CuPy's.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import array_api_strict
import numpy as np
import pytest

from fsmf.kernels import cuda
from fsmf.kernels.namespace import Space, space_named

ON_GPU = "FSMF_TEST_GPU" in os.environ

# A device that refuses to meet the host's arrays, or those of another device, in any operation.
ELSEWHERE = space_named("gpu") if ON_GPU else Space(array_api_strict, array_api_strict.Device("device1"))
ANOTHER = Space(array_api_strict, array_api_strict.Device("device2"))


def on(space: Space, array: Any) -> Any:
    """A copy there, made without the code under test."""
    return space.xp.asarray(np.asarray(array), device=space.device)


def back(array: Any) -> np.ndarray:
    """A copy in host memory, made without the code under test."""
    return array.get() if ON_GPU else np.array(np.from_dlpack(array))


class Spy:
    """Counts what goes from the device to the host, and how: whole arrays, and single numbers.

    CuPy converts no array unasked: there, what is asked for is counted where fsmf asks.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: Counter[str] = Counter()
        if ON_GPU:
            for name, what in (("get", "arrays"), ("put", "puts")):
                monkeypatch.setattr(Space, name, self._counted(getattr(Space, name), what, name))
            monkeypatch.setattr(cuda, "read", self._counted(cuda.read, "numbers", "read"))
            return
        whole = ("__array__", "__dlpack__", "__buffer__", "to_device")
        for name in (*whole, "__float__", "__int__", "__bool__", "__complex__", "__index__"):
            original = getattr(array_api_strict._array_object.Array, name, None)
            if original is not None:
                what = "arrays" if name in whole else "numbers"
                monkeypatch.setattr(
                    array_api_strict._array_object.Array, name, self._counted(original, what, name)
                )
        self._put = array_api_strict.asarray
        monkeypatch.setattr(array_api_strict, "asarray", self._counted(self._put, "puts", "asarray"))

    def _counted(self, original: Any, what: str, name: str) -> Any:
        def wrapper(*args: Any, **options: Any) -> Any:
            if name != "asarray" or isinstance(args[0], np.ndarray):
                self.seen[what] += 1
            return original(*args, **options)

        return wrapper


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)
