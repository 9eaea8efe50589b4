"""Which files are videos, by their names."""

import os

VIDEO_SUFFIXES = frozenset(
    (".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
)


def is_video_name(name: str) -> bool:
    """Whether a file's name has the ending of a video; macOS's `._` companions are none."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not name.startswith(".")
