"""The answer: an operator that knows its factors, how good they are, and why."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from fsmf.certificates import Check, GlobalOptimum, StationaryPoint, Verification
from fsmf.errors import FileFormatError, FsmfError, ShapeError
from fsmf.kernels.matrix import as_matrix
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Support, Supports

__all__ = ["Factorization", "History", "Status", "load"]

_FORMAT = "fsmf factorization"
_VERSION = 1

# What reading a file that is not ours, or not whole, may end in.
_UNREADABLE = (
    FsmfError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class Status(Enum):
    """How a solver ended, each a sentence."""

    OPTIMAL = "global optimum, to working precision"
    CONVERGED = "converged: another sweep no longer lowers the error"
    STOPPED = "stopped by the callback"
    OUT_OF_BUDGET = "out of budget: the error was still falling"
    FACTORS_GROW = "factors grow while the error falls"


def _empty() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True)
class History:
    """Hold what an iterative solver went through, one entry per sweep; empty for a direct one.

    Attributes
    ----------
    error : ndarray of float
        ‖A − X Y‖_F after each sweep, in the units of A.
    factor_norm : ndarray of float
        ``(‖X‖² + ‖Y‖²)^½`` after each sweep with the scales of x_k and y_k balanced, in the units of √A.
    seconds : ndarray of float
        Time since the start, in seconds.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.eye(4), fsmf.lu(4))
    >>> bool((np.diff(F.history.error) <= 1e-12).all())
    True
    """

    error: NDArray[np.float64] = field(default_factory=_empty)
    factor_norm: NDArray[np.float64] = field(default_factory=_empty)
    seconds: NDArray[np.float64] = field(default_factory=_empty)

    def __len__(self) -> int:
        return len(self.error)


class Factorization(LinearOperator):
    """Hold factors on their supports, as an operator that multiplies fast.

    Works wherever SciPy takes a ``LinearOperator`` (``svds``, ``lsqr``, ``cg``, …), and adds the factors,
    their error, the status of the solver, and a certificate. `fsmf.factorize` makes them.

    Parameters
    ----------
    factors : sequence of sparse arrays
        The factors, left to right, each with exactly the pattern of its support (zeros are stored).
    supports : Supports
        Where they may be nonzero.
    norm : float
        ‖A‖_F, in the units of A.
    status : Status
        How the solver ended.
    certificate : GlobalOptimum or StationaryPoint
        What the result promises.
    history : History, optional
        What an iterative solver went through.
    solver : str, optional
        The name of the solver.

    Notes
    -----
    ``print`` shows the receipt. Instances pickle, and `save` writes a file without pickle.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.arange(16.0).reshape(4, 4)
    >>> F = fsmf.factorize(A, fsmf.monarch(4, blocks=2))
    >>> F.shape, len(F.factors), F.n_parameters
    ((4, 4), 2, 16)
    >>> np.allclose(F @ np.ones(4), F.to_dense() @ np.ones(4))
    True
    """

    def __init__(
        self,
        factors: Sequence[Any],
        *,
        supports: Supports,
        norm: float,
        status: Status,
        certificate: GlobalOptimum | StationaryPoint,
        history: History | None = None,
        solver: str = "",
    ) -> None:
        super().__init__(dtype=factors[0].dtype, shape=supports.shape)
        self.factors = tuple(factors)
        self.supports = supports
        self.norm = norm
        self.status = status
        self.certificate = certificate
        self.history = history or History()
        self.solver = solver

    @property
    def X(self) -> Any:
        """The left factor of a pair, a ``csr_array`` of shape ``(m, r)``."""
        return self._pair()[0]

    @property
    def Y(self) -> Any:
        """The right factor of a pair as it multiplies, a ``csr_array`` of shape ``(r, n)``.

        This is the transpose of the papers' Y.
        """
        return self._pair()[1]

    def _pair(self) -> tuple[Any, ...]:
        if len(self.factors) != 2:
            raise ShapeError(
                f"X and Y are the factors of a pair; found {len(self.factors)} factors; use factors"
            )
        return self.factors

    @property
    def error(self) -> float:
        """‖A − X Y‖_F, in the units of A."""
        return self.certificate.error

    @property
    def relative_error(self) -> float:
        """‖A − X Y‖_F / ‖A‖_F, without unit; 0 for A = 0."""
        return self.error / self.norm if self.norm else 0.0

    @property
    def lower_bound(self) -> float:
        """No factors on these supports have a smaller error, in the units of A."""
        return self.certificate.lower_bound

    @property
    def n_parameters(self) -> int:
        """Number of nonzeros that the supports allow."""
        return self.supports.n_parameters

    @property
    def nbytes(self) -> int:
        """Bytes that the values of the factors take."""
        return int(sum(factor.data.nbytes for factor in self.factors))

    def _matmat(self, x: NDArray[Any]) -> NDArray[Any]:
        for factor in reversed(self.factors):
            x = factor @ x
        return x

    def _matvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._matmat(x)

    def _rmatmat(self, x: NDArray[Any]) -> NDArray[Any]:
        for factor in self.factors:
            x = factor.conj().T @ x
        return x

    def _rmatvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._rmatmat(x)

    def _transpose(self) -> Factorization:
        return self._turned(factor.T.tocsr() for factor in reversed(self.factors))

    def _adjoint(self) -> Factorization:
        return self._turned(factor.conj().T.tocsr() for factor in reversed(self.factors))

    def _turned(self, factors: Any) -> Factorization:
        return Factorization(
            tuple(factors),
            supports=self.supports.T,
            norm=self.norm,
            status=self.status,
            certificate=self.certificate.transposed(),
            history=self.history,
            solver=self.solver,
        )

    def to_dense(self) -> NDArray[Any]:
        """Return the product as a dense array of shape ``(m, n)``."""
        return self._matmat(np.eye(self.shape[1], dtype=self.dtype))

    def verify(self, A: Any) -> Verification:
        """Check the factors and the certificate against A, by other means than the solver's.

        Parameters
        ----------
        A : array_like or sparse array, shape (m, n)
            The matrix that was factorized.

        Returns
        -------
        Verification
            True when every check passed; ``print`` it to see each.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            If A has another shape, or is no finite matrix.

        Notes
        -----
        **Guarantee.** Uses A, the supports, and the factors only. Products are formed row by row and
        singular values come from LAPACK.

        **Cost.** About that of the dense product, plus the singular values of each block.

        Examples
        --------
        >>> import fsmf, numpy as np
        >>> A = np.arange(16.0).reshape(4, 4)
        >>> bool(fsmf.factorize(A, fsmf.monarch(4, blocks=2)).verify(A))
        True
        """
        A, norm = as_matrix(A)
        if A.shape != self.shape:
            raise ShapeError(f"A must have the shape {self.shape} of the factorization; found {A.shape}")
        kept = all(_has_support(f, s) for f, s in zip(self.factors, self.supports, strict=True))
        finite = all(bool(np.isfinite(factor.data).all()) for factor in self.factors)
        own = (
            Check("factors keep to their supports", True, kept, kept),
            Check("factors are finite", True, finite, finite),
            Check("norm of A", self.norm, norm, abs(self.norm - norm) <= 1e-6 * norm),
        )
        if not (kept and finite):
            return Verification(own)
        return Verification(own + self.certificate.verify(A, self.supports, self.factors).checks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the factorization to an ``.npz`` file, without pickle.

        Parameters
        ----------
        path : path-like
            Where to write; taken as it is.

        Notes
        -----
        The file holds a version and a checksum; `fsmf.load` refuses anything else.

        Examples
        --------
        >>> import fsmf, numpy as np, tempfile, os
        >>> F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     F.save(os.path.join(folder, "f.npz"))
        ...     fsmf.load(os.path.join(folder, "f.npz")).status is F.status
        True
        """
        arrays = {}
        for i, (factor, support) in enumerate(zip(self.factors, self.supports, strict=True)):
            arrays[f"data{i}"] = factor.data
            arrays[f"indptr{i}"], arrays[f"indices{i}"] = support.indptr, support.indices
        for i, array in enumerate(self.certificate.blocks.arrays()):
            arrays[f"blocks{i}"] = array
        arrays |= {
            "error": self.history.error,
            "factor_norm": self.history.factor_norm,
            "seconds": self.history.seconds,
        }
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "shapes": [support.shape for support in self.supports],
            "name": self.supports.name,
            "norm": self.norm,
            "status": self.status.name,
            "solver": self.solver,
            "certificate": self.certificate.name,
            "numbers": self.certificate.scalars(),
        }
        text = json.dumps(header)
        with open(path, "wb") as file:
            np.savez(file, header=np.array(text), checksum=np.array(_checksum(text, arrays)), **arrays)

    def __str__(self) -> str:
        m, n = self.shape
        lines = [
            f"{m}×{n} {np.dtype(self.dtype).name} ≈ product of {len(self.factors)} factors, by {self.solver}",
            f"  supports        {self.supports.name or repr(self.supports)}",
            f"  parameters      {self.n_parameters} ({self.n_parameters / (m * n):.3g} of m·n)",
            f"  relative error  {self.relative_error:.6g}",
            f"  status          {self.status.value}",
            f"  certificate     {self.certificate}",
        ]
        if len(self.history):
            lines.append(f"  sweeps          {len(self.history)} in {self.history.seconds[-1]:.3g} s")
        return "\n".join(lines)

    def __repr__(self) -> str:
        m, n = self.shape
        return (
            f"<{m}×{n} Factorization, {len(self.factors)} factors, relative error {self.relative_error:.3g}>"
        )


def _has_support(factor: Any, support: Support) -> bool:
    """Whether the stored places of a factor, zeros included, are those of its support."""
    stored = sparse.coo_array(factor)
    return Support(((stored.row, stored.col), stored.shape)) == support


def _checksum(header: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(header.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load(path: str | os.PathLike[str]) -> Factorization:
    """Read a factorization that `Factorization.save` wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Factorization
        As it was saved: factors, supports, status, certificate, history.

    Raises
    ------
    FileFormatError
        If the file is not one of fsmf's, is damaged, or has a newer version.
    OSError
        If it cannot be read.

    Notes
    -----
    **Guarantee.** Nothing in the file is executed; a checksum over all of it must agree.

    **Cost.** One pass over the file.

    Examples
    --------
    >>> import fsmf, numpy as np, tempfile, os
    >>> F = fsmf.factorize(np.eye(4), fsmf.low_rank(4, rank=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     F.save(os.path.join(folder, "f.npz"))
    ...     print(fsmf.load(os.path.join(folder, "f.npz")).n_parameters)
    16
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except _UNREADABLE as error:
        raise FileFormatError(
            f"{path} is no factorization that fsmf saved, or is damaged: {error}"
        ) from error


def _read(file: BinaryIO) -> Factorization:
    with np.load(file, allow_pickle=False) as archive:
        if not isinstance(archive, np.lib.npyio.NpzFile) or "header" not in archive:
            raise FileFormatError("it has no header")
        arrays = {name: archive[name] for name in archive.files}
    text, checksum = str(arrays.pop("header")), str(arrays.pop("checksum"))
    header = json.loads(text)
    if header["format"] != _FORMAT:
        raise FileFormatError(f"its format is {header['format']!r}")
    if header["version"] > _VERSION:
        raise FileFormatError(
            f"it has version {header['version']}, and this fsmf reads up to {_VERSION}; upgrade fsmf"
        )
    if checksum != _checksum(text, arrays):
        raise FileFormatError("its checksum does not agree; write it again")
    return _rebuild(header, arrays)


def _rebuild(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Factorization:
    factors, supports = [], []
    for i, shape in enumerate(header["shapes"]):
        pattern = sparse.csr_array(
            (arrays[f"data{i}"], arrays[f"indices{i}"], arrays[f"indptr{i}"]), shape=tuple(shape)
        )
        pattern.check_format(full_check=True)
        support = Support(
            sparse.csr_array((np.ones(pattern.nnz), pattern.indices, pattern.indptr), shape=shape)
        )
        factors.append(sparse.csr_array((pattern.data, support.indices, support.indptr), shape=support.shape))
        supports.append(support)
    certificates = {kind.name: kind for kind in (GlobalOptimum, StationaryPoint)}
    blocks = DisjointBlocks.from_arrays([arrays[f"blocks{i}"] for i in range(6)])
    return Factorization(
        factors,
        supports=Supports(supports, header["name"]),
        norm=float(header["norm"]),
        status=Status[header["status"]],
        certificate=certificates[header["certificate"]](**header["numbers"], blocks=blocks),
        history=History(*(arrays[name].astype(float) for name in ("error", "factor_norm", "seconds"))),
        solver=header["solver"],
    )
