"""Where the videos of a folder lie."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from medssm.data.clips.names import is_video_name
from medssm.data.layouts.actions.lists import Listed


class Videos:
    """The videos in a folder and below it, found by their names: no file is opened.

    Args:
        classes: whose names folders may have.

    Attributes:
        paths: relative to `folder`, sorted.
    """

    def __init__(self, folder: Path, classes: Collection[str]) -> None:
        self.folder = folder
        self.paths = sorted(_video_paths(folder))
        actions = {_plain(name) for name in classes}
        self._in_folder: dict[tuple[str, str], int] = {}
        self._elsewhere: dict[str, int | None] = {}
        for number, path in enumerate(self.paths):
            parent, stem = os.path.split(os.path.splitext(path)[0])
            holder = _plain(os.path.basename(parent))
            if holder in actions:
                self._in_folder.setdefault((holder, stem), number)
            else:
                self._elsewhere[stem] = None if stem in self._elsewhere else number

    def find(self, video: Listed, action: str) -> int | None:
        """The place in `paths` of a video: in a folder named after its class, else where no folder says another one."""
        for name in video.names:
            if (found := self._in_folder.get((_plain(action), name))) is not None:
                return found
            if (found := self._elsewhere.get(name)) is not None:
                return found
        return None


def _video_paths(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(place, folder)
        yield from (os.path.normpath(os.path.join(below, name)) for name in files if is_video_name(name))


def _plain(name: str) -> str:
    """Class names without what people change of them for folders."""
    return name.lower().replace(" ", "_")
