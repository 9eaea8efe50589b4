"""Every way in which people keep scans and label maps is read as they mean it, or refused in a sentence."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.cases import ScanCase
from medssm.errors import LONGEST, DataError

Written = Callable[[Path], object]
TUMOUR = {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "modality": {"0": "CT"}}


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def document(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def pairs(folder: Path, image: str, label: str, count: int = 2, names: dict[str, Any] | None = TUMOUR) -> Path:
    """Cases called as two patterns say, and a list that names the labels alone."""
    for number in range(count):
        files(folder, image.format(number), label.format(number))
    if names:
        document(folder / "dataset.json", names)
    return folder


def nnunet(folder: Path, **content: Any) -> None:
    said = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    document(folder / "dataset.json", said | content)


def nnunet_dictionary(folder: Path) -> None:
    files(folder, "x/a.nii.gz", "y/a.nii.gz", "x/b.nii.gz", "y/b.nii.gz")
    nnunet(folder, dataset={id: {"images": [f"x/{id}.nii.gz"], "label": f"y/{id}.nii.gz"} for id in ("a", "b")})


def nnunet_v1(folder: Path) -> None:
    listed = [{"image": f"./imagesTr/c{k}.nii.gz", "label": f"./labelsTr/c{k}.nii.gz"} for k in range(2)]
    pairs(folder, "imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz", names=TUMOUR | {"training": listed})


def of_nnunet(image: str, label: str) -> Written:
    return lambda folder: nnunet(pairs(folder, image, label, names=None))


def totalsegmentator(folder: Path) -> None:
    for case in ("s0001", "s0002", "s0003"):
        files(folder, f"{case}/ct.nii.gz", f"{case}/segmentations/spleen.nii.gz", f"{case}/segmentations/aorta.nii.gz")
    (folder / "meta.csv").write_text("image_id;age;split\ns0001;60;train\ns0002;61;val\ns0003;62;test\n")


# What is written, and the first case to train on: its name, its image, its label map, and the names of the labels.
READ: dict[str, tuple[Written, str, str, str, dict[int, str]]] = {
    "nnU-Net's dictionary": (nnunet_dictionary, "a", "x/a.nii.gz", "y/a.nii.gz", {1: "liver"}),
    "nnU-Net's first version": (
        nnunet_v1,
        "c0",
        "imagesTr/c0_0000.nii.gz",
        "labelsTr/c0.nii.gz",
        {1: "liver", 2: "tumour"},
    ),
    "nnU-Net without channel numbers": (
        of_nnunet("imagesTr/case_{:04}.nii.gz", "labelsTr/case_{:04}.nii.gz"),
        "case_0000",
        "imagesTr/case_0000.nii.gz",
        "labelsTr/case_0000.nii.gz",
        {1: "liver"},
    ),
    "nnU-Net with labels of another format": (
        of_nnunet("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii"),
        "c0",
        "imagesTr/c0_0000.nii.gz",
        "labelsTr/c0.nii",
        {1: "liver"},
    ),
    "nnU-Net with numbers at the labels": (
        of_nnunet("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}_0000.nii.gz"),
        "c0_0000",
        "imagesTr/c0_0000.nii.gz",
        "labelsTr/c0_0000.nii.gz",
        {1: "liver"},
    ),
    "KiTS": (
        lambda folder: pairs(
            folder / "data", "case_{:05}/imaging.nii.gz", "case_{:05}/segmentation.nii.gz", names=None
        ),
        "case_00000",
        "data/case_00000/imaging.nii.gz",
        "data/case_00000/segmentation.nii.gz",
        {1: "kidney", 2: "tumor", 3: "cyst"},
    ),
    "KiTS with names": (
        lambda folder: pairs(folder, "case_{:05}/imaging.nii.gz", "case_{:05}/segmentation.nii.gz"),
        "case_00000",
        "case_00000/imaging.nii.gz",
        "case_00000/segmentation.nii.gz",
        {1: "liver", 2: "tumour"},
    ),
    "TotalSegmentator": (
        totalsegmentator,
        "s0001",
        "s0001/ct.nii.gz",
        "s0001/segmentations",
        {1: "aorta", 2: "spleen"},
    ),
} | {
    f"{image} {label}": (
        lambda folder, image=image, label=label: pairs(folder, image, label),
        name,
        image.format(0),
        label.format(0),
        {1: "liver", 2: "tumour"},
    )
    for image, label, name in (
        ("volume-{}.nii", "segmentation-{}.nii", "0"),
        ("Training Batch 1/volume-{}.nii", "Training Batch 1/segmentation-{}.nii", "Training Batch 1/0"),
        ("p{}.nii.gz", "p{}_seg.nii.gz", "p0"),
        ("p{}.nii.gz", "p{}-seg.nii.gz", "p0"),
        ("p{}.nrrd", "p{}_label.nrrd", "p0"),
        ("p{}.mha", "p{}_mask.nii.gz", "p0"),
        ("patient{0:03}/patient{0:03}_frame01.nii.gz", "patient{0:03}/patient{0:03}_frame01_gt.nii.gz", None),
        ("images/p{}.nii.gz", "masks/p{}.nii.gz", "p0"),
        ("imagesTr/p{}_0000.nii.gz", "labelsTr/p{}.nii.gz", "p0"),
        ("imagesTr/img{:04}.nii.gz", "labelsTr/label{:04}.nii.gz", "0000"),
        ("p{}/t1.nii.gz", "p{}/seg.nii.gz", "p0"),
    )
}


@pytest.mark.parametrize("kind", READ)
def test_a_layout_is_read(kind: str, tmp_path: Path) -> None:
    write, name, image, label, labels = READ[kind]
    write(tmp_path)
    dataset = load_dataset(tmp_path)
    cases = {case.image: case for case in (*dataset.training, *dataset.validation)}
    case = cases[tmp_path / image]
    assert len(cases) == 2
    assert name is None or case.id == name
    assert case.label == tmp_path / label
    assert dataset.label_names == labels
    assert len(dataset.validation) == 1
    assert dataset.channel_names == ("CT",)


def test_masks_are_the_labels_in_the_order_of_their_names(tmp_path: Path) -> None:
    totalsegmentator(tmp_path)
    dataset = load_dataset(tmp_path)
    assert [[case.id for case in part] for part in (dataset.training, dataset.validation, dataset.test)] == [
        ["s0001"],
        ["s0002"],
        ["s0003"],
    ]
    assert [mask.name for mask in dataset.training[0].masks] == ["aorta.nii.gz", "spleen.nii.gz"]
    (tmp_path / "s0002/segmentations/aorta.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 of 6 listed files are missing, first .*s0002/segmentations/aorta\.nii\.gz"):
        load_dataset(tmp_path)


def test_images_of_the_same_name_are_cases_of_their_folders(tmp_path: Path) -> None:
    listed = [{"image": f"p{k}/ct.nii.gz", "label": f"p{k}/organs.nii.gz"} for k in range(3)]
    files(tmp_path, *(name for case in listed for name in case.values()))
    document(tmp_path / "dataset.json", TUMOUR | {"training": listed})
    dataset = load_dataset(tmp_path)
    assert sorted(case.id for case in dataset.cases) == [f"p{k}/ct.nii.gz" for k in range(3)]
    assert len(dataset.validation) == 1


def test_a_table_says_fold_patient_and_split(tmp_path: Path) -> None:
    document(tmp_path / "dataset.json", TUMOUR)
    files(tmp_path, *(f"{kind}/{k}.nrrd" for kind in "xy" for k in range(4)))
    rows = [f"x/{k}.nrrd,y/{k}.nrrd,ann,{k % 2}" for k in range(4)]
    (tmp_path / "cases.csv").write_text("\n".join(["\ufeffimage,label,Patient,fold", *rows]), encoding="utf-8")
    assert [case.id for case in load_dataset(tmp_path, 1).validation] == ["1", "3"]
    assert {case.patient for case in load_dataset(tmp_path).cases} == {"ann"}
    rows = [f"x/{k}.nrrd\ty/{k}.nrrd\tcase {k}\t{part}" for k, part in enumerate(("train", "val", "test"))]
    (tmp_path / "cases.csv").write_text("\n".join(["image\tlabel\tcase\tsplit", *rows]))
    dataset = load_dataset(tmp_path)
    assert [case.id for case in dataset.cases] == ["case 0", "case 1", "case 2"]
    assert [case.id for case in dataset.validation] == ["case 1"]


def test_a_list_is_given_in_place_of_its_folder(tmp_path: Path) -> None:
    """Whatever it is called, and whatever else lies beside it."""
    pairs(tmp_path, "a/p{}.nii", "b/p{}.nii", count=4)
    listed = [{"image": f"a/p{k}.nii", "label": f"b/p{k}.nii", "fold": k} for k in range(4)]
    document(tmp_path / "mine.json", TUMOUR | {"training": listed})
    (tmp_path / "mine.csv").write_text("image,label\na/p1.nii,b/p1.nii\na/p2.nii,b/p2.nii\n")
    assert [case.id for case in load_dataset(tmp_path / "mine.json", 2).validation] == ["p2"]
    assert {case.id for case in load_dataset(tmp_path / "mine.csv").cases} == {"p1", "p2"}
    document(tmp_path / "other.json", {"images": []})
    for name in ("other.json", "gone.json", "a/p0.nii"):
        with pytest.raises(DataError, match=rf"{name}: (?:lists no case|no such folder)"):
            load_dataset(tmp_path / name)


def test_files_in_folders_for_test_and_validation_do_not_train(tmp_path: Path) -> None:
    for part in ("training", "validation", "testing"):
        pairs(tmp_path, f"{part}/p{{}}.nii.gz", f"{part}/p{{}}_gt.nii.gz")
    dataset = load_dataset(tmp_path)
    assert {case.image.parent.name for case in dataset.training} == {"training"}
    assert {case.image.parent.name for case in dataset.validation} == {"validation"}
    assert {case.image.parent.name for case in dataset.test} == {"testing"}


def test_cases_of_two_parts_may_have_one_name(tmp_path: Path) -> None:
    pairs(tmp_path, "imagesTr/p{}.nii.gz", "labelsTr/p{}.nii.gz")
    files(tmp_path, "imagesTs/p0.nii.gz", "imagesTs/p1.nii.gz")
    assert len(load_dataset(tmp_path).training + load_dataset(tmp_path).validation) == 2


def test_an_archive_beside_the_scans_is_none_of_them(tmp_path: Path) -> None:
    pairs(tmp_path, "imagesTr/p{}.nii.gz", "labelsTr/p{}.nii.gz")
    with zipfile.ZipFile(tmp_path / "imagesTr" / "all.zip", "w") as archive:
        archive.write(tmp_path / "imagesTr" / "p0.nii.gz")
    cases = load_dataset(tmp_path).cases
    assert {case.image.suffix for case in cases} == {".gz"}


def test_a_missing_image_to_test_stops_no_training(tmp_path: Path) -> None:
    listed = [{"image": f"{k}.nii.gz", "label": f"{k}_seg.nii.gz"} for k in range(3)]
    files(tmp_path, *(name for case in listed for name in case.values()))
    content = TUMOUR | {"training": listed, "test": ["gone.nii.gz"], "testing": [{"image": "gone2.nii.gz"}]}
    document(tmp_path / "dataset.json", content)
    assert [case.id for case in load_dataset(tmp_path).test] == ["gone", "gone2"]


def second_channel(folder: Path) -> None:
    of_nnunet("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz")(folder)
    files(folder, "imagesTr/c0_0001.nii.gz")


def second_channel_of_v1(folder: Path) -> None:
    nnunet_v1(folder)
    files(folder, "imagesTr/c1_0001.nii.gz")


def second_channel_without_list(folder: Path) -> None:
    pairs(folder, "imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz")
    files(folder, "imagesTr/c1_0001.nii.gz")


def two_tables(folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        folder.joinpath(name).write_text("image,label\n")


NOT_A_DATASET = "a list without cases"
REFUSED: dict[str, tuple[Written, str]] = {
    "a second channel that nobody names": (second_channel, r"2 channels \(c0_0000\.nii\.gz, c0_0001\.nii\.gz\)"),
    "a second channel of version 1": (second_channel_of_v1, r"2 channels \(c1_0000\.nii\.gz, c1_0001\.nii\.gz\)"),
    "a second channel without a list": (second_channel_without_list, r"2 channels \(c1_0000.*, c1_0001"),
    "four sequences": (
        lambda folder: [pairs(folder, f"B{{0}}/B{{0}}_{name}.nii", "B{0}/B{0}_seg.nii") for name in ("flair", "t1")],
        r"images of 2 channels \(B0_flair\.nii, B0_t1\.nii\), and 'channel_names' names 1 \(CT\); name each of them",
    ),
    "two label maps": (
        lambda folder: [pairs(folder, "p{}.nii", f"p{{}}_{name}.nii") for name in ("seg", "gt")],
        r"p0_gt\.nii and p0_seg\.nii both have the name of a label map",
    ),
    "names of no labels": (
        lambda folder: pairs(folder, "p{}.nii", "p{}_seg.nii", names=None),
        r"nothing names the labels; write .*dataset\.json",
    ),
    "a format that is not read": (
        lambda folder: nnunet(files(folder, "imagesTr/a_0000.tif", "labelsTr/a.tif"), file_ending=".tif"),
        r"dataset\.json: files of '\.tif' cannot be read; give NIfTI",
    ),
    "two tables": (two_tables, r"a\.csv and b\.csv both list cases"),
    "a table with a strange fold": (
        lambda folder: (
            [two_tables(folder), (folder / "b.csv").unlink(), document(folder / "dataset.json", TUMOUR)]
            and (folder / "a.csv").write_text("image,label,fold\nx.nii,y.nii,first\n")
        ),
        r"a\.csv: line 2 needs an image, a whole number as its fold",
    ),
    NOT_A_DATASET: (lambda folder: document(folder / "dataset.json", TUMOUR), "lists no case"),
    "two scans beside masks": (
        lambda folder: [totalsegmentator(folder), files(folder, "s0002/pet.nii.gz")],
        r"s0002: holds 2 scans beside the masks",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_clear_is_refused(kind: str, tmp_path: Path) -> None:
    write, sentence = REFUSED[kind]
    write(tmp_path)
    for look in (load_dataset, check_dataset):
        with pytest.raises(
            DataError, match=sentence if kind != NOT_A_DATASET or look is load_dataset else "no dataset"
        ):
            look(tmp_path)


ONE = {"image": "a.nii", "label": "b.nii"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"training": [ONE, {"image": "a", "label": "A" * 2000}]}, r"'AAA.* cannot be the name of a file \(.*long"),
        ({"training": ["A" * 2000]}, "cannot be the name of a file"),
        ({"training": ["\0"]}, "cannot be the name of a file"),
        ({"training": [ONE], "test": ["\ud800"]}, "cannot be the name of a file"),
        ({"training": [ONE | {"fold": "first"}]}, "the 'fold' of a case must be a whole number; found 'first'"),
        ({"training": [ONE | {"fold": 1}], "validation": []}, "which is two splits; keep one of them"),
        ({"labels": {"background": float("inf"), "spleen": 1}}, "must give each value one name"),
        ({"labels": {"spleen": -1}}, "must give each value one name"),
        ({"labels": {"spleen": 1.5}}, "must give each value one name"),
        ({"labels": {"spleen": True}}, "must give each value one name"),
        ({"labels": None}, r'names no labels; add such as "labels": \{"0": "background", "1": "spleen"\} to it'),
        ({"labels": ["background", "spleen"]}, "must give each value one name"),
        ({"labels": {"spleen": [0] * 5000}}, "must give each value one name"),
        ({"labels": {"spleen": 1, "liver": 1}}, "the value 1 two names, 'spleen' and 'liver'"),
        ({"labels": {"1": "spleen", "2": "spleen"}}, "several values the name 'spleen'"),
        ({"labels": {"ctx": 2035}}, r"the value 2035 \('ctx'\), but a network's labels go up to 254; renumber"),
        ({"labels": {"ctx": "9" * 5000}}, "but a network's labels go up to 254"),
        ({"modality": ["T1", "t1"]}, "calls several channels 't1'; give each a name of its own"),
    ],
)
def test_a_hostile_list_is_refused_in_a_short_sentence(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    document(files(tmp_path, "a.nii", "b.nii") / "dataset.json", TUMOUR | {"training": [ONE]} | change)
    for look in (load_dataset, check_dataset):
        with pytest.raises(DataError, match=sentence) as caught:
            look(tmp_path)
        assert len(str(caught.value).replace(str(tmp_path), "")) <= LONGEST


@pytest.mark.parametrize("text", ["[" * 100_000, '{"labels": {"a": ' + "9" * 5000 + "}}", '{"a": "\x01"}', "\xff"])
def test_what_is_no_json_is_refused_in_a_short_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"is not valid JSON") as caught:
        load_dataset(tmp_path)
    assert len(str(caught.value)) < 400


def test_a_named_ignore_label_is_no_organ(tmp_path: Path) -> None:
    for labels in ({"background": 0, "liver": 1, "ignore": 2}, {"0": "background", "1": "liver", "2": "Ignore"}):
        document(files(tmp_path, "a.nii", "b.nii") / "dataset.json", {"labels": labels, "training": [ONE]})
        dataset = load_dataset(tmp_path)
        assert dataset.label_names == {1: "liver"}
        assert dataset.training == (ScanCase("a", tmp_path / "a.nii", tmp_path / "b.nii", ignored=2),)
