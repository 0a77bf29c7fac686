"""Answers to the question whether every matrix has a best product on given supports, each with its proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

from scipy import sparse

from fsmf.certificates.verification import Check, Verification
from fsmf.supports.constraints import Constraints
from fsmf.supports.support import Supports
from fsmf.wellposedness.chains import Chain
from fsmf.wellposedness.joins import Joined, as_pair
from fsmf.wellposedness.lifting import Lifted
from fsmf.wellposedness.pair_proofs import PAIR_PROOFS, PairProof
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.plain_data import (
    constraints_from_list,
    constraints_to_list,
    read_as,
    support_from_dict,
    support_to_dict,
)
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.splits import Split
from fsmf.wellposedness.uncrossed import Absorbed, Uncrossed
from fsmf.wellposedness.unions import EveryMember, Lines, NoMember, OneMember
from fsmf.wellposedness.verification import verify_proof

__all__ = ["TIME_IS_OVER", "IllPosed", "Undecided", "Verdict", "WellPosed", "verdict_from_dict"]

UnionProof = Lines | OneMember | EveryMember | Uncrossed | Absorbed
_PROOFS = (Proof, Chain, Split, Joined, Lines, OneMember, EveryMember, Uncrossed, Absorbed)
# What a reason begins with where the budget ran out; `check_well_posedness` adds the number.
TIME_IS_OVER = "The time that was allowed is over"
# Entries of a target that are printed.
_SHOWN = 8


@dataclass(frozen=True)
class Verdict:
    """The part that all verdicts share: the supports that were asked about.

    Attributes
    ----------
    supports : Supports or Constraints
        The supports, left to right, or constraints that stand for many.
    """

    supports: Supports | Constraints

    answer: ClassVar[str]
    headline: ClassVar[str]

    @property
    def fact(self) -> str:
        """What the verdict says, in one line."""
        return self.headline

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"the truth value of a verdict is undefined, since it may be undecided; found {self.answer}; ask "
            "isinstance(verdict, fsmf.WellPosed), or fsmf.IllPosed"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        return {
            "verdict": self.answer,
            **_to_dict(self.supports),
        }

    def to_json(self) -> str:
        """Return the verdict as JSON text."""
        return json.dumps(self.to_dict())


@dataclass(frozen=True)
class WellPosed(Verdict):
    """Every matrix has a best product on these supports.

    Attributes
    ----------
    supports : Supports
        The supports, left to right.
    proof : Proof, Chain, Split or Joined
        Why products form a closed set: a tree of theorems, a chain of Kronecker patterns, groups that share
        no place, or neighbours that count as one. For constraints Lines, OneMember, EveryMember, Uncrossed or
        Absorbed.

    Notes
    -----
    **Guarantee.** For each A of the right shape there are factors on the supports that no others beat. The
    set of products is closed, and a closed set has a nearest point to any A.

    **Cost.** `verify` takes a few passes over the nonzeros.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_well_posedness(fsmf.low_rank(40, 30, rank=3))
    >>> verdict.is_bounded, bool(verdict.verify())
    (True, True)
    """

    proof: Proof | Chain | Split | Joined | UnionProof

    answer: ClassVar[str] = "WellPosed"
    headline: ClassVar[str] = "every matrix has a best product on these supports"

    @property
    def is_bounded(self) -> bool:
        """Whether, for each A, some best factors have Σ_k ‖x_k‖² ‖y_k‖² ≤ ‖A‖² (columns of X, rows of Y)."""
        return isinstance(self.proof, Proof | Split) and self.proof.bounded

    @property
    def fact(self) -> str:
        """What the verdict says, in one line."""
        return f"{self.headline}{', of factors that it bounds' if self.is_bounded else ''}"

    def norm_bound(self, norm: float) -> float | None:
        """Return a norm that some best factors do not exceed.

        Parameters
        ----------
        norm : float
            ‖A‖_F.

        Returns
        -------
        float or None
            A bound on ``(‖X‖² + ‖Y‖²)^½``, in the units of √A; None unless `is_bounded`. It is what
            ``ALS(max_norm=)`` takes, which loses nothing then.

        Notes
        -----
        **Guarantee.** With ‖x_k‖ = ‖y_k‖ for each of the r components, ``Σ ‖x_k‖⁴ ≤ ‖A‖²`` by `is_bounded`,
        so by Cauchy and Schwarz ``‖X‖² + ‖Y‖² = 2 Σ ‖x_k‖² ≤ 2 √r ‖A‖``.

        Examples
        --------
        >>> import fsmf
        >>> fsmf.check_well_posedness(fsmf.low_rank(40, 30, rank=4)).norm_bound(1.0)
        2.0
        """
        if not self.is_bounded:
            return None
        assert isinstance(self.supports, Supports)  # nothing else is bounded
        left, right = as_pair(self.supports)
        live = sum(bool(left.T.row(k).size and right.row(k).size) for k in range(right.shape[0]))
        return float((2 * live**0.5 * norm) ** 0.5)

    def verify(self) -> Verification:
        """Check every step of the proof from the supports and the theorems alone."""
        supports, proof = self.supports, self.proof
        if isinstance(supports, Constraints):
            if isinstance(proof, UnionProof):
                return proof.verify(supports)
        elif isinstance(proof, Proof):
            return verify_proof(supports, proof)
        elif not isinstance(proof, UnionProof):
            return proof.verify(supports)
        return Verification((Check("proof", "of such a question", "of another kind", False),))

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        return {**super().to_dict(), type(self.proof).__name__.lower(): self.proof.to_dict()}

    def __str__(self) -> str:
        text = f"well-posed: {self.headline}. Reason: {self.proof.reason}."
        if self.is_bounded:
            text += " Some best factors are no larger than the matrix: Σ ‖x_k‖² ‖y_k‖² ≤ ‖A‖²."
        return text


@dataclass(frozen=True)
class IllPosed(Verdict):
    """Some matrix has no best product on these supports: it is a limit of products, and not a product.

    Attributes
    ----------
    supports : Supports
        The supports, left to right.
    proof : PairProof, Lifted or NoMember
        The matrix, products that tend to it, and why it is not one; `Lifted` where there are several factors,
        `NoMember` for constraints.

    Notes
    -----
    **Guarantee.** For ``A = target`` the infimum of the error is 0, and no factors on the supports have
    error 0, over the reals and over the complex numbers.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_well_posedness(fsmf.lu(2))
    >>> verdict.target.toarray()
    array([[0., 1.],
           [1., 0.]])
    >>> X, Y = verdict.witness(1e-6)
    >>> bool(abs(X @ Y - verdict.target).max() < 1e-5), bool(verdict.verify())
    (True, True)
    """

    proof: PairProof | Lifted | NoMember

    answer: ClassVar[str] = "IllPosed"
    headline: ClassVar[str] = "some matrices have no best product on these supports"

    @property
    def target(self) -> sparse.csr_array:
        """A matrix without a best product, shape ``(m, n)``."""
        return self.proof.matrix()

    def witness(self, t: float) -> tuple[sparse.csr_array, ...]:
        """Return factors whose product tends to the target as t tends to 0; they grow without bound.

        Parameters
        ----------
        t : float
            Not 0; the smaller, the nearer.

        Returns
        -------
        tuple of csr_array
            One per factor, left to right, on the supports.
        """
        return self.proof.numeric(t)

    def verify(self) -> Verification:
        """Check in exact arithmetic that the target is a limit of products on the supports, and not one."""
        found = self.proof.verify()
        same = self.proof.supports == self.supports
        here = Check("supports of the witness", "those asked about", "the same" if same else "others", same)
        return Verification((here, *found.checks))

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        return {**super().to_dict(), type(self.proof).__name__.lower(): self.proof.to_dict()}

    def __str__(self) -> str:
        m, n = self.supports.shape
        entries = ", ".join(f"({i}, {j}) = {value}" for i, j, value in self.proof.target[:_SHOWN])
        more = len(self.proof.target) - _SHOWN
        rest = f", {more} more nonzeros," if more > 0 else ""
        return (
            f"ill-posed: {self.headline}. For the "
            f"{m}×{n} matrix with entries {entries}{rest} and zeros elsewhere, the error can be "
            "driven to 0 by letting the factors grow without bound, and 0 is never reached. Reason: "
            f"{self.proof.reason}. "
            "`verdict.witness(t)` gives such factors for small t, and `verdict.verify()` checks the proof "
            "in exact arithmetic."
        )


@dataclass(frozen=True)
class Undecided(Verdict):
    """Nothing was proved: treat the question as open, never as answered.

    Attributes
    ----------
    supports : Supports
        The supports, left to right.
    reason : str
        What ended the search: a budget, or the end of what it knows.
    tried : tuple of str
        What was tried.
    question : Pattern or None
        A smaller question that would settle it if products form a closed set there, where there is one.
    """

    reason: str
    tried: tuple[str, ...] = ()
    question: Pattern | None = field(default=None)

    answer: ClassVar[str] = "Undecided"
    headline: ClassVar[str] = "whether every matrix has a best product on these supports is open"

    def verify(self) -> Verification:
        """Check nothing: there is no claim."""
        return Verification(())

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as lists, numbers and strings, as JSON takes them."""
        question = self.question and self.question.to_dict()
        return {**super().to_dict(), "reason": self.reason, "tried": list(self.tried), "question": question}

    def __str__(self) -> str:
        text = f"undecided: {self.headline}. {self.reason}."
        if self.tried:
            text += f" Tried: {', '.join(self.tried)}."
        if self.question:
            q = self.question
            text += (
                f" What remains: {q.n_rows} rows × {q.n_columns} columns with {q.rank} components "
                f"in {len(q.ranks)} classes."
            )
        return text


def verdict_from_dict(data: Mapping[str, Any]) -> WellPosed | IllPosed | Undecided:
    """Build a verdict from what its `to_dict` returned.

    Parameters
    ----------
    data : mapping
        As `to_dict` returns it, perhaps after a trip through JSON.

    Returns
    -------
    WellPosed, IllPosed or Undecided
        Not verified yet.

    Raises
    ------
    FileFormatError
        If something is missing or cannot be read.

    Examples
    --------
    >>> import fsmf
    >>> verdict = fsmf.check_well_posedness(fsmf.lu(3))
    >>> fsmf.verdict_from_dict(verdict.to_dict()) == verdict
    True
    """
    with read_as("verdict"):
        supports = _from_dict(data)
        if data["verdict"] == "WellPosed":
            (proof,) = (kind for kind in _PROOFS if kind.__name__.lower() in data)
            return WellPosed(supports, proof.from_dict(data[proof.__name__.lower()]))
        if data["verdict"] == "IllPosed":
            if isinstance(supports, Constraints):
                return IllPosed(supports, NoMember.from_dict(data["nomember"], supports))
            if "lifted" in data:
                return IllPosed(supports, Lifted.from_dict(data["lifted"], supports))
            (reason,) = (kind for name, kind in PAIR_PROOFS.items() if name.lower() in data)
            return IllPosed(supports, reason.from_dict(data[reason.__name__.lower()]))
        if data["verdict"] != "Undecided":
            raise ValueError(data["verdict"])
        question = Pattern.from_dict(data["question"]) if data["question"] else None
        return Undecided(supports, str(data["reason"]), tuple(data["tried"]), question)


def _to_dict(supports: Supports | Constraints) -> dict[str, Any]:
    if isinstance(supports, Constraints):
        return {"constraints": constraints_to_list(supports)}
    return {"supports": list(map(support_to_dict, supports))}


def _from_dict(data: Mapping[str, Any]) -> Supports | Constraints:
    if "constraints" in data:
        return constraints_from_list(data["constraints"])
    return Supports(map(support_from_dict, data["supports"]))
