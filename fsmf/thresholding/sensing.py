"""Sparse solutions of linear equations: iterative hard thresholding and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from fsmf.errors import InputError, InputTypeError, OptionError, ShapeError
from fsmf.supports.constraints import Constraint
from fsmf.supports.sizes import as_count
from fsmf.supports.sparsity import KSparse
from fsmf.thresholding.descent import Ending, SparsePoint, Trace
from fsmf.thresholding.stability import as_positive, as_rng, ht_stability

__all__ = ["restricted_spectrum", "sparse_lstsq"]

Array = NDArray[Any]

# Of the step that would move as far as the support allows, what a step that changes the support may reach.
_SAFE = 0.99

# Sets of columns that are looked at for the step of HTP.
_SAMPLES = 50

# Armijo steps of AIHT on one support, and how much of the promised decrease they must bring.
_ARMIJO_STEPS, _ARMIJO = 10, 0.9

# A residual of this share of y is zero.
_EXACT = 1e-15


@dataclass(frozen=True)
class _Sensing:
    """A linear map with a few operations that all methods share."""

    A: Any
    y: Array
    constraint: Constraint

    def forward(self, w: Array) -> Array:
        """A w, looking at few columns where w has few nonzeros."""
        index = np.flatnonzero(w)
        if isinstance(self.A, np.ndarray) and 4 * len(index) < len(w):
            product: Array = self.A[:, index] @ w[index]
        else:
            product = self.A @ w
        return product

    def back(self, r: Array) -> Array:
        """Aᴴ r."""
        product: Array = self.A.conj().T @ r if not isinstance(self.A, LinearOperator) else self.A.rmatvec(r)
        return product

    def columns(self, index: Array) -> Array:
        """Some columns, dense."""
        if isinstance(self.A, np.ndarray):
            return self.A[:, index]
        if sparse.issparse(self.A):
            return np.asarray(self.A[:, index].toarray())
        units = np.zeros((self.A.shape[1], len(index)), dtype=self.A.dtype)
        units[index, np.arange(len(index))] = 1
        return np.asarray(self.A @ units)

    def solved(self, places: Array) -> Array:
        """The least-squares solution on given places."""
        index = np.flatnonzero(places)
        w = np.zeros(self.A.shape[1], dtype=np.result_type(self.A.dtype, self.y))
        if len(index):
            w[index] = np.linalg.lstsq(self.columns(index), self.y, rcond=None)[0]
        return w

    def first(self) -> Array:
        """The zero solution."""
        return np.zeros(self.A.shape[1], dtype=np.result_type(self.A.dtype, self.y))


def sparse_lstsq(
    A: Any,
    y: Any,
    k: int | Constraint,
    *,
    method: str = "niht",
    relax: float = 1.0,
    max_iterations: int = 1000,
    rtol: float = 1e-9,
    rng: int | np.random.Generator = 0,
) -> SparsePoint:
    """Find a sparse w for which A w is near to y.

    Minimises ``½ ‖A w − y‖²`` over w with at most k nonzeros, by one of six methods, and ends with least
    squares on the places found.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        Real or complex.
    y : array_like, shape (m,)
        What A w is to be near to.
    k : int or Constraint
        Number of nonzeros of w; or a constraint on vectors of n entries.
    method : "niht", "iht", "aiht", "htp", "cosamp" or "omp"
        Normalised iterative hard thresholding, whose step is exact on the support and safe when this changes;
        with the step 1/‖A‖² (safe, and poor); accelerated on each support; hard thresholding pursuit; merging
        the largest entries of the gradient and pruning; orthogonal matching pursuit. The last two take a
        number k only.
    relax : float
        How many times k nonzeros are kept during the iterations; then the k largest are, and solved for. 2 to
        4 finds what 1 does not where columns are alike.
    max_iterations : int
        Iterations at most.
    rtol : float
        Converged when an iteration changes w by less than this fraction.
    rng : int or numpy.random.Generator
        Seed of the sets of columns that HTP looks at for its step.

    Returns
    -------
    SparsePoint
        The solution; its value is ``½ ‖A w − y‖²``, and its stability is for the step last taken.

    Raises
    ------
    ShapeError, InputError, InputTypeError
        If A and y do not fit, or are not finite numbers.
    OptionError
        If an option is out of range.

    Notes
    -----
    **Guarantee.** A local answer, whose `stability` says in which sense. NIHT never raises the residual. If A
    nearly keeps the norms of all vectors with a few times k nonzeros, the sparsest solution is found; that
    property cannot be checked: `restricted_spectrum` can only refute it.

    **Cost.** Two or three products with A an iteration; ``relax * k`` columns of A once, or in each iteration
    for HTP, CoSaMP and OMP.

    References
    ----------
    T. Blumensath, M. E. Davies, "Normalised iterative hard thresholding", IEEE J. Sel. Top. Signal Process. 4
    (2010); T. Blumensath, "Accelerated iterative hard thresholding", Signal Process. 92 (2012); S. Foucart,
    "Hard thresholding pursuit", SIAM J. Numer. Anal. 49 (2011); D. Needell, J. A. Tropp, "CoSaMP", Appl.
    Comput. Harmon. Anal. 26 (2009), arXiv:0803.2392; P. Jain, A. Tewari, P. Kar, NIPS 2014, arXiv:1410.5137,
    for relaxing.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((30, 60))
    >>> w = np.zeros(60)
    >>> w[[3, 14, 15]] = [9.0, -2.0, 6.0]
    >>> point = fsmf.sparse_lstsq(A, A @ w, 3)
    >>> np.flatnonzero(point.x), np.allclose(point.x, w)
    (array([ 3, 14, 15]), True)
    """
    sensing = _sensing(A, y, k)
    if method not in _METHODS:
        raise OptionError(f"method takes one of {', '.join(map(repr, _METHODS))}; found {method!r}")
    constraint, given = sensing.constraint, sensing
    if as_positive("relax", relax) != 1:
        if relax < 1:
            raise OptionError(f"relax must be at least 1; found {relax}; give how many times k to keep")
        given = _Sensing(sensing.A, sensing.y, constraint.relaxed(relax))
    if method in ("cosamp", "omp") and not isinstance(constraint, KSparse):
        raise OptionError(
            f"{method} takes a number of nonzeros; found {constraint}; give a number k, or niht"
        )
    w, trace, ending = _METHODS[method](given, as_count("max_iterations", max_iterations), rtol, as_rng(rng))
    relaxed = w if relax != 1 else None
    w = constraint.project(w)
    w = sensing.solved(w != 0)
    rest = sensing.forward(w) - sensing.y
    step = float(trace.step[-1]) if len(trace) and trace.step[-1] > 0 else 1.0
    return SparsePoint(
        x=w,
        value=float(np.vdot(rest, rest).real) / 2,
        ending=ending,
        stability=ht_stability(w, sensing.back(rest), constraint, step=step),
        trace=trace,
        relaxed=relaxed,
    )


def restricted_spectrum(
    A: Any, k: int, *, n_samples: int = 200, rng: int | np.random.Generator = 0
) -> tuple[float, float]:
    """Sample the extreme eigenvalues of ``A_Sᴴ A_S`` over sets S of k columns.

    Parameters
    ----------
    A : array_like, sparse array or LinearOperator, shape (m, n)
        Real or complex.
    k : int
        Number of columns in a set.
    n_samples : int
        Number of random sets.
    rng : int or numpy.random.Generator
        Seed of the sets.

    Returns
    -------
    smallest, largest : float
        The extreme eigenvalues found, in the squared units of A.

    Raises
    ------
    OptionError
        If k is no number of columns.

    Notes
    -----
    **Guarantee.** The interval lies within that of all sets of k columns: it can refute a restricted
    isometry, never prove one.

    **Cost.** O(m k² + k³) a sample.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> fsmf.restricted_spectrum(np.eye(5), 2)
    (1.0, 1.0)
    """
    operator = _as_operator(A)
    m, n = operator.shape
    k = KSparse(n, as_count("k", k)).k
    sensing = _Sensing(operator, np.zeros(m), KSparse(n, k))
    return _spectrum(sensing, k, as_count("n_samples", n_samples), as_rng(rng))


def _spectrum(sensing: _Sensing, k: int, n_samples: int, rng: np.random.Generator) -> tuple[float, float]:
    n = sensing.A.shape[1]
    found = []
    for _ in range(n_samples):
        columns = sensing.columns(rng.choice(n, k, replace=False))
        found.append(np.linalg.eigvalsh(columns.conj().T @ columns)[[0, -1]])
    return max(0.0, float(np.min(found))), float(np.max(found))


def _as_operator(A: Any) -> Any:
    """A as an array, a compressed sparse array, or an operator, of numbers."""
    if sparse.issparse(A):
        A = sparse.csc_array(A)
    elif not isinstance(A, LinearOperator):
        A = np.asarray(A)
    if A.ndim != 2 or 0 in A.shape:
        raise ShapeError(f"A must be a matrix with entries; found shape {A.shape}; reshape it")
    if A.dtype.kind not in "biufc":
        raise InputTypeError(f"A must be real or complex; found dtype {A.dtype}; convert it")
    values = A.data if sparse.issparse(A) else A
    if not isinstance(A, LinearOperator) and not np.isfinite(values).all():
        raise InputError("A must be finite; found NaN or infinity; clean it")
    return A


def _sensing(A: Any, y: Any, k: Any) -> _Sensing:
    A, y = _as_operator(A), np.asarray(y)
    m, n = A.shape
    if y.shape != (m,):
        raise ShapeError(f"y must have shape {(m,)}, one entry a row of A; found {y.shape}; reshape it")
    if y.dtype.kind not in "biufc" or not np.isfinite(y).all():
        raise InputError("y must be finite numbers; found something else; clean it")
    constraint = k if isinstance(k, Constraint) else KSparse(n, k)
    if constraint.shape != (n,):
        raise ShapeError(f"the constraint must be on vectors of {n} entries; found shape {constraint.shape}")
    return _Sensing(A, y.astype(np.result_type(y, np.float64)), constraint)


Outcome = tuple[Array, Trace, Ending]
Method = Callable[[_Sensing, int, float, np.random.Generator], Outcome]


class _Log:
    """Collects the trace, and tells when nothing changes any more."""

    def __init__(self, sensing: _Sensing, rtol: float) -> None:
        self.values: list[float] = []
        self.steps: list[float] = []
        self.moves: list[int] = []
        self.rtol = rtol
        self.zero = _EXACT * float(np.linalg.norm(sensing.y))

    def ends(self, old: Array, new: Array, rest: Array, step: float) -> bool:
        """Record an iteration; whether it was the last, by its change or by its residual."""
        size = float(np.linalg.norm(rest))
        self.values.append(size**2 / 2)
        self.steps.append(step)
        self.moves.append(int(np.count_nonzero((old != 0) != (new != 0))))
        return size <= self.zero or bool(np.linalg.norm(new - old) <= self.rtol * np.linalg.norm(new))

    def outcome(self, w: Array, *, converged: bool) -> Outcome:
        trace = Trace(np.array(self.values), np.array(self.steps), np.array(self.moves, dtype=np.int64))
        return w, trace, Ending.CONVERGED if converged else Ending.OUT_OF_BUDGET


def _steepest(sensing: _Sensing, gradient: Array) -> float:
    """The step that is best along a direction."""
    image = sensing.forward(gradient)
    square = float(np.vdot(image, image).real)
    return float(np.vdot(gradient, gradient).real) / square if square else 0.0


def _niht(
    sensing: _Sensing,
    max_iterations: int,
    rtol: float,
    rng: np.random.Generator,
    *,
    accelerated: bool = False,
) -> Outcome:
    w, rest, log = sensing.first(), sensing.y.copy(), _Log(sensing, rtol)
    project = sensing.constraint.project
    for _ in range(max_iterations):
        gradient = sensing.back(rest)
        places = w != 0 if w.any() else project(gradient) != 0
        step = _steepest(sensing, np.where(places, gradient, 0))
        if not step:
            return log.outcome(w, converged=True)
        if accelerated:
            new = project(w + step * gradient)
            left = sensing.y - sensing.forward(new)
            new, left = _armijo(sensing, new, left)
        else:
            while True:
                new = project(w + step * gradient)
                left = sensing.y - sensing.forward(new)
                if np.array_equal(new != 0, places):
                    break
                image = left - rest
                square = float(np.vdot(image, image).real)
                change = new - w
                if step * square <= _SAFE * float(np.vdot(change, change).real):
                    break
                step /= 2
        done = log.ends(w, new, left, step)
        w, rest = new, left
        if done:
            return log.outcome(w, converged=True)
    return log.outcome(w, converged=False)


def _armijo(sensing: _Sensing, w: Array, rest: Array) -> tuple[Array, Array]:
    """Descend on the support as it is."""
    places = w != 0
    for _ in range(_ARMIJO_STEPS):
        gradient = np.where(places, sensing.back(rest), 0)
        slope = float(np.vdot(gradient, gradient).real)
        step = _steepest(sensing, gradient)
        if not step:
            break
        before = float(np.vdot(rest, rest).real) / 2
        for _ in range(_ARMIJO_STEPS):
            new = w + step * gradient
            left = sensing.y - sensing.forward(new)
            if float(np.vdot(left, left).real) / 2 <= before - (1 - _ARMIJO) * step * slope:
                break
            step /= 2
        else:
            break
        w, rest = new, left
    return w, rest


def _aiht(sensing: _Sensing, max_iterations: int, rtol: float, rng: np.random.Generator) -> Outcome:
    return _niht(sensing, max_iterations, rtol, rng, accelerated=True)


def _iht(sensing: _Sensing, max_iterations: int, rtol: float, rng: np.random.Generator) -> Outcome:
    step = 1 / _squared_norm(sensing, rng)
    w, rest, log = sensing.first(), sensing.y.copy(), _Log(sensing, rtol)
    for _ in range(max_iterations):
        new = sensing.constraint.project(w + step * sensing.back(rest))
        left = sensing.y - sensing.forward(new)
        done = log.ends(w, new, left, step)
        w, rest = new, left
        if done:
            return log.outcome(w, converged=True)
    return log.outcome(w, converged=False)


def _squared_norm(sensing: _Sensing, rng: np.random.Generator) -> float:
    """‖A‖², from above by a hundredth at most: power iteration comes from below."""
    if isinstance(sensing.A, np.ndarray):
        return max(float(np.linalg.norm(sensing.A, 2)) ** 2, np.finfo(float).tiny)
    x, square = rng.standard_normal(sensing.A.shape[1]), 0.0
    for _ in range(200):
        x = x / np.linalg.norm(x)
        x = sensing.back(sensing.A @ x)
        last, square = square, float(np.linalg.norm(x))
        if square <= last * (1 + 1e-6):
            break
    return 1.01 * max(square, np.finfo(float).tiny)


def _htp(sensing: _Sensing, max_iterations: int, rtol: float, rng: np.random.Generator) -> Outcome:
    k = int(np.count_nonzero(sensing.constraint.places(np.ones(sensing.constraint.shape))))
    step = 1 / max(_spectrum(sensing, k, _SAMPLES, rng)[1], np.finfo(float).tiny)

    def chosen(w: Array, gradient: Array) -> Array:
        return sensing.solved(sensing.constraint.places(w + step * gradient))

    return _pursuit(sensing, max_iterations, rtol, chosen, step)


def _cosamp(sensing: _Sensing, max_iterations: int, rtol: float, rng: np.random.Generator) -> Outcome:
    twice = sensing.constraint.relaxed(2)

    def chosen(w: Array, gradient: Array) -> Array:
        return sensing.constraint.project(sensing.solved((w != 0) | twice.places(gradient)))

    return _pursuit(sensing, max_iterations, rtol, chosen, 0.0)


def _pursuit(
    sensing: _Sensing,
    max_iterations: int,
    rtol: float,
    chosen: Callable[[Array, Array], Array],
    step: float,
) -> Outcome:
    """Choose places and solve, until the places repeat; the best is kept, since the residual may rise."""
    w, rest, log = sensing.first(), sensing.y.copy(), _Log(sensing, rtol)
    best, least, seen = w, np.inf, set()
    for _ in range(max_iterations):
        new = chosen(w, sensing.back(rest))
        rest = sensing.y - sensing.forward(new)
        places = (new != 0).tobytes()
        done = log.ends(w, new, rest, step) or places in seen
        seen.add(places)
        w = new
        if log.values[-1] < least:
            best, least = w, log.values[-1]
        if done:
            return log.outcome(best, converged=True)
    return log.outcome(best, converged=False)


def _omp(sensing: _Sensing, max_iterations: int, rtol: float, rng: np.random.Generator) -> Outcome:
    w, rest, log = sensing.first(), sensing.y.copy(), _Log(sensing, rtol)
    assert isinstance(sensing.constraint, KSparse)
    places = np.zeros(len(w), dtype=bool)
    for _ in range(min(sensing.constraint.k, max_iterations)):
        gain = np.abs(np.where(places, 0, sensing.back(rest)))
        if not gain.any():
            break
        places[gain.argmax()] = True
        new = sensing.solved(places)
        rest = sensing.y - sensing.forward(new)
        done = log.ends(w, new, rest, 0.0)
        w = new
        if done:
            break
    return log.outcome(w, converged=True)


_METHODS: dict[str, Method] = {
    "niht": _niht,
    "iht": _iht,
    "aiht": _aiht,
    "htp": _htp,
    "cosamp": _cosamp,
    "omp": _omp,
}
