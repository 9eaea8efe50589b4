"""A video to its classes: which clips the network is shown, and what is made of its logits."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from brightness import PLAIN, Brightness

from medssm.data.clips.views import crops
from medssm.models.info import ClipInput
from medssm.tasks.classifier import Classifier
from medssm.tasks.video.files import ClipViews, middle_crops


def test_clip_is_made_of_the_frames_of_the_formula(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 50, size=(64, 80))
    network = Brightness()
    views = ClipViews(ClipInput(**PLAIN, short_side=64), (8, 64, 64))
    Classifier(network, "v", views, ("dark", "bright"), "cpu").classify(path)
    [clip] = network.shown
    assert clip.shape == (1, 3, 8, 64, 64)
    bits = clip[0].permute(1, 2, 0, 3).reshape(8, 8, -1).mean(-1) > 0.5  # the fixture shows numbers as 8 bands
    start = (50 - 15) // 2
    assert (bits * 2 ** torch.arange(8)).sum(1).tolist() == [start + 2 * frame for frame in range(8)]


def test_probabilities_are_means_over_views_and_crops(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.avi", 40, "mpeg4", size=(64, 160))
    network = Brightness()
    settings = ClipInput(**PLAIN, sampling="segments", views=4, crops=3, short_side=64)
    found = Classifier(network, "v", ClipViews(settings, (16, 64, 64)), ("dark", "bright"), "cpu").classify(path)
    assert [clip.shape for clip in network.shown] == [(3, 3, 16, 64, 64)] * 4
    bright = [1 / (1 + math.exp(-4 * clip.mean().item())) for batch in network.shown for clip in batch]
    assert len(set(bright)) > 1
    np.testing.assert_allclose(found.probabilities[1], np.mean(bright), atol=1e-5)


def test_colours_are_normalised(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 1)  # frame 0 is black
    network = Brightness()
    views = ClipViews(ClipInput(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0), short_side=64), (2, 64, 64))
    Classifier(network, "v", views, ("dark", "bright"), "cpu").classify(path)
    expected = torch.tensor([-0.2, -0.2, -0.15]).view(3, 1, 1, 1).expand(3, 2, 64, 64)
    torch.testing.assert_close(network.shown[0][0], expected, atol=0.02, rtol=0)


def test_crops_of_a_long_and_narrow_frame_are_of_its_middle() -> None:
    frame = torch.arange(3 * 2 * 4000, dtype=torch.uint8).reshape(3, 2, 4000)
    middle = frame[:, :, 2000 - 16 : 2000 + 16]
    assert torch.equal(middle_crops(frame, 32, (32, 32), 3), crops(middle, 32, (32, 32), 3))
