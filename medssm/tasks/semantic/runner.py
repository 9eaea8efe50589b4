"""A photograph in, the class of each of its pixels out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.ade20k.labels import as_numbers
from medssm.data.transforms.colours import normalised
from medssm.data.transforms.label_maps import fitted_size, resized_photograph, scaled_size
from medssm.errors import UsageError
from medssm.files import atomic_path
from medssm.models.info import SemanticInput
from medssm.tasks.files import read_photograph
from medssm.tasks.names import class_names
from medssm.tasks.runner import Runner, input_fields
from medssm.tasks.semantic.pictures import class_colours
from medssm.tasks.semantic.stripes import Sliding, Stripe, sliding_stripes, whole_stripes
from medssm.tasks.windows import largest_class
from medssm.viewing.label_maps import ClassShare, class_shares, overlay

Size = tuple[int, int]
Network = Callable[[Tensor], Tensor]

# Of windows where weights do not say: those of training on ADE20K, and MMSegmentation's steps of two thirds.
WINDOW = 512
_STEP = 2 / 3


class Scales(NamedTuple):
    """Sizes at which a photograph is seen; the probabilities are averaged.

    Attributes:
        ratios: of the size. flip: each is seen mirrored too.
        of: which size: the "photograph"'s own, or the "resized" one at which it is seen otherwise.
    """

    ratios: tuple[float, ...]
    flip: bool = True
    of: Literal["photograph", "resized"] = "photograph"


def label_map(
    photograph: Tensor,
    network: Network,
    settings: SemanticInput,
    classes: int,
    *,
    scales: Scales | None = None,
    keep_size: bool = False,
) -> Tensor:
    """The class of each pixel, (H, W) uint8.

    All scores of a photograph are held only for several scales: then they take 4 bytes a pixel and class.

    Args:
        photograph: (3, H, W) uint8, on the network's device.
        network: images (1, 3, h, w) to logits (1, K, h, w); is in evaluation mode.
        settings: how the photograph becomes an image.
        classes: the first so many of the network's are looked at.
        scales: None for one, that of the settings.
        keep_size: the photograph is not resized.
    """
    height, width = photograph.shape[1:]
    own = height, width
    size = own if keep_size else fitted_size(own, settings.short_side, settings.long_side)
    labels = torch.empty(own, dtype=torch.uint8, device=photograph.device)
    if scales is None:
        for rows, columns, scores in _stripes(photograph, network, settings, classes, size):
            labels[rows, columns] = largest_class(scores)[0]
            del scores  # which may be part of sums that the next band has no need of
        return labels
    probabilities = torch.zeros(classes, *own, device=photograph.device)
    for ratio in scales.ratios:
        scaled = scaled_size(own if scales.of == "photograph" else size, ratio)
        for is_mirrored in (False, True)[: 1 + scales.flip]:
            seen = photograph.flip(-1) if is_mirrored else photograph
            for rows, columns, scores in _stripes(seen, network, settings, classes, scaled):
                part = scores.softmax(0)
                if is_mirrored:
                    columns, part = slice(width - columns.stop, width - columns.start), part.flip(-1)
                probabilities[:, rows, columns] += part
    return largest_class(probabilities)[0]


def _stripes(
    photograph: Tensor, network: Network, settings: SemanticInput, classes: int, size: Size
) -> Iterator[Stripe]:
    """Stripes of the scores of a photograph that the network sees at a size."""
    image = resized_photograph(photograph, size)
    own: Size = (photograph.shape[1], photograph.shape[2])

    def scores(batch: Tensor) -> Tensor:
        return network(batch)[:, :classes].float()

    if settings.window is None:
        return whole_stripes(normalised(image, settings.mean, settings.std), scores, own)
    step = settings.stride or tuple(max(1, int(side * _STEP)) for side in settings.window)
    return sliding_stripes(
        lambda rows, columns: normalised(image[:, rows, columns], settings.mean, settings.std),
        size,
        scores,
        Sliding(settings.window, (step[0], step[1])),
        own,
        classes,
        device=photograph.device,
    )


@dataclass(frozen=True, eq=False)
class LabelMap:
    """What each pixel of a photograph shows.

    Attributes:
        photograph: (H, W, 3) uint8, upright.
        labels: (H, W) uint8, classes from 0.
        names: of all classes.
    """

    path: Path
    photograph: np.ndarray
    labels: np.ndarray
    names: Sequence[str]

    @property
    def shares(self) -> list[ClassShare]:
        """How much of the photograph each class that is on it covers, the largest first."""
        return class_shares(self.labels, self.names)

    def save(self, path: str | Path) -> None:
        """Writes the label map as a PNG with a palette, as ADE20K's are numbered: 1 is the first class, 0 other."""
        image = Image.fromarray(as_numbers(self.labels), mode="P")
        image.putpalette(np.concatenate([np.zeros((1, 3), np.uint8), class_colours(self.names)]).ravel().tolist())
        with atomic_path(path) as temporary:
            image.save(temporary, format="PNG")

    def overlay(self) -> np.ndarray:
        """The photograph under see-through colours, (H, W, 3) uint8."""
        return overlay(self.photograph, self.labels, class_colours(self.names))

    def show(self) -> Image.Image:
        """The overlay as a notebook shows it."""
        return Image.fromarray(self.overlay())


class SemanticSegmenter(Runner[nn.Module, SemanticInput]):
    """A network with all that it needs to tell the class of every pixel of photographs."""

    def segment(
        self, path: str | Path, *, window: int | None = None, keep_size: bool = False, scales: Scales | None = None
    ) -> LabelMap:
        """The class of each pixel of a photograph, at the size at which it is shown.

        Args:
            window: side of windows that slide over the photograph, in pixels of what the network sees; None for what
                the weights ask for, most often the whole photograph at once.
            keep_size: the photograph is not resized to the short side of training; it is gone through in windows, so
                that the memory does not grow with its height.
            scales: sizes whose probabilities are averaged; None for one.

        Raises: DataError for a file that cannot be read as an image; UsageError for an impossible window; OSError.
        """
        path = Path(path)
        photograph = np.array(read_photograph(path))
        pixels = torch.from_numpy(photograph).permute(2, 0, 1)
        labels = self.label(pixels, self._settings(window, keep_size), scales=scales, keep_size=keep_size)
        return LabelMap(path, photograph, labels.cpu().numpy(), self.names)

    @torch.inference_mode()
    def label(
        self, photograph: Tensor, settings: SemanticInput, *, scales: Scales | None = None, keep_size: bool = False
    ) -> Tensor:
        """The class of each pixel (H, W) uint8 of a photograph (3, H, W) uint8, on the network's device."""

        def network(batch: Tensor) -> Tensor:
            with self.autocast:
                return self.network(batch)

        pixels = photograph.to(self.place)
        return label_map(pixels, network, settings, len(self.names), scales=scales, keep_size=keep_size)

    def _settings(self, window: int | None, keep_size: bool) -> SemanticInput:
        if window is not None and window < 1:
            raise UsageError(f"a window of {window} pixels: it must have 1 or more, such as {WINDOW}")
        if window is None and keep_size and self.preparation.window is None:
            window = WINDOW
        return self.preparation if window is None else replace(self.preparation, window=(window, window), stride=None)


def semantic_segmenter(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> SemanticSegmenter:
    """The segmenter of a network and the metadata of its weights."""
    settings = SemanticInput(**input_fields(metadata))
    return SemanticSegmenter(network, metadata.model, settings, class_names(metadata), device, precision)
