"""A scan with its organs as a NiiVue widget, for a notebook that goes on talking to what it shows."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medssm.data.scans.label_values import label_counts, renumbered
from medssm.data.scans.organs import colour_of
from medssm.errors import MedssmError
from medssm.viewing.page.embedding import embedded_labels, embedded_scan
from medssm.viewing.page.sources import LabelSource, ScanSource, labels_from, named, ras, scan_from
from medssm.viewing.panels import LABEL_OPACITY
from medssm.viewing.slices import grey_window

if TYPE_CHECKING:
    from ipyniivue import NiiVue

HEIGHT = 640  # pixels


def niivue_widget(
    image: ScanSource, labels: LabelSource | None = None, *, names: Mapping[int, str] | None = None
) -> "NiiVue":
    """The widget of a scan at full resolution, with a connection to the kernel: `widget.volumes[1].opacity = 0.2`.

    Where no more than looking is wanted `medssm.view` is better: its page needs no connection and survives reopening.

    Args:
        image, labels, names: as of `medssm.view`.

    Raises: MedssmError without the package ipyniivue; DataError, GeometryError of files that do not fit.
    """
    try:
        from ipyniivue import NiiVue, Volume
    except ImportError as error:
        raise MedssmError(
            "the widget needs ipyniivue; install it with pip install '.[notebook]' in medssm's source"
        ) from error
    scan = scan_from(image)
    low, high = grey_window(scan.array)
    content = base64.b64decode(embedded_scan(ras(scan.array, scan.affine)))
    volumes = [Volume(data=content, name="scan.nii.gz", cal_min=low, cal_max=high)]
    if labels is not None:
        found = labels_from(labels, scan)
        organs = named([found], names)[1]
        listed = sorted({*organs, *label_counts(found.array)} - {0})
        # NiiVue's table of colours has an entry for every value up to the highest.
        codes = renumbered(found.array, {label: code for code, label in enumerate(listed, start=1)})
        content = base64.b64decode(embedded_labels(ras(codes, scan.affine)))
        volumes.append(Volume(data=content, name="labels.nii.gz", opacity=LABEL_OPACITY))
        volumes[1].set_colormap_label(_colours(listed, organs))
    widget = NiiVue(height=HEIGHT)
    widget.load_volumes(volumes)
    return widget


def _colours(labels: Sequence[int], names: Mapping[int, str]) -> dict[str, list[int] | list[str]]:
    """The project's colours and names of labels, by their places from 1, in the form that NiiVue takes."""
    red, green, blue = zip((0, 0, 0), *map(colour_of, labels), strict=True)
    alpha = [0] + [255] * len(labels)  # 0 is transparent
    titles = ["", *(names.get(label, f"label {label}") for label in labels)]
    return {"R": [*red], "G": [*green], "B": [*blue], "A": alpha, "I": [*range(len(titles))], "labels": titles}
