"""The phantom as a dataset folder in BTCV's layout, written where asked or once to the user's cache."""

import json
from functools import partial
from pathlib import Path

import nibabel as nib

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.synthetic import SYNTHETIC
from medssm.data.synthetic.dataset import Fill, in_threads, write_cached, write_new
from medssm.data.synthetic.phantom.case import phantom_scan
from medssm.errors import UsageError

# Raise this whenever the same seed would give other scans, so that no older ones are taken from the cache.
VERSION = 1
# Voxel sizes in mm: coarser than a CT's, so that a dataset is made in half a minute, finer than the smallest organs.
SPACING = (2.0, 3.0)
# The dataset behind `--data phantom`: 16 cases train, 6 validate.
DEFAULT_CASES = 22
_VALIDATION_SHARE = 6 / 22


def write_phantom(
    folder: str | Path,
    cases: int = SYNTHETIC["phantom"].defaults["cases"],
    seed: int = 0,
    spacing: tuple[float, float] = SPACING,
) -> None:
    """Writes a synthetic dataset: imagesTr, labelsTr and dataset_0.json; about 3 in 11 cases are for validation.

    The folder appears when all of it is written. Case k is the same whatever the number of cases.

    Args:
        folder: absent, or empty.
        cases: how many scans, training and validation together.
        seed: another one gives other patients.
        spacing: smallest and largest voxel size in mm.

    Raises: UsageError if the folder holds something, or an argument is impossible.
    """
    write_new(folder, _filling(cases, seed, spacing))


def cached_phantom(cases: int = DEFAULT_CASES, seed: int = 0, spacing: tuple[float, float] = SPACING) -> Path:
    """The folder of a phantom dataset in the user's cache, written at the first call.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    arguments = f"{cases}-cases-seed-{seed}-{spacing[0]:g}-{spacing[1]:g}-mm"
    return write_cached("phantom", VERSION, arguments, _filling(cases, seed, spacing))


def _filling(cases: int, seed: int, spacing: tuple[float, float]) -> Fill:
    if cases < 1 or not 0 < spacing[0] <= spacing[1]:
        raise UsageError(
            f"a phantom needs at least one case and voxel sizes above 0 mm, smallest first; found {cases} cases of "
            f"{spacing[0]:g} to {spacing[1]:g} mm"
        )
    return partial(_write_dataset, cases=cases, seed=seed, spacing=spacing)


def _write_dataset(folder: Path, cases: int, seed: int, spacing: tuple[float, float]) -> None:
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    write = partial(_write_case, folder, seed=seed, spacing=spacing)
    entries = in_threads(write, range(cases), "Writing the phantom")
    validating = max(1, round(cases * _VALIDATION_SHARE)) if cases > 1 else 0
    content = {
        "name": "phantom",
        "description": "synthetic abdomen CT in the layout of BTCV, not fit for any statement about patients",
        "modality": {"0": "CT"},
        "labels": {"0": "background", **{str(label): organ for label, organ in BTCV_ORGANS.items()}},
        "numTraining": cases - validating,
        "training": entries[: cases - validating],
        "validation": entries[cases - validating :],
    }
    (folder / "dataset_0.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_case(folder: Path, case: int, seed: int, spacing: tuple[float, float]) -> dict[str, str]:
    """Writes the two files of a case and gives their entry in the list."""
    scan = phantom_scan(seed, case, spacing)
    entry = {"image": f"imagesTr/img{case + 1:04d}.nii.gz", "label": f"labelsTr/label{case + 1:04d}.nii.gz"}
    for array, name in ((scan.image, entry["image"]), (scan.labels, entry["label"])):
        image = nib.Nifti1Image(array, scan.affine)
        image.set_sform(scan.affine, code="scanner")
        image.set_qform(scan.affine, code="scanner")
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / name)
    return entry
