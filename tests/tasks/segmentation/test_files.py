"""Folders of scans: each is done once and known by its record; what comes from something else is not taken for it."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from torch import nn

from medssm.data.scans.volume import read_volume
from medssm.tasks.batch import FileResults
from medssm.tasks.records import Record, read_record, record_path
from medssm.tasks.segmentation.files import OrgansOfScan, predict_scans
from medssm.tasks.segmentation.jobs import Extras, plan_jobs
from medssm.tasks.segmentation.runner import PredictSettings

Results = FileResults[OrgansOfScan]


def write(path: Path, seed: int, values: np.ndarray | None = None) -> Path:
    if values is None:
        values = np.random.default_rng(seed).integers(-9, 9, (16, 14, 12)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([1.5, 1.5, 2.0, 1.0])), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("p0/ct.nii.gz", "p1/ct.nii.gz", "p2/ct.nii.gz")):
        write(tmp_path / "in" / name, seed)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def go(make_predictor: Callable, folder: Path, out: Path) -> Callable[..., Results]:
    """A function that predicts the folder into the other, as another process would."""

    def predict(
        weights: str = "w", extras: Extras | None = None, overwrite: bool = False, **settings: float
    ) -> Results:
        jobs = plan_jobs([folder], out, extras or Extras())
        predictor, how = make_predictor(), PredictSettings(**settings)  # type: ignore[arg-type]
        return predict_scans(predictor, jobs, how, weights_sha256=weights, overwrite=overwrite)

    return predict


def counts(results: Results) -> tuple[int, int, int]:
    return len(results.found), len(results.skipped), len(results.failed)


def record(labels: Path) -> Record:
    found = read_record(record_path(labels))
    assert found is not None
    return found


def test_each_scan_leaves_a_record_and_is_not_done_again(go, folder: Path, out: Path) -> None:
    assert counts(go()) == (3, 0, 0)
    labels = out / "p1" / "ct_seg.nii.gz"
    of_one = record(labels)
    assert (of_one.file, of_one.status, of_one.weights_sha256) == (str(folder / "p1" / "ct.nii.gz"), "done", "w")
    assert list(of_one.outputs) == [labels.name]
    assert any("of memory" in note for note in of_one.notes)
    assert of_one.seconds > 0
    assert [path.name for path in (out / "p1" / ".medssm").iterdir()] == ["ct_seg.nii.gz.json"]
    made = labels.stat()
    assert counts(go()) == (0, 3, 0)
    assert labels.stat() == made
    labels.unlink()
    assert counts(go()) == (1, 2, 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weights": "other"}, "made with other weights"),
        ({"overlap": 0.25}, "made with overlap 0.5"),
    ],
)
def test_what_comes_from_something_else_is_not_taken_for_done(go, out: Path, changes: dict, why: str) -> None:
    go()
    made = (out / "p0" / "ct_seg.nii.gz").read_bytes()
    refused = go(**changes)
    assert counts(refused) == (0, 0, 3)
    for sentence in refused.failed.values():
        assert f"ct_seg.nii.gz: is there already, {why}; give --overwrite to write it again, or another" in sentence
    assert (out / "p0" / "ct_seg.nii.gz").read_bytes() == made
    assert counts(go(**changes, overwrite=True)) == (3, 0, 0)
    assert counts(go(**changes)) == (0, 3, 0)


def test_another_scan_and_an_edited_output_are_seen(go, folder: Path, out: Path) -> None:
    go()
    write(folder / "p0" / "ct.nii.gz", seed=7)
    (out / "p1" / "ct_seg.nii.gz").write_bytes(b"edited")
    record_path(out / "p2" / "ct_seg.nii.gz").unlink()
    first, second, third = go().failed.values()
    assert "is there already, made from another scan of this name" in first
    assert "is there already, and was changed since it was written" in second
    assert "is there already, without a record of how it was made" in third
    assert (out / "p1" / "ct_seg.nii.gz").read_bytes() == b"edited"


def test_what_is_missing_is_added_to_the_record(go, out: Path) -> None:
    go()
    labels = out / "p0" / "ct_seg.nii.gz"
    made = labels.stat()
    assert counts(go(extras=Extras(statistics=True))) == (3, 0, 0)
    assert set(record(labels).outputs) == {"ct_seg.nii.gz", "ct_seg.csv", "ct_seg.json"}
    assert labels.stat() == made
    assert counts(go(extras=Extras(statistics=True))) == (0, 3, 0)


def test_what_is_right_stays_in_the_record_when_labels_are_made_again(go, out: Path) -> None:
    statistics = Extras(statistics=True)
    go(extras=statistics)
    labels = out / "p0" / "ct_seg.nii.gz"
    labels.unlink()
    assert counts(go(extras=statistics)) == (1, 2, 0)
    assert set(record(labels).outputs) == {"ct_seg.nii.gz", "ct_seg.csv", "ct_seg.json"}
    assert counts(go(extras=statistics)) == (0, 3, 0)
    assert counts(go(extras=statistics, weights="other", overwrite=True)) == (3, 0, 0)
    assert counts(go(weights="third", overwrite=True)) == (3, 0, 0)
    assert list(record(labels).outputs) == [labels.name]


def test_a_failure_leaves_a_record_and_is_tried_again(go, folder: Path, out: Path) -> None:
    whole = (folder / "p1" / "ct.nii.gz").read_bytes()
    (folder / "p1" / "ct.nii.gz").write_bytes(whole[:100])
    assert counts(go()) == (2, 0, 1)
    failed = record(out / "p1" / "ct_seg.nii.gz")
    assert (failed.status, failed.outputs) == ("failed", {})
    assert str(folder / "p1" / "ct.nii.gz") in failed.why
    (folder / "p1" / "ct.nii.gz").write_bytes(whole)
    assert counts(go()) == (1, 2, 0)
    assert record(out / "p1" / "ct_seg.nii.gz").status == "done"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_written_before_a_failure_is_kept(
    go, out: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was written lies there without a record, which the next call would refuse."""

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("medssm.tasks.segmentation.files.write_statistics", fails)
        go(extras=Extras(statistics=True))
    labels = out / "p0" / "ct_seg.nii.gz"
    made = labels.stat()
    assert (record(labels).status, list(record(labels).outputs)) == ("failed", [labels.name])
    assert not go(extras=Extras(statistics=True)).failed
    assert labels.stat() == made
    assert record(labels).status == "done"


class Inside(nn.Module):
    """A network during whose first window something happens."""

    def __init__(self, network: nn.Module, happens: Callable[[], None]) -> None:
        super().__init__()
        self.network, self.happens = network, [happens]

    def forward(self, windows):
        if self.happens:
            self.happens.pop()()
        return self.network(windows)


@pytest.mark.parametrize("kind", ["replaced", "written to", "gone"])
def test_a_scan_that_changes_while_it_is_read_fails_in_a_sentence(
    go, make_predictor, folder: Path, out: Path, kind: str
) -> None:
    scan = folder / "p0" / "ct.nii.gz"
    before = scan.stat()

    def changes() -> None:
        if kind == "replaced":
            other = Path(shutil.copy(scan, out))
            os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
            other.replace(scan)
        elif kind == "written to":
            scan.write_bytes(scan.read_bytes())
        else:
            scan.unlink()

    predictor, jobs = make_predictor(), plan_jobs([folder], out, Extras(probabilities=True))
    predictor.network = Inside(predictor.network, changes)
    results = predict_scans(predictor, jobs, PredictSettings(), weights_sha256="w")
    assert counts(results) == (2, 0, 1)
    why = f"{scan}: was changed while it was read; run the same command when it is whole"
    assert (results.failed[scan], record(jobs[0].labels).why) == (why, why)
    assert not any(path.exists() for path in jobs[0].outputs)


def test_two_that_go_through_one_folder_share_it(go, make_predictor, folder: Path, out: Path) -> None:
    others: list[Results] = []
    predictor = make_predictor()
    predictor.network = Inside(predictor.network, lambda: others.append(go()))
    first = predict_scans(predictor, plan_jobs([folder], out, Extras()), PredictSettings(), weights_sha256="w")
    [second] = others
    assert counts(second) == (2, 1, 0)
    assert "is at it" in second.skipped[folder / "p0" / "ct.nii.gz"]
    assert list(first.found) == [folder / "p0" / "ct.nii.gz"]
    assert counts(go()) == (0, 3, 0)


def test_what_a_killed_process_left_is_done_after_the_others(go, folder: Path, out: Path) -> None:
    """Its labels were written, its record was not."""
    labels = out / "p0" / "ct_seg.nii.gz"
    labels.parent.mkdir(parents=True)
    labels.write_bytes(b"left")
    claim = record_path(labels).with_suffix(".claim")
    claim.parent.mkdir()
    owner = {"host": socket.gethostname(), "pid": 1, "deaths": 0, "outputs": [labels.name]}
    claim.write_text(json.dumps(owner), encoding="utf-8")
    results = go()
    assert [scan.parent.name for scan in results.found] == ["p1", "p2", "p0"]
    assert results.notes[folder / "p0" / "ct.nii.gz"][0] == "a process ended at it; it is tried again after the others"
    assert read_volume(labels).shape == (16, 14, 12)
    assert not claim.exists()


def test_what_killed_processes_left_half_written_is_swept_after_a_day(go, out: Path) -> None:
    old, new = (out / "p0" / name for name in (".writing-old.nii.gz", ".writing-new"))
    new.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    go()
    assert not old.exists()
    assert new.exists()


def test_label_maps_beside_scans_are_left_out(go, make_predictor, folder: Path, out: Path) -> None:
    labels = np.zeros((16, 14, 12), np.uint8)
    labels[4:12, 4:12, 4:9], labels[4:8, 2:4, 4:9] = 1, 2
    path = write(folder / "p1" / "segmentation.nii.gz", 0, labels)
    results = go()
    assert counts(results) == (3, 1, 0)
    assert results.skipped == {path: "is a label map"}
    assert not (out / "p1" / "segmentation_seg.nii.gz").exists()
    alone = predict_scans(make_predictor(), plan_jobs([path], out, Extras()), PredictSettings())
    assert alone.notes[path][0] == "beware: looks like a label map, not like a scan"
    assert (out / "segmentation_seg.nii.gz").exists()
