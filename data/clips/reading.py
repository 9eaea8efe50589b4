"""Frames of a video file by their numbers, decoded by FFmpeg (PyAV).

Frames are numbered from 0 in the order in which they are shown, whatever the time between them. What the container
says of their number is not believed: packets are counted, which needs no decoding, and where they do not stand for
frames one by one, frames are.

Nothing starts threads: those of FFmpeg can wait for each other without end where decoding stops before the end of a
file (PyAV's issue 1861) or the machine is busy. On two cores that is slower by a sixth for 16 frames of a 1080p film
and faster for small ones, and trainings decode in several processes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from medssm.data.clips.structure import check_structure
from medssm.errors import DataError

Prepared = TypeVar("Prepared")
# As large as frames are filmed (8K), whatever a header claims.
_MOST_PIXELS = 2**25
_OPTIONS = {"protocol_whitelist": "file", "max_pixels": str(_MOST_PIXELS)}
# PyAV 17 came to convert colours with several threads, and to take how many.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}
_PICTURES = ("image2", "image2pipe")  # as FFmpeg calls what reads images
# From the number of frames of a video to those of each clip.
Choose = Callable[[int], Sequence[Sequence[int]]]
Prepare = Callable[[np.ndarray], Prepared]


class _OutOfStep(Exception):
    """Frames do not come as the packets promise."""


@dataclass(frozen=True)
class _Packets:
    """Times at which frames are shown, in order; and of those among them from which decoding can start."""

    times: list[int]
    keys: list[int]

    def key_of(self, frame: int) -> int:
        """The number of the last key frame that is not after a frame."""
        return bisect_right(self.keys, self.times[frame]) - 1


def read_frames(path: str | Path, choose: Choose, prepare: Prepare[Prepared]) -> list[list[Prepared]]:
    """The frames of clips of a video, each prepared as soon as it is decoded; no others are held.

    Only what lies between a chosen frame and the key frame before it is decoded, where the file can be searched.

    Args:
        choose: from the number of frames to the numbers of those of each clip, which may repeat some.
        prepare: takes an upright RGB picture, (H, W, 3) uint8.

    Raises: DataError for a file that is damaged, cut off, holds no video, or no frame; FileNotFoundError.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no video file, but a folder or a pipe; name a file")
    check_structure(path)
    packets = _read_packets(path)
    if packets is not None:
        clips = choose(len(packets.times))
        try:
            found = _searched(path, packets, sorted({number for clip in clips for number in clip}), prepare)
            return [[found[number] for number in clip] for clip in clips]
        except _OutOfStep:
            pass
    clips = choose(_count_frames(path))
    found = _decoded(path, {number for clip in clips for number in clip}, prepare)
    return [[found[number] for number in clip] for clip in clips]


def _read_packets(path: Path) -> _Packets | None:
    """None if some packet does not say when its frame is shown, or two say the same."""
    times: list[int] = []
    keys: list[int] = []
    with _opened(path) as (container, stream):
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise DataError(f"{path}: the file breaks off in its frame {len(times)}; copy or download it again")
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None:
                return None
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    return _Packets(sorted(times), sorted(keys)) if times and len(set(times)) == len(times) else None


def _searched(path: Path, packets: _Packets, wanted: Sequence[int], prepare: Prepare[Prepared]) -> dict[int, Prepared]:
    """The wanted frames, in rising order, by jumping to key frames.

    Raises: _OutOfStep where a jump or a frame does not arrive as the packets say.
    """
    found: dict[int, Prepared] = {}
    with _opened(path) as (container, stream):
        for run in _runs(packets, wanted):
            key = packets.key_of(run[0])
            if key < 0:
                raise _OutOfStep
            try:
                container.seek(packets.keys[key], stream=stream)
            except av.FFmpegError as error:
                raise _OutOfStep from error
            for number, frame in _numbered(container.decode(stream), packets.times, run):
                if (
                    packets.times[number] >= packets.keys[key]
                ):  # others were shown before it, and need what was jumped over
                    _check_whole(path, number, frame)
                if number in wanted:
                    found[number] = prepare(_picture(frame))
    return found


def _runs(packets: _Packets, wanted: Sequence[int]) -> list[list[int]]:
    """Frames that are decoded in one go: up to the next key frame it costs more to jump than to go on."""
    runs = [[wanted[0]]]
    for before, frame in pairwise(wanted):
        if packets.key_of(frame) - packets.key_of(before) > 1:
            runs.append([])
        runs[-1].append(frame)
    return runs


def _numbered(
    frames: Iterable[VideoFrame], times: Sequence[int], wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """All frames up to the last wanted one with their numbers, decoding on from where the container stands."""
    remaining = list(reversed(wanted))
    number = None
    for frame in frames:
        if frame.pts is None:
            raise _OutOfStep
        number = bisect_left(times, frame.pts) if number is None else number + 1
        if number > remaining[-1] or times[number] != frame.pts:
            raise _OutOfStep
        if number == remaining[-1]:
            remaining.pop()
        yield number, frame
        if not remaining:
            return
    raise _OutOfStep


def _count_frames(path: Path) -> int:
    with _opened(path) as (container, stream):
        count = sum(1 for _ in container.decode(stream))
    if not count:
        raise DataError(f"{path}: holds no frame that can be decoded; convert or download it again")
    return count


def _decoded(path: Path, wanted: set[int], prepare: Prepare[Prepared]) -> dict[int, Prepared]:
    """The wanted frames, decoding from the start."""
    found = {}
    with _opened(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            _check_whole(path, number, frame)
            if number in wanted:
                found[number] = prepare(_picture(frame))
            if len(found) == len(wanted):
                break
    return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its film, open; what FFmpeg finds wrong while it is open becomes a sentence."""
    try:
        # An absolute path is no address, and a playlist in disguise cannot ask for one.
        with av.open(str(path.absolute()), options=_OPTIONS, metadata_errors="replace") as container:
            stream = container.streams.best("video")  # not a picture of the cover, which may come first
            if not isinstance(stream, VideoStream):
                raise DataError(f"{path}: holds no video, only {_kinds(container)}; give a file with pictures")
            if container.format.name in _PICTURES or container.format.name.endswith("_pipe"):
                raise DataError(f"{path}: is an image, no video; give a file with moving pictures")
            if stream.codec_context is None:
                raise DataError(f"{path}: holds a video in a code that is not known; convert it")
            stream.codec_context.options = _OPTIONS
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise DataError(
            f"{path}: not a readable video ({error.strerror or type(error).__name__}); convert or download it again"
        ) from error


def _kinds(container: InputContainer) -> str:
    return " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _check_whole(path: Path, number: int, frame: VideoFrame) -> None:
    """Raises DataError for a damaged frame, be it wanted or not: those that follow are made of it, without a flag."""
    if frame.is_corrupt:
        raise DataError(f"{path}: frame {number} is damaged; convert or download the file again")


def _picture(frame: VideoFrame) -> np.ndarray:
    """An upright RGB picture, (H, W, 3) uint8."""
    return upright(frame.to_ndarray(format="rgb24", **_ONE_THREAD), _display_matrix(frame))


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    side_data: Mapping[SideData, Any] = frame.side_data  # type: ignore[assignment]
    if SideData.DISPLAYMATRIX not in side_data:
        return None
    return np.frombuffer(side_data[SideData.DISPLAYMATRIX], dtype=np.int32).reshape(3, 3)


def upright(picture: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """A picture turned and mirrored by quarter turns as a display matrix asks; unchanged for None.

    Args:
        picture: (H, W, ...).
        matrix: (3, 3) as FFmpeg has it: column p and row q of the picture are shown at column a p + c q and row
            b p + d q, where its first two rows begin with (a, b) and (c, d).
    """
    if matrix is None:
        return picture
    (a, b), (c, d) = matrix[:2, :2].tolist()
    across, down = a, d
    if abs(b) > abs(a):
        picture = picture.swapaxes(0, 1)
        across, down = c, b
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
