"""A network on the validation cases of a dataset, in the published protocol and on the scans' own grids."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import read_volume
from medssm.tasks.loading import load_predictor
from medssm.tasks.measured import Measured, Table
from medssm.tasks.segmentation.dice import dice_per_class, organ_mean
from medssm.tasks.segmentation.settings import SegmentationRecipe, ValidationSettings
from medssm.tasks.segmentation.training import check_classes, open_dataset, segment_on_grid
from medssm.tasks.weights import weights_path

REMARK = (
    "The published figures are those of the checkpoint that was best on six validation cases, the same that chose it, "
    "so none is a held-out figure; and the code that reports them gives the last case alone, with background."
)

# What the published protocol is, whatever a recipe says.
AS_PUBLISHED = ValidationSettings(overlap=0.5, blending="constant", padding="constant")


@dataclass(frozen=True)
class CaseDice:
    """Dice of one case by class, background first; NaN where the reference does not hold it.

    Attributes:
        network_grid: as published: resampled, cropped, never mapped back.
        own_grid: on the scan's own grid.
    """

    case: str
    network_grid: Tensor
    own_grid: Tensor


@dataclass(frozen=True)
class Validation(Measured):
    """The validation of one network.

    Attributes:
        names: label value -> name of the organs.
        spacing: (x, y, z) in mm of the network's grid.
    """

    model: str
    weights: str
    dataset: str
    names: dict[int, str]
    spacing: tuple[float, float, float]
    cases: tuple[CaseDice, ...]

    def summary(self) -> dict[str, Any]:
        """The figures that can be compared with published ones, each with what it is a mean of."""
        last = self.cases[-1]
        return {
            "cases": len(self.cases),
            "absent": int(sum(case.own_grid[1:].isnan().sum() for case in self.cases)),
            "network_grid": _means([case.network_grid for case in self.cases]),
            "own_grid": _means([case.own_grid for case in self.cases]),
            "last_case": {"case": last.case, "dice_with_background": float(last.network_grid.nanmean())},
            "remark": REMARK,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per case and class."""
        names = {0: "background", **self.names}
        return [
            {
                "case": case.case,
                "label": label,
                "organ": name,
                "network_grid": _number(case.network_grid[label]),
                "own_grid": _number(case.own_grid[label]),
            }
            for case in self.cases
            for label, name in names.items()
        ]

    def document(self) -> dict[str, Any]:
        head = {"model": self.model, "weights": self.weights, "dataset": self.dataset, "spacing": self.spacing}
        return {**head, "summary": self.summary(), "scores": self.rows()}

    @property
    def title(self) -> str:
        return f"{self.model}, {len(self.cases)} validation cases of {self.dataset}"

    def table(self) -> Table:
        summary, grid = self.summary(), " x ".join(f"{side:g}" for side in self.spacing)
        grids, keys = ("network_grid", "own_grid"), ("dice", "dice_with_background")
        rows = [
            (case.case, *(f"{m:.4f}" for dice in _grids(case) for m in (dice[1:].nanmean(), dice.nanmean())))
            for case in self.cases
        ]
        rows.append((f"mean of {len(self.cases)}", *(f"{summary[of][key]:.4f}" for of in grids for key in keys)))
        published = f"as published: {grid} mm grid, cropped"
        header = ("case", published, "... with background", "own grid", "... with background")
        return Table(header, rows, has_total=True)

    def remarks(self) -> str:
        summary = self.summary()
        return (
            f"Each figure is the mean over the organs that a case's reference holds; {summary['absent']} were absent. "
            f"The last case alone, with background, as the original prints it: "
            f"{summary['last_case']['dice_with_background']:.4f} ({summary['last_case']['case']}). {summary['remark']}"
        )


def measure(
    recipe: SegmentationRecipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Validation:
    """The Dice of a network on the validation cases of a recipe's dataset.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose published weights to fetch.
        progress: called with (cases done, cases).

    Raises: UsageError or DataError if there is no dataset; CheckpointError if the weights cannot be used.
    """
    weights = weights_path(weights, model)
    dataset = open_dataset(recipe.data)
    network, metadata = load_model(weights)
    check_classes(metadata.num_classes, dataset)
    preprocessing = Preprocessing.model_validate(metadata.preprocessing)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    predictor = load_predictor(weights)
    preprocessed = PreprocessedCases(dataset.validation, preprocessing)
    scored = []
    for index, case in enumerate(dataset.validation):
        progress(index, len(dataset.validation))
        on_network_grid = _published_dice(network, metadata, preprocessed, index, device)
        scored.append(CaseDice(case.id, on_network_grid, _own_dice(predictor, case, metadata.num_classes)))
    progress(len(scored), len(scored))
    return Validation(
        metadata.model, str(weights), dataset.name, dataset.label_names, preprocessing.spacing, tuple(scored)
    )


def _published_dice(
    model: nn.Module, metadata: WeightsMetadata, cases: PreprocessedCases, index: int, device: torch.device
) -> Tensor:
    case = cases[index]
    assert case.label is not None  # a validation case has one
    d, h, w = metadata.input_size
    with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
        labels = segment_on_grid(model, case.image, (d, h, w), AS_PUBLISHED)
    return dice_per_class(labels, case.label, metadata.num_classes)


def _own_dice(predictor: Any, case: ScanCase, num_classes: int) -> Tensor:
    assert case.label is not None
    labels = predictor.predict(case.image).labels
    reference = read_volume(case.label).array
    return dice_per_class(torch.from_numpy(np.ascontiguousarray(labels)), torch.from_numpy(reference), num_classes)


def _grids(case: CaseDice) -> tuple[Tensor, Tensor]:
    return case.network_grid, case.own_grid


def _means(dice: list[Tensor]) -> dict[str, float | None]:
    """Means over cases of each case's mean, over the organs that it holds and with background."""
    return {
        "dice": _number(np.mean([organ_mean(case) for case in dice])),
        "dice_with_background": _number(np.mean([float(case.nanmean()) for case in dice])),
    }


def _number(value: Any) -> float | None:
    """A JSON number; None for NaN."""
    return None if np.isnan(float(value)) else round(float(value), 6)
