"""The page itself: its data, its text, and the policy that lets it fetch nothing."""

import html
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from medssm.data.scans.organs import AGREEMENT, DIFFERENT, ONLY_LEFT, ONLY_RIGHT
from medssm.data.scans.volume import Volume
from medssm.errors import UsageError
from medssm.files import atomic_path, json_text
from medssm.viewing.page.embedding import embedded_labels, embedded_scan
from medssm.viewing.page.niivue import niivue_script
from medssm.viewing.page.overlay import Overlay, entry_table, organ_table, overlay_of
from medssm.viewing.page.places import organ_places, start_place
from medssm.viewing.page.reduction import (
    Factors,
    PlacedArray,
    cropped_to_labels,
    reduced_image,
    reduced_labels,
    reduction_factors,
)
from medssm.viewing.page.sources import LabelSource, ScanLabels, ScanSource, labels_from, named, ras, scan_from
from medssm.viewing.policy import content_policy
from medssm.viewing.slices import SOFT_TISSUE, grey_window

# A file of this size still goes through mail; a browser draws this many voxels without trouble.
MOST_BYTES = 29_000_000
MOST_VOXELS = 1 << 24

# Lower and upper value in Hounsfield units; the first is the one that every picture of the project has.
CT_WINDOWS = {"abdomen": SOFT_TISSUE, "lung": (-1350.0, 150.0), "bone": (-500.0, 1300.0)}


class _Shown(NamedTuple):
    """The scan and what lies over it, as large as the page has them."""

    scan: PlacedArray
    labels: PlacedArray
    factors: Factors


def write_page(
    path: str | Path,
    image: ScanSource,
    labels: LabelSource | None = None,
    *,
    compare: LabelSource | None = None,
    names: Mapping[int, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the interactive page of a scan, one file that opens anywhere and fetches nothing; see `build_page`.

    Raises: UsageError if there is a file at `path` already and `overwrite` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: is there already; name another file, or allow it to be written again (--overwrite)")
    page = build_page(image, labels, compare=compare, names=names)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def build_page(
    image: ScanSource,
    labels: LabelSource | None = None,
    *,
    compare: LabelSource | None = None,
    names: Mapping[int, str] | None = None,
    most_bytes: int = MOST_BYTES,
) -> str:
    """The HTML of the interactive page of a scan: three planes, 3-D, organs with their volumes, grey windows.

    A large scan is reduced for display, and the page says so; volumes and Dice are always those of the full label map.

    Args:
        image: a scan, or its file or DICOM folder.
        labels: its label map, as file, folder with a mask for each organ, or array (X, Y, Z); None for the scan alone.
            The page holds the part with labels.
        compare: a second label map; colours then show where the two agree and which one is alone.
        names: label value -> organ; by default those in the files, else "label 7". Where two label maps carry names,
            the names decide which organs are compared.
        most_bytes: the page is no larger, if that is possible.

    Raises:
        MedssmError: no installed package holds NiiVue.
        DataError, GeometryError: a file cannot be read, or a label map does not belong to the scan.
        UsageError: `compare` without `labels`.
    """
    if compare is not None and labels is None:
        raise UsageError("a comparison needs two label maps; give the first one after the scan")
    niivue = niivue_script()
    scan = scan_from(image)
    maps = [labels_from(source, scan) for source in (labels, compare) if source is not None]
    maps, names = named(maps, names)
    overlay = overlay_of(maps[0].array, maps[-1].array, names) if maps else None
    shown, embedded = _embedded(scan, overlay, most_bytes - len(niivue))
    page = _page_data(scan, maps, overlay, names, shown)
    return _document(_title(scan, maps), page, embedded, niivue)


def _embedded(scan: Volume, overlay: Overlay | None, most_bytes: int) -> tuple[_Shown, tuple[str, str]]:
    """Scan and overlay as the page shows them and as its text, reduced until both are within `most_bytes`."""
    image = ras(scan.array, scan.affine)
    labels = ras(overlay.array if overlay else np.zeros((1, 1, 1), np.uint8), scan.affine)
    voxels = MOST_VOXELS
    while True:
        factors = reduction_factors(image.array.shape, image.affine, voxels)
        shown = _Shown(reduced_image(image, factors), cropped_to_labels(reduced_labels(labels, factors)), factors)
        texts = embedded_scan(shown.scan), embedded_labels(shown.labels) if overlay else ""
        size = sum(map(len, texts))
        if size <= most_bytes or shown.scan.array.size == 1:
            return shown, texts
        voxels = max(int(shown.scan.array.size * min(max(most_bytes, 0) / size, 0.9)), 1)


def _page_data(
    scan: Volume, maps: list[ScanLabels], overlay: Overlay | None, names: Mapping[int, str], shown: _Shown
) -> dict[str, Any]:
    """What the page's script is told, as JSON has it."""
    is_comparison = len(maps) == 2
    places = organ_places(overlay, shown.labels) if overlay else {}
    voxel_ml = scan.voxel_volume / 1000
    low, high = grey_window(scan.array)
    windows = CT_WINDOWS if (low, high) == SOFT_TISSUE else {"scan": (low, high)}
    middle = PlacedArray(np.zeros(shown.scan.array.shape, bool), shown.scan.affine)
    return {
        "notes": [*scan.notes, *(note for labels in maps for note in labels.notes), *_reduction_note(shown)],
        "windows": [{"name": name, "low": low, "high": high} for name, (low, high) in windows.items()],
        "start": start_place(shown.labels if overlay else middle),
        "organs": organ_table(overlay, names, voxel_ml, places, is_comparison) if overlay else [],
        "columns": ["left ml", "right ml", "Dice"] if is_comparison else ["ml"],
        "entries": entry_table(overlay) if overlay else [],
        "comparison": _comparison(maps) if is_comparison else None,
    }


def _reduction_note(shown: _Shown) -> list[str]:
    if shown.factors == (1, 1, 1):
        return []
    blocks = " x ".join(map(str, shown.factors))
    return [f"Reduced for display: {blocks} voxels of the scan are one here; the figures are of the full label map."]


def _comparison(maps: list[ScanLabels]) -> dict[str, Any]:
    colours = {
        "agreement": AGREEMENT,
        "onlyLeft": ONLY_LEFT,
        "onlyRight": ONLY_RIGHT,
        "different": DIFFERENT,
    }
    left, right = (labels.title for labels in maps)
    meanings = ("both agree", f"only left: {left}", f"only right: {right}", "two different organs")
    legend = [{"name": name, "colour": colour} for name, colour in zip(meanings, colours.values(), strict=True)]
    return {"colours": colours, "legend": legend}


def _title(scan: Volume, maps: list[ScanLabels]) -> str:
    return " | ".join([scan.path.resolve().name, *(labels.title for labels in maps)])


def _document(title: str, page: dict[str, Any], embedded: tuple[str, str], niivue: str) -> str:
    style, viewer = _inlined(_part("viewer.css")), _inlined(_part("viewer.js"))
    niivue = _inlined(niivue)
    scan, overlay = embedded
    return Template(_part("viewer.html")).substitute(
        title=html.escape(title),
        policy=html.escape(content_policy(style, [niivue, viewer])),
        style=style,
        notices=html.escape(_part("notices.txt")),
        page=json_text(page, None).replace("<", "\\u003c"),
        scan=scan,
        overlay=overlay,
        niivue=niivue,
        viewer=viewer,
    )


def _inlined(script: str) -> str:
    """The script in a form that a page's parser cannot end early; the same to JavaScript."""
    return re.sub(r"<(?=/script|/style)", r"<\\", script, flags=re.IGNORECASE).replace("<!--", "\\x3c!--")


def _part(name: str) -> str:
    return (files("medssm.viewing.page") / name).read_text(encoding="utf-8")
