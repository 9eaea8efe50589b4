"""Evaluation of files: pairing, geometry, names, and what is written."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import Volume, read_volume, write_label_map
from medssm.errors import DataError, GeometryError, UsageError
from medssm.metrics import Evaluation, evaluate

AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


def write(path: Path, labels: np.ndarray, names: dict[int, str] | None = None, affine: np.ndarray = AFFINE) -> Path:
    """A label map with the names that it carries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if names:
        write_label_map(path, labels, Volume(labels, affine), names)
    else:
        nib.save(nib.Nifti1Image(labels, affine, dtype=labels.dtype), path)
    return path


def blocks(*labels: int, kind: type = np.uint8) -> np.ndarray:
    """A map of 12 voxels a side with a slab of two planes for each label, in their order."""
    array = np.zeros((12, 12, 12), kind)
    for n, label in enumerate(labels):
        array[2 * n : 2 * n + 2] = label
    return array


def rows(outcome: Evaluation) -> dict[str, tuple[str, float | None]]:
    return {score.organ: (score.status, score.dice) for score in outcome.scores}


def save(path: Path, label: int = 6, shift: int = 0, affine: np.ndarray = AFFINE) -> Path:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3 + shift : 9, 3:9, 3:9] = label
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def test_folders_are_paired_by_case(tmp_path: Path) -> None:
    for number in (35, 36):
        save(tmp_path / "labels" / f"label00{number}.nii.gz")
    save(tmp_path / "out" / "img0035_seg.nii.gz", shift=3)
    save(tmp_path / "out" / "img0040_seg.nii.gz")
    outcome = evaluate(tmp_path / "out", tmp_path / "labels", names=BTCV_ORGANS)
    assert [path.name for path in outcome.without_prediction] == ["label0036.nii.gz"]
    assert [path.name for path in outcome.without_reference] == ["img0040_seg.nii.gz"]
    liver = next(row for row in outcome.summary if row.organ == "liver")
    assert liver.dice.mean == pytest.approx(2 * 108 / (108 + 216))


def test_names_in_the_prediction_are_used(tmp_path: Path) -> None:
    reference = save(tmp_path / "reference.nii.gz", label=40)
    like = read_volume(reference)
    write_label_map(tmp_path / "prediction.nii.gz", np.asarray(like.array), like, {40: "tumour"})
    assert next(row.organ for row in evaluate(tmp_path / "prediction.nii.gz", reference).summary) == "tumour"


def test_unknown_labels_are_numbered(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.nii.gz", label=40) for name in "ab"]
    assert evaluate(*paths).scores[0].organ == "label 40"


def test_grids_that_differ_are_refused(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 2.0
    reference, prediction = save(tmp_path / "r.nii.gz"), save(tmp_path / "p.nii.gz", affine=moved)
    with pytest.raises(GeometryError, match="2 mm apart"):
        evaluate(prediction, reference)


def test_rounding_of_an_affine_is_no_difference(tmp_path: Path) -> None:
    prediction = save(tmp_path / "p.nii.gz", affine=AFFINE + 1e-7)
    assert evaluate(prediction, save(tmp_path / "r.nii.gz")).summary[-1].dice.mean == 1.0


def test_reference_whose_axes_run_another_way_is_turned(tmp_path: Path) -> None:
    prediction = save(tmp_path / "p.nii.gz", shift=2)
    turned = nib.as_closest_canonical(nib.load(prediction)).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "r.nii.gz")
    assert nib.aff2axcodes(turned.affine) != nib.aff2axcodes(AFFINE)
    assert evaluate(prediction, tmp_path / "r.nii.gz").summary[-1].dice.mean == 1.0


def test_folders_without_a_common_case_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.nii.gz")
    save(tmp_path / "b" / "y.nii.gz")
    with pytest.raises(DataError, match="no label map has the name of a case"):
        evaluate(tmp_path / "a", tmp_path / "b")


def test_an_image_is_no_label_map(tmp_path: Path) -> None:
    image = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.linspace(0, 1, 1728).reshape(12, 12, 12), AFFINE), image)
    with pytest.raises(DataError, match="no whole numbers"):
        evaluate(image, save(tmp_path / "r.nii.gz"))


def test_files_hold_the_scores(tmp_path: Path) -> None:
    outcome = evaluate(save(tmp_path / "p.nii.gz", shift=3), save(tmp_path / "r.nii.gz"), names=BTCV_ORGANS)
    outcome.write_csv(tmp_path / "scores.csv")
    outcome.write_json(tmp_path / "scores.json")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    liver = next(row for row in rows if row["organ"] == "liver")
    assert float(liver["dice"]) == pytest.approx(2 / 3)
    assert next(row for row in rows if row["organ"] == "spleen")["dice"] == ""
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert written["summary"][-1]["dice"]["mean"] == pytest.approx(2 / 3)
    assert written["summary"][0]["absent"] == 1


def test_names_decide_and_numbers_do_not(tmp_path: Path) -> None:
    ours = write(tmp_path / "p.nii.gz", blocks(1, 5, 6), {1: "spleen", 5: "esophagus", 6: "liver"})
    theirs = write(tmp_path / "r.nii.gz", blocks(1, 0, 5, 6), {1: "spleen", 5: "Liver", 6: "stomach"})
    outcome = evaluate(ours, theirs)
    assert rows(outcome) == {"spleen": ("scored", 1.0), "Liver": ("scored", 1.0), "stomach": ("missed", 0.0)}
    assert outcome.notes == ["not scored, since the references do not name them: esophagus"]


def test_an_organ_that_one_reference_of_a_folder_names_is_scored_in_all(tmp_path: Path) -> None:
    """Programs write only the names that a case has, under numbers of their own."""
    for case, ours, theirs in (("a", {1: "liver", 2: "spleen"}, {1: "liver"}), ("b", {1: "liver"}, {1: "spleen"})):
        write(tmp_path / "p" / f"{case}.nii.gz", blocks(*ours), ours)
        write(tmp_path / "r" / f"{case}.nii.gz", blocks(*theirs), theirs)
    outcome = evaluate(tmp_path / "p", tmp_path / "r")
    found = {(score.case, score.organ): score.status for score in outcome.scores}
    assert found == {
        ("a", "liver"): "scored",
        ("a", "spleen"): "spurious",
        ("b", "liver"): "spurious",
        ("b", "spleen"): "missed",
    }
    assert [row.organ for row in outcome.summary] == ["liver", "spleen", "mean of organs"]
    assert outcome.notes == [
        "b: no label of the prediction is one of the reference; if they number or name organs "
        "differently, say which belong together (--map prediction=reference)"
    ]


def test_a_label_that_the_predictions_table_lacks_is_missed(tmp_path: Path) -> None:
    ours = write(tmp_path / "p.nii.gz", blocks(1), {1: "spleen"})
    outcome = evaluate(ours, write(tmp_path / "r.nii.gz", blocks(1, 14)))
    assert rows(outcome) == {"spleen": ("scored", 1.0), "label 14": ("missed", 0.0)}
    assert outcome.summary[-1].dice.mean == 0.5


def test_maps_without_names_are_not_btcvs(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.nii.gz", label=1) for name in "ab"]
    assert rows(evaluate(*files)) == {"label 1": ("scored", 1.0)}
    assert rows(evaluate(*files, names={1: "tumour", 2: "edema"})) == {
        "tumour": ("scored", 1.0),
        "edema": ("absent", None),
    }


def test_an_organ_of_one_case_is_absent_in_the_others(tmp_path: Path) -> None:
    for case, labels in (("a", (1, 2)), ("b", (1,))):
        for side in "pr":
            write(tmp_path / side / f"{case}.nii.gz", blocks(*labels))
    [_, second, _] = evaluate(tmp_path / "p", tmp_path / "r").summary
    assert (second.organ, second.n, second.absent) == ("label 2", 1, 1)


def test_a_mapping_joins_what_names_and_numbers_do_not(tmp_path: Path) -> None:
    ours = write(tmp_path / "p.nii.gz", blocks(5, 6, 7))
    theirs = write(tmp_path / "r.nii.gz", blocks(1, 1, 7), {1: "Leber", 7: "Milz"})
    outcome = evaluate(ours, theirs, mapping=[("5", "Leber"), ("6", "1")])
    assert rows(outcome) == {"Leber": ("scored", 1.0), "Milz": ("scored", 1.0)}
    with pytest.raises(UsageError, match=r"--map 5=Lung: the references have no label Lung"):
        evaluate(ours, theirs, mapping=[("5", "Lung")])


@pytest.mark.parametrize("label", [614454277, 4_000_000_000, 2**32 + 1])
def test_labels_of_any_size_are_told_apart(tmp_path: Path, label: int) -> None:
    ours = write(tmp_path / "p.nii.gz", blocks(997, label, kind=np.int64))
    theirs = write(tmp_path / "r.nii.gz", blocks(997, 1, kind=np.int64))
    assert rows(evaluate(ours, ours)) == {"label 997": ("scored", 1.0), f"label {label}": ("scored", 1.0)}
    missed = {"label 997": ("scored", 1.0), "label 1": ("missed", 0.0), f"label {label}": ("spurious", 0.0)}
    assert rows(evaluate(ours, theirs)) == missed


def test_integers_under_a_scale_are_rounded_and_a_note_says_so(tmp_path: Path) -> None:
    ours = write(tmp_path / "p.nii.gz", blocks(1, 13))
    image = nib.Nifti1Image(blocks(1, 13).astype(float), AFFINE)
    image.header.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "r.nii.gz")
    assert np.unique(nib.load(tmp_path / "r.nii.gz").dataobj)[1] != 1
    outcome = evaluate(ours, tmp_path / "r.nii.gz")
    assert rows(outcome) == {"label 1": ("scored", 1.0), "label 13": ("scored", 1.0)}
    assert [note.partition(": ")[2] for note in outcome.notes] == [
        "288 voxels were rounded to the whole number within 0.001 of them"
    ]


def test_voxels_that_are_no_number_are_background_and_counted(tmp_path: Path) -> None:
    labels = blocks(1, 2).astype(np.float32)
    labels[11] = np.nan
    outcome = evaluate(write(tmp_path / "p.nii.gz", blocks(1, 2)), write(tmp_path / "r.nii.gz", labels))
    assert rows(outcome) == {"label 1": ("scored", 1.0), "label 2": ("scored", 1.0)}
    assert outcome.notes[0].endswith("144 voxels are no number (NaN); they count as background")


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.inf, "infinite values"), (1.01, "no whole numbers"), (-1.0, "negative values"), (614454277.0, "16777216")],
)
def test_floats_that_are_no_labels_are_refused(tmp_path: Path, value: float, said: str) -> None:
    labels = blocks(1).astype(np.float32)
    labels[5, 5, 5] = value
    with pytest.raises(DataError, match=said):
        evaluate(write(tmp_path / "p.nii.gz", blocks(1)), write(tmp_path / "r.nii.gz", labels))


def test_masks_of_organs_are_scored_against_masks_and_label_maps(tmp_path: Path) -> None:
    for case in ("s1", "s2"):
        for organ, label in (("liver", 1), ("spleen", 2)):
            mask = ((blocks(1, 2) == label) * 255).astype(np.uint8)
            write(tmp_path / "masks" / case / "segmentations" / f"{organ}.nii.gz", mask)
        write(tmp_path / "maps" / f"{case}.nii.gz", blocks(7, 3), {7: "Liver", 3: "Spleen", 4: "aorta"})
    for predictions, references in (("masks", "masks"), ("maps", "masks"), ("masks", "maps")):
        outcome = evaluate(tmp_path / predictions, tmp_path / references)
        scored = {(s.case, s.organ.lower()): s.dice for s in outcome.scores if s.status != "absent"}
        assert scored == {(case, organ): 1.0 for case in ("s1", "s2") for organ in ("liver", "spleen")}
    one = evaluate(*[tmp_path / "masks" / "s1" / "segmentations"] * 2)
    assert rows(one) == {"liver": ("scored", 1.0), "spleen": ("scored", 1.0)}
    assert {score.case for score in one.scores} == {"s1"}


def test_a_tolerance_that_is_no_length_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "a.nii.gz")
    for tolerance in (np.nan, np.inf, -1.0):
        with pytest.raises(UsageError, match="must be a length"):
            evaluate(file, file, tolerance)


def test_maps_without_any_label_are_no_failure(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii.gz", blocks())
    outcome = evaluate(file, file)
    outcome.write_json(tmp_path / "scores.json")
    assert (outcome.scores, outcome.summary[-1].dice.mean) == ([], None)
    assert outcome.notes == ["neither predictions nor references hold a label; there is nothing to score"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_a_spreadsheet_finds_no_formula_in_the_csv(tmp_path: Path, sign: str) -> None:
    file = save(tmp_path / f"{sign}HYPERLINK(1).nii.gz", label=1)
    evaluate(file, file, names={1: f"{sign}1+1"}).write_csv(tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (row["case"], row["organ"]) == (f"'{sign}HYPERLINK(1)", f"'{sign}1+1")
    assert float(row["dice"]) == 1.0


def test_memory_stays_a_few_bytes_a_voxel(tmp_path: Path) -> None:
    """Two maps of 18 MB each and their copies; distances grow with the surfaces and not with the scan."""
    labels = np.zeros((300, 300, 200), np.uint8, order="F")
    for label in range(1, 14):
        labels[20 * label : 20 * label + 18, 20:280, 10:190] = label
    small, large = (tmp_path / f"{name}.nii.gz" for name in ("small", "large"))
    write(small, blocks(1, 2))
    write(large, labels)
    program = (
        "import resource, sys; from medssm.metrics import evaluate\n"
        "def peak(file): evaluate(file, file); return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(-peak(sys.argv[1]) + peak(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(small), str(large)]
    kilobytes = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    assert kilobytes * 1024 < 14 * labels.size


def test_names_of_files_that_are_no_text_are_written_escaped(tmp_path: Path) -> None:
    file = save(tmp_path / "caf\udce9.nii.gz", label=1)
    outcome = evaluate(file, file)
    outcome.write_csv(tmp_path / "scores.csv")
    outcome.write_json(tmp_path / "scores.json")
    assert (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()[1].startswith("caf\\udce9,1,label 1")


def test_masks_of_organs_are_not_scored_by_numbers_that_we_gave_them(tmp_path: Path) -> None:
    for label, organ in enumerate(("spleen", "liver", "aorta"), start=1):
        write(tmp_path / "ref" / "p" / f"{organ}.nii.gz", (blocks(1, 2, 3) == label).astype(np.uint8))
    write(tmp_path / "pred" / "p.nii.gz", blocks(1, 2, 3))
    with pytest.raises(UsageError, match=r"has no names for its labels, and .* is a mask for each organ"):
        evaluate(tmp_path / "pred", tmp_path / "ref")
    outcome = evaluate(tmp_path / "pred", tmp_path / "ref", mapping=[("1", "spleen"), ("2", "liver"), ("3", "aorta")])
    assert {score.dice for score in outcome.scores} == {1.0}


def test_a_label_map_of_the_cases_own_name_is_not_taken_for_its_scan(tmp_path: Path) -> None:
    right, wrong = (np.repeat(blocks(*labels), 3, axis=0) for labels in ((1, 2), (2, 1)))
    write(tmp_path / "pred" / "case_2.nii.gz", right)
    write(tmp_path / "pred" / "case_2_seg.nii.gz", wrong)
    write(tmp_path / "ref" / "case_2.nii.gz", right)
    outcome = evaluate(tmp_path / "pred", tmp_path / "ref")
    assert {score.dice for score in outcome.scores} == {1.0}
    assert [path.name for path in outcome.without_reference] == ["case_2_seg.nii.gz"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (0, "the predictions name their labels and the references do not"),
        (1, "the references name their labels and the predictions do not"),
    ],
)
def test_that_numbers_decide_where_one_side_has_no_names_is_said(named: int, said: str, tmp_path: Path) -> None:
    sides = [tmp_path / "p.nii.gz", tmp_path / "r.nii.gz"]
    for side, path in enumerate(sides):
        write(path, blocks(1, 2), {1: "liver", 2: "spleen"} if side == named else None)
    assert [note.startswith(said) for note in evaluate(*sides).notes] == [True]
    assert evaluate(*sides, mapping=[("1", "1"), ("2", "2")]).notes == []
    assert evaluate(*sides, names={1: "liver", 2: "spleen"}).notes == []


def test_a_number_that_is_two_organs_is_mapped_by_no_number(tmp_path: Path) -> None:
    for case, names in (("a", {1: "liver"}), ("b", {1: "spleen"})):
        write(tmp_path / "p" / f"{case}.nii.gz", blocks(1), names)
        write(tmp_path / "r" / f"{case}.nii.gz", blocks(1), {1: "Leber"})
    with pytest.raises(UsageError, match="label 1 is liver in some of the predictions and spleen in others"):
        evaluate(tmp_path / "p", tmp_path / "r", mapping=[("1", "Leber")])
    assert evaluate(tmp_path / "p", tmp_path / "r", mapping=[("liver", "Leber"), ("spleen", "Leber")]).scores


def test_a_dataset_is_the_label_maps_of_its_cases_with_its_names(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001"
    for case in ("c1", "c2"):
        write(tmp_path / "p" / f"{case}_0000_seg.nii.gz", blocks(1, 2), {1: "spleen", 2: "liver"})
        for name in (f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz"):
            write(root / name, blocks(1, 2))
    said = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "spleen": 2},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(said))
    (root / "cases.csv").write_text(
        "image,label\n" + "".join(f"imagesTr/{c}_0000.nii.gz,labelsTr/{c}.nii.gz\n" for c in ("c1", "c2"))
    )
    for references in (root, root / "dataset.json", root / "cases.csv"):
        outcome = evaluate(tmp_path / "p", references)
        assert {(score.case, score.organ, score.dice) for score in outcome.scores} == {
            (case, organ, 0.0) for case in ("c1", "c2") for organ in ("liver", "spleen")
        }


def test_masks_of_several_cases_in_one_folder_are_told_by_their_names(tmp_path: Path) -> None:
    for side, shift in (("p", 1), ("r", 0)):
        for case in ("pat1", "pat2"):
            for place, organ in enumerate(("liver", "kidney_left")):
                mask = np.zeros((12, 12, 12), np.uint8)
                mask[4 * place + shift * place : 4 * place + 4] = 1
                write(tmp_path / side / f"{case}_{organ}.nii.gz", mask)
            write(tmp_path / side / f"{case}.nii.gz", np.arange(12**3).reshape(12, 12, 12).astype(np.int16))
    outcome = evaluate(tmp_path / "p", tmp_path / "r")
    dice = {(score.case, score.organ): score.dice for score in outcome.scores}
    assert dice == {
        (case, organ): pytest.approx(value)
        for case in ("pat1", "pat2")
        for organ, value in (("liver", 1.0), ("kidney_left", 6 / 7))
    }
