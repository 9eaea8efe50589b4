"""Photographs under the colours of their classes, alone or beside the reference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from medssm.data.layouts.ade20k import ADE20K_NAMES, ade20k_palette
from medssm.viewing.label_maps import label_map_picture
from medssm.viewing.palette import palette

if TYPE_CHECKING:
    from medssm.tasks.semantic.runner import LabelMap

_LONGEST_PANEL = 320  # pixels


def labelled(found: "LabelMap") -> np.ndarray:
    """The photograph under see-through colours, (H, W, 3) uint8."""
    return found.overlay()


def beside_reference(photograph: Tensor, labels: Tensor, reference: Tensor, names: Sequence[str]) -> np.ndarray:
    """A photograph, what was found, and what is right, (h, w, 3) uint8.

    Args:
        photograph: (3, H, W) uint8. labels, reference: (H, W) uint8.
    """
    pixels = photograph.permute(1, 2, 0).cpu().numpy()
    maps = labels.cpu().numpy(), reference.cpu().numpy()
    return label_map_picture(pixels, maps[0], names, maps[1], class_colours(names), _LONGEST_PANEL)


def class_colours(names: Sequence[str]) -> np.ndarray:
    """The customary colours of ADE20K's classes, or well-told-apart ones of any others, (K, 3) uint8."""
    return np.array(ade20k_palette(), np.uint8) if tuple(names) == ADE20K_NAMES else palette(len(names))
