"""NRRD and MetaImage files through SimpleITK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medssm.data.geometry import RAS_LPS, check_affine, from_itk, reverse_order, spacing_of
from medssm.data.label_names import slicer_fields
from medssm.errors import DataError
from medssm.files import atomic_path

_DEFLATE_LIMIT = 1032  # as in nifti.py: what a compressed file can hold at most
_SELF_CONTAINED = (".nrrd", ".mha")


@dataclass(frozen=True)
class ItkHeader:
    """An ITK image's own numbers: spacing (x, y, z) mm, 9 direction cosines by row, origin in LPS+ mm, key/values."""

    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    origin: tuple[float, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> tuple[np.ndarray, np.ndarray, ItkHeader]:
    """Voxels (X, Y, Z), RAS+ affine in mm and header of an NRRD or MetaImage file.

    Raises: DataError if the file is damaged, cut off or not one 3-D scan; GeometryError for an impossible affine.
    """
    if not path.exists():
        raise FileNotFoundError(2, "no such file", str(path))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_readable(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: cut off or damaged ({reason}); copy or download it again") from error
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    header = ItkHeader(image.GetSpacing(), image.GetDirection(), image.GetOrigin(), fields)
    affine = from_itk(header.spacing, header.direction, header.origin)
    check_affine(affine, path)
    return reverse_order(sitk.GetArrayFromImage(image)), affine, header


def _check_readable(path: Path, reader: sitk.ImageFileReader) -> None:
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    shown = "x".join(map(str, size))
    if len(size) != 3 or components != 1:
        raise DataError(f"{path}: {shown} voxels of {components} values each are no 3-D scan; give one 3-D volume")
    voxel_bytes = sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    available = path.stat().st_size * _DEFLATE_LIMIT
    if path.suffix.lower() in _SELF_CONTAINED and int(np.prod(size, dtype=np.int64)) * voxel_bytes > available:
        raise DataError(f"{path}: the header promises {shown} voxels, more than the file can hold; copy it again")


def header_of(affine: np.ndarray) -> ItkHeader:
    """The header of a grid that came from another format."""
    lps, spacing = RAS_LPS @ affine, spacing_of(affine)
    return ItkHeader(spacing, tuple((lps[:3, :3] / spacing).ravel().tolist()), tuple(lps[:3, 3].tolist()))


def write(path: Path, array: np.ndarray, header: ItkHeader, names: Mapping[int, str]) -> None:
    """Writes an (X, Y, Z) array, compressed, with the header's geometry and 3D Slicer's segment names."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(reverse_order(array)))
    image.SetSpacing(header.spacing)
    image.SetDirection(header.direction)
    image.SetOrigin(header.origin)
    for key, value in slicer_fields(names).items():
        image.SetMetaData(key, value)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
