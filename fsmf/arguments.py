"""The arguments of the command: which there are, what they mean, and what is said of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

import fsmf
from fsmf.files import READABLE, WRITABLE
from fsmf.matrices import FAMILIES, MATRICES, listing
from fsmf.solvers.dispatch import TABLE

__all__ = ["OPTIONS", "SOLVERS", "parser_of"]

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
SOLVERS: dict[str, Any] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower(): kind()
    for kind in (*map(type, TABLE), fsmf.GlobalSearch)
}

# Options of solvers, by the name of their field; a solver without that field does not take the option.
OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
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


def parser_of(runs: Mapping[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """Return what reads the command line; in ``run`` it leaves what a command, by its name, runs."""
    parser = argparse.ArgumentParser(
        prog="fsmf",
        description="Find the best product of factors with given supports, and what it is worth.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fsmf {fsmf.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, text: str, sources: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=sources + _EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=runs[name])
        return sub

    explain = command("explain", "say what would be done with these supports, without any matrix", _SUPPORTS)
    explain.add_argument("supports", metavar="SUPPORTS")
    explain.add_argument(
        "--shape", nargs=2, type=int, metavar=("M", "N"), help="of the matrix, for a name without sizes"
    )
    explain.add_argument("--json", action="store_true", help="print one JSON object")

    check = command("check", "decide whether every matrix has a best product on these supports", _SUPPORTS)
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
        "factorize", "find the factors, and print the receipt", _ARRAY.format("A") + _SUPPORTS
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
        choices=["auto", *SOLVERS],
        default="auto",
        metavar="NAME",
        help=f"{', '.join(SOLVERS)}, or auto, the strongest (default: auto)",
    )
    for name, (kind, text) in OPTIONS.items():
        defaults = {key: getattr(solver, name) for key, solver in SOLVERS.items() if hasattr(solver, name)}
        values = {str(value) for value in defaults.values()}
        shown = values if len(values) == 1 else [f"{key} {value}" for key, value in defaults.items()]
        solving.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar="X" if kind in (float, _ridge) else "HOW" if kind is str else "N",
            help=f"{text} (default: {', '.join(shown)})",
        )

    suggest = command(
        "suggest",
        "rank supports by how much of the error a parameter takes away",
        _ARRAY.format("A"),
    )
    suggest.add_argument("A", metavar="A")
    suggest.add_argument("--max-parameters", type=int, metavar="N", help="most nonzeros of all factors")
    suggest.add_argument("--rng", type=_seed, default=0, metavar="N", help="seed of searches (default: 0)")
    suggest.add_argument("-o", "--output", metavar="F.npz", help="save the factorization on the first")
    suggest.add_argument("--json", action="store_true", help="print one JSON object")

    apply = command("apply", "multiply a saved factorization with a vector or matrix", _ARRAY.format("x"))
    apply.add_argument("factorization", metavar="F.npz")
    apply.add_argument("x", metavar="x", help="shape (n,) or (n, k)")
    apply.add_argument(
        "-o", "--output", metavar="FILE", help=f"{' '.join(WRITABLE)}; by default print numbers"
    )
    side = apply.add_mutually_exclusive_group()
    side.add_argument("--transpose", action="store_true", help="multiply with the transpose instead")
    side.add_argument("--adjoint", action="store_true", help="multiply with the conjugate transpose instead")

    calibrate = command("calibrate", "measure a GPU once, so that chains are planned by what it can do", "")
    calibrate.add_argument("device", nargs="?", default="gpu", help="gpu, gpu:1, … (default: gpu)")
    calibrate.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
