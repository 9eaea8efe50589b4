"""Folders in folders."""

import os
from pathlib import Path


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones; none if it is no folder itself."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_dir())
