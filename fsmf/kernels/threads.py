"""Threads of compiled kernels: as many as the environment and threadpoolctl allow, shared by all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import Any

__all__ = ["in_parallel", "n_threads", "submit"]

_END = object()


def n_threads() -> int:
    """Return how many threads a kernel may use now.

    The cores that this process may run on, at most what ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` say,
    and where threadpoolctl is loaded, what it limits BLAS and OpenMP to.
    """
    counts = [_n_cores()]
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        asked = os.environ.get(name, "").partition(",")[0]
        if asked.isdigit() and int(asked):
            counts.append(int(asked))
    if "threadpoolctl" in sys.modules:
        # Some libraries do not know, and say 0.
        counts += [count for count in (one.num_threads for one in _limited().lib_controllers) if count]
    return min(counts)


@cache
def _n_cores() -> int:
    with suppress(AttributeError):  # of systems without
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _limited() -> Any:
    """The libraries that threadpoolctl limits; to find them takes milliseconds, to ask them does not."""
    return sys.modules["threadpoolctl"].ThreadpoolController()


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads besides the caller's, waiting for work: to start one takes as long as a small product."""
    return ThreadPoolExecutor(max(1, _n_cores() - 1), "fsmf")


if hasattr(os, "register_at_fork"):  # a forked child has no such threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def submit(work: Callable[[], None], count: int) -> list[Future[None]]:
    """Hand the same work to `count` other threads; fewer where the interpreter is ending."""
    others: list[Future[None]] = []
    with suppress(RuntimeError):
        for _ in range(count):
            others.append(_pool().submit(work))
    return others


def in_parallel(work: Callable[[Any], None], items: Iterable[Any], *, threads: int | None = None) -> None:
    """Do ``work(item)`` for every item, on several threads, the caller's among them.

    Parameters
    ----------
    work : callable
        What to do; it releases the GIL, or nothing is gained.
    items : iterable
        Handed out in order, each once.
    threads : int, optional
        At most so many threads; by default `n_threads`.

    Notes
    -----
    Work that no other thread has begun when the caller is done is withdrawn, so that nested use cannot wait
    for itself.

    Examples
    --------
    >>> done = []
    >>> in_parallel(done.append, range(3))
    >>> sorted(done)
    [0, 1, 2]
    """
    rest, lock = iter(items), Lock()

    def drain() -> None:
        nonlocal rest
        while True:
            with lock:
                item = next(rest, _END)
            if item is _END:
                return
            work(item)

    others = submit(drain, (n_threads() if threads is None else threads) - 1)
    try:
        drain()
    finally:
        with lock:  # where one item has failed, no other is begun
            rest = iter(())
        for other in others:
            if not other.cancel():
                other.result()
