"""An image to its classes: what the network is shown, and what is made of its logits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from brightness import PLAIN, Brightness, photograph
from PIL import Image

from medssm.checkpoints import load_model
from medssm.errors import UsageError
from medssm.models.info import ImageInput
from medssm.tasks.classification.files import ImageViews
from medssm.tasks.classifier import Classifier
from medssm.tasks.loading import load_classifier


def test_image_gets_the_probabilities_that_its_pixels_have_by_hand(named_weights: Path, tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    side = math.floor(64 / 0.875)
    image = Image.open(path).resize((int(side * 120 / 90), side), Image.Resampling.BICUBIC)
    left, top = round((image.width - 64) / 2), round((image.height - 64) / 2)
    values = np.array(image.crop((left, top, left + 64, top + 64))) / 255
    values = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    network, _ = load_model(named_weights)
    with torch.no_grad():
        expected = network(torch.from_numpy(values).float().permute(2, 0, 1)[None]).softmax(1)[0]
    found = load_classifier(named_weights, "cpu").classify(path)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert found.path == path
    first, second = found.top(2)
    assert (first.rank, second.rank) == (1, 2)
    assert first.label == int(expected.argmax())
    assert first.name == ("one", "two", "three")[first.label]
    assert first.probability >= second.probability


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_kind_of_image_has_the_brightness_that_it_shows(mode: str, tmp_path: Path) -> None:
    image = Image.new("L", (37, 51), 255)
    image = Image.fromarray(np.full((51, 37), 65535, np.uint16)) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    network = Brightness()
    classifier = Classifier(network, "bright", ImageViews(ImageInput(**PLAIN), (16, 16)), ("dark", "bright"), "cpu")
    bright = 1 / (1 + math.exp(-4))
    np.testing.assert_allclose(classifier.classify(path).probabilities, [1 - bright, bright], atol=1e-3)
    assert network.shown[0].shape == (1, 3, 16, 16)


def test_outputs_without_a_name_take_no_part(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.png")
    views = ImageViews(ImageInput(), (16, 16))
    found = Classifier(Brightness(), "bright", views, ("dark", "bright"), "cpu").classify(path)
    assert found.probabilities.shape == (2,)
    assert found.probabilities.sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="gives 3 classes, but its weights name 4"):
        Classifier(Brightness(), "bright", views, ("a", "b", "c", "d"), "cpu").classify(path)


def test_a_long_and_narrow_image_is_seen_by_its_middle(tmp_path: Path) -> None:
    strip = np.random.default_rng(0).integers(0, 255, (1, 20_000, 3), np.uint8)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    Image.fromarray(strip[:, 9_992:10_008]).save(tmp_path / "middle.png")
    strip_view, middle = (
        ImageViews(ImageInput(), (64, 64)).read(tmp_path / f"{name}.png") for name in ("strip", "middle")
    )
    assert torch.equal(strip_view, middle)
