# What people run is what CI runs. The tools come from the active environment: pip install -e ".[test]"

.PHONY: check test test-gpu bench docs

check: docs
	ruff check .
	ruff format --check .
	mypy

test:
	pytest

test-gpu:  # on a machine with a GPU and CuPy
	pytest --gpu --numprocesses 1 tests/test_placing.py tests/test_factorizing_there.py tests/kernels/*_cuda.py

bench:
	python -m benchmarks

docs:
	sphinx-build --fail-on-warning --keep-going -b html docs docs/_build/html
	sphinx-build --fail-on-warning --keep-going -b doctest docs docs/_build/doctest
