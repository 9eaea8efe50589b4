"""Volume in, segmentation out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.scans.label_values import label_counts
from medssm.data.scans.laterality import find_sides
from medssm.data.scans.network_slabs import NetworkSlabs
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.plausibility import refuse_empty, strange_size, summarise_values, value_notes
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.scan import Scan, in_order_of, read_scan, with_all_channels
from medssm.data.scans.volume import Volume, read_volume, write_probabilities
from medssm.errors import DataError, UsageError
from medssm.files import UNFINISHED
from medssm.tasks.device import usable_device
from medssm.tasks.precision import autocast, check_precision
from medssm.tasks.segmentation.flips import FlipMean
from medssm.tasks.segmentation.memory import MemoryEstimate, activation_bytes, fit_memory
from medssm.tasks.segmentation.postprocessing import PostProcessing, Use, told_changes
from medssm.tasks.segmentation.restore import Restoration
from medssm.tasks.segmentation.result import Segmentation
from medssm.tasks.windows import Blending, Network, Padding, Shape, Windows, segment_volume, stream_scores

# What a predictor takes for a scan.
Openable = str | Path | Volume | Scan | Sequence[str | Path] | Mapping[str, str | Path]
# uint8 labels
MOST_CLASSES = 256


@dataclass(frozen=True)
class PredictSettings:
    """How windows are laid and put together.

    Attributes:
        overlap: of neighbouring windows, 0 to below 1.
        tta: average over the mirror images that training has shown to the network.
        memory: bound on the process in bytes; None for what the machine has.
        confidence: keep the mean probability of each organ's voxels, as they are before post-processing.
        blending: "gaussian", or "constant" as in the published protocol.
        padding: how a scan thinner than a window is filled: "edge", or "constant" as in the published protocol.
        batch: windows a call of the network; None for 1 on the CPU and 4 elsewhere.
        volume: which one of a file with several, from 0; None for the only one.
        fill_gaps: resample a DICOM series with missing or unevenly spaced slices onto an even grid, with a note.
        postprocessing: mend the labels as validation has shown it to be right, or "none".
    """

    overlap: float = 0.5
    tta: bool = False
    memory: int | None = None
    confidence: bool = False
    blending: Blending = "gaussian"
    padding: Padding = "edge"
    batch: int | None = None
    volume: int | None = None
    fill_gaps: bool = False
    postprocessing: Use = "learnt"


@dataclass
class Predictor:
    """A network with all that prediction needs to know of it.

    Attributes:
        network: windows (B, C, D, H, W) to scores (B, K, D, H, W); is put into evaluation mode.
        preprocessing: what it was trained on.
        window: (D, H, W) in voxels of its grid.
        classes: K, background included.
        names: label value -> organ, without background.
        flips: mirror images seen in training, axis -> "swap" or "as-published".
        pairs: label values that "swap" exchanged.
        device: where it runs; a GPU if there is one, if None.
        precision: "32-true", "16-mixed" or "bf16-mixed".
        postprocessing: what is mended of the labels.
    """

    network: nn.Module
    preprocessing: Preprocessing
    window: Shape
    classes: int
    names: Mapping[int, str] = field(default_factory=dict)
    flips: Mapping[str, str] = field(default_factory=dict)
    pairs: Sequence[tuple[int, int]] = ()
    device: str | torch.device | None = None
    precision: str = "32-true"
    postprocessing: PostProcessing = field(default_factory=PostProcessing)

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= MOST_CLASSES:
            raise UsageError(f"the network has {self.classes} classes; a label map holds up to {MOST_CLASSES}")
        check_precision(self.precision, self.place)
        self.network = self.network.to(self.place).eval()

    @cached_property
    def place(self) -> torch.device:
        """The device that it came to."""
        return usable_device(self.device)

    def predict(
        self,
        scan: Openable,
        settings: PredictSettings | None = None,
        *,
        probabilities: str | Path | None = None,
        announce: Callable[[MemoryEstimate], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        **changes: object,
    ) -> Segmentation:
        """The segmentation of a scan, on the scan's own grid.

        Args:
            scan: a file of a format of ours, a folder or zip of a DICOM series, or a volume that was read. Where the
                network takes several channels, a file with all of them, their files in its order, or by their names.
            settings: how windows are laid; fields can also be given by name: `predict(scan, overlap=0.7)`.
            probabilities: NIfTI file to write with one probability per class and voxel.
            announce: called with the estimated memory before the run.
            progress: called with (windows done, windows in all).

        Raises: DataError or GeometryError for a scan that cannot be used; UsageError for what memory cannot hold.
        """
        settings = settings or PredictSettings(**changes)  # type: ignore[arg-type]
        opened = self.opened(scan, settings)
        volume = self._examined(opened)
        slabs = NetworkSlabs.of(opened, self.preprocessing)
        windows = Windows(slabs.shape, self.window, settings.overlap)
        passes, estimate = self._fit(windows, slabs, settings)
        if announce:
            announce(estimate)
        labels = np.zeros(volume.shape, dtype=np.uint8, order="F")
        with _ProbabilityFile(probabilities, volume, self.classes, self.names) as filled:
            restoration = Restoration(
                slabs,
                volume.affine,
                labels,
                classes=self.classes,
                with_confidence=settings.confidence,
                probabilities=filled,
            )
            self._run(passes, slabs, restoration, settings, _counter(progress, estimate.windows))
        confidence = self._confidence(restoration)
        mended = self.mending(settings).apply(labels, volume.voxel_volume / 1000)
        notes = told_changes(mended, self.names, volume.voxel_volume / 1000)
        return Segmentation(labels, replace(volume, notes=(*volume.notes, *notes)), self.names, confidence)

    def mending(self, settings: PredictSettings) -> PostProcessing:
        """What is mended of labels under these settings."""
        return self.postprocessing if settings.postprocessing == "learnt" else PostProcessing()

    def opened(self, scan: Openable, settings: PredictSettings) -> Scan:
        """The scan with the channels that the network takes, each on the grid of the first.

        Raises: DataError, GeometryError or UsageError if it cannot be read, or has other channels.
        """
        names = self.preprocessing.channel_names
        if settings.volume is not None and len(names) > 1:
            raise UsageError(f"--volume: the network takes {len(names)} channels, not one volume of a file")
        if isinstance(scan, Mapping):
            scan = in_order_of(names, {name: Path(file) for name, file in scan.items()})
        if isinstance(scan, Volume):
            scan = Scan.of(scan)
        if isinstance(scan, Scan):
            with_all_channels(scan.channels, names)
            return scan
        files = [Path(scan)] if isinstance(scan, str | Path) else [Path(file) for file in scan]
        if len(files) == len(names) == 1:
            return Scan.of(read_volume(files[0], settings.volume, fill_gaps=settings.fill_gaps))
        return read_scan(files, names, fill_gaps=settings.fill_gaps)

    def _examined(self, scan: Scan) -> Volume:
        """The first channel with notes on what is strange about the scan's size and its values.

        Raises: DataError if there is nothing in a channel.
        """
        notes = [*scan.notes, *(f"beware: {strange}" for strange in (strange_size(scan.first),) if strange)]
        for volume, channel in zip(scan.channels, self.preprocessing.channels, strict=True):
            values, window = summarise_values(volume.array), channel.normalisation.window
            refuse_empty(volume, window, values)
            which = f"{channel.name}: " if len(scan.channels) > 1 else ""
            notes += (f"{which}{note}" for note in value_notes(window, values, volume.modality))
        return replace(scan.first, notes=tuple(notes))

    @torch.inference_mode()
    def on_network_grid(self, image: Tensor, settings: PredictSettings) -> Tensor:
        """Labels (D, H, W) uint8 of a preprocessed scan (C, D, H, W), on the network's grid and never mapped back."""
        return segment_volume(
            image,
            self._scores,
            self.window,
            settings.overlap,
            blending=settings.blending,
            padding=settings.padding,
            batch=self._batch(settings),
            device=self.place,
        )

    @torch.inference_mode()
    def _run(
        self,
        passes: list[Windows],
        slabs: NetworkSlabs,
        restoration: Restoration,
        settings: PredictSettings,
        advance: Callable[[int], None],
    ) -> None:
        network = FlipMean(self._scores, self.flips, self.pairs, self.classes) if settings.tta else self._scores
        for windows in passes:
            stream = stream_scores(
                slabs.planes,
                network,
                windows,
                blending=settings.blending,
                padding=settings.padding,
                batch=self._batch(settings),
                device=self.place,
                advance=advance,
            )
            restoration.consume(stream, windows)

    def _scores(self, windows: Tensor) -> Tensor:
        with autocast(self.precision, self.place):
            scores: Tensor = self.network(windows)
        scores = scores.float()
        if not scores.sum().isfinite():
            raise DataError(
                "the network's scores are not finite, so no label can be told; take other weights, or the precision "
                "32-true"
            )
        if scores.shape[1] != self.classes:
            raise UsageError(f"the network gives {scores.shape[1]} classes where its weights promise {self.classes}")
        return scores

    def _fit(
        self, windows: Windows, slabs: NetworkSlabs, settings: PredictSettings
    ) -> tuple[list[Windows], MemoryEstimate]:
        network: Network = self._scores
        if settings.tta:
            FlipMean(network, self.flips, self.pairs, self.classes)  # refuses before anything is run
        batch = self._batch(settings)
        needed = activation_bytes(self.network, self.window, len(slabs.arrays), batch)
        needed += 4 * batch * self.classes * int(np.prod(self.window)) * (2 if settings.tta else 0)
        on_device = self.place.type != "cpu"
        return fit_memory(
            windows,
            slabs.scan_shape,
            self.classes,
            needed,
            settings.memory,
            channels=len(slabs.arrays),
            on_device=on_device,
            mending=self.mending(settings).memory(int(np.prod(slabs.scan_shape))),
        )

    def _batch(self, settings: PredictSettings) -> int:
        if settings.batch is not None:
            return settings.batch
        return 1 if self.place.type == "cpu" else 4

    def _confidence(self, restoration: Restoration) -> dict[int, float]:
        if restoration.confidence is None:
            return {}
        count = label_counts(restoration.labels)
        return {label: float(restoration.confidence[label] / count[label]) for label in self.names if label in count}


def scan_predictor(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> Predictor:
    """The predictor of a network for scans and the metadata of its weights.

    Raises: UsageError for an unusable device, or if the network takes other channels than it was trained on.
    """
    d, h, w = metadata.input_size
    preprocessing = Preprocessing(**metadata.preprocessing)
    if metadata.in_channels != len(preprocessing.channels):
        raise UsageError(
            f"the network takes {metadata.in_channels} channels, but its weights say what is done to "
            f"{len(preprocessing.channels)}; choose other weights"
        )
    names = {label: name for label, name in metadata.class_names.items() if label}
    return Predictor(
        network,
        preprocessing,
        window=(d, h, w),
        classes=metadata.num_classes,
        names=names,
        flips=metadata.flips,
        pairs=_exchanged_before(names) if metadata.pairs is None else metadata.pairs,
        device=device,
        precision=precision,
        postprocessing=PostProcessing.stored(metadata.postprocessing),
    )


def _exchanged_before(names: Mapping[int, str]) -> tuple[tuple[int, int], ...]:
    """The pairs behind weights that do not tell them: training then exchanged those of BTCV's own names alone."""
    return find_sides(names).pairs if names == BTCV_ORGANS else ()


def _counter(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    return advance


class _ProbabilityFile:
    """Probabilities on their way to a file: mapped to a temporary one beside it, so that memory does not hold them."""

    def __init__(self, path: str | Path | None, volume: Volume, classes: int, names: Mapping[int, str]) -> None:
        self.path = None if path is None else Path(path)
        self.volume, self.classes, self.names = volume, classes, names

    def __enter__(self) -> np.ndarray | None:
        if self.path is None:
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = TemporaryDirectory(prefix=UNFINISHED, dir=self.path.parent)
        shape = (*self.volume.shape, self.classes)
        file = Path(self.folder.name) / "values"
        self.values = np.moveaxis(np.memmap(file, np.float32, "w+", shape=shape, order="F"), -1, 0)
        return self.values

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.path is None:
            return
        try:
            if kind is None:
                write_probabilities(self.path, self.values, self.volume, self.names)
        finally:
            del self.values
            self.folder.cleanup()
