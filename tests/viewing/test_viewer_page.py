"""The page without a browser: what is in it, what it may load, and that what it shows is true."""

import base64
import gzip
import hashlib
import html
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from medssm.cli.main import build_app
from medssm.data.scans.volume import Volume, write_label_map
from medssm.errors import DataError, GeometryError, MedssmError, UsageError
from medssm.viewing.page import build_page, niivue, write_page
from medssm.viewing.page.embedding import embedded_scan
from medssm.viewing.page.overlay import overlay_of
from medssm.viewing.page.reduction import PlacedArray, reduced_image, reduced_labels, reduction_factors

OBLIQUE = np.array([[0.1, -1.9, 0, 40], [0.8, 0.2, 0.1, -7], [0.05, 0, 3.0, 12], [0, 0, 0, 1]])


def block(page: str, name: str) -> str:
    found = re.search(rf'<script type="[^"]+" id="{name}">([^<]*)</script>', page)
    assert found
    return found[1]


def data(page: str) -> dict:
    return json.loads(block(page, "page"))


def volume_in(page: str, name: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(block(page, name))))


def landmark_place(image: nib.Nifti1Image) -> np.ndarray:
    """World position of the mean of what is not 0."""
    array = image.get_fdata()
    centre = np.array([(array * index).sum() / array.sum() for index in np.indices(array.shape)])
    return image.affine[:3, :3] @ centre + image.affine[:3, 3]


def ball() -> tuple[np.ndarray, np.ndarray]:
    """A smooth bright ball and its label on an oblique grid of odd sizes, and where its centre is in mm."""
    index = np.indices((61, 50, 37)).reshape(3, -1)
    centre = np.array([33.0, 20.0, 17.0])
    distance = np.linalg.norm(OBLIQUE[:3, :3] @ (index - centre[:, None]), axis=0).reshape(61, 50, 37)
    return distance, OBLIQUE[:3, :3] @ centre + OBLIQUE[:3, 3]


@pytest.mark.parametrize("most_voxels", [200_000, 40_000, 9_000])
def test_a_reduced_scan_lies_where_the_scan_lay(most_voxels: int) -> None:
    distance, place = ball()
    image = PlacedArray((1000 * np.exp(-((distance / 9) ** 2))).round().astype(np.int16), OBLIQUE)
    labels = PlacedArray((distance < 15).astype(np.uint8), OBLIQUE)
    factors = reduction_factors(image.array.shape, OBLIQUE, most_voxels)
    for small in (reduced_image(image, factors), reduced_labels(labels, factors)):
        assert small.array.size <= most_voxels
        voxel = np.linalg.norm(small.affine[:3, :3], axis=0).max()
        assert np.linalg.norm(landmark_place(nib.Nifti1Image(small.array, small.affine)) - place) < 0.12 * voxel


def test_reduced_voxels_are_means_of_blocks_and_reduced_labels_are_voxels() -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (7, 4, 5)).astype(np.int16)
    small = reduced_image(PlacedArray(array, np.eye(4)), (3, 2, 1))
    assert small.array[1, 1, 4] == round(array[3:6, 2:4, 4].mean())
    assert small.array[2, 0, 0] == round(array[6, 0:2, 0].mean())
    np.testing.assert_allclose(small.affine @ [1, 1, 4, 1], [4, 2.5, 4, 1])
    labels = reduced_labels(PlacedArray(array, np.eye(4)), (3, 2, 1))
    for index in np.ndindex(2, 2, 5):
        x, y, z, _ = labels.affine @ [*index, 1]
        assert labels.array[index] == array[int(x), int(y), int(z)]


def test_the_smallest_voxels_are_merged_first() -> None:
    assert reduction_factors((512, 512, 60), np.diag([0.7, 0.7, 5, 1]), 4_000_000) == (2, 2, 1)
    assert reduction_factors((100, 100, 400), np.diag([1.5, 1.5, 0.5, 1]), 1_400_000) == (1, 1, 3)
    assert reduction_factors((9, 9, 9), np.eye(4), 1000) == (1, 1, 1)


def test_a_page_of_a_large_noisy_scan_stays_small_and_says_so() -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (160, 160, 90)).astype(np.int16)
    labels = np.zeros(noise.shape, np.uint8)
    labels[40:61, 30:71, 20:41] = 6
    bound = len(niivue.niivue_script()) + 800_000
    scan = Volume(noise, np.diag([-0.8, -0.8, 2.0, 1.0]))
    page = build_page(scan, labels, names={6: "liver"}, most_bytes=bound)
    assert 0.4 * bound < len(page) <= bound + 20_000
    assert "Reduced for display" in data(page)["notes"][0]
    [liver] = [organ for organ in data(page)["organs"] if organ["name"] == "liver"]
    assert liver["numbers"] == [f"{21 * 41 * 21 * 0.8 * 0.8 * 2 / 1000:.1f}"]
    full = build_page(scan, labels)
    assert data(full)["notes"] == []
    assert volume_in(full, "scan").shape == noise.shape


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_scan_and_labels_are_in_the_page_as_they_are(codes: str) -> None:
    """Every voxel has its value at its place, in whatever order the scan's axes are stored."""
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(np.int16)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    turns = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    stored = nib.Nifti1Image(array, affine).as_reoriented(turns)
    page = build_page(Volume(np.asarray(stored.dataobj), stored.affine), (np.asarray(stored.dataobj) > 50) * 3)
    scan, overlay = volume_in(page, "scan"), volume_in(page, "overlay")
    np.testing.assert_array_equal(scan.get_fdata(), array)
    np.testing.assert_array_equal(scan.affine, affine)
    labelled = nib.affines.apply_affine(overlay.affine, np.argwhere(overlay.get_fdata()))
    np.testing.assert_array_equal(labelled, nib.affines.apply_affine(affine, np.argwhere(array > 50)))
    assert overlay.shape[0] == 4  # planes 1 to 3 hold labels, and one of background is kept


@pytest.mark.parametrize(
    "values", [[0.25, 3.5, -7.125], [1e6, -2e6, 3.0], [np.nan, 1.5, 2.5], [1.0, np.inf, 4.0], [np.nan] * 3, [5.0] * 3]
)
def test_other_values_than_whole_numbers_are_nearly_kept(values: list[float]) -> None:
    array = np.array(values).reshape(3, 1, 1)
    stored = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(embedded_scan(PlacedArray(array, np.eye(4))))))
    finite = array[np.isfinite(array)]
    expected = np.where(np.isfinite(array), array, finite.min() if finite.size else 0)
    np.testing.assert_allclose(stored.get_fdata(), expected, atol=np.ptp(expected) / 65535 * 1.01)


def test_the_policy_allows_only_the_scripts_of_the_page_and_no_fetch() -> None:
    page = build_page(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#x27;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert rules["img-src"] == "data:"
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules["script-src"].split() == [f"'sha256-{value}'" for value in hashes]
    assert len(scripts) == 2
    assert not re.search(r"<(link|img|iframe|object|embed|base)\b|<script[^>]+src", page.split("<script>")[0])


def test_names_cannot_end_the_data_they_are_in() -> None:
    organ = "</script><!--<script>&\u2028'\""
    volume = Volume(np.zeros((3, 3, 3), np.int16), np.eye(4), path=Path("<b>&.nii.gz"))
    page = build_page(volume, np.ones((3, 3, 3), np.uint8), names={1: organ})
    assert data(page)["organs"][0]["name"] == organ
    assert "<b>" not in page
    assert "<title>&lt;b&gt;&amp;.nii.gz | labels - medssm</title>" in page


def test_comparison_counts_as_a_plain_loop_does() -> None:
    random = np.random.default_rng(3)
    left, right = (random.integers(0, 4, (9, 8, 7)) * random.choice([1, 40], (9, 8, 7)) for _ in range(2))
    overlay = overlay_of(left, right, {1: "a", 200: "absent"})
    counts: dict[tuple[int, int], int] = {}
    for pair in zip(left.ravel().tolist(), right.ravel().tolist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    for label in overlay.labels:
        only_left = sum(n for (a, b), n in counts.items() if a == label != b)
        only_right = sum(n for (a, b), n in counts.items() if b == label != a)
        both = counts.get((label, label), 0)
        total = 2 * both + only_left + only_right
        assert overlay.dice(label) == (pytest.approx(2 * both / total) if total else None)
    assert overlay.labels == [1, 2, 3, 40, 80, 120, 200]
    shown = [(0, 0), *overlay.pairs]
    decoded = np.array(shown)[overlay.array]
    np.testing.assert_array_equal(decoded, np.stack([left, right], axis=-1))


def test_a_comparison_says_dice_and_both_volumes(tmp_path: Path) -> None:
    left, right = np.zeros((2, 10, 10, 10), np.uint8)
    left[:4], right[2:8] = 1, 1
    page = build_page(Volume(left.astype(np.int16), np.eye(4)), left, compare=right, names={1: "liver", 2: "aorta"})
    rows = {organ["name"]: organ["numbers"] for organ in data(page)["organs"]}
    assert rows == {"liver": ["0.4", "0.6", "0.400"], "aorta": ["not found", "not found", "-"]}
    assert data(page)["columns"] == ["left ml", "right ml", "Dice"]


def test_organs_are_named_by_the_file_and_places_are_inside_them(tmp_path: Path) -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:9, 3:12, 4:8], labels[2:9, 5:10, 6] = 7, 0  # a ring in one plane
    scan = Volume(np.zeros(labels.shape, np.int16), OBLIQUE, path=tmp_path / "scan.nii.gz")
    write_label_map(tmp_path / "seg.nii.gz", labels, scan, {7: "lump"})
    [organ] = data(build_page(scan, tmp_path / "seg.nii.gz"))["organs"]
    assert organ["name"] == "lump"
    index = np.rint(np.linalg.solve(OBLIQUE, [*organ["place"], 1])[:3]).astype(int)
    assert labels[tuple(index)] == 7


def test_windows_are_of_ct_only_for_ct() -> None:
    ct = np.full((8, 8, 8), -1000, np.int16)
    ct[2:6] = 1000
    assert [window["name"] for window in data(build_page(Volume(ct, np.eye(4))))["windows"]] == [
        "abdomen",
        "lung",
        "bone",
    ]
    [window] = data(build_page(Volume(np.abs(ct), np.eye(4))))["windows"]
    assert window["name"] == "scan"


@pytest.mark.parametrize(
    ("shift", "shape", "said"),
    [(9.0, (6, 6, 6), "their affines place a voxel 9 mm apart"), (0.0, (6, 6, 5), "shapes .* differ")],
)
def test_a_label_map_of_another_scan_is_refused(shift: float, shape: tuple[int, ...], said: str) -> None:
    moved = np.eye(4)
    moved[0, 3] = shift
    labels = Volume(np.zeros(shape, np.uint8), moved, path=Path("other.nii.gz"))
    with pytest.raises(GeometryError, match=rf"other.nii.gz and .*{said}"):
        build_page(Volume(np.zeros((6, 6, 6), np.int16), np.eye(4)), labels)


def test_what_is_no_label_map_is_refused() -> None:
    scan = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4))
    with pytest.raises(DataError, match="whole numbers"):
        build_page(scan, np.full((4, 4, 4), 0.5))
    with pytest.raises(DataError, match="negative"):
        build_page(scan, np.full((4, 4, 4), -3))
    with pytest.raises(UsageError, match="two label maps"):
        build_page(scan, compare=np.zeros((4, 4, 4), np.uint8))


def test_a_page_is_not_written_over_another(tmp_path: Path) -> None:
    scan = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4))
    write_page(tmp_path / "page.html", scan)
    first = (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="is there already"):
        write_page(tmp_path / "page.html", scan)
    write_page(tmp_path / "page.html", scan, overwrite=True)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == first
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_the_page_names_whose_work_it_holds_and_under_which_terms() -> None:
    """NiiVue's script holds its own package description, so that a library added to it is missed here."""
    page = build_page(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))
    shown = html.unescape(page.split('<details id="notices">')[1].split("</details>")[0])
    [described] = re.findall(r"dependencies:({[^}]*}),devDependencies", niivue.niivue_script())
    libraries = re.findall(r"(@?[a-z][\w/-]*)\"?:\"", described)
    assert len(libraries) == 7
    assert not [name for name in ("NiiVue", *libraries) if f"{name}: Copyright (c)" not in shown]
    assert "BSD 2-Clause" in shown


def test_without_niivue_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("_SCRIPT", "_WIDGET"):
        monkeypatch.setattr(niivue, source, ("no_such_package", "niivue.js"))
    with pytest.raises(MedssmError, match=r"pip install '\.\[notebook\]' in medssm"):
        build_page(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))


def test_a_bundle_of_unknown_form_is_told(tmp_path: Path) -> None:
    with pytest.raises(MedssmError, match="form that is not known"):
        niivue._without_widget("export{a as default};", tmp_path / "widget.js")


def test_labels_without_names_are_numbered_and_may_be_of_any_size() -> None:
    labels = np.zeros((6, 6, 6), np.uint32)
    labels[1:3], labels[4:] = 1, 614454277
    scan = Volume(np.zeros(labels.shape, np.int16), np.eye(4))
    organs = data(build_page(scan, labels))["organs"]
    assert [(organ["name"], organ["numbers"]) for organ in organs] == [
        ("label 1", ["0.1"]),
        ("label 614454277", ["0.1"]),
    ]


def test_organs_are_compared_by_name_where_both_maps_have_names(tmp_path: Path) -> None:
    left, right = np.zeros((2, 10, 10, 10), np.uint8)
    left[:4], left[5:7] = 5, 6
    right[2:8] = 6
    scan = Volume(np.zeros(left.shape, np.int16), np.eye(4))
    write_label_map(tmp_path / "left.nii.gz", left, scan, {5: "liver", 6: "spleen"})
    write_label_map(tmp_path / "right.nii.gz", right, scan, {6: "Liver", 5: "aorta"})
    page = build_page(scan, tmp_path / "left.nii.gz", compare=tmp_path / "right.nii.gz")
    rows = {organ["name"]: organ["numbers"] for organ in data(page)["organs"]}
    assert rows == {
        "liver": ["0.4", "0.6", "0.400"],
        "spleen": ["0.2", "not found", "0.000"],
        "aorta": ["not found", "not found", "-"],
    }


def test_a_folder_of_masks_is_a_label_map(tmp_path: Path) -> None:
    scan = Volume(np.zeros((10, 10, 10), np.int16), np.eye(4))
    for organ, planes in (("liver", 3), ("spleen", 1)):
        mask = np.zeros(scan.shape, np.uint8)
        mask[:planes] = organ == "liver"
        mask[9] = organ == "spleen"
        write_label_map(tmp_path / "segmentations" / f"{organ}.nii.gz", mask, scan, {})
    rows = {organ["name"]: organ["numbers"] for organ in data(build_page(scan, tmp_path / "segmentations"))["organs"]}
    assert rows == {"liver": ["0.3"], "spleen": ["0.1"]}


def test_more_labels_than_a_page_can_list_are_refused() -> None:
    labels = np.arange(20**3, dtype=np.uint16).reshape(20, 20, 20)
    with pytest.raises(DataError, match="7999 labels are too many to show"):
        build_page(Volume(np.zeros(labels.shape, np.int16), np.eye(4)), labels)


def test_labels_are_named_from_the_command_line(tmp_path: Path) -> None:
    scan = Volume(np.zeros((4, 4, 4), np.int16), np.eye(4))
    labels = np.zeros(scan.shape, np.uint8)
    labels[1], labels[2] = 5, 6
    files = [tmp_path / f"{name}.nii.gz" for name in ("scan", "seg")]
    write_label_map(files[0], np.ones(scan.shape, np.uint8), scan, {})
    write_label_map(files[1], labels, scan, {})
    arguments = ["view", *map(str, files), "--html", str(tmp_path / "a.html"), "--names", "6=Leber"]
    assert CliRunner().invoke(build_app(), arguments).exit_code == 0
    organs = data((tmp_path / "a.html").read_text(encoding="utf-8"))["organs"]
    assert [organ["name"] for organ in organs] == ["label 5", "Leber"]
