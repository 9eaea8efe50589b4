"""When a scan comes to each token of a grid, counted by the scan itself, and drawn."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from medssm.models.mixer import ScanOrder
from medssm.studies.grid_operators import KEPT, scan, wavefront

COLOURS = "viridis"


def visit_numbers(order: ScanOrder, shape: tuple[int, ...]) -> np.ndarray:
    """At which step of the scan each token is visited, from 1.

    A scan that forgets nothing, over tokens that are all 1, counts them.

    >>> visit_numbers(ScanOrder((1, 0), reverse=False), (2, 3))
    array([[1, 3, 5],
           [2, 4, 6]])
    """
    count = scan(order, kept=1.0)(torch.ones(1, 1, *shape))
    return count[0, 0].round().long().numpy()


def wavefront_numbers(shape: tuple[int, int], reverse: bool = False) -> np.ndarray:
    """The step, from 1, that computes each cell of a wavefront, (H, W): cells of one anti-diagonal at once.

    What enters in the first corner is multiplied by the same share in every step, so its trace tells how many it took.
    """
    impulse = torch.zeros(1, 1, *shape)
    impulse[(0, 0, -1, -1) if reverse else (0, 0, 0, 0)] = 1
    trace = wavefront(reverse)(impulse)[0, 0].double()
    steps = trace.log() / np.log(KEPT)
    return steps.round().long().numpy() + 1


def numbers_figure(numbers: Mapping[str, np.ndarray], arrows: bool = True) -> Figure:
    """Grids with their numbers, side by side, coloured from first to last.

    Args:
        numbers: title -> (H, W).
        arrows: each number points at the next, where each stands once.
    """
    figure = Figure(figsize=(2.6 * len(numbers), 2.9), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, grid) in zip(figure.subplots(1, len(numbers), squeeze=False)[0], numbers.items(), strict=True):
        axes.imshow(grid, cmap=COLOURS, alpha=0.45)
        for (row, column), number in np.ndenumerate(grid):
            axes.text(column, row, str(number), ha="center", va="center", fontsize=9)
        if arrows:
            _draw_arrows(axes, grid)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure


def volumes_figure(numbers: Mapping[str, np.ndarray]) -> Figure:
    """Paths through grids in three dimensions, side by side, coloured from first to last.

    Args:
        numbers: title -> (D, H, W), each number once. The axes are named 0, 1 and 2 as in `ScanOrder`.
    """
    figure = Figure(figsize=(3.0 * len(numbers), 3.2), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, grid) in enumerate(numbers.items(), start=1):
        axes = figure.add_subplot(1, len(numbers), place, projection="3d")
        assert isinstance(axes, Axes3D)
        _draw_path(axes, path(grid))
        axes.set_title(title, fontsize=10)
    return figure


def path(numbers: np.ndarray) -> np.ndarray:
    """The tokens' places in the order of their numbers, (length, dimensions)."""
    return np.stack(np.unravel_index(numbers.argsort(axis=None), numbers.shape), axis=1)


def _draw_arrows(axes: Axes, grid: np.ndarray) -> None:
    """From each token to the next; what jumps across the grid is dotted."""
    for start, end in pairwise(path(grid)):
        step = end - start
        is_jump = abs(step).sum() > 1
        style = {"arrowstyle": "->", "linestyle": ":" if is_jump else "-", "alpha": 0.35 if is_jump else 0.9}
        axes.annotate("", (end - 0.28 * np.sign(step))[::-1], (start + 0.28 * np.sign(step))[::-1], arrowprops=style)


def _draw_path(axes: Axes3D, places: np.ndarray) -> None:
    """Steps to a neighbour thick, jumps across the grid thin."""
    shades = colormaps[COLOURS](np.linspace(0, 1, len(places)))
    for shade, (start, end) in zip(shades[1:], pairwise(places), strict=True):
        is_jump = abs(end - start).sum() > 1
        axes.plot(*np.stack([start, end], axis=1), color=shade, linewidth=0.6 if is_jump else 2.5)
    axes.scatter(*places.T, c=shades, s=14, depthshade=False)
    for number in (1, len(places)):
        axes.text(*places[number - 1], f" {number}", fontsize=10, weight="bold")
    axes.set(xticks=[], yticks=[], zticks=[])
    for name in "xyz":
        getattr(axes, f"set_{name}label")(f"axis {'xyz'.index(name)}", labelpad=-14, fontsize=8)
    axes.set_box_aspect(None, zoom=0.9)
