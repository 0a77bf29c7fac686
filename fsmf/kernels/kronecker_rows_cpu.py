"""What a stage of a chain does to rows, short vectors: blocks of coefficients, or levels of 2×2 blocks."""

from __future__ import annotations

from typing import Any

from numba import njit

from fsmf.kernels.lanes_cpu import add, load, size_of, store

__all__ = ["Blocks", "Strides", "stage_of_rows"]

# A pattern (a, b, c, d), and how many rows lie between those of a pair at each level.
Blocks = tuple[int, int, int, int]
Strides = tuple[int, int, int]

_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def _four(x: int, y: int, factors: int, c: int, down: int, to: int, nil: Any, unit: Any) -> int:
    """Make four rows of c, which lie `down` bytes apart, and those made `to` bytes."""
    size = size_of(unit)
    p = q = r = s = nil
    for _ in range(c):
        value = load(x, nil)
        p = add(p, load(factors, unit), value)
        q = add(q, load(factors + size, unit), value)
        r = add(r, load(factors + 2 * size, unit), value)
        s = add(s, load(factors + 3 * size, unit), value)
        x += down
        factors += 4 * size
    store(y, p)
    store(y + to, q)
    store(y + 2 * to, r)
    store(y + 3 * to, s)
    return factors


@_compiled
def _one(x: int, y: int, factors: int, c: int, down: int, nil: Any, unit: Any) -> int:
    """Make one row of c."""
    total = nil
    for _ in range(c):
        total = add(total, load(factors, unit), load(x, nil))
        x += down
        factors += size_of(unit)
    store(y, total)
    return factors


@_compiled
def _pair(u: Any, v: Any, factors: int, unit: Any) -> Any:
    """Multiply two rows by a block with ones on its diagonal."""
    return add(u, load(factors, unit), v), add(v, load(factors + size_of(unit), unit), u)


@_compiled
def _one_level(x: int, y: int, factors: int, down: int, to: int, nil: Any, unit: Any) -> int:
    """Take two rows through a level."""
    u, v = _pair(load(x, nil), load(x + down, nil), factors, unit)
    store(y, u)
    store(y + to, v)
    factors += 2 * size_of(unit)
    return factors


@_compiled
def _two_levels(
    x: int, y: int, factors: int, down: int, to: int, strides: Strides, nil: Any, unit: Any
) -> int:
    """Take four rows through two levels."""
    both, (i, j, _) = 2 * size_of(unit), strides
    r, s = load(x, nil), load(x + i * down, nil)
    x += j * down
    t, u = load(x, nil), load(x + i * down, nil)
    r, s = _pair(r, s, factors, unit)
    t, u = _pair(t, u, factors + both, unit)
    r, t = _pair(r, t, factors + 2 * both, unit)
    s, u = _pair(s, u, factors + 3 * both, unit)
    store(y, r)
    store(y + i * to, s)
    y += j * to
    store(y, t)
    store(y + i * to, u)
    factors += 4 * both
    return factors


@_compiled
def _three_levels(
    x: int, y: int, factors: int, down: int, to: int, strides: Strides, nil: Any, unit: Any
) -> int:
    """Take eight rows through three levels."""
    both, (i, j, k) = 2 * size_of(unit), strides
    p, q = load(x, nil), load(x + i * down, nil)
    r, s = load(x + j * down, nil), load(x + (i + j) * down, nil)
    x += k * down
    t, u = load(x, nil), load(x + i * down, nil)
    v, w = load(x + j * down, nil), load(x + (i + j) * down, nil)
    p, q = _pair(p, q, factors, unit)
    r, s = _pair(r, s, factors + both, unit)
    t, u = _pair(t, u, factors + 2 * both, unit)
    v, w = _pair(v, w, factors + 3 * both, unit)
    p, r = _pair(p, r, factors + 4 * both, unit)
    q, s = _pair(q, s, factors + 5 * both, unit)
    t, v = _pair(t, v, factors + 6 * both, unit)
    u, w = _pair(u, w, factors + 7 * both, unit)
    p, t = _pair(p, t, factors + 8 * both, unit)
    q, u = _pair(q, u, factors + 9 * both, unit)
    r, v = _pair(r, v, factors + 10 * both, unit)
    s, w = _pair(s, w, factors + 11 * both, unit)
    store(y, p)
    store(y + i * to, q)
    store(y + j * to, r)
    store(y + (i + j) * to, s)
    y += k * to
    store(y, t)
    store(y + i * to, u)
    store(y + j * to, v)
    store(y + (i + j) * to, w)
    factors += 12 * both
    return factors


@_compiled
def stage_of_rows(
    src: int, dst: int, factors: int, stage: Blocks, down: int, to: int, strides: Any, nil: Any, unit: Any
) -> int:
    """Do to rows what a stage does; where the coefficients of the next one begin.

    Rows lie `down` bytes apart, and those made `to` bytes. None are the strides of what has no levels.
    """
    a, b, c, d = stage
    step, leap = d * down, d * to
    for _ in range(a):
        for _ in range(d):
            if strides is not None and strides[0]:
                if b == 8:
                    factors = _three_levels(src, dst, factors, step, leap, strides, nil, unit)
                elif b == 4:
                    factors = _two_levels(src, dst, factors, step, leap, strides, nil, unit)
                else:
                    factors = _one_level(src, dst, factors, step, leap, nil, unit)
            elif b == 4 and c == 4:  # known to the compiler, which then needs no loop
                factors = _four(src, dst, factors, 4, step, leap, nil, unit)
            else:
                for i in range(0, b - 3, 4):
                    factors = _four(src, dst + i * leap, factors, c, step, leap, nil, unit)
                for i in range(b // 4 * 4, b):
                    factors = _one(src, dst + i * leap, factors, c, step, nil, unit)
            src += down
            dst += to
        src += (c - 1) * step
        dst += (b - 1) * leap
    return factors
