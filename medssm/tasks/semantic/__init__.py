"""Semantic segmentation of photographs: the class of every pixel."""
