"""Replacing the linear layers of a model by products of Kronecker-sparse factors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fsmf.errors import InputTypeError, ShapeError
from fsmf.nn.linear import KroneckerSparseLinear, factorized_weight
from fsmf.supports.kronecker import Architecture

from torch import nn  # isort: skip  # after fsmf.nn.linear, which says what to install

__all__ = ["CompressedLayer", "Compression", "compress"]


@dataclass(frozen=True)
class CompressedLayer:
    """Say what became of one linear layer.

    Attributes
    ----------
    name : str
        Where it is in the model.
    architecture : Architecture
        The supports of its factors.
    relative_error : float
        ``‖W − X1 … XL‖ / ‖W‖``, Frobenius norms.
    n_parameters, n_dense_parameters : int
        Numbers of the new weight, and of the old one; without biases.

    Examples
    --------
    >>> import fsmf
    >>> layer = fsmf.nn.CompressedLayer("head", fsmf.butterfly(64), 0.5, 768, 4096)
    >>> layer.n_flops, layer.n_dense_flops
    (1536, 8192)
    """

    name: str
    architecture: Architecture
    relative_error: float
    n_parameters: int
    n_dense_parameters: int

    @property
    def n_flops(self) -> int:
        """Floating-point operations of the new weight for one sample."""
        return 2 * self.n_parameters

    @property
    def n_dense_flops(self) -> int:
        """Floating-point operations of the old weight for one sample."""
        return 2 * self.n_dense_parameters


@dataclass(frozen=True)
class Compression:
    """Hold a model whose linear layers have been replaced, and what that cost and saved.

    Attributes
    ----------
    model : torch.nn.Module
        The new model.
    layers : tuple of CompressedLayer
        The layers that were replaced.
    n_parameters, n_dense_parameters : int
        All parameters of the new model, and of the old one.

    Examples
    --------
    >>> import fsmf, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> torch.nn.init.eye_(model[0].weight) is model[0].weight
    True
    >>> print(fsmf.nn.compress(model, lambda m, n: fsmf.butterfly(m) if m == n else None))
    layer  factors  error  parameters  flops a sample
    0      64×64    0      4096 → 768  8192 → 1536
    model                  4810 → 1482
    """

    model: nn.Module = field(repr=False)
    layers: tuple[CompressedLayer, ...]
    n_parameters: int
    n_dense_parameters: int

    def __str__(self) -> str:
        rows = [("layer", "factors", "error", "parameters", "flops a sample")]
        for layer in self.layers:
            m, n = layer.architecture.shape
            rows.append(
                (
                    layer.name,
                    f"{m}×{n}",
                    f"{layer.relative_error:.3g}",
                    f"{layer.n_dense_parameters} → {layer.n_parameters}",
                    f"{layer.n_dense_flops} → {layer.n_flops}",
                )
            )
        rows.append(("model", "", "", f"{self.n_dense_parameters} → {self.n_parameters}", ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def compress(
    model: nn.Module,
    architecture: Architecture | Callable[[int, int], Architecture | None],
    *,
    only: Callable[[str, nn.Linear], bool] | None = None,
) -> Compression:
    """Replace the linear layers of a model by the best products that are found.

    Parameters
    ----------
    model : torch.nn.Module
        Not changed.
    architecture : Architecture or callable
        The supports for all layers; or a function that makes them from the numbers of outputs and of inputs,
        or returns None to leave a layer as it is.
    only : callable, optional
        Given the name of a layer and the layer, says whether to replace it; by default all
        `torch.nn.Linear`, not those of classes derived from it.

    Returns
    -------
    Compression
        The new model, with errors, parameters and floating-point operations.

    Raises
    ------
    ShapeError
        If an architecture does not fit its layer.
    InputTypeError
        If `architecture` is none, and no function.

    Notes
    -----
    **Guarantee** and **Cost** as of `fsmf.factorize`, for each layer. The error is that of the weights:
    what the model makes of it has to be measured, and mended by training. A layer that stands in several
    places is replaced once, and stays shared.

    Examples
    --------
    >>> import fsmf, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16))
    >>> found = fsmf.nn.compress(model, fsmf.monarch(16, blocks=4))
    >>> [layer.name for layer in found.layers], found.n_dense_parameters, found.n_parameters
    (['0', '2'], 544, 288)
    """
    if not isinstance(architecture, Architecture) and not callable(architecture):
        raise InputTypeError(
            f"architecture must be one, or a function of the numbers of outputs and inputs; found "
            f"{type(architecture).__name__}"
        )
    made = copy.deepcopy(model)
    replaced: dict[int, nn.Module] = {}
    layers = []
    for name, layer in list(made.named_modules()):
        if type(layer) is not nn.Linear or (only is not None and not only(name, layer)):
            continue
        shape = (layer.out_features, layer.in_features)
        own = architecture if isinstance(architecture, Architecture) else architecture(*shape)
        if own is None:
            continue
        if own.shape != shape:
            raise ShapeError(
                f"the layer {name!r} has a weight of shape {shape}, the architecture makes {own.shape}; give "
                "a function of both numbers, or leave the layer out by only="
            )
        F = factorized_weight(layer, own)
        replaced[id(layer)] = KroneckerSparseLinear.from_factorization(F, layer)
        layers.append(CompressedLayer(name, own, F.relative_error, own.n_parameters, layer.weight.numel()))
    made = _replaced(made, replaced)
    return Compression(made, tuple(layers), _count(made), _count(model))


def _replaced(module: nn.Module, by: dict[int, nn.Module]) -> Any:
    """The module with its parts replaced, wherever they stand."""
    if id(module) in by:
        return by[id(module)]
    for parent in module.modules():
        for name, child in list(parent._modules.items()):
            if id(child) in by:
                parent._modules[name] = by[id(child)]
    return module


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
