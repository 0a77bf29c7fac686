"""Classical transforms as exact products of sparse factors."""

from fsmf.transforms.fourier import dft
from fsmf.transforms.toeplitz import circulant, convolution, toeplitz
from fsmf.transforms.trigonometric import dct, dst, hartley
from fsmf.transforms.walsh import haar, hadamard

__all__ = ["circulant", "convolution", "dct", "dft", "dst", "haar", "hadamard", "hartley", "toeplitz"]
