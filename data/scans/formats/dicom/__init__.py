"""DICOM series in: every file is looked at before one is believed.

`headers` reads what a file says of itself, `series` chooses the series that is the scan, `grid` puts its slices in
order and refuses what is no grid, `reading` reads the voxels.
"""

from medssm.data.scans.formats.dicom.headers import holds_series, is_dicom, read_headers
from medssm.data.scans.formats.dicom.reading import read

__all__ = ["holds_series", "is_dicom", "read", "read_headers"]
