"""A small synthetic dataset of scenes with label maps that a segmenter can learn: for tests and bare machines."""

from medssm.data.synthetic.scenes.dataset import cached_scenes, write_scenes

__all__ = ["cached_scenes", "write_scenes"]
