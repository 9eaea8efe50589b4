"""The preview: what lies where, in which proportions, sizes and colours."""

import warnings

import matplotlib.image
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from medssm.data.scans.organs import BTCV_ORGANS, colour_of
from medssm.data.scans.volume import Volume
from medssm.tasks.segmentation.result import Segmentation
from medssm.viewing.panels import bar_length, pixels
from medssm.viewing.preview import three_plane_figure
from medssm.viewing.slices import PLANES, fullest_index, grey_window, organ_slices, plane_picture


def body(codes: str = "RAS") -> tuple[Volume, np.ndarray]:
    """A scan with a spleen towards the left, the back and the head, in any orientation."""
    image = np.full((20, 22, 10), -1000, np.int16)
    image[4:16, 4:18] = 40
    image[10, 10, 5] = 900
    labels = np.zeros(image.shape, np.uint8)
    labels[4:7, 5:8, 7:9] = 1
    ras = nib.Nifti1Image(image, np.diag([2.0, 2.0, 5.0, 1.0]))
    turns = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    turned = ras.as_reoriented(turns)
    return Volume(np.asarray(turned.dataobj), turned.affine), nib.apply_orientation(labels, turns)


def texts(figure: Figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return inside + [text.get_text() for text in figure.texts]


def drawn(figure: Figure, number: int, colour: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) rows and columns of the pixels of one colour in a panel of the finished picture."""
    picture = pixels(figure)
    box = figure.axes[number].get_window_extent()
    top, left = picture.shape[0] - round(box.y1), round(box.x0)
    inside = picture[top : picture.shape[0] - round(box.y0), left : round(box.x1)]
    return np.argwhere((inside == colour).all(axis=-1))


def extent(places: np.ndarray) -> np.ndarray:
    """Height and width in pixels."""
    return np.ptp(places, axis=0) + 1


@pytest.mark.parametrize(
    ("plane", "towards"),
    [(PLANES[0], ("right", "bottom")), (PLANES[1], ("right", "top")), (PLANES[2], ("right", "top"))],
)
def test_planes_lie_as_radiologists_have_them(plane, towards: tuple[str, str]) -> None:
    """Of a RAS array: the patient's left on the right of the picture, head and front at the top."""
    labels = np.zeros((20, 22, 10))
    labels[2, 3, 8] = 1  # left, back, head
    picture = plane_picture(labels, plane, fullest_index(labels, plane.axis))
    [[row, column]] = np.argwhere(picture)
    across = "right" if column > picture.shape[1] / 2 else "left"
    along = "bottom" if row > picture.shape[0] / 2 else "top"
    assert (across, along) == towards


@pytest.mark.parametrize("plane", PLANES)
def test_marks_name_the_ends_of_the_axes(plane) -> None:
    """The letters are derived anew from which end of the array a picture's edge shows."""
    index = np.indices((3, 4, 5))
    left, right = (plane_picture(index[plane.across], plane, 0)[0, edge] for edge in (0, -1))
    bottom, top = (plane_picture(index[plane.up], plane, 0)[edge, 0] for edge in (-1, 0))
    ends = {0: "LR", 1: "PA", 2: "IS"}
    expected = [ends[plane.across][int(end > 0)] for end in (left, right)]
    expected += [ends[plane.up][int(end > 0)] for end in (bottom, top)]
    assert list(plane.marks) == expected


@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL"])
def test_the_picture_is_the_same_in_every_orientation(codes: str) -> None:
    found, expected = (pixels(three_plane_figure(*body(c), {1: "spleen"})) for c in (codes, "RAS"))
    np.testing.assert_array_equal(found, expected)


def test_an_organ_on_the_patients_right_is_on_the_left_of_the_axial_picture() -> None:
    """Through the phantom of one organ, stored with x to the left as DICOM has it, down to the pixels of the PNG."""
    labels = np.zeros((40, 30, 12), np.uint8)
    labels[4:12, 10:20, 3:9] = 6  # voxel 0 is at x = 0, and x runs to the left: towards the patient's right
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    corner = affine @ [*np.argwhere(labels).mean(axis=0), 1]
    assert corner[0] > (affine @ [20, 0, 0, 1])[0]  # more to the right than the middle, in RAS+ mm
    figure = three_plane_figure(Volume(np.zeros(labels.shape, np.int16), affine), labels, {6: "liver"})
    columns = drawn(figure, 0, colour_of(6))[:, 1]
    assert columns.max() < figure.axes[0].get_window_extent().width / 2
    left, right = (next(t for t in figure.axes[0].texts if t.get_text() == mark) for mark in "RL")
    assert left.get_window_extent().x1 < right.get_window_extent().x0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (3.0, 0.8, 2.0)])
def test_a_sphere_is_drawn_as_a_circle_whatever_the_spacing(spacing: tuple[float, float, float]) -> None:
    shape = [round(120 / step) for step in spacing]
    place = (np.indices(shape).T + 0.5) * spacing - 60
    labels = (np.linalg.norm(place, axis=-1).T < 40).astype(np.uint8)
    figure = three_plane_figure(Volume(labels * 100.0, np.diag([*spacing, 1.0])), labels, {1: "spleen"})
    for number, plane in enumerate(PLANES):
        height, width = extent(drawn(figure, number, colour_of(1)))
        panel = figure.axes[number].get_window_extent()
        voxel = max(spacing[plane.across] * panel.width, spacing[plane.up] * panel.height) / 120
        assert abs(height - width) <= 2 * voxel + 2
        assert width == pytest.approx(80 / 120 * panel.width, abs=2 * voxel + 2)


def test_the_scale_bar_has_the_length_that_it_states() -> None:
    """Beside an organ of 60 mm, both measured in pixels of the finished picture."""
    labels = np.zeros((100, 80, 40), np.uint8)
    labels[20:50, 20:50, 10:30] = 1
    figure = three_plane_figure(Volume(np.zeros(labels.shape), np.diag([2.0, 2.0, 2.5, 1.0])), labels, {1: "spleen"})
    organ = extent(drawn(figure, 0, colour_of(1)))[1]
    bottom = round(figure.axes[0].get_window_extent().y0)
    [bar] = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    box = bar.get_window_extent()
    picture = pixels(figure)
    row = picture[picture.shape[0] - round((box.y0 + box.y1) / 2), : round(box.x1) + 3]
    length = np.count_nonzero((row == 255).all(axis=-1))
    assert box.y1 < bottom
    assert "5 cm" in texts(figure)
    assert length / organ == pytest.approx(50 / 60, abs=0.02)


@pytest.mark.parametrize("width", [0.3, 7.0, 39.9, 40.0, 512.0, 1900.0])
def test_a_scale_bar_takes_up_a_tenth_to_a_quarter_of_the_width(width: float) -> None:
    assert width / 10.01 <= bar_length(width) <= width / 4


def test_slices_go_through_the_largest_area() -> None:
    """The titles beside an own count of the voxels, from 1 as people count."""
    labels = np.random.default_rng(0).random((14, 16, 18)) < np.linspace(0, 0.4, 18) * np.linspace(1, 0, 16)[:, None]
    figure = three_plane_figure(Volume(labels * 50.0, np.eye(4)), labels.astype(np.uint8), {1: "spleen"})
    for title, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        areas = [int(np.take(labels, index, axis).sum()) for index in range(labels.shape[axis])]
        assert f"{title} {areas.index(max(areas)) + 1}/{len(areas)}" in texts(figure)


def test_organs_that_the_fullest_slice_does_not_show_get_a_slice_of_their_own() -> None:
    labels = np.zeros((20, 20, 30), np.uint8)
    labels[:, :, 10:12] = 6
    labels[3:6, 3:6, 25] = 5
    labels[3:5, 3:5, 24] = 5
    labels[10, 10:14, 2:4] = 12
    labels[0, 0, 10:12] = 4  # shown already
    assert organ_slices(labels, 2, 10, limit=3) == [2, 25]
    assert organ_slices(labels, 2, 10, limit=1) in ([2], [25])
    figure = three_plane_figure(Volume(labels * 1.0, np.eye(4)), labels, BTCV_ORGANS)
    assert [axes.texts[4].get_text() for axes in figure.axes[3:]] == ["axial 3/30", "axial 26/30"]


def test_labels_have_their_colour_and_the_legend_their_volume() -> None:
    figure = three_plane_figure(*body(), {1: "spleen", 6: "liver"})
    assert len(drawn(figure, 0, colour_of(1))) > 20
    assert not len(drawn(figure, 0, colour_of(6)))
    assert {f"spleen  {18 * 20 / 1000:.1f} ml", "liver  not found"} <= set(texts(figure))
    swatches = [tuple(np.round(np.multiply(patch.get_facecolor()[:3], 255))) for patch in figure.artists]
    assert swatches == [colour_of(1), colour_of(6)]


def test_a_scan_without_labels_shows_its_middle() -> None:
    assert fullest_index(np.zeros((9, 5, 4)), 0) == 4
    figure = three_plane_figure(Volume(body()[0].array, np.eye(4)), np.zeros((20, 22, 10), np.uint8), {1: "spleen"})
    assert {"axial 6/10", "coronal 12/22", "sagittal 11/20", "spleen  not found"} <= set(texts(figure))


@pytest.mark.parametrize("shape", [(64, 48, 1), (1, 1, 1), (1, 40, 30), (3, 2, 90)])
def test_thin_scans_are_drawn(shape: tuple[int, int, int]) -> None:
    figure = three_plane_figure(Volume(np.ones(shape), np.diag([1, 1, 5.0, 1])), np.ones(shape, np.uint8), BTCV_ORGANS)
    assert max(figure.get_size_inches()) < 16
    inside = figure.bbox.padded(1)
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert min(box.width, box.height) >= 0.99
        assert inside.contains(*box.min)
        assert inside.contains(*box.max)


def test_an_oblique_scan_says_so() -> None:
    turn = nib.eulerangles.euler2mat(z=np.radians(12))
    figure = three_plane_figure(Volume(np.ones((8, 8, 8)), nib.affines.from_matvec(turn)), np.ones((8, 8, 8), int), {})
    assert any("up to 12 degrees off" in text for text in texts(figure))
    assert not any("oblique" in text for text in texts(three_plane_figure(*body(), {})))


def test_names_are_drawn_as_they_are() -> None:
    """matplotlib would read dollars as formulas and leave out what begins with an underscore."""
    names = {1: "_$\\frac{", 2: "$x^2$"}
    figure = three_plane_figure(*body(), names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(figure)
    assert any(text.startswith("_$\\frac{  ") for text in texts(figure))


def test_a_label_without_a_name_is_in_the_legend() -> None:
    volume, labels = body()
    assert any(text.startswith("label 200  ") for text in texts(three_plane_figure(volume, labels * np.uint8(200), {})))


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4), np.int16), np.full((1, 1, 1), np.nan), np.ones((3, 1, 2)) * 7])
def test_flat_scans_still_have_a_grey_window(array: np.ndarray) -> None:
    low, high = grey_window(array)
    assert low < high


def test_ct_is_shown_at_soft_tissue_and_other_scans_by_percentile() -> None:
    assert grey_window(body()[0].array) == (-160.0, 240.0)
    assert grey_window(np.arange(1001.0).reshape(7, 11, 13)) == pytest.approx((10, 990), abs=6)


def test_values_that_are_no_numbers_are_black() -> None:
    image = np.full((6, 6, 6), 50.0)
    image[2:, 2:, 2:] = np.nan
    figure = three_plane_figure(Volume(image, np.eye(4)), np.zeros((6, 6, 6), np.uint8), {}, window=(0, 100))
    assert len(drawn(figure, 0, (0, 0, 0))) > 0
    assert len(drawn(figure, 0, (128, 128, 128))) > 0


def test_the_preview_is_a_png_that_is_not_empty(tmp_path) -> None:
    volume, labels = body("LPS")
    Segmentation(labels, volume, BTCV_ORGANS).save_preview(tmp_path / "preview.png")
    picture = matplotlib.image.imread(tmp_path / "preview.png")
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20


def test_show_gives_the_figure_where_there_is_no_display(monkeypatch) -> None:
    monkeypatch.setattr(plt, "get_backend", lambda: "agg")
    volume, labels = body()
    assert len(Segmentation(labels, volume, {1: "spleen"}).show().axes) == 3
    assert not plt.get_fignums()


def test_show_opens_a_window_with_the_picture_where_there_is_a_display(monkeypatch, tmp_path) -> None:
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "tkagg")
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.gcf().images))
    volume, labels = body()
    segmentation = Segmentation(labels, volume, {1: "spleen"})
    segmentation.show()
    plt.close("all")
    segmentation.save_preview(tmp_path / "preview.png")
    picture = matplotlib.image.imread(tmp_path / "preview.png")
    [image] = shown
    np.testing.assert_allclose(image.get_array() / 255, picture, atol=1e-6)


def test_labels_beyond_any_table_are_drawn_and_listed() -> None:
    labels = np.zeros((30, 30, 30), np.uint32)
    labels[5:15, 5:15, 5:8], labels[5:15, 5:15, 20:22] = 997, 614454277
    figure = three_plane_figure(Volume(labels * 0.0, np.eye(4)), labels, {997: "isocortex"})
    legend = [text.get_text() for text in figure.texts]
    assert legend[:2] == ["isocortex  0.3 ml", "label 614454277  0.2 ml"]
    assert "axial 21/30" in [axes.texts[4].get_text() for axes in figure.axes]
