"""Files to classes: what a network is shown, and what is made of its logits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from brightness import Brightness, photograph

import medssm
from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.actions.names import HMDB51_ACTIONS, UCF101_ACTIONS
from medssm.errors import CheckpointError, DataError, UsageError
from medssm.models import fresh_model
from medssm.models.info import ClipInput, ImageInput
from medssm.tasks.batch import Watch
from medssm.tasks.classification.files import ImageViews
from medssm.tasks.classified_files import classify_files
from medssm.tasks.classifier import Classifier
from medssm.tasks.files import find_files
from medssm.tasks.loading import load_classifier, load_predictor
from medssm.tasks.names import class_names
from medssm.tasks.segmentation.runner import Predictor
from medssm.tasks.video.files import ClipViews

MODEL = "mamba2d-n"


def metadata_of(model: str, num_classes: int, names: dict[int, str] | None = None) -> WeightsMetadata:
    return WeightsMetadata(
        model=model, num_classes=num_classes, in_channels=3, class_names=names or {}, input_size=(224, 224)
    )


def test_bfloat16_is_near_and_not_the_same(named_weights: Path, tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    exact, rough = (
        load_classifier(named_weights, "cpu", precision=p).classify(path) for p in ("32-true", "bf16-mixed")
    )
    assert 0 < np.abs(exact.probabilities - rough.probabilities).max() < 0.05


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


def test_load_gives_what_the_weights_are_for(named_weights: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": fresh_model("mamband-xs").state_dict()}, tmp_path / "scans.pt")
    assert isinstance(medssm.load(named_weights, "cpu"), Classifier)
    assert isinstance(medssm.load(tmp_path / "scans.pt", "cpu"), Predictor)
    assert isinstance(load_predictor(tmp_path / "scans.pt", "cpu"), Predictor)
    with pytest.raises(UsageError, match=f"holds {MODEL}, which classifies images; see medssm classify"):
        load_predictor(named_weights, "cpu")
    with pytest.raises(UsageError, match="holds mamband-xs, which segments scans; see medssm predict"):
        load_classifier(tmp_path / "scans.pt", "cpu")


def test_model_that_is_named_must_be_the_files(named_weights: Path) -> None:
    assert load_classifier(named_weights, "cpu", model="Mamba2D-N").model == MODEL
    with pytest.raises(CheckpointError, match=f"holds weights of {MODEL}, not of mamba2d-s"):
        load_classifier(named_weights, "cpu", model="mamba2d-s")


def test_precision_that_there_is_not_is_refused(named_weights: Path) -> None:
    with pytest.raises(UsageError, match="a CPU has no float16"):
        load_classifier(named_weights, "cpu", precision="16-mixed")
    with pytest.raises(UsageError, match="give one of 32-true, 16-mixed, bf16-mixed"):
        load_classifier(named_weights, "cpu", precision="float8")


def test_files_of_the_other_kind_are_refused(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    image, video = photograph(tmp_path / "a.jpg"), write_video(tmp_path / "a.webm", 3, "libvpx")
    for_images, for_video = ImageViews(ImageInput(), (8, 8)), ClipViews(ClipInput(short_side=8), (2, 8, 8))
    with pytest.raises(DataError, match=r"a\.webm: is a video, and the weights are of a model for images"):
        for_images.read(video)
    with pytest.raises(DataError, match=r"a\.jpg: is an image, and the weights are of a model for video"):
        for_video.read(image)
    animation = write_video(tmp_path / "a.gif", 3, "gif")
    assert for_images.read(animation).shape == (1, 3, 8, 8)
    assert for_video.read(animation).shape == (1, 3, 2, 8, 8)


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
