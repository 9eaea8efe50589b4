"""A small synthetic dataset of image folders that a classifier can learn: for the demo, tests, and bare machines."""

from medssm.data.synthetic.shapes.dataset import cached_shapes, write_shapes

__all__ = ["cached_shapes", "write_shapes"]
