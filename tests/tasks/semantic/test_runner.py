"""Photographs to label maps: what a segmenter is shown, what comes back at the photograph's size, and the memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from medssm.data.layouts.ade20k import ADE20K_NAMES
from medssm.errors import DataError, UsageError
from medssm.models.info import SemanticInput
from medssm.tasks.semantic.runner import Scales, SemanticSegmenter, label_map

SETTINGS = SemanticInput(short_side=24, long_side=64)
NAMES = ("red", "green", "blue", "dark")


class Brightest(nn.Module):
    """The class of a pixel is its largest colour, or dark; remembers the sizes that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, int]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.shown.append((image.shape[2], image.shape[3]))
        mean, std = (torch.tensor(colour).view(3, 1, 1) for colour in (SETTINGS.mean, SETTINGS.std))
        colours = image * std + mean
        return torch.cat([colours, torch.full_like(colours[:, :1], 0.2)], 1) * 10


@pytest.fixture
def network() -> Brightest:
    return Brightest()


@pytest.fixture
def segmenter(network: Brightest) -> SemanticSegmenter:
    return SemanticSegmenter(network, "brightest", SETTINGS, NAMES, "cpu")


def blocks(height: int, width: int) -> np.ndarray:
    """Red and green above, blue and dark below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 200
    pixels[: height // 2, width // 2 :, 1] = 200
    pixels[height // 2 :, : width // 2, 2] = 200
    return pixels


def expected(height: int, width: int) -> np.ndarray:
    labels = np.full((height, width), 3)
    labels[: height // 2, : width // 2] = 0
    labels[: height // 2, width // 2 :] = 1
    labels[height // 2 :, : width // 2] = 2
    return labels


@pytest.mark.parametrize(
    ("size", "seen"), [((48, 48), (24, 24)), ((47, 61), (24, 31)), ((20, 200), (6, 64)), ((10, 14), (24, 34))]
)
def test_a_photograph_is_seen_resized_and_labelled_at_its_own_size(
    segmenter: SemanticSegmenter, network: Brightest, tmp_path: Path, size: tuple[int, int], seen: tuple[int, int]
) -> None:
    Image.fromarray(blocks(*size)).save(tmp_path / "a.png")
    found = segmenter.segment(tmp_path / "a.png")
    assert network.shown == [seen]
    assert found.labels.shape == size
    assert np.mean(found.labels == expected(*size)) > 0.9
    assert found.labels[0, 0] == 0
    assert found.labels[-1, -1] == 3


def test_windows_of_any_size_agree_with_the_whole(
    segmenter: SemanticSegmenter, network: Brightest, tmp_path: Path
) -> None:
    """A pixel's class depends on nothing else here."""
    Image.fromarray(blocks(90, 70)).save(tmp_path / "a.png")
    whole = segmenter.segment(tmp_path / "a.png")
    slid = segmenter.segment(tmp_path / "a.png", window=11)
    assert set(network.shown[1:]) == {(11, 11)}
    assert np.array_equal(slid.labels, whole.labels)


def test_a_photograph_may_keep_its_size(segmenter: SemanticSegmenter, network: Brightest, tmp_path: Path) -> None:
    Image.fromarray(blocks(90, 70)).save(tmp_path / "a.png")
    found = segmenter.segment(tmp_path / "a.png", window=40, keep_size=True)
    assert np.array_equal(found.labels, expected(90, 70))
    assert set(network.shown) == {(40, 40)}


def averaged(photograph: Tensor, network: Callable[[Tensor], Tensor], ratios: tuple[float, ...]) -> Tensor:
    """Probabilities of every ratio, plain and mirrored, with all of them in memory."""
    mean, std = (torch.tensor(colour).view(1, 3, 1, 1) for colour in (SETTINGS.mean, SETTINGS.std))
    total = torch.zeros(4, *photograph.shape[1:])
    for ratio in ratios:
        size = [int(side * ratio + 0.5) for side in photograph.shape[1:]]
        for is_mirrored in (False, True):
            seen = photograph.flip(-1) if is_mirrored else photograph
            image = F.interpolate(seen[None].float(), size, mode="bilinear").round() / 255
            scores = F.interpolate(network((image - mean) / std), photograph.shape[1:], mode="bilinear")
            found = scores.softmax(1)[0]
            total += found.flip(-1) if is_mirrored else found
    return total.argmax(0)


def test_several_scales_are_averaged() -> None:
    """With a network that is not symmetric, so that mirroring counts."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 5, padding=2).requires_grad_(False)
    photograph = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 52), dtype=np.uint8))
    found = label_map(photograph, network, SETTINGS, 4, scales=Scales((0.5, 1.25)))
    reference = averaged(photograph, network, (0.5, 1.25))
    assert (found == reference).float().mean() > 0.995
    assert (label_map(photograph, network, SETTINGS, 4) == reference).float().mean() < 0.9


def test_the_label_map_is_a_palette_png_as_ade20k_numbers_it(segmenter: SemanticSegmenter, tmp_path: Path) -> None:
    Image.fromarray(blocks(48, 48)).save(tmp_path / "a.png")
    found = segmenter.segment(tmp_path / "a.png")
    found.save(tmp_path / "labels.png")
    saved = Image.open(tmp_path / "labels.png")
    assert saved.mode == "P"
    assert np.array_equal(np.array(saved), found.labels + 1)
    palette = np.array(saved.getpalette()[: 3 * 5]).reshape(5, 3)
    assert palette[0].tolist() == [0, 0, 0]
    assert len({tuple(colour) for colour in palette.tolist()}) == 5
    assert [share.name for share in found.shares] == sorted(
        NAMES, key=lambda name: -np.sum(found.labels == NAMES.index(name))
    )
    assert sum(share.share for share in found.shares) == pytest.approx(1)


def test_ade20ks_classes_have_their_customary_colours(tmp_path: Path) -> None:
    flags = SemanticSegmenter(nn.Conv2d(3, 150, 1), "flags", SETTINGS, ADE20K_NAMES, "cpu")
    nn.init.constant_(flags.network.weight, 0)
    flags.network.bias.data = torch.arange(150.0)
    Image.fromarray(blocks(48, 48)).save(tmp_path / "a.png")
    found = flags.segment(tmp_path / "a.png")
    found.save(tmp_path / "labels.png")
    assert [share.name for share in found.shares] == ["flag"]
    assert set(Image.open(tmp_path / "labels.png").convert("RGB").getdata()) == {(92, 0, 255)}
    assert found.overlay().shape == (48, 48, 3)
    assert found.show().size == (48, 48)


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "P", "CMYK", "1"])
def test_every_kind_of_image_is_taken(segmenter: SemanticSegmenter, tmp_path: Path, mode: str) -> None:
    pixels = blocks(30, 41)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(pixels).convert(mode).save(path)
    assert segmenter.segment(path).labels.shape == (30, 41)


def test_a_turned_photograph_is_labelled_as_it_is_shown(segmenter: SemanticSegmenter, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(blocks(48, 64)).save(tmp_path / "a.png", exif=exif)
    found = segmenter.segment(tmp_path / "a.png")
    assert found.labels.shape == (64, 48)
    assert [found.labels[0, 0], found.labels[0, -1], found.labels[-1, -1]] == [2, 0, 1]


def test_a_broken_photograph_is_explained(segmenter: SemanticSegmenter, tmp_path: Path) -> None:
    Image.fromarray(blocks(48, 64)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    with pytest.raises(DataError, match=r"a\.jpg: cannot be read as an image"):
        segmenter.segment(tmp_path / "a.jpg")


def test_an_impossible_window_is_explained(segmenter: SemanticSegmenter, tmp_path: Path) -> None:
    Image.fromarray(blocks(48, 64)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="a window of 0 pixels: it must have 1 or more"):
        segmenter.segment(tmp_path / "a.png", window=0)


MEASURE = """
import resource, torch
from medssm.tasks.semantic.runner import label_map
from medssm.models.info import SemanticInput
network = torch.nn.Conv2d(3, 150, 1).requires_grad_(False)
photograph = torch.randint(0, 256, (3, 2048, 4096), dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
settings = SemanticInput(window=(512, 512), stride=(512, 512))
labels = label_map(photograph, network, settings, 150, keep_size=True)
assert labels.shape == (2048, 4096) and labels.unique().numel() > 10
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is counted in KiB on Linux alone")
def test_a_long_photograph_of_150_classes_is_labelled_in_little_memory() -> None:
    """All scores of 2048 x 4096 pixels would take 4800 MiB; those of windows and their sums take less than 1280."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1280
