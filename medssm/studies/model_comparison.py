"""Networks side by side: their size, their speed on this machine, and what part of an image they see."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from medssm.benchmarks.model_runs import Conditions
from medssm.benchmarks.models import measure_models
from medssm.benchmarks.pairs import Spread
from medssm.benchmarks.zoo import ZooRow, measure_zoo
from medssm.errors import UsageError
from medssm.models import fresh_model, list_models
from medssm.models.info import ModelInfo
from medssm.studies.receptive_field import effective_size, receptive_field

HEADINGS = ("model", "system", "input", "parameters, M", "multiply-adds, G", "images/s", "receptive field, pixels")


@dataclass(frozen=True)
class Compared:
    """One network for images.

    Attributes:
        zoo: its size and cost.
        images_per_second: one image at a time; None if memory ran out.
        field: (H, W), the effective receptive field of the middle of its coarsest map, with random weights.
    """

    zoo: ZooRow
    images_per_second: Spread | None
    field: Tensor

    @property
    def info(self) -> ModelInfo:
        """What is known of it besides."""
        return self.zoo.info

    @property
    def seen(self) -> float:
        """The side of the field as a share of the image's."""
        return effective_size(self.field) / self.field.numel() ** 0.5

    def cells(self) -> tuple[str, ...]:
        """The row's text, in the order of HEADINGS."""
        speed = self.images_per_second
        return (
            f"`{self.info.name}`",
            self.info.system,
            "x".join(map(str, self.info.input_size)),
            f"{self.zoo.parameters / 1e6:.1f}",
            f"{self.zoo.multiply_adds / 1e9:.2f}",
            f"{speed.median:.3g} ({speed.min:.3g} - {speed.max:.3g})" if speed else "out of memory",
            f"{effective_size(self.field):.0f}",
        )


def compare_models(names: Sequence[str], budget: float = 1.0, samples: int = 1) -> list[Compared]:
    """Networks of random weights, each at its own size of image, in float32 on the CPU.

    Args:
        names: of `list_models("classification")`.
        budget: seconds for each of three repetitions of a network's passes.
        samples: inputs over which a receptive field is averaged.

    Raises: UsageError on a name that is none of a network for images.
    """
    if wrong := [name for name in names if name not in list_models("classification")]:
        raise UsageError(f"{wrong[0]!r} is no network for images; `medssm models` lists them")
    zoo = measure_zoo(names, speed=False)
    speeds = measure_models(names, [1], Conditions(budget=budget), memory=False).speeds
    return [
        Compared(row, speed.images_per_second, _field(row.info, samples))
        for row, speed in zip(zoo, speeds, strict=True)
    ]


def comparison_table(rows: Sequence[Compared]) -> str:
    """The table as Markdown; of the speed the median, the lowest and the highest of three repetitions."""
    lines = [HEADINGS, ("---",) * 3 + ("---:",) * 4, *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def comparison_figure(rows: Sequence[Compared]) -> Figure:
    """Bars of parameters, of images a second with their range, and of the field's side as a share of the image's."""
    figure = Figure(figsize=(9, 0.8 + 0.32 * len(rows)), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    sizes, speeds, shares = figure.subplots(1, 3, sharey=True)
    names = [row.info.name for row in rows]
    sizes.barh(names, [row.zoo.parameters / 1e6 for row in rows], color="tab:blue")
    for row in rows:
        if (speed := row.images_per_second) is not None:
            beyond = [[speed.median - speed.min], [speed.max - speed.median]]
            speeds.barh(row.info.name, speed.median, xerr=beyond, color="tab:orange", capsize=2)
    shares.barh(names, [100 * row.seen for row in rows], color="tab:green")
    sizes.set(xlabel="parameters, millions")
    sizes.invert_yaxis()
    speeds.set(xlabel="images a second, one at a time", xscale="log")
    shares.set(xlabel="receptive field, % of the image's side", xlim=(0, 100))
    return figure


def _field(info: ModelInfo, samples: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fresh_model(info.name, features_only=True)
    return receptive_field(network, (info.in_channels, *info.input_size), samples=samples)
