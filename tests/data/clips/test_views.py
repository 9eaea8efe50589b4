"""Which frames make a clip, and which parts of them: the formulas written down a second time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from medssm.data.clips.views import (
    crops,
    random_segment_frames,
    random_strided_frames,
    read_clips,
    segment_frames,
    strided_frames,
)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 62, 63, 64, 65, 100, 301])
def test_strided_clip_lies_in_the_middle_and_starts_over(count: int) -> None:
    start = max(count - 63, 0) // 2
    expected = [(start + 2 * frame) % count for frame in range(32)]
    assert strided_frames(count, frames=32, stride=2) == [expected]


def test_strided_views_are_evenly_spread() -> None:
    starts = [clip[0] for clip in strided_frames(109, frames=4, stride=2, views=3)]  # 102 places, of 34 each
    assert starts == [17, 51, 85]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 24, 100, 301])
def test_segments_are_those_of_validation_and_test(count: int) -> None:
    part = (count - 1) / 16
    starts = [int(np.round(part * frame)) for frame in range(16)]
    assert segment_frames(count, frames=16) == [[start + int(part / 2) for start in starts]]
    expected = [[start + int(part / 5 * (view + 1)) for start in starts] for view in range(4)]
    assert segment_frames(count, frames=16, views=4) == expected
    assert max(map(max, expected)) < count


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.webm"])
@pytest.mark.parametrize("count", [1, 40, 90])
def test_clips_of_a_file_hold_the_frames_of_the_formula(
    tmp_path: Path, write_video: Callable[..., Path], name: str, count: int
) -> None:
    codec = {"a.mp4": "libx264", "a.avi": "mpeg4", "a.webm": "libvpx"}[name]
    path = write_video(tmp_path / name, count, codec, g="10")
    for choose in (partial(strided_frames, frames=32, stride=2), partial(segment_frames, frames=16, views=4)):
        clips = read_clips(path, choose, lambda frame: frame[None])
        assert [shown_numbers(clip) for clip in clips] == choose(count)


def shown_numbers(clip: Tensor) -> list[int]:
    """The numbers that the frames of a clip (1, 3, T, H, W) show; see the fixture."""
    assert clip.dtype == torch.uint8
    bits = clip[0].permute(1, 2, 0, 3).float().reshape(clip.shape[2], 8, -1).mean(-1) > 127
    return (bits * 2 ** torch.arange(8)).sum(1).tolist()


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (480, 640), (100, 100), (90, 161)])
def test_middle_is_cut_out_of_the_resized_frame(size: tuple[int, int]) -> None:
    frame = torch.randint(256, (3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    scale = 256 / min(size)
    h, w = (int(side * scale + 0.5) for side in size)
    image = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((w, h), Image.Resampling.BILINEAR)
    top, left = (h - 224) // 2, (w - 224) // 2
    expected = torch.from_numpy(np.array(image.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1)
    found = crops(frame, 256, (224, 224))
    assert found.shape == (1, 3, 224, 224)
    assert (found[0].int() - expected.int()).abs().max() <= 1


def test_three_parts_go_from_end_to_end_of_the_longer_side() -> None:
    wide = torch.arange(30, dtype=torch.uint8).expand(3, 10, 30)
    found = crops(wide, 10, (10, 10), count=3)
    assert found[:, 0, 0, 0].tolist() == [0, 10, 20]
    torch.testing.assert_close(crops(wide.mT, 10, (10, 10), count=3), found.mT)


def test_frame_is_made_as_large_as_the_part_needs() -> None:
    assert crops(torch.zeros(3, 20, 30, dtype=torch.uint8), 10, (12, 16)).shape == (1, 3, 12, 16)


@pytest.mark.parametrize("count", [1, 20, 63, 64, 65, 80])
def test_random_strided_clips_begin_anywhere_they_fit(count: int) -> None:
    clips = [random_strided_frames(count, 32, 2, np.random.default_rng(seed)) for seed in range(300)]
    starts = range(max(count - 64, 0) + 1)
    assert {clip[0] for clip in clips} == set(starts)
    assert all(clip == [(clip[0] + 2 * frame) % count for frame in range(32)] for clip in clips)


@pytest.mark.parametrize("count", [1, 5, 16, 17, 40, 161])
def test_random_segments_take_a_frame_of_each_part_with_its_ends(count: int) -> None:
    clips = [random_segment_frames(count, 16, np.random.default_rng(seed)) for seed in range(300)]
    for part, found in enumerate(zip(*clips, strict=True)):
        low, high = (int(np.round((count - 1) / 16 * number)) for number in (part, part + 1))
        assert set(found) == set(range(low, high + 1))
