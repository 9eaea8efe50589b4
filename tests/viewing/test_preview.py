"""The picture of three planes: what lies where, in which proportions and colours."""

import matplotlib.image
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest

from medssm.data.organs import BTCV_ORGANS, colour_of
from medssm.data.volume import Volume
from medssm.inference import Segmentation
from medssm.viewing.preview import PLANES, fullest_index, grey_window, plane_picture, three_plane_figure


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


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_the_picture_is_the_same_in_every_orientation(codes: str) -> None:
    def panels(codes: str) -> list[np.ndarray]:
        figure = three_plane_figure(*body(codes), {1: "spleen"})
        return [np.asarray(picture.get_array()) for axes in figure.axes[:3] for picture in axes.images]

    for found, expected in zip(panels(codes), panels("RAS"), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_voxels_have_their_proportions() -> None:
    figure = three_plane_figure(*body(), {1: "spleen"})
    assert [axes.get_aspect() for axes in figure.axes[:3]] == [1.0, 2.5, 2.5]


def test_slices_go_through_the_largest_area_and_labels_have_their_colour() -> None:
    figure = three_plane_figure(*body(), {1: "spleen"})
    overlay = np.asarray(figure.axes[0].images[1].get_array())
    coloured = overlay[overlay[..., 3] > 0]
    assert len(coloured) == 9
    np.testing.assert_allclose(coloured[0, :3] * 255, colour_of(1), atol=1e-3)


def test_the_legend_names_volumes_and_what_was_not_found() -> None:
    figure = three_plane_figure(*body(), {1: "spleen", 6: "liver"})
    texts = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert texts == [f"spleen  {18 * 20 / 1000:.1f} ml", "liver  not found"]


def test_a_scan_without_labels_shows_its_middle() -> None:
    assert fullest_index(np.zeros((9, 5, 4)), 0) == 4


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4), np.int16), np.full((1, 1, 1), np.nan), np.ones((3, 1, 2)) * 7])
def test_flat_scans_still_have_a_grey_window(array: np.ndarray) -> None:
    low, high = grey_window(array)
    assert low < high


def test_ct_is_shown_at_soft_tissue_and_other_scans_by_percentile() -> None:
    assert grey_window(body()[0].array) == (-160.0, 240.0)
    assert grey_window(np.arange(1001.0).reshape(7, 11, 13)) == pytest.approx((10, 990), abs=6)


def test_the_preview_is_a_png_that_is_not_empty(tmp_path) -> None:
    volume, labels = body("LPS")
    Segmentation(labels, volume, BTCV_ORGANS).save_preview(tmp_path / "preview.png")
    picture = matplotlib.image.imread(tmp_path / "preview.png")
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20


def test_show_gives_the_figure_where_there_is_no_display(monkeypatch) -> None:
    monkeypatch.setattr(plt, "get_backend", lambda: "agg")
    volume, labels = body()
    assert len(Segmentation(labels, volume, {1: "spleen"}).show().axes) == 4
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
