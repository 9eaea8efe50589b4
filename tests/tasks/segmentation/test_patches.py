"""Patches for the voxels of a scan, beside what one would draw on paper."""

import re

import pytest

from medssm.tasks.segmentation.patches import patch_for


@pytest.mark.parametrize(
    ("spacing", "window", "largest", "size", "reason"),
    [
        ((1.5, 1.5, 2.0), (96, 96, 96), 16, (16, 16, 16), "32 x 24 x 24 mm, about as long along each axis"),
        ((0.7, 0.7, 5.0), (20, 192, 192), 16, (2, 16, 16), "10 x 11.2 x 11.2 mm, about as long"),
        ((1.0, 1.0, 20.0), (8, 96, 96), 16, (1, 16, 16), "20 x 16 x 16 mm, about as long"),
        ((3.0, 1.0, 1.0), (96, 96, 32), 8, (8, 8, 2), "8 x 8 x 6 mm, about as long"),
        ((1.0, 1.0, 2.0), (24, 40, 96), 16, (4, 8, 8), "8 x 8 x 8 mm, about as long"),
        ((1.0, 1.0, 3.0), (9, 96, 96), 16, (1, 16, 16), "the 4 x 16 x 16 that would be as long .* divide 9 x 96 x 96"),
    ],
)
def test_a_patch_is_about_as_long_along_each_axis(spacing, window, largest, size, reason):
    choice = patch_for(spacing, window, largest)
    assert choice.size == size
    assert not [n for n, side in zip(window, size, strict=True) if n % side]
    assert re.search(reason, choice.reason)
