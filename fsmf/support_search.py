"""How supports were found: from which start, how stable they are, and whether they are well-posed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fsmf.supports.constraints import Constraint
from fsmf.supports.support import Supports
from fsmf.thresholding.stability import HTStability

if TYPE_CHECKING:
    from fsmf.wellposedness.verdicts import IllPosed, Undecided, WellPosed

__all__ = ["SupportSearch"]

# Seconds for the question whether the supports found are well-posed.
_SECONDS = 1.0


@dataclass(frozen=True)
class SupportSearch:
    """Report how the supports of a factorization were found.

    Attributes
    ----------
    constraints : tuple of Constraint
        What the factors had to meet.
    supports : Supports
        The places found.
    starts : tuple of str
        The starting points that were tried, in order.
    errors : tuple of float
        The error that each led to, in the units of A: after its supports were given to a solver, unless it
        was half as large again as the best so far; of starts that are all far from a product without noise,
        only the best is given to one.
    best : int
        Which start it was.
    stability : tuple of HTStability
        For each factor, the others fixed, whether another step of hard thresholding would change it.
    lower_bound : float
        No factors of these shapes come nearer to A, whatever their supports, in the units of A.
    settled : bool
        Whether the error is no larger than noise would make it, alike in all entries and as large as what
        leads to the lower bound. If not, and A is a product of factors that meet the constraints but for
        noise, others were not found.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.kron(np.eye(2), np.ones((2, 2)))
    >>> F = fsmf.factorize(A, [fsmf.ColumnSparse((4, 2), 2), fsmf.RowSparse((2, 4), 2)])
    >>> print(F.search)  # doctest: +ELLIPSIS
    supports found from sparse columns, the best of 1 start; stable: yes, yes; well-posed: ...
    """

    constraints: tuple[Constraint, ...]
    supports: Supports
    starts: tuple[str, ...]
    errors: tuple[float, ...]
    best: int
    stability: tuple[HTStability, ...]
    lower_bound: float
    settled: bool

    @cached_property
    def verdict(self) -> WellPosed | IllPosed | Undecided:
        """Whether every matrix has a best product on the supports found, as far as a second can tell.

        Where it has not, factors may grow without bound. It says nothing about the constraints themselves:
        other supports that they allow may catch the limit.
        """
        # What decides it takes long to import.
        from fsmf.wellposedness.check import check_well_posedness

        return check_well_posedness(self.supports, max_seconds=_SECONDS)

    def __str__(self) -> str:
        number = len(self.starts)
        stable = ", ".join("yes" if one.stable else "no" for one in self.stability)
        return (
            f"supports found from {self.starts[self.best]}, the best of {number} start{'s' * (number > 1)}; "
            f"stable: {stable}; well-posed: {_IN_WORDS[type(self.verdict).__name__]}; "
            + ("as near as noise lets tell" if self.settled else "others may come nearer")
            + f", none below {self.lower_bound:.3g}"
        )


_IN_WORDS = {"WellPosed": "yes", "IllPosed": "no, factors may grow", "Undecided": "undecided"}
