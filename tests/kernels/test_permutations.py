"""Digit reversal, digit by digit."""

import numpy as np
import pytest

from fsmf.kernels.permutations import digit_reversal

RADICES = [[], [1], [2], [7], [2, 2, 2, 2], [2, 3], [3, 2], [5, 2, 3], [4, 1, 6]]


@pytest.mark.parametrize("radices", RADICES)
def test_the_digits_are_read_backwards(radices):
    expected = []
    for digits in np.ndindex(*radices):
        index, weight = 0, 1
        for digit, radix in zip(digits, radices, strict=True):
            index, weight = index + weight * digit, weight * radix
        expected.append(index)
    np.testing.assert_array_equal(digit_reversal(radices), expected)


@pytest.mark.parametrize("radices", RADICES)
def test_reversed_radices_undo_it(radices):
    there, back = digit_reversal(radices), digit_reversal(radices[::-1])
    np.testing.assert_array_equal(there[back], np.arange(len(there)))


def test_bits_are_reversed():
    expected = [int(f"{t:010b}"[::-1], 2) for t in range(1024)]
    np.testing.assert_array_equal(digit_reversal([2] * 10), expected)
