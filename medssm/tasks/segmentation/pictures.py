"""Pictures of predictions, and of a validation case in the same manner."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.cache import CachedCase
from medssm.data.scans.labelled import IGNORED
from medssm.data.scans.volume import Volume
from medssm.tasks.segmentation.result import Segmentation
from medssm.viewing.comparison import agreement_figure
from medssm.viewing.panels import pixels
from medssm.viewing.preview import three_plane_figure


def validation_pictures(case: CachedCase, prediction: Tensor, names: Mapping[int, str]) -> dict[str, np.ndarray]:
    """The preview of the prediction, and the prediction beside the reference, (H, W, 3) uint8.

    Args:
        case: with its reference.
        prediction: (D, H, W), integer.
    """
    scan = Volume(case.image[0].numpy(), case.affine)
    known = case.reference.where(case.reference != IGNORED, 0)
    predicted, expected = (labels.cpu().numpy().astype(np.uint8) for labels in (prediction, known))
    low, high = torch.quantile(_thinned(case.image[0]), torch.tensor([0.005, 0.995])).tolist()
    window = (low, max(high, low + 1e-6))
    return {
        "prediction": pixels(three_plane_figure(scan, predicted, names, window)),
        "reference, prediction, agreement": pixels(agreement_figure(scan, predicted, expected, names, window)),
    }


def _thinned(image: Tensor) -> Tensor:
    """Some hundred thousand values of an image, evenly spread."""
    return image.flatten()[:: max(1, image.numel() // 200_000)].clone()


def preview(found: Segmentation) -> np.ndarray:
    """The slices that matter of a scan with its organs, (H, W, 3) uint8."""
    return pixels(found.figure())
