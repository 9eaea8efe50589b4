"""Scans whose values are not what a network looks at are told apart from those that are."""

import numpy as np
import pytest

from medssm.data.scans.plausibility import (
    is_label_map,
    not_hounsfield,
    refuse_empty,
    strange_size,
    summarise_values,
    value_notes,
)
from medssm.data.scans.volume import Volume
from medssm.errors import DataError

WINDOW = (-175.0, 250.0)


def body(air: bool = True) -> np.ndarray:
    """A block of soft tissue, fat around it, and air around that, in HU with noise; (24, 24, 16) int16."""
    array = np.full((24, 24, 16), -1000 if air else -90, np.float64)
    array[3:21, 3:21] = -90
    array[6:18, 6:18] = 45
    return (array + np.random.default_rng(0).normal(0, 8, array.shape)).astype(np.int16)


def notes(array: np.ndarray, window: tuple[float, float] = WINDOW) -> list[str]:
    return list(value_notes(window, summarise_values(array)))


@pytest.mark.parametrize("array", [body(), body(air=False), body().astype(np.float32), body()[6:18, 6:18] - 150])
def test_a_ct_needs_no_word(array: np.ndarray) -> None:
    assert notes(array) == []
    assert not_hounsfield(summarise_values(array)) == ""


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.clip(body(), -175, 250).astype(np.float64).__add__(175) * 0.6, "look like a picture of 256 greys"),
        (body() + 1024, "look like Hounsfield units to which 1024 was added"),
        (np.abs(body().astype(np.float64)) * 3 + 100, "look like MR or another modality than CT"),
        (np.abs(np.random.default_rng(0).normal(500, 100, (9, 9, 9))), "look like MR or another modality"),
    ],
)
def test_values_that_are_no_hounsfield_units_are_named(array: np.ndarray, sentence: str) -> None:
    [note] = notes(array)
    assert note.startswith("beware: values from ")
    assert sentence in note
    assert "beware" not in "".join(notes(array, (0.0, 1000.0)))  # of a network that was not trained on such units


@pytest.mark.parametrize(("modality", "is_told"), [("MR", True), ("PT", True), ("CT", False), ("", False)])
def test_a_header_that_names_another_modality_is_told(modality: str, is_told: bool) -> None:
    told = list(value_notes(WINDOW, summarise_values(body()), modality))
    assert told == [
        f"beware: the header says that its modality is {modality}, not CT; the network expects Hounsfield units, and "
        "what it finds may be wrong"
    ] * int(is_told)
    assert list(value_notes((0.0, 1000.0), summarise_values(body()), modality)) == []


def test_voxels_that_are_no_numbers_are_counted() -> None:
    array = body().astype(np.float32)
    array[:2, 0, 0], array[2, 0, 0] = np.nan, np.inf
    assert notes(array) == ["3 voxels are NaN or infinite; they count as air"]
    values = summarise_values(array)
    assert (values.lowest, values.highest) == (array[np.isfinite(array)].min(), array[np.isfinite(array)].max())


def test_a_scan_that_is_mostly_brighter_than_the_window_is_told() -> None:
    array = np.where(np.arange(24)[:, None, None] < 4, -1000, 900) + np.zeros((24, 24, 16), np.int16)
    [note] = notes(array)
    assert "83% of the voxels are brighter than 250" in note


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.full((4, 4, 4), np.nan, np.float32), "none of its voxels holds a number"),
        (np.full((4, 4, 4), -1000, np.int16), "holds no picture, every voxel is -1000"),
        (np.linspace(-1024, -900, 64).reshape(4, 4, 4), "-1024 to -900, all lie outside of -175 to 250"),
        (body().astype(np.int32) + 32768, "all lie outside of -175 to 250"),
    ],
)
def test_a_scan_without_content_is_refused(array: np.ndarray, sentence: str) -> None:
    volume = Volume(array, np.eye(4))
    with pytest.raises(DataError, match=sentence):
        refuse_empty(volume, WINDOW, summarise_values(array))


def blocks(kind: type, labels: int = 13) -> np.ndarray:
    """A label map of blocks."""
    values = np.zeros((40, 16, 30), kind)
    for label in range(1, labels + 1):
        values[3 * label % 36 : 3 * label % 36 + 4, 2:14, 2 * label % 26 : 2 * label % 26 + 4] = label
    return values


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_a_label_map_is_told_by_its_values(kind: type) -> None:
    assert is_label_map(Volume(blocks(kind), np.eye(4)))


@pytest.mark.parametrize(
    "array",
    [
        body(),
        body(air=False),
        np.random.default_rng(0).integers(0, 256, (20, 20, 20)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.uint8),
        blocks(np.float32) + np.float32(0.5),
        blocks(np.int16) - np.int16(1),
        np.zeros((5, 5, 5), np.uint8),
    ],
)
def test_a_picture_is_no_label_map(array: np.ndarray) -> None:
    assert not is_label_map(Volume(array, np.eye(4)))


@pytest.mark.parametrize(("padding", "offset"), [(-2000, 1024), (-1024, 0)], ids=["shifted", "greys"])
def test_padding_is_no_air(padding: int, offset: int) -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (24, 24, 16)) if not offset else random.normal(40, 30, (24, 24, 16)) + offset
    array = picture.astype(np.int16)
    array[:3, :3] = padding
    assert any("look like" in note for note in notes(array))


def test_values_of_no_tissue_and_a_single_voxel_are_told() -> None:
    array = np.random.default_rng(0).normal(0, 1e33, (24, 24, 16))
    assert any("far beyond" in note for note in notes(array))
    empty = np.full((24, 24, 24), -1000, np.int16)
    empty[3, 4, 5] = 5
    assert any("hardly a voxel" in note for note in notes(empty))


@pytest.mark.parametrize(
    ("spacing", "shape", "sentence"),
    [
        ((60.0, 60.0, 60.0), (24, 20, 16), "a spacing of 60 x 60 x 60 mm is not within 0.05 to 20 mm"),
        ((1.0, 1.0, 25.0), (24, 20, 16), "a spacing of 1 x 1 x 25 mm is not within"),
        ((0.001, 0.001, 0.002), (512, 512, 300), "a spacing of 0.001 x 0.001 x 0.002 mm is not within"),
        ((7.0, 7.0, 5.0), (512, 512, 300), "makes a scan of 3584 mm, larger than one of a patient"),
        ((0.08, 0.08, 0.1), (40, 40, 20), "makes a scan of 3.2 mm, smaller than one of a patient"),
        ((0.7, 0.7, 5.0), (512, 512, 40), ""),
        ((0.98, 0.98, 1.5), (512, 512, 1500), ""),  # head to foot
        ((20.0, 20.0, 20.0), (24, 20, 16), ""),
        ((0.06, 0.06, 20.0), (512, 512, 1), ""),
    ],
)
def test_a_size_that_no_patient_has_is_named(
    spacing: tuple[float, float, float], shape: tuple[int, int, int], sentence: str
) -> None:
    told = strange_size(Volume(np.broadcast_to(np.int16(0), shape), np.diag([*spacing, 1.0])))
    assert sentence in told
    assert bool(told) == bool(sentence)
