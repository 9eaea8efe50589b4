"""Whether a window of intensities fits what a dataset says its images are."""

import re
from collections.abc import Sequence

import numpy as np

from medssm.data.scans.plausibility import summarise_values
from medssm.data.scans.volume import Volume

# Of the words of a channel's name.
_CT = frozenset(("ct", "cta", "cect", "ncct", "cbct", "hu", "hounsfield", "tomography"))
# The share of a scan's values that a window leaves out at either end.
_LEFT_OUT = 0.5  # per cent


def foreign_channels(channel_names: Sequence[str]) -> tuple[str, ...]:
    """The channels that are no CT by their names; none where nothing is said.

    >>> foreign_channels(("CT",)), foreign_channels(("portal-venous CT",)), foreign_channels(("T2w MRI",))
    ((), (), ('T2w MRI',))
    """
    return tuple(name for name in channel_names if not _CT & set(re.split(r"[\W_\d]+", name.casefold())))


def fitting_window(volume: Volume) -> tuple[float, float]:
    """The range (low, high) of a volume's values without the least and the greatest half per cent."""
    sample = summarise_values(volume.array).sample
    low, high = np.percentile(sample, (_LEFT_OUT, 100 - _LEFT_OUT)) if len(sample) else (0.0, 1.0)
    return float(f"{low:.3g}"), float(f"{high if high > low else low + 1:.3g}")
