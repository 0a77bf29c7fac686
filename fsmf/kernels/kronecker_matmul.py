"""The product of a chain of Kronecker-sparse factors with vectors, planned once and applied often."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import InputTypeError, ShapeError
from fsmf.kernels.twins import compiled_twin

__all__ = ["ChainProduct", "cheapest_cuts", "fused_pattern", "multiplied_out", "multiply", "stage_ns"]

_twin = partial(compiled_twin, "kronecker_matmul")

Array = NDArray[Any]
Pattern = tuple[int, int, int, int]
Stage = tuple[Pattern, Array]

# A b×c block of coefficients takes a row of sixteen float64, or of eight complex128, this many nanoseconds a
# coefficient and a row of input or output, or at least the latter (Zen 4 at 3.7 GHz, buffers in the second
# level cache): 6, 12, 41, 150 for square blocks of 2, 4, 8, 16; complex 8, 20, 74, 283.
_REAL_NS, _COMPLEX_NS, _ROW_NS, _LEAST_ROW_NS = 0.56, 1.08, 0.35, 1.55

# Nanoseconds of any dense product and of any staged one, and what BLAS takes for a real and for a complex
# multiplication; a matrix that is larger than this does not pay.
_DENSE_NS, _STAGED_NS, _BLAS_REAL_NS, _BLAS_COMPLEX_NS, _LARGEST_DENSE = 1000, 4000, 0.05, 0.16, 1 << 16

# A row of a tile in bytes.
_ROW = 128

# Bytes of a line of the cache.
_LINE = 64

# So many columns are multiplied one by one: more are cheaper together, even if that fills no vector.
_SINGLE = 2

# Work for which threads are woken, which takes some 50 µs.
_SHARED_NS = 120_000


class ChainProduct:
    """Multiply with ``A = X_1 X_2 ⋯ X_L``, factors with supports ``I_a ⊗ 1_{b×c} ⊗ I_d``.

    Entry ``V[α, β, δ, γ]`` of the values of a factor is its entry in row ``(α·b + β)·d + δ`` and column
    ``(α·c + γ)·d + δ``.

    Parameters
    ----------
    patterns : sequence of tuple of four int
        One ``(a, b, c, d)`` per factor, left to right, each at least 1; they need not be chainable, only
        their shapes ``a·b·d × a·c·d`` must fit.
    values : sequence of ndarray of shape (a, b, d, c) or (a·b·d·c,)
        All float32, float64, complex64 or complex128. They are read when first needed: do not change them.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of A.
    dtype : dtype
        Of the values.

    Raises
    ------
    ShapeError
        If shapes do not fit, or there is no factor.
    InputTypeError
        If the values are not of one dtype, or of another than those four.

    Notes
    -----
    **Guarantee.** The product up to rounding: its error is at most a modest multiple of L times the unit
    roundoff times ``|X_1| ⋯ |X_L| |x|``, as long as no product of entries comes nearer than a factor 2²⁴ in
    single and 2²⁰⁰ in double precision to the ends of the range. Where x is not finite, neither need the
    result be elsewhere.

    **Cost.** `n_flops` a column, half of that for 2 × 2 blocks and many columns, in tiles of a few columns
    that stay in the cache from the first stage to the last, on all cores when there is enough of it. The
    values are laid out anew twice at most, once for single columns and once for many.

    Examples
    --------
    >>> import numpy as np
    >>> hadamard = [(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)]
    >>> chain = ChainProduct(hadamard, [np.tile([1.0, 1.0, 1.0, -1.0], 4).reshape(a, d, 2, 2).swapaxes(1, 2)
    ...                                 for a, _, _, d in hadamard])
    >>> chain.apply(np.arange(8.0))
    array([ 28.,  -4.,  -8.,   0., -16.,   0.,   0.,   0.])
    """

    def __init__(self, patterns: Sequence[Pattern], values: Sequence[Array]) -> None:
        chain = [(int(a), int(b), int(c), int(d)) for a, b, c, d in patterns]
        if not chain or len(chain) != len(values) or min(map(min, chain)) < 1:
            raise ShapeError(
                f"a chain needs patterns of positive numbers and as many arrays of values; found {chain} and "
                f"{len(values)} arrays"
            )
        for left, right in pairwise(chain):
            if _shape(left)[1] != _shape(right)[0]:
                raise ShapeError(
                    f"shapes must chain; found {_shape(left)} for {left} before {_shape(right)} for {right}"
                )
        for pattern, value in zip(chain, values, strict=True):
            if value.size != math.prod(pattern):
                raise ShapeError(
                    f"the pattern {pattern} has {math.prod(pattern)} values; "
                    f"found an array of shape {value.shape}"
                )
        dtypes = {value.dtype for value in values}
        if len(dtypes) > 1 or next(iter(dtypes)).char not in "fdFD":
            raise InputTypeError(
                f"values must all be float32, float64, complex64 or complex128; found "
                f"{sorted(map(str, dtypes))}"
            )
        self.dtype = dtypes.pop().newbyteorder("=")
        self.shape = _shape(chain[0])[0], _shape(chain[-1])[1]
        self._given = [
            (pattern, value.reshape(_blocks(pattern))) for pattern, value in zip(chain, values, strict=True)
        ]
        self._runs = _cheapest_runs(chain, self.dtype.kind == "c")
        self._ways: dict[str, _Way] = {}

    @cached_property
    def stages(self) -> tuple[Pattern, ...]:
        """What is applied: the patterns of the factors, neighbours multiplied out where that is faster."""
        return tuple(fused_pattern([pattern for pattern, _ in self._given[run]]) for run in self._runs)

    @property
    def n_flops(self) -> int:
        """Floating-point operations for one column of the dtype of the values, in stages."""
        return sum(map(math.prod, self.stages)) * (8 if self.dtype.kind == "c" else 2)

    @property
    def n_bytes(self) -> int:
        """Bytes of the coefficients of all stages."""
        return sum(map(math.prod, self.stages)) * self.dtype.itemsize

    @property
    def plan(self) -> str:
        """How columns are multiplied, in words."""
        stages = " ".join(str(stage).replace(" ", "") for stage in self.stages)
        columns = _dense_columns(self.shape, self.stages, self.dtype.kind == "c")
        if columns == math.inf:
            return "dense"
        return f"dense up to {columns} columns, then in stages {stages}" if columns else f"in stages {stages}"

    def apply(
        self, x: Any, *, out: Array | None = None, rows: Array | None = None, columns: Array | None = None
    ) -> Array:
        """Compute ``y`` with ``y[rows] = A x[columns]``.

        With P and Q the matrices of the permutations, ``y = P A Q x``, where entry (i, j) of A is entry
        ``(rows[i], columns[j])`` of ``P A Q``.

        Parameters
        ----------
        x : array_like of shape (n,) or (n, k)
            Any strides, any real or complex dtype; only read.
        out : ndarray of shape (m,) or (m, k), optional
            Where to write, of the dtype of the result and any strides; may be x itself.
        rows, columns : ndarray of int, shapes (m,) and (n,), optional
            Permutations of all rows and all columns. An array that cannot be written to is taken to stay as
            it is.

        Returns
        -------
        ndarray of shape (m,) or (m, k)
            ``out``, or a new array in Fortran order where x is; of the dtype to which NumPy promotes that of
            the values and that of x.

        Raises
        ------
        ShapeError
            If x or out has another shape, or rows or columns is no permutation.
        InputTypeError
            If x is not numeric or of more than double precision, or out cannot hold the result.

        Notes
        -----
        **Guarantee.** As of the class. The rounding of a column may depend on how many there are.

        **Cost.** As of the class. Of x no copy is made unless its dtype is another than that of the result,
        or out shares its memory; permutations cost nothing.

        Examples
        --------
        >>> import numpy as np
        >>> chain = ChainProduct([(2, 1, 1, 2)], [np.array([1.0, 2.0, 3.0, 4.0])])
        >>> chain.apply(np.ones(4), rows=np.array([3, 2, 1, 0]))
        array([4., 3., 2., 1.])
        """
        x = np.asarray(x)
        m, n = self.shape
        if not 1 <= x.ndim <= 2 or len(x) != n:
            raise ShapeError(f"x must have shape ({n},) or ({n}, k); found {x.shape}")
        dtype = self.dtype if x.dtype == self.dtype else np.result_type(self.dtype, x.dtype)
        if x.dtype.kind not in "biufc" or dtype.char not in "fdFD":
            raise InputTypeError(f"x must be numeric, of double precision at most; found dtype {x.dtype}")
        shape = (m, *x.shape[1:])
        if out is None:
            y = _aligned(shape, dtype, "F" if x.flags.fnc else "C")
        elif out.shape != shape or out.dtype != dtype or not out.flags.writeable:
            raise (ShapeError if out.shape != shape else InputTypeError)(
                f"out must be a writeable array of shape {shape} and dtype {dtype}; found shape {out.shape}, "
                f"dtype {out.dtype}"
            )
        else:
            y = out
            if np.may_share_memory(x, y):
                x = x.copy()
        if not y.size:
            return y
        real = self.dtype.kind == "f" and dtype.kind == "c"
        rows, columns = (order if order is None else np.asarray(order) for order in (rows, columns))
        way = self._way(dtype.char.lower() if real else dtype.char, rows, columns)
        if x.dtype != dtype:
            x = x.astype(dtype)
        x2, y2 = (x, y) if x.ndim == 2 else (x[:, None], y[:, None])
        if not real:
            way.multiply(x2, y2)
        elif x.flags.c_contiguous and y.flags.c_contiguous:
            way.multiply(x2.view(way.dtype), y2.view(way.dtype))
        else:
            way.multiply(x2.real, y2.real)
            way.multiply(x2.imag, y2.imag)
        return y

    def _way(self, char: str, rows: Array | None, columns: Array | None) -> _Way:
        """The way in this dtype with these permutations, found anew where it is not the last one."""
        way = self._ways.get(char)
        if way is None or not way.takes(rows, columns):
            given = [(pattern, value.astype(char, copy=False)) for pattern, value in self._given]
            stages = zip(self.stages, (multiplied_out(given[run]) for run in self._runs), strict=True)
            way = self._ways[char] = _Way(given, list(stages), rows, columns)
        return way


class _Way:
    """A chain in one dtype with its permutations, laid out for each kernel when that is first used."""

    def __init__(
        self, chain: list[Stage], stages: list[Stage], rows: Array | None, columns: Array | None
    ) -> None:
        self.chain, self.stages, self.given = chain, stages, (rows, columns)
        patterns = [pattern for pattern, _ in stages]
        self.dtype = stages[0][1].dtype
        self.shape = _shape(patterns[0])[0], _shape(patterns[-1])[1]
        self.rows = _permutation(rows, self.shape[0], "rows")
        self.columns = _permutation(columns, self.shape[1], "columns")
        self.dense_columns = _dense_columns(self.shape, patterns, self.dtype.kind == "c")

    def takes(self, rows: Array | None, columns: Array | None) -> bool:
        """Whether the permutations are still these."""
        return _same(rows, self.given[0], self.rows) and _same(columns, self.given[1], self.columns)

    @cached_property
    def dense(self) -> Array:
        """The matrix with its rows and columns permuted."""
        if len(self.stages) == 1 and self.stages[0][1].size == math.prod(self.shape):
            product = self.stages[0][1].reshape(self.shape)
        else:
            product = np.empty(self.shape, self.dtype)
            multiply(self.stages, np.eye(self.shape[1], dtype=self.dtype), product)
        product = product if self.rows is None else product[np.argsort(self.rows)]
        return product if self.columns is None else product[:, np.argsort(self.columns)]

    @cached_property
    def tiles(self) -> Any:
        """The layout for many columns."""
        twin = _twin()
        return twin and twin.Tiles(self.chain, rows=self.rows, columns=self.columns)

    @cached_property
    def single(self) -> Any:
        """The layout for one column after the other."""
        twin = _twin()
        return twin and twin.Columns(self.stages, rows=self.rows, columns=self.columns)

    def multiply(self, x: Array, y: Array) -> None:
        """Write the product with x into y."""
        k = x.shape[1]
        if k <= self.dense_columns:
            np.matmul(self.dense, x, out=y)
            return
        packed = self.single if k <= _SINGLE else self.tiles
        if packed is None:
            multiply(self.stages, x, y, rows=self.rows, columns=self.columns)
            return
        packed.multiply(x, y, shared=packed.row_ns * k * x.itemsize > _SHARED_NS * _ROW)


def multiply(
    stages: Sequence[Stage], x: Array, y: Array, *, rows: Array | None = None, columns: Array | None = None
) -> None:
    """Write the product of a chain and x into y, by NumPy alone.

    Parameters
    ----------
    stages : sequence of tuple of pattern and ndarray of shape (a, b, d, c)
        The factors, left to right.
    x : ndarray of shape (n, k)
        Any strides.
    y : ndarray of shape (m, k)
        Any strides; no part of x.
    rows, columns : ndarray of intp, optional
        Permutations, as of `ChainProduct.apply`.
    """
    x = x if columns is None else x[columns]
    for (a, b, c, d), values in reversed(stages):
        blocks = x.reshape(a, c, d, x.shape[1]).swapaxes(1, 2)
        x = np.matmul(values.swapaxes(1, 2), blocks).swapaxes(1, 2).reshape(a * b * d, x.shape[1])
    y[slice(None) if rows is None else rows] = x


def fused_pattern(patterns: Sequence[Pattern]) -> Pattern:
    """Find the smallest pattern that holds a product of factors with these ones.

    ``I_a ⊗ · ⊗ I_d`` with the greatest common divisors of all a and of all d; of chainable patterns it is
    the product pattern.

    Parameters
    ----------
    patterns : sequence of tuple of four int
        Patterns ``(a, b, c, d)`` whose shapes chain, left to right.

    Returns
    -------
    tuple of four int
        The pattern.

    Examples
    --------
    >>> fused_pattern([(1, 2, 2, 4), (2, 2, 2, 2)])
    (1, 4, 4, 2)
    """
    a, d = (math.gcd(*(pattern[i] for pattern in patterns)) for i in (0, 3))
    return a, _shape(patterns[0])[0] // (a * d), _shape(patterns[-1])[1] // (a * d), d


def multiplied_out(stages: Sequence[Stage]) -> Array:
    """Multiply factors: their product takes what is 1 in the same place of each block to its values.

    Parameters
    ----------
    stages : sequence of tuple of pattern and ndarray of shape (a, b, d, c)
        The factors, left to right.

    Returns
    -------
    ndarray of shape (a, b, d, c)
        On the pattern that `fused_pattern` finds.
    """
    if len(stages) == 1:
        return stages[0][1]
    a, b, c, d = fused_pattern([pattern for pattern, _ in stages])
    units = np.broadcast_to(np.eye(c, dtype=stages[0][1].dtype)[None, :, None], (a, c, d, c))
    values = np.empty((a * b * d, c), stages[0][1].dtype)
    multiply(stages, units.reshape(-1, c), values)
    return values.reshape(a, b, d, c)


def _shape(pattern: Pattern) -> tuple[int, int]:
    a, b, c, d = pattern
    return a * b * d, a * c * d


def _blocks(pattern: Pattern) -> Pattern:
    a, b, c, d = pattern
    return a, b, d, c


def stage_ns(pattern: Pattern, is_complex: bool, *, levels: int = 0) -> float:
    """Estimate the nanoseconds that a stage takes for a row of a tile, of 128 bytes.

    Parameters
    ----------
    pattern : tuple of four int
        ``(a, b, c, d)``.
    is_complex : bool
        Whether numbers are complex.
    levels : int, optional
        How many factors of 2 × 2 blocks with ones on the diagonal it is, not multiplied out.

    Returns
    -------
    float
    """
    a, b, c, d = pattern
    numbers = b * (levels or c) * (_COMPLEX_NS if is_complex else _REAL_NS)
    return a * d * max(numbers + _ROW_NS * (b + c), 0 if levels else _LEAST_ROW_NS * (b + c))


def cheapest_cuts(count: int, cost: Callable[[int, int], float]) -> list[slice]:
    """Cut a sequence into the cheapest pieces, by dynamic programming.

    Parameters
    ----------
    count : int
        Its length.
    cost : callable
        ``cost(first, stop)`` of a piece.

    Returns
    -------
    list of slice
        In order.

    Examples
    --------
    >>> cheapest_cuts(5, lambda first, stop: (stop - first - 2.5) ** 2)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    best: list[tuple[float, int]] = [(0.0, 0)]
    for stop in range(1, count + 1):
        best.append(min((best[first][0] + cost(first, stop), first) for first in range(stop)))
    cuts, stop = [], count
    while stop:
        cuts.append(slice(best[stop][1], stop))
        stop = best[stop][1]
    return cuts[::-1]


def _cheapest_runs(chain: Sequence[Pattern], is_complex: bool) -> list[slice]:
    """Which neighbours to multiply out."""
    return cheapest_cuts(
        len(chain), lambda first, stop: stage_ns(fused_pattern(chain[first:stop]), is_complex)
    )


def _dense_columns(shape: tuple[int, int], stages: Sequence[Pattern], is_complex: bool) -> float:
    """Up to how many columns the dense product is faster than stages."""
    size = math.prod(shape)
    if size == sum(map(math.prod, stages)):
        return math.inf
    if size > _LARGEST_DENSE:
        return 0
    itemsize = 16 if is_complex else 8
    column_ns = sum(stage_ns(stage, is_complex) for stage in stages) * itemsize / _ROW
    lost = size * (_BLAS_COMPLEX_NS if is_complex else _BLAS_REAL_NS) - column_ns
    return math.floor((_STAGED_NS - _DENSE_NS) / lost) if lost > 0 else math.inf


def _aligned(shape: tuple[int, ...], dtype: Any, order: Literal["C", "F"]) -> Array:
    """An empty array whose rows begin lines of the cache: to write parts of lines takes twice as long."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    begin = -memory.__array_interface__["data"][0] % _LINE
    return np.ndarray(shape, dtype, memory, begin, order=order)


def _permutation(order: Array | None, length: int, what: str) -> Array | None:
    """A copy of an index vector, once it is known to be a permutation."""
    if order is None:
        return None
    order = np.asarray(order)
    if order.shape != (length,) or order.dtype.kind not in "iu":
        raise ShapeError(f"{what} must be {length} integers; found shape {order.shape}, dtype {order.dtype}")
    if not np.array_equal(np.sort(order), np.arange(length)):
        raise ShapeError(f"{what} must be a permutation of 0 to {length - 1}; give every index once")
    return order.astype(np.intp)


def _same(order: Array | None, given: Array | None, known: Array | None) -> bool:
    """Whether an index vector is still the one that was given."""
    if order is None or known is None:
        return order is given
    return order is given and (not order.flags.writeable or np.array_equal(order, known))
