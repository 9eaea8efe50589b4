"""Clips of a video as a network for video takes them: which frames, and which parts of each."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from medssm.data.clips.reading import Choose, read_frames

Crop = Callable[[Tensor], Tensor]


def strided_frames(count: int, frames: int, stride: int, views: int = 1) -> list[list[int]]:
    """Frames of clips that take every `stride`-th frame; one view lies in the middle, several lie evenly spread.

    What runs over the end of a video starts over at its beginning.

    >>> strided_frames(100, frames=32, stride=2)[0][:3]  # from max(100 - 63, 0) // 2 on
    [18, 20, 22]

    Source: the test pipeline of MMAction2, as Mamba-ND uses it for UCF-101 and HMDB-51.
    """
    room = max(count - frames * stride + 1, 0) / views
    starts = [int(room * view + room / 2) for view in range(views)]
    return [[(start + stride * frame) % count for frame in range(frames)] for start in starts]


def segment_frames(count: int, frames: int, views: int = 1) -> list[list[int]]:
    """Frames of clips that take one frame of each of `frames` equal parts of a video.

    Views are evenly spread within the parts. A video of fewer frames gives some of them several times.

    >>> segment_frames(161, frames=16, views=4)[0][:3]
    [2, 12, 22]

    Source: the validation (1 view) and test (4 views) of Mamba-ND on Kinetics-400.
    """
    part = (count - 1) / frames
    shifts = [int(part / (views + 1) * (view + 1)) for view in range(views)]
    return [[(round(part * frame) + shift) % count for frame in range(frames)] for shift in shifts]


def random_strided_frames(count: int, frames: int, stride: int, generator: np.random.Generator) -> list[int]:
    """Frames of a clip that takes every `stride`-th frame from a random one on; a short video starts over at its end.

    Source: the training pipeline of MMAction2, as Mamba-ND uses it for UCF-101 and HMDB-51.
    """
    start = int(generator.integers(max(count - frames * stride, 0), endpoint=True))
    return [(start + stride * frame) % count for frame in range(frames)]


def random_segment_frames(count: int, frames: int, generator: np.random.Generator) -> list[int]:
    """Frames of a clip that takes a random frame of each of `frames` equal parts of a video, their ends included.

    Source: the training of Mamba-ND on Kinetics-400.
    """
    ends = [round((count - 1) / frames * frame) for frame in range(frames + 1)]
    return [int(generator.integers(low, high, endpoint=True)) for low, high in pairwise(ends)]


def read_clips(path: str | Path, choose: Choose, crop: Crop) -> list[Tensor]:
    """The clips of a video, each (crops, 3, T, H, W) uint8; only the crops of the chosen frames are held.

    Args:
        crop: from a frame, (3, H, W) uint8, to its crops, (crops, 3, h, w); see `crops`.

    Raises: DataError for a file that is damaged, holds no video, or no frame; FileNotFoundError.
    """
    clips = read_frames(path, choose, lambda picture: crop(torch.from_numpy(picture.copy()).permute(2, 0, 1)))
    return [torch.stack(clip, dim=2) for clip in clips]


def crops(frame: Tensor, short_side: int, size: tuple[int, int], count: int = 1) -> Tensor:
    """Parts of a frame whose shorter side is resized: the middle, or several along the longer side from end to end.

    Resizing is bilinear. It blurs before it shrinks, so that fine patterns leave no false ones.

    Args:
        frame: (3, H, W) uint8.
        short_side: in pixels; no less than `size` needs.
        size: (h, w) of a part.

    Returns: (count, 3, h, w) uint8.
    """
    scale = max(short_side, *size) / min(frame.shape[1:])
    height, width = (int(side * scale + 0.5) for side in frame.shape[1:])
    resized = interpolate(frame[None].float(), (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    h, w = size
    tops, lefts = [(height - h) // 2] * count, [(width - w) // 2] * count
    if width >= height:
        lefts = _starts(width - w, count)
    else:
        tops = _starts(height - h, count)
    parts = [resized[:, top : top + h, left : left + w] for top, left in zip(tops, lefts, strict=True)]
    return torch.stack(parts).round_().clamp_(0, 255).to(torch.uint8)


def _starts(room: int, count: int) -> list[int]:
    """From 0 to `room`; the middle for one."""
    return [room // 2] if count == 1 else [int(room / (count - 1) * number) for number in range(count)]
