"""The diagnosis of growth on curves whose law is known."""

import numpy as np
import pytest

from fsmf.training.monitor import growth

T = np.arange(1.0, 2001.0)


@pytest.mark.parametrize("power", [0.15, 0.25, 0.5, 1.0])
def test_a_power_law_is_read_off(power):
    assert growth(T**-0.6, T ** (0.6 * power)) == pytest.approx(power, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_batches_does_not_hide_it(seed):
    noise = np.exp(0.3 * np.random.default_rng(seed).standard_normal(T.size))
    assert growth(T ** (-2 / 3) * noise, T ** (1 / 6)) == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    ("loss", "norm"),
    [
        (0.99**T, 5 - 4 * 0.99**T),  # linear convergence to a point
        (T**-2.0, 2 - 1 / T),  # slow convergence to a point
        (1 + T**-1.0, T**0.2),  # the norm grows, the loss does not fall
        (T**-1.0, np.ones_like(T)),
        (T**-1.0, T**-0.2),
        (np.where(T < 500, T**-1.0, 1 / 500), np.where(T < 500, T**0.3, 500**0.3)),  # growth that has ended
        (np.zeros_like(T), T),
    ],
)
def test_convergence_is_not_growth(loss, norm):
    assert growth(loss, norm) == 0


def test_few_steps_show_nothing():
    assert growth(T[:100] ** -0.6, T[:100] ** 0.3) == 0
