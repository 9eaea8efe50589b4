"""Every published detector and segmenter beside what its authors state: size, cost, outputs, precision."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medssm.benchmarks.golden import dense_error
from medssm.benchmarks.report import markdown_table, or_dash
from medssm.models import head_info, list_models, model_info
from medssm.models.counts import counted_as_published
from medssm.models.flops import dense_cost
from medssm.models.info import ModelInfo, PublishedDense
from medssm.models.registry import count_parameters

HEADINGS = (
    "model",
    "head",
    "parameters, M",
    "published",
    "multiply-adds, G",
    "published",
    "of an image of",
    "outputs off by",
    "published precision",
    "source",
)


@dataclass(frozen=True)
class DenseRow:
    """One network; those of several schedules have one row.

    Attributes:
        published: an entry for each schedule.
        multiply_adds: counted as the authors count, where they state a figure.
        error: of the outputs, relative to the largest value of each; None without a golden.
    """

    info: ModelInfo
    published: tuple[PublishedDense, ...]
    parameters: int
    multiply_adds: int
    error: float | None

    def cells(self) -> tuple[str, ...]:
        """The row's text, in the order of HEADINGS."""
        first = self.published[0]
        cost = first.cost
        return (
            f"`{self.info.name}`",
            head_info(first.head).title,
            f"{self.parameters / 1e6:.1f}",
            or_dash(cost.parameters if cost else None, "g"),
            f"{self.multiply_adds / 1e9:.0f}",
            or_dash(cost.multiply_adds if cost else None, "g"),
            "x".join(map(str, first.cost_size)),
            or_dash(self.error, ".0e"),
            "; ".join(f"{entry.score} ({entry.schedule})" for entry in self.published),
            first.results[0].source,
        )


def measure_dense_zoo(
    names: Sequence[str] = (), goldens: Path | None = None, announce: Callable[[str], None] | None = None
) -> list[DenseRow]:
    """A row for each published detector and segmenter on any model, or on those named.

    Args:
        goldens: a folder of outputs of the official networks; None to compare none.
        announce: called with each name before its turn.

    Raises: UsageError on an unknown name.
    """
    infos = [model_info(name) for name in names or list_models("classification")]
    rows = []
    for info in infos:
        for head in dict.fromkeys(entry.head for entry in info.dense):
            if announce:
                announce(f"{info.name} with {head}")
            rows.append(_row(info, head, goldens))
    return rows


def _row(info: ModelInfo, head: str, goldens: Path | None) -> DenseRow:
    published = tuple(entry for entry in info.dense if entry.head == head)
    cost = dense_cost(info.name, published[0])
    return DenseRow(
        info=info,
        published=published,
        parameters=count_parameters(info.name, head),
        multiply_adds=counted_as_published(published[0].cost, cost) or cost.multiply_adds + cost.attention,
        error=dense_error(info.name, head, goldens) if goldens else None,
    )


def dense_table(rows: Iterable[DenseRow]) -> str:
    """The table as Markdown, and below it why figures differ."""
    rows = list(rows)
    alignment = ("---", "---", *("---:",) * 6, "---", "---")
    table = markdown_table(HEADINGS, alignment, (row.cells() for row in rows))
    remarks = [_remark(row) for row in rows if row.published[0].cost and row.published[0].cost.remark]
    return "\n".join([table, "", *remarks]) if remarks else table


def _remark(row: DenseRow) -> str:
    cost = row.published[0].cost
    assert cost is not None
    return f"- `{row.info.name}`, {head_info(row.published[0].head).title}: {cost.remark}."
