"""The product of any number of factors on any supports: its objective, its gradient, its scale."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.residuals import dense
from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.factorization import Factorization
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import divided, tamed
from fsmf.kernels.product_descent import ValuesProblem
from fsmf.supports.fixed import FixedSupport
from fsmf.supports.layout import Index
from fsmf.supports.support import Support, Supports
from fsmf.tractability import Part

__all__ = ["ProductProblem", "Values", "is_general", "product_cost", "unweighted"]

Array = NDArray[Any]

# The values of all factors, each in the row-major order of its support.
Values = list[Array]

# Factors of at most so many places, or of so large a share of nonzeros, are multiplied as dense arrays.
_SMALL, _DENSE = 4096, 0.25

# Rounds of balancing: one settles a pair, and few a chain.
_ROUNDS = 4

# How large A and prescribed values may be, in double and in single precision: free factors make up for both.
_RANGE, _RANGE_SINGLE = (1e-50, 1e50), (1e-18, 1e18)


@dataclass(frozen=True, eq=False)
class ProductProblem:
    """Minimise ``‖A − X1 … XL‖² + ridge Σ‖Xi‖²`` on given supports, entries of A weighted or not.

    Attributes
    ----------
    A : ndarray, shape (m, n)
        The matrix, in double precision.
    supports : Supports
        One support per factor.
    ridge : float
        Weight of the squared factor norms.
    exponent : int
        The matrix is that of the user divided by ``2**exponent``.
    dtype : dtype
        The user's dtype, in which the factors will be stored.
    norm : float
        ‖A‖_F, weighted.
    roots : ndarray, shape (m, n), or None
        Square roots of the weights; None for none.
    shares : tuple of int
        Each factor is that of the user times ``2**share``, and so is what its support prescribes; they add up
        to 0. Empty for zeros.
    """

    A: Array
    supports: Supports
    ridge: float
    exponent: int
    dtype: np.dtype[Any]
    norm: float
    roots: Array | None = None
    shares: tuple[int, ...] = ()

    @classmethod
    def of(cls, A: Any, part: Part, *, ridge: float, exponent: int, evened: bool = False) -> ProductProblem:
        """Take a whole matrix, which was divided by ``2**exponent``; the ridge was not.

        Where no size of the factors counts they may be evened: scaled so that prescribed values are as large
        as entries of balanced factors.
        """
        supports = part.structure.supports
        own = A.toarray() if sparse.issparse(A) else A
        own = own.astype(np.result_type(A.dtype, np.float64), copy=False)
        # Beside a matrix of ordinary size a ridge as large as this leaves nothing of the factors.
        ridge = min(ridge * 2.0 ** min(-exponent * (2 - 2 / len(supports)), 400.0), 2.0**400)
        norm = frobenius_norm(own if part.roots is None else part.roots * own)
        _check_prescribed([_prescribed(support) for support in supports if support.n_prescribed], A, norm)
        problem = cls(own, supports, ridge, exponent, A.dtype, norm, part.roots)
        return problem._evened() if evened and part.structure.n_prescribed else problem

    def _evened(self) -> ProductProblem:
        """The problem for factors scaled by powers of two, which move nothing but exponents."""
        sizes = [_root_mean_square(_prescribed(support)) for support in self.supports]
        entry, free = self._entry, sizes.count(0.0)
        wanted = [math.log2(entry / size) if size else 0.0 for size in sizes]
        # What the scales of the prescribing factors add up to, those that are free take back, or else all.
        back = sum(wanted) / (free or len(self))
        pairs = zip(wanted, sizes, strict=True)
        ends = np.cumsum([own - back * (not free or not size) for own, size in pairs])
        shares = tuple(np.diff(np.rint(ends).astype(int), prepend=0).tolist())
        supports = Supports(
            support.scaled(share) if isinstance(support, FixedSupport) else support
            for support, share in zip(self.supports, shares, strict=True)
        )
        return replace(self, supports=supports, shares=shares)

    def uneven(self, values: Values, supports: Supports) -> tuple[ProductProblem, Values]:
        """Return the problem on the supports of the user, and the values there."""
        if not self.shares:
            return self, values
        own = [divided(value, share) for value, share in zip(values, self.shares, strict=True)]
        return replace(self, supports=supports, shares=()), own

    def __len__(self) -> int:
        return len(self.supports)

    @property
    def n_unknowns(self) -> int:
        """How many entries of the factors are free."""
        return sum(support.nnz - support.n_prescribed for support in self.supports)

    def ridged(self, ridge: float) -> ProductProblem:
        """Return the problem with another ridge; what the supports tell is kept."""
        other = copy(self)
        object.__setattr__(other, "ridge", ridge)
        other.__dict__.pop("in_values", None)
        return other

    @property
    def eps(self) -> float:
        """Rounding of the user's dtype."""
        return float(np.finfo(self.dtype).eps)

    @cached_property
    def places(self) -> list[tuple[Index, Index]]:
        """Rows and columns of the nonzeros of each factor."""
        return [support.coordinates() for support in self.supports]

    def factor(self, i: int, values: Array) -> Any:
        """Factor i with these values, dense or sparse, whichever multiplies faster."""
        support = self.supports[i]
        if math.prod(support.shape) <= _SMALL or support.density > _DENSE:
            dense = np.zeros(support.shape, values.dtype)
            dense[self.places[i]] = values
            return dense
        return sparse.csr_array((values, support.indices, support.indptr), shape=support.shape)

    def factors(self, values: Values) -> list[Any]:
        """All factors."""
        return [self.factor(i, value) for i, value in enumerate(values)]

    def prefixes(self, values: Values) -> list[Array | None]:
        """X1, X1 X2, …, of one factor up to all; before them None, the identity."""
        own = self.factors(values)
        return [None, *accumulate(own[1:], lambda product, X: product @ X, initial=dense(own[0]))]

    def suffixes(self, values: Values) -> list[Array | None]:
        """X2 … XL, X3 … XL, …, XL, and then None, the identity."""
        own = self.factors(values)[:0:-1]
        if not own:
            return [None]
        products = accumulate(own[1:], lambda product, X: X @ product, initial=dense(own[0]))
        return [*reversed([*products]), None]

    def residual(self, values: Values) -> Array:
        """Return ``A − X1 … XL``."""
        product = self.prefixes(values)[-1]
        assert product is not None
        return self.A - product

    def squared(self, residual: Array) -> float:
        """Return the squared norm of a residual, weighted."""
        return frobenius_norm(residual if self.roots is None else self.roots * residual) ** 2

    def penalty(self, values: Values) -> float:
        """Return ``ridge Σ‖Xi‖²``."""
        return self.ridge * sum(frobenius_norm(value) ** 2 for value in values) if self.ridge else 0.0

    @cached_property
    def _weights(self) -> Array | None:
        return None if self.roots is None else self.roots**2

    def pull(self, i: int, left: Array | None, residual: Array, right: Array | None) -> Array:
        """Return ``leftᴴ residual rightᴴ`` at the places of factor i, the residual weighted.

        None stands for the identity.
        """
        if self._weights is not None:
            residual = self._weights * residual
        if left is not None:
            residual = left.conj().T @ residual
        rows, columns = self.places[i]
        if right is None:
            at_places: Array = residual[rows, columns]
        elif len(rows) * 8 < math.prod(self.supports[i].shape):
            at_places = np.einsum("kj,kj->k", residual[rows], right[columns].conj())
        else:
            at_places = (residual @ right.conj().T)[rows, columns]
        return at_places

    def gradient(self, values: Values) -> Values:
        """Half the negative gradient of the objective, at the free entries of each factor."""
        residual = self.residual(values)
        sides = zip(self.prefixes(values)[:-1], self.suffixes(values), values, strict=True)
        return [
            (self.pull(i, left, residual, right) - self.ridge * value)[self.supports[i].free]
            for i, (left, right, value) in enumerate(sides)
        ]

    def relative_gradient(self, values: Values) -> float:
        """The norm of half the gradient without its unit, as a certificate states it."""
        pairs = zip(self.prefixes(values)[:-1], self.suffixes(values), strict=True)
        sizes = [math.prod(frobenius_norm(side) for side in pair if side is not None) for pair in pairs]
        scale = self.norm * math.hypot(*sizes)
        return math.hypot(*map(frobenius_norm, self.gradient(values))) / scale if scale else 0.0

    def balanced(self, values: Values, *, all_movable: bool = False) -> Values:
        """Values of the same product whose factors meet with equal norms at each interface.

        Column k of a factor and row k of the next are given equal norms, a few times over, unless a value in
        them is prescribed, and held already.
        """
        values = list(values)
        for _ in range(_ROUNDS if len(values) > 2 else 1):
            for i in range(len(values) - 1):
                own, k = self.places[i][1], self.places[i + 1][0]
                r = self.supports[i].shape[1]
                x = np.bincount(own, weights=np.abs(values[i]) ** 2, minlength=r)
                y = np.bincount(k, weights=np.abs(values[i + 1]) ** 2, minlength=r)
                movable = (self.movable[i] | all_movable) & (x > 0) & (y > 0)
                # Roots first: the quotient of the squares may be no float.
                scale = np.divide(y**0.25, x**0.25, out=np.ones(r), where=movable)
                values[i], values[i + 1] = values[i] * scale[own], values[i + 1] / scale[k]
        return values

    @cached_property
    def movable(self) -> list[NDArray[np.bool_]]:
        """Of each interface the components without a prescribed value, which have no scale of their own."""
        found = []
        for i, (one, other) in enumerate(pairwise(self.supports)):
            free = np.ones(one.shape[1], bool)
            for support, index in ((one, self.places[i][1]), (other, self.places[i + 1][0])):
                if isinstance(support, FixedSupport):
                    free[index[support.positions]] = False
            found.append(free)
        return found

    def factor_norm(self, values: Values) -> float:
        """``(Σ‖Xi‖²)^½``, in the units of ‖A‖^(1/L)."""
        return math.hypot(*map(frobenius_norm, values))

    def rounding(self, values: Values) -> float:
        """How much rounding of the factors to the user's dtype moves their product, about."""
        terms = self.prefixes([np.abs(value) for value in values])[-1]
        return self.eps * frobenius_norm(terms)

    @property
    def ordinary(self) -> float:
        """A squared norm that balanced factors of A, or of anything smaller, need not exceed."""
        L = len(self)
        r = min(side for support in self.supports for side in support.shape)
        return float(L * r ** (1 - 1 / L) * self.norm ** (2 / L))

    def warm(self, initial: Any) -> Values:
        """Values on the supports of given factors."""
        factors = initial.factors if isinstance(initial, Factorization) else initial
        if not isinstance(factors, tuple | list) or len(factors) != len(self):
            raise ShapeError(
                f"initial must be a Factorization or {len(self)} factors, as they multiply; found "
                f"{type(factors).__name__}"
            )
        own = self.shares or (0,) * len(self)
        exponents = [(self.exponent + i) // len(self) - share for i, share in enumerate(own)]
        return [
            self._start(factor, support, exponent)
            for factor, support, exponent in zip(factors, self.supports, exponents, strict=True)
        ]

    def _start(self, factor: Any, support: Support, exponent: int) -> Array:
        factor = factor.toarray() if sparse.issparse(factor) else np.asarray(factor)
        if factor.shape != support.shape:
            raise ShapeError(
                f"initial must be factors of the shapes of the supports; found one of shape {factor.shape} "
                f"for a support of shape {support.shape}"
            )
        if factor.dtype.kind not in "biufc" or not np.isfinite(factor).all():
            raise OptionError("initial must be finite numbers; found something else")
        if factor.dtype.kind == "c" and not np.iscomplexobj(self.A):
            raise OptionError("initial must be real, as A is; found complex factors")
        values: Array = tamed(factor[support.coordinates()].astype(self.A.dtype), exponent)
        return values

    def holding(self, values: Values) -> Values:
        """The values, but for those that are prescribed."""
        found = []
        for value, support in zip(values, self.supports, strict=True):
            if isinstance(support, FixedSupport):
                value = value.copy()
                value[support.positions] = support.prescribed
            found.append(value)
        return found

    def random(self, rng: np.random.Generator) -> Values:
        """Draw Gaussian factors of the size that makes their product about as large as A."""
        return [self._entry * self.gaussian(rng, support.nnz) for support in self.supports]

    @cached_property
    def _entry(self) -> float:
        """The size of the entries of Gaussian factors whose product is about as large as A."""
        n_paths = self._n_paths
        return (self.norm / math.sqrt(n_paths)) ** (1 / len(self)) if n_paths and self.norm else 1.0

    @cached_property
    def _n_paths(self) -> float:
        """How many products of one entry of each factor the product is a sum of."""
        paths = np.ones(self.supports.shape[0])
        for support in self.supports:
            paths = paths @ support.to_sparse().astype(float)
        return float(paths.sum())

    @cached_property
    def in_values(self) -> ValuesProblem:
        """The same problem in the values alone."""
        frozen = [np.ones(support.nnz, bool) for support in self.supports]
        for flags, support in zip(frozen, self.supports, strict=True):
            flags[support.free] = False
        return ValuesProblem(
            self.A,
            [support.shape for support in self.supports],
            self.places,
            weights=self._weights,
            ridge=self.ridge,
            frozen=np.concatenate(frozen),
        )

    def gaussian(self, rng: np.random.Generator, size: int) -> Array:
        """Draw so many numbers, complex if A is."""
        values = rng.standard_normal(size)
        return values + 1j * rng.standard_normal(size) if np.iscomplexobj(self.A) else values


def is_general(part: Part) -> bool:
    """Whether a problem is beyond a plain pair: of another length, weighted, or with prescribed values."""
    return not part.structure.is_pair or part.roots is not None or part.structure.n_prescribed > 0


def unweighted(part: Part) -> Supports | None:
    """Return the supports if the error weighs all entries alike, as verdicts on best products ask."""
    return part.structure.supports if part.roots is None else None


def _prescribed(support: Support) -> Array:
    return support.prescribed if isinstance(support, FixedSupport) else np.zeros(0)


def _check_prescribed(values: list[Array], A: Array, norm: float) -> None:
    """Check that values suit a matrix of this norm, in the user's precision."""
    if A.dtype.kind == "f" and any(map(np.iscomplexobj, values)):
        raise InputTypeError("prescribed values must be real, as A is; found complex ones; give a complex A")
    low, high = _RANGE_SINGLE if A.dtype.char in "fF" else _RANGE
    sizes = [norm, *(float(np.abs(value).max()) for value in values)] if values else []
    if any(size and not low <= size <= high for size in sizes):
        raise InputError(
            f"where values are prescribed, the norm of A and the largest in each factor must be 0 or between "
            f"{low:g} and {high:g}; found {', '.join(f'{size:g}' for size in sizes)}; scale them"
        )


def _root_mean_square(values: Array) -> float:
    """Of what is not zero; 0 of nothing."""
    sizes = np.abs(values[values != 0])
    return float(np.sqrt(np.mean(sizes**2))) if sizes.size else 0.0


def product_cost(supports: Supports) -> tuple[float, float]:
    """Operations of a sweep over all factors, and bytes of memory beyond A."""
    m, n = supports.shape
    flops = 0.0
    for support in supports:
        p, q = support.shape
        flops += 4.0 * m * n * p + 2.0 * m * q * n + 2.0 * (m * p * p + n * q * q) + support.nnz**2
    return flops, 8.0 * (4 * m * n + sum(m * s.shape[1] + s.shape[0] * n for s in supports))
