"""Photographs: which files they are, and how they are read."""
