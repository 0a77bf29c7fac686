"""Experiments that anyone can run: each prints a table, draws a plot, and is repeatable by its seed.

``python -m benchmarks.experiments.iris``, and so on: planted, digits, image, lu.
"""
