"""Does this matrix have a best product on these supports? By exact algebra, or since every matrix has one."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from fsmf.certificates.verification import Verification
from fsmf.wellposedness.check import check_well_posedness, quick_verdict
from fsmf.wellposedness.elimination import (
    Attainable,
    Unattainable,
    Unsettled,
    as_factor_pair,
    check_budget,
    directions,
    limit_curve,
    membership,
)
from fsmf.wellposedness.equations import exact_entries
from fsmf.wellposedness.verdicts import WellPosed
from fsmf.wellposedness.witnesses import Witness

__all__ = ["Attained", "NotAttained", "check_attained"]


@dataclass(frozen=True)
class Attained:
    """Hold the proof that A has a best product.

    Attributes
    ----------
    proof : Attainable or WellPosed
        Exact factors of the part of A within reach, which no product is nearer to; or the verdict that every
        matrix has a best product.
    """

    proof: Attainable | WellPosed

    def verify(self) -> Verification:
        """Check the proof, by other means than those that found it."""
        return self.proof.verify()

    def __str__(self) -> str:
        if isinstance(self.proof, Attainable):
            return "attained: exact factors of the part of A within reach are at hand"
        return f"attained: {self.proof.headline}"


@dataclass(frozen=True)
class NotAttained:
    """Hold the proof that no factorization is best: the part of A within reach is a limit, and no product.

    Attributes
    ----------
    witness : Witness
        Its target is the part of A within reach.
    """

    witness: Witness

    def verify(self) -> Verification:
        """Check the witness, as `Witness.verify`."""
        return self.witness.verify()

    def __str__(self) -> str:
        return (
            "not attained: products tend to the part of A within reach while their factors grow without "
            "bound, and none is equal to it"
        )


def check_attained(
    A: Any, supports: Any, *, max_seconds: float = 10.0, rng: int = 0
) -> Attained | NotAttained | Unsettled:
    """Decide whether ``‖A − XY‖`` has a minimum over the supports, for this A.

    Parameters
    ----------
    A : array_like or sparse array
        As `is_attainable` takes it, shape ``(m, n)``.
    supports : sequence
        Two supports.
    max_seconds : float, optional
        When to give up, in seconds of processor time.
    rng : int, optional
        Seed of the directions from which A is approached.

    Returns
    -------
    Attained, NotAttained or Unsettled
        With the verdict on the supports, or exact factors; with a `Witness`; with the reason.

    Raises
    ------
    InputError, InputTypeError, ShapeError, RefusedError, OptionError
        As `is_attainable`.

    Notes
    -----
    **Guarantee.** Entries out of reach add the same to every error, so A may be replaced by its part A'
    within reach. If every matrix has a best product, A has. If A' is a product, that one is best. If it is
    not, but is the limit of a curve of products, the infimum is reached by none of them. Otherwise A' is at a
    positive distance, or no curve was found, and the question stays open: whether a best product exists then
    depends on more than exact algebra tells.

    **Cost.** A call of `is_attainable`, one of `check_well_posedness`, and several of `limit_curve`.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_attained([[0, 1], [1, 0]], fsmf.lu(2))
    >>> type(verdict).__name__, bool(verdict.verify())
    ('NotAttained', True)
    >>> print(fsmf.check_attained([[2, 1], [1, 2]], fsmf.low_rank(2, rank=1)))
    attained: every matrix has a best product on these supports
    """
    check_budget(max_seconds)
    deadline = time.thread_time() + max_seconds
    supports = as_factor_pair(supports)
    left, right = supports
    entries = exact_entries(A, supports.shape)
    row, column = ({i: set(side.row(i).tolist()) for i in range(side.shape[0])} for side in (left, right.T))
    within = tuple((i, j, value) for i, j, value in entries if not row[i].isdisjoint(column[j]))
    verdict: Any = quick_verdict(supports)
    if isinstance(verdict, WellPosed):
        return Attained(verdict)
    found = membership(within, supports, max_seconds=max_seconds / 2)
    if isinstance(found, Attainable):
        return Attained(found)
    verdict = check_well_posedness(supports, max_seconds=max(deadline - time.thread_time(), 1e-3) / 2)
    if isinstance(verdict, WellPosed):
        return Attained(verdict)
    if not isinstance(found, Unattainable):
        return found
    random_source = random.Random(rng)
    for direction in directions(supports, within, random_source):
        if (left_over := deadline - time.thread_time()) <= 0:
            break
        curve = limit_curve(within, direction, supports, max_seconds=min(1.0, left_over))
        if curve:
            return NotAttained(Witness(left, right, found.target, *curve, found.cofactors))
    return Unsettled(
        "the part of A within reach is no product, and no curve of products that tends to it was found: its "
        "distance from the products may be positive, and a best one may exist"
    )
