"""Arrays in files: read without executing anything, written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import FileFormatError, FsmfError, InputTypeError

__all__ = ["READABLE", "WRITABLE", "check_output", "csv_lines", "read_file", "replaced", "write_array"]


def read_file(source: str) -> dict[str, Any]:
    """Read the arrays of a file.

    Parameters
    ----------
    source : str
        A path with one of the suffixes `READABLE`; followed by ``:name`` for one array of several.

    Returns
    -------
    dict of str to ndarray or csr_array
        The arrays by name, sparse where the file is; the name is empty where the format has none.

    Raises
    ------
    FileFormatError
        If the suffix is not known, the file is damaged or holds Python objects, or no array has the name.
    InputTypeError
        If an array holds something else than numbers.
    OSError, MemoryError
        If the file cannot be opened, or an array does not fit.

    Notes
    -----
    Nothing in a file is executed. SciPy's reader of ``.mat`` files trusts what they say of themselves:
    one that is damaged on purpose can crash it.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.csv")
    ...     write_array(path, np.array([1.0, 2.0]))
    ...     read_file(path)
    {'': array([[1.],
           [2.]])}
    """
    path, wanted = source, None
    if not os.path.exists(source) and _suffix(source.rpartition(":")[0]):
        path, _, wanted = source.rpartition(":")
    suffix = _suffix(path)
    with open(path, "rb"):  # what the file system has to say comes first, in its own words
        pass
    if not suffix:
        raise FileFormatError(f"{path}: the suffix tells what a file holds; known are {', '.join(READABLE)}")
    try:
        contents = _READERS[suffix](path, wanted)
        return {name: _plain(name or path, array) for name, array in contents.items()}
    except (FsmfError, MemoryError):
        raise
    # Readers of damaged files raise whatever they stumble over.
    except Exception as error:
        raise FileFormatError(f"{path} cannot be read as {suffix}: {error}") from error


def write_array(path: str, array: NDArray[Any]) -> None:
    """Write a vector or a matrix to a file, whole or not at all.

    Parameters
    ----------
    path : str
        Where; with one of the suffixes `WRITABLE`.
    array : ndarray
        One or two-dimensional. Formats that know matrices only take a vector as one column.

    Raises
    ------
    FileFormatError, OSError
        As `check_output`.

    Examples
    --------
    See `read_file`.
    """
    check_output(path, WRITABLE)
    with replaced(path) as place, open(place, "wb") as file:
        _WRITERS[_suffix(path)](file, array)


def csv_lines(array: NDArray[Any]) -> Iterator[str]:
    r"""Yield the rows of a vector or matrix as text, with all digits.

    Parameters
    ----------
    array : ndarray
        One or two-dimensional; a vector gives one number a line.

    Yields
    ------
    str
        Numbers separated by commas, and a newline.

    Examples
    --------
    >>> import numpy as np
    >>> list(csv_lines(np.array([[1.5, 2], [0, 1j]])))
    ['1.5+0j,2+0j\n', '0j,1j\n']
    """
    for row in array.reshape(len(array), -1):
        yield ",".join(str(value).strip("()") for value in row) + "\n"


def check_output(path: str, suffixes: Sequence[str] = ("",)) -> None:
    """Complain before the work, not after it, about a file that cannot be written.

    Parameters
    ----------
    path : str
        Where something will be written.
    suffixes : sequence of str, optional
        How the name must end.

    Raises
    ------
    FileFormatError
        If the name ends otherwise.
    OSError
        If the folder does not exist or cannot be written, or the path is a folder.
    """
    folder = os.path.dirname(os.path.realpath(path))
    for wrong, code, culprit in (
        (os.path.isdir(path), errno.EISDIR, path),
        (not os.path.exists(folder), errno.ENOENT, folder),
        (not os.path.isdir(folder), errno.ENOTDIR, folder),
        (not os.access(path if os.path.exists(path) else folder, os.W_OK), errno.EACCES, path),
    ):
        if wrong:
            raise OSError(code, os.strerror(code), culprit)
    if not path.lower().endswith(tuple(suffixes)):
        raise FileFormatError(f"{path}: the suffix tells what to write; known are {', '.join(suffixes)}")


@contextmanager
def replaced(path: str) -> Iterator[str]:
    """Give a place beside a file to write to, and put it in the file's place when all went well.

    Parameters
    ----------
    path : str
        The file, which need not exist. A device or a pipe is written directly.

    Yields
    ------
    str
        Where to write; it has the suffix of `path`.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield path
        return
    target = Path(os.path.realpath(path))
    place = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield str(place)
        os.replace(place, target)
    finally:
        place.unlink(missing_ok=True)


def _suffix(path: str) -> str:
    return next((suffix for suffix in READABLE if path.lower().endswith(suffix)), "")


def _plain(name: str, array: Any) -> Any:
    """An array as it is, a valid sparse one as a csr_array; strings, structures and objects are refused."""
    if array.dtype.kind not in "biufc":
        raise InputTypeError(f"{name} must hold numbers; found dtype {array.dtype}")
    if not sparse.issparse(array):
        return array
    if hasattr(array, "check_format"):
        array.check_format(full_check=True)
    return sparse.csr_array(array)


def _chosen(path: str, wanted: str | None, names: Sequence[str]) -> Sequence[str]:
    if wanted is not None and wanted not in names:
        held = ", ".join(filter(None, names)) or "one without a name"
        raise FileFormatError(f"{path} holds no array {wanted!r}; it holds {held}")
    return names if wanted is None else [wanted]


def _only(path: str, wanted: str | None, array: Any) -> dict[str, Any]:
    return dict.fromkeys(_chosen(path, wanted, [""]), array)


def _read_npy(path: str, wanted: str | None) -> dict[str, Any]:
    with open(path, "rb") as file:
        return _only(path, wanted, np.lib.format.read_array(file, allow_pickle=False))


def _read_npz(path: str, wanted: str | None) -> dict[str, Any]:
    # Opened here, since numpy forgets to close what is no archive.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as contents:
        if {"format", "shape", "data"} <= set(contents.files):
            return _only(path, wanted, sparse.load_npz(path))
        return {name: contents[name] for name in _chosen(path, wanted, contents.files)}


def _read_mat(path: str, wanted: str | None) -> dict[str, Any]:
    from scipy import io

    names = _chosen(path, wanted, [name for name, _, _ in io.whosmat(path)])
    contents = io.loadmat(path, variable_names=names, spmatrix=False)
    return {name: contents[name] for name in names}


def _read_mtx(path: str, wanted: str | None) -> dict[str, Any]:
    from scipy import io

    with (gzip.open if path.lower().endswith(".gz") else open)(path, "rb") as file:
        text = file.read()
    # Other characters, or none after the last number, can crash scipy's parser.
    if re.sub(rb"\A(%[^\n]*\n)*", b"", text).translate(None, b"0123456789+-.eEinfatyINFATY \t\r\n"):
        raise ValueError("it holds other things than numbers")
    text = text if text.endswith(b"\n") else text + b"\n"
    return _only(path, wanted, io.mmread(BytesIO(text), spmatrix=False))


def _read_csv(path: str, wanted: str | None) -> dict[str, Any]:
    def parse(dtype: type) -> NDArray[Any]:
        return np.loadtxt(path, dtype=dtype, delimiter=",", ndmin=2, encoding="utf-8-sig")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty file is refused later, for its shape
        try:
            return _only(path, wanted, parse(float))
        except ValueError:
            return _only(path, wanted, parse(complex))


def _write_mat(file: Any, array: NDArray[Any]) -> None:
    from scipy import io

    io.savemat(file, {"y": array}, oned_as="column")


def _write_mtx(file: Any, array: NDArray[Any]) -> None:
    from scipy import io

    io.mmwrite(file, array.reshape(len(array), -1), symmetry="general")


_READERS: Mapping[str, Callable[[str, str | None], dict[str, Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".mat": _read_mat,
    ".mtx": _read_mtx,
    ".mtx.gz": _read_mtx,
    ".csv": _read_csv,
}
_WRITERS: Mapping[str, Callable[[Any, NDArray[Any]], None]] = {
    ".npy": np.save,
    ".npz": lambda file, array: np.savez(file, y=array),
    ".mat": _write_mat,
    ".mtx": _write_mtx,
    ".csv": lambda file, array: file.writelines(line.encode() for line in csv_lines(array)),
}
READABLE = tuple(_READERS)
WRITABLE = tuple(_WRITERS)
