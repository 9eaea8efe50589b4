"""Drawing of slices: rows of panels, each row on one scale, with orientation letters, scale bars and a legend.

Sizes are in mm in the patient and in inches on the figure. A panel is drawn pixel for pixel, so that a voxel has its
proportions whatever its spacing, and the outline of an organ is equally thin on every grid. Works without a display.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from medssm.viewing.slices import Plane, plane_picture

Colour = tuple[int, int, int]
LegendLine = tuple[Colour | None, str]  # a heading has no colour

LABEL_OPACITY = 0.4
DPI = 100
# Of the figure, in inches: the room for all panels, the least width of a cell and the largest of a row's first panel,
# and what lies around a panel.
WIDEST, HIGHEST, NARROWEST, LARGEST = 11.4, 10.0, 1.5, 3.4
SIDE, ABOVE, BELOW = 0.24, 0.5, 0.48
LINE = 0.21  # of text
LETTER = 0.078  # width of a letter of the legend, roughly
BAR_LENGTHS = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5)]  # mm
BAR_HEIGHT = 0.04


class Panel(NamedTuple):
    """A slice to be drawn.

    Attributes:
        grey: (rows, columns), 0 black to 1 white.
        labels: (rows, columns), integers, 0 where nothing is painted.
        colour_of: of a label.
        width, height: in mm.
        marks: letters at left, right, bottom and top.
    """

    title: str
    grey: np.ndarray
    labels: np.ndarray
    colour_of: Callable[[int], Colour]
    width: float
    height: float
    marks: str


def panel(
    plane: Plane,
    index: int,
    grey: np.ndarray,
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    window: tuple[float, float],
    colour_of: Callable[[int], Colour],
    title: str = "",
) -> Panel:
    """A slice of a scan on the RAS grid with its labels.

    Args:
        grey, labels: (X, Y, Z).
        window: the values shown black and white.
        title: by default the plane and the slice's number from 1.
    """
    low, high = window
    cut = np.nan_to_num(plane_picture(grey, plane, index).astype(np.float32), nan=low, posinf=high, neginf=low)
    painted = plane_picture(labels, plane, index)
    rows, columns = cut.shape
    size = (columns * spacing[plane.across], rows * spacing[plane.up])
    name = title or f"{plane.title} {index + 1}/{grey.shape[plane.axis]}"
    return Panel(name, np.clip((cut - low) / (high - low), 0, 1), painted, colour_of, *size, plane.marks)


def sheet(rows: Sequence[Sequence[Panel]], legend: Sequence[LegendLine], notes: Sequence[str] = ()) -> Figure:
    """The panels of each row on one scale, the legend at their right and the notes below."""
    scales = [_scale(row, HIGHEST / len(rows) - ABOVE - BELOW) for row in rows]
    cells = [
        [max(part.width * scale, NARROWEST) + 2 * SIDE for part in row] for row, scale in zip(rows, scales, strict=True)
    ]
    bands = [max(part.height for part in row) * scale + ABOVE + BELOW for row, scale in zip(rows, scales, strict=True)]
    panels_width = max(sum(row) for row in cells)
    width, height = panels_width + _legend_width(legend), max(sum(bands), LINE * (len(legend) + 2))
    foot = LINE * len(notes) + 0.1
    figure = Figure(figsize=(width, height + foot), facecolor="black", dpi=DPI)
    FigureCanvasAgg(figure)
    for row, scale, sizes, top in zip(rows, scales, cells, accumulate(bands, initial=0.0), strict=False):
        for part, left in zip(row, accumulate(sizes, initial=0.0), strict=False):
            _draw(figure, part, left + SIDE, top + ABOVE, scale)
    _write_legend(figure, legend, panels_width)
    for line, note in enumerate(reversed(notes)):
        place = (SIDE / width, (0.1 + LINE * line) / (height + foot))
        figure.text(*place, note, color="0.75", fontsize=8, parse_math=False)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """The drawn figure, (H, W, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def raster(part: Panel, columns: int, rows: int) -> np.ndarray:
    """A panel in so many pixels, (rows, columns, 3) uint8: labels see-through, with an outline that is not."""
    grey = Image.fromarray(part.grey.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
    picture = np.repeat(255 * np.asarray(grey)[..., None], 3, axis=2)
    down, across = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((rows, columns), part.labels.shape, strict=True)
    )
    labels = part.labels[np.ix_(down, across)]
    opacity = np.where(_outline(labels), 1.0, LABEL_OPACITY)[..., None]
    for label in np.unique(labels[labels > 0]).tolist():
        where = labels == label
        painted = opacity[where] * np.array(part.colour_of(label)) + (1 - opacity[where]) * picture[where]
        picture[where] = painted
    return picture.round().astype(np.uint8)


def bar_length(width: float) -> float:
    """The length in mm of the scale bar of a picture so many mm wide: 1, 2 or 5 times a power of ten.

    >>> bar_length(360.0), bar_length(30.0)
    (50.0, 5.0)
    """
    return max((length for length in BAR_LENGTHS if length <= width / 4), default=BAR_LENGTHS[0])


def _outline(labels: np.ndarray) -> np.ndarray:
    """Where a pixel's neighbour above, below, left or right has another label."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([near != labels for near in neighbours], axis=0)


def _scale(row: Sequence[Panel], height: float) -> float:
    """Inches for a mm, so that a row is neither wider than the room for panels nor higher than `height` inches."""
    width = WIDEST - 2 * SIDE * len(row)
    return min(
        width / sum(part.width for part in row), height / max(part.height for part in row), LARGEST / row[0].width
    )


def _draw(figure: Figure, part: Panel, left: float, top: float, scale: float) -> None:
    """A panel whose upper left corner lies so many inches from that of the figure."""
    columns, rows = (max(round(size * scale * DPI), 1) for size in (part.width, part.height))
    across, down = (value * DPI for value in figure.get_size_inches())
    axes = figure.add_axes(
        (round(left * DPI) / across, 1 - (round(top * DPI) + rows) / down, columns / across, rows / down)
    )
    # In mm; a panel thinner than a pixel is drawn as one.
    axes.imshow(raster(part, columns, rows), extent=(0, part.width, 0, part.height), interpolation="nearest")
    axes.set_aspect("auto")
    axes.set_axis_off()
    _mark(axes, part, scale)


def _mark(axes: Axes, part: Panel, scale: float) -> None:
    """Title, letters and scale bar, all outside of the picture."""
    gap = 0.07 / scale
    texts = [
        (-gap, part.height / 2, part.marks[0], "right", "center"),
        (part.width + gap, part.height / 2, part.marks[1], "left", "center"),
        (part.width / 2, -gap, part.marks[2], "center", "top"),
        (part.width / 2, part.height + gap, part.marks[3], "center", "bottom"),
    ]
    for x, y, mark, across, along in texts:
        axes.text(x, y, mark, color="yellow", fontsize=10, ha=across, va=along)
    axes.text(0, part.height + gap + LINE / scale, part.title, color="white", fontsize=9, va="bottom", parse_math=False)
    length, under = bar_length(part.width), -(BELOW - 0.12) / scale
    axes.add_patch(Rectangle((0, under), length, BAR_HEIGHT / scale, facecolor="white", clip_on=False))
    size = f"{length / 10:g} cm" if length >= 10 else f"{length:g} mm"
    axes.text(length + gap, under, size, color="white", fontsize=8, va="center")


def _legend_width(legend: Sequence[LegendLine]) -> float:
    return 0.7 + LETTER * max((len(text) for _, text in legend), default=0)


def _write_legend(figure: Figure, legend: Sequence[LegendLine], left: float) -> None:
    width, height = figure.get_size_inches()
    top = height - ABOVE
    for line, (colour, text) in enumerate(legend):
        bottom = top - LINE * (line + 1)
        place = ((left + (0.47 if colour else 0.15)) / width, (bottom + 0.07) / height)
        figure.text(*place, text, color="white", fontsize=9, va="center", parse_math=False)
        if colour is None:
            continue
        swatch = Rectangle(
            ((left + 0.15) / width, bottom / height),
            0.22 / width,
            0.14 / height,
            transform=figure.transFigure,
            facecolor=[part / 255 for part in colour],
        )
        figure.add_artist(swatch)
