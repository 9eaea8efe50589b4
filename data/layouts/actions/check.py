"""Faults of a data set of actions: its lists, the videos that they name, and files that are no video."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from medssm.data.clips.reading import read_frames
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.actions import ACTION_LISTS, ActionSetName
from medssm.data.layouts.actions.lists import Listed, Lists
from medssm.data.layouts.actions.videos import Videos
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.parallel import in_parallel
from medssm.errors import DataError, without_path

# UCF-101 cuts several clips of one film, which it calls a group.
_GROUP = re.compile(r"(v_.+_g\d+)_c\d+")


def check_action_set(
    folder: str | Path, layout: ActionSetName, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataReport:
    """Everything that is wrong with the videos in `folder` and with the lists of all splits that are there.

    Args:
        progress: called with the number of videos opened and their total.

    Raises: DataError if the lists of no split can be read.
    """
    folder = Path(folder)
    splits = _splits(folder, layout)
    videos = Videos(folder, {name for lists in splits.values() for name in lists.classes})
    places = {
        video: videos.find(video, action) for lists in splits.values() for video, action in _listed(lists).items()
    }
    findings = [finding for split, lists in splits.items() for finding in _check_lists(lists, split)]
    findings += _missing(folder, layout, splits, places)
    findings += _unlisted(videos, places)
    found = sorted({place for place in places.values() if place is not None})
    files = in_parallel(_check_file, (folder / videos.paths[place] for place in found))
    for done, of_one in enumerate(files):
        progress(done, len(found))
        findings += of_one
    progress(len(found), len(found))
    first = next(iter(splits.values()))
    counts = {part: len(listed) for part, listed in first.parts.items()}
    return DataReport(LAYOUTS[layout].title, folder, counts, tuple(dict.fromkeys(findings)))


def _splits(folder: Path, layout: ActionSetName) -> dict[int, Lists]:
    """The lists of every split that is there.

    Raises: DataError if there is none.
    """
    known = ACTION_LISTS[layout]
    place = known.find(folder)
    if place is None:
        raise DataError(f"{folder}: has no lists of {LAYOUTS[layout].title}. {LAYOUTS[layout].where}")
    splits = {}
    for split in known.splits:
        try:
            splits[split] = known.read(place, split)
        except DataError:
            if split == known.splits[-1] and not splits:
                raise
    return splits


def _listed(lists: Lists) -> dict[Listed, str]:
    """Every video of a split with the name of its class."""
    return {video: lists.classes[video.label] for video in (*lists.training, *lists.validation, *lists.unused)}


def _check_lists(lists: Lists, split: int) -> Iterator[Remark]:
    """Lines that say nothing, and videos that stand twice or in both parts."""
    yield from (Remark(*fault) for fault in lists.faults)
    place = lists.files[0].parent
    for part, listed in lists.parts.items():
        if twice := [video.names[0] for video, count in Counter(listed).items() if count > 1]:
            message = f"split {split} lists {some(sorted(twice), 'video')} twice in {part}; keep one line of each"
            yield Remark(place, "listed-twice", message)
    names = [{(video.names[0], video.label) for video in listed} for listed in lists.parts.values()]
    if both := sorted(name for name, _ in names[0] & names[1]):
        message = f"split {split} has {some(both, 'video')} in training and in validation; keep each in one of them"
        yield Remark(place, "both-splits", message)
    groups = [{match[1] for name, _ in part if (match := _GROUP.fullmatch(name))} for part in names]
    if shared := sorted(groups[0] & groups[1]):
        message = f"split {split} has clips of {some(shared, 'group')} in training and in validation; they are alike"
        yield Remark(place, "same-group", message)


def _missing(
    folder: Path, layout: ActionSetName, splits: dict[int, Lists], places: dict[Listed, int | None]
) -> Iterator[Remark]:
    """Videos that are listed and not there, by class; of some data sets no copy has all."""
    loses = ACTION_LISTS[layout].loses_videos
    absent: dict[str, dict[str, None]] = {}
    actions = {video: action for lists in splits.values() for video, action in _listed(lists).items()}
    for video, place in places.items():
        if place is None:
            absent.setdefault(actions[video], {})[video.names[0]] = None
    for action, names in sorted(absent.items()):
        why = "no copy of the data set is whole" if loses else "unpack the archive again"
        message = f"{action}: lacks {some(sorted(names), 'listed video')}; {why}"
        yield Remark(folder, "missing-file", message, is_note=loses)


def _unlisted(videos: Videos, places: dict[Listed, int | None]) -> Iterator[Remark]:
    if spare := sorted(set(range(len(videos.paths))) - set(places.values())):
        names = [Path(videos.paths[place]).name for place in spare]
        yield Remark(videos.folder, "unlisted", f"holds {some(names, 'video')} that no list names", is_note=True)


def _check_file(path: Path) -> list[Remark]:
    """Whether the first, the middle and the last frame can be decoded."""
    try:
        read_frames(path, lambda count: [[0, count // 2, count - 1]], lambda picture: None)
    except (DataError, OSError) as error:
        return [Remark(path, "unreadable", without_path(path, error))]
    return []
