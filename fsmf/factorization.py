"""The answer: an operator that knows its factors, how good they are, and why."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, BinaryIO, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.block_brackets import GlobalOptimum, StationaryPoint
from fsmf.certificates.by_construction import ByConstruction
from fsmf.certificates.quasi_optimum import QuasiOptimum
from fsmf.certificates.search_bound import SearchBound
from fsmf.certificates.stationary_product import StationaryProduct
from fsmf.certificates.sum_bound import SumBound
from fsmf.certificates.verification import Check, Verification
from fsmf.errors import FileFormatError, FsmfError, OptionError, ShapeError
from fsmf.history import History
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import checked_norm
from fsmf.kernels.namespace import check_on_host
from fsmf.observing import observed
from fsmf.products.product import Product, joined
from fsmf.products.underway import UnderWay
from fsmf.ridge_paths import RidgePath
from fsmf.support_search import SupportSearch
from fsmf.supports.fixed import FixedSupport, held
from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.support import Support, Supports

__all__ = ["Certificate", "Factorization", "History", "Status", "load"]

Certificate = (
    GlobalOptimum
    | QuasiOptimum
    | SumBound
    | StationaryPoint
    | StationaryProduct
    | SearchBound
    | ByConstruction
)

_FORMAT = "fsmf factorization"
_VERSION = 2

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

    EXACT = "exact by construction"
    OPTIMAL = "global optimum, to working precision"
    BRACKETED = "within a proved factor of the optimum"
    OUT_OF_REACH = "the error asked for is out of reach of every product"
    BOUNDED = "as near as factors of the norm allowed come: larger ones would lower the error"
    CONVERGED = "converged: another sweep no longer lowers the error"
    SUPPORTS_OPEN = "converged on the supports that were found: others may come nearer"
    SEARCHED = "within the gap asked for of the optimum, by exhaustive search"
    STOPPED = "stopped by the callback"
    OUT_OF_BUDGET = "out of budget: the error was still falling"
    FACTORS_GROW = "factors grow while the error falls"


class Factorization(UnderWay, Product):
    """Hold factors on their supports, as an operator that multiplies fast and knows what it is worth.

    An operator as `Product` is, with the error of the factors, the status of the solver, and a certificate.
    `fsmf.factorize` makes them, and `fsmf.transforms`.

    Parameters
    ----------
    supports : Supports
        Where the factors may be nonzero.
    values : sequence of array_like
        The values of each factor in the row-major order of its support.
    rows, columns : array_like of int, optional
        Permutations of the outer sides, as `Product` takes them.
    norm : float
        ‖A‖_F, in the units of A.
    status : Status
        How the solver ended.
    certificate : GlobalOptimum, QuasiOptimum, StationaryPoint or ByConstruction
        What the result promises.
    history : History, optional
        What an iterative solver went through.
    solver : str, optional
        The name of the solver.
    ridge_path : RidgePath, optional
        What a vanishing ridge told, where one was followed.

    Notes
    -----
    The attribute `search` tells how supports were found that were not given, or is None.
    ``print`` shows the receipt. Instances pickle, and `save` writes a file without pickle. Transposes,
    adjoints, conjugates and multiples are factorizations of the transposed, … matrix, with its certificate.

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
        supports: Supports,
        values: Sequence[Any],
        *,
        rows: Any = None,
        columns: Any = None,
        norm: float,
        status: Status,
        certificate: Certificate,
        history: History | None = None,
        solver: str = "",
        ridge_path: RidgePath | None = None,
    ) -> None:
        super().__init__(supports, values, rows=rows, columns=columns)
        self.search: SupportSearch | None = None
        self.norm, self.status, self.certificate = norm, status, certificate
        self.history, self.solver = history or History(), solver
        self.ridge_path = ridge_path

    @classmethod
    def by_construction(
        cls, supports: Supports, values: Sequence[Any], *, rows: Any = None, columns: Any = None, norm: float
    ) -> Factorization:
        """Build a factorization whose factors are known in closed form.

        Parameters
        ----------
        supports, values, rows, columns
            As for `Factorization`.
        norm : float
            Frobenius norm of the product.

        Returns
        -------
        Factorization
            With the certificate `ByConstruction`.
        """
        dtype = np.result_type(*values)
        certificate = ByConstruction.of(norm, len(supports), dtype)
        return cls(
            supports,
            values,
            rows=rows,
            columns=columns,
            norm=norm,
            status=Status.EXACT,
            certificate=certificate,
            solver="construction",
        )

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
        """‖A − X1 … XL‖_F, in the units of A."""
        return self.certificate.error

    @property
    def relative_error(self) -> float:
        """‖A − X1 … XL‖_F / ‖A‖_F, without unit; 0 for A = 0."""
        return self.error / self.norm if self.norm else 0.0

    @property
    def lower_bound(self) -> float:
        """No factors on these supports have a smaller error, in the units of A."""
        return self.certificate.lower_bound

    def _like(
        self, supports: Supports, values: Sequence[Any], rows: Any, columns: Any, change: str | float
    ) -> Factorization:
        certificate, factor = self.certificate, change if isinstance(change, float) else 1.0
        if change == "transposed":
            certificate = certificate.transposed()
        elif factor != 1:
            certificate = certificate.scaled(factor)
        path = self.ridge_path if self.ridge_path is None or factor == 1 else self.ridge_path.scaled(factor)
        history, root = self.history, factor ** (1 / len(self.supports))
        if factor != 1:
            history = History(history.error * factor, history.factor_norm * root, history.seconds)
        if any(support.n_prescribed for support in supports):
            supports = Supports(map(held, supports, values), supports.name)
        return Factorization(
            supports,
            values,
            rows=rows,
            columns=columns,
            norm=self.norm * factor,
            status=self.status,
            certificate=certificate,
            history=history,
            solver=self.solver,
            ridge_path=path,
        )

    def weighed(self, factor: float) -> Factorization:
        """Measure in the norm of weights that are ``factor**2`` times as large; return itself."""
        assert isinstance(self.certificate, StationaryProduct)
        history, path = self.history, self.ridge_path
        self.norm, self.certificate = self.norm * factor, self.certificate.weighed(factor)
        self.history = replace(history, error=history.error * factor)
        self.ridge_path = None if path is None else path.weighed(factor)
        return self

    def verify(self, A: Any, *, weights: Any = None, missing: str | None = None) -> Verification:
        """Check the factors and the certificate against A, by other means than the solver's.

        Parameters
        ----------
        A : array_like or sparse array, shape (m, n)
            The matrix that was factorized.
        weights, missing
            As they were given to `factorize`.

        Returns
        -------
        Verification
            True when every check passed; ``print`` it to see each.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            If A has another shape, or is no finite matrix.
        OptionError
            If weights are given where there were none, or are left out.

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
        self._on_host("a verification")
        A, roots = observed(A, weights, missing)
        check_on_host(A, "a verification")
        norm = checked_norm(A)
        if A.shape != self.shape:
            raise ShapeError(f"A must have the shape {self.shape} of the factorization; found {A.shape}")
        weighted = getattr(self.certificate, "weighted", False)
        if weighted != (roots is not None):
            raise OptionError(
                f"the factorization is {'weighted' if weighted else 'not weighted'}; found weights "
                f"{'left out' if weighted else 'given'}; verify it with those that it was made with"
            )
        if roots is not None:
            norm = frobenius_norm(roots * A)
        kept = all(_has_support(f, s) for f, s in zip(self.factors, self.supports, strict=True))
        finite = all(bool(np.isfinite(factor.data).all()) for factor in self.factors)
        own = (
            Check("factors keep to their supports", True, kept, kept),
            Check("factors are finite", True, finite, finite),
            Check("norm of A", self.norm, norm, abs(self.norm - norm) <= 1e-6 * norm),
        )
        if not (kept and finite):
            return Verification(own)
        A = A if self.rows is None else A[self.rows]
        A = A if self.columns is None else A[:, self.columns]
        if isinstance(self.certificate, StationaryProduct):
            return Verification(own + self.certificate.verify(A, self.supports, self.factors, roots).checks)
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
        self._on_host("a file")
        arrays: dict[str, NDArray[Any]] = {}
        for i, (value, support) in enumerate(zip(self.values, self.supports, strict=True)):
            arrays[f"data{i}"] = value
            if isinstance(support, FixedSupport):
                arrays[f"fixed{i}"], arrays[f"prescribed{i}"] = support.positions, support.prescribed
            if not isinstance(support, KroneckerPattern):
                arrays[f"indptr{i}"], arrays[f"indices{i}"] = support.indptr, support.indices
        for i, array in enumerate(self.certificate.arrays()):
            arrays[f"blocks{i}"] = array
        arrays |= {
            name: order
            for name, order in (("rows", self.rows), ("columns", self.columns))
            if order is not None
        }
        arrays |= {
            "error": self.history.error,
            "factor_norm": self.history.factor_norm,
            "seconds": self.history.seconds,
        } | ({} if self.ridge_path is None else self.ridge_path.arrays())
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "shapes": [support.shape for support in self.supports],
            "patterns": [getattr(support, "abcd", None) for support in self.supports],
            "name": self.supports.name,
            "norm": self.norm,
            "status": self.status.name,
            "solver": self.solver,
            "certificate": self.certificate.name,
            "numbers": self.certificate.scalars(),
        }
        text = json.dumps(header)
        with open(path, "wb") as file:
            np.savez(file, header=np.array(text), checksum=np.array(_checksum(text, arrays)), **arrays)  # type: ignore[arg-type]

    def __str__(self) -> str:
        from fsmf.receipt import receipt

        return receipt(self)

    def __repr__(self) -> str:
        m, n = self.shape
        return (
            f"<{m}×{n} Factorization, {len(self.factors)} factors, relative error {self.relative_error:.3g}>"
        )


def _has_support(factor: Any, support: Support) -> bool:
    """Whether the stored places of a factor, zeros included, are those of its support, and their values."""
    stored = sparse.coo_array(factor)
    pattern = Support(((stored.row, stored.col), stored.shape))
    if not isinstance(support, FixedSupport):
        return pattern == support
    values = factor.data[support.positions]
    return pattern == Support(support) and np.array_equal(values, support.prescribed.astype(values.dtype))


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
    values, supports = [], []
    patterns = header.get("patterns") or [None] * len(header["shapes"])
    for i, (shape, abcd) in enumerate(zip(header["shapes"], patterns, strict=True)):
        if abcd is not None:
            support: Support = KroneckerPattern(*abcd)
        else:
            pattern = sparse.csr_array(
                (arrays[f"data{i}"], arrays[f"indices{i}"], arrays[f"indptr{i}"]), shape=tuple(shape)
            )
            pattern.check_format(full_check=True)
            ones = np.ones(pattern.nnz)
            support = Support(sparse.csr_array((ones, pattern.indices, pattern.indptr), shape=shape))
            if f"fixed{i}" in arrays:
                support = FixedSupport(support, arrays[f"fixed{i}"], arrays[f"prescribed{i}"])
        values.append(arrays[f"data{i}"])
        supports.append(support)
    certificates: dict[str, Any] = {kind.name: kind for kind in get_args(Certificate)}
    blocks = [arrays[name] for name in sorted(arrays) if name.startswith("blocks")]
    return Factorization(
        joined(supports, header["name"]),
        values,
        rows=arrays.get("rows"),
        columns=arrays.get("columns"),
        norm=float(header["norm"]),
        status=Status[header["status"]],
        certificate=certificates[header["certificate"]].restored(header["numbers"], blocks),
        history=History(*(arrays[name].astype(float) for name in ("error", "factor_norm", "seconds"))),
        solver=header["solver"],
        ridge_path=RidgePath.from_arrays(arrays, len(supports)),
    )
