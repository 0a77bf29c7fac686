# What people run is what CI runs. The tools come from the active environment: pip install -e ".[test]"

.PHONY: check lint types docs test test-slow test-gpu bench
# Pages, lint and types wait for nothing of each other.
MAKEFLAGS += --jobs=2

check: docs lint types

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	pytest

test-slow:  # minutes
	pytest -m slow

test-gpu:  # on a machine with a GPU and CuPy
	pytest --gpu --numprocesses 1 tests/products/test_placing.py tests/*_there.py tests/*/*_there.py tests/kernels/*_cuda.py tests/kernels/test_calibration.py

bench:
	python -m benchmarks

docs:  # examples in docstrings are run by pytest, those of the pages here
	sphinx-build --fail-on-warning --keep-going -d docs/_build/doctrees -b html docs docs/_build/html
	sphinx-build --fail-on-warning --keep-going -d docs/_build/doctrees -b doctest docs docs/_build/doctest docs/*.rst
