"""Scans of a body: read and written in their geometry, brought to a network's grid, kept there, and cropped."""
