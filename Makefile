# What people run is what CI runs. The tools come from the active environment: pip install -e ".[test]"

.PHONY: check test bench docs

check: docs
	ruff check .
	ruff format --check .
	mypy

test:
	pytest

bench:
	python -m benchmarks

docs:
	sphinx-build --fail-on-warning --keep-going -b html docs docs/_build/html
	sphinx-build --fail-on-warning --keep-going -b doctest docs docs/_build/doctest
