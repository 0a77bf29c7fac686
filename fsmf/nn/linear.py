"""A linear layer of PyTorch whose weight is a chain of Kronecker-sparse factors."""

from __future__ import annotations

import logging
import math
from functools import cached_property
from typing import Any, Self

from fsmf.errors import InputTypeError, ShapeError
from fsmf.factorization import Factorization
from fsmf.factorizing import factorize
from fsmf.supports.kronecker import Architecture, Interface, KroneckerPattern, why_not_chainable

try:
    import torch
    from torch import Tensor, nn
except ImportError as missing:
    raise ImportError(f"fsmf.nn needs PyTorch; found {missing}; pip install fsmf[torch]") from missing

__all__ = ["KroneckerSparseLinear", "factorized_weight"]

# Neighbours are multiplied out while a block of the product has at most so many rows and columns: batched
# products of such blocks are faster than several of smaller ones.
_BLOCK = 16

# Compiled kernels take less time than PyTorch's product of many blocks while these have at most so many rows
# and columns: on two cores a half for 8, seven eighths for 16 and few samples.
_SMALL = 16


class KroneckerSparseLinear(nn.Module):
    """Compute ``x ↦ x Wᵀ + b`` with ``W = X1 X2 … XL``, factors on a chain of Kronecker patterns.

    Takes the place of `torch.nn.Linear`.

    Parameters
    ----------
    architecture : Architecture
        The supports, of a product of shape ``(out_features, in_features)``.
    bias : bool
        Whether there is a bias.
    device, dtype
        Of the parameters, as of `torch.nn.Linear`.

    Attributes
    ----------
    factors : torch.nn.ParameterList
        Values of each factor, left to right, of shapes ``(a, b, d, c)``: in row-major order.
    bias : torch.nn.Parameter or None
        Shape ``(out_features,)``.
    in_features, out_features : int
        Lengths of x and of the result.

    Raises
    ------
    InputTypeError
        If it is no architecture.

    Notes
    -----
    **Guarantee.** The product up to rounding; gradients by autograd, on any device.

    **Cost.** On a CPU, in single or double precision, with blocks of at most 16 rows and columns: compiled
    kernels, 2 floating-point operations a sample and nonzero, and 8 for gradients. Only the input is kept
    between, and results do not depend on the number of threads. Elsewhere, when PyTorch compiles, and for
    gradients of gradients: batched products of dense blocks, small ones multiplied out first, up to three
    times as many operations. Needs PyTorch: ``pip install fsmf[torch]``.

    Examples
    --------
    >>> import fsmf, torch
    >>> layer = fsmf.nn.KroneckerSparseLinear(fsmf.butterfly(256))
    >>> layer(torch.ones(5, 256)).shape
    torch.Size([5, 256])
    >>> sum(parameter.numel() for parameter in layer.parameters())  # torch.nn.Linear has 65792
    4352
    """

    def __init__(
        self, architecture: Architecture, *, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        if not isinstance(architecture, Architecture):
            raise InputTypeError(
                f"architecture must be one, such as fsmf.butterfly(256); found "
                f"{type(architecture).__name__}; fsmf.Architecture makes one of patterns (a, b, c, d)"
            )
        self.architecture = architecture
        self.out_features, self.in_features = architecture.shape
        options = {"device": device, "dtype": dtype}
        self.factors = nn.ParameterList(
            nn.Parameter(torch.empty(pattern.blocks_shape, **options)) for pattern in architecture.patterns
        )
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_features, **options))
        else:
            self.register_parameter("bias", None)
        self._merges = _merges(architecture.patterns)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw parameters so that results vary as much as those of a new `torch.nn.Linear`."""
        for i, factor in enumerate(self.factors):
            nn.init.uniform_(factor, *_around((1 if i == 0 else 3) / factor.shape[3]))
        if self.bias is not None:
            nn.init.uniform_(self.bias, *_around(1 / self.in_features))

    @classmethod
    def from_linear(cls, layer: nn.Linear, architecture: Architecture) -> Self:
        """Make the layer whose weight is the best that is found, by `fsmf.factorize`.

        Parameters
        ----------
        layer : torch.nn.Linear
            What it is to resemble.
        architecture : Architecture
            The supports.

        Returns
        -------
        KroneckerSparseLinear
            On the device and in the dtype of `layer`, with its bias.

        Raises
        ------
        ShapeError
            If the architecture does not fit the layer.

        Notes
        -----
        **Guarantee** and **Cost** as of `fsmf.factorize`; dtypes of less than single precision are
        factorized in single precision.
        """
        return cls.from_factorization(factorized_weight(layer, architecture), layer)

    @classmethod
    def from_factorization(cls, F: Factorization, layer: nn.Linear) -> Self:
        """Make the layer whose weight is a factorization, with the bias, device and dtype of another layer.

        Parameters
        ----------
        F : Factorization
            With an `Architecture` and no permutations.
        layer : torch.nn.Linear
            Where the rest is taken from.

        Returns
        -------
        KroneckerSparseLinear
            The layer.

        Raises
        ------
        InputTypeError, ShapeError
            If the factors are no such chain, or do not fit the layer.
        """
        if not isinstance(F.supports, Architecture) or F.rows is not None or F.columns is not None:
            raise InputTypeError(
                f"F must be a product of Kronecker-sparse factors in their order; found {F.supports}, or "
                "permutations; factorize with an Architecture"
            )
        if F.shape != tuple(layer.weight.shape):
            raise ShapeError(
                f"F has shape {F.shape}, the weight {tuple(layer.weight.shape)}; they must agree"
            )
        weight = layer.weight
        made = cls(F.supports, bias=layer.bias is not None, device=weight.device, dtype=weight.dtype)
        with torch.no_grad():
            for factor, value in zip(made.factors, F.values, strict=True):
                factor.copy_(torch.from_numpy(value.reshape(factor.shape)))
            if layer.bias is not None:
                made.bias.copy_(layer.bias)
        made.train(layer.training)
        return made

    @property
    def weight(self) -> Tensor:
        """The dense weight, of shape ``(out_features, in_features)``: made anew, and differentiable."""
        example = self.factors[0]
        unit = torch.eye(self.in_features, device=example.device, dtype=example.dtype)
        return self._product(unit, *self.factors).T

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis of x."""
        bias = () if self.bias is None else (self.bias,)
        y = self._product(x.reshape(-1, self.in_features), *self.factors, *bias)
        return y.reshape(*x.shape[:-1], self.out_features)

    def _product(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Multiply each row of a matrix with factors, and add the bias where that is the last parameter."""
        if _are_plain(x, *parameters) and self._kernels is not None:
            product: Tensor = _ByKernels.apply(self, x, *parameters)
            return product
        return self._by_blocks(x, *parameters)

    @cached_property
    def _kernels(self) -> Any:
        """Compiled kernels for blocks as small as these, if there are any."""
        patterns = [pattern.abcd for pattern in self.architecture.patterns]
        if max(max(pattern[1:3]) for pattern in patterns) > _SMALL:
            return None
        try:
            from fsmf.kernels.kronecker_gradients_cpu import ChainGradients
        except (ImportError, RuntimeError) as reason:
            logging.getLogger(__name__).warning("PyTorch takes the place of compiled code: %s", reason)
            return None
        return ChainGradients(patterns)

    def _by_blocks(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """The same by PyTorch's own operations: products of many blocks."""
        stages, bias = list(parameters[: len(self.factors)]), parameters[len(self.factors) :]
        for i, interface in self._merges:
            stages[i : i + 2] = [_merged(stages[i], stages[i + 1], interface)]
        # Samples run fastest, so that what is moved between stages is moved in long runs.
        H = x.T.contiguous()
        for blocks in reversed(stages):
            a, b, d, c = blocks.shape
            inputs = H.view(a, c, d, -1).transpose(1, 2).reshape(a * d, c, -1)
            products = torch.bmm(blocks.transpose(1, 2).reshape(a * d, b, c), inputs)
            if not torch.compiler.is_compiling():  # which lays out gradients itself
                products = _InOneRun.apply(products)
            H = products.view(a, d, b, -1).transpose(1, 2).reshape(a * b * d, -1)
        y = H.T.contiguous()
        return y + bias[0] if bias else y

    def extra_repr(self) -> str:
        """What `print` shows within the brackets."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, {self.architecture}"
        )


class _ByKernels(torch.autograd.Function):
    """The product and its gradients by compiled kernels, derivatives of other kinds by PyTorch."""

    @staticmethod
    def forward(layer: KroneckerSparseLinear, x: Tensor, *parameters: Tensor) -> Tensor:
        y = x.new_empty(len(x), layer.out_features)
        arrays = list(map(_array, parameters))
        layer._kernels.multiply(arrays, _array(x), y.numpy(), threads=torch.get_num_threads())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the inputs, and nothing between."""
        ctx.layer, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        tensors, (_, *wanted) = ctx.saved_tensors, ctx.needs_input_grad
        if torch.is_grad_enabled():  # where gradients of these gradients are wanted
            inputs = [one for one, is_wanted in zip(tensors, wanted, strict=True) if is_wanted]
            y = ctx.layer._by_blocks(*tensors)
            found = iter(torch.autograd.grad(y, inputs, gradient, create_graph=True))
            return None, *(next(found) if is_wanted else None for is_wanted in wanted)
        x, *parameters = tensors
        gx = torch.empty(x.shape, dtype=x.dtype)
        found = ctx.layer._kernels.differentiate(
            list(map(_array, parameters)),
            _array(x),
            _array(gradient),
            gx.numpy(),
            of_values=any(wanted[1:]),
            threads=torch.get_num_threads(),
        )
        gradients = (torch.from_numpy(one).view_as(own) for one, own in zip(found, parameters, strict=False))
        return None, gx, *(gradients if found else [None] * len(parameters))

    @staticmethod
    def vmap(info: Any, in_dims: Any, layer: KroneckerSparseLinear, *tensors: Tensor) -> Any:
        return torch.func.vmap(layer._by_blocks, in_dims[1:])(*tensors), 0

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Any:
        inputs = ctx.saved_tensors
        directions = tuple(
            torch.zeros_like(one) if tangent is None else tangent
            for one, tangent in zip(inputs, tangents, strict=True)
        )
        return torch.func.jvp(ctx.layer._by_blocks, inputs, directions)[1]


class _InOneRun(torch.autograd.Function):
    """The same, with a gradient that lies in one run: PyTorch multiplies blocks of others one by one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient.contiguous()

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Any:
        return tangent.view_as(tangent)


def _are_plain(x: Tensor, *parameters: Tensor) -> bool:
    """Whether these are numbers that kernels read, and nobody is watching what PyTorch does with them."""
    return (
        not (torch.compiler.is_compiling() or torch.jit.is_tracing())
        and type(x) in (Tensor, nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and all(one.device == x.device and one.dtype == x.dtype for one in parameters)
        and not torch.is_autocast_enabled("cpu")
    )


def _array(x: Tensor) -> Any:
    """The tensor as an array, in one run."""
    return x.detach().contiguous().numpy()


def _around(variance: float) -> tuple[float, float]:
    """The interval around zero whose uniform numbers have a third of this variance."""
    return -math.sqrt(variance), math.sqrt(variance)


def factorized_weight(layer: nn.Linear, architecture: Architecture) -> Factorization:
    """Return the best product that is found for the weight of a layer."""
    weight = layer.weight.detach().cpu()
    if weight.dtype not in (torch.float32, torch.float64):
        weight = weight.float()
    return factorize(weight.numpy(), architecture)


def _merges(patterns: tuple[KroneckerPattern, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Which neighbours to multiply out, in this order, each with its place then and its sizes."""
    stages, i = list(patterns), 0
    found: list[tuple[int, tuple[int, ...]]] = []
    while i < len(stages) - 1:
        left, right = stages[i : i + 2]
        if why_not_chainable(left, right) is None:
            interface = Interface.of(left, right)
            product = interface.product
            if max(product.abcd[1:3]) <= _BLOCK:
                a, b, _, d = left.abcd
                k, l = right.abcd[0] // a, d // right.abcd[3]
                found.append((i, (a, b, l, right.abcd[3], k, interface.rank, right.abcd[2])))
                stages[i : i + 2] = [product]
                continue
        i += 1
    return found


def _merged(left: Tensor, right: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Values of the product of two chainable factors.

    The middle index is (α, κ, ρ, λ, δ): columns of the left factor are (α, κρ, λδ), and rows of the right one
    (ακ, ρλ, δ).
    """
    a, b, l, d, k, r, c = sizes
    if r == 1:  # by far the most frequent, and no sum: faster than a product of many small blocks
        product = left.view(a, b, l, d, k, 1) * right.view(a, 1, k, l, d, c).movedim(2, 4)
    else:
        product = torch.einsum(
            "abldkr,akrldc->abldkc", left.view(a, b, l, d, k, r), right.view(a, k, r, l, d, c)
        )
    return product.reshape(a, b * l, d, k * c)
