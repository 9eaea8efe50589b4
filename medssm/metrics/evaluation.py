"""Label maps against reference label maps: which belong together, their scores, and the files that hold them."""

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medssm.data.scans.geometry import grid_offset, is_same_grid
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import Volume, find_volumes, read_volume, turned_like, volume_stem
from medssm.errors import DataError, GeometryError
from medssm.files import atomic_path
from medssm.metrics.organ_scores import OrganScore, score_case
from medssm.metrics.summary import Mean, OrganSummary, summarise


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        scores: one for each case and organ.
        tolerance: of the surface Dice, in mm.
        without_prediction: references that no prediction belongs to.
        without_reference: predictions that no reference belongs to.
        files: prediction and reference of each case, by its name.
    """

    scores: list[OrganScore]
    tolerance: float
    without_prediction: list[Path]
    without_reference: list[Path]
    files: dict[str, tuple[Path, Path]] = field(default_factory=dict)

    @property
    def summary(self) -> list[OrganSummary]:
        """Means over cases, an organ a row, and all organs together in the last."""
        return summarise(self.scores)

    def write_csv(self, path: str | Path) -> None:
        """One row for each case and organ; an empty field where an organ is absent in both."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(OrganScore._fields)
            writer.writerows(self.scores)

    def write_json(self, path: str | Path) -> None:
        """Summary, scores, tolerance in mm, and the files that had no partner."""
        content = {
            "tolerance_mm": self.tolerance,
            "summary": [_as_dict(row) for row in self.summary],
            "scores": [score._asdict() for score in self.scores],
            "without_prediction": [str(path) for path in self.without_prediction],
            "without_reference": [str(path) for path in self.without_reference],
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def evaluate(
    predictions: str | Path,
    references: str | Path,
    tolerance: float = 2.0,
    names: Mapping[int, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Scores a label map, or a folder of them, against the reference of the same case.

    Two files are one case if both are single files, or if their names agree once format, a trailing `_seg` and a
    leading `img` or `label` are left out (`img0035_seg.nii.gz` and `label0035.nii.gz`). A reference on the same grid
    whose axes run another way is turned; nothing is resampled.

    Args:
        predictions, references: a label map or a folder of label maps each.
        tolerance: of the surface Dice, in mm.
        names: label value -> name; by default the names in the prediction or the reference, else BTCV's organs if
            the labels are among them, else "label 7" and so on.
        progress: called with the number of cases done and their total.

    Raises:
        GeometryError: a prediction and its reference lie on different grids.
        DataError: no prediction has a reference, or a label map holds no whole numbers.
    """
    pairs, alone, unasked = _pair(Path(predictions), Path(references))
    scores: list[OrganScore] = []
    for done, (case, prediction_path, reference_path) in enumerate(pairs):
        progress(done, len(pairs))
        prediction, reference = read_volume(prediction_path), read_volume(reference_path)
        turned = turned_like(reference, prediction)
        check_same_grid(prediction, turned)
        maps = (label_array(prediction), label_array(turned))
        organs = names or _names(prediction, reference, maps)
        scores += score_case(*maps, turned.spacing, organs, tolerance, case)
    progress(len(pairs), len(pairs))
    files = {case: (prediction_path, reference_path) for case, prediction_path, reference_path in pairs}
    return Evaluation(scores, tolerance, alone, unasked, files)


def _pair(predictions: Path, references: Path) -> tuple[list[tuple[str, Path, Path]], list[Path], list[Path]]:
    """Cases with both files, references without a prediction, predictions without a reference."""
    if predictions.is_file() and references.is_file():
        return [(case_name(references), predictions, references)], [], []
    found = {case_name(path): path for path in find_volumes(predictions)}
    wanted = {case_name(path): path for path in find_volumes(references)}
    pairs = [(case, found[case], wanted[case]) for case in wanted if case in found]
    if not pairs:
        raise DataError(
            f"{predictions}: no label map has the name of a case in {references} "
            f"(found {', '.join(list(found)[:3])}; expected {', '.join(list(wanted)[:3])})"
        )
    alone = [path for case, path in wanted.items() if case not in found]
    return pairs, alone, [path for case, path in found.items() if case not in wanted]


def case_name(path: Path) -> str:
    """What a file is called by, whether it is the scan, the prediction or the reference of a case.

    >>> case_name(Path("img0035_seg.nii.gz")) == case_name(Path("label0035.nii.gz"))
    True
    """
    return re.sub(r"^(img|label)(?=[_\d])_?", "", re.sub(r"_seg$", "", volume_stem(path)))


def check_same_grid(prediction: Volume, reference: Volume) -> None:
    """Raises GeometryError unless the two have one shape and put every voxel in the same place."""
    pair = f"{prediction.path} and {reference.path}"
    if prediction.shape != reference.shape:
        raise GeometryError(f"{pair}: shapes {prediction.shape} and {reference.shape} differ; they are not one case")
    if not is_same_grid(prediction.shape, prediction.affine, reference.affine):
        apart = grid_offset(prediction.shape, prediction.affine, reference.affine)
        raise GeometryError(f"{pair}: their affines place a voxel {apart:.3g} mm apart; they are not on one grid")


def label_array(volume: Volume) -> np.ndarray:
    """The labels of a map as int32.

    Raises: DataError if it holds fractions or negative numbers.
    """
    values = np.asarray(volume.array)
    labels = values.astype(np.int32)
    if values.dtype.kind not in "iub" and not np.array_equal(values, labels):
        raise DataError(f"{volume.path}: holds values that are no whole numbers, so it is no label map")
    if labels.min() < 0:
        raise DataError(f"{volume.path}: holds negative values, so it is no label map")
    return labels


def _names(prediction: Volume, reference: Volume, maps: tuple[np.ndarray, np.ndarray]) -> Mapping[int, str]:
    if embedded := prediction.label_names or reference.label_names:
        return {label: name for label, name in embedded.items() if label != 0}
    present = np.union1d(*maps)
    if set(present.tolist()) <= {0, *BTCV_ORGANS}:
        return BTCV_ORGANS
    return {int(label): f"label {label}" for label in present if label != 0}


def _as_dict(row: OrganSummary) -> dict[str, object]:
    return {k: v._asdict() if isinstance(v, Mean) else v for k, v in row._asdict().items()}
