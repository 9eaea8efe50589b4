"""Whole volumes: our prediction beside MONAI's inferer, with the real network and with a very cheap one."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from medssm.benchmarks import targets
from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.pairs import Pairs, repetitions
from medssm.benchmarks.plain import PlainNetwork
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import Volume
from medssm.models import fresh_model, model_info
from medssm.tasks.segmentation.runner import Predictor
from medssm.tasks.windows import Network, Shape, Windows, segment_volume

OVERLAP = 0.5
# One window takes one of the published models' decoders a second or more: the smaller volume has 2, the full one 18.
SMALL, FULL = (144, 96, 96), (160, 160, 128)
STITCHED = (200, 256, 256)


@dataclass(frozen=True)
class VolumeTimes:
    """A volume of so many windows, segmented by both sides.

    Attributes:
        agreement: part of the voxels with the same label.
        target: the least ratio.
    """

    shape: Shape
    windows: int
    times: Pairs
    agreement: float
    target: float


@dataclass(frozen=True)
class PredictReport:
    """With a network of ours, and with one so cheap that only stitching is left."""

    machine: Machine
    model: str
    network: VolumeTimes
    stitching: VolumeTimes


def measure_prediction(model: str = "mamband-s", shape: Shape = SMALL, repeats: int = 7) -> PredictReport:
    """Both measurements: `measure_predict` at this size and `measure_stitching`."""
    network = measure_predict(model, shape, repeats)
    return PredictReport(this_machine(), model, network, measure_stitching())


def measure_predict(
    model: str = "mamband-s", shape: Shape = SMALL, repeats: int = 7, window: Shape | None = None
) -> VolumeTimes:
    """Scan to labels by `Predictor.predict`, beside the same weights in plain MONAI with MONAI's inferer.

    The scan has the network's own spacing. Ours starts from its stored values; the other is given the preprocessed
    tensor and stops at the network's grid, which spares it some work. One warm-up of each on a single window, which has
    the model's own size if None.
    """
    info = model_info(model)
    torch.manual_seed(0)
    network = fresh_model(model).eval()
    d, h, w = window or info.input_size
    preprocessing = Preprocessing(spacing=info.spacing, crop_foreground=False)
    predictor = Predictor(network, preprocessing, (d, h, w), info.num_classes, device="cpu")
    values = np.random.default_rng(0).integers(-175, 251, shape, dtype=np.int16)
    volume = Volume(np.asfortranarray(values), np.diag([*info.spacing, 1.0]))
    image = torch.from_numpy((values + 175.0) / 425.0).float()
    plain = PlainNetwork(network)  # type: ignore[arg-type]
    first = image[None, None, :d, :h, :w].contiguous()
    with torch.inference_mode():
        network(first), plain(first)
    return _side_by_side(
        Windows(shape, (d, h, w), OVERLAP),
        lambda: torch.from_numpy(predictor.predict(volume, overlap=OVERLAP, padding="constant").labels),
        lambda: _with_monai(image[None], plain, (d, h, w)),
        repeats,
        targets.PREDICT,
    )


def measure_stitching(
    shape: Shape = STITCHED, classes: int = 14, repeats: int = 7, window: Shape = (96, 96, 96)
) -> VolumeTimes:
    """A preprocessed volume to labels, beside MONAI's inferer, with a network that multiplies and adds once."""
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    network = CheapNetwork(classes)
    return _side_by_side(
        Windows(shape, window, OVERLAP),
        lambda: segment_volume(image, network, window, OVERLAP, padding="constant"),
        lambda: _with_monai(image, network, window),
        repeats,
        targets.STITCHING,
    )


class CheapNetwork(nn.Module):
    """The class whose value, evenly spread over [0, 1], is nearest to the smoothed intensity.

    -(x - v)^2 but for a term that all classes share, in one pass over the scores. The smoothing, along the last axis,
    makes windows disagree at their borders.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        values = torch.linspace(0, 1, classes).view(1, -1, 1, 1, 1)
        self.register_buffer("factors", 2 * values)
        self.register_buffer("offsets", -values * values)

    def forward(self, windows: Tensor) -> Tensor:
        """Scores (B, classes, D, H, W) of windows (B, 1, D, H, W)."""
        smooth = nn.functional.avg_pool3d(windows, (1, 1, 3), stride=1, padding=(0, 0, 1))
        return torch.addcmul(self.get_buffer("offsets"), smooth, self.get_buffer("factors"))


def _with_monai(image: Tensor, network: Network, window: Shape) -> Tensor:
    with torch.inference_mode():
        scores = sliding_window_inference(image[None], window, 1, network, overlap=OVERLAP, mode="gaussian")
        assert isinstance(scores, Tensor)
        return scores[0].argmax(0)


def _side_by_side(
    windows: Windows, ours: Callable[[], Tensor], other: Callable[[], Tensor], repeats: int, target: float
) -> VolumeTimes:
    """Runs both in turn, as often as `repetitions` says of the slower one."""
    seconds: tuple[list[float], list[float]] = ([], [])
    labels: list[Tensor] = []
    while len(seconds[0]) < repetitions(repeats, max((*seconds[0], *seconds[1]), default=0.0)):
        labels = []
        for run, spent in zip((ours, other), seconds, strict=True):
            start = time.perf_counter()
            labels.append(run())
            spent.append(time.perf_counter() - start)
    agreement = float((labels[0] == labels[1]).float().mean())
    times = Pairs(tuple(seconds[0]), tuple(seconds[1]))
    return VolumeTimes(windows.shape, len(windows), times, agreement, target)
