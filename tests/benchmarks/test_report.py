"""Reports as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medssm.benchmarks.pairs import Pairs
from medssm.benchmarks.report import as_json, write_json


class Point(NamedTuple):
    x: int


@dataclass(frozen=True)
class Report:
    times: dict[str, Pairs]
    points: tuple[Point, ...]


REPORT = Report({"part": Pairs((1.0, 2.0), (3.0, 4.0))}, (Point(1),))


def test_figures_that_are_computed_stand_beside_what_they_come_from() -> None:
    ratios = {"min": 2.0, "median": 2.5, "max": 3.0}
    part = {"ours": [1.0, 2.0], "other": [3.0, 4.0], "ratios": ratios}
    assert as_json(REPORT) == {"times": {"part": part}, "points": [{"x": 1}]}


def test_file_names_the_machine(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", REPORT)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(content["machine"]) == {"date", "device", "threads", "instruction_set", "versions", "openmp"}
    assert content["points"] == [{"x": 1}]
