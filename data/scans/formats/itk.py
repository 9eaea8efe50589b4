"""NRRD and MetaImage files through SimpleITK."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medssm.data.scans.formats import DEFLATE_LIMIT, Stored, StoredGrid
from medssm.data.scans.formats.itk_headers import check_header
from medssm.data.scans.formats.label_names import names_in_slicer_fields, slicer_fields
from medssm.data.scans.geometry import RAS_LPS, check_affine, from_itk, reverse_order, spacing_of
from medssm.errors import DataError
from medssm.files import atomic_path

_SELF_CONTAINED = (".nrrd", ".mha")
_NRRD_GEOMETRY = (b"space", b"space directions", b"space origin")


@dataclass(frozen=True)
class ItkHeader:
    """An ITK image's own numbers.

    Attributes:
        spacing: (x, y, z) in mm.
        direction: 9 direction cosines by row, LPS+.
        origin: LPS+ mm.
        fields: the key/value pairs of the file.
        nrrd: the lines that hold the geometry, if it is an NRRD file.
    """

    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    origin: tuple[float, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    nrrd: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def label_names(self) -> dict[int, str]:
        """Label value -> name as 3D Slicer writes them into the file."""
        return names_in_slicer_fields(self.fields)


def read_itk(path: Path) -> Stored:
    """Voxels (X, Y, Z), RAS+ affine in mm and header of an NRRD or MetaImage file.

    Raises: DataError if the file is damaged, cut off or not one 3-D scan; GeometryError for an impossible affine.
    """
    if not path.exists():
        raise FileNotFoundError(2, "no such file", str(path))
    check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_readable(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: cut off or damaged ({reason}); copy or download it again") from error
    # A key that is no UTF-8 cannot be asked for; text that is none is kept as far as it can be read.
    keys = [key for key in image.GetMetaDataKeys() if key.isprintable()]
    fields = {key: image.GetMetaData(key).encode("utf-8", "replace").decode() for key in keys}
    header = ItkHeader(image.GetSpacing(), image.GetDirection(), image.GetOrigin(), fields, _nrrd_geometry(path))
    affine = from_itk(header.spacing, header.direction, header.origin)
    check_affine(affine, path)
    return Stored(reverse_order(sitk.GetArrayFromImage(image)), affine, header)


def _check_readable(path: Path, reader: sitk.ImageFileReader) -> None:
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    shown = "x".join(map(str, size))
    if len(size) != 3 or components != 1:
        raise DataError(f"{path}: {shown} voxels of {components} values each are no 3-D scan; give one 3-D volume")
    voxel_bytes = sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    available = path.stat().st_size * DEFLATE_LIMIT
    if path.suffix.lower() in _SELF_CONTAINED and int(np.prod(size, dtype=np.int64)) * voxel_bytes > available:
        raise DataError(f"{path}: the header promises {shown} voxels, more than the file can hold; copy it again")


def itk_header(affine: np.ndarray) -> ItkHeader:
    """The header of the affine (4, 4), to RAS+ mm, of a grid that came from another format."""
    lps, spacing = RAS_LPS @ affine, spacing_of(affine)
    return ItkHeader(spacing, tuple((lps[:3, :3] / spacing).ravel().tolist()), tuple(lps[:3, 3].tolist()))


def write_itk(path: Path, array: np.ndarray, like: StoredGrid, names: Mapping[int, str]) -> None:
    """Writes an (X, Y, Z) array, compressed, with the geometry of `like` and 3D Slicer's segment names."""
    header = like.header if isinstance(like.header, ItkHeader) else itk_header(like.affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(reverse_order(array)))
    image.SetSpacing(header.spacing)
    image.SetDirection(header.direction)
    image.SetOrigin(header.origin)
    for key, value in slicer_fields(names).items():
        image.SetMetaData(key, value)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        if path.suffix.lower() == ".nrrd":
            _restore_nrrd_geometry(temporary, header.nrrd)


def _nrrd_geometry(path: Path) -> dict[bytes, bytes]:
    """The lines of an NRRD header that hold the geometry, by field; empty for other files and incomplete geometry."""
    with open(path, "rb") as file:
        if file.read(4) != b"NRRD":
            return {}
        lines = iter(file.readline, b"")
        text = list(itertools.takewhile(lambda line: line.strip(), lines))
    found = {line.split(b":")[0]: line.rstrip(b"\r\n") for line in text}
    return {key: found[key] for key in _NRRD_GEOMETRY} if found.keys() >= set(_NRRD_GEOMETRY) else {}


def _restore_nrrd_geometry(path: Path, geometry: Mapping[bytes, bytes]) -> None:
    """Puts the scan's own lines in place of ITK's, which come from spacing times direction and may be an ulp off."""
    head, blank, voxels = path.read_bytes().partition(b"\n\n")
    lines = [geometry.get(line.split(b":")[0], line) for line in head.split(b"\n")]
    path.write_bytes(b"\n".join(lines) + blank + voxels)
