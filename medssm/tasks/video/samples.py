"""Videos as a training loop wants them: random views of clips, mixed batches, and batches of the validation."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medssm.data.clips.reading import read_frames
from medssm.data.clips.views import random_segment_frames, random_strided_frames
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.actions import ActionSet, load_action_set
from medssm.data.synthetic.motions import cached_motions
from medssm.data.transforms.clips import augment_clip, resized_frame
from medssm.data.transforms.mixing import mix
from medssm.errors import DataError, UsageError
from medssm.models.info import ClipInput
from medssm.tasks.scored_files import BrokenFile, ScoredBatch, ScoredFiles
from medssm.tasks.video.files import ClipViews
from medssm.tasks.video.settings import ClipDataSettings, VideoRecipe
from medssm.training import Source

# So many broken videos in a row are no accident.
MOST_IN_A_ROW = 8


class ClipSample(NamedTuple):
    """Views (copies, 3, T, H, W) of a clip, its label, and the videos for which it is a replacement."""

    views: Tensor
    label: int
    broken: tuple[BrokenFile, ...]


class ClipBatch(NamedTuple):
    """Mixed clips (B, 3, T, H, W), soft targets (B, num_classes), and the videos that others stand in for."""

    clips: Tensor
    targets: Tensor
    broken: tuple[BrokenFile, ...]


class Clips(Source):
    """The videos of a data set, for the loader's processes."""

    def __init__(self, recipe: VideoRecipe, dataset: ActionSet, num_classes: int, colours: ClipInput) -> None:
        """Keeps the mean and deviation of `colours`; the rest of the preparation is the recipe's."""
        self.recipe, self.training, self.num_classes = recipe, dataset.training, num_classes
        given, sampling = recipe.validation, recipe.sampling
        self.preparation = ClipInput(
            mean=colours.mean,
            std=colours.std,
            sampling=sampling.kind,
            frame_stride=sampling.stride,
            views=given.test_views,
            crops=given.test_crops,
            short_side=given.short_side,
        )
        while_training = replace(self.preparation, views=given.views, crops=given.crops)
        views = ClipViews(while_training, recipe.model.input_size)
        self.validation = ScoredFiles(dataset.validation, views, given.batch_size)

    @property
    def training_size(self) -> int:
        return len(self.training)

    def sample(self, index: int, random: np.random.Generator) -> ClipSample:
        """Random views of a clip of a video; in place of a broken one, another that `random` chooses.

        Raises: DataError if too many in a row are broken.
        """
        broken: list[BrokenFile] = []
        while len(broken) < MOST_IN_A_ROW:
            try:
                frames = self._frames(self.training[index].path, random)
            except (DataError, OSError) as error:
                broken.append(BrokenFile(index, str(error)))
                index = int(random.integers(self.training_size))
            else:
                views = torch.stack([self._view(frames, random) for _ in range(self.recipe.sampling.copies)])
                return ClipSample(views, self.training[index].label, tuple(broken))
        raise DataError(f"{MOST_IN_A_ROW} videos one after the other cannot be read, the last: {broken[-1].reason}")

    def _frames(self, path: Path, random: np.random.Generator) -> Tensor:
        """The frames of a random clip, (T, 3, h, w) uint8."""
        sampling, length = self.recipe.sampling, self.recipe.model.input_size[0]
        choose = (
            partial(random_strided_frames, frames=length, stride=sampling.stride, generator=random)
            if sampling.kind == "strided"
            else partial(random_segment_frames, frames=length, generator=random)
        )
        short_side = self.recipe.augmentation.short_side

        def prepare(picture: np.ndarray) -> Tensor:
            return resized_frame(torch.from_numpy(picture.copy()).permute(2, 0, 1), short_side)

        [frames] = read_frames(path, lambda count: [choose(count)], prepare)
        return torch.stack(frames)

    def _view(self, frames: Tensor, random: np.random.Generator) -> Tensor:
        given, (_, height, width) = self.preparation, self.recipe.model.input_size
        return augment_clip(frames, self.recipe.augmentation, (height, width), given.mean, given.std, random)

    def collate(self, samples: list[ClipSample], random: np.random.Generator) -> ClipBatch:
        """All copies of all samples, the copies of one beside each other."""
        clips = torch.cat([sample.views for sample in samples])
        labels = torch.tensor([sample.label for sample in samples for _ in sample.views])
        as_images = clips.flatten(1, 2)  # one box and one share for all frames
        mixed, targets = mix(as_images, labels, self.num_classes, self.recipe.mixing, random)
        return ClipBatch(mixed.view_as(clips), targets, tuple(video for sample in samples for video in sample.broken))

    @property
    def validation_size(self) -> int:
        return len(self.validation)

    def validation_item(self, index: int) -> ScoredBatch:
        return self.validation[index]


def open_clips(data: ClipDataSettings) -> ActionSet:
    """The data set that a recipe names.

    Raises: UsageError if it names none; DataError if there is none.
    """
    if data.folder is None:
        where = LAYOUTS[data.layout].where
        raise UsageError(
            f"no data set was given. {where}, and give it with --data; or take --data synthetic for drawn motions"
        )
    if data.folder == "synthetic":
        folder = cached_motions(data.layout, data.synthetic_training, data.synthetic_validation)
        return load_action_set(folder, data.layout)
    return load_action_set(data.folder, data.layout, data.split, data.max_broken_share)
