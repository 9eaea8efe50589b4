"""The widget of a notebook: what it is given, and that it can be talked to."""

import gzip
import sys

import nibabel as nib
import numpy as np
import pytest

from medssm.data.scans.organs import BTCV_ORGANS, COLOURS, colour_of
from medssm.data.scans.volume import Volume
from medssm.errors import MedssmError
from medssm.viewing.widget import niivue_widget

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 1, 0, -20], [0, 0, 5, 7], [0, 0, 0, 1]])


@pytest.fixture
def widget():
    pytest.importorskip("ipyniivue", reason="the widget needs ipyniivue: pip install '.[notebook]'")
    values = np.full((6, 5, 4), -1000, np.int16)
    values[0, :, :], values[1, 2, 3] = 900, 60
    labels = np.zeros(values.shape, np.uint8)
    labels[1, 2, 3] = 6
    return niivue_widget(Volume(values, AFFINE), labels, names=BTCV_ORGANS)


def test_scan_and_labels_lie_where_they_do_in_the_patient(widget):
    for volume, value in zip(widget.volumes, (60, 6), strict=True):
        image = nib.Nifti1Image.from_bytes(gzip.decompress(volume.data))
        place = np.argwhere(image.get_fdata() == value)[0]
        np.testing.assert_allclose(nib.affines.apply_affine(image.affine, place), [28, -18, 22])


def test_organs_have_the_colours_of_every_picture(widget):
    table = np.array(widget.volumes[1].colormap_label.lut).reshape(-1, 4)
    assert tuple(table[6][:3]) == COLOURS[6]
    assert table[0][3] == 0
    assert table[6][3] > 0


def test_it_starts_with_a_soft_tissue_window_and_takes_changes(widget):
    scan, labels = widget.volumes
    assert (scan.cal_min, scan.cal_max) == (-160, 240)
    labels.opacity = 0.2
    assert widget.volumes[1].opacity == 0.2


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(MedssmError, match="pip install '\\.\\[notebook\\]' in medssm"):
        niivue_widget(Volume(np.zeros((2, 2, 2), np.int16), AFFINE))


def test_labels_of_any_size_and_without_names_have_a_colour():
    pytest.importorskip("ipyniivue", reason="the widget needs ipyniivue: pip install '.[notebook]'")
    labels = np.zeros((6, 5, 4), np.uint32)
    labels[1], labels[2] = 7, 614454277
    widget = niivue_widget(Volume(np.zeros(labels.shape, np.int16), AFFINE), labels)
    table = np.array(widget.volumes[1].colormap_label.lut).reshape(-1, 4)
    assert [tuple(row[:3]) for row in table[1:3]] == [colour_of(7), colour_of(614454277)]
    assert (table[1:3, 3] > 0).all()
