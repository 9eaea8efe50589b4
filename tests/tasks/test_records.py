"""Records: read back as written, and matched by what files hold."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from medssm.tasks.records import (
    FileState,
    Record,
    contents_of,
    holds,
    read_record,
    record_path,
    settings_sha256,
)

RECORD = Record(
    file="scans/a.nii.gz",
    scan=FileState("ab", 3, 5),
    weights_sha256="cd",
    settings_sha256="ef",
    settings={"overlap": 0.5},
    status="done",
    why="",
    notes=["ä \udcff"],
    seconds=1.5,
    peak_memory_bytes=None,
    outputs={"a_seg.nii.gz": FileState("01", 7, 9)},
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = record_path(tmp_path / "a_seg.nii.gz")
    RECORD.write(path)
    assert path == tmp_path / ".medssm" / "a_seg.nii.gz.json"
    assert read_record(path) == RECORD


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "medssm record 1"}', '{"format": "other"}', "\0", "[" * 9999]
)
def test_what_is_no_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert read_record(tmp_path / "a.json") is None
    assert read_record(tmp_path / "none.json") is None


def test_files_are_known_by_what_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"123")
    known = contents_of([file])
    os.utime(file, (0, 0))
    assert holds([file], known)
    file.write_bytes(b"124")
    assert not holds([file], known)
    file.write_bytes(b"1234")
    assert not holds([file], known)


def test_an_output_is_vouched_for_until_it_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "a_seg.nii.gz"
    file.write_bytes(b"labels")
    record = replace(RECORD, outputs={file.name: contents_of([file])})
    assert record.vouches_for(file)
    assert not replace(RECORD, outputs={}).vouches_for(file)
    file.write_bytes(b"edited")
    assert not record.vouches_for(file)


def test_several_files_are_known_by_what_each_holds(tmp_path: Path) -> None:
    files = [tmp_path / "1", tmp_path / "2"]
    for file in files:
        file.write_bytes(b"slice")
    known = contents_of(files)
    files[1].write_bytes(b"other")
    assert not holds(files, known)


def test_settings_are_known_in_any_order() -> None:
    assert settings_sha256({"a": 1, "b": 2}) == settings_sha256({"b": 2, "a": 1}) != settings_sha256({"a": 1, "b": 3})
