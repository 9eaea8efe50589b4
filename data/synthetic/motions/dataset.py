"""The synthetic clips as video files in the layout of a real data set, where asked or once in the user's cache."""

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from medssm.data.layouts.actions import ActionSetName
from medssm.data.layouts.actions.kinetics400 import COLUMNS
from medssm.data.synthetic import SYNTHETIC
from medssm.data.synthetic.dataset import Fill, check_counts, described, in_threads, write_cached, write_new
from medssm.data.synthetic.motions.drawing import MOTIONS, draw_motion

# Raise this whenever the same seed would give other clips, so that no older ones are taken from the cache.
VERSION = 1
DEFAULT_TRAINING, DEFAULT_VALIDATION = SYNTHETIC["motions"].defaults.values()
# UCF-101 films its clips in 25 groups, of which the first seven test.
_TEST_GROUPS, _GROUPS = 7, 25
_GROUP_OF_PICTURES, _FRAMES_PER_SECOND = "12", 16


class _Clip(NamedTuple):
    """One clip: 0 to train or 1 to validate, its class, and its number among those."""

    part: int
    action: str
    number: int


def write_motions(
    folder: str | Path,
    layout: ActionSetName = "ucf101",
    training: int = DEFAULT_TRAINING,
    validation: int = DEFAULT_VALIDATION,
    seed: int = 0,
) -> None:
    """Writes a synthetic data set of eight motions, with one split: videos of 24 to 40 frames of 48 to 64 pixels.

    The folder appears when all of it is written. Clip k of a class is the same whatever the number of clips, and shows
    the same in each layout.

    Args:
        folder: absent, or empty.
        layout: whose names and lists are taken.
        training, validation: clips per class.
        seed: another one gives other clips of the same classes.

    Raises: UsageError if the folder holds something, or there would be no clip.
    """
    write_new(folder, _filling(layout, training, validation, seed))


def cached_motions(
    layout: ActionSetName = "ucf101",
    training: int = DEFAULT_TRAINING,
    validation: int = DEFAULT_VALIDATION,
    seed: int = 0,
) -> Path:
    """The folder of a synthetic data set in the user's cache, written at the first call; arguments: see write_motions.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    arguments = f"{layout}-{described(training, validation, seed)}"
    return write_cached("motions", VERSION, arguments, _filling(layout, training, validation, seed))


def _filling(layout: ActionSetName, training: int, validation: int, seed: int) -> Fill:
    check_counts(training, validation, "clip")
    clips = [
        _Clip(part, name, number)
        for part, count in enumerate((training, validation))
        for name in MOTIONS
        for number in range(count)
    ]
    return partial(_write_dataset, layout=layout, clips=clips, seed=seed)


def _write_dataset(folder: Path, layout: ActionSetName, clips: list[_Clip], seed: int) -> None:
    path_of, write_lists = _LAYOUTS[layout]
    for parent in {(folder / path_of(clip)).parent for clip in clips}:
        parent.mkdir(parents=True)
    in_threads(partial(_write_clip, folder, path_of, seed), clips, "Writing the clips")
    write_lists(folder, clips)


def write_video(path: Path, frames: np.ndarray) -> None:
    """A video file from frames (T, H, W, 3) uint8: MPEG-4 in .avi, H.264 in .mp4."""
    codec = {".avi": "mpeg4", ".mp4": "libx264"}[path.suffix]
    quality = {"crf": "18", "preset": "veryfast"} if codec == "libx264" else {"qmin": "2", "qmax": "4"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            codec, rate=_FRAMES_PER_SECOND, options={**quality, "g": _GROUP_OF_PICTURES, "threads": "1"}
        )
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def _write_clip(folder: Path, path_of: Callable[[_Clip], str], seed: int, clip: _Clip) -> None:
    label = tuple(MOTIONS).index(clip.action)
    generator = np.random.default_rng((seed, clip.part, label, clip.number))
    write_video(folder / path_of(clip), draw_motion(clip.action, generator))


def _ucf101_path(clip: _Clip) -> str:
    groups = range(_TEST_GROUPS) if clip.part else range(_TEST_GROUPS, _GROUPS)
    take, group = divmod(clip.number, len(groups))
    return f"UCF-101/{clip.action}/v_{clip.action}_g{groups[group] + 1:02d}_c{take + 1:02d}.avi"


def _ucf101_lists(folder: Path, clips: list[_Clip]) -> None:
    numbers = {name: number for number, name in enumerate(MOTIONS, start=1)}
    names = [[_ucf101_path(clip).removeprefix("UCF-101/") for clip in clips if clip.part == part] for part in (0, 1)]
    lists = folder / "ucfTrainTestlist"
    _write_lines(lists / "classInd.txt", (f"{number} {name}" for name, number in numbers.items()))
    _write_lines(lists / "trainlist01.txt", (f"{name} {numbers[name.partition('/')[0]]}" for name in names[0]))
    _write_lines(lists / "testlist01.txt", names[1])


def _hmdb51_path(clip: _Clip) -> str:
    return f"hmdb51_org/{clip.action}/disc{clip.part}_{clip.action}_f_nm_np1_fr_goo_{clip.number}.avi"


def _hmdb51_lists(folder: Path, clips: list[_Clip]) -> None:
    for action in MOTIONS:
        lines = (f"{Path(_hmdb51_path(clip)).name} {clip.part + 1} " for clip in clips if clip.action == action)
        _write_lines(folder / "testTrainMulti_7030_splits" / f"{action}_test_split1.txt", lines)


def _kinetics400_path(clip: _Clip) -> str:
    return f"{('train', 'val')[clip.part]}/{clip.action}/{_kinetics400_id(clip)}_000000_000010.mp4"


def _kinetics400_id(clip: _Clip) -> str:
    return f"disc{clip.part}{tuple(MOTIONS).index(clip.action)}{clip.number:05d}"


def _kinetics400_lists(folder: Path, clips: list[_Clip]) -> None:
    for number, part in enumerate(("train", "val")):
        with open(folder / f"{part}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow((*COLUMNS, "split"))
            writer.writerows((c.action, _kinetics400_id(c), 0, 10, part) for c in clips if c.part == number)


def _write_lines(path: Path, lines: Iterator[str] | list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


_LAYOUTS: dict[ActionSetName, tuple[Callable[[_Clip], str], Callable[[Path, list[_Clip]], None]]] = {
    "ucf101": (_ucf101_path, _ucf101_lists),
    "hmdb51": (_hmdb51_path, _hmdb51_lists),
    "kinetics400": (_kinetics400_path, _kinetics400_lists),
}
