"""The command: explain, factorize and apply, from files to files."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import util
from typing import Any

from scipy import sparse

import fsmf
from fsmf.arguments import OPTIONS, SOLVERS, parser_of
from fsmf.errors import FsmfError, FsmfWarning, OptionError, ShapeError
from fsmf.files import WRITABLE, check_output, csv_lines, replaced, write_array
from fsmf.matrices import read_array, read_supports
from fsmf.solvers.dispatch import PATH, TABLE, choose
from fsmf.tractability import Structure

__all__ = ["main"]

_DONE, _WARNED, _WRONG, _UNVERIFIED, _INTERRUPTED, _BROKEN_PIPE = 0, 1, 2, 3, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code, as ``fsmf --help`` lists them.

    Examples
    --------
    >>> main(["factorize", "hadamard:4", "monarch:blocks=2", "--quiet"])
    0
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = parser_of(
        {
            "explain": _explain,
            "check": _check,
            "factorize": _factorize,
            "suggest": _suggest,
            "apply": _apply,
            "calibrate": _calibrate,
        }
    )
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if "run" not in arguments:
        parser.print_help(sys.stderr)
        return _WRONG
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("fsmf: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read this has seen enough; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (FsmfError, OSError, MemoryError) as error:
        print(f"fsmf: error: {_sentence(error)}", file=sys.stderr)
        return _WRONG


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error)


def _explain(arguments: argparse.Namespace) -> int:
    shape = tuple(arguments.shape) if arguments.shape else None
    supports = read_supports(arguments.supports, shape)
    if shape not in (None, supports.shape):
        raise ShapeError(f"--shape asks for {shape}; the supports make a product of shape {supports.shape}")
    plan = fsmf.explain(supports)
    print(json.dumps(_plan(plan)) if arguments.json else plan)
    return _DONE


def _check(arguments: argparse.Namespace) -> int:
    supports = read_supports(arguments.supports, tuple(arguments.shape) if arguments.shape else None)
    check = fsmf.check_relu_well_posedness if arguments.relu else fsmf.check_well_posedness
    verdict = check(supports, max_seconds=arguments.max_seconds)
    verification = verdict.verify() if arguments.verify else None
    if arguments.json:
        verified = None if verification is None else bool(verification)
        print(json.dumps(verdict.to_dict() | {"verified": verified}))
    else:
        print(verdict, *([] if verification is None else [verification]), sep="\n")
    if verification is not None and not verification:
        print("fsmf: error: verification failed", file=sys.stderr)
        return _UNVERIFIED
    return _WARNED if isinstance(verdict, fsmf.Undecided | fsmf.TrainingUndecided) else _DONE


def _factorize(arguments: argparse.Namespace) -> int:
    if arguments.output:
        check_output(arguments.output)
    if arguments.plot:
        check_output(arguments.plot, _picture_suffixes())
    A = _matrix(arguments.A)
    supports = read_supports(arguments.supports, A.shape)
    weights = None if arguments.weights is None else _matrix(arguments.weights)
    observed: dict[str, Any] = {"weights": weights, "missing": arguments.missing}
    shown = arguments.progress or (sys.stderr.isatty() and not arguments.quiet)
    began = time.perf_counter()
    with _told(quiet=arguments.quiet) as told, _Progress() as progress:
        solvers = _solvers(arguments, fsmf.analyze(supports), progress if shown else None)
        F = fsmf.factorize(A, supports, solver=solvers, **observed)
    seconds = time.perf_counter() - began
    verification = F.verify(A, **observed) if arguments.verify else None
    failed = verification is not None and not verification
    if arguments.output and not failed:
        with replaced(arguments.output) as place:
            F.save(place)
    if arguments.plot and not failed:
        _plot(F, arguments.plot)
    if arguments.json:
        outcome = {
            "seconds": seconds,
            "warnings": told,
            "verified": None if verification is None else not failed,
        }
        print(json.dumps(_receipt(F) | outcome))
    elif not arguments.quiet:
        print(F, *([] if verification is None else [verification]), sep="\n")
    if failed:
        print("fsmf: error: verification failed; nothing was written", file=sys.stderr)
        return _UNVERIFIED
    wanting = (fsmf.Status.OUT_OF_REACH, fsmf.Status.OUT_OF_BUDGET, fsmf.Status.FACTORS_GROW)
    return _WARNED if F.status in wanting else _DONE


def _suggest(arguments: argparse.Namespace) -> int:
    if arguments.output:
        check_output(arguments.output)
    found = fsmf.suggest_supports(
        _matrix(arguments.A), max_parameters=arguments.max_parameters, rng=arguments.rng
    )
    if arguments.output and found:
        with replaced(arguments.output) as place:
            found[0].factorization.save(place)
    if arguments.json:
        rows = [{"name": one.name, "decades": one.decades} | _receipt(one.factorization) for one in found]
        print(json.dumps({"suggestions": rows}))
    else:
        nothing = "no supports have fewer parameters than A has entries"
        print("\n".join(map(str, found)) or nothing)
    return _DONE if found else _WARNED


def _matrix(name: str) -> Any:
    A = read_array(name)
    if A.ndim != 2:
        raise ShapeError(f"{name} must be a matrix; found {A.ndim}-D of shape {A.shape}")
    return A


def _apply(arguments: argparse.Namespace) -> int:
    if arguments.output:
        check_output(arguments.output, WRITABLE)
    F: Any = fsmf.load(arguments.factorization)
    x = read_array(arguments.x)
    x = x.toarray() if sparse.issparse(x) else x
    F = F.T if arguments.transpose else F.H if arguments.adjoint else F
    if x.ndim not in (1, 2) or x.shape[0] != F.shape[1]:
        raise ShapeError(f"{arguments.x} must have {F.shape[1]} rows; found shape {x.shape}")
    y = F @ x
    if arguments.output:
        write_array(arguments.output, y)
    else:
        sys.stdout.writelines(csv_lines(y))
    return _DONE


def _calibrate(arguments: argparse.Namespace) -> int:
    rates = fsmf.calibrate(arguments.device)._asdict()
    lines = [f"{name.replace('_', ' '):<14} {value:.3g}" for name, value in rates.items()]
    print(json.dumps(rates) if arguments.json else "\n".join(lines))
    return _DONE


def _solvers(arguments: argparse.Namespace, structure: Structure, callback: Any) -> list[Any]:
    """The solvers asked for, with the options that were given; complain of those that are not taken."""
    asked = SOLVERS.get(arguments.solver)
    given = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    if re.fullmatch(r"\d+(,\d+)*", given.get("order", "")):
        given["order"] = tuple(map(int, given["order"].split(",")))
    weighted = arguments.weights is not None or arguments.missing is not None
    chosen = choose(structure, asked, weighted=weighted)
    for name in given:
        if not hasattr(chosen, name):
            takers = " or ".join(key for key, solver in SOLVERS.items() if hasattr(solver, name))
            raise OptionError(
                f"--{name.replace('_', '-')} is an option of {takers}; these supports go to "
                f"{type(chosen).__name__}; leave it out, or add --solver {takers}"
            )
    options = given | {"callback": callback}

    def configured(solver: Any) -> Any:
        return replace(solver, **{name: value for name, value in options.items() if hasattr(solver, name)})

    # A ridge changes the objective, of every part; one that is sought has a table of its own.
    sought = given.get("ridge") == "path" or "max_norm" in given
    ridged = [one for one in (PATH if sought else TABLE) if hasattr(one, "ridge")]
    table = [asked] if asked else ridged if sought or "ridge" in given else TABLE
    return [configured(solver) for solver in table]


class _Progress:
    """One line on stderr, renewed ten times a second, and gone when done."""

    def __init__(self) -> None:
        self._last = 0.0
        self._width = 0

    def __call__(self, sweep: fsmf.Sweep) -> None:
        now = time.perf_counter()
        if now - self._last < 0.1 and self._width:
            return
        self._last = now
        self._show(
            f"start {sweep.start + 1}, sweep {sweep.sweep}: error {sweep.error:.6g}, {sweep.seconds:.1f} s"
        )

    def _show(self, line: str) -> None:
        sys.stderr.write(f"\r{line:<{self._width}}")
        sys.stderr.flush()
        self._width = len(line)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._show("")
            sys.stderr.write("\r")
            sys.stderr.flush()


@contextmanager
def _told(*, quiet: bool) -> Iterator[list[str]]:
    """Collect the warnings of fsmf, and tell each in one line afterwards."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FsmfWarning)
        yield told
    for warning in caught:
        if issubclass(warning.category, FsmfWarning):
            told.append(str(warning.message))
            if not quiet:
                print(f"fsmf: warning: {warning.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _plan(plan: fsmf.Plan) -> dict[str, Any]:
    supports = plan.structure.supports
    return _described(supports) | {
        "facts": list(plan.structure.facts()),
        "verdict": None if plan.verdict is None else plan.verdict.answer,
        "solvers": [
            {"name": type(solver).__name__, "promise": solver.promise.name, "refusal": refusal}
            for solver, refusal in plan.answers
        ],
        "steps": [
            {"shape": shape, "solver": type(solver).__name__, "seconds": cost.seconds, "bytes": cost.nbytes}
            for shape, solver, cost in plan.steps
        ],
    }


def _receipt(F: fsmf.Factorization) -> dict[str, Any]:
    return _described(F.supports) | {
        "dtype": F.dtype.name,
        "solver": F.solver,
        "norm": F.norm,
        "error": F.error,
        "relative_error": F.relative_error,
        "lower_bound": F.lower_bound,
        "status": F.status.name,
        "status_text": F.status.value,
        "certificate": {"name": F.certificate.name} | F.certificate.scalars(),
        "sweeps": len(F.history),
        "ridge_path": None if F.ridge_path is None else _path(F.ridge_path),
    }


def _path(path: fsmf.RidgePath) -> dict[str, Any]:
    return {"grows": path.grows, "rate": path.rate if path.grows else None, "limit": path.limit} | {
        name.removeprefix("path_"): values.tolist() for name, values in path.arrays().items()
    }


def _described(supports: fsmf.Supports) -> dict[str, Any]:
    return {
        "supports": supports.name,
        "shape": supports.shape,
        "factors": [{"shape": support.shape, "nonzeros": support.nnz} for support in supports],
        "parameters": supports.n_parameters,
    }


def _picture_suffixes() -> list[str]:
    if util.find_spec("matplotlib") is None:
        raise OptionError('--plot needs matplotlib; pip install "fsmf[plot]"')
    from matplotlib.backend_bases import FigureCanvasBase

    return [f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()]


def _plot(F: fsmf.Factorization, path: str) -> None:
    from matplotlib.figure import Figure

    from fsmf.drawing import draw_factors

    figure = Figure()
    draw_factors(F, ax=figure.add_subplot())
    with replaced(path) as place:
        figure.savefig(place, bbox_inches="tight")
