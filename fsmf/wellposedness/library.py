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
from typing import TYPE_CHECKING, Any, Literal

from fsmf.errors import FileFormatError
from fsmf.supports.support import Supports
from fsmf.wellposedness.witnesses import Witness

if TYPE_CHECKING:
    from fsmf.wellposedness.enumeration import Kinds
    from fsmf.wellposedness.orbits import OpenForm

__all__ = ["build", "find_shortest", "main", "minimal_patterns", "read_library", "write_library"]

_FORMAT = 1
_FILE = "minimal_patterns.json"
# What comes with fsmf: components, and how many rows and columns. More columns add nothing up to three.
_SIZES = ((1, 3, 5), (2, 3, 5), (3, 3, 5), (3, 4, 4), (4, 3, 3))
_logger = logging.getLogger(__name__)


@cache
def minimal_patterns(n_components: int | None = None) -> tuple[Witness, ...]:
    """Return the witnesses that come with fsmf, one for each pattern, up to symmetry.

    Parameters
    ----------
    n_components : int, optional
        Only those with so many components.

    Returns
    -------
    tuple of Witness
        By number of components, rows and columns; the first is the 2 × 2 pattern of LU. Patterns that are the
        transpose of another are left out. Those with at most three components are all that there are; those
        with four are all of at most three rows and three columns.

    Raises
    ------
    FileFormatError
        If the file is damaged.

    Notes
    -----
    **Guarantee.** Each witness verifies: a test of fsmf verifies all of them.

    **Cost.** Read when first asked for: some milliseconds, and two for each witness.

    Examples
    --------
    >>> from fsmf.wellposedness.library import minimal_patterns
    >>> minimal_patterns()[0].supports
    Supports(2×2 · 2×2, 6 nonzeros)
    >>> [len(minimal_patterns(r)) for r in (2, 3, 4)]
    [2, 63, 114]
    """
    return tuple(
        Witness.from_dict(data) for data in _shipped() if n_components in (None, data["left"]["n_columns"])
    )


@cache
def _shipped() -> list[Any]:
    return _checked(resources.files("fsmf.wellposedness").joinpath(_FILE).read_text(encoding="utf-8"))


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
    return tuple(map(Witness.from_dict, _checked(text)))


def _checked(text: str) -> list[Any]:
    """The witnesses of a library file as dictionaries."""
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
    witnesses: list[Any] = data["witnesses"]
    return witnesses


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
    sizes: Iterable[tuple[int, int, int]] = _SIZES,
    *,
    known: Iterable[Witness] = (),
    max_seconds: float = 30.0,
    tries: int = 8,
) -> tuple[list[Witness], list[str]]:
    """Find the minimal patterns without a closed set of products, among all of some sizes.

    Parameters
    ----------
    sizes : iterable of (int, int, int)
        Numbers of components, and how many rows and columns patterns with so many may have, few components
        first; transposes count as the same.
    known : iterable of Witness
        For minimal patterns that are known already, and kept.
    max_seconds : float, optional
        How long to look for a decision on one pattern: a proof by normal forms, or a witness.
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
    >>> witnesses, undecided = build([(1, 2, 2), (2, 2, 2)])
    >>> len(witnesses), undecided
    (1, [])
    """
    from fsmf.wellposedness.enumeration import Census, all_kinds, canonical, kinds_of, supports_of
    from fsmf.wellposedness.orbits import Cover, find_cover

    def decide(kinds: Kinds, seconds: float) -> Witness | Literal[True] | None:
        found = find_cover(kinds, max_seconds=seconds)
        if isinstance(found, Cover):
            return True
        return find_shortest(supports_of(kinds), form=found, max_seconds=seconds, tries=tries)

    census = Census(
        decide,
        rounds=tuple(max_seconds * share for share in (0.05, 0.25, 1.0)),
        minimal={canonical(kinds_of(witness.supports)): witness for witness in known},
    )
    for size in sizes:
        for kinds in all_kinds(*size):
            n_known = len(census.minimal)
            census.is_closed(kinds)
            if len(census.minimal) > n_known:
                _logger.info("%d patterns; the last is %s", len(census.minimal), kinds)
    ordered = sorted(census.minimal.values(), key=_size)
    return ordered, list(map(str, census.undecided))


def find_shortest(
    supports: Supports, *, form: OpenForm | None = None, max_seconds: float, tries: int = 8
) -> Witness | None:
    """Return the witness with the fewest terms of several, or None.

    Parameters
    ----------
    supports : Supports
        A small pair.
    form : OpenForm, optional
        As `find_witness` takes it.
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
        left = min(5.0, deadline - time.thread_time())
        witness = find_witness(supports, form=form, max_seconds=left, rng=rng)
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
    parser.add_argument(
        "--size", type=int, nargs=3, action="append", metavar=("R", "M", "N"),
        help=f"components, and at most how many rows and columns; by default {_SIZES}",
    )  # fmt: skip
    parser.add_argument("--known", type=Path, metavar="FILE", help="a library that is to be extended")
    parser.add_argument("--max-seconds", type=float, default=30.0, metavar="S", help="for each pattern")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    witnesses, undecided = build(
        map(tuple, options.size or _SIZES),
        known=read_library(options.known.read_text(encoding="utf-8")) if options.known else (),
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
