"""What `gpu.py` measures: patterns and values, the product that is right, and whoever else makes it."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

Array = Any
Pattern = tuple[int, int, int, int]


def dyadic(n: int) -> list[Pattern]:
    L = n.bit_length() - 1
    return [(2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L)]


def single_patterns(step: int) -> list[Pattern]:
    """Factors with blocks of 48 to 1024 rows and columns, of the kind that arXiv 2405.15013 measured."""
    found = [
        (a, b, c, d)
        for a in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
        for d in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
        for b, c in (
            (48, 48), (64, 64), (96, 96), (128, 128), (192, 192), (256, 256), (512, 512), (1024, 1024),
            (48, 192), (192, 48), (64, 256), (256, 64), (128, 512), (512, 128), (256, 1024), (1024, 256),
        )
        if a * d * max(b, c) <= 8192
    ]  # fmt: skip
    # In an order of its own, so that the first of them are a fair sample.
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[::step]]


def values_of(xp: Any, chain: Sequence[Pattern], dtype: Any, seed: int = 0) -> list[Array]:
    """Random factors that keep the size of vectors, in double precision on the host first."""
    rng = np.random.default_rng(seed)
    found = []
    for a, b, c, d in chain:
        V = rng.standard_normal((a, b, d, c)) / np.sqrt(c)
        if np.dtype(dtype).kind == "c":
            V = V * np.exp(2j * np.pi * rng.random(V.shape))
        found.append(xp.asarray(V))
    return found


def reference(xp: Any, chain: Sequence[Pattern], values: Sequence[Array], x: Array) -> Array:
    """The product in double precision, factor by factor, by einsum alone."""
    y = x.astype(np.result_type(x.dtype, np.float64))
    for (a, b, c, d), V in zip(reversed(chain), reversed(values), strict=True):
        y = xp.einsum("abdc,acdk->abdk", V, y.reshape(a, c, d, -1)).reshape(a * b * d, -1)
    return y


def relative(xp: Any, y: Array, expected: Array) -> float:
    return float(xp.linalg.norm(y.astype(expected.dtype) - expected) / xp.linalg.norm(expected))


def by_bmm(torch: Any, chain: Sequence[Pattern], values: Sequence[Array]) -> Callable[[Array], Array]:
    """PyTorch's batched product, factor by factor."""
    blocks = [torch.from_dlpack(V.swapaxes(1, 2).copy()) for V in values]

    def run(x: Array) -> Array:
        y = torch.from_dlpack(x)
        for (a, b, c, d), V in zip(reversed(chain), reversed(blocks), strict=True):
            y = y.reshape(a, c, d, -1).transpose(1, 2).reshape(a * d, c, -1)
            y = (
                torch.bmm(V.reshape(a * d, b, c), y)
                .reshape(a, d, b, -1)
                .transpose(1, 2)
                .reshape(a * b * d, -1)
            )
        return y

    return run


def by_einsum(torch: Any, pattern: Pattern, values: Array) -> Callable[[Array], Array]:
    (a, _, c, d), V = pattern, torch.from_dlpack(values)

    def run(x: Array) -> Array:
        y = torch.from_dlpack(x).reshape(a, c, d, -1)
        return torch.einsum("abdc,acdk->abdk", V, y).reshape(-1, x.shape[1])

    return run


def by_matmul(torch: Any, A: Array, *, tf32: bool) -> Callable[[Array], Array]:
    matrix = torch.from_dlpack(A)

    def run(x: Array) -> Array:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        return matrix @ torch.from_dlpack(x)

    return run


def by_lazylinop(values: Sequence[Array], backend: str) -> Callable[[Array], Array]:
    ksm = importlib.import_module("lazylinop.butterfly").ksm
    theirs = [V.transpose(0, 1, 3, 2).copy() for V in values]  # shape (a, b, c, d)
    operator = ksm(theirs, ksm_args={"backend": backend, "params": [None] * len(theirs)})
    return lambda x: operator @ x


def by_ksd(n: int, blocks: int) -> Callable[[Array], Any]:
    butterfly = importlib.import_module("lazylinop.butterfly")
    chain = butterfly.Chain([(1, blocks, blocks, n // blocks), (blocks, n // blocks, n // blocks, 1)])
    return lambda A: butterfly.ksd(A, chain)


def by_adam(torch: Any, A: Array, supports: Any, seconds: float) -> tuple[float, float, int]:
    """Gradient steps on both factors, for so many seconds: these, the relative error, and how many steps."""
    target = torch.from_dlpack(A)
    masks = [torch.from_numpy(support.toarray()).to(target.device) for support in supports]
    torch.manual_seed(0)
    size = (float(target.norm()) / target.shape[0] / len(masks[1]) ** 0.5) ** 0.5
    factors = [(size * torch.randn(mask.shape, device=target.device)).requires_grad_() for mask in masks]
    optimizer, steps, began = torch.optim.Adam(factors, lr=0.05 * size), 0, time.perf_counter()
    while time.perf_counter() - began < seconds or not steps:
        optimizer.zero_grad()
        loss = (target - (factors[0] * masks[0]) @ (factors[1] * masks[1])).square().sum()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            loss.detach().item()  # launches do not run ahead of the clock
    return time.perf_counter() - began, float(loss.detach().sqrt() / target.norm()), steps


def calibrated(
    chains: Sequence[int], batches: Sequence[int], scale: Sequence[Any]
) -> tuple[list[tuple[str, float, float]], list[list[str]]]:
    """Measure the device, and plan by it from here on: the rates and plans, beside those of estimates."""
    from fsmf.kernels import calibration, device_rates
    from fsmf.kernels.kronecker_plan import Numbers, plan_steps
    from fsmf.kernels.namespace import space_named

    space = space_named("gpu")
    rates = calibration.measure(space, calibration.Scale(*scale), partial(calibration.timed, space))
    device_rates.keep(device_rates.device_key(int(space.device.id)), rates)
    rows = []
    for n, columns in product(chains, batches):
        for name, numbers in (("float32", Numbers(4, 4, False)), ("complex64", Numbers(8, 8, True))):
            plans = [
                plan_steps(tuple(dyadic(n)), numbers, columns, by_columns=False, rates=by)
                for by in (device_rates.ESTIMATES, rates)
            ]
            told = [" ".join(f"{step.kind} {step.first}:{step.stop}" for step in plan) for plan in plans]
            rows.append([f"dyadic {n}", str(columns), name, *told])
    return list(zip(rates._fields, device_rates.ESTIMATES, rates, strict=True)), rows
