"""Proofs that a best factorization need not exist, which anybody can check with a computer algebra system.

A witness for the supports (S1, S2) holds a matrix B of rationals, factors X(t) and Y(t) whose entries are
rational functions of t, and polynomials c_ij in the entries of the factors, such that

* X(t) and Y(t) keep their supports, and X(t) Y(t) → B as t → 0: products come as near to B as one likes;
* Σ c_ij (XY − B)_ij = 1 for all X, Y on the supports: no product is B, or 0 = 1 would follow.

So the distance of B from the products is 0 and is not attained, over the reals and over the complex numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

from scipy import sparse

from fsmf.certificates.verification import Check, Verification
from fsmf.errors import InputError
from fsmf.supports.support import Support, Supports
from fsmf.wellposedness.identities import (
    Polynomial,
    Variable,
    identity_sum,
    n_misplaced,
    n_out_of_range,
    n_unknown,
)
from fsmf.wellposedness.plain_data import read_as, support_from_dict, support_to_dict
from fsmf.wellposedness.rational import (
    Entries,
    RationalFunction,
    assembled,
    entries_from_list,
    entries_to_list,
    evaluated,
    limit_of,
)
from fsmf.wellposedness.reached import components, is_within

__all__ = ["Polynomial", "Variable", "Witness"]

_TERM = re.compile(r"([+-]?)(\d+(?:/\d+)?)?((?:\*?[xy]\d+_\d+)*)")
_VARIABLE = re.compile(r"([xy])(\d+)_(\d+)")


@dataclass(frozen=True)
class Witness:
    """Prove that a matrix is a limit of products on the supports, and not a product.

    Parameters
    ----------
    left : Support
        Support of the left factor X, shape ``(m, r)``.
    right : Support
        Support of the right factor Y as it multiplies, shape ``(r, n)``.
    target : tuple of (int, int, Fraction)
        The nonzeros of B, shape ``(m, n)``: row, column, value.
    X, Y : tuple of (int, int, RationalFunction)
        The entries of the curve that are not identically zero: row, column, and the coefficients of
        numerator and denominator, low degree first.
    cofactors : tuple of (int, int, Polynomial)
        The cofactors that are not zero: row, column, and the terms.

    Notes
    -----
    **Guarantee.** If `verify` passes, ``‖B − XY‖`` has the infimum 0 over the supports, and no minimum.

    *Proof.* The curve shows the infimum. If XY = B, the left side of the identity is 0, and the right is 1.

    **Cost.** Memory for the nonzeros of the supports, of the curve and of the cofactors.

    Examples
    --------
    >>> from fsmf.wellposedness.library import minimal_patterns
    >>> witness = minimal_patterns()[0]
    >>> witness.matrix().toarray()
    array([[0., 1.],
           [1., 0.]])
    >>> bool(witness.verify())
    True
    >>> X, Y = witness.numeric(1e-3)
    >>> bool(abs(X @ Y - witness.matrix()).max() < 1e-2)
    True
    """

    left: Support
    right: Support
    target: Entries[Fraction]
    X: Entries[RationalFunction]
    Y: Entries[RationalFunction]
    cofactors: Entries[Polynomial]

    reason: ClassVar[str] = "an identity Σ c_ij (XY − B)_ij = 1, for all factors X and Y, excludes this B"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the target."""
        return (self.left.shape[0], self.right.shape[1])

    @property
    def supports(self) -> Supports:
        """The two supports, as they multiply."""
        return Supports((self.left, self.right))

    @property
    def factors(self) -> tuple[Entries[RationalFunction], ...]:
        """The entries of the curve, factor by factor."""
        return (self.X, self.Y)

    def matrix(self) -> sparse.csr_array:
        """Return the target in floating point, a ``csr_array`` of shape `shape`."""
        return assembled(((i, j, float(value)) for i, j, value in self.target), self.shape)

    def numeric(self, t: float) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return the factors at one point of the curve.

        Parameters
        ----------
        t : float
            Where on the curve; the nearer to 0, the nearer the product is to the target.

        Returns
        -------
        tuple of csr_array
            X of shape ``(m, r)`` and Y of shape ``(r, n)``.

        Raises
        ------
        OptionError
            If t is zero or not finite, or a pole of the curve.
        """
        X, Y = evaluated(self.factors, self.supports, t)
        return X, Y

    def verify(self) -> Verification:
        """Check the supports, the limit and the identity in exact arithmetic, with sympy alone.

        Returns
        -------
        Verification
            True when the witness proves what it says.

        Notes
        -----
        **Cost.** Multiplies the curve and the cofactors out: milliseconds to a second.
        """
        off = n_out_of_range(self.shape, ((i, j) for i, j, _ in self.target))
        off += n_misplaced(self.left, self.X) + n_misplaced(self.right, self.Y)
        limit = not off and limit_of(self.factors) == {(i, j): value for i, j, value in self.target if value}
        return Verification(
            (
                Check("entries off the supports", 0, off, not off),
                Check("X(t) Y(t) at t = 0 is the target", True, limit, limit),
                *self.verify_identity().checks,
            )
        )

    def verify_identity(self) -> Verification:
        """Check the identity alone, which says that the target is no product, with sympy.

        Returns
        -------
        Verification
            True when no factors on the supports, real or complex, have the target as their product.
        """
        misused = n_out_of_range(self.shape, ((i, j) for i, j, _ in self.cofactors))
        misused += n_unknown(self.left, self.right, self.cofactors)
        identity = (
            "not looked for" if misused else identity_sum(self.left, self.right, self.target, self.cofactors)
        )
        return Verification(
            (
                Check("unknowns off the supports", 0, misused, not misused),
                Check("Σ c_ij (XY − B)_ij", "1", identity, identity == "1"),
            )
        )

    def padded(
        self, rows: Sequence[int], columns: Sequence[int], classes: Sequence[int], supports: Supports
    ) -> Witness:
        """Carry the witness over to larger supports; what they have besides stays zero.

        Parameters
        ----------
        rows, columns, classes : sequence of int
            Which row, column and component of the larger supports each one of the witness becomes.
        supports : Supports
            The larger pair, as it multiplies.

        Returns
        -------
        Witness
            For `supports`.

        Raises
        ------
        InputError
            If the curve leaves the larger supports, or another component reaches an entry that the
            cofactors use.

        Notes
        -----
        **Guarantee.** The result verifies if the witness does. *Proof.* Zeros change neither the limit nor
        its being reached on the curve; and an entry of XY that the cofactors use is the same polynomial as
        before, since it is a sum over the same components. Sub-blocks (all components are kept) satisfy
        the condition, and so do components whose places the cofactors do not use.
        """
        left, right = supports
        to_row, to_column, to_class = ([int(i) for i in places] for places in (rows, columns, classes))
        if tuple(map(len, (rows, columns, classes))) != (*self.shape, self.left.shape[1]) or any(
            len(set(image)) < len(image) for image in (to_row, to_column, to_class)
        ):
            raise InputError(
                f"a witness of shape {self.shape} with {self.left.shape[1]} components was to be padded; "
                f"found images of {len(set(to_row))} rows, {len(set(to_column))} columns and "
                f"{len(set(to_class))} components; name each one's image, all different"
            )

        def moved(variable: Variable) -> Variable:
            letter, i, j = variable
            return (letter, to_row[i], to_class[j]) if letter == "x" else (letter, to_class[i], to_column[j])

        result = Witness(
            left,
            right,
            tuple((to_row[i], to_column[j], value) for i, j, value in self.target),
            tuple((to_row[i], to_class[k], function) for i, k, function in self.X),
            tuple((to_class[k], to_column[j], function) for k, j, function in self.Y),
            tuple((to_row[i], to_column[j], _renamed(c, moved)) for i, j, c in self.cofactors),
        )
        misplaced = any(
            not is_within(support, i, j)
            for support, entries in zip(supports, result.factors, strict=True)
            for i, j, _ in entries
        )
        for i, j, _ in self.cofactors:
            here = [to_class[k] for k in components(self.left, self.right, i, j)]
            if misplaced or sorted(here) != components(left, right, to_row[i], to_column[j]):
                raise InputError(
                    f"a witness was to be padded; the larger supports differ from it at row {to_row[i]}, "
                    f"column {to_column[j]}; pad from a sub-block with all the components that reach it"
                )
        return result

    def transposed(self) -> Witness:
        """Return the witness of the transposed problem."""

        def moved(variable: Variable) -> Variable:
            letter, i, j = variable
            return ("y" if letter == "x" else "x", j, i)

        return Witness(
            self.right.T,
            self.left.T,
            tuple((j, i, value) for i, j, value in self.target),
            tuple((j, k, function) for k, j, function in self.Y),
            tuple((k, i, function) for i, k, function in self.X),
            tuple((j, i, _renamed(c, moved)) for i, j, c in self.cofactors),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the witness as lists, numbers and strings, as JSON takes them."""
        return {
            "left": support_to_dict(self.left),
            "right": support_to_dict(self.right),
            "target": [[i, j, str(value)] for i, j, value in self.target],
            "X": entries_to_list(self.X),
            "Y": entries_to_list(self.Y),
            "cofactors": [[i, j, _polynomial_to_text(c)] for i, j, c in self.cofactors],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the witness from what `to_dict` returned.

        Parameters
        ----------
        data : mapping
            As `to_dict` returns it, perhaps after a trip through JSON.

        Returns
        -------
        Witness
            Not verified yet.

        Raises
        ------
        FileFormatError
            If something is missing or cannot be read.
        """
        with read_as("witness"):
            left, right = Supports(support_from_dict(data[side]) for side in ("left", "right"))
            return cls(
                left,
                right,
                tuple((int(i), int(j), Fraction(value)) for i, j, value in data["target"]),
                entries_from_list(data["X"]),
                entries_from_list(data["Y"]),
                tuple((int(i), int(j), _polynomial_from_text(c)) for i, j, c in data["cofactors"]),
            )


def _name(variable: Variable) -> str:
    letter, i, j = variable
    return f"{letter}{i}_{j}"


def _renamed(polynomial: Polynomial, moved: Any) -> Polynomial:
    return tuple((c, tuple(sorted(map(moved, variables)))) for c, variables in polynomial)


def _polynomial_to_text(polynomial: Polynomial) -> str:
    """Terms as they are written down, such as ``x0_0*y0_1-3/2*x1_0``."""
    terms = []
    for coefficient, variables in polynomial:
        size = [] if variables and abs(coefficient) == 1 else [str(abs(coefficient))]
        terms.append(("-" if coefficient < 0 else "+") + "*".join([*size, *map(_name, variables)]))
    return "".join(terms).removeprefix("+")


def _polynomial_from_text(text: str) -> Polynomial:
    terms, at = [], 0
    while at < len(text):
        found = _TERM.match(text, at)
        if not found or found.end() == at or not (found[2] or found[3]) or (at and not found[1]):
            raise ValueError(f"no polynomial: {text[at : at + 20]!r}")
        coefficient = Fraction(found[2] or 1) * (-1 if found[1] == "-" else 1)
        variables = ((letter, int(i), int(j)) for letter, i, j in _VARIABLE.findall(found[3]))
        terms.append((coefficient, tuple(sorted(variables))))
        at = found.end()
    return tuple(terms)
