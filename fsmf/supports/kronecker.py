"""Kronecker-sparse supports and their chains: what butterfly, Monarch and deformable factorizations share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError, ShapeError, SupportError
from fsmf.supports.sizes import as_counts
from fsmf.supports.support import Support, Supports

__all__ = ["Architecture", "Interface", "KroneckerPattern", "why_not_chainable"]

# No side of a matrix reaches this.
_HUGE = 1 << 31


class KroneckerPattern(Support):
    """Say that a factor may be nonzero on ``I_a ⊗ 1_{b×c} ⊗ I_d``.

    The factor has ``a·d`` dense blocks of ``b × c`` entries: row ``(α, β, δ)`` meets column ``(α, γ, δ)``,
    where the last index runs fastest.

    Parameters
    ----------
    a, b, c, d : int
        Positive. The shape is ``(a·b·d, a·c·d)``, and there are ``a·b·c·d`` nonzeros.

    Raises
    ------
    SupportError
        If a number is not a positive integer, or a side of the shape reaches 2³¹.

    Notes
    -----
    Cost: none; compressed rows are laid out when first asked for. Equal to any `Support` with the same
    places. Values in row-major order, viewed with the shape ``(a, b, d, c)``, hold entry ``(α, β, δ, γ)``.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, "Butterfly factorization with error guarantees", SIAM J. Matrix Anal.
    Appl. 46 (2025), arXiv:2411.04506.

    Examples
    --------
    >>> import fsmf
    >>> pattern = fsmf.KroneckerPattern(1, 2, 2, 2)
    >>> pattern, pattern.T
    (KroneckerPattern(1, 2, 2, 2), KroneckerPattern(1, 2, 2, 2))
    >>> pattern.toarray().astype(int)
    array([[1, 0, 1, 0],
           [0, 1, 0, 1],
           [1, 0, 1, 0],
           [0, 1, 0, 1]])
    """

    def __init__(self, a: int, b: int, c: int, d: int) -> None:
        given = (a, b, c, d)
        for number in given:
            whole = isinstance(number, int | np.integer) and not isinstance(number, bool | np.bool_)
            if not whole or number < 1:
                raise SupportError(f"a Kronecker pattern takes four positive integers; found {given}")
        self.abcd = (int(a), int(b), int(c), int(d))
        a, b, c, d = self.abcd
        self._shape = (a * b * d, a * c * d)
        if max(self._shape) >= _HUGE:
            raise SupportError(f"the sides of a pattern must be below 2³¹; {given} makes {self._shape}")

    @property
    def indptr(self) -> NDArray[np.integer]:
        """Where each row starts in `indices`, shape ``(n_rows + 1,)``; read-only."""
        return self._compressed[0]

    @property
    def indices(self) -> NDArray[np.integer]:
        """Columns of the nonzeros, row by row and ascending, shape ``(nnz,)``; read-only."""
        return self._compressed[1]

    @cached_property
    def _compressed(self) -> tuple[NDArray[Any], NDArray[Any]]:
        a, b, c, d = self.abcd
        dtype = np.int32 if self.nnz < _HUGE else np.int64
        columns = np.arange(a * c * d, dtype=dtype).reshape(a, 1, c, d).swapaxes(2, 3)
        indices = np.ascontiguousarray(np.broadcast_to(columns, (a, b, d, c))).reshape(-1)
        indptr = np.arange(0, self.nnz + 1, c, dtype=dtype)
        indices.flags.writeable = indptr.flags.writeable = False
        return indptr, indices

    @property
    def nnz(self) -> int:
        """Number of places that may be nonzero."""
        return math.prod(self.abcd)

    @property
    def blocks_shape(self) -> tuple[int, int, int, int]:
        """Shape ``(a, b, d, c)`` of the values in row-major order."""
        a, b, c, d = self.abcd
        return (a, b, d, c)

    @cached_property
    def T(self) -> KroneckerPattern:
        """The transposed pattern, (a, c, b, d)."""
        a, b, c, d = self.abcd
        return KroneckerPattern(a, c, b, d)

    def __mul__(self, other: KroneckerPattern) -> KroneckerPattern:
        """Return the pattern of the product of a chainable pair."""
        return Interface.of(self, other).product if isinstance(other, KroneckerPattern) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KroneckerPattern):
            # Only an identity has several names.
            identities = self.abcd[1:3] == other.abcd[1:3] == (1, 1)
            return self.abcd == other.abcd or (identities and self.shape == other.shape)
        return super().__eq__(other)

    __hash__ = Support.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return (KroneckerPattern, self.abcd)

    def __repr__(self) -> str:
        return f"KroneckerPattern{self.abcd}"


class Interface(NamedTuple):
    """What two chainable patterns share: their product splits into blocks of bounded rank.

    Attributes
    ----------
    left, right : KroneckerPattern
        The two patterns.
    rank : int
        Number r of components that share a block: products have rank at most r on each.
    product : KroneckerPattern
        The places that products reach.
    n_blocks : tuple of int
        ``(a₂, d₁)``: the places are cut into a₂·d₁ disjoint blocks.
    block : tuple of int
        ``(b₁, c₂)``: rows and columns of each block.
    """

    left: KroneckerPattern
    right: KroneckerPattern
    rank: int
    product: KroneckerPattern
    n_blocks: tuple[int, int]
    block: tuple[int, int]

    @property
    def is_redundant(self) -> bool:
        """Whether the rank bounds nothing: every matrix on the product's places is such a product."""
        return self.rank >= min(self.block)

    @classmethod
    def of(cls, left: KroneckerPattern, right: KroneckerPattern) -> Interface:
        """Return the interface of a chainable pair.

        Raises
        ------
        ShapeError
            If the pair is not chainable.
        """
        if reason := why_not_chainable(left, right):
            raise ShapeError(f"{reason}; only chainable patterns have a product pattern")
        (a1, b1, c1, d1), (a2, _, c2, d2) = left.abcd, right.abcd
        product = KroneckerPattern(a1, b1 * d1 // d2, a2 * c2 // a1, d2)
        return cls(left, right, a1 * c1 // a2, product, (a2, d1), (b1, c2))


def why_not_chainable(left: KroneckerPattern, right: KroneckerPattern) -> str | None:
    """Return None for a chainable pair, else one sentence with the condition that fails."""
    (a1, _, c1, d1), (a2, _, _, d2) = left.abcd, right.abcd
    pair = f"{left.abcd} and {right.abcd}"
    if left.shape[1] != right.shape[0]:
        return f"{pair} do not multiply: {left.shape[1]} columns meet {right.shape[0]} rows"
    if a2 % a1:
        return f"{pair} are not chainable: a = {a1} on the left does not divide a = {a2} on the right"
    if d1 % d2:
        return f"{pair} are not chainable: d = {d2} on the right does not divide d = {d1} on the left"
    if (a1 * c1) % a2:
        # b₂d₂/d₁ is the same number, since the sizes agree.
        return f"{pair} are not chainable: a·c/a' = {a1}·{c1}/{a2} is no integer"
    return None


class Architecture(Supports):
    """Hold a chain of Kronecker patterns, left to right, as they multiply.

    Parameters
    ----------
    patterns : iterable of KroneckerPattern or of (a, b, c, d)
        One per factor; the columns of each are the rows of the next.
    name : str, optional
        What to call the whole.

    Raises
    ------
    SupportError, ShapeError
        If there is no factor, a pattern is none, or neighbours do not multiply.

    Notes
    -----
    A chain is *chainable* when all its neighbours are: ``a₁ | a₂``, ``d₂ | d₁`` and ``a₁c₁/a₂`` an integer r,
    the rank of the interface. Its products are then exactly the matrices whose blocks, at every interface,
    have at most that rank, and a best approximation exists for every A. Transposition reverses the divisions:
    the transpose of a chainable chain is in general not chainable, and `factorize` tries both.

    Cost: none; nothing is laid out.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, "Butterfly factorization with error guarantees", SIAM J. Matrix Anal.
    Appl. 46 (2025), arXiv:2411.04506.

    Examples
    --------
    >>> import fsmf
    >>> chain = fsmf.Architecture([(1, 2, 2, 4), (2, 2, 2, 2), (4, 2, 2, 1)])
    >>> chain.is_chainable, chain.ranks, chain.dimension
    (True, (1, 1), 32)
    >>> chain == fsmf.butterfly(8)
    True
    """

    def __new__(cls, patterns: Iterable[Any], name: str | None = None) -> Architecture:
        """Check that the patterns multiply; a tuple is filled before ``__init__``."""
        self = super().__new__(cls, [_as_pattern(pattern) for pattern in patterns], name)
        assert isinstance(self, Architecture)
        return self

    @property
    def patterns(self) -> tuple[KroneckerPattern, ...]:
        """The patterns, left to right."""
        return tuple(self)  # type: ignore[arg-type]

    @property
    def T(self) -> Architecture:
        """The transposed chain: each pattern transposed, in reverse order."""
        name = self.name and (self.name.removesuffix(".T") if self.name.endswith(".T") else f"{self.name}.T")
        return Architecture((pattern.T for pattern in reversed(self.patterns)), name)

    def __matmul__(self, other: Architecture) -> Architecture:
        """Concatenate two chains."""
        if not isinstance(other, Architecture):
            return NotImplemented
        name = f"{self.name} @ {other.name}" if self.name and other.name else None
        return Architecture((*self, *other), name)

    def why_not_chainable(self) -> str | None:
        """Return None for a chainable chain, else one sentence that names the first interface that fails."""
        return self._why_not_chainable

    @cached_property
    def _why_not_chainable(self) -> str | None:
        for s, (left, right) in enumerate(pairwise(self.patterns), start=1):
            if reason := why_not_chainable(left, right):
                return f"interface {s}: {reason}"
        return None

    @property
    def is_chainable(self) -> bool:
        """Whether all neighbours are chainable."""
        return self.why_not_chainable() is None

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each of the L − 1 interfaces of a chainable chain."""
        return tuple(Interface.of(*pair).rank for pair in pairwise(self.patterns))

    @cached_property
    def product(self) -> KroneckerPattern:
        """The pattern of all products of a chainable chain."""
        return reduce(KroneckerPattern.__mul__, self.patterns)

    def interface(self, s: int) -> Interface:
        """Return the interface between the products of the first s and of the other factors, 1 ≤ s < L."""
        if not (isinstance(s, int | np.integer) and 1 <= s < len(self)):
            raise OptionError(
                f"a chain of {len(self)} factors has interfaces 1 to {len(self) - 1}; found {s!r}"
            )
        left, right = (
            reduce(KroneckerPattern.__mul__, side) for side in (self.patterns[:s], self.patterns[s:])
        )
        return Interface.of(left, right)

    @property
    def is_redundant(self) -> bool:
        """Whether some neighbours of a chainable chain can be merged without losing or gaining products."""
        return any(Interface.of(*pair).is_redundant for pair in pairwise(self.patterns))

    def reduced(self) -> tuple[Architecture, tuple[int, ...]]:
        """Merge neighbours whose rank bounds nothing, until none is left.

        Returns
        -------
        architecture : Architecture
            Not redundant, with the same products.
        starts : tuple of int
            Which factor of this chain each merged one starts with, ascending.

        Notes
        -----
        A factorization on the merged patterns is lifted back exactly: a matrix on the merged pattern *is* a
        product of the neighbours, found by a singular value decomposition of each block.
        """
        patterns, starts = list(self.patterns), list(range(len(self)))
        i = 0
        while i < len(patterns) - 1:
            interface = Interface.of(patterns[i], patterns[i + 1])
            if interface.is_redundant:
                patterns[i : i + 2] = [interface.product]
                del starts[i + 1]
                i = max(i - 1, 0)
            else:
                i += 1
        if len(patterns) == len(self):
            return self, tuple(starts)
        return Architecture(patterns, self.name and f"{self.name}, reduced"), tuple(starts)

    def summed(self, terms: int) -> Architecture:
        """Return the chain of sums of products of this one.

        It is ``[I … I] · diag(X1, …) ⋯ diag(XL, …) · [I … I]ᵀ``: the outer patterns are
        (1, 1, terms, m) and (1, terms, 1, n), the others have `terms` times their a.
        """
        if not (isinstance(terms, int | np.integer) and terms >= 1):
            raise OptionError(f"terms must be a positive integer; found {terms!r}")
        m, n = self.shape
        inner = ((terms * a, b, c, d) for a, b, c, d in (pattern.abcd for pattern in self.patterns))
        name = self.name and f"sum of {terms} × {self.name}"
        return Architecture([(1, 1, terms, m), *inner, (1, terms, 1, n)], name)

    def fuse(self, first: int, last: int) -> Architecture:
        """Replace factors `first` to `last`, counted from 0 and both included, by their product pattern."""
        if not 0 <= first < last < len(self):
            raise OptionError(
                f"fuse takes 0 ≤ first < last < {len(self)}; found first={first!r}, last={last!r}"
            )
        merged = reduce(KroneckerPattern.__mul__, self.patterns[first : last + 1])
        return Architecture((*self.patterns[:first], merged, *self.patterns[last + 1 :]))

    @property
    def dimension(self) -> int:
        """Dimension of the set of products of a chainable chain, at its smooth points.

        The parameters, less those that invertible r × r matrices at each class of each interface make
        superfluous.
        """
        chain, _ = self.reduced()
        gauge = sum(
            math.prod(interface.n_blocks) * interface.rank**2
            for interface in (Interface.of(*pair) for pair in pairwise(chain.patterns))
        )
        return chain.n_parameters - gauge

    def with_ranks(self, ranks: Sequence[int]) -> Architecture:
        """Return the chain with other interface ranks and the same places within reach.

        Parameters
        ----------
        ranks : sequence of int
            One per interface.

        Raises
        ------
        OptionError
            If there are not L − 1 positive integers.
        """
        own, ranks = self.ranks, as_counts("ranks", ranks)
        if len(ranks) != len(own):
            raise OptionError(f"ranks takes {len(own)} integers, one per interface; found {ranks}")
        before, after = (1, *own), (*own, 1)
        new_before, new_after = (1, *ranks), (*ranks, 1)
        patterns = []
        for i, pattern in enumerate(self.patterns):
            a, b, c, d = pattern.abcd
            patterns.append((a, b // before[i] * new_before[i], c // after[i] * new_after[i], d))
        return Architecture(patterns, self.name and f"{self.name}, ranks {ranks}")

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        chain = " · ".join(str(pattern.abcd) for pattern in self.patterns)
        return f"Architecture({name}{chain}, {self.n_parameters} nonzeros)"


def _as_pattern(pattern: Any) -> KroneckerPattern:
    if isinstance(pattern, KroneckerPattern):
        return pattern
    if isinstance(pattern, Support) or not (isinstance(pattern, Sequence | np.ndarray) and len(pattern) == 4):
        raise SupportError(
            f"a Kronecker pattern is four integers (a, b, c, d); found {pattern!r}; for other supports use "
            "fsmf.as_supports"
        )
    return KroneckerPattern(*pattern)
