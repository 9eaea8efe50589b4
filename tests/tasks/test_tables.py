"""Tables to which later calls add, whatever files are called."""

import csv
import os
from pathlib import Path

import pytest

from medssm.errors import UsageError
from medssm.tasks.batch import FileResults
from medssm.tasks.classified_files import ClassTable
from medssm.tasks.classifier import Candidate
from medssm.tasks.tables import Tables

ODD = (Path("-a.png"), Path("=b.png"), Path(os.fsdecode(b"\xff.png")), Path('c, "d".png'))


def tables(folder: Path, top: int = 1, overwrite: bool = False) -> Tables[list[Candidate]]:
    made_by = {"command": "classify", "weights_sha256": "0", "settings": {"top": top}}
    return Tables(ClassTable(), folder / "a.json", folder / "a.csv", made_by, overwrite)


def found(*files: Path) -> FileResults[list[Candidate]]:
    return FileResults({file: [Candidate(1, 0, "cat", 1.0)] for file in files})


def test_what_is_known_is_known_again_and_added_to(tmp_path: Path) -> None:
    tables(tmp_path).write(found(*ODD), "model")
    again = tables(tmp_path)
    assert list(again.known) == [str(file) for file in ODD]
    assert all(again.why_known(file) == f"is in {tmp_path / 'a.json'} already" for file in ODD)
    assert again.why_known(Path("new.png")) is None
    assert again.why_known(ODD[0], tmp_path / "missing.png") is None
    again.write(found(Path("new.png")), "model")
    assert list(tables(tmp_path).known) == [*map(str, ODD), "new.png"]
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [
            *("'-a.png", "'=b.png", r"\udcff.png", 'c, "d".png', "new.png")
        ]


def test_another_setting_or_a_lost_json_is_refused_unless_overwritten(tmp_path: Path) -> None:
    tables(tmp_path).write(found(*ODD), "model")
    with pytest.raises(UsageError, match=r"a\.json: there already, made with settings {'top': 1}; give --overwrite"):
        tables(tmp_path, top=2)
    assert tables(tmp_path, top=2, overwrite=True).known == {}
    (tmp_path / "a.json").unlink()
    with pytest.raises(UsageError, match=r"a\.csv: there already, with rows that no --json of this command has"):
        tables(tmp_path)
