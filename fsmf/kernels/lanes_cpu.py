"""Short vectors as a type of numba's: what is written with them becomes vector instructions for certain.

A vector holds real numbers, or complex ones as a vector of real parts and one of imaginary parts. Addresses
are integers; nothing is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, models, register_model

__all__ = [
    "add",
    "conjugate",
    "count_of",
    "load",
    "read",
    "size_of",
    "store",
    "take_number",
    "total",
    "transpose",
    "write",
    "zeros",
]

_intrinsic: Any = intrinsic

# To add a product without rounding it first, where the machine can.
_FUSED = ("contract", "nsz")


class _Lanes(types.Type):
    """Numba's type of a short vector."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        self.part = getattr(dtype, "underlying_float", dtype)
        super().__init__(name=f"Lanes({dtype}, {count})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    """In registers: one vector, or two of real and imaginary parts."""

    def __init__(self, manager: Any, kind: _Lanes) -> None:
        vector = ir.VectorType(manager.lookup(kind.part).get_value_type(), kind.count)
        planes = ir.LiteralStructType([vector, vector]) if kind.part != kind.dtype else vector
        super().__init__(manager, kind, planes)  # type: ignore[no-untyped-call]


def _planes(builder: Any, value: Any) -> list[Any]:
    """The vectors, or numbers, that a value is made of."""
    if isinstance(value.type, ir.BaseStructType):
        return [builder.extract_value(value, 0), builder.extract_value(value, 1)]
    return [value]


def _together(builder: Any, kind: Any, planes: list[Any]) -> Any:
    """The value of LLVM's type `kind` made of these planes."""
    if len(planes) == 1:
        return planes[0]
    value = ir.Constant(kind, ir.Undefined)
    for i, plane in enumerate(planes):
        value = builder.insert_value(value, plane, i)
    return value


def _shuffled(builder: Any, x: Any, y: Any, order: Sequence[int]) -> Any:
    """The entries of x and y, side by side, in another order."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
    return builder.shuffle_vector(x, y, mask)


def _pointer(builder: Any, address: Any, kind: Any, plane: int = 0) -> Any:
    """Where plane number `plane` of what lies at an address begins."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [ir.Constant(ir.IntType(32), plane)])


@_intrinsic(prefer_literal=True)
def zeros(context: Any, zero: Any, like: Any, size: Any) -> Any:
    """A vector of zeros, as many as numbers like `like` in `size` bytes."""
    kind = _Lanes(zero, 8 * size.literal_value // like.bitwidth)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(kind), None)

    return kind(zero, like, size), generate


@_intrinsic
def size_of(context: Any, like: Any) -> Any:
    """Bytes of a number or a vector."""
    size = getattr(like, "count", 1) * getattr(like, "dtype", like).bitwidth // 8
    return types.intp(like), lambda *_: ir.Constant(ir.IntType(64), size)


@_intrinsic
def count_of(context: Any, like: Any) -> Any:
    """How many numbers a vector holds."""
    return types.intp(like), lambda *_: ir.Constant(ir.IntType(64), like.count)


@_intrinsic
def load(context: Any, address: Any, like: Any) -> Any:
    """The number or vector at an address, real parts before imaginary parts."""
    part = like.part if isinstance(like, _Lanes) else getattr(like, "underlying_float", like)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes = _planes(builder, args[1])
        for i, plane in enumerate(planes):
            planes[i] = builder.load(_pointer(builder, args[0], plane.type, i))
            planes[i].align = part.bitwidth // 8
        return _together(builder, args[1].type, planes)

    return like(address, like), generate


@_intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Store a number or a vector, real parts before imaginary parts."""
    part = value.part if isinstance(value, _Lanes) else getattr(value, "underlying_float", value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for i, plane in enumerate(_planes(builder, args[1])):
            builder.store(plane, _pointer(builder, args[0], plane.type, i)).align = part.bitwidth // 8
        return context.get_dummy_value()

    return types.void(address, value), generate


@_intrinsic
def read(context: Any, address: Any, like: Any) -> Any:
    """The vector at an address, each real part followed by its imaginary part."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes = _planes(builder, args[1])
        n = like.count * len(planes)
        both = builder.load(_pointer(builder, args[0], ir.VectorType(planes[0].type.element, n)))
        both.align = like.part.bitwidth // 8
        if len(planes) == 1:
            return both
        return _together(
            builder, args[1].type, [_shuffled(builder, both, both, range(i, n, 2)) for i in range(2)]
        )

    return like(address, like), generate


@_intrinsic
def write(context: Any, address: Any, value: Any) -> Any:
    """Store a vector, each real part followed by its imaginary part."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes = _planes(builder, args[1])
        n = value.count
        if len(planes) == 2:
            planes = [_shuffled(builder, planes[0], planes[1], [i // 2 + i % 2 * n for i in range(2 * n)])]
        where = _pointer(builder, args[0], planes[0].type)
        builder.store(planes[0], where).align = value.part.bitwidth // 8
        return context.get_dummy_value()

    return types.void(address, value), generate


@_intrinsic
def add(context: Any, total: Any, factor: Any, value: Any) -> Any:
    """``total + factor · value``, the factor a vector or a number for all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, factors, values = (_planes(builder, arg) for arg in args)
        for i, number in enumerate(factors):
            if factor is total.dtype:
                one = builder.insert_element(
                    ir.Constant(values[0].type, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
                )
                factors[i] = _shuffled(builder, one, one, [0] * value.count)

        def fused(x: Any, y: Any, z: Any) -> Any:
            return builder.fadd(x, builder.fmul(y, z, flags=_FUSED), flags=_FUSED)

        if len(sums) == 1:
            return fused(sums[0], factors[0], values[0])
        minus = builder.fneg(factors[1])
        real = fused(fused(sums[0], factors[0], values[0]), minus, values[1])
        imag = fused(fused(sums[1], factors[0], values[1]), factors[1], values[0])
        return _together(builder, args[0].type, [real, imag])

    return total(total, factor, value), generate


@_intrinsic
def conjugate(context: Any, value: Any) -> Any:
    """The conjugate of a vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes = _planes(builder, args[0])
        return _together(builder, args[0].type, [*planes[:1], *map(builder.fneg, planes[1:])])

    return value(value), generate


@_intrinsic
def total(context: Any, value: Any) -> Any:
    """The sum of the numbers of a vector, in any order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes = _planes(builder, args[0])
        for i, plane in enumerate(planes):
            kind, name = plane.type.element, f"v{value.count}f{value.part.bitwidth}"
            reduce = builder.module.declare_intrinsic(
                f"llvm.vector.reduce.fadd.{name}", (), ir.FunctionType(kind, [kind, plane.type])
            )
            planes[i] = builder.call(reduce, [ir.Constant(kind, -0.0), plane], fastmath=("reassoc", "nsz"))
        return _together(builder, context.get_value_type(value.dtype), planes)

    return value.dtype(value), generate


@_intrinsic
def transpose(context: Any, x: Any, down: Any, y: Any, to: Any, like: Any) -> Any:
    """Write the transpose of as many rows of real numbers as a vector holds, some bytes apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        src, down, dst, to, nil = args
        n = like.count
        rows = []
        for _ in range(n):
            rows.append(builder.load(_pointer(builder, src, nil.type)))
            rows[-1].align = like.part.bitwidth // 8
            src = builder.add(src, down)
        # Cut n² cards in halves and let them alternate, log₂ n times: what were rows are columns.
        for _ in range(n.bit_length() - 1):
            pairs = zip(rows[: n // 2], rows[n // 2 :], strict=True)
            rows = [
                _shuffled(builder, one, other, [i // 2 + i % 2 * n for i in half])
                for one, other in pairs
                for half in (range(n), range(n, 2 * n))
            ]
        for row in rows:
            builder.store(row, _pointer(builder, dst, nil.type)).align = like.part.bitwidth // 8
            dst = builder.add(dst, to)
        return context.get_dummy_value()

    return types.void(x, down, y, to, like), generate


@_intrinsic
def take_number(context: Any, counter: Any) -> Any:
    """Take a number from the counter at an address, which no other thread then gets."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = builder.inttoptr(args[0], args[0].type.as_pointer())
        return builder.atomic_rmw("add", where, ir.Constant(args[0].type, 1), "monotonic")

    return types.intp(counter), generate
