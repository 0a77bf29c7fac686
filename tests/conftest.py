"""What every test stands on: repeatable examples, and pictures without a screen."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)  # pytest --hypothesis-profile=explore
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu", action="store_true", help="run what is for a GPU on one, with CuPy, not on the host"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--gpu"):
        os.environ["FSMF_TEST_GPU"] = "1"


@pytest.fixture(scope="session")
def emulated(pytestconfig: pytest.Config) -> Path:
    """Where kernels are kept that were compiled for the host, until ``pytest --cache-clear``."""
    return pytestconfig.cache.mkdir("emulated")
