"""Threads: how many, and that work is done once, whatever fails or forks."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fsmf
from fsmf.kernels.threads import in_parallel, n_threads


@pytest.fixture(autouse=True)
def no_limits(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_is_followed(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert n_threads() == 1
    monkeypatch.setenv(name, "1,4")
    assert n_threads() == 1
    for nonsense in ("", "many", "0", "-1"):
        monkeypatch.setenv(name, nonsense)
        assert n_threads() >= 1


def test_threadpoolctl_is_followed():
    with threadpool_limits(1):
        assert n_threads() == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_everything_is_done_once(threads):
    done, lock = [], threading.Lock()

    def work(item):
        with lock:
            done.append(item)

    in_parallel(work, range(100), threads=threads)
    assert sorted(done) == list(range(100))


def test_nested_work_does_not_wait_for_itself():
    done = []
    in_parallel(lambda i: in_parallel(done.append, range(10), threads=4), range(8), threads=4)
    assert len(done) == 80


@pytest.mark.parametrize("threads", [1, 3])
def test_what_fails_is_heard_of(threads):
    def work(item):
        if item == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parallel(work, range(10), threads=threads)


def applied(x):
    return fsmf.transforms.hadamard(1024) @ x


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    x = np.random.default_rng(0).standard_normal((1024, 64))
    expected = applied(x)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply_async(applied, (x,)).get(timeout=60)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
