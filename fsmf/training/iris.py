"""The iris data, which the experiments of the literature on sparse networks use."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_iris"]


def load_iris() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read the iris data: 150 flowers of three species.

    Returns
    -------
    X : ndarray of shape (150, 4)
        Length and width of the sepals, length and width of the petals, in centimetres.
    y : ndarray of int, shape (150,)
        The species: 0 for Iris setosa, 1 for Iris versicolor, 2 for Iris virginica; fifty of each.

    Notes
    -----
    They come with fsmf. **Cost.** A file of 3 kB is read.

    References
    ----------
    R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936),
    Table I, with the measurements of E. Anderson.

    Examples
    --------
    >>> import fsmf
    >>> X, y = fsmf.training.load_iris()
    >>> X.shape, X.mean(axis=0).round(2).tolist()
    ((150, 4), [5.84, 3.06, 3.76, 1.2])
    """
    text = files("fsmf.training").joinpath("iris.csv").read_text(encoding="ascii")
    table = np.array([line.split(",") for line in text.splitlines() if line and line[0] != "#"], dtype=float)
    return table[:, :4], table[:, 4].astype(np.int64)
