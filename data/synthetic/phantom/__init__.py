"""A synthetic abdomen CT dataset with BTCV's 13 organs: for the demo, the tests, and machines without BTCV."""

from medssm.data.synthetic.phantom.case import PhantomScan, phantom_scan
from medssm.data.synthetic.phantom.dataset import cached_phantom, write_phantom

__all__ = ["PhantomScan", "cached_phantom", "phantom_scan", "write_phantom"]
