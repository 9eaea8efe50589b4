"""A few frames of a clip, and what a network answered to it."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medssm.data.clips.reading import read_frames
from medssm.data.clips.views import segment_frames
from medssm.tasks.answers import SIDE, titled
from medssm.tasks.classifier import Classification

# Frames of a clip that are shown, in rows and columns.
ROWS, COLUMNS = 2, 2


def answered_clip(found: Classification) -> np.ndarray:
    """Frames of the video with its likeliest class, (H, W, 3) uint8."""
    [frames] = read_frames(found.path, lambda count: segment_frames(count, ROWS * COLUMNS, 1), np.array)
    return titled(sampled_frames(torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)), found)


def sampled_frames(clip: Tensor) -> np.ndarray:
    """Evenly spread frames of a clip (3, T, H, W) uint8, in reading order, (SIDE, SIDE, 3) uint8."""
    numbers = torch.linspace(0, clip.shape[1] - 1, ROWS * COLUMNS).round().long().tolist()
    frames = clip[:, numbers].permute(1, 2, 3, 0).cpu().numpy()
    sheet = np.empty((SIDE, SIDE, 3), np.uint8)
    height, width = SIDE // ROWS, SIDE // COLUMNS
    for place, frame in enumerate(frames):
        row, column = divmod(place, COLUMNS)
        small = np.asarray(Image.fromarray(frame).resize((width, height)))
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = small
    return sheet
