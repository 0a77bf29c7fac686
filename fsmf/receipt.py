"""The receipt of a factorization: what was found, how, and what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fsmf.certificates.block_brackets import GlobalOptimum
from fsmf.certificates.by_construction import ByConstruction
from fsmf.wellposedness.check import quick_verdict

if TYPE_CHECKING:
    from fsmf.factorization import Factorization

__all__ = ["receipt"]


def receipt(F: Factorization) -> str:
    """Return what a factorization prints, a fact a line.

    Parameters
    ----------
    F : Factorization
        Of any kind.

    Returns
    -------
    str
        Several lines; whether best products exist is among them where that shows within milliseconds and the
        certificate does not say more.

    Examples
    --------
    >>> import fsmf, numpy as np
    >>> print(receipt(fsmf.factorize(np.eye(3), fsmf.lu(3))))  # doctest: +ELLIPSIS
    3×3 float64 ≈ product of 2 factors, by VariableProjection
    ...
      existence       some matrices have no best product on these supports
      sweeps          ...
    """
    m, n = F.shape
    orders = [what for what, order in (("rows", F.rows), ("columns", F.columns)) if order is not None]
    lines = [
        f"{m}×{n} {np.dtype(F.dtype).name} ≈ product of {len(F.supports)} factors, by {F.solver}",
        f"  supports        {F.supports.name or repr(F.supports)}",
        *([f"  permuted        {' and '.join(orders)}"] if orders else []),
        f"  parameters      {F.n_parameters} ({F.n_parameters / (m * n):.3g} of m·n), "
        f"{F.nbytes} bytes, {F.n_flops} flops a vector",
        f"  relative error  {F.relative_error:.6g}",
        f"  status          {F.status.value}",
        f"  certificate     {F.certificate}",
        *([f"  search          {F.search}"] if F.search else []),
    ]
    best = isinstance(F.certificate, GlobalOptimum | ByConstruction)
    # Verdicts speak of errors that weigh all entries alike.
    weighted = getattr(F.certificate, "weighted", False)
    verdict = None if best or weighted else quick_verdict(F.supports)
    if verdict is not None:
        lines.append(f"  existence       {verdict.fact}")
    if len(F.history):
        lines.append(f"  sweeps          {len(F.history)} in {F.history.seconds[-1]:.3g} s")
    if F.ridge_path is not None:
        said, reached = F.ridge_path.sentences()
        lines += [f"  ridge path      {said}", f"  best found      {reached}"]
    return "\n".join(lines)
