"""Files to classes: what a network is shown, and what is made of its logits."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.data.layouts.actions.names import HMDB51_ACTIONS, UCF101_ACTIONS
from medssm.errors import CheckpointError, DataError, UsageError
from medssm.models import create_model as fresh_model
from medssm.models.info import ClipInput, ImageInput
from medssm.tasks.batch import Watch
from medssm.tasks.classification.runner import ImageViews
from medssm.tasks.classified_files import classify_files
from medssm.tasks.classifier import Classifier
from medssm.tasks.files import find_files
from medssm.tasks.loading import load_classifier, load_predictor
from medssm.tasks.names import class_names
from medssm.tasks.segmentation.runner import Predictor
from medssm.tasks.video.runner import ClipViews

MODEL, SIZE = "mamba2d-n", (64, 64)
NAMES = ("one", "two", "three")
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class Brightness(nn.Module):
    """Logits 0 and 4 times the mean of each input, and a third that never wins; keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, batch: Tensor) -> Tensor:
        self.shown.append(batch)
        mean = batch.flatten(1).mean(1)
        return torch.stack([torch.zeros_like(mean), 4 * mean, torch.full_like(mean, 90.0)], dim=1)


def photograph(path: Path, size: tuple[int, int] = (90, 120), seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def metadata_of(model: str, num_classes: int, names: dict[int, str] | None = None) -> WeightsMetadata:
    return WeightsMetadata(
        model=model, num_classes=num_classes, in_channels=3, class_names=names or {}, input_size=(224, 224)
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    metadata = WeightsMetadata(
        model=MODEL,
        num_classes=len(NAMES),
        in_channels=3,
        class_names=dict(enumerate(NAMES)),
        preprocessing=asdict(ImageInput()),
        input_size=SIZE,
    )
    save_weights(path, create_model(MODEL, num_classes=len(NAMES)), metadata)
    return path


def test_image_gets_the_probabilities_that_its_pixels_have_by_hand(weights: Path, tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    side = math.floor(64 / 0.875)
    image = Image.open(path).resize((int(side * 120 / 90), side), Image.Resampling.BICUBIC)
    left, top = round((image.width - 64) / 2), round((image.height - 64) / 2)
    values = np.array(image.crop((left, top, left + 64, top + 64))) / 255
    values = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    network, _ = medssm.checkpoints.load_model(weights)
    with torch.no_grad():
        expected = network(torch.from_numpy(values).float().permute(2, 0, 1)[None]).softmax(1)[0]
    found = load_classifier(weights, "cpu").classify(path)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert found.path == path
    first, second = found.top(2)
    assert (first.rank, second.rank) == (1, 2)
    assert first.label == int(expected.argmax())
    assert first.name == NAMES[first.label]
    assert first.probability >= second.probability


def test_bfloat16_is_near_and_not_the_same(weights: Path, tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    exact, rough = (load_classifier(weights, "cpu", precision=p).classify(path) for p in ("32-true", "bf16-mixed"))
    assert 0 < np.abs(exact.probabilities - rough.probabilities).max() < 0.05


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_kind_of_image_has_the_brightness_that_it_shows(mode: str, tmp_path: Path) -> None:
    image = Image.new("L", (37, 51), 255)
    image = Image.fromarray(np.full((51, 37), 65535, np.uint16)) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    network = Brightness()
    classifier = Classifier(network, MODEL, ImageViews(ImageInput(**PLAIN), (16, 16)), ("dark", "bright"), "cpu")
    bright = 1 / (1 + math.exp(-4))
    np.testing.assert_allclose(classifier.classify(path).probabilities, [1 - bright, bright], atol=1e-3)
    assert network.shown[0].shape == (1, 3, 16, 16)


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


def test_names_are_the_files_own_or_those_of_the_published_data_set() -> None:
    assert class_names(metadata_of(MODEL, 3, {0: "a", 2: "c"})) == ("a", "class 1", "c")
    assert class_names(metadata_of("mamband-video-ucf101", 400)) == UCF101_ACTIONS
    assert class_names(metadata_of("mamband-video-hmdb51", 60)) == HMDB51_ACTIONS
    assert class_names(metadata_of("mamband-video-k400", 400))[:2] == ("abseiling", "air drumming")
    imagenet = class_names(metadata_of(MODEL, 1000))
    assert len(imagenet) == 1000
    assert imagenet[0].startswith("tench")
    assert imagenet[999].startswith("toilet tissue")
    assert class_names(metadata_of("mamband-video-ucf101", 2)) == ("class 0", "class 1")


def test_outputs_without_a_name_take_no_part(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    views = ImageViews(ImageInput(), (16, 16))
    found = Classifier(Brightness(), MODEL, views, ("dark", "bright"), "cpu").classify(path)
    assert found.probabilities.shape == (2,)
    assert found.probabilities.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="gives 3 classes, but its weights name 4"):
        Classifier(Brightness(), MODEL, views, ("a", "b", "c", "d"), "cpu").classify(path)


def test_load_gives_what_the_weights_are_for(weights: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": fresh_model("mamband-xs").state_dict()}, tmp_path / "scans.pt")
    assert isinstance(medssm.load(weights, "cpu"), Classifier)
    assert isinstance(medssm.load(tmp_path / "scans.pt", "cpu"), Predictor)
    assert isinstance(load_predictor(tmp_path / "scans.pt", "cpu"), Predictor)
    with pytest.raises(UsageError, match=f"holds {MODEL}, which classifies images; see medssm classify"):
        load_predictor(weights, "cpu")
    with pytest.raises(UsageError, match="holds mamband-xs, which segments scans; see medssm predict"):
        load_classifier(tmp_path / "scans.pt", "cpu")


def test_model_that_is_named_must_be_the_files(weights: Path) -> None:
    assert load_classifier(weights, "cpu", model="Mamba2D-N").model == MODEL
    with pytest.raises(CheckpointError, match=f"holds weights of {MODEL}, not of mamba2d-s"):
        load_classifier(weights, "cpu", model="mamba2d-s")


def test_precision_that_there_is_not_is_refused(weights: Path) -> None:
    with pytest.raises(UsageError, match="a CPU has no float16"):
        load_classifier(weights, "cpu", precision="16-mixed")
    with pytest.raises(UsageError, match="give one of 32-true, 16-mixed, bf16-mixed"):
        load_classifier(weights, "cpu", precision="float8")


def test_files_of_the_other_kind_are_refused(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    image, video = photograph(tmp_path / "a.jpg"), write_video(tmp_path / "a.webm", 3, "libvpx")
    for_images, for_video = ImageViews(ImageInput(), (8, 8)), ClipViews(ClipInput(short_side=8), (2, 8, 8))
    with pytest.raises(DataError, match=r"a\.webm: is a video, and the weights are of a model for images"):
        next(for_images.of(video))
    with pytest.raises(DataError, match=r"a\.jpg: is an image, and the weights are of a model for video"):
        next(for_video.of(image))
    animation = write_video(tmp_path / "a.gif", 3, "gif")
    assert next(for_images.of(animation)).shape == (1, 3, 8, 8)
    assert next(for_video.of(animation)).shape == (1, 3, 2, 8, 8)


def test_files_are_found_in_folders_and_counted_once(tmp_path: Path) -> None:
    views = ImageViews(ImageInput(), (8, 8))
    (tmp_path / "below").mkdir()
    first, second = photograph(tmp_path / "b.JPG"), photograph(tmp_path / "below" / "a.png")
    odd = tmp_path / "photograph"
    odd.write_bytes(first.read_bytes())
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert find_files([tmp_path, first], views) == [first, second]
    assert find_files([odd, tmp_path / "none.png"], views) == [odd, tmp_path / "none.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no image file"):
        find_files([tmp_path / "empty"], views)


def test_a_file_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    views = ImageViews(ImageInput(), (8, 8))
    classifier = Classifier(Brightness(), MODEL, views, ("dark", "bright"), "cpu")
    files = [photograph(tmp_path / f"{name}.png", seed=seed) for seed, name in enumerate("abc")]
    files[1].write_bytes(files[1].read_bytes()[:200])
    counted = []

    class Counting(Watch):
        def begun(self, file: Path, number: int, count: int) -> None:
            counted.append((file, number, count))

    found = classify_files(classifier, files, top=1, watch=Counting())
    assert list(found.found) == [files[0], files[2]]
    assert [len(candidates) for candidates in found.found.values()] == [1, 1]
    assert list(found.failed) == [files[1]]
    assert "b.png: cannot be read as an image" in found.failed[files[1]]
    assert counted == [(files[0], 1, 3), (files[1], 2, 3), (files[2], 3, 3)]
