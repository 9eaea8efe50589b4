"""Every network beside what its authors state: size, cost, logits, accuracy; and its speed on this CPU."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medssm.benchmarks.golden import golden_error
from medssm.benchmarks.model_runs import Conditions
from medssm.benchmarks.models import images_per_second
from medssm.benchmarks.report import markdown_table, or_dash
from medssm.errors import UsageError
from medssm.models import list_models, model_info
from medssm.models.counts import counted_as_published
from medssm.models.flops import model_cost
from medssm.models.info import ModelInfo
from medssm.models.registry import count_parameters

BUDGET = 3.0  # seconds for the passes of each of three repetitions
HEADINGS = (
    "model",
    "parameters, M",
    "published",
    "multiply-adds, G",
    "published",
    "logits off by",
    "images/s, CPU",
    "published accuracy",
    "source",
)


@dataclass(frozen=True)
class ZooRow:
    """One network.

    Attributes:
        multiply_adds: counted as the authors count, where they state a figure.
        published_parameters, published_multiply_adds: in millions and in 10^9; None where none is stated.
        error: of the logits, relative to the largest; None without a golden.
        speed: inputs a second, one at a time; None where it was not measured.
    """

    info: ModelInfo
    parameters: int
    multiply_adds: int
    published_parameters: float | None
    published_multiply_adds: float | None
    error: float | None
    speed: float | None

    def cells(self) -> tuple[str, ...]:
        """The row's text, in the order of HEADINGS."""
        result = self.info.result
        return (
            f"`{self.info.name}`",
            f"{self.parameters / 1e6:.2f}",
            or_dash(self.published_parameters, "g"),
            f"{self.multiply_adds / 1e9:.2f}",
            or_dash(self.published_multiply_adds, "g"),
            or_dash(self.error, ".0e"),
            or_dash(self.speed, ".2g" if (self.speed or 0) < 10 else ".0f"),
            f"{result.metric} {result.value:.1f}, {result.dataset}" if result else "–",
            result.source if result else "–",
        )


def measure_zoo(
    names: Sequence[str] = (),
    goldens: Path | None = None,
    speed: bool = True,
    announce: Callable[[str], None] | None = None,
) -> list[ZooRow]:
    """A row for each network of images and clips, or for those named.

    Args:
        goldens: a folder of outputs of the official networks; None to compare none.
        speed: also time each network, one input at a time, with random weights.
        announce: called with each name before its turn.

    Raises: UsageError on an unknown name, or if there is no such folder.
    """
    if goldens and not goldens.is_dir():
        raise UsageError(f"{goldens}: there is no such folder; the project's is tests/models/golden")
    rows = []
    for name in names or (*list_models("classification"), *list_models("video")):
        if announce:
            announce(name)
        info, cost = model_info(name), model_cost(name)
        rows.append(
            ZooRow(
                info=info,
                parameters=count_parameters(name),
                multiply_adds=counted_as_published(info.cost, cost) or cost.multiply_adds + cost.attention,
                published_parameters=info.cost.parameters if info.cost else None,
                published_multiply_adds=info.cost.multiply_adds if info.cost else None,
                error=golden_error(info.name, goldens) if goldens else None,
                speed=images_per_second(name, conditions=Conditions(budget=BUDGET)) if speed else None,
            )
        )
    return rows


def zoo_table(rows: Iterable[ZooRow]) -> str:
    """The table as Markdown."""
    alignment = ("---", *("---:",) * 6, "---", "---")
    return markdown_table(HEADINGS, alignment, (row.cells() for row in rows))
