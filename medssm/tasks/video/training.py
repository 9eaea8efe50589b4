"""Recognition of actions in videos, as the training loop wants it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medssm.checkpoints import create_model, save_weights
from medssm.data.layouts.actions import ActionSet
from medssm.models import model_info
from medssm.models.info import ClipInput
from medssm.tasks.answers import answers_to, contact_sheet, of_all_batches
from medssm.tasks.classifier import view_logits
from medssm.tasks.networks import checked_classes, run_metadata
from medssm.tasks.scored_files import BatchScore, ScoredBatch, accuracy, score_batch
from medssm.tasks.video.broken import BrokenVideos
from medssm.tasks.video.pictures import sampled_frames
from medssm.tasks.video.samples import ClipBatch, Clips, open_clips
from medssm.tasks.video.settings import VideoRecipe
from medssm.tasks.weights import PUBLISHED, weights_path
from medssm.training import Moment, Task

# The network for images that those for clips are inflated from.
INFLATED_FROM = "mamband2d-s-16"


class VideoTraining(Task):
    """Trains a network on random clips of videos and scores it on the middles of others."""

    score = "top1"
    loss_names = ("loss", "replaced")
    score_names = ("top1", "top5", "mean_class", "validation_loss", "broken")
    unit = "clips"

    def __init__(self, recipe: VideoRecipe, dataset: ActionSet) -> None:
        self.recipe, self.dataset = recipe, dataset
        self.num_classes = checked_classes(recipe.model.num_classes, len(dataset.classes), dataset.source)
        colours = model_info(recipe.model.name).input
        assert isinstance(colours, ClipInput)  # load_recipe has seen to it
        self.clips = Clips(recipe, dataset, self.num_classes, colours)
        share = recipe.data.max_broken_share
        self.broken = {
            "training": BrokenVideos("training", len(dataset.training), share),
            "validation": BrokenVideos("validation", len(dataset.validation), share),
        }
        self._told: dict[str, int] = {}
        self._news = _missing(dataset)

    @classmethod
    def open(cls, recipe: VideoRecipe) -> "VideoTraining":
        """The training of a recipe, with its videos found.

        Raises: UsageError or DataError if there are none.
        """
        return cls(recipe, open_clips(recipe.data))

    @property
    def class_names(self) -> Sequence[str]:
        return self.dataset.classes

    @property
    def source(self) -> Clips:
        return self.clips

    def build_model(self) -> nn.Module:
        """The network; says where its weights come from, and which of them are random."""
        settings = self.recipe.model
        state = torch.get_rng_state()
        model: Any = self._create(pretrained=False)
        if settings.pretrained is None:
            self._news.append("the network starts from random weights")
        else:
            path = weights_path(settings.pretrained, INFLATED_FROM if settings.pretrained == PUBLISHED else None)
            torch.set_rng_state(state)
            fresh, model = model.state_dict(), self._create(pretrained=path)
            self._news.append(_start(path, fresh, model.state_dict()))
        if settings.gradient_checkpointing:
            model.set_grad_checkpointing()
        return model

    def _create(self, pretrained: bool | Path) -> nn.Module:
        settings = self.recipe.model
        return create_model(
            settings.name,
            pretrained=pretrained,
            num_classes=self.num_classes,
            dropout_rate=settings.dropout_rate,
            drop_path_rate=settings.drop_path_rate,
            input_size=settings.input_size,
            arguments=settings.arguments,
        )

    @property
    def training_size(self) -> int:
        return self.clips.training_size

    def sample(self, index: int, random: np.random.Generator) -> Any:
        return self.clips.sample(index, random)

    def losses(self, model: nn.Module, batch: ClipBatch, moment: Moment) -> dict[str, Tensor]:
        """The loss and the share of replaced videos, scalars, on clips (B, 3, T, H, W)."""
        self.broken["training"].add(batch.broken)
        loss = F.cross_entropy(model(batch.clips), batch.targets)
        return {"loss": loss, "replaced": loss.new_tensor(len(batch.broken) / self.recipe.run.batch_size)}

    @property
    def validation_size(self) -> int:
        return self.clips.validation_size

    def validate(self, model: nn.Module, item: ScoredBatch) -> BatchScore:
        scores = item.inputs  # nothing, if no video of the batch can be read
        if len(item.labels):
            logits = view_logits(model, item.inputs, self.clips.validation.views)
            scores = mean_over_views(logits)[:, : len(self.dataset.classes)]
        shown = partial(_shown, item.inputs)
        return score_batch(scores, item, answers_to(shown, item.labels, scores) if item.is_shown else [])

    def summarise(self, results: list[BatchScore]) -> dict[str, float]:
        broken = tuple(video for result in results for video in result.broken)
        self.broken["validation"].add(broken)
        return {**accuracy(results), "broken": float(len(broken))}

    def news(self) -> list[str]:
        """Where the weights come from, what is missing, and videos that were found broken since the last call."""
        news, self._news = self._news, []
        for part, consequence in (("training", "were replaced by others"), ("validation", "are left out")):
            broken = self.broken[part]
            broken.gather()
            if len(broken) > self._told.get(part, 0):
                self._told[part] = len(broken)
                news.append(broken.sentence(consequence))
        return news

    def pictures(self, results: list[BatchScore]) -> dict[str, np.ndarray]:
        """Answers on one sheet, (H, W, 3) uint8."""
        answers = of_all_batches([result.answers for result in results])
        return {"answers": contact_sheet(answers, self.dataset.classes)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        figures = f"top-1 {scores['top1']:.4f}"
        metadata = run_metadata(
            self.recipe,
            self.dataset.source,
            self.num_classes,
            self.dataset.classes,
            self.clips.preparation,
            figures,
            self.recipe.model.input_size,
        )
        save_weights(path, model, metadata)


def mean_over_views(logits: Tensor) -> Tensor:
    """(B, K), logarithms of the mean over views of the class probabilities of logits (B, views, K)."""
    return logits.log_softmax(2).logsumexp(1) - np.log(logits.shape[1])


def _missing(dataset: ActionSet) -> list[str]:
    """What the lists name and the folder lacks, in words."""
    counts = {"training": len(dataset.training), "validation": len(dataset.validation)}
    return [
        f"{lacking} of {lacking + counts[part]} {part} videos of {dataset.title} are missing and left out"
        for part, lacking in dataset.missing.items()
        if lacking
    ]


def _start(path: Path, fresh: dict[str, Tensor], started: dict[str, Tensor]) -> str:
    """Which weights a network has from a file, in words: those that differ from the random ones."""
    random = [name for name, tensor in started.items() if torch.equal(tensor, fresh[name])]
    shown = ", ".join(sorted({_group(name) for name in random})) or "none"
    return f"the network starts from {path}; as random as without it are {len(random)} of {len(started)}: {shown}"


def _group(name: str) -> str:
    """A block of the encoder, or a part of its own: `backbone.layers.4`, `cls_head`."""
    parts = name.split(".")
    return ".".join(parts[:3]) if parts[1:2] == ["layers"] else parts[0] if parts[0] != "backbone" else name


def _shown(clips: Tensor, place: int) -> np.ndarray:
    """Frames of the first view of a clip."""
    return sampled_frames(clips[place, 0])
