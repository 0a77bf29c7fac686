"""What a factorization into a chain promises, in numbers that can be checked from A and the chain alone.

At interface s of a chainable chain the places are cut into disjoint blocks, on each of which every product
has at most the rank of the interface. With E_s the distance of A from the matrices of such ranks, no product
of the chain is nearer to A than the largest E_s, and each step of the hierarchical algorithm loses at most
the E_s of its interface.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates import Check, Verification, close, dense, divided_factor, product_error
from fsmf.errors import FsmfError
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.matrix import comfortable_exponent, divided
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.supports.kronecker import Architecture, KroneckerPattern
from fsmf.supports.recognition import arrange
from fsmf.supports.support import Supports

__all__ = [
    "QuasiOptimum",
    "SumBound",
    "Whole",
    "is_extremal",
    "norm_off_pattern",
    "order_constant",
]


def is_extremal(order: Sequence[int]) -> bool:
    """Whether each interface is the smallest or the largest of those that remain."""
    remaining = sorted(order)
    for s in order:
        if s not in (remaining[0], remaining[-1]):
            return False
        remaining.remove(s)
    return True


def order_constant(order: Sequence[int]) -> float:
    """Return the c for which a factorization in this order is proved to err by at most c times the optimum.

    Parameters
    ----------
    order : sequence of int
        The interfaces that bound a rank, as they are split.

    Returns
    -------
    float
        ``√n`` for n interfaces in an extremal order, where the errors of the steps are orthogonal; for a
        tree processed depth first ``√(1 + c_first²) + c_second`` at each node; otherwise n.
    """
    if is_extremal(order):
        return math.sqrt(len(order))
    tree = _tree_constant(tuple(order))
    return min(float(len(order)), math.inf if tree is None else tree)


def _tree_constant(order: tuple[int, ...]) -> float | None:
    """The constant of a tree processed depth first; None for another order."""
    if not order:
        return 0.0
    root, rest = order[0], order[1:]
    sides = [tuple(s for s in rest if s < root), tuple(s for s in rest if s > root)]
    # A side without interfaces comes second, where it costs nothing.
    first, second = sides if sides[0] and rest[: len(sides[0])] == sides[0] else sides[::-1]
    if first + second != rest:
        return None
    constants = _tree_constant(first), _tree_constant(second)
    if constants[0] is None or constants[1] is None:
        return None
    return math.sqrt(1 + constants[0] ** 2) + constants[1]


class Whole(NamedTuple):
    """Say how supports can be cut: as which chain, and how A must be turned to fit it.

    Attributes
    ----------
    given : Architecture
        Chainable.
    chain : Architecture
        The same, not redundant.
    starts : tuple of int
        Which factor of the chain as it was given each one starts with.
    rows, columns : ndarray of int or None
        The order of A's rows and columns.
    transposed : bool
        Whether A is transposed after that.
    """

    given: Architecture
    chain: Architecture
    starts: tuple[int, ...]
    rows: Any
    columns: Any
    transposed: bool

    @classmethod
    def of(cls, supports: Supports) -> Whole | None:
        """Return how supports can be cut; None if they cannot."""
        return next(cls._all(supports), None)

    @classmethod
    def named_by(cls, order: Sequence[int], supports: Supports) -> Whole | None:
        """Return the cut at the interfaces that an order names, where there are several; else any."""
        # A chain and its transpose may both be chainable, and of equal ranks one or the other is redundant.
        for whole in cls._all(supports):
            if sorted(whole.numbered(order, len(supports))) == list(whole.starts[1:]):
                return whole
        return cls.of(supports)

    @classmethod
    def _all(cls, supports: Supports) -> Iterator[Whole]:
        arrangement = arrange(supports)
        if arrangement is not None:
            chain = arrangement.architecture
            for transposed, candidate in enumerate((chain, chain.T)):
                if candidate.is_chainable:
                    reduced, starts = candidate.reduced()
                    yield cls(
                        candidate, reduced, starts, arrangement.rows, arrangement.columns, bool(transposed)
                    )

    def numbered(self, order: Sequence[int], n: int) -> tuple[int, ...]:
        """Return the numbers in the chain of interfaces of n supports."""
        return tuple(n - s for s in order) if self.transposed else tuple(order)

    def turned(self, A: Any) -> Any:
        """Return A as the chain takes it."""
        A = A if self.rows is None else A[self.rows]
        A = A if self.columns is None else A[:, self.columns]
        return A.T if self.transposed else A


def norm_off_pattern(A: Any, pattern: KroneckerPattern) -> float:
    """Return ‖A‖_F off the places of a pattern, row by row."""
    a, b, c, d = pattern.abcd
    if a == d == 1:
        return 0.0
    if is_foreign(A):
        space = space_of(A)
        on = (
            space.eye(a, bool)[:, None, None, :, None, None]
            & space.eye(d, bool)[None, None, :, None, None, :]
        )
        places = space.xp.reshape(A, (a, b, d, a, c, d))
        return frobenius_norm(space.xp.where(on, space.xp.zeros_like(places), places))
    norms = []
    for i in range(A.shape[0]):
        row = dense(A[[i]])[0].reshape(a, c, d).copy()
        row[i // (b * d), :, i % d] = 0
        norms.append(frobenius_norm(row))
    return math.hypot(*norms)


@dataclass(frozen=True)
class QuasiOptimum:
    """Certify a factorization into a chain: how far it is from the best one, at most.

    Attributes
    ----------
    error : float
        ‖A − X1 … XL‖_F, in the units of A.
    lower_bound : float
        No product of the chain is nearer to A: the largest loss of a step, with what is out of reach.
    out_of_reach : float
        ‖A‖_F on the places that no product reaches.
    order : tuple of int
        The interfaces in the order in which they were split, counted from 1; those whose rank bounds nothing
        are left out.
    levels : tuple of float
        What the step at each interface of the chain lost, in the units of A. Where the rank bounds nothing
        this is 0, unless ranks were chosen on the way and a later one made it so.
    refined : int
        Number of passes of least squares after the steps.
    requested : float or None
        The error that was asked for, where ranks were chosen for it, in the units of A; a wish, not a claim.

    Notes
    -----
    **Guarantee.** ``lower_bound ≤ optimum ≤ error ≤ constant · optimum``, the optimum being over all factors
    on these supports, for A with its rows and columns in the order used. Where the order is extremal (left to
    right, for one), the losses are orthogonal: the error is the root of the sum of their squares.
    `verify` recomputes the error from the product, and the distances E_s from singular values by LAPACK.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, "Butterfly factorization with error guarantees", SIAM J. Matrix Anal.
    Appl. 46 (2025), arXiv:2411.04506; the constants are derived in the guarantees page of the documentation.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((8, 8))
    >>> print(fsmf.factorize(A, fsmf.butterfly(8)).certificate)  # doctest: +ELLIPSIS
    within a factor 1.41 of the optimum: ... ≤ optimum ≤ ..., by 2 steps
    """

    error: float
    lower_bound: float
    out_of_reach: float
    order: tuple[int, ...]
    levels: tuple[float, ...]
    refined: int = 0
    requested: float | None = None

    name: ClassVar[str] = "QuasiOptimum"

    @property
    def constant(self) -> float:
        """The factor within which the error is proved to be of the optimum, without unit; at least 1."""
        proved = math.inf if self._has_surplus else order_constant(self.order)
        ratio = self.error / self.lower_bound if self.lower_bound > 0 else math.inf
        return max(1.0, min(proved, ratio))

    @property
    def _has_surplus(self) -> bool:
        """Whether a step lost something where the rank, in the end, bounds nothing."""
        return any(level > 0 for s, level in enumerate(self.levels, start=1) if s not in self.order)

    @property
    def _is_orthogonal(self) -> bool:
        """Whether the error is the root of the sum of the squared losses."""
        return is_extremal(self.order) and self.refined == 0 and not self._has_surplus

    @property
    def gap(self) -> float:
        """How far the error may be above the smallest possible one, in the units of A."""
        return max(0.0, self.error - self.lower_bound)

    def scalars(self) -> dict[str, Any]:
        """Return the numbers of the certificate by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: none."""
        return []

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> QuasiOptimum:
        """Build the certificate from what a file holds."""
        lists = {name: tuple(numbers[name]) for name in ("order", "levels")}
        return cls(**(numbers | lists))

    def scaled(self, factor: float) -> QuasiOptimum:
        """Return the certificate of the problem for a multiple of A."""
        return replace(
            self,
            error=self.error * factor,
            lower_bound=self.lower_bound * factor,
            out_of_reach=self.out_of_reach * factor,
            levels=tuple(level * factor for level in self.levels),
            requested=None if self.requested is None else self.requested * factor,
        )

    def transposed(self) -> QuasiOptimum:
        """Return the certificate of the transposed problem."""
        n = len(self.levels) + 1
        return replace(self, order=tuple(n - s for s in self.order), levels=self.levels[::-1])

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check every number from A, the supports and the factors alone.

        Parameters
        ----------
        A : ndarray or sparse array, shape (m, n)
            The matrix that was factorized, rows and columns in the order used.
        supports : Supports
            The supports.
        factors : sequence of sparse arrays
            The factors.

        Returns
        -------
        Verification
            One `Check` per claim.
        """
        A, factors, scaled = _comfortable(A, factors, self)
        return Verification(tuple(scaled._checks(A, supports, factors)))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any]) -> list[Check]:
        whole = Whole.named_by(self.order, supports)
        if whole is None:
            return [Check("the supports are a chainable chain", True, False, False)]
        error, slack = product_error(A, factors)
        turned = whole.turned(A)
        out = norm_off_pattern(turned, whole.chain.product)
        n = len(supports)
        binding = whole.starts[1:]
        levels = self.levels[::-1] if whole.transposed else self.levels
        distances = _distances(turned, whole.chain, range(1, len(whole.chain)))
        norms = len(levels) == n - 1 and all(0 <= level < math.inf for level in levels)
        own = [levels[s - 1] for s in binding] if norms else []
        whole_order = whole.numbered(self.order, n)
        surplus = [s for s in range(1, n) if norms and s not in binding and levels[s - 1] > 0]
        bounds = zip(
            own + [levels[s - 1] for s in surplus],
            distances + _distances(turned, whole.given, surplus),
            strict=norms,
        )
        within = norms and all(level <= distance * (1 + 1e-7) + slack for level, distance in bounds)
        named = sorted(whole_order) == list(binding)
        # The first step splits A itself, so that it tells orders apart.
        first = binding.index(whole_order[0]) if named and own and not self._has_surplus else None
        starts = first is None or close(own[first], distances[first], slack)
        bound, largest = math.hypot(out, max(own, default=0.0)), math.hypot(out, max(distances, default=0.0))
        proved = max(1.0, order_constant(whole_order)) * largest
        if self._is_orthogonal:
            ceiling = math.hypot(out, *own)
            meets = self.refined == 0 and close(self.error, ceiling, slack)
        else:
            ceiling = math.hypot(out, sum(levels))
            proved = math.inf if self._has_surplus else proved
            meets = self.refined >= 0 and self.error <= ceiling * (1 + 1e-7) + slack
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check("out of reach", self.out_of_reach, out, close(self.out_of_reach, out, slack)),
            Check("order", self.order, binding, named),
            Check("losses ≤ distances", tuple(own), tuple(distances), within),
            Check("first loss = distance", tuple(own), tuple(distances), starts),
            Check("lower bound", self.lower_bound, bound, close(self.lower_bound, bound, slack)),
            Check(
                "lower bound ≤ largest distance",
                self.lower_bound,
                largest,
                self.lower_bound <= largest * (1 + 1e-7) + slack,
            ),
            Check("error and losses", self.error, ceiling, meets),
            Check("error ≤ constant · largest distance", error, proved, error <= proved * (1 + 1e-7) + slack),
        ]

    def __str__(self) -> str:
        steps = f"{len(self.order)} step{'s' * (len(self.order) != 1)}"
        if self.error <= self.lower_bound * (1 + 1e-12):
            return f"optimum: error {self.error:.6g} = lower bound, by {steps}"
        within = f"within a factor {self.constant:.3g} of the optimum"
        wish = "" if self.requested is None else f"; asked for {self.requested:.6g}"
        return f"{within}: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}, by {steps}{wish}"


@dataclass(frozen=True)
class SumBound:
    """Certify a sum of products of a chain: its error, and what bounds it from below.

    Attributes
    ----------
    error : float
        ‖A − sum‖_F, in the units of A.
    lower_bound : float
        No sum of so many products is nearer to A: they have so many times the rank on each block.
    terms : int
        Number of products.
    patterns : tuple of (int, int, int, int)
        The chainable chain.
    errors : tuple of float
        ‖A − sum of the first products‖_F after each product, in the units of A.
    is_transposed : bool
        Whether the sum is of transposed products.

    Notes
    -----
    **Guarantee.** ``lower_bound ≤ optimum ≤ error``. Each product is nearly the best for what the earlier
    ones leave; nothing is promised for the sum.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((16, 16))
    >>> F = fsmf.factorize(A, fsmf.butterfly(16), solver=fsmf.Hierarchical(residual_terms=2))
    >>> F.certificate.terms, bool(F.verify(A))
    (2, True)
    """

    error: float
    lower_bound: float
    terms: int
    patterns: tuple[tuple[int, int, int, int], ...]
    errors: tuple[float, ...]
    is_transposed: bool = False

    name: ClassVar[str] = "SumBound"

    @property
    def gap(self) -> float:
        """How far the error may be above the smallest possible one, in the units of A."""
        return max(0.0, self.error - self.lower_bound)

    def scalars(self) -> dict[str, Any]:
        """Return the numbers of the certificate by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays of the certificate: none."""
        return []

    @classmethod
    def restored(cls, numbers: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> SumBound:
        """Build the certificate from what a file holds."""
        lists = {"patterns": tuple(map(tuple, numbers["patterns"])), "errors": tuple(numbers["errors"])}
        return cls(**(numbers | lists))

    def scaled(self, factor: float) -> SumBound:
        """Return the certificate of the problem for a multiple of A."""
        errors = tuple(error * factor for error in self.errors)
        return replace(self, error=self.error * factor, lower_bound=self.lower_bound * factor, errors=errors)

    def transposed(self) -> SumBound:
        """Return the certificate of the transposed problem."""
        return replace(self, is_transposed=not self.is_transposed)

    def verify(self, A: Any, supports: Supports, factors: Sequence[Any]) -> Verification:
        """Check every number from A, the supports and the factors alone, as `QuasiOptimum.verify`."""
        A, factors, scaled = _comfortable(A, factors, self)
        return Verification(tuple(scaled._checks(A, supports, factors)))

    def _checks(self, A: Any, supports: Supports, factors: Sequence[Any]) -> list[Check]:
        none = [Check("the supports are those of a sum", True, False, False)]
        try:
            chain = Architecture(self.patterns)
            expected = chain.summed(self.terms)
        except FsmfError:
            return none
        same = supports == (expected.T if self.is_transposed else expected)
        if not same or not chain.is_chainable or len(self.errors) != self.terms:
            return none
        error, slack = product_error(A, factors)
        whole = Whole.of(chain.with_ranks([self.terms * rank for rank in chain.ranks]))
        assert whole is not None
        turned = A.T if self.is_transposed else A
        bound = math.hypot(
            norm_off_pattern(turned, whole.chain.product),
            max(_distances(turned, whole.chain, range(1, len(whole.chain))), default=0.0),
        )
        partial = [_partial_error(A, factors, k) for k in range(1, self.terms + 1)]
        agree = all(close(*pair, slack) for pair in zip(self.errors, partial, strict=True))
        return [
            Check("error", self.error, error, close(self.error, error, slack)),
            Check("errors", self.errors, tuple(partial), agree),
            Check(
                "lower bound ≤ largest distance",
                self.lower_bound,
                bound,
                0 <= self.lower_bound <= bound * (1 + 1e-7) + slack,
            ),
        ]

    def __str__(self) -> str:
        return f"sum of {self.terms} products: {self.lower_bound:.6g} ≤ optimum ≤ {self.error:.6g}"


def _distances(A: Any, chain: Architecture, interfaces: Sequence[int]) -> list[float]:
    """E_s for some interfaces of a chain, by LAPACK."""
    found = []
    for s in interfaces:
        interface = chain.interface(s)
        (a, b, _, d), (n_left, n_right) = interface.product.abcd, interface.n_blocks
        k, l, r = n_left // a, n_right // d, interface.rank
        (b1, c2), tails = interface.block, []
        for alpha in range(a):
            for kappa in range(k):
                # The columns of one slab, all its rows: blocks are disjoint pieces of it.
                columns = np.arange(c2) * d + (alpha * k + kappa) * c2 * d
                for delta in range(d):
                    rows = alpha * b * d + np.arange(b) * d + delta
                    slab = dense(A[rows][:, columns + delta]).reshape(b1, l, c2)
                    values = np.linalg.svd(slab.swapaxes(0, 1), compute_uv=False)
                    tails.append(frobenius_norm(values[:, r:]))
        found.append(math.hypot(*tails))
    return found


def _partial_error(A: Any, factors: Sequence[Any], terms: int) -> float:
    """‖A − sum of the first terms‖_F."""
    m, n = A.shape
    count = factors[0].shape[1] // m
    kept = [sparse.csr_array(factors[0])[:, : terms * m]]
    for factor in factors[1:-1]:
        rows, columns = (terms * side // count for side in factor.shape)
        kept.append(sparse.csr_array(factor)[:rows, :columns])
    kept.append(sparse.csr_array(factors[-1])[: terms * n])
    return product_error(A, kept)[0]


def _comfortable(A: Any, factors: Sequence[Any], certificate: Any) -> tuple[Any, Sequence[Any], Any]:
    """The same in units where no square leaves the floats."""
    exponent = comfortable_exponent(A.dtype, frobenius_norm(A))
    if not exponent:
        return A, factors, certificate
    factors = [divided_factor(factors[0], exponent), *factors[1:]]
    half = exponent // 2
    return divided(A, exponent), factors, certificate.scaled(2.0**-half).scaled(2.0 ** (half - exponent))
