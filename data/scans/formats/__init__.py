"""File formats of scans and label maps, a file each."""
