"""What a solver must answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmf.errors import OptionError
from fsmf.factorization import Certificate, History, Status
from fsmf.ridge_paths import RidgePath
from fsmf.supports.blocks import DisjointBlocks
from fsmf.supports.support import Supports
from fsmf.tractability import Part, Structure

__all__ = ["Cost", "Ridged", "Searched", "Solution", "Solver", "WholeSolution", "check_options"]


@dataclass(frozen=True)
class Cost:
    """Predict what a solve takes: a plan, not a promise.

    Attributes
    ----------
    flops : float
        Floating-point operations, at most.
    nbytes : float
        Bytes of memory beyond A.
    overhead : float
        Seconds that do not depend on sizes, such as calls of array functions.
    """

    flops: float
    nbytes: float
    overhead: float = 1e-3

    # Sustained rate assumed for a prediction, operations per second: about what batched small dense
    # algebra reaches on two cores.
    RATE = 4e9

    @property
    def seconds(self) -> float:
        """Predicted time in seconds."""
        return self.flops / self.RATE + self.overhead

    def __str__(self) -> str:
        power = min(4, int(math.log(max(self.nbytes, 1), 1000)))
        size = f"{self.nbytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
        return f"about {self.seconds:.2g} s and {size}"


class Searched(NamedTuple):
    """Say how boxes were cut, as `SearchBound` keeps it: components of the part, axes, and the side taken."""

    components: NDArray[Any]
    axes: NDArray[Any]
    turned: bool


@dataclass(frozen=True)
class Solution:
    """Hold the factors of one part, measured on the places within its reach.

    Attributes
    ----------
    left, right : ndarray
        Values of the two factors in the row-major order of their supports, shapes ``(nnz,)``.
    error, lower_bound : float
        ‖A − X Y‖_F on the places within reach, and what the blocks prove that every product misses there.
    status : Status
        How the solver ended.
    blocks : DisjointBlocks
        The blocks, of the whole matrix, that prove the lower bound.
    gradient_norm : float or None
        For a stationary point, the norm of half the gradient of the objective.
    history : History
        What an iterative solver went through.
    ridge : float
        The weight of the squared factor norms in the objective.
    path : RidgePath or None
        Of a solver that followed a vanishing ridge, in the units of the user.
    searched : tuple of Searched
        The boxes that prove the bound, if blocks do not.
    """

    left: NDArray[Any]
    right: NDArray[Any]
    error: float
    lower_bound: float
    status: Status
    blocks: DisjointBlocks
    gradient_norm: float | None = None
    history: History = field(default_factory=History)
    ridge: float = 0.0
    path: RidgePath | None = None
    searched: tuple[Searched, ...] = ()


@dataclass(frozen=True)
class WholeSolution:
    """Hold the factors of a product that was not taken apart, with their certificate.

    Attributes
    ----------
    supports : Supports
        Those of the factors: where a solver chooses ranks itself, not the ones it was given.
    values : sequence of ndarray
        Values of each factor in the row-major order of its support.
    certificate : Certificate
        What the result promises, for A as the solver was given it.
    status : Status
        How the solver ended.
    norm : float
        ‖A‖_F of A as the solver was given it; not finite if A is not, and then nothing else means anything.
    rows, columns : ndarray of int, optional
        Permutations of the outer sides, as `fsmf.Product` takes them.
    history : History
        What an iterative solver went through.
    path : RidgePath or None
        Of a solver that followed a vanishing ridge, for A as the solver was given it.
    """

    supports: Supports
    values: Sequence[NDArray[Any]]
    certificate: Certificate
    status: Status
    norm: float
    rows: NDArray[Any] | None = None
    columns: NDArray[Any] | None = None
    history: History = field(default_factory=History)
    path: RidgePath | None = None


class Solver(Protocol):
    """Answer whether, at what cost, with what promise, and solve.

    Notes
    -----
    **Guarantee** and **Cost** are stated by each solver's own docstring.
    """

    @property
    def promise(self) -> type[Certificate]:
        """The kind of certificate that a result carries."""

    @property
    def by_parts(self) -> bool:
        """Whether independent parts are solved one by one; otherwise `solve` takes the whole."""

    @property
    def takes_weights(self) -> bool:
        """Whether entries of A may be weighted."""

    @property
    def is_joint(self) -> bool:
        """Whether, taken by parts, all of them are nevertheless one: something is found for all together."""

    def measures(self, structure: Structure) -> bool:
        """Whether `solve` may be given an A that nobody has looked at: it tells the norm itself."""

    def refuses(self, structure: Structure) -> str | None:
        """Return None, or the one sentence that says why not."""

    def predict(self, structure: Structure) -> Cost:
        """Predict the cost for supports that are not refused."""

    def solve(
        self, A: Any, part: Part, *, exponent: int = 0, rest: float = 0.0, elapsed: float = 0.0
    ) -> Solution | WholeSolution:
        """Solve one independent part, or the whole.

        Only the places of A within the part's reach are looked at, and A is never written. A has been
        divided by ``2**exponent``, which matters to options in the units of A. `rest` is the error that
        the part cannot change, and `elapsed` the seconds spent so far: for progress reports and budgets.
        """


class Ridged:
    """What solvers share whose objective has a ridge: given, vanishing along a path, or found for a norm."""

    ridge: Any
    max_norm: float | None

    def _check_ridge(self, *, counts: Sequence[str], limits: Sequence[str] = ()) -> None:
        """Check all options of such a solver; what limits it may be None."""
        follows = isinstance(self.ridge, str) and self.ridge == "path"
        numbers = ["rtol"] + ["ridge"] * (not follows)
        given = [name for name in ("max_norm", *limits) if getattr(self, name) is not None]
        check_options(self, counts=counts, numbers=[*numbers, *given])
        if self.max_norm is not None and not self.max_norm:
            raise OptionError("max_norm must be above 0; found 0; factors of norm 0 are zeros")
        if self.max_norm is not None and self.ridge:
            raise OptionError(
                f"max_norm finds its own ridge; found max_norm={self.max_norm!r} and ridge={self.ridge!r}; "
                "give one of the two"
            )

    @property
    def seeks_ridge(self) -> bool:
        """Whether no ridge is given, but sought."""
        return isinstance(self.ridge, str) or self.max_norm is not None


def check_options(solver: Any, *, counts: Sequence[str], numbers: Sequence[str]) -> None:
    """Check the options of an iterative solver: counts, numbers, and `max_seconds`, `rng` and `callback`.

    Raises
    ------
    OptionError
        If one is out of range.
    """
    for name in counts:
        value = getattr(solver, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise OptionError(f"{name} must be an integer of at least 1; found {value!r}")
    for name in (*numbers, "max_seconds"):
        value = getattr(solver, name)
        if name == "max_seconds" and value is None:
            continue
        real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not real or not 0 <= value < math.inf:
            raise OptionError(f"{name} must be a finite number of at least 0; found {value!r}")
    callback = getattr(solver, "callback", None)
    if callback is not None and not callable(callback):
        raise OptionError(f"callback must be callable; found {callback!r}")
    try:
        # A generator takes a while to make; the most usual seeds need no trial.
        if type(solver.rng) is not int or solver.rng < 0:
            np.random.default_rng(solver.rng)
    except (TypeError, ValueError) as error:
        raise OptionError(f"rng must be a seed or a numpy Generator; found {solver.rng!r}: {error}") from None
