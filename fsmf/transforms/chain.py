"""Chains of factors with values: what the transforms are built from."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.errors import OptionError, PerformanceWarning
from fsmf.factorization import Factorization
from fsmf.products.product import joined
from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.layout import Index
from fsmf.supports.sizes import as_count
from fsmf.supports.support import Support
from fsmf.warning import warn_caller

__all__ = [
    "Chain",
    "Factor",
    "as_dtype",
    "as_size",
    "normalization",
    "prime_factors",
    "unit_roots",
    "warn_of_dense_blocks",
]

# A larger prime is reported: its factor spends more on a vector than all the others of a common size.
_LARGEST_QUIET_PRIME = 64


class Factor(NamedTuple):
    """Hold one factor: its support, and its values in row-major order, in any shape that flattens to it."""

    support: Support
    values: NDArray[Any]

    @classmethod
    def kronecker(cls, values: NDArray[Any], *, copies: int) -> Factor:
        """Return ``I_copies ⊗`` the factor with these values of shape ``(b, d, c)``; they are not copied."""
        b, d, c = values.shape
        return cls(KroneckerPattern(copies, b, c, d), np.broadcast_to(values, (copies, b, d, c)))

    @classmethod
    def of(cls, matrix: Any) -> Factor:
        """Return the factor that a sparse matrix is, its stored zeros included."""
        csr = sparse.csr_array(matrix)
        csr.sum_duplicates()
        places = np.ones(csr.nnz, dtype=bool)
        return cls(Support(sparse.csr_array((places, csr.indices, csr.indptr), shape=csr.shape)), csr.data)

    def to_sparse(self) -> sparse.csr_array:
        """Return the factor as a ``csr_array``."""
        support = self.support
        data = self.values.reshape(-1)
        return sparse.csr_array((data, support.indices, support.indptr), shape=support.shape)

    @property
    def T(self) -> Factor:
        """The transposed factor."""
        if isinstance(self.support, KroneckerPattern):
            return Factor(
                self.support.T, self.values.reshape(self.support.blocks_shape).transpose(0, 3, 2, 1)
            )
        return Factor.of(self.to_sparse().T)

    def scaled(self, rows: NDArray[Any] | None, columns: NDArray[Any] | None) -> Factor:
        """Multiply row i by ``rows[i]`` and column j by ``columns[j]``."""
        support, values = self.support, self.values.reshape(-1)
        if rows is not None:
            values = values * np.repeat(rows, np.diff(support.indptr))
        if columns is not None:
            values = values * columns[support.indices]
        return Factor(support, values)

    def fused(self, other: Factor) -> Factor | None:
        """Return the product with another factor if that has Kronecker blocks at the same places."""
        left, right = self.support, other.support
        if not (isinstance(left, KroneckerPattern) and isinstance(right, KroneckerPattern)):
            return None
        if (left.abcd[0], left.abcd[3]) != (right.abcd[0], right.abcd[3]):
            return None
        blocks = (
            f.reshape(s.blocks_shape).swapaxes(1, 2) for s, f in ((left, self.values), (right, other.values))
        )
        return Factor(left * right, np.matmul(*blocks).swapaxes(1, 2))


class Chain(NamedTuple):
    """Hold factors, left to right, and which row and column of the operator each outer index makes.

    ``F[rows[i], columns[j]] = (X1 … XL)[i, j]``.
    """

    factors: tuple[Factor, ...]
    rows: Index
    columns: Index

    @property
    def T(self) -> Chain:
        """The transposed chain."""
        return Chain(tuple(factor.T for factor in reversed(self.factors)), self.columns, self.rows)

    def __matmul__(self, other: Chain) -> Chain:
        """Multiply two chains that agree in the order of their inner side."""
        inner = self.factors[-1].fused(other.factors[0])
        middle = (self.factors[-1], other.factors[0]) if inner is None else (inner,)
        return Chain((*self.factors[:-1], *middle, *other.factors[1:]), self.rows, other.columns)

    def relabelled(self, *, rows: Index | None = None, columns: Index | None = None) -> Chain:
        """Make row i of the operator its row ``rows[i]``, and column j its column ``columns[j]``."""
        return Chain(
            self.factors,
            self.rows if rows is None else rows[self.rows],
            self.columns if columns is None else columns[self.columns],
        )

    def scaled(self, *, rows: NDArray[Any] | None = None, columns: NDArray[Any] | None = None) -> Chain:
        """Multiply row i of the operator by ``rows[i]``, and column j by ``columns[j]``."""
        factors = list(self.factors)
        if rows is not None:
            factors[0] = factors[0].scaled(rows[self.rows], None)
        if columns is not None:
            factors[-1] = factors[-1].scaled(None, columns[self.columns])
        return Chain(tuple(factors), self.rows, self.columns)

    def restricted(self, rows: slice, columns: slice) -> Chain:
        """Keep these rows and columns of the operator."""
        first, last = np.arange(len(self.rows))[rows], np.arange(len(self.columns))[columns]
        i = np.flatnonzero((self.rows >= first[0]) & (self.rows <= first[-1]))
        j = np.flatnonzero((self.columns >= last[0]) & (self.columns <= last[-1]))
        factors = list(self.factors)
        if len(i) < len(self.rows):
            factors[0] = Factor.of(factors[0].to_sparse()[i])
        if len(j) < len(self.columns):
            factors[-1] = Factor.of(factors[-1].to_sparse()[:, j])
        return Chain(tuple(factors), self.rows[i] - first[0], self.columns[j] - last[0])

    def factorization(
        self, name: str, *, scale: float = 1.0, norm: float, dtype: np.dtype[Any]
    ) -> Factorization:
        """Return ``scale`` times the chain as an operator, of this Frobenius norm."""
        (support, values), *others = self.factors
        # One factor takes it all: a power of two then rounds nothing.
        factors = [Factor(support, values if scale == 1 else scale * values), *others]
        return Factorization.by_construction(
            joined([factor.support for factor in factors], name),
            [factor.values.astype(dtype, order="C", copy=False) for factor in factors],
            rows=self.rows,
            columns=self.columns,
            norm=norm,
        )


def unit_roots(numerators: Any, denominator: int) -> NDArray[np.complex128]:
    """Return ``exp(2πi p/q)`` for integers p and one q; exact on the axes, equal where symmetry says so."""
    eighth, rest = np.divmod(8 * (np.asarray(numerators) % denominator), denominator)
    rest = np.where(eighth % 2, denominator - rest, rest)
    angle = (math.pi / 4) * (rest / denominator)
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine = np.where(rest == denominator, sine, cosine)  # at π/4 they are equal, rounded they are not
    flipped = eighth % 2 == 1
    first = np.where(flipped, sine, cosine) + 1j * np.where(flipped, cosine, sine)
    roots: NDArray[np.complex128] = np.array([1, 1j, -1, -1j])[eighth // 2] * first
    return roots


def prime_factors(n: int) -> list[int]:
    """Return the prime factors of n, ascending; [1] for n = 1."""
    factors, p = [], 2
    while p * p <= n:
        while n % p == 0:
            factors.append(p)
            n //= p
        p += 1
    return [*factors, n] if n > 1 or not factors else factors


def as_size(n: Any, *, at_least: int = 1) -> int:
    """Check a number of points."""
    try:
        return as_count("n", n, at_least=at_least)
    except OptionError as error:
        raise OptionError(f"{error}; give the number of points") from None


def warn_of_dense_blocks(asked: str, n: int) -> None:
    """Warn if the chain of size n has large dense blocks."""
    prime = prime_factors(n)[-1]
    if prime > _LARGEST_QUIET_PRIME:
        warn_caller(
            f"{asked} splits as its size {n} does; found the prime factor {prime}, which makes one factor of "
            f"{n} × {prime} nonzeros or more; take a size with small prime factors where you can",
            PerformanceWarning,
        )


def as_dtype(dtype: Any, *allowed: type[np.generic]) -> np.dtype[Any]:
    """Check the dtype of the factors."""
    names = " or ".join(kind.__name__ for kind in allowed)
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise OptionError(f"dtype must be {names}; found {dtype!r}; choose one of them") from None
    if found not in [np.dtype(kind) for kind in allowed]:
        raise OptionError(f"dtype must be {names}; found {found}; choose one of them")
    return found


def normalization(norm: Any, size: int, *, inverse: bool = False) -> float:
    """Return what a transform of this logical size is multiplied by, as in `scipy.fft`."""
    names = {None: 0.0, "backward": 0.0, "ortho": 0.5, "forward": 1.0}
    if not (norm is None or isinstance(norm, str)) or norm not in names:
        raise OptionError(f"norm must be 'backward', 'ortho', 'forward' or None; found {norm!r}; choose one")
    power = names[norm]
    if inverse:
        power = 1 - power
    return 1 / math.sqrt(size) if power == 0.5 else float(size) ** -power
