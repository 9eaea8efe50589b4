"""curves.png: in the run folder at each validation, after a resume and at the end, with what metrics.csv holds."""

import csv
import signal
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from torch import nn

from medssm.training.curves import POINTS, write_curves

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Sine, train

COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "loss",
    "dice_loss",
    "dice",
    "dice/liver",
    "average/dice",
    "validation_loss",
)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written, as they are."""
    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (kept.append(figure), save(figure, *a, **k)))
    return kept


def write_metrics(path: Path, steps: int, scores: dict[int, float]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for step in range(1, steps + 1):
            writer.writerow({"step": step, "epoch": 0, "learning_rate": 0.1, "loss": 2 / step, "dice_loss": 1 / step})
            if step in scores:
                row = {"dice": scores[step], "dice/liver": 0.4, "average/dice": 0.2, "validation_loss": 0.7}
                writer.writerow({"step": step, **row})


def test_each_panel_has_its_columns_and_the_best_score_is_marked(figures: list[Figure], tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", 9, {3: 0.5, 6: 0.9, 9: 0.8})
    write_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    losses, scores, rate = figures[0].axes
    named = [[line.get_label() for line in axes.lines if line.get_label()[0] != "_"] for axes in (losses, scores)]
    assert named[0] == ["loss", "dice_loss", "validation_loss"]
    bests = ["best dice: 0.9000 at step 6", "best average/dice: 0.2000 at step 3"]
    assert named[1] == ["dice", "dice/...", "average/dice", *bests]
    np.testing.assert_allclose(losses.lines[0].get_xydata(), [(step, 2 / step) for step in range(1, 10)])
    np.testing.assert_allclose(rate.lines[0].get_ydata(), 0.1)


def test_a_long_curve_is_drawn_as_means_and_extremes(figures: list[Figure], tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", 10 * POINTS, {})
    write_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    losses = figures[0].axes[0]
    steps, means = losses.lines[0].get_data()
    assert (len(steps), steps[0]) == (POINTS, 5.5)
    assert means[0] == pytest.approx(np.mean([2 / step for step in range(1, 11)]))
    assert losses.collections[0].get_datalim(losses.transData).ymax == pytest.approx(2)


def test_a_run_without_rows_and_one_without_validation_have_curves(tmp_path: Path) -> None:
    for steps in (0, 1):
        write_metrics(tmp_path / "metrics.csv", steps, {})
        write_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
        assert matplotlib.image.imread(tmp_path / "curves.png").shape == (800, 800, 4)


def test_curves_are_drawn_at_each_validation_after_a_resume_and_at_the_end(
    figures: list[Figure], tmp_path: Path
) -> None:
    def last_steps() -> list[float]:
        return [max(line.get_xdata()[-1] for line in figure.axes[0].lines) for figure in figures]

    class Stopped(Sine):
        seen = 0

        def losses(self, model: nn.Module, batch: object, moment: object) -> object:
            self.seen += 1
            if self.seen == 5:
                signal.raise_signal(signal.SIGTERM)
            return super().losses(model, batch, moment)

    train(tmp_path / "run", Stopped(), steps=8)  # validated every other step
    assert last_steps() == [2, 4, 5]
    figures.clear()
    train(tmp_path / "run", steps=8, resume=True)
    assert last_steps() == [5, 6, 8]
    figures.clear()
    train(tmp_path / "odd", steps=7, validate_every_steps=3)
    assert last_steps() == [3, 6, 7]
    for name in ("run", "odd"):
        assert matplotlib.image.imread(tmp_path / name / "curves.png").shape == (800, 800, 4)
        assert not list((tmp_path / name).glob(".writing-*"))
