"""A slice of a validation case: scan, reference and prediction side by side."""

import numpy as np
from torch import Tensor

from medssm.data.organs import colour_of

OPACITY = 0.5


def comparison(image: Tensor, reference: Tensor, prediction: Tensor) -> np.ndarray:
    """The axial slice that holds most organs, (H, 3 W, 3) uint8, seen from the feet as radiologists do.

    Args:
        image: (1, D, H, W) in [0, 1] on the RAS grid.
        reference, prediction: (D, H, W), integer.
    """
    per_slice = [len(reference[..., z].unique()) for z in range(reference.shape[-1])]
    z = int(np.argmax(per_slice))
    grey = np.repeat((_upright(image[0, ..., z]) * 255)[..., None], 3, axis=2)
    painted = [_paint(grey, _upright(labels[..., z])) for labels in (reference, prediction)]
    return np.concatenate([grey, *painted], axis=1).astype(np.uint8)


def _upright(plane: Tensor) -> np.ndarray:
    """(x, y) to rows from front to back and columns from the patient's right to left."""
    return plane.flip(0, 1).T.cpu().numpy()


def _paint(grey: np.ndarray, labels: np.ndarray) -> np.ndarray:
    painted = grey.copy()
    for label in np.unique(labels[labels > 0]):
        where = labels == label
        painted[where] = (1 - OPACITY) * painted[where] + OPACITY * np.array(colour_of(int(label)))
    return painted
