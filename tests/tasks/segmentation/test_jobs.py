"""Which scans are meant by folders, patterns and names, and where their outputs go."""

from pathlib import Path

import pytest

from medssm.errors import DataError, UsageError
from medssm.tasks.segmentation.jobs import Extras, plan_jobs


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        content = b"\0" * 128 + b"DICM" if name.endswith(".dcm") else b""
        (root / name).write_bytes(content)
    return root


def planned(*inputs: Path, out: Path | None, extras: Extras | None = None, pattern: str | None = None) -> list[str]:
    """Outputs, without the folder that they go to."""
    jobs = plan_jobs(inputs, out, extras or Extras(), pattern)
    return [str(path.relative_to(out) if out else path) for job in jobs for path in job.outputs if not job.left_out]


def test_a_scan_from_a_folder_keeps_its_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "s0000/ct.nii.gz", "s0001/ct.nii.gz", "PAT/STUDY/SER/1.dcm", "PAT/STUDY/SER2/1.dcm")
    assert planned(root, out=tmp_path / "out") == [
        "PAT/STUDY/SER_seg.nii.gz",
        "PAT/STUDY/SER2_seg.nii.gz",
        "s0000/ct_seg.nii.gz",
        "s0001/ct_seg.nii.gz",
    ]
    assert planned(root / "s0000" / "ct.nii.gz", out=tmp_path / "out") == ["ct_seg.nii.gz"]


def test_scans_that_differ_in_their_endings_alone_have_them_in_their_outputs(tmp_path: Path) -> None:
    folder = tree(tmp_path / "in", "a.nii", "a.nii.gz", "a.mha", "b.nii")
    assert planned(folder, out=tmp_path / "out") == [
        "a_seg.mha",
        "a.nii_seg.nii.gz",
        "a.nii.gz_seg.nii.gz",
        "b_seg.nii.gz",
    ]


def test_scans_that_would_write_one_file_are_refused(tmp_path: Path) -> None:
    one, two = (tree(tmp_path / name, "ct.nii.gz") / "ct.nii.gz" for name in ("one", "two"))
    with pytest.raises(UsageError, match="the folder that holds both, whose tree is kept"):
        planned(one, two, out=tmp_path / "out")


def test_a_scan_is_never_written_over(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.nii.gz", "a_seg.nii.gz")
    scan, other = root / "a.nii.gz", root / "a_seg.nii.gz"
    (root / "hard.nii.gz").hardlink_to(scan)
    (root / "link.nii.gz").symlink_to(scan)
    for inputs, out in (
        ([scan], scan),
        ([scan], root / "hard.nii.gz"),
        ([scan], root / "link.nii.gz"),
        ([scan, other], None),
    ):
        with pytest.raises(UsageError, match="would be written in place of the scan that is read; give another --out"):
            plan_jobs(inputs, out, Extras())


def test_a_pattern_says_which_files_of_folders_are_meant(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "case_0/imaging.nii.gz", "case_0/segmentation.nii.gz", "case_1/imaging.nii.gz")
    everywhere = ["case_0/imaging_seg.nii.gz", "case_1/imaging_seg.nii.gz"]
    assert planned(root, out=tmp_path / "out", pattern="imaging*") == everywhere
    assert planned(root, out=tmp_path / "out", pattern="case_1/*.nii.gz") == everywhere[1:]
    named = root / "case_0" / "segmentation.nii.gz"
    assert planned(named, out=tmp_path / "out", pattern="imaging*") == ["segmentation_seg.nii.gz"]
    with pytest.raises(DataError, match=r"no scan in it is like --pattern ct\*; there is case_0/imaging.nii.gz"):
        planned(root, out=None, pattern="ct*")


def test_further_images_of_a_case_are_left_out_of_folders(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz", "img0035.nii.gz")
    jobs = plan_jobs([root], tmp_path / "out", Extras())
    assert {job.scan.name: job.left_out for job in jobs if job.left_out} == {
        "a_0001.nii.gz": "is another image of the case whose first is a_0000, and the network takes one"
    }
    assert planned(root / "a_0001.nii.gz", out=tmp_path / "out") == ["a_0001_seg.nii.gz"]


def test_what_an_earlier_call_wrote_is_no_scan(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "a.nii.gz", "a_seg.nii.gz", "a_prob.nii.gz", "out/a_seg.nii.gz", "out/a_prob.nii.gz")
    assert planned(root, out=root / "out") == ["a_seg.nii.gz"]
    assert planned(root, root / "a.nii.gz", root / ".." / "in", out=root / "out") == ["a_seg.nii.gz"]


def test_links_upward_end(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "d/s.nii.gz")
    for name in ("up1", "up2"):
        (root / "d" / name).symlink_to("..")
    assert planned(root, out=tmp_path / "out") == ["d/s_seg.nii.gz"]


def test_one_scan_may_name_its_output(tmp_path: Path) -> None:
    scan = tree(tmp_path, "a.nii.gz") / "a.nii.gz"
    [job] = plan_jobs([scan], tmp_path / "labels.mha", Extras(preview=True, statistics=True, probabilities=True))
    names = ["labels.mha", "labels.png", "labels.csv", "labels.json", "labels_prob.nii.gz"]
    assert [path.name for path in job.outputs] == names
    assert job.is_alone
    assert not plan_jobs([tmp_path], None, Extras())[0].is_alone
