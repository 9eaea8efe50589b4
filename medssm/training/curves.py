"""The course of a run as a picture: losses, scores and learning rate over the steps."""

import csv
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medssm.files import atomic_path
from medssm.training.validation import AVERAGE

# A curve of more points is drawn as the means of so many stretches, over a pale band from their least to their most.
POINTS = 400
# Told apart by every colour vision, and dark enough on white. Source: Okabe & Ito 2008, Color Universal Design.
COLOURS = ("#0072b2", "#d55e00", "#007f5f", "#a8467f", "#000000")
PART_COLOUR = "0.75"


class Curve(NamedTuple):
    """Values over steps, both (n,)."""

    steps: np.ndarray
    values: np.ndarray


def write_curves(metrics: Path, picture: Path) -> None:
    """Draws a metrics file as PNG: losses, scores and learning rate, one panel each.

    The best of the score by which weights are chosen, which is the first one, is marked; the scores of parts, such as
    organs, are pale.

    Args:
        metrics: a CSV file with the columns step, epoch and learning_rate, and then losses and scores.
    """
    training, validation = read_curves(metrics)
    rate = {"learning rate": training.pop("learning_rate")} if training else {}
    losses = training | {name: curve for name, curve in validation.items() if "loss" in name}
    scores = {name: curve for name, curve in validation.items() if name not in losses}
    figure = Figure(figsize=(8, 8), dpi=100)
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
    figure.subplots_adjust(left=0.12, right=0.97, top=0.98, bottom=0.07, hspace=0.1)
    for axes, title, curves in zip(panels, ("loss", "score", "learning rate"), (losses, scores, rate), strict=True):
        _draw(axes, title, curves)
    for name in list(scores)[:1]:
        main = name.removeprefix(AVERAGE)
        for kept in (main, AVERAGE + main):
            if kept in scores:
                _mark_best(panels[1], kept, scores[kept])
    for axes, curves in ((panels[0], losses), (panels[1], scores)):
        if curves:
            axes.legend(fontsize=8, loc="upper right" if axes is panels[0] else "lower right")
    panels[2].set_xlabel("step")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png")


def read_curves(metrics: Path) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """The columns of a metrics file in order, but for the epoch: those of training steps, and those of validations."""
    with open(metrics, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows, columns = list(reader), [name for name in reader.fieldnames or () if name not in ("step", "epoch")]
    of_training = [row for row in rows if row["learning_rate"]]
    of_validation = [row for row in rows if not row["learning_rate"]]
    return _curves(of_training, columns), _curves(of_validation, columns)


def _curves(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> dict[str, Curve]:
    curves = {}
    for name in columns:
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        if points:
            steps, values = np.array(points).T
            curves[name] = Curve(steps, values)
    return curves


def _draw(axes: Axes, title: str, curves: Mapping[str, Curve]) -> None:
    colours, explained = cycle(COLOURS), set[str]()
    for name, curve in curves.items():
        whole, _, part = name.removeprefix(AVERAGE).partition("/")
        if part:
            label = None if whole in explained else f"{whole}/..."
            axes.plot(*curve, color=PART_COLOUR, linewidth=0.8, zorder=1, label=label)
            explained.add(whole)
            continue
        colour = next(colours)
        if len(curve.steps) > POINTS:
            curve = _band(axes, curve, colour)
        marker = "." if len(curve.steps) < 60 else None
        width = 3.0 if colour == COLOURS[0] else 1.3  # the first one is seen also where another lies on it
        axes.plot(*curve, color=colour, label=name, linewidth=width, marker=marker, zorder=2)
    axes.set_ylabel(title)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _band(axes: Axes, curve: Curve, colour: str) -> Curve:
    """The means of stretches of a long curve, whose extremes are drawn as a band."""
    stretches = [np.array_split(part, POINTS) for part in curve]
    steps, values = ([part.mean() for part in parts] for parts in stretches)
    low, high = ([end(part) for part in stretches[1]] for end in (np.min, np.max))
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    return Curve(np.array(steps), np.array(values))


def _mark_best(axes: Axes, name: str, curve: Curve) -> None:
    """The highest value of a score, the first of them."""
    if np.isfinite(curve.values).any():
        step, value = (part[np.nanargmax(curve.values)] for part in curve)
        label = f"best {name}: {value:.4f} at step {step:.0f}"
        axes.plot([step], [value], "*", color="black", markersize=11, linestyle="", label=label, zorder=3)
