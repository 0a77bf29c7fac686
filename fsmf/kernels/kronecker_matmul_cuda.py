"""The launches that apply a chain of Kronecker-sparse factors: coefficients laid out, kernels chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fsmf.kernels import cuda
from fsmf.kernels.device_rates import rates_of
from fsmf.kernels.kronecker_plan import Numbers, Pattern, Step, Tile, plan_steps
from fsmf.kernels.kronecker_stages import fused_values, multiply_blocks
from fsmf.kernels.namespace import Space

__all__ = ["CudaChain", "Types"]

_NAMES = {"float16": "half16", "bfloat16": "brain16", "float32": "float", "float64": "double"}

_THREADS = 256

# Rows and columns of the tile of a block of threads, of a thread, and how deep: for blocks of many and of few
# rows; and the bytes of a sum up to which they are so large.
_TILES = ((64, 64, 4, 4, 16), (16, 128, 2, 4, 16))
_SMALL_TILES = ((32, 32, 2, 2, 16), (16, 64, 2, 2, 16))
_SMALL_SUM = 8


class Types(NamedTuple):
    """The dtypes of x and y as they are stored, of the coefficients, and of the sums, as NumPy names them."""

    stored: str
    coefficients: str
    sums: str

    @classmethod
    def of(cls, stored: str, values: np.dtype[Any]) -> Types:
        """Return the types for values that multiply numbers stored so, which are no narrower."""
        if stored in ("float16", "bfloat16"):
            return cls(stored, "float32", "float32")
        dtype = np.dtype(stored)
        real = np.dtype(dtype.char.lower())
        return cls(stored, (dtype if values.kind == "c" else real).name, stored)

    @property
    def defines(self) -> tuple[tuple[str, str], ...]:
        """What the kernels are compiled with."""
        names = [_NAMES.get(name, name) for name in self]
        return tuple(zip(("STORED", "COEFFICIENT", "SUM"), names, strict=True))

    @property
    def numbers(self) -> Numbers:
        """What the planner counts with."""
        sums = np.dtype(self.sums)
        stored = 2 if self.stored in ("float16", "bfloat16") else sums.itemsize
        return Numbers(stored, sums.itemsize, sums.kind == "c")


class CudaChain:
    """Apply a chain by kernels, with the types, the layout and about the number of columns that it is for.

    Parameters
    ----------
    space : Space
        Where the values are.
    patterns : sequence of tuple of four int
        The factors, left to right.
    values : sequence of array of shape (a, b, d, c)
        Their values, in the dtype of the coefficients.
    types : Types
        What is stored, and computed with.
    columns : int
        How many columns there are, about.
    by_columns : bool
        Whether each column of x and y lies in memory as a whole.
    taken, placed : array of int32, optional
        Permutations in the space: ``y[placed] = A x[taken]``.
    steps : tuple of Step, optional
        By default those that the planner takes for the cheapest.
    """

    def __init__(
        self,
        space: Space,
        patterns: Sequence[Pattern],
        values: Sequence[Any],
        *,
        types: Types,
        columns: int,
        by_columns: bool,
        taken: Any = None,
        placed: Any = None,
        steps: tuple[Step, ...] | None = None,
    ) -> None:
        self.space, self.types, self.by_columns = space, types, by_columns
        self.steps = steps or plan_steps(
            tuple(patterns),
            types.numbers,
            columns,
            by_columns=by_columns,
            matmul=types.stored != "bfloat16",
            rates=rates_of(space),
        )
        self._orders = taken, placed
        self._runs: list[Any] = []
        for step in self.steps:
            own = list(zip(patterns, values, strict=True))
            if step.kind == "chain":
                self._runs.append(self._chain(step, own))
            else:
                V = fused_values(space, own[step.first : step.stop])
                self._runs.append(V if step.kind == "factor" else _turned(space, V, types))

    def apply(self, x: Any) -> Any:
        """Return the product with x, of shape (n, k) in the layout that this is for."""
        for i, (step, run) in enumerate(zip(self.steps, self._runs, strict=True)):
            taken = self._orders[0] if i == 0 else None
            placed = self._orders[1] if i == len(self.steps) - 1 else None
            if step.kind == "matmul":
                x = self._matmul(step, run, x, taken, placed)
                continue
            a, b, _, d = step.pattern
            y = self._empty(a * b * d, x)
            launched = self._launch_chain if step.kind == "chain" else self._launch_factor
            launched(step, run, x, y, taken, placed)
            x = y
        return x

    def _empty(self, rows: int, x: Any) -> Any:
        xp, k = self.space.xp, x.shape[1]
        shape = (k, rows) if self.by_columns else (rows, k)
        y = xp.empty(shape, dtype=x.dtype, device=self.space.device)
        return y.T if self.by_columns else y

    def _chain(self, step: Step, own: Sequence[tuple[Pattern, Any]]) -> tuple[Any, Any]:
        """The coefficients of all stages, as the kernel reads them, and the table of stages."""
        xp, (a, _, _, d), tile = self.space.xp, step.pattern, step.tile
        assert tile is not None
        packed, table, first = [], [], 0
        for stage in step.stages:
            inner_a, b, c, inner_d = stage.pattern
            V = fused_values(self.space, own[stage.first : stage.stop])
            V = xp.reshape(V, (a, inner_a, b, inner_d, d, c))
            if stage.padded > b:
                missing = a, inner_a, stage.padded - b, inner_d, d, c
                V = xp.concat([V, self.space.zeros(missing, self.types.coefficients)], axis=2)
            if self.by_columns:
                parts = stage.padded // stage.rows
                V = xp.reshape(V, (a, inner_a, parts, stage.rows, inner_d, d, c))
                V = xp.permute_dims(V, (0, 6, 3, 1, 4, 2, 5))
            else:
                V = xp.permute_dims(V, (0, 4, 1, 3, 5, 2))
            packed.append(xp.reshape(V, (-1,)))
            buffers = (-1 if place < 0 else place * tile.size for place in (stage.source, stage.target))
            table.append([inner_a, b, c, inner_d, stage.padded, stage.rows, first, *buffers])
            first += math.prod(V.shape)
        return xp.concat(packed), self.space.put(np.array(table, dtype=np.int64))

    def _launch_chain(self, step: Step, run: Any, x: Any, y: Any, taken: Any, placed: Any) -> None:
        (a, b, c, d), tile = step.pattern, step.tile
        assert tile is not None
        k, (coefficients, table) = x.shape[1], run
        defines = (
            *self.types.defines,
            ("PER_THREAD", str(tile.per_thread)),
            ("BY_COLUMNS", str(int(self.by_columns))),
        )
        cuda.launch(
            self.space,
            cuda.Kernel("kronecker_matmul.cu", "kronecker_chain", defines),
            blocks=a * -(-d // tile.deltas) * -(-k // tile.columns),
            threads=_threads(step, tile),
            arguments=(
                *(x, y, coefficients, table),
                *map(np.int32, (len(step.stages), c, b, d)),
                np.int64(k),
                *self._strides(x, y),
                *map(np.int32, (tile.columns, tile.deltas, tile.pitch, tile.skew)),
                *map(np.int32, (0, max(0, step.stages[-1].target) * tile.size)),
                np.int32(self._aligned(tile.per_thread, x, y)),
                *map(cuda.pointer, (taken, placed)),
            ),
            shared=tile.buffers * tile.size * np.dtype(self.types.sums).itemsize,
        )

    def _launch_factor(self, step: Step, run: Any, x: Any, y: Any, taken: Any, placed: Any) -> None:
        a, b, c, d = step.pattern
        k = x.shape[1]
        tiles = _TILES if np.dtype(self.types.sums).itemsize < _SMALL_SUM else _SMALL_TILES
        tile = tiles[b <= tiles[1][0]]
        names = ("TILE_ROWS", "TILE_COLUMNS", "THREAD_ROWS", "THREAD_COLUMNS", "DEPTH")
        defines = (
            *self.types.defines,
            ("BY_COLUMNS", str(int(self.by_columns))),
            *zip(names, map(str, tile), strict=True),
        )
        rows, columns, thread_rows, thread_columns, _ = tile
        cuda.launch(
            self.space,
            cuda.Kernel("kronecker_matmul.cu", "kronecker_factor", defines),
            blocks=a * d * -(-b // rows) * -(-k // columns),
            threads=rows // thread_rows * (columns // thread_columns),
            arguments=(
                *(x, y, run),
                *map(np.int32, (b, c, d)),
                np.int64(k),
                *self._strides(x, y),
                *map(cuda.pointer, (taken, placed)),
            ),
        )

    def _strides(self, x: Any, y: Any) -> tuple[np.int64, ...]:
        """From a row of x to the next, and from a column; and of y: in numbers."""
        steps = ((1, x.shape[0]), (1, y.shape[0])) if self.by_columns else ((x.shape[1], 1), (y.shape[1], 1))
        return tuple(np.int64(step) for pair in steps for step in pair)

    def _aligned(self, per_thread: int, x: Any, y: Any) -> bool:
        """Whether neighbours in all rows can be read and written at once."""
        step = min(16, per_thread * self.types.numbers.stored)
        starts = (cuda.address(x), cuda.address(y))
        return not self.by_columns and x.shape[1] % per_thread == 0 and all(at % step == 0 for at in starts)

    def _matmul(self, step: Step, V: Any, x: Any, taken: Any, placed: Any) -> Any:
        """The library's product, in the layout that this is for."""
        xp = self.space.xp
        x = x if taken is None else xp.take(x, taken, axis=0)
        y = multiply_blocks(self.space, step.pattern, V, x)
        if placed is not None:
            y = xp.take(y, xp.argsort(placed), axis=0)
        return xp.ascontiguousarray(y.T).T if self.by_columns else y


def _turned(space: Space, V: Any, types: Types) -> Any:
    """The blocks of a factor for the library's product, shape (a, d, b, c), in the dtype of x."""
    return space.cast(space.xp.permute_dims(V, (0, 2, 1, 3)), types.stored)


def _threads(step: Step, tile: Tile) -> int:
    """Threads for the stage with the most to do, in whole warps."""
    slots = tile.columns * tile.deltas // tile.per_thread
    most = max(
        stage.pattern[0] * stage.pattern[3] * (stage.padded // stage.rows) * slots for stage in step.stages
    )
    return min(_THREADS, -(-most // 32) * 32)
