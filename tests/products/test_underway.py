"""Factorizations that a device is still at work on: nobody waits before something is asked for."""

import pickle

import numpy as np
import pytest
from chains import gaussian
from cupy_on_host import Stream, cupy, ndarray  # noqa: F401
from devices import ON_GPU

import fsmf
from fsmf.errors import InputError

pytestmark = pytest.mark.skipif(ON_GPU, reason="whoever waits is seen where CuPy is stood in for")


@pytest.fixture
def waits(monkeypatch):
    """Whatever makes the host wait for the device."""
    seen = []
    names = [
        (ndarray, "get"),
        (Stream, "synchronize"),
        *((ndarray, f"__{n}__") for n in ("int", "float", "bool")),
    ]
    for owner, name in names:
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, plain=plain, name=name: seen.append(name) or plain(*a))
    return seen


CHAINS = {"strips": fsmf.butterfly(16), "blocks": fsmf.monarch(64, blocks=8)}


def matrix(chain):
    return gaussian(chain.shape, np.float32, 1)


@pytest.mark.parametrize("name", CHAINS)
def test_nobody_waits_before_something_is_asked_for(name, waits, cupy):  # noqa: F811
    chain = CHAINS[name]
    A = matrix(chain)
    there = cupy.asarray(A)
    fsmf.factorize(there, chain).settle()
    waits.clear()
    F = fsmf.factorize(there, chain)
    assert (F.shape, F.dtype, F.supports) == (A.shape, A.dtype, chain)
    assert not waits
    expected = fsmf.factorize(A, chain, solver=fsmf.Hierarchical(order="left-to-right"))
    assert F.error == pytest.approx(expected.error, rel=1e-5)
    assert F.solver == "Hierarchical"
    assert "get" in waits
    known = len(waits)
    assert F.certificate.lower_bound <= F.error
    assert F.status in fsmf.Status
    assert len(waits) == known  # once and for all
    assert F.to_host().verify(A)


@pytest.mark.parametrize("ask", [lambda F: F @ F.values[0][:16], pickle.dumps, repr, lambda F: F.T.norm, str])
def test_whatever_is_asked_for_is_waited_for(ask, cupy):  # noqa: F811
    F = fsmf.factorize(cupy.asarray(matrix(fsmf.butterfly(16))), fsmf.butterfly(16))
    assert "_finish" in vars(F)
    ask(F)
    assert "_finish" not in vars(F)
    assert not hasattr(F, "nothing")


def test_what_is_refused_is_refused_to_whoever_asks(cupy):  # noqa: F811
    A = matrix(fsmf.butterfly(16))
    A[1, 2] = np.nan
    F = fsmf.factorize(cupy.asarray(A), fsmf.butterfly(16))
    for _ in range(2):
        with pytest.raises(InputError, match="1 entries"):
            F.error  # noqa: B018


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_what_is_unfit_is_scaled_when_that_shows(size, cupy):  # noqa: F811
    A = matrix(fsmf.butterfly(16)) * np.float32(size)
    F = fsmf.factorize(cupy.asarray(A), fsmf.butterfly(16))
    assert F.error == pytest.approx(fsmf.factorize(A, fsmf.butterfly(16)).error, rel=1e-5)
