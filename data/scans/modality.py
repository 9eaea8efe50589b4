"""Whether a window of intensities fits what a dataset says its images are."""

import re
from collections.abc import Sequence

import numpy as np

from medssm.data.scans.plausibility import summarise_values
from medssm.data.scans.preprocessing import PUBLISHED_WINDOW
from medssm.data.scans.volume import Volume
from medssm.errors import one_line

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


def unfit_window(name: str, volume: Volume) -> str:
    """Why a channel is not clipped to the published window unless that is asked for, and what to give; "" for a CT.

    Args:
        name: the channel's, as the dataset has it.
        volume: the channel of one case, whose range of values is proposed.
    """
    if not foreign_channels([name]):
        return ""
    fit = ",".join(f"{value:g}" for value in fitting_window(volume))
    return (
        f"the images are {name}, no CT, and intensities from {PUBLISHED_WINDOW.low:g} to {PUBLISHED_WINDOW.high:g} HU "
        "are looked at; let `medssm train auto` plan what fits, or give the range of their values with --set "
        f"data.preprocessing.intensity=[{fit}], which is that of {volume.path.name}"
    )


def other_channels(names: Sequence[str], said: Sequence[str]) -> str:
    """What to do where the scans of a dataset have other channels (`names`) than a recipe speaks of (`said`)."""
    each = ", ".join(f"{{name: {name}, normalisation: {{kind: zscore}}}}" for name in names)
    return (
        f"scans have the channels {one_line(', '.join(names), 100)}, and the recipe speaks of "
        f"{one_line(', '.join(said), 100)}; let `medssm train auto` plan them, or say what is done to the values of "
        f"each: --set 'data.preprocessing.channels=[{one_line(each, 300)}]'"
    )
