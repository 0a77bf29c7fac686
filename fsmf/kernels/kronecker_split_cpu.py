"""Numba twin of `fsmf.kernels.kronecker_split`: several interfaces are cut while a strip is in the cache.

A cut of blocks with the rows (α, β, t), β < b, leaves rows (α', ρ, t), ρ < r; the next cut makes blocks of
those with t in one class modulo its own d. So the rows of one class modulo the d of the last of some cuts, a
strip, go through all these cuts without the others. In a strip, block columns are followed down one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.kernels.kronecker_split_block_cpu import _RUN, _SMALL, _cut, _exact, _inline, _sums, _top
from fsmf.kernels.threads import in_parallel, n_threads

__all__ = ["split_strips", "takes"]

Array = NDArray[Any]
Cut = tuple[int, int, int, int, int, int]  # a, b, d, k, c, r

# Most rows of a block: Gram matrices cost b²/2 products a column.
_ROWS = 32

# Bytes that are held of a strip: half of a second-level cache.
_STRIP = 1 << 19

# Entries below which threads cost more than they save.
_ALONE = 1 << 16


@_inline
def _pair_gram(x: Array, y: Array, zero: Any) -> tuple[float, float, Any]:
    """Squared lengths of x and y, and ``Σ x conj(y)``."""
    p, q, z = 0.0, 0.0, zero
    for first in range(0, x.size, _RUN):
        u, v = x[first : first + _RUN], y[first : first + _RUN]
        uu = vv = x.dtype.type(0).real
        uv = x.dtype.type(0)
        for j in range(u.size):
            uu += u[j].real * u[j].real + u[j].imag * u[j].imag
            vv += v[j].real * v[j].real + v[j].imag * v[j].imag
            uv += u[j] * np.conj(v[j])
        p, q, z = p + uu, q + vv, z + uv
    return p, q, z


@_inline
def _pair_sum(x: Array, y: Array, u: Any, v: Any, out: Array) -> None:
    """``out = u x + v y``."""
    for j in range(out.size):
        out[j] = u * x[j] + v * y[j]


@_inline
def _pair_turn(x: Array, y: Array, u: Any, v: Any, out: Array) -> float:
    """``out = u x + v y``, and the squared length of ``conj(u) y - conj(v) x``."""
    square = 0.0
    for first in range(0, x.size, _RUN):
        w, z, target = x[first : first + _RUN], y[first : first + _RUN], out[first : first + _RUN]
        part = u.real * 0
        for j in range(w.size):
            target[j] = u * w[j] + v * z[j]
            rest = np.conj(u) * z[j] - np.conj(v) * w[j]
            part += rest.real * rest.real + rest.imag * rest.imag
        square += part
    return square


@_exact
def _list_jobs(cuts: Array, gathered: bool, step: int, strip: int, jobs: Array) -> int:
    """Write down what is to be cut in a strip, one block column after the other; the number of these jobs."""
    n_jobs, n_cuts, end = 0, len(cuts), cuts[-1, 2]
    parent, t_end = strip // end, strip % end
    children = 1
    for s in range(n_cuts):
        children *= cuts[s, 3]
    for child in range(children):
        below, row, buffer = children, 0, 0
        for s in range(n_cuts):
            b, d, k, c, r, value, lost = cuts[s, 1:]
            count = d // end
            below //= k
            if child % below == 0:
                node = parent * (children // below) + child // below
                alpha, kappa = node // k, node % k
                place, job = alpha * b * d + t_end, jobs[n_jobs]
                job[0], job[1], job[2], job[3], job[4] = s, count, b, c, r
                job[5], job[6], job[7] = (row, 1, count) if s > 0 or gathered else (place, end, d)
                job[8] = kappa * c + (alpha * step if s == 0 and not gathered else 0)
                job[9], job[10] = (buffer, count) if s + 1 < n_cuts else (node * r * d + t_end, d)
                job[11], job[12], job[13] = value + place * k * r + kappa * r, end * k * r, d * k * r
                job[14] = lost + node * d + t_end
                n_jobs += 1
            row = buffer
            buffer += r * count
    return n_jobs


@_sums
def _cut_pairs(
    V: Array,
    gathered: bool,
    step: int,
    first: int,
    last: int,
    cuts: Array,
    eps: float,
    noise: Array,
    jobs: Array,
    ro: Array,
    rw: Array,
    rest: Array,
    values: Array,
    tails: Array,
) -> None:
    """Take strips through cuts of blocks with two rows, of which one is left."""
    n_cuts, end, zero = len(cuts), cuts[-1, 2], noise.dtype.type(0)
    small = _SMALL if eps < 1e-10 else 1e-3
    for strip in range(first, last):
        for j in range(_list_jobs(cuts, gathered, step, strip, jobs)):
            s, count, _, c, _, row, stride, hop, column, out, _, value, far, low, tail = jobs[j]
            src, dst = V if s == 0 else ro, rw if s + 1 < n_cuts else rest
            for i in range(count):
                x = src[row + i * stride, column : column + c]
                y = src[row + i * stride + hop, column : column + c]
                target = dst[out + i, :c]
                p, q, z = _pair_gram(x, y, zero)
                u, v, captured = _top(p, q, z)
                values[value + i * far] = u
                values[value + i * far + low] = v
                square = p + q - captured
                u, v = np.conj(values[value + i * far]), np.conj(values[value + i * far + low])
                if square > small * (p + q):
                    _pair_sum(x, y, u, v, target)
                else:
                    square = _pair_turn(x, y, u, v, target)
                tails[tail + i * end] = math.sqrt(square)


@_exact
def _cut_strips(
    V: Array,
    gathered: bool,
    step: int,
    first: int,
    last: int,
    cuts: Array,
    eps: float,
    noise: Array,
    jobs: Array,
    ro: Array,
    rw: Array,
    rest: Array,
    values: Array,
    tails: Array,
) -> None:
    """Take strips through cuts of any blocks."""
    n_cuts, end, size = len(cuts), cuts[-1, 2], 0
    for s in range(n_cuts):
        if cuts[s, 1] > min(cuts[s, 4], cuts[s, 5]):
            size = max(size, cuts[s, 1])
    spare = rw.shape[0] - 2 * size
    G, turns = np.zeros((size + 4, size + 4), noise.dtype), np.empty((8 * size * size + 64, 3))
    for strip in range(first, last):
        for n in range(_list_jobs(cuts, gathered, step, strip, jobs)):
            s, count, b, c, r, row, stride, hop, column, out, step_out, value, far, low, tail = jobs[n]
            src, dst = V if s == 0 else ro, rw if s + 1 < n_cuts else rest
            Q = np.empty((max(b, r), b), noise.dtype)
            for i in range(count):
                tails[tail + i * end] = _cut(
                    src,
                    row + i * stride,
                    hop,
                    column,
                    b,
                    c,
                    r,
                    dst,
                    out + i,
                    step_out,
                    eps,
                    noise,
                    turns,
                    spare,
                    ro,
                    rw,
                    G,
                    Q,
                )
                for l in range(b):
                    for j in range(r):
                        values[value + i * far + l * low + j] = np.conj(Q[j, l])


def takes(cut: Cut) -> bool:
    """Whether blocks have few enough rows."""
    return cut[1] <= _ROWS or cut[5] >= cut[1]


def split_strips(
    M: Array, cuts: Sequence[Cut], step: int, D: int
) -> tuple[list[Array], list[NDArray[np.float64]], Array]:
    """Make the first of these cuts, and the next ones up to one that is not for strips.

    Parameters
    ----------
    M : ndarray of shape (m, n)
        Row ``(α, β, t)`` holds the values ``[α, β, t]``, from column ``α·step + t mod D`` on, one in D.
    cuts : sequence of Interface
        `takes` the first.
    step, D : int
        Where columns are.

    Returns
    -------
    values : list of ndarray of shape (a, b, d, k r)
        Left factors.
    tails : list of ndarray of float64, shapes (a k, d)
        What each block loses.
    rest : ndarray of shape (a k r d, c)
        What is left of the right.
    """
    n_cuts = next((s for s, cut in enumerate(cuts) if not takes(cut)), len(cuts))
    cuts = cuts[:n_cuts]
    sizes = [(a * b * d * k * r, a * k * d) for a, b, d, k, _, r in cuts]
    starts = np.cumsum([(0, 0), *sizes], axis=0)
    table = np.column_stack([np.array(cuts), starts[:-1]]).astype(np.intp)
    values, tails = np.empty(starts[-1, 0], M.dtype), np.empty(starts[-1, 1])
    noise = np.random.default_rng(0).standard_normal((table[:, 5].max(), table[:, [1, 4]].max()))
    noise = noise.astype(np.result_type(M.dtype, np.float64))
    first = 0
    while first < n_cuts:
        last = first + _depth(M, cuts[first:])
        M = _stage(M, table[first:last], step, D, noise, values, tails)
        first, step, D = last, 0, 1
    parts, lost = np.split(values, starts[1:-1, 0]), np.split(tails, starts[1:-1, 1])
    return (
        [part.reshape(a, b, d, k * r) for part, (a, b, d, k, _, r) in zip(parts, cuts, strict=True)],
        [part.reshape(a * k, d) for part, (a, _, d, k, _, _) in zip(lost, cuts, strict=True)],
        M,
    )


def _depth(M: Array, cuts: Sequence[Cut]) -> int:
    """How many cuts to make at once: what lies between stays in the cache, and every thread has strips."""
    depth = 1
    while depth < len(cuts):
        end = cuts[depth][2]
        held = sum(r * d // end * c for _, _, d, _, c, r in cuts[:depth]) * M.itemsize
        if held > _STRIP or (M.size > _ALONE and cuts[0][0] * end < 8):
            break
        depth += 1
    return depth


def _stage(M: Array, table: Array, step: int, D: int, noise: Array, values: Array, tails: Array) -> Array:
    """What is left after the cuts of a table, made at once."""
    (a, b, d, k, c, *_), (a_end, _, end, k_end, c_end, r_end, *_) = table[0].tolist(), table[-1].tolist()
    rest = np.empty((a_end * k_end * r_end * end, c_end), M.dtype)
    size = max(b if b > min(c, r) else 0 for _, b, _, _, c, r, *_ in table.tolist())  # no cut without loss
    rows = int((table[:-1, 5] * table[:-1, 2]).sum()) // end + 2 * size
    eps = float(np.finfo(M.dtype).eps)
    kernel = (
        _cut_pairs
        if all(b == 2 and r == 1 and c > 1 for _, b, _, _, c, r, *_ in table.tolist())
        else _cut_strips
    )
    n_jobs = int(np.cumprod(table[:, 3]).sum())

    def cut(strips: range) -> None:
        work = np.empty((rows, max(c, size) + 64 // M.itemsize), M.dtype)
        space = (np.empty((n_jobs, 15), np.intp), _frozen(work), work)

        def run(V: Array, gathered: bool, strips: range) -> None:
            ends = (strips.start, strips.stop)
            kernel(_frozen(V), gathered, step, *ends, table, eps, noise, *space, rest, values, tails)

        if D == 1 and M.flags.c_contiguous:
            run(M, False, strips)
            return
        for strip in strips:
            alpha, t = divmod(strip, end)
            first = alpha * step + t % D
            V = M[alpha * b * d + t : (alpha + 1) * b * d : end, first : first + k * c * D : D]
            run(np.ascontiguousarray(V), True, range(strip, strip + 1))

    n_strips = a * end
    n_parts = min(8 * n_threads(), n_strips) if M.size > _ALONE else 1
    parts = (range(i * n_strips // n_parts, (i + 1) * n_strips // n_parts) for i in range(n_parts))
    in_parallel(cut, parts, threads=min(n_threads(), n_parts))
    return rest


def _frozen(A: Array) -> Array:
    """A view that is not to be written: code is compiled once, for what may be written and what may not."""
    A = A.view()
    A.flags.writeable = False
    return A
