"""A census of small pairs of random supports: are our answers the best known, and their bounds sound."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fsmf
from benchmarks.harness import Gate, arguments, machine, table

DEFAULT, VARPRO = "default", "VariableProjection"

# An error counts as equal to another one when it is no more than this above it, in units of ‖A‖.
EQUAL = 1e-3


def drawn(number: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A Gaussian matrix of at most 6×6, and supports with at most four components, by its number."""
    rng = np.random.default_rng([number, 6, 6, 4])
    m, n, r = (int(rng.integers(1, high + 1)) for high in (6, 6, 4))
    density = rng.uniform(0.3, 0.9)
    return rng.standard_normal((m, n)), [rng.random((m, r)) < density, rng.random((r, n)) < density]


def best_of_starts(
    A: np.ndarray, supports: list[np.ndarray], starts: int, seed: int, steps: int = 300
) -> float:
    """The smallest error that Levenberg and Marquardt's method finds from Gaussian starts of three sizes.

    It works on the dense Jacobian of all entries, for all starts side by side.
    """
    (m, n), (rows, inner), (own, columns) = A.shape, *map(np.nonzero, supports)
    nx, p = len(rows), len(rows) + len(own)
    if not p:
        return float(np.linalg.norm(A))
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((starts, p)) * np.resize([0.3, 1.0, 3.0], starts)[:, None]

    def factors(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        X, Y = np.zeros((len(z), *supports[0].shape)), np.zeros((len(z), *supports[1].shape))
        X[:, rows, inner], Y[:, own, columns] = z[:, :nx], z[:, nx:]
        return X, Y, A - X @ Y

    def squares(R: np.ndarray) -> np.ndarray:
        return np.einsum("sij,sij->s", R, R)

    X, Y, R = factors(z)
    damping, idle, best = np.full(starts, 1e-2), np.zeros(starts, dtype=int), math.inf
    for _ in range(steps):
        J = np.zeros((len(z), m, n, p))
        J[:, rows, :, np.arange(nx)] = Y[:, inner].swapaxes(0, 1)
        J[:, :, columns, np.arange(nx, p)] = X[:, :, own]
        J = J.reshape(len(z), m * n, p)
        normal = J.swapaxes(1, 2) @ J
        diagonal = np.einsum("skk->sk", normal)
        diagonal += damping[:, None] * diagonal.max(axis=1, keepdims=True) + 1e-300
        change = np.linalg.solve(normal, J.swapaxes(1, 2) @ R.reshape(len(z), m * n, 1))[:, :, 0]
        tried = factors(z + change)
        before, after = squares(R), squares(tried[2])
        better = after < before
        damping = np.clip(np.where(better, damping / 4, damping * 5), 1e-15, 1e8)
        idle = np.where(better & (after < (1 - 1e-7) * before), 0, idle + 1)
        z = np.where(better[:, None], z + change, z)
        X, Y, R = (
            np.where(better[:, None, None], new, old) for new, old in zip(tried, (X, Y, R), strict=True)
        )
        best = min(best, float(squares(R).min()))
        # A rejected step is followed by a shorter one: ten in a row, or three that gain nothing, are the end.
        stay = idle < 10
        if not stay.any() or best < 1e-26 * np.sum(A**2):
            break
        z, X, Y, R, damping, idle = (kept[stay] for kept in (z, X, Y, R, damping, idle))
    return math.sqrt(best)


def asked(number: int, starts: int) -> dict[str, Any]:
    """All that the census asks of one instance."""
    A, supports = drawn(number)
    norm, found = float(np.linalg.norm(A)), {}
    for name, solver in ((DEFAULT, None), (VARPRO, fsmf.VariableProjection())):
        began = time.process_time()
        F = fsmf.factorize(A, supports, solver=solver)
        found[name] = {
            "seconds": time.process_time() - began,
            "error": F.error / norm,
            "bound": F.lower_bound / norm,
            "sound": bool(F.verify(A)),
        }
    best = best_of_starts(A, supports, starts, number) / norm
    return {"number": number, "tractable": fsmf.analyze(supports).tractable, "oracle": best, **found}


def collected(count: int, starts: int, record: Path | None) -> list[dict[str, Any]]:
    """Ask all instances; those that a record of an earlier run holds are not asked again."""
    lines = record.read_text(encoding="utf-8").splitlines() if record and record.exists() else []
    answers = {answer["number"]: answer for answer in map(json.loads, lines)}
    for number in range(count):
        if number not in answers:
            answers[number] = asked(number, starts)
            if record:
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(answers[number]) + "\n")
    return [answers[number] for number in range(count)]


def counted(answers: list[dict[str, Any]], gate: Gate) -> list[list[str]]:
    """The table, with what must hold."""
    count = len(answers)

    def best(answer: dict[str, Any]) -> float:
        return float(min(answer["oracle"], answer[DEFAULT]["error"], answer[VARPRO]["error"]))

    def row(name: str, error: Callable[[dict[str, Any]], float], seconds: str) -> list[str]:
        worse = [answer["number"] for answer in answers if error(answer) > best(answer) + EQUAL]
        gate(name != DEFAULT or len(worse) <= 0.01 * count, "the default is the best known on 99 %")
        return [name, f"{count - len(worse)}/{count}", seconds, ", ".join(map(str, worse[:12]))]

    rows = []
    for name in (DEFAULT, VARPRO):
        seconds = sum(answer[name]["seconds"] for answer in answers)
        rows.append(
            row(name, lambda answer, name=name: answer[name]["error"], f"{1e3 * seconds / count:.3g} ms")
        )
        below = [a["number"] for a in answers if a[name]["error"] < a[name]["bound"]]
        gate(not below, f"{name}: no error is below its own bound; found {below[:12]}")
        beaten = [a["number"] for a in answers if best(a) < a[name]["bound"] - 1e-9]
        gate(not beaten, f"{name}: nobody's error is below the bound; found {beaten[:12]}")
        unsound = [a["number"] for a in answers if not a[name]["sound"]]
        gate(not unsound, f"{name}: every certificate verifies; not {unsound[:12]}")
    rows.append(row("oracle", lambda answer: answer["oracle"], ""))
    easy = [answer for answer in answers if answer["tractable"]]
    gaps = [a["number"] for a in easy if a[DEFAULT]["error"] - a[DEFAULT]["bound"] > 1e-9]
    gate(not gaps, f"the gap is zero on tractable instances; found {gaps[:12]}")
    return [*rows, ["gap zero, of those tractable", f"{len(easy) - len(gaps)}/{len(easy)}", "", ""]]


def main() -> int:
    warnings.simplefilter("ignore")  # budgets end, and factors grow, as asked
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--count", type=int, default=2000, help="number of instances")
    parser.add_argument("--starts", type=int, default=200, help="starts of the oracle")
    parser.add_argument("--record", type=Path, help="file of answers, added to, and read to go on")
    options = parser.parse_args()
    gate = Gate()
    print(machine("fsmf"), end="\n\n")
    count, starts = (20, 40) if options.quick else (options.count, options.starts)
    rows = counted(collected(count, starts, options.record), gate)
    header = ["small random supports", "equal to the best known", "processor time each", "not these"]
    print(table(header, rows, markdown=options.markdown))
    return gate.exit_code()


if __name__ == "__main__":
    sys.exit(main())
