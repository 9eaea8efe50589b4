"""A picture of a prediction beside its reference, and of where the two agree."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.organs import AGREEMENT, DIFFERENT, ONLY_LEFT, ONLY_RIGHT, colour_of
from medssm.data.scans.volume import Volume
from medssm.viewing.panels import Colour, panel, sheet
from medssm.viewing.preview import view_notes
from medssm.viewing.slices import PLANES, fullest_index, grey_window

# What the values of `agreement` mean, from 1.
MEANINGS: tuple[tuple[Colour, str], ...] = (
    (AGREEMENT, "both"),
    (ONLY_LEFT, "only the prediction"),
    (ONLY_RIGHT, "only the reference"),
    (DIFFERENT, "another organ"),
)


def agreement_figure(
    volume: Volume,
    prediction: np.ndarray,
    reference: np.ndarray,
    names: Mapping[int, str],
    window: tuple[float, float] | None = None,
) -> Figure:
    """Three rows of axial, coronal and sagittal planes: reference, prediction, agreement.

    Each plane goes through the largest area on which the two differ; if they do not, through the largest labelled one.

    Args:
        volume: the scan.
        prediction, reference: (X, Y, Z) integers on the volume's grid.
        names: label value -> organ, for the legend.
        window: the values shown black and white; by default soft tissue for CT, else percentiles.
    """
    image, affine = to_ras(volume.array, volume.affine)
    predicted, expected = (to_ras(labels, volume.affine)[0] for labels in (prediction, reference))
    verdict = agreement(predicted, expected)
    errors = verdict > 1
    indices = [fullest_index(errors if errors.any() else verdict, plane.axis) for plane in PLANES]
    given = window or grey_window(volume.array)
    kinds = (("reference", expected, colour_of), ("prediction", predicted, colour_of), ("agreement", verdict, _meant))
    rows = [
        [
            panel(plane, index, image, labels, spacing_of(affine), given, colour, f"{title}, {plane.title} {index + 1}")
            for plane, index in zip(PLANES, indices, strict=True)
        ]
        for title, labels, colour in kinds
    ]
    present = sorted({label for part in rows[0] + rows[1] for label in np.unique(part.labels).tolist()} - {0})
    organs = [(colour_of(label), names.get(label, f"label {label}")) for label in present]
    return sheet(rows, [*organs, (None, "agreement:"), *MEANINGS], view_notes(affine, given))


def agreement(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of each voxel of two maps of one shape, uint8: 0 for background in both, else 1 plus the place in MEANINGS.

    >>> agreement(np.array([0, 3, 3, 0, 3]), np.array([0, 3, 0, 3, 4])).tolist()
    [0, 1, 2, 3, 4]
    """
    verdict = np.zeros(prediction.shape, np.uint8)
    verdict[prediction != 0] = 2
    verdict[reference != 0] = 3
    verdict[(prediction != 0) & (reference != 0)] = 4
    verdict[(prediction == reference) & (reference != 0)] = 1
    return verdict


def _meant(verdict: int) -> Colour:
    return MEANINGS[verdict - 1][0]
