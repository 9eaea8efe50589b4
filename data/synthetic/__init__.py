"""Datasets that are drawn: for tests, trials, and machines without real ones."""
