"""Layers of PyTorch whose weight is a product of Kronecker-sparse factors."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsmf.nn.compression import CompressedLayer, Compression, compress
    from fsmf.nn.linear import KroneckerSparseLinear

__all__ = ["CompressedLayer", "Compression", "KroneckerSparseLinear", "compress"]

_HOMES = {
    "CompressedLayer": "compression",
    "Compression": "compression",
    "KroneckerSparseLinear": "linear",
    "compress": "compression",
}


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fsmf.nn' has no attribute {name!r}")
    return getattr(import_module(f"fsmf.nn.{_HOMES[name]}"), name)
