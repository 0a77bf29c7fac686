"""Slow truths that share no line with fsmf: definitions in loops, and optimisation from many starts."""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import Any

import networkx
import numpy as np

Place = tuple[int, int]
Rectangle = tuple[frozenset[int], frozenset[int]]


def dense(supports: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two patterns as boolean arrays; anything with `toarray`, or an array, will do."""
    left, right = (np.asarray(s.toarray() if hasattr(s, "toarray") else s, dtype=bool) for s in supports)
    return left, right


# The definitions of section 1 of the guarantees, one loop each.


def rank_one_supports(supports: Any) -> list[Rectangle]:
    """Rows and columns of every component, dead ones included."""
    left, right = dense(supports)
    return [
        (
            frozenset(i for i in range(left.shape[0]) if left[i, k]),
            frozenset(j for j in range(right.shape[1]) if right[k, j]),
        )
        for k in range(left.shape[1])
    ]


def classes(supports: Any) -> list[tuple[list[int], Rectangle]]:
    """Members and rectangle of every class of living components, in order of the first member."""
    found: dict[Rectangle, list[int]] = {}
    for k, (rows, columns) in enumerate(rank_one_supports(supports)):
        if rows and columns:
            found.setdefault((rows, columns), []).append(k)
    return [(members, rectangle) for rectangle, members in found.items()]


def places(rectangle: Rectangle) -> set[Place]:
    return {(i, j) for i in rectangle[0] for j in rectangle[1]}


def is_complete(members: list[int], rectangle: Rectangle) -> bool:
    return len(members) >= min(len(rectangle[0]), len(rectangle[1]))


def star(supports: Any) -> set[Place]:
    """S*: the union of the complete classes."""
    return set().union(*(places(rect) for members, rect in classes(supports) if is_complete(members, rect)))


def reach(supports: Any) -> set[Place]:
    return set().union(*(places(rectangle) for rectangle in rank_one_supports(supports)))


def hull(some: set[Place]) -> set[Place]:
    """The smallest rectangle around some places."""
    return {(i, j) for i in {i for i, _ in some} for j in {j for _, j in some}}


def residuals(supports: Any) -> dict[frozenset[Place], int]:
    """What S* leaves of the other classes, where anything is left, each with its pooled rank budget."""
    covered, pooled = star(supports), {}
    for members, rectangle in classes(supports):
        left_over = frozenset(places(rectangle) - covered)
        if left_over and not is_complete(members, rectangle):
            pooled[left_over] = pooled.get(left_over, 0) + len(members)
    return pooled


def is_tractable(supports: Any) -> bool:
    pooled = residuals(supports)
    return all(one == hull(set(one)) for one in pooled) and not any(a & b for a, b in combinations(pooled, 2))


def overlap_graph(supports: Any) -> networkx.Graph:
    """Every pair of classes, intersected."""
    graph = networkx.Graph()
    listed = classes(supports)
    graph.add_nodes_from(range(len(listed)))
    for p, q in combinations(range(len(listed)), 2):
        shared = places(listed[p][1]) & places(listed[q][1])
        if shared:
            graph.add_edge(p, q, overlap=len(shared))
    return graph


def has_lu_window(supports: Any) -> bool:
    """The 2×2 detector: one component covers the window, the others one entry of it. Then not well-posed."""
    components = [places(rectangle) for rectangle in rank_one_supports(supports)]
    m, n = dense(supports)[0].shape[0], dense(supports)[1].shape[1]
    for rows in combinations(range(m), 2):
        for columns in combinations(range(n), 2):
            window = {(i, j) for i in rows for j in columns}
            inside = [component & window for component in components]
            full = [part for part in inside if part == window]
            rest = set().union(*(part for part in inside if part != window))
            if len(full) == 1 and len(rest) == 1:
                return True
    return False


def two_components_well_posed(supports: Any) -> bool:
    """The exact answer for two components: exclusive rows and columns."""
    (R1, C1), (R2, C2) = rank_one_supports(supports)
    if not (R1 & R2 and C1 & C2):
        return True
    corner = (R1 - R2 and C1 - C2) or (R2 - R1 and C2 - C1)
    wide = len(R1 & R2) >= 2 and C1 - C2 and C2 - C1
    tall = len(C1 & C2) >= 2 and R1 - R2 and R2 - R1
    return not (corner or wide or tall)


# Values.


def tail(block: np.ndarray, rank: int) -> float:
    """Frobenius distance to rank `rank`: Eckart-Young."""
    return float(np.linalg.norm(np.linalg.svd(block, compute_uv=False)[rank:]))


def optimum(A: np.ndarray, supports: Any) -> float:
    """The smallest error of a tractable pair: tails of the residual rectangles, and what is out of reach."""
    inside = reach(supports)
    parts = [abs(A[place]) for place in np.ndindex(A.shape) if place not in inside]
    for rectangle, rank in residuals(supports).items():
        rows, columns = (sorted({place[side] for place in rectangle}) for side in (0, 1))
        parts.append(tail(A[np.ix_(rows, columns)], rank))
    return math.hypot(*parts)


def objective(theta: np.ndarray, A: np.ndarray, supports: Any) -> float:
    """``½‖A − X Y‖²`` at the free entries of X and then of Y, real."""
    X, Y = unpack(theta, supports)
    return 0.5 * float(np.sum(abs(A - X @ Y) ** 2))


def unpack(theta: np.ndarray, supports: Any) -> tuple[np.ndarray, np.ndarray]:
    left, right = dense(supports)
    X, Y = np.zeros(left.shape), np.zeros(right.shape)
    X[left], Y[right] = np.split(theta, [left.sum()])
    return X, Y


def pack(X: np.ndarray, Y: np.ndarray, supports: Any) -> np.ndarray:
    left, right = dense(supports)
    return np.concatenate([X[left], Y[right]])


def best_of_starts(A: np.ndarray, supports: Any, *, starts: int, seed: int = 0) -> float:
    """The smallest error found from any of so many starts."""
    return float(errors_of_starts(A, supports, starts=starts, seed=seed).min())


def errors_of_starts(
    A: np.ndarray, supports: Any, *, starts: int, seed: int = 0, steps: int = 200
) -> np.ndarray:
    """The errors that Levenberg-Marquardt finds from Gaussian starts, all of them side by side."""
    left, right = dense(supports)
    (i, k), (q, j) = np.nonzero(left), np.nonzero(right)
    n_left, size = i.size, i.size + q.size
    theta = np.random.default_rng(seed).standard_normal((starts, size))
    theta *= np.resize([0.3, 1.0, 3.0], (starts, 1)) * math.sqrt(float(abs(A).max()))

    def residual(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        X, Y = np.zeros((starts, *left.shape)), np.zeros((starts, *right.shape))
        X[:, i, k], Y[:, q, j] = theta[:, :n_left], theta[:, n_left:]
        return X, Y, A - X @ Y

    damping, every = np.ones(starts), np.arange(size)
    X, Y, R = residual(theta)
    error = np.sum(R**2, axis=(1, 2))
    for _ in range(steps if size else 0):
        J = np.zeros((starts, *A.shape, size))
        J[:, i, :, every[:n_left]] += Y[:, k, :].swapaxes(0, 1)
        J[:, :, j, every[n_left:]] += X[:, :, q]
        J = J.reshape(starts, A.size, size)
        normal = J.swapaxes(1, 2) @ J
        normal[:, every, every] += damping[:, None]
        step = np.linalg.solve(normal, J.swapaxes(1, 2) @ R.reshape(starts, -1, 1))[:, :, 0]
        tried = residual(theta + step)
        new = np.sum(tried[2] ** 2, axis=(1, 2))
        better = new < error
        theta[better] += step[better]
        X, Y, R = (np.where(better[:, None, None], a, b) for a, b in zip(tried, (X, Y, R), strict=True))
        error = np.minimum(error, new)
        damping = np.clip(np.where(better, damping / 3, damping * 2), 1e-12, 1e12)
    return np.sqrt(error)


def numeric_gradient(theta: np.ndarray, A: np.ndarray, supports: Any, step: float = 1e-6) -> np.ndarray:
    """First derivatives of the objective by central differences."""
    moves = step * np.eye(len(theta))
    return np.array(
        [(objective(theta + e, A, supports) - objective(theta - e, A, supports)) / (2 * step) for e in moves]
    )


def numeric_hessian(theta: np.ndarray, A: np.ndarray, supports: Any, step: float = 1e-4) -> np.ndarray:
    """Second derivatives of the loss by central differences of its values alone."""
    size = len(theta)
    H = np.zeros((size, size))
    E = step * np.eye(size)

    def value(point: np.ndarray) -> float:
        return objective(point, A, supports)

    for a in range(size):
        for b in range(a + 1):
            second = value(theta + E[a] + E[b]) - value(theta + E[a] - E[b])
            second += value(theta - E[a] - E[b]) - value(theta - E[a] + E[b])
            H[a, b] = H[b, a] = second / (4 * step**2)
    return H


def n_explained(supports: Any, seed: int = 0) -> tuple[int, int]:
    """At a random point: dimension of the products, and the sum of those of the classes' parts.

    Parts of an exact product are determined, up to finitely many choices, when the two agree.
    """
    rng = np.random.default_rng(seed)
    left, right = dense(supports)
    X, Y = rng.standard_normal(left.shape) * left, rng.standard_normal(right.shape) * right
    tangents: list[list[np.ndarray]] = []
    for members, (rows, columns) in classes(supports):
        tangents.append([])
        for k in members:
            for i in rows:
                tangents[-1].append(np.outer(np.eye(len(X))[i], Y[k]).ravel())
            for j in columns:
                tangents[-1].append(np.outer(X[:, k], np.eye(Y.shape[1])[j]).ravel())
    together = np.linalg.matrix_rank(np.array(list(chain(*tangents)))) if tangents else 0
    return int(together), int(sum(np.linalg.matrix_rank(np.array(one)) for one in tangents))


def random_product(supports: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian factors on the supports."""
    rng = np.random.default_rng(seed)
    left, right = dense(supports)
    return rng.standard_normal(left.shape) * left, rng.standard_normal(right.shape) * right


# Chains of Kronecker patterns (a, b, c, d), by the definition ``I_a ⊗ 1_{b×c} ⊗ I_d``.

Pattern = tuple[int, int, int, int]


def pattern_array(abcd: Pattern) -> np.ndarray:
    a, b, c, d = abcd
    return np.kron(np.eye(a), np.kron(np.ones((b, c)), np.eye(d)))


def chain_factor(values: Any, abcd: Pattern) -> np.ndarray:
    """The factor whose values, in row-major order, these are; single precision is widened."""
    values = np.asarray(values).reshape(-1)
    factor = np.zeros(pattern_array(abcd).shape, np.result_type(values.dtype, np.float64))
    for place, value in zip(np.argwhere(pattern_array(abcd)), values, strict=True):
        factor[tuple(place)] = value
    return factor


def chain_product(values: Any, patterns: Any) -> np.ndarray:
    """The product of all factors."""
    product = np.eye(math.prod(patterns[0][i] for i in (0, 1, 3)))
    for value, abcd in zip(values, patterns, strict=True):
        product = product @ chain_factor(value, abcd)
    return product


def chain_blocks(patterns: Any, s: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Rows, columns and rank of every block at interface s: the classes of the components there."""
    m, n = (math.prod(patterns[end][i] for i in sides) for end, sides in ((0, (0, 1, 3)), (-1, (0, 2, 3))))
    left, right = np.eye(m), np.eye(n)
    for abcd in patterns[:s]:
        left = np.minimum(left @ pattern_array(abcd), 1)
    for abcd in reversed(patterns[s:]):
        right = np.minimum(pattern_array(abcd) @ right, 1)
    members: dict[tuple[bytes, bytes], list[int]] = {}
    for t in range(left.shape[1]):
        members.setdefault((left[:, t].tobytes(), right[t].tobytes()), []).append(t)
    return [(np.flatnonzero(left[:, t[0]]), np.flatnonzero(right[t[0]]), len(t)) for t in members.values()]


def chain_distance(A: np.ndarray, patterns: Any, s: int) -> float:
    """E_s: the distance to the matrices whose blocks at interface s have its rank."""
    wide = np.asarray(A, np.result_type(A.dtype, np.float64))
    blocks = chain_blocks(patterns, s)
    return math.hypot(*(tail(wide[np.ix_(rows, columns)], rank) for rows, columns, rank in blocks))


def chain_out_of_reach(A: np.ndarray, patterns: Any) -> float:
    """The norm off the places of the products."""
    reached = np.eye(A.shape[0])
    for abcd in patterns:
        reached = np.minimum(reached @ pattern_array(abcd), 1)
    return float(np.linalg.norm(np.where(reached, 0, A)))
