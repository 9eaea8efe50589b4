"""Datasets of labelled scans: a file for each layout that people have."""
