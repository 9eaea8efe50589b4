"""`medssm.view` and `Segmentation.show`: a page in a notebook, a figure elsewhere."""

import base64
import html
import io

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import medssm
from medssm.data.scans.volume import Volume
from medssm.tasks.segmentation.result import Segmentation
from medssm.viewing import interactive
from medssm.viewing.page import niivue

CELL = """
import numpy as np
import medssm
from medssm.data.scans.volume import Volume
labels = np.zeros((12, 12, 12), np.uint8)
labels[3:7, 3:7, 3:7] = 6
scan = Volume(np.where(labels, 60, -1000).astype(np.int16), np.eye(4))
medssm.{call}
"""


def small() -> tuple[Volume, np.ndarray]:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:7, 3:7, 3:7] = 6
    return Volume(np.where(labels, 60, -1000).astype(np.int16), np.eye(4)), labels


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "get_backend", lambda: "agg")


def test_a_kernel_shows_the_page_and_keeps_a_picture_for_plain_exports() -> None:
    nbclient = pytest.importorskip("nbclient", reason="no notebooks here; pip install '.[test]'")
    nbformat = pytest.importorskip("nbformat")
    calls = ("view(scan, labels)", "Segmentation(labels, scan, {6: 'liver <6>'}).show()")
    cells = [nbformat.v4.new_code_cell(CELL.format(call=call)) for call in calls]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    for cell, name in zip(notebook.cells, ("label 6", "liver \\\\u003c6>"), strict=True):
        [output] = cell.outputs
        frame = output.data["text/html"]
        assert frame.startswith("<iframe ")
        assert 'sandbox="allow-scripts"' in frame
        page = html.unescape(frame.split('srcdoc="')[1].removesuffix('"></iframe>'))
        assert page.startswith("<!doctype html>")
        assert f'"name": "{name}"' in page.replace("\\u", "\\\\u")
        picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(output.data["image/png"])))
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20


def test_outside_a_notebook_the_figure_is_given() -> None:
    scan, labels = small()
    assert "liver" in " ".join(texts(medssm.view(scan, labels, names={6: "liver"})))
    assert "lump" in " ".join(texts(Segmentation(labels, scan, {6: "lump"}).show()))
    assert "axial" in " ".join(texts(medssm.view(scan)))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_a_notebook_without_niivue_shows_the_figure_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "is_notebook", lambda: True)
    for source in ("_SCRIPT", "_WIDGET"):
        monkeypatch.setattr(niivue, source, ("no_such_package", "niivue.js"))
    with pytest.warns(UserWarning, match=r"pip install '\.\[notebook\]' in medssm"):
        figure = medssm.view(*small())
    assert "label 6" in " ".join(texts(figure))


def test_the_frame_is_ascii_and_gives_the_page_back() -> None:
    page = '<p title="\'">größer & &amp; \u2192</p>'
    frame = interactive.NotebookView(page, figure=None).iframe()  # type: ignore[arg-type]
    assert frame.isascii()
    assert html.unescape(frame.split('srcdoc="')[1].removesuffix('"></iframe>')) == page
