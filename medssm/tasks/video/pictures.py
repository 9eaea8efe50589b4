"""What a network answered to validation clips, as a picture of a few frames of each."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medssm.tasks.answers import RIGHT_PER_BATCH, SIDE, WRONG_PER_BATCH, Answer

# Frames of a clip that are shown, in rows and columns.
ROWS, COLUMNS = 2, 2


def clip_answers(clips: Tensor, labels: Tensor, scores: Tensor) -> list[Answer]:
    """A few wrong and right answers of a batch.

    Args:
        clips: (B, views, 3, T, H, W) uint8, of which the first view is shown.
        scores: (B, K), logarithms of probabilities.
    """
    if not len(labels):
        return []
    probability, guess = scores.exp().max(1)
    is_wrong = guess != labels
    shown = [*is_wrong.nonzero()[:WRONG_PER_BATCH, 0].tolist(), *(~is_wrong).nonzero()[:RIGHT_PER_BATCH, 0].tolist()]
    return [Answer(sampled_frames(clips[i, 0]), int(labels[i]), int(guess[i]), float(probability[i])) for i in shown]


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
