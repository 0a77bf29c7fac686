"""The command: explain, factorize and apply, from files to files."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import util
from typing import Any

from scipy import sparse

import fsmf
from fsmf.errors import FsmfError, FsmfWarning, OptionError, ShapeError
from fsmf.files import READABLE, WRITABLE, check_output, csv_lines, replaced, write_array
from fsmf.matrices import FAMILIES, MATRICES, listing, read_array, read_supports
from fsmf.solvers.dispatch import PATH, TABLE, choose
from fsmf.tractability import Structure

__all__ = ["main"]

_DONE, _WARNED, _WRONG, _UNVERIFIED, _INTERRUPTED, _BROKEN_PIPE = 0, 1, 2, 3, 130, 141

_EXIT_CODES = """exit codes:
  0  done
  1  a result was delivered, but a solver ran out of its budget or its factors grow, or nothing was decided
  2  wrong usage or input
  3  verification failed; nothing was written
  130  interrupted; nothing was written
  141  whoever read the output left"""

_ARRAY = f"""{{}} is a file, {" ".join(READABLE)}
(file.npz:name where it holds several arrays; in .csv a vector is one number a line), or a name:
{listing(MATRICES)}

"""

_SUPPORTS = f"""SUPPORTS is a file with all supports (arrays in the order of their names, a 3-D array, or
what "fsmf factorize -o" wrote), one file per support (S1.npy,S2.mtx), or a name; sizes not given
are those of A:
{listing(FAMILIES)}

"""


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"a seed is at least 0; found {seed}")
    return seed


def _ridge(text: str) -> float | str:
    return text if text == "path" else float(text)


# Who is asked for by name takes all that it can.
_SOLVERS: dict[str, Any] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower(): kind()
    for kind in (*map(type, TABLE), fsmf.GlobalSearch)
}

# Options of solvers, by the name of their field; a solver without that field does not take the option.
_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "starts": (int, "number of starting points"),
    "max_sweeps": (int, "sweeps per start"),
    "max_seconds": (float, "time for all starts"),
    "max_steps": (int, "steps per start"),
    "rtol": (float, "hierarchical: error to meet; global-search: gap; others: gain that ends a start"),
    "ridge": (_ridge, "weight of the squared factor norms in the objective, or path for a vanishing one"),
    "max_norm": (float, "bound on the norm of the factors"),
    "rng": (_seed, "seed of the random starts"),
    "order": (str, "left-to-right, right-to-left, balanced, or interfaces such as 2,1,3"),
    "permutation": (str, "order of rows and columns: bit-reversal, eight or search"),
    "refine": (int, "passes of least squares over the factors, after the first"),
    "residual_terms": (int, "number of chains to sum"),
}


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
    parser = _parser()
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fsmf",
        description="Find the best product of factors with given supports, and what it is worth.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fsmf {fsmf.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(
        run: Callable[[argparse.Namespace], int], name: str, text: str, sources: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=sources + _EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    explain = command(
        _explain, "explain", "say what would be done with these supports, without any matrix", _SUPPORTS
    )
    explain.add_argument("supports", metavar="SUPPORTS")
    explain.add_argument(
        "--shape", nargs=2, type=int, metavar=("M", "N"), help="of the matrix, for a name without sizes"
    )
    explain.add_argument("--json", action="store_true", help="print one JSON object")

    check = command(
        _check, "check", "decide whether every matrix has a best product on these supports", _SUPPORTS
    )
    check.add_argument("supports", metavar="SUPPORTS")
    check.add_argument(
        "--shape", nargs=2, type=int, metavar=("M", "N"), help="of the matrix, for a name without sizes"
    )
    check.add_argument(
        "--relu", action="store_true", help="ask it of training a ReLU network, last layer first"
    )
    check.add_argument("--max-seconds", type=float, default=5.0, metavar="X", help="default: 5")
    check.add_argument("--verify", action="store_true", help="check the proof by other means")
    check.add_argument("--json", action="store_true", help="print one JSON object, with the proof")

    factorize = command(
        _factorize, "factorize", "find the factors, and print the receipt", _ARRAY.format("A") + _SUPPORTS
    )
    factorize.add_argument("A", metavar="A")
    factorize.add_argument("supports", metavar="SUPPORTS")
    factorize.add_argument("--weights", metavar="W", help="a file or name, as A: weights of its entries")
    factorize.add_argument(
        "--missing", choices=["nan"], help="what stands for a missing entry of A; by default nothing does"
    )
    factorize.add_argument("-o", "--output", metavar="F.npz", help="save the factorization")
    factorize.add_argument("--verify", action="store_true", help="check the result against A, by other means")
    factorize.add_argument("--plot", metavar="FILE", help="save a picture of the factors")
    printed = factorize.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print one JSON object")
    printed.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    factorize.add_argument(
        "--progress", action="store_true", help="show progress even where stderr is no terminal"
    )
    solving = factorize.add_argument_group("solver", "of the options below, each solver takes its own")
    solving.add_argument(
        "--solver",
        choices=["auto", *_SOLVERS],
        default="auto",
        metavar="NAME",
        help=f"{', '.join(_SOLVERS)}, or auto, the strongest (default: auto)",
    )
    for name, (kind, text) in _OPTIONS.items():
        defaults = {key: getattr(solver, name) for key, solver in _SOLVERS.items() if hasattr(solver, name)}
        values = {str(value) for value in defaults.values()}
        shown = values if len(values) == 1 else [f"{key} {value}" for key, value in defaults.items()]
        solving.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar="X" if kind in (float, _ridge) else "HOW" if kind is str else "N",
            help=f"{text} (default: {', '.join(shown)})",
        )

    suggest = command(
        _suggest,
        "suggest",
        "rank supports by how much of the error a parameter takes away",
        _ARRAY.format("A"),
    )
    suggest.add_argument("A", metavar="A")
    suggest.add_argument("--max-parameters", type=int, metavar="N", help="most nonzeros of all factors")
    suggest.add_argument("--rng", type=_seed, default=0, metavar="N", help="seed of searches (default: 0)")
    suggest.add_argument("-o", "--output", metavar="F.npz", help="save the factorization on the first")
    suggest.add_argument("--json", action="store_true", help="print one JSON object")

    apply = command(
        _apply, "apply", "multiply a saved factorization with a vector or matrix", _ARRAY.format("x")
    )
    apply.add_argument("factorization", metavar="F.npz")
    apply.add_argument("x", metavar="x", help="shape (n,) or (n, k)")
    apply.add_argument(
        "-o", "--output", metavar="FILE", help=f"{' '.join(WRITABLE)}; by default print numbers"
    )
    side = apply.add_mutually_exclusive_group()
    side.add_argument("--transpose", action="store_true", help="multiply with the transpose instead")
    side.add_argument("--adjoint", action="store_true", help="multiply with the conjugate transpose instead")

    calibrate = command(
        _calibrate, "calibrate", "measure a GPU once, so that chains are planned by what it can do", ""
    )
    calibrate.add_argument("device", nargs="?", default="gpu", help="gpu, gpu:1, … (default: gpu)")
    calibrate.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


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
    asked = _SOLVERS.get(arguments.solver)
    given = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    if re.fullmatch(r"\d+(,\d+)*", given.get("order", "")):
        given["order"] = tuple(map(int, given["order"].split(",")))
    weighted = arguments.weights is not None or arguments.missing is not None
    chosen = choose(structure, asked, weighted=weighted)
    for name in given:
        if not hasattr(chosen, name):
            takers = " or ".join(key for key, solver in _SOLVERS.items() if hasattr(solver, name))
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
