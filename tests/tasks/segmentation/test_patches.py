"""Patches for the voxels of a scan, beside what one would draw on paper."""

import re

import pytest

from medssm.tasks.segmentation.patches import patch_for


@pytest.mark.parametrize(
    ("spacing", "window", "largest", "size", "reason"),
    [
        ((1.5, 1.5, 2.0), (96, 96, 96), 16, (16, 16, 16), "24 x 24 x 32 mm, about as long along each axis"),
        ((0.7, 0.7, 5.0), (192, 192, 20), 16, (16, 16, 2), "11.2 x 11.2 x 10 mm, about as long"),
        ((1.0, 1.0, 20.0), (96, 96, 8), 16, (16, 16, 1), "16 x 16 x 20 mm, about as long"),
        ((3.0, 1.0, 1.0), (32, 96, 96), 8, (2, 8, 8), "6 x 8 x 8 mm, about as long"),
        ((1.0, 1.0, 2.0), (96, 40, 24), 16, (8, 8, 4), "8 x 8 x 8 mm, about as long"),
        ((1.0, 1.0, 3.0), (96, 96, 9), 16, (16, 16, 1), "the 16 x 16 x 4 that would be as long .* divide 96 x 96 x 9"),
    ],
)
def test_a_patch_is_about_as_long_along_each_axis(spacing, window, largest, size, reason):
    choice = patch_for(spacing, window, largest)
    assert choice.size == size
    assert not [n for n, side in zip(window, size, strict=True) if n % side]
    assert re.search(reason, choice.reason)
