"""The minimal patterns without a closed set of products, each with its witness: data, and how they are made.

``python -m fsmf.wellposedness.library FILE`` makes them anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

from fsmf.errors import FileFormatError
from fsmf.supports.support import Supports
from fsmf.wellposedness.witnesses import Witness

__all__ = ["build", "find_shortest", "main", "minimal_patterns", "read_library", "write_library"]

_FORMAT = 1
_FILE = "minimal_patterns.json"
_logger = logging.getLogger(__name__)


@cache
def minimal_patterns() -> tuple[Witness, ...]:
    """Return the witnesses that come with fsmf, one for each pattern, up to symmetry.

    Returns
    -------
    tuple of Witness
        By number of components, rows and columns; the first is the 2 × 2 pattern of LU. Patterns that are the
        transpose of another are left out.

    Raises
    ------
    FileFormatError
        If the file is damaged.

    Notes
    -----
    **Guarantee.** Each witness verifies: a test of fsmf verifies all of them.

    **Cost.** Read once, when first asked for: some ten milliseconds.

    Examples
    --------
    >>> from fsmf.wellposedness.library import minimal_patterns
    >>> minimal_patterns()[0].supports
    Supports(2×2 · 2×2, 6 nonzeros)
    """
    text = resources.files("fsmf.wellposedness").joinpath(_FILE).read_text(encoding="utf-8")
    return read_library(text)


def read_library(text: str) -> tuple[Witness, ...]:
    """Read witnesses from the text of a library file.

    Parameters
    ----------
    text : str
        What `write_library` returned.

    Returns
    -------
    tuple of Witness
        Not verified; but the text is what was written.

    Raises
    ------
    FileFormatError
        If it is not.

    Examples
    --------
    >>> read_library(write_library(minimal_patterns())) == minimal_patterns()
    True
    """
    try:
        data = json.loads(text)
        found = (data["format"], data["checksum"])
        expected = (_FORMAT, _checksum(data["witnesses"]))
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"a library of patterns was to be read; it is damaged ({error!r}); install fsmf again"
        ) from error
    if found != expected:
        raise FileFormatError(
            f"a library of patterns of format {_FORMAT} was to be read; found format {found[0]} with the "
            f"checksum {str(found[1])[:12]} where its contents have {expected[1][:12]}; install fsmf again"
        )
    return tuple(map(Witness.from_dict, data["witnesses"]))


def write_library(witnesses: Iterable[Witness]) -> str:
    """Return the text of a library file, a witness a line.

    Parameters
    ----------
    witnesses : iterable of Witness
        In the order that they are to be in.

    Returns
    -------
    str
        JSON, with a checksum.

    Examples
    --------
    See `read_library`.
    """
    data = [witness.to_dict() for witness in witnesses]
    lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in data)
    return f'{{"format":{_FORMAT},"checksum":"{_checksum(data)}","witnesses":[\n{lines}\n]}}\n'


def build(
    *,
    max_components: int = 3,
    max_rows: int = 3,
    max_columns: int = 5,
    max_seconds: float = 30.0,
    tries: int = 8,
) -> tuple[list[Witness], list[str]]:
    """Find the minimal patterns without a closed set of products, among all that are not larger.

    Parameters
    ----------
    max_components, max_rows, max_columns : int, optional
        How large patterns may be; transposes count as the same.
    max_seconds : float, optional
        How long to look for witnesses of one pattern.
    tries : int, optional
        Of how many witnesses to keep the shortest.

    Returns
    -------
    tuple of list
        The shortest witnesses found, as `minimal_patterns` orders them; and the names of the patterns that no
        theorem and no curve decided.

    Notes
    -----
    **Guarantee.** Every witness verifies, and none is for a sub-block of another's pattern. All are found if
    the second list is empty.

    **Cost.** Minutes, most of them for what stays undecided.

    Examples
    --------
    >>> witnesses, undecided = build(max_components=2, max_rows=2, max_columns=2)
    >>> len(witnesses), undecided
    (1, [])
    """
    from fsmf.wellposedness.enumeration import Census, all_kinds
    from fsmf.wellposedness.orbits import find_cover

    census = Census(
        lambda supports: find_shortest(supports, max_seconds=max_seconds, tries=tries),
        lambda kinds: find_cover(kinds, max_seconds=max_seconds),
    )
    for n_components in range(1, max_components + 1):
        for kinds in all_kinds(n_components, max_rows, max_columns):
            n_known = len(census.minimal)
            census.is_closed(kinds)
            if len(census.minimal) > n_known:
                _logger.info("%d patterns; the last is %s", len(census.minimal), kinds)
    ordered = sorted(census.minimal.values(), key=_size)
    return ordered, list(map(str, census.undecided))


def find_shortest(supports: Supports, *, max_seconds: float, tries: int = 8) -> Witness | None:
    """Return the witness with the fewest terms of several, or None.

    Parameters
    ----------
    supports : Supports
        A small pair.
    max_seconds : float
        How long to look.
    tries : int, optional
        How many to compare.

    Returns
    -------
    Witness or None
        None says nothing.

    Examples
    --------
    >>> import fsmf
    >>> len(find_shortest(fsmf.lu(2), max_seconds=10).cofactors)
    3
    """
    from fsmf.wellposedness.curves import find_witness, shortened

    found: list[Witness] = []
    deadline = time.thread_time() + max_seconds
    for rng in count():
        witness = find_witness(supports, max_seconds=min(5.0, deadline - time.thread_time()), rng=rng)
        if witness:
            found.append(shortened(witness, max_seconds=1.0))
        if len(found) == tries or time.thread_time() > deadline:
            break
    return min(found, key=_length, default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the library, verify it, and write it to a file.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line, by default those of the process.

    Returns
    -------
    int
        0 if all went well, 1 if a witness does not verify.
    """
    parser = argparse.ArgumentParser(prog="python -m fsmf.wellposedness.library", description=__doc__)
    parser.add_argument("file", type=Path, help="where to write")
    parser.add_argument("--components", type=int, default=3, metavar="R")
    parser.add_argument("--rows", type=int, default=3, metavar="M")
    parser.add_argument("--columns", type=int, default=5, metavar="N")
    parser.add_argument("--max-seconds", type=float, default=30.0, metavar="S", help="for each pattern")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    witnesses, undecided = build(
        max_components=options.components,
        max_rows=options.rows,
        max_columns=options.columns,
        max_seconds=options.max_seconds,
    )
    wrong = [witness for witness in witnesses if not witness.verify()]
    options.file.write_text(write_library(witnesses), encoding="utf-8")
    _logger.info(
        "%d patterns, %d wrong, %d undecided: %s", len(witnesses), len(wrong), len(undecided), undecided
    )
    return int(bool(wrong))


def _size(witness: Witness) -> tuple[Any, ...]:
    (m, r), n = witness.left.shape, witness.right.shape[1]
    return (r, m + n, m, witness.left.nnz + witness.right.nnz, _checksum(witness.to_dict()))


def _length(witness: Witness) -> tuple[int, int, int]:
    """How many terms the cofactors and the curve have, and how many entries of the target are not 0 or 1."""
    return (
        sum(len(c) for _, _, c in witness.cofactors),
        len(witness.X) + len(witness.Y),
        sum(value != 1 for _, _, value in witness.target),
    )


def _checksum(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
