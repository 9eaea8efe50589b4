"""Plans of trainings on datasets that are described by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.fingerprint import CaseFingerprint, fingerprint_of
from medssm.data.scans.scan import Scan
from medssm.data.scans.volume import Volume
from medssm.models import model_info
from medssm.tasks.segmentation.plan import Plan, plan_training

HERE = Path("data")
CASES = tuple(ScanCase(f"c{k}", HERE / f"c{k}.nii.gz", HERE / f"c{k}_seg.nii.gz") for k in range(4))
CT = ScanDataset("mine", HERE, HERE, CASES[:3], CASES[3:], (), {1: "liver", 2: "spleen"}, ("CT",))


def case(
    spacing: tuple[float, float, float] = (0.8, 0.8, 2.5),
    shape: tuple[int, int, int] = (300, 300, 120),
    voxels: dict[int, int] | None = None,
    values: tuple[tuple[float, ...], ...] = (tuple(range(-100, 301)),),
    strange: tuple[str, ...] = ("",),
) -> CaseFingerprint:
    voxels = {1: 900_000, 2: 120_000} if voxels is None else voxels
    return CaseFingerprint(shape=shape, spacing=spacing, foreground=values, strange=strange, voxels=voxels)


def planned(
    *found: CaseFingerprint, dataset: ScanDataset = CT, model: str = "mamband-xs", minutes: float | None = 10.0
) -> Plan:
    plan = plan_training(dataset, found, model_info(model), minutes)
    assert set(plan.reasons) == set(plan.settings)
    assert all(plan.reasons.values())
    return plan


def test_a_grid_that_fits_the_window_has_the_median_spacing() -> None:
    spacings = [(1.0, 1.0, 1.0), (1.1, 1.1, 1.2), (0.9, 0.9, 1.4)]
    plan = planned(*(case(spacing, (40, 50, 36)) for spacing in spacings))
    assert plan.settings["data.preprocessing.spacing"] == [1.0, 1.0, 1.2]
    assert plan.settings["augmentation.crops.size"] == [40, 56, 40]
    assert "the whole of a median scan" in plan.reasons["augmentation.crops.size"]


def test_thick_slices_take_the_tenth_percentile_and_thin_patches() -> None:
    """Isensee et al. 2021: slices that are more than three times as thick as voxels are wide."""
    plan = planned(*(case((1.5, 1.5, z), (140, 130, 10)) for z in (8.0, 10.0, 10.0)))
    assert plan.settings["data.preprocessing.spacing"] == [1.5, 1.5, pytest.approx(8.4)]
    assert plan.settings["model.arguments.patch_size"] == [8, 8, 2]
    x, y, z = plan.settings["augmentation.crops.size"]
    assert (x % 8, y % 8) == (0, 0)
    assert x * y * z <= 48**3


def test_a_large_scan_is_seen_on_a_coarser_grid() -> None:
    plan = planned(case(), case(), case())
    spacing = np.array(plan.settings["data.preprocessing.spacing"])
    voxels = np.prod(np.array([240, 240, 300]) / spacing)
    assert 0.75 * 8 * 48**3 < voxels <= 8 * 48**3
    assert spacing.max() / spacing.min() < 1.06
    assert "coarser, so that a window sees an eighth" in plan.reasons["data.preprocessing.spacing"]
    larger = planned(case(), model="mamband-s").settings
    assert max(larger["data.preprocessing.spacing"]) < spacing.min()


def test_a_lesion_is_not_lost_on_a_coarser_grid() -> None:
    voxels = {1: 900_000, 2: 200}  # 320 mm^3
    plan = planned(*[case(voxels=voxels)] * 3)
    assert np.prod(plan.settings["data.preprocessing.spacing"]) < 320 / 30
    assert "leaves a label 30 voxels" in plan.reasons["data.preprocessing.spacing"]


def test_a_ct_is_standardised_by_the_labelled_voxels_of_all_cases() -> None:
    plan = planned(case(), case(values=(tuple(range(301, 702)),)))
    [channel] = plan.settings["data.preprocessing.channels"]
    every = np.arange(-100, 702)
    low, high = np.percentile(every, (0.5, 99.5))
    said = channel["normalisation"]
    assert (channel["name"], said["kind"]) == ("CT", "ct")
    assert (said["low"], said["high"]) == (pytest.approx(low, rel=1e-3), pytest.approx(high, rel=1e-3))
    assert said["mean"] == pytest.approx(np.clip(every, low, high).mean(), rel=1e-3)
    assert said["sd"] == pytest.approx(np.clip(every, low, high).std(), rel=1e-3)


@pytest.mark.parametrize(
    ("names", "strange", "name", "reason"),
    [
        (("T2",), "", "T2", "no CT by its name"),
        (("CT",), "look like MR", "CT", "look like MR"),
        ((), "look like MR", "image", "look like MR"),
    ],
)
def test_what_is_no_ct_is_taken_by_its_own_body(names: tuple[str, ...], strange: str, name: str, reason: str) -> None:
    plan = planned(case(strange=(strange,)), dataset=replace(CT, channel_names=names))
    assert plan.settings["data.preprocessing.channels"] == [{"name": name, "normalisation": {"kind": "zscore"}}]
    assert reason in plan.reasons["data.preprocessing.channels"]


def test_two_channels_are_chosen_for_one_by_one() -> None:
    found = case(values=(tuple(range(100)), tuple(range(9))), strange=("", ""))
    plan = planned(found, dataset=replace(CT, channel_names=("CT", "PET")))
    kinds = [(c["name"], c["normalisation"]["kind"]) for c in plan.settings["data.preprocessing.channels"]]
    assert kinds == [("CT", "ct"), ("PET", "zscore")]


def test_mirror_images_follow_the_names_and_the_length() -> None:
    kidneys = replace(CT, label_names={1: "left kidney", 2: "right kidney"})
    assert planned(case(), dataset=kidneys).settings["augmentation.flips.x"] == "off"
    assert planned(case(), dataset=kidneys, minutes=None).settings["augmentation.flips.x"] == "swap"
    alone = replace(CT, label_names={1: "left kidney", 2: "liver"})
    assert planned(case(), dataset=alone, minutes=None).settings["augmentation.flips.x"] == "off"


def test_scans_without_any_label_are_shown_more_often() -> None:
    shares = [planned(case(), case(voxels=v)).settings["augmentation.crops.background"] for v in ({1: 9000}, {})]
    assert shares[0] < shares[1]


def test_a_fingerprint_is_of_the_labelled_voxels_in_ras() -> None:
    array = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2)
    labels = np.zeros((4, 3, 2), np.uint8, order="F")
    labels[1, 2, 0], labels[3, 0, 1], labels[0, 0, 0] = 1, 2, 255
    affine = np.array([[0, 0, -3.0, 0], [1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    found = fingerprint_of(Scan.of(Volume(array, affine)), labels)
    assert (found.shape, found.spacing) == ((2, 4, 3), (3.0, 1.0, 2.0))
    assert sorted(found.foreground[0]) == sorted([float(array[1, 2, 0]), float(array[3, 0, 1])])
    assert found.voxels == {1: 1, 2: 1}


def test_a_network_whose_strides_follow_its_window_is_not_padded_where_slices_are_thick() -> None:
    plan = planned(*[case((1.5, 1.5, 10.0), (140, 130, 12))] * 3, model="monai:DynUNet").settings
    assert "model.arguments.patch_size" not in plan
    assert plan["augmentation.crops.size"] == [144, 144, 12]
    fixed = planned(*[case((1.5, 1.5, 10.0), (140, 130, 12))] * 3, model="monai:UNETR").settings
    assert fixed["augmentation.crops.size"] == [144, 144, 16]
