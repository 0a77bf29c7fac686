"""What a solver of products is given and answers: the whole, or one part of a pair, cut out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsmf.factorization import History, Status
from fsmf.ridge_paths import RidgePath
from fsmf.solvers.base import Solution, WholeSolution
from fsmf.solvers.problem import PairProblem
from fsmf.solvers.problem_alternation import Descent, whole_solution
from fsmf.solvers.problem_bound import best_bound
from fsmf.solvers.problem_product import ProductProblem, Values, is_general, unweighted
from fsmf.solvers.problem_sparse import Problem
from fsmf.tractability import Part

__all__ = ["answered", "pair_solution", "product_of"]


@dataclass(frozen=True, eq=False)
class _CutProblem(ProductProblem):
    """A part of a pair as a product.

    Attributes
    ----------
    pair : PairProblem
        The part.
    whole : tuple of int
        Shape of the whole matrix.
    """

    pair: PairProblem = None  # type: ignore[assignment]
    whole: tuple[int, int] = (0, 0)

    def warm(self, initial: Any) -> Values:
        """Values on the supports of the part of given factors of the whole."""
        factors = self.pair.warm(initial, self.whole)
        return [X[place] for X, place in zip(factors, self.places, strict=True)]


def product_of(A: Any, part: Part, *, ridge: float, exponent: int, whole: bool = False) -> ProductProblem:
    """Take a part of A, which was divided by ``2**exponent``, as a product; the ridge was not.

    A plain pair is cut out of A, unless it is to be taken whole; everything else is whole.
    """
    if whole or is_general(part):
        return ProductProblem.of(A, part, ridge=ridge, exponent=exponent, evened=not (ridge or whole))
    pair = PairProblem.of(A, part, ridge=ridge, exponent=exponent)
    given = pair.A, part.structure.supports, pair.ridge, exponent, A.dtype, pair.norm
    return _CutProblem(*given, pair=pair, whole=A.shape)


def answered(best: Descent, part: Part, *, name: str) -> Solution | WholeSolution:
    """Answer with the best descent of a problem that `product_of` made, and warn of how it ended."""
    problem = best.problem
    if not isinstance(problem, _CutProblem):
        status = best.warned(best.norm, ridge=problem.ridge, name=name, supports=unweighted(part))
        return whole_solution(best, part.structure, status)
    pair = problem.pair
    X, Y = (np.zeros(support.shape, problem.A.dtype) for support in problem.supports)
    # Zero is made of zeros, not of what became small.
    for factor, place, value in zip((X, Y), problem.places, best.values if pair.norm else (), strict=False):
        factor[place] = value
    X, Y = pair.settled(X, Y)
    norm, supports = pair.balanced_norm(X, Y), part.structure.supports
    status = best.warned(norm, ridge=problem.ridge, name=name, supports=supports)
    X, Y = X.astype(problem.dtype), Y.astype(problem.dtype)
    return pair_solution(pair, X, Y, status=status, history=best.history)


def pair_solution(
    problem: Problem,
    X: Any,
    Y: Any,
    *,
    status: Status,
    history: History,
    work: float = 0.0,
    search: bool = True,
    path: RidgePath | None = None,
) -> Solution:
    """Measure two factors, in the user's precision, and search for a bound, if at all, in so much work."""
    part = problem.part
    error = math.sqrt(problem.squared_error(X, Y))
    # No bound can come nearer to what is rounding in sums of so many products.
    least = 8 * problem.eps * math.sqrt(min(part.structure.shape)) * problem.norm
    search = search and error > least
    bound, blocks = best_bound(problem.block, part.structure, work=work, search=search)
    left, right = problem.values(X, Y)
    return Solution(
        left=left,
        right=right,
        error=error,
        # The bound and the error are both exact only up to rounding.
        lower_bound=min(bound, error),
        status=status,
        blocks=part.locate(blocks),
        gradient_norm=problem.gradient_norm(X, Y),
        history=history,
        ridge=problem.ridge,
        path=path,
    )
