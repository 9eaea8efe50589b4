"""A small synthetic data set of clips whose class is a motion: for tests, trials, and machines without real ones."""

from medssm.data.synthetic.motions.dataset import cached_motions, write_motions

__all__ = ["cached_motions", "write_motions"]
