"""Chains of Kronecker patterns: one interface after another, within a known factor of the optimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import index
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsmf.certificates.cuts import norm_off_pattern
from fsmf.certificates.orders import is_extremal
from fsmf.certificates.quasi_optimum import QuasiOptimum
from fsmf.certificates.sum_bound import SumBound
from fsmf.errors import ConvergenceWarning, InputTypeError, OptionError
from fsmf.factorization import Status
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.kronecker_split import begin_split_left, split_left
from fsmf.kernels.matrix import comfortable_exponent
from fsmf.kernels.namespace import is_foreign, space_of
from fsmf.products.product import Product
from fsmf.products.stages import composed, taken
from fsmf.solvers.base import Cost, WholeSolution
from fsmf.solvers.problem_chain import Train, on_pattern
from fsmf.solvers.problem_permutation import permutations
from fsmf.supports.kronecker import Architecture
from fsmf.supports.layout import Index
from fsmf.supports.recognition import Arrangement
from fsmf.tractability import Part, Structure
from fsmf.warning import warn_caller

__all__ = ["Hierarchical"]

Result = TypeVar("Result")
Steps = Generator[None, None, Result]

_ORDERS = ("left-to-right", "right-to-left", "balanced")

# How unequally a tolerance may be shared out between the interfaces; each is tried.
_EAGERNESS = (1.0, 1.4, 2.0, 3.0)


@dataclass(frozen=True)
class Hierarchical:
    """Factorize into a chain of Kronecker patterns by splitting at one interface after another.

    At an interface of a chainable chain the matrix falls into disjoint blocks, and the best product of two
    factors is a truncated SVD of each. Its left factor is kept orthonormal, so that what later steps change
    is measured in the norm of A itself, and the errors of all steps bracket the optimum.

    Parameters
    ----------
    order : {"left-to-right", "right-to-left", "balanced"} or sequence of int, optional
        The interfaces, counted from 1, in the order in which they are split; by default what the cost model
        prefers.
    rtol : float, optional
        Error to meet, relative to ‖A‖: the interface ranks are chosen for it, level by level, and those of
        the given chain are not used. Of some ways to share it out between the levels, the one with the fewest
        parameters is taken.
    refine : int
        Further passes over A, each of which solves for the factors on one side of the middle interface, left
        and right in turn: exact least squares for one factor after the other, given all others. They never
        increase the error.
    residual_terms : int
        Number of chains whose sum approximates A, each factorized from what the earlier ones leave.
    permutation : str or tuple of array_like, optional
        Order of the rows and columns of A that the chain is for: ``"bit-reversal"`` of the columns (digit
        reversal for mixed radices), ``"eight"`` for the best of the eight permutations of columns of Dao et
        al., ``"search"`` to look for rows and columns by similarity, or a pair of index vectors
        ``(rows, columns)``, either of them None.

    Raises
    ------
    OptionError
        If an option has no sensible value.

    Notes
    -----
    **Guarantee.** `QuasiOptimum`: ``lower_bound ≤ optimum ≤ error ≤ c · optimum`` with c = √(L − 1) for L
    factors in an extremal order, where also the error is the root of the sum of the squared step losses;
    other orders have their own constant. An A that is such a product is recovered to rounding, in any order.

    **Cost.** O(r·m·n) for interface rank r, most of it in the first split: from left to right A is read once,
    in strips. Memory: some tenths of A.

    References
    ----------
    Le, Zheng, Riccietti, Gribonval, "Fast learning of fast transforms, with guarantees", ICASSP 2022;
    "Butterfly factorization with error guarantees", SIAM J. Matrix Anal. Appl. 46 (2025), arXiv:2411.04506.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> F = fsmf.factorize(np.fft.fft(np.eye(16)), fsmf.butterfly(16),
    ...                    solver=fsmf.Hierarchical(permutation="bit-reversal"))
    >>> F.relative_error < 1e-14, len(F.factors)
    (True, 4)
    """

    order: str | Sequence[int] | None = None
    rtol: float | None = None
    refine: int = 0
    residual_terms: int = 1
    permutation: str | tuple[Any, Any] | None = None

    promise: ClassVar[type[QuasiOptimum]] = QuasiOptimum
    by_parts: ClassVar[bool] = False
    anywhere: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, least in (("refine", 0), ("residual_terms", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise OptionError(f"{name} must be an integer, at least {least}; found {value!r}")
            object.__setattr__(self, name, int(value))
        if self.rtol is not None and not (
            isinstance(self.rtol, int | float | np.floating) and 0 < self.rtol < 1
        ):
            raise OptionError(f"rtol must be between 0 and 1; found {self.rtol!r}")
        if isinstance(self.order, str) and self.order not in _ORDERS:
            raise OptionError(
                f"order must be one of {', '.join(_ORDERS)}, or interfaces; found {self.order!r}"
            )
        if self.order is not None and not isinstance(self.order, str):
            try:
                object.__setattr__(self, "order", tuple(index(s) for s in self.order))
            except TypeError:
                raise OptionError(f"order must be a name or list interfaces; found {self.order!r}") from None
        if self.rtol is not None and self.residual_terms > 1:
            raise OptionError("rtol chooses ranks for one chain; leave residual_terms at 1")

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""
        if structure.n_prescribed:
            return f"Hierarchical leaves all entries free; found {structure.n_prescribed} that are prescribed"
        arrangement = structure.arrangement
        if arrangement is None:
            return "Hierarchical takes chains of Kronecker patterns (a, b, c, d); these supports are none"
        chain = arrangement.architecture
        reason = chain.why_not_chainable()
        if reason is not None and not chain.T.is_chainable:
            return f"Hierarchical takes chainable chains, or transposes of such; here {reason}"
        return None

    def measures(self, structure: Structure) -> bool:
        """Return whether A is split without a look at its size, which need not be read before."""
        alone = self.permutation is None and self.residual_terms == 1
        return alone and self.rtol is None and structure.arrangement is not None

    def streams(self, structure: Structure) -> bool:
        """Return whether one pass over A is all that it takes."""
        if not self.measures(structure):
            return False
        assert structure.arrangement is not None
        return _plan(structure.arrangement.architecture, self.order, reduce=True).streams

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost for supports that are not refused."""
        assert structure.arrangement is not None
        plan = _plan(structure.arrangement.architecture, self.order, reduce=True)
        flops = _flops(plan.chain, plan.order)
        m, n = structure.shape
        copies = self.residual_terms if self.residual_terms > 1 else 0.25
        return Cost(flops * self.residual_terms * (1 + self.refine), 8.0 * copies * m * n)

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> WholeSolution:
        """Solve the whole; see `Solver.solve`."""
        return _ended(self._solving(A, part))

    def begin(self, A: Any, part: Part) -> Callable[[], WholeSolution]:
        """Launch what solves the whole where A is; what is returned waits for it.

        For structures that this solver streams; A must stay as it is until then.
        """
        steps = self._solving(A, part)
        next(steps)
        return lambda: _ended(steps)

    def _solving(self, A: Any, part: Part) -> Steps[WholeSolution]:
        """The steps of `solve`: at each yield a device is at work, and nobody waits for it yet."""
        structure = part.structure
        arrangement = structure.arrangement
        assert arrangement is not None
        given = arrangement.architecture
        A = A.toarray() if sparse.issparse(A) else A
        if is_foreign(A) and self.permutation == "search":
            raise InputTypeError(
                f"the search for an order looks at A in host memory; found it in {space_of(A)}; copy it "
                "there, or give rows and columns"
            )
        if arrangement.rows is not None or arrangement.columns is not None:
            A = _permuted(A, arrangement.rows, arrangement.columns)
        chain = _cuttable(given)
        turned = chain is not given
        solver = replace(self, order=_mirrored(self.order, len(given))) if turned else self
        best = None
        for rows, columns in permutations(self.permutation, A, given):
            own = _permuted(A, rows, columns)
            found = yield from solver._terms(own.T if turned else own, chain)
            if best is None or found[2].error < best[0][2].error:
                best = found, rows, columns
        assert best is not None
        (supports, values, certificate, norm), rows, columns = best
        if turned:
            pairs = zip(supports.patterns, values, strict=True)
            xp = space_of(A).xp
            values = [
                xp.permute_dims(xp.reshape(V, pattern.blocks_shape), (0, 3, 2, 1)) for pattern, V in pairs
            ][::-1]
            supports, certificate = supports.T, certificate.transposed()
        status = Status.BRACKETED
        if certificate.gap <= 8 * len(given) * float(np.finfo(space_of(A).dtype(A)).eps) * norm:
            status = Status.OPTIMAL
        if self.rtol is not None and certificate.error > self.rtol * norm * (1 + 1e-9):
            status = Status.OUT_OF_REACH
            warn_caller(
                f"rtol={self.rtol:g} cannot be met: places that no product of this chain reaches hold "
                f"{certificate.error / norm:.3g} of ‖A‖; choose a chain that reaches them",
                ConvergenceWarning,
            )
        solution = WholeSolution(
            supports,
            [_flat(V) for V in values],
            certificate,
            status,
            norm,
            rows,
            columns,
        )
        return _given_back(solution, structure, arrangement)

    def _terms(
        self, A: NDArray[Any], chain: Architecture
    ) -> Steps[tuple[Architecture, list[Any], QuasiOptimum | SumBound, float]]:
        """One chain, or the sum of several as a chain of its own; and ‖A‖_F."""
        found, values, certificate, norm = yield from self._one(A, chain)
        if self.residual_terms == 1:
            return found, values, certificate, norm
        terms, errors, left = [values], [certificate.error], A
        for _ in range(1, self.residual_terms):
            left = left - Product(chain, terms[-1]).to_dense()
            _, values, step, _ = yield from self._one(left, chain)
            terms.append(values)
            errors.append(step.error)
        # On each block the sum has as many times the rank, which is all that is known to bound it.
        many = chain.with_ranks([self.residual_terms * rank for rank in chain.ranks])
        whole = yield from replace(self, refine=0)._one(A, many)
        bound = min(whole[2].lower_bound, errors[-1])
        xp, count = space_of(A).xp, self.residual_terms
        ones = [xp.concat([xp.ones_like(A[:, 0] if axis == 0 else A[0, :])] * count) for axis in (0, 1)]
        joint = [xp.concat([_flat(V) for V in same]) for same in zip(*terms, strict=True)]
        certificate_of_sum = SumBound(
            error=errors[-1],
            lower_bound=bound,
            terms=self.residual_terms,
            patterns=tuple(pattern.abcd for pattern in chain.patterns),
            errors=tuple(errors),
        )
        return chain.summed(self.residual_terms), [ones[0], *joint, ones[1]], certificate_of_sum, norm

    def _one(
        self, A: NDArray[Any], given: Architecture
    ) -> Steps[tuple[Architecture, list[Any], QuasiOptimum, float]]:
        """Factorize into one chainable chain; and ‖A‖_F."""
        # Ranks that are chosen anew may be any, also where those given bound nothing.
        chain, interfaces, order = plan = _plan(given, self.order, reduce=self.rtol is None)
        out, V = norm_off_pattern(A, chain.product), on_pattern(A, chain.product)
        if self.rtol is None and plan.streams:
            patterns = [pattern.abcd for pattern in chain.patterns]
            finish = begin_split_left(V, patterns) if is_foreign(A) else partial(split_left, A, patterns)
            yield
            found = finish()
            train = Train(chain.patterns, found.values, len(chain) - 1)
            losses = dict(enumerate(found.losses, start=1))
            norm = math.hypot(out, found.norm)
        else:
            norm = frobenius_norm(A)
            budget = None if self.rtol is None else math.sqrt(max(0.0, (self.rtol * norm) ** 2 - out**2))
            # Which shares of the budget need the fewest parameters is not known beforehand.
            tries = [
                Train.split_all(V, chain, order, budget, eagerness)
                for eagerness in (_EAGERNESS if budget else (1.0,))
            ]
            train, losses = min(tries, key=lambda found: sum(pattern.nnz for pattern in found[0].patterns))
        # An A that nobody has looked at yet may be unfit for squares, and is then given again, scaled.
        dtype = space_of(A).dtype(A)
        if self.refine and math.isfinite(norm) and not comfortable_exponent(dtype, norm):
            parts = [train.refine(V, self.refine, math.sqrt(max(0.0, norm**2 - out**2)))]
        else:
            parts = list(losses.values()) if is_extremal(order) else [train.distance(V)]
        if self.rtol is None:
            found_chain, binding = given, interfaces
            values = train.lifted(given, (0, *interfaces))
        else:
            found_chain = Architecture(train.patterns, given.name and f"{given.name}, rtol={self.rtol:g}")
            binding, values = found_chain.reduced()[1][1:], train.values
        levels = {s: losses[i] for i, s in enumerate(interfaces, start=1)}
        error = math.hypot(out, *parts)
        certificate = QuasiOptimum(
            error=error,
            lower_bound=min(error, math.hypot(out, max((levels[s] for s in binding), default=0.0))),
            out_of_reach=out,
            order=tuple(interfaces[i - 1] for i in order if interfaces[i - 1] in binding),
            levels=tuple(levels.get(s, 0.0) for s in range(1, len(given))),
            refined=self.refine,
            requested=None if self.rtol is None else self.rtol * norm,
        )
        return found_chain, values, certificate, norm


def _ended(steps: Steps[Result]) -> Result:
    """What is returned after the last step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def _cuttable(chain: Architecture) -> Architecture:
    """The chain, or its transpose, whichever is chainable."""
    return chain if chain.is_chainable else chain.T


def _mirrored(order: Any, n: int) -> Any:
    """An order of the interfaces of a chain of n factors, told of its transpose."""
    if isinstance(order, tuple):
        return tuple(n - s for s in order)
    return {_ORDERS[0]: _ORDERS[1], _ORDERS[1]: _ORDERS[0]}.get(order, order)


class _Plan(NamedTuple):
    """What is split, and in which order."""

    chain: Architecture  # not redundant, unless ranks are chosen
    interfaces: tuple[int, ...]  # those of the given chain that the interfaces of this one are
    order: tuple[int, ...]  # of the interfaces of this one, counted from 1

    @property
    def streams(self) -> bool:
        return list(self.order) == sorted(self.order)


def _plan(given: Architecture, asked: Any, *, reduce: bool) -> _Plan:
    chain = _cuttable(given)
    asked = asked if chain is given else _mirrored(asked, len(given))
    return _planned(tuple(pattern.abcd for pattern in chain.patterns), asked, reduce)


@lru_cache(maxsize=64)
def _planned(patterns: tuple[tuple[int, int, int, int], ...], asked: Any, reduce: bool) -> _Plan:
    given = Architecture(patterns)
    chain, starts = given.reduced() if reduce else (given, tuple(range(len(given))))
    interfaces, n = starts[1:], len(chain) - 1
    if asked is None:
        order = min((_named(name, n) for name in _ORDERS), key=lambda order: _flops(chain, order))
    elif isinstance(asked, str):
        order = _named(asked, n)
    else:
        if len(set(asked)) < len(asked) or not set(interfaces) <= set(asked) <= set(range(1, len(given))):
            named = ", ".join(map(str, interfaces))
            raise OptionError(f"order must name each interface once, {named} among them; found {asked}")
        order = [interfaces.index(s) + 1 for s in asked if s in interfaces]
    return _Plan(chain, interfaces, tuple(order))


def _named(name: str, n: int) -> list[int]:
    """An order of the interfaces 1, …, n."""
    if name == "left-to-right":
        return list(range(1, n + 1))
    if name == "right-to-left":
        return list(range(n, 0, -1))

    def halves(first: int, last: int) -> list[int]:
        # Depth first, which has the smaller constant.
        middle = (first + last) // 2
        return [middle, *halves(first, middle - 1), *halves(middle + 1, last)] if first <= last else []

    return halves(1, n)


def _flops(chain: Architecture, order: Sequence[int]) -> float:
    """Operations that splitting takes in this order, in flops of compiled code that streams."""
    total, done = 0.0, [0, len(chain)]
    streams = list(order) == sorted(order)
    for s in order:
        lower, upper = max(t for t in done if t < s), min(t for t in done if t > s)
        part = Architecture(chain.patterns[lower:upper])
        interface = part.interface(s - lower)
        short, r = min(interface.block), interface.rank
        # A Gram matrix of few rows and a product, or Lanczos steps; and copies, where blocks are laid out.
        work = min(2 * short, 24 * r) + 4 * r if streams else 24 * r + 16
        total += interface.product.nnz * work
        done.append(s)
    return total


def _permuted(A: Any, rows: Index | None, columns: Index | None) -> Any:
    space = space_of(A)
    for axis, order in enumerate((rows, columns)):
        if order is not None:
            A = space.xp.take(A, space.put(order), axis=axis)
    return A


def _flat(V: Any) -> Any:
    """Values one after another, in row-major order."""
    return space_of(V).xp.reshape(V, (-1,))


def _given_back(solution: WholeSolution, structure: Structure, arrangement: Arrangement) -> WholeSolution:
    """The solution for the supports as they were given, of which the chain may be a permutation."""
    untouched = solution.rows is None and solution.columns is None
    if untouched and solution.supports == arrangement.architecture:
        values = [
            V if order is None else taken(space_of(V), V, np.argsort(order))
            for V, order in zip(solution.values, arrangement.orders, strict=True)
        ]
        return replace(solution, supports=structure.supports, values=values)
    return replace(
        solution,
        rows=composed(arrangement.rows, solution.rows),
        columns=composed(arrangement.columns, solution.columns),
    )
