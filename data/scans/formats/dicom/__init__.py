"""DICOM series in: every file is looked at before one is believed.

`files` tells DICOM files from others, `headers` reads what a file says of itself, `series` chooses the series that is
the scan, `grid` puts its slices in order and refuses what is no grid, `reading` reads the voxels.
"""
