"""A static picture of a scan with its labels on top: the slices that matter."""

from collections.abc import Mapping
from io import BytesIO
from textwrap import wrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.label_values import label_counts
from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.organs import colour_of
from medssm.data.scans.volume import Volume
from medssm.viewing.panels import Colour, panel, sheet
from medssm.viewing.slices import PLANES, SOFT_TISSUE, STRAIGHT, degrees_off_axis, fullest_index, grey_window
from medssm.viewing.slices import organ_slices as further_slices

MISSING_ORGAN = "not found"

# Slices that are added for organs which the first axial one does not show.
FURTHER_SLICES = 3

# Letters in a line of notes below the slices.
LETTERS = 110

# A legend of more organs than this lists those that were found, and counts the others.
LONGEST_LEGEND = 26


def three_plane_figure(
    volume: Volume, labels: np.ndarray, names: Mapping[int, str], window: tuple[float, float] | None = None
) -> Figure:
    """The slices that matter, with a legend of volumes.

    Axial, coronal and sagittal plane, each through the largest area of labels, and below them further axial slices
    for organs that the first one does not show. The scan is turned by whole axes only; an oblique scan is shown on
    its own grid, with the nearest directions. Works without a display.

    Args:
        labels: (X, Y, Z) unsigned integers on the volume's grid.
        names: label value -> organ.
        window: the values shown black and white; by default soft tissue for CT, else percentiles.
    """
    image, affine = to_ras(volume.array, volume.affine)
    turned = to_ras(labels, volume.affine)[0]
    given = window or grey_window(volume.array)
    axial = fullest_index(turned, PLANES[0].axis)
    indices = [axial, *(fullest_index(turned, plane.axis) for plane in PLANES[1:])]
    further = further_slices(turned, PLANES[0].axis, axial, FURTHER_SLICES)
    planned = [list(zip(PLANES, indices, strict=True)), [(PLANES[0], index) for index in further]]
    spacing = spacing_of(affine)
    rows = [[panel(*cut, image, turned, spacing, given, colour_of) for cut in row] for row in planned if row]
    own = [line for note in volume.notes for line in wrap(note, LETTERS)]
    return sheet(rows, _legend(volume, labels, names), [*view_notes(affine, given), *own])


def view_notes(affine: np.ndarray, window: tuple[float, float]) -> list[str]:
    """What one has to know to read a picture, by an affine (4, 4): convention, grey values, how oblique the scan is."""
    unit = " HU" if window == SOFT_TISSUE else ""
    notes = [
        "radiological view: the patient's right is on the left (R right, L left, A front, P back, S head, I feet)",
        f"black {window[0]:g}{unit}, white {window[1]:g}{unit}",
    ]
    if (angle := degrees_off_axis(affine)) > STRAIGHT:
        notes.append(f"oblique scan, drawn on its own grid: the letters are up to {angle:.0f} degrees off")
    return notes


def display(figure: Figure) -> Figure:
    """The figure, shown at once: in a notebook, else in a window; without a screen it is only returned."""
    if not _display_in_notebook(figure):
        _open_window(figure)
    return figure


def _display_in_notebook(figure: Figure) -> bool:
    try:
        from IPython import get_ipython
        from IPython.display import Image
        from IPython.display import display as display_in_notebook
    except ImportError:
        return False
    if get_ipython() is None:
        return False
    stream = BytesIO()
    figure.savefig(stream, format="png")
    display_in_notebook(Image(stream.getvalue()))
    return True


def _open_window(figure: Figure) -> None:
    """Shows the drawn figure with whatever window system matplotlib finds, until the window is closed."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":  # no screen
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    window = plt.figure(figsize=figure.get_size_inches(), dpi=figure.dpi)
    window.figimage(np.asarray(canvas.buffer_rgba()))
    plt.show()


def _legend(volume: Volume, labels: np.ndarray, names: Mapping[int, str]) -> list[tuple[Colour, str]]:
    """Each organ's colour, name and volume; a label without a name has its number."""
    count = label_counts(labels)
    listed = sorted({*names, *count} - {0})
    if len(listed) > LONGEST_LEGEND:
        listed = [label for label in listed if label in count]
    entries = []
    for label in listed:
        size = f"{count[label] * volume.voxel_volume / 1000:.1f} ml" if label in count else MISSING_ORGAN
        entries.append((colour_of(label), f"{names.get(label, f'label {label}')}  {size}"))
    return entries
