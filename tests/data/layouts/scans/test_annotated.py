"""Partly labelled cases: which labels a list says were drawn in each."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.errors import DataError

LABELS = {"0": "background", "1": "liver", "2": "spleen"}


def write(folder: Path, annotated: Any, held: tuple[int, ...] = (1, 2)) -> None:
    """Two cases, of which the first is partly labelled."""
    for name in ("a", "b"):
        values = np.random.default_rng(ord(name)).integers(-900, 99, (6, 5, 4)).astype(np.int16)
        labels = np.zeros((6, 5, 4), np.uint8)
        for label in held if name == "a" else (1, 2):
            labels[label] = label
        nib.save(nib.Nifti1Image(values, np.diag([2, 2, 2, 1])), folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(labels, np.diag([2, 2, 2, 1])), folder / f"{name}_seg.nii.gz")
    listed = [{"image": f"{name}.nii.gz", "label": f"{name}_seg.nii.gz"} for name in ("a", "b")]
    content = {"labels": LABELS, "modality": {"0": "CT"}, "training": [listed[0] | {"annotated": annotated}, listed[1]]}
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize("annotated", [["Liver"], [1], "1", ["1"]])
def test_a_list_names_them_or_gives_their_values(annotated: Any, tmp_path: Path) -> None:
    write(tmp_path, annotated, held=(1,))
    by_id = {case.id: case.annotated for case in load_dataset(tmp_path).cases}
    assert by_id == {"a": frozenset({1}), "b": None}
    assert not check_dataset(tmp_path, 0).faults


def test_a_table_has_them_in_a_column(tmp_path: Path) -> None:
    write(tmp_path, None)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": LABELS, "modality": {"0": "CT"}}))
    rows = "image,label,annotated\na.nii.gz,a_seg.nii.gz,liver; spleen\nb.nii.gz,b_seg.nii.gz,\n"
    (tmp_path / "cases.csv").write_text(rows)
    by_id = {case.id: case.annotated for case in load_dataset(tmp_path).cases}
    assert by_id == {"a": frozenset({1, 2}), "b": None}


@pytest.mark.parametrize("annotated", [["kidney"], [7], [True], {"a": 1}])
def test_what_is_no_label_is_refused(annotated: Any, tmp_path: Path) -> None:
    write(tmp_path, annotated)
    with pytest.raises(DataError, match=r"case 'a' has .* 'annotated' labels, which is none of liver, spleen; correct"):
        load_dataset(tmp_path)


def test_a_label_that_was_not_to_be_drawn_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, ["liver"])
    [fault] = check_dataset(tmp_path, 0).faults
    assert (fault.kind, fault.message) == (
        "undrawn-label",
        "holds spleen, which 'annotated' leaves out; correct the map or the list",
    )
