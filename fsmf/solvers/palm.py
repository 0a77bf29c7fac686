"""Supports not given, only how sparse: proximal alternating minimisation with hard thresholding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmf.certificates.block_brackets import StationaryPoint
from fsmf.errors import OptionError
from fsmf.factorization import Certificate
from fsmf.kernels.frobenius import frobenius_norm
from fsmf.kernels.sparse_basis import noise_level
from fsmf.solvers.base import Cost
from fsmf.solvers.problem_blocks import balance, block_gradient, multiplied, norm_bound, right_products
from fsmf.solvers.problem_planted import planted_pair, planted_triple
from fsmf.solvers.problem_trail import Clock
from fsmf.supports.constraints import Constraints, Free, OnSupport, Quotas
from fsmf.supports.sizes import as_count
from fsmf.thresholding.stability import as_positive, as_rng, random_sparse

__all__ = ["Candidate", "PALM"]

Array = NDArray[Any]

# Sweeps between looks at the error, and how many looks without a gain of `rtol` end a start.
_LOOK, _PATIENCE = 10, 2

# The gain that starts ask for which hardly find what they seek.
_LOOSE = 3e-3

# Spaces of more dimensions are not searched for sparse vectors: too many sets of places would be needed.
_MOST = 48

# How often that search draws rows; fewer in further attempts, which are to differ, where those before did not
# find what noise lets expect.
_DRAWS = 16, 4, 4, 4

# Factors with a smaller error, relative to A, are left to the solver that has their supports next.
_FOUND = 1e-9


class Candidate(NamedTuple):
    """Factors that meet the constraints, and the start that led to them."""

    start: str
    factors: tuple[Array, ...]


@dataclass(frozen=True, kw_only=True)
class PALM:
    """Find supports: gradient steps on one factor after another, each followed by a projection.

    Each factor moves against its gradient, by the inverse of the Lipschitz constant that the others give it,
    and is projected onto its constraint. Two factors of fewer components than the sides of A are first sought
    among sparse vectors that span the columns, or the rows, of A. Where one of the two factors so found is
    sparse and the other is not, multiples of components move from one to another, which leaves the product
    as it is. For products without noise this finds the factors at once. Three factors are sought from both
    ends likewise, or as rows that combine few of the same, where A has a lower rank than they have columns.
    Then come random starts, whose constraints tighten from none at all. Where the best is
    farther from A than noise explains, `iht` goes on with one of its factors after another, the others
    fixed, in turn with the solver that has the supports, while that gains.

    Parameters
    ----------
    starts : int
        Number of random starts; 0 where sparse vectors are all that is to be tried. Of three factors without
        noise that were not found from both ends, the first one that ends no lower than those before is the
        last.
    max_sweeps : int
        Sweeps over all factors, of each start.
    schedule : float
        The share of the sweeps of a random start during which its constraints tighten, from 0 to 1.
    inertia : float
        How far each step goes on in the direction of the last one, from 0 to below 1.
    rtol : float
        A start has converged when ten sweeps lower the error by less than this fraction, twice.
    max_seconds : float, optional
        Time for all starts, in seconds; when it is over the constraints are tight at once, and a start ends.
    rng : int or numpy.random.Generator
        Seed of the starts; results are deterministic for a given seed.

    Raises
    ------
    OptionError
        If an option is out of range; from the solve, if random starts are all there is, and none are allowed.

    Notes
    -----
    **Guarantee.** That of the solver which is then given the supports found: its certificate is about these
    supports, and says nothing about others that the constraints allow. Which supports are best is a
    combinatorial question that this heuristic does not answer; `Factorization.search` reports how they were
    found.

    **Cost.** Per sweep O(m n r) for each factor and its projection; the search for sparse vectors
    O(m r²) for each of some dozens of draws; a move O(r² s²) for s nonzeros a component.

    References
    ----------
    J. Bolte, S. Sabach, M. Teboulle, "Proximal alternating linearized minimization for nonconvex and
    nonsmooth problems", Math. Program. 146 (2014); T. Pock, S. Sabach, "Inertial proximal alternating
    linearized minimization", SIAM J. Imaging Sci. 9 (2016), arXiv:1702.02505, for the inertia;
    L. Le Magoarou, R. Gribonval, "Flexible multilayer sparse approximations of matrices and applications",
    IEEE J. Sel. Top. Signal Process. 10 (2016), arXiv:1506.07300.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.kron(np.eye(2), [[1.0, 2.0], [3.0, 6.0]])
    >>> constraints = [fsmf.ColumnSparse((4, 2), 2), fsmf.RowSparse((2, 4), 2)]
    >>> F = fsmf.factorize(A, constraints, solver=fsmf.PALM(starts=2))
    >>> F.solver, F.certificate.name, F.relative_error < 1e-12
    ('PALM + BlockSVD', 'GlobalOptimum', True)
    """

    starts: int = 5
    max_sweeps: int = 500
    schedule: float = 0.6
    inertia: float = 0.5
    rtol: float = 1e-4
    max_seconds: float | None = None
    rng: int | np.random.Generator = 0

    promise: ClassVar[type[Certificate]] = StationaryPoint

    def __post_init__(self) -> None:
        as_count("starts", self.starts, at_least=0)
        as_count("max_sweeps", self.max_sweeps)
        for name, most in (("schedule", 1.0), ("inertia", math.nextafter(1, 0)), ("rtol", math.inf)):
            value = as_positive(name, getattr(self, name), zero=True)
            if value > most:
                raise OptionError(f"{name} must be a number from 0 to {most:.3g}; found {value}; lower it")
        if self.max_seconds is not None:
            as_positive("max_seconds", self.max_seconds, zero=True)
        as_rng(self.rng)

    def predict(self, constraints: Constraints) -> Cost:
        """Predict the cost of all starts."""
        (m, n), inner = constraints.shape, max(one.shape[1] for one in constraints)
        flops = 6.0 * m * n * inner * len(constraints) * self.max_sweeps * (self.starts + 2)
        return Cost(flops, 24.0 * m * n, 1e-4 * len(constraints) * self.max_sweeps * (self.starts + 2))

    def candidates(self, A: Array, constraints: Constraints) -> Iterator[Candidate]:
        """Yield the factors that each start leads to.

        Parameters
        ----------
        A : ndarray, shape (m, n)
            In double precision, finite.
        constraints : Constraints
            What the factors have to meet.

        Yields
        ------
        Candidate
            Feasible factors, and a name for their start.
        """
        rng, clock = as_rng(self.rng), Clock(0.0, self.max_seconds)
        norm = frobenius_norm(A)
        if len(constraints) == 1 or not norm:
            zeros = [np.zeros(one.shape, dtype=A.dtype) for one in constraints]
            only = (constraints[0].project(A),) if len(constraints) == 1 else tuple(zeros)
            yield Candidate("A itself", only)
            return
        scale, least = norm ** (1 / len(constraints)), math.inf
        inner = [one.shape[1] for one in constraints[:-1]]
        # Where both ends did not tell three factors without noise, random starts hardly will.
        is_lost = len(inner) == 2 and max(inner) <= _MOST and min(inner) < min(A.shape)
        is_lost = is_lost and not noise_level(A, min(inner))
        brief = replace(self, rtol=max(self.rtol, _LOOSE)) if is_lost else self
        name = ""
        for name, factors, schedule in self._starting_points(A / norm, constraints, rng):
            searcher = brief if schedule else self
            factors = searcher._descended(A / norm, factors, constraints, schedule, is_over=clock.is_over)
            yield Candidate(name, tuple(scale * X for X in factors))
            if clock.is_over():
                return
            error = frobenius_norm(A / norm - multiplied(factors))
            if is_lost and schedule and error >= least:
                return
            least = min(least, error)
        if not name:
            raise OptionError(
                f"starts must be at least 1 for {list(constraints)}: nothing but random starts finds such "
                "factors; found 0"
            )

    def _starting_points(
        self, A: Array, constraints: Constraints, rng: np.random.Generator
    ) -> Iterator[tuple[str, list[Array], int]]:
        """Names, factors, and how many sweeps the constraints take to tighten."""
        drawing, rng = rng.spawn(2)
        inner = [one.shape[1] for one in constraints[:-1]]
        constrained = [not isinstance(one, Free | OnSupport) for one in constraints]
        noise = noise_level(A, min(inner))
        for attempt, draws in enumerate(_DRAWS, 1):
            name = f"attempt {attempt} at sparse" if attempt > 1 else "sparse"
            if len(constraints) == 2 and inner[0] <= _MOST:
                for turned, what in enumerate(("columns", "rows")):
                    if constrained[turned] and inner[0] < A.shape[turned]:
                        pair = planted_pair(
                            A, constraints, drawing, noise=noise, turned=bool(turned), draws=draws
                        )
                        yield f"{name} {what}", pair, 0
            # Without noise, other draws lead three factors to the same.
            if len(constraints) == 3 and max(inner) <= _MOST and (attempt == 1 or noise):
                yield f"{name} columns and rows", planted_triple(A, constraints, drawing, noise=noise), 0
        for i in range(self.starts):
            factors = [np.asarray(rng.standard_normal(one.shape), dtype=A.dtype) for one in constraints]
            for X, one in zip(factors, constraints, strict=True):
                if isinstance(one, OnSupport):
                    X[:] = random_sparse(one, rng)
            balance(factors)
            product = frobenius_norm(multiplied(factors)) or 1.0
            factors = [X * product ** (-1 / len(factors)) for X in factors]
            yield f"random start {i}", factors, int(self.schedule * self.max_sweeps)

    def _descended(
        self,
        A: Array,
        factors: list[Array],
        constraints: Constraints,
        schedule: int,
        *,
        is_over: Callable[[], bool] = lambda: False,
        compiled: bool = True,
    ) -> list[Array]:
        """Sweep until nothing is gained, or time is over; the best feasible factors."""
        if not schedule:
            factors = [one.project(X) for one, X in zip(constraints, factors, strict=True)]
        last = list(factors)
        best, least = factors, frobenius_norm(A - multiplied(factors)) if not schedule else math.inf
        if least <= _FOUND:
            return best
        quotas = [found for one in constraints if (found := one.quotas())]
        # To compile the twin for complex numbers, too, takes longer than it saves.
        if compiled and len(quotas) == len(constraints) and not np.iscomplexobj(A):
            return self._compiled(A, factors, quotas, schedule, least, is_over)
        idle = 0
        for sweep in range(self.max_sweeps):
            ends = is_over()
            share = 1 - (sweep + 1) / schedule if sweep < schedule and not ends else 0.0
            now = [one.loosened(share) for one in constraints] if share > 0 else constraints
            factors, last = self._sweep(A, factors, last, now)
            balance(factors, last)
            if not ends and (sweep + 1 < schedule or ((sweep + 1) % _LOOK and sweep + 1 < self.max_sweeps)):
                continue
            error = frobenius_norm(A - multiplied(factors))
            idle = idle + 1 if error > (1 - self.rtol) * least else 0
            if error < least:
                best, least = [X.copy() for X in factors], error
            if ends or idle >= _PATIENCE or least <= np.finfo(float).eps:
                break
        return best

    def _compiled(
        self,
        A: Array,
        factors: list[Array],
        quotas: list[Quotas],
        schedule: int,
        least: float,
        is_over: Callable[[], bool],
    ) -> list[Array]:
        """The twin for constraints that are numbers of places in groups."""
        from fsmf.kernels.palm_cpu import descend

        flat = np.concatenate([X.reshape(-1) for X in factors]).astype(A.dtype)
        order = np.concatenate([np.argsort(own.group, axis=None, kind="stable") for own in quotas])
        sizes = [np.bincount(own.group.reshape(-1), minlength=len(own.room)) for own in quotas]
        bounds = np.cumsum(np.concatenate([[0], *sizes]))
        groups = np.cumsum([0, *map(len, sizes)])
        best, last = flat.copy(), flat.copy()
        # Nobody looks at the clock within a piece.
        piece = self.max_sweeps if self.max_seconds is None else _LOOK
        idle, sweep, is_last = 0, 0, False
        while sweep < self.max_sweeps and idle < _PATIENCE and not is_last:
            is_last = is_over()
            schedule = min(schedule, sweep) if is_last else schedule
            least, idle = descend(
                np.ascontiguousarray(A),
                flat,
                last,
                best,
                np.array([X.shape for X in factors]),
                (order, bounds, groups, np.empty(max(map(max, sizes)))),
                np.concatenate([own.room for own in quotas]),
                np.concatenate([own.most for own in quotas]),
                schedule,
                sweep,
                min(sweep + (1 if is_last else piece), self.max_sweeps),
                float(self.inertia),
                float(self.rtol),
                _LOOK,
                _PATIENCE,
                float(least),
                idle,
                float(np.finfo(float).eps),
            )
            sweep += piece
        ends = np.cumsum([X.size for X in factors])[:-1]
        return [own.reshape(X.shape) for own, X in zip(np.split(best, ends), factors, strict=True)]

    def _sweep(
        self, A: Array, factors: list[Array], last: list[Array], constraints: Any
    ) -> tuple[list[Array], list[Array]]:
        """Move each factor once, the others fixed; what there was before is the last."""
        new = list(factors)
        rights = right_products(factors)
        left: Array | None = None
        for i, one in enumerate(constraints):
            X = factors[i] + self.inertia * (factors[i] - last[i])
            gradient, step = block_gradient(A, left, X, rights[i], norm=norm_bound)
            new[i] = one.project(X - step * gradient)
            left = new[i] if left is None else left @ new[i]
        return new, factors
