"""Segmentation of scans, as the training loop wants it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata, create_model, load_model, load_weights, save_weights
from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanDataset
from medssm.data.scans.transforms.augmentation import Augmentation
from medssm.errors import CheckpointError
from medssm.models import plan_arguments
from medssm.tasks.networks import recompute_activations
from medssm.tasks.segmentation.dice import dice_per_class, mean_of_cases, shown_dice
from medssm.tasks.segmentation.learnt_rules import learn_postprocessing
from medssm.tasks.segmentation.losses import inverse_root_weights, segmentation_losses
from medssm.tasks.segmentation.pictures import validation_pictures
from medssm.tasks.segmentation.rule_choice import is_one_piece
from medssm.tasks.segmentation.runner import scan_predictor
from medssm.tasks.segmentation.samples import (
    check_organs,
    check_windows,
    count_voxels,
    exchanged_pairs,
    named_channels,
    number_of_classes,
    open_scans,
    scan_digest,
)
from medssm.tasks.segmentation.settings import SegmentationRecipe, ValidationSettings
from medssm.tasks.segmentation.starting import Start, take_over
from medssm.tasks.weights import weights_path
from medssm.tasks.windows import segment_volume
from medssm.training import Moment, Task

NO_PAIR = "no labels are a left and a right one by their names; mirror images along x keep them all as they are"

NONE_TO_VALIDATE = (
    "no case to validate has a labelled voxel on the network's grid, so no Dice can choose the best weights and the "
    "newest are kept; another fold may have some (--set data.fold=1)"
)


# Images (B, C, D, H, W), labels (B, D, H, W) and, of each, the classes that were drawn in its case (B, K) bool.
Crops = tuple[Tensor, Tensor, Tensor]


class CaseResult(NamedTuple):
    """The validation of one case.

    Attributes:
        dice: (num_classes,), NaN for what the reference does not hold.
        pictures: by name, (H, W, 3) uint8; of the first case only.
    """

    dice: Tensor
    pictures: dict[str, np.ndarray]


class SegmentationTraining(Task):
    """Trains a network on crops of scans and scores it on whole ones, on the network's own grid."""

    score = "dice"
    loss_names = ("loss", "dice_loss", "cross_entropy")

    def __init__(self, recipe: SegmentationRecipe, dataset: ScanDataset) -> None:
        self.recipe = recipe
        self.dataset = dataset
        self.organs = dataset.label_names
        self.num_classes = number_of_classes(recipe.model.num_classes, dataset)
        self.preprocessing = named_channels(dataset, recipe.data.preprocessing)
        window, spacing = recipe.augmentation.crops.size, recipe.data.preprocessing.spacing
        self.arguments = plan_arguments(recipe.model.name, recipe.model.arguments, window, spacing)
        self.training = PreprocessedCases(dataset.training, self.preprocessing)
        self.validation = PreprocessedCases(dataset.validation, self.preprocessing)
        exchanges = recipe.augmentation.flips.by_axis.get("x") == "swap"
        self.pairs = exchanged_pairs(dataset) if exchanges else ()
        self.augment = Augmentation(recipe.augmentation, self.pairs)
        self._news = [NO_PAIR] if exchanges and not self.pairs else []
        self.score_names = ("dice", *(f"dice/{name}" for name in self.organs.values()))
        self.class_weights: Tensor | None = None

    @classmethod
    def open(cls, recipe: SegmentationRecipe) -> "SegmentationTraining":
        """The training of a recipe, with its data found."""
        return cls(recipe, open_scans(recipe))

    def prepare(self) -> None:
        """Preprocesses all cases into the cache and looks at their labels.

        Raises:
            DataError: a case cannot be read, has labels that nobody has named, or none has an organ.
            UsageError: the scans are no CT, and nobody chose a window for them.
        """
        self._news += check_windows(self.dataset, self.preprocessing)
        for cases in (self.training, self.validation):
            cases.prepare()
        to_validate, counts = (count_voxels(cases, self.dataset) for cases in (self.validation, self.training))
        self._news += check_organs(counts, self.dataset, self.preprocessing.spacing)
        if not any(to_validate.voxels[label] for label in self.organs):
            self._news.append(NONE_TO_VALIDATE)
        if self.recipe.loss.class_weights == "inverse-root":
            self.class_weights = inverse_root_weights(counts.voxels, self.num_classes)

    @cached_property
    def trained_on(self) -> tuple[str, ...]:
        """What tells the scans of the training from others."""
        return tuple(scan_digest(*case.images) for case in self.dataset.training)

    @property
    def identity(self) -> dict[str, Any]:
        """As of every task, and which scans train: others of the same number and organs are another training."""
        digest = hashlib.sha256("".join(self.trained_on).encode()).hexdigest()[:12]
        return {**super().identity, "training scans of the digest": digest}

    def build_model(self) -> nn.Module:
        """The network, with the weights of another run where the recipe names one.

        Raises: CheckpointError if they cannot be had or do not fit.
        """
        settings = self.recipe.model
        model: Any = create_model(
            settings.name,
            num_classes=self.num_classes,
            in_channels=len(self.preprocessing.channels),
            dropout_rate=settings.dropout_rate,
            arguments=self.arguments,
        )
        if settings.pretrained:
            self._start_from(model, settings.pretrained)
        if settings.gradient_checkpointing:
            recompute_activations(settings.name, model)
        return model

    def _start_from(self, model: nn.Module, source: str) -> None:
        """Puts the weights of another run into a fresh network, as far as classes and channels have the same names."""
        name = self.recipe.model.name
        state, metadata = load_weights(weights_path(source, name), name)
        if metadata.model != name:
            raise CheckpointError(
                f"{source}: holds weights of {metadata.model}, not of {name}; start from those of {name}"
            )
        start = Start.of(metadata, self.organs, self.preprocessing.channel_names)
        take_over(model, name, state, metadata, start, source)
        self._news += start.news(source)

    @property
    def class_names(self) -> Sequence[str]:
        return tuple(self.organs.values())

    @property
    def training_size(self) -> int:
        return len(self.training)

    def sample(self, index: int, random: np.random.Generator) -> Crops:
        """Crops of one case: images (count, C, D, H, W), labels (count, D, H, W), classes drawn (count, K)."""
        case = self.training[index]
        images, labels = self.augment(case, random.integers(2**32, size=4).tolist())
        classes = range(self.num_classes)
        drawn = torch.tensor([case.annotated is None or label == 0 or label in case.annotated for label in classes])
        return images, labels, drawn.expand(len(images), -1)

    def collate(self, samples: list[Crops], random: np.random.Generator) -> Crops:
        """Images (B, C, D, H, W), labels (B, D, H, W) and classes drawn (B, K) of all crops of the cases."""
        images, labels, drawn = zip(*samples, strict=True)
        return torch.cat(images), torch.cat(labels), torch.cat(drawn)

    def losses(self, model: nn.Module, batch: Crops, moment: Moment) -> dict[str, Tensor]:
        """The loss and its parts, scalars, on images (B, C, D, H, W), labels (B, D, H, W) and classes drawn (B, K)."""
        images, labels, drawn = batch
        return segmentation_losses(model(images), labels, self.recipe.loss, self.class_weights, drawn)

    @property
    def validation_size(self) -> int:
        return len(self.validation)

    def validate(self, model: nn.Module, item: int) -> CaseResult:
        case = self.validation[item]
        labels = segment_on_grid(model, case.image, self.recipe.augmentation.crops.size, self.recipe.validation)
        dice = dice_per_class(labels, case.reference, self.num_classes)
        return CaseResult(dice, validation_pictures(case, labels, self.organs) if item == 0 else {})

    def summarise(self, results: list[CaseResult]) -> dict[str, float]:
        """The mean over cases of each case's organ mean, and each organ's mean over the cases that hold it.

        A case without any organ counts in none of them.
        """
        dice = torch.stack([result.dice for result in results])
        per_organ = {f"dice/{name}": float(dice[:, label].nanmean()) for label, name in self.organs.items()}
        return {"dice": mean_of_cases(dice), **per_organ}

    def pictures(self, results: list[CaseResult]) -> dict[str, np.ndarray]:
        """Pictures by name, (H, W, 3) uint8, of the cases that have any."""
        return {name: picture for result in results for name, picture in result.pictures.items()}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        recipe = self.recipe
        metadata = WeightsMetadata(
            model=recipe.model.name,
            arguments=self.arguments,
            num_classes=self.num_classes,
            in_channels=len(self.preprocessing.channels),
            class_names=self.organs,
            preprocessing=self.preprocessing.model_dump(),
            input_size=recipe.augmentation.crops.size,
            flips=recipe.augmentation.flips.by_axis,
            pairs=self.pairs,
            trained_on=self.trained_on,
            fold=recipe.data.fold or 0,
            licence="of whoever trained them and of the data",
            source=f"recipe {recipe.name} on {self.dataset.name}, validation Dice {shown_dice(scores['dice'])}",
        )
        save_weights(path, model, metadata)

    def complete(self, best: Path, device: torch.device, is_stopped: Callable[[], bool]) -> Iterator[str]:
        """Learns post-processing on the cases that validate, and stores it in the weights."""
        network, metadata = load_model(best)
        if metadata.postprocessing is not None:
            return
        yield f"learning post-processing on the {len(self.dataset.validation)} cases that validate"
        predictor = scan_predictor(network, metadata, device)
        learnt = learn_postprocessing(predictor, self.dataset.validation, self._is_one_piece, is_stopped)
        if learnt is None:
            return
        save_weights(best, network, metadata.model_copy(update={"postprocessing": learnt.postprocessing.as_stored()}))
        yield from learnt.told(self.organs)

    def _is_one_piece(self, label: int) -> bool:
        """Whether a label is one piece in every case that trains."""
        return all(is_one_piece(case.reference.numpy(), label) for case in self.training)

    def news(self) -> list[str]:
        """That mirror images exchange nothing, once."""
        news, self._news = self._news, []
        return news


def segment_on_grid(
    model: nn.Module, image: Tensor, window: tuple[int, int, int], settings: ValidationSettings
) -> Tensor:
    """Labels (D, H, W) of a preprocessed scan (C, D, H, W), by a model in evaluation mode."""
    return segment_volume(
        image,
        lambda windows: model(windows).float(),
        window,
        settings.overlap,
        blending=settings.blending,
        padding=settings.padding,
        batch=settings.window_batch,
        device=next(model.parameters()).device,
    )
