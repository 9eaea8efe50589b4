"""A folder of videos and its lists as the clips that train and those that validate."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from medssm.data.images.samples import ImageSamples
from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.actions import hmdb51, kinetics400, ucf101
from medssm.data.layouts.actions.lists import Listed, Lists
from medssm.data.layouts.actions.videos import Videos
from medssm.errors import DataError, UsageError

ActionSetName = Literal["ucf101", "hmdb51", "kinetics400"]


class ActionLists(NamedTuple):
    """How the lists of one of the data sets are found and read.

    Attributes:
        splits: the numbers of its splits.
        loses_videos: no copy of it is whole.
        find: the folder of the lists, None if there is none. read: the lists of a split.
    """

    splits: tuple[int, ...]
    loses_videos: bool
    find: Callable[[Path], Path | None]
    read: Callable[[Path, int], Lists]


ACTION_LISTS: dict[ActionSetName, ActionLists] = {
    "ucf101": ActionLists(ucf101.SPLITS, False, ucf101.find_ucf101_lists, ucf101.read_ucf101_lists),
    "hmdb51": ActionLists(hmdb51.SPLITS, False, hmdb51.find_hmdb51_lists, hmdb51.read_hmdb51_lists),
    "kinetics400": ActionLists(
        kinetics400.SPLITS, True, kinetics400.find_kinetics400_lists, kinetics400.read_kinetics400_lists
    ),
}


@dataclass(frozen=True)
class ActionSet:
    """One split of a data set.

    Attributes:
        source: its folder.
        classes: in the order of their numbers.
        training, validation: the videos that are there, with the numbers of their classes.
        missing: how many more the lists name, by part.
    """

    source: Path
    title: str
    classes: tuple[str, ...]
    training: ImageSamples
    validation: ImageSamples
    missing: dict[str, int]


def find_action_set(folder: Path) -> ActionSetName | None:
    """What a folder is laid out as, by the lists in it or below it; None if it has none."""
    return next((name for name, lists in ACTION_LISTS.items() if lists.find(folder)), None)


def load_action_set(
    folder: str | Path, layout: ActionSetName, split: int = 1, missing_share: float = 0.05
) -> ActionSet:
    """A split of the data set in a folder.

    Args:
        missing_share: of the listed videos may be missing, unless no copy of the data set is whole.

    Raises: UsageError if there is no such split; DataError if there is no such data set, or its lists are wrong.
    """
    folder, known, title = Path(folder), ACTION_LISTS[layout], LAYOUTS[layout].title
    if split not in known.splits:
        raise UsageError(f"data.split: {title} has splits {known.splits[0]} to {known.splits[-1]}, not {split}")
    lists = known.read(_lists_of(folder, layout), split)
    if lists.faults:
        fault = lists.faults[0]
        raise DataError(f"{fault.file}: {fault.message} (medssm data check shows all)")
    videos = Videos(folder, lists.classes)
    found, missing = {}, {}
    for part, listed in lists.parts.items():
        places = [videos.find(video, lists.classes[video.label]) for video in listed]
        missing[part] = places.count(None)
        if missing[part] == len(listed) or (missing[part] > missing_share * len(listed) and not known.loses_videos):
            raise DataError(
                f"{folder}: {missing[part]} of the {len(listed)} {part} videos of the lists are not there; unpack the "
                "videos below this folder (medssm data check says which)"
            )
        found[part] = _samples(videos, places, listed)
    return ActionSet(folder, title, lists.classes, found["training"], found["validation"], missing)


def _lists_of(folder: Path, layout: ActionSetName) -> Path:
    """Raises: DataError if a folder is not laid out so."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; give that of a data set. {LAYOUTS[layout].where}")
    lists = ACTION_LISTS[layout].find(folder)
    if lists is None:
        other = find_action_set(folder)
        hint = f"it is laid out as {LAYOUTS[other].title}: set data.layout={other}" if other else LAYOUTS[layout].where
        raise DataError(f"{folder}: has no lists of {LAYOUTS[layout].title}; {hint}")
    return lists


def _samples(videos: Videos, places: list[int | None], listed: list[Listed]) -> ImageSamples:
    """The videos that are there, in the order of the list, each once."""
    there = dict.fromkeys((n, video.label) for n, video in zip(places, listed, strict=True) if n is not None)
    return ImageSamples([(videos.folder, [videos.paths[n] for n, _ in there], [label for _, label in there])])
