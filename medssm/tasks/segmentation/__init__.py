"""Segmentation of scans: label maps in the geometry of the scan."""
