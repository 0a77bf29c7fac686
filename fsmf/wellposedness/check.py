"""Does every matrix have a best product on these supports? The tests in order, cheap ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from fsmf.errors import OptionError
from fsmf.supports.constraints import Constraints
from fsmf.supports.fixed import as_free_supports
from fsmf.supports.kronecker import KroneckerPattern
from fsmf.supports.rank_one import EquivalenceClasses, equivalence_classes
from fsmf.supports.support import Supports
from fsmf.wellposedness.chains import Chain, find_chain
from fsmf.wellposedness.contractions import find_contracted
from fsmf.wellposedness.joins import Joined, as_pair, join, reach
from fsmf.wellposedness.lifting import Lifted, lift
from fsmf.wellposedness.minors import find_corner, find_minor, images_of, witness_of
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.rank_limits import find_rank_limit
from fsmf.wellposedness.search import Prover
from fsmf.wellposedness.splits import Group, Split, restricted, split
from fsmf.wellposedness.two_class_limits import find_two_class_minor, limit_of_two_classes
from fsmf.wellposedness.union_check import check_union
from fsmf.wellposedness.unions import NoMember
from fsmf.wellposedness.verdicts import TIME_IS_OVER, IllPosed, Undecided, WellPosed
from fsmf.wellposedness.witnesses import Witness

if TYPE_CHECKING:
    from fsmf.wellposedness.orbits import OpenForm

__all__ = ["check_well_posedness", "quick_verdict"]

# Kronecker patterns with more places than this are recognized by their sizes alone.
_LAID_OUT = 1_000_000
# Kinds times classes: beyond this a pair is split into groups before anything else.
_BITS = 300_000
# Nonzeros, and kinds times classes, that are looked at in passing.
_QUICK = 100_000
# Places and components of the pairs on which curves are searched for.
_PLACES, _COMPONENTS = 20, 5
# So many components are decided by known minors alone.
_LIBRARY = 3
# Up to so many components, limits of the highest rank are looked for last; beyond, so many are tried first.
_FEW, _GLANCE = 4, 30
_TRIED = (
    "2×2 corners",
    "free entries and groups",
    "compatible pairs",
    "two classes",
    "fillings",
    "saturated kinds",
    "triangles, limits of the highest rank, and of one below",
    "small sub-blocks that are known to be ill-posed",
    "contractions to such sub-blocks",
    "normal forms",
    "curves with poles",
)
_TRIED_ON_SEVERAL = (
    "chainable chains",
    "neighbours that make any values",
    "limits of two partial products",
)


def check_well_posedness(supports: Any, *, max_seconds: float = 5.0) -> WellPosed | IllPosed | Undecided:
    """Decide whether every matrix has a best product on given supports, and prove it.

    The infimum of ‖A − X1 X2 … XL‖ over factors on the supports is attained for every A if and only if the
    products form a closed set. Where they do not, some matrix is a limit of products and not one: factors
    that come near to it grow without bound.

    Parameters
    ----------
    supports : Supports or sequence
        One support per factor, left to right, as `as_supports` takes them. Some may also be constraints such
        as ``KSparse``, which stand for all supports that meet them.
    max_seconds : float
        When to stop searching, in seconds of processor time.

    Returns
    -------
    WellPosed, IllPosed or Undecided
        The answer with a proof that its `verify` checks by other means. It has no truth value.

    Raises
    ------
    SupportError, ShapeError, InputTypeError
        As `as_supports`.
    OptionError
        If `max_seconds` is not a number above 0.

    Notes
    -----
    **Guarantee.** `WellPosed` and `IllPosed` are theorems. Every pair with at most two components is
    decided, and every pair of two classes, of any number of components.

    Where there are constraints, products are a union over finitely many supports, and the verdict speaks of
    the union: it may be closed though some supports are ill-posed.

    **Cost.** The tests that decide most supports are linear in the nonzeros, or in the places that the
    components cover; the others see only what these leave.

    References
    ----------
    Q.-T. Le, E. Riccietti, R. Gribonval, "Does a sparse ReLU network training problem always admit an
    optimum?", NeurIPS 2023, arXiv:2306.02666.

    Examples
    --------
    >>> import fsmf
    >>> print(fsmf.check_well_posedness(fsmf.lu(2)))
    ill-posed: some matrices have no best product on these supports. For the 2×2 matrix with entries (0, 1)
    = 1,
    (1, 0) = 1 and zeros elsewhere, the error can be driven to 0 by letting the factors grow without bound,
    and 0 is never reached. Reason: an identity Σ c_ij (XY − B)_ij = 1, for all factors X and Y, excludes
    this B. `verdict.witness(t)` gives such factors for small t, and `verdict.verify()`
    checks the proof in exact arithmetic.
    """
    constraints = Constraints.found_in(supports)
    if not (isinstance(max_seconds, int | float | np.number) and max_seconds > 0):
        raise OptionError(f"max_seconds must be a number of seconds above 0; found {max_seconds!r}")
    deadline = thread_time() + float(max_seconds)
    if constraints is not None:
        verdict = check_union(constraints, _check_pair, deadline)
    else:
        verdict = _check_supports(as_free_supports(supports), deadline)
    if isinstance(verdict, Undecided):
        told = TIME_IS_OVER.replace(" is", f", {max_seconds:g} s, is")
        return replace(verdict, reason=verdict.reason.replace(TIME_IS_OVER, told))
    return verdict


def quick_verdict(supports: Supports) -> WellPosed | IllPosed | None:
    """Return the verdict that comes within milliseconds, or None.

    Parameters
    ----------
    supports : Supports
        Left to right.

    Returns
    -------
    WellPosed, IllPosed or None
        From chainable chains, 2 × 2 corners, compatible pairs, free entries and two classes; None says
        nothing, and is the answer where values are prescribed.

    Examples
    --------
    >>> import fsmf
    >>> type(quick_verdict(fsmf.lu(5))).__name__
    'IllPosed'
    >>> quick_verdict(fsmf.kaleidoscope(8)) is None
    True
    """
    if any(support.n_prescribed for support in supports):
        return None
    if len(supports) > 2 or supports.n_parameters > _QUICK:
        kronecker = all(isinstance(support, KroneckerPattern) for support in supports)
        chain = find_chain(supports) if kronecker else None
        return WellPosed(supports, chain) if chain else None
    if len(supports) == 1:
        return None
    classes = equivalence_classes(supports)
    pattern = Pattern.of(classes)
    if (len(pattern.rows) + len(pattern.columns)) * len(pattern.ranks) > _QUICK:
        return None
    corner = find_corner(pattern)
    if corner:
        return IllPosed(supports, witness_of(corner, classes, supports))
    proof = Prover(cheap=True).prove(pattern)
    return WellPosed(supports, proof) if proof else None


def _check_supports(supports: Supports, deadline: float) -> WellPosed | IllPosed | Undecided:
    """Decide supports that are given, of any number."""
    # A pair says more of itself when it is looked at, but a huge one need not even be laid out.
    huge = supports.n_parameters > _LAID_OUT and all(
        isinstance(support, KroneckerPattern) for support in supports
    )
    if huge or len(supports) > 2:
        chain = find_chain(supports)
        if chain:
            return WellPosed(supports, chain)
    if len(supports) > 2:
        return _check_several(supports, deadline)
    if len(supports) == 1:
        return replace(_check_pair(as_pair(supports), deadline), supports=supports)
    return _check_pair(supports, deadline)


def _check_several(supports: Supports, deadline: float) -> WellPosed | IllPosed | Undecided:
    """Decide three factors or more: as two, if neighbours can be joined, or by a witness for two of them."""
    joins, fewer = join(supports, (thread_time() + deadline) / 2)
    rest: Proof | Chain | Split | None = None
    if joins and len(fewer) > 2:
        rest = find_chain(fewer)
    elif joins:
        verdict = _check_pair(as_pair(fewer), deadline)
        if isinstance(verdict, WellPosed) and isinstance(verdict.proof, Proof | Chain | Split):
            rest = verdict.proof
    if rest:
        return WellPosed(supports, Joined(joins, rest))
    reason = f"There are {len(supports)} factors, and they are no chainable chain of Kronecker patterns"
    for at in range(1, len(supports)):
        left, right = reach(Supports(supports[:at])), reach(Supports(supports[at:]))
        if thread_time() > deadline or left is None or right is None:
            continue
        verdict = _check_pair(Supports((left, right)), deadline)
        if isinstance(verdict, IllPosed) and not isinstance(verdict.proof, Lifted | NoMember):
            lifted = lift(supports, at, verdict.proof)
            if lifted:
                return IllPosed(supports, lifted)
            reason = (
                f"Two factors on the reach of the first {at} and of the others have limits that are no "
                "products, but products of all factors were not found to tend to one"
            )
    if thread_time() > deadline:
        reason = TIME_IS_OVER
    sizes = " · ".join(f"{m}×{n}" for m, n in (support.shape for support in fewer))
    what = f"What remains is whether the products of {len(fewer)} factors, {sizes}, are a closed set"
    return Undecided(supports, f"{reason}. {what}", _TRIED_ON_SEVERAL)


def _check_pair(supports: Supports, deadline: float) -> WellPosed | IllPosed | Undecided:
    classes = equivalence_classes(supports)
    n_kinds = len(classes.layout.first_row) + len(classes.layout.first_column)
    if n_kinds * len(classes) <= _BITS:
        return _check_whole(supports, classes, deadline)
    label, groups = split(supports)
    proofs: dict[Pattern, Proof] = {}
    place: dict[Pattern, int] = {}
    proof_of = {}
    unanswered = None
    for group in groups:
        part = restricted(supports, group)
        verdict = _check_whole(part, equivalence_classes(part), deadline)
        if isinstance(verdict, IllPosed):
            assert not isinstance(verdict.proof, Lifted | NoMember)
            components, rows, columns = (part.tolist() for part in group)
            witness = verdict.proof.padded(rows, columns, components, supports)
            return IllPosed(supports, witness)
        if isinstance(verdict, Undecided):
            unanswered = verdict
        else:
            assert isinstance(verdict.proof, Proof)
            question = verdict.proof.pattern
            proofs.setdefault(question, verdict.proof)
            proof_of[int(label[group.components[0]])] = place.setdefault(question, len(place))
    if unanswered is not None:
        return replace(unanswered, supports=supports)
    return WellPosed(supports, Split(tuple(label.tolist()), tuple(proofs.values()), proof_of))


def _check_whole(
    supports: Supports, classes: EquivalenceClasses, deadline: float
) -> WellPosed | IllPosed | Undecided:
    """Decide a pair without splitting it first."""
    pattern = Pattern.of(classes)
    if thread_time() > deadline:
        return Undecided(supports, TIME_IS_OVER, question=pattern)
    corner = find_corner(pattern, deadline)
    if corner:
        return IllPosed(supports, witness_of(corner, classes, supports))
    plain = Prover(deadline)
    proof = plain.prove(pattern)
    if proof:
        return WellPosed(supports, proof)
    if pattern.rank > _LIBRARY:
        two = find_two_class_minor(pattern, (thread_time() + deadline) / 2)
        if two:
            return IllPosed(supports, limit_of_two_classes(pattern, two, classes, supports))
    # Few components are mostly decided by small minors, whose targets are easier to look at.
    if pattern.rank > _FEW:
        limit = find_rank_limit(supports, deadline, tries=_GLANCE)
        if limit:
            return IllPosed(supports, limit)
    # Where there are many components, looking for minors would take all the time.
    minor = find_minor(pattern, deadline if pattern.rank <= _FEW else (thread_time() + deadline) / 2)
    if minor:
        return IllPosed(supports, witness_of(minor, classes, supports))
    if pattern.rank > _LIBRARY:
        limit = find_rank_limit(supports, deadline)
        if limit:
            return IllPosed(supports, limit)
        witness = find_contracted(supports, (thread_time() + deadline) / 2)
        if witness:
            return IllPosed(supports, witness)
    # What is small is looked at from both sides; up to three components all minimal patterns are known.
    small = pattern.n_rows * pattern.n_columns <= _PLACES and _LIBRARY < pattern.rank <= _COMPONENTS
    prover = Prover((thread_time() + deadline) / 2 if small else deadline, plain=plain)
    proof = prover.prove(pattern)
    if proof:
        return WellPosed(supports, proof)
    if small:
        witness = _find_curve(supports, classes, prover.open_forms, deadline)
        if witness:
            return IllPosed(supports, witness)
    reason = (
        TIME_IS_OVER if thread_time() > deadline else "No theorem applies, and no known obstruction was found"
    )
    open_questions = [*prover.open_questions, *plain.open_questions]
    question = min(open_questions, key=lambda q: (q.n_rows * q.n_columns, q.rank), default=None)
    return Undecided(supports, reason, _TRIED, question)


def _find_curve(
    supports: Supports, classes: EquivalenceClasses, forms: Mapping[Pattern, OpenForm], deadline: float
) -> Witness | None:
    """Search for a curve on the rows and columns of the form that was left open, if one was, or on all."""
    from fsmf.wellposedness.curves import find_witness

    pattern = Pattern.of(classes)
    # Without twins kinds are the same, but fewer of each.
    question = next((q for q in forms if (q.rows, q.columns) == (pattern.rows, pattern.columns)), pattern)
    of_rows, of_columns, _ = images_of(classes)
    rows, columns = (
        np.concatenate([image[:count] for image, count in zip(images, counts, strict=True)])
        for images, counts in ((of_rows, question.row_counts), (of_columns, question.column_counts))
    )
    block = Group(np.arange(supports[0].shape[1]), rows, columns)
    witness = find_witness(
        restricted(supports, block), form=forms.get(question), max_seconds=deadline - thread_time()
    )
    return witness and witness.padded(rows.tolist(), columns.tolist(), block.components.tolist(), supports)
