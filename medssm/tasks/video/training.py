"""Recognition of actions in videos, as the training loop wants it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medssm.checkpoints import create_model, save_weights
from medssm.data.layouts.actions import ActionSet
from medssm.errors import DataError
from medssm.metrics.classification import top_k_hits
from medssm.models import model_info
from medssm.models.info import ClipInput
from medssm.tasks.answers import Answer, contact_sheet, of_all_batches
from medssm.tasks.networks import checked_classes, run_metadata
from medssm.tasks.schema import VideoRecipe
from medssm.tasks.video.broken import BrokenVideos
from medssm.tasks.video.pictures import clip_answers
from medssm.tasks.video.samples import BrokenVideo, ClipBatch, Clips, ClipValidationBatch, open_clips
from medssm.tasks.weights import PUBLISHED, weights_path
from medssm.training import Moment, Task

# The network for images that those for clips are inflated from.
INFLATED_FROM = "mamband2d-s-16"


class BatchScore(NamedTuple):
    """The videos of a batch that could be read, and some of the answers.

    Attributes:
        labels: (B,). hits: (B, 2), whether the class was the most probable one, and among the five most probable.
        cross_entropy: its sum.
    """

    labels: Tensor
    hits: Tensor
    cross_entropy: float
    broken: tuple[BrokenVideo, ...]
    answers: list[Answer]


class VideoClassification(Task):
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
        )

    @property
    def training_size(self) -> int:
        return self.clips.training_size

    def sample(self, index: int, random: np.random.Generator) -> Any:
        return self.clips.sample(index, random)

    def losses(self, model: nn.Module, batch: ClipBatch, moment: Moment) -> dict[str, Tensor]:
        self.broken["training"].add(batch.broken)
        loss = F.cross_entropy(model(batch.clips), batch.targets)
        return {"loss": loss, "replaced": loss.new_tensor(len(batch.broken) / self.recipe.run.batch_size)}

    @property
    def validation_size(self) -> int:
        return self.clips.validation_size

    def validate(self, model: nn.Module, item: ClipValidationBatch) -> BatchScore:
        scores = view_scores(model, item.clips, self.clips.validation.views.normalised)[:, : len(self.dataset.classes)]
        answers = clip_answers(item.clips, item.labels, scores) if item.is_shown else []
        return score_videos(scores, item.labels, item.broken, answers)

    def summarise(self, results: list[BatchScore]) -> dict[str, float]:
        self.broken["validation"].add(tuple(video for result in results for video in result.broken))
        return summary(results)

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
        answers = of_all_batches([result.answers for result in results])
        return {"answers": contact_sheet(answers, self.dataset.classes)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        figures = f"top-1 {scores['top1']:.4f}"
        metadata = run_metadata(
            self.recipe, self.dataset.source, self.num_classes, self.dataset.classes, self.clips.preparation, figures
        )
        save_weights(path, model, metadata)


def open_task(recipe: VideoRecipe) -> VideoClassification:
    """The task of a recipe, with its videos found.

    Raises: UsageError or DataError if there are none.
    """
    return VideoClassification(recipe, open_clips(recipe.data))


def view_scores(model: nn.Module, clips: Tensor, normalised: Callable[[Tensor], Tensor]) -> Tensor:
    """Logarithms of the class probabilities of videos, each the mean over its views; (B, K) float32.

    Args:
        clips: (B, views, 3, T, H, W) uint8; a video at a time goes through the network where there are several views.
    """
    if not len(clips):
        return torch.empty(0, 1)
    parts = [clips.flatten(0, 1)] if clips.shape[1] == 1 else list(clips)
    logits = torch.cat([model(normalised(part)).float() for part in parts]).unflatten(0, clips.shape[:2])
    return logits.log_softmax(2).logsumexp(1) - np.log(clips.shape[1])


def score_videos(scores: Tensor, labels: Tensor, broken: tuple[BrokenVideo, ...], answers: list[Answer]) -> BatchScore:
    """What is kept of a batch from logarithms of probabilities (B, K) and labels (B,)."""
    if not len(labels):
        return BatchScore(labels.cpu(), torch.empty(0, 2), 0.0, broken, answers)
    hits = torch.stack([top_k_hits(scores, labels, k) for k in (1, 5)], 1)
    entropy = F.nll_loss(scores, labels, reduction="sum")
    return BatchScore(labels.cpu(), hits.cpu(), float(entropy), broken, answers)


def summary(results: list[BatchScore]) -> dict[str, float]:
    """Means over all videos that could be read, and over their classes; and how many could not be.

    Raises: DataError if there are none.
    """
    labels = torch.cat([result.labels for result in results])
    broken = [video for result in results for video in result.broken]
    if not len(labels):
        raise DataError(f"no video of the validation can be read, the first: {broken[0].reason}")
    hits = torch.cat([result.hits for result in results]).double()
    per_class = [hits[labels == label, 0].mean() for label in labels.unique()]
    return {
        "top1": float(hits[:, 0].mean()),
        "top5": float(hits[:, 1].mean()),
        "mean_class": float(torch.stack(per_class).mean()),
        "validation_loss": sum(result.cross_entropy for result in results) / len(labels),
        "broken": float(len(broken)),
    }


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
