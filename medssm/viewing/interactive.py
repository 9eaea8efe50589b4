"""A scan with its organs, shown where the user is: interactive in a notebook, else as a figure."""

import base64
import html
import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from medssm.data.scans.volume import Volume
from medssm.errors import MedssmError
from medssm.viewing.page.document import build_page
from medssm.viewing.page.sources import LabelSource, ScanSource, labels_from, named, scan_from
from medssm.viewing.preview import display, three_plane_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A notebook keeps the page in its own file.
MOST_BYTES_IN_NOTEBOOK = 12_000_000
HEIGHT = 640  # pixels


class NotebookView:
    """A page and a figure of the same: a notebook shows the page, an export that cannot the figure."""

    def __init__(self, page: str, figure: "Figure") -> None:
        self.page = page
        self.figure = figure

    def iframe(self) -> str:
        """The page in a frame of its own, which can reach nothing of the notebook; ASCII, whatever an export takes."""
        page = html.escape(self.page).encode("ascii", "xmlcharrefreplace").decode("ascii")
        return (
            f'<iframe title="medssm viewer" sandbox="allow-scripts" width="100%" height="{HEIGHT}" '
            f'style="border: 0" srcdoc="{page}"></iframe>'
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What IPython asks of an object that it displays."""
        stream = BytesIO()
        self.figure.savefig(stream, format="png")
        picture = base64.b64encode(stream.getvalue()).decode("ascii")
        return {"text/html": self.iframe(), "image/png": picture, "text/plain": "medssm viewer"}


def view(
    image: ScanSource,
    labels: LabelSource | None = None,
    *,
    compare: LabelSource | None = None,
    names: Mapping[int, str] | None = None,
) -> "Figure | None":
    """Shows a scan with its organs: as an interactive page in a notebook, elsewhere as a figure of three planes.

    Args:
        image: a scan, or its file or DICOM folder.
        labels: its label map, as file, folder with a mask for each organ, or array (X, Y, Z).
        compare: a second label map, which the page compares with the first; the figure leaves it out.
        names: label value -> organ; by default those in the file, else "label 7".

    Returns: the figure where there is no notebook; without a screen it is only returned.
    """
    scan = scan_from(image)
    figure = _figure(scan, labels, names)
    if not is_notebook():
        return display(figure)
    try:
        page = build_page(scan, labels, compare=compare, names=names, most_bytes=MOST_BYTES_IN_NOTEBOOK)
    except MedssmError as error:
        warnings.warn(f"{error}; this is the static figure", stacklevel=2)
        return display(figure)
    from IPython.display import display as display_in_notebook

    display_in_notebook(NotebookView(page, figure))
    return None


def is_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, and not in a terminal."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def _figure(volume: Volume, labels: LabelSource | None, names: Mapping[int, str] | None) -> "Figure":
    if labels is None:
        return three_plane_figure(volume, np.zeros(volume.shape, np.uint8), {})
    found = labels_from(labels, volume)
    return three_plane_figure(volume, found.array, named([found], names)[1])
