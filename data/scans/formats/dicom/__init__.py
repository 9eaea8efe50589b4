"""DICOM series in: every file is looked at before one is believed.

`files` tells DICOM files from others and opens them, `archive` within a zip; `parsing` reads the elements of one,
`headers` what they say of its slices, `pixels` their values; `series` chooses the slices that are the scan, `split`
finds those in several folders, `grid` puts them in order and refuses, or fills, what is no grid; `reading` reads all.
"""
