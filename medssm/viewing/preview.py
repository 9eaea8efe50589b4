"""A static picture of a scan in three planes with its labels on top."""

from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from medssm.data.geometry import spacing_of
from medssm.data.network_grid import to_ras
from medssm.data.organs import colour_of
from medssm.data.volume import Volume

# Grey values of soft tissue in CT, in Hounsfield units; another scan is shown between two of its percentiles.
SOFT_TISSUE = (-160.0, 240.0)
LABEL_OPACITY = 0.45
MISSING_ORGAN = "not found"


class Plane(NamedTuple):
    """A plane of the RAS grid as radiologists look at it.

    Attributes:
        title: its name.
        axis: the RAS axis that it is perpendicular to.
        across, up: RAS axes along the picture.
        mirrored: the picture runs against `across`, so that the patient's right is on the left.
        marks: letters at left, right, bottom and top.
    """

    title: str
    axis: int
    across: int
    up: int
    mirrored: bool
    marks: str


PLANES = (
    Plane("axial", 2, 0, 1, True, "RLPA"),
    Plane("coronal", 1, 0, 2, True, "RLIS"),
    Plane("sagittal", 0, 1, 2, True, "APIS"),
)


def three_plane_figure(volume: Volume, labels: np.ndarray, names: Mapping[int, str]) -> Figure:
    """Axial, coronal and sagittal plane, each through the largest area of labels, with a legend of volumes.

    The scan is turned by whole axes only; an oblique scan is shown on its own grid, with the nearest directions.
    Works without a display.

    Args:
        labels: (X, Y, Z) on the volume's grid.
        names: label value -> organ.
    """
    image, affine = to_ras(volume.array, volume.affine)
    turned = to_ras(labels, volume.affine)[0]
    extents = np.array(spacing_of(affine)) * image.shape
    widths = [extents[plane.across] for plane in PLANES]
    figure = Figure(figsize=(15, 5.2), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    *panels, legend = figure.subplots(1, 4, width_ratios=[*widths, 0.45 * max(widths)])
    window = grey_window(volume.array)
    for plane, axes in zip(PLANES, panels, strict=True):
        _draw(axes, plane, image, turned, spacing_of(affine), window)
    _draw_legend(legend, volume, labels, names)
    return figure


def plane_picture(array: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """One plane of a RAS array with rows from top to bottom of the picture, (rows, columns).

    >>> plane_picture(np.arange(8).reshape(2, 2, 2), PLANES[0], 0)  # x to the left, y up
    array([[6, 2],
           [4, 0]])
    """
    cut = np.take(array, index, axis=plane.axis)
    rows_and_columns = cut.T if plane.across < plane.up else cut
    picture = rows_and_columns[::-1]
    return picture[:, ::-1] if plane.mirrored else picture


def fullest_index(labels: np.ndarray, axis: int) -> int:
    """The plane across `axis` with the most labelled voxels; the middle one where there is no label."""
    others = tuple(a for a in range(3) if a != axis)
    area = np.count_nonzero(labels, axis=others)
    return int(area.argmax()) if area.any() else labels.shape[axis] // 2


def grey_window(array: np.ndarray) -> tuple[float, float]:
    """The values shown black and white: soft tissue for what looks like CT, else percentiles of the scan."""
    step = max(round((array.size / 200_000) ** (1 / 3)), 1)
    sample = array[::step, ::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size and sample.min() < -500 and sample.max() > 200:
        return SOFT_TISSUE
    low, high = np.percentile(sample, [1, 99]) if sample.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


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


def _draw(
    axes: Axes,
    plane: Plane,
    image: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    window: tuple[float, float],
) -> None:
    index = fullest_index(labels, plane.axis)
    picture = plane_picture(image, plane, index).astype(np.float32)
    aspect = spacing[plane.up] / spacing[plane.across]
    axes.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect, interpolation="nearest")
    axes.imshow(_coloured(plane_picture(labels, plane, index)), aspect=aspect, interpolation="nearest")
    axes.set_title(f"{plane.title} {index}", color="white", fontsize=10)
    axes.set_axis_off()
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
    for mark, (x, y), across, up in zip(
        plane.marks, places, ("left", "right", "center", "center"), "ccbt", strict=True
    ):
        vertical = {"c": "center", "b": "bottom", "t": "top"}[up]
        axes.text(x, y, mark, color="yellow", transform=axes.transAxes, ha=across, va=vertical, fontsize=11)


def _coloured(labels: np.ndarray) -> np.ndarray:
    """(rows, columns, 4) picture of labels, clear where there is none."""
    present = np.unique(labels)
    picture = np.zeros((*labels.shape, 4), dtype=np.float32)
    for label in present[present > 0].tolist():
        picture[labels == label] = (*_fraction(colour_of(label)), LABEL_OPACITY)
    return picture


def _fraction(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _draw_legend(axes: Axes, volume: Volume, labels: np.ndarray, names: Mapping[int, str]) -> None:
    axes.set_axis_off()
    count = np.zeros(256, dtype=np.int64)
    for k in range(labels.shape[2]):
        count += np.bincount(labels[..., k].ravel(), minlength=256)
    entries = []
    for label, name in sorted(names.items()):
        size = f"{count[label] * volume.voxel_volume / 1000:.1f} ml" if count[label] else MISSING_ORGAN
        entries.append(Patch(color=_fraction(colour_of(label)), label=f"{name}  {size}"))
    if entries:
        axes.legend(handles=entries, loc="center left", frameon=False, labelcolor="white", fontsize=9)
