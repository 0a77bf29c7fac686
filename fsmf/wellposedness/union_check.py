"""Decide whether every matrix has a best product where supports are not given, only constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from time import thread_time

import numpy as np

from fsmf.supports.constraints import Constraint, Constraints
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.elimination import Unattainable, membership
from fsmf.wellposedness.joins import find_filling
from fsmf.wellposedness.lifting import Lifted
from fsmf.wellposedness.members import (
    Bools,
    Kind,
    is_listed,
    kinds_on,
    meeting,
    most_at_once,
    pairs_by_kind,
)
from fsmf.wellposedness.pair_proofs import PairProof
from fsmf.wellposedness.pattern import Pattern
from fsmf.wellposedness.proofs import Proof
from fsmf.wellposedness.rational import Entries
from fsmf.wellposedness.uncrossing import Escaping, absorb, cancelling, uncross
from fsmf.wellposedness.unions import EveryMember, Lines, NoMember, OneMember
from fsmf.wellposedness.verdicts import TIME_IS_OVER, IllPosed, Undecided, WellPosed
from fsmf.wellposedness.witnesses import Polynomial

__all__ = ["check_union"]

Verdict = WellPosed | IllPosed | Undecided

# Kinds of pairs, and components, that are gone through one by one.
_KINDS, _COMPONENTS = 3000, 5
# Constraints that do not count entries are projected on up to so many places.
_PROJECTED = 10_000
# Pairs of supports whose limits are gone through.
_PAIRS = 3000
# Pairs that are asked, one by one, whether they make a target.
_TARGETS = 50_000
# Seconds for one question, whether a pair makes a matrix.
_SECONDS = 0.5
_TRIED = ("components on one line", "one choice of supports that makes every matrix")
_TRIED_ON_ALL = (*_TRIED, "each choice of supports", "limits that no choice of supports makes")


def check_union(
    constraints: Constraints, decide: Callable[[Supports, float], Verdict], deadline: float
) -> Verdict:
    """Decide whether every matrix has a best product of factors that meet constraints.

    Parameters
    ----------
    constraints : Constraints
        One for each factor.
    decide : callable
        Decides one pair of supports until a moment on the clock of `time.thread_time`.
    deadline : float
        When to stop, on that clock.

    Returns
    -------
    WellPosed, IllPosed or Undecided
        For the constraints.
    """
    lines = _find_lines(constraints)
    if lines:
        return WellPosed(constraints, lines)
    if len(constraints) != 2:
        reason = f"There are {len(constraints)} factors, not all of whose supports are given"
        return Undecided(constraints, reason, _TRIED[:1])
    one = _one_of(product(*map(_candidates, constraints)), deadline)
    if one:
        return WellPosed(constraints, one)
    uncrossed = uncross(constraints)
    if uncrossed:
        return WellPosed(constraints, uncrossed)
    left, right = (meeting(constraint) for constraint in constraints)
    inner = constraints[0].shape[1]
    if left is None or right is None or inner > _COMPONENTS:
        reason = "The supports that meet the constraints are too many to go through"
        return Undecided(constraints, reason, _TRIED)
    kinds = kinds_on(left, right, deadline)
    if kinds is None:
        reason = f"{TIME_IS_OVER} while the supports that meet the constraints were listed"
        return Undecided(constraints, reason, _TRIED)
    if len(kinds) > _KINDS:
        reason = f"The supports are of {len(kinds)} kinds, and at most {_KINDS} are gone through"
        return Undecided(constraints, reason, _TRIED)
    one = _one_of(((pair[0].toarray(), pair[1].toarray()) for pair in kinds.values()), deadline)
    if one:
        return WellPosed(constraints, one)
    closed: dict[Kind, tuple[Supports, Proof]] = {}
    ill: list[IllPosed] = []
    n_open = 0
    for at, (kind, pair) in enumerate(kinds.items()):
        now = thread_time()
        if now > deadline:
            n_open += len(kinds) - at
            break
        verdict = decide(pair, now + max(0.05, (deadline - now) / (len(kinds) - at)))
        if isinstance(verdict, WellPosed) and isinstance(verdict.proof, Proof):
            closed[kind] = (pair, verdict.proof)
        elif isinstance(verdict, IllPosed):
            ill.append(verdict)
        else:
            n_open += 1
    if not ill and not n_open:
        return WellPosed(constraints, EveryMember(tuple(closed.values())))
    every = _every_member(closed, left, right, deadline)
    if every:
        return WellPosed(constraints, every)
    escaping: list[Escaping] = []
    if inner == 2 and len(left) * len(right) <= _PAIRS:
        absorbed, escaping = absorb(left, right)
        if not escaping:
            return WellPosed(constraints, absorbed)
    # The target of one pair may be a product on another: then the next one is looked at.
    for member in _limits(ill, escaping, deadline):
        found = _no_member(constraints, member, left, right, deadline)
        if found:
            return IllPosed(constraints, found)
    said = [f"of {len(kinds)} kinds of supports {len(closed)} are well-posed, {len(ill)} ill-posed"]
    said += [f"{n_open} open"] if n_open else []
    reason = f"{', '.join(said)}; a limit that is no product on one may be one on another"
    reason = f"{TIME_IS_OVER}: {reason}" if thread_time() > deadline else reason[0].upper() + reason[1:]
    # One of the others, which would be closed if all were.
    question = next((Pattern.of(pair) for kind, pair in kinds.items() if kind not in closed), None)
    return Undecided(constraints, reason, _TRIED_ON_ALL, question if n_open and not ill else None)


def _find_lines(constraints: Constraints) -> Lines | None:
    """One row or one column for each component, or one component, or one factor."""
    if len(constraints) == 1 or (len(constraints) == 2 and constraints[0].shape[1] == 1):
        return Lines()
    if len(constraints) > 2:
        return None
    most = zip(most_at_once(constraints[0]), most_at_once(constraints[1], by_rows=True), strict=True)
    lines = ["row" if rows <= 1 else "column" for rows, columns in most if min(rows, columns) <= 1]
    return Lines(tuple(lines)) if len(lines) == constraints[1].shape[0] else None


def _one_of(pairs: Iterable[tuple[Bools, ...]], deadline: float) -> OneMember | None:
    """A pair of supports whose products are all matrices, or None."""
    for I, J in pairs:
        if thread_time() > deadline:
            return None
        if (I.astype(int) @ J.astype(int)).all():
            pair = Supports((Support(I), Support(J)))
            proof = find_filling(pair)
            if proof:
                return OneMember(pair, proof)
    return None


def _every_member(
    closed: Mapping[Kind, tuple[Supports, Proof]],
    left: Sequence[Bools],
    right: Sequence[Bools],
    deadline: float,
) -> EveryMember | None:
    """The proof from pairs with closed products, and from those that make all on the reach of the others."""
    fills = {kind: find_filling(pair) is not None for kind, (pair, _) in closed.items()}
    if not any(fills.values()):
        return None
    wide: dict[int, tuple[Bools, Bools]] = {}
    others = set()
    for kind, I, J in pairs_by_kind(left, right):
        if thread_time() > deadline:
            return None
        reach = int.from_bytes(np.packbits(I @ J).tobytes())
        if kind not in closed:
            others.add(reach)
        elif fills[kind]:
            wide[reach] = I, J
    used: list[int] = []
    for reach in sorted(others, key=int.bit_count, reverse=True):
        found = next((other for other in (*used, *wide) if not reach & ~other), None)
        if found is None:
            return None
        if found not in used:
            used.append(found)
    pairs = (Supports(map(Support, wide[reach])) for reach in used)
    proofs = ((pair, find_filling(pair)) for pair in pairs)
    return EveryMember(tuple(closed.values()), tuple((pair, proof) for pair, proof in proofs if proof))


def _candidates(constraint: Constraint) -> list[Bools]:
    """Supports that meet a constraint and prefer the first rows, the first columns, or a diagonal."""
    m, n = constraint.shape
    if constraint.quotas() is None and constraint.size > _PROJECTED:
        return []
    i, j = np.indices((m, n))
    preferences = (i == j, j < m, i < n, np.zeros((m, n), dtype=bool))
    found = {
        constraint.places(1 + 1.0 * preference).tobytes(): constraint.places(1 + 1.0 * preference)
        for preference in preferences
    }
    return list(found.values())


def _limits(ill: list[IllPosed], escaping: list[Escaping], deadline: float) -> Iterator[PairProof]:
    """Limits of pairs that these do not make."""
    for verdict in ill:
        assert not isinstance(verdict.proof, Lifted | NoMember)
        yield verdict.proof
    for limits in escaping:
        curve = cancelling(limits)
        left_over = deadline - thread_time()
        if left_over < 0:
            return
        found = membership(curve.target, curve.supports, max_seconds=min(_SECONDS, left_over))
        if isinstance(found, Unattainable):
            yield replace(curve, cofactors=found.cofactors)


def _no_member(
    constraints: Constraints, member: PairProof, left: list[Bools], right: list[Bools], deadline: float
) -> NoMember | None:
    """The proof that no pair of supports makes the target of one, or None."""
    target = member.target
    rows, columns = sorted({i for i, _, _ in target}), sorted({j for _, j, _ in target})
    here = tuple((rows.index(i), columns.index(j), value) for i, j, value in target)
    here_left = {I[rows].tobytes(): I[rows] for I in left}.values()
    here_right = {J[:, columns].tobytes(): J[:, columns] for J in right}.values()
    listed: list[tuple[Bools, ...]] = []
    others: list[tuple[Supports, Entries[Polynomial]]] = []
    if thread_time() > deadline or len(here_left) * len(here_right) > _TARGETS:
        return None
    pairs = sorted(product(here_left, here_right), key=lambda pair: -sum(map(np.count_nonzero, pair)))
    for I, J in pairs:
        if is_listed(I, J, listed, target, rows, columns):
            continue
        left_over = deadline - thread_time()
        if left_over < 0:
            return None
        pair = Supports((Support(I), Support(J)))
        found = membership(here, pair, max_seconds=min(_SECONDS, left_over))
        if not isinstance(found, Unattainable):
            return None
        listed.append((I, J))
        others.append((pair, found.cofactors))
    return NoMember(constraints, member, tuple(others))
