"""`medssm validate coco`: a detector on images whose objects are known."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.data.layouts.coco import CocoDataset, load_coco
from medssm.data.synthetic.objects import write_objects
from medssm.errors import UsageError
from medssm.models.detection import Detections, Detector
from medssm.recipes import load_recipe, measure
from medssm.tasks import TASKS
from medssm.tasks.detection import scores as object_scores
from medssm.tasks.detection.scores import ObjectScores
from medssm.tasks.measured import ShippedNetwork
from medssm.tasks.names import labels_in_dataset

# The dataset's five in another order, and one that it does not have.
NAMES = ("ring", "whale", "disc", "cross", "triangle", "square")


class Oracle(Detector):
    """Finds what is annotated, in images that come in order, and a whale in each."""

    def __init__(self, dataset: CocoDataset, missed: str = "") -> None:
        nn.Module.__init__(self)
        self.images, self.missed, self.names = iter(dataset.validation), missed, dataset.names

    def detect(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[Detections]:
        return [self.known(size) for size in sizes]

    def known(self, size: tuple[int, int]) -> Detections:
        image = next(self.images)
        names = [self.names[label] for label in image.labels]
        kept = [place for place, name in enumerate(names) if name != self.missed]
        boxes, masks = torch.from_numpy(image.boxes), torch.from_numpy(image.masks)[:, None].float()
        rois = torch.cat([torch.arange(len(boxes))[:, None].float(), boxes], 1)
        cells = roi_align(masks, rois, 28, aligned=True)[kept, 0]
        scale = torch.tensor([size[1] / image.size[1], size[0] / image.size[0]]).repeat(2)
        labels = torch.tensor([NAMES.index(names[place]) for place in kept] + [NAMES.index("whale")])
        whale = torch.tensor([[0.0, 0, size[1], size[0]]])
        return Detections(
            torch.cat([boxes[kept] * scale, whale]),
            torch.linspace(0.9, 0.95, len(labels)),
            labels,
            torch.cat([cells, torch.ones(1, 28, 28)]),
        )


METADATA = WeightsMetadata(
    model="spatialmamba-xs",
    head="mask-rcnn",
    num_classes=6,
    in_channels=3,
    input_size=(),
    class_names=dict(enumerate(NAMES)),
    preprocessing={"short_side": 96, "long_side": 120},
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects") / "data"
    write_objects(folder, 1, 14)
    return folder


def measured(objects: Path, missed: str = "", **settings: Any) -> ObjectScores:
    task = TASKS["detection"]
    detector = task.runner(Oracle(load_coco(objects), missed), METADATA, "cpu", "32-true")
    changes = {"data.folder": str(objects), "run.accelerator": "cpu", "validation.batch_size": 3, **settings}
    recipe = load_recipe("coco", "spatialmamba-xs", changes)
    return task.measure(ShippedNetwork(detector, METADATA, "oracle"), recipe, lambda *_: None)


def test_what_is_annotated_scores_one_in_other_sizes_and_labels(objects):
    scores = measured(objects)
    assert scores.box.ap == pytest.approx(1)
    assert scores.mask.ap == pytest.approx(1, abs=0.1)  # 28 cells along a side round the corners
    assert scores.images == 14
    known = load_coco(objects).validation.annotations
    assert sum(category.objects for category in scores.categories) == (~known.is_crowd).sum()


def test_a_missed_category_shows_in_its_row_and_in_the_mean(objects):
    rows = {row["name"]: row for row in measured(objects, missed="disc").rows()}
    assert rows["disc"]["objects"] > 0
    assert rows["disc"]["box_ap"] == 0
    assert rows["ring"]["box_ap"] == pytest.approx(1)


def test_table_json_and_csv_hold_the_same_figures(objects, tmp_path):
    scores = measured(objects)
    scores.write_json(tmp_path / "a.json")
    scores.write_csv(tmp_path / "a.csv")
    table = scores.table()
    assert table.rows[0][:3] == ("boxes", "100.0", "100.0")
    assert table.rows[1][0] == "masks"
    document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert document["box"]["ap"] == scores.box.ap
    assert document["mask"]["ap_large"] is None or document["mask"]["ap_large"] <= 1
    assert document["preparation"]["short_side"] == 96
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["cross", "disc", "ring", "square", "triangle"]
    assert [float(row["mask_ap"]) for row in rows] == pytest.approx(list(scores.mask.classes))


def test_published_figures_stand_beside_those_of_a_network_of_80_classes():
    metadata = WeightsMetadata(model="spatialmamba-t", head="mask-rcnn", num_classes=80, in_channels=3, input_size=())
    published = {entry.schedule: [r.value for r in entry.results] for entry in object_scores._published(metadata)}
    assert published == {"1x": [47.6, 42.9], "3x": [49.3, 43.6]}
    assert object_scores._published(METADATA) == ()


def test_categories_that_the_weights_do_not_know_are_refused(objects):
    metadata, dataset = METADATA.model_copy(update={"class_names": {0: "ring"}}), load_coco(objects)
    with pytest.raises(UsageError, match="has 5 classes, of which 'cross' is none of the weights' 1"):
        labels_in_dataset(metadata, dataset.names, dataset.source)


def test_outputs_without_a_name_belong_to_no_category(objects):
    metadata, dataset = METADATA.model_copy(update={"num_classes": 8}), load_coco(objects)
    labels = labels_in_dataset(metadata, dataset.names, dataset.source)
    np.testing.assert_array_equal(labels, [2, -1, 1, 0, 4, 3, -1, -1])


def test_weights_without_a_head_are_refused(objects, tmp_path):
    network = create_model("spatialmamba-xs", num_classes=5)
    metadata = WeightsMetadata(model="spatialmamba-xs", num_classes=5, in_channels=3, input_size=(64, 64))
    save_weights(tmp_path / "classifier.safetensors", network, metadata)
    recipe = load_recipe("coco", "spatialmamba-xs", {"data.folder": str(objects)})
    with pytest.raises(UsageError, match="which classifies images; the recipe to measure it by is imagenet"):
        measure(recipe, tmp_path / "classifier.safetensors")
