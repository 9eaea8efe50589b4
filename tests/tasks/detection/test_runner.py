"""Photographs to objects: what a detector is shown, and where its boxes and masks lie on the photograph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as run_lengths
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.coco.categories import CATEGORIES
from medssm.errors import DataError
from medssm.models import fresh_model
from medssm.models.detection import Detections
from medssm.models.info import DetectionInput
from medssm.tasks.detection.runner import ObjectDetector, category_ids, prepared
from medssm.tasks.names import class_names

NAMES = ("cross", "disc", "ring")
SETTINGS = DetectionInput(short_side=96, long_side=128)


class Fixed(nn.Module):
    """The same three objects in every image, in shares of its sides, the second one's mask only at the left."""

    SHARES = ((0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.5, 0.25), (0.5, 0.0, 1.0, 0.5))
    SCORES = (0.9, 0.5, 0.1)

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, list[tuple[int, int]]]] = []

    def detect(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[Detections]:
        self.shown.append((images, sizes))
        height, width = sizes[0]
        cells = torch.ones(3, 28, 28)
        cells[1, :, 14:] = 0
        boxes = torch.tensor(self.SHARES) * torch.tensor([width, height, width, height])
        return [Detections(boxes, torch.tensor(self.SCORES), torch.tensor([2, 0, 1]), cells)]


def photograph(path: Path, size: tuple[int, int] = (90, 120), **options) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    small = {"neck_channels": 16, "box_features": 32, "test_proposals.per_image": 60}
    return fresh_model("spatialmamba-xs", head="mask-rcnn", num_classes=len(NAMES), head_settings=small)


@pytest.fixture
def fixed() -> ObjectDetector:
    return ObjectDetector(Fixed(), "fixed", SETTINGS, NAMES, "cpu")  # type: ignore[arg-type]


def interpolated(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, ...) in another size, linearly between the centres of pixels, one axis after the other."""
    for axis, (old, new) in enumerate(zip(values.shape, size, strict=False)):
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = place.astype(int)
        share = (place - low).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
        high = np.minimum(low + 1, old - 1)
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values


@pytest.mark.parametrize(("size", "resized"), [((90, 120), (96, 128)), ((50, 200), (32, 128)), ((300, 200), (128, 85))])
def test_network_is_shown_the_image_resized_normalised_and_padded(tmp_path: Path, size, resized, fixed) -> None:
    path = photograph(tmp_path / "a.png", size)
    fixed.detect(path)
    [(batch, sizes)] = fixed.network.shown
    assert sizes == [resized]
    assert batch.shape == (1, 3, *(-(-side // 32) * 32 for side in resized))
    values = interpolated(np.asarray(Image.open(path), float), resized)
    values = (values - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    height, width = resized
    np.testing.assert_allclose(batch[0, :, :height, :width].permute(1, 2, 0), values, atol=0.02)
    assert not batch[:, :, height:].any()
    assert not batch[:, :, :, width:].any()


def test_boxes_and_masks_lie_on_the_photograph_where_they_lay_on_the_input(tmp_path: Path, fixed) -> None:
    found = fixed.detect(photograph(tmp_path / "a.png", (300, 200)), score=0.0)
    np.testing.assert_allclose(found.boxes, np.array(Fixed.SHARES) * [200, 300, 200, 300], atol=0.5)
    assert [one.name for one in found.objects()] == ["ring", "cross", "disc"]
    expected = np.zeros((3, 300, 200), bool)
    expected[0, 150:, 50:150] = True
    expected[1, :75, :50] = True
    expected[2, :150, 100:] = True
    for mask, wanted in zip(found.masks(), expected, strict=True):
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.97


def test_results_in_cocos_format_hold_the_same_boxes_and_masks(tmp_path: Path, network: nn.Module) -> None:
    """Masks by a second way: the cells of a box are interpolated to the centres of the pixels in it."""
    found = ObjectDetector(network, "xs", SETTINGS, NAMES, "cpu").detect(photograph(tmp_path / "a.png"), score=0.0)
    assert len(found) > 20
    results = found.as_coco(image_id=7)
    for result, box, cells in zip(results, found.boxes, found.cells.numpy(), strict=True):
        left, top, right, bottom = box.astype(float)
        width, height = right - left, bottom - top
        np.testing.assert_allclose(result["bbox"], [left, top, width, height], atol=0.006)
        mask = run_lengths.decode(result["segmentation"]).astype(bool)
        assert mask.shape == (90, 120)
        assert result["area"] == mask.sum()
        x, y = (np.arange(120) + 0.5 - left) / width * 28 - 0.5, (np.arange(90) + 0.5 - top) / height * 28 - 0.5
        rows, columns = (np.flatnonzero((place > -0.5) & (place < 27.5)) for place in (y, x))
        inside = _sampled(cells, y[rows], x[columns])
        sure = np.abs(inside - 0.5) > 1e-3
        np.testing.assert_array_equal(mask[np.ix_(rows, columns)][sure], inside[sure] > 0.5)
    assert {result["image_id"] for result in results} == {7}
    assert [result["score"] for result in results] == pytest.approx(found.scores.tolist(), abs=1e-5)
    assert [result["category_id"] - 1 for result in results] == found.labels.tolist()


def _sampled(cells: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values between the centres of cells, around which there is nothing."""
    padded = np.pad(cells, 1)
    rows, columns = np.floor(y).astype(int) + 1, np.floor(x).astype(int) + 1
    down, across = (y - np.floor(y))[:, None], (x - np.floor(x))[None]
    top = padded[np.ix_(rows, columns)] * (1 - across) + padded[np.ix_(rows, columns + 1)] * across
    low = padded[np.ix_(rows + 1, columns)] * (1 - across) + padded[np.ix_(rows + 1, columns + 1)] * across
    return top * (1 - down) + low * down


# EXIF 2.32, 4.6.4 A: what a camera that notes this value did to the upright image.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(upright: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = upright.with_name(f"turned-{orientation}.png")
    Image.open(upright).transpose(TURNS[orientation]).save(path, exif=exif)
    return path


def test_a_turned_file_gives_what_the_upright_image_gives(tmp_path: Path, network: nn.Module) -> None:
    upright = photograph(tmp_path / "upright.png", (60, 80))
    detector = ObjectDetector(network, "xs", SETTINGS, NAMES, "cpu")
    expected, found = (detector.detect(path, score=0.0) for path in (upright, turned(upright, 6)))
    assert len(found) > 20
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert found.as_coco() == expected.as_coco()


@pytest.mark.parametrize("orientation", TURNS)
def test_a_file_is_shown_to_the_network_upright(tmp_path: Path, orientation: int, fixed) -> None:
    upright = photograph(tmp_path / "upright.png", (60, 80))
    fixed.detect(upright)
    fixed.detect(turned(upright, orientation))
    (expected, sizes), (found, found_sizes) = fixed.network.shown
    assert sizes == found_sizes
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (61, 37)])
def test_images_of_every_kind_and_size_are_searched(mode: str, size: tuple[int, int], tmp_path: Path, fixed) -> None:
    height, width = size
    image = Image.new("L", (width, height), 255)
    image = Image.fromarray(np.full(size, 65535, np.uint16)) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    found = fixed.detect(path, score=0.0)
    assert found.image.shape == (*size, 3)
    assert (found.image == 255).all()
    assert (found.boxes[:, 2:] <= [width, height]).all()
    assert len(found.as_coco()) == 3
    assert found.picture().dtype == np.uint8
    [(batch, [(shown_height, shown_width)])] = fixed.network.shown
    white = (1 - torch.tensor(SETTINGS.mean)) / torch.tensor(SETTINGS.std)
    torch.testing.assert_close(batch[0, :, :shown_height, :shown_width].mean((1, 2)), white, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("score", "count"), [(0.0, 3), (0.5, 2), (0.6, 1), (0.95, 0)])
def test_objects_below_the_score_are_left_out(tmp_path: Path, fixed, score: float, count: int) -> None:
    found = fixed.detect(photograph(tmp_path / "a.png"), score)
    assert len(found) == len(found.objects()) == len(list(found.masks())) == len(found.as_coco()) == count
    if not count:
        np.testing.assert_array_equal(np.unique(found.picture()), np.unique(found.image))


def test_picture_has_the_surest_objects_colour_inside_its_mask(tmp_path: Path, fixed) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (400, 400), (90, 90, 90)).save(path)
    picture = fixed.detect(path, 0.6).picture()
    assert picture.shape == (400, 400, 3)
    changed = (picture != 90).any(-1)
    assert changed[250:390, 110:290].all()
    assert not changed[:100].any()
    assert np.array_equal(np.asarray(fixed.detect(path, 0.6).show()), picture)


def test_damaged_files_and_videos_get_a_sentence(tmp_path: Path, fixed, write_video: Callable[..., Path]) -> None:
    broken = photograph(tmp_path / "broken.jpg")
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"broken\.jpg: cannot be read as an image"):
        fixed.detect(broken)
    with pytest.raises(DataError, match=r"a\.mp4: is a video, and the weights are of a model for images"):
        fixed.detect(write_video(tmp_path / "a.mp4", 3))


def test_bfloat16_is_near_and_not_the_same(tmp_path: Path, network: nn.Module) -> None:
    path = photograph(tmp_path / "a.png")
    exact, rough = (
        ObjectDetector(network, "xs", SETTINGS, NAMES, "cpu", precision=precision).detect(path, 0.0)
        for precision in ("32-true", "bf16-mixed")
    )
    assert 0 < abs(float(exact.scores[0]) - float(rough.scores[0])) < 0.05


def test_categories_are_cocos_own_for_its_classes_and_counted_for_others() -> None:
    assert category_ids(NAMES) == [1, 2, 3]
    assert category_ids(tuple(CATEGORIES.values()))[10:13] == [11, 13, 14]


def test_classes_without_a_name_in_the_file_have_those_of_the_data_set() -> None:
    def named(head: str, count: int) -> tuple[str, ...]:
        metadata = WeightsMetadata(model="spatialmamba-t", head=head, num_classes=count, in_channels=3, input_size=())
        return class_names(metadata)

    assert named("mask-rcnn", 80)[::79] == ("person", "toothbrush")
    assert named("upernet", 150)[:2] == ("wall", "building")
    assert named("cascade-mask-rcnn", 2) == ("class 0", "class 1")


def test_the_published_input_is_800_by_1333(tmp_path: Path) -> None:
    batch, [size] = prepared([Image.new("RGB", (640, 427))], DetectionInput())
    assert size == (800, 1199)
    assert batch.shape == (1, 3, 800, 1216)
