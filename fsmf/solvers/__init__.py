"""The ways: one file, one algorithm, one guarantee."""
