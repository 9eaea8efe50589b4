"""Files are written whole or not at all, and hold what every reader takes."""

import json
import re
from pathlib import Path

import pytest

from medssm.files import atomic_path, cache_folder, json_text


def test_a_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "new" / "scan.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "scores.csv"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MEDSSM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "medssm"
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_json_is_what_the_standard_knows_and_comes_back() -> None:
    content = {"nan": [float("nan"), float("inf"), (-float("inf"), 1.5)], "file": "caf\udce9", "organ": "Gänse\n\x1b"}
    text = json_text(content)
    text.encode("utf-8")
    back = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert back == {"nan": [None, None, [None, 1.5]], "file": "caf\udce9", "organ": "Gänse\n\x1b"}
    assert "Gänse" in text
    assert json_text(content, is_ascii=True).isascii()


# What is written for medssm itself and holds no figures: the journal and claims of a batch, what is passed to another
# process, keys that are hashed or compared, the synthetic datasets and lists of COCO, and counts that the source keeps.
OWN_JSON = {"under_way.py", "claims.py", "memory.py", "model_memory.py", "waiting.py", "counts.py", "cache.py"}
OWN_JSON |= {"records.py", "tables.py", "dataset.py", "reading.py", "arguments.py"}
# Numbers under names of our own, and a dataset as its publisher writes it.
OWN_CSV = {"journal.py", "dataset.py"}


def modules() -> dict[str, str]:
    """The source of every module, some of them under one name."""
    root = Path(__file__).parents[1]
    paths = [path for part in ("medssm", "cli", "data", "recipes", "kernels") for path in (root / part).rglob("*.py")]
    assert len(paths) > 100
    found: dict[str, str] = {}
    for path in paths:
        found[path.name] = found.get(path.name, "") + path.read_text(encoding="utf-8")
    return found


def test_all_json_is_written_by_one_function() -> None:
    writers = {name for name, text in modules().items() if re.search(r"\bjson\w*\.dumps?\(|import dumps?\b", text)}
    assert writers - OWN_JSON == {"files.py"}


def test_all_tables_that_are_written_are_safe_in_a_spreadsheet() -> None:
    writers = {name: text for name, text in modules().items() if re.search(r"csv\.(writer|DictWriter)\(", text)}
    assert len(writers) > len(OWN_CSV)
    assert {name for name, text in writers.items() if not re.search(r"spreadsheet_cell[(,]", text)} == OWN_CSV
