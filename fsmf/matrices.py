"""Matrices and supports as a command line writes them: files, or names with arguments."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import FileFormatError, FsmfError, OptionError, ShapeError
from fsmf.factorization import load
from fsmf.files import READABLE, read_file
from fsmf.supports import architectures, families
from fsmf.supports.support import Supports, as_supports

__all__ = ["FAMILIES", "MATRICES", "listing", "read_array", "read_supports"]

Table = Mapping[str, Callable[..., Any]]


def read_array(source: str) -> Any:
    """Read an array of numbers from a file, or form the one that a name stands for.

    Parameters
    ----------
    source : str
        A file, followed by ``:name`` where it holds several arrays; or a name of `MATRICES` with its
        arguments, such as ``hadamard:1024``.

    Returns
    -------
    ndarray or csr_array
        The array; sparse where the file is.

    Raises
    ------
    OptionError
        If the source is neither a file nor a name, or the arguments do not suit the name.
    FileFormatError, InputTypeError, OSError, MemoryError
        As `fsmf.files.read_file`; also if the file holds several arrays and none is chosen.

    Examples
    --------
    >>> read_array("hilbert:2")
    array([[1.        , 0.5       ],
           [0.5       , 0.33333333]])
    """
    if _is_named(source, MATRICES):
        return _call(source, MATRICES)
    contents = _read(source, MATRICES)
    if len(contents) != 1:
        raise FileFormatError(
            f"{source} holds {len(contents)} arrays{': ' * bool(contents)}{', '.join(contents)}; "
            f"choose one, such as {source}:{next(iter(contents), 'A')}"
        )
    return next(iter(contents.values()))


def read_supports(source: str, shape: tuple[int, int] | None = None) -> Supports:
    """Read supports from one or several files, or call the family that a name stands for.

    Parameters
    ----------
    source : str
        A family with its arguments, such as ``monarch:blocks=32`` or ``butterfly:12,radices=2x2x3``; or a
        file with all supports: several arrays in the order of their names, a 3-D array, or a saved
        factorization; or one file per support separated by commas, left to right.
    shape : tuple of int, optional
        Shape of the product, for a family without sizes.

    Returns
    -------
    Supports
        The supports.

    Raises
    ------
    FsmfError, OSError, MemoryError
        As `read_array` and `fsmf.as_supports`, and what the family raises.

    Examples
    --------
    >>> read_supports("monarch:blocks=8", (64, 64))
    Architecture(monarch(64, 64, blocks=8, rank=1): (1, 8, 8, 8) · (8, 8, 8, 1), 1024 nonzeros)
    """
    if _is_named(source, FAMILIES):
        supports: Supports = _call(source, FAMILIES, shape)
        return supports
    sources = source.split(",")
    if len(sources) > 1 and not os.path.exists(source):
        return as_supports([read_array(one) for one in sources])
    if source.lower().endswith(".npz"):
        with suppress(FileFormatError):
            return load(source).supports
    contents = _read(source, FAMILIES)
    arrays = [contents[name] for name in sorted(contents, key=_natural)]
    return as_supports(list(arrays[0]) if len(arrays) == 1 and arrays[0].ndim == 3 else arrays)


def listing(table: Table) -> str:
    """List what a table offers, one line each.

    Parameters
    ----------
    table : mapping
        `MATRICES` or `FAMILIES`.

    Returns
    -------
    str
        How each is written, and the first sentence about it.
    """
    lines = []
    for name, function in table.items():
        sentence = (inspect.getdoc(function) or "").splitlines()[0].removeprefix("Return ")
        lines.append(f"  {_spelling(name, table)}\n      {sentence}")
    return "\n".join(lines)


def _read(source: str, table: Table) -> dict[str, Any]:
    """The arrays of a file; what has no suffix was meant as a name."""
    if not os.path.exists(source) and re.match(r"\w+(:|$)", source):
        raise OptionError(
            f"{source} is neither a file ({', '.join(READABLE)}) nor a name ({', '.join(table)})"
        )
    return read_file(source)


def _natural(name: str) -> list[Any]:
    """Sort key that puts S2 before S10."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name)]


def _is_named(source: str, table: Table) -> bool:
    return source.partition(":")[0] in table


def _is_array(parameter: inspect.Parameter) -> bool:
    """Whether an argument is an array, read from a file, and not a number."""
    return "Any" in str(parameter.annotation)


def _parameters(name: str, table: Table) -> tuple[Mapping[str, inspect.Parameter], list[str]]:
    """All parameters, and the names of those that need no ``name=``."""
    parameters = inspect.signature(table[name]).parameters
    return parameters, [key for key, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]


def _spelling(name: str, table: Table) -> str:
    """Say how a name is written with all of its arguments."""
    parameters, places = _parameters(name, table)
    return f"{name}:" + ",".join(
        key if key in places else f"{key}={'…' if p.default in (p.empty, None) else p.default}"
        for key, p in parameters.items()
    )


def _call(source: str, table: Table, shape: tuple[int, int] | None = None) -> Any:
    """Call the function that ``name:1024,key=value`` stands for; sizes not given are those of `shape`."""
    name, _, text = source.partition(":")
    parameters, places = _parameters(name, table)
    spelling = _spelling(name, table)
    given: dict[str, Any] = {}
    free = iter(places)
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        for one in [value] if equals else item.split("x") if re.fullmatch(r"\d+x\d+", item) else [item]:
            target = key if equals else next(free, "")
            if target not in parameters or target in given:
                wrong = "given twice" if target in given else "unknown" if target else "one too many"
                raise OptionError(f"{source}: argument {item!r} is {wrong}; write {spelling}")
            given[target] = read_array(one) if _is_array(parameters[target]) else _value(source, target, one)
    sizes = [key for key in places if not _is_array(parameters[key])]
    if shape is not None and not given.keys() & set(sizes):
        if len(sizes) == 1 and shape[0] != shape[1]:
            raise ShapeError(f"{name} is for square matrices; found {shape[0]}×{shape[1]}")
        given |= dict(zip(sizes, shape, strict=False))
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
    if missing:
        sized = table is FAMILIES and missing[0] in sizes
        raise OptionError(
            f"{source} lacks {', '.join(missing)}; write {spelling}"
            + (", or give --shape M N" if sized else "")
        )
    try:
        return table[name](**given)
    except FsmfError as error:
        raise type(error)(f"{source}: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise OptionError(f"{source} cannot be made: {error}; check its arguments") from error


def _value(source: str, key: str, text: str) -> int | float | tuple[int, ...]:
    """A number, or several integers as in 2x2x3."""
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise OptionError(f"{source}: {key} must be a number; found {text!r}")


def _dense(m: int, n: int, dtype: type = float) -> NDArray[Any]:
    """An array to fill; memory that is not there is missed now, not half-way."""
    for side in (m, n):
        if not isinstance(side, int) or side < 1:
            raise OptionError(f"a size must be a positive integer; found {side}")
    try:
        return np.empty((m, n), dtype)
    except (MemoryError, ValueError):
        raise MemoryError(
            f"a dense {m}×{n} matrix takes {m * n * np.dtype(dtype).itemsize // 2**30} GiB"
        ) from None


def _hadamard(n: int) -> NDArray[Any]:
    """Walsh–Hadamard, entries ±1 in natural (Sylvester) order; n is a power of 2."""
    if isinstance(n, int) and n & (n - 1):
        raise OptionError(f"n must be a power of 2; found {n}")
    H = _dense(n, n)
    H[0, 0] = k = 1
    while k < n:
        H[:k, k : 2 * k] = H[k : 2 * k, :k] = H[:k, :k]
        np.negative(H[:k, :k], out=H[k : 2 * k, k : 2 * k])
        k *= 2
    return H


def _dft(n: int) -> NDArray[Any]:
    """Discrete Fourier transform exp(−2πi jk/n), not normalised, complex128."""
    F = _dense(n, n, complex)
    j = np.arange(n)
    roots = np.exp(-2j * np.pi * j / n)
    for k in range(n):
        F[k] = roots[k * j % n]
    return F


def _dct(n: int) -> NDArray[Any]:
    """Discrete cosine transform of type II, orthonormal."""
    C = _dense(n, n)
    odd = 2 * np.arange(n) + 1
    cosines = np.cos(np.pi * np.arange(4 * n) / (2 * n)) * np.sqrt(2 / n)
    for k in range(n):
        C[k] = cosines[k * odd % (4 * n)]
    C[0] = np.sqrt(1 / n)
    return C


def _hilbert(n: int) -> NDArray[Any]:
    """Hilbert matrix, 1/(i + j + 1) from i = j = 0."""
    H = _dense(n, n)
    np.add.outer(np.arange(1.0, n + 1), np.arange(float(n)), out=H)
    np.reciprocal(H, out=H)
    return H


def _identity(n: int) -> NDArray[Any]:
    """Identity."""
    I = _dense(n, n)
    I[:] = 0
    np.fill_diagonal(I, 1)
    return I


def _random(m: int, n: int | None = None, *, rng: int = 0) -> NDArray[Any]:
    """Independent standard normal entries; rng is the seed."""
    G = _dense(m, m if n is None else n)
    np.random.default_rng(rng).standard_normal(out=G)
    return G


MATRICES: Table = {
    "hadamard": _hadamard,
    "dft": _dft,
    "dct": _dct,
    "hilbert": _hilbert,
    "identity": _identity,
    "random": _random,
}
FAMILIES: Table = dict(
    sorted((name, getattr(room, name)) for room in (architectures, families) for name in room.__all__)
)
